"""A notebook cell: settled blocks stay, only the tail is updated.

What is sent grows linearly with the reply: a block of Markdown that is final is never sent again. The
tail is repainted up to 20 times a second while it is short, 10 times when it is long (a render costs
a front end about 5 ms per 1,000 characters). JupyterLab folds a cell's outputs beyond 50, so blocks
grow with the reply. At the end all blocks give way to one output, the one that is saved.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, assert_never

from .._coalesce import Coalescer
from .._compose import bundle, thinking_block
from .._events import Event, Finished, Part, Replace, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from .._links import literal
from .._markdown import close_open, settled, split_fence
from .._reply import Reply
from .._safe import safe
from . import Publisher

_SHORT_TAIL = 400
"""Characters up to which the tail is repainted at the full rate."""
_BLOCK = 800
"""Characters that a tail may have before its settled part becomes a block of its own."""
_MANY = 36
"""Blocks after which they grow faster, to stay below JupyterLab's 50."""
_THOUGHT = 160
"""Characters of the newest thought that are shown while the model thinks."""


class CellRenderer:
    """Shows a reply in the output of the cell that asked.

    Args:
        publisher: IPython's `display_pub`, or what behaves like it.
        exclusive: Whether the cell holds nothing but our magic, so that its outputs may be cleared.
        hz: Paints a second at most.
        show_thinking: Whether thinking is shown.
        show_usage: Whether tokens and seconds are shown at the end.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        exclusive: bool,
        hz: float = 20,
        show_thinking: bool = True,
        show_usage: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._exclusive = exclusive
        self._period = 1 / hz
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._clock = clock
        self._coalescer = Coalescer(self._paint, self._period, clock)
        self._displays: list[str] = []
        self._fresh = True  # the next paint goes into a new display
        self._label = ""
        self._note = "waiting"
        self._opened = clock()
        self._ticked = 0
        self._size = 0  # characters painted
        self._text = ""
        self._cut = 0  # all before it stands in settled blocks
        self._thinking: list[str] = []
        self._thinking_since: float | None = None
        self._thought_until = 0.0

    def open(self, label: str) -> None:
        """Show a status line at once."""
        self._label = label
        self._opened = self._clock()
        self._show(self._status_line())

    def status(self, text: str) -> None:
        """Say why nothing has come yet."""
        self._note = text
        if not self._text and self._thinking_since is None:
            self._show(self._status_line())

    def write(self, event: Event) -> None:
        """Take one event; what is shown of it follows at the next paint."""
        match event:
            case TextDelta(text):
                self._end_thinking()
                self._coalescer.write(text)
            case ThinkingDelta(text):
                self._think(text)
            case Replace(text, thinking):
                self._replace(text, thinking)
            case ToolCallDelta() | Part() | Usage() | Finished():
                pass  # shown with the whole, at the end
            case _:
                assert_never(event)

    def tick(self) -> None:
        """Paint what is due; before the first words, the seconds so far."""
        self._coalescer.tick()
        seconds = int(self._clock() - self._opened)
        if seconds != self._ticked and not self._text:
            self._ticked = seconds
            self._show(self._status_line() if self._thinking_since is None else self._thinking_line())

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Put one output in the place of all; nothing where an error comes instead of any word."""
        self._coalescer.stop()
        if error is not None and not reply.parts and reply.finish_reason == "error":
            self._clear()
            return
        data, metadata = bundle(reply, show_thinking=self._show_thinking, show_usage=self._show_usage)
        if self._exclusive:
            self._publisher.clear_output(wait=True)
            self._publisher.publish(data, metadata=metadata)
            return
        self._update(self._displays[0], data, metadata)
        for display in self._displays[1:]:
            self._update(display, {"text/plain": ""})

    def _paint(self, text: str) -> None:
        """Show more text: settle what is final of the tail if it has grown long, update the rest."""
        self._text += text
        self._size += len(text)
        self._settle()
        tail = self._text[self._cut :]
        self._coalescer.period = self._period if len(tail) <= _SHORT_TAIL else max(self._period, 0.1)
        self._show(safe(close_open(tail)))

    def _settle(self) -> None:
        """Make a block of what is final, where the tail has grown long."""
        limit = max(_BLOCK, self._size // (12 if len(self._displays) < _MANY else 4))
        if len(self._text) - self._cut <= limit:
            return
        cut = settled(self._text, self._cut)
        if cut == self._cut:
            cut = settled(self._text, self._cut, items=True)
        if cut > self._cut:
            self._show(safe(self._text[self._cut : cut]))
            self._cut = cut
            self._fresh = True
            return
        parts = split_fence(self._text[self._cut :])
        if parts is not None:
            block, rest = parts
            self._show(safe(block))
            self._text, self._cut = rest, 0  # the rest begins with the fence opened again
            self._fresh = True

    def _think(self, text: str) -> None:
        if self._thinking_since is None:
            self._thinking_since = self._clock()
            self._show(self._thinking_line())
        self._thinking.append(text)
        self._thought_until = self._clock()

    def _end_thinking(self) -> None:
        """Fold away what was thought, at the first words of the answer."""
        if self._thinking_since is None:
            return
        if self._show_thinking and not self._text:
            thought = thinking_block("".join(self._thinking), self._thought_until - self._thinking_since)
            if thought:
                self._show(thought)
                self._fresh = True
        self._thinking_since = None

    def _replace(self, text: str, thinking: str) -> None:
        """Begin anew with a corrected text: its blocks stand in place of the earlier ones."""
        self._coalescer.stop()
        for display in self._displays[1:]:
            self._update(display, {"text/plain": ""})
        del self._displays[1:]
        self._fresh = False
        self._size = 0
        self._thinking = [thinking]
        self._thinking_since = None
        self._text, self._cut = "", 0
        if thinking and self._show_thinking:
            self._show(thinking_block(thinking, max(0.0, self._thought_until - self._opened)))
            self._fresh = True
        self._coalescer.write(text)

    def _status_line(self) -> str:
        seconds = self._clock() - self._opened
        since = f" · {seconds:.0f} s" if seconds >= 1 else ""
        return f"*{literal(self._label)} · {literal(self._note)}{since}*"

    def _thinking_line(self) -> str:
        assert self._thinking_since is not None  # noqa: S101 - asked only while it thinks
        line = f"*{literal(self._label)} · thinking · {self._clock() - self._thinking_since:.0f} s*"
        if not self._show_thinking:
            return line
        newest = " ".join("".join(self._thinking[-_THOUGHT:]).split())[-_THOUGHT:]
        return f"{line}\n\n> {literal(newest)}" if newest else line

    def _clear(self) -> None:
        """Take away what was shown: an error comes in its place."""
        if self._exclusive:
            self._publisher.clear_output(wait=True)
            return
        for display in self._displays:
            self._update(display, {"text/plain": ""})

    def _show(self, markdown: str) -> None:
        """Change the last display, or add one below it where the last is settled."""
        data = {"text/markdown": markdown, "text/plain": ""}
        if self._fresh:
            self._fresh = False
            self._displays.append(uuid.uuid4().hex)
            self._publisher.publish(data, transient={"display_id": self._displays[-1]})
        else:
            self._update(self._displays[-1], data)

    def _update(self, display: str, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._publisher.publish(data, metadata=metadata or {}, transient={"display_id": display}, update=True)
