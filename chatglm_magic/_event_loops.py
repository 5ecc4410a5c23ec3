"""The event loops of a process: the notebook's own, a second one in a thread, and what keeps both of them running."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from ._errors import ConfigError
from ._language import tr

T = TypeVar("T")

TICK = 0.05
"""Seconds after which a loop that waits wakes up, so that an interrupt bites and the output is updated."""

_PATIENCE = 1.0
"""Seconds that cancelled tasks may take to end."""

waiting_thread: ContextVar[Callable[[Callable[[], None]], None] | None] = ContextVar("waiting_thread", default=None)
"""Hands a call to the thread that waits for this reply and to which its user's code belongs; None where the reply's
own thread is that."""

_main: asyncio.AbstractEventLoop | None = None


def remember_main_loop(shell: object) -> None:
    """Remember the notebook's own loop, for other threads to call into; a kernel's shell leads to it before it runs."""
    global _main  # noqa: PLW0603 - one kernel has one main loop
    try:
        _main = asyncio.get_running_loop()
    except RuntimeError:  # loaded before the kernel runs, or in a terminal
        _main = getattr(getattr(getattr(shell, "kernel", None), "io_loop", None), "asyncio_loop", None)


def main_loop() -> asyncio.AbstractEventLoop | None:
    """Return the notebook's own loop; None in a terminal.

    Widget callbacks may come in a thread of another loop (ipykernel 7.0 to 7.3); they continue in this one, with
    `asyncio.run_coroutine_threadsafe`.
    """
    return _main


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs here.

    Raises:
        ConfigError: None of asyncio's does; trio runs, for instance.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = tr(
            "Replies need asyncio, and here runs another loop, such as trio: say %autoawait asyncio in a notebook, or "
            "ask in a thread of its own with asyncio.run(…)."
        )
        raise ConfigError(msg) from None


@contextmanager
def ticking() -> Generator[None]:
    """Wake the running loop every `TICK` seconds while the block runs.

    A kernel's interrupt handler leaves its work to the loop, and a loop that sleeps until the next byte arrives does
    it only then. Only the main thread gets signals, so in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = running_loop()
    handle: asyncio.TimerHandle

    def tick() -> None:
        nonlocal handle
        handle = loop.call_later(TICK, tick)

    tick()
    try:
        yield
    finally:
        handle.cancel()


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call a function in a loop, from any thread; not at all if the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


