"""A store that cannot be written: the reply goes on, one sentence says so, and nothing is lost that can be kept."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import get_args

import pytest
from pseudo_language import speak_pseudo, unmarked
from soon import until
from store_kit import Scripted, ask, bar, change, locked, look, said, talked, tell

from chatglm_magic._chat import Chat
from chatglm_magic._errors import StoreError
from chatglm_magic._markdown.reply_markdown import _SENTENCES, compose, sentences
from chatglm_magic._reply import Reply
from chatglm_magic._store import errors, open_store, schema
from chatglm_magic._store import writer as writer_module

FILL = "x" * 4000


@pytest.fixture(autouse=True)
def _hasty(monkeypatch, caplog):
    """Try again soon, and let no warning in the log be more than that."""
    monkeypatch.setattr(writer_module, "_PAUSES", (0.02,))
    monkeypatch.setattr(schema, "BUSY_MS", 50)
    caplog.set_level(logging.CRITICAL)


def words(reply) -> str:
    """Give what the reply's cell says below the answer."""
    return " ".join(sentences(reply))


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    """Mount something at a folder for the length of a block."""
    mount = shutil.which("mount")
    done = subprocess.run([mount, *how, str(folder)], capture_output=True, check=False) if mount else None
    if done is None or done.returncode:
        pytest.skip("only root on Linux may mount")
    try:
        yield
    finally:
        subprocess.run([shutil.which("umount") or "", "-l", str(folder)], check=True)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Let a path be on a disk of its own, of 300 kB."""
    path.parent.mkdir(parents=True, mode=0o700)
    with mounted(path.parent, "-t", "tmpfs", "-o", "size=300k", "tmpfs"):
        yield


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_reply_that_ended_meanwhile_takes_no_sentence_along(store, monkeypatch):
    """A failure is told with a reply that is still to be shown, not with one that ended while the attempt was made."""
    ended, later = Reply(), Reply()

    def fail(ops: object) -> None:
        store.unfollow("ended")
        raise OSError("no")

    monkeypatch.setattr(store, "_write", fail)
    store.follow("ended", ended)
    until(lambda: store.failure)
    store.follow("later", later)

    assert ended.warnings == []
    assert later.warnings == ["store-unwritable"]


def test_a_full_disk_stops_no_reply(path, store):
    """The reply is whole, one sentence says that the disk is full, and all is written once there is room."""
    with small_disk(path):
        chat = Chat(Scripted(), name="x")
        ask(chat, "First?", *tell("Kept."))
        assert store.flush(5)
        ballast = path.parent / "ballast"
        fill(ballast)
        replies = [ask(chat, f"Next {number}?", *tell(FILL)) for number in range(3)]
        until(lambda: store.failure)
        after = ask(chat, "And now?", *tell("Still here."))

        assert all(reply.text == FILL for reply in replies)
        assert sum("disk is full" in words(reply) for reply in (*replies, after)) == 1
        assert "disk is full" in store.failure
        assert str(path) in store.failure
        ballast.unlink()
        until(lambda: not store.failure)
        assert said(Chat.open("x", provider=Scripted())) == said(chat)
        assert look(path, "PRAGMA integrity_check") == [("ok",)]
        store.close(5)


def test_a_file_that_may_not_grow_stops_no_reply(path):
    """Where a quota ends the file, a kernel's replies are whole and what fitted stays readable."""
    code = """
import asyncio, resource, signal, sys
from chatglm_magic import Chat, FunctionProvider
from chatglm_magic._store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def long(model, messages, proxy=None):
    for _ in range(200): yield "x" * 500
chat = Chat(FunctionProvider(long), name="x")
first = asyncio.run(chat.send("One?"))
assert open_store().flush(10)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
replies = [asyncio.run(chat.send("More?")) for _ in range(20)]
open_store().flush(10)
assert open_store().failure, "no trouble"
replies.append(asyncio.run(chat.send("And now?")))
told = [name for reply in replies for name in reply.warnings]
print([len(reply.text) for reply in replies] == [100_000] * 21, told)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() in {"True ['store-full']", "True ['store-failed']"}, (done.stdout, done.stderr)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]
    assert len(said(Chat.open("x", provider=Scripted()))) >= 2


def test_a_folder_that_cannot_be_made_stops_no_reply(path):
    """Where the folder's place is taken by a file, the reply is whole and says that it is not stored, once."""
    bar(path)
    chat = Chat(Scripted(), name="x")
    replies = [ask(chat, "First?", *tell("Here."))]
    until(lambda: open_store().failure)
    replies += [ask(chat, "Next?", *tell("Here.")) for _ in range(3)]

    assert [reply.text for reply in replies] == ["Here."] * 4
    assert sum("cannot be written" in words(reply) for reply in replies) == 1
    assert path.parent.read_text() == "in the way"
    path.parent.unlink()
    until(lambda: not open_store().failure)
    assert open_store().find("x").count == 8


