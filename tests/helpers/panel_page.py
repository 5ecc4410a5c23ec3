"""The panel's page without a kernel: its own files in a real browser, and a model that remembers and tells.

PYTHONPATH=tests/helpers:tests/browser python -m panel_page FOLDER      pictures of it, to look at
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from driver import chromium
from playwright.sync_api import Browser, Locator, Page

import chatglm_magic
from chatglm_magic._markdown.fences import cell_content
from chatglm_magic.panel.protocol import GetCell, read
from chatglm_magic.panel.transcript import module
from chatglm_magic.renderers.html import render

STATIC = Path(chatglm_magic.__file__).parent / "panel" / "static"
HEAD = {
    "title": "Attention",
    "model": "glm-4.7",
    "models": [
        {"name": "glm-4.7", "current": True},
        {"name": "glm-4.7-flash", "current": False},
        {"name": "glm-4.6v", "current": False},
        {"name": "zai:glm-4.5-air", "about": "needs a key", "current": False},
    ],
    "chats": [
        {"name": "attention", "title": "Attention", "count": 4, "current": True},
        {"name": "pandas", "title": "Pandas joins", "count": 12, "current": False},
    ],
    "settings": {"system": "Be terse.", "temperature": "0.2"},
    "ideas": ["What stands out in {df}?", "Explain decorators."],
    "kept": False,
    "cell": "%%chatglm",
}
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Panel</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="panel.css">
<style>body { margin: 12px } main { max-width: 900px }</style></head><body><main id="place"></main></body></html>"""

PSEUDO = """(() => { globalThis.__asked = new Set();
  return new Proxy({}, { get: (_, words) => (globalThis.__asked.add(words), `⟦${words}⟧`) }); })()"""
"""JavaScript for translations that can be told from what is not translated; `__asked` are the sentences."""

# As much of anywidget's model, and of JupyterLab around it, as the panel uses.
MODEL = """async ([manager]) => {
  const heard = new Map();
  const signal = () => { const slots = new Set(); return {
    connect: s => slots.add(s), disconnect: s => slots.delete(s), emit: v => slots.forEach(s => s(null, v)) } };
  window.__sent = []; window.__told = 0; window.__keys = [];
  window.__model = {
    send: (content, _, buffers = []) => window.__sent.push(
      buffers.length ? {...content, bytes: [...buffers.flatMap(one => [...new Uint8Array(one)])]} : content),
    on: (name, hear) => heard.set(name, [...(heard.get(name) || []), hear]),
    off: (name, hear) => heard.set(name, (heard.get(name) || []).filter(h => h !== hear)),
  };
  if (manager) {
    const cells = [{id: 'first'}, {id: 'second'}];
    window.__session = {statusChanged: signal(), connectionStatusChanged: signal(), kernelChanged: signal()};
    window.__cells = cells;
    window.__model.widget_manager = {context: {
      save: () => { window.__saved = true },
      sessionContext: window.__session,
      model: {sharedModel: {cells, insertCell: (at, cell) => cells.splice(at, 0, {...cell, id: 'new' + cells.length})}},
    }};
  }
  window.__tell = packet => {
    if (packet.n === undefined) packet.n = ++window.__told; else window.__told = packet.n;
    (heard.get('msg:custom') || []).forEach(hear => hear(packet));
  };
  for (const kind of ['keydown', 'keypress', 'keyup']) document.addEventListener(kind, e => window.__keys.push(e.key));
  const module = await import('./module.js');
  window.__open = (place) => {
    const el = document.createElement('div');
    document.getElementById(place || 'place').append(el);
    window.__close = module.default.render({model: window.__model, el});
    return el;
  };
  window.__open();
}"""


def question(name: str, text: str, **more: Any) -> dict[str, Any]:
    """Give a question as the kernel tells it."""
    return {
        "id": name,
        "role": "user",
        "version": 1,
        "versions": 1,
        "blocks": [render(text)],
        "tail": "",
        "source": text,
        "thinking": None,
        "state": "done",
        "note": "",
        "meta": "",
        "can": ["edit", "delete"],
        **more,
    }


def answer(name: str, *blocks: str, **more: Any) -> dict[str, Any]:
    """Give an answer as the kernel tells it; its blocks are Markdown."""
    return {
        "id": name,
        "role": "assistant",
        "version": 1,
        "versions": 1,
        "blocks": [render(one) for one in blocks],
        "tail": "",
        "thinking": None,
        "state": "done",
        "note": "",
        "meta": "glm-4.7 · 12 + 40 tokens · 1.2 s",
        "can": ["regenerate", "delete"],
        **more,
    }


