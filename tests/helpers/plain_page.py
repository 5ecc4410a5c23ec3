"""A page of one's own in real Chromium, with eyes on all that it runs, loads and shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

URL = "http://127.0.0.1/"
"""Where pages seem to be; nothing is asked of it."""

# Gives what is wrong with an element: what is not MathML or plain HTML, what acts, covers, or leads astray.
LOOK = r"""() => {
  const html = 'p,h1,h2,h3,h4,h5,h6,em,strong,s,code,pre,ul,ol,li,blockquote,hr,br,a,table,thead,tbody,tr,th,td,div,'
    + 'span,main,header,article,details,summary,time,footer,section,dl,dt,dd';
  const maths = 'http://www.w3.org/1998/Math/MathML';
  const wrong = [];
  for (const n of document.body.querySelectorAll('*')) {
    const found = [];
    if (n.namespaceURI === maths ? !n.closest('math') : !n.matches(html)) found.push('element');
    if (n.namespaceURI !== maths && n.closest('math')) found.push('HTML in a formula');
    for (const a of n.attributes) {
      if (/^on|^style$|src|action|xlink|^id$|^name$/i.test(a.name)) found.push(a.name);
      if (a.name === 'href' && !/^(https?|mailto):/.test(a.value)) found.push(a.value);
      if (a.name !== 'alttext' && a.name !== 'href' && a.value.includes('canary')) found.push(a.name + '=' + a.value);
    }
    const box = n.getBoundingClientRect(), style = getComputedStyle(n);
    if (['fixed', 'sticky'].includes(style.position)) found.push(style.position);
    if (n.namespaceURI === maths && (box.width > 3000 || box.height > 3000)) found.push('covers');
    if (found.length) wrong.push(found.join(' ') + ' in ' + n.outerHTML.slice(0, 200));
  }
  return wrong.slice(0, 20);
}"""


class PlainPage:
    """One page, empty at first.

    Attributes:
        page: Playwright's own.
    """

    def __init__(self, browser: Browser, *, dark: bool = False) -> None:
        self._context = browser.new_context(
            viewport={"width": 900, "height": 700}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self._context.new_page()
        self._seen: list[str] = []
        self.page.on("dialog", lambda dialog: (self._seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._seen.append(f"request {request.url}"))
        self.page.on("popup", lambda popup: self._seen.append(f"popup {popup.url}"))
        self.page.on("framenavigated", lambda frame: self._seen.append(f"goes to {frame.url}"))

    def js(self, function: str, argument: Any = None) -> Any:
        """Evaluate a JavaScript function in the page."""
        return self.page.evaluate(function, argument)

    def open(self, html: str) -> None:
        """Serve a whole page and go there; only that visit is forgiven."""
        self.page.route(URL, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
        self.page.goto(URL)
        self._seen.clear()

    def findings(self) -> list[str]:
        """Give all that happened and must not, and all that is there and must not be."""
        self.page.wait_for_timeout(500)  # what loads or runs late
        ran = ["canary"] if self.js("() => window.__canary !== undefined") else []
        return [*ran, *self._seen, *self.js(LOOK)]

    def close(self) -> None:
        """Close the page."""
        self._context.close()


@contextmanager
def plain_pages(browser: Browser) -> Iterator[Any]:
    """Give a function that opens an empty page, for the length of a block."""
    pages: list[PlainPage] = []

    def open_page(html: str, *, dark: bool = False) -> PlainPage:
        pages.append(PlainPage(browser, dark=dark))
        pages[-1].open(html)
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
