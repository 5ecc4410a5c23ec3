"""JSON Schema: what is supported, and what a value must be."""

from __future__ import annotations

import fastjsonschema
import pytest

from chatglm_magic._errors import SchemaError
from chatglm_magic._schema.json_schema import conform, inlined
from chatglm_magic._schema.misfit import Problems


def errors(schema, value):
    problems = Problems()
    conform(inlined(schema), value, (), problems)
    return list(problems.misfit().errors) if problems else []


def test_references_are_replaced_by_what_they_refer_to():
    """A schema stands alone afterwards, and what stands beside a reference is kept."""
    schema = {
        "type": "object",
        "properties": {"z": {"$ref": "#/$defs/Name", "description": "last"}, "a": {"$ref": "#/definitions/a~1b"}},
        "$defs": {"Name": {"type": "string"}},
        "definitions": {"a/b": {"$ref": "#/$defs/Name"}},
    }

    assert inlined(schema) == {
        "type": "object",
        "properties": {"z": {"type": "string", "description": "last"}, "a": {"type": "string"}},
    }
    assert list(inlined(schema)["properties"]) == ["z", "a"]


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"properties": {"a": {"$ref": "#"}}}, "The schema contains itself at properties.a,"),
        ({"$ref": "#/$defs/N", "$defs": {"N": {"items": {"$ref": "#/$defs/N"}}}}, "N contains itself"),
        (
            {"items": {"$ref": "https://example.org/x"}},
            "wrong at items: $ref 'https://example.org/x' refers to nothing",
        ),
        ({"items": {"$ref": "#/$defs/x"}}, "refers to nothing"),
        ({"items": {"$ref": 3}}, "refers to nothing"),
        ({"properties": {"a": {"not": {}}}}, "wrong at properties.a.not: not is no keyword that is supported"),
        ({"patternProperties": {}}, "patternProperties is no keyword"),
        ({"name": "str"}, "name is no keyword"),
        ({"type": "text"}, "wrong at type: 'text' is no value for this keyword"),
        ({"pattern": "("}, "wrong at pattern"),
        ({"enum": []}, "wrong at enum"),
        ({"minimum": "3"}, "wrong at minimum"),
        ({"maxItems": -1}, "wrong at maxItems"),
        ({"multipleOf": 0}, "wrong at multipleOf"),
        ({"required": "a"}, "wrong at required"),
        ({"properties": []}, "wrong at properties"),
        ({"properties": {"a": "string"}}, "wrong at properties.a: a schema should stand there"),
        ({"items": False}, "wrong at items"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(schema, named):
    """Before anything is sent the place and the keyword are named."""
    with pytest.raises(SchemaError) as caught:
        inlined(schema)

    assert named in str(caught.value)


def test_definitions_that_double_are_refused():
    """A few definitions that each use the next twice do not fill the memory."""
    definitions = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(SchemaError, match="too large"):
        inlined({"$ref": "#/$defs/d0", "$defs": {**definitions, "d40": {"type": "string"}}})


VALUES = [
    None, True, False, 0, 1, -3, 2.5, 3.0, 1e300, "", "a", "abc", "good", [], [1], [1, 1], [1, "a"], ["a", "b", "c"],
    {}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 2}, {"a": [{"b": 1}]},
]  # fmt: skip
SCHEMAS = [
    {}, {"type": "string"}, {"type": "integer"}, {"type": ["number", "null"]}, {"type": "boolean"}, {"type": "object"},
    {"enum": ["good", 1, None]}, {"const": 0}, {"minLength": 2}, {"maxLength": 1}, {"pattern": "^a"},
    {"minimum": 1}, {"exclusiveMinimum": 1}, {"maximum": 1}, {"exclusiveMaximum": 1}, {"multipleOf": 1.5},
    {"multipleOf": 2},
    {"minItems": 1}, {"maxItems": 1}, {"uniqueItems": True}, {"items": {"type": "integer"}},
    {"prefixItems": [{"type": "integer"}]}, {"required": ["a"]}, {"minProperties": 1}, {"maxProperties": 1},
    {"properties": {"a": {"type": "integer"}}}, {"properties": {"a": {}}, "additionalProperties": False},
    {"additionalProperties": {"type": "integer"}}, {"anyOf": [{"type": "string"}, {"minimum": 1}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]}, {"allOf": [{"minimum": 1}, {"maximum": 2}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_fits_where_fastjsonschema_says_so(schema):
    """What is right and what is wrong is decided as another validator decides it."""
    draft = {**schema, "items": schema["prefixItems"]} if "prefixItems" in schema else schema
    check = fastjsonschema.compile({key: one for key, one in draft.items() if key != "prefixItems"})
    for value in VALUES:
        try:
            check(value)
            right = True
        except fastjsonschema.JsonSchemaValueException:
            right = False

        assert (not errors(schema, value)) == right, value


def test_every_error_is_named_with_its_path():
    """Several errors are found at once."""
    schema = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"type": "object", "properties": {"age": {"type": "integer"}}}}
        },
        "required": ["items", "two words"],
    }

    assert errors(schema, {"items": [{"age": 1}, {"age": "12"}, {"age": 1.5}, []]}) == [
        ('["two words"]', "is missing"),
        ("items[1].age", 'should be a whole number, not text "12"'),
        ("items[2].age", "should be a whole number, not 1.5"),
        ("items[3]", "should be an object, not a list"),
    ]


def test_of_alternatives_the_nearest_is_explained():
    """The errors are those of the alternative that was meant, where one was."""
    schema = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}

    assert errors(schema, {"b": 1}) == [("a", "is missing")]
    assert errors(schema, 3) == [
        ("$", "fits none of the alternatives: should be text, not 3; should be an object, not 3")
    ]


def test_a_whole_number_with_a_point_becomes_one():
    """`3.0` is 3 where a whole number is asked for; the rest of the value is as it was."""
    problems = Problems()
    found = conform({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 3.0, "m": 2.0}, (), problems)

    assert not problems
    assert repr(found) == "{'n': 3, 'm': 2.0}"
