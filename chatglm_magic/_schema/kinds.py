"""The Python types that an answer may have: as JSON Schema for the model, and as the reader of what it wrote.

Each kind of type has a class with `schema` and `read`. The schemas are made here and not by msgspec, which sorts the
fields of a TypedDict and the members of a Literal: a model writes fields in the order in which it sees them, and one
that names its reasons before its verdict thinks better. Reading collects every problem, where msgspec stops at the
first, and reads unions of classes that have no tags. Types are strict: `"12"` is no number. Forgiven are a whole
number written as `3.0`, capital letters and blanks around a member of an Enum or Literal, a Decimal written as a
number, and fields that nobody asked for, unless the class forbids them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from .._errors import shorten
from .._language import marked, tr
from .json_schema import JsonSchema, Path, add_nearest, conform, same
from .misfit import Problems, json_type, not_one_of, wrong_type

BAD: Any = object()
"""What `read` returns beside a problem, where there is no value."""


class Kind(Protocol):
    """One kind of type.

    Attributes:
        schema: What a server is held to.
    """

    @property
    def schema(self) -> JsonSchema:
        """The JSON Schema of the type, self-contained."""

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the typed value of plain data; add what is wrong to the problems, whose value then does not count."""


class Plain(msgspec.Struct, frozen=True):
    """Whatever fits a JSON Schema, as plain data; also text, numbers and truth values."""

    schema: JsonSchema

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - JSON is any value
        """Return the value itself."""
        return conform(self.schema, value, path, problems)


class Float(msgspec.Struct, frozen=True):
    """A float; one that JSON wrote without a point becomes one."""

    schema: JsonSchema

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the number as a float."""
        before = len(problems.errors)
        value = conform(self.schema, value, path, problems)
        if len(problems.errors) > before:
            return BAD
        try:
            return float(value)
        except OverflowError:
            problems.add(path, tr("is too large for a number with a point"))
            return BAD


FORMATS: dict[type, tuple[JsonSchema, str]] = {
    datetime: ({"type": "string", "format": "date-time"}, marked("a date and time like 2026-01-31T09:30:00")),
    date: ({"type": "string", "format": "date"}, marked("a date like 2026-01-31")),
    time: ({"type": "string", "format": "time"}, marked("a time like 09:30:00")),
    timedelta: ({"type": "string", "format": "duration"}, marked("a duration like PT1H30M")),
    UUID: ({"type": "string", "format": "uuid"}, marked("a UUID like 123e4567-e89b-12d3-a456-426614174000")),
    Decimal: ({"type": "string", "format": "decimal"}, marked("a decimal number like 12.50")),
    bytes: ({"type": "string", "contentEncoding": "base64"}, marked("bytes in Base64")),
}
"""The types that JSON writes as text: their schema, and what they look like."""


class Formatted(msgspec.Struct, frozen=True):
    """A date, a Decimal, a UUID …: text in JSON, which msgspec converts."""

    type: type
    annotation: Any
    schema: JsonSchema

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the value that the text means."""
        if self.type is Decimal and json_type(value) in {"number", "integer"}:
            value = str(value)
        before = len(problems.errors)
        value = conform(self.schema, value, path, problems)
        if len(problems.errors) > before:
            return BAD
        try:
            return msgspec.convert(value, self.annotation)
        except (ValueError, ArithmeticError):  # msgspec's ValidationError is a ValueError
            wanted = tr(FORMATS[self.type][1])
            problems.add(path, tr("should be {wanted}, not {found}", wanted=wanted, found=_quoted(value)))
            return BAD


def _quoted(value: object) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), 40)


