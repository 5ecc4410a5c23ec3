"""The file: how it is opened, what it holds, and how an earlier one becomes one of today.

The steps in `STEPS` are history: they are added to, never changed. `PRAGMA user_version` counts them.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from .place import MEMORY
from .troubles import Refusal

APPLICATION = 0x63676C6D
"""What tells our files from others': `cglm`."""

STEPS = (
    """
    CREATE TABLE thread (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        settings TEXT NOT NULL DEFAULT '{}'
    );
    CREATE INDEX thread_name ON thread (name, updated);
    CREATE INDEX thread_updated ON thread (updated);
    CREATE TABLE said (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        thread INTEGER REFERENCES thread (number) ON DELETE CASCADE,
        parent TEXT NOT NULL DEFAULT '',
        place INTEGER NOT NULL DEFAULT 0,
        role TEXT NOT NULL,
        text TEXT NOT NULL DEFAULT '',
        thought TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        cell TEXT NOT NULL DEFAULT '',
        finish_reason TEXT,
        model TEXT NOT NULL DEFAULT '',
        provider TEXT NOT NULL DEFAULT '',
        rest TEXT NOT NULL DEFAULT '{}',
        owner TEXT NOT NULL DEFAULT '',
        beat REAL NOT NULL DEFAULT 0
    );
    CREATE INDEX said_thread ON said (thread, number);
    CREATE INDEX said_cell ON said (cell) WHERE cell != '';
    CREATE INDEX said_open ON said (number) WHERE owner != '';
    CREATE TABLE piece (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        said INTEGER NOT NULL REFERENCES said (number) ON DELETE CASCADE,
        text TEXT NOT NULL,
        thought TEXT NOT NULL
    );
    CREATE INDEX piece_said ON piece (said, number);
    CREATE TABLE chosen (
        thread INTEGER NOT NULL REFERENCES thread (number) ON DELETE CASCADE,
        parent TEXT NOT NULL,
        child TEXT NOT NULL,
        PRIMARY KEY (thread, parent)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE said ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX said_unindexed ON said (number) WHERE indexed = 0;
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
    );
    CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE said ADD COLUMN key TEXT NOT NULL DEFAULT '';
    CREATE INDEX said_key ON said (key, created) WHERE key != '';
    """,
)
"""What each version adds: conversations; finding words in them; finding answers by what was asked.

`said` without a thread was asked aside. A message's words are its `text` and then its pieces; those are put into
`text` when it ends. `owner` names the process that writes it, until then. `words` holds no text of its own, only
which words stand where (see `search.fold`), for every message that is `indexed`, by number; the `fact` named
`fold` says by which rules. The one named `name` tells the file from others.
"""

BUSY_MS = 1000
"""How long a statement that writes waits for other processes, in milliseconds."""
_LOG_BYTES = 4_000_000
"""How much room the log keeps after it was needed for more."""
_FTS5 = "no such module: fts5"
_VFS = ""
"""The name of SQLite's way to the file system; empty for the usual one."""

_NOT_WRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_NO_SHARED_MEMORY = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL})
_NETWORK = frozenset(
    "9p afs beegfs ceph cifs fuse.sshfs gpfs lustre ncpfs nfs nfs4 smb3 smbfs vboxsf virtiofs".split()  # noqa: SIM905 - a list of words
)
"""File systems that several machines may share, where they would not see each other's memory."""


def connect(where: str) -> sqlite3.Connection:
    """Open a store for writing; make it, or bring it up to date, where that is needed.

    Args:
        where: A path, or `:memory:`.

    Raises:
        sqlite3.Error: It cannot be opened.
        OSError: Its folder cannot be made.
        Refusal: It is newer than we are, or another program's.
    """
    if where != MEMORY:
        _prepare(Path(where))
    database = _open(where)
    try:
        if not _logs_ahead(database, where):
            database.close()
            database = _open(where)
            _journal(database, where)
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")
        migrate(database, where)
    except BaseException:
        database.close()
        raise
    return database


