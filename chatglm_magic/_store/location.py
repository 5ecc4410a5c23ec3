"""Where the store's file is, and which of the processes that write to it are alive."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

OFF = "off"
MEMORY = ":memory:"
_OFF_WORDS = frozenset({"off", "none", "false", "no", "0"})
_FILE = "conversations.db"

_configured = ""


def configure(where: str) -> None:
    """Set where the store is from now on, over what the environment says; empty to unset it."""
    global _configured  # noqa: PLW0603 - one for the process, as the environment is
    _configured = where


def locate(where: str = "") -> str:
    """Return where the store is: the path of its file, `:memory:` or `off`.

    It is where the caller wants it, else what is configured, else `CHATGLM_STORE`, else in the user's data folder.
    """
    given = where.strip() or _configured.strip() or os.environ.get("CHATGLM_STORE", "").strip()
    if given.lower() in _OFF_WORDS:
        return OFF
    if given == MEMORY:
        return MEMORY
    if given:
        return _path(given)
    from platformdirs import user_data_path

    return str(user_data_path("chatglm_magic", appauthor=False) / _FILE)


@cache
def _path(given: str) -> str:
    """Return a file's path, or that of our file in a folder; cached, so that a later chdir moves no relative path."""
    path = Path(given).expanduser().absolute()
    return str(path / _FILE if path.is_dir() else path)


HEARTBEAT = 5.0
"""Seconds between two signs of life in the file by a process that writes a streaming answer."""
_SILENT = 60.0
"""Seconds without a sign of life after which a process that cannot be looked up counts as dead."""


def this_process() -> str:
    """Return this process's name: its machine, its number and when it was started."""
    return _name(os.getpid())


@cache
def _name(number: int) -> str:
    return f"{_machine()} {number} {_started(number)}"


def is_alive(process: str, heartbeat: float) -> bool:
    """Return whether a process is alive, by its name and its last sign of life, in seconds since the epoch."""
    machine, _, rest = process.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != _machine() or os.name != "posix" or not number.isdigit():  # elsewhere os.kill may end it
        return time.time() - heartbeat < _SILENT
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return _started(int(number)) == started


@cache
def _machine() -> str:
    """Return a name for this machine since it was booted, and for this container on it."""
    names = [platform.node()]
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        names.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(names).replace(" ", "_")


def _started(number: int) -> str:
    """Return when a process was started, as the system says it; empty for one that is dead or cannot be looked up.

    Numbers are used again, so the number alone does not name a process.
    """
    try:
        stat = Path(f"/proc/{number}/stat").read_text("ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]  # proc(5): field 22, counted from the state, which is field 3
