"""One at a time, across event loops."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from chatglm_magic._event_loops import FairLock


class Room:
    """A place for one visitor at a time; records the visitors, and whether two were ever in there together."""

    def __init__(self) -> None:
        self.turns = FairLock()
        self.entered: list[object] = []
        self.crowded = False
        self._inside = 0

    async def visit(self, name: object, stay: float = 0.0, on_wait=None) -> None:
        async with self.turns.turn(on_wait):
            self._inside += 1
            self.crowded |= self._inside > 1
            self.entered.append(name)
            try:
                await asyncio.sleep(stay)
            finally:
                self._inside -= 1


async def pause(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def in_thread(coroutine) -> threading.Thread:
    thread = threading.Thread(target=asyncio.run, args=(coroutine,))
    thread.start()
    return thread


def test_first_come_first_served():
    """Turns are given in the order in which they were asked for, one at a time."""
    room = Room()

    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(room.visit(number, stay=0.001))

    asyncio.run(main())

    assert room.entered == list(range(20))
    assert not room.crowded


def test_who_waits_is_told_once():
    """`on_wait` is called for those that must wait, and for nobody else."""
    room = Room()
    told: list[int] = []

    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(room.visit(number, on_wait=lambda number=number: told.append(number)))

    asyncio.run(main())

    assert told == [1, 2]


def test_a_failure_inside_passes_the_turn_on():
    """A block that raises gives the lock back."""
    room = Room()

    async def main():
        with suppress(ZeroDivisionError):
            async with room.turns.turn():
                _ = 1 / 0
        await asyncio.wait_for(room.visit("next"), 5)

    asyncio.run(main())

    assert room.entered == ["next"]


def test_a_failing_on_wait_leaves_the_queue():
    """A callback that raises costs its own turn only."""
    room = Room()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(room.visit("first", stay=0.02))
            await pause()
            with pytest.raises(ZeroDivisionError):
                await room.visit("second", on_wait=lambda: 1 / 0)
            group.create_task(room.visit("third"))

    asyncio.run(main())

    assert room.entered == ["first", "third"]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_cancelled_while_waiting(after):
    """Whoever gives up, before or just as the turn is given, holds nobody up."""
    room = Room()

    async def main():
        release = asyncio.Event()

        async def holder():
            async with room.turns.turn():
                await release.wait()

        first = asyncio.create_task(holder())
        await pause()
        second = asyncio.create_task(room.visit("second", stay=0.001))
        third = asyncio.create_task(room.visit("third"))
        await pause()
        release.set()
        await pause(after)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        await asyncio.wait_for(asyncio.gather(first, third), 5)

    asyncio.run(main())

    assert room.entered[-1] == "third"
    assert not room.crowded


def test_two_loops_share_turns():
    """Coroutines of loops in different threads never hold the turn together, and all get it."""
    room = Room()

    async def visits(name):
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(room.visit((name, number)))

    threads = [in_thread(visits(name)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.join(20)

    assert not room.crowded
    assert len(room.entered) == 300
    for name in "abc":
        assert [number for visitor, number in room.entered if visitor == name] == list(range(100))


def close_while(room: Room, *, holding: bool) -> None:
    """Leave a loop behind that was closed while it held the turn, or waited for it."""

    async def stay_for_ever():
        async with room.turns.turn():
            await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    task = loop.create_task(stay_for_ever())
    task._log_destroy_pending = False  # it is meant to be destroyed
    loop.run_until_complete(pause())
    assert (room.turns._holder is not None) is True
    assert bool(room.turns._queue) is not holding
    loop.close()


def test_a_loop_closed_while_it_waited_is_passed_over():
    """A turn is not given to a loop where nobody can take it."""
    room = Room()

    async def main():
        async with room.turns.turn():
            thread = threading.Thread(target=close_while, args=(room,), kwargs={"holding": False})
            thread.start()
            await asyncio.to_thread(thread.join)
            visit = asyncio.create_task(room.visit("next"))
            await pause()
        await asyncio.wait_for(visit, 5)

    asyncio.run(main())

    assert room.entered == ["next"]


def test_a_loop_closed_while_it_held_the_turn_loses_it():
    """A turn that can never be given back is taken away."""
    room = Room()
    close_while(room, holding=True)

    async def main():
        await asyncio.wait_for(asyncio.gather(room.visit(1, stay=0.001), room.visit(2)), 5)

    asyncio.run(main())

    assert room.entered == [1, 2]
    assert not room.crowded
