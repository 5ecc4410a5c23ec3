"""The store: what was said, kept in a file. Writing never waits and never raises; reading is done when it returns."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import StoreError
from .place import MEMORY, OFF, place
from .values import Hit, Row, Thread
from .writer import Job, Writer

if TYPE_CHECKING:
    import sqlite3

    from .._reply import Reply
    from .._said import Said

_T = TypeVar("_T")

_FLUSH = 1.0
"""Seconds that reading waits for what was just said to be written, and the process's end for its last words."""
_FORGET = 60.0
"""Seconds that forgetting may take: the whole file is written anew."""


class Store:
    """Conversations and answers in a file. All methods may be called in any thread.

    Args:
        where: A path, or `:memory:`.

    Attributes:
        where: As given.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._writer = Writer(where)

    @property
    def trouble(self) -> str:
        """What is wrong, in a sentence; empty while all is well."""
        trouble = self._writer.trouble
        return trouble.sentence if trouble is not None else self._writer.damage

    @property
    def generation(self) -> int:
        """How often the file was replaced by an empty one since it was opened; what was kept before is not in it."""
        return self._writer.generation

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a method called, in the store's own thread, when the file was replaced; see `generation`.

        It is forgotten with its object.
        """
        self._writer.listen(listener)

    # Writing

    def put_thread(self, thread: Thread, *, new: bool = True) -> None:
        """Keep a thread, or what has changed of it.

        Args:
            thread: The thread; its number, count and title are the store's to tell.
            new: Whether it may be one that is not kept yet.
        """
        size = len(str(thread.settings))
        if new:
            self._writer.add(Job(lambda changes: changes.put_thread(thread), size))
        else:
            self._writer.add(Job(lambda changes: changes.change_thread(thread), size))

    def put(self, thread_id: str, row: Row, place: int = 0, *, streams: bool = False) -> None:
        """Keep a message, in place of what was kept of it; one of a thread that is not kept is not either.

        Args:
            thread_id: Its thread; empty for one that was asked aside: no list and no search shows it.
            row: The message, by `row_of`.
            place: Which of its parent's children it is, from 0.
            streams: Whether more of it is coming; see `follow`.
        """
        size = len(row["text"]) + len(row["thought"]) + len(row["rest"])
        self._writer.add(Job(lambda changes: changes.put(thread_id, row, place, streams=streams), size))

    def follow(self, said_id: str, reply: Reply) -> None:
        """Keep an answer's words from now on as they come, until `settle`."""
        self._writer.warn(reply)
        self._writer.follow(said_id, reply)

    def hurry(self) -> None:
        """Keep soon what has come of the answers that are followed; it is kept within half a second otherwise."""
        self._writer.hurry()

    def settle(self, thread_id: str, row: Row, place: int = 0) -> None:
        """Keep an answer that has ended, whole, and follow it no more."""
        self._writer.unfollow(row["id"])
        self.put(thread_id, row, place)
        self._writer.hurry(now=True)

    def move(self, said_id: str, parent: str, place: int, cell: str) -> None:
        """Keep a message's new place, and which cell asks it."""
        self._writer.add(Job(lambda changes: changes.move(said_id, parent, place, cell)))

    def choose(self, thread_id: str, chosen: Mapping[str, str]) -> None:
        """Keep which child of a message the path takes, by the parent's id; an empty child is none in particular."""
        taken = dict(chosen)
        self._writer.add(Job(lambda changes: changes.choose(thread_id, taken)))

    def remove(self, said_ids: Iterable[str]) -> None:
        """Remove messages."""
        gone = tuple(said_ids)
        for said_id in gone:
            self._writer.unfollow(said_id)
        self._writer.add(Job(lambda changes: changes.remove(gone)))

    def rename(self, thread_id: str, name: str) -> None:
        """Give a thread another name, and wait until it has it.

        Raises:
            StoreError: It could not be written.
        """
        self._writer.add(Job(lambda changes: changes.rename(thread_id, name)))
        self._done(_FLUSH)

    def delete(self, thread_id: str) -> None:
        """Remove a thread with all that was said in it, and wait until it is gone. Its bytes may stay in the file.

        Raises:
            StoreError: It could not be written.
        """
        self._writer.add(Job(lambda changes: changes.forget((thread_id,))))
        self._done(_FLUSH)

    def forget(self, thread_ids: Iterable[str] | None = None, *, before: float | None = None) -> None:
        """Remove threads so that no byte of them stays in the file, and wait until that is done.

        Args:
            thread_ids: Which; None for all, with what was asked aside.
            before: Of all, only those last changed before this moment, in seconds since the epoch.

        Raises:
            StoreError: It could not be done.
        """
        if not self._exists():
            return
        chosen = None if thread_ids is None else tuple(thread_ids)
        done = threading.Event()

        def forget(changes: Any) -> None:  # noqa: ANN401 - `Changes`, which is imported in the writer's thread
            changes.renew_index()
            if chosen is None:
                changes.forget_before(before)
            else:
                changes.forget(chosen)

        def vacuum(changes: Any) -> None:  # noqa: ANN401 - as above
            while not changes.vacuum():
                if time.monotonic() > until:
                    return
                time.sleep(0.1)
            done.set()

        until = time.monotonic() + _FORGET
        self._writer.add(Job(forget))
        self._writer.add(Job(vacuum, alone=True))
        self._done(_FORGET)
        if not done.wait(max(0.0, until - time.monotonic())):
            msg = (
                f"It is removed, but {self.where} is being read by another kernel, so old bytes may still be in it. "
                "Close that kernel, and forget once more."
            )
            raise StoreError(msg)

    def flush(self, timeout: float = _FLUSH) -> bool:
        """Wait until all is written that was to be; tell whether it is.

        Args:
            timeout: Seconds to wait at most.
        """
        return self._writer.flush(timeout)

    def close(self, timeout: float = _FLUSH) -> bool:
        """Write what waits, as far as that takes no longer than this many seconds, and close the file."""
        return self._writer.close(timeout)

    # Reading

    def threads(self, limit: int = 50, text: str = "") -> list[Thread]:
        """Give the threads, the one changed last first; see `reading.threads`.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._read(lambda reading, database: reading.threads(database, limit, text), [])

    def find(self, name: str) -> Thread | None:
        """Give a thread by its name, or exactly by its number (`#12`); see `reading.find`.

        Raises:
            StoreError: The file cannot be read.
        """
        found: Thread | None = self._read(lambda reading, database: reading.find(database, name), None)
        return found

    def thread(self, thread_id: str) -> Thread | None:
        """Give a thread by its id.

        Raises:
            StoreError: The file cannot be read.
        """
        found: Thread | None = self._read(lambda reading, database: reading.thread(database, thread_id), None)
        return found

    def load(self, thread_id: str) -> tuple[Thread, list[Said], dict[str, str]]:
        """Give a thread, its messages and which of them are chosen; see `reading.load`, and `Tree`.

        Raises:
            StoreError: It is not there, or the file cannot be read.
        """
        found: tuple[Thread, list[Said], dict[str, str]] | None = self._read(
            lambda reading, database: reading.load(database, thread_id), None
        )
        if found is None:
            msg = f"That conversation is no longer in {self.where}; %chatglm chats lists those that are."
            raise StoreError(msg)
        return found

    def search(self, text: str, limit: int = 20) -> list[Hit]:
        """Give the messages that hold all of these words or "phrases", the newest first; see `search.wanted`.

        Raises:
            StoreError: The file cannot be read.
        """
        if self._exists():
            self._writer.catch_up(_FLUSH)
        return self._read(lambda reading, database: reading.search(database, text, limit), [])

    def cell(self, cell: str, name: str = "") -> Thread | None:
        """Give the thread in which a cell has asked last; None where none is known, also where nothing can be read.

        Args:
            cell: As in `Place`.
            name: The thread's name, if it must have one.
        """
        # A kernel's first question waits for this: it looks at what is there, without opening all to write.
        return self._quietly(lambda reading, database: reading.of_cell(database, cell, name), at_once=True)

    def panel(self, cell: str) -> Thread | None:
        """Give the thread, changed last, that a cell's panel has shown; None as in `cell`."""
        return self._quietly(lambda reading, database: reading.of_panel(database, cell), at_once=True)

    def answer(self, key: str) -> Said | None:
        """Give the newest answer that ended well to the request of that key; None as in `cell`."""
        return self._quietly(lambda reading, database: reading.answer(database, key))

    def _exists(self) -> bool:
        """Tell whether there is a file, once all is in it that is to be."""
        if self.where == MEMORY or os.path.exists(self.where):  # noqa: PTH110 - no Path is needed for it
            self._writer.open()
        self.flush(_FLUSH)
        return self.where == MEMORY or os.path.exists(self.where)  # noqa: PTH110 - as above

    def _done(self, timeout: float) -> None:
        if not self._writer.flush(timeout):
            msg = self.trouble or f"{self.where} is busy, so this is not done yet. It is tried again."
            raise StoreError(msg)

    def _quietly(self, ask: Callable[[Any, sqlite3.Connection], _T | None], *, at_once: bool = False) -> _T | None:
        try:
            return self._read(ask, None, at_once=at_once)
        except StoreError:
            return None

    def _read(self, ask: Callable[[Any, sqlite3.Connection], _T], nothing: _T, *, at_once: bool = False) -> _T:
        if not (at_once and self._writer.is_idle) and not self._exists():
            return nothing
        import sqlite3

        from . import reading
        from .troubles import Refusal

        try:
            with self._writer.file.reading() as database:
                return nothing if database is None else ask(reading, database)
        except (sqlite3.Error, OSError, Refusal) as error:
            trouble = self._writer.found(error)
            if trouble.name == "damaged":
                return nothing
            raise StoreError(trouble.sentence) from error


