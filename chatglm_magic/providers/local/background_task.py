"""Blocking work in a thread of its own: its progress is reported in the loop and shown, and a cancellation ends it."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec

from ..._language import tr

_LOG_STEP = 10
"""Hundredths between two lines in a log."""


class Progress(msgspec.Struct, frozen=True):
    """A step of background work.

    Attributes:
        text: What is being done, in a few words.
        done_bytes: How much of it is done.
        total_bytes: How much there is; 0 where nothing is counted.
    """

    text: str
    done_bytes: int = 0
    total_bytes: int = 0

    def __str__(self) -> str:
        return self.describe()

    def describe(self, step: int = 1) -> str:
        """Return the text with the share that is done, in steps of so many hundredths."""
        if not self.total_bytes:
            return self.text
        # pip has a little left to do after the last byte, so the end is shown by the next step and not by 100 %.
        share = min(99, 100 * self.done_bytes // self.total_bytes)
        return tr("{text}, {percent} %", text=self.text, percent=share // step * step)


class ProgressDisplay:
    """Shows progress: by a function that gets a short sentence for each step, once, and by a bar, or by a bar alone.

    The bar is shown in a notebook and in a terminal, and removed by `close`; where the output is a file or a pipe
    there is none.
    """

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._shown = ""
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        """Show a step; to be called in one thread only."""
        if not progress.total_bytes:
            self.close()
            self._show(progress.text)
            return
        from tqdm import auto

        in_notebook = any(parent.__module__ == "tqdm.notebook" for parent in auto.tqdm.__mro__)
        # A notebook's status line is overwritten; a terminal's lines stay, and a log need not be long.
        in_terminal = not in_notebook and sys.stderr.isatty()
        self._show(progress.text if in_terminal else progress.describe(1 if in_notebook else _LOG_STEP))
        if self._bar is None:
            self._bar = auto.tqdm(
                total=progress.total_bytes,
                desc=progress.text,
                unit="B",
                unit_scale=True,
                miniters=1,  # else tqdm waits for a step as large as the last one, and a slow end looks dead
                leave=False,
                disable=not (in_notebook or in_terminal),
            )
        self._bar.update(min(progress.done_bytes, progress.total_bytes) - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, text: str) -> None:
        if self._notify is not None and text != self._shown:
            self._shown = text
            self._notify(text)


T = TypeVar("T")

_SECONDS_TO_END = 5
"""How long cancelled work is waited for; it takes some milliseconds."""


class Cancelled(Exception):  # noqa: N818 - not an error: someone changed their mind
    """The work is no longer wanted."""


class BackgroundTask:
    """The handle by which blocking work reports each step, in its own thread, and notices that it was cancelled."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self.report = report
        self._cancelled = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def cancel(self) -> None:
        """End the work from another thread: its next `check` or `sleep` raises `Cancelled`."""
        self._cancelled.set()
        process = self._process
        if process is not None:
            process.kill()

    def check(self) -> None:
        """Raise `Cancelled` if the task has been cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, and raise `Cancelled` as soon as the task is cancelled."""
        self._cancelled.wait(seconds)
        self.check()

    @contextmanager
    def supervise(self, process: subprocess.Popen[bytes]) -> Generator[None]:
        """Kill a process if the block fails or is interrupted, or the task is cancelled."""
        self._process = process
        try:
            self.check()
            yield
            self.check()
        except BaseException:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            raise
        finally:
            self._process = None


_running: weakref.WeakKeyDictionary[BackgroundTask, threading.Thread] = weakref.WeakKeyDictionary()


async def run_background_task(work: Callable[[BackgroundTask], T], report: Callable[[Progress], None]) -> T:
    """Do blocking work in a thread of its own and return its result, without blocking the loop.

    Not in the loop's own executor, which the end of the loop and of the interpreter would wait for. The work runs in a
    copy of the caller's context (it speaks the page's language), and each step is reported in the loop's thread and in
    another copy.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended by then.
        Exception: Any exception of the work.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    outcome: Future[T] = Future()

    def report_in_loop(progress: Progress) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(report, progress, context=context)

    def body() -> None:
        try:
            outcome.set_result(work(task))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(error)

    task = BackgroundTask(report_in_loop)
    waiting = asyncio.wrap_future(outcome)
    _running[task] = thread = threading.Thread(
        target=contextvars.copy_context().run, args=(body,), name="chatglm-local", daemon=True
    )
    thread.start()
    try:
        await asyncio.wait({waiting})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({waiting}, timeout=_SECONDS_TO_END)
        if waiting.done():
            waiting.exception()  # retrieved, or asyncio would report it as lost
        raise
    return waiting.result()


@atexit.register
def _cancel_all() -> None:
    """Leave no pip and no partial file behind when Python ends in the middle."""
    for task, thread in list(_running.items()):
        task.cancel()
        thread.join(_SECONDS_TO_END)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # a forked process has none of these threads
