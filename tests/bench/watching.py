"""A kernel whose messages are counted as they pass, by the byte, and read only afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psutil
import zmq

from tests.helpers.kernel_driver import Kernel

_DELIMITER = b"<IDS|MSG>"


@dataclass(frozen=True)
class Passed:
    """One message of the kernel's output channel.

    Attributes:
        at: When it came, on the monotonic clock.
        frames: All its parts, as they were on the wire.
    """

    at: float
    frames: list[bytes]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(map(len, self.frames))

    @cached_property
    def header(self) -> dict[str, Any]:
        return json.loads(self.frames[self.frames.index(_DELIMITER) + 2])

    @cached_property
    def content(self) -> dict[str, Any]:
        return json.loads(self.frames[self.frames.index(_DELIMITER) + 5])


@dataclass(frozen=True)
class Trace:
    """What one cell did.

    Attributes:
        start: When it was sent, on the monotonic clock.
        wall: Seconds until it had ended and shown all it shows.
        cpu: Seconds of processor time in the kernel.
        messages: What it sent, in order.
    """

    start: float
    wall: float
    cpu: float
    messages: list[Passed]

    @property
    def size(self) -> int:
        """The bytes it sent."""
        return sum(message.size for message in self.messages)

    def peak(self, seconds: float = 3.0) -> float:
        """Give the most messages a second within a window, as a server's limiter counts them."""
        times = [message.at for message in self.messages]
        first, most = 0, 0
        for last, at in enumerate(times):
            while at - times[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most / seconds

    def shown(self) -> list[tuple[float, str]]:
        """Give all that was to be read, after each message that changed it."""
        states, streams = [], ""
        displays: dict[str, str] = {}
        for message in self.messages:
            content = message.content
            match message.header["msg_type"]:
                case "stream":
                    streams += content["text"]
                case "display_data" | "update_display_data":
                    name = content.get("transient", {}).get("display_id", f"at {message.at}")
                    displays[name] = content["data"].get("text/markdown", "")
                case _:
                    continue
            states.append((message.at, streams + "\n\n".join(displays.values())))
        return states


def watch(kernel: Kernel, code: str, timeout: float = 300.0) -> Trace:
    """Run a cell to its end and give what passed; nothing is decoded before."""
    client = kernel.client
    iopub, shell = client.iopub_channel.socket, client.shell_channel.socket
    poller = zmq.Poller()
    poller.register(iopub, zmq.POLLIN)
    poller.register(shell, zmq.POLLIN)
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}
    messages: list[Passed] = []
    reply: dict[str, Any] | None = None
    idle = False
    cpu, start = processor_seconds(kernel.pid), time.monotonic()
    name = kernel._send("shell", "execute_request", {**content, "user_expressions": {}})
    while reply is None or not idle:
        assert time.monotonic() - start < timeout, code
        for socket, _ in poller.poll(50):
            passed = Passed(time.monotonic(), [])
            passed.frames.extend(socket.recv_multipart())
            if socket is shell:
                reply = passed.content if passed.header["msg_type"] == "execute_reply" else reply
                continue
            messages.append(passed)
            idle = idle or (b'"idle"' in passed.frames[-1] and _is_of(passed, name))
    ended = time.monotonic()
    assert reply["status"] == "ok", (code, reply.get("ename"), reply.get("evalue"))
    return Trace(start, ended - start, processor_seconds(kernel.pid) - cpu, messages)


def _is_of(passed: Passed, request: str) -> bool:
    return json.loads(passed.frames[passed.frames.index(_DELIMITER) + 3]).get("msg_id") == request


def processor_seconds(pid: int) -> float:
    """Give the processor time that a process has used, as finely as the system tells it."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # Linux: the clock of another process, in nanoseconds
    except (OSError, AttributeError):
        times = psutil.Process(pid).cpu_times()  # in hundredths of a second
        return times.user + times.system
