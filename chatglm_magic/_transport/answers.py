"""What an answer is, judged by its headers and its first bytes; no I/O."""

from __future__ import annotations

import zlib

EVENT_STREAM = "text/event-stream"

_BOM = b"\xef\xbb\xbf"
_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_PEEK_BYTES = 4096
"""How much blank space may come before the first line of what is not declared to be an event stream."""


def media_type(content_type: str) -> str:
    """Give a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_event_stream(kind: str, head: bytes) -> bool | None:
    """Tell whether a body is an event stream; None if more of it is needed to know.

    Servers declare streams as plain text or bytes, and errors as event streams, so both are asked:
    JSON and HTML never are one, whichever of the two says so.

    Args:
        kind: The media type that was declared; empty for none.
        head: The body's first bytes, at least one.
    """
    if kind.endswith(("json", "html", "html+xml")):
        return False
    text = head.removeprefix(_BOM).lstrip()
    if kind == EVENT_STREAM:
        return not text.startswith((b"{", b"[", b"<"))
    if text.startswith(_STARTS):
        return True
    if any(start.startswith(text) for start in (*_STARTS, _BOM)) and len(head) < _PEEK_BYTES:
        return None
    return False


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Give at most `limit` bytes of what a body was before it was compressed.

    A body that cannot be read as gzip or deflate is given as it is.
    """
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, limit)  # 32: zlib or gzip, by its header
    except zlib.error:
        return body
