"""chatglm.cn's event stream: bytes in, events out; no I/O.

What was recorded of this undocumented wire, beside its frames (`frames`) and how their texts add up (`parts`):

- Events are framed as `event: message` or nothing, then `data:` with none, one or two blanks, in LF or CRLF; one JSON
  object in each. `SSEDecoder` reads any of these.
- The end is a frame whose status is `finish` or `intervene`, at times sent twice and followed by more; then the
  connection closes. `[DONE]` was never recorded, and is understood.
- A `last_error` that says something is an error, in whichever frame it stands. A status `error` without one is none,
  nor is an `error` of a part.
- A refusal may come as an event: its JSON envelope in place of a frame.

Strategy. As a rule a frame is the one before with some more text in its one growing string:

    {"id":…,"parts":[{…"text":" │ the text so far │ more │ "}],…"status":"init"}
    └────────────────── before ──────────────────┘      └─────── after ───────┘

So two frames in a row that were read in full show where the string ends (`_Template`), and of a later frame only what
stands between the two sides is decoded, if the sides are equal byte for byte: comparing them is a tenth of the work of
reading JSON. Nothing is skipped unseen: a frame that differs in anything else, be it an error, a correction, another
part or its time, is read in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

from ..._errors import ProviderError, StatusError
from ..._events import Event, Finished, Reason, Replace, TextDelta, ThinkingDelta
from ..._transport.sse import SSEDecoder
from ..openai.errors import RequestInfo, foreign_error
from ..openai.wire import text_of
from .errors import ending_error, envelope_error, intervened_error, last_error
from .frames import Frame, read_frames
from .parts import Parts

_GRACE = 1.0
_ENDS = frozenset({"finish", "intervene"})

_decode_string = msgspec.json.Decoder(str).decode


class WebDecoder:
    """Turns the bytes of one reply into events; see `providers.stream.Decoder` for the protocol.

    Args:
        info: What to name in errors.
        warnings: Oddities of the request.
    """

    def __init__(self, info: RequestInfo, warnings: Iterable[str] = ()) -> None:
        self.error: ProviderError | None = None
        self.done = False
        self.grace: float | None = None
        self._info = info
        self._sse = SSEDecoder()
        self._parts = Parts()
        self._parts.warnings.extend(warnings)
        self._message_id = ""
        self._conversation_id = ""
        self._status = ""  # of the frame that ended the reply
        self._began = False  # whether any event came
        self._frame = b""  # the newest that was read in full, if it was well-formed
        self._template: _Template | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return their deltas, neighbouring ones merged.

        Raises:
            EventTooLongError: An event does not end.
        """
        events: list[Event] = []
        for event in self._sse.feed(chunk):
            self._read(event.data, events)
        return _merged(events)

    def close(self) -> list[Event]:
        """End the reply wherever it stands: return the remaining deltas and parts, and `Finished`."""
        events: list[Event] = []
        for event in self._sse.close():
            self._read(event.data, events)
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

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Read an event's data: only what is new where the template fits, else all."""
        if self._template is not None:
            delta = self._template.read(data)
            if delta is not None:
                if delta.text:
                    self._parts.extend(delta)
                    events.append(delta)
                return
            self._frame, self._template = self._template.frame, None
        news, clean = self._read_in_full(data)
        events += news
        if clean and self._parts.settled and len(news) == 1 and isinstance(news[0], (TextDelta, ThinkingDelta)):
            self._template = _Template.find(self._frame, data, news[0])
        self._frame = data if clean else b""

    def _read_in_full(self, data: bytes) -> tuple[list[Event], bool]:
        """Return an event's news, and whether it is one well-formed frame."""
        news: list[Event] = []
        self._began = True
        if data[:16].strip() == b"[DONE]":
            self.done = True
            return news, False
        reading = read_frames(data)
        if reading.broken:
            self._parts.warn("bad-frame")
        for frame in reading.frames:
            try:
                news += self._take(frame, clean=reading.clean)
            except RecursionError:  # JSON can be read more deeply nested than it can be compared
                self._parts.warn("bad-frame")
        return news, reading.clean

    def _take(self, frame: Frame, *, clean: bool) -> list[Event]:
        self._message_id = text_of(frame.id) or self._message_id
        self._conversation_id = text_of(frame.conversation_id) or self._conversation_id
        if envelope := frame.envelope():
            self._fail(envelope_error(envelope, self._info))
            return []
        status = text_of(frame.status)
        news = self._parts.take(frame, final=status in _ENDS, clean=clean)
        complaint = frame.last_error
        complains = any(complaint.values()) if isinstance(complaint, dict) else bool(complaint)
        if status == "intervene":
            self._status = status
            self._fail(intervened_error(complaint, self._info))
        elif status == "finish":
            self._status = self._status or status
            self.grace = _GRACE
            if complains:
                self._parts.warn("last-error")
        elif complains:
            self._status = self._status or (status if status == "error" else "")
            self._fail(last_error(complaint, self._info))
        return news

    def _fail(self, error: ProviderError) -> None:
        """Note why the reply ended; a later error takes its place only if it says more."""
        if self.error is None or (isinstance(error, StatusError) and error.detail):
            self.error = error
        self.grace = _GRACE

    def _reason(self) -> Reason:
        """Judge how the stream ended, and set the error to be raised."""
        texts = self._parts.whole("text")
        if self.error is None and not self._status:
            if self.done and texts:
                self._parts.warn("no-finish-reason")
            elif not self._began and (strays := self._sse.strays):
                self.error = foreign_error(strays.decode("utf-8", "replace").strip(), self._info)
            else:
                self.error = ending_error(self._info, empty=self.done or not self._began, again=self.done)
        if self.error is not None:
            return "content_filter" if self.error.kind == "content_filter" else "error"
        if not texts and self._parts.whole("thinking"):
            self._parts.warn("reasoning-only")
        return "stop"


