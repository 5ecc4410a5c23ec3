"""The description of a Python value that a model reads: small data, schema and head of large, source of functions.

Types are recognised by their attributes, not by their classes, so that no library is imported here: frames of pandas
and polars, arrays and tensors of any library, and objects that describe themselves in `_repr_llm_`.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import inspect
import io
import linecache
import pprint
import re
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence, Sized
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

MAX_BYTES = 6_000
"""UTF-8 bytes of one description: about 2,000 tokens."""

_WHOLE_ROWS, _HEAD_ROWS = 20, 5
"""Rows up to which a table is described whole, and how many of a longer one are."""
_WHOLE_PAIRS, _HEAD_PAIRS = 60, 20
"""The same for rows with labels, such as `value_counts()` and what `groupby` makes."""
_COLUMNS, _LEAST_COLUMNS = 100, 10
_TABLE_BYTES, _REST_BYTES = 3_400, 1_800
_CELLS = (200, 40)
"""Characters of a text in a table: the second where too few columns fit with the first."""
_ITEMS = 20
_LINE = 100
_TEXTS = re.compile(r"""'[^'\n]*'|"[^"\n]*\"""")
_LONG_TEXT = 60
_NAMES = 80
_ARRAY_BYTES = 1_500
_STR_TYPES = frozenset(
    {
        "datetime.date",
        "datetime.time",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
        "pandas.Period",
        "pathlib.PurePath",
        "uuid.UUID",
    }
)
"""Types, with their subclasses, whose values people know by `str`, not by `repr`."""


def describe(value: object, *, limit: int = MAX_BYTES, prompt: str = "") -> str:
    """Return the text that stands for a value in a prompt.

    Args:
        value: Any object. A string stands for itself; an object with `_repr_llm_()` is described by that.
        limit: UTF-8 bytes after which the text is cut, as in `cap`.
        prompt: What is asked about the value. Of a table that is too wide, the columns that it names come first.

    Raises:
        Exception: Anything that the value's own methods raise.
    """
    own = getattr(type(value), "_repr_llm_", None)
    if callable(own):
        return cap(str(own(value)), limit)
    if isinstance(value, str):
        return cap(value, limit)
    for matches, write in _WRITERS:
        if matches(value):
            return cap(_frame(value, prompt) if write is _frame else write(value), limit)
    return cap(_data_in(value, prompt) or _plain(value), limit)


