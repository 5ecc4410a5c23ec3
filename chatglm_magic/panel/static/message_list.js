/** The log: the messages in their order, scrolled as a reader wants. */

import { act } from "./actions.js";
import { h, plural, refs, tr } from "./dom.js";
import { Message } from "./message.js";

const NEAR = 48; // px from the end within which the log follows it
const SOON = 200; // px from the beginning within which older messages are asked for

export class MessageList {
  constructor(panel, node) {
    Object.assign(this, refs(node)); // scroller: what is scrolled; list: where the messages stand
    this.panel = panel;
    this.messages = new Map(); // by id; their order is that of their nodes
    this.earlier = 0; // how many older messages this view has not been given
    this.following = true; // whether the end is kept in sight
    this.top = 0; // where it was scrolled to
    this.more.onclick = () => this.askMore();
    this.latest.onclick = () => this.toEnd();
    this.hint.innerHTML = tr("Put a variable’s name in braces, as in <code>{df}</code>, to show it to the model.");
    this.scroller.onclick = ({ target }) => {
      const button = target.closest("button[data-do]");
      const one = this.messages.get(button?.closest(".cg-message")?.dataset.id);
      if (one) act(panel, button.dataset.do, one, button);
    };
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const sizes = new ResizeObserver(() => {
      // A cell that was scrolled out of the page comes back with its log at the top.
      if (this.scroller.clientHeight === 0) return;
      if (this.following) this.stick();
      else if (this.scroller.scrollTop === 0 && this.top > 0) this.scroller.scrollTop = this.top;
    });
    for (const one of [this.scroller, this.list]) sizes.observe(one);
    this.drawEdges();
  }

  /** The messages, oldest first. @returns {Message[]} */
  get all() { return [...this.list.children].map((node) => this.messages.get(node.dataset.id)).filter(Boolean); }

  /** Show these messages and no others; the ones that are here already stay as they are looked at. */
  fill(all, earlier) {
    const before = this.messages;
    this.messages = new Map();
    const nodes = all.map((data) => this.make(data, before.get(data.id)).node);
    const { children } = this.list;
    const same = nodes.length === children.length && nodes.every((node, at) => node === children[at]);
    if (!same) this.list.replaceChildren(...nodes);
    this.earlier = earlier;
    this.renumber();
    this.stick();
  }

  make(data, one = undefined) {
    if (one) one.set(data);
    else one = new Message(this.panel, data);
    this.messages.set(data.id, one);
    return one;
  }

  /** Put older messages in front, without moving what is read. */
  prepend(all, earlier) {
    const { scrollHeight, scrollTop } = this.scroller;
    this.list.prepend(...all.map((data) => this.make(data).node));
    this.earlier = earlier;
    this.asking = false;
    this.renumber();
    if (this.following || this.scroller.scrollTop !== scrollTop) return;
    this.scroller.scrollTop += this.scroller.scrollHeight - scrollHeight;
  }

  /** Put a message behind another, or first. @returns {boolean} false if it has no place in this view */
  add(after, data) {
    const before = this.messages.get(after);
    if (after ? !before : this.earlier > 0) return false;
    const { node } = this.make(data);
    if (before) before.node.after(node);
    else this.list.prepend(node);
    this.renumber();
    return true;
  }

  remove(ids) {
    const held = this.scroller.contains(document.activeElement);
    for (const id of ids) {
      this.messages.get(id)?.node.remove();
      this.messages.delete(id);
    }
    this.renumber();
    if (held && !this.scroller.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
  }

  renumber() {
    const counts = { user: Math.ceil(this.earlier / 2), assistant: Math.floor(this.earlier / 2) };
    for (const { data, node } of this.all) {
      counts[data.role] += 1;
      const name = data.role === "user" ? tr("You, question {number}", { number: counts.user })
        : tr("Answer {number}", { number: counts.assistant });
      if (node.getAttribute("aria-label") !== name) node.setAttribute("aria-label", name);
    }
    this.drawEdges();
  }

  drawEdges() {
    this.more.hidden = this.earlier === 0;
    const count = Math.min(100, this.earlier);
    this.more.textContent = plural(count, tr("Show {count} earlier message"), tr("Show {count} earlier messages"));
    this.empty.hidden = this.list.childElementCount > 0 || !this.panel.shown;
  }

  /** Offer first questions. @param {string[]} ideas */
  suggest(ideas) {
    const { composer } = this.panel;
    this.ideas.replaceChildren(...ideas.map((text) => h("button", { type: "button", class: "cg-button cg-worded", text,
      onclick: () => { composer.set(text); composer.draft(); composer.area.focus(); } })));
  }

  askMore() {
    if (!this.earlier || this.asking || !this.panel.channel.synced) return;
    this.asking = true;
    setTimeout(() => { this.asking = false; }, 5000);
    this.panel.channel.send("more");
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    if (clientHeight === 0) return;
    if (scrollTop < SOON) this.askMore();
    const near = scrollHeight - scrollTop - clientHeight < NEAR;
    if (near) this.following = true;
    else if (scrollTop < this.top - 1) this.following = false; // growing text never scrolls up: a person did
    this.top = scrollTop;
    this.latest.hidden = near || this.following;
  }

  /** Keep the end in sight, if it was. */
  stick() {
    this.latest.hidden = this.following;
    if (!this.following) return;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
  }

  toEnd() {
    this.following = true;
    this.stick();
    this.panel.composer.area.focus({ preventScroll: true });
  }

  /** Move the focus to the message before or after; from the last one to the composer. @param {1|-1} step */
  walk(step) {
    const nodes = [...this.list.children];
    const at = nodes.findIndex((node) => node.contains(document.activeElement));
    const next = at >= 0 ? nodes[at + step] : step < 0 ? nodes.at(-1) : undefined;
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
    if (!next && step > 0) this.toEnd();
  }

  /** Return the question that a message is or answers, or the answer that it is or got. @param {Message} one */
  partner(one, role) {
    if (one.data.role === role) return one;
    const node = role === "user" ? one.node.previousElementSibling : one.node.nextElementSibling;
    return this.messages.get(node?.dataset.id) ?? one;
  }
}
