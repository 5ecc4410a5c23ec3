"""Who answers a cell, and what is imported ahead for them."""

from __future__ import annotations

import pytest
from test_magic import _no_shell_left, make_shell  # noqa: F401 - a fixture

from chatglm_magic import MissingKeyError
from chatglm_magic._magics import choosing
from chatglm_magic._magics.arguments import parse
from chatglm_magic._magics.choosing import choose_to_ask
from chatglm_magic._magics.magic import ChatGLMMagics


@pytest.fixture
def begun(monkeypatch):
    """Take note of what is imported ahead, and import nothing."""
    names: list[str] = []
    monkeypatch.setattr(choosing, "begin", lambda name, until: names.append(name))
    return names


@pytest.mark.parametrize(
    ("line", "name", "ahead"),
    [
        ("--base-url http://127.0.0.1:9 -m m", "openai", ["aiohttp"]),
        ("-m chatglm:glm-4.7", "chatglm", ["aiohttp"]),
        ("-m local", "local", []),
        ("", "local", []),
        ("--cache --base-url http://127.0.0.1:9 -m m", "openai", []),
    ],
)
def test_only_a_question_that_goes_out_begins_to_import_what_that_takes(line, name, ahead, begun, monkeypatch):
    """The local model needs no HTTP, and a stored answer may need nobody."""
    monkeypatch.setenv("CHATGLM_STORE", ":memory:")
    magics = ChatGLMMagics(make_shell())

    choice = choose_to_ask(magics, parse(line, "hello"))

    assert choice.provider.name == name
    assert begun == ahead


def test_a_question_that_cannot_be_asked_imports_nothing(begun):
    """What is missing is found first."""
    with pytest.raises(MissingKeyError):
        choose_to_ask(ChatGLMMagics(make_shell()), parse("-m zai:glm-4.7", "hello"))

    assert begun == []
