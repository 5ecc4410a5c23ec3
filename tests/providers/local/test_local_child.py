"""The embedded model's child process: it starts once, ends with us, and its failures are told in one line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from local_kit import MARKS, TEXT, added, ask, children, endless, events, gone, programs, provider
from soon import until, until_then

from chatglm_magic._errors import BrokenStreamError, ConfigError
from chatglm_magic._events import Event

pytestmark = MARKS


def test_one_child_serves_all(tiny_models: Path) -> None:
    """Two threads that ask first at the same time, and a later question, are answered by one child."""
    replies: list[str] = []
    threads = [threading.Thread(target=lambda: replies.append(ask(tiny_models / "plain.gguf").text)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [child] = children()

    assert ask(tiny_models / "plain.gguf").text == TEXT
    assert replies == [TEXT, TEXT]
    assert children() == [child]


def test_a_dead_child_is_replaced(tiny_models: Path) -> None:
    """After the child was killed, the next question is answered by another."""
    ask(tiny_models / "plain.gguf")
    [child] = children()
    child.kill()
    until(lambda: gone(child))

    assert ask(tiny_models / "plain.gguf").text == TEXT
    assert children() != [child]


def test_a_child_that_dies_while_it_answers(tiny_models: Path) -> None:
    """A child that is killed in mid-reply ends the reply with an error that says so; what had come is kept."""
    found: list[Event] = []

    async def main() -> None:
        async with endless(tiny_models) as all_:
            async for event in all_:
                if not found:
                    children()[0].kill()
                found.append(event)

    with pytest.raises(BrokenStreamError, match=r"died while it answered.*killed, perhaps for want of memory"):
        asyncio.run(main())

    assert added(found).text.startswith("on ")
    assert added(found).finish_reason == "error"


def test_another_model_takes_the_place_of_an_idle_one(tiny_models: Path) -> None:
    """One model is kept in memory; a reply in progress is not disturbed by the start of another."""

    async def main() -> tuple[str, int, str]:
        async with endless(tiny_models) as all_:
            await anext(all_)
            other = added(await events(provider(tiny_models / "plain.gguf"))).text
            during = len(children())
            async for event in all_:
                last = event
        return other, during, last.reason

    assert asyncio.run(main()) == (TEXT, 2, "length")
    assert ask(tiny_models / "thinking.gguf").text == TEXT
    assert len(children()) == 1


ENGINES = {
    "no-avx2": ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "needs a processor with AVX2"),
    "missing": ("raise ModuleNotFoundError(name='xllamacpp')", r'pip install "chatglm-magic\[local\]"'),
    "broken": ("raise ImportError('libfoo.so: cannot open')", r"cannot be started: libfoo\.so.*Reinstall"),
    "crash": ("import sys; sys.exit('odd things happen')", "cannot load .*: odd things happen"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_does_not_start(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """An engine that dies on import says in one line what is wrong and what helps."""
    code, expected = ENGINES[engine]
    (tmp_path / "xllamacpp.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(ConfigError, match=expected):
        ask(tiny_models / "plain.gguf")


NO_LIBGOMP = """
import ctypes
real = ctypes.CDLL
def CDLL(name, *how):
    if name == "libgomp.so.1":
        raise OSError("as on a system without it")
    return real(name, *how)
ctypes.CDLL = CDLL
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' engines bring their own")
def test_a_system_without_libgomp(tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no libgomp, the child starts over with the one that the extra installs."""
    (tmp_path / "sitecustomize.py").write_text(NO_LIBGOMP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert ask(tiny_models / "plain.gguf").text == TEXT
    [child] = children()
    assert any(region.path.endswith("cmeel.prefix/lib/libgomp.so.1") for region in child.memory_maps())


HANGING = "class CommonParams:\n    def __getattr__(self, name): return self\n    def __setattr__(self, *a): pass\n"
HANGING += "def Server(params): sum(range(10**15))  # holds the GIL, as loading does\n"


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install an engine that never stops loading."""
    (tmp_path / "xllamacpp.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("hanging")
def test_cancelling_while_it_loads(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is still loading is gone when the cancellation is known, and the next question starts another."""

    async def main() -> None:
        task = asyncio.create_task(events(provider(tiny_models / "plain.gguf")))
        await until_then(children)
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == []

    asyncio.run(main())
    monkeypatch.delenv("PYTHONPATH")

    assert ask(tiny_models / "plain.gguf").text == TEXT


PROGRAM = """
import asyncio, os, sys, time
from contextlib import aclosing
from chatglm_magic._messages import Message, Request
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.providers.local import server

async def ask():
    stream = make_provider("local", Settings(model=sys.argv[1])).stream(Request((Message("user", "hi"),)))
    async with aclosing(stream) as events:
        return [event async for event in events]

def pid():
    [child] = server._servers.values()
    return child.process.pid
"""


def program(code: str, tiny_models: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM + code, str(tiny_models / "plain.gguf"), *arguments]
    programs.append(subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True))
    return programs[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_child_never_outlives_its_parent(tiny_models: Path) -> None:
    """An interrupt of the parent's whole group leaves the child alone; the parent's death, even by SIGKILL, ends it."""
    code = """
import signal
signal.signal(signal.SIGINT, lambda *_: None)
asyncio.run(ask())
print(pid(), flush=True)
while True: time.sleep(1)
"""
    parent = program(code, tiny_models)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert os.getsid(child.pid) != os.getsid(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)
    child.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert not gone(child)
    parent.kill()
    parent.wait()

    until(lambda: gone(child))


@pytest.mark.usefixtures("hanging")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends once the model is loaded")
def test_a_loading_child_does_not_outlive_its_parent(tiny_models: Path) -> None:
    """The parent's death ends a child even while loading holds its GIL."""
    parent = program("asyncio.run(ask())", tiny_models)
    until(lambda: children(parent.pid))
    [child] = children(parent.pid)
    until(lambda: child.cpu_times().user > 0.3)
    parent.kill()
    parent.wait()

    until(lambda: gone(child))


def test_the_child_ends_with_python(tiny_models: Path) -> None:
    """When Python ends in good order, so does the child, and quietly."""
    parent = program("asyncio.run(ask())\nprint(pid())", tiny_models)
    out, _ = parent.communicate(timeout=60)

    assert parent.returncode == 0
    assert not psutil.pid_exists(int(out))


FORK = """
asyncio.run(ask())
mine = pid()
if forked := os.fork():
    time.sleep(99)
if sys.argv[2:]:
    asyncio.run(ask())
    print(mine, os.getpid(), pid(), flush=True)
else:
    print(mine, os.getpid(), flush=True)
time.sleep(99)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("asks", [False, True])
def test_a_forked_process_has_its_own(tiny_models: Path, asks: bool) -> None:  # noqa: FBT001 - a parameter
    """A forked process does not keep its parent's child alive, whether or not it uses a child of its own."""
    parent = program(FORK, tiny_models, *(["asks"] if asks else []))
    assert parent.stdout is not None
    mine, forked, *own = map(psutil.Process, map(int, parent.stdout.readline().split()))
    try:
        assert {process.pid for process in children(parent.pid)} == {mine.pid, *(process.pid for process in own)}
        parent.kill()
        parent.wait()
        until(lambda: gone(mine))
        assert not any(map(gone, own))
    finally:
        forked.kill()
    until(lambda: all(map(gone, own)))
