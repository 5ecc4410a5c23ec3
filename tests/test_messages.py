"""What we say: options and specs."""

from __future__ import annotations

import copy
import hashlib
import pickle

import msgspec
import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._events import Finished, Part, Source, ToolCall
from chatglm_magic._messages import (
    OPTIONS,
    ChatOptions,
    ImagePart,
    Message,
    Request,
    TextPart,
    check_options,
    limit_pictures,
    parse_option,
)
from chatglm_magic.providers import split_spec


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.2", 0.2),
        ("max_completion_tokens", "9", 9),
        ("reasoning-effort", " high ", "high"),
        ("max_tokens", "100", 100),
        ("max-tokens", 100, 100),
        ("do_sample", "false", False),
        ("stop", "END", ("END",)),
        ("stop", ["a", "b"], ("a", "b")),
        ("seed", "-1", -1),
    ],
)
def test_options_are_typed(name, text, value):
    """Text becomes the value that the wire wants."""
    assert parse_option(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("temperature", "hot", "a number from 0 to 2"),
        ("reasoning_effort", "", "a word"),
        ("reasoning_effort", 5, "a word"),
        ("temperature", "nan", "a number from 0 to 2"),
        ("temperature", "3", "a number from 0 to 2"),
        ("max_tokens", "1.5", "a whole number of at least 1"),
        ("max_tokens", True, "a whole number of at least 1"),
        ("do_sample", "maybe", "true or false"),
        ("stop", 5, "one or more words"),
    ],
)
def test_a_value_that_does_not_fit_is_said(name, text, expected):
    """The message says what the parameter takes."""
    with pytest.raises(ConfigError, match=expected):
        parse_option(name, text)


def test_an_unknown_name_lists_the_valid_ones():
    """Nobody has to guess."""
    with pytest.raises(ConfigError) as caught:
        parse_option("warmth", "1")

    assert all(name in str(caught.value) for name in OPTIONS)


def test_none_means_not_given():
    """A keyword left at None is no parameter."""
    assert dict(check_options({"seed": None, "top_p": 1})) == {"top_p": 1.0}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("zai:glm-4.7-flash", ("zai", "glm-4.7-flash")),
        ("local", ("local", "")),
        ("local:/a/b.gguf", ("local", "/a/b.gguf")),
        ("openai:qwen3:8b", ("openai", "qwen3:8b")),
        ("qwen3:8b", ("", "qwen3:8b")),
        ("glm-4.7", ("", "glm-4.7")),
        ("", ("", "")),
    ],
)
def test_a_spec_is_split_only_after_a_known_provider(spec, expected):
    """A colon inside a model's name stays there."""
    assert split_spec(spec) == expected


@pytest.mark.parametrize(
    "value",
    [
        Message("user", "a"),
        Message("user", (TextPart("a"), ImagePart(data=b"x", media_type="image/png"))),
        Message("assistant", calls=(ToolCall("c", "f", "{}"),)),
        Request((Message("user", "a"),), options=check_options({"stop": "b"})),
        ChatOptions.of(model="m", seed=1),
        Part("search", sources=(Source("t", "u"),), raw={"a": [1]}),
        Finished("stop", parts=(Part("text", "a"),)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_equal_by_content_and_stay_as_they_are(value):
    """A copy and what comes out of a pickle equal the original; no field can be set."""
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "other")


def test_keywords_become_fields_and_parameters():
    """What is no field is a parameter, checked; None is not set; `cache` is said in words or as a truth value."""
    options = ChatOptions.of(
        model="glm-4.7", timeout=30, seed=None, system=None, stop="END", top_p="0.5", cache="replay"
    )

    assert options == ChatOptions(model="glm-4.7", timeout=30, cache=True, parameters={"stop": ("END",), "top_p": 0.5})
    assert ChatOptions.of(cache="") == ChatOptions.of(cache=None) == ChatOptions()
    assert (ChatOptions.of(cache="off").cache, ChatOptions.of(cache=True).cache) == (False, True)
    assert ChatOptions.of(**msgspec.structs.asdict(options)) == options


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmth": 1}, "no parameter 'warmth'"),
        ({"model_": "m"}, r"Did you mean model\?"),
        ({"top_p": 2}, "from 0 to 1"),
        ({"cache": "yes"}, "'replay' or 'off'"),
        ({"timeout": -1}, "timeout takes seconds, a number above 0, not -1"),
        ({"timeout": 0}, "a number above 0"),
        ({"timeout": True}, "a number above 0"),
        ({"timeout": "soon"}, "a number above 0"),
        ({"system": 5}, "system takes text, not 5"),
        ({"model": ["m"]}, "model takes text"),
        ({"think": "hard"}, "on, off or none"),
    ],
)
def test_a_keyword_that_does_not_fit_is_said(given, expected):
    """Unknown names and values that do not fit are refused before anything is sent."""
    with pytest.raises(ConfigError, match=expected):
        ChatOptions.of(**given)


