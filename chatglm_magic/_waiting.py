"""How a reply is awaited inside a notebook, and how an interrupt ends it.

A task reads the reply's events; the code that asked waits for the task and keeps the output up to date. There are
three ways to wait, and a cell takes the first that it can:

- `await_reply`: the cell awaits. Other tasks go on, and the Stop button works.
- `block_for_reply`: plain functions, `%%time`, threads, terminals. The task runs in the loop thread, and the caller
  empties a queue.
- `block_for_reply(nested=True)`, where the user chose it (`%config ChatGLMMagics.nested = "nest"`): the task runs in
  the notebook's own loop, which nest-asyncio2 makes run once more inside itself.

In each way the waiting code wakes every `TICK` seconds. That is how often the output is updated, and it is what lets an
interrupt bite: a kernel's signal handler leaves its work to a loop that may sleep until the next chunk comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._errors import Interrupted
from ._event_loops import TICK, call_soon, io_thread, ticking, waiting_thread
from ._language import tr

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from types import FrameType

    from ._events import ColumnEvent, Event
    from ._reply import Reply

    Open = Callable[[Callable[[str], None]], AsyncGenerator[Event | ColumnEvent]]
    """Opens a reply: takes a function to call with the reason why nothing has come yet, returns its events."""

T = TypeVar("T")

_OFFER_AFTER = 1.0
"""Seconds after which a reply is long enough for a Stop button, which costs an import."""

_PATIENCE = 1.0
"""Seconds that a cancelled reply may take to hang up; after that it is not waited for any more."""

_RUN = 200
"""Events after which other tasks may run, though more may be there: a millisecond's."""


class Sink(Protocol):
    """Where a reply's events go, such as a renderer. Called only in the thread that waits."""

    def write(self, event: Any) -> None:  # noqa: ANN401 - an `Event`, or a `ColumnEvent` of one that shows several
        """Take an event."""

    def status(self, text: str) -> None:
        """Take the reason why nothing has come yet."""

    def tick(self) -> None:
        """Do what is due by time; called about every `TICK` seconds."""


class Stop(Protocol):
    """A way for the user to stop a reply, other than an interrupt."""

    def offer(self, stop: Callable[[], None]) -> None:
        """Show it; `stop` may be called any number of times, from any thread."""

    def withdraw(self) -> None:
        """Take it away; called exactly once, even if it was never offered."""


async def await_reply(open_events: Open, sink: Sink, reply: Reply, stop: Stop | None = None) -> None:
    """Wait for a reply in the running loop.

    Args:
        open_events: Opens the reply; the generator that it returns is closed at the end.
        sink: Where the events go.
        reply: Where `open_events` adds the events up.
        stop: Offered once the reply has run for a second. A reply that it stopped is no error.

    Raises:
        Interrupted: This was cancelled, which is how kernels interrupt a cell that awaits.
        Exception: Whatever ended the reply.
    """
    reading = _Reading(open_events, sink.write, sink.status)
    _stops[id(reply)] = reading.stop
    try:
        offer_at = time.monotonic() + _OFFER_AFTER
        while not reading.task.done():
            await asyncio.wait({reading.task}, timeout=TICK)
            sink.tick()
            if stop is not None and time.monotonic() >= offer_at and not reading.task.done():
                offer_at = math.inf
                stop.offer(reading.stop)
    except asyncio.CancelledError:
        await reading.leave()
        _uncancel()
        reply.end("interrupted")
        raise Interrupted(reply) from None
    finally:
        del _stops[id(reply)]
        if not reading.task.done():  # the sink failed
            await reading.leave()
        if stop is not None:
            stop.withdraw()
    reading.conclude(reply)


async def await_interruptibly(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that is no reply, such as a list of models, in a cell.

    Raises:
        KeyboardInterrupt: This was cancelled.
        Exception: What the coroutine raises.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        with ticking():
            await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE)
        _uncancel()
        raise KeyboardInterrupt from None
    return task.result()


def _uncancel() -> None:
    """Take the running task's cancellation back: its cell goes on to report an interrupt."""
    if (current := asyncio.current_task()) is not None:
        current.uncancel()


_stops: dict[int, Callable[[], None]] = {}
"""Functions that stop the replies that `await_reply` waits for, by the replies' ids."""


def stop_reply(reply: Reply) -> bool:
    """Stop a reply as its Stop button does, from any thread; return False if a plain function must be interrupted."""
    stop = _stops.get(id(reply))
    if stop is not None:
        stop()
    return stop is not None


def block_for_reply(open_events: Open, sink: Sink, reply: Reply, *, nested: bool, note: Callable[[str], None]) -> None:
    """Wait for a reply in a plain function, in any thread, whether or not a loop is running there.

    Args:
        open_events: As for `await_reply`.
        sink: As for `await_reply`; used in the calling thread.
        reply: As for `await_reply`.
        nested: Run the notebook's own loop inside itself instead of using the loop thread.
        note: Called with the reason why that cannot be done; the loop thread is used then.

    Raises:
        Interrupted: Ctrl-C, or a kernel's interrupt.
        Exception: Whatever ended the reply.
    """
    wait = _wait_nested if nested and _can_nest(note) else _wait_for_thread
    with _sigint() as interrupted:
        reading = wait(open_events, sink, interrupted)
    if interrupted() or reading is None:
        reply.end("interrupted")
        raise Interrupted(reply)
    reading.conclude(reply)


