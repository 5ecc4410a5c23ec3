"""Shells for the tests of the magics."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from pseudo_language import speak_pseudo
from shells import make_shell, run

import chatglm_magic


@pytest.fixture(autouse=True)
def _no_shell_left():
    """IPython finds "the" shell in a place of the class."""
    yield
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(glm) -> Generator[InteractiveShell]:
    """Give a shell whose questions go to the loopback server."""
    shell = make_shell(provider="openai", base_url=glm.url, model="glm-4.7")
    chatglm_magic.load_ipython_extension(shell)
    yield shell
    chatglm_magic.unload_ipython_extension(shell)


@pytest.fixture
def ask(shell, glm, capsys):
    """Run a line and give what it printed; questions are echoed."""
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content']}")

    def ask(line: str) -> str:
        run(shell, f"%chatglm {line}")
        return capsys.readouterr().out

    return ask


@pytest.fixture
def marks(monkeypatch) -> None:
    """Speak a Chinese in which each sentence of ours stands in brackets, wherever a setting does not say English."""
    speak_pseudo(monkeypatch)
