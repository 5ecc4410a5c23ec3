"""The one module that knows how to wait inside a notebook.

A reply is drained by a task; the code that asked for it waits and keeps the picture moving. There are
three ways to wait, and a cell takes the first that it can:

- `in_this_loop`: the cell awaits. Other tasks and the Stop button live on.
- `in_call`: plain functions, `%%time`, threads, terminals. The task runs in one long-lived loop in a thread
  of its own, and the caller empties a queue; or, where the user chose it, the task runs in the notebook's own
  loop, which nest-asyncio2 makes run once more inside itself.

Whichever it is, somebody wakes every 50 ms. That is the clock of the picture, and it is what lets an
interrupt bite: a kernel's signal handler leaves its work to a loop that may sleep until the next chunk comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import signal
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from ._errors import Interrupted
from ._loops import io_thread
from ._values import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import FrameType

    from ._events import Event
    from ._reply import Reply

    Open = Callable[[Callable[[str], None]], AsyncGenerator[Event]]
    """Opens a reply: takes whom to tell why nothing has come yet, gives its events."""

TICK = 0.05
"""Seconds between two looks at the picture and at interrupts."""

_OFFER_AFTER = 1.0
"""Seconds after which a reply is long enough for a Stop button, which costs an import."""

_PATIENCE = 1.0
"""Seconds that a cancelled reply may take to hang up before it is left to itself."""

_BREATH = 0.01
"""Seconds for which a reply that never suspends may keep the loop from everything else."""


class Sink(Protocol):
    """Where a reply's events go; a renderer is one. Called in the waiting thread alone."""

    def write(self, event: Event) -> None:
        """Take an event."""

    def status(self, text: str) -> None:
        """Take the reason why nothing has come yet."""

    def tick(self) -> None:
        """Take notice that time has passed."""


class Stop(Protocol):
    """A way for the user to stop a reply, other than an interrupt."""

    def offer(self, stop: Callable[[], None]) -> None:
        """Show it; `stop` may be called once or more, from any thread."""

    def withdraw(self) -> None:
        """Take it away; called exactly once, also where it was never offered."""


class _Drain:
    """Reads a reply's events in a task, until the reply ends or nobody waits for it any more."""

    def __init__(self, open_events: Open, write: Callable[[Event], object], notify: Callable[[str], None]) -> None:
        self._open = open_events
        self._write = write
        self._notify = notify
        self._left = False

    async def run(self) -> None:
        """Read to the end, letting the loop breathe between events that are all there already."""
        breath = time.monotonic()
        async with contextlib.aclosing(self._open(self._notify)) as events:
            async for event in events:
                if self._left:  # a provider that swallowed the cancellation
                    return
                self._write(event)
                if time.monotonic() - breath > _BREATH:
                    await asyncio.sleep(0)
                    breath = time.monotonic()

    async def leave(self, task: asyncio.Task[None]) -> None:
        """Cancel the task and wait for it to hang up, but not for ever."""
        self._left = True
        for _ in range(2):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # interrupted once more: we are leaving already
                await asyncio.wait({task}, timeout=_PATIENCE / 2)
            if task.done():
                break
        task.add_done_callback(_look_at)


