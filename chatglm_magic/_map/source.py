"""What is mapped over: rows read one after the other, and a column of answers in the same form; no library is imported.

A value is a row of its own: of a list, a dictionary's values, a Series, an Arrow array. A table's row is a mapping of
its columns. What can be read only once is read only as fast as its rows are asked; of what can be changed in place, a
copy that shares its values is read, so that an answer stays with its row.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized, ValuesView
from collections.abc import Set as AbstractSet
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

_PLAIN = (str, int, float, bool, type(None))
"""What stands in JSON as it is."""
_DOUBLE = 8
"""Bytes of Python's own floating-point number."""

Row = tuple[Any, Any]
"""A label, as the input's index has it, and a value."""


class Source(msgspec.Struct, frozen=True):
    """What is mapped over.

    Attributes:
        kind: What it is, in a word for messages.
        length: How many rows it has; None where it can be read only once, and that is known only at its end.
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
    def of(cls, over: Any, limit: int | None = None) -> Source:  # noqa: ANN401 - of any library
        """Return the source of the rows of an object.

        Args:
            over: The object.
            limit: How many rows are read of what can be read only once; None for all.

        Raises:
            ConfigError: It has no rows.
        """
        made: Source | None = None
        match type(over).__module__.partition(".")[0]:
            case "pandas":
                made = _of_pandas(over)
            case "polars":
                made = _of_polars(over)
            case "pyarrow":
                made = _of_arrow(over)
            case "numpy" if getattr(over, "ndim", 0):
                over = over.copy()
        if made is not None:
            return made
        if isinstance(over, Mapping):
            return _of_mapping(over)
        is_one = isinstance(over, (str, bytes)) or getattr(over, "ndim", 1) == 0
        if is_one or not isinstance(over, Iterable):
            raise ConfigError(
                tr(
                    "A value of type {type} has no rows. Map over a list, a dict, a Series, a DataFrame or anything "
                    "that can be iterated over.",
                    type=type(over).__name__,
                )
            )
        if isinstance(over, (list, deque, AbstractSet, ValuesView)):
            over = list(over)
        is_at_hand = hasattr(over, "__len__") and hasattr(over, "__getitem__")
        return _of_sequence(over) if is_at_hand else _of_iterable(over, limit)


def _of_sequence(over: Any) -> Source:  # noqa: ANN401 - whatever has a length and items
    return Source(type(over).__name__, len(over), columns_of_first(next(iter(over), None)), lambda: enumerate(over))


def _of_iterable(over: Iterable[Any], limit: int | None) -> Source:
    """Return the rows of what can be read only once, for all that is known: a bar around a generator has a length."""
    once, columns = iter(over), None
    if isinstance(over, Sized) and limit != 0:  # a list in it may be one of records
        first = list(itertools.islice(once, 1))
        once, columns = itertools.chain(first, once), columns_of_first(next(iter(first), None))
    numbered = itertools.islice(enumerate(once), limit)
    return Source("generator", None, columns, lambda: numbered)


def columns_of_first(first: object) -> tuple[str, ...] | None:
    """Return the columns of records, by the first of them; None where it is no mapping."""
    return tuple(map(str, first)) if isinstance(first, Mapping) else None


def columns_of(names: Iterable[object]) -> tuple[str, ...]:
    """Return the names of a table's columns.

    Raises:
        ConfigError: Two columns are called alike.
    """
    found = tuple(map(str, names))
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is None:
        return found
    raise ConfigError(
        tr(
            "More than one column is called {name}, so nobody knows which is meant: rename one, or pass only the "
            "columns that are needed.",
            name=repr(twice),
        )
    )


def _of_mapping(over: Mapping[Any, Any]) -> Source:
    held = dict(over) if isinstance(over, dict) else over
    keys = list(held)

    def column(labels: list[Any], values: list[Any]) -> dict[Any, Any]:
        return dict(zip(labels, values, strict=True))

    return Source("dict", len(keys), None, lambda: ((key, held[key]) for key in keys), column, keys.__getitem__)


def _of_pandas(over: Any) -> Source | None:  # noqa: ANN401 - a library that may not be installed
    pandas = sys.modules["pandas"]
    if isinstance(over, pandas.Index):
        return Source("Index", len(over), None, lambda: enumerate(over))
    if not isinstance(over, (pandas.DataFrame, pandas.Series)):
        return None
    held = over.copy(deep=False)
    index = held.index

    def series(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        kind = object if any(value is None for value in values) else None
        return pandas.Series(values, index=index[: len(values)], dtype=kind)

    if isinstance(held, pandas.Series):
        return Source("Series", len(held), None, lambda: iter(held.items()), series, index.__getitem__)
    names = columns_of(held.columns)

    def rows() -> Iterator[Row]:
        for label, *values in held.itertuples(name=None):
            yield label, dict(zip(names, values, strict=True))

    return Source("DataFrame", len(held), names, rows, series, index.__getitem__)


def _of_polars(over: Any) -> Source | None:  # noqa: ANN401 - as above
    polars = sys.modules["polars"]

    def series(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        return polars_series("", values)

    if isinstance(over, polars.LazyFrame):
        over = over.collect()
    if not isinstance(over, (polars.DataFrame, polars.Series)):
        return None
    held = over.clone()
    if isinstance(held, polars.Series):
        return Source("Series", len(held), None, lambda: enumerate(held), series)
    return Source("DataFrame", held.height, tuple(held.columns), lambda: enumerate(held.iter_rows(named=True)), series)


def polars_series(name: str, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    """Return a Series of polars with these values: of the type `Object` where any other would change one of them."""
    polars = sys.modules["polars"]
    with suppress(TypeError, ValueError, OverflowError, polars.exceptions.PolarsError):
        plain = list(map(_plain, values))
        made = polars.Series(name, plain, strict=False)
        if _is_same(made.to_list(), plain):
            return made
    return polars.Series(name, values, dtype=polars.Object)


def _of_arrow(over: Any) -> Source | None:  # noqa: ANN401 - as above
    arrow = sys.modules["pyarrow"]

    def array(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        plain = values
        with suppress(TypeError, ValueError, OverflowError, arrow.ArrowException):  # values of several kinds
            plain = list(map(_plain, values))
            made = arrow.array(plain)
            if _is_same(made.to_pylist(), plain):
                return made
        return arrow.array([None if value is None else text_of(value) for value in plain])

    if isinstance(over, arrow.RecordBatch):
        over = arrow.Table.from_batches([over])
    if isinstance(over, arrow.Table):
        table = over

        def rows() -> Iterator[Row]:
            found = (row for batch in table.to_batches(max_chunksize=1024) for row in batch.to_pylist())
            return enumerate(found)

        return Source("Table", table.num_rows, columns_of(table.column_names), rows, array)
    if isinstance(over, (arrow.Array, arrow.ChunkedArray)):
        return Source("Array", len(over), None, lambda: enumerate(one.as_py() for one in over), array)
    return None


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a schema makes
    """Return a value as one of Python's own types: a record as a dict, a member of an Enum as its value."""
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump()
    return msgspec.to_builtins(value, builtin_types=(datetime, date, time, timedelta, Decimal))


