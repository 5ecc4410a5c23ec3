"""JSON Schema, as far as models and servers understand it: checked, made self-contained, and held against a value.

fastjsonschema is no help here: it stops at the first error, in English, and what goes back to a model should name
every place at once, in the language of the person who may read it too.

Supported are the keywords below. Every other one is refused by name before anything is sent, because a keyword that
nobody checks is a promise that nobody keeps; so is `$ref` to anything but a definition of the schema itself, and a
definition that contains itself, which grammars cannot hold a model to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._errors import SchemaError
from .._language import marked, tr, trn
from .misfit import Problems, json_type, not_one_of, path_text, wrong_type

JsonSchema = dict[str, Any]
Path = tuple[str | int, ...]

TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
_ANNOTATIONS = frozenset(
    (
        "title",
        "description",
        "default",
        "examples",
        "format",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "contentEncoding",
        "contentMediaType",
    )
)
"""Keywords that say something to the model and nothing to the check."""
_DROPPED = frozenset({"$schema", "$id", "$defs", "definitions", "discriminator"})
"""Keywords that mean nothing once `$ref`s are inlined."""
_LARGEST = 20_000
"""How many schemas a schema may consist of: definitions that use each other twice grow beyond all bounds."""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_type(value: object) -> bool:
    kinds = [value] if isinstance(value, str) else value
    return isinstance(kinds, list) and bool(kinds) and all(kind in TYPES for kind in kinds)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_pattern(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else "(")
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_choices(value: object) -> bool:
    return isinstance(value, list) and bool(value)


_VALUES: dict[str, Callable[[object], bool]] = {
    "type": _is_type,
    "enum": _is_choices,
    "const": lambda _: True,
    "required": _is_names,
    "pattern": _is_pattern,
    "uniqueItems": lambda value: isinstance(value, bool),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _is_count,
    ),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,  # type: ignore[operator]
}
"""The keywords that hold no schema, and which values they take."""
_INSIDE = {
    "properties": "map",
    "items": "one",
    "additionalProperties": "one",
    "prefixItems": "list",
    "anyOf": "list",
    "oneOf": "list",
    "allOf": "list",
}
"""The keywords that hold schemas: one, a list of them, or several by name."""
_INSIDE_OTHERS = {"propertyNames": "one", "patternProperties": "map", "contains": "one", "not": "one"}
"""The same for keywords that we do not check, but a class may that checks itself."""


def inlined(schema: Mapping[str, Any], *, strict: bool = True) -> JsonSchema:
    """Return a schema of JSON Schema that stands alone: every `$ref` replaced by what it refers to.

    Args:
        schema: The schema with its `$defs`; the order of its keywords is kept.
        strict: Whether keywords that we do not check are refused. Those of a class that checks itself may be any.

    Raises:
        SchemaError: It is no JSON Schema, or not one that is supported; the message names the place and the keyword.
    """
    return _Inliner(schema, strict=strict).inline(schema, (), ())


class _Inliner:
    """Walks one schema, and counts how much it becomes."""

    def __init__(self, root: Mapping[str, Any], *, strict: bool) -> None:
        self._root = root
        self._strict = strict
        self._count = 0

    def inline(self, schema: object, path: Path, inside: tuple[str, ...]) -> JsonSchema:
        """Return one schema inlined; `inside` are the references that led to it."""
        self._count += 1
        if self._count > _LARGEST or len(path) > 100:  # noqa: PLR2004 - far deeper than any answer
            raise SchemaError(tr("The schema is too large: its references lead to too many others. Make it simpler."))
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise _fault(path, tr("a schema should stand there, as an object of JSON"))
        if "$ref" in schema:
            return self._follow(schema, path, inside)
        found: JsonSchema = {}
        for keyword, value in schema.items():
            if keyword in _DROPPED:
                continue
            found[str(keyword)] = self._keyword(str(keyword), value, (*path, str(keyword)), inside)
        return found

    def _follow(self, schema: Mapping[str, Any], path: Path, inside: tuple[str, ...]) -> JsonSchema:
        target = schema["$ref"]
        if target == "#":
            raise SchemaError(
                tr(
                    "The schema contains itself at {path}, which no grammar can hold a model to. "
                    "Ask for a list of objects that refer to each other by name or number.",
                    path=path_text(path),
                )
            )
        if target in inside:
            name = str(target).rpartition("/")[2]
            raise SchemaError(
                tr(
                    "{name} contains itself, which no grammar can hold a model to: {path}. "
                    "Ask for a list of {name} that refer to each other by name or number.",
                    name=name,
                    path=path_text(path),
                )
            )
        at: object = self._root
        for step in target.removeprefix("#/").split("/") if isinstance(target, str) else [""]:
            at = at.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
        if at is None or not str(target).startswith("#/"):
            raise _fault(path, tr("{target} refers to nothing in this schema", target=f"$ref {target!r}"))
        rest = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        return {**self.inline(at, path, (*inside, target)), **self.inline(rest, path, inside)}

    def _keyword(self, keyword: str, value: object, path: Path, inside: tuple[str, ...]) -> object:
        holds = _INSIDE.get(keyword) or (None if self._strict else _INSIDE_OTHERS.get(keyword))
        match holds, value:
            case "map", Mapping():
                return {str(name): self.inline(one, (*path, str(name)), inside) for name, one in value.items()}
            case "list", list() if value:
                return [self.inline(one, (*path, number), inside) for number, one in enumerate(value)]
            case "one", bool() if keyword == "additionalProperties":
                return value
            case "one", _:
                return self.inline(value, path, inside)
        check = _VALUES.get(keyword)
        if (check is not None and check(value)) or keyword in _ANNOTATIONS or not self._strict:
            return value
        if check is not None or keyword in _INSIDE:
            raise _fault(path, tr("{value} is no value for this keyword", value=_short(value)))
        raise _fault(
            path,
            tr(
                "{keyword} is no keyword that is supported here. Supported are {keywords}",
                keyword=keyword,
                keywords=", ".join(sorted({*_VALUES, *_INSIDE})),
            ),
        )


def _fault(path: Path, problem: str) -> SchemaError:
    return SchemaError(tr("The schema is wrong at {path}: {problem}.", path=path_text(path), problem=problem))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - as much as shows what it is


def conform(schema: JsonSchema, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - JSON is any value
    """Return a value as its schema wants it, and add what is wrong with it to the problems.

    The value is the same, but that a whole number written as `3.0` becomes `3` where a whole number is asked for.

    Args:
        schema: As `inlined` returns it.
        value: Plain data, as JSON has it.
        path: Where the value stands.
        problems: Where problems are added.
    """
    before = len(problems.errors)
    value = _typed(schema, value, path, problems)
    if len(problems.errors) > before or (len(schema) == 1 and "type" in schema):
        return value  # of another type, so that its limits mean nothing; or without any
    if "enum" in schema and not any(same(value, choice) for choice in schema["enum"]):
        problems.add(path, not_one_of(schema["enum"], value))
    if "const" in schema and not same(value, schema["const"]):
        problems.add(path, not_one_of([schema["const"]], value))
    match value:
        case str():
            _text(schema, value, path, problems)
        case int() | float() if not isinstance(value, bool):
            _number(schema, value, path, problems)
        case list():
            value = _list(schema, value, path, problems)
        case dict():
            value = _object(schema, value, path, problems)
    return _alternatives(schema, value, path, problems)


def same(value: Any, choice: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Return whether two values are the same for JSON: true is not 1, but 1.0 is."""
    return (isinstance(value, bool) == isinstance(choice, bool)) and bool(value == choice)


