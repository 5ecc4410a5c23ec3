"""A blocking errand in a thread of its own: its progress is told in the loop, a cancellation ends it."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import subprocess
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an errand has come.

    Attributes:
        text: What is being done, in a few words.
        done_bytes: How much of it is done.
        total_bytes: How much there is; 0 where nothing is counted.
    """

    text: str
    done_bytes: int = 0
    total_bytes: int = 0

    def __str__(self) -> str:
        return self.words()

    def words(self, step: int = 1) -> str:
        """Say it in words, the share in steps of so many hundredths."""
        if not self.total_bytes:
            return self.text
        # pip has a little left to do after the last byte: 100 % is said by what comes next.
        share = min(99, 100 * self.done_bytes // self.total_bytes)
        return f"{self.text}, {share // step * step} %"


class CalledOff(Exception):  # noqa: N818 - not an error: someone changed their mind
    """The errand is no longer wanted."""


class Errand:
    """What blocking work is given to say how far it is and to learn that it is no longer wanted.

    Args:
        tell: Told each step, in the thread that does the work.
    """

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self.tell = tell
        self._off = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def call_off(self) -> None:
        """End the errand from another thread: it raises `CalledOff` at its next step."""
        self._off.set()
        process = self._process
        if process is not None:
            process.kill()

    def check(self) -> None:
        """Raise `CalledOff` if the errand has been called off."""
        if self._off.is_set():
            raise CalledOff

    def pause(self, seconds: float) -> None:
        """Wait, and raise `CalledOff` as soon as the errand is called off."""
        self._off.wait(seconds)
        self.check()

    @contextmanager
    def minding(self, process: subprocess.Popen[bytes]) -> Generator[None]:
        """Make sure that no process stays behind when the block fails, is interrupted or is called off."""
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


_running: weakref.WeakKeyDictionary[Errand, threading.Thread] = weakref.WeakKeyDictionary()


async def run_errand(work: Callable[[Errand], T], tell: Callable[[Progress], None]) -> T:
    """Do blocking work in a thread of its own and wait for it without blocking the loop.

    Not the loop's own executor: that one would be waited for at the end of the loop and of the interpreter.

    Args:
        work: What is to be done.
        tell: Told each step, in the loop's thread and in the caller's context.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended by then.
        Exception: What the work raised.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    outcome: asyncio.Future[Callable[[], T]] = loop.create_future()

    def in_loop(call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(call, *args, context=context)

    def body() -> None:
        try:
            value = work(errand)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            in_loop(_settle, outcome, _raiser(error))
        else:
            in_loop(_settle, outcome, lambda: value)

    errand = Errand(lambda progress: in_loop(tell, progress))
    thread = threading.Thread(target=body, name="chatglm-local", daemon=True)
    _running[errand] = thread
    thread.start()
    try:
        result = await asyncio.shield(outcome)
    except asyncio.CancelledError:
        errand.call_off()
        await asyncio.wait({outcome}, timeout=5)  # takes some milliseconds: then nothing is left behind
        raise
    return result()


def _settle(outcome: asyncio.Future[T], value: T) -> None:
    if not outcome.done():
        outcome.set_result(value)


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


@atexit.register
def _call_off_all() -> None:
    """Leave no pip and no partial file behind when Python ends in the middle."""
    for errand, thread in list(_running.items()):
        errand.call_off()
        thread.join(5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # a forked process has none of these threads
