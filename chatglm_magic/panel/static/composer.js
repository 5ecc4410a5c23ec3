/** The composer, and the footer below it. */

import { debounce, fitHeight, h, onKeys, refs, seconds, setText, tokens, tr } from "./dom.js";
import { Files } from "./files.js";

const states = () => ({ waiting: tr("Waiting for the model"), thinking: tr("Thinking"), answering: tr("Answering"),
  stopping: tr("Stopping") });

/** The box to write in, what its text names, and the button that sends or stops. */
export class Composer {
  constructor(panel, node) {
    Object.assign(this, refs(node));
    this.panel = panel;
    this.at = -1; // which of the offered names Enter takes
    this.names.id = `cg-${panel.channel.view}-names`;
    this.area.setAttribute("aria-controls", this.names.id);
    this.area.oninput = () => { this.changed(); this.draft(); };
    onKeys(this.area, {
      enter: () => (this.isOffering ? this.pick() : this.send()),
      tab: () => this.isOffering && this.pick(),
      escape: () => this.isOffering && this.closeNames(),
      arrowdown: () => this.isOffering && this.mark(this.at + 1),
      arrowup: () => (this.isOffering ? this.mark(this.at - 1) : this.editLast()),
    });
    this.area.onblur = () => setTimeout(() => this.closeNames(), 150);
    this.button.onclick = () => {
      if (panel.busy) panel.stop();
      else this.send();
      this.area.focus({ preventScroll: true });
    };
    this.attached = new Files(panel, this);
    const send = () => panel.channel.send("draft", { text: this.area.value, at: this.area.selectionStart });
    this.draft = debounce(send, 300);
  }

  /** Follow a change of the text. */
  changed() {
    fitHeight(this.area);
    this.closeNames();
    if (!this.area.value) this.describe([], 0);
    this.drawButton();
  }

  send() {
    const text = this.area.value;
    if (!text.trim() || this.panel.lost) return;
    if (this.panel.busy) { this.panel.footer.say(this.panel.reason); return; }
    this.set("");
    this.panel.ask(text);
  }

  set(text) {
    this.area.value = text;
    this.changed();
  }

  /** Edit the last question, from an empty box. @returns {false|void} false where it may not be edited */
  editLast() {
    const question = this.panel.log.all.findLast((one) => one.data.role === "user");
    if (this.area.value || !question || this.panel.busy || this.panel.lost) return false;
    question.edit();
    question.node.scrollIntoView({ block: "nearest" });
  }

  get isOffering() { return !this.names.hidden; }

  mark(at) {
    const options = [...this.names.children];
    this.at = (at + options.length) % options.length;
    options.forEach((option, number) => { option.ariaSelected = String(number === this.at); });
    this.area.setAttribute("aria-activedescendant", options[this.at].id);
    options[this.at].scrollIntoView({ block: "nearest" });
  }

  /** Write the marked name, and a closing brace, into the open brace. */
  pick(name = this.names.children[this.at].textContent) {
    const { value, selectionStart: at } = this.area;
    const open = value.lastIndexOf("{", at - 1);
    this.closeNames();
    if (open < 0) return;
    const [rest] = /^[\w.]*\}?/.exec(value.slice(at));
    this.area.setRangeText(`{${name}}`, open, at + rest.length, "end");
    this.area.oninput();
  }

  closeNames() {
    this.names.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }

  /** Show which variables the draft names, how long it is, and which ones it may name next. */
  describe(names, count, offer = []) {
    this.chips.replaceChildren(...names.map(({ name, kind }) => h("li", { class: "cg-chip" },
      h("code", { text: name }), h("span", { text: kind }))));
    this.chips.hidden = names.length === 0;
    this.tokens.textContent = count && this.area.value ? `≈ ${tokens(count)}` : "";
    const before = this.area.value.slice(0, this.area.selectionStart);
    this.closeNames();
    if (!offer.length || document.activeElement !== this.area || !/\{[^{}\n]*$/.test(before)) return;
    this.names.replaceChildren(...offer.map((name, at) => h("li", { role: "option", id: `${this.names.id}-${at}`,
      onmousedown: (event) => { event.preventDefault(); this.pick(name); } }, h("code", { text: name }))));
    this.names.hidden = false;
    this.mark(0);
  }

  drawButton() {
    const { busy, lost, footer } = this.panel;
    const stops = busy && !lost;
    setText(this.word, stops ? tr("Stop") : tr("Send"));
    this.button.classList.toggle("cg-stops", stops);
    this.button.title = stops ? tr("Stop (Esc)") : tr("Send (Enter)");
    this.button.ariaDisabled = String(lost || footer.state === "stopping" || (!stops && !this.area.value.trim()));
    this.area.disabled = this.attach.disabled = lost;
    this.area.placeholder = lost ? tr("The kernel is gone: run the cell again to go on") : tr("Ask a question…");
  }
}

/** What the panel is doing, what has just happened, tokens and seconds. */
export class Footer {
  constructor(panel, node) {
    Object.assign(this, refs(node));
    this.panel = panel;
    this.word = ""; // about something that has just happened
    this.undo.onclick = () => { this.say(""); panel.channel.send("undo"); };
    this.set();
  }

  /** Take what Python tells, or what is known before it does; without a state, nothing is going on. */
  set({ state = "", text = "", tokens = 0, seconds: time = 0 } = {}) {
    if (state === "thinking" && this.state !== state) this.panel.announcer.say(tr("Thinking."));
    Object.assign(this, { state: state || "ready", text, tokens, time, since: performance.now() - 1000 * time });
    this.draw();
  }

  /** Say something that passes, or take it back; what went wrong stays for longer, and so does what can be undone. */
  say(text, bad = false, undo = false) {
    clearTimeout(this.timer);
    this.word = text;
    this.line.classList.toggle("cg-bad", bad);
    if (!undo && document.activeElement === this.undo) this.panel.composer.area.focus({ preventScroll: true });
    this.undo.hidden = !undo;
    this.draw();
    if (!text) return;
    this.timer = setTimeout(() => this.say(""), bad ? 20_000 : undo ? 10_000 : 6000);
    this.panel.announcer.say(
      undo ? tr("{text} The button Undo, below the message box, brings back what was there.", { text }) : text);
  }

  draw() {
    const { lost, reason, away, shown, channel: { waits } } = this.panel;
    const ready = this.state === "ready";
    const time = ready ? this.time : Math.floor((performance.now() - this.since) / 1000);
    const keys = tr("Enter sends, Shift+Enter begins a new line");
    const says = lost ? reason
      : away ? tr("The connection to the kernel is broken; trying again.")
      : waits ? (shown ? tr("The kernel is busy; it answers as soon as it can.") : tr("Waiting for the kernel."))
      : ready ? this.word || this.text || keys
      : [this.text || states()[this.state], this.word].filter(Boolean).join(" · ");
    const counts = [this.tokens && tokens(this.tokens),
      time && (ready ? seconds(time) : tr("{seconds} s", { seconds: time }))];
    setText(this.line, says);
    this.line.classList.toggle("cg-quiet", says === keys);
    setText(this.counts, counts.filter(Boolean).join(" · "));
    this.panel.node.dataset.state = lost ? "lost" : waits || away ? "busy" : this.state;
    this.panel.composer?.drawButton();
  }
}
