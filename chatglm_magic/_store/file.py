"""A store's file: opened when it is needed, again when it was replaced, and another one when it is damaged."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import schema
from .changes import Changes
from .masking import known_mask
from .place import MEMORY
from .troubles import Refusal, Trouble, set_aside, trouble_of

if TYPE_CHECKING:
    from .growing import Growing
    from .writer import Job

_log = logging.getLogger(__name__)
_left: list[sqlite3.Connection] = []
"""Connections of a process that this one was forked off from: to close them would take that one's locks."""

_BAD = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class File:
    """What one process has of a store's file. Its connection is used under `lock`.

    Args:
        where: A path, or `:memory:`.

    Attributes:
        lock: Held while the connection is used.
        generation: Counts how often the file was replaced: what an earlier one held is not in this one.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.lock = threading.RLock()
        self.generation = 0
        self._database: sqlite3.Connection | None = None
        self._changes: Changes | None = None
        self._known: tuple[int, int] | None = None
        self._name = ""
        self._held = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._changes is not None

    @property
    def is_behind(self) -> bool:
        """Whether messages wait to be put into the index of words."""
        return self._changes is not None and self._changes.is_behind

    def write(self, jobs: list[Job], growing: Iterable[Growing], *, index: bool) -> None:
        """Do all of these in one transaction, or none.

        Args:
            jobs: What is to be done.
            growing: The answers that stream.
            index: Whether a handful of messages is put into the index of words too.

        Raises:
            sqlite3.Error: It could not be written.
            OSError: Its folder could not be made.
            Refusal: It is not ours to write to.
        """
        with self.lock:
            database, changes = self._open()
            if jobs:
                changes.mask = known_mask()
            if jobs and jobs[0].alone:
                jobs[0].do(changes)
                return
            database.execute("BEGIN IMMEDIATE")
            try:
                schema.check(database, self.where)
                for job in jobs:
                    self._do(database, changes, job)
                for answer in growing:
                    answer.write(changes)
                if index and changes.is_behind:
                    changes.index_some()
                database.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            for answer in growing:
                answer.written()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection | None]:
        """Give a connection to read by; None where there is nothing to read.

        Raises:
            sqlite3.Error: It cannot be read.
            OSError: Likewise.
            Refusal: It is not ours to read.
        """
        if self.where == MEMORY:
            with self.lock:
                yield self._open()[0]
            return
        if not Path(self.where).exists() or not Path(self.where).stat().st_size:
            yield None
            return
        database = schema.connect_to_read(self.where)
        try:
            if schema.check(database, self.where) < len(schema.STEPS):
                database.close()
                schema.connect(self.where).close()  # brings it up to date
                database = schema.connect_to_read(self.where)
            yield database
        finally:
            database.close()

    def trouble(self, error: BaseException) -> Trouble:
        """Find out what an error means, and set a damaged file aside."""
        trouble = trouble_of(error, self.where)
        if trouble.name != "damaged" or self.where == MEMORY:
            if trouble.name != "locked":
                self.close()
            return trouble
        with self.lock:
            replaced = self._known is not None and self._known != _identity(self.where)
            self.close()
            if replaced or not _is_damaged(self.where):  # another process was quicker
                return trouble_of(sqlite3.OperationalError(), self.where)
            try:
                aside = set_aside(self.where)
            except OSError as failure:
                return trouble_of(failure, self.where)
        return trouble_of(error, self.where, aside)

    def close(self, *, for_good: bool = False) -> None:
        """Close the connection; the next use opens another one.

        Args:
            for_good: Whether what is in memory alone may go with it.
        """
        if self.where == MEMORY and not for_good:
            return
        with self.lock:
            database, self._database, self._changes = self._database, None, None
            if database is not None:
                with suppress(sqlite3.Error):
                    database.close()

    def hold(self) -> None:
        """Wait a little until nothing is being written, and let nothing be written until `release`."""
        self._held = self.lock.acquire(timeout=1.0)

    def release(self) -> None:
        """End `hold`."""
        if self._held:
            self.lock.release()

    def abandon(self) -> None:
        """Leave the connection to the process that this one was forked off from."""
        if self._database is not None:
            _left.append(self._database)

    def _open(self) -> tuple[sqlite3.Connection, Changes]:
        if self._database is not None and self.where != MEMORY and _identity(self.where) != self._known:
            self.close()  # it was removed, or set aside by another process
        if self._database is not None and self._changes is not None:
            return self._database, self._changes
        self._database = database = schema.connect(self.where)
        self._known = _identity(self.where)
        self._changes = changes = Changes(database)
        changes.mask = known_mask()
        database.execute("BEGIN IMMEDIATE")
        try:
            name = changes.name_file()
            self.generation += self._name not in {"", name}
            self._name = name
            changes.mend()
            database.execute("COMMIT")
        except BaseException:
            self._roll_back()
            self.close()
            raise
        return database, changes

    def _do(self, database: sqlite3.Connection, changes: Changes, job: Job) -> None:
        """Do one job; one that can never be done is left out."""
        database.execute("SAVEPOINT job")
        try:
            job.do(changes)
        except Exception as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in {
                sqlite3.SQLITE_ERROR,
                sqlite3.SQLITE_CONSTRAINT,
                sqlite3.SQLITE_MISMATCH,
                sqlite3.SQLITE_TOOBIG,
            }:
                raise
            _log.exception("something could not be kept")
            database.execute("ROLLBACK TO job")
        database.execute("RELEASE job")

    def _roll_back(self) -> None:
        if self._database is not None and self._database.in_transaction:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")


def _identity(where: str) -> tuple[int, int] | None:
    """Tell one file from another that has its name."""
    if where == MEMORY:
        return (0, 0)
    try:
        found = Path(where).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damaged(where: str) -> bool:
    try:
        database = schema.connect_to_read(where, busy_ms=2000)
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BAD
    except Refusal:
        return False
