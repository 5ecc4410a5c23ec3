"""From a type annotation to the kind of value that it means."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

import msgspec

from .._errors import SchemaError, shorten
from .._language import marked, tr
from .json_schema import JsonSchema, Path, inlined
from .kinds import FORMATS, Choice, Field, Fixed, Float, Formatted, Items, Kind, Named, Own, Plain, Record, Union
from .misfit import path_text

_SCALARS: dict[object, JsonSchema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
_CONTAINERS: dict[object, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    abc.Sequence: list,
    abc.Iterable: list,
    abc.Collection: list,
}
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_LIMITS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "description": "description",
    "title": "title",
}
"""What `Annotated` may say (msgspec.Meta, annotated-types, pydantic's Field), as keywords."""
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
"""What a length is called, by the type that has it; a union may have each."""
_TYPED_DICT_MARKS = {"Required", "NotRequired", "ReadOnly"}
_NOT_A_TYPE = marked("{type} is nothing that an answer can be held to{place}. {accepted}")


def accepted() -> str:
    """Return the sentence that names what a schema may be."""
    return tr(
        "Give a pydantic model, dataclass, TypedDict, msgspec.Struct, NamedTuple, Literal or Enum, a list[…], "
        "dict[str, …] or union of them, a JSON Schema as a dict, or fields as text: "
        '"name, age int, bio: one sentence".'
    )


def kind_of(annotation: Any) -> Kind:  # noqa: ANN401 - any annotation
    """Return the kind of value that an annotation means.

    Raises:
        SchemaError: It is no type, or one that JSON cannot hold, or contains itself; the message names the field.
    """
    try:
        return _Reader().kind(annotation, ())
    except RecursionError:  # a `type` alias that contains itself
        raise SchemaError(
            tr(
                "{type} is nested too deeply for an answer, or contains itself. Make it simpler.",
                type=_name(annotation),
            )
        ) from None


class _Reader:
    """Reads one annotation; knows the classes that it is inside of."""

    def __init__(self) -> None:
        self._inside: list[type] = []

    def kind(self, annotation: Any, path: Path) -> Kind:  # noqa: ANN401 - any annotation
        annotation, notes = _bare(annotation)
        found = self._bare_kind(annotation, path)
        return _with_notes(found, notes, annotation, path) if notes else found

    def _bare_kind(self, annotation: Any, path: Path) -> Kind:  # noqa: ANN401 - any annotation
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        outer = origin or annotation
        if (simple := _simple(annotation)) is not None:
            return simple
        if origin is typing.Literal:
            return _choice(arguments, arguments, annotation, path)
        if origin in {typing.Union, types.UnionType}:
            kinds = tuple(self.kind(one, path) for one in arguments)
            return Union({"anyOf": [kind.schema for kind in kinds]}, kinds)
        if outer in _MAPPINGS:
            return self._named(arguments, annotation, path)
        if outer in _CONTAINERS:
            return self._items(outer, arguments, path)
        return self._class(annotation, path)

    def _named(self, arguments: tuple[Any, ...], annotation: object, path: Path) -> Kind:
        key, value = arguments or (str, Any)
        if _bare(key)[0] is not str:
            raise SchemaError(
                tr(
                    "The keys of {type} are not str{place}, and JSON has no others. "
                    "Use dict[str, …], or a TypedDict where the keys are known.",
                    type=_name(annotation),
                    place=_at(path),
                )
            )
        kind = self.kind(value, path)
        return Named({"type": "object", "additionalProperties": kind.schema or True}, kind)

    def _items(self, container: object, arguments: tuple[Any, ...], path: Path) -> Kind:
        if container is tuple and arguments and arguments[-1] is not Ellipsis:
            kinds = tuple(self.kind(one, (*path, at)) for at, one in enumerate(arguments))
            size = {"minItems": len(kinds), "maxItems": len(kinds)}
            return Fixed({"type": "array", "prefixItems": [kind.schema for kind in kinds], **size}, kinds)
        item = self.kind(arguments[0] if arguments else Any, path)
        schema: JsonSchema = {"type": "array", "items": item.schema}
        if container in {set, frozenset}:
            schema["uniqueItems"] = True
        return Items(schema, item, _CONTAINERS[container])

    def _class(self, annotation: Any, path: Path) -> Kind:  # noqa: ANN401 - any annotation
        if not isinstance(annotation, type) or typing.get_origin(annotation) is not None:
            raise not_a_type(annotation, path)
        if is_model(annotation):
            return _own(annotation, path)
        if issubclass(annotation, Enum):
            members = tuple(annotation)
            return _choice(tuple(member.value for member in members), members, annotation, path)
        if annotation in self._inside:
            raise SchemaError(
                tr(
                    "{name} contains itself{place}, which no grammar can hold a model to. "
                    "Ask for a list of {name} that refer to each other by name or number.",
                    name=annotation.__name__,
                    place=_at(path),
                )
            )
        self._inside.append(annotation)
        try:
            return self._record(annotation, path)
        finally:
            self._inside.pop()

    def _record(self, annotation: type, path: Path) -> Kind:
        forbid, tag = False, None
        if issubclass(annotation, msgspec.Struct):
            config = annotation.__struct_config__
            forbid = config.forbid_unknown_fields
            tag = (config.tag_field, config.tag) if config.tag is not None and config.tag_field else None
        fields = []
        for name, key, hint, required in _declared(annotation, path):
            fields.append(Field(name, key, self.kind(hint, (*path, key)), required))
        properties = {field.key: field.kind.schema for field in fields}
        needed = [field.key for field in fields if field.required]
        if tag is not None:
            properties, needed = {tag[0]: {"enum": [tag[1]]}, **properties}, [tag[0], *needed]
        if not properties:
            raise SchemaError(
                tr(
                    "{name} has no fields{place}: an answer could say nothing.",
                    name=annotation.__name__,
                    place=_at(path),
                )
            )
        schema: JsonSchema = {"type": "object", **_about(annotation), "properties": properties}
        schema |= {"required": needed, "additionalProperties": False}
        return Record(schema, annotation, tuple(fields), forbid, tag)


def _simple(annotation: Any) -> Kind | None:  # noqa: ANN401 - any annotation
    """Return the kind of a type that holds no others."""
    try:
        schema = _SCALARS.get(annotation)
    except TypeError:  # it has no hash, and is no type
        raise not_a_type(annotation) from None
    if schema is not None:
        return Plain(schema)
    if annotation is float:
        return Float({"type": "number"})
    return Formatted(annotation, annotation, FORMATS[annotation][0]) if annotation in FORMATS else None


def is_model(annotation: object) -> bool:
    """Return whether something is a class like a pydantic model, which has its own schema and its own checks."""
    return isinstance(annotation, type) and all(
        callable(getattr(annotation, name, None)) for name in ("model_json_schema", "model_validate_json")
    )


def _own(model: Any, path: Path) -> Kind:  # noqa: ANN401 - pydantic is never imported here
    try:
        schema = model.model_json_schema()
    except Exception as error:
        raise SchemaError(
            tr(
                "{name} has no JSON Schema{place}: {error}",
                name=model.__name__,
                place=_at(path),
                error=shorten(str(error)),
            )
        ) from error
    return Own(inlined(schema, strict=False), model)


def _declared(annotation: type, path: Path) -> list[tuple[str, str, Any, bool]]:
    """Return the fields of a class in declared order: name, name in JSON, annotation, whether it is required."""
    try:
        if issubclass(annotation, msgspec.Struct):
            return [(one.name, one.encode_name, one.type, one.required) for one in msgspec.structs.fields(annotation)]
        hints = typing.get_type_hints(annotation, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise SchemaError(
            tr(
                "The annotations of {name} cannot be read{place}: {error}.",
                name=annotation.__name__,
                place=_at(path),
                error=error,
            )
        ) from error
    if dataclasses.is_dataclass(annotation):
        missing = dataclasses.MISSING
        return [
            (one.name, one.name, hints[one.name], one.default is missing and one.default_factory is missing)
            for one in dataclasses.fields(annotation)
            if one.init
        ]
    if hasattr(annotation, "__required_keys__"):
        needed = annotation.__required_keys__
        return [(name, name, hint, _is_required(hint, name in needed)) for name, hint in hints.items()]
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        defaults = getattr(annotation, "_field_defaults", {})
        return [(name, name, hints.get(name, Any), name not in defaults) for name in annotation._fields]
    raise not_a_type(annotation, path)


def _is_required(hint: object, default: bool) -> bool:  # noqa: FBT001 - what the class says
    marks = [getattr(typing.get_origin(one), "_name", "") for one in _layers(hint)]
    return "Required" in marks or (default and "NotRequired" not in marks)


def _layers(hint: object) -> list[object]:
    """Return a hint and what its marks and notes are around."""
    found = [hint]
    while getattr(typing.get_origin(hint), "_name", "") in _TYPED_DICT_MARKS or typing.get_origin(hint) is (
        typing.Annotated
    ):
        hint = typing.get_args(hint)[0]
        found.append(hint)
    return found


def _bare(annotation: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401 - any annotation
    """Return an annotation without names and marks around it, and the notes of `Annotated`."""
    notes: tuple[Any, ...] = ()
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            notes += annotation.__metadata__
            annotation = annotation.__origin__
        elif getattr(origin, "_name", "") in {*_TYPED_DICT_MARKS, "Final"} or origin is typing.Final:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, notes


def _with_notes(kind: Kind, notes: tuple[Any, ...], annotation: object, path: Path) -> Kind:
    """Return the kind with the limits and descriptions of `Annotated`."""
    schema = dict(kind.schema)
    for note in notes:
        if isinstance(note, str):
            schema.setdefault("description", note)
            continue
        for one in (note, *getattr(note, "metadata", ())):
            schema |= {key: limit for name, key in _LIMITS.items() if (limit := getattr(one, name, None)) is not None}
            for kind_name, (least, most) in _LENGTHS.items():
                lengths = {least: getattr(one, "min_length", None), most: getattr(one, "max_length", None)}
                if schema.get("type", kind_name) == kind_name:
                    schema |= {key: limit for key, limit in lengths.items() if limit is not None}
            schema |= getattr(one, "extra_json_schema", None) or {}
    if not isinstance(kind, Own):
        try:
            inlined({key: value for key, value in schema.items() if key not in {"properties", "anyOf"}})
        except SchemaError as error:
            raise SchemaError(tr("The limits are wrong{place}: {error}", place=_at(path), error=error)) from None
    if isinstance(kind, Formatted):
        return Formatted(kind.type, typing.Annotated[(annotation, *notes)], schema)
    return cast("Kind", msgspec.structs.replace(cast("msgspec.Struct", kind), schema=schema))


def _choice(values: tuple[Any, ...], members: tuple[Any, ...], annotation: object, path: Path) -> Kind:
    odd = [value for value in values if value is not None and type(value) not in {str, int, bool}]
    if isinstance(annotation, type) and issubclass(annotation, (str, int)):
        values = tuple(str(value) if isinstance(value, str) else int(value) for value in values)
        odd = []
    if odd or not values:
        raise SchemaError(
            tr(
                "{type} has a member that is neither text nor a whole number{place}: {value}. "
                "Give its members such values.",
                type=_name(annotation),
                place=_at(path),
                value=shorten(repr(odd[0]), 60) if odd else tr("none"),
            )
        )
    schema: JsonSchema = {"enum": list(values)}
    if all(isinstance(value, str) for value in values):
        schema = {"type": "string", **schema}
    return Choice(schema, values, members)


def _about(annotation: type) -> JsonSchema:
    """Return the description of a class: the first paragraph of its own docstring."""
    text = annotation.__dict__.get("__doc__") or ""
    if text.startswith((f"{annotation.__name__}(", "Alias for ")):  # made by dataclass and NamedTuple
        return {}
    text = inspect.cleandoc(text).partition("\n\n")[0].replace("\n", " ")
    return {"description": text} if text else {}


def not_a_type(given: object, path: Path = ()) -> SchemaError:
    """Return the error for what is no type of an answer."""
    return SchemaError(tr(_NOT_A_TYPE, type=_name(given), place=_at(path), accepted=accepted()))


def _at(path: Path) -> str:
    """Return the place in a sentence, with a blank before it; empty for the whole."""
    return tr(" (at {path})", path=path_text(path)) if path else ""


def _name(annotation: object) -> str:
    """Return how a person would write an annotation, shortened."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return shorten(repr(annotation).replace("typing.", ""), 80)
