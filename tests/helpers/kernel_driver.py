"""A real kernel, driven over ZMQ as a front end does; every message of a cell is kept.

with Kernel(folder) as kernel:
    run = kernel.run("print(1)")            # run.status, run.stdout, run.outputs …
    run = kernel.submit("await long()")     # not waited for
    kernel.wait(lambda: run.stdout)
    kernel.interrupt()                      # what Jupyter's stop button does
    kernel.finish(run)
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

ANSI = re.compile(r"\x1b\[[0-9;]*m")
VIEW = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 30.0


@dataclass
class Message:
    type: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    at: float


@dataclass
class Run:
    """One execution: its messages so far, and what its cell shows."""

    id: str
    messages: list[Message] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False
    ended_at: float = 0.0
    _clear: bool = False

    @property
    def done(self) -> bool:
        return self.idle and self.reply is not None

    @property
    def status(self) -> str:
        return (self.reply or {}).get("status", "running")

    @property
    def ename(self) -> str:
        return (self.reply or {}).get("ename", "")

    @property
    def evalue(self) -> str:
        return (self.reply or {}).get("evalue", "")

    @property
    def traceback(self) -> list[str]:
        return [ANSI.sub("", line) for o in self.outputs if o["type"] == "error" for line in o["traceback"]]

    @property
    def buttons(self) -> list[str]:
        """The models of the widgets that the cell has shown so far."""
        return [m.content["data"][VIEW]["model_id"] for m in self.messages if VIEW in m.content.get("data", {})]

    def stream(self, name: str) -> str:
        return "".join(o["text"] for o in self.outputs if o["type"] == "stream" and o["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def markdown(self) -> list[str]:
        """The Markdown outputs that the cell shows now."""
        return [o["data"]["text/markdown"] for o in self.outputs if "text/markdown" in o.get("data", {})]

    @property
    def paints(self) -> list[Message]:
        """All messages that changed what is shown."""
        return [m for m in self.messages if m.type in {"display_data", "update_display_data"}]

    def take(self, message: Message, displays: dict[str, list[dict[str, Any]]]) -> None:
        """Apply a message to what is shown, as a notebook does."""
        self.messages.append(message)
        content = message.content
        if message.type == "clear_output":
            self._clear = True
            if not content["wait"]:
                self._clear_now()
            return
        if message.type not in {"stream", "display_data", "execute_result", "error"}:
            return
        self._clear_now()
        if message.type == "stream" and self.outputs and self.outputs[-1].get("name") == content["name"]:
            self.outputs[-1]["text"] += content["text"]
            return
        output = {"type": message.type, **content}
        self.outputs.append(output)
        if display_id := content.get("transient", {}).get("display_id"):
            displays.setdefault(display_id, []).append(output)

    def _clear_now(self) -> None:
        if self._clear:
            self.outputs.clear()
            self._clear = False


class Kernel:
    """A running ipykernel; a context manager.

    Args:
        folder: Where it works and keeps its settings.
        env: Environment variables beyond those of this process.

    Attributes:
        typed: What a person types when the kernel asks for input.
        asked: What it has asked.
        orphans: Messages that belong to no cell.
        told: All messages about widgets, whichever cell they are said to belong to.
    """

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        argv = [os.environ.get("CHATGLM_TEST_KERNEL", sys.executable), "-m", "ipykernel_launcher"]
        argv += ["-f", "{connection_file}", "--HistoryManager.enabled=False"]
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(argv=argv, language="python", display_name="test")
        clean = {name: value for name, value in os.environ.items() if not name.upper().endswith(("_API_KEY", "_PROXY"))}
        usual = {"IPYTHONDIR": str(folder), "PYTHONWARNINGS": "default", "CHATGLM_STORE": "off"}
        self._env = {**clean, **usual, **(env or {})}
        self._folder = folder
        self.runs: dict[str, Run] = {}
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self._control: dict[str, dict[str, Any]] = {}
        self.typed = ""
        self.asked: list[dict[str, Any]] = []
        self.orphans: list[Message] = []
        self.told: list[Message] = []

    def __enter__(self) -> Self:
        self.manager.start_kernel(env=self._env, cwd=str(self._folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels(hb=False)
        self.client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    @property
    def pid(self) -> int:
        return self.manager.provisioner.process.pid

    def run(self, code: str, *, timeout: float = TIMEOUT, **how: Any) -> Run:
        """Run a cell to its end."""
        return self.finish(self.submit(code, **how), timeout)

    def ok(self, code: str, **metadata: Any) -> Run:
        """Run a cell that must not fail. `cellId=…` is the metadata by which JupyterLab names its cells."""
        run = self.run(code, **metadata)
        assert run.status == "ok", (code, run.ename, run.evalue, run.traceback)
        return run

    def value(self, expression: str) -> str:
        """Give the repr of an expression's value."""
        return self.ok(f"print(repr({expression}))").stdout.rstrip("\n")

    def submit(self, code: str, *, allow_stdin: bool = True, stop_on_error: bool = True, **metadata: Any) -> Run:
        """Send a cell. `allow_stdin` is what tells a front end with a person from a headless run."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": stop_on_error,
        }
        run = Run(self._send("shell", "execute_request", content, metadata=metadata))
        self.runs[run.id] = run
        return run

    def finish(self, run: Run, timeout: float = TIMEOUT) -> Run:
        """Wait until a cell is done and has shown all it shows."""
        self.wait(lambda: run.done, timeout)
        return run

    def complete(self, code: str) -> dict[str, Any]:
        """Press Tab at the end of a cell's text."""
        id_ = self._send("shell", "complete_request", {"code": code, "cursor_pos": len(code)})
        self.wait(lambda: id_ in self._control)
        return self._control[id_]

    def interrupt(self) -> None:
        """Press Jupyter's stop button."""
        self.manager.interrupt_kernel()

    def create_subshell(self) -> str:
        """Make a subshell, as JupyterLab does for widgets."""
        id_ = self._send("control", "create_subshell_request", {})
        self.wait(lambda: id_ in self._control)
        return str(self._control[id_]["subshell_id"])

    def click(self, model_id: str, subshell: str | None = None) -> None:
        """Press an ipywidgets button."""
        data = {"method": "custom", "content": {"event": "click"}}
        self._send("shell", "comm_msg", {"comm_id": model_id, "data": data}, subshell)

    def _send(
        self,
        channel: str,
        kind: str,
        content: dict[str, Any],
        subshell: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        message = self.client.session.msg(kind, content, metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        getattr(self.client, f"{channel}_channel").send(message)
        return str(message["header"]["msg_id"])

    def wait(self, ready: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Take messages until something is so."""
        deadline = time.monotonic() + timeout
        poller = zmq.Poller()
        for name in ("iopub", "shell", "control", "stdin"):
            poller.register(getattr(self.client, f"{name}_channel").socket, zmq.POLLIN)
        while not ready():
            assert time.monotonic() < deadline, f"not within {timeout} s; the kernel lives: {self.manager.is_alive()}"
            for socket, _ in poller.poll(20):
                self._take(socket)

    def settle(self, seconds: float) -> None:
        """Take what comes for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until)

    def _take(self, socket: Any) -> None:
        session = self.client.session
        _, frames = session.feed_identities(socket.recv_multipart())
        assert session.sign(frames[1:5]) == frames[0], f"a message whose frames do not belong together: {frames}"
        raw = session.deserialize(frames)
        kind, content = raw["header"]["msg_type"], raw["content"]
        parent = raw["parent_header"].get("msg_id", "")
        if socket is self.client.control_channel.socket or kind == "complete_reply":
            self._control[parent] = content
            return
        if kind == "input_request":
            self.asked.append(content)
            self.client.input(self.typed)
            return
        message = Message(kind, content, raw["metadata"], time.monotonic())
        if kind.startswith("comm_"):
            self.told.append(message)
        run = self.runs.get(parent)
        if kind == "update_display_data":
            for output in self._displays.get(content["transient"]["display_id"], []):
                output.update(data=content["data"], metadata=content["metadata"])
        if run is None:
            self.orphans.append(message)
        elif kind == "execute_reply":
            run.reply = content
            run.ended_at = message.at
        elif kind == "status":
            run.idle = run.idle or content["execution_state"] == "idle"
        else:
            run.take(message, self._displays)


def prepare(kernel: Kernel, glm: Any) -> None:
    """Load the extension afresh and point it to a server."""
    kernel.ok("%reload_ext chatglm_magic")
    kernel.ok("%autoawait asyncio")
    kernel.ok("%config ChatGLMMagics.cache = ''")
    for name, value in (("provider", "openai"), ("base_url", glm.url), ("model", "glm-4.7")):
        kernel.ok(f"%config ChatGLMMagics.{name} = {value!r}")
