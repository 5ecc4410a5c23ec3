"""What commands say: lines below the cell, and texts that are Markdown where a front end shows it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from .._markdown.fences import fenced
from .._markdown.links import visible


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: each column as wide as its widest cell on a screen, the last one as it is."""
    from rich.cells import cell_len, set_cell_size  # no question needs it

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([*map(set_cell_size, row[:-1], widths), row[-1]]) for row in rows]


def say(*lines: str) -> None:
    """Write lines below the cell. What came from elsewhere cannot drive the terminal in them."""
    sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))


class Shown(msgspec.Struct, frozen=True):
    """A text to be shown.

    Attributes:
        markdown: As Markdown that is safe to show.
        plain: As plain text.
    """

    markdown: str
    plain: str

    def _repr_markdown_(self) -> str:
        return self.markdown

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001 - IPython's own protocol
        printer.text(visible(self.plain))

    def show(self) -> None:
        """Show it below the cell."""
        from IPython.display import display

        display(self)  # type: ignore[no-untyped-call]  # IPython has no types


class CodeText(str):
    """A block of code: a string that shows itself as code."""

    __slots__ = ("language",)
    language: str

    def __new__(cls, source: str, language: str) -> CodeText:  # noqa: PYI034 - it has no subclasses
        """Make one of its text and what the reply called its language."""
        new = super().__new__(cls, source)
        new.language = language
        return new

    def _repr_markdown_(self) -> str:
        return fenced(self.language if re.fullmatch(r"[\w+#.-]*", self.language) else "", self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001 - IPython's own protocol
        printer.text(visible(self))