def _is_same(there: Any, value: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether a library gives back what it was given; a record may have fields without a value on top."""
    if isinstance(value, dict):
        is_whole = isinstance(there, dict) and value.keys() <= there.keys()
        return is_whole and all(_is_same(one, value.get(name)) for name, one in there.items())
    if isinstance(value, (list, tuple)):
        return isinstance(there, list) and len(there) == len(value) and all(map(_is_same, there, value))
    if isinstance(value, bool) or isinstance(there, bool):
        return there is value
    return bool(there == value) or (is_missing(there) and is_missing(value))


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
    """Return the text that stands for a value in a prompt: text as it is, lists, mappings, arrays and tables as JSON.

    What is missing reads alike whichever library wrote it: null in JSON, `None` alone.
    """
    if isinstance(value, str):
        return value
    found = json_of(value)
    return json.dumps(found, ensure_ascii=False, default=str) if isinstance(found, (dict, list)) else str(_known(value))


def json_of(value: object) -> object:
    """Return a value as JSON holds it; a list of what an array, a Series or a table holds, which `str` may cut.

    What JSON has no value for, such as a date, stays what it is.
    """
    if isinstance(value, Mapping):
        return {name if isinstance(name, _PLAIN) else str(name): json_of(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return list(map(json_of, sorted(value, key=str)))
    if isinstance(value, (list, tuple)):
        return list(map(json_of, value))
    if isinstance(value, _PLAIN):
        return _known(value)
    listed = _listed(value)
    return list(map(json_of, listed)) if isinstance(listed, list) else _known(listed)


def _listed(value: Any) -> object:  # noqa: ANN401 - of any library
    """Return a list of what an array, a Series or a table holds; any other value as Python's own, or as it is."""
    match type(value).__module__.partition(".")[0]:
        case "numpy" if hasattr(value, "dtype"):
            return _of_numpy(value)
        case "pandas" if hasattr(value, "to_dict") and value.ndim > 1:
            return value.to_dict("records")
        case "pandas" | "polars" | "pyarrow":
            names = ("tolist", "to_dicts", "to_list", "to_pylist", "as_py")
            return next((getattr(value, name)() for name in names if hasattr(value, name)), value)
    return value


def _of_numpy(value: Any) -> object:  # noqa: ANN401 - as above
    """Return a number or a list; a single date as it is."""
    kind = value.dtype.kind
    if kind == "f" and value.dtype.itemsize < _DOUBLE:
        value = value.astype(str).astype(float)  # 0.1 rather than 0.10000000149011612
    elif kind in "mM" and value.ndim:  # `tolist` makes numbers of some
        return list(value)
    return value.tolist() if value.ndim or kind in "biuf" else value


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

    Attributes:
        question: The prompt as a reader of it is shown it, with its places and without doubled braces.

    Raises:
        ConfigError: The prompt is empty, or names what a row does not have.
    """

    def __init__(self, prompt: str, columns: Sequence[str] | None = None) -> None:
        check_prompt(prompt)
        self._pieces = list(pieces(prompt, columns or ()))
        self.question = "".join(text + (path and f"{{{path}}}") for text, path in self._pieces).strip()
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
            return f"{plain.rstrip()}\n\n{fenced(language, _written(IT, value))}"
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
        """Return what of a row the prompt names, by the path that names it; the whole as `it` where it names nothing.

        Raises:
            ConfigError: The value lacks what the prompt names.
        """
        names = self._names(value)
        paths = dict.fromkeys(path for _, path in self._pieces if path)
        return {path: json_of(self._found(path, names)) for path in paths or (IT,)}

    def _names(self, value: object) -> Mapping[str, object]:
        return {IT: value, **value} if self._is_table and isinstance(value, Mapping) else {IT: value}

    def _root(self, path: str) -> str:
        """Return the name that a path starts at: a column may be called as a path is."""
        return path if path in self._columns else root_of(path)

    def _found(self, path: str, names: Mapping[str, object]) -> object:
        try:
            found = names[path] if path in names else resolve(path, names)
        except Exception as error:  # noqa: BLE001 - a property may raise anything
            raise _lacking(path, repr(error)) from None
        if callable(found):  # nothing is called, and its text would differ each time
            raise _lacking(path, tr("a function is no value"))
        return found

    def _at(self, path: str, names: Mapping[str, object]) -> str:
        return _written(path, self._found(path, names)) if path else ""


def _written(path: str, value: object) -> str:
    try:
        return text_of(value)
    except Exception as error:  # noqa: BLE001 - a text of the user's own types
        raise _lacking(path, repr(error)) from None


def _lacking(path: str, reason: str) -> ConfigError:
    return ConfigError(tr("This row has no {path}: {reason}.", path=f"{{{path}}}", reason=reason))


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
