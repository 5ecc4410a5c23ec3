/** The panel: puts the parts together, takes packets, and knows whether there is a kernel to talk to. */

import { Notebook } from "./actions.js";
import { CallCard } from "./card.js";
import { Channel } from "./channel.js";
import { Composer, Footer } from "./composer.js";
import { copy, h, speech, onKeys, pageLanguage, speak, tr } from "./dom.js";
import { Maps } from "./maps.js";
import { MessageList } from "./message_list.js";
import { Menu, Picker, Settings } from "./pickers.js";
import { Announcer } from "./text.js";

/** One view of a panel. */
class Panel {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.shown = false; // whether the whole has come once
    this.away = false; // the connection to it is broken
    this.pending = null; // a question that Python has not taken yet
    this.head = {}; // what Python says of the conversation
    this.notebook = new Notebook(model, el);
    this.channel = new Channel(model, (packets) => this.take(packets), () => this.late());
    this.build();
    // JupyterLab looks for the mark above the focused element only after it has looked for shortcuts that match the
    // element itself: each needs its own.
    this.mark = ({ target }) => { if (this.node.contains(target)) target.dataset.lmSuppressShortcuts = "true"; };
    document.addEventListener("focusin", this.mark, true);
    el.classList.add("cg-host");
    el.append(this.node);
    this.unwatch = this.notebook.watchKernel((what) => this.kernel(what));
    this.live = () => { if (this.node.closest(".jupyter-widgets-disconnected")) this.kernel("lost"); };
    model.on("comm_live_update", this.live);
    this.clock = setInterval(() => { this.footer.draw(); this.log.all.at(-1)?.tick(); }, 1000);
    this.channel.resync("ready", { language: pageLanguage() });
  }

  /** Whether the kernel is gone. */
  get lost() { return this.channel.closed; }

  get busy() { return this.footer.state !== "ready" || this.pending !== null; }

  /** Why nothing can be asked now. */
  get reason() {
    if (!this.lost) return tr("An answer is still coming. Esc stops it.");
    return this.head.kept
      ? tr("The kernel was restarted. Run this cell again; what was said is kept under Conversations.")
      : tr("The kernel was restarted. Run this cell again.");
  }

  build() {
    const { channel } = this;
    const { language } = speech;
    const parts = copy("panel");
    Object.assign(this, { language, node: parts.node });
    this.node.lang = language === "zh" ? "zh-CN" : language;
    this.isolateKeys();
    this.announcer = new Announcer(parts.region);
    this.footer = new Footer(this, parts.footer);
    this.composer = new Composer(this, parts.composer);
    this.card = new CallCard(this, parts.card);
    this.maps = new Maps(this, parts.maps);
    this.log = new MessageList(this, parts.middle);
    const begins = (name) => tr("New conversation “{name}”", { name });
    const uses = (name) => tr("Use “{name}”", { name });
    this.chats = new Picker(parts.chats, channel, "chat", "new", begins);
    this.models = new Picker(parts.models, channel, "model", "model", uses);
    this.exporter = new Menu(parts.exporter, (form) => channel.send("export", { form }));
    this.settings = new Settings(parts.settings, channel);
    parts.skip.onclick = () => this.composer.area.focus();
    parts.begin.onclick = () => { channel.send("new", { name: "" }); this.composer.area.focus(); };
    this.footer.draw();
  }

  /** Build it anew in another language. @returns {() => void} puts back, once it is filled, what a person did in it */
  rebuild(language) {
    const { node, log, composer: { area } } = this;
    const held = node.contains(document.activeElement);
    const edited = log.all.find(({ editor }) => editor);
    const box = (one) => one.node.getBoundingClientRect();
    const read = log.all.find((one) => box(one).bottom > log.scroller.getBoundingClientRect().top);
    const { top } = read ? box(read) : {};
    for (const popup of [this.chats, this.models, this.settings, this.exporter]) popup.close();
    speak(language);
    this.build();
    node.replaceWith(this.node);
    return () => {
      const [editing, seen] = [edited, read].map((one) => this.log.messages.get(one?.data.id));
      editing?.edit(edited.editor.area.value);
      this.composer.set(area.value);
      this.composer.area.setSelectionRange(area.selectionStart, area.selectionEnd);
      if (area.value) this.composer.draft(); // what it names is described anew
      if (held) (editing?.editor ?? this.composer).area.focus({ preventScroll: true });
      if (log.following || !seen) return;
      this.log.following = false;
      this.log.scroller.scrollTop += box(seen).top - top;
    };
  }

  /** Take keys that are meant for the panel, and keep all of them from the notebook. */
  isolateKeys() {
    onKeys(this.node, {
      escape: () => (this.card.open ? this.card.decide("deny") : this.busy && this.stop()),
      "alt+arrowup": () => this.log.walk(-1),
      "alt+arrowdown": () => this.log.walk(1),
      s: ({ ctrlKey, metaKey }) => (ctrlKey || metaKey) && this.notebook.save(),
    });
    for (const kind of ["keydown", "keypress", "keyup", "paste", "copy", "cut"]) {
      this.node.addEventListener(kind, (event) => event.stopPropagation());
    }
  }

  // What Python says

  take(packets) {
    for (const packet of packets) this[`on_${packet.k}`]?.(packet);
    this.log.stick();
    this.footer.draw();
  }

  on_snap({ chat, head, messages, earlier, foot, draft, card, attached, maps }) {
    const restore = head?.language && head.language !== this.language ? this.rebuild(head.language) : null;
    if (this.shown && chat.name !== this.chat) this.footer.say(""); // it was about another conversation
    this.chat = chat.name;
    this.shown = true;
    this.settlePending(messages);
    this.log.fill(messages, earlier);
    if (this.pending) this.log.list.append(this.pending.node);
    this.announcer.forget();
    if (head) this.on_head({ head });
    this.footer.set(foot);
    this.card.set(card);
    this.maps.set(maps);
    this.composer.attached.set(attached);
    restore?.();
    if (draft && !this.composer.area.value) this.composer.set(draft);
  }

  on_older({ messages, earlier }) { this.log.prepend(messages, earlier); }
  on_gone({ ids }) { this.log.remove(ids); }
  on_card({ card }) { this.card.set(card); }
  on_maps({ maps }) { this.maps.set(maps); }
  on_attached({ attached }) { this.composer.attached.set(attached); }
  on_foot({ foot }) { this.footer.set(foot); }
  on_found({ what, items }) { (what === "model" ? this.models : this.chats).found(items); }
  on_chips({ names, tokens, offer }) { this.composer.describe(names, tokens, offer); }

  on_add({ after, m }) {
    this.settlePending([m]);
    if (!this.log.add(after, m)) this.channel.resync();
    else if (m.state === "streaming") this.announcer.forget();
  }

  on_set({ m }) {
    const one = this.log.messages.get(m.id);
    const ended = one?.streams && m.state !== "streaming";
    one?.set(m);
    if (!ended) return;
    if (m.state === "done") this.footer.say("");
    this.announcer.follow(one.text, true);
    this.announcer.say(m.note || (m.state === "done" ? tr("The answer is complete.") : tr("The answer has ended.")));
  }

  on_grow(packet) {
    const one = this.log.messages.get(packet.id);
    if (one && !one.grow(packet)) this.channel.resync();
    else if (one && packet.part !== "thinking") this.announcer.follow(one.text);
  }

  on_head({ head }) {
    this.head = head;
    this.chats.set(head.title, head.chats);
    this.models.set(head.model, head.models);
    this.settings.set(head.title, head.settings);
    this.log.suggest(head.ideas);
  }

  on_note({ text, bad, undo, mine, for: request }) {
    const { pending } = this;
    if (pending && mine && request === pending.request) { // refused: the words go back
      this.dropPending();
      if (!this.composer.area.value) this.composer.set(pending.text);
    }
    if (bad && mine) this.settings.draw(); // a value may have been refused
    this.footer.say(text, bad, mine && undo);
  }

  on_file({ name, type, text }) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    this.footer.say(tr("Saved as {name}, where the browser keeps downloads.", { name }));
  }

  // What a person does

  ask(text) {
    this.dropPending();
    this.footer.say("");
    const { node, words } = copy("pending");
    words.textContent = text;
    const attached = this.composer.attached.ids;
    this.pending = { text, node, attached, request: this.channel.send("send", { text, attached }) };
    this.log.list.append(node);
    this.log.drawEdges();
    this.begin();
  }

  /** Show that something has begun, before Python says so. */
  begin() {
    this.log.following = true;
    if (this.footer.state === "ready") this.footer.set({ state: "waiting" });
    this.log.stick();
  }

  /** Take the pending question off the page, if Python has taken it. @param {object[]} messages what Python shows */
  settlePending(messages) {
    const { text = "", attached = [] } = this.pending ?? {};
    const is = (source) => source === text.trim() || (attached.length && source.startsWith(`${text.trim()}\n`)); // with files
    if (messages.some(({ role, source }) => role === "user" && is(source.trim()))) this.dropPending();
  }

  dropPending() {
    this.pending?.node.remove();
    this.pending = null;
    this.log.drawEdges();
  }

  stop() {
    if (this.footer.state === "stopping") return;
    this.channel.send("stop");
    Object.assign(this.footer, { state: "stopping", text: "" });
    this.footer.draw();
  }

  // The kernel

  /** It has not answered in time, or has at last. */
  late() {
    if (this.channel.waits) this.announcer.say(tr("The kernel is busy."));
    this.footer.draw();
  }

  kernel(what) {
    if (this.lost) return;
    this.away = what === "away";
    if (what === "back") this.channel.resync();
    if (what === "lost") {
      this.channel.close();
      this.footer.say("");
      this.footer.set();
      this.card.set(null);
      this.maps.set();
      for (const one of this.log.all.filter(({ streams }) => streams)) {
        one.set({ ...one.data, blocks: undefined, state: "stopped", note: tr("[the kernel went away]"), can: [] });
      }
      this.pending?.node.append(h("div", { class: "cg-note", text: tr("[not sent]") }));
      this.announcer.say(this.reason);
    }
    this.footer.draw();
  }

  close() {
    clearInterval(this.clock);
    document.removeEventListener("focusin", this.mark, true);
    this.unwatch();
    this.model.off("comm_live_update", this.live);
    this.channel.send("bye");
    this.channel.close();
    this.node.remove();
  }
}

export default {
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};
