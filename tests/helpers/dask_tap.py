"""Records what a process of a Dask cluster sends, and what it writes to disk; loaded into workers by `--preload`.

DASK_TAP names the folder. Messages are recorded as they go out, before they are compressed; so is what is spilled.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import zict
from distributed.comm.tcp import TCP
from distributed.comm.utils import to_frames


def _record(kind: str, data: bytes) -> None:
    path = Path(os.environ["DASK_TAP"]) / f"{kind}-{os.getpid()}"
    with path.open("ab") as file:
        file.write(data)


def tap_messages(*, undo: Any = None) -> Any:
    """Record all that this process sends from now on; return what undoes it."""
    if undo is not None:
        TCP.write = undo
        return None
    before = TCP.write

    async def write(self: TCP, msg: Any, serializers: Any = None, on_error: str = "message") -> Any:
        for frame in await to_frames(msg, serializers=serializers, on_error=on_error):
            _record("message", bytes(frame))
        return await before(self, msg, serializers=serializers, on_error=on_error)

    TCP.write = write
    return before


def tap_spilling() -> None:
    """Record all that this process spills from now on."""
    before = zict.File.__setitem__

    def put(self: zict.File, key: str, value: Any) -> None:
        _record("spilled", repr(key).encode())
        for part in value if isinstance(value, (list, tuple)) else [value]:
            _record("spilled", bytes(part))
        before(self, key, value)

    zict.File.__setitem__ = put


def dask_setup(_: Any) -> None:
    """Tap the worker that loads this."""
    tap_messages()
    tap_spilling()
