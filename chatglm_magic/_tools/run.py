"""How one call runs: where, for how long, how it is stopped, and what is told of its end."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from .._errors import shorten
from .._event_loops import main_loop, waiting_thread
from .._events import ToolResult
from .._messages import Message
from .._prompting.describe import cap, describe
from .._prompting.prompt import block
from .._redaction import known_mask
from .approval import ApprovedBy
from .call import CheckedCall

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds that a function which is stopped may take to end, and after which it is interrupted again."""
_ERROR = 300
_HERE = str(Path(__file__).parent.parent)


async def run_call(call: CheckedCall, by: ApprovedBy) -> ToolResult:
    """Run a call that somebody has allowed, and return what came of it.

    A plain function runs in the main thread, where notebooks expect their code: it blocks what else runs there, and
    an interrupt reaches it. A coroutine is awaited in the running loop.

    Args:
        call: The call.
        by: Who allowed it.

    Raises:
        asyncio.CancelledError: It was stopped.
    """
    started, timeout = time.monotonic(), call.tool.timeout

    def done(*, result: str = "", error: str = "", trace: str = "") -> ToolResult:
        mask = known_mask()
        seconds = time.monotonic() - started
        return ToolResult(call.call, mask(result), mask(error), seconds, by, mask(trace))

    try:
        value = await _call_where_it_belongs(lambda: call.tool.call(call.values), timeout)
        if inspect.isawaitable(value):
            value = await _await(value, started + timeout - time.monotonic())
        return done(result=_described(value))
    except _TooLongError:
        return done(error=f"stopped after {timeout:g} s without a result")
    except _CancelledItselfError as error:
        return done(error=str(error))
    except _StoppedError:
        raise asyncio.CancelledError from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a function may raise anything
        line = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return done(error=shorten(line, _ERROR), trace=_traceback(error))


def tool_message(outcome: ToolResult) -> Message:
    """Return what the model is told of a call: its result, marked as data, or its error."""
    text = f"Error: {outcome.error}" if outcome.error else block("Result, as data", outcome.result, "text")
    return Message("tool", text, call_id=outcome.call.id)


def _described(value: object) -> str:
    """Return the text that stands for a result; its own methods may fail."""
    try:
        return describe(value)
    except Exception as error:  # noqa: BLE001 - as above
        return cap(f"a {type(value).__name__} that cannot be described ({type(error).__name__})")


def _traceback(error: BaseException) -> str:
    """Return the traceback without our own frames before the function's first one."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_HERE):
        found = found.tb_next
    return "".join(traceback.format_exception(type(error), error, found)).rstrip()


class _TooLongError(Exception):
    """The time of a function is over."""


class _StoppedError(BaseException):
    """The user interrupted a function."""


class _CancelledItselfError(Exception):
    """A function raised what means, raised by asyncio or Python, that the reply is stopped."""


async def in_main_thread(work: Callable[[], T]) -> T:
    """Call a function where a call of the user's functions runs, for as long as it takes.

    Raises:
        asyncio.CancelledError: It was interrupted.
        Exception: Whatever it raises.
    """
    try:
        found: T = await _call_where_it_belongs(work, threading.TIMEOUT_MAX / 2)
    except _StoppedError:
        raise asyncio.CancelledError from None
    return found


async def _call_where_it_belongs(work: Callable[[], Any], timeout: float) -> Any:  # noqa: ANN401, ASYNC109
    """Call a function in the main thread: here, where it waits for this reply, or when its loop is free.

    Where a program has no such thread, the function gets one of its own.
    """
    if threading.current_thread() is threading.main_thread():
        return _call_here(work, _Watch(timeout))
    future, begun, watch = Future[Any](), Future[None](), _Watch(timeout)

    def fulfil() -> None:
        if not future.set_running_or_notify_cancel():
            return
        begun.set_result(None)
        try:
            future.set_result(_call_here(work, watch))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    _post(fulfil)
    waiting = asyncio.wrap_future(future)
    try:
        await asyncio.wrap_future(begun)  # the main thread may be busy with a cell
        done, _ = await asyncio.wait({waiting}, timeout=timeout + 2 * _PATIENCE if watch.is_heard else timeout)
    except asyncio.CancelledError:
        if not future.cancel():
            watch.stop()
        waiting.add_done_callback(lambda one: one.cancelled() or one.exception())
        raise
    if not done:
        raise _TooLongError
    return waiting.result()


def _post(call: Callable[[], None]) -> None:
    """Have a function called in the thread where the user's code belongs."""
    loop = main_loop()
    if (post := waiting_thread.get()) is not None:
        post(call)
    elif loop is not None and loop.is_running():
        loop.call_soon_threadsafe(call)
    else:
        threading.Thread(target=call, name="chatglm-tool", daemon=True).start()


