"""Only the server's own silence counts."""

from __future__ import annotations

import asyncio
import time

import pytest
from asking import call_to, run

from chatglm_magic._transport import open_stream
from chatglm_magic._transport.watchdog import Watchdog


class Clock:
    """A loop's clock and timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[list[object]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback):
        timer = [when, callback]
        self.timers.append(timer)
        clock = self

        class Handle:
            def cancel(self):
                if timer in clock.timers:
                    clock.timers.remove(timer)

        return Handle()

    def pass_by(self, seconds: float, *, blocked: bool = False) -> None:
        """Advance the time; a blocked loop runs its timers only at the end of it."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = end if blocked else max(self.now, timer[0])
            timer[1]()
        self.now = end


@pytest.fixture
def clock(monkeypatch):
    """Return a clock in place of the running loop's."""
    clock = Clock()
    monkeypatch.setattr("chatglm_magic._transport.watchdog.asyncio.get_running_loop", lambda: clock)
    return clock


def watch(timeout: float) -> tuple[Watchdog, list[float]]:
    watchdog = Watchdog(timeout)
    bites: list[float] = []
    watchdog.bite = lambda: bites.append(watchdog._loop.time())
    return watchdog, bites


def test_silence_bites_once(clock):
    """After `timeout` seconds of waiting it bites, and never again."""
    watchdog, bites = watch(10)
    clock.pass_by(9.9)
    assert bites == []
    clock.pass_by(100)

    assert bites == [110.0]
    assert watchdog.bitten


def test_events_put_it_off(clock):
    """Each event starts the silence anew, from the moment the reader waits again."""
    watchdog, bites = watch(10)
    for _ in range(10):
        clock.pass_by(6)
        watchdog.alive = True
        watchdog.listen()
    assert bites == []
    clock.pass_by(10)

    assert bites == [170.0]


def test_listening_alone_puts_nothing_off(clock):
    """Reads that bring no event do not keep a stream alive."""
    watchdog, bites = watch(10)
    for _ in range(100):
        clock.pass_by(0.2)
        watchdog.listen()

    assert bites == [110.0]


def test_a_busy_reader_is_not_the_servers_silence(clock):
    """As long as the reader is at its event it does not wait, so nobody is late."""
    watchdog, bites = watch(10)
    clock.pass_by(1)
    watchdog.alive = True
    clock.pass_by(1000)
    assert bites == []
    watchdog.listen()
    clock.pass_by(9)
    assert bites == []
    clock.pass_by(2)

    assert len(bites) == 1


def test_a_blocked_loop_is_not_the_servers_silence(clock):
    """Time in which the loop did not run does not count: the bytes may lie in the socket."""
    _, bites = watch(10)
    clock.pass_by(4)
    clock.pass_by(300, blocked=True)
    assert bites == []
    clock.pass_by(11)

    assert len(bites) == 1


def test_the_end_is_awaited_for_a_shorter_time(clock):
    """`end_within` counts from its first call, and marks silence as the end."""
    watchdog, bites = watch(120)
    clock.pass_by(5)
    for _ in range(5):
        watchdog.end_within(2)
        clock.pass_by(0.5)
    assert len(bites) == 1
    assert bites[0] == 107.0

    assert watchdog.ending


def test_an_end_that_is_withdrawn_is_not_awaited(clock):
    """`end_within(None)` brings the whole timeout back, and silence is a failure again."""
    watchdog, bites = watch(120)
    watchdog.end_within(2)
    clock.pass_by(1)
    watchdog.end_within(None)
    clock.pass_by(119)
    assert bites == []
    assert not watchdog.ending
    clock.pass_by(2)

    assert len(bites) == 1


def test_a_grace_longer_than_the_timeout_is_cut(clock):
    """`end_within` never waits longer than the timeout itself."""
    watchdog, bites = watch(3)
    watchdog.end_within(100)
    clock.pass_by(4)

    assert bites == [103.0]


def test_stopped_it_never_bites(clock):
    """After `stop` no timer is left."""
    watchdog, bites = watch(1)
    watchdog.stop()
    clock.pass_by(10)

    assert (bites, clock.timers) == ([], [])


def test_the_guard_ends_a_block():
    """A guarded block is left by TimeoutError when the watchdog bites."""

    async def guarded(watchdog):
        async with asyncio.timeout(None) as limit:
            watchdog.guard(limit)
            await asyncio.sleep(30)

    async def main():
        watchdog = Watchdog(0.05)
        with pytest.raises(TimeoutError):
            await guarded(watchdog)
        return watchdog.bitten

    assert run(main())


def test_the_guard_lets_cancellation_pass():
    """A cancellation from outside stays one."""

    async def guarded():
        watchdog = Watchdog(60)
        try:
            async with asyncio.timeout(None) as limit:
                watchdog.guard(limit)
                await asyncio.sleep(30)
        finally:
            watchdog.stop()

    async def main():
        task = asyncio.create_task(guarded())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert run(main())


@pytest.mark.parametrize("pieces_before", [0, 1], ids=["before the stream", "within the stream"])
def test_a_blocked_loop_in_earnest(glm, pieces_before):
    """A reply that arrives while a cell blocks the loop for longer than the timeout is read, not given up."""
    glm.say("one two three four", delay=0.1, first_delay=0.1)

    async def read_on(stream_began):
        body = b""
        async with open_stream(call_to(glm.url, timeout=0.5, connect_timeout=60)) as stream:
            async for chunk in stream:
                body += chunk
                stream.alive()
                stream_began.set()
        return body

    async def main():
        began = asyncio.Event()
        task = asyncio.create_task(read_on(began))
        await glm.until(lambda: began.is_set() if pieces_before else glm.open == 1)
        time.sleep(1.5)  # noqa: ASYNC251 - what a user's cell does
        return await task

    assert run(main()).endswith(b"[DONE]\n\n")
