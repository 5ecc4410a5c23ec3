"""A map that runs: begun at once, waited for in a cell or a script, stopped, and looked at while it runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import math
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import Any, Protocol
from weakref import WeakSet

from .._credentials import NeverPickled
from .._errors import ConfigError, shorten
from .._event_loops import TICK, call_soon, io_thread, ticking
from .._language import tr
from .._messages import ChatOptions, Request, check_names
from .._redaction import key_guard
from .._resolve import Target
from .._transport import shared_connections, single_attempts
from .engine import Engine, Progress
from .gate import MOST
from .rows import Ending, Row, Rows
from .setup import MapOptions, Numbered, Plan, Setup, plan, setup_of
from .source import text_of

_HANG_UP = 0.3
_EXCERPT = 60
"""Characters of a value that are shown."""

_jobs: WeakSet[MapJob] = WeakSet()
_watchers: WeakSet[MapWatcher] = WeakSet()


class MapWatcher(Protocol):
    """What wants to know which maps run."""

    def on_maps(self) -> None:
        """Hear, in any thread, that a map has begun or ended; must not block."""
        ...


class MapJob(NeverPickled):
    """A map, begun when it is made: `rows = await job`, or `job.result()` in a script.

    It runs in the loop thread, so that a cell that computes does not hold it up. `async for row in job` yields the rows
    in the order in which they are done.

    Args:
        setup: What is asked.
        before: The rows of an earlier run: those that have an answer are not asked again. None for none.
        on_row: Called, in the loop thread, with each row that is done.

    Attributes:
        setup: As given.
        prompt: The prompt.
        began: When it began, in seconds since the epoch.
        quiet_once: Whether IPython shows nothing for it the next time it is a cell's value.
    """

    quiet_once = False

    def __init__(
        self, setup: Setup, before: Rows | None = None, *, on_row: Callable[[Row], object] = lambda _: None
    ) -> None:
        self.setup = setup
        self.prompt = setup.question.prompt
        self.began = time.time()
        self._before = {} if before is None else before.answered()
        self._left = () if before is None else before.left
        self._known = 0 if before is None else len(before)
        rows, total = setup.rows(), setup.total
        if before is not None:
            rows = itertools.chain(self._left, (row for row in rows if row[0] not in self._before))
            total = None if total is None else total - len(self._before)
        self._engine = _engine(setup, rows, total, on_row)
        self._loop = io_thread.loop()
        self._future: concurrent.futures.Future[None] = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        _jobs.add(self)
        _tell_watchers()
        self._future.add_done_callback(_tell_watchers)

    async def _run(self) -> None:
        with single_attempts():
            async with shared_connections(max(MOST, self.setup.concurrency or 0)):
                await self._engine.run()

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._engine.progress

    @property
    def status(self) -> str:
        """Why no row can be asked, or none has been answered yet, in a sentence; empty for nothing."""
        if self.is_done:
            return ""
        return self._engine.obstacle or ("" if self._engine.newest else self._engine.status)

    @property
    def newest(self) -> list[tuple[Any, str, Row]]:
        """The newest rows that were answered or failed: label, the beginning of the value, and the row."""
        newest = list(self._engine.newest)
        return [(row.index, shorten(text_of(value)[: 4 * _EXCERPT], _EXCERPT), row) for value, row in newest]

    @property
    def rows(self) -> Rows:
        """The rows as they are now; all that are done, also after an error or a stop."""
        engine, source = self._engine, self.setup.source
        done = {**self._before, **engine.rows}
        length = source.length
        if length is None:
            length = max(self._known, engine.length, max(done, default=-1) + 1)
        reason: Ending = engine.finish_reason if self.is_done else ""
        left = self._rows_left() if source.length is None and self.is_done else ()
        return Rows(source, done, length, reason, again=self._again, left=left)

    def _rows_left(self) -> list[Numbered]:
        """Return the rows of a generator that were read, now or by an earlier run, and have no answer."""
        read = {row[0]: row for row in (*self._left, *self._engine.left())}
        done = self._engine.rows
        return [read[position] for position in sorted(read) if position not in done or done[position].error]

    def _again(self, rows: Rows) -> MapJob:
        return MapJob(self.setup, rows)

    def stop(self) -> None:
        """Hang up on all requests, from any thread; what was answered is kept, and `rows` has it."""
        call_soon(self._loop, self._engine.stop)

    async def ended(self) -> None:
        """Wait in the running loop for the end, well or not; giving up waiting leaves it running."""
        while not self._future.done():  # noqa: ASYNC110 - it ends in another loop
            await asyncio.sleep(TICK)

    async def halt(self) -> None:
        """Stop it, and wait a moment for its end; does nothing where it has ended."""
        if not self._future.done():
            self.stop()
            await asyncio.wait({asyncio.wrap_future(self._future)}, timeout=_HANG_UP)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait in this thread for the end, for so many seconds at most; return whether it has ended."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self._future.done() and (left := until - time.monotonic()) > 0:
            concurrent.futures.wait((self._future,), min(left, 1.0))  # an interrupt bites in between
        return self._future.done()

    def result(self, timeout: float | None = None) -> Rows:
        """Wait in this thread, and return the rows. An interrupt stops the map, and its error has `.rows` too.

        Raises:
            ChatGLMError: What would have failed all other rows too; `.rows` holds those that are done.
            TimeoutError: It runs on after so many seconds.
        """
        if io_thread.is_current:
            raise ConfigError(tr("Here the map's own loop runs, so it is awaited: rows = await job."))
        if not self.is_done and self.setup.where is not None and self.setup.where.needs_this_loop:
            raise ConfigError(tr("The Dask client lives in this loop, so the map is awaited: rows = await job."))
        try:
            if not self.wait(timeout):
                msg = tr(
                    "The map has not ended within {seconds:g} s, and runs on. Wait once more, or end it: job.stop().",
                    seconds=timeout,
                )
                raise TimeoutError(msg)
        except KeyboardInterrupt as interrupt:
            self.stop()
            self.wait(_HANG_UP)
            self._tell_kept(interrupt)
            raise
        return self.outcome()

    def _tell_kept(self, interrupt: BaseException) -> None:
        """Add to the error of an interrupt the rows that are kept, and words."""
        interrupt.rows = self.rows  # type: ignore[attr-defined]  # of Python's own errors
        interrupt.args = (tr("The map was stopped; what was answered is kept. Run it again: it goes on from there."),)

    def __await__(self) -> Generator[Any, None, Rows]:
        return self._wait().__await__()

    async def _wait(self) -> Rows:
        """Wait in the running loop; a cancellation, as by a cell's interrupt, stops the map, and has `.rows` too."""
        try:
            with ticking():
                await asyncio.wait({asyncio.wrap_future(self._future)})
        except asyncio.CancelledError as interrupt:
            await self.halt()
            self._tell_kept(interrupt)
            raise
        return self.outcome()

    async def __aiter__(self) -> AsyncGenerator[Row]:
        """Yield rows as they are done; a cancellation while it waits stops the map, as in `await job`."""
        order, rows, seen = self._engine.order, self._engine.rows, 0
        while True:
            is_last = self._future.done()
            while seen < len(order):
                yield rows[order[seen]]
                seen += 1
            if is_last:
                self.outcome()
                return
            try:
                await asyncio.sleep(TICK)
            except asyncio.CancelledError as interrupt:
                await self.halt()
                self._tell_kept(interrupt)
                raise

    def outcome(self) -> Rows:
        """Return the rows of a map that has ended, or raise what ended it."""
        failure = self._engine.error
        if failure is None and not self._future.cancelled():  # as it is when the loop thread ends
            failure = self._future.exception()
        rows = self.rows
        if failure is not None:
            failure.rows = rows  # type: ignore[attr-defined]  # of any error, also one of the user's own rows
            raise failure
        return rows

    def __repr__(self) -> str:
        return f"<MapJob {progress_line(self)}>"

    def _ipython_display_(self) -> None:
        """Stay quiet once, in the cell whose output shows how far it is."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representation above
        self.quiet_once = False


class Asker(Protocol):
    """A conversation, as far as maps need it."""

    def map_request(
        self,
        prompt: str,
        options: ChatOptions | None = None,
        **fields: Any,  # noqa: ANN401 - passed on
    ) -> tuple[Target, Request]:
        """See `Chat.map_request`."""
        ...


def begin(chat: Asker, prompt: str, over: object, options: ChatOptions | None, **how: Any) -> MapJob:  # noqa: ANN401 - passed on
    """Begin a map of a conversation, see `Chat.map`."""
    return MapJob(_setup(chat, prompt, over, options, how))


def planned(chat: Asker, prompt: str, over: object, options: ChatOptions | None, **how: Any) -> Plan:  # noqa: ANN401 - as above
    """Return what a map of a conversation would do, see `Chat.plan_map`."""
    return plan(_setup(chat, prompt, over, options, how))


def _setup(chat: Asker, prompt: str, over: object, options: ChatOptions | None, how: dict[str, Any]) -> Setup:
    own = {name: how.pop(name) for name in MapOptions.__struct_fields__ if name in how}
    check_names([name for name in how if name != "target"], MapOptions.__struct_fields__)
    target, request = chat.map_request(prompt, options, **how)
    return setup_of(prompt, over, target, request, MapOptions(**own))


def _engine(setup: Setup, rows: Iterable[Numbered], total: int | None, on_row: Callable[[Row], object]) -> Engine:
    """Return what has the rows asked: here, or on the workers of a cluster."""
    how: dict[str, Any] = {
        "total": total,
        "kept": setup.kept,
        "fresh": setup.fresh,
        "check": key_guard(),
        "clean": setup.clean,
        "on_row": on_row,
        "reader": setup.reader,
    }
    if setup.where is None:
        return Engine(setup.question, setup.stage, rows, gate=setup.gate(), packed=setup.packed, **how)
    return setup.where.engine(setup.question, rows, **how)


def running_jobs() -> list[MapJob]:
    """Return the maps of this process that run, the first begun first."""
    return sorted((job for job in list(_jobs) if not job.is_done), key=lambda job: job.began)


def watch_maps(watcher: MapWatcher) -> None:
    """Call a watcher when a map of this process begins or ends, for as long as the watcher lives."""
    _watchers.add(watcher)


def unwatch_maps(watcher: MapWatcher) -> None:
    """Call a watcher no more."""
    _watchers.discard(watcher)


def _tell_watchers(_: object = None) -> None:
    for watcher in list(_watchers):
        watcher.on_maps()


def progress_line(job: MapJob) -> str:
    """Return how far a map is, in one line."""
    now = job.progress
    done = f"{now.done:,}" if now.total is None else f"{now.done:,} / {now.total:,}"
    said = [done]
    if now.failed:
        said.append(tr("{count} failed", count=f"{now.failed:,}"))
    if now.there:
        said.append(tr("{count} there already", count=f"{now.there:,}"))
    if not job.is_done:
        said.append(tr("{count} in flight", count=now.in_flight))
        if job.status:
            said.append(job.status)
        if now.pause >= 1:
            said.append(tr("refused: {seconds:.0f} s until the next try", seconds=now.pause))
    if now.rate and now.done > now.there:
        said.append(tr("{rate} rows/s", rate=f"{now.rate:.1f}" if now.rate < 10 else f"{now.rate:,.0f}"))  # noqa: PLR2004 - digits that matter
    if not job.is_done and now.left is not None and now.done:
        said.append(tr("{time} left", time=_time(now.left)))
    if now.tokens:
        said.append(tr("{count} tokens", count=f"{now.tokens:,}"))
    return " · ".join(said)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
