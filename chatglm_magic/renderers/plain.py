"""Terminals and logs, where text can only grow; and no display at all."""

from __future__ import annotations

import time
from collections.abc import Callable

from .._compose import bundle, ending, usage_line
from .._events import Event, Part, Replace, TextDelta, ThinkingDelta
from .._links import visible
from .._reply import Reply
from . import Publisher


class PlainRenderer:
    """Writes text as it comes.

    Args:
        write: Shows more text, at once.
        show_thinking: Whether thinking is written too, as it comes.
        show_usage: Whether tokens and seconds are written at the end.
    """

    def __init__(self, write: Callable[[str], object], *, show_thinking: bool = True, show_usage: bool = False) -> None:
        self._write = write
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._thinking_since: float | None = None
        self._text = ""

    def open(self, label: str) -> None:
        """Show nothing: the first words of the reply come soon enough."""

    def status(self, text: str) -> None:
        """Say why nothing has come yet, on a line of its own."""
        self._write(f"[{visible(text)}]\n")

    def write(self, event: Event) -> None:
        """Write what an event adds."""
        match event:
            case TextDelta(text):
                self._end_thinking()
                self._grow(text)
            case ThinkingDelta(text):
                self._think(text)
            case Replace(text):
                self._end_thinking()
                if text.startswith(self._text):
                    self._grow(text[len(self._text) :])
                else:
                    self._write(f"\n[corrected]\n{visible(text)}")
                    self._text = text
            case Part(kind="notice", content=content):
                self._write(f"\n[{visible(content)}]\n")
            case _:
                return

    def tick(self) -> None:
        """Do nothing: everything is written at once."""

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by who raises it
        """End the line, and say how it ended if not well."""
        self._end_thinking()
        if self._text and not self._text.endswith("\n"):
            self._write("\n")
        if words := ending(reply):
            self._write(f"{words}\n")
        if self._show_usage:
            self._write(f"{usage_line(reply)}\n")

    def _grow(self, text: str) -> None:
        self._text += text
        self._write(visible(text))

    def _think(self, text: str) -> None:
        if self._thinking_since is None:
            self._thinking_since = time.monotonic()
            self._write("[thinking]\n" if self._show_thinking else "[thinking …]")
        if self._show_thinking:
            self._write(visible(text))

    def _end_thinking(self) -> None:
        if self._thinking_since is not None:
            self._write(f"\n[thought for {time.monotonic() - self._thinking_since:.1f} s]\n")
            self._thinking_since = None


class QuietRenderer:
    """Shows nothing while a reply grows; at its end the whole once, if there is a publisher.

    Args:
        publisher: Where the whole goes; None for nowhere.
        show_thinking: As in `CellRenderer`.
        show_usage: As in `CellRenderer`.
        form: As in `CellRenderer`.
    """

    def __init__(
        self,
        publisher: Publisher | None = None,
        *,
        show_thinking: bool = True,
        show_usage: bool = False,
        form: str = "md",
    ) -> None:
        self._publisher = publisher
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._form = form

    def open(self, label: str) -> None:
        """Show nothing."""

    def status(self, text: str) -> None:
        """Show nothing."""

    def write(self, event: Event) -> None:
        """Show nothing."""

    def tick(self) -> None:
        """Show nothing."""

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by who raises it
        """Show the whole once."""
        if self._publisher is not None and reply.parts:
            data, metadata = bundle(
                reply, show_thinking=self._show_thinking, show_usage=self._show_usage, form=self._form
            )
            self._publisher.publish(data, metadata=metadata)
