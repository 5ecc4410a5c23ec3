"""A store of its own for each test, closed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatglm_magic import _credentials as _urls
from chatglm_magic._store import Store, close_stores, configure, open_store
from chatglm_magic._store import store as module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Know no key of other tests, and leave no thread and no connection behind."""
    monkeypatch.setattr(_urls, "_seen", set())
    yield
    close_stores(10)
    module._stores.clear()
    configure("")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the path of the store that is used; nothing is there yet."""
    found = tmp_path / "data" / "chatglm_magic" / "conversations.db"
    monkeypatch.setenv("CHATGLM_STORE", str(found))
    return found


@pytest.fixture
def store(path: Path) -> Store:
    """Give the store that is used."""
    found = open_store()
    assert found is not None
    return found
