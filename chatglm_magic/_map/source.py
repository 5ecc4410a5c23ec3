"""What is mapped over: rows read one after the other, and a column of answers in the same form; no library is imported.

A value is a row of its own: of a list, a dictionary's values, a Series, an Arrow array. A table's row is a mapping of
its columns. What has no length is read only as fast as its rows are asked.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from .._errors import ConfigError
from .._language import join_sentences, tr
from .._markdown.fences import fenced
from .._messages import check_prompt
from .._prompting.template import pieces, resolve, root_of

IT = "it"
"""The name of a row's value in a prompt."""

_PLAIN = (str, int, float, bool, list, dict, type(None))
"""What stands in JSON as it is."""

Row = tuple[Any, Any]
"""A label, as the input's index has it, and a value."""


class Source(msgspec.Struct, frozen=True):
    """What is mapped over.

    Attributes:
        kind: What it is, in a word for messages.
        length: How many rows it has; None where that is known only at its end.
        columns: The names of a table's columns; None where a row is one value.
        rows: Yields the rows, from the first one; what can be read only once goes on where it was.
        column: Returns the answers in the input's form: its type, length and index. It takes the labels too.
        label: Returns the label of a position.
    """

    kind: str
    length: int | None
    columns: tuple[str, ...] | None
    rows: Callable[[], Iterator[Row]]
    column: Callable[[list[Any], list[Any]], Any] = lambda _, values: values
    label: Callable[[int], Any] = lambda position: position

    @classmethod
    def of(cls, over: object, limit: int | None = None) -> Source:
        """Return the source of the rows of an object.

        Args:
            over: The object.
            limit: How many rows are read of what can be read only once; None for all.

        Raises:
            ConfigError: It has no rows.
        """
        library = type(over).__module__.partition(".")[0]
        made: Source | None = None
        match library:
            case "pandas":
                made = _of_pandas(over)
            case "polars":
                made = _of_polars(over)
            case "pyarrow":
                made = _of_arrow(over)
        if made is not None:
            return made
        if isinstance(over, Mapping):
            return _of_mapping(over)
        if isinstance(over, (str, bytes)) or not isinstance(over, Iterable):
            raise ConfigError(
                tr(
                    "A value of type {type} has no rows. Map over a list, a dict, a Series, a DataFrame or anything "
                    "that can be iterated over.",
                    type=type(over).__name__,
                )
            )
        if isinstance(over, Sized):
            return cls(type(over).__name__, len(over), _keys(next(iter(over), None)), lambda: enumerate(over))
        once = itertools.islice(enumerate(over), limit)
        return cls("generator", None, None, lambda: once)


def _keys(first: object) -> tuple[str, ...] | None:
    """Return the columns of records, by the first of them; None where it is no mapping."""
    return tuple(map(str, first)) if isinstance(first, Mapping) else None


def _of_mapping(over: Mapping[Any, Any]) -> Source:
    return Source("dict", len(over), None, lambda: iter(over.items()), lambda keys, values: dict(zip(keys, values)))  # noqa: B905 - as long as each other


