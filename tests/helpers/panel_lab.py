"""A panel in a real notebook, with a real kernel and the fake model server: what its user does and reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catalog import PAGE_JSON
from driver import OpenNotebook, Visitor
from glm_server import FakeGLM
from playwright.sync_api import Locator, expect

SECONDS = 20_000
"""Milliseconds that anything may take before it counts as lost."""


def load(glm: FakeGLM) -> str:
    """Give the first cell: the extension, and who answers."""
    return "\n".join(
        (
            "%load_ext chatglm_magic",
            f"%config ChatGLMMagics.base_url = {glm.url!r}",
            "%config ChatGLMMagics.model = 'glm-4.7'",
        )
    )


class RealPanel:
    """The panel that a cell shows; `within` is where, if not in the notebook; `language` is the one it speaks."""

    def __init__(self, notebook: OpenNotebook, within: Locator | None = None, language: str = "en") -> None:
        self.notebook = notebook
        self.page = notebook.page
        self._words = {} if language == "en" else json.loads(PAGE_JSON.read_text(encoding="utf-8"))
        where = within or notebook.page.locator("body")
        self.node = where.get_by_role("region", name=self.word("Chat")).first
        self.log = self.node.get_by_role("log")
        self.message = self.node.get_by_role("textbox", name=self.word("Message"), exact=True)

    def word(self, english: str) -> str:
        """Give a word of the page as this panel says it."""
        return self._words.get(english, english)

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """Find a button by its whole name, in English."""
        return (within or self.node).get_by_role("button", name=self.word(name), exact=True)

    def group(self, name: str) -> Locator:
        """Find a message by its name."""
        return self.log.get_by_role("group", name=name, exact=True)

    def ask(self, text: str) -> None:
        """Type a question and press Enter."""
        self.message.fill(text)
        self.message.press("Enter")

    def reads(self, text: str, *, gone: bool = False) -> None:
        """Wait until a text is to be read among the messages, or no longer."""
        found = expect(self.log)
        (found.not_to_contain_text if gone else found.to_contain_text)(text, timeout=SECONDS)

    def rests(self) -> None:
        """Wait until nothing streams."""
        self.button("Send").wait_for(timeout=SECONDS)
        expect(self.log.locator("[data-state=streaming]")).to_have_count(0, timeout=SECONDS)

    def says(self, text: str) -> None:
        """Wait until the footer says a text."""
        expect(self.node.locator(".cg-state")).to_contain_text(text, timeout=SECONDS)

    def shows(self, *texts: str) -> None:
        """Wait until these are the words of the messages."""
        self.page.wait_for_function(
            "([log, texts]) => JSON.stringify(texts) === JSON.stringify("
            "[...log.querySelectorAll('.cg-message > .cg-text')].map(one => one.textContent.trim()))",
            arg=[self.log.element_handle(), list(texts)],
            timeout=SECONDS,
        )

    def texts(self) -> list[str]:
        """Give the words of each message."""
        return self.log.evaluate(
            "log => [...log.querySelectorAll('.cg-message > .cg-text')].map(one => one.textContent.trim())"
        )


@contextmanager
def opens_panel(
    lab: Visitor, glm: FakeGLM, *cells: str, ui: str = "lab", **options: Any
) -> Iterator[tuple[RealPanel, OpenNotebook]]:
    """Open a notebook whose second cell shows a panel; `cells` follow it and have not run."""
    with lab.opens([load(glm), "%chatglm panel", *cells], ui=ui, **options) as notebook:
        notebook.page.set_default_timeout(SECONDS)
        notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        notebook.run(0)
        notebook.run(1)
        panel = RealPanel(notebook)
        panel.message.wait_for()
        panel.log.get_by_text("What would you like to know?").wait_for()
        yield panel, notebook
