"""Types as schemas: in declared order, self-contained, and refused by name where no answer can be held to them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, Required, TypedDict

import msgspec
import pytest

from chatglm_magic._errors import SchemaError
from chatglm_magic._schema.annotations import kind_of

Meta = msgspec.Meta
Year = NewType("Year", int)
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


@dataclasses.dataclass
class Paper:
    """A paper.

    And what nobody needs to know.
    """

    title: str
    year: Year
    authors: list[str] = dataclasses.field(default_factory=list)
    made: bool = dataclasses.field(default=True, init=False)


class Loose(TypedDict, total=False):
    zeta: Required[Annotated[str, "the last letter"]]
    alpha: int


class Strict(TypedDict):
    zeta: str
    alpha: NotRequired[int]


class Record(msgspec.Struct, rename="camel"):
    verdict_word: Literal["yes", "no", "maybe"]
    score: Annotated[int, Meta(ge=0, le=10)] = 5


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def fields(*required, **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (
            Paper,
            {
                **fields("title", "year", title=TEXT, year=WHOLE, authors={"type": "array", "items": TEXT}),
                "description": "A paper.",
            },
        ),
        (Loose, fields("zeta", zeta={**TEXT, "description": "the last letter"}, alpha=WHOLE)),
        (Strict, fields("zeta", zeta=TEXT, alpha=WHOLE)),
        (
            Record,
            fields(
                "verdictWord",
                verdictWord={**TEXT, "enum": ["yes", "no", "maybe"]},
                score={**WHOLE, "minimum": 0, "maximum": 10},
            ),
        ),
        (Cat, fields("type", "lives", type={"enum": ["cat"]}, lives=WHOLE)),
        (Point, fields("x", x={"type": "number"}, y={"type": "number"})),
        (Mood, {**TEXT, "enum": ["good", "bad"]}),
        (Level, {"enum": [1, 2]}),
        (Literal["b", "a", None], {"enum": ["b", "a", None]}),  # noqa: PYI061 - people write it
        (Optional[int], {"anyOf": [WHOLE, {"type": "null"}]}),  # noqa: UP045 - so do people
        (int | str, {"anyOf": [WHOLE, TEXT]}),
        (dict[str, list[int]], {"type": "object", "additionalProperties": {"type": "array", "items": WHOLE}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (dict[str, Any], {"type": "object", "additionalProperties": True}),
        (Sequence[date], {"type": "array", "items": {**TEXT, "format": "date"}}),
        (set[int], {"type": "array", "items": WHOLE, "uniqueItems": True}),
        (tuple[int, str], {"type": "array", "prefixItems": [WHOLE, TEXT], "minItems": 2, "maxItems": 2}),
        (tuple[int, ...], {"type": "array", "items": WHOLE}),
        (Annotated[list[int], Meta(min_length=1)], {"type": "array", "items": WHOLE, "minItems": 1}),
        (Annotated[str, Meta(pattern="^a"), Meta(max_length=3)], {**TEXT, "pattern": "^a", "maxLength": 3}),
        (Annotated[float, Meta(gt=0, multiple_of=0.5)], {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}),
        (Annotated[Decimal, Meta(description="in euros")], {**TEXT, "format": "decimal", "description": "in euros"}),
        (
            Annotated[str | None, Meta(max_length=5)],
            {"anyOf": [TEXT, {"type": "null"}], "maxLength": 5, "maxItems": 5, "maxProperties": 5},
        ),
    ],
    ids=str,
)
def test_a_type_is_a_schema_in_declared_order(annotation, schema):
    """Fields and choices stand as they were declared; what has a default is not required."""
    found = kind_of(annotation).schema

    assert found == schema
    assert list(found.get("properties", ())) == list(schema.get("properties", ()))


class Plain:
    """No class that says which fields it has."""


class Node(msgspec.Struct):
    children: list[Node]


@dataclasses.dataclass
class Holder:
    names: dict[str, Plain]


class Lost(TypedDict):
    field: Nowhere  # noqa: F821 - what this is about


class Empty(TypedDict):
    pass


class Odd(enum.Enum):
    PAIR = (1, 2)


@pytest.mark.parametrize(
    ("annotation", "named"),
    [
        (Plain, "Plain is nothing that an answer can be held to. Give a pydantic model"),
        (Holder, "Plain is nothing that an answer can be held to (at names)."),
        (Node, "Node contains itself (at children)"),
        (Lost, "The annotations of Lost cannot be read: name 'Nowhere' is not defined"),
        (Empty, "Empty has no fields"),
        (Odd, "Odd has a member that is neither text nor a whole number: (1, 2)"),
        (Literal[b"x"], "has a member that is neither text nor a whole number: b'x'"),
        (dict[int, str], "The keys of dict[int, str] are not str"),
        (list["Paper"], "'Paper' is nothing"),
        (print, "<built-in function print> is nothing"),
        (3, "3 is nothing"),
        ([int], "is nothing"),
        (Annotated[str, Meta(extra_json_schema={"not": {}})], "not is no keyword that is supported"),
    ],
    ids=str,
)
def test_what_no_answer_can_be_held_to_is_refused_by_name(annotation, named):
    """A SchemaError names the type, the field, and what is accepted; never another exception."""
    with pytest.raises(SchemaError) as caught:
        kind_of(annotation)

    assert named in str(caught.value)
