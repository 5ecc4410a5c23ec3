"""JSON while it is being written."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatglm_magic._schema.partial import REJECTED, SKIPPED, PartialJson
from chatglm_magic._schema.schema import Schema


class Renamed(msgspec.Struct, rename="camel"):
    full_name: str
    born: int = 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
ROOTS = JSON.filter(lambda value: isinstance(value, (list, dict)))


def values(text, **taking):
    """Return the value after each character."""
    reader, found = PartialJson(**taking), []
    for sign in text:
        reader.feed(sign)
        found.append(reader.value)
    return found


def steps(text, **taking):
    """Return the values without repetitions."""
    found = values(text, **taking)
    return [value for at, value in enumerate(found) if at == 0 or repr(value) != repr(found[at - 1])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 23]", [None, [], [1], [1, 23]]),
        ('[{"a": 1, "b": [2]}, {"a"', [None, [], [{"a": 1, "b": [2]}]]),
        ('{"a": "xy", "b": {"c": 1}}', [None, {}, {"a": "xy"}, {"a": "xy", "b": {"c": 1}}]),
        ('{"a": 1, "l": [2, 3]}', [None, {}, {"a": 1}, {"a": 1, "l": []}, {"a": 1, "l": [2]}, {"a": 1, "l": [2, 3]}]),
        ('{"l": [], "m": [[1, 2]], "z": 0}', [None, {}, {"l": []}, {"l": [], "m": []}, {"l": [], "m": [[1, 2]]},
                                             {"l": [], "m": [[1, 2]], "z": 0}]),
        ('[{"a": 1}', [None, [], [{"a": 1}]]),
        ('{"l": [[1], [2] ', [None, {}, {"l": []}, {"l": [[1]]}, {"l": [[1], [2]]}]),
        ("[[1] [2], [3]]", [None, [], [[1]]]),
        ("[[1] x, [3]]", [None, [], [[1]]]),
        ("[[1]}, [3]]", [None, [], [[1]]]),
        ('["a\\"],[", "]"]', [None, [], ['a"],['], ['a"],[', "]"]]),
        ("[]", [None, []]),
        ("{}", [None, {}]),
    ],
)  # fmt: skip
def test_what_is_complete_is_shown_and_nothing_else(text, expected):
    """Items of the outermost list and fields of the outermost object, each when its end is there."""
    assert steps(text) == expected


@pytest.mark.parametrize(
    "before", ["", "See {x} and [the paper](y).\n```json\n", "\ufeff\n", "Set {1, 2}: ", "[n", "{ "]
)
def test_what_stands_before_and_behind_is_skipped(before):
    """Fences, links and braces of prose begin no JSON; what follows changes nothing."""
    assert values(f'{before}{{\n "a": [1, 2]}}\n```\nAnd [3], {{"b": 4}}')[-1] == {"a": [1, 2]}


def test_the_beginning_of_a_word_of_json_is_waited_for():
    """Where `[tr` may become `[true`, nothing is decided before it is told."""
    assert values("[ \n true, false]")[-1] == [True, False]
    assert values("[try this] [null]")[-1] == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, x, 2]", [1]),
        ("[1, 2}", [1]),
        ("[1,, 2]", [1]),
        ("[1, 2,]", [1, 2]),
        ('{"a": 1, "a": 2}', {"a": 1}),
        ('{"a": [1], "a": [2]}', {"a": [1]}),
        ('{"a": [1] 2, "b": 3}', {"a": [1]}),
        ('{"a": [1]], "b": 3}', {"a": [1]}),
        ("[1, NaN]", [1]),
        ("[1, " + "[" * 5000 + "]" * 5000 + ", 2]", [1]),
        ('{"a" 1} [2]', [2]),
    ],
)  # fmt: skip
def test_what_is_no_json_ends_the_value(text, expected):
    """What was complete before stays; where nothing was, the next beginning is waited for."""
    reader = PartialJson()
    reader.feed(text)

    assert reader.value == expected


def test_whoever_takes_the_elements_decides_what_is_shown():
    """Rejected first elements make a false start, later ones the end; skipped ones are not there."""

    def take(path, value):
        return {"skip": SKIPPED, "no": REJECTED}.get(value, value) if isinstance(value, str) else (path, value)

    assert values('["no", 1] ["skip", 2, "no", 3]', take=take)[-1] == [((1,), 2)]
    assert values('{"a": "skip", "b": [1, "no"]}', take=take)[-1] == {"b": [(("b", 0), 1)]}
    assert values('{"a": ["no"], "b": 1} {"c": "x"}', take=take)[-1] == {"c": "x"}


@settings(max_examples=200, deadline=None)
@given(ROOTS, st.sampled_from([None, 1]), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_any_pieces_give_the_same_value(value, indent, sizes):
    """However it is cut, the values are those of one character at a time; the last one is the whole."""
    text = json.dumps(value, indent=indent)
    single = values(text)
    reader, at, turn = PartialJson(), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        reader.feed(text[at : at + size])
        at, turn = min(at + size, len(text)), turn + 1
        assert reader.value == single[at - 1]

    assert reader.value == value


@settings(max_examples=200, deadline=None)
@given(ROOTS)
def test_each_value_is_the_beginning_of_the_next(value):
    """Nothing that was shown is taken back, or changes."""
    shown = [one for one in values(json.dumps(value)) if one is not None]

    for earlier, later in pairwise(shown):
        if isinstance(value, list):
            assert later[: len(earlier)] == earlier
        else:
            open_list = list(earlier)[-1:]
            assert all(later[key] == earlier[key] for key in list(earlier)[:-1])
            assert all(
                later[key] == earlier[key] or later[key][: len(earlier[key])] == earlier[key] for key in open_list
            )


@pytest.mark.parametrize(
    "text",
    [
        '["' + "\\u4f60x" * 60_000,
        "[" + '{"a": [1, "b"]}, ' * 25_000,
        '{"k": x ' + "[ ] " * 60_000,
        "[" * 400_000,
        "{ [ " * 100_000,
    ],
    ids=["string", "items", "no JSON", "deep", "starts"],
)
def test_reading_costs_the_time_of_reading_once(text):
    """400,000 characters in pieces of four take 0.3 s here, whatever they hold; read anew each time, minutes."""
    reader = PartialJson()
    began = time.process_time()
    for number, at in enumerate(range(0, len(text), 4)):
        reader.feed(text[at : at + 4])
        if number % 200 == 0:
            _ = reader.value

    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("asked", "text", "expected"),
    [
        (list[int], '{"note": "x", "items": [1, 2', [[], [1]]),
        (list[int], "[1, 2]", [[], [1], [1, 2]]),
        (list[int], 'As [all of you] asked: {"items": [1.0, "x", 3]}', [[], [1]]),
        (list[int], '["a", 1] [2]', [[], [2]]),
        (list[int], "[]", [[]]),
        ("name, tags []", '{"name": "x", "tags": ["a", "b', [{}, {"name": "x"}, {"name": "x", "tags": []},
                                                             {"name": "x", "tags": ["a"]}]),
        ("name, age int", '{"name": 3} {"name": "x"}', [{}, {"name": "x"}]),
        (Renamed, '{"fullName": "x", "more": 1, "born": "1"', [{}, {"full_name": "x"}]),
        (int, '{"value": 12}', [None, 12]),
        (str, '{"value": "xy"}', [None, "xy"]),
    ],
)  # fmt: skip
def test_a_schema_shows_its_answer_without_the_wrapper(asked, text, expected):
    """Items and fields that fit, as plain data."""
    reader, found = Schema.of(asked).partial(), []
    for sign in text:
        reader.feed(sign)
        if not found or found[-1] != reader.value:
            found.append(reader.value)

    assert found == expected
