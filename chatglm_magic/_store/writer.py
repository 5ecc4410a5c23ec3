"""The one thread of this process that writes to a store, and what waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakMethod

from .._values import dataclass

if TYPE_CHECKING:
    from .._reply import Reply
    from .changes import Changes
    from .file import File
    from .growing import Growing
    from .troubles import Trouble

_log = logging.getLogger(__name__)

PERIOD = 0.4
"""Seconds after which new words of an answer are written, at the latest; what comes in the meantime can be lost."""
HANDFUL = 500
"""Characters after which they are written at once: 2,000 bytes in UTF-8 at most."""
_GAP = 0.05
"""Seconds in which jobs gather before they are done, and between two writes at least."""
_GRACE = 0.1
"""Seconds that the first question is left alone with the processor before the file is opened."""
_END = 0.02
"""Seconds in which the first answer's cell can end before the file is opened."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while nothing can be written; the last one repeats."""
_REST = 1.0
"""Seconds without anything to write after which messages are put into the index of words, if nobody searches before."""
_PATIENCE = 3
"""Attempts that fail because another process writes before anybody is told."""
_AGAIN = 60.0
"""Seconds without a trouble after which the same one is told again: a disk that is all but full comes and goes."""
_MOST_WAITING = 64_000_000
"""Characters that wait at most while nothing can be written; what comes after them is not kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be written.

    Attributes:
        do: Does it; it may be called more than once.
        size: How many characters it holds.
        alone: Whether it takes care of transactions itself.
    """

    do: Callable[[Changes], None]
    size: int = 0
    alone: bool = False