def _look_at(task: asyncio.Task[None]) -> None:
    """Take note of how a task that was left has ended, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()


async def in_this_loop(open_events: Open, sink: Sink, reply: Reply, stop: Stop | None = None) -> None:
    """Wait for a reply in the running loop.

    Args:
        open_events: Opens the reply; what it gives is closed.
        sink: Where the events go.
        reply: Where they are added up by whoever opens them.
        stop: Offered once the reply has run for a second. A reply it stopped is no error.

    Raises:
        Interrupted: This was cancelled: so do kernels hand an interrupt to a cell that awaits.
        Exception: Whatever ended the reply.
    """
    loop = asyncio.get_running_loop()
    drain = _Drain(open_events, sink.write, sink.status)
    task = loop.create_task(drain.run())
    stopped = False

    def stop_task() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    _STOPS[reply] = lambda: call_soon(loop, stop_task)
    try:
        await _watch(task, sink, stop, _STOPS[reply])
    except asyncio.CancelledError:
        await drain.leave(task)
        # The cell goes on to report this: it has not been cancelled itself.
        if (current := asyncio.current_task()) is not None:
            current.uncancel()
        reply.end("interrupted")
        raise Interrupted(reply) from None
    finally:
        del _STOPS[reply]
        if not task.done():  # the sink failed
            await drain.leave(task)
        if stop is not None:
            stop.withdraw()
    _conclude(task, reply, stopped=stopped)


_STOPS: WeakKeyDictionary[Reply, Callable[[], None]] = WeakKeyDictionary()
"""How to stop the replies that are waited for in a loop."""


def stop_reply(reply: Reply) -> bool:
    """Stop a reply, as its Stop button does, wherever it was asked for; from any thread.

    Returns:
        Whether that can be done: a plain function that waits for it has to be interrupted.
    """
    stop = _STOPS.get(reply)
    if stop is not None:
        stop()
    return stop is not None


async def _watch(task: asyncio.Task[None], sink: Sink, stop: Stop | None, stop_task: Callable[[], None]) -> None:
    """Tick until a task is done; offer to stop it when it has run for a while."""
    offer_at = time.monotonic() + _OFFER_AFTER
    while not task.done():
        await asyncio.wait({task}, timeout=TICK)
        sink.tick()
        if stop is not None and time.monotonic() >= offer_at and not task.done():
            offer_at = math.inf
            stop.offer(stop_task)


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call something in a loop, from any thread; not at all where the loop is gone."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def in_call(open_events: Open, sink: Sink, reply: Reply, *, nested: bool, note: Callable[[str], None]) -> None:
    """Wait for a reply in a plain function, in any thread, whether or not a loop is running there.

    Args:
        open_events: As for `in_this_loop`.
        sink: As for `in_this_loop`; used in the calling thread.
        reply: As for `in_this_loop`.
        nested: Run the notebook's own loop inside itself instead of using a second one.
        note: Told why that cannot be done; the second loop is used then.

    Raises:
        Interrupted: Ctrl-C, or a kernel's interrupt.
        Exception: Whatever ended the reply.
    """
    if nested:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nothing to nest in: a terminal, a thread
            nested = False
        else:
            why_not = _make_nestable(loop)
            if why_not:
                note(why_not)
                nested = False
    with _sigint() as interrupt:
        wait = _in_nested_loop if nested else _in_thread
        task = wait(open_events, sink, interrupt)
    if interrupt.asked or task is None:
        reply.end("interrupted")
        raise Interrupted(reply)
    _conclude(task, reply, stopped=False)


def _conclude(task: asyncio.Task[None], reply: Reply, *, stopped: bool) -> None:
    """Raise what a task that is done ended with."""
    if not task.cancelled():
        task.result()
    elif stopped:
        reply.end("interrupted")
    else:  # somebody cancelled all tasks of the loop
        raise Interrupted(reply)


class _Interrupt:
    """Whether the user has interrupted. A flag, so that no signal tears anything that is being done."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take note of a signal; give way to it when it comes again."""
        if self.asked:
            signal.default_int_handler(signum, frame)
        self.asked = True


@contextlib.contextmanager
def _sigint() -> Generator[_Interrupt]:
    """Take interrupts for the length of a block.

    Also where a kernel has put a handler of its own: it cancels the cell's task, which cannot bite while
    a function that the cell called blocks the loop.
    """
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # Python delivers signals to the main thread alone
        return
    before = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    except KeyboardInterrupt:  # the second one: it is not waited for a clean end any more
        interrupt.asked = True
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


