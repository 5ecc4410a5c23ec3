"""Markdown that grows in a terminal as plain text; each block is rendered in its place once it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable

from .._markdown.blocks import settled, split_fence
from ._rows import rows_down


class InPlace:
    """Writes a growing text, and over it.

    What has left the screen, or stands on rows that cannot be counted for sure, stays as it was written.

    Args:
        write: Shows more text, at once.
        size: Gives the terminal's size.
        colors: Whether code may have colours.
    """

    def __init__(
        self, write: Callable[[str], object], size: Callable[[], os.terminal_size], *, colors: bool = True
    ) -> None:
        self._write = write
        self._size_now = size
        self._colors = colors
        self._size = size()
        self._source = ""  # of the block that grows
        self._shown = ""  # what stands on the screen for it, from the start of a row
        self._goes_on = False  # whether it is the rest of a fence

    @property
    def growing(self) -> bool:
        """Whether a block has begun."""
        return bool(self._source)

    def add(self, text: str) -> None:
        """Write more text, without control characters but line ends and tabs."""
        if not self._source:
            self._size = self._size_now()
        self._write(text)
        self._source += text
        self._shown += text
        if "\n" in text or "\n" in self._source[-len(text) - 2 :]:
            self._settle()

    def close(self) -> None:
        """Write the last block again."""
        if self._source:
            self._rewrite(self._source, "")
        self.leave()

    def leave(self) -> None:
        """Let what stands there stand: something else comes below it."""
        self._source = self._shown = ""
        self._goes_on = False

    def _settle(self) -> None:
        """Write what is whole again; also of a fence, before it leaves the screen."""
        source = self._source
        if cut := settled(source):
            self._rewrite(source[:cut], source[cut:])
            self._source = self._shown = source[cut:]
            self._goes_on = False
        elif self._shown.count("\n") > self._size.lines // 2 and (halves := split_fence(source)) is not None:
            rest = halves[1].partition("\n")[2]
            self._rewrite(f"{halves[0]}\n", rest)
            self._source, self._shown = halves[1], rest
            self._goes_on = True
        else:
            return
        self._size = self._size_now()

    def _rewrite(self, done: str, rest: str) -> None:
        """Write a block rendered, and what follows it as it is, over both as they are."""
        from ._ansi import ansi

        size = self._size_now()
        up = rows_down(self._shown, size.columns)
        if up is None or up >= size.lines - 1 or size != self._size:
            return
        back = f"\r\x1b[{up}A" if up else "\r"
        self._write(f"{back}\x1b[J{ansi(done, size.columns, colors=self._colors, goes_on=self._goes_on)}{rest}")