class _Template(msgspec.Struct):
    """The newest frame, and where in it the growing string ends.

    Attributes:
        frame: The frame's bytes.
        end: Where the string ends: before its closing quote.
        after: The bytes from there on.
        delta: The class of what the string adds.
    """

    frame: bytes
    end: int
    after: bytes
    delta: type[TextDelta | ThinkingDelta]

    @classmethod
    def find(cls, first: bytes, second: bytes, delta: TextDelta | ThinkingDelta) -> Self | None:
        """Compare two frames in a row, the second of which was read as this delta.

        None if they differ in anything else than that text in one string. As a string's end is followed by its quote,
        and more of the string cannot begin with one, the frames are equal exactly up to that end.
        """
        end = _shared(first, second)
        template = cls(first, end, first[end:], type(delta))
        return template if template.after.startswith(b'"') and template.read(second) == delta else None

    def read(self, data: bytes) -> TextDelta | ThinkingDelta | None:
        """Return what a frame adds, perhaps nothing; None if it differs in anything else.

        What stands in the string's place is decoded as one JSON string: so it holds no quote, and no half of an escape
        or a character at its end.
        """
        end = len(data) - len(self.after)
        if end < self.end or not data.endswith(self.after) or not data.startswith(memoryview(self.frame)[: self.end]):
            return None
        try:
            text = _decode_string(b'"%b"' % data[self.end : end])
        except ValueError:
            return None
        self.frame, self.end = data, end
        return self.delta(text)


def _shared(first: bytes, second: bytes) -> int:
    """Return how many bytes at their beginning are equal, by comparing half of what is left again and again."""
    view = memoryview(second)
    equal, limit = 0, min(len(first), len(second))
    while equal < limit:
        middle = (equal + limit + 1) // 2
        if first.startswith(view[equal:middle], equal):
            equal = middle
        else:
            limit = middle - 1
    return equal


def _merged(events: list[Event]) -> list[Event]:
    """Join neighbouring deltas of a kind; of neighbouring corrections, keep the last."""
    merged: list[Event] = []
    for event in events:
        match merged[-1] if merged else None, event:
            case TextDelta(before), TextDelta(text):
                merged[-1] = TextDelta(before + text)
            case ThinkingDelta(before), ThinkingDelta(text):
                merged[-1] = ThinkingDelta(before + text)
            case Replace(), Replace():
                merged[-1] = event
            case _:
                merged.append(event)
    return merged
