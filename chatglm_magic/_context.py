"""A Python value → the text a model reads: schema and head of data, source of functions, capped.

Types are told by what they have, not by what they are called, so that nothing is imported here: pandas and
polars frames, arrays and tensors of any library, and whatever gives `_repr_llm_` about itself.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable, Sized
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

MAX_BYTES = 6_000
"""How much one value may say, in UTF-8 bytes: about 2,000 tokens."""

_ROWS = 5
_COLUMNS = 60
_NAMES = 80
_ARRAY_BYTES = 1_500
_WRITTEN = frozenset(
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
"""Kinds of values that people know by what `str` gives, not by their `repr`; subclasses are meant, too."""


def describe(value: object, *, limit: int = MAX_BYTES) -> str:
    """Give the text that stands for a value in a prompt.

    Args:
        value: Anything. A string is given whole up to the limit; an object with `_repr_llm_()` speaks for itself.
        limit: Bytes of UTF-8 after which the text is cut, which it then says.

    Raises:
        Exception: Whatever the value's own methods raise.
    """
    own = getattr(type(value), "_repr_llm_", None)
    if callable(own):
        return cap(str(own(value)), limit)
    if isinstance(value, str):
        return cap(value, limit)
    for is_one, tell in _KINDS:
        if is_one(value):
            return cap(tell(value), limit)
    return cap(_plain(value), limit)


def cap(text: str, limit: int = MAX_BYTES) -> str:
    """Cut a text after `limit` bytes, keeping its beginning and its end, and say so."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    head, tail = data[: limit * 3 // 4], data[-(limit // 4) :]
    left_out = len(data) - len(head) - len(tail)
    return (
        head.decode("utf-8", "ignore")
        + f"\n… [{left_out} of {len(data)} bytes left out] …\n"
        + tail.decode("utf-8", "ignore")
    )


def _is_frame(value: object) -> bool:
    # In this order: a lazy frame has no shape, and warns where it is asked for its columns.
    return all(hasattr(value, name) for name in ("shape", "dtypes", "head", "columns"))


def _frame(value: Any) -> str:  # noqa: ANN401 - told by what it has
    """Tell a DataFrame: its size, its columns with their types, its first rows."""
    shape = value.shape
    columns = list(value.columns)[:_COLUMNS]
    types = list(value.dtypes)[:_COLUMNS]
    names = ", ".join(f"{column} ({kind})" for column, kind in zip(columns, types, strict=False))
    more = f" and {shape[1] - _COLUMNS} more" if len(shape) > 1 and shape[1] > _COLUMNS else ""
    head = value.head(_ROWS)
    return (
        f"{_kind(value)} with {shape[0]} rows and {shape[1]} columns: {names}{more}\n"
        f"First {min(_ROWS, shape[0])} rows:\n{_table(head)}"
    )


def _table(head: object) -> str:
    """Write rows as CSV, which models read well and which hides no column; else as the library prints them."""
    write = getattr(head, "to_csv", None) or getattr(head, "write_csv", None)
    return str(write()).rstrip() if callable(write) else str(head)


def _is_series(value: object) -> bool:
    return all(hasattr(value, name) for name in ("dtype", "head", "name", "shape"))


def _series(value: Any) -> str:  # noqa: ANN401 - told by what it has
    head = value.head(_ROWS)
    return (
        f"{_kind(value)} {value.name!r} of {value.shape[0]} values ({value.dtype})\n"
        f"First {min(_ROWS, value.shape[0])}: {_items(head)}"
    )


def _items(head: object) -> str:
    to_list = getattr(head, "to_list", None)
    values: Any = to_list() if callable(to_list) else head
    return ", ".join(map(str, values))


def _is_written(value: object) -> bool:
    return any(f"{_library(kind)}.{kind.__name__}" in _WRITTEN for kind in type(value).__mro__)


def _is_number(value: object) -> bool:
    return _is_array(value) and getattr(value, "shape", None) == () and hasattr(value, "item")