def connect_to_read(where: str, *, busy_ms: int = 250) -> sqlite3.Connection:
    """Open a store that is there for reading only, also where nothing can be written.

    Raises:
        sqlite3.Error: It cannot be opened.
        Refusal: It is newer than we are, or another program's.
    """
    uri = Path(where).as_uri()
    for mode in ("mode=rw", "mode=ro", "immutable=1"):
        database = _adapted(sqlite3.connect(f"{uri}?{mode}{_vfs()}", uri=True, timeout=busy_ms / 1000))
        try:
            database.execute("PRAGMA query_only = ON")
            check(database, where)
        except sqlite3.OperationalError as error:
            database.close()
            if mode == "immutable=1" or error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE:
                raise
        except BaseException:
            database.close()
            raise
        else:
            return database
    raise AssertionError  # pragma: no cover - the last way raises


def check(database: sqlite3.Connection, where: str) -> int:
    """Give a store's version, 0 for an empty file; change nothing.

    Raises:
        Refusal: It is newer than we are, or another program's.
    """
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    application = database.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION and database.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise Refusal("foreign", where)
    if version > len(STEPS):
        raise Refusal("newer", where)
    return version


def migrate(database: sqlite3.Connection, where: str) -> None:
    """Take a store through the steps that it lacks: all of them, or none if one fails."""
    if check(database, where) == len(STEPS):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        for version in range(check(database, where), len(STEPS)):  # another process may have been quicker
            _step(database, STEPS[version])
            database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def has_words(database: sqlite3.Connection) -> bool:
    """Tell whether a store has an index of words; there is none where SQLite was built without FTS5."""
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone() is not None


def shared(path: Path, mounts: str | None = None) -> bool:
    """Tell whether a file is on a file system that other machines may write to.

    Args:
        path: The file.
        mounts: What the system says about its file systems (proc(5), mountinfo); None to ask it.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text("utf-8", errors="replace")
        except OSError:
            return False
    folder = os.path.realpath(path.parent)
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = fields[4].replace("\\040", " ")
        if len(point) >= len(best) and (folder == point or folder.startswith(point.rstrip("/") + "/")):
            best, kind = point, right.split()[0]
    return kind in _NETWORK


def _prepare(path: Path) -> None:
    """Make the file and its folder, so that nobody else may read them, not even for a moment."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    if path.parent.name == "chatglm_magic":
        _restrict(path.parent, 0o700)
    with suppress(PermissionError):  # SQLite says it better, or may read it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    _restrict(path, 0o600)


def _restrict(path: Path, mode: int) -> None:
    with suppress(OSError):  # another user's, or a file system that knows no modes
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)


def _open(where: str) -> sqlite3.Connection:
    if where == MEMORY:
        return _adapted(sqlite3.connect(where, isolation_level=None, check_same_thread=False))
    uri = f"{Path(where).as_uri()}?mode=rw{_vfs()}"
    return _adapted(
        sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)
    )


def _vfs() -> str:
    return f"&vfs={_VFS}" if _VFS else ""


def _adapted(database: sqlite3.Connection) -> sqlite3.Connection:
    database.row_factory = sqlite3.Row
    database.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
    return database


def _logs_ahead(database: sqlite3.Connection, where: str) -> bool:
    """Switch to a write-ahead log: readers and the writer never wait for each other. Tell whether that works here.

    Raises:
        sqlite3.Error: Nothing works here.
        Refusal: As `check`.
    """
    if where == MEMORY:
        return True
    try:
        check(database, where)
        if shared(Path(where)):
            return False
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        check(database, where)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NO_SHARED_MEMORY:
            raise
        return False
    return str(mode) == "wal"


def _journal(database: sqlite3.Connection, where: str) -> None:
    """Switch to a rollback journal, which needs no memory that processes share.

    Raises:
        sqlite3.Error: Nothing works here.
        Refusal: As `check`.
    """
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # a write-ahead log can be read without shared memory so
    check(database, where)
    database.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    database.execute("PRAGMA locking_mode = NORMAL")
    check(database, where)  # gives the lock back


def _step(database: sqlite3.Connection, script: str) -> None:
    for statement in filter(str.strip, script.split(";")):
        try:
            database.execute(statement)
        except sqlite3.OperationalError as error:
            if _FTS5 not in str(error):
                raise
