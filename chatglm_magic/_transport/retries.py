"""Another attempt, where the failure came before the first event and waiting may help."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar

from .._errors import ProviderError
from .._events import Event, Finished
from .._language import marked, tr

ATTEMPTS = 3
BUDGET = 10.0
"""Seconds from the first failure to the start of the last attempt."""

_FIRST_WAIT = 0.5
_WAITING = {
    "rate_limit": marked("rate limited; trying again in {seconds:.1f} s"),
    "server": marked("the service failed; trying again in {seconds:.1f} s"),
    "connect": marked("no connection; trying again in {seconds:.1f} s"),
    "truncated": marked("the connection broke; trying again in {seconds:.1f} s"),
}
_WAITING_ANYHOW = marked("failed; trying again in {seconds:.1f} s")


_single: ContextVar[bool] = ContextVar("single", default=False)


@contextmanager
def single_attempts() -> Generator[None]:
    """Make one attempt at each request of the block and its tasks, at once: the caller says when, and how often.

    So no request is tried again here, and none waits for another one with its key.
    """
    token = _single.set(True)
    try:
        yield
    finally:
        _single.reset(token)


def is_single_attempt() -> bool:
    """Return whether the caller has a patience of its own, see `single_attempts`."""
    return _single.get()


async def with_retries(
    attempt: Callable[[], AsyncGenerator[Event]], *, notify: Callable[[str], None] | None
) -> AsyncGenerator[Event]:
    """Yield the events of the first attempt that gets as far as an event.

    A `ProviderError` whose `retryable` is set is tried again, at most `ATTEMPTS` times in all and within `BUDGET`
    seconds; never after the first event, as the reader would see the words twice. A service that names the wait
    (`retry_after`) gets it, or if that is beyond the budget, its error is raised at once. `Finished("error")` as the
    first event is held back: it only counts as an event once the error behind it is final.

    Args:
        attempt: Makes one attempt.
        notify: Called before each wait with one sentence.

    Raises:
        ProviderError: The last attempt's.
    """
    deadline = math.inf
    for number in itertools.count(1):
        events = attempt()
        first, failure = await _begin(events)
        if failure is None:
            break
        if number == 1:
            deadline = time.monotonic() + BUDGET
        wait = _wait_after(failure, number)
        if not failure.retryable or number == ATTEMPTS or is_single_attempt() or time.monotonic() + wait > deadline:
            if first is not None:
                yield first
            raise failure
        if notify is not None:
            notify(tr(_WAITING.get(failure.kind, _WAITING_ANYHOW), seconds=wait))
        await asyncio.sleep(wait)
    async with aclosing(events):
        if first is not None:
            yield first
        async for event in events:
            yield event


async def _begin(events: AsyncGenerator[Event]) -> tuple[Event | None, ProviderError | None]:
    """Return an attempt's first event, if it has any, and the error that came in its place or behind `Finished`."""
    first = None
    try:
        first = await anext(events, None)
        if isinstance(first, Finished) and first.reason == "error":
            await anext(events, None)  # raises the error behind it
    except ProviderError as error:
        return first, error
    return first, None


def _wait_after(failure: ProviderError, failures: int) -> float:
    """Return the seconds to wait after so many failures: as long as the service says, else twice as long each time."""
    asked: float | None = getattr(failure, "retry_after", None)
    # Jitter: many notebooks of one class fail in the same second.
    jitter = random.uniform(1, 2)  # noqa: S311 - no secret
    return _FIRST_WAIT * math.ldexp(jitter, failures - 1) if asked is None else asked