def test_a_read_only_store_is_read(path, store):
    """What is on a read-only disk can be listed, searched and opened; what is said there is told to be not stored."""
    ask(Chat(Scripted(), name="x"), "Before?", *tell("Readable words."))
    store.close(5)
    with mounted(path.parent, "--bind", "-o", "ro", str(path.parent)):
        chat = Chat.open("x", provider=Scripted())
        assert said(chat) == [("user", "Before?"), ("assistant", "Readable words.")]
        assert [hit.role for hit in store.search("readable")] == ["assistant"]
        ask(chat, "One?")
        until(lambda: store.failure)
        reply = ask(chat, "Two?")
        assert "cannot be written" in store.failure
        assert reply.text == "Hi."
    until(lambda: not store.failure)
    assert store.find("x").count == 6


def test_a_locked_file_is_tried_again(path, store):
    """A lock of another program is waited out; a long one is told, and all is written when it is gone."""
    chat = talked("Before?")
    store.flush(5)
    with locked(path):
        first = ask(chat, "One?")
        until(lambda: store.failure)
        second = ask(chat, "Two?")

        assert "locked" in store.failure
        assert "locked" in words(first) + words(second)
        assert "locked" not in words(ask(chat, "Three?"))
        with pytest.raises(StoreError, match="locked"):
            store.rename(chat.id, "y")
    until(lambda: not store.failure)
    assert store.find("y").count == 8


def test_a_short_lock_is_not_worth_a_word(path, store, monkeypatch):
    """Another kernel that writes for a moment is no trouble."""
    monkeypatch.setattr(schema, "BUSY_MS", 1000)
    chat = talked("Before?")
    store.close(5)
    with locked(path, "IMMEDIATE"):
        reply = ask(chat, "One?")
        time.sleep(0.1)

    assert store.flush(5)
    assert store.failure == words(reply) == ""


