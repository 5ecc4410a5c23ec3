"""Fixtures for every test: the loopback server, and an environment without keys, settings or proxies."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from glm_server import FakeGLM

from chatglm_magic import _chat

os.environ["CHATGLM_STORE"] = "off"  # for kernels that outlive a test, and for all that they start
os.environ["CHATGLM_LANG"] = "en"  # whatever the locale of this computer is
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a shell; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


BY_HAND = ("long", "real")
"""Marks of tests that run only where `-m` names them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marks = [mark for mark in BY_HAND if mark not in config.option.markexpr]
    by_hand = [item for item in items if any(map(item.get_closest_marker, marks))]
    items[:] = [item for item in items if item not in by_hand]
    config.hook.pytest_deselected(items=by_hand)


@pytest.fixture(autouse=True)
def _no_keys_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys, our own settings and proxies out of the environment; nothing is kept where the user's things are."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.endswith(("_API_KEY", "_PROXY")) or upper.startswith("CHATGLM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHATGLM_STORE", "off")
    monkeypatch.setenv("CHATGLM_LANG", "en")


@pytest.fixture(autouse=True)
def _no_conversation_of_another_test() -> None:
    """A name is one conversation in a process; each test begins with none."""
    _chat._open.clear()


@pytest.fixture
def glm() -> Generator[FakeGLM]:
    """Give a fake GLM server that nothing is scripted for yet."""
    with FakeGLM() as server:
        yield server
