"""What commands say: lines below the cell, and texts that are Markdown where a front end shows it."""

from __future__ import annotations

import re
import sys
from typing import Any

from .._values import dataclass

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(*lines: str) -> None:
    """Write lines below the cell. What came from elsewhere cannot drive the terminal in them."""
    sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))


def visible(text: str) -> str:
    """Make control characters harmless."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


@dataclass(frozen=True, slots=True)
class Shown:
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


class Source(str):
    """A block of code: a string that shows itself as code."""

    __slots__ = ("language",)
    language: str

    def __new__(cls, source: str, language: str) -> Source:  # noqa: PYI034 - it has no subclasses
        """Make one of its text and what the reply called its language."""
        new = super().__new__(cls, source)
        new.language = language
        return new

    def _repr_markdown_(self) -> str:
        run = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", self)), default=0))
        language = self.language if re.fullmatch(r"[\w+#.-]*", self.language) else ""
        return f"{run}{language}\n{self}\n{run}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001 - IPython's own protocol
        printer.text(visible(self))