def cap(text: str, limit: int = MAX_BYTES) -> str:
    """Return a text of at most `limit` UTF-8 bytes: of a longer one its beginning, a note of what is cut, its end.

    It is cut between lines where they are short.
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    head, tail = data[: limit * 3 // 4], data[-(limit // 4) :]
    if (end := head.rfind(b"\n")) > len(head) // 2:
        head = head[:end]
    if -1 < (start := tail.find(b"\n")) < len(tail) // 2:
        tail = tail[start + 1 :]
    left_out = len(data) - len(head) - len(tail)
    return (
        head.decode("utf-8", "ignore")
        + f"\n… [{left_out} of {len(data)} bytes left out] …\n"
        + tail.decode("utf-8", "ignore")
    )


def _is_frame(value: object) -> bool:
    # In this order: a lazy frame has no shape, and warns when it is asked for its columns.
    return hasattr(value, "shape") and (
        all(hasattr(value, name) for name in ("dtypes", "head", "columns"))
        or all(hasattr(value, name) for name in ("schema", "column_names", "slice"))  # an Arrow table
    )


def _frame(value: Any, prompt: str = "") -> str:  # noqa: ANN401 - duck-typed, as are those below
    """Describe a table: its size, its columns with their types, all rows of a short one, the first of a long one.

    Rows are whole. Where not all columns fit, those that the prompt names come first.
    """
    is_arrow = hasattr(value, "column_names")
    names = list(value.column_names if is_arrow else value.columns)
    kinds = [_kind(kind) for kind in (value.schema.types if is_arrow else value.dtypes)]
    height = value.shape[0] if isinstance(value.shape[0], int) else "an unknown number of"  # Dask counts on demand
    whole = _WHOLE_PAIRS if _has_labels(value) else _WHOLE_ROWS
    few = height if isinstance(height, int) and height <= _WHOLE_ROWS else _HEAD_ROWS
    most = height if isinstance(height, int) and height <= whole else few
    source = value if is_arrow else value.head(most)
    named_first = sorted(range(len(names)), key=lambda place: not _is_named(names[place], prompt))
    attempts = [(list(range(len(names))), rows, width, len(names)) for rows in (most, few) for width in _CELLS]
    attempts += [(named_first, rows, width, _LEAST_COLUMNS) for rows in (few, _HEAD_ROWS) for width in _CELLS]
    for places, rows, width, least in attempts:
        order = [(place, f"{names[place]} ({kinds[place]})") for place in places]
        lines, shown = _excerpt(source, names, order[:_COLUMNS], rows, width)
        if shown >= min(least, len(names)):
            break
    what = f"All {height} rows" if rows == height else f"First {len(lines) - 1} rows"
    return "\n".join(
        (
            f"{_type_name(value)} with {height} rows and {len(names)} columns: "
            + ", ".join(text for _, text in order[:shown]),
            *_rest(names, kinds, [place for place, _ in order[shown:]]),
            *_index(value, height),
            f"{what}{f', these {shown} columns' if shown < len(names) else ''}:",
            *lines,
        )
    )


def _excerpt(
    value: Any,  # noqa: ANN401
    names: Sequence[object],
    order: Sequence[tuple[int, str]],
    rows: int,
    width: int,
) -> tuple[list[str], int]:
    """Return the first rows as lines of CSV, with as many columns as fit, and how many those are.

    Args:
        value: The table.
        names: The columns' names.
        order: The columns' places, in the order in which they are wanted, and what else is written about each.
        rows: How many rows.
        width: Characters of one text in a cell.
    """
    places = [place for place, _ in order]
    levels: Sequence[object] = ()
    if hasattr(value, "column_names"):
        table = value.slice(0, rows).select(places)
        body = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    elif hasattr(head := value.head(rows), "iloc"):
        levels = ["" if name is None else name for name in head.index.names]
        body = [(*_labels(label, head.index), *row) for label, *row in head.iloc[:, places].itertuples(name=None)]
    else:
        body = list(head[:, places].iter_rows()) if places else []
    header = [*levels, *(names[place] for place in places)]
    cells = [[_cell(item, width) for item in row] for row in (header, *body)]
    room, shown = _TABLE_BYTES, 0
    for number, column in enumerate(zip(*cells, strict=True)):
        about = order[number - len(levels)][1] if number >= len(levels) else ""
        room -= sum(len(text.encode("utf-8", "replace")) + 1 for text in (*column, about))
        if room < 0 and shown:
            break
        shown += number >= len(levels)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(row[: len(levels) + shown] for row in cells)
    return file.getvalue().rstrip("\n").split("\n"), shown


def _rest(names: Sequence[object], kinds: Sequence[str], places: Sequence[int]) -> Iterable[str]:
    """Yield a line with the names of the columns that are not shown, by their types; as many as fit."""
    by_kind: dict[str, list[str]] = {}
    room, listed = _REST_BYTES, 0
    for place in places:
        name = str(names[place])
        room -= len(name.encode("utf-8", "replace")) + 2
        if room < 0:
            break
        by_kind.setdefault(kinds[place], []).append(name)
        listed += 1
    if places:
        more = f" and {len(places) - listed} more" if listed < len(places) else ""
        texts = (f"{', '.join(some)} ({kind})" for kind, some in by_kind.items())
        yield f"Not shown below: {'; '.join(texts)}{more}"


def _index(value: Any, height: object) -> Iterable[str]:  # noqa: ANN401
    """Yield a line about the labels of a table's rows, where they are more than numbers."""
    if not _has_labels(value):
        return
    index = value.index
    kinds = [level.dtype for level in index.levels] if hasattr(index, "levels") else [index.dtype]
    names = ("unnamed" if name is None else name for name in index.names)
    texts = (f"{name} ({_kind(kind)})" for name, kind in zip(names, kinds, strict=True))
    ends = (", ".join(map(_cell, _labels(index[place], index))) for place in (0, -1))
    span = f", from {' to '.join(ends)}" if isinstance(height, int) and height > _WHOLE_ROWS else ""
    yield f"Index: {', '.join(texts)}{span}"


