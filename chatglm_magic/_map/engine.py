"""The engine of a map: rows in, answers out, in one event loop; it knows no conversation, no store and no globals.

A handful of workers ask, as many as the gate lets; a feeder reads the rows just ahead of them. An answer is given to
whoever keeps answers, and counts once that is done, so that nothing that counts is ever asked again. A worker takes no
other row before: what is asked and not yet kept is never more than the gate's limit.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from .._errors import ChatGLMError, ReplyFormatError, StalledError
from .._event_loops import IteratorThread, running_loop
from .._messages import Request, Stage
from .._reply import Reply
from .._store import AnswerRow
from .gate import Gate
from .kept import GroupCommit, Kept, NotKept
from .packing import packed_answers, packed_request
from .question import Question
from .rows import Ending, Row
from .source import Template
from .work import Work, failed_row, misfit_of, share_of, tokens_of, twin_of, verdict_of

ATTEMPTS = 4
"""How often a row is asked at most where the service fails; refusals do not count."""
IN_A_ROW = 20
"""Rows that fail one after the other, by the service or the network, until nothing more is asked."""
_RETRYING = 4
"""Rows that may wait for another try, also where fewer are asked at once, before no new ones are begun."""
PATIENCE = 600.0
"""Seconds for which a row may be refused."""
_FIRST_WAIT = 0.5
_LEAST_BLOCK, _BLOCK = 256, 1024
"""Rows looked up at once: at least, where they are in memory anyhow, and at most."""
_BLOCK_CHARACTERS = 1_000_000
_AHEAD = 64
"""Rows read at once of what can be read only once, at most, where more are not asked at once."""
_LAST_ANSWERS = 5.0
"""Seconds that requests in flight may take to end once nothing more is asked."""
_HANG_UP = 0.2
"""Seconds that stopping may take."""
NEWEST = 5


class Progress(msgspec.Struct, frozen=True):
    """How far a map is.

    Attributes:
        total: How many rows there are; None where that is not known yet.
        done: Rows with an answer, with a failure, or with nothing to be asked.
        failed: Rows that failed.
        there: Rows whose answer was there already.
        in_flight: Requests on their way.
        seconds: Since the map began, until now or its end.
        tokens: Of the new answers.
        requests: Requests sent.
        pause: Seconds until something may be sent again, after a refusal.
    """

    total: int | None
    done: int = 0
    failed: int = 0
    there: int = 0
    in_flight: int = 0
    seconds: float = 0.0
    tokens: int = 0
    requests: int = 0
    pause: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second, without those that were there already."""
        return (self.done - self.there) / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at that rate; None where that is not known."""
        if self.total is None or not self.rate:
            return None
        return (self.total - self.done) / self.rate


class Engine:
    """Asks one question of many rows.

    Args:
        question: The question.
        stage: Answers a request.
        rows: The rows: position, label and value of each.
        gate: How many are asked at once.
        packed: Answers a request for several rows; None for `stage`.
        total: How many rows there are; None where that is not known.
        kept: Where answers are looked up and kept; None for nowhere.
        fresh: Whether every row is asked, also where its answer is there.
        check: Raises a `ChatGLMError` for a text that must not be sent.
        clean: Takes out of an answer what must not be kept.
        on_row: Called, in the loop, with each row that is done.
        reader: Reads the rows that follow in a thread, as it may have to wait for each; None where none do.

    Attributes:
        rows: The rows that are done, by position.
        order: Their positions, in the order in which they were done.
        newest: The last of them that were asked: the value of each, and its row.
        error: What ended the map before its end; None if nothing did.
        finish_reason: Why it ended; empty before that.
        length: How many rows were read.
        status: Why nothing has come yet, as the provider said last; empty for nothing.
        obstacle: Why no row at all can be asked now; empty for nothing.
    """

    error: BaseException | None = None
    finish_reason: Ending = ""
    length = 0
    status = obstacle = ""
    _broken: BaseException | None = None  # what the rows raised after those that were read
    _workers = _idle = 0
    _fed = _stopping = False
    _failed = _there = _tokens = _requests = _in_a_row = 0
    _ended: float | None = None

    def __init__(  # noqa: PLR0913 - the one place where all comes together
        self,
        question: Question,
        stage: Stage,
        rows: Iterable[tuple[int, Any, Any]],
        *,
        gate: Gate,
        packed: Stage | None = None,
        total: int | None = None,
        kept: Kept | None = None,
        fresh: bool = False,
        check: Callable[[str], object] = lambda _: None,
        clean: Callable[[str], str] = lambda text: text,
        on_row: Callable[[Row], object] = lambda _: None,
        reader: IteratorThread[tuple[int, Any, Any]] | None = None,
    ) -> None:
        self.rows: dict[int, Row] = {}
        self.order: list[int] = []
        self.newest: deque[tuple[object, Row]] = deque(maxlen=NEWEST)
        self.gate = gate
        self._values: dict[int, Any] = {}
        self._question = question
        self._template = Template(question.prompt, question.columns)
        self._stage, self._packed = stage, packed or stage
        self._least = 1 if total is None else _LEAST_BLOCK
        self._source: Iterator[tuple[int, Any, Any]] = iter(rows)
        self._reader = reader
        self._total = total
        self._kept = kept or NotKept()
        self._fresh = fresh
        self._check, self._clean, self._on_row = check, clean, on_row
        self._known: dict[bytes, Work | Row] = {}
        self._ready: deque[Work] = deque()
        self._refused: deque[Work] = deque()
        self._later: list[tuple[float, int, Work]] = []
        self._number = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._answered_at = self._began = time.monotonic()
        self._finished = asyncio.Event()  # not made by `run`: a map may be stopped before it runs

    @property
    def progress(self) -> Progress:
        """How far it is; may be read in any thread."""
        now = self._ended if self._ended is not None else time.monotonic()
        return Progress(
            total=self._total,
            done=len(self.rows),
            failed=self._failed,
            there=self._there,
            in_flight=self.gate.in_flight,
            seconds=now - self._began,
            tokens=self._tokens,
            requests=self._requests,
            pause=self.gate.pause,
        )

    async def run(self) -> None:
        """Ask all rows; return when all are done, nothing more can be asked, or it was stopped."""
        self._loop = running_loop()
        self._taken = asyncio.Event()
        self._group = GroupCommit(self._kept, self._finish, lambda: self.gate.limit)
        self._began = time.monotonic()
        self._start(self._feed())
        try:
            await self._finished.wait()
        except asyncio.CancelledError:
            self.finish_reason = "interrupted"
            raise
        finally:
            await self._wind_up()

    def stop(self) -> None:
        """Hang up on all requests now; what was answered is kept."""
        if not self._ended and not self._stopping:
            self.finish_reason = "interrupted"
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            self._finished.set()

    def left(self) -> list[tuple[int, Any, Any]]:
        """Return the rows that were read and have no answer, for an input that cannot be read again."""
        failed = [(position, self.rows[position].index, value) for position, value in self._values.items()]
        open_works = [work for work in self._known.values() if isinstance(work, Work)]
        twins = [(*twin, work.value) for work in open_works for twin in work.twins]
        return sorted([*failed, *twins, *((work.position, work.label, work.value) for work in open_works)])

    async def _wind_up(self) -> None:
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_HANG_UP)
        await self._group.close(_HANG_UP)
        self._ended = time.monotonic()
        self.finish_reason = self.finish_reason or ("error" if self.error is not None else "stop")

    def _halt(self, error: BaseException) -> None:
        """Ask nothing more: what is in flight may still be answered, and is paid for."""
        if self.error is None and not self._stopping:
            self.error = error
            self._loop.call_later(_LAST_ANSWERS, self._finished.set)
        self._stopping = True
        self._taken.set()
        self._wake()

    # Tasks

    def _start(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._halt(error)  # of the user's own generator, for instance
        if not self._tasks:
            self._finished.set()

    def _grow(self) -> None:
        """Have as many workers as may ask now, if there is work for them."""
        wanted = min(self.gate.limit, self._workers - self._idle + len(self._ready) + len(self._refused))
        while self._workers < wanted and not self._stopping:
            self._workers += 1
            self._start(self._work())

    async def _sleep(self, seconds: float | None = None) -> None:
        """Wait until something has changed, or for so many seconds."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        handle = None if seconds is None else self._loop.call_later(seconds, _release, waiter)
        try:
            await waiter
        finally:
            if handle is not None:
                handle.cancel()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _release(waiter)

    # The feeder

    async def _feed(self) -> None:
        """Read the rows, just ahead of the workers; faster where the answers are there."""
        size = 1
        while not self._stopping:
            room = max(1, self.gate.limit - len(self._later)) * self._question.rows_per_request
            if len(self._ready) * 2 > room:
                self._taken.clear()
                await self._taken.wait()
                continue
            block = await self._read(max(size, room, self._least))
            if not block:
                if self._broken is not None:
                    self._halt(self._broken)
                    return
                self._total = self.length
                break
            were_there = self._look_up(block)
            size = min(2 * len(block), _BLOCK if self._reader is None else _AHEAD) if were_there else 1
            self._grow()
            self._wake()
            await asyncio.sleep(0)
        self._fed = True
        self._wake()

    async def _read(self, size: int) -> list[tuple[int, Any, Any]]:
        block = list(self._block(size))
        if not block and self._reader is not None and self._broken is None:
            block, self._broken = await self._reader.take(size)
            self.length = max(self.length, block[-1][0] + 1) if block else self.length
        return block

    def _block(self, size: int) -> Iterator[tuple[int, Any, Any]]:
        """Yield the next rows, fewer where they are long; none once reading them has failed."""
        characters = 0
        rows = itertools.islice(self._source, size if self._broken is None else 0)
        while True:
            try:
                row = next(rows, None)
            except Exception as error:  # noqa: BLE001 - of the user's own generator; what it gave is asked first
                self._broken = error
                return
            if row is None:
                return
            self.length = max(self.length, row[0] + 1)
            yield row
            characters += len(row[2]) if isinstance(row[2], str) else 0
            if characters > _BLOCK_CHARACTERS:
                return

    def _look_up(self, block: list[tuple[int, Any, Any]]) -> bool:
        """Find out which rows are to be asked; return whether none is."""
        fresh: dict[bytes, Work] = {}
        for position, label, value in block:
            if self._template.lacks(value):
                self._done(Row(position, label))
                continue
            try:
                text = self._template.fill(value)
                self._check(text)
            except ChatGLMError as error:
                self._done(Row(position, label, error=str(error), kind=error.kind))
                self._values[position] = value  # for another try; it is not shown, as it may hold a key
                continue
            key = self._question.key(text)
            known = self._known.get(key)
            if known is None:
                self._known[key] = fresh[key] = Work(position, label, value, key)
            elif isinstance(known, Work):
                known.twins.append((position, label))
            else:
                self._done(twin_of(known, position, label), value)
        found = {} if self._fresh or not fresh else self._kept.find(list(fresh))
        is_all = True
        for key, work in fresh.items():
            row = self._row_of_stored(work, found[key]) if key in found else None
            if row is None:
                is_all = False
                self._ready.append(work)
            else:
                self._finish(work, row)
        return is_all

    def _row_of_stored(self, work: Work, answer: AnswerRow) -> Row | None:
        """Return the row of an answer that is there; None where it does not fit the schema."""
        try:
            value = self._value(answer.text)
        except ValueError:
            return None
        return Row(
            work.position,
            work.label,
            value,
            answer.text,
            cached=True,
            finish_reason=answer.finish_reason,
            warnings=answer.warnings,
        )

    # The workers

    async def _work(self) -> None:
        try:
            while (work := await self._next()) is not None:
                works = self._packed_with(work)
                if 2 * len(self._ready) <= self.gate.limit * self._question.rows_per_request:
                    self._taken.set()
                await self._ask(works)
                self._grow()
        finally:
            self._workers -= 1

    def _packed_with(self, work: Work) -> list[Work]:
        """Return a row and those that are asked in the same request."""
        works = [work]
        if not work.is_alone:
            for waiting in (self._refused, self._ready):
                while len(works) < self._question.rows_per_request and waiting and not waiting[0].is_alone:
                    works.append(waiting.popleft())
        return works

    async def _next(self) -> Work | None:
        """Return the next row to be asked; None where this worker is not needed any more."""
        while not self._stopping and self._workers <= self.gate.limit:
            now = time.monotonic()
            wait: float | None = self.gate.pause
            if not wait:
                if self._refused:
                    return self._refused.popleft()
                if self._later and self._later[0][0] <= now:
                    return heapq.heappop(self._later)[2]
                if self._ready and len(self._later) < max(self.gate.limit, _RETRYING):
                    return self._ready.popleft()
                if self._fed and not self._later:
                    return None
                wait = self._later[0][0] - now if self._later else None
            self._idle += 1
            try:
                await self._sleep(wait)
            finally:
                self._idle -= 1
        return None

    async def _ask(self, works: list[Work]) -> None:
        reply = Reply()
        began = time.monotonic()
        self._requests += 1
        for work in works:
            work.attempts += 1
        ticket = self.gate.enter()
        try:
            stage = self._stage if len(works) == 1 else self._packed
            async with aclosing(stage(self._request(works))) as events:
                async for event in events:
                    reply.add(event)
        except asyncio.CancelledError:
            self.gate.leave()
            raise
        except Exception as error:  # noqa: BLE001 - a user's provider may raise anything, and a row fails alone
            self._note_spent(works, reply)
            self._fail(works, error, ticket)
        else:
            self.gate.answered(ticket)
            self._answered_at = time.monotonic()
            self._in_a_row = 0
            kept = self._answer(works, reply, self._answered_at - began)
            if kept is not None:
                await kept

    def _request(self, works: list[Work]) -> Request:
        if len(works) == 1:
            return self._question.request(self._template.fill(works[0].value), self._notify)
        return packed_request(self._question, self._template, [work.value for work in works])

    def _note_spent(self, works: list[Work], reply: Reply) -> None:
        """Note what a request without an answer took and said."""
        tokens = tokens_of(reply)
        self._tokens += tokens
        for number, work in enumerate(works):
            work.tokens += share_of(tokens, number, works)
            work.said = self._clean(reply.text) if len(works) == 1 else ""

    def _notify(self, text: str) -> None:
        self.status = text

    def _answer(self, works: list[Work], reply: Reply, seconds: float) -> asyncio.Future[None] | None:
        """Take the answers of rows; return what is done once they are kept, if it has to be waited for."""
        text, odd, tokens = self._clean(reply.text), tuple(reply.warnings), tokens_of(reply)
        self._tokens += tokens
        texts, ends = {0: text}, reply.finish_reason or "stop"
        if len(works) > 1:  # of an answer that was cut off, the rows that are there are whole
            texts, ends = packed_answers(text, len(works)), "stop" if ends == "length" else ends
        kept = None
        for number, work in enumerate(works):
            share = share_of(tokens, number, works)
            own = AnswerRow(texts.get(number, ""), ends, share, seconds, odd)
            if number in texts:
                kept = self._answer_one(work, own, is_packed=len(works) > 1) or kept
            else:
                work.tokens += share
                self._ask_alone(work)
        return kept

    def _answer_one(self, work: Work, answer: AnswerRow, *, is_packed: bool) -> asyncio.Future[None] | None:
        try:
            value = self._value(answer.text)
        except ValueError as misfit:
            work.tokens, work.said = work.tokens + answer.tokens, answer.text
            if is_packed:
                self._ask_alone(work)
            else:
                self._again_or_fail(work, misfit_of(answer.text, misfit))
            return None
        seconds = round(answer.seconds, 3)
        row = Row(
            work.position,
            work.label,
            value,
            answer.text,
            attempts=work.attempts,
            tokens=work.tokens + answer.tokens,
            seconds=seconds,
            finish_reason=answer.finish_reason,
            warnings=answer.warnings,
        )
        if isinstance(self._kept, NotKept):
            self._finish(work, row)
            return None
        return self._group.add(work, answer, row)

    def _ask_alone(self, work: Work) -> None:
        """Have a row asked in a request of its own: nobody knows its part of a packed answer."""
        work.is_alone = True
        self._refused.append(work)
        self._wake()

    def _value(self, text: str) -> Any:  # noqa: ANN401 - whatever the schema makes
        return text if self._question.schema is None else self._question.schema.read(text)

    # Failures

    def _fail(self, works: list[Work], error: Exception, ticket: int) -> None:
        verdict = verdict_of(error)
        if verdict == "refused":
            self.gate.refused(ticket, getattr(error, "retry_after", None))
        elif isinstance(error, StalledError):
            self.gate.congested(ticket)
        else:
            self.gate.leave()
        self._in_a_row *= verdict != "row"
        for work in works:
            match verdict:
                case "refused":
                    self._wait_or_fail(work, error)
                case "again":
                    self._again_or_fail(work, error)
                case "row" if len(works) > 1:  # one of them is to blame
                    self._ask_alone(work)
                case _:
                    self._finish(work, failed_row(work, error))
        if verdict == "all":
            self._halt(error)

    def _wait_or_fail(self, work: Work, error: Exception) -> None:
        """Have a refused row asked once more, unless it has been refused for too long."""
        now = time.monotonic()
        if work.refused_since is None:
            work.refused_since = now
        if now - work.refused_since < PATIENCE:
            self._refused.append(work)
            self._wake()
            return
        self._finish(work, failed_row(work, error))
        if self._answered_at < work.refused_since:  # nobody was answered in all that time
            self._halt(error)

    def _again_or_fail(self, work: Work, error: Exception) -> None:
        """Have a row asked once more in a while, unless it has failed too often."""
        work.failures += 1
        if work.failures < ATTEMPTS and not isinstance(error, ReplyFormatError):
            due = time.monotonic() + _FIRST_WAIT * 2 ** (work.failures - 1)
        elif work.failures < 2:  # noqa: PLR2004 - an answer of another form is asked for once more
            due = time.monotonic()
        else:
            self._finish(work, failed_row(work, error))
            self._in_a_row += not isinstance(error, ReplyFormatError)
            if self._in_a_row >= IN_A_ROW:
                self._halt(error)
            return
        heapq.heappush(self._later, (due, next(self._number), work))
        self._wake()

    # What is done

    def _finish(self, work: Work, row: Row) -> None:
        """Count a row, and those equal to it."""
        self._known[work.key] = row
        self._done(row, work.value)
        for position, label in work.twins:
            self._done(twin_of(row, position, label), work.value)

    def _done(self, row: Row, value: object = None) -> None:
        if row.error:
            self._failed += 1
            self._values[row.position] = value
        self._there += row.cached and not row.error
        self.rows[row.position] = row
        self.order.append(row.position)
        if not row.cached:
            self.newest.append((value, row))
        self._on_row(row)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
