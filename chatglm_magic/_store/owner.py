"""Who writes an answer that streams, and whether that process still lives."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

BEAT = 5.0
"""Seconds after which the writer of an answer that streams says again that it lives."""
_SILENT = 60.0
"""Seconds without such a word after which a writer that cannot be looked at is taken for dead."""


def me() -> str:
    """Give this process's name: where it runs, its number, and when it was started."""
    return _name(os.getpid())


@cache
def _name(number: int) -> str:
    return f"{_machine()} {number} {_started(number)}"


def lives(owner: str, beat: float) -> bool:
    """Tell whether the process of that name lives.

    Args:
        owner: As `me` gave it there.
        beat: When it was last heard of, in seconds since the epoch.
    """
    machine, _, rest = owner.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != _machine() or os.name != "posix" or not number.isdigit():  # elsewhere os.kill may end it
        return time.time() - beat < _SILENT
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return _started(int(number)) == started


@cache
def _machine() -> str:
    """Tell this machine, since it was switched on, and this container from others."""
    told = [platform.node()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        told.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(told).replace(" ", "_")


def _started(number: int) -> str:
    """Tell when a process was started, where the system says it: its number may have been another's before."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text("ascii", errors="replace")
    except OSError:
        return ""
    after = stat.rpartition(")")[2].split()
    return "" if after[0] == "Z" else after[19]  # proc(5): field 22, counted from the state, which is field 3
