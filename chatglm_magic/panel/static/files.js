/** Files that are pasted, dropped or chosen: they go to Python in pieces, which says what the next question brings along. */

import { h, tr } from "./dom.js";

const PIECE = 512 * 1024, MOST = 30_000_000; // bytes of a message, and of a file; see panel/protocol.py

export class Files {
  constructor(panel, { node, area, files, attach, chooser }) {
    Object.assign(this, { panel, files, area, ids: [], number: 0 });
    attach.onclick = () => chooser.click();
    chooser.onchange = () => { this.add([...chooser.files]); chooser.value = ""; };
    const take = (event, { files: found }) => { event.preventDefault(); this.add([...found]); };
    area.onpaste = (event) => { // a table that is copied brings its picture, too
      const { clipboardData: data } = event;
      if (data.files.length && !data.types.includes("text/plain")) take(event, data);
    };
    for (const kind of ["dragover", "dragleave", "drop"]) panel.node.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // or the browser would open the file in place of the notebook
      node.classList.toggle("cg-drop", kind === "dragover");
      if (kind === "drop") take(event, event.dataTransfer);
    });
  }

  async add(files) {
    const { channel, footer, lost } = this.panel;
    for (const file of lost ? [] : files) {
      const id = `${channel.view}-${++this.number}`, { name, size } = file;
      if (size > MOST) footer.say(tr("{name} is too large: 30 MB is the most.", { name }), true);
      else for (let at = 0; at < size || !at; at += PIECE) {
        channel.send("attach", { id, name, size, at }, [await file.slice(at, at + PIECE).arrayBuffer()]);
      }
    }
    this.area.focus({ preventScroll: true });
  }

  /** Show what Python has; each can be taken back. */
  set(attached = []) {
    this.ids = attached.map(({ id }) => id);
    this.files.hidden = !attached.length;
    this.files.replaceChildren(...attached.map(({ id, name, about, src }) => h("li", { class: "cg-file", title: about },
      ...(src ? [h("img", { src, alt: "" })] : []), h("span", { text: name }), h("button", { type: "button", text: "×",
        class: "cg-button", "aria-label": tr("Remove {name}", { name }), onclick: () => this.panel.channel.send("detach", { id }) }))));
  }
}
