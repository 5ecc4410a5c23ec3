"""Tests of waiting: in a loop, in a call, in a nested loop; stopped, interrupted, failed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatglm_magic import _waiting as _loop
from chatglm_magic._errors import Interrupted, ProviderError
from chatglm_magic._event_loops import io_thread
from chatglm_magic._events import Event, Finished, TextDelta
from chatglm_magic._reply import Reply

FOREVER = 3600.0
NOT_NESTED = 'nested = "nest" cannot work with this notebook\'s loop ({}); a thread is used instead.'


class Sink:
    """Remembers what it was told, in which thread, and may fail."""

    def __init__(self, *, fail_on: str = "") -> None:
        self.text = ""
        self.notes: list[str] = []
        self.ticks = 0
        self.threads: set[threading.Thread] = set()
        self._fail_on = fail_on

    def write(self, event: Event) -> None:
        self.threads.add(threading.current_thread())
        if isinstance(event, TextDelta):
            self.text += event.text
        if self._fail_on == "write":
            msg = "the sink is full"
            raise OSError(msg)

    def status(self, text: str) -> None:
        self.notes.append(text)

    def tick(self) -> None:
        self.threads.add(threading.current_thread())
        self.ticks += 1
        if self._fail_on == "tick":
            msg = "the sink is full"
            raise OSError(msg)


class Source:
    """Opens replies: some words, then as told; knows whether it was closed, and where it ran."""

    def __init__(self, *words: str, pause: float = 0.0, then: float = 0.0, error: BaseException | None = None) -> None:
        self.words = words
        self.pause = pause
        self.then = then
        self.error = error
        self.reply = Reply()
        self.closed = threading.Event()
        self.said = threading.Event()
        self.thread: threading.Thread | None = None

    async def __call__(self, notify: Callable[[str], None]) -> AsyncGenerator[Event]:
        self.thread = threading.current_thread()
        notify("waiting for a friend")
        try:
            for word in self.words:
                await asyncio.sleep(self.pause)
                event = TextDelta(word)
                self.reply.add(event)
                yield event
            self.said.set()
            await asyncio.sleep(self.then)
            if self.error is not None:
                raise self.error
            self.reply.add(Finished("stop"))
            yield Finished("stop")
        finally:
            self.closed.set()


class Stubborn(Source):
    """Swallows its cancellation until it is over, and then says more."""

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self.over = threading.Event()

    async def __call__(self, notify: Callable[[str], None]) -> AsyncGenerator[Event]:
        yield TextDelta(self.words[0])
        while not self.over.is_set():
            self.said.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
        yield TextDelta("late")


class Button:
    """A Stop button that presses itself, from another thread, as soon as it is shown."""

    def __init__(self) -> None:
        self.offered = self.withdrawn = 0

    def offer(self, stop: Callable[[], None]) -> None:
        self.offered += 1
        thread = threading.Thread(target=stop)
        thread.start()
        thread.join()

    def withdraw(self) -> None:
        self.withdrawn += 1


def call(source, sink, *, nested=False, note=None):
    _loop.block_for_reply(source, sink, source.reply, nested=nested, note=note or pytest.fail)


async def here(source, sink, stop=None):
    await _loop.await_reply(source, sink, source.reply, stop)


def wait_in(mode: str, source, sink) -> None:
    """Wait for a reply as a cell does, as a function does, or as a function does that a cell has called."""

    async def call_in_a_loop() -> None:
        call(source, sink)

    match mode:
        case "here":
            asyncio.run(here(source, sink))
        case "thread":
            call(source, sink)
        case "thread in a loop":
            asyncio.run(call_in_a_loop())


@pytest.fixture(autouse=True)
def _no_thread_left():
    yield
    io_thread.close()
    assert "chatglm-io" not in {thread.name for thread in threading.enumerate()}


@contextlib.contextmanager
def interrupt_when(ready: threading.Event, times: int = 1, gap: float = 0.1):
    """Send this process SIGINT, as a kernel's stop button does, once something has happened."""

    def send() -> None:
        ready.wait(10)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(gap)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


MODES = ["here", "thread", "thread in a loop"]


