"""Safe HTML of a text, whole or while it grows, for the panel and for exports."""

from __future__ import annotations

import html
import re

from .._markdown.blocks import ITEM, Fence, close_open, code_line, cuts, fences, formula
from .._values import dataclass
from ._document import normal, render, render_normal

__all__ = ["Growing", "Step", "render"]

_LONG = 400
"""Characters of what is not settled from which its beginning is put into blocks for the time being."""
_LONG_TABLE = 800
"""The same for a table, whose columns jump each time."""
_FIRST_COLORS = 400
"""Characters of an open fence's code at which it gets colours for the second time; then whenever it has doubled."""
_SHARE = 32
"""What cannot be divided is rendered again when it has grown by this part, so that all of it costs in proportion."""
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t:|-]*)?")


@dataclass(frozen=True, slots=True)
class Step:
    """What is new since the last step. A page holds a list of blocks, and a tail below them.

    It keeps the first `keep` blocks and removes the others; puts `blocks` behind them, each in an element of its
    own; appends `code`, if there is any, to the last `<code>` within the last block, as text (a text node,
    never as HTML); and shows `tail` in place of the tail before.

    Attributes:
        keep: How many of the blocks so far stay. Fewer than all where something that ended gets its final
            form (a fence its colours, a long list or table its parts joined) or the wire corrected itself.
        blocks: HTML of the blocks that follow.
        tail: HTML of what is not settled: all of it, not only what is new. Where it is the same as in the step
            before it need not be sent.
        code: More text of a fence that is open, whose beginning stands in the last block.
    """

    keep: int
    blocks: tuple[str, ...]
    tail: str
    code: str = ""


class Growing:
    """One growing text, an answer or a thought: what is settled of it is rendered once.

    Blocks are settled where `_markdown.blocks.cuts` says so, hence the same ones however the text was cut
    into pieces. Below them, what is not settled costs in proportion to the text too: the code of an open fence
    is sent as it comes, a long list or table stands in provisional blocks until it ends, and what cannot be
    divided is rendered more rarely the longer it is.
    """

    def __init__(self) -> None:
        self._shown: list[str] = []  # the blocks that were taken
        self._sure = 0  # how many of them will not change
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._written: list[str] = []
        self._new: list[str] = []  # not looked at yet
        self._held = ""  # a carriage return that may yet be half a line end
        self._settled: list[str] = []
        self._rest: list[str] = []  # the text that is in no settled block, in pieces
        self._pieces: list[str] = []  # provisional blocks
        self._from = 0  # where in that text the tail begins, behind those blocks
        self._context = ""  # Markdown that the tail needs before it: a table's head
        self._code: _Code | None = None
        self._tail = ""
        self._seen = 0  # how long that text was when the tail was rendered

    @property
    def blocks(self) -> tuple[str, ...]:
        """HTML of all blocks as of the last step, provisional ones and their code included."""
        return (*self._shown[:-1], self._code.html()) if self._code else tuple(self._shown)

    @property
    def tail(self) -> str:
        """HTML below the blocks as of the last step."""
        return self._tail

    def write(self, text: str) -> None:
        """Take more text; nothing is rendered before the next step.

        Raises:
            ValueError: After `close`.
        """
        if self._closed:
            msg = "This text is closed."
            raise ValueError(msg)
        self._written.append(text)
        self._new.append(text)

    def replace(self, text: str) -> None:
        """Take the whole so far in place of all that was written: the wire corrected itself.

        Raises:
            ValueError: After `close`.
        """
        said = "".join(self._written)
        if not text.startswith(said):
            self._end_code()
            self._begin()
            self._sure, said = 0, ""
        self.write(text[len(said) :])

    def take(self) -> Step:
        """Give what is new since the last step."""
        if new := self._next():
            self._rest.append(new)
            if self._code is None or self._code.feed(new):
                self._look()
        return self._step()

    def close(self) -> Step:
        """Settle all; what is open is closed. A second call gives a step without anything new."""
        if not self._closed:
            self._closed = True
            self._rest.append(self._next())
            self._end_code()
            self._add(close_open(self._settle("".join(self._rest))))
            self._rest.clear()
            self._pieces.clear()
            self._tail = ""
        return self._step()

    def _next(self) -> str:
        """Give what was written and not looked at."""
        new = self._held + "".join(self._new)
        self._new.clear()
        self._held = "\r" if new.endswith("\r") and not self._closed else ""
        return normal(new[: len(new) - len(self._held)])

    def _look(self) -> None:
        """Find what is settled, what can stand in blocks for the time being, and render the tail."""
        if self._end_code():
            self._seen = 0
        text = "".join(self._rest)
        length = len(text) - self._from
        if length > _LONG and (len(text) - self._seen) * _SHARE < length:
            return
        text = self._settle(text)
        self._rest = [text]
        self._seen = len(text)
        tail = text[self._from :]
        if len(tail) > _LONG and (joint := _joint(tail, self._context)):
            self._pieces.append(render_normal(self._context + tail[: joint.at]))
            self._from += joint.at
            self._context, tail = joint.context, tail[joint.at :]
        tail = self._context + tail if tail.strip() else ""
        self._code = _open_code(tail)
        self._tail = "" if self._code else render_normal(close_open(tail, growing=True))

    def _settle(self, text: str) -> str:
        """Render the blocks that are settled now; give the rest."""
        at = 0
        for cut in cuts(text):
            self._add(text[at:cut])
            at = cut
        if at:
            self._pieces.clear()
            self._from, self._context = 0, ""
        return text[at:]

    def _add(self, text: str) -> None:
        if written := render_normal(text):
            self._settled.append(written)

    def _end_code(self) -> bool:
        """Forget the open fence, if there is one, but not what was shown of it."""
        if self._code is None:
            return False
        self._shown[-1] = self._code.html()
        self._code = None
        return True

    def _step(self) -> Step:
        """Compare with what was taken before."""
        sure, self._sure = self._sure, len(self._settled)
        blocks = [*self._settled[sure:], *self._pieces, *([self._code.base] if self._code else [])]
        same = 0
        for before, now in zip(self._shown[sure:], blocks, strict=False):
            if before != now:
                break
            same += 1
        self._shown[sure:] = blocks
        code = self._code.take() if self._code else ""
        return Step(sure + same, tuple(blocks[same:]), self._tail, code)


