/**
 * The panel's transcript and composer: Python says what there is, this places it, and tells Python what a person did.
 *
 * One file, though it is long: anywidget loads a single module without a bundler. Its parts, in this order: small tools,
 * the notebook around us, the wire, growing text, one message, the log, the composer, a picker, and the panel itself.
 * HTML comes from the kernel, made safe there; everything else is put into the page as text.
 *
 * @typedef {{blocks: string[], tail: string, seconds?: number}} Words
 * @typedef {{id: string, role: "user"|"assistant", version: number, versions: number, blocks?: string[], tail?: string,
 *   source?: string, thinking: ?Words, state: "streaming"|"done"|"stopped"|"failed"|"cut", note: string,
 *   meta: string, can: string[]}} Said
 * @typedef {{k: string, n?: number, [field: string]: any}} Packet
 */

const BUSY_AFTER = 600; // ms without a word from the kernel until the panel says that it waits
const PAUSES = [[200, 140], [12, 80]]; // of a text with so many blocks, ms between two drawings; none where it is shorter
const PART = 16; // blocks that stand in one element: what is not on the screen is skipped by parts
const NEAR = 48; // px from the end within which the log follows it
const EXPORTS = [["md", "Markdown"], ["html", "HTML page"], ["ipynb", "Notebook (.ipynb)"], ["json", "JSON"]];
const LOST = "The kernel was restarted. Run this cell again";
const STATES = {
  ready: "Enter sends, Shift+Enter begins a new line", waiting: "Waiting for the model", thinking: "Thinking", answering: "Answering", stopping: "Stopping",
};

// ── Small tools ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Make an element: attributes by name, `on…` as listeners, `text` as its words. @returns {any} */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const PATHS = {
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  stop: "M4.5 4.5h7v7h-7z",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  edit: "M3 13l.6-2.8L10.8 3l2.2 2.2-7.2 7.2zM9.5 4.3l2.2 2.2",
  again: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  insert: "M2.5 2.5h11v5h-11zM8 10v4M6 12h4",
  remove: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9M7 7v4M9 7v4",
  left: "M9.5 4 5.5 8l4 4",
  right: "M6.5 4l4 4-4 4",
  down: "M8 3v10M3.5 8.5 8 13l4.5-4.5",
  open: "M4 6l4 4 4-4",
  new: "M8 3v10M3 8h10",
  export: "M8 2.5v7M5 7l3 3 3-3M3 11v2.5h10V11",
  settings: "M2.5 5h6M11.5 5h2M2.5 11h2M7.5 11h6M10 3.5v3M6 9.5v3",
  go: "M4 3.5 11.5 8 4 12.5z",
};

/** Draw an icon; words beside it or a label on its button say what it means. */
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", class: "cg-icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Make a button that shows an icon and is called by its label. */
function iconButton(name, label, click, attributes = {}) {
  return h("button", { type: "button", class: "cg-button", "aria-label": label, title: label, onclick: click, ...attributes },
    icon(name));
}

