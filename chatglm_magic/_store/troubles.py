"""What can go wrong with a file, in a sentence each, and what is done about it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from .._values import dataclass

Name = Literal["full", "unwritable", "locked", "damaged", "newer", "foreign", "failed"]

_SENTENCES: dict[str, str] = {
    "full": "The disk is full, so nothing said is kept in {where} just now. Free some space: it is written then.",
    "unwritable": "{where} cannot be written, so nothing said is kept. Make it writable, or set CHATGLM_STORE "
    "to another file or to off.",
    "locked": "{where} is locked by another program, so nothing said is kept just now. It is tried again; "
    "close the other program if this stays so.",
    "damaged": "{where} was damaged. It was set aside as {aside}, and a new one is begun.",
    "newer": "{where} was written by a newer version of chatglm_magic and is left as it is, so nothing said is kept. "
    "Update chatglm_magic, or set CHATGLM_STORE to another file.",
    "foreign": "{where} is another program's database and is left as it is, so nothing said is kept. "
    "Set CHATGLM_STORE to another file.",
    "failed": "{where} could not be written ({detail}), so nothing said is kept just now. It is tried again.",
}

_BY_CODE: dict[int, Name] = {
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


class Refusal(Exception):  # noqa: N818 - the store's own word for a file that is not ours to change
    """A file that must be left as it is.

    Attributes:
        name: Why: `newer` or `foreign`.
    """

    def __init__(self, name: Literal["newer", "foreign"], where: str) -> None:
        super().__init__(f"{where}: {name}")
        self.name: Name = name


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the store.

    Attributes:
        name: Its short name.
        sentence: What happened, to what, and what to do next.
    """

    name: Name
    sentence: str


def trouble_of(error: BaseException, where: str, aside: str = "") -> Trouble:
    """Find out what an error means for the store.

    Args:
        error: What was raised.
        where: The file.
        aside: Where a damaged file has gone.
    """
    name: Name = "failed"
    if isinstance(error, Refusal):
        name = error.name
    elif isinstance(error, sqlite3.Error):
        name = _BY_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "failed")
        if name == "failed" and _no_room(where):  # some file systems tell it as an error of input and output
            name = "full"
    elif isinstance(error, OSError):
        name = "unwritable"
    return Trouble(name, _SENTENCES[name].format(where=where, aside=aside or "another file", detail=error))


def set_aside(where: str) -> str:
    """Rename a damaged file, with what belongs to it; it is never deleted.

    Returns:
        Its new name; empty where it is gone already.
    """
    path = Path(where)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        path.rename(target)
    except FileNotFoundError:
        return ""
    for ending in ("-wal", "-shm", "-journal"):
        with suppress(OSError):
            Path(where + ending).rename(f"{target}{ending}")
    return str(target)


def _no_room(where: str) -> bool:
    try:
        found = os.statvfs(Path(where).parent)
    except (OSError, AttributeError):
        return False
    return found.f_bavail * found.f_frsize < 2**16 or (found.f_files > 0 and found.f_favail == 0)
