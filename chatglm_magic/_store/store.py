"""The store: conversations and answers in a file. Writing never waits and never raises; reading is done at once."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .._conversation.message_node import MessageNode
from .._errors import StoreError
from .._language import tr
from .location import MEMORY, locate
from .records import AnswerRow, Hit, Thread
from .writer import FLUSH, Writer

if TYPE_CHECKING:
    from .queries import Reads, Writes

_T = TypeVar("_T")

_FORGET = 60.0
"""Seconds that forgetting may take, which rewrites the whole file."""
_ALL = 1_000_000
"""More conversations than anybody has."""
_MEGABYTE = 1_000_000


class Store(Writer):
    """Conversations and answers in a file. All methods can be called in any thread.

    Changes are made in the background, in their order, unless a method says that it waits. What reads waits up to a
    second for the changes before it; it finds nothing where there is no file, and raises `StoreError` if the file
    cannot be read.

    Attributes:
        where: A path, `:memory:`, or `off` for a store that keeps nothing.
    """

    @property
    def label(self) -> str:
        """Where it is, in words."""
        return tr("this kernel's memory") if self.where == MEMORY else self.where

    @property
    def size(self) -> str:
        """How much room its files take, in words."""
        path = Path(self.where)
        size = sum(found.stat().st_size for found in path.parent.glob(f"{path.name}*") if found.is_file())
        return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{size / 1000:.0f} kB"

    # Changes that are waited for

    def rename(self, thread_id: str, name: str) -> None:
        """Rename a conversation, and wait until that is written.

        Raises:
            StoreError: It could not be written.
        """
        self.write(lambda writes: writes.rename(thread_id, name))
        self._wait_until_done()

    def delete(self, thread_id: str) -> None:
        """Remove a conversation, and wait until that is done. Its bytes can stay in the file, see `forget`.

        Raises:
            StoreError: It could not be written.
        """
        if self._exists():
            self.write(lambda writes: writes.forget((thread_id,)))
            self._wait_until_done()

    def forget(self, thread_ids: Iterable[str] | None = None) -> None:
        """Remove conversations so that no byte of them stays in the file, and wait until that is done.

        Args:
            thread_ids: Which; None for all, for the messages in none, and for the answers to rows of maps.

        Raises:
            StoreError: It could not be done.
        """
        chosen = None if thread_ids is None else tuple(thread_ids)
        self._forget(lambda writes: writes.forget(chosen))

    def forget_answer_rows(self) -> None:
        """Remove the answers to rows of maps, as `forget` does.

        Raises:
            StoreError: It could not be done.
        """
        self._forget(lambda writes: writes.forget_answer_rows())

    def _forget(self, change: Callable[[Writes], None]) -> None:
        if not self._exists():
            return
        done = threading.Event()
        until = time.monotonic() + _FORGET

        def vacuum(writes: Writes) -> None:
            while not writes.vacuum():
                if time.monotonic() > until:
                    return
                time.sleep(0.1)
            done.set()

        self.write(change)
        self.write(vacuum, alone=True)
        self._wait_until_done(_FORGET)
        if not done.wait(max(0.0, until - time.monotonic())):
            raise StoreError(
                tr(
                    "It is removed, but {where} is being read by another kernel, so old bytes may still be in it. "
                    "Close that kernel, and forget once more.",
                    where=self.where,
                )
            )

    def _wait_until_done(self, timeout: float = FLUSH) -> None:
        if not self.flush(timeout):
            is_busy = tr("{where} is busy, so this is not done yet. It is tried again.", where=self.where)
            raise StoreError(self.failure or is_busy)

    # Questions

    def threads(self, limit: int = _ALL, text: str = "") -> list[Thread]:
        """Return so many conversations at most, the one changed last first, of those that hold messages.

        Their name or first question contains a text, in any case.
        """
        return self._read(lambda reads: reads.threads(limit, text), [])

    def named(self, name: str) -> list[Thread]:
        """Return all conversations of a name, the one changed last first, or that of a number (`#12`)."""
        if name.startswith("#"):
            return [thread] if (thread := self.find(name)) is not None else []
        return [thread for thread in self.threads(text=name) if thread.name == name]

    def find(self, name: str) -> Thread | None:
        """Return the conversation of a name, the one changed last, or that of a number (`#12`)."""
        return self._read(lambda reads: reads.find(name), None)

    def load(self, thread_id: str) -> tuple[Thread, list[MessageNode], dict[str, str]]:
        """Return a conversation, its messages, each after its parent, and the chosen child of each.

        An answer whose process died while it streamed is `interrupted`. One that a process streams now has no
        `finish_reason`, and the text written so far.

        Raises:
            StoreError: It is not there, or the file cannot be read.
        """
        found = self._read(lambda reads: reads.load(thread_id), None)
        if found is None:
            raise StoreError(
                tr("That conversation is no longer in {where}; %chatglm chats lists those that are.", where=self.where)
            )
        return found

    def search(self, text: str, limit: int = 20) -> list[Hit]:
        """Return the messages that hold all of these words and "phrases", the newest first; see `search.parse`."""
        return self._read(lambda reads: reads.search(text, limit), [])

    def of_cell(self, cell: str, name: str = "") -> Thread | None:
        """Return the conversation, of a name or any, in which a cell has asked last; None also if it cannot be read."""
        return self._read_quietly(lambda reads: reads.of_cell(cell, name))

    def of_panel(self, cell: str) -> Thread | None:
        """Return the conversation, the one changed last, that a cell's panel has shown; None as in `of_cell`."""
        return self._read_quietly(lambda reads: reads.of_panel(cell))

    def answer(self, key: str) -> MessageNode | None:
        """Return the newest complete answer to the request of a key; None as in `of_cell`."""
        return self._read_quietly(lambda reads: reads.answer(key))

    def answer_rows(self, keys: Sequence[bytes]) -> dict[bytes, AnswerRow]:
        """Return the answers to rows of maps that are there, by their keys; none if the file cannot be read.

        It reads the file as it is, and waits for no change.
        """
        try:
            return self._read(lambda reads: reads.answer_rows(keys), {}, at_once=True)
        except StoreError:
            return {}

    def count_answer_rows(self) -> int:
        """Return how many answers to rows of maps there are."""
        return self._read(lambda reads: reads.count_answer_rows(), 0)

    def _is_there(self) -> bool:
        return self.where == MEMORY or (self.is_on and os.path.exists(self.where))  # noqa: PTH110 - no Path is needed

    def _exists(self) -> bool:
        """Return whether there is a file, once all is in it that waits."""
        if self._is_there():
            self.open_file()
        self.flush()
        return self._is_there()

    def _read_quietly(self, ask: Callable[[Reads], _T | None]) -> _T | None:
        """Read the file as it is, for a kernel's first question waits for this; return None if that fails."""
        try:
            return self._read(ask, None, at_once=self.is_idle)
        except StoreError:
            return None

    def _read(self, ask: Callable[[Reads], _T], nothing: _T, *, at_once: bool = False) -> _T:
        if not (self._is_there() if at_once else self._exists()):
            return nothing
        import sqlite3

        from .errors import RefusedFileError

        try:
            with self.file.reading() as reads:
                return nothing if reads is None else ask(reads)
        except (sqlite3.Error, OSError, RefusedFileError) as error:
            failure = self.failure_to_read(error)
            if failure.kind == "damaged":
                return nothing
            raise StoreError(failure.message) from error


_stores: dict[str, Store] = {}
_lock = threading.Lock()


def open_store(where: str = "") -> Store:
    """Return the store at a place (see `locate`), the same one for all callers; it makes no file before it is used."""
    found = locate(where)
    with _lock:
        store = _stores.get(found)
        if store is None:
            if not _stores:
                _register()
            store = _stores[found] = Store(found)
        return store


def close_stores(timeout: float = FLUSH) -> None:
    """Write what waits in all stores and close them, within `timeout` seconds."""
    until = time.monotonic() + timeout
    for store in list(_stores.values()):
        store.close(max(0.0, until - time.monotonic()))


def _register() -> None:
    atexit.register(close_stores)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lambda: _each(Store.before_fork),
            after_in_parent=lambda: _each(Store.after_fork_in_parent),
            after_in_child=_after_fork_in_child,
        )


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - one that another thread held at the fork would stay held for ever
    _lock = threading.Lock()
    _each(Store.after_fork_in_child)


def _each(step: Callable[[Store], None]) -> None:
    for store in list(_stores.values()):
        step(store)
