"""A timer that notices that a server has fallen silent; no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .._event_loops import running_loop

_LATE = 0.5
"""Seconds by which the timer may be late; if it is later, the loop was blocked, and the time starts anew."""


def _bite_nobody() -> None:
    """Do nothing."""


class Watchdog:
    """Calls `bite` when no event has come for `timeout` seconds.

    There is one timer, which is set again when it fires, so that a chunk costs no more than a flag. Only the
    server's own silence counts: not the time in which the caller is busy with what has come, and not the time in
    which the event loop was blocked (a notebook's often is, by the user's own cells).

    Args:
        timeout: Seconds.

    Attributes:
        alive: To be set to True when an event has come.
        bitten: Whether the silence was too long.
        ending: Whether silence is the expected end, no failure.
        bite: Called once, when the silence is too long.
    """

    __slots__ = (
        "_due",
        "_grace",
        "_handle",
        "_loop",
        "_since",
        "_timeout",
        "alive",
        "bite",
        "bitten",
        "ending",
        "timeout",
    )

    def __init__(self, timeout: float) -> None:
        self._loop = running_loop()
        self._since = self._loop.time()
        self.timeout = self._timeout = timeout
        self._grace: float | None = None
        self.alive = False
        self.bitten = False
        self.ending = False
        self.bite: Callable[[], object] = _bite_nobody
        self._arm()

    def listen(self) -> None:
        """Count from now if an event has come: the caller waits for the server again."""
        if self.alive:
            self.alive = False
            self._since = self._loop.time()

    def end_within(self, seconds: float | None) -> None:
        """Expect the end from now on: silence of this length stands for it. None: expect it no more."""
        if seconds != self._grace:
            self._grace = seconds
            self.ending = seconds is not None
            self.timeout = self._timeout if seconds is None else min(seconds, self._timeout)
            self._since = self._loop.time()
            self._handle.cancel()
            self._arm()

    def guard(self, limit: asyncio.Timeout) -> None:
        """Have a block that runs under `limit` end with `TimeoutError` when the watchdog bites."""
        self.bite = lambda: limit.reschedule(self._loop.time())

    def stop(self) -> None:
        """Bite no more, and hold nothing that would be bitten: it often holds this watchdog."""
        self._handle.cancel()
        self.bite = _bite_nobody

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
