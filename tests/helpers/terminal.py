"""A terminal as far as our renderers use one: wrapped rows, a scrolling screen, a cursor that moves up."""

from __future__ import annotations

import re
import unicodedata

_PIECE = re.compile(r"\x1b\[(\d*)A|\x1b\[J|\x1b\[2K|\x1b\[[\d;]*m|\r|\n|[^\x1b]", re.DOTALL)


class Terminal:
    """Shows what is written to it.

    Attributes:
        rows: All rows, also those that have left the screen.
    """

    def __init__(self, columns: int = 40, lines: int = 12) -> None:
        self.columns, self.lines = columns, lines
        self.rows = [""]
        self._row = 0
        self._cells: list[list[str]] = [[]]
        self._column = 0

    def write(self, text: str) -> None:
        at = 0
        while at < len(text):
            piece = _PIECE.match(text, at)
            assert piece, f"what no renderer of ours writes: {text[at : at + 10]!r}"
            self._take(piece)
            at = piece.end()
        self.rows = ["".join(cells).rstrip() for cells in self._cells]

    def _take(self, piece: re.Match[str]) -> None:
        match piece[0]:
            case "\r":
                self._column = 0
            case "\n":
                self._down()
            case "\x1b[J":
                del self._cells[self._row][self._column :], self._cells[self._row + 1 :]
            case "\x1b[2K":
                self._cells[self._row].clear()
            case code if code.endswith("A") and code[0] == "\x1b":
                top = max(0, len(self._cells) - self.lines)
                self._row = max(top, self._row - int(piece[1] or 1))  # what has left the screen is out of reach
            case code if code[0] == "\x1b":
                pass  # a colour
            case character:
                self._put(character)

    def _down(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._cells):
            self._cells.append([])

    def _put(self, character: str) -> None:
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self._column + width > self.columns:
            self._down()
        cells = self._cells[self._row]
        cells += [" "] * (self._column - len(cells))
        cells[self._column : self._column + width] = [character, *[""] * (width - 1)]
        self._column += width