/** Turn HTML that the kernel has made safe into nodes. */
function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Call once after the last of many calls. */
function debounce(work, pause) {
  let timer = 0;
  const later = () => { clearTimeout(timer); timer = setTimeout(work, pause); };
  later.cancel = () => clearTimeout(timer);
  return later;
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const seconds = (value) => (value < 10 ? `${(Math.round(value * 10) / 10).toFixed(1)} s` : `${Math.round(value)} s`);
const isComposing = (event) => event.isComposing || event.keyCode === 229; // 229: Safari ends a composition before Enter

/** Give the text of a code block, as it was written. */
const codeOf = (pre) => pre.textContent.replace(/\n$/, "");

const PYTHON = /^(python|py|python3|ipython|ipython3)$/;
const CELL_MAGICS = { bash: "bash", sh: "sh", shell: "bash", zsh: "bash", html: "html", javascript: "js", js: "js", latex: "latex", svg: "svg" };

/**
 * Give the cell that holds code: all that is Python, else all that names no language, else what one cell magic
 * runs; what no cell can run is put into words, in its fence. Python's `code_for_cell` does the same for cells.
 * @param {Element[]} boxes @returns {?{source: string, type: "code"|"markdown"}} null where there is no code
 */
function cellOf(boxes) {
  const blocks = boxes.map((box) => ({ language: (box.dataset.language ?? "").toLowerCase(), code: codeOf(box.querySelector("pre")) }));
  const join = (some) => some.map(({ code }) => code).join("\n\n");
  for (const fits of [(language) => PYTHON.test(language), (language) => language === ""]) {
    const found = blocks.filter(({ language }) => fits(language));
    if (found.length) return { source: join(found), type: "code" };
  }
  if (!blocks.length) return null;
  const runs = blocks.filter(({ language }) => Object.hasOwn(CELL_MAGICS, language));
  const magics = new Set(runs.map(({ language }) => CELL_MAGICS[language]));
  if (magics.size === 1) return { source: `%%${[...magics][0]}\n${join(runs)}`, type: "code" };
  const fenced = ({ language, code }) => {
    const fence = "`".repeat(Math.max(3, ...[...code.matchAll(/`+/g)].map(([run]) => run.length + 1)));
    return `${fence}${language}\n${code}\n${fence}`;
  };
  return { source: blocks.map(fenced).join("\n\n"), type: "markdown" };
}

// ── The notebook around us ───────────────────────────────────────────────────────────────────────────────────────────

/** Put text on the clipboard. @param {string | Promise<string>} text @returns {Promise<boolean>} whether it is there */
async function copyText(text) {
  const words = await text;
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // No permission, or a page that is not secure: the old way, by a selection.
  }
  const before = /** @type {?HTMLElement} */ (document.activeElement);
  const area = h("textarea", { class: "cg-hidden", "aria-hidden": "true", tabindex: "-1" });
  area.value = words;
  document.body.append(area);
  area.select();
  let done = false;
  try { done = document.execCommand("copy"); } catch { /* told by the result */ }
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}

/** What JupyterLab and Notebook 7 let a widget see; elsewhere all of it is absent, and each method says so. */
class Surroundings {
  constructor(model, el) {
    this.manager = model.widget_manager ?? {};
    this.el = el;
    this.last = ""; // the cell that was put in last: the next one comes below it
  }

  get context() { return this.manager.context; }

  get notebook() {
    const shared = this.context?.model?.sharedModel;
    return typeof shared?.insertCell === "function" && Array.isArray(shared.cells) ? shared : null;
  }

  /** Put a new cell below the panel's (or the active) cell. @returns {boolean} whether it could */
  insert(source, type) {
    const shared = this.notebook;
    if (!shared) return false;
    try {
      const at = this.place(shared);
      shared.insertCell(at, { cell_type: type, source });
      this.last = shared.cells[at]?.id ?? "";
      return true;
    } catch (error) {
      console.warn("chatglm: no cell could be put in", error);
      return false;
    }
  }

  place(shared) {
    const count = shared.cells.length;
    const after = this.last ? shared.cells.findIndex((cell) => cell.id === this.last) : -1;
    if (after >= 0) return after + 1;
    const seen = ".jp-Notebook .jp-Cell";
    const active = document.querySelectorAll(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell.jp-mod-active");
    const cell = this.el.closest(seen) ?? (active.length === 1 ? active[0] : null);
    if (!cell) return count;
    const told = Number.parseInt(cell.dataset.windowedListIndex, 10); // cells out of sight are not in the page
    const index = Number.isNaN(told) ? [...cell.closest(".jp-Notebook").querySelectorAll(".jp-Cell")].indexOf(cell) : told;
    return index < 0 ? count : Math.min(index + 1, count);
  }

  /** Save the notebook, as Ctrl+S does outside the panel. @returns {boolean} whether it could */
  save() {
    if (typeof this.context?.save !== "function") return false;
    this.context.save();
    return true;
  }

  /** Tell each change of the kernel: "lost", "away" (no connection), "busy" or "idle". @returns {() => void} stop telling */
  watchKernel(tell) {
    const session = this.context?.sessionContext;
    const slots = [];
    const connect = (signal, slot) => {
      if (typeof signal?.connect !== "function") return;
      signal.connect(slot);
      slots.push(() => signal.disconnect(slot));
    };
    connect(session?.statusChanged, (_, status) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) tell("lost");
      else if (["busy", "idle"].includes(status)) tell(status);
    });
    connect(session?.connectionStatusChanged, (_, status) => tell(status === "connected" ? "back" : "away"));
    connect(session?.kernelChanged, (_, change) => { if (change?.oldValue) tell("lost"); });
    return () => slots.forEach((stop) => stop());
  }
}

// ── The wire ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tell how long a packet may wait after the last drawing. @param {Packet} packet */
const pauseAfter = ({ k, keep }) => (k === "grow" && PAUSES.find(([blocks]) => keep >= blocks)?.[1]) || 0;

/** Numbered packets in, requests out; asks for the whole again when one is missing. */
class Wire {
  /** @param {(packets: Packet[]) => void} take @param {(waits: boolean) => void} waiting */
  constructor(model, take, waiting) {
    this.model = model;
    this.take = take;
    this.waiting = waiting;
    this.view = globalThis.crypto?.randomUUID?.() ?? `v${Math.random().toString(36).slice(2)}`;
    this.number = 0; // of the last packet taken
    this.request = 0;
    this.synced = false;
    this.closed = false;
    this.queue = [];
    this.flushed = 0; // when the last batch was drawn
    this.asked = new Map(); // request number → what to do with the answer
    this.patience = 1000;
    this.hear = (content) => this.receive(content);
    model.on("msg:custom", this.hear);
  }

  start() { this.resync("ready"); }

  /** Tell Python something. @returns {number} the request's number */
  send(k, fields = {}) {
    const req = ++this.request;
    if (!this.closed) this.model.send({ k, view: this.view, req, ...fields });
    if (k !== "draft" && k !== "ping") this.expect();
    return req;
  }

  /** Ask Python and wait for `text`; null when none came in time. @returns {Promise<?Packet>} */
  ask(k, fields, patience = 1500) {
    return new Promise((resolve) => {
      if (this.closed) { resolve(null); return; }
      const req = this.send(k, fields);
      const timer = setTimeout(() => { this.asked.delete(req); resolve(null); }, patience);
      this.asked.set(req, (answer) => { clearTimeout(timer); this.asked.delete(req); resolve(answer); });
    });
  }

  expect() {
    clearTimeout(this.watch);
    if (!this.closed) this.watch = setTimeout(() => this.waiting(true), BUSY_AFTER);
  }

  resync(k = "resync") {
    if (this.closed) return;
    this.synced = false;
    this.queue.length = 0;
    this.send(k);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => { if (!this.synced) this.resync(k); }, this.patience);
    this.patience = Math.min(this.patience * 2, 15_000); // a busy kernel answers each of them: ask seldom
  }

  /** @param {Packet} packet */
  receive(packet) {
    if (this.closed || !packet || typeof packet.k !== "string") return;
    clearTimeout(this.watch);
    this.waiting(false);
    if (this.asked.has(packet.for) && (packet.view ?? this.view) === this.view) this.asked.get(packet.for)(packet);
    const mine = !packet.to || packet.to === this.view;
    if (mine && packet.k === "snap" && (!this.synced || packet.n > this.number)) {
      this.synced = true;
      this.patience = 1000;
      clearTimeout(this.retry);
      this.queue.length = 0;
    } else if (!this.synced) {
      return; // the whole is on its way
    } else if (packet.n !== undefined) {
      if (packet.n <= this.number) return;
      if (packet.n !== this.number + 1) { this.resync(); return; }
    }
    if (packet.n !== undefined) this.number = packet.n;
    if (!mine) return; // for another view, but counted
    this.queue.push(packet);
    this.schedule();
  }

  /** One batch a frame, rarely where only a long text grows; where no frame comes (a hidden tab), soon. */
  schedule() {
    if (this.frame || this.queue.length === 0) return;
    const pause = this.flushed + Math.min(...this.queue.map(pauseAfter)) - performance.now();
    if (pause > 0) {
      this.later ||= setTimeout(() => { this.later = 0; this.schedule(); }, pause);
      return;
    }
    const flush = () => {
      cancelAnimationFrame(this.frame);
      clearTimeout(this.timer);
      this.frame = 0;
      this.flushed = performance.now();
      const packets = this.queue.splice(0);
      if (packets.length && !this.closed) this.take(packets);
    };
    this.frame = requestAnimationFrame(flush);
    this.timer = setTimeout(flush, 250);
  }

  /** Nobody is at the other end any more, or here. */
  close() {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.watch);
    clearTimeout(this.retry);
    clearTimeout(this.later);
    for (const answer of this.asked.values()) answer(null);
    this.model.off("msg:custom", this.hear);
  }
}

// ── Growing text ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** HTML in blocks that stay, and a tail below them that is drawn anew. */
class Text {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.blocks = [];
    this.html = []; // what each block was made of
    this.tail = h("div", { class: "cg-block cg-tail", dir: "auto" });
    this.drawn = ""; // the HTML of the tail
    this.code = null; // the text node that an open fence grows in
    host.replaceChildren(this.tail);
  }

  get empty() { return this.blocks.length === 0 && !this.tail.hasChildNodes(); }

  /**
   * Take a step.
   * @param {number} keep how many blocks stay @param {string[]} blocks what comes behind them @param {?string} tail null: another follows at once
   * @param {string} code more of the code at the end of the last block @returns {boolean} false if it does not fit
   */
  step(keep, blocks, tail, code = "") {
    if (keep > this.blocks.length) return false;
    if (keep < this.blocks.length || blocks.length) this.code = null;
    while (this.blocks.length > keep) {
      const part = this.blocks[this.blocks.length - 1].parentElement;
      this.blocks.pop().remove();
      if (!part.hasChildNodes()) part.remove();
    }
    this.html.length = keep;
    if (blocks.length) {
      const made = blocks.map((html) => this.block(html));
      this.place(made);
      this.blocks.push(...made);
      this.html.push(...blocks);
    }
    if (code && !this.append(code)) return false;
    if (tail !== null && tail !== this.drawn) {
      this.drawn = tail;
      this.tail.replaceChildren(fragment(tail));
      dress(this.tail);
    }
    return true;
  }

  /** Give the words as they read. (`innerText` leaves out what is not on the screen.) */
  plain() { return [...this.blocks, this.tail].map(wordsOf).filter(Boolean).join("\n\n"); }

  /** Put blocks before the tail, in parts. */
  place(made) {
    let part = this.tail.previousElementSibling;
    for (const node of made) {
      if (!part || part.childElementCount >= PART) {
        part = h("div", { class: "cg-part" });
        this.tail.before(part);
      }
      part.append(node);
    }
  }

  block(html) {
    const node = h("div", { class: "cg-block", dir: "auto" });
    node.append(fragment(html));
    dress(node);
    return node;
  }

  append(code) {
    if (!this.code) {
      const last = [...(this.blocks[this.blocks.length - 1]?.querySelectorAll("code") ?? [])].pop();
      if (!last) return false;
      this.code = document.createTextNode("");
      last.append(this.code);
    }
    this.code.appendData(code);
    this.html[this.html.length - 1] = ""; // it is no longer what it was made of
    return true;
  }

  /** Show all of it, leaving alone what is drawn already. */
  show(blocks, tail) {
    let same = 0;
    while (same < this.blocks.length && this.html[same] === blocks[same]) same += 1;
    this.step(same, blocks.slice(same), tail);
  }
}

/** Give each code block its head with language and buttons; let what is wide be scrolled by keys. */
function dress(node) {
  for (const box of node.querySelectorAll(".cg-code")) {
    const language = box.dataset.language || "";
    box.setAttribute("role", "figure"); // a group is a message, and nothing else
    box.setAttribute("aria-label", language ? `Code, ${language}` : "Code");
    box.querySelector("pre")?.setAttribute("tabindex", "0");
    box.prepend(h("div", { class: "cg-code-head" },
      h("span", { class: "cg-language", text: language || "code" }),
      iconButton("copy", "Code to clipboard", undefined, { "data-do": "copy-code" }),
      iconButton("insert", "Code to new cell", undefined, { "data-do": "insert-code" })));
  }
  for (const box of node.querySelectorAll(".cg-table")) {
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "figure");
    box.setAttribute("aria-label", "Table");
  }
}

/** Give the words of a block, without those of its buttons. */
function wordsOf(node) {
  const copy = /** @type {HTMLElement} */ (node.cloneNode(true));
  for (const head of copy.querySelectorAll(".cg-code-head")) head.remove();
  return copy.textContent.trim();
}

/** Says new sentences of a growing answer to those who listen, never a word twice. */
class Announcer {
  /** @param {HTMLElement} region */
  constructor(region) {
    this.region = region;
    this.forget();
  }

  forget() {
    this.block = 0; // the first block of the answer not yet said
    this.said = 0; // characters said of the block that follows
    this.last = -Infinity;
  }

  say(words) {
    const text = words.replace(/\s+/g, " ").trim();
    if (!text) return;
    this.region.append(h("div", { text }));
    while (this.region.childElementCount > 4) this.region.firstElementChild.remove();
  }

  /** Say the sentences of a text that are complete; at its end, all that is left. @param {Text} text */
  follow(text, ended = false) {
    const now = performance.now();
    if (!ended && now - this.last < 1000) return;
    this.last = now;
    const parts = [];
    for (; this.block < text.blocks.length; this.block += 1) {
      parts.push(spoken(text.blocks[this.block]).slice(this.said));
      this.said = 0;
    }
    if (!text.tail.querySelector("pre, table, math")) {
      const words = spoken(text.tail);
      const sentences = /^[\s\S]*(?:[.!?…](?=\s)|[。！？])/.exec(words.slice(this.said));
      const found = ended ? words.slice(this.said) : sentences?.[0] ?? "";
      this.said += found.length;
      parts.push(found);
    }
    this.say(parts.join(" "));
  }
}

/** Give a block as it is read aloud: code is named, not spelled. */
function spoken(node) {
  const pre = node.querySelector("pre");
  if (!pre) return node.textContent;
  return `Code, ${plural(codeOf(pre).split("\n").length, "line")}.`;
}

// ── One message ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Something that can be folded away; no `details`, which would be a group among the messages. */
class Fold {
  /** @param {HTMLElement} place @param {boolean} open @param {() => void} chosen a person has opened or closed it */
  constructor(place, open, chosen) {
    this.title = h("span", {});
    this.button = h("button", { type: "button", class: "cg-fold",
      onclick: () => { chosen(); this.open = !this.open; } }, icon("right"), this.title);
    this.place = place;
    this.node = h("div", { class: "cg-think" }, this.button, place);
    this.open = open;
  }

  get open() { return !this.place.hidden; }

  set open(open) {
    this.place.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }
}

/** A question or an answer on the page. */
class Message {
  /** @param {Panel} panel @param {Said} said */
  constructor(panel, said) {
    this.panel = panel;
    this.folded = null;
    this.chosen = false; // whether a person opened or closed the thoughts
    this.node = h("div", { class: `cg-message cg-${said.role}`, role: "group", tabindex: "-1", "data-id": said.id });
    this.body = h("div", { class: "cg-text" });
    this.text = new Text(this.body);
    this.noteNode = h("div", { class: "cg-note" });
    this.bar = h("div", { class: "cg-bar" });
    this.node.append(this.body, this.noteNode, this.bar);
    this.set(said);
  }

  /** Show it anew. @param {Said} said */
  set(said) {
    this.said = said;
    this.node.dataset.state = said.state;
    if (said.blocks) { // without them, they stay as they have grown
      this.text.show(said.blocks, said.tail);
      this.drawThinking(said.thinking);
    } else this.settleThinking(said.seconds);
    this.drawNote();
    this.drawBar();
  }

  /** Take a step of what streams. @returns {boolean} false if it does not fit what is here */
  grow(packet) {
    if (this.said.state !== "streaming") return true; // a late one, of a reply that was stopped
    const { part, keep, blocks = [], tail = "", code = "" } = packet;
    if (part === "thinking") {
      if (!this.folded) this.drawThinking({ blocks: [], tail: "", seconds: 0 });
      return this.thought.step(keep, blocks, tail, code);
    }
    if (this.folded && !this.chosen && this.text.empty) this.folded.open = false;
    const fits = this.text.step(keep, blocks, tail, code);
    this.tick();
    return fits;
  }

  /** Whether it thinks, and has not begun to answer. */
  get thinks() { return this.said.state === "streaming" && this.text.empty; }

  /** @param {?Words} thinking */
  drawThinking(thinking) {
    if (!thinking) {
      this.folded?.node.remove();
      this.folded = null;
      return;
    }
    if (!this.folded) {
      const place = h("div", { class: "cg-text" });
      this.thought = new Text(place);
      this.folded = new Fold(place, this.thinks, () => { this.chosen = true; });
      this.title = this.folded.title;
      this.body.before(this.folded.node);
    }
    this.since = performance.now() - 1000 * (thinking.seconds || 0);
    this.took = this.thinks ? 0 : thinking.seconds || this.took || 0;
    this.thought.show(thinking.blocks, thinking.tail);
    this.settleThinking();
  }

  /** Fold the thoughts, once the answer has begun. @param {number} [taken] seconds they took, if that is known */
  settleThinking(taken) {
    if (!this.folded) return;
    if (taken) this.took = taken;
    if (!this.thinks && !this.chosen) this.folded.open = false;
    this.tick();
  }

  /** Tell how long it thinks, or has thought. */
  tick() {
    if (!this.folded) return;
    const time = (performance.now() - this.since) / 1000;
    if (!this.thinks && !this.took && this.since) this.took = time;
    const words = this.thinks ? `Thinking… ${Math.floor(time)} s` : this.took ? `Thought for ${seconds(this.took)}` : "Thoughts";
    if (this.title.textContent !== words) this.title.textContent = words;
  }

  drawNote() {
    const { note, state, can } = this.said;
    const parts = [];
    if (note) parts.push(h("span", { class: "cg-note-text", text: note }));
    const offer = (what, label, sign) => {
      if (!can.includes(what)) return;
      parts.push(h("button", { type: "button", class: "cg-button cg-worded", "data-do": what }, icon(sign), h("span", { text: label })));
    };
    offer("continue", "Continue", "go");
    offer("retry", "Try again", "again");
    this.noteNode.replaceChildren(...parts);
    this.noteNode.hidden = parts.length === 0;
    if (state === "failed") this.noteNode.setAttribute("role", "alert");
    else this.noteNode.removeAttribute("role");
  }

  drawBar() {
    const { state, version, versions, meta } = this.said;
    const focused = this.bar.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    const waits = state === "streaming" ? "true" : undefined; // all but Copy wait for the end, in their places
    const button = (what, sign, label) => iconButton(sign, label, undefined, { "data-do": what, "aria-disabled": what === "copy" ? undefined : waits });
    this.bar.replaceChildren();
    if (versions > 1) {
      const back = button("previous", "left", "Previous version");
      const on = button("next", "right", "Next version");
      back.disabled = version <= 1;
      on.disabled = version >= versions;
      this.bar.append(h("span", { class: "cg-versions" }, back, h("span", { text: `${version}/${versions}` }), on));
    }
    this.bar.append(button("copy", "copy", "Copy"));
    this.bar.append(button("edit", "edit", "Edit"), button("regenerate", "again", "Regenerate"),
      button("insert", "insert", "Insert into cell"), button("delete", "remove", "Delete"));
    if (meta) this.bar.append(h("span", { class: "cg-meta", text: meta }));
    if (focused) (this.bar.querySelector(`[aria-label="${focused}"]:not(:disabled)`) ?? this.node).focus({ preventScroll: true });
  }

  /** Change the question in its place; sent, it becomes another version. */
  edit() {
    if (this.editor) return;
    const area = h("textarea", { class: "cg-edit", "aria-label": "Question", rows: "1" });
    area.value = this.said.source ?? this.text.plain();
    const close = (focus) => {
      this.editor?.remove();
      this.editor = null;
      this.body.hidden = false;
      this.bar.hidden = false;
      if (focus) this.panel.composer.area.focus();
    };
    const send = () => {
      const text = area.value.trim();
      if (!text || this.panel.busy) { this.panel.passing(text ? this.panel.waitWords : "There is no question yet."); return; }
      close(true);
      this.panel.wire.send("edit", { id: this.said.id, text });
      this.panel.begin();
    };
    area.addEventListener("input", () => grow(area));
    area.addEventListener("keydown", (event) => {
      if (isComposing(event)) return;
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); send(); }
      if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(true); }
    });
    this.editor = h("div", { class: "cg-editor" }, area, h("div", { class: "cg-editor-bar" },
      h("button", { type: "button", class: "cg-button cg-worded", onclick: () => close(true), text: "Discard" }),
      h("button", { type: "button", class: "cg-button cg-worded cg-primary", onclick: send, text: "Save and ask" })));
    this.body.hidden = true;
    this.bar.hidden = true;
    this.body.before(this.editor);
    grow(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

/** Let a text box be as high as its words, where the style sheet alone cannot. */
function grow(area) {
  if (globalThis.CSS?.supports?.("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight + 2}px`;
}

// ── The log ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The messages in their order, scrolled as a reader wants. */
class Log {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.messages = new Map(); // by id, oldest first
    this.earlier = 0;
    this.following = true;
    this.top = 0;
    this.more = h("button", { type: "button", class: "cg-button cg-worded cg-more", onclick: () => this.askMore() });
    this.list = h("div", { class: "cg-list" });
    this.empty = h("div", { class: "cg-empty" },
      h("p", { class: "cg-empty-title", text: "What would you like to know?" }),
      h("p", {}, "Put a variable’s name in braces, as in ", h("code", { text: "{df}" }), ", to show it to the model."));
    this.node = h("div", { class: "cg-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" },
      this.more, this.empty, this.list);
    this.latest = h("button", { type: "button", class: "cg-button cg-latest", onclick: () => this.toEnd(), hidden: true },
      icon("down"), h("span", { text: "Latest" }));
    this.node.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.node.addEventListener("click", (event) => this.clicked(event));
    this.sizes = new ResizeObserver(() => {
      // A cell that was scrolled out of the page comes back with its log at the top.
      if (this.node.clientHeight === 0) return;
      if (this.following) this.stick();
      else if (this.node.scrollTop === 0 && this.top > 0) this.node.scrollTop = this.top;
    });
    this.sizes.observe(this.node);
    this.sizes.observe(this.list);
    this.sight = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) this.askMore(); },
      { root: this.node, rootMargin: "200px" });
    this.sight.observe(this.more);
    this.drawEdges();
  }

  get last() { return [...this.messages.values()].pop(); }

  lastQuestion() { return [...this.messages.values()].reverse().find((one) => one.said.role === "user"); }

  /** @param {Said[]} all @param {number} earlier older messages that were not sent */
  fill(all, earlier) {
    const before = this.messages;
    this.messages = new Map();
    const nodes = all.map((said) => {
      const one = before.get(said.id);
      if (!one) return this.make(said).node;
      one.set(said); // what is there already stays as it is looked at
      this.messages.set(said.id, one);
      return one.node;
    });
    const same = nodes.length === this.list.childElementCount && nodes.every((node, at) => this.list.children[at] === node);
    if (!same) this.list.replaceChildren(...nodes);
    this.earlier = earlier;
    this.renumber();
    this.stick();
  }

  make(said) {
    const one = new Message(this.panel, said);
    this.messages.set(said.id, one);
    return one;
  }

  /** Put older messages in front, without moving what is read. */
  prepend(all, earlier) {
    const before = [...this.messages];
    this.messages.clear();
    const fresh = all.filter((said) => !before.some(([id]) => id === said.id)).map((said) => this.make(said));
    for (const [id, one] of before) this.messages.set(id, one);
    const height = this.node.scrollHeight;
    const top = this.node.scrollTop;
    this.list.prepend(...fresh.map((one) => one.node));
    this.earlier = earlier;
    this.asking = false;
    this.renumber();
    if (!this.following && this.node.scrollTop === top) this.node.scrollTop = top + this.node.scrollHeight - height;
  }

  /** @param {string} after the id of the message before it @param {Said} said @returns {boolean} false if it has no place */
  add(after, said) {
    if (this.messages.has(said.id)) { this.messages.get(said.id).set(said); return true; }
    const before = this.messages.get(after);
    if (after && !before) return this.earlier > 0; // it belongs to what this view has not been given
    const one = this.make(said);
    if (before && before.node.nextElementSibling) {
      before.node.after(one.node);
      const order = new Map([...this.list.children].map((node, at) => [node.dataset.id, at]));
      this.messages = new Map([...this.messages].sort(([a], [b]) => order.get(a) - order.get(b)));
    } else if (after === "" && this.earlier === 0 && this.list.firstElementChild) {
      this.list.prepend(one.node);
      this.messages = new Map([[said.id, one], ...this.messages]);
    } else {
      this.list.append(one.node);
    }
    this.renumber();
    return true;
  }

  remove(ids) {
    const held = this.node.contains(document.activeElement);
    for (const id of ids) {
      this.messages.get(id)?.node.remove();
      this.messages.delete(id);
    }
    this.renumber();
    if (held && !this.node.contains(document.activeElement)) this.node.focus({ preventScroll: true });
  }

  renumber() {
    const counts = { user: Math.ceil(this.earlier / 2), assistant: Math.floor(this.earlier / 2) };
    for (const { said, node } of this.messages.values()) {
      counts[said.role] += 1;
      const name = said.role === "user" ? `You, question ${counts.user}` : `GLM answer ${counts.assistant}`;
      if (node.getAttribute("aria-label") !== name) node.setAttribute("aria-label", name);
    }
    this.drawEdges();
  }

  drawEdges() {
    this.more.hidden = this.earlier === 0;
    this.more.textContent = `Show ${plural(Math.min(100, this.earlier), "earlier message")}`;
    this.empty.hidden = this.list.childElementCount > 0 || !this.panel.shown;
  }

  askMore() {
    if (!this.earlier || this.asking || !this.panel.wire.synced) return;
    this.asking = true;
    setTimeout(() => { this.asking = false; }, 5000);
    this.panel.wire.send("more");
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.node;
    if (clientHeight === 0) return;
    const near = scrollHeight - scrollTop - clientHeight < NEAR;
    if (near) this.following = true;
    else if (scrollTop < this.top - 1) this.following = false; // text that grows scrolls nobody up: a person did
    this.top = scrollTop;
    this.latest.hidden = near || this.following;
  }

  /** Keep the end in sight, if it was. */
  stick() {
    if (!this.following) { this.latest.hidden = false; return; }
    this.node.scrollTop = this.node.scrollHeight;
    this.top = this.node.scrollTop;
    this.latest.hidden = true;
  }

  toEnd() {
    this.following = true;
    this.stick();
    this.panel.composer.area.focus({ preventScroll: true });
  }

  /** Move the focus to the message before or after. */
  walk(step) {
    const all = [...this.list.children];
    const at = all.findIndex((node) => node.contains(document.activeElement));
    const next = all[at < 0 ? (step < 0 ? all.length - 1 : all.length) : at + step];
    if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" }); } else if (step > 0) this.toEnd();
  }

  /** Give the question that a message is, or answers. @param {Message} one @returns {Message} */
  question(one) {
    if (one.said.role === "user") return one;
    const node = one.node.previousElementSibling;
    return this.messages.get(node?.dataset.id ?? "") ?? one;
  }

  /** Give the answer that a message is, or is answered by. @param {Message} one @returns {Message} */
  answer(one) {
    if (one.said.role === "assistant") return one;
    const node = one.node.nextElementSibling;
    return this.messages.get(node?.dataset.id ?? "") ?? one;
  }

  clicked(event) {
    const button = event.target.closest?.("button[data-do]");
    const node = button?.closest(".cg-message");
    const one = node && this.messages.get(node.dataset.id);
    if (one) this.panel.act(button.dataset.do, one, button);
  }

  close() {
    this.sizes.disconnect();
    this.sight.disconnect();
  }
}

// ── The composer ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where a person writes: the box, what its words name, and the button that sends or stops. */
class Composer {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.offer = [];
    this.at = -1; // of the offered names, the one that is taken by Enter
    const id = `cg-${panel.wire.view}`;
    this.area = h("textarea", { class: "cg-area", rows: "1", dir: "auto", "aria-label": "Message", placeholder: "Ask GLM…",
      "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": `${id}-names`, spellcheck: "true",
      autocomplete: "off", enterkeyhint: "send" });
    this.names = h("ul", { class: "cg-names", role: "listbox", id: `${id}-names`, "aria-label": "Variables", hidden: true });
    this.chips = h("ul", { class: "cg-chips", "aria-label": "What the message brings along" });
    this.tokens = h("span", { class: "cg-tokens" });
    this.word = h("span", { text: "Send" });
    this.button = h("button", { type: "button", class: "cg-button cg-send cg-primary", onclick: () => this.press() },
      h("span", { class: "cg-send-icon" }, icon("send")), this.word);
    this.node = h("div", { class: "cg-composer" }, this.names,
      h("div", { class: "cg-box" }, this.area, this.button, h("div", { class: "cg-under" }, this.chips, this.tokens)));
    this.draft = debounce(() => this.panel.wire.send("draft", { text: this.area.value, at: this.area.selectionStart }), 300);
    this.area.addEventListener("input", () => {
      grow(this.area);
      this.drawButton();
      this.close();
      if (!this.area.value) this.take([], 0);
      this.draft();
    });
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.area.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.drawButton();
  }

  press() {
    if (this.panel.busy) this.panel.stop();
    else this.send();
    this.area.focus({ preventScroll: true });
  }

  send() {
    const text = this.area.value;
    if (!text.trim() || this.panel.lost) return;
    if (this.panel.busy) { this.panel.passing(this.panel.waitWords); return; }
    this.draft.cancel();
    this.set("");
    this.take([], 0);
    this.panel.ask(text);
  }

  set(text) {
    this.area.value = text;
    grow(this.area);
    this.close();
    this.drawButton();
  }

  key(event) {
    if (isComposing(event)) return; // that Enter ends a word, in a language that is composed
    if (!this.names.hidden && this.choose(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && this.area.value === "" && !event.altKey) {
      const question = this.panel.log.lastQuestion();
      if (question && !this.panel.busy && !this.panel.lost) {
        event.preventDefault();
        question.edit();
        question.node.scrollIntoView({ block: "nearest" });
      }
    }
  }

  /** Use a key on the offered names. @returns {boolean} whether it was meant for them */
  choose(event) {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") this.mark((this.at + (key === "ArrowDown" ? 1 : -1) + this.offer.length) % this.offer.length);
    else if ((key === "Enter" && !event.shiftKey) || key === "Tab") this.pick(this.offer[this.at]);
    else if (key === "Escape") { this.close(); event.stopPropagation(); } else return false;
    event.preventDefault();
    return true;
  }

  mark(at) {
    this.at = at;
    [...this.names.children].forEach((node, number) => node.setAttribute("aria-selected", String(number === at)));
    const marked = this.names.children[at];
    this.area.setAttribute("aria-activedescendant", marked?.id ?? "");
    marked?.scrollIntoView({ block: "nearest" });
  }

  pick(name) {
    const { value, selectionStart } = this.area;
    const open = value.lastIndexOf("{", selectionStart - 1);
    this.close();
    if (open < 0) return;
    const rest = value.slice(selectionStart).replace(/^[\w.]*\}?/, "");
    this.area.setRangeText(`{${name}}${rest}`, open, value.length, "end");
    this.area.setSelectionRange(open + name.length + 2, open + name.length + 2);
    this.area.dispatchEvent(new Event("input"));
  }

  close() {
    this.names.hidden = true;
    this.offer = [];
    this.area.removeAttribute("aria-activedescendant");
  }

  /** Show what the draft names, and what it may name. @param {Array<{name: string, kind: string}>} names */
  take(names, tokens, offer = []) {
    this.chips.replaceChildren(...names.map(({ name, kind }) => h("li", { class: "cg-chip" },
      h("code", { text: name }), h("span", { text: kind ?? "" }))));
    this.chips.hidden = names.length === 0;
    this.tokens.textContent = tokens && this.area.value ? `≈ ${plural(tokens, "token")}` : "";
    const before = this.area.value.slice(0, this.area.selectionStart);
    if (!offer.length || document.activeElement !== this.area || !/\{[^{}\n]*$/.test(before)) { this.close(); return; }
    this.offer = offer.map((one) => one.name ?? one);
    this.names.replaceChildren(...offer.map((one, number) => h("li", { role: "option", id: `${this.names.id}-${number}`,
      onmousedown: (event) => { event.preventDefault(); this.pick(this.offer[number]); } },
      h("code", { text: one.name ?? one }), h("span", { text: one.kind ?? "" }))));
    this.names.hidden = false;
    this.mark(0);
  }

  drawButton() {
    const { busy, lost, foot } = this.panel;
    const stops = busy && !lost;
    const label = stops ? "Stop" : "Send";
    if (this.word.textContent !== label) {
      this.word.textContent = label;
      this.button.firstElementChild.replaceChildren(icon(stops ? "stop" : "send"));
    }
    this.button.classList.toggle("cg-stops", stops);
    this.button.title = stops ? "Stop (Esc)" : "Send (Enter)";
    this.button.setAttribute("aria-disabled", String(lost || (!stops && !this.area.value.trim()) || foot.state === "stopping"));
    this.area.disabled = lost;
    this.area.placeholder = lost ? "The kernel is gone: run the cell again to go on" : "Ask GLM…";
  }
}

// ── A picker ─────────────────────────────────────────────────────────────────────────────────────────────────────────

let pickers = 0;

/** A button that opens a list with a search box above it: the pattern of a combobox with a list box. */
class Picker {
  /**
   * @param {{label: string, search: string, find: (text: string) => void, take: (name: string) => void,
   *   extra?: (text: string) => ?{label: string, take: () => void}, foot?: HTMLElement[], end?: boolean}} options
   */
  constructor(options) {
    this.options = options;
    this.items = [];
    this.shown = [];
    this.at = -1;
    const id = `cg-picker-${(pickers += 1)}`;
    this.value = h("span", { class: "cg-value" });
    this.button = h("button", { type: "button", class: "cg-button cg-picker-button", "aria-haspopup": "dialog",
      "aria-expanded": "false", "aria-label": options.label, onclick: () => this.toggle() }, this.value, icon("open"));
    this.search = h("input", { type: "text", class: "cg-search", role: "combobox", "aria-label": options.search, placeholder: options.search,
      "aria-autocomplete": "list", "aria-expanded": "true", "aria-controls": id, autocomplete: "off", spellcheck: "false" });
    this.list = h("ul", { role: "listbox", id, "aria-label": options.label });
    this.none = h("p", { class: "cg-none", text: "Nothing found.", hidden: true });
    this.pop = h("div", { class: `cg-pop${options.end ? " cg-pop-end" : ""}`, role: "dialog", "aria-label": options.label, hidden: true },
      this.search, this.list, this.none, ...(options.foot ?? []));
    this.node = h("div", { class: "cg-picker" }, this.button, this.pop);
    this.find = debounce(() => options.find(this.search.value.trim()), 150);
    this.search.addEventListener("input", () => { this.draw(); this.find(); });
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.node.contains(event.relatedTarget)) this.close(false);
    });
  }

  get isOpen() { return !this.pop.hidden; }

  /** @param {string} value what is chosen @param {Array<{name: string, title?: string, hint?: string, current?: boolean}>} items */
  set(value, items) {
    if (this.value.textContent !== value) this.value.textContent = value;
    this.button.title = `${this.options.label}: ${value}`;
    this.button.setAttribute("aria-label", `${this.options.label}: ${value}`);
    this.items = items;
    if (this.isOpen) this.draw();
  }

  /** Take what Python has found beyond what was known. */
  found(dressed, items) {
    const known = new Set(this.items.map((item) => item.name));
    const fresh = items.map(dressed).filter((item) => !known.has(item.name));
    if (!fresh.length) return;
    this.items = [...this.items, ...fresh];
    if (this.isOpen) this.draw();
  }

  toggle() {
    if (this.isOpen) this.close(true);
    else this.open();
  }

  open() {
    this.pop.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.search.value = "";
    this.draw();
    this.search.focus({ preventScroll: true });
    this.options.find("");
    this.away = (event) => { if (!event.composedPath().includes(this.node)) this.close(false); };
    document.addEventListener("pointerdown", this.away, true);
  }

  close(focus) {
    if (!this.isOpen) return;
    this.pop.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.away, true);
    this.find.cancel();
    if (focus) this.button.focus({ preventScroll: true });
  }

  draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.items.filter((item) => {
      const text = `${item.name} ${item.title ?? ""} ${item.about ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    this.shown = found.map((item) => ({ ...item, take: () => this.options.take(item.name) }));
    const extra = this.options.extra?.(this.search.value.trim());
    if (extra && !this.items.some((item) => item.name === this.search.value.trim())) {
      this.shown.push({ name: extra.label, take: extra.take, fresh: true });
    }
    this.list.replaceChildren(...this.shown.map((item, at) => h("li", { role: "option", id: `${this.list.id}-${at}`,
      class: item.fresh ? "cg-fresh" : "", "aria-selected": String(Boolean(item.current)), onmousedown: (event) => event.preventDefault(),
      onclick: () => this.pick(at), onmousemove: () => this.mark(at) },
    item.current ? icon("check") : h("span", { class: "cg-icon" }), h("span", { class: "cg-name", text: item.title || item.name }, h("span", { class: "cg-about", text: item.about ? ` ${item.about}` : "" })),
    h("span", { class: "cg-hint", text: item.hint ?? "" }))));
    this.none.hidden = this.shown.length > 0;
    const current = words.length ? 0 : this.shown.findIndex((item) => item.current);
    this.mark(this.shown.length === 0 ? -1 : Math.max(0, current));
  }

  mark(at) {
    this.list.children[this.at]?.classList.remove("cg-marked");
    this.at = at;
    const node = this.list.children[at];
    node?.classList.add("cg-marked");
    if (node) this.search.setAttribute("aria-activedescendant", node.id);
    else this.search.removeAttribute("aria-activedescendant");
    node?.scrollIntoView({ block: "nearest" });
  }

  pick(at) {
    const item = this.shown[at];
    if (!item) return;
    this.close(true);
    item.take();
  }

  key(event) {
    if (isComposing(event) || !this.isOpen) return;
    const last = this.shown.length - 1;
    const moves = { ArrowDown: Math.min(this.at + 1, last), ArrowUp: Math.max(this.at - 1, 0), PageDown: Math.min(this.at + 8, last),
      PageUp: Math.max(this.at - 8, 0) };
    if (event.key === "Escape") this.close(true);
    else if (event.target !== this.search) return;
    else if (event.key in moves) this.mark(moves[event.key]);
    else if (event.key === "Enter") this.pick(this.at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Give a conversation, or a model, as a picker shows it. */
const chatItem = (chat) => ({ ...chat, hint: chat.count ? plural(chat.count, "message") : "" });
const modelItem = (one) => (typeof one === "string" ? { name: one } : { ...one, title: one.name, about: one.title === one.name ? "" : one.title });

/** A button with a menu of a few things to do. */
class Menu {
  constructor(sign, label, items, take) {
    this.button = iconButton(sign, label, () => this.toggle(), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.pop = h("div", { class: "cg-pop cg-pop-end cg-menu", role: "menu", "aria-label": label, hidden: true },
      ...items.map(([name, words]) => h("button", { type: "button", role: "menuitem", tabindex: "-1", text: words,
        onclick: () => { this.close(true); take(name); } })));
    this.node = h("div", { class: "cg-picker" }, this.button, this.pop);
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("focusout", (event) => { if (event.relatedTarget && !this.node.contains(event.relatedTarget)) this.close(false); });
  }

  toggle() {
    if (!this.pop.hidden) { this.close(true); return; }
    this.pop.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.pop.firstElementChild.focus();
    this.away = (event) => { if (!event.composedPath().includes(this.node)) this.close(false); };
    document.addEventListener("pointerdown", this.away, true);
  }

  close(focus) {
    if (this.pop.hidden) return;
    this.pop.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.away, true);
    if (focus) this.button.focus();
  }

  key(event) {
    if (this.pop.hidden) return;
    const items = [...this.pop.children];
    const at = items.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") this.close(true);
    else if (next !== undefined) items[next % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// ── The panel ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One view of a panel: puts the parts together, takes packets, and does what the buttons say. */
class Panel {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.shown = false; // whether the whole has come once
    this.lost = false;
    this.foot = { state: "ready", text: "", tokens: 0, seconds: 0 };
    this.pending = null; // a question that Python has not taken yet
    this.kept = false; // whether the conversation outlives its kernel
    this.cell = "%%chatglm";
    this.waitWords = "An answer is still coming. Esc stops it.";
    this.around = new Surroundings(model, el);
    this.wire = new Wire(model, (packets) => this.take(packets), (waits) => this.wait(waits));
    this.region = h("div", { class: "cg-hidden", role: "status", "aria-live": "polite", "aria-relevant": "additions" });
    this.announcer = new Announcer(this.region);
    this.composer = new Composer(this);
    this.log = new Log(this);
    this.state = h("span", { class: "cg-state" });
    this.counts = h("span", { class: "cg-counts" });
    this.undo = h("button", { type: "button", class: "cg-button cg-worded cg-undo", text: "Undo", hidden: true,
      onclick: () => { this.forgetWords(); this.wire.send("undo"); } });
    this.node = this.build();
    this.node.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["keydown", "keypress", "keyup", "paste", "copy", "cut"]) {
      this.node.addEventListener(kind, (event) => event.stopPropagation()); // what is typed here is not meant for the notebook
    }
    // JupyterLab looks for this mark above what has the focus only after shortcuts that match the thing itself: each needs its own.
    this.mark = ({ target }) => {
      if ((el.closest(".chatglm-panel") ?? this.node).contains(target)) target.setAttribute("data-lm-suppress-shortcuts", "true");
    };
    document.addEventListener("focusin", this.mark, true); // the settings are widgets of their own, and not here yet
    el.classList.add("cg-host");
    el.append(this.node);
    this.unwatch = this.around.watchKernel((what) => this.kernel(what));
    this.live = () => { if (this.node.closest(".jupyter-widgets-disconnected")) this.kernel("lost"); };
    model.on("comm_live_update", this.live);
    this.clock = setInterval(() => this.tick(), 1000);
    this.drawFoot();
    this.wire.start();
  }

  get lostWords() { return this.kept ? `${LOST}; what was said is kept under Conversations.` : `${LOST}.`; }

  get busy() { return this.foot.state !== "ready" || this.pending !== null; }

  build() {
    const wire = this.wire;
    this.chats = new Picker({
      label: "Conversations", search: "Search or name a conversation",
      find: (text) => wire.send("find", { what: "chat", text }),
      take: (name) => wire.send("chat", { name }),
      extra: (text) => (text ? { label: `New conversation “${text}”`, take: () => wire.send("new", { name: text }) } : null),
      foot: [h("div", { class: "cg-pop-foot" }, h("button", { type: "button", class: "cg-button cg-worded", text: "Rename this one to the words above",
        onclick: () => this.rename() }))],
    });
    this.models = new Picker({
      label: "Model", search: "Search or name a model", end: true,
      find: (text) => wire.send("find", { what: "model", text }),
      take: (name) => wire.send("model", { name }),
      extra: (text) => (text ? { label: `Use “${text}”`, take: () => wire.send("model", { name: text }) } : null),
    });
    this.settings = iconButton("settings", "Settings", () => {
      this.opening = this.settings.getAttribute("aria-expanded") !== "true";
      wire.send("settings", { open: this.opening });
    }, { "aria-expanded": "false" });
    this.exporter = new Menu("export", "Export", EXPORTS, (form) => wire.send("export", { form }));
    const head = h("div", { class: "cg-head", role: "toolbar", "aria-label": "Chat" }, this.chats.node,
      iconButton("new", "New conversation", () => { wire.send("new", { name: "" }); this.composer.area.focus(); }),
      h("span", { class: "cg-space" }), this.models.node, this.settings, this.exporter.node);
    const foot = h("div", { class: "cg-foot" }, this.state, this.undo, this.counts);
    return h("section", { class: "cg-panel", "aria-label": "Chat with GLM", "data-lm-suppress-shortcuts": "true" },
    h("button", { type: "button", class: "cg-skip", text: "Skip to the message box", onclick: () => this.composer.area.focus() }),
    head, h("div", { class: "cg-middle" }, this.log.node, this.log.latest), this.composer.node, foot, this.region);
  }

  // Packets

  /** @param {Packet[]} packets a frame's worth */
  take(packets) {
    for (const [at, packet] of packets.entries()) {
      const next = packets[at + 1];
      const passes = packet.k === "grow" && next?.k === "grow" && next.id === packet.id && next.part === packet.part;
      const does = this[`on_${packet.k}`];
      if (typeof does === "function") does.call(this, passes ? { ...packet, tail: null } : packet);
    }
    this.log.stick();
    this.composer.drawButton();
  }

  on_snap({ chat, head, messages, earlier, foot, draft }) {
    if (this.shown && chat && chat.name !== this.chat) this.forgetWords(); // they were about another conversation
    this.chat = chat?.name;
    this.shown = true;
    this.settlePending(messages);
    this.log.fill(messages, earlier ?? 0);
    if (this.pending) this.log.list.append(this.pending.node);
    this.announcer.forget();
    if (head) this.on_head({ head });
    this.on_foot({ foot: foot ?? {} });
    if (draft && !this.composer.area.value) this.composer.set(draft);
  }

  on_older({ messages, earlier }) { this.log.prepend(messages, earlier ?? 0); }

  on_add({ after, m }) {
    this.settlePending([m]);
    if (!this.log.add(after, m)) { this.wire.resync(); return; }
    if (m.role === "assistant" && m.state === "streaming") this.announcer.forget();
  }

  on_set({ m }) {
    const one = this.log.messages.get(m.id);
    if (!one) return;
    const ended = one.said.state === "streaming" && m.state !== "streaming";
    one.set(m);
    if (!ended) return;
    if (m.state === "done") this.forgetWords();
    this.announcer.follow(one.text, true);
    this.announcer.say(m.note || (m.state === "done" ? "The answer is complete." : `The answer is ${m.state}.`));
  }

  on_grow(packet) {
    const one = this.log.messages.get(packet.id);
    if (!one) return;
    if (!one.grow(packet)) { this.wire.resync(); return; }
    if (packet.part !== "thinking") this.announcer.follow(one.text);
  }

  on_gone({ ids }) { this.log.remove(ids); }

  on_head({ head }) {
    const title = head.title || "New conversation";
    this.kept = head.kept === true;
    this.cell = head.cell ?? "%%chatglm"; // the magic that asks in this conversation; none where no cell can
    this.chats.set(title, (head.chats ?? []).map(chatItem));
    this.models.set(head.model || "Model", (head.models ?? []).map(modelItem).map((one) => ({ ...one, current: one.current ?? one.name === head.model })));
    if (head.settings === undefined) return;
    this.settings.setAttribute("aria-expanded", String(Boolean(head.settings)));
    if (head.settings && this.opening) setTimeout(() => this.goToSettings(), 100); // they are widgets of their own, below
    this.opening = false;
  }

  goToSettings() {
    const box = this.el.closest(".chatglm-panel")?.querySelector(".chatglm-settings");
    box?.scrollIntoView({ block: "nearest" });
    box?.querySelector("textarea, input, select")?.focus({ preventScroll: true });
  }

  on_foot({ foot }) {
    const before = this.foot.state;
    this.foot = { state: "ready", text: "", tokens: 0, seconds: 0, ...foot };
    this.since = performance.now() - 1000 * this.foot.seconds;
    if (before !== this.foot.state && this.foot.state === "thinking") this.announcer.say("Thinking.");
    this.drawFoot();
  }

  on_chips({ names, tokens, offer }) { this.composer.take(names ?? [], tokens, offer); }

  on_note({ text, bad, undo, for: request, view }) {
    if (this.pending && request === this.pending.request && (view ?? this.wire.view) === this.wire.view) { // refused: the words go back
      const words = this.pending.text;
      this.dropPending();
      if (!this.composer.area.value) this.composer.set(words);
    }
    this.passing(text, bad, Boolean(undo) && (view ?? this.wire.view) === this.wire.view);
  }

  on_found({ what, items, view }) {
    if (view && view !== this.wire.view) return;
    const picker = what === "model" ? this.models : this.chats;
    picker.found((what === "model" ? modelItem : chatItem), items ?? []);
  }

  on_file({ name, type, text, view }) {
    if (view && view !== this.wire.view) return;
    const url = URL.createObjectURL(new Blob([text], { type: type || "text/plain" }));
    const link = h("a", { href: url, download: name });
    this.node.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    this.passing(`Saved as ${name}, where the browser keeps downloads.`);
  }

  // What a person does

  ask(text) {
    this.dropPending();
    this.forgetWords();
    const request = this.wire.send("send", { text });
    const node = h("div", { class: "cg-message cg-user cg-pending" },
      h("div", { class: "cg-text" }, h("div", { class: "cg-block cg-plain", dir: "auto", text })));
    this.pending = { text, request, node };
    this.log.list.append(node);
    this.log.empty.hidden = true;
    this.begin();
  }

  /** Show that something has begun, before Python says so. */
  begin() {
    this.log.following = true;
    if (this.foot.state === "ready") this.on_foot({ foot: { state: "waiting" } });
    this.composer.drawButton();
    this.log.stick();
  }

  settlePending(messages) {
    const words = this.pending?.text.trim();
    if (words && messages.some((m) => m.role === "user" && (m.source ?? "").trim() === words)) this.dropPending();
  }

  dropPending() {
    this.pending?.node.remove();
    this.pending = null;
  }

  stop() {
    if (this.foot.state === "stopping") return;
    this.wire.send("stop");
    this.on_foot({ foot: { ...this.foot, state: "stopping", text: "" } });
    this.composer.drawButton();
  }

  rename() {
    const name = this.chats.search.value.trim();
    if (!name) { this.chats.search.focus(); return; }
    this.chats.close(true);
    this.wire.send("rename", { name });
  }

  /** @param {string} what @param {Message} one @param {HTMLElement} button */
  async act(what, one, button) {
    const { id } = one.said;
    const box = button.closest(".cg-code");
    if (button.getAttribute("aria-disabled") === "true") { this.passing(this.lost ? this.lostWords : this.waitWords); return; }
    if (what === "copy") { await this.copy(button, this.source(one)); return; }
    if (what === "copy-code") { await this.copy(button, codeOf(box.querySelector("pre"))); return; }
    if (what === "insert-code") { await this.insert(button, cellOf([box])); return; }
    if (what === "insert") { await this.insertMessage(button, one); return; }
    if (this.lost) { this.passing(this.lostWords); return; }
    if (what === "previous" || what === "next") { this.wire.send("version", { id, step: what === "next" ? 1 : -1 }); return; }
    if (this.busy) { this.passing(this.waitWords); return; }
    if (what === "edit") this.log.question(one).edit();
    else if (what === "delete") this.wire.send("delete", { id });
    else { this.wire.send(what, { id: what === "regenerate" ? this.log.answer(one).said.id : id }); this.begin(); }
  }

  /** Give a message as it was written; as it reads, where the kernel does not answer. */
  async source(one) {
    if (one.said.source !== undefined) return one.said.source;
    const answer = this.waits || this.lost ? null : await this.wire.ask("source", { id: one.said.id, code: null });
    return answer?.text ?? one.text.plain();
  }

  async copy(button, text) {
    const done = await copyText(text);
    this.tell(button, done, done ? "Copied." : "This page may not use the clipboard: select the text and press Ctrl+C.");
  }

  /** Put a question into a cell that asks it here; of an answer its code; what no cell can run, its words. */
  async insertMessage(button, one) {
    const asks = one.said.role === "user" ? this.cell : "";
    const code = one.said.role === "assistant" ? cellOf([...one.body.querySelectorAll(".cg-code")]) : null;
    if (code) await this.insert(button, code);
    else {
      const words = await this.source(one);
      await this.insert(button, asks ? { source: `${asks}\n${words}`, type: "code" } : { source: words, type: "markdown" });
    }
  }

  async insert(button, { source, type }) {
    if (this.around.insert(source, type)) {
      this.tell(button, true, "Put into a new cell below.");
      return;
    }
    const done = await copyText(source);
    this.tell(button, done, `This front end gives no way to add a cell${done ? ": it is copied, paste it into a new cell." : "."}`);
  }

  /** Tell by a tick on the button, and in words. */
  tell(button, done, words) {
    this.passing(words);
    const sign = button.querySelector("svg");
    if (!done || button.dataset.done) return;
    button.dataset.done = "yes";
    const tick = icon("check");
    sign.replaceWith(tick);
    setTimeout(() => { tick.replaceWith(sign); delete button.dataset.done; }, 1600);
  }

  key(event) {
    if (isComposing(event)) return;
    const { key } = event;
    if (key === "Escape" && this.busy) { event.preventDefault(); this.stop(); }
    if (event.altKey && (key === "ArrowUp" || key === "ArrowDown")) { event.preventDefault(); this.log.walk(key === "ArrowUp" ? -1 : 1); }
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "s" && this.around.save()) event.preventDefault();
  }

  // The state

  /** Say something that passes; what went wrong stays for longer, and so does what can be undone. */
  passing(text, bad = false, undo = false) {
    clearTimeout(this.forget);
    this.word = text;
    this.state.classList.toggle("cg-bad", bad);
    this.offerUndo(undo);
    this.forget = setTimeout(() => this.forgetWords(), bad ? 20_000 : undo ? 10_000 : 6000);
    this.announcer.say(undo ? `${text} The button Undo, below the message box, brings back what was there.` : text);
    this.drawFoot();
  }

  /** Take back what passes: its time is over, or it is true no longer. */
  forgetWords() {
    clearTimeout(this.forget);
    this.word = "";
    this.state.classList.remove("cg-bad");
    this.offerUndo(false);
    this.drawFoot();
  }

  /** Show or take away the button beside the words; the focus that it may have goes to the message box. */
  offerUndo(offered) {
    if (!offered && document.activeElement === this.undo) this.composer.area.focus({ preventScroll: true });
    this.undo.hidden = !offered;
  }

  /** The kernel has not answered in time, or has at last. */
  wait(waits) {
    if (this.waits === waits) return;
    this.waits = waits;
    if (waits && !this.lost) this.announcer.say("The kernel is busy.");
    this.node?.classList.toggle("cg-waits", waits);
    this.drawFoot();
  }

  /** @param {"lost"|"away"|"back"|"busy"|"idle"} what */
  kernel(what) {
    if (what === "lost" && !this.lost) {
      this.lost = true;
      this.forgetWords();
      this.wire.close();
      this.on_foot({ foot: {} });
      for (const one of this.log.messages.values()) {
        if (one.said.state === "streaming") one.set({ ...one.said, blocks: one.text.html.map((html, at) => html || one.text.blocks[at].innerHTML),
          tail: one.text.drawn, state: "stopped", note: "[the kernel went away]", thinking: one.said.thinking, can: [] });
      }
      this.pending?.node.append(h("div", { class: "cg-note", text: "[not sent]" }));
      this.node.classList.add("cg-lost");
      this.announcer.say(this.lostWords);
    } else if (what === "away" || what === "back") {
      this.away = what === "away";
      if (what === "back" && !this.lost) this.wire.resync();
    }
    this.drawFoot();
    this.composer.drawButton();
  }

  tick() {
    if (this.foot.state !== "ready") this.drawFoot();
    const last = this.log.last;
    if (last?.said.state === "streaming") last.tick();
  }

  drawFoot() {
    const { state, text, tokens } = this.foot;
    const time = state === "ready" ? this.foot.seconds : Math.floor((performance.now() - this.since) / 1000);
    const says = this.lost ? this.lostWords
      : this.away ? "The connection to the kernel is broken; trying again."
      : this.waits ? (this.shown ? "The kernel is busy; it answers as soon as it can." : "Waiting for the kernel.")
      : state !== "ready" ? [text || STATES[state], this.word].filter(Boolean).join(" · ") // words pass beside the state
      : this.word || text || STATES.ready;
    const counts = [tokens ? plural(tokens, "token") : "", time ? (state === "ready" ? seconds(time) : `${time} s`) : ""];
    const shown = counts.filter(Boolean).join(" · ");
    if (this.state.textContent !== says) {
      this.state.textContent = says;
      this.state.classList.toggle("cg-quiet", says === STATES.ready);
    }
    if (this.counts.textContent !== shown) this.counts.textContent = shown;
    this.node?.setAttribute("data-state", this.lost ? "lost" : this.waits || this.away ? "busy" : state);
    this.log?.drawEdges();
  }

  close() {
    clearInterval(this.clock);
    clearTimeout(this.forget);
    document.removeEventListener("focusin", this.mark, true);
    this.unwatch();
    this.model.off("comm_live_update", this.live);
    if (!this.wire.closed) this.model.send({ k: "bye", view: this.wire.view, req: 0 });
    this.wire.close();
    this.log.close();
    this.chats.close(false);
    this.models.close(false);
    this.exporter.close(false);
    this.node.remove();
  }
}

export default {
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};