@pytest.mark.parametrize("mode", MODES)
def test_a_reply_is_written_in_order_where_it_is_waited_for(mode):
    """Events, notices and ticks reach the sink in the waiting thread alone, and the stream is closed."""
    source, sink = Source("a", "b", "c", pause=0.06), Sink()

    wait_in(mode, source, sink)

    assert sink.text == "abc"
    assert sink.notes == ["waiting for a friend"]
    assert sink.ticks >= 2
    assert sink.threads == {threading.main_thread()}
    assert source.closed.is_set()
    assert (source.thread is threading.main_thread()) == (mode == "here")


@pytest.mark.parametrize("mode", MODES)
def test_what_ends_a_reply_is_raised(mode):
    """An error of the stream is the caller's, the same object."""
    error = ProviderError("gone")
    source, sink = Source("a", error=error), Sink()

    with pytest.raises(ProviderError, match="gone") as caught:
        wait_in(mode, source, sink)

    assert caught.value is error
    assert sink.text == "a"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fail_on", ["write", "tick"])
def test_a_sink_that_fails_ends_the_reply(mode, fail_on):
    """Where nothing can be shown, nothing is left running."""
    source, sink = Source("a", then=FOREVER), Sink(fail_on=fail_on)

    with pytest.raises(OSError, match="the sink is full"):
        wait_in(mode, source, sink)

    assert source.closed.wait(5)


def test_a_cancelled_wait_is_an_interrupt_and_hangs_up_first():
    """A kernel cancels the cell: the stream is closed by then, the reply says so, and the cell can go on."""
    source, sink = Source("a", "b", then=FOREVER), Sink()

    async def cell() -> tuple[Interrupted, int]:
        try:
            await here(source, sink)
        except Interrupted as interrupt:
            await asyncio.sleep(0)
            return interrupt, asyncio.current_task().cancelling()
        raise AssertionError

    async def main():
        task = asyncio.create_task(cell())
        while not source.said.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        return await task

    interrupt, cancelling = asyncio.run(main())
    assert interrupt.reply is source.reply
    assert interrupt.__suppress_context__
    assert source.reply.finish_reason == "interrupted"
    assert source.closed.is_set()
    assert cancelling == 0


def test_stopping_is_no_error():
    """The Stop button is offered once, after a second, and a reply it stops ends the wait as any other."""
    source, sink, button = Source("a", then=FOREVER), Sink(), Button()

    asyncio.run(here(source, sink, button))

    assert (button.offered, button.withdrawn) == (1, 1)
    assert source.reply.finish_reason == "interrupted"
    assert source.closed.is_set()


def test_a_short_reply_is_offered_no_button():
    """What is over within a second needs no button, and it is taken away all the same."""
    button = Button()

    asyncio.run(here(Source("a"), Sink(), button))

    assert (button.offered, button.withdrawn) == (0, 1)


@pytest.mark.parametrize("mode", ["thread", "thread in a loop"])
def test_an_interrupt_ends_a_call_on_a_silent_stream(mode):
    """Ctrl-C bites although nothing comes, also where a loop's own handler would wait for the loop."""
    source, sink = Source("a", then=FOREVER), Sink()
    handler = signal.getsignal(signal.SIGINT)

    with interrupt_when(source.said), pytest.raises(Interrupted) as caught:
        wait_in(mode, source, sink)

    assert caught.value.reply is source.reply
    assert source.reply.finish_reason == "interrupted"
    assert sink.text == "a"
    assert source.closed.is_set()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_stream_that_will_not_end_is_left_behind():
    """A provider that swallows its cancellation cannot hold the caller, nor say more to it."""
    source, sink = Stubborn("a"), Sink()

    with interrupt_when(source.said), pytest.raises(Interrupted):
        call(source, sink)
    source.over.set()

    assert sink.text == "a"
    assert source.reply.finish_reason == "interrupted"


def test_a_second_interrupt_does_not_wait():
    """A second interrupt is obeyed at once."""
    source = Stubborn("a")

    with interrupt_when(source.said, times=2, gap=0.2), pytest.raises(Interrupted):
        call(source, Sink())
    source.over.set()


def test_a_stream_that_never_suspends_leaves_the_loop_alive():
    """Other tasks run while a provider yields without a pause."""
    beats = 0

    async def rush(_: Callable[[str], None]) -> AsyncGenerator[Event]:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            yield TextDelta("x")

    async def main() -> None:
        nonlocal beats

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        heart = asyncio.create_task(beat())
        await _loop.await_reply(rush, Sink(), Reply())
        heart.cancel()

    asyncio.run(main())
    assert beats >= 5


