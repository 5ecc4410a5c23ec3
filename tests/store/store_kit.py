"""What tests of the store share: who answers in them, and how a file is looked at from outside."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from chatglm_magic._chat import Chat
from chatglm_magic._events import Event, Finished, TextDelta
from chatglm_magic._messages import Request

Step = Event | BaseException | Callable[[], object]


class Scripted:
    """A provider that yields what it is told, raises it, or awaits it."""

    name = "scripted"
    model = "script-1"

    def __init__(self, *steps: Step) -> None:
        self.steps = steps or (TextDelta("Hi."), Finished("stop"))
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        self.requests.append(request)
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            if callable(step):
                await step()
            else:
                yield step


def ask(chat: Chat, prompt: str, *steps: Step, **how: Any) -> Any:
    """Ask a conversation something that is answered as told."""
    chat.provider = Scripted(*steps)
    return asyncio.run(chat.send(prompt, **how))


def tell(text: str) -> tuple[Event, ...]:
    """Give the steps of an answer in pieces of five letters."""
    return (*(TextDelta(text[start : start + 5]) for start in range(0, len(text), 5)), Finished("stop"))


def said(chat: Chat) -> list[tuple[str, str]]:
    """Give who said what."""
    return [(message.role, message.content) for message in chat.messages]


def look(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask a file as any other program would."""
    database = sqlite3.connect(path, timeout=10)
    try:
        return database.execute(query, values).fetchall()
    finally:
        database.close()


def files(path: Path) -> list[Path]:
    """Give all files of a store."""
    return sorted(path.parent.glob(f"{path.name}*"))


def bytes_of(path: Path) -> bytes:
    """Give all bytes that a store has on the disk."""
    return b"".join(found.read_bytes() for found in files(path))
