"""Stored answers one by one: not so fast that a server drops what the cells show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from .._events import Event
from .._reply import Reply

_GAP = 0.05
"""Seconds between two stored answers: each is one message, and servers take 20 a second without dropping any."""

_next = 0.0
"""When the next one may be shown, on the monotonic clock; cells are run one by one, and jobs may be early."""


async def paced(events: AsyncGenerator[Event], reply: Reply) -> AsyncGenerator[Event]:
    """Give a reply's events; those of a stored answer when it is its turn.

    Args:
        events: As the conversation gives them.
        reply: Where they are added up.
    """
    waited = False
    async with aclosing(events):
        async for event in events:
            if not waited and reply.replayed is not None:
                await asyncio.sleep(_turn())
            waited = True
            yield event


def _turn() -> float:
    """Take a turn; give the seconds until it."""
    global _next  # noqa: PLW0603 - one clock for all cells of a kernel
    now = time.monotonic()
    at = max(now, _next)
    _next = at + _GAP
    return at - now
