"""Reading values: strict about types, forgiving where no harm is done, and every problem named."""

from __future__ import annotations

import dataclasses
import enum
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest

from chatglm_magic._schema.annotations import kind_of
from chatglm_magic._schema.kinds import plain
from chatglm_magic._schema.misfit import Problems

needs_pydantic = pytest.mark.skipif(
    find_spec("pydantic") is None and not os.environ.get("CI"), reason="the extra `test` is not installed"
)


@dataclasses.dataclass
class Paper:
    title: str
    year: int = 0

    def __post_init__(self):
        if self.year < 0:
            raise ValueError("no paper is that old")


class Person(msgspec.Struct, rename={"full_name": "name"}):
    full_name: str
    born: date | None = None


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    a: int


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Row(TypedDict):
    name: str
    paper: Paper


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Wide(TypedDict):
    title: str
    year: int
    pages: int


def read(annotation, value):
    problems = Problems()
    found = kind_of(annotation).read(value, (), problems)
    return list(problems.misfit().errors) if problems else found


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Paper, {"title": "a", "year": 3.0, "more": 1}, Paper("a", 3)),
        (Paper, {"title": "a"}, Paper("a")),
        (Person, {"name": "Li", "born": "2001-02-03"}, Person("Li", date(2001, 2, 3))),
        (Row, {"name": "x", "paper": {"title": "a"}}, {"name": "x", "paper": Paper("a")}),
        (Point, {"x": 1}, Point(1.0)),
        (Mood, "bad", Mood.BAD),
        (Mood, " Bad", Mood.BAD),
        (Literal["Good", "bad"], "good", "Good"),
        (Literal[1, True], True, True),
        (list[Cat | Dog], [{"type": "dog", "name": "a"}, {"type": "cat", "name": "b"}], [Dog("a"), Cat("b")]),
        (Paper | Wide, {"title": "a", "year": 1, "pages": 2}, {"title": "a", "year": 1, "pages": 2}),
        (Paper | Person, {"name": "Li"}, Person("Li")),
        (int | float, 3.0, 3.0),
        (int | float, 3, 3),
        (float | int, 3, 3),
        (date | str, "someday", "someday"),
        (datetime, "2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        (timedelta, "PT1H", timedelta(hours=1)),
        (Decimal, 0.1, Decimal("0.1")),
        (Decimal, "12.50", Decimal("12.50")),
        (UUID, "123e4567-e89b-12d3-a456-426614174000", UUID("123e4567-e89b-12d3-a456-426614174000")),
        (bytes, "aGk=", b"hi"),
        (set[int], [1, 2], {1, 2}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, Point], {"a": {"x": 1, "y": 2}}, {"a": Point(1.0, 2.0)}),
        (float, 7, 7.0),
        (Any, {"a": [1]}, {"a": [1]}),
        (int, 2**80, 2**80),
    ],
    ids=str,
)
def test_a_value_becomes_what_was_asked_for(annotation, value, expected):
    """Its type is the type that was asked for, at every depth."""
    found = read(annotation, value)

    assert (found, type(found)) == (expected, type(expected))
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "errors"),
    [
        (int, "12", [("$", 'should be a whole number, not text "12"')]),
        (int, True, [("$", "should be a whole number, not true")]),
        (str, 12, [("$", "should be text, not 12")]),
        (bool, 1, [("$", "should be true or false, not 1")]),
        (float, 10**400, [("$", "is too large for a number with a point")]),
        (Paper, {"year": "1"}, [("title", "is missing"), ("year", 'should be a whole number, not text "1"')]),
        (Paper, {"title": "a", "year": -1}, [("$", "no paper is that old")]),
        (Paper, [1], [("$", "should be an object, not a list")]),
        (Person, {"name": "Li", "born": "x"}, [("born", 'should be a date like 2026-01-31, not "x"')]),
        (list[Point], [{"x": 1}, {"x": None}, {}],
         [("[1].x", "should be a number, not null"), ("[2].x", "is missing")]),
        (Closed, {"a": 1, "b": 2}, [("b", "is not one of the fields")]),
        (Cat, {"type": "cow", "name": "x"}, [("type", 'should be one of "cat", not text "cow"')]),
        (Cat | Dog, {"type": "dog"}, [("name", "is missing")]),
        (Paper | None, {"year": 1}, [("title", "is missing")]),
        (Mood, "so-so", [("$", 'should be one of "good", "bad", not text "so-so"')]),
        (Literal["a", "A"], " a", [("$", 'should be one of "a", "A", not text " a"')]),
        (dict[str, int], {"two words": "x"}, [('["two words"]', 'should be a whole number, not text "x"')]),
        (set[tuple[int, ...]], [[1], [1]], [("$", "should not hold the same item twice")]),
        (set[list[int]], [[1]], [("$", "unhashable type: 'list'")]),
        (tuple[int, str], [1], [("$", "should have at least 2 items, not 1")]),
        (Annotated[list[int], msgspec.Meta(max_length=1)], [1, 2], [("$", "should have at most 1 item, not 2")]),
        (Annotated[int | None, msgspec.Meta(ge=3)], 2, [("$", "should be at least 3, not 2")]),
        (Annotated[datetime, msgspec.Meta(tz=True)], "2026-01-31T09:30:00",
         [("$", 'should be a date and time like 2026-01-31T09:30:00, not "2026-01-31T09:30:00"')]),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_value_is_every_problem_with_its_path(annotation, value, errors):
    """Nothing is converted that is of another type, and nothing is hidden behind the first problem."""
    assert read(annotation, value) == errors


def test_plain_data_has_fields_by_their_names_in_python():
    """What a table is made of: dicts and lists; dates stay dates, for data frames know them."""
    value = [Person("Li", date(2001, 2, 3)), Point(1, 2), {"mood": Mood.BAD, "papers": (Paper("a"),)}, {1}]

    assert plain(value) == [
        {"full_name": "Li", "born": date(2001, 2, 3)},
        {"x": 1, "y": 2},
        {"mood": "bad", "papers": [{"title": "a", "year": 0}]},
        [1],
    ]


class Homemade:
    """A class with the methods of a pydantic model, and none of its machinery."""

    def __init__(self, age: int) -> None:
        self.age = age

    @classmethod
    def model_json_schema(cls):
        return {"$defs": {"Age": {"type": "integer"}}, "type": "object", "properties": {"age": {"$ref": "#/$defs/Age"}}}

    @classmethod
    def model_validate_json(cls, text):
        return cls(int(text.partition(":")[2].rstrip("}")))

    def model_dump(self):
        return {"age": self.age}


def test_a_class_that_has_a_schema_and_checks_of_its_own_uses_them():
    """Whatever its checks raise is a problem, never another exception."""
    kind = kind_of(list[Homemade])

    assert kind.schema == {"type": "array", "items": {"type": "object", "properties": {"age": {"type": "integer"}}}}
    assert [person.age for person in read(list[Homemade], [{"age": 3}])] == [3]
    assert plain(Homemade(4)) == {"age": 4}
    assert read(list[Homemade], [{"age": 1}, {"x": "y"}])[0][0] == "[1]"


@needs_pydantic
def test_pydantic_models_are_read_by_pydantic():
    """In lists, unions and fields of other classes too; aliases, validators and strictness are theirs."""
    import pydantic

    class Author(pydantic.BaseModel, strict=True):
        name: str = pydantic.Field(alias="fullName")
        born: date

    class Book(pydantic.BaseModel):
        title: str
        authors: list[Author]

        @pydantic.field_validator("title")
        @classmethod
        def not_empty(cls, title):
            if not title:
                raise ValueError("a book has a title")
            return title

    author = {"fullName": "Li", "born": "2001-02-03"}
    found = read(dict[str, Book | Paper], {"a": {"title": "x", "authors": [author]}, "b": {"title": "y", "year": 1}})

    assert found["a"] == Book.model_validate({"title": "x", "authors": [{"fullName": "Li", "born": date(2001, 2, 3)}]})
    assert found["b"] == Paper("y", 1)
    assert "$ref" not in str(kind_of(Book).schema)
    assert list(kind_of(Book).schema["properties"]) == ["title", "authors"]
    assert plain(found["a"]) == {"title": "x", "authors": [{"name": "Li", "born": date(2001, 2, 3)}]}
    assert read(list[Book], [{"title": "", "authors": [{**author, "born": "x"}]}])[0] == (
        "[0].title",
        "Value error, a book has a title",
    )
    assert read(list[Book], [{"title": "", "authors": [{**author, "born": "x"}]}])[1][0] == "[0].authors[0].born"
    assert read(Book, {"title": "\ud800", "authors": []})[0][0] == "$"


@needs_pydantic
def test_recursive_pydantic_models_are_refused():
    """As every type that contains itself."""
    import pydantic

    from chatglm_magic._errors import SchemaError

    class Tree(pydantic.BaseModel):
        children: list[Tree] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    with pytest.raises(SchemaError, match="Tree contains itself"):
        kind_of(Tree)
