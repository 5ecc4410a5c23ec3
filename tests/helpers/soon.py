"""Waiting for what must happen soon: the longest wait means never, on a machine however busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 30.0, told: object = "") -> None:
    """Block until something is the case, never in the loop that makes it so; `told` helps to see why it was not."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {seconds} s; {told}"
        time.sleep(0.005)


async def until_then(condition: Callable[[], object], seconds: float = 30.0, told: object = "") -> None:
    """Wait until something is the case, the loop running on."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {seconds} s; {told}"
        await asyncio.sleep(0.005)