class LoopThread:
    """An event loop in a daemon thread of its own, started at first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in that thread, which must never wait for itself."""
        return threading.current_thread() is self._thread

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        with self._lock:
            # After a fork the thread is gone, and its loop with it.
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="chatglm-io", daemon=True)
                self._thread.start()
            return self._loop

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in that thread and wait for its end in this one; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop())
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """End the thread, if there is one; the next use starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and end what still runs in it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


io_thread = LoopThread()
"""The only second loop of this process."""


class IteratorThread(Generic[T]):
    """Reads an iterator in a daemon thread, so that no loop stands still while it waits for its next item.

    The thread is the same for all items, and reads only as many ahead as somebody wants. What was read and not taken
    is there for whoever takes next. The thread ends with the iterator, or once this is not used any more.

    Args:
        items: The iterator.
        owner: What it iterates over: threads with the same owner take turns. None for the iterator itself.
    """

    def __init__(self, items: Iterator[T], owner: object = None) -> None:
        self._reading = _Reading(items, _turns.setdefault(id(items if owner is None else owner), threading.Lock()))
        self._context = copy_context()
        self._ordered = 0  # items that are there, and those that the thread is to read
        self._is_begun = False
        weakref.finalize(self, self._reading.close)

    async def take(self, most: int) -> tuple[list[T], BaseException | None]:
        """Wait for an item, and return those that are there, so many at most, and the error that stands behind them.

        At the end there is neither. Giving up waiting loses nothing.
        """
        found = self._reading.found
        while True:
            news = self._reading.news
            self._order(most)
            if found:
                break
            await asyncio.wrap_future(news)
        items: list[T] = []
        while found and len(items) < most and isinstance(found[0], tuple):
            items.append(found.popleft()[0])
        is_broken = bool(found) and isinstance(found[0], BaseException) and len(items) < most
        error = found.popleft() if is_broken else None
        self._ordered -= len(items) + is_broken
        return items, error

    def peek(self, seconds: float) -> T | None:
        """Wait in this thread for the next item, and leave it there; None where none comes in that time."""
        news, found = self._reading.news, self._reading.found
        self._order(1)
        if not found:
            concurrent.futures.wait((news,), seconds)
        return found[0][0] if found and isinstance(found[0], tuple) else None

    def _order(self, most: int) -> None:
        """Have the thread read until there are so many items."""
        if not self._is_begun:
            self._is_begun = True
            threading.Thread(
                target=self._context.run, args=(self._reading.run,), name="chatglm-rows", daemon=True
            ).start()
        if (more := most - self._ordered) > 0:
            self._ordered += more
            self._reading.wanted.release(more)


_turns: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class _Reading:
    """What the thread of an `IteratorThread` works on.

    Attributes:
        found: What was read: items, each in a tuple, and errors; at the end None, which stays.
        news: Done as soon as more was found; another one then.
        wanted: How many items are to be read.
    """

    def __init__(self, items: Iterator[Any], turn: Any) -> None:  # noqa: ANN401 - a lock
        self.found: deque[Any] = deque()
        self.news = _uncancellable()
        self.wanted = threading.Semaphore(0)
        self._items, self._turn = items, turn
        self._is_closed = False

    def run(self) -> None:
        """Read what is wanted."""
        while not self.found or self.found[-1] is not None:
            self.wanted.acquire()
            if self._is_closed:
                return
            one: object = None
            try:
                with self._turn:
                    one = (next(self._items),)
            except StopIteration:
                pass
            except BaseException as error:  # noqa: BLE001 - of the user's own; it is told to whoever takes
                one = error
            self.found.append(one)
            news, self.news = self.news, _uncancellable()
            news.set_result(None)

    def close(self) -> None:
        """Have the thread end, once the iterator lets it."""
        self._is_closed = True
        self.wanted.release()


def _uncancellable() -> concurrent.futures.Future[None]:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()
    return future


class FairLock:
    """A lock that serves coroutines of several event loops in the order in which they ask.

    `asyncio.Lock` belongs to one loop; a notebook has two (its own and the loop thread's). A loop that is closed loses
    its turn, held or waited for: nothing runs there that could pass it on.
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._holder: asyncio.Future[None] | None = None
        self._queue: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, on_wait: Callable[[], None] | None = None) -> AsyncGenerator[None]:
        """Hold the lock while the block runs; call `on_wait` once if it is not free at once."""
        ticket: asyncio.Future[None] = running_loop().create_future()
        with self._guard:
            if self._holder is not None and self._holder.get_loop().is_closed():
                self._pass_on(self._holder)
            waits = self._holder is not None
            if waits:
                self._queue.append(ticket)
            else:
                self._holder = ticket
        try:
            if waits:
                if on_wait is not None:
                    on_wait()
                await ticket
            yield
        finally:
            self._pass_on(ticket)

    def _pass_on(self, ticket: asyncio.Future[None]) -> None:
        """Take a ticket back; if it held the lock, the next one gets it."""
        with self._guard:
            if self._holder is not ticket:
                # Its coroutine gave up while it waited, or it lost the lock as its loop was closed.
                if ticket in self._queue:
                    self._queue.remove(ticket)
                return
            self._holder = None
            while self._holder is None and self._queue:
                following = self._queue.popleft()
                try:
                    following.get_loop().call_soon_threadsafe(_call, following)
                except RuntimeError:  # its loop is closed
                    continue
                self._holder = following


def _call(ticket: asyncio.Future[None]) -> None:
    if not ticket.done():  # it may have been cancelled in the meantime
        ticket.set_result(None)


_locks: dict[tuple[object, ...], FairLock] = {}


def fair_lock_of(*name: object) -> FairLock:
    """Return the lock of that name, the same one each time; a process has a handful of names, and they are kept."""
    return _locks.setdefault(name, FairLock())
