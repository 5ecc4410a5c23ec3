"""Notices that a server has fallen silent; no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

_LATE = 0.5
"""Seconds by which a timer may be late before the loop counts as having been blocked; then all starts anew."""


class Watchdog:
    """Bites when nothing worth the name has come for `timeout` seconds.

    One timer that arms itself anew, so that a chunk costs no more than a flag. Only the server's own
    silence counts: not the time in which the caller is busy with what has come, and not the time in
    which the event loop was blocked (a notebook's often is, by the user's own cells).

    Args:
        timeout: Seconds.

    Attributes:
        alive: Set to True when something has come.
        bitten: Whether the silence was too long.
        ending: Whether silence is the end that is waited for, no failure.
        bite: What is done about it, once.
    """

    __slots__ = ("_due", "_handle", "_loop", "_since", "alive", "bite", "bitten", "ending", "timeout")

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self.timeout = timeout
        self.alive = False
        self.bitten = False
        self.ending = False
        self.bite: Callable[[], object] = lambda: None
        self._arm()

    def listen(self) -> None:
        """Tell that the caller waits for the server again."""
        if self.alive:
            self.alive = False
            self._since = self._loop.time()

    def end_within(self, seconds: float) -> None:
        """From now on expect the end: silence for this long is as good as it."""
        if not self.ending:
            self.ending = True
            self.timeout = min(seconds, self.timeout)
            self._since = self._loop.time()
            self._handle.cancel()
            self._arm()

    @asynccontextmanager
    async def guard(self) -> AsyncGenerator[None]:
        """Raise `TimeoutError` out of a block in which the watchdog bites. The block must not yield."""
        async with asyncio.timeout(None) as limit:
            self.bite = lambda: limit.reschedule(self._loop.time())
            yield

    def stop(self) -> None:
        """Bite no more."""
        self._handle.cancel()

    def _arm(self) -> None:
        self._due = self._since + self.timeout
        self._handle = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self.alive or now - self._due > _LATE:
            self._since = now
        if now - self._since < self.timeout:
            self._arm()
        else:
            self.bitten = True
            self.bite()