class _Reading:
    """Reads a reply's events in a task of the running loop.

    Attributes:
        task: Done when the reply has ended, or has been left.
    """

    def __init__(self, open_events: Open, write: Callable[[Any], object], notify: Callable[[str], None]) -> None:
        self._left = self._stopped = False
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._read(open_events, write, notify))

    async def _read(self, open_events: Open, write: Callable[[Any], object], notify: Callable[[str], None]) -> None:
        """Read to the end; where many events are there already, let other tasks run now and then."""
        run = 0
        async with contextlib.aclosing(open_events(notify)) as events:
            async for event in events:
                if self._left:  # a provider that swallowed the cancellation
                    return
                write(event)
                run += 1
                if run == _RUN:
                    await asyncio.sleep(0)
                    run = 0

    def stop(self) -> None:
        """Stop reading; may be called from any thread. The reply counts as interrupted, and that is no error."""
        self._stopped = True
        call_soon(self._loop, self.task.cancel)

    async def leave(self) -> None:
        """Cancel the task and wait for it to hang up, but not for ever."""
        self._left = True
        for _ in range(2):
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # interrupted once more: we are leaving already
                await asyncio.wait({self.task}, timeout=_PATIENCE / 2)
            if self.task.done():
                break
        # asyncio complains of an exception that nothing has asked for.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def conclude(self, reply: Reply) -> None:
        """Raise what ended the task, which is done."""
        if not self.task.cancelled():
            self.task.result()
        elif self._stopped:
            reply.end("interrupted")
        else:  # something cancelled all tasks of the loop
            raise Interrupted(reply)


@contextlib.contextmanager
def _sigint() -> Generator[Callable[[], bool]]:
    """Handle interrupts while the block runs; the block gets a function that returns whether there was one.

    The first signal only sets a flag, so that it breaks nothing off half done; a second one raises KeyboardInterrupt.
    A kernel's own handler is replaced too: it cancels the cell's task, which has no effect while a function that the
    cell called blocks the loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python delivers signals to the main thread alone
        return
    interrupted = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(signum, frame)
        interrupted = True

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: interrupted
    except KeyboardInterrupt:  # the second one: a clean end is not waited for any more
        interrupted = True
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


def _wait_nested(open_events: Open, sink: Sink, interrupted: Callable[[], bool]) -> _Reading | None:
    """Wait while the running loop runs inside itself; return None where the reading did not end in time."""
    loop = asyncio.get_running_loop()
    reading = _Reading(open_events, sink.write, sink.status)
    try:
        while not reading.task.done() and not interrupted():
            loop.run_until_complete(asyncio.wait({reading.task}, timeout=TICK))
            sink.tick()
    finally:
        if not reading.task.done():
            loop.run_until_complete(reading.leave())
    return reading if reading.task.done() else None


def _can_nest(note: Callable[[str], None]) -> bool:
    """Patch the running loop so that it can run inside itself; return whether there is one and it can."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a terminal, a thread
        return False
    import nest_asyncio2  # only here, and only for users who chose it: it patches asyncio for good

    try:
        nest_asyncio2.apply(loop)
    except ValueError:
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        note(
            tr('nested = "nest" cannot work with this notebook\'s loop ({kind}); a thread is used instead.', kind=kind)
        )
        return False
    return True


def _wait_for_thread(open_events: Open, sink: Sink, interrupted: Callable[[], bool]) -> _Reading | None:
    """Wait while the loop thread reads; return None where the reading did not end in time."""
    if io_thread.is_current:
        raise RuntimeError(tr("A provider asked a question of its own with the magic; it must use Chat."))
    loop = io_thread.loop()
    calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    reading: _Reading | None = None

    def start() -> None:
        nonlocal reading
        # What a person stopped runs nothing more.
        waiting_thread.set(lambda call: calls.put(lambda: None if interrupted() else call()))
        reading = _Reading(
            open_events,
            lambda event: calls.put(partial(sink.write, event)),
            lambda text: calls.put(partial(sink.status, text)),
        )
        reading.task.add_done_callback(lambda _: calls.put(None))

    async def leave() -> None:
        if reading is not None:
            await reading.leave()

    # In the caller's context, so that what a provider prints goes to the caller's cell.
    loop.call_soon_threadsafe(start)
    done = False
    try:
        done = _follow(calls, sink, interrupted)
    finally:
        if not done:
            asyncio.run_coroutine_threadsafe(leave(), loop)
            give_up_at = time.monotonic() + _PATIENCE + TICK
            done = _follow(calls, sink, lambda: time.monotonic() > give_up_at)
    return reading if done else None


def _follow(calls: SimpleQueue[Callable[[], None] | None], sink: Sink, enough: Callable[[], bool]) -> bool:
    """Make the calls in a queue until it ends with None (True is returned), or until `enough()`."""
    tick_at = time.monotonic() + TICK
    while not enough():
        with contextlib.suppress(Empty):
            call = calls.get(timeout=max(0.0, tick_at - time.monotonic()))
            if call is None:
                return True
            call()
        if time.monotonic() >= tick_at:
            sink.tick()
            tick_at = time.monotonic() + TICK
    return False


def let_code_be_interrupted(runs_code: Callable[[FrameType | None], bool]) -> None:
    """Make interrupts reach a cell's plain code although the cell awaits, until the kernel resets its handler.

    For a cell that awaits, kernels install a handler that cancels the cell's task, which code between two awaits never
    notices. A cell that awaits only because of our input transformer must stay as interruptible as it was written.
    `runs_code` returns whether a frame runs inside a cell's code.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    kernels = signal.getsignal(signal.SIGINT)
    if not callable(kernels) or kernels is signal.default_int_handler:
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if runs_code(frame) and not _waits(frame):
            signal.default_int_handler(signum, frame)
        kernels(signum, frame)

    signal.signal(signal.SIGINT, handle)


def _waits(frame: FrameType | None) -> bool:
    """Return whether a frame runs inside `await_reply`, which takes interrupts as cancellations."""
    while frame is not None:
        if frame.f_code is await_reply.__code__:
            return True
        frame = frame.f_back
    return False