def _call_here(work: Callable[[], Any], watch: _Watch) -> Any:  # noqa: ANN401
    """Call a function in this thread; in the main thread, an interrupt and the end of its time reach it."""
    try:
        if threading.current_thread() is not threading.main_thread():
            return work()
        with watch:
            return work()
    except (asyncio.CancelledError, GeneratorExit) as error:
        raise _CancelledItselfError(type(error).__name__) from None
    except KeyboardInterrupt:
        raise _StoppedError from None


async def _await(value: Awaitable[Any], timeout: float) -> Any:  # noqa: ANN401, ASYNC109
    """Wait for what a function returned, but not for ever."""

    async def guarded() -> tuple[Any, BaseException | None]:
        try:
            return await value, None
        except (SystemExit, KeyboardInterrupt) as error:  # they would end the loop
            return None, error

    task = asyncio.ensure_future(guarded())
    try:
        done, _ = await asyncio.wait({task}, timeout=max(0.0, timeout))
    except asyncio.CancelledError:
        await _end(task)
        raise
    if not done:
        await _end(task)
        raise _TooLongError
    if task.cancelled():
        raise _CancelledItselfError("CancelledError")
    found, error = task.result()
    if isinstance(error, KeyboardInterrupt):
        raise _StoppedError
    if error is not None:
        raise error
    return found


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end, but not for ever."""
    task.cancel()
    # asyncio complains of an exception that nothing has asked for.
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.wait({task}, timeout=_PATIENCE)


class _Watch:
    """Lets interrupts, and the end of a time, raise KeyboardInterrupt in the code of a block; main thread only.

    The handlers of kernels and of `asyncio.run` only ask for a cancellation, which plain code never notices. The
    handler that was there is called at the end of the block, so that what waits for the function stops too.

    Args:
        timeout: Seconds after which the block is interrupted.

    Attributes:
        is_heard: Whether the block has begun in the main thread.
    """

    def __init__(self, timeout: float) -> None:
        self.is_heard = False
        self._timeout = timeout
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._expired = self._stopped = self._interrupted = False

    def __enter__(self) -> Self:
        if self._stopped:
            raise KeyboardInterrupt
        self._before = signal.signal(signal.SIGINT, self._handle)
        self.is_heard = True
        threading.Thread(target=self._expire, name="chatglm-tool-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
        signal.signal(signal.SIGINT, signal.default_int_handler if self._before is None else self._before)
        if self._expired and not self._stopped and isinstance(error, KeyboardInterrupt):
            raise _TooLongError from None
        if self._interrupted and callable(self._before) and self._before is not signal.default_int_handler:
            self._before(signal.SIGINT, None)

    def stop(self) -> None:
        """Interrupt the function from another thread, for the reply that wanted it was stopped."""
        self._stopped = True
        self._interrupt()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._over.is_set():  # it came too late for the block
            return
        self._interrupted = self._interrupted or not (self._expired or self._stopped)
        signal.default_int_handler(signum, frame)

    def _expire(self) -> None:
        """Interrupt the main thread at the end of the time, and again while the function goes on."""
        wait = self._timeout
        while not self._over.wait(wait):
            self._expired = True
            self._interrupt()
            wait = _PATIENCE

    def _interrupt(self) -> None:
        with self._lock:
            if self._over.is_set() or not self.is_heard:
                return
            # A real signal: a sleeping main thread does not notice `_thread.interrupt_main`.
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)
