/** One message: its text, the thinking before it, its note, its buttons, and the box in which a question is edited. */

import { copy, fitHeight, onKeys, seconds, setText, tr } from "./dom.js";
import { StreamingText } from "./text.js";

/** The thinking before an answer, folded away once the answer begins. */
class Thinking {
  constructor() {
    Object.assign(this, copy("thinking"));
    this.text = new StreamingText(this.body);
    this.chosen = false; // whether a person has opened or closed it
    this.lasts = false; // as of the last update
    this.took = 0; // seconds
    this.fold(false);
    this.button.onclick = () => { this.chosen = true; this.fold(!this.body.hidden); };
  }

  fold(folded) {
    this.body.hidden = folded;
    this.button.ariaExpanded = String(!folded);
  }

  /** Show the whole of it. */
  show({ blocks, tail, seconds: taken }) {
    this.began = performance.now() - 1000 * (taken || 0);
    this.text.show(blocks, tail);
  }

  /** Fold it once the answer has begun, and say how long it took. @param {number} [taken] seconds, where known */
  update(lasts, taken) {
    const time = (performance.now() - this.began) / 1000;
    this.took = taken || (this.lasts ? time : this.took);
    this.lasts = lasts;
    if (!lasts && !this.chosen) this.fold(true);
    const past = this.took ? tr("Thought for {time}", { time: seconds(this.took) }) : tr("Thoughts");
    setText(this.title, lasts ? tr("Thinking… {seconds} s", { seconds: Math.floor(time) }) : past);
  }
}

/** A question or an answer; `data` is what Python says of it. */
export class Message {
  constructor(panel, data) {
    Object.assign(this, copy("message"));
    this.panel = panel;
    this.text = new StreamingText(this.body);
    this.thinking = null;
    this.node.classList.add(`cg-${data.role}`);
    this.node.dataset.id = data.id;
    this.set(data);
  }

  get streams() { return this.data.state === "streaming"; }

  /** Show it anew; without `blocks`, its text stays as it has grown. */
  set(data) {
    this.data = data;
    this.node.dataset.state = data.state;
    if (data.blocks) {
      this.text.show(data.blocks, data.tail);
      this.showThinking(data.thinking);
    }
    this.tick(data.thinking?.seconds || data.seconds);
    this.draw();
  }

  /** Take a step of a stream. @returns {boolean} false if it does not fit the text that is here */
  grow({ part, keep, blocks, tail, code }) {
    if (!this.streams) return true; // a late one, of a reply that was stopped
    if (part === "thinking" && !this.thinking) this.showThinking({ blocks: [], tail: "" });
    const fits = (part === "thinking" ? this.thinking.text : this.text).step(keep, blocks, tail, code);
    this.tick();
    return fits;
  }

  showThinking(words) {
    if (!words) this.thinking?.node.remove();
    else if (!this.thinking) this.body.before((this.thinking = new Thinking()).node);
    if (words) this.thinking.show(words);
    else this.thinking = null;
  }

  /** Update the seconds of its thinking. @param {number} [taken] how many it took, where Python knows */
  tick(taken) { this.thinking?.update(this.streams && this.text.empty, taken); }

  /** Draw its note and its buttons. */
  draw() {
    const { state, note, can, version, versions, meta } = this.data;
    this.words.textContent = note;
    this.words.hidden = !note;
    for (const offer of this.note.querySelectorAll("button")) offer.hidden = !can.includes(offer.dataset.do);
    this.note.hidden = [...this.note.children].every(({ hidden }) => hidden);
    this.note.role = state === "failed" ? "alert" : null;
    const others = this.bar.querySelectorAll("button:not([data-do=copy])"); // they wait for the end of a stream
    for (const button of others) button.ariaDisabled = this.streams ? "true" : null;
    this.versions.hidden = versions < 2;
    this.version.textContent = `${version}/${versions}`;
    this.back.disabled = version <= 1;
    this.on.disabled = version >= versions;
    this.meta.textContent = meta;
    this.meta.hidden = !meta;
    if (this.bar.querySelector(":focus:disabled")) this.node.focus({ preventScroll: true });
  }

  /**
   * Open a box in the question's place; what is sent from it becomes another version.
   * @param {?string} text what was typed there before, without the focus
   */
  edit(text = null) {
    if (this.editor) return;
    this.editor = copy("editor");
    const { node, area, discard, save } = this.editor;
    area.value = text ?? this.data.source ?? this.text.plain();
    area.oninput = () => fitHeight(area);
    onKeys(area, { enter: () => this.sendEdited(), escape: () => this.closeEditor() });
    discard.onclick = () => this.closeEditor();
    save.onclick = () => this.sendEdited();
    this.body.hidden = this.bar.hidden = true;
    this.body.before(node);
    fitHeight(area);
    if (text !== null) return;
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  sendEdited() {
    const text = this.editor.area.value.trim();
    if (!text || this.panel.busy) {
      this.panel.footer.say(text ? this.panel.reason : tr("There is no question yet."));
      return;
    }
    this.closeEditor();
    this.panel.channel.send("edit", { id: this.data.id, text });
    this.panel.begin();
  }

  closeEditor() {
    this.editor.node.remove();
    this.editor = null;
    this.body.hidden = this.bar.hidden = false;
    this.panel.composer.area.focus();
  }
}
