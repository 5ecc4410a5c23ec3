"""A map on a Dask cluster: its rows go to the workers in chunks, and their answers are kept here.

The client cuts the chunks and gives each to a worker of its choice, two at a time: one that is asked, and the next one.
So the rows that are asked at once are the whole map's, a chunk that comes back is kept at once, and a worker that dies
costs its chunks in flight, which another one asks again. A worker that is refused tells the client, which has all the
others pause too. Only rows, answers and seconds travel.
"""

from __future__ import annotations

import asyncio
import math
import pickle
import time
import uuid
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast
from weakref import WeakMethod, WeakSet

import cloudpickle
import msgspec
from distributed import Client, KilledWorker

from .._errors import ChatGLMError, ConfigError, ConnectError, ErrorKind
from .._event_loops import call_soon, running_loop
from .._events import Event
from .._language import language, tr
from .._messages import Request
from .._resolve import Target
from .._schema.schema import Schema
from .._store import AnswerRow
from ..providers import PROVIDERS
from .chunk import (
    ChunkResult,
    ChunkSpec,
    Failure,
    PackedChunk,
    error_of,
    not_run,
    pause,
    pause_topic,
    row_of_dead_workers,
    row_that_stays,
    steer,
    stop,
)
from .engine import IN_A_ROW, Engine, Progress
from .gate import MOST, Gate
from .question import Question
from .work import STOP_ALL, Work, verdict_of

CHUNK = 64
"""Rows in a chunk at most."""
_ROUNDS = 4
"""How often a worker asks as many rows as it may at once, in one chunk: a chunk of slow rows is a small one."""
_AT_A_WORKER = 2
_LOOK = 0.25
"""Seconds between two looks at which workers there are."""
_PATIENCE = 10.0
"""Seconds for which the scheduler may be out of reach."""
_WORKERLESS = 600.0
"""Seconds for which there may be no workers: a queue of a computing centre may take that long to start some."""
_LOSSES = 5
"""How often the worker may die that has a row."""
_LAST_ANSWERS = 0.15
"""Seconds that workers may take to send what they have once the map is stopped."""
_RUNNING = "running"


class OnDask(msgspec.Struct, frozen=True):
    """Where a map runs, if not here.

    Attributes:
        client: The client of `distributed`.
        target: Who answers; made once more on each worker, without a key.
        concurrency: How many rows are asked at once by all workers; None for what the service allows.
        starts_at: How many a worker asks at once at first, where that is found out.
    """

    client: Any
    target: Target
    concurrency: int | None
    starts_at: int

    def check(self) -> None:
        """Check that there is a client, that the provider can be made elsewhere, and that it pays.

        Raises:
            ConfigError: That is no client, or one that is closed; or a provider of the user's own.
        """
        check_client(self.client)
        provider = self.target.provider
        if provider.name not in PROVIDERS or not type(provider).__module__.startswith(f"{__name__.partition('.')[0]}."):
            raise ConfigError(
                tr(
                    "The provider {name!r} stays here: what it holds, a key perhaps, must not travel to workers. Ask a "
                    "server with -m openai:MODEL --base-url URL, or map without Dask.",
                    name=provider.name,
                )
            )
        if self.is_single:
            said = tr("{name} takes one request at a time, so only one Dask worker asks.", name=provider.name)
            warnings.warn_explicit(said, UserWarning, __name__.partition(".")[0], 1)  # no line of ours is shown

    @property
    def needs_this_loop(self) -> bool:
        """Whether the client lives in the loop that runs in this thread, which must not be blocked."""
        return bool(self.client.asynchronous)

    @property
    def is_single(self) -> bool:
        """Whether the service takes one request of a key at a time, so that one worker asks."""
        name = self.target.provider.name
        return name == "chatglm" or (self.starts_at == 1 and self.concurrency is None and name != "local")

    @property
    def most_workers(self) -> int | None:
        """How many workers ask at most; None for all."""
        return 1 if self.is_single else self.concurrency

    def spec(self, question: Question) -> ChunkSpec:
        """Return what the workers have to know of one run of a map: what is late of another one is not mixed up."""
        name, schema = self.target.provider.name, cast("Schema | None", question.schema)
        return ChunkSpec(
            map=str(uuid.uuid4()),
            question=msgspec.structs.replace(question, schema=None),
            schema=None if schema is None else schema.portable(),
            provider=name,
            model=self.target.model,
            base_url=getattr(self.target.provider, "base_url", ""),
            is_fixed=self.concurrency is not None or name in {"local", "chatglm"},
            starts_at=self.starts_at,
            language=language(),
        )

    def engine(self, question: Question, rows: Iterable[tuple[int, Any, Any]], **how: Any) -> ClusterEngine:  # noqa: ANN401 - passed on
        """Return what has the workers ask the rows; arguments as of `Engine`."""
        return ClusterEngine(self, question, rows, **how)


