/** What opens below a button: a list to search and pick from, a menu, and the settings. */

import { copy, debounce, h, messages, onKeys, plural, refs, setText, tr } from "./dom.js";

/** A button and what it opens. Subclasses have `opened()`. */
class Popup {
  constructor(node) {
    Object.assign(this, refs(node));
    this.button.onclick = () => (this.isOpen ? this.close(true) : this.open());
    onKeys(this.node, { escape: () => this.isOpen && this.close(true) });
    this.node.addEventListener("focusout", ({ relatedTarget: to }) => { if (to && !node.contains(to)) this.close(); });
    this.away = (event) => { if (!event.composedPath().includes(node)) this.close(); };
  }

  get isOpen() { return !this.pop.hidden; }

  open() {
    this.pop.hidden = false;
    this.button.ariaExpanded = "true";
    document.addEventListener("pointerdown", this.away, true);
    this.opened();
  }

  /** @param {boolean} focus whether the button has the focus then */
  close(focus = false) {
    if (!this.isOpen) return;
    this.pop.hidden = true;
    this.button.ariaExpanded = "false";
    document.removeEventListener("pointerdown", this.away, true);
    if (focus) this.button.focus({ preventScroll: true });
  }
}

/** A list with a search box above it: the pattern of a combobox with a list box. */
export class Picker extends Popup {
  /** @param {string} kind what is found and opened @param {string} fresh opens a new one @param offer words for that */
  constructor(node, channel, kind, fresh, offer) {
    super(node);
    this.items = []; // all that is known
    this.shown = []; // the ones that fit the search, and what opens each
    this.at = -1; // which of them Enter picks
    Object.assign(this, { channel, kind, fresh, offer });
    this.findNow = () => channel.send("find", { what: kind, text: this.text });
    this.find = debounce(this.findNow, 150);
    this.list.id = `cg-${channel.view}-${kind}`;
    this.search.setAttribute("aria-controls", this.list.id);
    onKeys(this.search, {
      arrowdown: () => this.move(1), arrowup: () => this.move(-1), pagedown: () => this.move(8),
      pageup: () => this.move(-8), enter: () => this.pick(this.at),
      f2: () => this.ask("rename"), "shift+delete": () => this.ask("drop"),
    });
    if (this.form) this.no.onclick = () => this.answer();
    this.search.oninput = () => { this.draw(); this.find(); };
  }

  get text() { return this.search.value.trim(); }

  /** @param {object[]} items see `Item` in protocol.py; all but the name may be missing */
  set(value, items) {
    setText(this.value, value);
    this.button.title = this.button.ariaLabel = tr("{what}: {value}", { what: this.pop.ariaLabel, value });
    this.items = items;
    if (this.isOpen) this.draw();
  }

  /** Add what Python has found; it knows best how things stand with what is known, too. */
  found(items) {
    const news = new Map(items.map((item) => [item.name, item]));
    const before = JSON.stringify(this.items);
    const known = this.items.map((item) => news.get(item.name) ?? item);
    const names = new Set(known.map(({ name }) => name));
    this.items = [...known, ...items.filter(({ name }) => !names.has(name))];
    if (this.isOpen && JSON.stringify(this.items) !== before) this.draw();
  }

  opened() {
    this.search.value = "";
    if (this.form) this.answer();
    this.draw();
    this.search.focus({ preventScroll: true });
    this.findNow();
  }

  draw() {
    const { text } = this;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.items.filter(({ name, title = "", about = "" }) => {
      const here = `${name} ${title} ${about}`.toLowerCase();
      return words.every((word) => here.includes(word));
    });
    if (text && !this.items.some(({ name }) => name === text)) {
      this.shown.push({ name: text, title: this.offer(text), isFresh: true });
    }
    this.list.replaceChildren(...this.shown.map((item, at) => this.option(item, at)));
    this.none.hidden = this.shown.length > 0;
    const current = words.length ? 0 : this.shown.findIndex((item) => item.current);
    this.mark(Math.max(0, current));
  }