def _has_labels(value: object) -> bool:
    """Return whether the rows have other labels than pandas' usual ones, which count them."""
    index: Any = getattr(value, "index", None)
    return hasattr(index, "names") and (type(index).__name__ != "RangeIndex" or index.name is not None)


def _labels(label: Any, index: Any) -> tuple[object, ...]:  # noqa: ANN401
    """Return a row's label in an index as one value for each of its levels."""
    return tuple(label) if getattr(index, "nlevels", 1) > 1 else (label,)


def _cell(item: object, width: int = _CELLS[0]) -> str:
    """Return an item of a table as text: on one line, six digits of a fraction, long text shortened visibly."""
    if isinstance(item, float):
        rounded = float(f"{item:.6g}") if abs(item) < 1e5 else round(item, 2)  # noqa: PLR2004 - whole digits stay
        return repr(float(rounded)).replace("nan", "NaN")
    text = str(item).removesuffix(" 00:00:00").replace("\r", "\\r").replace("\n", "\\n")
    return text if len(text) <= width + 30 else f"{text[:width]}… [{len(text) - width} more characters]"


def _kind(kind: object) -> str:
    """Return the name of a column's type; of categories with what they are."""
    categories: Any = getattr(kind, "categories", None)
    if not hasattr(categories, "__len__"):
        return str(kind)
    some = ", ".join(_cell(item, _CELLS[1]) for item in list(categories[:_HEAD_ROWS]))
    return f"category: {some}{f' and {len(categories) - _HEAD_ROWS} more' if len(categories) > _HEAD_ROWS else ''}"


def _is_named(name: object, prompt: str) -> bool:
    """Return whether a prompt names a column, or one level of its name, as a word."""
    return any(
        part in prompt and re.search(rf"(?a:(?<!\w)){re.escape(part)}(?a:(?!\w))", prompt) is not None
        for part in map(str, name if isinstance(name, tuple) else (name,))
        if part
    )


def _is_series(value: object) -> bool:
    return all(hasattr(value, name) for name in ("dtype", "head", "name", "shape", "to_frame")) and _is_row(value)


def _is_row(value: Any) -> bool:  # noqa: ANN401
    return len(value.shape) == 1


def _series(value: Any) -> str:  # noqa: ANN401
    """Describe a column: its size and type, and its values, with their labels where those are more than numbers."""
    count, index = value.shape[0], getattr(value, "index", None)
    has_labels = _has_labels(value)
    whole, most = (_WHOLE_PAIRS, _HEAD_PAIRS) if has_labels else (_WHOLE_ROWS, _HEAD_ROWS)
    is_whole = isinstance(count, int) and count <= whole
    head = value.head(count if is_whole else most)
    items = head.to_list() if hasattr(head, "to_list") else list(head)
    texts = [_cell(item) for item in items]
    is_line = not has_labels and all(isinstance(item, (int, float, type(None))) for item in items)
    if not is_line:
        labels = list(head.index) if hasattr(head, "index") else range(len(texts))
        pairs = zip(labels, texts, strict=True)
        texts = [f"{', '.join(map(_cell, _labels(label, index)))}: {text}" for label, text in pairs]
    fitting = _fitting(texts)
    what = "All" if is_whole and fitting == len(texts) else "First"
    name = "" if value.name is None or value.name == "" else f" {value.name!r}"
    number = count if isinstance(count, int) else "an unknown number of"
    return "\n".join(
        (
            f"{_type_name(value)}{name} of {number} values ({_kind(value.dtype)})",
            *(_index(value, count) if has_labels else ()),
            *(_range(value) if what == "First" and is_line and isinstance(count, int) else ()),
            f"{what} {fitting}: {', '.join(texts[:fitting])}"
            if is_line
            else "\n".join((f"{what} {fitting}:", *texts[:fitting])),
        )
    )


def _fitting(texts: Sequence[str]) -> int:
    """Return how many texts fit into a table's bytes: at least one."""
    room = _TABLE_BYTES
    for number, text in enumerate(texts):
        room -= len(text.encode("utf-8", "replace")) + 2
        if room < 0:
            return max(1, number)
    return len(texts)