def _typed(schema: JsonSchema, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - JSON is any value
    kinds = schema.get("type")
    if kinds is None:
        return value
    wanted = [kinds] if isinstance(kinds, str) else kinds
    kind = json_type(value)
    if kind in wanted or (kind == "integer" and "number" in wanted):
        return value
    if kind == "number" and "integer" in wanted and value.is_integer():
        return int(value)
    problems.add(path, wrong_type(wanted, value))
    return value


def _text(schema: JsonSchema, value: str, path: Path, problems: Problems) -> None:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None and len(value) < least:
        problems.add(
            path, trn("should have at least {count} character", "should have at least {count} characters", least)
        )
    if most is not None and len(value) > most:
        problems.add(path, trn("should have at most {count} character", "should have at most {count} characters", most))
    if (pattern := schema.get("pattern")) is not None and not re.search(pattern, value):
        problems.add(path, tr("should match {pattern}, not be {value}", pattern=pattern, value=_short(value)))


_LIMITS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, marked("should be at least {limit}, not {value}")),
    "exclusiveMinimum": (lambda value, limit: value > limit, marked("should be greater than {limit}, not {value}")),
    "maximum": (lambda value, limit: value <= limit, marked("should be at most {limit}, not {value}")),
    "exclusiveMaximum": (lambda value, limit: value < limit, marked("should be less than {limit}, not {value}")),
    "multipleOf": (lambda value, limit: _divides(limit, value), marked("should be a multiple of {limit}, not {value}")),
}
"""What a number may be: the check, and the sentence for one that does not pass it."""


