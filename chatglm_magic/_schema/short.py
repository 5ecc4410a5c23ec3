"""The short form of a schema, as llm has it: fields between commas, each with a type and a description.

    name, age int, bio: one sentence        three fields; text unless a type is named
    tags [], scores [int]                   lists
    mood good|bad                           one of these words

Where it has several lines, each is a field, and its description may have commas.
Types are str, int, float and bool. Every field is required. Full-width commas, colons and bars mean the same:
`姓名，年龄 int，简介：一句话`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .._errors import SchemaError
from .._language import tr
from .json_schema import JsonSchema

_TYPES = {
    **dict.fromkeys(("str", "string", "text"), "string"),
    **dict.fromkeys(("int", "integer"), "integer"),
    **dict.fromkeys(("float", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
}
_SEPARATOR = re.compile(r"[,，、]")
_COLON = re.compile(r"[:：]")
_BAR = re.compile(r"\s*[|｜]\s*")
_FIELD = re.compile(r"(?P<name>(?=\S*\w)[^\s\[\]{}|｜\"'`<>()=]+)(?:\s*(?P<rest>[\[［].*[\]］])|\s+(?P<word>.+))?")


def parse_short(text: str) -> JsonSchema:
    """Return the JSON Schema of a short form; of one that is JSON already, that.

    Raises:
        SchemaError: It cannot be read; the message names the field and what is possible.
    """
    if text.lstrip().startswith("{"):
        return _json(text)
    text = text.strip()
    if re.fullmatch(r"[\w.]*", text):  # `Papr` is a name mistyped, more often than the only field of an answer
        raise SchemaError(
            tr(
                "{text} alone is no schema. For one field of that name write its type or what it is: {example}. "
                "For a class of that name give the class itself.",
                text=repr(text),
                example=repr(f"{text or 'name'} str"),
            )
        )
    properties: dict[str, Any] = {}
    for part in _fields(text):
        name, schema = _field(part)
        if name in properties:
            raise SchemaError(tr("The schema has the field {name} twice.", name=repr(name)))
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _json(text: str) -> JsonSchema:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(tr("The schema begins like JSON and is none: {error}.", error=error)) from None
    if not isinstance(found, dict):
        raise SchemaError(tr("The schema is JSON, but no object."))
    return found


def _fields(text: str) -> list[str]:
    """Return the fields of a short form: one on each line where it has lines, else those between commas."""
    parts = text.splitlines() if "\n" in text else _between_commas(text)
    return [part.strip().rstrip(",，") for part in parts if part.strip(" \t,，、")]


def _between_commas(text: str) -> list[str]:
    """Cut at commas, but for those in brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "[［(（") - (sign in "]］)）")
        if depth <= 0 and _SEPARATOR.match(sign):
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _field(part: str) -> tuple[str, JsonSchema]:
    """Return name and schema of one field: `name`, `name type`, `name a|b`, `name []`, with `: description`."""
    head, *rest = _COLON.split(part, maxsplit=1)
    description = rest[0].strip() if rest else ""
    found = _FIELD.fullmatch(head.strip())
    if found is None:
        raise SchemaError(
            tr(
                "The field {field} cannot be read. Write a name, a type (str, int, float, bool, [] or a|b) if it is "
                "not text, and what it is behind a colon: {example}.",
                field=repr(part),
                example="age int: in years",
            )
        )
    schema = _type(found["name"], (found["rest"] or found["word"] or "str").strip())
    return found["name"], {**schema, "description": description} if description else schema


def _type(name: str, word: str) -> JsonSchema:
    if word[0] in "[［" and word[-1] in "]］":
        return {"type": "array", "items": _type(name, word[1:-1].strip() or "str")}
    if _BAR.search(word):
        choices = [choice for choice in _BAR.split(word.strip("|｜ ")) if choice]
        if len(choices) == len(set(choices)) > 1:
            return {"type": "string", "enum": choices}
    elif word.endswith("[]"):
        return {"type": "array", "items": _type(name, word[:-2].strip() or "str")}
    elif word.lower() in _TYPES:
        return {"type": _TYPES[word.lower()]}
    raise SchemaError(
        tr(
            "{type} is no type (field {name}). There are str, int, float, bool, [] for a list, and a|b for a choice; "
            "a description stands behind a colon.",
            type=repr(word),
            name=repr(name),
        )
    )