class Choice(msgspec.Struct, frozen=True):
    """A Literal or an Enum: the permitted JSON values, and what each means."""

    schema: JsonSchema
    values: tuple[Any, ...]
    members: tuple[Any, ...]

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the member that is meant."""
        for known, member in zip(self.values, self.members, strict=True):
            if same(value, known):
                return member
        if isinstance(value, str):
            alike = [
                member
                for known, member in zip(self.values, self.members, strict=True)
                if isinstance(known, str) and known.strip().casefold() == value.strip().casefold()
            ]
            if len(alike) == 1:
                return alike[0]
        problems.add(path, not_one_of(self.values, value))
        return BAD


class Items(msgspec.Struct, frozen=True):
    """A list, tuple of any length, set or frozenset of one kind of thing."""

    schema: JsonSchema
    item: Kind
    make: Callable[[list[Any]], Any] = list

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the items in their container; one that cannot hold them (a set of lists) is a problem."""
        before = len(problems.errors)
        conform({**self.schema, "items": {}}, value, path, problems)  # its length; each item is read below
        if not isinstance(value, list):
            return BAD
        found = [self.item.read(one, (*path, number), problems) for number, one in enumerate(value)]
        return BAD if len(problems.errors) > before else _made(self.make, (found,), {}, path, problems)


class Fixed(msgspec.Struct, frozen=True):
    """A tuple whose items have each their own kind."""

    schema: JsonSchema
    items: tuple[Kind, ...]

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the items as a tuple."""
        before = len(problems.errors)
        conform({**self.schema, "prefixItems": []}, value, path, problems)
        if len(problems.errors) > before:
            return BAD
        return tuple(kind.read(one, (*path, at), problems) for at, (kind, one) in enumerate(zip(self.items, value)))  # noqa: B905 - as long as each other


class Named(msgspec.Struct, frozen=True):
    """A dict of text to one kind of thing."""

    schema: JsonSchema
    value: Kind

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the dict with each value read."""
        conform({**self.schema, "additionalProperties": True}, value, path, problems)
        if not isinstance(value, dict):
            return BAD
        return {name: self.value.read(one, (*path, name), problems) for name, one in value.items()}


class Field(msgspec.Struct, frozen=True):
    """One field of a class.

    Attributes:
        name: Its name in Python.
        key: Its name in JSON.
        kind: What it holds.
        required: Whether it has no default.
    """

    name: str
    key: str
    kind: Kind
    required: bool


class Record(msgspec.Struct, frozen=True):
    """A dataclass, Struct, NamedTuple or TypedDict: an object with named fields.

    Attributes:
        schema: Its JSON Schema.
        make: Makes one of keywords.
        fields: In declared order.
        forbid: Whether other fields are an error.
        tag: The field and value by which a tagged Struct is told apart; None without.
    """

    schema: JsonSchema
    make: Callable[..., Any]
    fields: tuple[Field, ...]
    forbid: bool = False
    tag: tuple[str, str | int] | None = None

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the object made of its fields; what a class itself objects to is a problem of the whole object."""
        if not isinstance(value, dict):
            problems.add(path, wrong_type(["object"], value))
            return BAD
        before = len(problems.errors)
        found = {}
        for field in self.fields:
            if field.key in value:
                found[field.name] = field.kind.read(value[field.key], (*path, field.key), problems)
            elif field.required:
                problems.add((*path, field.key), tr("is missing"))
        if self.tag is not None and not same(value.get(self.tag[0], self.tag[1]), self.tag[1]):
            problems.add((*path, self.tag[0]), not_one_of([self.tag[1]], value[self.tag[0]]))
        if self.forbid:
            for name in self.unknown(value):
                problems.add((*path, name), tr("is not one of the fields"))
        return BAD if len(problems.errors) > before else _made(self.make, (), found, path, problems)

    def unknown(self, value: Mapping[str, Any]) -> list[str]:
        """Return the fields of an object that this class does not have."""
        known = {field.key for field in self.fields} | ({self.tag[0]} if self.tag else set())
        return [name for name in value if name not in known]


def _made(
    make: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any], path: Path, problems: Problems
) -> Any:  # noqa: ANN401 - any type
    try:
        return make(*given, **named)
    except Exception as error:  # noqa: BLE001 - `__post_init__` is the user's, and may raise anything
        problems.add(path, shorten(str(error)) or type(error).__name__)
        return BAD


class Union(msgspec.Struct, frozen=True):
    """One of several kinds, which need no tags.

    Each is tried. Of the objects, the one that knows most of the fields comes first; a number with a point is a float
    before it is anything else.
    """

    schema: JsonSchema
    kinds: tuple[Kind, ...]

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the value of the first kind that it fits."""
        conform({key: limit for key, limit in self.schema.items() if key != "anyOf"}, value, path, problems)
        trials = []
        for kind in sorted(self.kinds, key=lambda kind: _distance(kind, value)):
            trial = Problems()
            found = kind.read(value, path, trial)
            if not trial:
                return found
            if value is None or kind.schema.get("type") != "null":
                trials.append(trial)
        add_nearest(path, trials, problems)
        return BAD


