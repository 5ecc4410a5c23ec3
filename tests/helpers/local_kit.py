"""Shared by the tests of the embedded model: questions to the real engine, and its child processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from chatglm_magic._events import Event
from chatglm_magic._messages import Message, Request
from chatglm_magic._reply import Reply
from chatglm_magic.providers import Provider, Settings, make_provider
from chatglm_magic.providers.local import server

MARKS = [
    pytest.mark.local,
    pytest.mark.usefixtures("no_child_stays"),
    pytest.mark.skipif(
        find_spec("xllamacpp") is None and not os.environ.get("CI"), reason="the extra `local` is not installed"
    ),
]

WORDS = ("Hello", " from", " GLM:", *(bytes([byte]) for byte in "智谱".encode()), "!\n\n", "```python\n", "1\n```")
TEXT = "Hello from GLM:智谱!\n\n```python\n1\n```"

programs: list[subprocess.Popen[bytes]] = []
"""Started by a test, ended after it."""


def children(of: int | None = None) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(of).children(recursive=True):
        try:
            if process.cmdline()[-1:] == [str(Path(server.__file__).with_name("process.py"))]:
                found.append(process)
        except psutil.Error:  # it ended while we looked
            continue
    return found


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def provider(path: Path | str = "") -> Provider:
    return make_provider("local", Settings(model=str(path)))


def request(text: str = "hi", **how: Any) -> Request:
    return Request((Message("user", text),), **how)


async def events(asked: Provider, question: Request | None = None) -> list[Event]:
    async with aclosing(asked.stream(question or request())) as stream:
        return [event async for event in stream]


def endless(tiny_models: Path) -> aclosing[AsyncGenerator[Event]]:
    """Begin a long reply, which is hung up at the end of the block."""
    return aclosing(provider(tiny_models / "endless.gguf").stream(request(options={"max_tokens": 4000})))


def added(found: Sequence[Event]) -> Reply:
    reply = Reply()
    for event in found:
        reply.add(event)
    return reply


def ask(path: Path | str, **how: Any) -> Reply:
    return added(asyncio.run(events(provider(path), request(**how))))
