"""What is kept of a kernel's conversations, whatever happens to the kernel."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from glm_server import FakeGLM
from kernel_driver import Kernel, prepare

TEXT = " ".join(f"word{number}" for number in range(2000))


@contextmanager
def kernel_with(store: str, folder: Path, glm: FakeGLM, **env: str) -> Iterator[Kernel]:
    """Run a kernel that keeps what is said at a place."""
    folder.mkdir(exist_ok=True)
    with Kernel(folder, {"CHATGLM_STORE": store, **env}) as running:
        prepare(running, glm)
        yield running


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(path, timeout=10)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def texts(path: Path) -> list[str]:
    """Give the words of the last answer, as far as they are in the file."""
    if not path.exists() or not look(path, "PRAGMA user_version")[0][0]:
        return []
    found = look(
        path,
        "SELECT said.text || coalesce(group_concat(piece.text, ''), '') FROM said LEFT JOIN piece ON piece.said = "
        "said.number WHERE role = 'assistant' GROUP BY said.number ORDER BY said.number",
    )
    return [str(text) for (text,) in found]


def test_a_killed_kernel_takes_no_answer_with_it(glm, tmp_path):
    """Kill -9 in mid-reply: a new kernel finds the conversation, with the words that were there, and goes on."""
    path = tmp_path / "data" / "x.db"
    glm.say(TEXT, delay=0.004)
    with kernel_with(str(path), tmp_path / "one", glm) as kernel:
        kernel.submit("%%chatglm -c paper\nTell me all.")
        kernel.wait(lambda: texts(path) and len(texts(path)[0]) > 500)
        os.kill(kernel.pid, signal.SIGKILL)
        before = texts(path)[0]
    glm.forget()
    glm.say("The rest.")
    with kernel_with(str(path), tmp_path / "two", glm) as kernel:
        kernel.ok("from chatglm_magic import Chat; chat = Chat.open('paper')")
        assert kernel.value("chat.messages[-1].content") == repr(before)
        assert kernel.value("chat.tree.path()[-1].finish_reason") == "'interrupted'"
        kernel.ok("%%chatglm -c paper\nAnd then?")
        kernel.wait(lambda: texts(path) == [before, "The rest."])

    sent = [message["content"] for message in glm.requests[-1].json["messages"]]
    assert sent == ["Tell me all.", before, "And then?"]
    assert TEXT.startswith(before)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_is_one_sentence_in_the_cell(glm, tmp_path):
    """With a full disk no cell fails, each shows its answer, and one of them says that it is not stored."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux may mount a small disk")
    glm.say("An answer. " * 600, pieces=["An answer. " * 60] * 10, delay=0.02)
    try:
        with kernel_with(str(folder / "x.db"), tmp_path / "one", glm) as kernel:
            shown = [kernel.ok(f"%%chatglm\nQuestion {number}?").markdown for number in range(40)]
    finally:
        subprocess.run([umount or "", "-l", str(folder)], check=True)

    assert all(len(outputs) == 1 and "An answer. An answer." in outputs[0] for outputs in shown)
    assert sum("the disk is full" in outputs[0] for outputs in shown) == 1


def test_off_writes_nothing(glm, tmp_path):
    """With the store off a kernel answers, and leaves neither a file nor a folder where its things would be."""
    home = tmp_path / "home"
    home.mkdir()
    glm.say("Hello.")
    with kernel_with("off", tmp_path / "one", glm, HOME=str(home), XDG_DATA_HOME=str(home / "share")) as kernel:
        assert "Hello." in kernel.ok("%%chatglm\nHi").markdown[0]
        kernel.ok("%chatglm chats")
        kernel.ok("%chatglm reset")

    assert not [found for found in home.rglob("*") if "chatglm" in found.name]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_the_store_is_the_users_alone(glm, tmp_path):
    """Where nothing is said about it, the store is in the user's data folder, and nobody else may read it."""
    share = tmp_path / "share"
    glm.say("Hello.")
    with kernel_with("", tmp_path / "one", glm, XDG_DATA_HOME=str(share)) as kernel:
        kernel.ok("%%chatglm\nHi")
        folder = share / "chatglm_magic"
        kernel.wait(lambda: texts(folder / "conversations.db") == ["Hello."])
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in folder.iterdir()}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert set(modes.values()) == {0o600}, modes


def test_two_kernels_keep_what_they_say_in_one_file(glm, tmp_path):
    """Two kernels that answer at the same time keep all of it, the conversations of one name apart from each other."""
    path = tmp_path / "data" / "x.db"
    glm.say("Hello there, both of you.", delay=0.01)
    with kernel_with(str(path), tmp_path / "one", glm) as one, kernel_with(str(path), tmp_path / "two", glm) as two:
        for _ in range(10):
            runs = [kernel.submit("%%chatglm\nHi") for kernel in (one, two)]
            for kernel, run in zip((one, two), runs, strict=True):
                assert kernel.finish(run).status == "ok"
        one.wait(lambda: texts(path) == ["Hello there, both of you."] * 20)

    assert look(path, "SELECT name, count(*) FROM thread GROUP BY name") == [("default", 2)]
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_kernel_that_is_shut_down_has_kept_its_last_words(glm, tmp_path):
    """Shutting a kernel down right after an answer loses nothing of it, and is not held up."""
    path = tmp_path / "data" / "x.db"
    glm.say("Last words.")
    with kernel_with(str(path), tmp_path / "one", glm) as kernel:
        kernel.ok("%%chatglm\nHi")
        kernel.client.shutdown()
        kernel.wait(lambda: not kernel.manager.is_alive())

    assert texts(path) == ["Last words."]
    assert not Path(f"{path}-wal").exists()
