"""Calls as models and servers write them: repaired where their meaning is certain, refused where it is not."""

from __future__ import annotations

import json

import pytest

from chatglm_magic import ConfigError
from chatglm_magic._events import ToolCall
from chatglm_magic._tools.call import CheckedCall, Fault, calls_in_text, is_only_calls, read_call, unique_ids
from chatglm_magic._tools.tool import tools_of


def weather(city: str, days: int = 1) -> str:
    """Return the weather."""
    return city * days


def now() -> str:
    """Return the time."""
    return ""


def home(city: str) -> str:
    """Return the way home."""
    return city


TOOLS = {one.name: one for one in tools_of([weather, now, home])}


def read(name: str, arguments: str) -> CheckedCall | Fault:
    return read_call(ToolCall("a", name, arguments), TOOLS, "a")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("weather", '{"city": "Paris"}'),
        ("weather", json.dumps('{"city": "Paris"}')),
        ("weather", json.dumps(json.dumps('{"city": "Paris"}'))),
        ("weather", '{}{"city": "Paris"}'),
        ("weather", '{"city": "Paris"}{"city": "Paris"}'),
        ("weather", '```json\n{"city": "Paris"}\n```'),
        ("weather", "{'city': 'Paris'}"),
        ("functions.weather", '{"city": "Paris"}'),
        (" weather\n", ' {"city": "Paris"} '),
        ("weather<arg_key>city</arg_key><arg_value>Paris</arg_value>", ""),
        ("weather<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>", ""),
        ("<tool_call>weather<arg_key>city</arg_key><arg_value>Paris", "</arg_value>"),
        ("weather", "<arg_key>city</arg_key><arg_value>Paris</arg_value>"),
    ],
)
def test_a_call_whose_meaning_is_certain_is_made(name, arguments):
    """Quoting, tags, fences and repetitions around one set of arguments do not hide it."""
    found = read(name, arguments)

    assert isinstance(found, CheckedCall), found
    assert (found.name, found.arguments) == ("weather", {"city": "Paris"})
    assert json.loads(found.call.arguments) == {"city": "Paris"}


def test_tags_hold_numbers_as_text():
    """GLM's tags do not tell types; the function's do."""
    keys = "weather<arg_key>city</arg_key><arg_value>7</arg_value><arg_key>days</arg_key><arg_value>2</arg_value>"

    assert read(keys, "").values == {"city": "7", "days": 2}


@pytest.mark.parametrize("arguments", ["", " ", "{}", "null", '""', '"{}"'])
def test_a_function_that_needs_nothing_is_called_without_arguments(arguments):
    """Nothing, in whatever words, is no argument."""
    found = read("now", arguments)

    assert isinstance(found, CheckedCall), found
    assert found.arguments == {}


def test_a_bare_value_is_the_only_argument():
    """Named calls of vLLM send the argument alone; where there is one parameter, it is clear which."""
    assert read("home", '"\\"Paris\\""').arguments == {"city": "Paris"}
    assert read("home", '"Paris"').arguments == {"city": "Paris"}
    assert isinstance(read("weather", '"Paris"'), Fault)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("weather", '{"city": "Par', "no JSON object"),
        ("weather", '{"city": "Rome"}{"city": "Paris"}', "no JSON object"),
        ("weather", "[1]", "no JSON object"),
        ("weather", "[" * 100_000, "no JSON object"),
        ("weather", '{"city": NaN}', "no JSON object"),
        ("weather", '{"city": "' + "x" * 300_000 + '"}', "too many"),
        ("weather", "{}", "city: it is missing"),
        ("weather", '{"city": 5}', "city: Expected `str`"),
        ("weather", '{"city": "Paris", "mood": 1}', "mood: there is no such argument"),
        ("forecast", "{}", "There is no function 'forecast'. There are: weather, now, home"),
        ("rm -rf /", "{}", "There is no function 'rm_-rf_'"),
        ("", "{}", "There is no function 'unknown'"),
    ],
)
def test_any_other_call_is_a_fault_that_may_be_sent_back(name, arguments, words):
    """What is told names the fault; what is sent back is a valid call without what was wrong."""
    found = read(name, arguments)

    assert isinstance(found, Fault)
    assert words in found.problem
    assert len(found.problem) < 1000
    assert json.loads(found.call.arguments) == {}
    assert found.call.name.replace("_", "").replace("-", "").isalnum()


def test_what_is_shown_is_what_the_function_gets():
    """The arguments that people see are made from the converted values, and are JSON that any server reads."""
    found = read("weather", '{"city": "\\ud800", "days": "3"}')

    assert found.arguments == {"city": "?", "days": 3}
    assert found.values == found.arguments


def test_changed_arguments_are_checked_again():
    """Arguments that a person writes have to fit, too."""
    found = read("weather", '{"city": "Paris"}')

    assert found.with_arguments({"city": "Rome", "days": 2}).values == {"city": "Rome", "days": 2}
    with pytest.raises(ConfigError, match="weather cannot be called so"):
        found.with_arguments({"city": "Rome", "days": "many"})


def test_ids_are_unique_over_a_conversation():
    """Ids that repeat, or are not there, are replaced; others stay."""
    used = {"a"}
    calls = [ToolCall(one, "now", "") for one in ("a", "a", "", "b", "")]

    ids = unique_ids(calls, used)

    assert ids == ["a-2", "a-3", "call-1", "b", "call-2"]
    assert used == {"a", *ids}


@pytest.mark.parametrize(
    "text",
    [
        "I need it. <tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
    ],
)
def test_calls_that_end_a_text_are_found(text):
    """GLM's form and Hermes' form are read, where the text ends with them."""
    (found,) = calls_in_text(text, TOOLS)

    assert read_call(found, TOOLS, "a").arguments == {"city": "Paris"}


@pytest.mark.parametrize(
    "text",
    ["", "no call", "<tool_call>weather</tool_call> is how it is written.", "<tool_call>format_disk</tool_call>"],
)
def test_a_text_that_speaks_of_calls_is_none(text):
    """A mention in the middle of a text, or of a function that is not there, is no call."""
    assert calls_in_text(text, TOOLS) == []


def test_a_text_of_nothing_but_calls_is_known():
    """Words around the tags are an answer, and are shown."""
    assert is_only_calls(" <tool_call>now</tool_call>\n<tool_call>now</tool_call> ")
    assert not is_only_calls("Look: <tool_call>now</tool_call>")
    assert not is_only_calls("")
