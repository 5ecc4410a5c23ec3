"""What we say: options and specs."""

from __future__ import annotations

import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._messages import OPTIONS, check_options, parse_option
from chatglm_magic.providers import split_spec


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.2", 0.2),
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