def _distance(kind: Kind, value: object) -> int:
    """Return how unlike a value is to a kind, where several may fit."""
    if isinstance(kind, Record) and isinstance(value, dict):
        return len(kind.unknown(value))
    return int(isinstance(value, int) == isinstance(kind, Float) and isinstance(value, (int, float)))


class Own(msgspec.Struct, frozen=True):
    """A pydantic model, or another class that has its methods: its rules are its own, and so is its leniency."""

    schema: JsonSchema
    model: Any

    def read(self, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - any type
        """Return the model made by its class; each of its errors is a problem.

        It is given JSON, not data: strict models take a date as text only there.
        """
        try:
            return self.model.model_validate_json(json.dumps(value))
        except Exception as error:  # noqa: BLE001 - validators are the user's, and may raise anything
            for at, problem in _own_errors(error):
                problems.add((*path, *at), problem)
            return BAD


def _own_errors(error: Exception) -> list[tuple[Path, str]]:
    """Return the errors of pydantic's `ValidationError`, or the one that another error is."""
    listed = getattr(error, "errors", None)
    try:
        found = [
            (tuple(step for step in one["loc"] if isinstance(step, (str, int))), shorten(str(one["msg"])))
            for one in (listed() if callable(listed) else [])
        ]
    except Exception:  # noqa: BLE001 - some `ctx` of a user's own error
        found = []
    return found or [((), shorten(str(error)) or type(error).__name__)]


def without_classes(kind: Kind) -> Kind:
    """Return a kind that reads what the given one does, as plain data; of a model with its own rules, its schema."""
    changes: dict[str, Any] = {}
    made: Any = kind
    match kind:
        case Own(schema=schema):
            return Plain(schema)
        case Choice(values=values):
            changes = {"members": values}
        case Record(fields=fields):
            parts = tuple(msgspec.structs.replace(field, kind=without_classes(field.kind)) for field in fields)
            changes = {"make": dict, "fields": parts}
        case Items(item=item):
            changes = {"item": without_classes(item)}
        case Fixed(items=kinds):
            changes = {"items": tuple(map(without_classes, kinds))}
        case Named(value=value):
            changes = {"value": without_classes(value)}
        case Union(kinds=kinds):
            changes = {"kinds": tuple(map(without_classes, kinds))}
    return msgspec.structs.replace(made, **changes) if changes else kind


def plain(value: Any) -> Any:  # noqa: ANN401 - any type
    """Return a typed value as plain data: objects as dicts by field, Enums as their values, sets as lists."""
    if isinstance(value, (list, set, frozenset)) or (isinstance(value, tuple) and not hasattr(value, "_asdict")):
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return plain(value.value)
    fields = _fields_of(value)
    if isinstance(fields, dict):
        return {name: plain(one) for name, one in fields.items()}
    return fields if fields is value else plain(fields)


def _fields_of(value: Any) -> Any:  # noqa: ANN401 - any type
    """Return the fields of an object as a dict; what a pydantic RootModel holds; anything else as it is."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for name in ("_asdict", "model_dump"):
        if not isinstance(value, type) and callable(fields := getattr(value, name, None)):
            return fields()
    return value
