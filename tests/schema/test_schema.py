"""A schema: what is sent, and what an answer's text becomes."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import pickle
import subprocess
import sys
import types
import typing
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import fastjsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatglm_magic._errors import ConfigError, ReplyFormatError, SchemaError
from chatglm_magic._schema.kinds import plain
from chatglm_magic._schema.schema import Misfit, Schema


@dataclasses.dataclass
class Paper:
    title: str
    year: int = 0


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


PAPER = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["title"],
    "additionalProperties": False,
}


def wrapped(name, schema):
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


@pytest.mark.parametrize(
    ("asked", "many", "name", "schema", "is_list"),
    [
        (Paper, False, "Paper", PAPER, False),
        (list[Paper], False, "Paper_items", wrapped("items", {"type": "array", "items": PAPER}), True),
        (Paper, True, "Paper_items", wrapped("items", {"type": "array", "items": PAPER}), True),
        (Mood, False, "Mood", wrapped("value", {"type": "string", "enum": ["good", "bad"]}), False),
        (Literal["z", "a"], False, "answer", wrapped("value", {"type": "string", "enum": ["z", "a"]}), False),
        (dict[str, int], False, "answer", {"type": "object", "additionalProperties": {"type": "integer"}}, False),
        ({"title": "Ein Blatt!", **PAPER}, False, "Ein_Blatt", {"title": "Ein Blatt!", **PAPER}, False),
        ({"properties": {"论文": {}}}, False, "answer", {"type": "object", "properties": {"论文": {}}}, False),
        ({"type": "array"}, False, "answer", wrapped("items", {"type": "array"}), True),
        ({"type": ["object", "null"]}, False, "answer", wrapped("value", {"type": ["object", "null"]}), False),
        ("title str", True, "answer_items",
         wrapped("items", {"type": "array", "items": wrapped("title", {"type": "string"})}), True),
        (dataclasses.make_dataclass("论文", [("x", Any)]), False, "answer", wrapped("x", {}), False),
        (Annotated[int, "years"], False, "int", wrapped("value", {"type": "integer", "description": "years"}), False),
    ],
)  # fmt: skip
def test_what_is_sent_is_an_object_with_a_name(asked, many, name, schema, is_list):
    """Servers want an object at the root: what is none is wrapped. The key is the JSON of it, in order."""
    found = Schema.of(asked, many=many)

    assert (found.name, found.json_schema, found.is_list) == (name, schema, is_list)
    assert found.key == json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "asked", [None, Any, print, "Paper", 3, object(), [Paper], Paper("a"), type(None), b"x", "Any"]
)
def test_what_is_no_schema_is_a_config_error(asked):
    """Before anything is sent, and it says what is accepted or what to write."""
    with pytest.raises(SchemaError) as caught:
        Schema.of(asked)

    assert isinstance(caught.value, ConfigError)
    assert "Give " in str(caught.value) or "give the class" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "text", "value"),
    [
        (list[Paper], '{"items": [{"title": "a"}]}', [Paper("a")]),
        (list[Paper], '[{"title": "a"}]', [Paper("a")]),
        (list[Paper], 'As in [1]:\n```json\n[{"title": "a\nb"}]\n```\nBye [2].', [Paper("a\nb")]),
        (list[int], "[]", []),
        (Paper, '[{"title": "a"}]', Paper("a")),
        (Mood, "good", Mood.GOOD),
        (Mood, '"Good"', Mood.GOOD),
        (Mood, '```\n{"value": "bad"}\n```', Mood.BAD),
        (Mood | None, "null", None),
        (date, "2026-01-31", date(2026, 1, 31)),
        (int, "12", 12),
        (str, '"use {\\"a\\": 1}"', 'use {"a": 1}'),
        (dict[str, int], '{"value": 1}', {"value": 1}),
        ("age int", '{"age": 3.0}', {"age": 3}),
        (Paper | int, '{"title": "a"}', Paper("a")),
    ],
)
def test_an_answer_is_read_with_and_without_its_wrapper(asked, text, value):
    """What stands around the value is forgiven where it can mean only one thing."""
    found = Schema.of(asked).read(text)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("asked", "text", "errors"),
    [
        (list[Paper], '{"items": [{"title": "a", "year": "1"}, {}]}',
         (("[0].year", 'should be a whole number, not text "1"'), ("[1].title", "is missing"))),
        (list[Paper], '{"items": [{"title": "a"}, {"title": "b", "ye',
         (("[1]", "is cut off: the answer ends before its JSON is complete"),)),
        (list[Paper], '[{"title": "a"}, {"title": "b", "year": 1',
         (("[1].year", "is cut off: the answer ends before its JSON is complete"),)),
        (list[Paper], "Sorry, I cannot.", (("$", "holds no JSON; it should be a list"),)),
        (list[Paper], "", (("$", "holds no JSON; it should be a list"),)),
        (list[Paper], '{"title": "a"}', (("$", "should be a list, not an object"),)),
        (Paper, '[{"title": "a"}, {"title": "b"}]', (("$", "should be an object, not a list"),)),
        (Mood, "so-so", (("$", "holds no JSON; it should be text"),)),
        (Mood, '{"value": "x"}', (("$", 'should be one of "good", "bad", not text "x"'),)),
        (Paper | None, "none", (("$", "holds no JSON; it should be an object or null"),)),
        (int | Literal["all"], "every", (("$", "holds no JSON; it should be a whole number or text"),)),
        (int | Any, "every", (("$", "holds no JSON"),)),
        (int, '"12"', (("$", 'should be a whole number, not text "12"'),)),
        (str, "plain words", (("$", "holds no JSON; it should be text"),)),
        (list[int], '[1, "x"] or rather [2]', (("[1]", 'should be a whole number, not text "x"'),)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_misfit_with_paths(asked, text, errors):
    """The wrapper is no part of the paths: a person never saw it."""
    with pytest.raises(Misfit) as caught:
        Schema.of(asked).read(text)

    assert caught.value.errors == errors


@pytest.mark.parametrize(
    "asked", [{None: 1}, {"enum": [date(2026, 1, 1)]}, {"const": float("nan")}, {"properties": {1: {"type": object}}}]
)
def test_a_dict_that_is_no_json_is_a_schema_error(asked):
    """Whatever a dict holds, no other exception comes out."""
    with pytest.raises(SchemaError):
        Schema.of(asked)


def test_a_schema_is_a_value():
    """It may be given where it is asked for, made a list of, and sent to another process."""
    schema = Schema.of(list[Paper])

    assert Schema.of(schema) is schema
    assert Schema.of(Schema.of(Paper), many=True).key == schema.key
    assert pickle.loads(pickle.dumps(schema)).read('[{"title": "a"}]') == [Paper("a")]  # noqa: S301 - our own


def test_records_are_rows_of_a_table():
    """An object is a row; a scalar is a row with one column."""
    assert Schema.of(list[Paper]).records([Paper("a"), Paper("b", 1)]) == [
        {"title": "a", "year": 0},
        {"title": "b", "year": 1},
    ]
    assert Schema.of(Paper).records(Paper("a")) == [{"title": "a", "year": 0}]
    assert Schema.of(list[Mood]).records([Mood.BAD]) == [{"value": "bad"}]
    assert Schema.of(int).records(3) == [{"value": 3}]


class Camel(msgspec.Struct, rename="camel", tag=True):
    first_name: str
    age: int = 0


class Model:
    """Like a pydantic model with an alias."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"type": "object", "properties": {"Full name": {"type": "string"}}, "required": ["Full name"]}

    @classmethod
    def model_validate_json(cls, text: str) -> Model:
        return cls(json.loads(text)["Full name"])

    def model_dump(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.mark.parametrize(
    ("asked", "text", "columns"),
    [
        (Camel, '{"type": "Camel", "firstName": "a"}', ["first_name", "age"]),
        (Model, '{"Full name": "a"}', ["name"]),
        ({"properties": {"b": {}, "a": {}}}, '{"a": 1}', ["b", "a"]),
    ],
)
def test_columns_are_called_as_in_the_records(asked, text, columns):
    """A field that has another name in JSON makes one column, and a tag none; what is declared has its place."""
    schema = Schema.of(asked, many=True)
    value = schema.read(f"[{text}]")

    assert schema.columns(schema.records(value)) == columns
    assert Schema.of(Schema.of(asked)).columns(schema.records(value)) == columns


def test_errors_travel_with_the_reply_format_error():
    """Without a schema there are none."""
    assert ReplyFormatError("x").errors == ()
    assert ReplyFormatError("x", (("a", "is missing"),)).errors == (("a", "is missing"),)


def test_nothing_of_it_is_imported_before_it_is_used():
    """Neither `%load_ext` nor a plain question pays for schemas."""
    code = (
        "import sys, chatglm_magic._chat, chatglm_magic._magics.magic, chatglm_magic._magics.run\n"
        "print([name for name in sys.modules if '_schema.' in name or name == 'pydantic'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


# ---- generated schemas, replies and cuts


NAMES = st.sampled_from(["a", "b", "items", "value", "姓名", "title"])
TEXTS = st.text(st.sampled_from('ab "\\\n{}[],:`你\ud800'), max_size=6)
SCALARS = {
    str: TEXTS,
    int: st.integers(-(2**70), 2**70),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    date: st.dates(),
    Mood: st.sampled_from(Mood),
    Literal["x", "y", 3]: st.sampled_from(["x", "y", 3]),
}


@st.composite
def classes(draw, inner):
    """A class of one of four makes, with one to three fields, the last of which may have a default."""
    hints = draw(st.dictionaries(NAMES, inner, min_size=1, max_size=3))
    match draw(st.integers(0, 3)):
        case 0:
            return dataclasses.make_dataclass("Data", list(hints.items()))
        case 1:
            *others, (name, last) = hints.items()
            return msgspec.defstruct(
                "Record", [*others, (name, last | None if last in SCALARS and isinstance(last, type) else last, None)]
            )
        case 2:
            return TypedDict("Typed", hints)
        case _:
            return NamedTuple("Named", list(hints.items()))


def containers(inner):
    return st.one_of(
        inner.map(lambda one: list[one]),
        inner.map(lambda one: dict[str, one]),
        st.tuples(inner, inner).map(lambda two: tuple[two]),
        st.tuples(inner, inner).map(lambda two: typing.Union[two]),  # noqa: UP007 - of values
        classes(inner),
    )


ANNOTATIONS = st.recursive(st.sampled_from(list(SCALARS)), containers, max_leaves=5).filter(
    lambda one: one is not type(None)
)


def value_of(annotation):
    """A strategy for JSON data that fits an annotation."""
    if annotation in SCALARS:
        return SCALARS[annotation].map(plain).map(lambda one: one.isoformat() if isinstance(one, date) else one)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return st.lists(value_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(NAMES, value_of(arguments[1]), max_size=2)
    if origin is tuple:
        return st.tuples(*map(value_of, arguments)).map(list)
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*map(value_of, arguments))
    return st.fixed_dictionaries({name: value_of(hint) for name, hint in typing.get_type_hints(annotation).items()})


def fits(annotation, value):  # noqa: PLR0911 - one for each kind of type
    """Whether a value is of the type that an annotation says, at every depth: written apart from the reader."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if origin is list:
        return type(value) is list and all(fits(arguments[0], one) for one in value)
    if origin is dict:
        return type(value) is dict and all(type(name) is str and fits(arguments[1], one) for name, one in value.items())
    if origin is tuple:
        return type(value) is tuple and len(value) == len(arguments) and all(map(fits, arguments, value))
    if origin in {typing.Union, types.UnionType}:
        return any(fits(one, value) for one in arguments)
    if annotation in SCALARS:
        return type(value) is annotation
    hints = typing.get_type_hints(annotation)
    if typing.is_typeddict(annotation):
        return (
            type(value) is dict and set(value) == set(hints) and all(fits(hints[name], value[name]) for name in hints)
        )
    return type(value) is annotation and all(
        fits(hint, getattr(value, name)) or getattr(value, name) is None for name, hint in hints.items()
    )


@st.composite
def cases(draw):
    """A type, and a text: an answer that fits, then perhaps spoiled, wrapped in prose, and cut off."""
    annotation = draw(ANNOTATIONS)
    data = draw(value_of(annotation) if draw(st.integers(0, 5)) else value_of(draw(ANNOTATIONS)))
    if draw(st.booleans()):
        data = {draw(st.sampled_from(["items", "value"])): data}
    text = json.dumps(data, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2])))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(["", *'{}[],:"\\x1', "NaN", '"a": 1, ']))
            + text[at + draw(st.integers(0, 2)) :]
        )
    text = draw(st.sampled_from(["{}", "```json\n{}\n```", "See [1]:\n{}\nBye", "\ufeff {} [{}]"])).replace(
        "{}", text, 1
    )
    cut = draw(st.one_of(st.none(), st.integers(0, len(text))))
    return annotation, text[:cut], draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))


def hold_raw(schema, text):
    """Hold the JSON Schema of a type to the same, as plain data: another validator agrees that it fits."""
    raw = Schema.of(schema.json_schema)
    try:
        value = raw.read(text)
    except Misfit:
        return
    fastjsonschema.compile(raw.json_schema, use_formats=False)(value)


def law(case):
    """Hold one case to all that is promised."""
    annotation, text, sizes = case
    schema = Schema.of(annotation)
    hold_raw(schema, text)
    partial, shown, at, turn = schema.partial(), [], 0, 0
    while at < len(text):
        partial.feed(text[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
        shown.append(partial.value)
    try:
        value = schema.read(text)
    except Misfit as misfit:
        error: Misfit | None = misfit
    else:
        error = None
    if error is not None:
        assert error.errors
        assert all(path and problem for path, problem in error.errors)
        assert str(error)
        return
    assert fits(annotation, value), value
    rows = plain(value)
    assert all(isinstance(row, dict) for row in schema.records(value))
    if schema.is_list:
        assert all(one == rows[: len(one)] for one in shown), (shown, rows)
        assert shown[-1] == rows


@settings(max_examples=200, deadline=None)
@given(cases())
def test_a_value_of_the_right_type_or_a_misfit(case):
    """Whatever comes: a value of the type, or errors with paths. A partial list is the beginning of the final one."""
    law(case)


@pytest.mark.long
@settings(max_examples=int(os.environ.get("TEST_EXAMPLES", "10000")), deadline=None)
@given(cases())
def test_a_value_of_the_right_type_or_a_misfit_ten_thousand_times(case):
    """The same law, for as many cases as the goal names."""
    law(case)
