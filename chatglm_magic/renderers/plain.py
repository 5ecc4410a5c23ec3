"""Terminals and logs, where text grows, and in a terminal is rendered in its place; and no display at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._compose import bundle, call_line, ending, plain_block, sentences, usage_line
from .._events import Event, Finished, Part, Replace, TextDelta, ThinkingDelta, Usage
from .._markdown.links import visible
from .._reply import Reply
from . import Publisher

if TYPE_CHECKING:
    from .in_place import InPlace

_ERASE = "\r\x1b[2K"
_DIM, _UNDIM = "\x1b[2m", "\x1b[22m"


class PlainRenderer:
    """Writes text as it comes.

    Args:
        write: Shows more text, at once.
        show_thinking: Whether thinking is written too, as it comes.
        show_usage: Whether tokens and seconds are written at the end.
        live: Whether this is a terminal, where a line can be taken back and thoughts can be dim.
        in_place: Writes the answer, and writes it again as rendered Markdown; None where it stays as it came.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        show_thinking: bool = True,
        show_usage: bool = False,
        live: bool = False,
        in_place: InPlace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._live = live
        self._in_place = in_place
        self._clock = clock
        self._label = ""
        self._opened = clock()
        self._waiting = False
        self._second = 0
        self._thinking_since: float | None = None
        self._text = ""  # all that was said
        self._held = ""  # a carriage return that may yet be half a line end
        self._at_start = True  # of a line

    def open(self, label: str) -> None:
        """Say who is asked, where that can be taken back."""
        self._label = label
        self._opened = self._clock()
        self._waiting = True
        self._wait()

    def status(self, text: str) -> None:
        """Say why nothing has come yet, on a line of its own."""
        self._erase()
        self._line(f"[{text}]")
        self._wait()

    def write(self, event: Event) -> None:
        """Write what an event adds."""
        if isinstance(event, (Usage, Finished)):
            return
        self._erase()
        self._waiting = False
        match event:
            case TextDelta(text):
                self._end_thinking()
                self._grow(text)
            case ThinkingDelta(text):
                self._think(text)
            case Replace(text):
                self._end_thinking()
                if not text.startswith(self._text):
                    self._line("[corrected]")
                    self._text = ""
                self._grow(text[len(self._text) :])
            case Part():
                self._end_thinking()
                if words := plain_block(event):
                    self._line(words)

    def tick(self) -> None:
        """Count the seconds before the first event, where that can be taken back."""
        if self._waiting and int(self._clock() - self._opened) != self._second:
            self._second = int(self._clock() - self._opened)
            self._erase()
            self._wait()

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by who raises it
        """End the line, and say how it ended if not well."""
        self._erase()
        self._end_thinking()
        self._say(self._held)
        if self._in_place is not None and reply.finish_reason == "interrupted":
            self._in_place.leave()  # terminals write ^C where the cursor is
        for words in (*map(call_line, reply.tool_calls), *sentences(reply), ending(reply)):
            if words:
                self._line(words)
        if self._show_usage:
            self._line(usage_line(reply))
        self._line("")

    def _grow(self, text: str) -> None:
        self._text += text
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        self._say(text.removesuffix("\r"))

    def _say(self, text: str) -> None:
        """Write a piece of the answer."""
        text = visible(text)
        if self._in_place is None or not text:
            self._put(text)
            return
        if not self._at_start and not self._in_place.growing:
            self._put("\n")
        self._in_place.add(text)
        self._at_start = text.endswith("\n")

    def _think(self, text: str) -> None:
        if self._thinking_since is None:
            self._thinking_since = self._clock()
            self._line("[thinking]" if self._show_thinking else "[thinking …]")
            if self._show_thinking and self._live:
                self._write(_DIM)
        if self._show_thinking:
            self._put(text)

    def _end_thinking(self) -> None:
        if self._thinking_since is not None:
            if self._show_thinking and self._live:
                self._write(_UNDIM)
            self._line(f"[thought for {self._clock() - self._thinking_since:.1f} s]")
            self._thinking_since = None

    def _line(self, text: str) -> None:
        """Write a line of its own; end the one before it."""
        if self._in_place is not None:
            self._in_place.close()
        if not self._at_start:
            self._put("\n")
        if text:
            self._put(f"{text}\n")

    def _put(self, text: str) -> None:
        if text:
            self._at_start = text.endswith("\n")
            self._write(visible(text))

    def _wait(self) -> None:
        if self._live and self._waiting:
            since = f" · {self._second} s" if self._second else ""
            self._write(visible(f"{self._label} · waiting{since}"))

    def _erase(self) -> None:
        """Take the line back that tells of the waiting."""
        if self._live and self._waiting:
            self._write(_ERASE)


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
        if self._publisher is not None and (reply.parts or sentences(reply)):
            data, metadata = bundle(
                reply, show_thinking=self._show_thinking, show_usage=self._show_usage, form=self._form
            )
            self._publisher.publish(data, metadata=metadata)
