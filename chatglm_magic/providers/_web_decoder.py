"""chatglm.cn's stream of frames: bytes in, events out; no I/O.

What was recorded of this undocumented wire: one JSON object an event; the end is a frame whose status
is `finish` or `intervene`, at times sent twice and followed by more; no `[DONE]`; an error is a
`last_error` that says something, in whichever frame. How the texts are gathered is told in
`_web_parts`, how what is repeated is not read again in `_web_tail`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import ProviderError, StatusError
from .._events import Event, Finished, Reason, Replace, TextDelta, ThinkingDelta
from .._sse import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder
from ._web_frames import Frame, read_frames
from ._web_parts import Parts
from ._web_refusals import Refusals
from ._web_tail import END, Tail

_GRACE = 1.0
_MIN_TAIL_BYTES = 512
_MAX_PATIENCE = 64
_ENDS = frozenset({"finish", "intervene"})
_HEADS = (b"event: message\ndata: ", b"data: ")


class WebDecoder:
    """Turns the bytes of one reply into events; see `_stream.Decoder` for the protocol.

    Args:
        refusals: Builds the errors.
        warnings: What was odd about the request already.
    """

    def __init__(self, refusals: Refusals | None = None, warnings: Iterable[str] = ()) -> None:
        self.error: ProviderError | None = None
        self.done = False
        self.grace: float | None = None
        self._refusals = refusals or Refusals()
        self._parts = Parts()
        self._parts.warnings.extend(warnings)
        self._message_id = ""
        self._conversation_id = ""
        self._status = ""  # of the frame that ended the reply
        self._cutter = _Cutter()
        self._sse = SSEDecoder()
        self._tail: Tail | None = None
        self._patience = 0  # events to be read in full before a tail is sought again
        self._misses = 0  # tails in a row that no event fitted

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and give their deltas.

        Raises:
            EventTooLongError: An event does not end.
        """
        events: list[Event] = []
        expected = len(self._tail.known) if self._tail is not None else 0
        for buffer, start, stop in self._cutter.cut(chunk, expected):
            self._read(buffer, start, stop, events)
        return _merged(events) if len(events) > 1 else events

    def close(self) -> list[Event]:
        """End the reply wherever it stands: what is left, and `Finished`."""
        events: list[Event] = []
        self._take_events(self._sse.feed(self._cutter.rest()), events)
        self._take_events(self._sse.close(), events)
        events += self._parts.close()
        reason = self._reason()
        finished = Finished(
            reason,
            raw=self._status,
            model=self._parts.model,
            message_id=self._message_id,
            conversation_id=self._conversation_id,
            mode=self._parts.mode,
            warnings=tuple(self._parts.warnings),
            parts=self._parts.all(),
        )
        return [*_merged(events), finished]

    def _read(self, buffer: bytes, start: int, stop: int, events: list[Event]) -> None:
        """Read whole events: by the tail as far as it fits, else in full."""
        while start < stop:
            if self._tail is not None:
                part = self._parts.growing(self._tail.key, self._tail.kind)
                text, start = self._tail.read(buffer, start)
                if text:
                    events += self._parts.extend(part, text)
                if start == stop:
                    return
                self._drop_tail()
            if self._cutter.plain:
                self._take_events(self._sse.feed(buffer[start:stop]), events)
                return
            data, end = _only_data(buffer, start)
            if data is None:
                self._take_events(self._sse.feed(buffer[start:end]), events)
            else:
                frame = self._take(data, events)
                if frame is not None and self._parts.settled and end - start >= _MIN_TAIL_BYTES:
                    self._seek_tail(buffer[start:end], data, frame)
            start = end

    def _seek_tail(self, event: bytes, data: bytes, frame: Frame) -> None:
        """Look where the next event may differ from this one; what grows there must be what we have."""
        if self._patience:
            self._patience -= 1
            return
        tail = Tail.find(event, data, frame)
        if tail is not None and self._parts.growing(tail.key, tail.kind).text == tail.text:
            self._tail = tail
        else:
            self._be_patient()

    def _drop_tail(self) -> None:
        if self._tail is not None and self._tail.used:
            self._misses = 0
        else:
            self._be_patient()
        self._tail = None

    def _be_patient(self) -> None:
        """Where frames differ in more than their text, seek ever more rarely."""
        self._misses += 1
        self._patience = min(2**self._misses, _MAX_PATIENCE)

    def _take_events(self, found: list[ServerSentEvent], events: list[Event]) -> None:
        for event in found:
            self._take(event.data, events)

    def _take(self, data: bytes, events: list[Event]) -> Frame | None:
        """Read an event's data in full; give the frame if that is all they are, and well-formed."""
        if data[:16].strip() == b"[DONE]":
            self.done = True
            return None
        reading = read_frames(data)
        if reading.broken:
            self._parts.warn("bad-frame")
        for frame in reading.frames:
            try:
                self._take_frame(frame, events, clean=reading.clean)
            except RecursionError:  # JSON can be read more deeply nested than it can be written
                self._parts.warn("bad-frame")
        return reading.frames[0] if reading.clean else None

    def _take_frame(self, frame: Frame, events: list[Event], *, clean: bool) -> None:
        self._message_id = _words(frame.id) or self._message_id
        self._conversation_id = _words(frame.conversation_id) or self._conversation_id
        if frame.parts is None and (envelope := frame.envelope()):
            self._fail(self._refusals.envelope(envelope))
            return
        status = _words(frame.status)
        events += self._parts.take(frame, final=status in _ENDS, clean=clean)
        said = _says_something(frame.last_error)
        if status == "intervene":
            notice = frame.last_error.get("intervene_text") if isinstance(frame.last_error, dict) else ""
            self._status = status
            self._fail(self._refusals.intervened(notice))
        elif status == "finish":
            self._status = self._status or status
            self.grace = _GRACE
            if said:
                self._parts.warn("last-error")
        elif said:
            self._status = self._status or (status if status == "error" else "")
            self._fail(self._refusals.last_error(frame.last_error))

    def _fail(self, error: ProviderError) -> None:
        """Note why the reply ended; what the wire says later about it is not less true, if it says anything."""
        if self.error is None or (isinstance(error, StatusError) and error.detail):
            self.error = error
        self.grace = _GRACE

    def _reason(self) -> Reason:
        """Judge how the wire ended, and set the error to be raised."""
        texts = self._parts.whole("text")
        if self.error is None and not self._status:
            if not self.done:
                self.error = self._refusals.truncated()
            elif texts:
                self._parts.warn("no-finish-reason")
            else:
                self.error = self._refusals.empty()
        if self.error is not None:
            return "content_filter" if self.error.kind == "content_filter" else "error"
        if not texts and self._parts.whole("thinking"):
            self._parts.warn("reasoning-only")
        return "stop"


