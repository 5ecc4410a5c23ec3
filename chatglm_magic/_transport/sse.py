"""Bytes in, server-sent events out; no I/O.

WHATWG HTML, "9.2.6 Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), with
five deliberate differences, each asked for by a real server:

- At the end of the stream a last event without its blank line is handed over if its data is whole
  JSON or `[DONE]` (llama.cpp).
- A field named `error` is an event of type `error` (llama.cpp up to late 2025).
- A data line that begins a JSON object, behind one that ends one, begins an event, and so does an `event` field there:
  servers leave the blank line out. No object may follow another in one JSON value. `[DONE]` is an event by itself.
- `id` and `retry` are ignored: a POST is never opened again behind the caller's back.

Strategy. A line may be of a hundred bytes or of a megabyte. Only single bytes are searched for in long
lines, because that is `memchr`, 50 times faster than a search for two; a read that holds nothing but
single short `data: ` lines is cut into their data by one `split`. What is unfinished is kept as a list
of pieces, joined once when its end arrives, so a long line costs linear time. Data stay bytes: the JSON
decoder reads those.
"""

from __future__ import annotations

import json
import re

import msgspec

from .._language import tr

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""How long one event may grow: far above any real frame, far below a kernel's memory."""

_HEAD_BYTES = 200
_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_DONE = b"[DONE]"
_KINDS = frozenset({b"event", b"error"})
_VALUES = frozenset({b"data", b"error"})
_FIELDS = frozenset({b"", b"event", b"id", b"retry"})
"""The fields without a value that matters here; a comment's name is empty."""
_STRAY_BYTES = 1000
_END = b"\n\n"
_BARE_CR = re.compile(rb"\r(?!\n)")
_PIECE_BYTES = 1024
_SHORT_BYTES = 4096


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    Attributes:
        data: Bytes as sent, several `data` lines joined by LF; not checked to be UTF-8.
        event: The event's type.
    """

    data: bytes
    event: str = "message"


class EventTooLongError(ValueError):
    """One event grew beyond the limit.

    Attributes:
        head: Its first bytes, for a message.
    """

    head: bytes = b""


class SSEDecoder:
    """Turns chunks of bytes into events; any chunking of a stream gives the same events.

    Args:
        max_event_bytes: How many bytes an event may have before it ends.

    Attributes:
        strays: The first lines that are neither field nor comment: a server, or a proxy, says something in plain words.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.strays = b""
        self._max = max_event_bytes
        self._bom: bytes | None = b""  # what may yet turn out to be a BOM; None once that is settled
        self._after_cr = False
        # Of the event that has not ended: type, data, the pieces of its last line, size and first bytes.
        self._kind = "message"
        self._data: list[bytes] = []
        self._pending: list[bytes] = []
        self._size = 0
        self._head = b""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            EventTooLongError: An event has no end within `max_event_bytes`.
        """
        if self._bom is not None:
            chunk = self._settle_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = _without_bare_cr(chunk)
        if b"\n" not in chunk:
            self._grow(chunk)
            self._wait(chunk)
            return []
        lines = chunk
        if self._pending:
            lines = b"".join((*self._pending, chunk))
            self._pending.clear()
        events, begin, rest = self._read_lines(lines)
        if begin:
            self._size, self._head = 0, b""
            chunk = lines[begin:]
        self._grow(chunk)
        self._wait(lines[rest:])
        return events

    def close(self) -> list[ServerSentEvent]:
        """End the stream and return a last event that only lacks its blank line."""
        events: list[ServerSentEvent] = []
        self._read_field((self._bom or b"") + b"".join(self._pending), events)
        self._pending.clear()
        data = b"\n".join(self._data)
        if data == _DONE or _is_json(data):
            events.append(ServerSentEvent(data, self._kind))
        return events

    def _settle_bom(self, chunk: bytes) -> bytes:
        head = (self._bom or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._bom = head
            return b""
        self._bom = None
        return head.removeprefix(_BOM)

    def _grow(self, piece: bytes) -> None:
        """Count the bytes of the unfinished event, which may not outgrow the limit."""
        self._size += len(piece)
        if len(self._head) < _HEAD_BYTES:
            self._head = (self._head + piece[:_HEAD_BYTES])[:_HEAD_BYTES]
        if self._size > self._max:
            error = EventTooLongError(tr("one event is longer than {limit} bytes", limit=self._max))
            error.head, self._head, self._size = self._head, b"", 0
            self._data.clear()
            self._pending.clear()
            raise error

    def _wait(self, piece: bytes) -> None:
        """Keep the beginning of a line, or more of it."""
        pending = self._pending
        if pending and len(pending[-1]) < _PIECE_BYTES:
            pending[-1] += piece
        elif piece:
            pending.append(piece)

    def _read_lines(self, lines: bytes) -> tuple[list[ServerSentEvent], int, int]:
        """Read every line that has ended.

        Returns:
            The events that end here; where the unfinished event begins, 0 if it began earlier; and
            where the unfinished line begins.
        """
        data = self._data
        events, begin = _short_events(lines) if not data and self._kind == "message" else ([], 0)
        start = begin
        while (line_end := lines.find(b"\n", start)) >= 0:
            end = line_end - lines.endswith(b"\r", start, line_end)
            if end == start:
                self._dispatch(events)
                begin = line_end + 1
            elif not data and lines.startswith(b"data:", start):
                value = start + len(b"data:")
                data.append(lines[value + lines.startswith(b" ", value) : end])
                if data[0] == _DONE:
                    self._dispatch(events)
            elif self._read_field(lines[start:end], events):
                begin = start
            start = line_end + 1
        return events, begin, start

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """End the event, and begin another."""
        data = self._data
        if payload := data[0] if len(data) == 1 else b"\n".join(data):
            events.append(ServerSentEvent(payload, self._kind))
        data.clear()
        self._kind = "message"

    def _read_field(self, line: bytes, events: list[ServerSentEvent]) -> bool:
        """Read a line that is not blank, and return whether it begins an event, behind one without a blank line."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        data = self._data
        ended = bool(data) and data[-1].endswith(b"}") and data[0][:2].lstrip().startswith(b"{")
        begins = ended and (name in _KINDS or (name == b"data" and value.lstrip().startswith((b"{", _DONE))))
        if begins:
            self._dispatch(events)
        if name == b"event":
            self._kind = value.decode("utf-8", "replace") or "message"
        elif name == b"error":
            self._kind = "error"
        if name in _VALUES:
            data.append(value)
            if data == [_DONE]:
                self._dispatch(events)
        elif name not in _FIELDS and len(self.strays) < _STRAY_BYTES:
            self.strays += line[:_STRAY_BYTES] + b"\n"
        return begins


def _without_bare_cr(chunk: bytes) -> bytes:
    """Replace each CR that no LF follows by LF; CRLF stays, so that a stream with these is not copied."""
    at = chunk.find(b"\r")
    while at >= 0:
        if not chunk.startswith(b"\n", at + 1):
            return _BARE_CR.sub(b"\n", chunk)
        at = chunk.find(b"\r", at + 1)
    return chunk


def _short_events(lines: bytes) -> tuple[list[ServerSentEvent], int]:
    """Return the events of a read that holds nothing but single, short `data: ` lines with LF, and where they end."""
    end = lines.rfind(_END) if lines.startswith(_DATA) and lines.find(b"\n") < _SHORT_BYTES else -1
    if end < 0 or b"\r" in lines:
        return [], 0
    payloads = lines[len(_DATA) : end].split(_END + _DATA)
    if lines.count(b"\n", 0, end) != 2 * len(payloads) - 2 or not all(payloads):
        return [], 0
    return [ServerSentEvent(payload) for payload in payloads], end + len(_END)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
