"""JSON in what a model wrote."""

from __future__ import annotations

import json
import time

import pytest

from chatglm_magic._schema.misfit import Misfit, Problems, path_text
from chatglm_magic._schema.text import candidates, path_at, unfenced


def values(text):
    return [one.value for one in candidates(text) if one.problems is None]


def errors(text):
    return [error for one in candidates(text) if one.problems for error in one.problems.misfit().errors]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '\ufeff \n{"a": 1}\n',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}\n```\n\nThat is all, {name}.',
        'Here it is [as asked](http://x), {name}: {"a": 1} Anything else?',
        '~~~json\n{"a": 1}\n~~~',
        '```json\n{"a": 1}',
        'Set {1, 2} is not JSON:\n{\n\n  "a": 1}',
    ],
)
def test_json_is_found_between_fences_and_prose(text):
    """Whatever stands around it, it is the only value that is found."""
    assert values(text) == [{"a": 1}]


def test_what_json_mode_breaks_inside_strings_is_forgiven():
    """Line ends and tabs as they are inside a string, and a fence inside a string, are part of the string."""
    text = '{"code": "```python\nprint(\t1)\n```", "b": [2]}'

    assert values(text) == values(f"```json\n{text}\n```") == [{"code": "```python\nprint(\t1)\n```", "b": [2]}]


def test_a_string_that_holds_json_is_a_string():
    """What a string holds is not looked at."""
    assert values('"use {\\"a\\": 1}"') == ['use {"a": 1}']


def test_each_json_text_is_found_and_no_part_of_one():
    """A broken answer is broken: what is whole inside of it is no answer."""
    assert values('[1] and [2]: {"a": {"b": 1}}') == [[1], [2], {"a": {"b": 1}}]
    assert values('{"a": 1, oops, "b": {"c": 1}} then {"d": 1}') == [{"d": 1}]
    assert values('{"a": {"b": 1}, "c": {"d": 1}') == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": NaN}', ("$", "holds NaN, which is no value of JSON")),
        ('{"a": -Infinity}', ("$", "holds -Infinity, which is no value of JSON")),
        ("[1e999]", ("$", "holds 1e999, which is too large for a number with a point")),
        ('[{"a": 1, "a": 2}]', ("$", 'has the field "a" twice in one object')),
        ("[" * 100_000, ("$", "is nested too deeply")),
        ("[" + "1" * 5000 + "]", ("$", "holds a number with too many digits")),
        ('{"a": [1, {"b" 2}]}', ("a[1]", "is not JSON: Expecting ':' delimiter near '{\"a\": [1, {\"b\" 2}]}'")),
    ],
    ids=lambda one: str(one)[:20],
)  # fmt: skip
def test_json_that_would_have_to_be_guessed_is_refused(text, error):
    """It is a problem with its place, never another exception."""
    assert errors(text) == [error]


WHOLE = (
    '{"name": "Li \\u4f60", "papers": '
    '[{"title": "a", "year": 1}, {"title": "b\\n", "ok": true, "n": -1.5e3}], "e": null}'
)


def test_an_answer_that_is_cut_off_says_so_at_every_place():
    """Wherever it is cut, the only problem is the cut, and its path is what was open."""
    for end in range(1, len(WHOLE)):
        found = errors(WHOLE[:end])

        assert len(found) == 1, WHOLE[:end]
        assert "is cut off" in found[0][1], (WHOLE[:end], found)
    assert errors(WHOLE[: WHOLE.index("b\\n") + 1])[0][0] == "papers[1].title"
    assert errors(WHOLE[: WHOLE.index(', "e"') - 2])[0][0] == "papers[1].n"
    assert errors(WHOLE) == []


def test_numbers_beyond_64_bits_and_lone_surrogates_are_values():
    """Python has them, and so has JSON."""
    assert values('[18446744073709551617, "\\ud800"]') == [[2**64 + 1, "\ud800"]]


def test_a_place_in_json_has_a_path():
    """Names and positions, as Python would write them."""
    text = '{"a b": [1, [2, {"c": '

    assert path_text(path_at(text, 0, len(text))) == '["a b"][1][1].c'
    assert path_text([0] * 100) == "[0]" * 20 + "…"


def test_only_the_fence_around_all_is_removed():
    """Fences further in are content."""
    assert unfenced("```json\ngood\n```") == "good"
    assert unfenced("good\n```\nx\n```") == "good\n```\nx\n```"


def test_searching_takes_time_in_proportion_to_the_text():
    """Neither a page of brackets nor a long string without an end is read again and again."""
    began = time.process_time()
    for text in (
        "{" * 200_000,
        '{"a": ' * 50_000,
        '["' + "\\" * 400_001,
        "[ " * 200_000,
        json.dumps(["x" * 10] * 50_000)[:-1],
    ):
        assert len(list(candidates(text))) <= 50
    assert time.process_time() - began < 5  # 0.3 s here; minutes if a text were read once for each bracket


def test_a_misfit_holds_what_a_model_can_use():
    """At most twenty errors, and the number of those left out; a sentence for each."""
    problems = Problems()
    for number in range(30):
        problems.add((number, "age"), "is missing")
    misfit = problems.misfit()

    assert len(misfit.errors) == 20
    assert misfit.errors[-1] == ("[19].age", "is missing (and 10 more errors)")
    assert str(Misfit([("$", "is wrong"), ("a", "is missing")])) == "The answer is wrong. a is missing."
