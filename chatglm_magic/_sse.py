"""Bytes in, server-sent events out; no I/O.

WHATWG HTML, "9.2.6 Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), with
three deliberate differences, each asked for by a real server:

- At the end of the stream a last event without its blank line is handed over if its data is whole
  JSON or `[DONE]` (llama.cpp).
- A field named `error` is an event of type `error` (llama.cpp up to late 2025).
- `id` and `retry` are ignored: a POST is never opened again behind the caller's back.

Strategy. Nothing is looked at one character or one line at a time where a bulk operation will do:
line ends are made equal in one pass (and only where there is a CR), and a read that holds nothing but
single `data: ` lines is cut into their data by one `split`. What is unfinished is kept as
a list of chunks, joined once when its end arrives, so a long line costs linear time. Data stay
bytes: the JSON decoder reads those.
"""

from __future__ import annotations

import json

import msgspec

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""How long one event may grow: far above any real frame, far below a kernel's memory."""

_HEAD_BYTES = 200
_BOM = b"\xef\xbb\xbf"
_END = b"\n\n"
_DATA = b"data: "
_NO_DATA = b"data: \n"


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event. A msgspec struct: made six times faster than a frozen dataclass.

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
        max_event_bytes: How many bytes may be kept waiting for the end of one event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pending: list[bytes] = []
        self._size = 0
        self._head: bytes | None = b""  # what may yet turn out to be a BOM; None once that is settled
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and give the events that they complete.

        Raises:
            EventTooLongError: An event has no end within `max_event_bytes`.
        """
        if self._head is not None:
            chunk = self._settle_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not chunk:
            return []
        pending = self._pending
        if pending:
            ends = _END in chunk or (chunk.startswith(b"\n") and pending[-1].endswith(b"\n"))
            pending.append(chunk)
            if not ends:
                return self._wait(len(chunk))
            chunk = b"".join(pending)
            pending.clear()
            self._size = 0
        end = chunk.rfind(_END)
        if end < 0:
            pending.append(chunk)
            return self._wait(len(chunk))
        if rest := chunk[end + len(_END) :]:
            pending.append(rest)
            self._wait(len(rest))
        if chunk.startswith(_DATA) and _NO_DATA not in chunk:
            data = chunk[len(_DATA) : end].split(_END + _DATA)
            if chunk.count(b"\n", 0, end) == len(_END) * (len(data) - 1):  # nothing but single `data: ` lines
                return list(map(ServerSentEvent, data))
        events = []
        for block in chunk[:end].split(_END):
            if block.startswith(_DATA) and b"\n" not in block and block != _DATA:
                events.append(ServerSentEvent(block[len(_DATA) :]))
            else:
                event = _parse(block)
                if event is not None:
                    events.append(event)
        return events

    def close(self) -> list[ServerSentEvent]:
        """End the stream; give a last event that only lacks its blank line."""
        block = (self._head or b"") + b"".join(self._pending)
        self._pending.clear()
        event = _parse(block)
        if event is None or not (event.data == b"[DONE]" or _is_json(event.data)):
            return []
        return [event]

    def _settle_bom(self, chunk: bytes) -> bytes:
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _wait(self, more: int) -> list[ServerSentEvent]:
        self._size += more
        if self._size > self._max:
            error = EventTooLongError(f"one event is longer than {self._max} bytes")
            error.head = self._pending[0][:_HEAD_BYTES]
            self._pending.clear()
            self._size = 0
            raise error
        return []


def _parse(block: bytes) -> ServerSentEvent | None:
    """Read one event's lines; None where nothing is to be dispatched."""
    kind = "message"
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode("utf-8", "replace") or "message"
        elif name == b"error":
            kind = "error"
            data.append(value)
    joined = b"\n".join(data)
    return ServerSentEvent(joined, kind) if joined else None


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