@dataclass(frozen=True, slots=True)
class _Joint:
    """A place where a text may be divided for the time being, and the Markdown that what follows needs before it."""

    at: int
    context: str = ""


def _joint(text: str, context: str) -> _Joint | None:
    """Find the last joint: behind a fence in column 0, before an item of a list, between rows of a table."""
    lines = text.split("\n")
    inside = [False] * (len(lines) + 1)
    behind: set[int] = set()
    at = 0
    for fence in [*fences(lines), None]:
        stop = fence.first if fence else len(lines)
        while at < stop:
            end = formula(lines, at, stop)
            end = len(lines) if end is None else end
            inside[at + 1 : end] = [True] * (end - at - 1)
            at = max(at + 1, end)
        if fence:
            inside[stop : fence.after] = [True] * (fence.after - stop)
            at = fence.after
            if not fence.head and fence.closed:
                behind.add(at)
    place = len(text) + 1
    for number in range(len(lines) - 1, 0, -1):
        place -= len(lines[number]) + 1
        if number in behind or (not inside[number] and ITEM.match(lines[number])):
            return _Joint(place)
        if lines[number].startswith("|") and not inside[number] and len(text) > _LONG_TABLE:
            head = _head(lines, number, context)
            return _Joint(place, head) if head else None
    return None


def _head(lines: list[str], number: int, context: str) -> str:
    """Give the two lines that begin the table which a row belongs to; empty for one of its first rows."""
    first = number
    while first and lines[first - 1].startswith("|"):
        first -= 1
    if not first and context:
        return context if number else ""
    if number - first > 2 and _RULE.fullmatch(lines[first + 1]):  # noqa: PLR2004 - head, rule and a row
        return f"{lines[first]}\n{lines[first + 1]}\n"
    return ""


def _open_code(text: str) -> _Code | None:
    """Give the code that a text ends in; None if there is none whose lines can be told apart as they come."""
    lines = text.split("\n")
    found = fences(lines)
    if not found or found[-1].closed or ">" in found[-1].head or found[-1].first == len(lines) - 1:
        return None
    return _Code(text, found[-1])


class _Code:
    """The code of an open fence: the block as it was last rendered, and the code that has come since.

    Args:
        text: Markdown up to the fence and into it, its line whole.
        fence: The fence.
    """

    def __init__(self, text: str, fence: Fence) -> None:
        self._run = fence.run
        self._width = len(fence.head.expandtabs(4))
        self._text = [text]
        self._last = text.rpartition("\n")[2]  # the newest line
        self._begun = len(fence.code) > 1  # whether there is a whole line
        self._size = sum(map(len, fence.code))
        self._render()

    def _render(self) -> None:
        """Render all that has come, its newest line too if that is sure to be code."""
        text = "".join(self._text)
        if not self._is_sure():
            text = text[: len(text) - len(self._last)].removesuffix("\n")
        self._ahead = len(self._last) if self._is_sure() else 0  # characters of that line which are shown
        self.base = render_normal(close_open(text))
        self._end = self.base.rindex("</code>")
        self._limit = max(_FIRST_COLORS, 2 * self._size)
        self._more: list[str] = []
        self._taken = 0

    def _is_sure(self) -> bool:
        """Tell whether the newest line can be shown as it stands: it has no depth and will not close the fence."""
        bare = self._last.lstrip(" \t")
        return bool(bare) and not self._width and bare[0] != self._run[0]

    def feed(self, text: str) -> bool:
        """Take more text; tell whether it closes the fence."""
        self._text.append(text)
        *whole, self._last = (self._last + text).split("\n")
        for line in whole:
            code = code_line(line, self._run, self._width)
            if code is None:
                return True
            self._put(code)
            self._ahead, self._begun = 0, True
        if self._is_sure():
            self._put(self._last)
            self._ahead = len(self._last)
        if self._size > self._limit:
            self._render()
        return False

    def _put(self, line: str) -> None:
        """Show a line, or more of it."""
        more = line[self._ahead :] if self._ahead or not self._begun else f"\n{line}"
        self._more.append(more)
        self._size += len(more)

    def take(self) -> str:
        """Give the code that has come since it was last asked for."""
        new = "".join(self._more[self._taken :])
        self._taken = len(self._more)
        return new

    def html(self) -> str:
        """Write the block with all the code that was taken."""
        more = html.escape("".join(self._more[: self._taken]), quote=False)
        return f"{self.base[: self._end]}{more}{self.base[self._end :]}"
