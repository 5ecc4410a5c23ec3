"""Safe HTML of a text, whole or while it grows, for the panel and for exports."""

from __future__ import annotations

import html
from itertools import takewhile
from operator import eq

from msgspec import Struct

from .._markdown.fences import Fence, fences
from .._markdown.sanitize import normal
from .._markdown.stable import close_open, cuts, settled
from .document import render

__all__ = ["Growing", "Step", "render"]

_LONG = 400
"""Characters of what is not settled from which its beginning is put into provisional blocks where it can be."""
_FIRST_COLORS = 400
"""Characters of an open fence's code at which it is coloured again; from there on whenever it has doubled."""
_SHARE = 32
"""What cannot be divided is rendered again when it has grown by this part, so that all of it costs in proportion."""


class Step(Struct, frozen=True):
    """What is new since the last step. A page holds a list of blocks, and a tail below them.

    It keeps the first `keep` blocks and removes the others; puts `blocks` behind them, each in an element of its
    own; appends `code`, if there is any, to the last `<code>` within the last block, as text (a text node,
    never as HTML); and shows `tail` in place of the tail before.

    Attributes:
        keep: How many of the blocks so far stay. Fewer than all where something that ended gets its final form (a fence
            its colours, a long list its parts joined) or the service corrected itself.
        blocks: HTML of the blocks that follow.
        tail: HTML of what is not settled: all of it, not only what is new. Where it is the same as in the step before
            it need not be sent.
        code: More text of a fence that is open, whose beginning stands in the last block.
    """

    keep: int
    blocks: tuple[str, ...]
    tail: str
    code: str = ""


class Growing:
    """One growing text, an answer or its thinking. What is settled of it is rendered once.

    Blocks are settled where `cuts` says so, hence the same ones however the text was cut into pieces. What is not
    settled costs in proportion to the text too: the code of an open fence is sent as it comes, a long list stands in
    provisional blocks until it ends, and what cannot be divided is rendered more rarely the longer it is.
    """

    def __init__(self) -> None:
        self._shown: list[str] = []  # the blocks of the last step, without the code that was appended to the last one
        self._final = 0  # how many of them will not change
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._written: list[str] = []
        self._new: list[str] = []  # not looked at yet
        self._return = ""  # a carriage return that may be half a line end
        self._settled: list[str] = []  # HTML of the blocks that are settled
        self._rest = ""  # the text behind them
        self._pieces: list[str] = []  # HTML of the provisional blocks
        self._from = 0  # where in the rest the tail begins, behind the provisional blocks
        self._code: _Code | None = None  # the open fence in which the tail ends
        self._tail = ""
        self._seen = 0  # length of the rest when the tail was rendered
        self._searched = 0  # and when settled blocks were looked for

    @property
    def blocks(self) -> tuple[str, ...]:
        """HTML of all blocks as of the last step, provisional ones and their code included."""
        return (*self._shown[:-1], self._code.html()) if self._code else tuple(self._shown)

    @property
    def tail(self) -> str:
        """HTML below the blocks as of the last step."""
        return self._tail

    def write(self, text: str) -> None:
        """Add text; nothing is rendered before the next step.

        Raises:
            ValueError: After `close`.
        """
        if self._closed:
            raise ValueError("This text is closed.")
        self._written.append(text)
        self._new.append(text)

    def replace(self, text: str) -> None:
        """Put a text in the place of all that was written.

        Raises:
            ValueError: After `close`.
        """
        before = "".join(self._written)
        if not text.startswith(before):
            self._end_code()
            self._reset()
            self._final, before = 0, ""
        self.write(text[len(before) :])

    def take(self) -> Step:
        """Return what is new since the last step."""
        if new := self._next():
            self._rest += new
            if self._code is None or not self._code.extend(new):
                self._look()
        return self._step()

    def close(self) -> Step:
        """Settle all, what is open closed, and return the last step; from a second call on, one with nothing new."""
        if not self._closed:
            self._closed = True
            self._rest += self._next()
            self._end_code()
            self._settle()
            self._add(close_open(self._rest))
            self._pieces.clear()
            self._tail = ""
        return self._step()

    def _next(self) -> str:
        """Return what was written since the last call, with one kind of line end."""
        new = self._return + "".join(self._new)
        self._new.clear()
        self._return = "\r" if new.endswith("\r") and not self._closed else ""
        return normal(new[: len(new) - len(self._return)])

    def _look(self) -> None:
        """Find what is settled and what can stand in provisional blocks, and render the tail."""
        length = len(self._rest) - self._from
        if not self._code and length > _LONG and (len(self._rest) - self._seen) * _SHARE < length:
            return
        self._settle()
        self._seen = len(self._rest)
        tail = self._rest[self._from :]
        if len(tail) > _LONG and (cut := settled(tail, items=True)):
            self._pieces.append(render(tail[:cut]))
            self._from += cut
            tail = tail[cut:]
            self._end_code()
        lines = tail.split("\n")
        fence = _open_fence(lines)
        if self._code and not (fence and fence.first == self._code.first):
            self._end_code()
        if fence:
            self._code = self._code or _Code(fence.first)
            self._code.update(lines, fence)
        self._tail = "" if fence else render(close_open(tail, growing=True))

    def _settle(self) -> None:
        """Render the blocks that are settled now; of those that show already, as provisional ones, that can wait."""
        length = len(self._rest)
        if self._pieces and not self._closed and (length - self._searched) * _SHARE < length:
            return
        at = 0
        for cut in cuts(self._rest):
            self._add(self._rest[at:cut])
            at = cut
        if at:
            self._rest = self._rest[at:]
            self._pieces.clear()
            self._from = 0
            self._end_code()
        self._searched = len(self._rest)

    def _add(self, text: str) -> None:
        if written := render(text):
            self._settled.append(written)

    def _end_code(self) -> None:
        """Forget the open fence, if there is one, but not what was shown of it."""
        if self._code is not None:
            self._shown[-1:] = [self._code.html()] if self._shown else []
            self._code = None

    def _step(self) -> Step:
        """Compare the blocks with those of the last step."""
        final, self._final = self._final, len(self._settled)
        blocks = [*self._settled[final:], *self._pieces, *([self._code.base] if self._code else [])]
        same = sum(takewhile(bool, map(eq, self._shown[final:], blocks)))
        self._shown[final:] = blocks
        code = self._code.take() if self._code else ""
        return Step(final + same, tuple(blocks[same:]), self._tail, code)


