"""What tests of the store share: who answers in them, and how a file is looked at from outside."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._conversation.tree import MessageTree
from chatglm_magic._events import Event, Finished, TextDelta
from chatglm_magic._messages import Request
from chatglm_magic._resolve import Target
from chatglm_magic._store import Store, Thread, row_of
from chatglm_magic._store.queries import Writes

Step = Event | BaseException | Callable[[], object]


class Scripted:
    """A provider that yields what it is told, raises it, or awaits it."""

    name = "scripted"
    model = "script-1"

    def __init__(self, *steps: Step) -> None:
        self.steps = steps or (TextDelta("Hi."), Finished("stop"))
        self.requests: list[Request] = []
        self.closed = 0

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        self.requests.append(request)
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    await step()
                else:
                    yield step
        finally:
            self.closed += 1


def ask(chat: Chat, prompt: str, *steps: Step, **how: Any) -> Any:
    """Ask a conversation something that is answered as told."""
    chat.target = Target(Scripted(*steps), chat.model)
    return asyncio.run(chat.send(prompt, **how))


def talked(*prompts: str, name: str = "x") -> Chat:
    """Hold a conversation, in which each question is answered by the same words."""
    chat = Chat(Scripted(), name=name)
    for prompt in prompts:
        ask(chat, prompt)
    return chat


def put(store: Store, thread: Thread, *nodes: MessageNode) -> None:
    """Keep a conversation as another process did."""

    def change(writes: Writes) -> None:
        writes.put_thread(thread, new=True)
        tree = MessageTree(nodes)
        for node in nodes:
            writes.put(thread.id, row_of(node), tree.versions(node).index(node))

    store.write(change)


def tell(text: str) -> tuple[Event, ...]:
    """Give the steps of an answer in pieces of five letters."""
    return (*(TextDelta(text[start : start + 5]) for start in range(0, len(text), 5)), Finished("stop"))


def said(chat: Chat) -> list[tuple[str, str]]:
    """Give who said what."""
    return [(message.role, message.content) for message in chat.messages]


def look(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask a file as any other program would."""
    with closing(sqlite3.connect(path, timeout=10)) as database:
        return database.execute(query, values).fetchall()


def change(path: Path, *statements: str) -> None:
    """Change a file as any other program would."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


@contextmanager
def locked(path: Path, how: str = "EXCLUSIVE") -> Iterator[None]:
    """Lock a file as another program does, for the length of a block."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"BEGIN {how}")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


def bar(path: Path) -> None:
    """Put a file where a store's folder would be."""
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("in the way")


def files(path: Path) -> list[Path]:
    """Give all files of a store."""
    return sorted(path.parent.glob(f"{path.name}*"))


def bytes_of(path: Path) -> bytes:
    """Give all bytes that a store has on the disk."""
    return b"".join(found.read_bytes() for found in files(path))
