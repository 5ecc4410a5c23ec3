"""The one thread of this process that writes to a store, and the queue of what it has to write.

Nothing here imports SQLite before the thread needs it: a first answer should not wait for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakMethod

import msgspec

from .._credentials import Mask
from .._redaction import known_mask
from .._reply import Reply
from .location import HEARTBEAT, OFF

if TYPE_CHECKING:
    from .errors import Failure
    from .queries import Writes
    from .schema import File

_log = logging.getLogger(__name__)

FLUSH = 1.0
"""Seconds for which reading waits for the latest changes to be written, and the process's end for its last ones."""
PERIOD = 0.4
"""Seconds after which new text of a streaming answer is written at the latest; what comes meanwhile can be lost."""
HANDFUL = 500
"""Characters after which it is written at once: 2,000 bytes in UTF-8 at most."""
_GAP = 0.05
"""Seconds for which changes are gathered into one transaction, and between two transactions at least."""
_GRACE = 0.1
"""Seconds that the first question has the processor to itself before the file is opened."""
_END = 0.02
"""Seconds in which the first answer's cell can end before the file is opened."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while nothing can be written; the last one repeats."""
_PATIENCE = 3
"""Attempts that may fail because another process is writing before that is reported."""
_AGAIN = 60.0
"""Seconds without a failure after which the same one is reported again: a disk that is almost full comes and goes."""
_MOST_WAITING = 64_000_000
"""Characters that wait at most while nothing can be written; what comes after them is not kept."""


class WriteOp(msgspec.Struct, frozen=True):
    """A change that waits to be written.

    Attributes:
        change: Makes it; called again if the transaction fails.
        size: How many characters it holds.
        alone: Whether it must be made outside a transaction.
        done: Called, in any thread, once it is written, and also when it cannot be for now; perhaps several times.
    """

    change: Callable[[Writes], None]
    size: int = 0
    alone: bool = False
    done: Callable[[], None] | None = None


class _Written(msgspec.Struct, frozen=True):
    """How much of a reply's text, or thinking, is written.

    Attributes:
        pieces: The list that grows.
        count: How many of its pieces are written, or held back.
        held: Text held back, since a key may begin in it.
    """

    pieces: list[str]
    count: int = 0
    held: str = ""

    def advance(self, mask: Mask) -> tuple[str, _Written]:
        """Return the text to be written now, and what will be written then."""
        new = self.pieces[self.count :]
        ready, held = mask.take(self.held + "".join(new))
        return ready, _Written(self.pieces, self.count + len(new), held)


class StreamingAnswer(msgspec.Struct, frozen=True):
    """An answer whose reply is written while it streams, as of the last transaction.

    Attributes:
        message_id: The answer's id.
        reply: The reply, to which another thread adds.
        written: How much of its text, and of its thinking, is written.
        heartbeat: When the last of it was written, in seconds of the monotonic clock.
    """

    message_id: str
    reply: Reply
    written: tuple[_Written, ...]
    heartbeat: float

    def write(self, writes: Writes) -> StreamingAnswer:
        """Write what is new; return the answer as it is once that is committed."""
        pieces, written, heartbeat = self.reply.pieces(), self.written, self.heartbeat
        anew = any(now is not one.pieces for now, one in zip(pieces, written, strict=True))
        if anew:  # the service has corrected itself
            written = tuple(map(_Written, pieces))
        (text, next_text), (thinking, next_thinking) = (one.advance(writes.mask) for one in written)
        if text or thinking or anew or time.monotonic() - heartbeat >= HEARTBEAT:
            writes.append(self.message_id, text, thinking, anew=anew)
            heartbeat = time.monotonic()
        return StreamingAnswer(self.message_id, self.reply, (next_text, next_thinking), heartbeat)