def _is_index(value: object) -> bool:
    return hasattr(value, "to_list") and hasattr(value, "dtype") and hasattr(value, "shape") and _is_row(value)


def _labels_alone(value: Any) -> str:  # noqa: ANN401
    """Describe an index or another row of pandas' values: as it prints, else the first values of a long one."""
    text = repr(value)
    if "..." not in text and len(text) <= _TABLE_BYTES:
        return text
    texts = [repr(item) if isinstance(item, str) else _cell(item) for item in value[:500].to_list()]
    fitting = _fitting(texts)
    ends = f"from {_cell(value[0])} to {_cell(value[-1])}"
    return (
        f"{_type_name(value)} of {len(value)} values ({_kind(value.dtype)}), {ends}\n"
        f"{'All' if fitting == len(value) else 'First'} {fitting}: {', '.join(texts[:fitting])}"
    )


def _is_grouped(value: object) -> bool:
    return hasattr(type(value), "ngroups") and hasattr(type(value), "size")


def _groups(value: Any) -> str:  # noqa: ANN401
    """Describe what `groupby` returns: its groups, and how many rows each has."""
    return f"{_type_name(value)} with {value.ngroups} groups. Rows of each:\n{_series(value.size())}"


def _is_str_type(value: object) -> bool:
    return any(f"{_library(kind)}.{kind.__name__}" in _STR_TYPES for kind in type(value).__mro__)


def _is_number(value: object) -> bool:
    return _is_array(value) and getattr(value, "shape", None) == () and hasattr(value, "item")


def _number(value: Any) -> str:  # noqa: ANN401
    """Describe an array without dimensions, such as `array[1]`, by its one value."""
    if _library(type(value)) == "numpy":
        return str(value)  # `item()` turns nanoseconds into a number, and 0.1 of 32 bits into a longer one
    try:
        return str(value.item())
    except Exception:  # noqa: BLE001 - a tensor without data
        return _array(value)


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(type(value), "__getitem__")


def _array(value: Any) -> str:  # noqa: ANN401
    """Describe an array or tensor: its shape, type, range and first values."""
    lines = (f"{_type_name(value)} of shape {tuple(value.shape)}, {value.dtype}", *_range(value))
    return "\n".join((*lines, cap(repr(value), _ARRAY_BYTES)))


def _range(value: Any) -> Iterable[str]:  # noqa: ANN401
    """Yield a line with minimum, maximum and mean of the numbers that are there, and how many are not."""
    facts, missing = [], 0
    with contextlib.suppress(Exception):  # not every library compares and selects so
        missing = int((value != value).sum())  # noqa: PLR0124 - only what is not a number differs from itself
        value = value[value == value] if missing else value  # noqa: PLR0124
    for method in ("min", "max", "mean"):
        # Text and emptiness have no range, whole numbers of torch no mean; what numpy warns of is no fact.
        with contextlib.suppress(Exception), warnings.catch_warnings(action="error"):
            facts.append(f"{method} {float(getattr(value, method)()):.6g}")
    if missing:
        facts.append(f"{missing} NaN")
    if facts:
        yield ", ".join(facts)


def _is_code(value: object) -> bool:
    return isinstance(value, (FunctionType, MethodType, type))


def _code(value: object) -> str:
    """Describe a function or class by its source, else by its signature and docstring."""
    with contextlib.suppress(OSError, TypeError):
        return textwrap.dedent(inspect.getsource(value)).rstrip()  # type: ignore[arg-type]  # TypeError is suppressed
    return (_class_in_a_cell(value) if isinstance(value, type) else "") or _signature(value)


def _class_in_a_cell(value: type) -> str:
    """Return the source of a class that a cell defined; empty if it is not found.

    `inspect` looks into the file of a class's module, and a notebook has none: the methods of the class name the cell.
    """
    for method in vars(value).values():
        file = getattr(getattr(method, "__code__", None), "co_filename", "")
        source = "".join(linecache.getlines(file)) if file else ""
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    return "\n".join(source.split("\n")[first - 1 : node.end_lineno])
    return ""


