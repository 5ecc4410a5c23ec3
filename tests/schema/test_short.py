"""The short form of a schema."""

from __future__ import annotations

import pytest

from chatglm_magic._errors import SchemaError
from chatglm_magic._schema.short import parse_short

TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def described(schema, words):
    return {**schema, "description": words}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            "name, age int, bio: one sentence",
            {"name": TEXT, "age": WHOLE, "bio": described(TEXT, "one sentence")},
        ),
        (
            "tags [], scores [float]",
            {"tags": {"type": "array", "items": TEXT}, "scores": {"type": "array", "items": NUMBER}},
        ),
        ("tags[], years int[]", {"tags": {"type": "array", "items": TEXT}, "years": {"type": "array", "items": WHOLE}}),
        (
            "mood good|bad, sure bool",
            {"mood": {"type": "string", "enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
        ),
        (
            "mood [good | bad]: each",
            {"mood": described({"type": "array", "items": {"type": "string", "enum": ["good", "bad"]}}, "each")},
        ),
        (
            "姓名，年龄 int：岁、简介：一句话",
            {"姓名": TEXT, "年龄": described(WHOLE, "岁"), "简介": described(TEXT, "一句话")},
        ),
        ("情绪 好｜坏", {"情绪": {"type": "string", "enum": ["好", "坏"]}}),
        ("name: one word, or two\nage int\n", {"name": described(TEXT, "one word, or two"), "age": WHOLE}),
        ("url: as in http://x, name", {"url": described(TEXT, "as in http://x"), "name": TEXT}),
        ("name str", {"name": TEXT}),
        ("a, b,", {"a": TEXT, "b": TEXT}),
    ],
)
def test_fields_have_names_types_and_descriptions(text, fields):
    """Each form gives the fields in the order in which they were written, all of them required."""
    schema = parse_short(text)

    assert schema["properties"] == fields
    assert list(schema["properties"]) == list(fields) == schema["required"]
    assert schema["additionalProperties"] is False


def test_json_is_taken_as_it_is():
    """Text that is a JSON Schema already is that schema."""
    assert parse_short(' {"type": "object"}') == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Paper", "'Paper' alone"),
        ("", "''"),
        ("age years", "'years' is no type (field 'age')"),
        ("age int years", "'int years' is no type (field 'age')"),
        ("name, name int", "the field 'name' twice"),
        ("mood good|good", "'good|good' is no type"),
        ("a{b}, c", "The field 'a{b}' cannot be read"),
        ("???", "The field '???' cannot be read"),
        ("name, - int", "The field '- int' cannot be read"),
        ("{'type': 'object'}", "begins like JSON"),
    ],
)
def test_what_cannot_be_read_is_named(text, named):
    """A mistake names the field, and what could stand there."""
    with pytest.raises(SchemaError) as caught:
        parse_short(text)

    assert named in str(caught.value)
