"""Where the answers of a map are kept, so that nothing that is finished is asked twice."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from .._event_loops import call_soon, running_loop
from .._store import AnswerRow, Batch, Store
from .rows import Row
from .work import Work

_GATHER = 0.02
"""Seconds for which answers are gathered to be kept together."""


class Kept(Protocol):
    """Where answers are kept, each under its request's key."""

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, AnswerRow]:
        """Return the answers that are there."""
        ...

    def keep(self, answers: Sequence[tuple[bytes, AnswerRow]], done: Callable[[], None]) -> None:
        """Keep answers, and call a function once that is done, or cannot be for now; in any thread."""
        ...


class NotKept:
    """Keeps nothing: what a process has that only asks."""

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, AnswerRow]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return {}

    def keep(self, answers: Sequence[tuple[bytes, AnswerRow]], done: Callable[[], None]) -> None:  # noqa: ARG002 - as above
        """Do nothing."""
        done()


class StoredAnswers:
    """Keeps answers in the store, as one batch.

    Args:
        store: The store.
        prompt: The prompt with its places, for whoever looks at the store.
        model: The model that is asked.
    """

    def __init__(self, store: Store, prompt: str, model: str) -> None:
        self._store = store
        self._batch = Batch(str(uuid.uuid4()), time.time(), prompt, model)

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, AnswerRow]:
        """Return the answers that are in the file."""
        return self._store.answer_rows(keys)

    def keep(self, answers: Sequence[tuple[bytes, AnswerRow]], done: Callable[[], None]) -> None:
        """Write answers in one transaction, at once."""
        batch, rows = self._batch, tuple(answers)
        size = sum(len(row.text) for _, row in rows)
        self._store.write(lambda writes: writes.put_answer_rows(batch, rows), size, done=done)
        self._store.hurry(now=True)


class _Group(msgspec.Struct, eq=False):
    """Answers that are kept together, each with a future for who waits until they are."""

    answers: list[tuple[Work, AnswerRow, Row]] = msgspec.field(default_factory=list)
    waiters: list[asyncio.Future[None]] = msgspec.field(default_factory=list)
    is_kept: bool = False


class GroupCommit:
    """Keeps the answers of many workers together, at the latest when all of them wait for it; in one loop.

    Args:
        kept: Where answers are kept.
        finish: Called with each row once its answer is kept.
        workers: Returns how many workers there are.
    """

    def __init__(self, kept: Kept, finish: Callable[[Work, Row], None], workers: Callable[[], int]) -> None:
        self._kept, self._finish, self._workers = kept, finish, workers
        self._loop = running_loop()
        self._gathered: _Group | None = None
        self._keeping: _Group | None = None

    def add(self, work: Work, answer: AnswerRow, row: Row) -> asyncio.Future[None]:
        """Have an answer kept; return what is done once it is."""
        group = self._gathered
        if group is None:
            group = self._gathered = _Group()
            self._loop.call_later(_GATHER, self._keep, group)
        group.answers.append((work, answer, row))
        waiter = self._wait(group)
        if len(group.answers) >= self._workers():
            self._keep(group)
        return waiter

    def _wait(self, group: _Group) -> asyncio.Future[None]:
        """Return what is done once a group is kept: one for each who waits, who may give up alone."""
        waiter = self._loop.create_future()
        group.waiters.append(waiter)
        return waiter

    async def close(self, seconds: float) -> None:
        """Wait so many seconds at most until all is kept; what is not by then counts as well, and is kept later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (group := self._keeping or self._gathered) is not None:
                    self._keep(group)
                    await self._wait(group)
        for left in filter(None, (self._keeping, self._gathered)):
            self._done(left)

    def _keep(self, group: _Group) -> None:
        """Keep a group, unless another one is being kept: then after that one."""
        if self._keeping is not None or group is not self._gathered:
            return
        self._gathered, self._keeping = None, group
        answers = [(work.key, answer) for work, answer, _ in group.answers]
        loop = self._loop
        self._kept.keep(answers, lambda: call_soon(loop, lambda: self._done(group)))

    def _done(self, group: _Group) -> None:
        if group.is_kept:
            return
        group.is_kept = True
        if self._keeping is group:
            self._keeping = None
        for work, _, row in group.answers:
            self._finish(work, row)
        for waiter in group.waiters:
            if not waiter.done():
                waiter.set_result(None)
        following = self._gathered
        if following is None:
            return
        if len(following.answers) >= self._workers():
            self._keep(following)
        else:
            self._loop.call_later(_GATHER, self._keep, following)