class PanelPage:
    """One panel on a page; Python's part is played by the test."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: self.requests.append(request.url))

    @property
    def view(self) -> str:
        """The name that the view has given itself."""
        return self.sent("ready")[-1]["view"]

    @property
    def message(self) -> Locator:
        """The box to write in."""
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def log(self) -> Locator:
        """The messages."""
        return self.page.get_by_role("log")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """Find a button by its whole name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def group(self, name: str) -> Locator:
        """Find a message by its name."""
        return self.page.get_by_role("group", name=name, exact=True)

    def sent(self, kind: str = "") -> list[dict[str, Any]]:
        """Give what the page has told the kernel, of one kind or all."""
        sent = self.page.evaluate("() => window.__sent")
        return [one for one in sent if not kind or one["k"] == kind]

    def wait_sent(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until the page has told something for the `count`th time; give the newest."""
        self.page.wait_for_function(
            "([k, count]) => window.__sent.filter(one => one.k === k).length >= count",
            arg=[kind, count],
            timeout=10_000,
        )
        return self.sent(kind)[-1]

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell the page something as the kernel would, and wait until it is drawn."""
        self.page.evaluate("packet => window.__tell(packet)", {"k": kind, **fields})
        self.settle()

    def settle(self) -> None:
        """Wait until what was told is drawn."""
        self.page.evaluate("() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def tell_cell(self, count: int = 1) -> None:
        """Answer the `count`th request for the content of a cell, as the kernel would."""
        asked = self.wait_sent("cell", count)
        request = read(asked)
        assert isinstance(request, GetCell)
        content = cell_content(request.blocks)
        self.tell("cell", source=content.source, cell_type=content.cell_type, **{"for": asked["req"]})

    def snap(self, *messages: dict[str, Any], earlier: int = 0, state: str = "ready", **more: Any) -> None:
        """Tell the whole."""
        chat = {"name": "attention", "title": "Attention"}
        whole = {"chat": chat, "head": HEAD, "messages": list(messages), "earlier": earlier, "foot": {"state": state}}
        self.tell("snap", **{"to": self.view, **whole, **more})

    def grow(self, name: str, *blocks: str, keep: int, tail: str = "", code: str = "", part: str = "answer") -> None:
        """Tell a step; blocks and tail are HTML."""
        self.tell("grow", id=name, keep=keep, blocks=list(blocks), tail=tail, code=code, part=part)


class Pages:
    """A browser, and a server of the panel's files on 127.0.0.1."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self.url = url

    @contextmanager
    def opens(
        self,
        *,
        lab: bool = True,
        width: int = 960,
        height: int = 680,
        body: str = "",
        lang: str = "en",
        chinese: str = "",
        **context: Any,
    ) -> Iterator[PanelPage]:
        """Open a page with one panel; no script error may happen on it.

        Args:
            lab: Whether JupyterLab is around it.
            width: Of the window, in pixels.
            height: The same.
            body: Attributes of the page's body.
            lang: The language that the page says it is in.
            chinese: JavaScript for the translations; empty for the real ones.
            **context: How the browser is set: colours, motion, touch, the language of its reader.
        """
        shell = SHELL.replace("<body>", f"<body {body}>").replace('lang="en"', f'lang="{lang}"')
        script = module()
        if chinese:
            script = re.sub(r"(?m)^const PANEL_ZH = .*$", lambda _: f"const PANEL_ZH = {chinese};", script)
        with self.browser.new_context(viewport={"width": width, "height": height}, **context) as made:
            made.route("**/panel.html", lambda route: route.fulfill(body=shell, content_type="text/html"))
            made.route("**/module.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
            made.set_default_timeout(10_000)
            page = made.new_page()
            panel = PanelPage(page)
            page.goto(f"{self.url}/panel.html")
            page.evaluate(MODEL, [lab])
            yield panel
            assert panel.errors == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def pages(browser: Browser) -> Iterator[Pages]:
    """Serve the panel's files to a browser for the length of a block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(STATIC))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Pages(browser, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


RICH = """A *query* looks at every **key**, and takes the values in proportion to how well they fit.

$$\\mathrm{softmax}\\left(\\frac{QK^T}{\\sqrt{d}}\\right)V$$

| name | shape | what it holds |
| --- | --- | ---: |
| Q | n × d | one row for each *query* |
| K | m × d | one row for each **key** |

```python
import numpy as np

def attention(q: np.ndarray, k, v, *, scale: float = 0.125):
    \"\"\"Weigh the values.\"\"\"
    weights = softmax(q @ k.T * scale)  # n × m
    return weights @ v if weights.size > 0 else None
```

1. It costs *n·m* products.
2. The [paper](https://example.test/attention) calls it `scaled dot-product attention`.

> 中文也可以：注意力机制。"""


def rich() -> list[dict[str, Any]]:
    """Give a conversation with all that an answer may hold."""
    thoughts = {"blocks": [render("A formula, a table and code.\n\nKeep it short.")], "tail": "", "seconds": 3.4}
    return [
        question("q1", "Explain attention, please: with a formula, a table and code."),
        answer("a1", *RICH.split("\n\n", 3), thinking=thoughts, version=2, versions=3),
        question("q2", "And in one sentence?"),
        answer(
            "a2",
            "Each word asks all the others what they know, and",
            state="stopped",
            note="[stopped]",
            can=["continue", "regenerate", "delete"],
        ),
    ]


def pictures(folder: Path) -> None:
    """Take pictures of the panel in the themes and widths that people have."""
    folder.mkdir(parents=True, exist_ok=True)
    dark = {"color_scheme": "dark"}
    with chromium() as browser, pages(browser) as all_pages:
        for name, options in {
            "light": {},
            "dark": dark,
            "narrow": {"width": 320, "height": 700},
            "contrast": {"forced_colors": "active", **dark},
        }.items():
            with all_pages.opens(**options) as panel:
                panel.page.screenshot(path=folder / f"{name}-0-waiting.png")
                panel.snap()
                panel.page.screenshot(path=folder / f"{name}-1-empty.png")
                panel.snap(*rich())
                panel.page.screenshot(path=folder / f"{name}-2-end.png")
                panel.page.evaluate("() => { document.querySelector('.cg-log').scrollTop = 0 }")
                panel.page.wait_for_timeout(150)
                panel.page.screenshot(path=folder / f"{name}-3-top.png")
                panel.page.get_by_role("button", name="Model").click()
                panel.page.screenshot(path=folder / f"{name}-4-picker.png")
                panel.page.keyboard.press("Escape")
                panel.message.fill("What is in {df}?")
                panel.tell("chips", tokens=420, names=[{"name": "df", "kind": "DataFrame 3×4"}], offer=[])
                panel.page.screenshot(path=folder / f"{name}-5-draft.png")


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
