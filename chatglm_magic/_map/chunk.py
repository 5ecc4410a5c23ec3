"""What runs on the workers of a Dask cluster: chunks of rows, asked by the engine that asks them on one machine.

A chunk brings along what is asked and who answers, never a key: the provider is made here, with a key of the worker's
own environment or keyring, and addresses of this machine mean the worker's own. Each worker runs one chunk of a map
at a time, in one event loop, behind one gate that outlives the chunks. What a chunk tells of a failure becomes an error
again in the client, by `error_of`.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import msgspec
from distributed import Worker, get_worker

from .._credentials import KEY_NAMES, mask_of, seen_keys
from .._errors import (
    ChatGLMError,
    ConfigError,
    ConnectError,
    ErrorKind,
    MissingKeyError,
    ProviderError,
    status_error,
)
from .._event_loops import TICK, call_soon, io_thread
from .._language import Language, join_sentences, speaking, tr
from .._messages import ChatOptions
from .._redaction import key_guard
from .._resolve import environment_options, resolve
from .._schema.schema import Schema
from .._transport import shared_connections, single_attempts
from .engine import Engine
from .gate import MOST, Gate
from .question import Question
from .rows import Row
from .stages import packed_stage, row_stage
from .work import Work, without_sentences

_GIVE_A_KEY = re.compile(r"%chatglm login\b|\bapi_key=")


class ChunkSpec(msgspec.Struct, frozen=True):
    """What a worker has to know of a map, beside its rows.

    Attributes:
        map: The map's id.
        question: The question, without its schema.
        schema: What an answer has to be, without the classes that it may have been made of; None for text.
        provider: The name of the provider.
        model: The model; empty for the provider's default.
        base_url: The server; empty for the provider's own.
        is_fixed: Whether a worker's share is how many rows it asks at once; else how many at most.
        starts_at: How many it asks at once at first, where that is found out.
        language: The language of errors.
    """

    map: str
    question: Question
    schema: Schema | None
    provider: str
    model: str
    base_url: str
    is_fixed: bool
    starts_at: int
    language: Language


class Failure(msgspec.Struct, frozen=True):
    """What ended a chunk before its end.

    Attributes:
        kind: As `ChatGLMError.kind`.
        message: What happened.
        is_missing_key: Whether the worker has no key.
    """

    kind: ErrorKind
    message: str
    is_missing_key: bool = False


class ChunkResult(msgspec.Struct, frozen=True):
    """What came of a chunk.

    Attributes:
        rows: The rows that are done, without their values and labels.
        requests: How many requests were sent.
        failure: What ended it before its end; None if nothing did.
    """

    rows: Sequence[Row] = ()
    requests: int = 0
    failure: Failure | None = None


class _Running:
    """A map on this worker.

    Args:
        spec: What is known of it.
        share: How many rows this worker asks at once, or at most.

    Raises:
        ConfigError: Nobody can be asked here.
    """

    def __init__(self, spec: ChunkSpec, share: int) -> None:
        schema = spec.schema
        self.question = msgspec.structs.replace(spec.question, schema=schema)
        asked = ChatOptions(provider=spec.provider, model=spec.model, base_url=spec.base_url)
        # The worker's settings say whom its key may be sent to; who answers is the map's matter.
        configured = environment_options() if spec.base_url else ChatOptions()
        target = msgspec.structs.replace(resolve(asked, configured), model=spec.model)
        self.stage, self.packed = row_stage(target, schema), packed_stage(target, schema)
        worker, topic = get_worker(), pause_topic(spec.map)
        self.gate = Gate(
            spec.starts_at,
            most=share,
            fixed=share if spec.is_fixed else None,
            on_pause=lambda seconds: worker.log_event(topic, [worker.address, seconds]),
        )
        self.check = key_guard()
        self.turn = asyncio.Lock()
        self.engine: Engine | None = None
        self.is_stopped = False
        self._share: int | None = None  # the last that was told; chunks that were sent before may bring another one

    def allow(self, share: int, *, is_told: bool = False) -> None:
        """Ask so many rows at once from now on; what is told goes before what a chunk brings."""
        if is_told:
            self._share = share
        self.gate.allow(share if self._share is None else self._share)

    def stop(self) -> None:
        """Hang up."""
        self.is_stopped = True
        if self.engine is not None:
            self.engine.stop()


_MOST_MAPS = 256
_guard = threading.Lock()
_maps: dict[tuple[str, str], _Running] = {}
"""The maps that run, by worker and id: several workers may be threads of one process."""
_ended: deque[tuple[str, str]] = deque(maxlen=1024)
"""Maps of which a chunk that arrives late is not asked any more."""


def run_chunk(spec: ChunkSpec, rows: Sequence[tuple[int, Any]], share: int) -> ChunkResult:
    """Ask rows, and return what came of them; it raises nothing that has a name in the error tree.

    Args:
        spec: What is asked, and who answers.
        rows: Position and value of each row.
        share: How many of them this worker asks at once, or at most.
    """
    try:
        with speaking(spec.language), _guard:
            here = get_worker().address, spec.map
            if here in _ended:
                return ChunkResult()
            running = _maps.get(here) or _Running(spec, share)
            _maps[here] = running
            while len(_maps) > _MOST_MAPS:  # whose clients were killed; one that goes on comes back with its next chunk
                del _maps[next(iter(_maps))]
    except ChatGLMError as error:
        return ChunkResult(failure=_failure(error))
    return io_thread.wait_for(_ask(running, spec, rows, share))


class PackedChunk:
    """A chunk in a pickle that asks it when it is loaded; the loaded value is what came of it.

    A Dask worker that cannot import what a task is made of dies of it, and so does a task on its way where the
    scheduler cannot. Bytes and `pickle.loads` they all know: what is missing is then an error of the task alone.

    Args:
        arguments: Those of `run_chunk`.
    """

    def __init__(self, *arguments: object) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., ChunkResult], tuple[object, ...]]:
        return run_chunk, self._arguments


async def steer(name: str, share: int, dask_worker: Worker) -> None:
    """Have a map ask so many rows at once on this worker from now on, and return once no more are in flight.

    Args:
        name: The map's id.
        share: How many rows.
        dask_worker: The worker: `Client.run` gives it to what has a parameter of that name.
    """
    with _guard:
        running = _maps.get((dask_worker.address, name))
    if running is not None:
        running.allow(share, is_told=True)
        while running.gate.in_flight > share:  # noqa: ASYNC110 - they end in another loop
            await asyncio.sleep(TICK)


def stop(name: str, dask_worker: Worker) -> None:
    """End a map on this worker, and hang up."""
    with _guard:
        running = _maps.pop((dask_worker.address, name), None)
        _ended.append((dask_worker.address, name))
    if running is not None:
        call_soon(io_thread.loop(), running.stop)


def pause_topic(name: str) -> str:
    """Return the topic under which workers tell the client of a map who was refused, and for how long it waits."""
    return f"chatglm_map-{name}"


def pause(name: str, seconds: float, dask_worker: Worker) -> None:
    """Have a map send nothing on this worker for so many seconds: another one was refused."""
    with _guard:
        running = _maps.get((dask_worker.address, name))
    if running is not None:
        call_soon(io_thread.loop(), lambda: running.gate.wait(seconds))


async def _ask(running: _Running, spec: ChunkSpec, rows: Sequence[tuple[int, Any]], share: int) -> ChunkResult:
    with speaking(spec.language), single_attempts():
        async with running.turn, shared_connections(max(MOST, share)):
            if running.is_stopped:
                return ChunkResult()
            running.allow(share)
            numbered = ((position, position, value) for position, value in rows)
            engine = Engine(
                running.question,
                running.stage,
                numbered,
                gate=running.gate,
                packed=running.packed,
                total=len(rows),
                check=running.check,
                clean=_masked,
            )
            running.engine = engine
            try:
                await engine.run()
            finally:
                running.engine = None
            if engine.error is not None:
                running.is_stopped = True  # the rows of the next chunk would meet it too
    done = [
        msgspec.structs.replace(row, value=None, index=None, error=_told(row.kind, row.error))
        for row in engine.rows.values()
    ]
    failure = None if engine.error is None else _failure(engine.error)
    return ChunkResult(done, engine.progress.requests, failure)


def _masked(text: str) -> str:
    return mask_of(seen_keys())(text)


def _failure(error: BaseException) -> Failure:
    kind: ErrorKind = error.kind if isinstance(error, ChatGLMError) else "protocol"
    said = str(error) if isinstance(error, ChatGLMError) else f"{type(error).__name__}: {error}"
    is_config = isinstance(error, ConfigError)
    return Failure("config" if is_config else kind, _told(kind, said), isinstance(error, MissingKeyError))


def _told(kind: str, said: str) -> str:
    """Return what the client is told of a failure: no key, and no advice to give one where none would travel."""
    return _masked(without_sentences(said, _GIVE_A_KEY) if kind == "auth" else said)


def error_of(failure: Failure, worker: str, spec: ChunkSpec) -> ChatGLMError:
    """Return the error for what failed on a worker."""
    variables = [KEY_NAMES.get(spec.provider, ""), "CHATGLM_BASE_URL" if spec.base_url else ""]
    remedy = tr(
        "Keys are sent to no worker: set {variables} in its environment before it starts, or keep the key on its "
        "machine with %chatglm login.",
        variables=", ".join(filter(None, variables)),
    )
    if failure.is_missing_key:
        name = spec.base_url or spec.provider
        lacking = tr("The Dask worker {worker} has no key for {name}.", worker=worker, name=name)
        return MissingKeyError(join_sentences(lacking, remedy))
    said = tr("On the Dask worker {worker}: {reason}", worker=worker, reason=failure.message)
    match failure.kind:
        case "config":
            return ConfigError(said)
        case "connect" | "stalled" | "truncated" | "empty" | "protocol" | "tool_call":
            return ProviderError(said, kind=failure.kind, provider=spec.provider, model=spec.model)
        case kind:
            return status_error(kind, what=said.rstrip(".。"), remedy=remedy if kind == "auth" else "")


def not_run(error: Exception) -> ChatGLMError:
    """Return the error for a chunk that no worker could run."""
    package = __name__.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package:
        return ConfigError(
            tr("A Dask worker lacks the package {name}: pip install 'chatglm-magic[dask]' there.", name=package)
        )
    return ConfigError(
        tr("The rows could not be asked on the Dask workers: {reason}", reason=f"{type(error).__name__}: {error}")
    )


def row_of_dead_workers(work: Work, worker: object) -> tuple[Row, ChatGLMError]:
    """Return a row whose workers died, the last of them named, and its error."""
    error = ConnectError(
        tr(
            "The Dask worker died each of the {count} times that it had this row, the last one {worker}: look "
            "into its log.",
            count=work.failures,
            worker=worker,
        )
    )
    return Row(work.position, work.label, error=str(error), kind=error.kind), error


def row_that_stays(work: Work) -> Row | None:
    """Return the failed row of a value that cannot be pickled; None where it can."""
    try:
        cloudpickle.dumps(work.value)
    except Exception as error:  # noqa: BLE001 - whatever a value's own class raises
        said = tr(
            "This row cannot be sent to a Dask worker: {reason}. Map over what can be pickled, its text for instance.",
            reason=f"{type(error).__name__}: {error}",
        )
        return Row(work.position, work.label, error=said, kind="config")
    return None
