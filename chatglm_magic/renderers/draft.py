"""A reply while it grows: which Markdown stands in finished blocks and which may still change; no I/O."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from .._events import (
    Event,
    Finished,
    Part,
    PartialValue,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolResult,
    ToolStarted,
    Usage,
)
from .._language import tr, trn
from .._markdown.links import literal
from .._markdown.reply_markdown import block, in_order, run_block, thinking_block
from .._markdown.sanitize import safe
from .._markdown.stable import close_open, settled, split_fence
from .._markdown.table import Table, Tabular

_SOON, _LATE = 0.7, 1.3
"""Parts of its limit from which a tail is cut where nothing moves that was shown, and from which in any case."""
_NEWEST = 160
"""Characters of the newest thinking that are shown while the model thinks."""
_FENCE = "~" * 20
"""Longer than any that a model writes, so that nothing in its text closes it."""


class Frame(Struct, frozen=True):
    """What to paint.

    Attributes:
        finished: Blocks of Markdown that have become final since the last frame.
        tail: The Markdown below them, which the next frame repaints.
        anew: Whether all earlier blocks are void.
    """

    finished: list[str]
    tail: str
    anew: bool


class Draft:
    """Adds events up and returns frames.

    Args:
        show_thinking: Whether thinking is shown.
        fence: The language of a fence around the answer, for one that is no Markdown; empty for none.

    Attributes:
        size: Characters so far.
        thinking_since: When the thinking that goes on began; None where none does.
    """

    def __init__(self, *, show_thinking: bool = True, fence: str = "") -> None:
        self._show_thinking = show_thinking
        self._head = f"{_FENCE}{fence}\n" if fence else ""
        self._anew = False
        self._reset()

    def _reset(self) -> None:
        self.size = 0
        self.thinking_since: float | None = None
        self._text: list[str] = []  # all of the answer
        self._tail: list[str] = []  # what of it stands in no finished block
        self._shown = 0  # characters of the tail that were shown
        self._above = ""  # safe Markdown above the tail that stands in no finished block either
        self._thoughts: list[str] = []
        self._thought_until = 0.0
        self._thinking = ""  # earlier thinking
        self._parts: list[Part] = []
        self._calling = ""
        self._runs: list[ToolResult] = []

    @property
    def started(self) -> bool:
        """Whether there is anything to show."""
        return bool(self._text or self._above or self._calling or self.thinking_since is not None)

    @property
    def stage(self) -> tuple[bool, ...]:
        """What differs where a person has waited for what comes now: it is painted at once."""
        return self.started, self.thinking_since is None

    def add(self, event: Event, now: float) -> None:
        """Add one event; `now` is in seconds on the clock that `frame` gets too."""
        match event:
            case TextDelta(text):
                self._end_thinking()
                self._grow(text)
            case ThinkingDelta(text):
                if self.thinking_since is None:
                    self.thinking_since = now
                self._thoughts.append(text)
                self._thought_until = now
            case Replace(text, thinking):
                self._replace(text, thinking, now)
            case Part():
                self._put(event)
            case ToolCallDelta(name=name):
                self._end_thinking()
                self._calling = name or self._calling
            case ToolStarted(call):
                self._end_thinking()
                self._calling = call.name
            case ToolResult():
                self._end_thinking()
                self._calling = ""
                self._runs.append(replace(event, offset=sum(map(len, self._text))))
                self._freeze(run_block(event))
            case PartialValue() | Usage() | Finished():
                pass  # shown with the whole, at the end
            case _:
                assert_never(event)

    def frame(self, limit: float, now: float) -> Frame:
        """Return what to paint; a tail of about `limit` characters is cut where it can be."""
        finished = []
        tail = "".join(self._tail)
        halves = self._cut(tail, (len(self._above) + len(tail)) / limit)
        if halves is not None:
            finished.append(_join(self._above, safe(halves[0])))
            self._above, tail = "", halves[1]
        self._tail = [tail]
        self._shown = len(tail.rstrip("\n"))
        anew, self._anew = self._anew, False
        growing = _join(self._above, safe(close_open(tail, growing=True)), self._activity(now))
        return Frame(finished, growing, anew)

    def _cut(self, tail: str, length: float) -> tuple[str, str] | None:
        """Cut a tail as late as possible: best where a paragraph has just begun, else where an item of a list has.

        `length` is its length with what is above it, in parts of the limit. Return None where it is not cut.
        """
        if length < _SOON:
            return None
        begun = tail.rstrip("\n")  # a cut at the end would leave an output with nothing in it
        cut = settled(begun)
        if length > 1 and cut < self._shown:
            item = settled(begun, items=True)
            cut = item if cut == 0 or item >= self._shown else cut
        if cut and cut >= self._shown:
            return tail[:cut], tail[cut:]
        if length <= _LATE:
            return None
        return (tail[:cut], tail[cut:]) if cut or self._above else split_fence(tail)

    def _activity(self, now: float) -> str:
        """Return what goes on besides the answer: a call, or the newest thinking."""
        if self.thinking_since is None:
            return "*" + tr("calling {name} …", name=literal(self._calling)) + "*" if self._calling else ""
        line = "*" + tr("thinking · {seconds:.0f} s", seconds=now - self.thinking_since) + "*"
        newest = " ".join("".join(self._thoughts[-_NEWEST:]).split())[-_NEWEST:]
        return f"{line}\n\n> {literal(newest)}" if newest and self._show_thinking else line

    def _grow(self, text: str) -> None:
        self._tail.append(text if any(self._tail) else self._head + text)
        self._text.append(text)
        self.size += len(text)

    def _end_thinking(self) -> None:
        """Fold the thinking away, with the first event that is none."""
        if self.thinking_since is None:
            return
        thinking = "".join(self._thoughts)
        if self._show_thinking:
            self._freeze(thinking_block(thinking, self._thought_until - self.thinking_since))
        self._thinking += thinking
        self._thoughts.clear()
        self.thinking_since = None

    def _put(self, part: Part) -> None:
        """Show a part below all that has come. One that comes again is shown in its place at the end."""
        if part.id and any((part.id, part.kind) == (other.id, other.kind) for other in self._parts):
            return
        self._end_thinking()
        self._parts.append(part)
        self._freeze(block(part))

    def _freeze(self, markdown: str) -> None:
        """Put Markdown that is final below the text so far."""
        if markdown:
            self._above = _join(self._above, safe(close_open("".join(self._tail))), markdown)
            self._tail.clear()
            self._shown = 0
            self.size += len(markdown)

    def _replace(self, text: str, thinking: str, now: float) -> None:
        """Go on where a correction only adds; else begin anew."""
        said, thought = "".join(self._text), self._thinking + "".join(self._thoughts)
        if text.startswith(said) and thinking == thought:
            if len(text) > len(said):
                self._end_thinking()
                self._grow(text[len(said) :])
            return
        since, parts, runs = self.thinking_since, self._parts, self._runs
        self._reset()
        self._anew = True
        if thinking:
            self.thinking_since = now if since is None else since
            self._thoughts, self._thought_until = [thinking], now
        if text or not thinking:
            self._end_thinking()
        self._runs = runs
        for part in parts:
            self._put(part)
        for piece in in_order(text, runs):
            if isinstance(piece, str):
                self._grow(piece)
            else:
                self._freeze(run_block(piece))


class ValueDraft(Draft):
    """The same for an answer that is a value: its table in place of the text.

    Args:
        schema: What the answer has to be.
        show_thinking: Whether thinking is shown.
    """

    def __init__(self, schema: Tabular, *, show_thinking: bool = True) -> None:
        super().__init__(show_thinking=show_thinking)
        self._schema = schema
        self._length = 0
        self._value: Any = None

    @property
    def started(self) -> bool:
        """Whether there is anything to show."""
        return bool(self._length) or super().started

    @property
    def stage(self) -> tuple[bool, ...]:
        """The same, and whether there is a row."""
        return *super().stage, self._value is not None

    def add(self, event: Event, now: float) -> None:
        """Add one event."""
        match event:
            case TextDelta(text):
                self._end_thinking()
                self._length += len(text)
            case Replace(text):
                self._end_thinking()
                self._length, self._value = len(text), None
            case PartialValue(value):
                self._value = value
            case _:
                super().add(event, now)

    def frame(self, limit: float, now: float) -> Frame:
        """Return what to paint: the newest rows of the table, or how much is written before there is one."""
        frame = super().frame(limit, now)
        if self._value is not None:
            shown = Table.of(self._schema, self._value, growing=True).markdown()
        elif self._length:
            shown = "*" + trn("writing · {count} character", "writing · {count} characters", self._length) + "*"
        else:
            return frame
        return Frame(frame.finished, _join(frame.tail, shown), frame.anew)


def _join(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks))
