/** The card that asks about a call of a function. It takes no focus: what is being typed must not allow anything. */

import { fitHeight, onKeys, refs, setText, tr } from "./dom.js";

export class CallCard {
  constructor(panel, node) {
    Object.assign(this, refs(node));
    this.panel = panel;
    this.data = null; // what Python asks
    this.run.onclick = () => this.decide("run");
    this.deny.onclick = () => this.decide("deny");
    this.always.onclick = () => this.decide("always");
    this.edit.onclick = () => this.change(true);
    this.field.oninput = () => fitHeight(this.field);
    onKeys(this.field, { escape: () => { this.change(false); this.edit.focus(); } });
  }

  get open() { return this.data !== null; }

  /** Show a call, or nothing. @param {?{id: string, name: string, doc: string, arguments: string}} data */
  set(data) {
    if (data?.id === this.data?.id) return;
    const held = this.node.contains(document.activeElement);
    this.data = data;
    this.node.hidden = !data;
    if (!data && held) this.panel.composer.area.focus({ preventScroll: true });
    if (!data) return;
    const asks = tr("The model asks to run {name}", { name: data.name });
    setText(this.asks, asks);
    this.node.ariaLabel = asks;
    setText(this.doc, data.doc);
    this.doc.hidden = !data.doc;
    setText(this.shown, data.arguments);
    this.field.value = data.arguments;
    this.change(false);
    this.panel.announcer.say(tr("{asks}: {doc} Arguments: {arguments}. Run, Deny, Edit and Always are above the message box; Esc denies.",
      { asks, doc: data.doc, arguments: data.arguments }));
  }

  /** Let the arguments be edited, or show them as they were. */
  change(editing) {
    this.editing = editing;
    this.field.hidden = !editing;
    this.shown.hidden = editing;
    this.edit.ariaExpanded = String(editing);
    if (!editing) this.field.value = this.data?.arguments ?? "";
    else { fitHeight(this.field); this.field.focus(); }
  }

  decide(pressed) {
    if (!this.data || this.panel.lost) return;
    const edited = this.editing && pressed !== "deny" ? this.field.value : "";
    this.panel.channel.send("decide", { id: this.data.id, pressed, arguments: edited });
  }
}
