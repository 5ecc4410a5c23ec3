"""Another try, where the failure came before the first event and waiting may help."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from .._errors import ProviderError
from .._events import Event, Finished

ATTEMPTS = 3
BUDGET = 10.0
"""Seconds from the first failure to the start of the last attempt."""

_FIRST_WAIT = 0.5
_WHY = {
    "rate_limit": "rate limited",
    "server": "the service failed",
    "connect": "no connection",
    "truncated": "the connection broke",
}


async def with_retries(
    attempt: Callable[[], AsyncGenerator[Event]], *, notify: Callable[[str], None] | None
) -> AsyncGenerator[Event]:
    """Yield the events of the first attempt that gets as far as an event.

    A `ProviderError` whose `retryable` is set is tried again, at most `ATTEMPTS` times in all and
    within `BUDGET` seconds; never after the first event, as the reader would see the words twice. A
    service that names the wait (`retry_after`) gets it, or if that is beyond the budget, its error is
    raised at once. `Finished("error")` as the first event is held back: it is only an event once the
    error behind it is final.

    Args:
        attempt: Makes one attempt.
        notify: Told about each wait in one sentence.
    """
    held: list[Finished] = []
    failure: ProviderError | None = None
    try:
        events, first = await _begin(attempt, held, notify)
    except ProviderError as error:
        failure = error
    if failure is not None:
        for finished in held:
            yield finished
        raise failure
    async with aclosing(events):
        if first is not None:
            yield first
        async for event in events:
            yield event


async def _begin(
    attempt: Callable[[], AsyncGenerator[Event]], held: list[Finished], notify: Callable[[str], None] | None
) -> tuple[AsyncGenerator[Event], Event | None]:
    """Give the attempt that got somewhere, and its first event (None: it ended without any)."""
    try:
        return await _try(attempt, held)
    except ProviderError as error:
        if not error.retryable:
            raise
        first_error = error

    import stamina  # at the first failure: most requests need none of it

    # Without a handler of its own, its warnings would be printed into the user's cell.
    logging.getLogger("stamina").addHandler(logging.NullHandler())
    wait = _Wait(notify)
    async for tried in stamina.retry_context(on=wait.after, attempts=ATTEMPTS, timeout=BUDGET):
        with tried:
            if tried.num == 1:
                raise first_error  # the attempt that was made above
            return await _try(attempt, held)
    raise first_error  # not reached: the last attempt raises its own


async def _try(
    attempt: Callable[[], AsyncGenerator[Event]], held: list[Finished]
) -> tuple[AsyncGenerator[Event], Event | None]:
    """Start one attempt and wait for its first event; one that raises has closed itself."""
    held.clear()
    events = attempt()
    first = await anext(events, None)
    if isinstance(first, Finished) and first.reason == "error":
        held.append(first)
        await anext(events, None)  # raises the error behind it
        held.clear()
    return events, first


class _Wait:
    """How long to wait after each failure."""

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._deadline = time.monotonic() + BUDGET
        self._failures = 0

    def after(self, error: Exception) -> float | bool:
        """Give the seconds to wait, or False to give up; stamina asks after each failure."""
        self._failures += 1
        if not isinstance(error, ProviderError) or not error.retryable or self._failures >= ATTEMPTS:
            return False
        asked = getattr(error, "retry_after", None)
        # Jitter: many notebooks of one class fail in the same second.
        backoff = _FIRST_WAIT * 2 ** (self._failures - 1) * random.uniform(1, 2)  # noqa: S311 - no secret
        wait: float = backoff if asked is None else asked
        if time.monotonic() + wait > self._deadline:
            return False
        if self._notify is not None:
            self._notify(f"{_WHY.get(error.kind, 'failed')}; trying again in {wait:.1f} s")
        return wait