def _of_pandas(over: Any) -> Source | None:  # noqa: ANN401 - a library that may not be installed
    pandas = sys.modules["pandas"]

    def series(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        kind = object if any(value is None for value in values) else None
        return pandas.Series(values, index=over.index[: len(values)], dtype=kind)

    if isinstance(over, pandas.DataFrame):
        names = tuple(map(str, over.columns))

        def rows() -> Iterator[Row]:
            for label, *values in over.itertuples(name=None):
                yield label, dict(zip(names, values, strict=True))

        return Source("DataFrame", len(over), names, rows, series, over.index.__getitem__)
    if isinstance(over, pandas.Series):
        return Source("Series", len(over), None, lambda: iter(over.items()), series, over.index.__getitem__)
    if isinstance(over, pandas.Index):
        return Source("Index", len(over), None, lambda: enumerate(over))
    return None


def _of_polars(over: Any) -> Source | None:  # noqa: ANN401 - as above
    polars = sys.modules["polars"]

    def series(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        try:
            return polars.Series(list(map(_plain, values)), strict=False)
        except (TypeError, ValueError):  # values of several kinds
            return polars.Series(values, dtype=polars.Object)

    if isinstance(over, polars.LazyFrame):
        over = over.collect()
    if isinstance(over, polars.DataFrame):
        return Source(
            "DataFrame", over.height, tuple(over.columns), lambda: enumerate(over.iter_rows(named=True)), series
        )
    if isinstance(over, polars.Series):
        return Source("Series", len(over), None, lambda: enumerate(over), series)
    return None


def _of_arrow(over: Any) -> Source | None:  # noqa: ANN401 - as above
    arrow = sys.modules["pyarrow"]

    def array(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        with suppress(TypeError, ValueError):  # values of several kinds
            return arrow.array(list(map(_plain, values)))
        return arrow.array([None if value is None else text_of(value) for value in values])

    if isinstance(over, arrow.RecordBatch):
        over = arrow.Table.from_batches([over])
    if isinstance(over, arrow.Table):
        table = over

        def rows() -> Iterator[Row]:
            found = (row for batch in table.to_batches(max_chunksize=1024) for row in batch.to_pylist())
            return enumerate(found)

        return Source("Table", table.num_rows, tuple(table.column_names), rows, array)
    if isinstance(over, (arrow.Array, arrow.ChunkedArray)):
        return Source("Array", len(over), None, lambda: enumerate(one.as_py() for one in over), array)
    return None


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a schema makes
    """Return a value as one of Python's own types: a record as a dict, a member of an Enum as its value."""
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump()
    return msgspec.to_builtins(value, builtin_types=(datetime, date, time, timedelta, Decimal))


def is_dask(over: object) -> bool:
    """Return whether an object is a collection of Dask; Dask is not imported."""
    return type(over).__module__.partition(".")[0] == "dask"


def is_missing(value: object) -> bool:
    """Return whether there is nothing in a row that could be asked about: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, Mapping):
        return bool(value) and all(map(is_missing, value.values()))
    if type(value).__module__ in {"numpy", "decimal"}:
        return not getattr(value, "ndim", 0) and bool(value != value)  # noqa: PLR0124 - as only NaN and NaT are
    return type(value).__name__ in {"NAType", "NaTType"}


def text_of(value: object) -> str:
    """Return the text that stands for a value in a prompt: text as it is, lists and mappings as JSON.

    What is missing reads alike whichever library wrote it: null in JSON, `None` alone.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _json({name: _known(item) for name, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return _json(list(map(_known, items)))
    return str(_known(value))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _known(value: object) -> object:
    """Return a value as it is, and None for one that is missing."""
    return value if isinstance(value, Mapping) or not is_missing(value) else None


class Template:
    """A prompt with places for a row's value: `{it}`, and `{column}` for a table's columns, as they are called.

    A prompt without a place gets the value below, in a fence that marks it as data. As everywhere, `{{name}}` is a
    literal `{name}`, and nothing is evaluated.

    Args:
        prompt: The prompt as the user wrote it.
        columns: The names of the columns; None where a row is one value.

    Raises:
        ConfigError: The prompt is empty, or names what a row does not have.
    """

    def __init__(self, prompt: str, columns: Sequence[str] | None = None) -> None:
        check_prompt(prompt)
        self.prompt = prompt
        self._pieces = list(pieces(prompt, columns or ()))
        self._columns = frozenset(columns or ())
        self._is_table = columns is not None
        roots = dict.fromkeys(self._root(path) for _, path in self._pieces if path)
        self.has_place = bool(roots)
        for root in roots:
            if root != IT and root not in self._columns:
                raise _unknown(root, columns)
        self._roots = tuple(roots)

    def fill(self, value: object) -> str:
        """Return the prompt for a row.

        Raises:
            ConfigError: The value lacks what the prompt names.
        """
        if not self.has_place:
            language = "text" if isinstance(value, str) else "json"
            plain = "".join(text for text, _ in self._pieces)
            return f"{plain.rstrip()}\n\n{fenced(language, text_of(value))}"
        names = self._names(value)
        return "".join([text + self._at(path, names) for text, path in self._pieces])

    def lacks(self, value: object) -> bool:
        """Return whether there is nothing in a row that could be asked about: nothing at all that the prompt names."""
        if is_missing(value):
            return True
        is_whole = IT in self._roots and IT not in self._columns
        if not self.has_place or is_whole or not isinstance(value, Mapping):
            return False
        return all(name in value and is_missing(value[name]) for name in self._roots)

    def fields(self, value: object) -> dict[str, object]:
        """Return what of a row the prompt names, by name; the whole value as `it` where it names nothing."""
        names = self._names(value)
        found = {root: _known(names[root]) for root in self._roots or (IT,)}
        return {root: value if isinstance(value, _PLAIN) else text_of(value) for root, value in found.items()}

    def _names(self, value: object) -> Mapping[str, object]:
        return {IT: value, **value} if self._is_table and isinstance(value, Mapping) else {IT: value}

    def _root(self, path: str) -> str:
        """Return the name that a path starts at: a column may be called as a path is."""
        return path if path in self._columns else root_of(path)

    def _at(self, path: str, names: Mapping[str, object]) -> str:
        if not path:
            return ""
        try:
            found = names[path] if path in names else resolve(path, names)
            text = text_of(found)
        except Exception as error:  # noqa: BLE001 - a property may raise anything
            raise ConfigError(tr("This row has no {path}: {reason}.", path=f"{{{path}}}", reason=repr(error))) from None
        if callable(found):  # nothing is called, and its text would differ each time
            reason = tr("a function is no value")
            raise ConfigError(tr("This row has no {path}: {reason}.", path=f"{{{path}}}", reason=reason))
        return text


def _unknown(name: str, columns: Sequence[str] | None) -> ConfigError:
    from difflib import get_close_matches

    literal = f"{{{{{name}}}}}"
    if columns is None:
        return ConfigError(
            tr(
                "A row has no {name}, so nothing was sent: its value is written {it}. Literal braces are doubled: "
                "{literal}.",
                name=f"{{{name}}}",
                it="{it}",
                literal=literal,
            )
        )
    near = get_close_matches(name, columns, n=1)
    listed = ", ".join(columns[:12]) + (" …" if len(columns) > 12 else "")  # noqa: PLR2004 - a line's worth
    guess = tr("Did you mean {name}?", name=f"{{{near[0]}}}") if near else ""
    return ConfigError(
        join_sentences(
            tr("There is no column {name}, so nothing was sent.", name=f"{{{name}}}"),
            guess,
            tr("Columns: {columns}. Literal braces are doubled: {literal}.", columns=listed, literal=literal),
        )
    )