class Writer:
    """Takes changes without waiting, and makes them in its thread, many in one transaction, again until that succeeds.

    Attributes:
        where: The store's file, `:memory:`, or `off` to drop all changes.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._failure: Failure | None = None
        self._damage: Failure | None = None
        self._listeners: list[WeakMethod[Callable[[], None]]] = []
        self._reset()

    def _reset(self) -> None:
        """Start with nothing to write and no thread: at first, and in a process that was forked."""
        self._changed = threading.Condition()
        self._file: File | None = None
        self._file_lock = threading.Lock()
        self._ops: deque[WriteOp] = deque()
        self._waiting = 0
        self._replies: dict[str, Reply] = {}
        self._streaming: dict[str, StreamingAnswer] = {}
        self._thread: threading.Thread | None = None
        self._soon = self._now = self._closing = self._held = False
        self._begun = self._ended = self._failures = 0
        self._tried_at = self._woken_at = self._failed_at = 0.0
        self._generation = 0
        self._reported: set[str] = set()
        self._unreported: list[str] = []

    # Called in any thread

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self.where != OFF

    @property
    def failure(self) -> str:
        """Why nothing can be kept, or that the file was damaged, in a sentence; empty if all is well."""
        failure = self._failure or self._damage
        return "" if failure is None else failure.message

    @property
    def file(self) -> File:
        """The file; nothing is opened yet."""
        with self._file_lock:
            if self._file is None:
                from .schema import File

                self._file = File(self.where)
            return self._file

    @property
    def generation(self) -> int:
        """How often the file was replaced by an empty one since it was opened; what was kept before is not in it."""
        return 0 if self._file is None else self._file.generation

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written."""
        with self._changed:
            return not (self._ops or self._replies) and self._begun == self._ended

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a method, in the writer's thread, when `generation` has grown, for as long as its object lives."""
        with self._changed:
            self._listeners = [known for known in self._listeners if known() is not None]
            self._listeners.append(WeakMethod(listener))

    def write(
        self,
        change: Callable[[Writes], None],
        size: int = 0,
        *,
        alone: bool = False,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Make a change; arguments as in `WriteOp`."""
        with self._changed:
            if self.is_on and self._waiting <= _MOST_WAITING:
                self._waiting += size
                self._ops.append(WriteOp(change, size, alone, done))
                self._wake()
        if done is not None and (self._failure is not None or not self.is_on):
            done()

    def follow(self, message_id: str, reply: Reply) -> None:
        """Write what streams into an answer, after the change that puts it, until `unfollow`."""
        self.warn(reply)
        with self._changed:
            self._replies[message_id] = reply
            self._wake()

    def unfollow(self, message_id: str) -> None:
        """Stop writing what streams into an answer."""
        with self._changed:
            self._replies.pop(message_id, None)

    def hurry(self, *, now: bool = False) -> None:
        """Write soon what has streamed in, which takes up to half a second otherwise; or now."""
        if now or not self._soon:
            with self._changed:
                is_open = self._file is not None and self._file.is_open
                self._now |= now and not self._failures and is_open
                self._wake()
                if now and not is_open:
                    self._woken_at = min(self._woken_at, time.monotonic() + _END - _GAP)
                    self._changed.notify_all()

    def flush(self, timeout: float = FLUSH) -> bool:
        """Wait up to `timeout` seconds until all that waits is written, or an attempt has failed; return which."""
        with self._changed:
            if not (self._ops or self._replies):
                return self._changed.wait_for(lambda: self._begun == self._ended, timeout)
            target = self._begun + 1  # an attempt that has begun may not include all
            self._now = True
            self._wake()
            self._changed.wait_for(lambda: self._ended >= target, timeout)
            return self._ended >= target and not self._failures

    def open_file(self) -> None:
        """Open the file if nothing else does: that ends the answers of processes that have died."""
        if not (self._ops or (self._file is not None and self._file.is_open)):
            self.write(lambda _: None)

    def close(self, timeout: float = FLUSH) -> bool:
        """Write what waits and end the thread; return whether it has ended within `timeout` seconds."""
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
        """Add to a reply's warnings the failures that no reply has reported."""
        with self._changed:
            unreported, self._unreported = self._unreported, []
        reply.warnings.extend(f"store-{kind}" for kind in unreported)

    def failure_to_read(self, error: BaseException) -> Failure:
        """Return what an error of a reader means. Set the file aside if it is damaged."""
        failure = self.file.failure(error)
        if failure.kind == "damaged":
            self._damage = failure
        return failure

    def before_fork(self) -> None:
        """Wait up to a second until nothing is being written: SQLite's own locks must be free in the new process."""
        self._held = self._file is not None and self._file.lock.acquire(timeout=1.0)

    def after_fork_in_parent(self) -> None:
        """Go on writing."""
        if self._file is not None and self._held:
            self._file.lock.release()

    def after_fork_in_child(self) -> None:
        """Start with nothing: the thread is not in the new process, and what waits is written by the old one."""
        if self._file is not None:
            self._file.abandon()
        self._reset()

    def _wake(self) -> None:
        """Have the thread look for work; it is notified only if it has not been already."""
        woken, self._soon = self._soon, True
        if self._thread is None:
            self._closing = False
            self._woken_at = time.monotonic() + _GRACE
            self._thread = threading.Thread(target=self._run, name="chatglm_magic store", daemon=True)
            self._thread.start()
        elif not woken:
            self._woken_at = time.monotonic()
        if self._now or not woken:
            self._changed.notify_all()

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._wait()
                ops = self._next_ops()
                replies = dict(self._replies)
                last = self._closing and (not (ops or replies) or self._failures > 0)
                self._soon = self._now = False
                self._begun += 1
            succeeded = self._try(ops, replies)
            with self._changed:
                if succeeded:
                    for op in ops:
                        self._ops.popleft()
                        self._waiting -= op.size
                self._soon |= bool(self._ops)
                self._ended += 1
                self._changed.notify_all()
                ends = last or (self._closing and not self._ops)
                if ends:
                    self._thread = None
            for op in ops if succeeded or self._failure is not None else ():
                if op.done is not None:
                    op.done()
            if ends:
                break
        self.file.close()

    def _wait(self) -> None:
        """Wait until there is something to write and it is time to."""
        while not (self._closing or self._now):
            now = time.monotonic()
            if self._failures:
                due = self._tried_at + _PAUSES[min(self._failures, len(_PAUSES)) - 1]
            elif self._soon:
                due = max(self._tried_at, self._woken_at) + _GAP
            elif self._replies:
                due = self._tried_at + PERIOD
            else:
                self._changed.wait()
                continue
            if due <= now:
                return
            self._changed.wait(due - now)

    def _next_ops(self) -> list[WriteOp]:
        """Return the changes for the next attempt: one that must be made alone, or all before such a one."""
        found: list[WriteOp] = []
        for op in self._ops:
            if op.alone:
                return found or [op]
            found.append(op)
        return found

    def _try(self, ops: list[WriteOp], replies: dict[str, Reply]) -> bool:
        self._streaming = {
            message_id: self._streaming.get(message_id)
            or StreamingAnswer(message_id, reply, tuple(map(_Written, reply.pieces())), time.monotonic())
            for message_id, reply in replies.items()
        }
        try:
            self._write(ops)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply goes on
            self._fail(error)
            return False
        finally:
            self._tried_at = time.monotonic()
        self._failures = 0
        self._failure = None
        with self._changed:
            if time.monotonic() - self._failed_at > _AGAIN:
                self._reported.clear()
            self._unreported = [kind for kind in self._unreported if kind == "damaged"]
        if self._generation != self.file.generation:
            self._generation = self.file.generation
            self._call_listeners()
        return True

    def _write(self, ops: list[WriteOp]) -> None:
        if ops and ops[0].alone:
            with self.file.writing(transaction=False) as writes:
                ops[0].change(writes)
            return
        with self.file.writing() as writes:
            if ops:
                writes.mask = known_mask()
            for op in ops:
                writes.attempt(op.change)
            streaming = {message_id: answer.write(writes) for message_id, answer in self._streaming.items()}
        self._streaming = streaming

    def _call_listeners(self) -> None:
        with self._changed:
            listeners = [listener for known in self._listeners if (listener := known()) is not None]
        for listener in listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - a conversation that changes at this moment is kept with its next change
                _log.debug("a conversation was not kept anew", exc_info=True)

    def _fail(self, error: Exception) -> None:
        failure = self.file.failure(error)
        self._failures += 1
        self._failed_at = time.monotonic()
        if failure.kind == "locked" and self._failures < _PATIENCE:
            return
        self._failure = failure
        if failure.kind == "damaged":
            self._damage = failure
        with self._changed:
            if failure.kind in self._reported:
                return
            self._reported.add(failure.kind)
            self._unreported.append(failure.kind)
            # Not those that this attempt began with: one that has ended meanwhile is shown already, and says no more.
            for reply in self._replies.values():
                self.warn(reply)
        _log.info("the store failed (%s): %s", failure.kind, failure.where, exc_info=error)
