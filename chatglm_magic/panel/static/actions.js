/** What the buttons of a message do, and the notebook around the panel. */

import { copy, copyText, tr } from "./dom.js";
import { codeOf } from "./text.js";

const LOST = ["restarting", "autorestarting", "dead", "terminating"]; // the kernel: what it knew is gone

/** Do what a button of a message says. @param {string} what its `data-do` */
export async function act(panel, what, one, button) {
  const { id } = one.data;
  const box = button.closest(".cg-code");
  const reads = /^(copy|insert)/.test(what); // it works without a kernel
  if (button.ariaDisabled === "true" || (panel.lost && !reads)) panel.footer.say(panel.reason);
  else if (what === "copy") await copyWords(panel, button, source(panel, one));
  else if (what === "copy-code") await copyWords(panel, button, codeOf(box));
  else if (what === "insert-code") await insert(panel, button, await cellOf(panel, [box]));
  else if (what === "insert") await insert(panel, button, await cellOfMessage(panel, one));
  else if (what === "version") panel.channel.send("version", { id, step: Number(button.value) });
  else if (panel.busy) panel.footer.say(panel.reason);
  else if (what === "edit") panel.log.partner(one, "user").edit();
  else if (what === "delete") panel.channel.send("delete", { id });
  else {
    panel.channel.send(what, { id: what === "regenerate" ? panel.log.partner(one, "assistant").data.id : id });
    panel.begin();
  }
}

/** Return a message as it was written; as it reads, where the kernel does not answer. */
async function source(panel, one) {
  return one.data.source ?? (await panel.channel.ask("source", { id: one.data.id }))?.text ?? one.text.plain();
}

/** Return what a cell holds of some code; where the kernel does not answer, all the code. @param {Element[]} boxes */
async function cellOf(panel, boxes) {
  const blocks = boxes.map((box) => ({ language: box.dataset.language ?? "", source: codeOf(box) }));
  return await panel.channel.ask("cell", { blocks })
    ?? { source: blocks.map((block) => block.source).join("\n\n"), cell_type: "code" };
}

/** Return the cell that asks a question, or that holds an answer's code, or a message's words. */
async function cellOfMessage(panel, one) {
  const isQuestion = one.data.role === "user";
  const boxes = isQuestion ? [] : [...one.body.querySelectorAll(".cg-code")];
  if (boxes.length) return cellOf(panel, boxes);
  const words = await source(panel, one);
  return isQuestion && panel.head.cell
    ? { source: `${panel.head.cell}\n${words}`, cell_type: "code" } : { source: words, cell_type: "markdown" };
}

async function copyWords(panel, button, words) {
  const done = await copyText(words);
  confirm(panel, button, done, done ? tr("Copied.")
    : tr("This page may not use the clipboard: select the text and press Ctrl+C."));
}

async function insert(panel, button, cell) {
  const inserted = panel.notebook.insert(cell);
  const done = inserted || await copyText(cell.source);
  confirm(panel, button, done, inserted ? tr("Put into a new cell below.")
    : done ? tr("This front end gives no way to add a cell: it is copied, paste it into a new cell.")
    : tr("This front end gives no way to add a cell."));
}

/** Say it in words, and by a tick on the button. */
function confirm(panel, button, done, words) {
  panel.footer.say(words);
  if (!done || button.querySelector(".cg-tick")) return;
  const tick = copy("tick").node;
  button.append(tick);
  setTimeout(() => tick.remove(), 1600);
}

/** What JupyterLab and Notebook 7 let a widget reach; elsewhere all of it is absent, and each method says so. */
export class Notebook {
  constructor(model, el) {
    this.context = model.widget_manager?.context;
    this.el = el;
    this.last = ""; // the id of the cell inserted last: the next one comes below it
  }

  /** Insert a cell below the panel's (or the active) cell. @returns {boolean} whether it could */
  insert({ source, cell_type }) {
    const shared = this.context?.model?.sharedModel;
    if (typeof shared?.insertCell !== "function" || !Array.isArray(shared.cells)) return false;
    try {
      const at = this.insertionIndex(shared.cells);
      shared.insertCell(at, { cell_type, source });
      this.last = shared.cells[at]?.id ?? "";
      return true;
    } catch (error) {
      console.warn("chatglm: no cell could be put in", error);
      return false;
    }
  }

  insertionIndex(cells) {
    const after = this.last ? cells.findIndex((cell) => cell.id === this.last) : -1;
    if (after >= 0) return after + 1;
    const active = document.querySelectorAll(
      ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell.jp-mod-active");
    const cell = this.el.closest(".jp-Notebook .jp-Cell") ?? (active.length === 1 ? active[0] : null);
    if (!cell) return cells.length;
    let index = Number.parseInt(cell.dataset.windowedListIndex, 10); // cells out of sight are not in the page
    if (Number.isNaN(index)) index = [...cell.closest(".jp-Notebook").querySelectorAll(".jp-Cell")].indexOf(cell);
    return index < 0 ? cells.length : Math.min(index + 1, cells.length);
  }

  /** Save the notebook, as Ctrl+S does outside the panel. @returns {Promise<void>|false} false where it cannot */
  save() { return this.context?.save?.() ?? false; }

  /**
   * Watch the kernel.
   * @param {(what: "lost"|"away"|"back") => void} tell "away" and "back" are the connection's
   * @returns {() => void} ends the watching
   */
  watchKernel(tell) {
    const session = this.context?.sessionContext;
    const slots = [
      [session?.statusChanged, (_, status) => { if (LOST.includes(status)) tell("lost"); }],
      [session?.connectionStatusChanged, (_, status) => tell(status === "connected" ? "back" : "away")],
      [session?.kernelChanged, (_, change) => { if (change?.oldValue) tell("lost"); }],
    ];
    for (const [signal, slot] of slots) signal?.connect(slot);
    return () => slots.forEach(([signal, slot]) => signal?.disconnect(slot));
  }
}
