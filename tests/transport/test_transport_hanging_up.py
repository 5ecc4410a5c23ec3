"""Hanging up reaches the server at once, whichever way it comes about; one request per key at a time."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import aclosing, suppress

import pytest
from asking import call_to, fail, read, run

from chatglm_magic._errors import StalledError
from chatglm_magic._transport import open_stream

WAITING = "waiting for another request with this key"


async def chunks_of(call):
    """Read a stream as a provider does: a generator around it."""
    async with open_stream(call) as stream:
        async for chunk in stream:
            yield chunk


async def read_on(call) -> None:
    async with aclosing(chunks_of(call)) as chunks:
        async for _ in chunks:
            pass


@pytest.mark.parametrize("name", ["stall_after", "never_answers", "ping_forever", "endless_line"])
def test_cancelling_hangs_up(glm, name):
    """A cancelled task closes its connection, silent or not, and the cancellation goes on."""
    getattr(glm, name)(*([2] if name == "stall_after" else []))

    async def main():
        task = asyncio.create_task(read_on(call_to(glm.url)))
        await glm.until(lambda: glm.open == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await glm.until(lambda: glm.aborted == 1 and glm.open == 0)
        return task.cancelled()

    assert run(main())


def test_cancelling_while_connecting_leaves_nothing(glm):
    """A task cancelled before it is connected leaves no connection and no warning."""

    async def main():
        async def silent(_, writer):
            await asyncio.sleep(0.3)
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for delay in (0, 0.001, 0.003, 0.01):
                task = asyncio.create_task(read_on(call_to(url)))
                await asyncio.sleep(delay)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                assert task.cancelled()
            await asyncio.sleep(0.4)

    run(main())
    gc.collect()


def test_closing_a_generator_hangs_up(glm):
    """`aclose` closes the connection before it returns."""
    glm.stall_after(2)

    async def main():
        async with aclosing(chunks_of(call_to(glm.url))) as chunks:
            await anext(chunks)
            assert glm.open == 1
        await glm.until(lambda: glm.aborted == 1)

    run(main())

    assert glm.open == 0


def test_leaving_a_generator_to_the_collector_hangs_up(glm):
    """A generator that nobody closes is closed by the event loop once it is garbage."""
    glm.stall_after(2)

    async def main():
        chunks = chunks_of(call_to(glm.url))
        await anext(chunks)
        del chunks
        gc.collect()
        await glm.until(lambda: glm.aborted == 1)

    run(main())

    assert glm.open == 0


def test_leaving_the_loop_hangs_up(glm):
    """A generator left open when its loop ends is closed with the loop."""
    glm.stall_after(2)
    kept = []

    async def main():
        kept.append(chunks_of(call_to(glm.url)))
        await anext(kept[0])

    run(main())

    glm.wait_until(lambda: glm.aborted == 1)
    assert glm.open == 0


def test_an_exception_in_the_block_hangs_up(glm):
    """The reader's own failure passes unchanged, and closes the connection."""
    glm.stall_after(2)

    async def main():
        with pytest.raises(ZeroDivisionError):
            async with open_stream(call_to(glm.url)):
                _ = 1 / 0
        await glm.until(lambda: glm.aborted == 1)

    run(main())

    assert glm.open == 0


def test_a_callers_own_deadline_is_the_callers(glm):
    """`asyncio.timeout` around a stream raises TimeoutError, no error of ours."""
    glm.stall_after(2)

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await read_on(call_to(glm.url))
        await glm.until(lambda: glm.aborted == 1)

    run(main())

    assert glm.open == 0


def test_reading_to_the_end_is_no_hang_up(glm):
    """A stream read to its end was not aborted, and its connection is not used again."""
    glm.say("one two")

    for _ in range(3):
        run(read(call_to(glm.url)))

    glm.wait_until(lambda: glm.finished == 3)
    assert glm.aborted == 0


class Crowd:
    """Counts how many streams are open at once, over all loops and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    async def read(self, call) -> None:
        async with open_stream(call) as stream:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            async for _ in stream:
                pass
            with self._lock:
                self._now -= 1


def test_one_request_per_key(glm):
    """With `one_at_a_time` the second request waits for the first one's end, and says so."""
    glm.say("one two three", delay=0.02)
    told, crowd = [], Crowd()

    def ask(key):
        return call_to(glm.url, key=key, one_at_a_time=True, notify=lambda text: told.append((key, text)))

    async def main():
        await asyncio.gather(*(crowd.read(ask(key)) for key in ("a", "b", "a", "b", "a")))

    run(main())

    assert crowd.most == 2
    assert sorted(told) == [("a", WAITING), ("a", WAITING), ("b", WAITING)]
    assert len(glm.requests) == 5


def test_one_request_per_key_across_two_loops(glm):
    """Turns are shared by all event loops of the process."""
    glm.say("one two", delay=0.02)
    call = call_to(glm.url, key="a", one_at_a_time=True)
    crowd = Crowd()

    async def three():
        await asyncio.gather(*(crowd.read(call) for _ in range(3)))

    threads = [threading.Thread(target=run, args=(three(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert crowd.most == 1
    assert len(glm.requests) == 6


def test_without_one_at_a_time_requests_run_side_by_side(glm):
    """Servers of one's own may be asked many things at once."""
    glm.say("one two three", delay=0.2)
    crowd = Crowd()

    async def main():
        await asyncio.gather(*(crowd.read(call_to(glm.url, key="a")) for _ in range(4)))

    run(main())

    assert crowd.most == 4


@pytest.mark.parametrize("how", ["cancel", "stall"])
def test_the_turn_ends_with_the_request(glm, how):
    """A request that was cancelled or failed lets the next one go."""
    glm.stall_after(1)
    glm.say()

    async def main():
        call = call_to(glm.url, key="a", one_at_a_time=True, timeout=0.2 if how == "stall" else 60)
        first = asyncio.create_task(fail(call, StalledError))
        await glm.until(lambda: glm.open == 1)
        second = asyncio.create_task(read(call))
        third = asyncio.create_task(read(call))
        await asyncio.sleep(0.01)
        third.cancel()
        if how == "cancel":
            first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        return await second

    assert run(main()).endswith(b"[DONE]\n\n")
    assert glm.started == 2
