"""The answers of a map: one `Row` for each row of the input, in its order, and the column that they make."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from functools import reduce
from importlib import import_module
from typing import Any, Literal, cast, overload

import msgspec

from .._errors import ConfigError
from .._events import Reason
from .._language import tr, trn
from .._markdown.links import literal
from .._markdown.reply_markdown import end_words, notices
from .._markdown.table import NO_FORMULAS, Table
from .._reply import frame_library
from .source import Source, polars_series

_SHOWN = 10
"""Rows in the table that stands for all."""

Ending = Literal["", "stop", "error", "interrupted"]


class Row(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One row's answer, or why there is none.

    Attributes:
        position: Where it stands in the input, from 0.
        index: Its label there: a list's position, a dictionary's key, the index of a Series.
        value: The answer: its text, or with a schema the value that it holds; None where there is none.
        text: The answer as the model wrote it; of a row that failed, what it said last.
        error: Why the row failed, in a sentence; empty where it did not.
        kind: The kind of the failure, as `ChatGLMError.kind`; empty where there is none.
        cached: Whether the answer was there already: in the store, or given to an equal row.
        attempts: How often the row was asked.
        tokens: Tokens read and written in all its attempts, if the service said; 0 for an answer that was there.
        seconds: From the request that was answered to the end of its answer.
        finish_reason: Why the answer ended, as `Reply.finish_reason`: `length` of one that was cut off; empty where
            there is none.
        warnings: Short names of oddities in its stream that were tolerated, as `Reply.warnings`.
    """

    position: int
    index: Any = None
    value: Any = None
    text: str = ""
    error: str = ""
    kind: str = ""
    cached: bool = False
    attempts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    finish_reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer."""
        return not self.error and (self.cached or self.attempts > 0)


class Rows(Sequence[Row]):
    """The rows of a map, in the input's order; those that were not asked have no answer and no error.

    A pickle or a copy of them holds the answers and the column's form, but neither input nor map: it cannot `retry`.

    Args:
        source: What was mapped over.
        rows: The rows by position; what is not in it was not asked.
        length: How many there are.
        finish_reason: Why the map ended.
        again: Begins a map over the rows that failed, and those that were not asked; None where that cannot be.
        left: Of an input that cannot be read again, the rows that have no answer: position, label and value.

    Attributes:
        finish_reason: `stop`, `error`, or `interrupted`; empty while the map runs.
        left: As given.
        quiet_once: Whether IPython shows nothing for them the next time they are a cell's value.
    """

    quiet_once = False

    def __init__(
        self,
        source: Source,
        rows: dict[int, Row],
        length: int,
        finish_reason: Ending = "stop",
        again: Callable[[Rows], Awaitable[Rows]] | None = None,
        left: Sequence[tuple[int, Any, Any]] = (),
    ) -> None:
        self.left = left
        self.finish_reason = finish_reason
        self._source = source
        self._rows = rows
        self._length = length
        self._again = again

    def __reduce__(self) -> tuple[Any, ...]:
        labels = [row.index for row in self]
        form = self._source.column(labels, [None] * len(labels))  # the answers may be of types that it cannot pickle
        return _rows_of_column, (form, self._rows, self._length, self.finish_reason)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self._row(position) for position in range(*at.indices(self._length))]
        position = at + self._length if at < 0 else at
        if not 0 <= position < self._length:
            raise IndexError(at)
        return self._row(position)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, range(self._length))

    def _row(self, position: int) -> Row:
        return self._rows.get(position) or Row(position, self._source.label(position))

    @property
    def values(self) -> Any:  # noqa: ANN401 - a column of the input's own type
        """The answers in the input's form: its type, length and index; None where a row has no answer."""
        found = list(self)
        return self._source.column([row.index for row in found], [row.value for row in found])

    def answered(self) -> dict[int, Row]:
        """Return the rows that need not be asked, by position: those with an answer, or with nothing to ask."""
        return {position: row for position, row in self._rows.items() if not row.error}

    @property
    def failed(self) -> list[Row]:
        """The rows that failed."""
        return [self._rows[position] for position in sorted(self._rows) if self._rows[position].error]

    @property
    def tokens(self) -> int:
        """The tokens of all answers."""
        return sum(row.tokens for row in self._rows.values())

    @property
    def frame(self) -> Any:  # noqa: ANN401 - of pandas, or of polars where only that is installed
        """A DataFrame of all rows: value or its fields, error, kind, cached, attempts, tokens, seconds, finish_reason.

        Where an answer has a field of such a name, that of the row is `row_error` and so on.

        Raises:
            ConfigError: Neither pandas nor polars is installed.
        """
        found = list(self)
        columns = _value_columns([row.value for row in found])
        for name in ("error", "kind", "cached", "attempts", "tokens", "seconds", "finish_reason"):
            columns[f"row_{name}" if name in columns else name] = [getattr(row, name) for row in found]
        if frame_library() == "pandas":
            pandas = import_module("pandas")
            values = self.values
            is_series = isinstance(values, pandas.Series)
            index = values.index if is_series else pandas.Index([row.index for row in found])
            made = {name: pandas.Series(of, index, dtype=_dtype(of)) for name, of in columns.items()}
            return pandas.DataFrame(made, index)
        polars = import_module("polars")
        columns = {"index": [row.index for row in found], **columns}
        return polars.DataFrame([polars_series(name, of) for name, of in columns.items()])

    def __await__(self) -> Generator[Any, None, Rows]:
        """Return the rows at once: the name that `--bg --out` gives a job is theirs when it has ended."""
        return self
        yield  # type: ignore[unreachable]  # makes it a generator

    def retry(self) -> Awaitable[Rows]:
        """Ask the rows that failed, and those that were not asked, once more: a `MapJob` whose result has all rows.

        Raises:
            ConfigError: These rows belong to no map.
        """
        if self._again is None:
            raise ConfigError(tr("These rows cannot be asked once more: run the map again."))
        return self._again(self)

    # How it is shown

    def summary(self) -> str:
        """Return how many rows there are, and how many of them failed or were not asked, in a sentence."""
        answered = sum(1 for row in self._rows.values() if row.is_answered)
        failed = len(self.failed)
        there = sum(1 for row in self._rows.values() if row.cached and not row.error)
        said = [_rows(self._length), tr("{count} answered", count=f"{answered:,}")]
        if there:
            said.append(tr("{count} of them there already", count=f"{there:,}"))
        if cut := sum(1 for row in self._rows.values() if row.finish_reason == "length"):
            said.append(tr("{count} cut off at their greatest length", count=f"{cut:,}"))
        if failed:
            said.append(tr("{count} failed", count=f"{failed:,}"))
        if (rest := self._length - answered - failed) > 0:
            said.append(tr("{count} not asked", count=f"{rest:,}"))
        if self.finish_reason == "interrupted":
            said.append(tr("interrupted"))
        return reduce(lambda head, more: tr("{head}, {more}", head=head, more=more), said)

    def notices(self) -> list[str]:
        """Return what should be known of some answers, that they may not be whole for instance, a sentence each."""
        alike = Counter((row.finish_reason, row.warnings) for row in self._rows.values() if not row.error)
        count: Counter[str] = Counter()
        for (reason, warnings), found in alike.items():
            names = [name for name in warnings if name != "not-streamed"]  # nobody has seen it stream
            # The summary counts answers that were cut off at their greatest length.
            ends = "" if reason == "length" else end_words(cast("Reason", reason), names)
            count.update(dict.fromkeys(filter(None, (ends, *notices(names))), found))
        return [tr("{rows}: {notice}", rows=_rows(found), notice=notice) for notice, found in count.items()]

    def _heading(self) -> list[str]:
        return [self.summary(), *self.notices()]

    def __repr__(self) -> str:
        return f"<Rows {self.summary()}>"

    def table(self) -> Table:
        """Return ten rows for people to read, the failed ones first of all: index, answer or its fields, and error."""
        failed = self.failed[: _SHOWN // 2]
        taken = {row.position for row in failed}
        first = (row for row in self if row.position not in taken)
        chosen = [*failed, *(row for _, row in zip(range(_SHOWN - len(failed)), first, strict=False))]
        chosen.sort(key=lambda row: row.position)
        columns = {"": [row.index for row in chosen], **_value_columns([row.value for row in chosen])}
        if failed:
            columns[tr("error")] = [row.error for row in chosen]
        if "value" in columns:
            columns = {tr("value") if name == "value" else name: column for name, column in columns.items()}
        return Table.of_rows(list(columns), list(zip(*columns.values(), strict=True)), 0, self._length - len(chosen))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - IPython's own protocol
        printer.text(repr(self) if cycle else self.as_text())

    def as_text(self) -> str:
        """Return the summary, notices and ten rows as plain text."""
        return "\n".join((*self._heading(), "", self.table().plain()))

    def _repr_markdown_(self) -> str:
        return "\n\n".join((*map(literal, self._heading()), self.table().markdown()))

    def _repr_html_(self) -> str:
        """Return the summary, notices and ten rows as HTML in which all that a model wrote is inert."""
        heading = "".join(f"<p>{html.escape(line)}</p>" for line in self._heading())
        return f'<div class="{NO_FORMULAS}">{heading}</div>\n{self.table().html()}'

    def _ipython_display_(self) -> None:
        """Stay quiet once, in the cell whose output has shown the rows."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representations above
        self.quiet_once = False

    def _repr_llm_(self) -> str:
        """Return the text by which a prompt that names these rows describes them."""
        return self.as_text()


def _rows_of_column(column: object, rows: dict[int, Row], length: int, finish_reason: Ending) -> Rows:
    """Return rows whose answers make a column like this one, which has their input's form."""
    return Rows(Source.of(column), rows, length, finish_reason)


def _rows(count: int) -> str:
    return trn("{count:,} row", "{count:,} rows", count)


def _dtype(values: list[Any]) -> type | None:
    """Return the type of a column for pandas, which would make NaN of None; None for whatever it takes it for."""
    return object if any(value is None for value in values) else None


def _value_columns(values: list[Any]) -> dict[str, list[Any]]:
    """Return the columns of the answers: a field each where all answers are records, else one column."""
    records = [_record(value) for value in values]
    known = [record for record in records if record is not None]
    if not known or len(known) < sum(value is not None for value in values):
        return {"value": values}
    names = dict.fromkeys(name for record in known for name in record)
    return {name: [record.get(name) if record else None for record in records] for name in names}


def _record(value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - whatever a schema makes
    """Return the fields of a record: a mapping, or an instance of a class with fields; None for any other value."""
    if isinstance(value, dict):
        return value
    if value is None or isinstance(value, (str, int, float, list, tuple, bool)):
        return None
    if hasattr(value, "model_dump"):  # pydantic
        found: dict[str, Any] = value.model_dump()
        return found
    try:
        plain = msgspec.to_builtins(value)
    except TypeError:
        return None
    return plain if isinstance(plain, dict) else None
