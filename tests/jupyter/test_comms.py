"""Tests of the Stop button's pump for ipykernel 6; the button itself is tested in real kernels and browsers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import zmq
from jupyter_client.session import Session
from tornado.queues import Queue

from chatglm_magic._jupyter import widgets as _comms
from chatglm_magic._jupyter.shell import can_show_button, can_show_widget, is_of_console


class OldKernel:
    """What the pump knows of ipykernel 6: one queue for all that comes while a cell runs."""

    def __init__(self) -> None:
        self.session = Session(key=b"key")
        self.msg_queue: Queue = Queue()
        self.handled: list[str] = []
        self.parent = ("cell", {"header": "cell"})
        self._parent_ident = {"shell": "cell"}

    def send(self, kind: str) -> None:
        message = self.session.serialize(self.session.msg(kind, {}), [b"front end"])
        frames = [zmq.Frame(part) for part in message]
        self.msg_queue.put_nowait((self.msg_queue.qsize(), self.dispatch_shell, (frames,)))

    async def dispatch_shell(self, frames) -> None:
        _, parts = self.session.feed_identities(frames, copy=False)
        kind = self.session.deserialize(parts, copy=False)["header"]["msg_type"]
        self.set_parent("message", {"header": kind})
        self.handled.append(kind)

    async def dispatch_other(self) -> None:
        self.handled.append("other")

    def get_parent(self, channel: str):
        return self.parent[1]

    def set_parent(self, ident, parent, channel: str = "shell") -> None:
        self.parent = (ident, parent)
        self._parent_ident["shell"] = ident


def test_widgets_messages_overtake_waiting_cells():
    """While a cell awaits, clicks get through; cells and all else keep their order, whole, for later."""
    kernel = OldKernel()
    for kind in ("execute_request", "comm_msg", "complete_request", "comm_open", "execute_request"):
        kernel.send(kind)
    kernel.msg_queue.put_nowait((9, kernel.dispatch_other, ()))
    kernel.msg_queue.put_nowait((10, kernel.dispatch_shell, ([zmq.Frame(b"no message")],)))

    async def main() -> None:
        pump = asyncio.create_task(_comms._pump(kernel))
        await asyncio.sleep(0.01)
        assert kernel.parent == ("cell", {"header": "cell"})
        kernel.send("comm_close")
        await asyncio.sleep(0.1)
        pump.cancel()

    asyncio.run(main())
    assert kernel.handled == ["comm_msg", "comm_open", "comm_close"]
    left = [kernel.msg_queue.get_nowait() for _ in range(kernel.msg_queue.qsize())]
    assert [item[0] for item in left] == [0, 2, 4, 9, 10]
    for _, dispatch, arguments in left[:-1]:
        asyncio.run(dispatch(*arguments))
    assert kernel.handled[3:] == ["execute_request", "complete_request", "execute_request", "other"]


def test_a_button_is_for_people():
    """Only a kernel that may ask for input has somebody to press a button."""
    assert not can_show_button(SimpleNamespace())
    assert not can_show_button(SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=False)))
    assert can_show_button(SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True)))


@pytest.mark.parametrize(
    ("command", "known"),
    [
        (["/usr/bin/python3", "/usr/bin/jupyter-console", "--simple-prompt"], True),
        ([r"C:\Python\Scripts\jupyter-qtconsole.exe"], True),
        (["python", "-m", "qtconsole"], True),
        (["python", "jupyter-run", "book.py"], True),
        (["python", "-m", "jupyterlab", "jupyter-console"], False),
        (["euporie-console"], False),
        ([], False),
    ],
)
def test_a_console_is_known_by_the_program_that_started_the_kernel(monkeypatch, command, known):
    """Requests do not say whose they are; the kernel's parent process does."""
    is_of_console.cache_clear()
    monkeypatch.setattr("psutil.Process", lambda _: SimpleNamespace(cmdline=lambda: command))

    assert is_of_console(object()) is known
    is_of_console.cache_clear()


@pytest.mark.parametrize(
    ("allowed", "server", "seen"),
    [(True, "", True), (False, "", False), (False, "voila/0.5.12", True), (None, "voila/0.5.12", False)],
)
def test_a_widget_is_for_whoever_sees_the_page(monkeypatch, allowed, server, seen):
    """Voilà's kernels may not ask for input, but its pages show widgets; a terminal below it has no page."""
    monkeypatch.setenv("SERVER_SOFTWARE", server)
    shell = SimpleNamespace() if allowed is None else SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=allowed))

    assert can_show_widget(shell) is seen