def test_calls_share_one_thread_and_take_their_context_along():
    """Every call uses the same loop thread, which is started again after it was closed."""
    name = contextvars.ContextVar("name")
    seen = []

    async def look(_: Callable[[str], None]) -> AsyncGenerator[Event]:
        seen.append((name.get(), threading.current_thread()))
        yield Finished("stop")

    for value in ("first", "second"):
        name.set(value)
        _loop.block_for_reply(look, Sink(), Reply(), nested=False, note=pytest.fail)
    io_thread.close()
    _loop.block_for_reply(look, Sink(), Reply(), nested=False, note=pytest.fail)

    assert [value for value, _ in seen] == ["first", "second", "second"]
    assert seen[0][1] is seen[1][1]
    assert seen[2][1] is not seen[0][1]


def test_a_call_may_come_from_any_thread():
    """A thread that asks gets its reply where it is."""
    source, sink = Source("a", "b"), Sink()
    thread = threading.Thread(target=call, args=(source, sink))
    thread.start()
    thread.join(10)

    assert sink.text == "ab"
    assert sink.threads <= {thread}


def test_a_provider_cannot_wait_for_itself():
    """A question asked inside the loop thread fails instead of waiting for ever."""

    async def ask_again(_: Callable[[str], None]) -> AsyncGenerator[Event]:
        call(Source("a"), Sink())
        yield Finished("stop")

    with pytest.raises(RuntimeError, match="must use Chat"):
        _loop.block_for_reply(ask_again, Sink(), Reply(), nested=False, note=pytest.fail)


def test_nesting_without_a_loop_takes_the_thread():
    """In a terminal there is nothing to nest in, and nothing to say about it."""
    source, sink = Source("a"), Sink()

    call(source, sink, nested=True)

    assert source.thread.name == "chatglm-io"


NEST = """
import asyncio, os, signal, sys, threading, time
sys.path.insert(0, {tests!r})
from test_waiting import FOREVER, Interrupted, Sink, Source, _loop, interrupt_when

async def main():
    beats = 0
    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1
    heart = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    source, sink = Source("a", "b", pause=0.1), Sink()
    _loop.block_for_reply(source, sink, source.reply, nested=True, note=print)
    assert sink.text == "ab" and source.closed.is_set(), sink.text
    print("in the same thread:", source.thread is threading.main_thread(), "others ran:", beats > 5)
    source = Source("a", then=FOREVER)
    with interrupt_when(source.said):
        try:
            _loop.block_for_reply(source, Sink(), source.reply, nested=True, note=print)
        except Interrupted:
            print("interrupted:", source.closed.is_set(), source.reply.finish_reason)
    before = beats
    await asyncio.sleep(0.1)
    print("the loop lives:", beats > before)

{run}
"""


def run_nested(run: str) -> list[str]:
    """Run the nested case in a process of its own: nest-asyncio2 patches asyncio for good."""
    code = NEST.format(tests=str(Path(__file__).parent), run=run)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_nested_loop_runs_everything_and_takes_interrupts():
    """With nest-asyncio2 the notebook's own loop runs the reply and all other tasks, and outlives an interrupt."""
    assert run_nested("asyncio.run(main())") == [
        "in the same thread: True others ran: True",
        "interrupted: True interrupted",
        "the loop lives: True",
    ]


def test_a_loop_that_cannot_nest_is_named():
    """The class of uvloop's loop cannot be patched; what is said names it and what is done instead."""
    said = run_nested("asyncio.get_running_loop = object\nprint(_loop._can_nest(print))")

    assert said == [NOT_NESTED.format("builtins.object"), "False"]


def test_where_nesting_cannot_work_the_thread_does(monkeypatch):
    """The reason is said, and the reply comes all the same."""
    source, sink, said = Source("a"), Sink(), []

    def apply(_: asyncio.AbstractEventLoop) -> None:
        raise ValueError

    monkeypatch.setitem(sys.modules, "nest_asyncio2", SimpleNamespace(apply=apply))

    async def main() -> str:
        call(source, sink, nested=True, note=said.append)
        loop = type(asyncio.get_running_loop())
        return f"{loop.__module__}.{loop.__qualname__}"

    kind = asyncio.run(main())

    assert said == [NOT_NESTED.format(kind)]
    assert (sink.text, source.thread.name) == ("a", "chatglm-io")
