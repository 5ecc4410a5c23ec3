"""What can go wrong with the store's file, as sentences, and how a damaged one is set aside."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Literal

import msgspec

from .._language import marked, tr

Kind = Literal["full", "unwritable", "locked", "damaged", "newer", "foreign", "failed"]

_SENTENCES: dict[str, str] = {
    "full": marked(
        "The disk is full, so nothing said is kept in {where} just now. Free some space: it is written then."
    ),
    "unwritable": marked(
        "{where} cannot be written, so nothing said is kept. Make it writable, or set CHATGLM_STORE "
        "to another file or to off."
    ),
    "locked": marked(
        "{where} is locked by another program, so nothing said is kept just now. It is tried again; "
        "close the other program if this stays so."
    ),
    "damaged": marked("{where} was damaged. It was set aside as {aside}, and a new one is begun."),
    "newer": marked(
        "{where} was written by a newer version of chatglm_magic and is left as it is, so nothing said is kept. "
        "Update chatglm_magic, or set CHATGLM_STORE to another file."
    ),
    "foreign": marked(
        "{where} is another program's database and is left as it is, so nothing said is kept. "
        "Set CHATGLM_STORE to another file."
    ),
    "failed": marked("{where} could not be written ({detail}), so nothing said is kept just now. It is tried again."),
}

_BY_CODE: dict[int, Kind] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_PROTOCOL: "locked",
    sqlite3.SQLITE_READONLY: "unwritable",
    sqlite3.SQLITE_CANTOPEN: "unwritable",
    sqlite3.SQLITE_PERM: "unwritable",
    sqlite3.SQLITE_AUTH: "unwritable",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}


class RefusedFileError(Exception):
    """A file that must be left as it is: its `kind` says whether it is `newer` or `foreign`."""

    def __init__(self, kind: Literal["newer", "foreign"], where: str) -> None:
        super().__init__(f"{where}: {kind}")
        self.kind: Kind = kind


class Failure(msgspec.Struct, frozen=True):
    """Why the store cannot be used.

    Attributes:
        kind: A short name. A reply's warning is `store-` and this.
        where: The file.
        aside: The name that a damaged one has now.
        detail: The system's own words.
    """

    kind: Kind
    where: str
    aside: str = ""
    detail: str = ""

    @property
    def message(self) -> str:
        """What happened, to which file, and what to do next."""
        aside = self.aside or tr("another file")
        return tr(_SENTENCES[self.kind], where=self.where, aside=aside, detail=self.detail)


def code_of(error: BaseException) -> int:
    """Return SQLite's primary result code of an error; 0 if it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def failure_of(error: BaseException, where: str, aside: str = "") -> Failure:
    """Return what an error means for the store's file; `aside` is the name that a damaged one has now."""
    kind: Kind = "failed"
    if isinstance(error, RefusedFileError):
        kind = error.kind
    elif isinstance(error, sqlite3.Error):
        kind = _BY_CODE.get(code_of(error), "failed")
        if kind == "failed" and _is_full(where):  # some file systems report it as an I/O error
            kind = "full"
    elif isinstance(error, OSError):
        kind = "unwritable"
    return Failure(kind, where, aside, str(error))


def set_aside(where: str) -> str:
    """Rename a damaged file with those that belong to it, and return its new name; empty if it was not there."""
    path = Path(where)
    name = f"{path.name}.damaged-{time.strftime('%Y-%m-%d-%H%M%S')}"
    names = chain((name,), (f"{name}-{number}" for number in count(2)))
    target = next(found for found in map(path.with_name, names) if not found.exists())
    try:
        path.rename(target)
    except FileNotFoundError:
        return ""
    for ending in ("-wal", "-shm", "-journal"):
        with suppress(OSError):
            Path(where + ending).rename(f"{target}{ending}")
    return str(target)


def _is_full(where: str) -> bool:
    try:
        disk = os.statvfs(Path(where).parent)
    except (OSError, AttributeError):
        return False
    return disk.f_bavail * disk.f_frsize < 2**16 or (disk.f_files > 0 and disk.f_favail == 0)