def _signature(value: object) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "it")
    try:
        signature = str(inspect.signature(value))  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError):
        signature = "(…)"
    return f"{name}{signature}\n{inspect.getdoc(value) or ''}".rstrip()


def _module(value: object) -> str:
    names = [name for name in getattr(value, "__all__", None) or dir(value) if not name.startswith("_")]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    doc = (inspect.getdoc(value) or "").split("\n\n", 1)[0]
    name = getattr(value, "__name__", "")
    return f"module {name}: {doc}\nNames: {', '.join(names[:_NAMES])}{more}"


def _exception(value: Any) -> str:  # noqa: ANN401
    return "".join(traceback.format_exception(value)).rstrip()


def _is_figure(value: object) -> bool:
    return hasattr(value, "get_axes") and hasattr(value, "savefig")


def _figure(value: Any) -> str:  # noqa: ANN401
    """Describe a matplotlib figure in words: the titles, labels and data ranges of its axes."""
    lines = [f"{_type_name(value)} with {len(value.get_axes())} axes"]
    for number, axes in enumerate(value.get_axes(), 1):
        low, high = axes.get_xlim()
        bottom, top = axes.get_ylim()
        lines.append(
            f"Axes {number}: title {axes.get_title()!r}, x {axes.get_xlabel()!r} from {low:.4g} to {high:.4g}, "
            f"y {axes.get_ylabel()!r} from {bottom:.4g} to {top:.4g}, {len(axes.get_lines())} lines"
        )
    return "\n".join(lines)


def _data_in(value: object, prompt: str) -> str:
    """Describe a dictionary or list that holds tables, columns or arrays, one by one; empty for any other value."""
    if not isinstance(value, (dict, list, tuple)) or not 0 < len(value) <= _ITEMS:
        return ""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    if not any(_is_data(item) for _, item in items):
        return ""
    each = MAX_BYTES // len(items) - _LINE
    texts = (
        f"[{key!r}]\n{describe(item, limit=each, prompt=prompt) if _is_data(item) else cap(_plain(item), each)}"
        for key, item in items
    )
    return "\n\n".join((f"{_type_name(value)} of {len(value)} items", *texts))


def _is_data(value: object) -> bool:
    is_data = _is_frame(value) or _is_series(value) or _is_array(value)
    return is_data and not isinstance(value, type) and not _is_number(value)


class _Printer(pprint.PrettyPrinter):
    """Prints nested values on lines of their own, with data of libraries in a line, and their numbers as numbers."""

    def format(self, value: object, context: dict[int, int], maxlevels: int, level: int) -> tuple[str, bool, bool]:
        """Return the text of a value in one line, as the base class asks for it."""
        if _is_data(value):
            return f"<{describe(value).splitlines()[0]}>", False, False
        if _is_number(value):
            return _number(value), True, False
        return super().format(value, context, maxlevels, level)


def _plain(value: object) -> str:
    text = repr(value)
    if not isinstance(value, Sized):
        return text
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"{_type_name(value)} of {len(value)} items: {text}"
    if not isinstance(value, (dict, list, tuple)):
        return text
    has_long_texts = any(len(found) > _LONG_TEXT for found in _TEXTS.findall(text))  # the printer would split them
    return _Printer(width=sys.maxsize if has_long_texts else _LINE, compact=True, sort_dicts=False).pformat(value)


def _type_name(value: object) -> str:
    kind = type(value)
    library = _library(kind)
    return kind.__name__ if library in {"builtins", "__main__"} else f"{library} {kind.__name__}"


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


_WRITERS: tuple[tuple[Callable[[object], bool], Callable[[object], str]], ...] = (
    (lambda value: isinstance(value, BaseException), _exception),
    (lambda value: isinstance(value, ModuleType), _module),
    (_is_code, _code),
    (lambda value: isinstance(value, BuiltinFunctionType), _signature),
    (_is_str_type, str),
    (_is_series, _series),
    (_is_frame, _frame),
    (_is_number, _number),
    (_is_index, _labels_alone),
    (_is_grouped, _groups),
    (_is_array, _array),
    (_is_figure, _figure),
)
"""The first test that a value passes decides how it is described."""
