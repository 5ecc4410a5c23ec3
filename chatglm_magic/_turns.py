"""One at a time, first come first served, across event loops; no I/O."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Turns:
    """A fair lock that coroutines of different event loops may share.

    `asyncio.Lock` belongs to one loop; a notebook has two (its own and the loop thread).
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._queue: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, on_wait: Callable[[], None] | None = None) -> AsyncGenerator[None]:
        """Hold the turn for the length of a block.

        Args:
            on_wait: Called once if the turn is not free at once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] | None = None
        with self._guard:
            if self._taken:
                future = loop.create_future()
                self._queue.append((loop, future))
            self._taken = True
        if future is not None:
            if on_wait is not None:
                on_wait()
            try:
                await future
            except BaseException:
                self._leave(loop, future)
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _leave(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        """Give up waiting; the turn may have been given to us in the same moment."""
        with self._guard:
            waiting = (loop, future) in self._queue
            if waiting:
                self._queue.remove((loop, future))
        if not waiting:
            self._pass_on()

    def _pass_on(self) -> None:
        while True:
            with self._guard:
                if not self._queue:
                    self._taken = False
                    return
                loop, future = self._queue.popleft()
            try:
                loop.call_soon_threadsafe(_grant, future)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue
            return


def _grant(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
