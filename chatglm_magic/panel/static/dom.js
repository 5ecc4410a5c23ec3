/** Small tools: elements, words in the language in force, the templates of panel.html and the clipboard. */

/** Make an element: attributes by name, `on…` as listeners, `text` as its text. @returns {any} */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Turn HTML into nodes: our own, or what the kernel has made safe. @returns {DocumentFragment} */
export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/**
 * Return the tag of the page's language: Chinese where the page says so, else the first of ours that its reader has
 * chosen in the browser. JupyterLab's pages say "en" to everybody who has not installed a language pack.
 */
export function pageLanguage() {
  const page = document.documentElement.lang;
  return /^zh/i.test(page) ? page : navigator.languages.find((tag) => /^(en|zh)/i.test(tag)) ?? "";
}

export const speech = { language: "" }; // "en" or "zh"
let templates; // those of panel.html, in this language

/** Speak a language in all that is made from now on. @param {string} tag */
export function speak(tag) {
  speech.language = /^zh/i.test(tag) ? "zh" : "en";
  templates = fragment(PANEL_HTML); // Python puts panel.html in front of the scripts
  for (const { content } of templates.querySelectorAll("template")) translate(content);
}

/** Translate the texts of a template, and the attributes that are shown or read aloud. */
function translate(content) {
  const texts = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.replace(/\s+/g, " ").trim();
    if (words) texts.currentNode.data = tr(words);
  }
  for (const name of ["title", "aria-label", "placeholder", "alt"]) {
    for (const node of content.querySelectorAll(`[${name}]`)) node.setAttribute(name, tr(node.getAttribute(name)));
  }
}

/** Return a sentence, an English literal, in the language in force, with values in place of `{name}`. */
export function tr(sentence, values = {}) {
  return fill((speech.language === "zh" && PANEL_ZH[sentence]) || sentence, values); // PANEL_ZH is zh.json
}

const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (hit, name) => values[name] ?? hit);

/** Return a sentence about one or many things, with values. @param {string} one @param {string} many both from `tr` */
export function plural(count, one, many, values = {}) {
  return fill(count === 1 ? one : many, { ...values, count: count.toLocaleString("en") });
}

export const tokens = (count) => plural(count, tr("{count} token"), tr("{count} tokens"));
export const messages = (count) => plural(count, tr("{count} message"), tr("{count} messages"));
export const seconds = (value) => tr("{seconds} s", { seconds: value < 10 ? value.toFixed(1) : Math.round(value) });

/** Return the elements with a `data-ref` in a node, by that name; as `node`, the node itself. */
export function refs(node) {
  const named = [...node.querySelectorAll("[data-ref]")].map((element) => [element.dataset.ref, element]);
  return { node, ...Object.fromEntries(named) };
}

speak(pageLanguage()); // until Python names the language in force

/** Copy a template of panel.html. @returns {{node: any, [ref: string]: any}} see `refs` */
export const copy = (name) => refs(templates.getElementById(name).content.firstElementChild.cloneNode(true));

/** Change a text only where it differs: the page is laid out anew for less. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make a text box as high as its text, where the style sheet alone cannot. */
export function fitHeight(area) {
  if (globalThis.CSS?.supports?.("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight + 2}px`;
}

/** Return a function that calls `work` once, `pause` ms after the last of many calls. */
export function debounce(work, pause) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, pause); };
}

/**
 * Call the handler of a key: `enter`, `alt+arrowup`, … Where it returns no false, the key does nothing else. Enter
 * that ends a composed word has none; Safari ends the composition before that Enter, and marks it by the code 229.
 */
export function onKeys(node, handlers) {
  node.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const name = `${event.altKey ? "alt+" : ""}${event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`;
    if (!Object.hasOwn(handlers, name) || handlers[name](event) === false) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** Put text on the clipboard. @param {string | Promise<string>} text @returns {Promise<boolean>} whether it is there */
export async function copyText(text) {
  const words = await text;
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // No permission, or a page that is not secure: copy a selection instead.
  }
  const before = /** @type {?HTMLElement} */ (document.activeElement);
  const area = h("textarea", { class: "cg-hidden", "aria-hidden": "true", tabindex: "-1" });
  area.value = words;
  document.body.append(area);
  area.select();
  let done = false;
  try { done = document.execCommand("copy"); } catch { /* the result says so */ }
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}
