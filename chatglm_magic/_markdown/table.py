"""A value as a table: Markdown, HTML and text for consoles that say the same and run nothing; no I/O."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import msgspec

from .._errors import shorten
from .._language import tr, trn
from .fences import fenced
from .links import literal, visible
from .sanitize import safe

MOST_ROWS = 200
"""How many rows of a list are shown; all of them are in the value."""
GROWING_ROWS = 20
"""How many are shown while it grows: the newest."""
_MOST_TEXT = 300
"""Characters of a cell that are shown."""
_MOST_WIDTH = 60
"""Columns of a console that a cell may take."""


class Tabular(Protocol):
    """What is read of a schema here; `Schema` has it."""

    @property
    def is_list(self) -> bool: ...
    def records(self, value: Any) -> list[dict[str, Any]]: ...  # noqa: ANN401 - any value
    def columns(self, rows: Sequence[Mapping[str, Any]] = ()) -> list[str]: ...


class Table(msgspec.Struct, frozen=True):
    """Rows of texts below a head. A list has a row for each item; one object has two columns, names and values.

    Attributes:
        head: The names of the columns; none for a single value, which is no table.
        rows: The texts of the cells.
        above: How many rows before these are not shown.
        below: How many rows behind them are not shown.
        numbers: The columns that hold nothing but numbers.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    above: int = 0
    below: int = 0
    numbers: frozenset[int] = frozenset()

    @classmethod
    def of(cls, schema: Tabular, value: Any, *, growing: bool = False) -> Self:  # noqa: ANN401 - any value
        """Return the table of a value.

        Args:
            schema: What the value is.
            value: The value; of a list also a part.
            growing: Whether more of it comes: only its newest rows are shown.
        """
        if schema.is_list:
            count = len(value)
            first = max(0, count - GROWING_ROWS) if growing else 0
            last = count if growing else min(count, MOST_ROWS)
            rows = schema.records(value if last - first == count else list(value)[first:last])
            names = schema.columns(rows) or ["value"]
            return cls.of_rows(names, [[row.get(name) for name in names] for row in rows], first, count - last)
        (row,) = schema.records(value)
        if not schema.columns() and set(row) == {"value"}:
            return cls((), ((_text(row["value"]),),))
        names = [name for name in schema.columns([row]) if name in row]
        return cls((tr("field"), tr("value")), tuple((_text(name), _text(row[name])) for name in names))

    @classmethod
    def of_rows(cls, head: Sequence[str], rows: Sequence[Sequence[object]], above: int = 0, below: int = 0) -> Self:
        """Return the table of rows of values below a head; columns of nothing but numbers stand at the right."""
        numbers = (at for at in range(len(head)) if all(_is_number(row[at]) for row in rows))
        cells = tuple(tuple(map(_text, row)) for row in rows)
        return cls(tuple(map(_text, head)), cells, above, below, frozenset(numbers))

    def markdown(self) -> str:
        """Return it as Markdown that is safe to show."""
        if not self.head:
            return f"**{literal(self.rows[0][0])}**" if self.rows[0][0].strip() else "*" + tr("nothing") + "*"
        rule = "".join(" --: |" if at in self.numbers else " :-- |" for at in range(len(self.head)))
        lines = [_line(self.head), f"|{rule}", *map(_line, self.rows)]
        above, below = self._left_out()
        return "\n\n".join(filter(None, (above and f"*{above}*", "\n".join(lines), below and f"*{below}*")))

    def html(self) -> str:
        """Return it as HTML: nothing in a cell is markup, nor a formula."""
        if not self.head:
            return f'<div class="{NO_FORMULAS}">{_escaped(self.rows[0][0])}</div>'
        above, below = self._left_out()
        sides = [_RIGHT if at in self.numbers else _LEFT for at in range(len(self.head))]
        head = "".join(f"<th{side}>{_escaped(name)}</th>" for name, side in zip(self.head, sides, strict=True))
        rows = (
            "".join(f"<td{side}>{_escaped(text)}</td>" for text, side in zip(row, sides, strict=True))
            for row in self.rows
        )
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
        notes = [f"<p><em>{note}</em></p>" if note else "" for note in (above, below)]
        return "\n".join(filter(None, (f'<div class="{NO_FORMULAS}">', notes[0], table, notes[1], "</div>")))

    def plain(self) -> str:
        """Return it as text in which columns stand below each other, where wide characters take two."""
        if not self.head:
            return visible(self.rows[0][0])
        from rich.cells import cell_len, set_cell_size  # only a console needs it

        lines = [[visible(text) for text in line] for line in (self.head, *self.rows)]
        widths = [min(_MOST_WIDTH, max(map(cell_len, column))) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * one for one in widths])

        def fitted(text: str, width: int) -> str:
            return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"

        table = ["  ".join(map(fitted, line, widths)).rstrip() for line in lines]
        above, below = self._left_out()
        return "\n".join(filter(None, (above, *table, below)))

    def _left_out(self) -> tuple[str, str]:
        """Return what is said of rows before and behind those that are shown; empty for none."""
        none = tr("no rows") if not (self.rows or self.above) else ""
        above = trn("… {count} row above", "… {count} rows above", self.above) if self.above else ""
        below = trn("… {count:,} more row", "… {count:,} more rows", self.below) if self.below else none
        return above, below


def as_code(text: str) -> str:
    """Return the text of a value, or of what should have been one, as a block of code."""
    text = text.strip("\n")
    if not text.strip() or text.startswith("```"):
        return safe(text)
    return fenced("json" if text.lstrip()[:1] in {"{", "["} else "text", text)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


_LEFT, _RIGHT = ' style="text-align: left"', ' style="text-align: right"'
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"
"""Classes of HTML in which no front end looks for formulas."""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(literal, cells)) + " |"


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _text(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return a value as the text of a cell, on one line."""
    match value:
        case None:
            return ""
        case str():
            return shorten(value, _MOST_TEXT)
        case list() if not any(one is None or isinstance(one, (list, dict)) for one in value):
            return shorten(", ".join(map(_text, value)), _MOST_TEXT)
        case bool() | int() | float() | list() | dict():
            return shorten(json.dumps(value, ensure_ascii=False, default=str), _MOST_TEXT)
        case _:  # a date, a Decimal …
            return shorten(str(value), _MOST_TEXT)
