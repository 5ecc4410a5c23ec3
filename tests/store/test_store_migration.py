"""A store of any earlier version becomes one of today, with all that it holds."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from store_kit import Scripted, ask, bytes_of, look, said

from chatglm_magic._chat import Chat
from chatglm_magic._store import schema
from chatglm_magic._store.troubles import Refusal

RECORDED = sorted((Path(__file__).parent / "schemas").glob("*.sql"))


def build(path: Path, recorded: Path) -> None:
    """Make a store as an earlier version did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.executescript(recorded.read_text("utf-8"))
    database.close()


def tables(path: Path) -> set[tuple[str, str, str]]:
    found = look(path, "SELECT type, name, coalesce(sql, '') FROM sqlite_master")
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in found}


def columns(path: Path) -> dict[str, set[tuple[object, ...]]]:
    names = [name for (name,) in look(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: {row[1:] for row in look(path, f"PRAGMA table_info({name})")} for name in names}


def test_every_version_is_recorded():
    """There is a store to try for each version there ever was."""
    assert [recorded.stem for recorded in RECORDED] == [str(number + 1) for number in range(len(schema.STEPS))]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: f"version {recorded.stem}")
def test_the_steps_are_history(recorded, tmp_path):
    """The steps up to a version make what that version made: they are added to, never changed."""
    build(tmp_path / "recorded.db", recorded)
    database = sqlite3.connect(tmp_path / "made.db")
    for step in schema.STEPS[: int(recorded.stem)]:
        database.executescript(step)
    database.close()

    assert tables(tmp_path / "made.db") == tables(tmp_path / "recorded.db")


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: f"version {recorded.stem}")
def test_an_earlier_store_is_brought_up_to_date(recorded, path, store, tmp_path):
    """Threads, versions and answers that a dead process left half done are there, found and gone on with."""
    build(path, recorded)

    assert [(thread.name, thread.number, thread.count) for thread in store.threads()] == [
        ("paper", 3, 3),
        ("other", 4, 2),
    ]
    thread, messages, chosen = store.load("thread-a")
    assert thread.settings == {"system": "Be terse.", "provider": "zai", "options": {"seed": 1}}
    assert chosen == {"": "q1", "q1": "a1"}
    assert [(one.id, one.text, one.thought, one.cell) for one in messages] == [
        ("q1", "What is attention?", "", "id 1 1"),
        ("a1", "注意力机制。", "hm", ""),
        ("a2", "It weighs.", "", ""),
    ]
    assert (messages[1].elapsed, messages[1].usage.prompt_tokens) == (1.5, 3)
    unfinished = store.load("thread-b")[1][1]
    assert (unfinished.text, unfinished.thought, unfinished.finish_reason) == ("So far so good", "well", "interrupted")
    assert store.cell("id 1 1").name == "paper"
    assert [hit.said_id for hit in store.search("注意")] == ["a1"]
    assert [hit.said_id for hit in store.search("good")] == ["a3"]

    chat = Chat.open("paper", provider=Scripted())
    ask(chat, "And then?")
    assert said(Chat.open("#3", provider=Scripted())) == said(chat)
    assert len(chat.messages) == 4
    assert look(path, "PRAGMA user_version") == [(len(schema.STEPS),)]
    assert look(path, "PRAGMA integrity_check") == [("ok",)]
    assert look(path, "PRAGMA foreign_key_check") == []

    schema.connect(str(tmp_path / "new.db")).close()
    assert columns(path) == columns(tmp_path / "new.db")
    assert {row[:2] for row in tables(path)} == {row[:2] for row in tables(tmp_path / "new.db")}


def test_a_step_that_fails_changes_nothing(path, monkeypatch):
    """All steps are taken or none: a store whose migration fails half way is as it was."""
    build(path, RECORDED[0])
    schema.connect(str(path)).close()
    before = tables(path)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, "CREATE TABLE a (b);", "CREATE TABLE a (b);"))

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.connect(str(path))

    assert tables(path) == before
    assert look(path, "PRAGMA user_version") == [(len(schema.STEPS) - 2,)]


def test_of_several_processes_one_takes_the_steps(path):
    """Kernels that open an old store at the same time find it brought up to date, once."""
    build(path, RECORDED[0])
    failures = []

    def open_it():
        try:
            schema.connect(str(path)).close()
        except sqlite3.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert look(path, "PRAGMA user_version") == [(len(schema.STEPS),)]


def test_a_later_version_is_refused_to_readers_and_writers(path):
    """Neither way of opening a later version's file changes a byte of it."""
    build(path, RECORDED[-1])
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    database.close()
    before = bytes_of(path)

    for connect in (schema.connect, schema.connect_to_read):
        with pytest.raises(Refusal):
            connect(str(path))

    assert bytes_of(path) == before


def test_without_full_text_search_the_steps_are_taken_all_the_same(path, store, monkeypatch):
    """An SQLite that has no FTS5 keeps conversations, and finds words by reading through them."""
    monkeypatch.setattr(schema, "STEPS", tuple(step.replace("fts5", "fts5_that_is_not_there") for step in schema.STEPS))
    monkeypatch.setattr(schema, "_FTS5", "no such module: fts5_that_is_not_there")
    ask(Chat(Scripted(), name="x"), "Is it found?")

    assert store.trouble == ""
    assert [hit.snippet for hit in store.search("found")] == ["Is it found?"]
    store.forget()
    assert store.threads() == []
