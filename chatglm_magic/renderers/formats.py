"""Replies that are no Markdown: plain text, code and JSON, while they grow and at their end."""

from __future__ import annotations

from collections.abc import Callable

from .._compose import bundle, sentences, usage_line
from .._events import Event, Replace, TextDelta
from .._markdown.links import visible
from .._reply import Reply
from . import Renderer

_FENCE = "~" * 20
"""Longer than any that a model writes, so that nothing in its text ends it."""


class Verbatim:
    """Lets another renderer show a growing reply as it is written, not as the Markdown that it may look like.

    Args:
        inner: Shows it.
        language: What it is, for the front end's colours.
    """

    def __init__(self, inner: Renderer, language: str) -> None:
        self._inner = inner
        self._head = f"{_FENCE}{language}\n"
        self._begun = False

    def open(self, label: str) -> None:
        """Show at once that something is coming."""
        self._inner.open(label)

    def status(self, text: str) -> None:
        """Say why nothing has come yet."""
        self._inner.status(text)

    def write(self, event: Event) -> None:
        """Take one event; the first words open the fence."""
        match event:
            case TextDelta(text) if not self._begun:
                self._begun = True
                event = TextDelta(self._head + text)
            case Replace(text, thinking) if text:
                self._begun = True
                event = Replace(self._head + text, thinking)
        self._inner.write(event)

    def tick(self) -> None:
        """Paint what is due."""
        self._inner.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Show the end."""
        self._inner.close(reply, error)


class AtEnd:
    """Shows only the whole, in a place where what was written cannot be taken back.

    Args:
        write: Shows more text, at once.
        form: As what the whole is shown; see `bundle`.
        show_usage: Whether tokens and seconds are written below it.
    """

    def __init__(self, write: Callable[[str], object], form: str, *, show_usage: bool = False) -> None:
        self._write = write
        self._form = form
        self._show_usage = show_usage

    def open(self, label: str) -> None:
        """Show nothing."""

    def status(self, text: str) -> None:
        """Say why nothing has come yet, on a line of its own."""
        self._write(f"[{visible(text)}]\n")

    def write(self, event: Event) -> None:
        """Show nothing."""

    def tick(self) -> None:
        """Do nothing."""

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by who raises it
        """Write the whole."""
        if reply.parts or sentences(reply):
            data, _ = bundle(reply, form=self._form)
            usage = f"{usage_line(reply)}\n" if self._show_usage else ""
            self._write(f"{data['text/plain']}\n{usage}")
