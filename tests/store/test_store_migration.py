"""A store of an earlier version becomes one of today, with all that it holds; one of a later version is left alone."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from store_kit import Scripted, ask, bytes_of, look, said, tell

from chatglm_magic._chat import Chat
from chatglm_magic._messages import ImagePart
from chatglm_magic._store import close_stores, schema
from chatglm_magic._store.errors import RefusedFileError

LATER = ("ALTER TABLE message ADD COLUMN stars INTEGER NOT NULL DEFAULT 0;", "CREATE TABLE tag (name);")
"""Migrations that later versions may need."""
TODAY = len(schema.MIGRATIONS)


def tables(path) -> set[tuple[str, str, str]]:
    found = look(path, "SELECT type, name, coalesce(sql, '') FROM sqlite_master")
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in found}


@pytest.fixture
def earlier(path, monkeypatch):
    """Make a store of this version, and be two versions later."""
    ask(Chat(Scripted(), name="paper"), "What is attention?", *tell("注意力机制。"))
    close_stores(10)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *LATER))
    return path


def test_an_earlier_store_is_migrated(earlier, store, tmp_path):
    """What is in it is there, is found and gone on with, and the file is as a new one of the later version."""
    assert [(thread.name, thread.count) for thread in store.threads()] == [("paper", 2)]
    assert [hit.role for hit in store.search("注意")] == ["assistant"]
    chat = Chat.open("paper", provider=Scripted())
    ask(chat, "And then?")

    assert said(Chat.open("#1", provider=Scripted())) == said(chat)
    assert len(chat.messages) == 4
    assert look(earlier, "SELECT stars FROM message") == [(0,)] * 4
    assert look(earlier, "PRAGMA user_version") == [(TODAY + 2,)]
    assert look(earlier, "PRAGMA integrity_check") == [("ok",)]
    assert look(earlier, "PRAGMA foreign_key_check") == []
    schema.connect(str(tmp_path / "new.db")).close()
    assert tables(earlier) == tables(tmp_path / "new.db")


def test_a_reader_migrates_an_earlier_store(earlier, store):
    """A cell that only looks for its conversation finds it in a store that nobody has written to since."""
    assert store.of_cell("id 1 1") is None
    assert look(earlier, "PRAGMA user_version") == [(TODAY + 2,)]


def test_a_migration_that_fails_changes_nothing(earlier, monkeypatch):
    """All migrations are made or none: a store for which the second one fails is as it was."""
    before = tables(earlier)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE tag (b);"))

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.connect(str(earlier))

    assert tables(earlier) == before
    assert look(earlier, "PRAGMA user_version") == [(TODAY,)]


def test_of_several_processes_one_migrates(earlier):
    """Kernels that open an earlier store at the same time find it migrated, once."""
    failures = []

    def open_it():
        try:
            schema.connect(str(earlier)).close()
        except sqlite3.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert look(earlier, "PRAGMA user_version") == [(TODAY + 2,)]


def test_a_later_version_is_refused_to_readers_and_writers(earlier, monkeypatch):
    """Neither way of opening a later version's file changes a byte of it."""
    schema.connect(str(earlier)).close()
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    before = bytes_of(earlier)

    for connect in (schema.connect, schema.connect_to_read):
        with pytest.raises(RefusedFileError):
            connect(str(earlier))

    assert bytes_of(earlier) == before


@pytest.mark.parametrize("version", range(1, TODAY))
def test_each_version_so_far_becomes_this_one(path, store, monkeypatch, version):
    """Whichever version began a store, a question with a picture is kept in it beside what it held."""
    now = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", now[:version])
    schema.connect(str(path)).close()
    monkeypatch.setattr(schema, "MIGRATIONS", now)
    ask(Chat(Scripted(), name="paper"), "Look", attachments=[ImagePart(data=b"x", media_type="image/png")])

    assert store.flush(5)
    assert look(path, "PRAGMA user_version") == [(TODAY,)]
    assert look(path, "SELECT bytes FROM blob") == [(b"x",)]