def test_set_fields_win_and_parameters_merge():
    """What is set above wins, also where it is empty, off or zero; the rest comes from below."""
    lower = ChatOptions.of(provider="zai", model="m", system="s", think=True, cache=True, seed=1, top_p=0.5)
    upper = ChatOptions.of(model="n", system="", think=False, cache=False, seed=0)

    both = upper.over(lower)

    assert both == ChatOptions.of(provider="zai", model="n", system="", think=False, cache=False, seed=0, top_p=0.5)
    assert ChatOptions().over(lower) == lower.over(ChatOptions()) == lower


def test_a_model_belongs_to_its_provider():
    """Where another provider is named alone, the lower one's model is dropped; the same one's, or nobody's, stays."""
    lower = ChatOptions(provider="openai", model="qwen3:8b")

    assert ChatOptions(provider="zai").over(lower).model == ""
    assert ChatOptions(provider="zai", model="glm-4.7").over(lower).model == "glm-4.7"
    assert ChatOptions(provider="openai").over(lower).model == "qwen3:8b"
    assert ChatOptions(provider="zai").over(ChatOptions(model="glm-4.7")).model == "glm-4.7"
    assert ChatOptions(system="Be terse.").over(lower).model == "qwen3:8b"


def test_a_message_says_its_text_and_names_its_pictures():
    """Pictures are no part of the text; each is known by what its bytes are, and its repr shows none of them."""
    picture = ImagePart(data=b"\x89PNG" * 9, media_type="image/png", name="plot.png")
    message = Message("user", (TextPart("Look:"), picture, TextPart("why?")))

    assert message.text == "Look:\n\nwhy?"
    assert message.pictures == (picture,)
    assert picture.sha256 == hashlib.sha256(picture.data).hexdigest()
    assert repr(picture) == "ImagePart(bytes=36, name='plot.png')"
    assert (Message("user", "Hi").text, Message("user", "Hi").pictures) == ("Hi", ())


def test_only_the_newest_pictures_are_sent():
    """Older ones, and those whose bytes are lost, are one word each; texts and messages stay as they are."""
    pictures = [ImagePart(url=f"https://h/{number}.png") for number in range(6)]
    messages = [
        Message("user", (TextPart("a"), *pictures[:3])),
        Message("assistant", "b"),
        Message("user", (TextPart("c"), *pictures[3:], ImagePart(sha256="0" * 64, media_type="image/png"))),
    ]
    word = TextPart("[picture]")

    assert limit_pictures(messages, 3) == [
        Message("user", (TextPart("a"), word, word, word)),
        messages[1],
        Message("user", (TextPart("c"), word, *pictures[4:], word)),
    ]
    assert limit_pictures(messages, 9)[0] == messages[0]
    assert [one.text for one in limit_pictures(messages[:1], 0)] == ["a\n\n[picture]\n\n[picture]\n\n[picture]"]