def damage_all(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def damage_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_all, damage_end, damage_page])
@pytest.mark.parametrize("while_open", [False, True])
def test_a_damaged_file_is_set_aside(path, store, damage, while_open):
    """Random bytes, half a file and broken pages are renamed, to the last byte; a new file takes what is said now."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "Before?", *tell("Lost from sight."))
    store.close(5)
    if while_open:
        store.threads()
    damage(path)
    broken = path.read_bytes()

    first = ask(chat, "One?", *tell("Goes on."))
    until(lambda: store.failure)
    second = ask(chat, "Two?", *tell("Goes on."))
    third = ask(chat, "Three?")

    assert (first.text, second.text) == ("Goes on.", "Goes on.")
    assert [("damaged" in words(reply)) for reply in (first, second, third)].count(True) == 1
    aside = [found for found in path.parent.iterdir() if ".damaged-" in found.name and found.suffix != ".db-wal"]
    assert any(found.read_bytes()[:5000] == broken[:5000] for found in aside)
    assert str(next(found for found in aside if "-wal" not in found.name and "-shm" not in found.name)) in store.failure
    until(lambda: store.find("x").count == len(chat.tree))
    assert said(Chat.open("x", provider=Scripted())) == said(chat)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_damaged_file_is_no_error_for_a_reader(path, store):
    """A list of what a damaged file holds is empty; the file is set aside, and told."""
    path.parent.mkdir(parents=True)
    damage_all(path)

    assert store.threads() == []
    assert "set aside" in store.failure
    assert [found.name for found in path.parent.iterdir() if ".damaged-" in found.name]


@pytest.mark.parametrize(
    ("is_ours", "statement", "words"),
    [
        (True, "PRAGMA user_version = 99", "newer version"),
        (False, "CREATE TABLE photos (name)", "another program's database"),
    ],
)
def test_what_is_not_for_us_is_left_alone(path, store, is_ours, statement, words):
    """A later version's file, or another program's, is neither changed nor read; the sentence says what to do."""
    path.parent.mkdir(parents=True)
    if is_ours:
        talked("Before?")
        store.close(5)
    change(path, statement)
    before = path.read_bytes()

    reply = ask(Chat(Scripted(), name="y"), "Now?")
    with pytest.raises(StoreError, match=words):
        store.threads()
    after = ask(Chat(Scripted(), name="y"), "Now?")

    assert reply.text == after.text == "Hi."
    assert words in compose(reply) + compose(after)
    assert store.answer("key") is None
    store.close(5)
    assert path.read_bytes() == before


def test_a_newer_version_may_come_while_we_run(path, store):
    """A store that another process brings up to date under our feet is left alone from then on."""
    chat = talked("Before?")
    store.flush(5)
    change(path, "PRAGMA user_version = 99")

    ask(chat, "Now?")
    until(lambda: store.failure)

    assert "newer version" in store.failure
    assert look(path, "SELECT count(*) FROM message") == [(2,)]


def test_a_file_that_is_removed_is_begun_again(path, store):
    """Who deletes the file loses what was in it, and nothing of the conversation that goes on."""
    chat = talked("Before?")
    store.flush(5)
    for found in path.parent.iterdir():
        found.unlink()

    ask(chat, "Now?")
    ask(chat, "And now?")

    until(lambda: store.find("x").count == len(chat.tree))
    assert store.failure == ""
    assert said(Chat.open("x", provider=Scripted())) == said(chat)


def test_what_cannot_be_kept_stops_nothing_else(store, monkeypatch):
    """One thing that can never be written is left out, and what comes after it is kept."""
    store.write(lambda writes: writes.nonsense())
    talked("Now?")

    assert store.find("x").count == 2
    assert store.failure == ""


def test_every_trouble_has_its_sentences():
    """Whatever is wrong is told below the answer, and with the file's name where that is asked for."""
    names = set(get_args(errors.Kind))

    assert {f"store-{name}" for name in names} == {name for name in _SENTENCES if name.startswith("store-")}
    assert all("{where}" in sentence for sentence in errors._SENTENCES.values())
    assert set(errors._SENTENCES) == names


def test_a_trouble_is_told_in_the_language_of_the_moment(store, monkeypatch):
    """What is wrong is kept by its name: who asks for it after the language was changed reads it in that one."""
    failure = errors.failure_of(OSError("no"), "there")
    english = failure.message
    speak_pseudo(monkeypatch)

    assert unmarked(failure.message) == ""
    monkeypatch.setenv("CHATGLM_LANG", "en")
    assert failure.message == english


def test_no_more_waits_than_memory_allows(path, monkeypatch):
    """While nothing can be written, what waits has a bound."""
    monkeypatch.setattr(writer_module, "_MOST_WAITING", 10_000)
    bar(path)
    chat = Chat(Scripted(), name="x")
    for _ in range(10):
        ask(chat, "Now?", *tell(FILL))

    assert open_store()._waiting < 30_000
    assert os.path.isfile(path.parent)  # noqa: PTH113 - as plain as it gets
