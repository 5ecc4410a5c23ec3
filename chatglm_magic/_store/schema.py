"""The store's file: its tables and versions, how it is opened, and this process's connection to it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from .._redaction import known_mask
from .errors import Failure, RefusedFileError, code_of, failure_of, set_aside
from .location import MEMORY
from .queries import Reads, Writes

APPLICATION = 0x63676C6D
"""The application id of our files: `cglm`."""

MIGRATIONS = (
    """
    CREATE TABLE file (id TEXT NOT NULL);
    INSERT INTO file VALUES (hex(randomblob(16)));
    CREATE TABLE thread (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        settings TEXT NOT NULL
    );
    CREATE INDEX thread_name ON thread (name, updated);
    CREATE INDEX thread_updated ON thread (updated);
    CREATE TABLE message (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        thread INTEGER REFERENCES thread (number) ON DELETE CASCADE,
        parent TEXT NOT NULL,
        position INTEGER NOT NULL,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        folded TEXT,
        thinking TEXT NOT NULL,
        created REAL NOT NULL,
        cell TEXT NOT NULL,
        finish_reason TEXT NOT NULL,
        key TEXT NOT NULL,
        details TEXT NOT NULL,
        process TEXT NOT NULL,
        heartbeat REAL NOT NULL
    );
    CREATE INDEX message_thread ON message (thread, number);
    CREATE INDEX message_cell ON message (cell) WHERE cell != '';
    CREATE INDEX message_key ON message (key, created) WHERE key != '';
    CREATE INDEX message_streaming ON message (number) WHERE process != '';
    CREATE TABLE piece (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        message INTEGER NOT NULL REFERENCES message (number) ON DELETE CASCADE,
        content TEXT NOT NULL,
        thinking TEXT NOT NULL
    );
    CREATE INDEX piece_message ON piece (message, number);
    CREATE TABLE chosen (
        thread INTEGER NOT NULL REFERENCES thread (number) ON DELETE CASCADE,
        parent TEXT NOT NULL,
        child TEXT NOT NULL,
        PRIMARY KEY (thread, parent)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE blob (sha256 TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE message_blob (
        message INTEGER NOT NULL REFERENCES message (number) ON DELETE CASCADE,
        sha256 TEXT NOT NULL REFERENCES blob (sha256),
        PRIMARY KEY (message, sha256)
    ) WITHOUT ROWID;
    CREATE INDEX message_blob_sha256 ON message_blob (sha256);
    """,
    """
    CREATE TABLE batch (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created REAL NOT NULL,
        prompt TEXT NOT NULL,
        model TEXT NOT NULL
    );
    CREATE TABLE answer_row (
        key BLOB PRIMARY KEY,
        batch INTEGER NOT NULL REFERENCES batch (number),
        content TEXT NOT NULL,
        finish_reason TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        seconds REAL NOT NULL
    );
    """,
    """
    ALTER TABLE answer_row ADD COLUMN warnings TEXT NOT NULL DEFAULT '';
    """,
)
"""The statements that lead from each version to the next, from an empty file on. `PRAGMA user_version` counts them.

Those of a released version are never changed: a new version adds an element. `file` holds an id that no other file has.
A `message` without a thread is in no conversation. While `process` writes an answer, its text is `content` and that of
its pieces; they become one when it ends. `folded` is for the search, see `search.folded`; `details` for all fields of a
message that no query needs, see `records.COLUMNS`. `blob` holds each picture once, for as long as `message_blob` says
that a message names it. An `answer_row` is what one row of a map was answered, found by its request's key alone; the
rows that were asked together are a `batch`. They are in no conversation, and no search finds them. It has no further
index, and is no table `WITHOUT ROWID`: both would double what is written for a row.
"""

BUSY_MS = 1000
"""How long a statement that writes waits for other processes, in milliseconds."""
_LOG_BYTES = 4_000_000
"""The size to which the log is cut after it was larger."""

_NOT_WRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_NO_SHARED_MEMORY = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NETWORK = frozenset(
    "9p afs beegfs ceph cifs fuse.sshfs gpfs lustre ncpfs nfs nfs4 smb3 smbfs vboxsf virtiofs".split()  # noqa: SIM905 - a list of words
)
"""File systems that several machines may write to, which do not share the memory that a write-ahead log needs."""

_inherited: list[sqlite3.Connection] = []
"""Connections that a fork has copied: closing them would release the locks of the process that was forked."""


class File:
    """One process's access to a store's file, a path or `:memory:`. A file that was replaced is opened again.

    Attributes:
        generation: How often the file was replaced since it was first opened; what one held is not in the next.
        lock: Held while the connection is used.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.generation = 0
        self.lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._writes: Writes | None = None
        self._inode: tuple[int, int] | None = None
        self._id = ""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to write by."""
        return self._writes is not None

    @contextmanager
    def writing(self, *, transaction: bool = True) -> Generator[Writes]:
        """Enter with the changes that can be made: all of them are made or none, unless without a transaction.

        Raises:
            sqlite3.Error, OSError, RefusedFileError: It cannot be written, see `failure`.
        """
        with self.lock:
            database, writes = self._open()
            if not transaction:
                yield writes
                return
            with _transaction(database):
                check(database, self.where)
                yield writes

    @contextmanager
    def reading(self) -> Generator[Reads | None]:
        """Enter with the questions that can be asked; with None if there is no file.

        Raises:
            sqlite3.Error, OSError, RefusedFileError: It cannot be read, see `failure`.
        """
        if self.where == MEMORY:
            with self.lock:
                yield Reads(self._open()[0])
            return
        if not Path(self.where).exists() or not Path(self.where).stat().st_size:
            yield None
            return
        database = connect_to_read(self.where)
        try:
            if check(database, self.where) < len(MIGRATIONS):
                database.close()
                connect(self.where).close()  # it migrates
                database = connect_to_read(self.where)
            yield Reads(database)
        finally:
            database.close()

    def failure(self, error: BaseException) -> Failure:
        """Return what an error means. Set the file aside if it is damaged."""
        failure = failure_of(error, self.where)
        if failure.kind != "damaged" or self.where == MEMORY:
            if failure.kind != "locked":
                self.close()
            return failure
        with self.lock:
            replaced = self._inode is not None and self._inode != _inode_of(self.where)
            self._inode = None
            self.close()
            if replaced or not _is_damaged(self.where):  # another process was quicker
                return failure_of(sqlite3.OperationalError(), self.where)
            try:
                aside = set_aside(self.where)
            except OSError as another:
                return failure_of(another, self.where)
        return failure_of(error, self.where, aside)

    def close(self, *, for_good: bool = False) -> None:
        """Close the connection; the next use opens another one. A store in memory is lost, so only `for_good`."""
        if self.where == MEMORY and not for_good:
            return
        with self.lock:
            database, self._database, self._writes = self._database, None, None
            if database is not None:
                with suppress(sqlite3.Error):
                    database.close()

    def abandon(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        if self._database is not None:
            _inherited.append(self._database)

    def _open(self) -> tuple[sqlite3.Connection, Writes]:
        if self._database is not None and self.where != MEMORY and _inode_of(self.where) != self._inode:
            self.close()  # it was removed, or set aside by another process
        if self._database is not None and self._writes is not None:
            return self._database, self._writes
        database = connect(self.where)
        writes = Writes(database)
        writes.mask = known_mask()
        self._inode = _inode_of(self.where)
        try:
            with _transaction(database):
                file_id = str(database.execute("SELECT id FROM file").fetchone()["id"])
                writes.recover()
        except BaseException:
            database.close()
            raise
        self.generation += self._id not in {"", file_id}
        self._database, self._writes, self._id = database, writes, file_id
        return database, writes


def connect(where: str) -> sqlite3.Connection:
    """Open a store, a path or `:memory:`, to write to it; make or migrate it if need be.

    Raises:
        sqlite3.Error: It cannot be opened.
        OSError: Its folder cannot be made.
        RefusedFileError: It is of a later version, or another program's.
    """
    if where != MEMORY:
        _prepare(Path(where))
    uri = "file::memory:" if where == MEMORY else f"{Path(where).as_uri()}?mode=rw"
    database = _connect(uri)
    try:
        if where != MEMORY and not _use_log(database, where):
            database.close()
            database = _connect(uri)
            _use_rollback_journal(database, where)
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")
        _migrate(database, where)
    except BaseException:
        database.close()
        raise
    return database


def connect_to_read(where: str, *, busy_ms: int = 250) -> sqlite3.Connection:
    """Open a store that exists to read it, also where nothing can be written.

    Raises:
        sqlite3.Error: It cannot be opened.
        RefusedFileError: It is of a later version, or another program's.
    """
    for mode in ("mode=rw", "mode=ro", "immutable=1"):
        database = _connect(f"{Path(where).as_uri()}?{mode}", busy_ms)
        try:
            database.execute("PRAGMA query_only = ON")
            check(database, where)
        except sqlite3.OperationalError as error:
            database.close()
            if mode == "immutable=1" or code_of(error) not in _NOT_WRITABLE:
                raise
        except BaseException:
            database.close()
            raise
        else:
            return database
    raise AssertionError  # pragma: no cover - the last way raises


def check(database: sqlite3.Connection, where: str) -> int:
    """Return a store's version, 0 for an empty file; change nothing.

    Raises:
        RefusedFileError: It is of a later version, or another program's.
    """
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    application = database.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION and database.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise RefusedFileError("foreign", where)
    if version > len(MIGRATIONS):
        raise RefusedFileError("newer", where)
    return version


def is_shared(path: Path) -> bool:
    """Return whether a file is on a file system that other machines may write to."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return file_system_of(os.path.realpath(path.parent), mounts) in _NETWORK


def file_system_of(folder: str, mounts: str) -> str:
    """Return the kind of file system that a folder is on, from the text of `/proc/self/mountinfo`, see proc(5)."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = fields[4].replace("\\040", " ")
        if len(point) >= len(best) and (folder == point or folder.startswith(point.rstrip("/") + "/")):
            best, kind = point, right.split()[0]
    return kind


@contextmanager
def _transaction(database: sqlite3.Connection) -> Generator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
        raise


def _migrate(database: sqlite3.Connection, where: str) -> None:
    """Make the migrations that a store lacks: all of them, or none if one fails."""
    if check(database, where) == len(MIGRATIONS):
        return
    with _transaction(database):
        for version in range(check(database, where), len(MIGRATIONS)):  # another process may have been quicker
            for statement in filter(str.strip, MIGRATIONS[version].split(";")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute(f"PRAGMA application_id = {APPLICATION}")


def _prepare(path: Path) -> None:
    """Make the file and its folder such that nobody else could read them at any moment."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    if path.parent.name == "chatglm_magic":
        _restrict(path.parent, 0o700)
    with suppress(PermissionError):  # SQLite reports it better, or can read the file
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    _restrict(path, 0o600)


def _restrict(path: Path, mode: int) -> None:
    with suppress(OSError):  # another user's, or a file system without modes
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)


def _connect(uri: str, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """Connect without transactions of Python's own, for a caller that locks."""
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_ms / 1000, check_same_thread=False)
    database.row_factory = sqlite3.Row
    return database


def _use_log(database: sqlite3.Connection, where: str) -> bool:
    """Switch to a write-ahead log, with which readers and the writer do not wait; return whether that works here."""
    try:
        check(database, where)
        if is_shared(Path(where)):
            return False
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        check(database, where)
    except sqlite3.OperationalError as error:
        if code_of(error) not in _NO_SHARED_MEMORY:
            raise
        return False
    return str(mode) == "wal"


def _use_rollback_journal(database: sqlite3.Connection, where: str) -> None:
    """Switch to a rollback journal, which needs no memory that processes share."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # so a write-ahead log can be read without shared memory
    check(database, where)
    database.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    database.execute("PRAGMA locking_mode = NORMAL")
    check(database, where)  # releases the lock


def _inode_of(where: str) -> tuple[int, int] | None:
    """Return what tells a file from another that has its name later; None if it is not there."""
    if where == MEMORY:
        return (0, 0)
    try:
        found = Path(where).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damaged(where: str) -> bool:
    try:
        database = connect_to_read(where, busy_ms=2000)
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        return code_of(error) in _DAMAGED
    except RefusedFileError:
        return False
