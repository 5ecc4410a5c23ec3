"""Fixtures for every test: the loopback server, and an environment without keys, settings or proxies."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from glm_server import FakeGLM

os.environ["CHATGLM_STORE"] = "off"  # for kernels that outlive a test, and for all that they start


@pytest.fixture(autouse=True)
def _no_keys_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take keys, our own settings and proxies out of the environment; nothing is kept where the user's things are."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.endswith(("_API_KEY", "_PROXY")) or upper.startswith("CHATGLM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHATGLM_STORE", "off")


@pytest.fixture
def glm() -> Generator[FakeGLM]:
    """Give a fake GLM server that nothing is scripted for yet."""
    with FakeGLM() as server:
        yield server
