"""A reply while it grows: which Markdown stands in finished blocks, which may still change; shows nothing."""

from __future__ import annotations

from typing import assert_never

from .._compose import block, thinking_block
from .._events import Event, Finished, Part, Replace, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from .._markdown.blocks import close_open, settled, split_fence
from .._markdown.links import literal
from .._markdown.safe import safe
from .._values import dataclass

_SOON, _LATE = 0.7, 1.3
"""From which part of its length a tail is cut where that moves nothing that was shown, and from which in any case."""
_NEWEST = 160
"""Characters of the newest thought that are shown while the model thinks."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What to paint.

    Attributes:
        finished: Blocks of Markdown that will not change any more, since the last frame.
        tail: The Markdown below them, which the next frame repaints.
        anew: Whether all earlier blocks are void.
        moves: Whether some of the tail was shown before, as the end of the last of these blocks.
    """

    finished: list[str]
    tail: str
    anew: bool
    moves: bool = False


class Draft:
    """Takes a reply's events in and gives frames of it.

    Args:
        show_thinking: Whether thoughts are shown.
    """

    def __init__(self, *, show_thinking: bool = True) -> None:
        self._show_thinking = show_thinking
        self._anew = False
        self._forget()

    def _forget(self) -> None:
        """Begin with nothing said."""
        self.size = 0
        self.thinking_since: float | None = None
        self._text: list[str] = []  # all of it, as it came
        self._tail: list[str] = []  # what of it stands in no finished block yet
        self._shown = 0  # characters of the tail that were shown
        self._above = ""  # safe Markdown above the tail, in no finished block yet either
        self._thoughts: list[str] = []
        self._thought_until = 0.0
        self._thinking = ""  # what was thought before
        self._parts: list[Part] = []
        self._calling = ""

    @property
    def started(self) -> bool:
        """Whether anything has come that is shown."""
        return bool(self._text or self._above or self._calling or self.thinking_since is not None)

    def add(self, event: Event, now: float) -> None:
        """Take one event in.

        Args:
            event: The event.
            now: Seconds on the clock that all times here are on.
        """
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
            case Usage() | Finished():
                pass  # shown with the whole, at the end
            case _:
                assert_never(event)

    def frame(self, limit: float, now: float) -> Frame:
        """Give what to paint; a tail of about `limit` characters is cut where it can be."""
        finished = []
        tail = "".join(self._tail)
        halves, moves = self._cut(tail, (len(self._above) + len(tail)) / limit)
        if halves is not None:
            finished.append(_join(self._above, safe(halves[0])))
            self._above, tail = "", halves[1]
        self._tail = [tail]
        self._shown = len(tail.rstrip("\n"))
        anew, self._anew = self._anew, False
        growing = _join(self._above, safe(close_open(tail, growing=True)), self._live(now))
        return Frame(finished, growing, anew, moves)

    def _cut(self, tail: str, length: float) -> tuple[tuple[str, str] | None, bool]:
        """Cut a tail, the later the better: best is where a paragraph has just begun, then an item of a list.

        Args:
            tail: The tail.
            length: How long it is with what is above it, in parts of how long it may be.

        Returns:
            Its two parts, or None where it is not cut; whether some of the second was shown before.
        """
        if length < _SOON:
            return None, False
        cut = settled(tail)
        if length > 1 and cut < self._shown:
            item = settled(tail, items=True)
            cut = item if cut == 0 or item >= self._shown else cut
        if cut and cut >= self._shown:
            return (tail[:cut], tail[cut:]), False
        if length <= _LATE:
            return None, False
        return ((tail[:cut], tail[cut:]) if cut or self._above else split_fence(tail)), True

    def _live(self, now: float) -> str:
        """Tell what goes on that is no text."""
        if self.thinking_since is None:
            return f"*calling {literal(self._calling)} …*" if self._calling else ""
        line = f"*thinking · {now - self.thinking_since:.0f} s*"
        newest = " ".join("".join(self._thoughts[-_NEWEST:]).split())[-_NEWEST:]
        return f"{line}\n\n> {literal(newest)}" if newest and self._show_thinking else line

    def _grow(self, text: str) -> None:
        self._text.append(text)
        self._tail.append(text)
        self.size += len(text)

    def _end_thinking(self) -> None:
        """Fold away what was thought, at the first words that are no thought."""
        if self.thinking_since is None:
            return
        thought = "".join(self._thoughts)
        if self._show_thinking:
            self._freeze(thinking_block(thought, self._thought_until - self.thinking_since))
        self._thinking += thought
        self._thoughts.clear()
        self.thinking_since = None

    def _put(self, part: Part) -> None:
        """Show a part below all that has come; the end shows a part that comes again, in its place."""
        if part.id and any((part.id, part.kind) == (other.id, other.kind) for other in self._parts):
            return
        self._end_thinking()
        self._parts.append(part)
        self._freeze(block(part))

    def _freeze(self, markdown: str) -> None:
        """Put finished Markdown below the text so far."""
        if markdown:
            self._above = _join(self._above, safe(close_open("".join(self._tail))), markdown)
            self._tail.clear()
            self._shown = 0
            self.size += len(markdown)

    def _replace(self, text: str, thinking: str, now: float) -> None:
        """Go on where the correction only adds; else begin anew."""
        said, thought = "".join(self._text), self._thinking + "".join(self._thoughts)
        if text.startswith(said) and thinking == thought:
            if len(text) > len(said):
                self._end_thinking()
                self._grow(text[len(said) :])
            return
        since, parts = self.thinking_since, self._parts
        self._forget()
        self._anew = True
        if thinking:
            self.thinking_since = now if since is None else since
            self._thoughts, self._thought_until = [thinking], now
        if text or not thinking:
            self._end_thinking()
        for part in parts:
            self._put(part)
        if text:
            self._grow(text)


def _join(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block)