class _Cutter:
    """Cuts chunks where events end, copying as little as possible.

    Attributes:
        plain: Whether there are carriage returns, so that finding the ends is left to `SSEDecoder`.
    """

    __slots__ = ("_held", "_size", "plain")

    def __init__(self) -> None:
        self.plain = False
        self._held: list[bytes] = []
        self._size = 0

    def cut(self, chunk: bytes, expected: int) -> list[tuple[bytes, int, int]]:
        """Give buffers, each with the start and the stop of whole events in it.

        Args:
            chunk: The next bytes.
            expected: How many bytes of the next event are surely not its end, if it is as expected.
        """
        if self.plain:
            return [(chunk, 0, len(chunk))]
        if not chunk:
            return []
        whole: list[tuple[bytes, int, int]] = []
        start = 0
        if self._held:
            start = self._first_end(chunk, expected - self._size - 1)
            if not start:
                return self._hold(chunk)
            first = b"".join((*self._held, chunk[:start]))
            self._held.clear()
            self._size = 0
            whole.append((first, 0, len(first)))
        stop = _last_end(chunk, start)
        if stop > start:
            whole.append((chunk, start, stop))
        if stop < len(chunk):
            whole += self._hold(chunk[stop:])
        return whole

    def rest(self) -> bytes:
        """Give what is held of an event that has not ended."""
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _hold(self, rest: bytes) -> list[tuple[bytes, int, int]]:
        self._held.append(rest)
        self._size += len(rest)
        if b"\r" in rest or self._size > MAX_EVENT_BYTES:
            self.plain = True
            held = self.rest()
            return [(held, 0, len(held))]
        return []

    def _first_end(self, chunk: bytes, skip: int) -> int:
        """Find where the event that is held ends in a chunk; 0 if it does not."""
        if chunk.startswith(b"\n") and self._held[-1].endswith(b"\n"):
            return 1
        end = chunk.find(END, skip) if skip > 0 else -1
        if end < 0 and b"\n" in chunk:  # as memchr is much faster than a search for two bytes
            end = chunk.find(END)
        return end + len(END) if end >= 0 else 0


def _last_end(chunk: bytes, start: int) -> int:
    """Find the end of the last event in a chunk, looking for single bytes, for that is fastest; else `start`."""
    at = chunk.rfind(b"\n", start)
    while at > start:
        if chunk[at - 1] == END[0]:
            return at + 1
        at = chunk.rfind(b"\n", start, at)
    return start


def _only_data(buffer: bytes, start: int) -> tuple[bytes | None, int]:
    """Give the data of the event at a place, and where it ends; None if it is not simply one line of data.

    Looks for single bytes, too; and what `SSEDecoder` would give is had here for one copy.
    """
    for head in _HEADS:
        if buffer.startswith(head, start):
            first = start + len(head)
            at = buffer.find(b"\n", first)
            if buffer.startswith(b"\n", at + 1) and b"\r" not in (data := buffer[first:at]) and data:
                return data, at + len(END)
            break
    at = buffer.index(b"\n", start)
    while not buffer.startswith(b"\n", at + 1):
        at = buffer.index(b"\n", at + 1)
    return None, at + len(END)


def _merged(events: list[Event]) -> list[Event]:
    """Join neighbouring deltas of a kind; of neighbouring corrections, keep the last."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        match last, event:
            case TextDelta(before), TextDelta(text):
                merged[-1] = TextDelta(before + text)
            case ThinkingDelta(before), ThinkingDelta(text):
                merged[-1] = ThinkingDelta(before + text)
            case Replace(), Replace():
                merged[-1] = event
            case _:
                merged.append(event)
    return merged


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""


def _says_something(last_error: object) -> bool:
    """Tell whether a `last_error` is one: `{}`, and an object of nothing but nulls, is none."""
    return any(last_error.values()) if isinstance(last_error, dict) else bool(last_error)
