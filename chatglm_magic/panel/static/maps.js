/** The maps that run in the kernel: a line and a button for each. It is no live region: a count a second is noise. */

import { h, setText, tr } from "./dom.js";

export class Maps {
  constructor(panel, node) {
    Object.assign(this, { panel, node, lines: new Map() }); // {node, text} by id
  }

  /** Show what runs. A line that is there stays, and with it the focus. @param {object[]} maps see `RunningMap` in protocol.py */
  set(maps = []) {
    for (const { id, name, text } of maps) {
      if (!this.lines.has(id)) this.add(id, name);
      setText(this.lines.get(id).text, text);
    }
    for (const [id, { node }] of this.lines) if (!maps.some((one) => one.id === id)) {
      if (node.contains(document.activeElement)) this.panel.composer.area.focus({ preventScroll: true });
      node.remove();
      this.lines.delete(id);
    }
    this.node.hidden = !maps.length; // last: what is hidden loses the focus
  }

  add(id, name) {
    const text = h("span", { class: "cg-map-text" });
    const node = h("div", { class: "cg-map" }, h("span", { class: "cg-map-name", dir: "auto", title: name, text: name }), text,
      h("button", { type: "button", class: "cg-button cg-worded", text: tr("Stop"), "aria-label": tr("Stop the map {name}", { name }),
        onclick: () => this.panel.channel.send("stop_map", { id }) }));
    this.lines.set(id, { node, text });
    this.node.append(node);
  }
}
