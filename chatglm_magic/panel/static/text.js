/** Text that grows on the page, and what of it is read aloud. Its HTML comes from the kernel, made safe there. */

import { copy, fragment, h, plural, tr } from "./dom.js";

const PART = 16; // blocks that stand in one element: the style sheet leaves out whole parts that are out of sight

/** HTML in blocks that stay, and a tail below them that is drawn anew. */
export class StreamingText {
  constructor(host) {
    this.blocks = []; // {node, html}: html is "" once code has been appended
    this.tail = h("div", { class: "cg-block cg-tail", dir: "auto" });
    this.drawn = ""; // the HTML of the tail
    host.replaceChildren(this.tail);
  }

  get empty() { return this.blocks.length === 0 && !this.tail.hasChildNodes(); }

  /**
   * Keep so many blocks, append code to the last one or put blocks behind it, and change the tail.
   * @param {number} keep @param {string[]} blocks @param {string} tail @returns {boolean} false if it does not fit
   */
  step(keep, blocks, tail, code = "") {
    if (keep > this.blocks.length) return false;
    for (const { node } of this.blocks.splice(keep)) {
      const part = node.parentElement;
      node.remove();
      if (!part.hasChildNodes()) part.remove();
    }
    for (const html of blocks) this.add(html);
    if (code && !this.append(code)) return false;
    if (tail !== this.drawn) {
      this.drawn = tail;
      draw(this.tail, tail);
    }
    return true;
  }

  add(html) {
    let part = this.tail.previousElementSibling;
    if (!part || part.childElementCount >= PART) {
      part = h("div", { class: "cg-part" });
      this.tail.before(part);
    }
    const node = h("div", { class: "cg-block", dir: "auto" });
    draw(node, html);
    part.append(node);
    this.blocks.push({ node, html });
  }

  append(code) {
    const last = this.blocks.at(-1);
    const element = [...(last?.node.querySelectorAll("code") ?? [])].at(-1);
    if (!element) return false;
    element.append(code);
    last.html = "";
    return true;
  }

  /** Show the whole text, leaving alone what is drawn already. */
  show(blocks, tail) {
    const changed = this.blocks.findIndex(({ html }, at) => html !== blocks[at]);
    const same = changed < 0 ? this.blocks.length : changed;
    this.step(same, blocks.slice(same), tail);
  }

  /** Return the text as it reads. (`innerText` would leave out what is not on the screen.) */
  plain() {
    const copies = [...this.blocks.map(({ node }) => node), this.tail].map((node) => node.cloneNode(true));
    for (const copy of copies) copy.querySelectorAll(".cg-code-head").forEach((head) => head.remove());
    return copies.map((copy) => copy.textContent.trim()).filter(Boolean).join("\n\n");
  }
}

/** Return the code in a block of code, as it was written. @param {Element} box */
export const codeOf = (box) => box.querySelector("pre").textContent.replace(/\n$/, "");

/** Put HTML into a node. Code blocks get a head with language and buttons; what is wide can be scrolled by keys. */
function draw(node, html) {
  node.replaceChildren(fragment(html));
  for (const details of node.querySelectorAll("details")) fold(details);
  for (const box of node.querySelectorAll(".cg-code, .cg-table")) {
    const { language } = box.dataset;
    const isCode = box.matches(".cg-code");
    box.setAttribute("role", "figure"); // not a group: only messages are groups
    const name = language ? tr("Code, {language}", { language }) : tr("Code");
    box.setAttribute("aria-label", isCode ? name : tr("Table"));
    (isCode ? box.querySelector("pre") : box)?.setAttribute("tabindex", "0");
    if (!isCode) continue;
    const head = copy("code-head");
    head.language.textContent = language || tr("code");
    box.prepend(head.node);
  }
}

/** Fold what the kernel folds as thinking is folded: a `details` would be a group, and only messages are groups. */
function fold(details) {
  const { node, button, title, body } = copy("thinking");
  const [summary, ...inside] = details.childNodes;
  title.textContent = summary.textContent;
  body.append(...inside);
  button.onclick = () => {
    body.hidden = !body.hidden;
    button.ariaExpanded = String(!body.hidden);
  };
  body.hidden = true;
  button.ariaExpanded = "false";
  details.replaceWith(node);
}

/** Reads new sentences of a growing answer to listeners, never a word twice; its region is a live one. */
export class Announcer {
  constructor(region) {
    this.region = region;
    this.forget();
  }

  forget() {
    this.block = 0; // the first block of the answer that has not been read
    this.said = 0; // how many characters of it have been read
    this.last = -Infinity;
  }

  say(words) {
    const text = words.replace(/\s+/g, " ").trim();
    if (!text) return;
    this.region.append(h("div", { text }));
    while (this.region.childElementCount > 4) this.region.firstElementChild.remove();
  }

  /** Say the sentences of a text that are complete; at its end, all that is left. @param {StreamingText} text */
  follow(text, ended = false) {
    const now = performance.now();
    if (!ended && now - this.last < 1000) return;
    this.last = now;
    const parts = [];
    for (; this.block < text.blocks.length; this.block += 1) {
      parts.push(spoken(text.blocks[this.block].node).slice(this.said));
      this.said = 0;
    }
    if (!text.tail.querySelector("pre, table, math")) {
      const words = text.tail.textContent.slice(this.said);
      const found = ended ? words : /^[\s\S]*(?:[.!?…](?=\s)|[。！？])/.exec(words)?.[0] ?? "";
      this.said += found.length;
      parts.push(found);
    }
    this.say(parts.join(" "));
  }
}

/** Return a block as it is read aloud: code is named, not spelled; what is folded stays unread. */
function spoken(node) {
  const title = node.querySelector(".cg-fold");
  if (title) return title.textContent;
  if (!node.querySelector("pre")) return node.textContent;
  return plural(codeOf(node).split("\n").length, tr("Code, {count} line."), tr("Code, {count} lines."));
}