class Writer:
    """Takes jobs at once and does them in its thread, many in one transaction, again until they succeed.

    Args:
        where: The store's file, or `:memory:`.

    Attributes:
        trouble: What is wrong; None while all is well.
        damage: What was wrong with a file that was set aside; empty where none was.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.trouble: Trouble | None = None
        self.damage = ""
        self._listeners: list[WeakMethod[Callable[[], None]]] = []
        self._start()

    def _start(self) -> None:
        """Begin with nothing: when made, and in a process that was forked off."""
        self._changed = threading.Condition()
        self._file: File | None = None
        self._file_guard = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._replies: dict[str, Reply] = {}
        self._growing: dict[str, Growing] = {}
        self._thread: threading.Thread | None = None
        self._hurry = self._now = self._index = self._closing = False
        self._begun = self._ended = self._failures = 0
        self._tried_at = self._roused_at = self._failed_at = 0.0
        self._generation = 0
        self._told: set[str] = set()
        self._untold: list[str] = []

    # Called in any thread

    @property
    def file(self) -> File:
        """The file, as this thread's connection knows it; nothing is opened yet."""
        with self._file_guard:
            if self._file is None:
                from .file import File

                self._file = File(self.where)
            return self._file

    @property
    def generation(self) -> int:
        """How often the file was replaced since it was first opened."""
        return 0 if self._file is None else self._file.generation

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a method called, in the writer's thread, when the file was replaced; for as long as its object lives."""
        with self._changed:
            self._listeners = [known for known in self._listeners if known() is not None]
            self._listeners.append(WeakMethod(listener))

    def add(self, job: Job) -> None:
        """Have something done."""
        with self._changed:
            if self._waiting > _MOST_WAITING:
                return
            self._waiting += job.size
            self._jobs.append(job)
            self._rouse()

    def follow(self, said_id: str, reply: Reply) -> None:
        """Write an answer's words from now on as they come; the job that puts it must have been added."""
        with self._changed:
            self._replies[said_id] = reply
            self._rouse()

    def unfollow(self, said_id: str) -> None:
        """Look no more for words of an answer."""
        with self._changed:
            self._replies.pop(said_id, None)

    def hurry(self, *, now: bool = False) -> None:
        """Write soon what has come, or now: nothing more is to be gathered."""
        if now or not self._hurry:
            with self._changed:
                is_open = self._file is not None and self._file.is_open
                self._now |= now and not self._failures and is_open
                self._rouse()
                if now and not is_open:
                    self._roused_at = min(self._roused_at, time.monotonic() + _END - _GAP)
                    self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until all that waits is written, or cannot be; tell whether it is.

        Args:
            timeout: Seconds to wait at most.
        """
        with self._changed:
            if not (self._jobs or self._replies):
                return self._changed.wait_for(lambda: self._begun == self._ended, timeout)
            target = self._begun + 1  # one that is on its way may not know of ours
            self._now = True
            self._rouse()
            self._changed.wait_for(lambda: self._ended >= target, timeout)
            return self._ended >= target and not self._failures

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written."""
        with self._changed:
            return not (self._jobs or self._replies) and self._begun == self._ended

    def open(self) -> None:
        """Have the file opened if it is not: what a process left half done that died is put in order then."""
        if not (self._jobs or (self._file is not None and self._file.is_open)):
            self.add(Job(lambda _: None))

    def catch_up(self, timeout: float) -> bool:
        """Wait until all that is written is in the index of words; tell whether it is.

        Args:
            timeout: Seconds to wait at most.
        """
        self.flush(timeout)
        with self._changed:
            if self._is_behind():
                self._index = True
                self._rouse()
                self._changed.wait_for(lambda: not self._index, timeout)
            return not self._is_behind()

    def close(self, timeout: float) -> bool:
        """Write what waits and end the thread; tell whether it ended in time."""
        with self._changed:
            thread = self._thread
            self._closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        ended = thread is None or not thread.is_alive()
        if ended and self._file is not None:
            self._file.close(for_good=True)
        return ended

    def warn(self, reply: Reply) -> None:
        """Tell a reply of the troubles that no reply was told of yet."""
        with self._changed:
            untold, self._untold = self._untold, []
        reply.warnings.extend(f"store-{name}" for name in untold)

    def found(self, error: BaseException) -> Trouble:
        """Find out what a reader's error means."""
        trouble = self.file.trouble(error)
        if trouble.name == "damaged":
            self.damage = trouble.sentence
        return trouble

    def before_fork(self) -> None:
        """Wait a little until nothing is being written: SQLite's own locks must be free in the new process."""
        if self._file is not None:
            self._file.hold()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._file is not None:
            self._file.release()

    def after_fork_in_child(self) -> None:
        """Begin with nothing: neither our thread nor what waits for it has come along."""
        if self._file is not None:
            self._file.abandon()
        self._start()

    def _rouse(self) -> None:
        """Have the thread look at what there is to do; one that has been told already needs no second word."""
        told, self._hurry = self._hurry, True
        if self._thread is None:
            self._closing = False
            self._roused_at = time.monotonic() + _GRACE
            self._thread = threading.Thread(target=self._run, name="chatglm_magic store", daemon=True)
            self._thread.start()
        elif not told:
            self._roused_at = time.monotonic()
        if self._now or self._index or not told:
            self._changed.notify_all()

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._wait()
                jobs = self._next_jobs()
                replies = dict(self._replies)
                last = self._closing and (not (jobs or replies) or self._failures > 0)
                index = self._index or self._closing or not (self._hurry or self._now or replies)
                self._hurry = self._now = False
                self._begun += 1
            succeeded = self._try(jobs, replies, index=index)
            with self._changed:
                if succeeded:
                    for job in jobs:
                        self._jobs.popleft()
                        self._waiting -= job.size
                self._hurry |= bool(self._jobs)
                self._index = self._index and succeeded and self._is_behind()
                self._ended += 1
                self._changed.notify_all()
                if last or (self._closing and not self._jobs):
                    self._thread = None
                    break
        self.file.close()

    def _wait(self) -> None:
        """Wait until there is something to do, and no longer than an answer's words may wait."""
        while not (self._closing or self._now or (self._index and self._is_behind())):
            now = time.monotonic()
            if self._failures:
                due = self._tried_at + _PAUSES[min(self._failures, len(_PAUSES)) - 1]
            elif self._hurry:
                due = max(self._tried_at, self._roused_at) + _GAP
            elif self._replies:
                due = self._tried_at + PERIOD
            elif self._is_behind():
                due = self._tried_at + _REST
            else:
                self._changed.wait()
                continue
            if due <= now:
                return
            self._changed.wait(due - now)

    def _next_jobs(self) -> list[Job]:
        """Give the jobs that go into one transaction."""
        found: list[Job] = []
        for job in self._jobs:
            if job.alone and found:
                break
            found.append(job)
            if job.alone:
                break
        return found

    def _is_behind(self) -> bool:
        return self._file is not None and self._file.is_behind

    def _try(self, jobs: list[Job], replies: dict[str, Reply], *, index: bool) -> bool:
        from .growing import Growing

        self._growing = {
            said_id: self._growing.get(said_id) or Growing(said_id, reply) for said_id, reply in replies.items()
        }
        try:
            self.file.write(jobs, self._growing.values(), index=index)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply goes on
            self._fail(error, replies)
            return False
        finally:
            self._tried_at = time.monotonic()
        self._failures = 0
        self.trouble = None
        with self._changed:
            if time.monotonic() - self._failed_at > _AGAIN:
                self._told.clear()
            self._untold = [name for name in self._untold if name == "damaged"]
        if self._generation != self.file.generation:
            self._generation = self.file.generation
            self._tell_listeners()
        return True

    def _tell_listeners(self) -> None:
        with self._changed:
            listeners = [listener for known in self._listeners if (listener := known()) is not None]
        for listener in listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - a conversation that changes in this moment is kept with its next change
                _log.debug("a conversation was not kept anew", exc_info=True)

    def _fail(self, error: Exception, replies: dict[str, Reply]) -> None:
        trouble = self.file.trouble(error)
        self._failures += 1
        self._failed_at = time.monotonic()
        if trouble.name == "locked" and self._failures < _PATIENCE:
            return
        self.trouble = trouble
        if trouble.name == "damaged":
            self.damage = trouble.sentence
        with self._changed:
            if trouble.name in self._told:
                return
            self._told.add(trouble.name)
            self._untold.append(trouble.name)
        _log.info("%s", trouble.sentence, exc_info=error)
        for reply in replies.values():
            self.warn(reply)
