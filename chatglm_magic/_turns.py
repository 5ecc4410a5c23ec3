"""One at a time, first come first served, across event loops; no I/O."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """A fair lock that coroutines of different event loops may share.

    `asyncio.Lock` belongs to one loop; a notebook has two (its own and the loop thread). A loop that is
    closed loses its turn, held or waited for: nothing runs there that could give it back.
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._holder: _Ticket | None = None
        self._queue: deque[_Ticket] = deque()

    @asynccontextmanager
    async def turn(self, on_wait: Callable[[], None] | None = None) -> AsyncGenerator[None]:
        """Hold the turn for the length of a block.

        Args:
            on_wait: Called once if the turn is not free at once.
        """
        ticket = _Ticket()
        with self._guard:
            if self._holder is not None and self._holder.loop.is_closed():
                self._pass_on(self._holder)
            if self._holder is None:
                self._holder = ticket
            else:
                self._queue.append(ticket)
            waiting = self._holder is not ticket
        try:
            if waiting:
                if on_wait is not None:
                    on_wait()
                await ticket.called
            yield
        finally:
            self._pass_on(ticket)

    def _pass_on(self, ticket: _Ticket) -> None:
        """Take a ticket back; where it held the turn, give that to the next."""
        with self._guard:
            if self._holder is not ticket:
                # Given up while it waited, or taken away as its loop was closed.
                if ticket in self._queue:
                    self._queue.remove(ticket)
                return
            self._holder = None
            while self._holder is None and self._queue:
                following = self._queue.popleft()
                try:
                    following.loop.call_soon_threadsafe(following.call)
                except RuntimeError:  # its loop is closed
                    continue
                self._holder = following


class _Ticket:
    """One coroutine's place in the queue."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.called: asyncio.Future[None] = self.loop.create_future()

    def call(self) -> None:
        if not self.called.done():  # it may have been cancelled in the meantime
            self.called.set_result(None)


_TURNS: WeakValueDictionary[tuple[object, ...], Turns] = WeakValueDictionary()
_TURNS_GUARD = threading.Lock()


def turns_of(name: tuple[object, ...]) -> Turns:
    """Give the turns of that name: the same ones to all that hold or want them now."""
    with _TURNS_GUARD:
        return _TURNS.setdefault(name, Turns())
