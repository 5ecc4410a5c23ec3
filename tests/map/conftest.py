"""A store of its own for each test that wants one, closed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatglm_magic import _credentials
from chatglm_magic._store import Store, close_stores, configure, open_store
from chatglm_magic._store import store as module


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give the store that is used; nothing is there yet."""
    monkeypatch.setattr(_credentials, "_seen", set())
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "conversations.db"))
    yield open_store()
    close_stores(10)
    module._stores.clear()
    configure("")