def _open_fence(lines: list[str]) -> Fence | None:
    """Return the fence that a text ends in; None if there is none whose lines can be told apart as they come."""
    found = fences(lines)
    if not found or found[-1].closed or ">" in found[-1].head or found[-1].first == len(lines) - 1:
        return None
    return found[-1]


class _Code:
    """The code of an open fence: the block as it was last rendered, and the code that has come since.

    Attributes:
        first: Index of the line that opens the fence.
        base: HTML of the block as it was last rendered.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.base = ""
        self._limit = 0  # length of the code at which it is rendered again
        self._in_base = 0  # characters of the code that the base holds
        self._taken = 0  # characters of the code that a page has
        self._all = ""  # the code that has come, without the depth of the fence
        self._code = ""  # what of it is shown
        self._run = ""  # the run that opened the fence; empty if the fence has a depth

    def update(self, lines: list[str], fence: Fence) -> None:
        """Take the lines of the text so far; they end in the fence."""
        self._run = "" if fence.head else fence.run
        self._all = "\n".join(fence.code)
        is_sure = self._show()
        if not self.base or len(self._code) > self._limit:
            self.base = render(close_open("\n".join(lines if is_sure else lines[:-1])))
            self._limit = max(_FIRST_COLORS, 2 * len(self._code))
            self._in_base = self._taken = len(self._code)

    def extend(self, text: str) -> bool:
        """Take more text if it can only be code, and return whether it was taken; else `update` must be called."""
        if not self._run or len(self._all) + len(text) > self._limit:
            return False
        newest = self._all.rpartition("\n")[2]
        if any(line.lstrip(" \t").startswith(self._run[0]) for line in f"{newest}{text}".split("\n")):
            return False  # it may end the fence
        self._all += text
        self._show()
        return True

    def _show(self) -> bool:
        """Show the code, and return whether that is all: the newest line may have a depth or close the fence yet."""
        newest = self._all.rpartition("\n")[2]
        is_sure = bool(self._run and newest.strip(" \t")) and newest.lstrip(" \t")[0] != self._run[0]
        self._code = self._all if is_sure else self._all[: len(self._all) - len(newest)].removesuffix("\n")
        return is_sure

    def take(self) -> str:
        """Return the code that has come since the last call."""
        new, self._taken = self._code[self._taken :], len(self._code)
        return new

    def html(self) -> str:
        """Return the block with all the code that was taken."""
        end = self.base.rindex("</code>")
        more = html.escape(self._code[self._in_base : self._taken], quote=False)
        return f"{self.base[:end]}{more}{self.base[end:]}"