def _number(value: Any) -> str:  # noqa: ANN401 - told by what it has
    """Tell what is an array in name only, such as `array[1]`, by its one value."""
    if _library(type(value)) == "numpy":
        return str(value)  # as it reads: `item()` makes nanoseconds a number, and 0.1 of 32 bits a longer one
    try:
        return str(value.item())
    except Exception:  # noqa: BLE001 - a tensor that holds no value, or not yet
        return _array(value)


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(type(value), "__getitem__")


def _array(value: Any) -> str:  # noqa: ANN401 - told by what it has
    """Tell an array or tensor: its shape, type, range and first values."""
    shape = tuple(value.shape)
    lines = [f"{_kind(value)} of shape {shape}, {value.dtype}"]
    told = []
    for method in ("min", "max", "mean"):
        with contextlib.suppress(Exception):  # text and emptiness have no range, whole numbers of torch no mean
            told.append(f"{method} {_scalar(value, method)}")
    lines += [", ".join(told)] if told else []
    lines.append(cap(repr(value), _ARRAY_BYTES))
    return "\n".join(lines)


def _scalar(value: object, method: str) -> str:
    result = getattr(value, method)()
    return f"{float(result):.6g}"


def _is_code(value: object) -> bool:
    return isinstance(value, (FunctionType, MethodType, type))


def _code(value: object) -> str:
    """Tell a function or class by its source, else by its signature and docstring."""
    with contextlib.suppress(OSError, TypeError):
        return textwrap.dedent(inspect.getsource(value)).rstrip()  # type: ignore[arg-type]  # TypeError is told next
    return (_class_in_a_cell(value) if isinstance(value, type) else "") or _signature(value)


def _class_in_a_cell(value: type) -> str:
    """Give the source of a class that a cell defined; empty if it is not found.

    `inspect` looks into a module's file, and a notebook has none: the cell is known by the class's methods.
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
        signature = str(inspect.signature(value))  # type: ignore[arg-type]  # TypeError is told next
    except (TypeError, ValueError):
        signature = "(…)"
    return f"{name}{signature}\n{inspect.getdoc(value) or ''}".rstrip()


def _module(value: object) -> str:
    names = [name for name in getattr(value, "__all__", None) or dir(value) if not name.startswith("_")]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    doc = (inspect.getdoc(value) or "").split("\n\n", 1)[0]
    name = getattr(value, "__name__", "")
    return f"module {name}: {doc}\nNames: {', '.join(names[:_NAMES])}{more}"


def _exception(value: object) -> str:
    """Tell an exception by its traceback."""
    assert isinstance(value, BaseException)  # noqa: S101 - told apart just before
    return "".join(traceback.format_exception(value)).rstrip()


def _is_figure(value: object) -> bool:
    return hasattr(value, "get_axes") and hasattr(value, "savefig")


def _figure(value: Any) -> str:  # noqa: ANN401 - told by what it has
    """Tell a matplotlib figure in words: the titles, labels and data ranges of its axes."""
    lines = [f"{_kind(value)} with {len(value.get_axes())} axes"]
    for number, axes in enumerate(value.get_axes(), 1):
        low, high = axes.get_xlim()
        bottom, top = axes.get_ylim()
        lines.append(
            f"Axes {number}: title {axes.get_title()!r}, x {axes.get_xlabel()!r} from {low:.4g} to {high:.4g}, "
            f"y {axes.get_ylabel()!r} from {bottom:.4g} to {top:.4g}, {len(axes.get_lines())} lines"
        )
    return "\n".join(lines)


def _plain(value: object) -> str:
    text = repr(value)
    if isinstance(value, Sized) and len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"{_kind(value)} of {len(value)} items: {text}"
    return text


def _kind(value: object) -> str:
    kind = type(value)
    library = _library(kind)
    return kind.__name__ if library in {"builtins", "__main__"} else f"{library} {kind.__name__}"


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


_KINDS: tuple[tuple[Callable[[object], bool], Callable[[object], str]], ...] = (
    (lambda value: isinstance(value, BaseException), _exception),
    (lambda value: isinstance(value, ModuleType), _module),
    (_is_code, _code),
    (lambda value: isinstance(value, BuiltinFunctionType), _signature),
    (_is_written, str),
    (_is_frame, _frame),
    (_is_series, _series),
    (_is_number, _number),
    (_is_array, _array),
    (_is_figure, _figure),
)