_stores: dict[str, Store] = {}
_guard = threading.Lock()


def open_store(where: str = "") -> Store | None:
    """Give the store there is at a place: the same one to all who ask; nothing is made before something is kept.

    Args:
        where: A path, `:memory:` or `off`; empty for what is configured, see `place.place`.

    Returns:
        The store; None where it is off.
    """
    found = place(where)
    if found == OFF:
        return None
    with _guard:
        store = _stores.get(found)
        if store is None:
            if not _stores:
                _first()
            store = _stores[found] = Store(found)
        return store


def close_stores(timeout: float = _FLUSH) -> None:
    """Write what waits everywhere, within this many seconds, and close all files."""
    until = time.monotonic() + timeout
    for store in list(_stores.values()):
        store.close(max(0.0, until - time.monotonic()))


def _first() -> None:
    atexit.register(close_stores)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=partial(_at_fork, "before_fork"),
            after_in_parent=partial(_at_fork, "after_fork_in_parent"),
            after_in_child=partial(_at_fork, "after_fork_in_child"),
        )


def _at_fork(what: str) -> None:
    global _guard  # noqa: PLW0603 - a lock that another thread held at the fork stays held for ever
    if what == "after_fork_in_child":
        _guard = threading.Lock()
    for store in list(_stores.values()):
        getattr(store._writer, what)()  # noqa: SLF001 - a part of the store
