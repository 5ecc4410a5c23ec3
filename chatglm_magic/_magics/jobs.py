"""Replies that run in the background: in the loop thread, so that a cell that blocks does not hold them up.

An interrupt is for the cell that runs; a job is stopped by its own button, by `%chatglm stop` or by
`BackgroundJob.stop`.
"""

from __future__ import annotations

import asyncio
import atexit
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

from .._errors import Interrupted, shorten
from .._event_loops import TICK, call_soon, io_thread
from .._language import marked, tr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

    from .._reply import Reply

_PATIENCE = 1.5
"""Seconds that a stopped reply may take to end: a little more than hanging up may take."""

STATES = {
    "running": marked("running"),
    "done": marked("done"),
    "stopped": marked("stopped"),
    "failed": marked("failed"),
}
"""The states of a job, and the words for them."""
_KEPT = 20
"""How many jobs that have ended are kept, to be listed."""


class BackgroundJob:
    """A reply that is written while other cells run. `await job` returns it when it has ended, or raises its error.

    Attributes:
        number: What `%chatglm stop` calls it.
        label: Who answers.
        prompt: What was asked.
        reply: The reply, as far as it has come.
        cell_id: What the front end calls the cell it was asked in; empty where that is not known.
        quiet_once: Whether the cell's value is not shown: its output tells more.
        how_far: Returns how far it is, in a few words.
    """

    def __init__(self, number: int, label: str, prompt: str, reply: Reply, cell_id: str = "") -> None:
        self.number = number
        self.label = label
        self.prompt = prompt
        self.reply = reply
        self.cell_id = cell_id
        self.quiet_once = False
        self.how_far: Callable[[], str] = lambda: tr("{characters:6} characters", characters=len(self.text))
        self._ended: Future[Reply] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held: Future[None] | None = None  # loops hold their tasks weakly
        self._task: asyncio.Task[Any] | None = None
        self._stopping = False

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.reply.text

    @property
    def done(self) -> bool:
        """Whether the reply has ended, well or not."""
        return self._ended.done()

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if not self._ended.done():
            return "running"
        if self._ended.exception() is not None:
            return "failed"
        return "stopped" if self.reply.finish_reason == "interrupted" else "done"

    def stop(self) -> None:
        """Hang up; what has arrived is kept. Returns when that is done, or after a second or two."""
        self.hang_up()
        if self._loop is not None and not io_thread.is_current:
            wait_for_futures([self._ended], _PATIENCE)

    def hang_up(self) -> None:
        """Stop, and do not wait for it."""
        if self._loop is not None and not self._stopping:
            self._stopping = True
            call_soon(self._loop, self._cancel)

    def begin(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Start what waits for the reply, and raises what ended it: in the loop thread, in the cell's context."""
        self._loop = io_thread.loop()
        self._held = asyncio.run_coroutine_threadsafe(self._run(wait), self._loop)

    def end(self, error: BaseException | None = None) -> None:
        """Record the end. A reply that was stopped is no error."""
        if error is None or isinstance(error, Interrupted):
            self._ended.set_result(self.reply)
        else:
            self._ended.set_exception(error)

    async def _run(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._task = asyncio.current_task()  # from here on it may be cancelled: what follows cleans up
        if self._stopping:
            self._cancel()
        try:
            await wait()
        except BaseException as error:  # noqa: BLE001 - raised where the job is awaited
            self.end(error)
        else:
            self.end()

    def _cancel(self) -> None:
        if self._task is not None and not self.done:
            self._task.cancel()

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._wait().__await__()

    async def _wait(self) -> Reply:
        # Not `wrap_future`: giving up waiting would stop the reply. The ticks let an interrupt bite.
        while not self._ended.done():  # noqa: ASYNC110 - it ends in another loop
            await asyncio.sleep(TICK)
        return self._ended.result()

    def __repr__(self) -> str:
        return tr(
            "<Job {number} {state} {label!r} {text!r}>",
            number=self.number,
            state=tr(STATES[self.state]),
            label=self.label,
            text=shorten(self.text, 60),
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001 - IPython's own protocol
        printer.text(repr(self))

    def _repr_llm_(self) -> str:
        """Return what a model reads where a prompt names a job: the answer so far."""
        return self.text

    def _ipython_display_(self) -> None:
        """Stay quiet once, in the cell whose output the reply grows in."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representation above
        self.quiet_once = False


class Jobs:
    """The jobs of a kernel, in the order in which they were started."""

    def __init__(self) -> None:
        self._jobs: dict[int, BackgroundJob] = {}
        self._count = 0

    def __iter__(self) -> Iterator[BackgroundJob]:
        return iter(list(self._jobs.values()))

    def get(self, number: int) -> BackgroundJob | None:
        """Return a job by its number."""
        return self._jobs.get(number)

    @property
    def running(self) -> list[BackgroundJob]:
        """Those that have not ended."""
        return [job for job in self if not job.done]

    def add(self, label: str, prompt: str, reply: Reply, cell_id: str = "") -> BackgroundJob:
        """Make a job; it is begun, or ended, by the caller."""
        if not self._count:
            atexit.register(self.close)  # so that servers see us hang up, and what has arrived is kept
        self._count += 1
        for old in [job for job in self if job.done][: -_KEPT + 1]:
            del self._jobs[old.number]
        job = self._jobs[self._count] = BackgroundJob(self._count, label, prompt, reply, cell_id)
        return job

    def run_again(self, cell_id: str) -> None:
        """Stop what still runs of a cell that is run again: its output makes room, and nobody would see it end."""
        for job in self.running:
            if cell_id and job.cell_id == cell_id:
                job.hang_up()

    def close(self) -> None:
        """Stop all that run."""
        atexit.unregister(self.close)
        for job in self.running:
            job.stop()