  option(item, at) {
    return h("li", { role: "option", id: `${this.list.id}-${at}`, class: item.isFresh ? "cg-fresh" : "",
      "aria-selected": String(Boolean(item.current)), onmousedown: (event) => event.preventDefault(),
      onclick: () => this.pick(at), onmousemove: () => this.mark(at) },
    item.current ? copy("tick").node : h("span", { class: "cg-icon" }),
    h("span", { class: "cg-name", text: item.title || item.name },
      h("span", { class: "cg-about", text: item.about ? ` ${item.about}` : "" })),
    h("span", { class: "cg-hint", text: item.count ? messages(item.count) : "" }),
    ...(this.form && !item.isFresh ? ["rename", "drop"].map((what) => this.tool(what, item)) : []));
  }

  /** A sign for the mouse: an option may hold no button; keys do the same. */
  tool(what, item) {
    const onclick = (event) => { event.stopPropagation(); this.ask(what, item); };
    const title = what === "drop" ? tr("Delete") : tr("Rename");
    return h("span", { class: "cg-tool", title, "aria-hidden": "true", onclick }, copy(what).node);
  }

  /** Ask for a conversation's new name, or whether it is to be deleted. @param {"rename"|"drop"} what */
  ask(what, item = this.shown[this.at]) {
    if (!this.form || !item || item.isFresh) return false;
    const renames = what === "rename";
    const name = item.title || item.name;
    const asks = renames ? tr("New name of “{name}”", { name })
      : !item.count ? tr("Delete “{name}” for good?", { name })
      : plural(item.count, tr("Delete “{name}” and its {count} message for good?"),
        tr("Delete “{name}” and its {count} messages for good?"), { name });
    setText(this.asks, asks);
    setText(this.yes, renames ? tr("Rename") : tr("Delete"));
    this.name.hidden = !renames;
    this.name.value = name;
    this.tip.hidden = !(this.form.hidden = false);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.answer();
      this.channel.ask(what, renames ? { name: this.name.value, of: item.name } : { name: item.name }).then(() => {
        this.items = this.items.filter((known) => !known.name.startsWith("#")); // the stored ones are found anew
        this.draw();
        this.findNow();
      });
    };
    (renames ? this.name : this.no).focus({ preventScroll: true });
  }

  /** Ask no more. */
  answer() {
    this.form.hidden = true;
    this.tip.hidden = false;
    this.search.focus({ preventScroll: true });
  }

  mark(at) {
    this.at = at;
    const options = [...this.list.children];
    options.forEach((option, number) => option.classList.toggle("cg-marked", number === at));
    options[at]?.scrollIntoView({ block: "nearest" });
    this.search.setAttribute("aria-activedescendant", options[at]?.id ?? "");
  }

  pick(at) {
    const item = this.shown[at];
    if (!item) return;
    this.close(true);
    this.channel.send(item.isFresh ? this.fresh : this.kind, { name: item.name });
  }

  move(step) { this.mark(Math.max(0, Math.min(this.at + step, this.shown.length - 1))); }
}

/** The settings of a conversation: a field for each, named after it; an empty one leaves it to the model. */
export class Settings extends Popup {
  constructor(node, channel) {
    super(node);
    this.values = {};
    this.fields = [...this.pop.querySelectorAll("[name]")];
    for (const field of this.fields) {
      field.onchange = () => channel.send("set", { chat: this.chat, name: field.name, text: field.value });
    }
  }

  /** Show what is set; a field that is typed in stays as it is. */
  set(chat, values) {
    const typed = chat === this.chat ? document.activeElement : null;
    Object.assign(this, { chat, values });
    this.draw(typed);
  }

  draw(typed = null) {
    for (const field of this.fields) if (field !== typed) field.value = this.values[field.name] ?? "";
  }

  opened() { this.fields[0].focus({ preventScroll: true }); }
}

/** A menu: its items are buttons with a `value`. */
export class Menu extends Popup {
  /** @param {(value: string) => void} take */
  constructor(node, take) {
    super(node);
    this.items = [...this.pop.children];
    onKeys(this.pop, {
      arrowdown: () => this.move(1), arrowup: () => this.move(-1),
      home: () => this.items[0].focus(), end: () => this.items.at(-1).focus(),
    });
    for (const item of this.items) item.onclick = () => { this.close(true); take(item.value); };
  }

  opened() { this.items[0].focus(); }

  move(step) {
    const at = this.items.indexOf(document.activeElement) + step;
    this.items.at(at % this.items.length).focus();
  }
}
