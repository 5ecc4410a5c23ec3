"""How many requests may be in flight, and when none may be sent: logic alone, with a clock that is given.

A service says neither how many requests it takes at once nor how many a minute; it refuses what is too much. So the
gate begins low and doubles after each window of answers without a refusal, until the first one. That halves it, and
makes everybody wait; from then on it adds one at a time, up to what was refused, and tries more only now and then. A
server that refuses nothing and lets requests queue is known by this: twice as many at once are answered no faster.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

MOST = 64
"""Requests in flight at most where nothing is ever refused: more only make each other wait."""
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_LONGEST_NAMED_WAIT = 600.0
"""Seconds that are waited at most where a service names a wait; it is asked again then."""
_PROBE_AFTER = 60.0
"""Seconds after a refusal until more than what was refused is tried; twice as long after each vain attempt."""
_LONGEST_PROBE = 3600.0
_GAIN = 1.2
"""How many times as many answers a second twice as many requests have to bring, for more to be tried."""


class Gate:
    """Decides how many requests may be in flight.

    Args:
        start: How many at first.
        fixed: How many always, in place of what answers and refusals teach; None for those.
        most: How many at most.
        clock: Returns seconds that only grow.
        chance: Returns a number from 0 to 1: many notebooks of one class are refused in the same second.
        first_wait: Seconds of the first wait after a refusal that names none.
        on_pause: Called with the seconds of a pause that a refusal begins.

    Attributes:
        limit: How many may be in flight now.
        in_flight: How many are.
        refusals: How many requests were refused so far.
    """

    def __init__(
        self,
        start: int = 4,
        *,
        fixed: int | None = None,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        first_wait: float = _FIRST_WAIT,
        on_pause: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.limit = min(start, most) if fixed is None else fixed
        self.in_flight = 0
        self.refusals = 0
        self._is_fixed = fixed is not None
        self._most = most
        self._clock = clock
        self._chance = chance
        self._first_wait = first_wait
        self._on_pause = on_pause
        self._ceiling = math.inf
        self._doubles = True
        self._clean = self._peak = 0
        self._window_began = clock()
        self._rate = 0.0  # answers a second in the last window
        self._queues = False  # whether more at once was seen to bring no more
        self._epoch = 0
        self._row = 0  # refusals since the last answer, a burst counted once
        self._paused_until = -math.inf
        self._probe_at = -math.inf
        self._probe_pause = _PROBE_AFTER

    @property
    def pause(self) -> float:
        """Seconds for which nothing may be sent; 0 where something may."""
        return max(0.0, self._paused_until - self._clock())

    @property
    def is_open(self) -> bool:
        """Whether one more request may be sent now."""
        return self.in_flight < self.limit and self._paused_until <= self._clock()

    def allow(self, most: int) -> None:
        """Have at most so many in flight from now on; where the number is fixed, so many."""
        self._most = most
        self.limit = most if self._is_fixed else min(self.limit, most)

    def enter(self) -> int:
        """Count a request that is sent now; return the ticket with which its end is reported."""
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return self._epoch

    def leave(self) -> None:
        """Count a request that ended in a way that says nothing about the service's limit."""
        self.in_flight -= 1

    def answered(self, ticket: int) -> None:
        """Count a request that was answered."""
        self.in_flight -= 1
        self._row = 0
        if self._is_fixed or ticket != self._epoch:
            return
        self._clean += 1
        if self._clean >= self.limit:
            if 2 * self._peak > self.limit:  # what is not used is not known to be taken
                self._grow(self._clean / max(self._clock() - self._window_began, 1e-9))
            self._begin_window()

    def congested(self, ticket: int) -> None:
        """Count a request that the service has not answered in time, as it does where too many wait in its queue."""
        together = self.in_flight
        self.in_flight -= 1
        if ticket == self._epoch and together > 1:
            self._epoch += 1
            self._shrink(together, self._clock())

    def refused(self, ticket: int, retry_after: float | None = None) -> None:
        """Count a request that the service refused as one too many.

        Args:
            ticket: The request's; those that were sent before the last refusal belong to that one.
            retry_after: Seconds to wait, as the service said; None where it did not.
        """
        together = self.in_flight
        self.in_flight -= 1
        self.refusals += 1
        now = self._clock()
        begins = ticket == self._epoch
        if begins:
            self._epoch += 1
            self._row += 1
            self._shrink(together, now)
        if retry_after is None:
            wait = self._first_wait * math.ldexp(1 + self._chance(), min(self._row, 16) - 1)
            wait = min(wait, _LONGEST_WAIT)
        else:
            wait = min(retry_after, _LONGEST_NAMED_WAIT)
        self._paused_until = max(self._paused_until, now + wait)
        if begins:
            self._on_pause(self.pause)

    def wait(self, seconds: float) -> None:
        """Send nothing for so many seconds: somebody else who asks the same service for the same map was refused."""
        if not self.pause:  # its own refusal has halved the limit otherwise
            self._epoch += 1
            self._begin_window()
            self._doubles = False
            self.limit = self.limit if self._is_fixed else max(1, self.limit // 2)
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _shrink(self, together: int, now: float) -> None:
        """Halve the limit, and remember what was too much: of one request alone the number was not."""
        self._begin_window()
        self._doubles = False
        if self._is_fixed:
            return
        if together > 1:
            if together > self._ceiling:  # an attempt to have more was in vain
                self._probe_pause = min(2 * self._probe_pause, _LONGEST_PROBE)
            self._ceiling = together - 1
            self._probe_at = now + self._probe_pause
        self.limit = max(1, min(together, self.limit) // 2)

    def _begin_window(self) -> None:
        self._clean = self._peak = 0
        self._window_began = self._clock()

    def _grow(self, rate: float) -> None:
        """Raise the limit after a window in which so many answers a second came."""
        if self.limit >= self._ceiling and self._clock() < self._probe_at:
            return
        gain = _GAIN if self._doubles else 1 + 0.5 / self.limit
        if (self._doubles or self._queues) and rate < gain * self._rate:  # they wait for each other
            self._queues, self._probe_pause = True, self._probe_pause if self._doubles else 2 * self._probe_pause
            self.limit = max(1, self.limit // 2 if self._doubles else self.limit - 1)
            self._ceiling, self._probe_at = self.limit, self._clock() + min(self._probe_pause, _LONGEST_PROBE)
            self._doubles = False
            return
        if self.limit > self._ceiling:  # a whole window of more than what was too much went well
            self._ceiling, self._probe_pause = math.inf, _PROBE_AFTER
        self._rate = rate
        self.limit = min(self.limit * 2 if self._doubles else self.limit + 1, self._most)