def check_client(client: Any) -> None:  # noqa: ANN401 - whatever a person passed
    """Check that this is a client, and that it is connected.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(client, Client):
        raise ConfigError(
            tr("client takes a dask.distributed.Client, not a {type}.", type=type(client).__name__),
        )
    if client.status != _RUNNING:
        raise ConfigError(
            tr(
                "The Dask client is not connected ({status}), so nothing was sent: make a new one.",
                status=client.status,
            )
        )


class _WorkerLostError(Exception):
    """What a worker had is lost: the worker is named if it died of that, as far as is known."""


class _Cluster:
    """The workers of a cluster, in the loop of the map.

    Args:
        where: Whose they are.
        spec: What they have to know.

    Attributes:
        workers: The addresses of those that ask.
        is_stopped: Whether nothing more is asked.
        was_seen: Set once it is known which workers there are.
    """

    is_stopped = False

    def __init__(self, where: OnDask, spec: ChunkSpec) -> None:
        self.spec = spec
        self.workers: list[str] = []
        self._client, self._where = where.client, where
        self._flights: dict[asyncio.Task[ChunkResult], str] = {}
        self._waited: WeakSet[asyncio.Task[ChunkResult]] = WeakSet()
        self._changed = asyncio.Event()
        self._held: set[str] = set()  # workers that begin once the others have fewer rows in flight
        self.was_seen = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._heard = self._manned = time.monotonic()
        self._last_error: BaseException | None = None
        self._call: Any = None

    @property
    def slots(self) -> int:
        """How many chunks may be out at once."""
        return max(1, _AT_A_WORKER * len(self.workers))

    def share(self, worker: str) -> int:
        """Return how many rows a worker asks at once, or at most."""
        if self._where.concurrency is None:
            if self.spec.is_fixed:
                return 1  # of its own
            return math.ceil(MOST / max(1, len(self.workers)))
        each, more = divmod(self._where.concurrency, len(self.workers))
        return max(1, each + (self.workers.index(worker) < more))

    def chunk_size(self, waiting: int) -> int:
        """Return how many rows the next chunk has, where so many wait: fewer at the end, so that all end together."""
        together = self.spec.question.rows_per_request
        if not self.workers:
            return min(CHUNK, _ROUNDS * together)
        wanted = math.ceil(waiting / self.slots / together) * together
        return min(CHUNK, _ROUNDS * self.share(self.workers[0]) * together, wanted)

    async def ask(self, rows: Sequence[tuple[int, Any]]) -> tuple[str, ChunkResult]:
        """Have a worker ask a chunk; return its address, and what came of the chunk.

        Raises:
            _WorkerLostError: The worker died.
        """
        worker = await self._free_worker()
        packed = cloudpickle.dumps(PackedChunk(self.spec, rows, self.share(worker)))
        task = running_loop().create_task(self._in_clients_loop(lambda: self._run_chunk(worker, packed)))
        self._flights[task] = worker
        try:
            await asyncio.wait({task})
        finally:
            del self._flights[task]
            task.cancel()
            self._changed.set()
        if task in self._waited or (
            not task.cancelled() and task.exception() is not None and self._client.status != _RUNNING
        ):
            raise _WorkerLostError
        if task.cancelled():
            raise _WorkerLostError(worker)
        return worker, task.result()

    async def _free_worker(self) -> str:
        while True:
            busy = list(self._flights.values())
            ready = (worker for worker in self.workers if worker not in self._held)
            free = [worker for worker in ready if busy.count(worker) < _AT_A_WORKER]
            if free and self._client.status == _RUNNING:
                return min(free, key=busy.count)
            if self.is_stopped:
                raise _WorkerLostError
            self._changed.clear()
            await self._changed.wait()

    async def _run_chunk(self, worker: str, packed: bytes) -> ChunkResult:
        """Submit a chunk and wait for it, in the client's loop; what is given up is released."""
        name = f"chatglm_map-{uuid.uuid4()}"
        future = self._client.submit(pickle.loads, packed, key=name, pure=False, retries=0, workers=[worker])
        try:
            found: list[ChunkResult] = await self._client.gather([future], errors="skip", asynchronous=True)
            if found:
                return found[0]
            error = await future.exception() if future.status == "error" else None
            if error is None or isinstance(error, KilledWorker):
                raise _WorkerLostError(worker)
            raise error
        finally:
            future.release()

    async def _in_clients_loop(self, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - what the call returns
        """Await a call in the client's loop, in which all of its methods are coroutines, for every kind of client."""

        async def there() -> Any:  # noqa: ANN401 - as above
            return await call()

        loop = self._client.loop.asyncio_loop
        coroutine = there()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # the loop is closed, and the client with it
            coroutine.close()
            raise
        return await asyncio.wrap_future(future)

    async def watch(self, resized: Callable[[], object], gone: Callable[[ChatGLMError], object]) -> None:
        """Follow workers as they come and go, until nobody can tell any more.

        Args:
            resized: Called where other workers ask than before.
            gone: Called once the client or the scheduler is gone.
        """
        looking: asyncio.Task[Any] | None = None
        while (lost := self._lost_contact()) is None:
            looking = looking or running_loop().create_task(self._in_clients_loop(self._client.nthreads))
            await asyncio.wait({looking}, timeout=_LOOK)
            if not looking.done():
                continue
            self._last_error = looking.exception()
            if self._last_error is None:
                self._see(list(looking.result()), resized)
            looking = None
            await asyncio.sleep(_LOOK)
        if looking is not None:
            looking.cancel()
        gone(lost)

    def _see(self, found: list[str], resized: Callable[[], object]) -> None:
        self._heard = time.monotonic()
        changed = self._use(found)
        if found:
            self._manned = time.monotonic()
        else:
            self._wake_up()
        if changed or not found:
            resized()
        self._changed.set()
        self.was_seen.set()

    def _lost_contact(self) -> ChatGLMError | None:
        status = self._client.status
        if time.monotonic() - self._manned > _WORKERLESS and not self.workers:
            return ConnectError(
                tr(
                    "The Dask cluster has had no workers for {minutes} minutes; what was answered is kept. Start "
                    "workers and run the map again: it goes on from there.",
                    minutes=round(_WORKERLESS / 60),
                )
            )
        # One that is connected and says nothing may live in a notebook's loop, which has other things to do.
        is_silent = self._last_error is not None or status != _RUNNING
        if status not in {"closing", "closed"} and not (is_silent and time.monotonic() - self._heard > _PATIENCE):
            return None
        return ConnectError(
            tr(
                "The Dask cluster is gone ({status}); what was answered is kept. Connect a new client and run the map "
                "again: it goes on from there.",
                status=self._last_error or status,
            )
        )

    def _wake_up(self) -> None:
        """Leave a task where there are no workers: a cluster that adapts to its work starts some for it."""
        if self._call is None:
            self._call = self._client.submit(int, pure=False)

    def _use(self, found: list[str]) -> bool:
        """Take the workers that there are; return whether others ask now. Those that ask already go on."""
        stay = [worker for worker in self.workers if worker in found]
        most = len(found) if self._where.most_workers is None else self._where.most_workers
        wanted = [*stay, *(worker for worker in found if worker not in stay)][:most]
        if wanted == self.workers:
            return False
        self.workers = wanted
        self._call = None
        asking: set[str] = set()
        for task, worker in self._flights.items():
            if worker in wanted:
                continue
            if worker in asking:  # the chunk that waited behind another one is not what the worker died of
                self._waited.add(task)
            asking.add(worker)
            task.cancel()
        told = {self._tell([worker], steer, self.share(worker)) for worker in stay}
        if told and self._where.concurrency is not None:
            self._begin_later({worker for worker in wanted if worker not in stay}, told)
        self._changed.set()
        return True

    def _begin_later(self, workers: set[str], told: set[asyncio.Task[None]]) -> None:
        """Have workers begin once the others were told to ask fewer rows, and do."""

        async def begin() -> None:
            await asyncio.wait(told)
            self._held -= workers
            self._changed.set()

        self._held |= workers
        self._keep(begin())

    @contextmanager
    def following_pauses(self, paused: Callable[[float], object]) -> Generator[None]:
        """Have all workers pause where one is refused, while the block runs; call `paused` with the seconds of that."""
        loop, topic = running_loop(), pause_topic(self.spec.map)
        pause_others = WeakMethod(self._pause_others)  # a client keeps its handlers for good

        def follow(worker: str, seconds: float) -> None:
            if (tell := pause_others()) is not None:
                tell(worker, seconds)
                paused(seconds)

        def hear(event: tuple[float, tuple[str, float]]) -> None:
            """Take an event, when it was logged and what was said, in the client's loop."""
            call_soon(loop, lambda: follow(*event[1]))

        if self._client.status == _RUNNING:
            self._client.subscribe_topic(topic, hear)
        try:
            yield
        finally:
            if self._client.status == _RUNNING:
                self._client.unsubscribe_topic(topic)

    def _pause_others(self, worker: str, seconds: float) -> None:
        self._tell([other for other in self.workers if other != worker], pause, seconds)

    def _tell(self, workers: list[str], what: Callable[..., object], *values: float) -> asyncio.Task[None]:
        """Call a function on workers, with the map's name and some values; return what ends when it has."""

        def call() -> Awaitable[Any]:
            told: Awaitable[Any] = self._client.run(what, self.spec.map, *values, workers=workers, on_error="ignore")
            return told

        async def tell() -> None:
            if self._client.status == _RUNNING and workers:
                with suppress(Exception):  # of a worker that is gone, nothing is asked any more
                    await self._in_clients_loop(call)

        return self._keep(tell())

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def stop(self) -> None:
        """Have all workers hang up; their chunks return what they have."""
        self.is_stopped = True
        self._changed.set()
        self._tell(list(self.workers), stop)


async def _nobody(_: Request) -> AsyncGenerator[Event]:
    raise NotImplementedError
    yield  # type: ignore[unreachable]  # makes it a generator


class ClusterEngine(Engine):
    """Has the workers of a Dask cluster ask the rows.

    Args:
        where: The cluster.
        question: The question.
        rows: As in `Engine`.
        how: As in `Engine`.
    """

    def __init__(
        self,
        where: OnDask,
        question: Question,
        rows: Iterable[tuple[int, Any, Any]],
        **how: Any,  # noqa: ANN401 - passed on
    ) -> None:
        in_chunks = msgspec.structs.replace(question, rows_per_request=CHUNK)
        super().__init__(in_chunks, _nobody, rows, gate=Gate(fixed=1), **how)
        self._where, self._spec = where, where.spec(question)
        self._out = 0

    @property
    def progress(self) -> Progress:
        """How far it is; in flight are the rows that workers have."""
        return msgspec.structs.replace(super().progress, in_flight=0 if self.obstacle else self._out)

    async def run(self) -> None:
        """Have all rows asked, as `Engine.run` does."""
        self._cluster = _Cluster(self._where, self._spec)
        watching = running_loop().create_task(self._cluster.watch(self._resized, self._lose_all))
        try:
            with self._cluster.following_pauses(self.gate.wait):
                await super().run()
        finally:
            watching.cancel()
            self._cluster.stop()

    def stop(self) -> None:
        """Have the workers hang up now, and wait a moment for what they have; what was answered is kept."""
        if not self._ended and not self._stopping:
            self.finish_reason = "interrupted"
            self._stopping = True
            self._wake()
            self._cluster.stop()
            self._loop.call_later(_LAST_ANSWERS, super().stop)
        else:
            super().stop()

    def _halt(self, error: BaseException) -> None:
        super()._halt(error)
        self._cluster.stop()

    def _resized(self) -> None:
        self.obstacle = "" if self._cluster.workers else tr("the Dask cluster has no workers now")
        self.gate.allow(self._cluster.slots)
        self._grow()
        self._wake()

    async def _read(self, size: int) -> list[tuple[int, Any, Any]]:
        await self._cluster.was_seen.wait()
        if self._reader is not None:
            return await super()._read(size)
        return await asyncio.to_thread(list, self._block(size))  # a partition may be computed for them

    def _packed_with(self, work: Work) -> list[Work]:
        works = [work]
        size = self._cluster.chunk_size(len(self._ready) + len(self._refused) + 1)
        for waiting in (self._refused, self._ready):
            while len(works) < size and waiting and not (_is_suspect(work) or _is_suspect(waiting[0])):
                works.append(waiting.popleft())
        return works

    async def _ask(self, works: list[Work]) -> None:
        ticket = self.gate.enter()
        self._out += len(works)
        try:
            worker, result = await self._cluster.ask([(work.position, work.value) for work in works])
        except _WorkerLostError as lost:
            self._lose(works, lost)
        except Exception as error:  # noqa: BLE001 - what Dask or pickle raises
            self._keep_here(works, error)
        else:
            self.gate.answered(ticket)
            await self._take(works, worker, result)
            return
        finally:
            self._out -= len(works)
        self.gate.leave()

    def _keep_here(self, works: list[Work], error: Exception) -> None:
        """Have the rows fail that cannot travel, and the others asked again; where all can, nothing more is asked."""
        rows = [(work, row_that_stays(work)) for work in works]
        for work, row in rows:
            if row is None:
                self._refused.append(work)
            else:
                self._finish(work, row)
        if not any(row for _, row in rows):
            self._halt(not_run(error))
        self._wake()

    def _lose_all(self, error: ChatGLMError) -> None:
        """End at once: no chunk comes back."""
        self._halt(error)
        super().stop()

    def _lose(self, works: list[Work], lost: _WorkerLostError) -> None:
        """Have the rows asked again whose worker died; those that seem to be the reason fail."""
        if self._stopping or not lost.args:
            self._refused.extend(works)
            return
        for work in works:
            work.failures += 1
            if work.failures < _LOSSES:
                self._refused.append(work)
                continue
            row, error = row_of_dead_workers(work, lost)
            self._finish(work, row)
            self._count_failure(error)
        self._wake()

    async def _take(self, works: list[Work], worker: str, result: ChunkResult) -> None:
        """Take what came of a chunk; return once it is kept."""
        self._requests += result.requests
        open_works = {work.position: work for work in works}
        kept = None
        for row in result.rows:
            work = open_works.pop(row.position)
            work.attempts += row.attempts
            self._tokens += row.tokens
            if not row.error:
                self._in_a_row = 0
                self._answered_at = time.monotonic()
                answer = AnswerRow(row.text, row.finish_reason, row.tokens, row.seconds, row.warnings)
                kept = self._answer_one(work, answer, is_packed=False) or kept
                continue
            error = error_of(Failure(cast("ErrorKind", row.kind), row.error), worker, self._spec)
            said = str(error) if row.kind in STOP_ALL else row.error
            self._finish(work, msgspec.structs.replace(row, index=work.label, attempts=work.attempts, error=said))
            if verdict_of(error) == "again" and row.kind != "protocol":  # which a misfit of the schema is too
                self._count_failure(error)
            else:
                self._in_a_row = 0
        self._refused.extend(open_works.values())
        if result.failure is not None:
            self._halt(error_of(result.failure, worker, self._spec))
        self._wake()
        if kept is not None:
            await asyncio.shield(kept)

    def _count_failure(self, error: ChatGLMError) -> None:
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            self._halt(error)


def _is_suspect(work: Work) -> bool:
    """Return whether a row may be what its workers died of, and so goes alone."""
    return work.failures > 1
