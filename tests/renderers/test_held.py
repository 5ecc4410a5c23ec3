"""Replies that may be stored ones: what is shown before it is known, and how fast stored ones follow each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from chatglm_magic._events import Event, Finished, TextDelta
from chatglm_magic._magics.pacing import paced
from chatglm_magic._reply import Reply
from chatglm_magic.renderers.held import Held


class Log:
    """A renderer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self, label: str) -> None:
        self.told.append(f"open {label}")

    def status(self, text: str) -> None:
        self.told.append(f"status {text}")

    def write(self, event: Event) -> None:
        self.told.append(f"write {event.text}")

    def tick(self) -> None:
        self.told.append("tick")

    def close(self, reply: Reply, error: BaseException | None) -> None:
        self.told.append("close")


def held(*, stored: bool) -> tuple[Held, Log]:
    log = Log()
    return Held(log, lambda: stored, lambda: log.told.append("place")), log


def test_a_stored_reply_is_shown_once_at_its_end():
    """Neither a status line nor its growth."""
    renderer, log = held(stored=True)
    renderer.open("glm")
    renderer.status("waiting")
    renderer.write(TextDelta("a"))
    renderer.tick()
    renderer.close(Reply(), None)

    assert log.told == ["close"]


def test_another_reply_is_shown_from_the_first_tick_on():
    """With what was said until then, in its order, behind the place for a button."""
    renderer, log = held(stored=False)
    renderer.open("glm")
    renderer.status("waiting")
    assert log.told == []
    renderer.tick()
    renderer.status("trying again")
    renderer.write(TextDelta("a"))
    renderer.close(Reply(), None)

    assert log.told == ["place", "open glm", "status waiting", "tick", "status trying again", "write a", "close"]


def test_another_reply_is_shown_from_the_first_word_on():
    """Which may come before any tick."""
    renderer, log = held(stored=False)
    renderer.open("glm")
    renderer.write(TextDelta("a"))

    assert log.told == ["place", "open glm", "write a"]


def test_stored_answers_follow_each_other_slowly_enough():
    """Twenty a second at most, whoever asks; new ones are not held up."""

    async def events(reply: Reply, *, stored: bool) -> AsyncGenerator[Event]:
        if stored:
            reply.recall(datetime.now(UTC), 1.0, 0.5, 0.0)
        yield TextDelta("a")
        yield Finished("stop")

    async def ask(*, stored: bool) -> float:
        reply = Reply()
        found = [event async for event in paced(events(reply, stored=stored), reply)]
        assert len(found) == 2
        return time.monotonic()

    async def many() -> list[float]:
        return sorted(await asyncio.gather(*(ask(stored=True) for _ in range(8))))

    shown = asyncio.run(many())
    assert shown[-1] - shown[0] > 7 * 0.05 - 0.02
    assert asyncio.run(ask(stored=False)) > 0