def _number(schema: JsonSchema, value: float, path: Path, problems: Problems) -> None:
    for keyword, (fits, sentence) in _LIMITS.items():
        if keyword in schema and not fits(value, schema[keyword]):
            problems.add(path, tr(sentence, limit=schema[keyword], value=value))


def _divides(step: float, value: float) -> bool:
    if isinstance(step, int) and isinstance(value, int):
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


def _length(schema: JsonSchema, value: list[Any], path: Path, problems: Problems) -> None:
    found = len(value)
    if found < (least := schema.get("minItems", 0)):
        problems.add(
            path,
            trn(
                "should have at least {count} item, not {found}",
                "should have at least {count} items, not {found}",
                least,
                found=found,
            ),
        )
    if found > (most := schema.get("maxItems", found)):
        problems.add(
            path,
            trn(
                "should have at most {count} item, not {found}",
                "should have at most {count} items, not {found}",
                most,
                found=found,
            ),
        )


def _size(schema: JsonSchema, value: dict[str, Any], path: Path, problems: Problems) -> None:
    found = len(value)
    if found < (least := schema.get("minProperties", 0)):
        problems.add(
            path,
            trn(
                "should have at least {count} field, not {found}",
                "should have at least {count} fields, not {found}",
                least,
                found=found,
            ),
        )
    if found > (most := schema.get("maxProperties", found)):
        problems.add(
            path,
            trn(
                "should have at most {count} field, not {found}",
                "should have at most {count} fields, not {found}",
                most,
                found=found,
            ),
        )


def _list(schema: JsonSchema, value: list[Any], path: Path, problems: Problems) -> list[Any]:
    _length(schema, value, path, problems)
    if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
        problems.add(path, tr("should not hold the same item twice"))
    first, rest = schema.get("prefixItems", ()), schema.get("items")
    if not first and not rest:
        return value
    found = []
    for number, item in enumerate(value):
        one = first[number] if number < len(first) else rest
        found.append(item if one is None else conform(one, item, (*path, number), problems))
    return found


def _object(schema: JsonSchema, value: dict[str, Any], path: Path, problems: Problems) -> dict[str, Any]:
    _size(schema, value, path, problems)
    for name in schema.get("required", ()):
        if name not in value:
            problems.add((*path, name), tr("is missing"))
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = {}
    for name, one in value.items():
        if name in properties:
            found[name] = conform(properties[name], one, (*path, name), problems)
        elif others is False:
            problems.add((*path, name), tr("is not one of the fields"))
        else:
            found[name] = one if others is True else conform(others, one, (*path, name), problems)
    return found


def _alternatives(schema: JsonSchema, value: Any, path: Path, problems: Problems) -> Any:  # noqa: ANN401 - JSON
    for one in schema.get("allOf", ()):
        value = conform(one, value, path, problems)
    for keyword in ("anyOf", "oneOf"):
        if keyword not in schema:
            continue
        trials = [(Problems(), one) for one in schema[keyword]]
        values = [conform(one, value, path, trial) for trial, one in trials]
        fitting = [found for found, (trial, _) in zip(values, trials, strict=True) if not trial]
        if not fitting:
            add_nearest(path, [trial for trial, _ in trials], problems)
        elif keyword == "oneOf" and len(fitting) > 1:
            problems.add(
                path,
                trn(
                    "fits {count} of the alternatives, not one",
                    "fits {count} of the alternatives, not one",
                    len(fitting),
                ),
            )
        else:
            value = fitting[0]
    return value


def add_nearest(path: Path, trials: Sequence[Problems], problems: Problems) -> None:
    """Add the problems of the alternative that a value was meant to be, or, if none is nearest, that it is none.

    The nearest is the one whose type is right, so that its problems lie deeper, and of these the one with fewest.
    """
    deeper = [trial for trial in trials if all(len(at) > len(path) for at, _ in trial.errors)]
    if deeper:
        problems.errors.extend(min(deeper, key=lambda trial: len(trial.errors)).errors)
    elif len(trials) == 1:
        problems.errors.extend(trials[0].errors)
    else:
        told = dict.fromkeys(problem for trial in trials for at, problem in trial.errors if at == path)
        problems.add(path, tr("fits none of the alternatives: {problems}", problems=tr("; ").join(told)))
