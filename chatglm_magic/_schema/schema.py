"""What an answer is held to, and the value that its text holds."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import msgspec

from .._errors import SchemaError
from .._language import tr
from .annotations import is_model, kind_of, not_a_type
from .json_schema import Path, inlined
from .kinds import Choice, Fixed, Formatted, Items, Kind, Named, Own, Plain, Record, Union, plain, without_classes
from .misfit import Misfit, Problems, json_type, type_words
from .partial import REJECTED, SKIPPED, PartialJson
from .short import parse_short
from .text import candidates, misfit_without_json, unfenced

__all__ = ["Misfit", "PartialAnswer", "Schema"]

_LIST, _VALUE = "items", "value"
"""The field that holds the answer where that is no object: servers want an object at the root."""


class Schema(msgspec.Struct, frozen=True, eq=False):
    """What an answer should be: made by `of`, sent as `json_schema`, and read by `read`.

    Attributes:
        name: A word for it, of at most 64 ASCII letters, digits, `_` and `-`: the class's name; that and `_items` for
            a list.
        json_schema: Self-contained JSON Schema whose root is always an object; fields and choices in declared order.
            A list is wrapped as `{"items": […]}`, another value that is no object as `{"value": …}`.
        is_list: Whether the answer is a list.
        key: The JSON of `json_schema`: equal for equal schemas in every process.
        kind: What reads the answer.
        wrapper: `items`, `value`, or empty where the answer is an object itself.
    """

    name: str
    json_schema: Mapping[str, Any]
    is_list: bool
    key: str
    kind: Kind
    wrapper: str

    @classmethod
    def of(cls, given: Any, *, many: bool = False) -> Self:  # noqa: ANN401 - any type
        """Return the schema of a type, a JSON Schema or the short form.

        Args:
            given: A pydantic model, dataclass, TypedDict, msgspec.Struct, NamedTuple, Literal, Enum, `list[…]`,
                `dict[str, …]`, a union of them, a JSON Schema as a dict, text as `parse_short` reads it, or a schema
                that is made already.
            many: Whether a list of it is wanted.

        Raises:
            SchemaError: No answer can be held to it; the message names the field or keyword.
        """
        if isinstance(given, cls):
            if not many:
                return given
            name, kind = given.name, given.kind
        else:
            name, kind = _name_and_kind(given)
        if many:
            name, kind = f"{name}_items", Items({"type": "array", "items": kind.schema}, kind)
        is_list = kind.schema.get("type") == "array"
        wrapper = _LIST if is_list else "" if kind.schema.get("type") == "object" else _VALUE
        schema = kind.schema
        if wrapper:
            schema = {"type": "object", "properties": {wrapper: schema}, "required": [wrapper]}
            schema["additionalProperties"] = False
        try:
            key = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:  # a default or a choice that JSON does not have
            raise SchemaError(tr("The schema holds what JSON has no value for: {error}.", error=error)) from None
        return cls(_word(name), schema, is_list, key, kind, wrapper)

    def read(self, text: str) -> Any:  # noqa: ANN401 - the type that was asked for
        """Return the validated value of a whole answer's text.

        The first JSON in it that fits is taken; but a list that began well and went wrong is the answer, whatever
        follows, for its first items may have been shown. Fences, prose around it, a byte order mark and line ends
        inside strings are forgiven, and so is an answer without its wrapper.

        Raises:
            Misfit: Nothing in the text fits. The errors are those of the longest JSON in it; their paths do not name
                the wrapper.
        """
        longest, wrong = -1, None
        for candidate in candidates(text):
            problems = candidate.problems or Problems()
            if not problems:
                value, problems = self._fit(candidate.value)
                if not problems and not (wrong and self._has_begun(text[: candidate.start])):
                    return value
            if problems and candidate.size > longest:
                longest, wrong = candidate.size, problems
        if self.wrapper == _VALUE and _reads_bare_text(self.kind):
            problems = Problems()
            value = self.kind.read(unfenced(text), (), problems)
            if not problems:
                return value
        if wrong is None:
            raise misfit_without_json(self._wanted())
        raise self._unwrapped(wrong).misfit()

    def records(self, value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - the type that was asked for
        """Return a value as plain dicts, one for each row of a table; what is no object becomes `{"value": …}`."""
        rows = plain(value)
        return [row if isinstance(row, dict) else {_VALUE: row} for row in (rows if self.is_list else [rows])]

    def plain(self, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
        """Return a value as plain data, as JSON holds it."""
        return plain(value)

    def columns(self, rows: Iterable[Mapping[str, Any]] = ()) -> list[str]:
        """Return the names of a table's columns: the declared fields in their order, then others that rows have."""
        found = dict.fromkeys(name for row in rows for name in row)
        one = _part(self.kind, 0) if self.is_list else self.kind
        match one:
            case Record(fields=fields):
                declared = [field.name for field in fields]
            case Own() if found:  # a pydantic model's names in JSON may be aliases; its rows have all its fields
                declared = []
            case _:
                schema = None if one is None else one.schema
                declared = list(schema.get("properties", {})) if isinstance(schema, Mapping) else []
        return list(dict.fromkeys((*declared, *found)))

    def portable(self) -> Self:
        """Return the same schema without the user's classes, to travel: what it reads is plain data."""
        return msgspec.structs.replace(self, kind=without_classes(self.kind))

    def partial(self) -> PartialAnswer:
        """Return a reader of an answer that is still being written."""
        return PartialAnswer(self.kind, self.wrapper)

    def _has_begun(self, text: str) -> bool:
        """Return whether a reader of the text as it came has shown items of a list."""
        partial = self.partial()
        partial.feed(text)
        return self.is_list and bool(partial.value)

    def _wanted(self) -> str:
        """Return what should stand where there is no JSON, in plain words; empty if it may be of too many types."""
        kinds: list[str] = []
        for schema in self.kind.schema.get("anyOf", [self.kind.schema]):
            named = schema.get("type") or sorted({json_type(one) for one in schema.get("enum", [])})
            if not named:
                return ""
            kinds += [named] if isinstance(named, str) else named
        return type_words(list(dict.fromkeys(kinds)))

    def _fit(self, data: Any) -> tuple[Any, Problems]:  # noqa: ANN401 - JSON is any value
        """Return the value of decoded JSON, with and without its wrapper, and what is wrong with the better one."""
        trials = []
        for shape in self._shapes(data):
            problems = Problems()
            value = read_safely(self.kind, shape, problems)
            if not problems:
                return value, problems
            trials.append(problems)
        return None, trials[0]

    def _shapes(self, data: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON is any value
        """Yield what an answer may mean, the likeliest first."""
        wrapped = isinstance(data, dict) and self.wrapper in data
        if wrapped:
            yield data[self.wrapper]
        if self.wrapper == "" and isinstance(data, list) and len(data) == 1:
            yield data[0]
        elif not wrapped or self.wrapper == _VALUE:
            yield data

    def _unwrapped(self, problems: Problems) -> Problems:
        """Return the problems without the wrapper's name in their paths, for those that JSON itself has."""
        found = Problems()
        for path, problem in problems.errors:
            inner = path[1:] if self.wrapper and path[:1] == (self.wrapper,) else path
            found.add(inner, problem)
        return found


class PartialAnswer:
    """An answer that is still being written: feed it the text, read its value. Costs as much as `PartialJson`.

    The value is plain data without the wrapper: of a list the items that are complete and fit, as `Schema.records`
    would show them, up to the first that does not; of an object its complete fields; of another value None until it
    is complete.
    """

    def __init__(self, kind: Kind, wrapper: str) -> None:
        self._kind = kind
        self._wrapper = wrapper
        self._whole: Any = None
        fields = kind.fields if isinstance(kind, Record) else ()
        self._names = {field.key: field.name for field in fields}
        self._json = PartialJson(self._take)

    def feed(self, text: str) -> None:
        """Add what has come."""
        self._json.feed(text)

    @property
    def value(self) -> Any:  # noqa: ANN401 - JSON is any value
        """What is complete so far; not to be changed."""
        found = self._json.value
        if self._wrapper == _LIST:
            found = found.get(_LIST, []) if isinstance(found, dict) else found
            return found or []
        if self._wrapper == _VALUE:
            return self._whole
        if isinstance(found, dict):
            return {self._names.get(key, key): value for key, value in found.items()}
        return {}

    def _take(self, path: Path, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
        if self._wrapper == _LIST:
            return self._take_item(path, value)
        if self._wrapper == _VALUE:
            return self._take_value(path, value)
        if path == ():
            return self._read(self._kind, value)
        part: Kind | None = self._kind
        for step in path:
            part = _part(part, step)
        if isinstance(self._kind, Record) and path[0] not in self._names:
            return SKIPPED
        return value if part is None else self._read(part, value)

    def _take_item(self, path: Path, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
        bare = len(path) == 1 and isinstance(path[0], int)
        if bare or (len(path) == 2 and path[0] == _LIST):  # noqa: PLR2004 - `items` and the position in it
            part = _part(self._kind, path[-1])
            return value if part is None else self._read(part, value)
        if path == (_LIST,) and value == []:
            return value
        if path == ():
            whole = value.get(_LIST) if isinstance(value, dict) else value
            return self._read(self._kind, whole)
        return REJECTED if path == (_LIST,) else SKIPPED

    def _take_value(self, path: Path, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
        if path == ():
            value = value.get(_VALUE, value) if isinstance(value, dict) else value
        elif path != (_VALUE,):
            return value
        found = self._read(self._kind, value)
        if found is not REJECTED:
            self._whole = found
        return found

    @staticmethod
    def _read(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
        problems = Problems()
        found = read_safely(kind, value, problems)
        return REJECTED if problems else plain(found)


def read_safely(kind: Kind, value: Any, problems: Problems) -> Any:  # noqa: ANN401 - any type
    """Return a value as its kind reads it; one that is nested too deeply is a problem and no RecursionError."""
    try:
        return kind.read(value, (), problems)
    except RecursionError:
        problems.add((), tr("is nested too deeply"))
        return None


def _part(kind: Kind | None, step: str | int) -> Kind | None:
    """Return the kind of one item or field of a kind; None where that is not known."""
    match kind:
        case Items(item=item):
            return item
        case Fixed(items=items) if isinstance(step, int) and step < len(items):
            return items[step]
        case Record(fields=fields):
            return next((field.kind for field in fields if field.key == step), None)
        case Named(value=value):
            return value
        case Plain(schema=schema):
            if isinstance(step, str):
                inner = schema.get("properties", {}).get(step)
            else:
                first = schema.get("prefixItems", [])
                inner = first[step] if step < len(first) else schema.get("items")
            return None if inner is None else Plain(inner)
    return None


def _reads_bare_text(kind: Kind) -> bool:
    """Return whether text without quotes can only mean a value of that kind: a choice, a date, not text at large."""
    if isinstance(kind, Union):
        return all(_reads_bare_text(one) for one in kind.kinds)
    return isinstance(kind, (Choice, Formatted)) or (isinstance(kind, Plain) and kind.schema.get("type") == "null")


def _name_and_kind(given: Any) -> tuple[str, Kind]:  # noqa: ANN401 - any type
    if isinstance(given, str):
        return "answer", Plain(parse_short(given))
    if isinstance(given, Mapping):
        if "properties" in given and "type" not in given:
            given = {"type": "object", **given}
        title = given.get("title")
        return title if isinstance(title, str) else "answer", Plain(inlined(given))
    if given is None or given is Any or given is object or given is type(None):
        raise not_a_type(given)
    return _name(given), kind_of(given)


def _name(given: Any) -> str:  # noqa: ANN401 - any type
    """Return a word for an annotation."""
    origin, arguments = typing.get_origin(given), typing.get_args(given)
    if origin is typing.Annotated:
        return _name(arguments[0])
    if origin in {list, set, frozenset, tuple} and arguments:
        return f"{_name(arguments[0])}_items"
    if isinstance(given, type) and (origin is None or is_model(given)):
        return given.__name__
    return "answer"


def _word(name: str) -> str:
    """Return a name as services take it; `answer` where nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "answer"
