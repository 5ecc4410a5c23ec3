"""Several processes, one file: kernels side by side, forks, and how a process ends."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from soon import until
from store_kit import Scripted, ask, locked, look, said, talked, tell

from chatglm_magic._chat import Chat
from chatglm_magic._store import close_stores, location, schema

TALK = """
import asyncio, sys
from chatglm_magic import Chat, FunctionProvider
who, many, opened = sys.argv[1:]
async def parrot(model, messages, proxy=None):
    for number in range(20):
        yield f"{who} {number} "
        await asyncio.sleep(0.001)
provider = FunctionProvider(parrot)
chat = Chat.open("x", provider=provider) if opened == "open" else Chat(provider, name=who)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(many)):
    asyncio.run(chat.send(f"{who} asks {number}"))
"""


LAST_WORDS = """
import asyncio
from chatglm_magic import Chat, FunctionProvider
async def parrot(model, messages, proxy=None): yield "last words"
asyncio.run(Chat(FunctionProvider(parrot), name="x").send("Now?"))
"""


def talk(*told: list[str]) -> None:
    """Let processes talk at the same time, and wait for their ends."""
    processes = [
        subprocess.Popen([sys.executable, "-c", TALK, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for argv in told
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.close()
    for process in processes:
        process.stdout.read()
        process.stdout.close()
        assert process.wait(60) == 0


def test_kernels_keep_different_conversations_in_one_file(path, store):
    """What three processes say at the same time is all there, each in its own thread."""
    talk(["a", "20", "new"], ["b", "20", "new"], ["c", "20", "new"])

    whole = "".join(f"? {number} " for number in range(20))
    for who in "abc":
        _, messages, _ = store.load(store.find(who).id)
        assert [one.text for one in messages[1::2]] == [whole.replace("?", who)] * 20
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_kernels_that_write_the_same_conversation_make_branches(path, store):
    """Two processes that go on in one conversation lose nothing: their exchanges stand beside each other."""
    talked("The beginning?")
    store.flush()

    talk(["a", "10", "open"], ["b", "10", "open"])

    chat = Chat.open("x", provider=Scripted())
    assert len(chat.tree) == 2 + 2 * 2 * 10
    beginning = chat.tree.path()[1]
    assert sorted(one.text for one in chat.tree.children(beginning)) == ["a asks 0", "b asks 0"]
    for branch in chat.tree.children(beginning):
        chat.choose(branch)
        who = branch.text[0]
        assert [one.text for one in chat.tree.path()[2::2]] == [f"{who} asks {number}" for number in range(10)]
        assert {one.text[0] for one in chat.tree.path()[3::2]} == {who}
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_has_a_connection_of_its_own(path, store):
    """A process that is forked off keeps what it says by a thread and a connection of its own; so does its parent."""
    chat = talked("Before?")
    store.flush(5)
    child = os.fork()
    if child == 0:
        try:
            talked("Inside?", name="child")
            os._exit(0 if store.flush(10) else 1)
        finally:
            os._exit(2)
    ask(chat, "Meanwhile?")
    assert os.waitpid(child, 0)[1] == 0
    ask(chat, "After?")

    assert store.find("child").count == 2
    assert store.find("x").count == 6
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_process_writes_its_last_words_as_it_ends(path):
    """A script that asks and ends at once has kept its answer."""
    subprocess.run([sys.executable, "-c", LAST_WORDS], check=True)

    assert look(path, "SELECT content FROM message WHERE role = 'assistant'") == [("last words",)]
    assert not Path(f"{path}-wal").exists()


def test_a_store_that_hangs_does_not_hold_a_process_back(path, store):
    """Where the file is locked for good, the process still ends, after a second or so."""
    talked("Before?")
    store.close(5)
    with locked(path):
        done = subprocess.run([sys.executable, "-c", LAST_WORDS], check=False, timeout=20)

    assert done.returncode == 0


def none_at_all(path: Path, patch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    patch.setattr(sqlite3, "connect", lambda name, **how: connect(f"{name}&vfs=unix-dotfile", **how))


def none_any_more(path: Path, _: pytest.MonkeyPatch) -> None:
    talked("Before?", name="y")
    close_stores(5)
    assert path.read_bytes()[18:20] == b"\x02\x02"
    Path(f"{path}-shm").symlink_to(path.parent / "nowhere" / "at all")


def not_with_others(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schema, "is_shared", lambda path: True)


@pytest.mark.parametrize("shared_memory", [none_at_all, none_any_more, not_with_others])
def test_without_shared_memory_a_rollback_journal_does(path, store, monkeypatch, shared_memory):
    """Where SQLite has none, where it fails, and where other machines write too, the store works all the same."""
    shared_memory(path, monkeypatch)
    chat = Chat(Scripted(), name="x")
    ask(chat, "One?", *tell("Words."))

    assert store.flush(5)
    assert store.failure == ""
    assert path.read_bytes()[18:20] == b"\x01\x01"  # the format's bytes for a rollback journal
    assert said(Chat.open("x", provider=Scripted())) == said(chat)
    assert [hit.role for hit in store.search("words")] == ["assistant"]
    store.forget()
    assert store.threads() == []


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/me/local rw - ext4 /dev/vdb rw
32 22 0:42 / /mnt/with\\040blank rw - fuse.sshfs me@there:/ rw
33 22 0:43 / /homely rw - tmpfs tmpfs rw
nonsense
"""


@pytest.mark.parametrize(
    ("folder", "kind", "is_network"),
    [
        ("/home/me", "nfs4", True),
        ("/home/me/local", "ext4", False),
        ("/homely", "tmpfs", False),
        ("/var", "ext4", False),
        ("/mnt/with blank/deep", "fuse.sshfs", True),
    ],
)
def test_network_homes_are_known(folder, kind, is_network):
    """Where other machines write to the same file system, none of this machine's memory is relied on."""
    assert schema.file_system_of(folder, MOUNTS) == kind
    assert (kind in schema._NETWORK) is is_network


def test_a_process_is_known_from_one_that_has_its_number_now():
    """This process lives; one that has ended does not, nor one that only had its number, or ran on another boot."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        machine, number, started = location.this_process().split(" ")
        ended.wait()
    now = time.time()

    assert location.is_alive(f"{machine} {number} {started}", 0)
    assert not location.is_alive(f"{machine} {ended.pid} {started}", now)
    assert not location.is_alive(f"{machine} {number} 12", now)
    assert location.is_alive(f"elsewhere {number} {started}", now - 10)
    assert not location.is_alive(f"elsewhere {number} {started}", now - 100)
    assert not location.is_alive("", 0)


def test_a_process_that_nobody_has_buried_is_dead():
    """A kernel that was killed, and whose parent has not asked for its end yet, writes no more."""
    with stopped_child() as number:
        machine, _, _ = location.this_process().split(" ")
        started = location._started(os.getpid())
        assert not location.is_alive(f"{machine} {number} {started}", time.time())
        assert location._started(number) == ""


@contextmanager
def stopped_child():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        until(lambda: not location._started(child.pid))
        yield child.pid