def _in_nested_loop(open_events: Open, sink: Sink, interrupt: _Interrupt) -> asyncio.Task[None] | None:
    loop = asyncio.get_running_loop()
    drain = _Drain(open_events, sink.write, sink.status)
    task = loop.create_task(drain.run())
    try:
        while not task.done() and not interrupt.asked:
            loop.run_until_complete(asyncio.wait({task}, timeout=TICK))
            sink.tick()
    finally:
        if not task.done():
            loop.run_until_complete(drain.leave(task))
    return task if task.done() else None


def _make_nestable(loop: asyncio.AbstractEventLoop) -> str:
    """Patch a loop so that it can run inside itself; give the reason where it cannot."""
    try:
        import nest_asyncio2
    except ImportError:
        return 'nested = "nest" needs the package nest-asyncio2; a thread is used instead.'
    try:
        nest_asyncio2.apply(loop)
    except ValueError:
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        return f'nested = "nest" cannot work with this notebook\'s loop ({kind}); a thread is used instead.'
    return ""


@dataclass(frozen=True, slots=True)
class _Notice:
    """Why nothing has come yet, on its way between threads."""

    text: str


@dataclass(frozen=True, slots=True)
class _Done:
    """The end, on its way between threads."""

    task: asyncio.Task[None]


_Queue = SimpleQueue["Event | _Notice | _Done"]


def _in_thread(open_events: Open, sink: Sink, interrupt: _Interrupt) -> asyncio.Task[None] | None:
    """Wait while the loop thread works; give its task, or None if that did not end in time."""
    if io_thread.is_current:
        msg = "A provider asked a question of its own with the magic; it must use Chat."
        raise RuntimeError(msg)
    queue: _Queue = SimpleQueue()
    drain = _Drain(open_events, queue.put, lambda text: queue.put(_Notice(text)))
    loop = io_thread.loop()
    task: asyncio.Task[None] | None = None

    def start() -> None:
        nonlocal task
        task = loop.create_task(drain.run())
        task.add_done_callback(lambda task: queue.put(_Done(task)))

    async def leave() -> None:
        if task is not None:
            await drain.leave(task)

    # With the caller's context, so that what a provider prints goes to the caller's cell.
    loop.call_soon_threadsafe(start, context=contextvars.copy_context())
    done = None
    try:
        done = _follow(queue, sink, lambda: interrupt.asked)
    finally:
        if done is None:
            asyncio.run_coroutine_threadsafe(leave(), loop)
            give_up_at = time.monotonic() + _PATIENCE + TICK
            done = _follow(queue, sink, lambda: time.monotonic() > give_up_at)
    return done


def _follow(queue: _Queue, sink: Sink, enough: Callable[[], bool]) -> asyncio.Task[None] | None:
    """Hand on what is in the queue until the task is done, or it is enough."""
    tick_at = time.monotonic() + TICK
    while not enough():
        with contextlib.suppress(Empty):
            match queue.get(timeout=max(0.0, tick_at - time.monotonic())):
                case _Done(task):
                    return task
                case _Notice(text):
                    sink.status(text)
                case event:
                    sink.write(event)
        if time.monotonic() >= tick_at:
            sink.tick()
            tick_at = time.monotonic() + TICK
    return None


def let_code_be_interrupted(runs_code: Callable[[FrameType | None], bool]) -> None:
    """Let an interrupt reach a cell's plain code although the cell awaits; until the kernel resets its handler.

    For a cell that awaits, kernels install a handler that cancels the cell's task. Code between two awaits
    never notices that. Where the cell awaits only because we made it, its own code must stay as interruptible
    as it was.

    Args:
        runs_code: Tells whether a frame runs inside a cell's code.
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
    """Tell whether a frame runs inside `in_this_loop`, which takes its interrupts as cancellations."""
    while frame is not None:
        if frame.f_code is in_this_loop.__code__:
            return True
        frame = frame.f_back
    return False
