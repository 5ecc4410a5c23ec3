"""Fixtures for the embedded model: tiny models, and no child process left behind."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from local_kit import WORDS, children, programs
from tiny_glm import tiny_glm

from chatglm_magic.providers.local import server


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tiny models: plain, thinking, endless."""
    folder = tmp_path_factory.mktemp("models")
    tiny_glm(folder / "plain.gguf", WORDS)
    tiny_glm(folder / "thinking.gguf", WORDS, thinking=["They", " want", " a", " greeting."])
    tiny_glm(folder / "endless.gguf", ["on ", "and ", "on, "], endless=True)
    return folder


@pytest.fixture
def no_child_stays() -> Generator[None]:
    """End the programs that the test started, and check that no child is left."""
    yield
    server.stop_all()
    while programs:
        with programs.pop() as program:
            program.kill()
    assert children() == []
