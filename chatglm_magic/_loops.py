"""The loops there are: the notebook's own, remembered, and a second one in a thread for who cannot await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_TICK = 0.05
"""Seconds between two looks at interrupts."""

_PATIENCE = 1.0
"""Seconds that what still runs may take to end when the thread does."""

_main: asyncio.AbstractEventLoop | None = None


def remember_main_loop(shell: object) -> None:
    """Remember the notebook's own loop: what other threads hop to."""
    global _main  # noqa: PLW0603 - one kernel has one main loop
    try:
        _main = asyncio.get_running_loop()
    except RuntimeError:  # loaded before the kernel runs, or in a terminal
        _main = getattr(getattr(getattr(shell, "kernel", None), "io_loop", None), "asyncio_loop", None)


def main_loop() -> asyncio.AbstractEventLoop | None:
    """Give the notebook's own loop; None in a terminal.

    Widget callbacks may come in a thread of another loop (ipykernel 7.0 to 7.3): they go on here, with
    `asyncio.run_coroutine_threadsafe`.
    """
    return _main


@contextmanager
def ticking() -> Generator[None]:
    """Wake the running loop now and then for the length of a block.

    A kernel's handler of interrupts leaves its work to the loop; one that sleeps until the next byte arrives
    does it only then. Other threads than the main one get no signals, and no ticks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def tick() -> None:
        nonlocal handle
        handle = loop.call_later(_TICK, tick)

    tick()
    try:
        yield
    finally:
        handle.cancel()


async def wait_here(coroutine: Coroutine[Any, Any, T]) -> T:
    """Wait in a cell that awaits: kernels hand an interrupt to it as a cancellation.

    Raises:
        KeyboardInterrupt: This was cancelled.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        while not task.done():
            # A kernel's signal handler leaves its work to the loop, which must wake to do it.
            await asyncio.wait({task}, timeout=_TICK)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE)
        # The cell goes on to report this: it has not been cancelled itself.
        if (current := asyncio.current_task()) is not None:
            current.uncancel()
        raise KeyboardInterrupt from None
    return task.result()


class LoopThread:
    """A loop in a daemon thread of its own; started at first use, one for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_current(self) -> bool:
        """Whether this is called in that thread, which must never wait for itself."""
        return threading.current_thread() is self._thread

    def loop(self) -> asyncio.AbstractEventLoop:
        """Give the loop, running."""
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
"""The one second loop."""
