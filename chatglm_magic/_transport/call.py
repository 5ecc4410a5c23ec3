"""What is asked over HTTP, which way it goes, and what the answer is; no I/O.

`Call` and `Refusal` are the values that providers and the transport exchange; the functions are the rules by which
`exchange` sends the one and recognizes the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .._credentials import NeverPickled, is_loopback
from .._errors import ConfigError, ProviderError
from .._language import tr
from .._version import __version__

EVENT_STREAM = "text/event-stream"

_BOM = b"\xef\xbb\xbf"
_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_MAGIC_BYTES = 16
_PRINTED = bytes(range(ord(" "), 256)) + b"\t\n\r"
"""Bytes that text may hold; compressed data has others among its first."""
_UNSUPPORTED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "lzma", "xz", "bzip2", "snappy", "lz4"})
_PLAIN_BYTES = 256 * 1024
_UNPACKED_BYTES = 512 * 1024
_GROWTH = 200
"""How many times larger than what was sent a longer body may become; JSON that repeats itself reaches 30."""
_PEEK_BYTES = 4096
"""How much blank space may come before the first line of a body that is not declared to be an event stream."""


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is no event stream.

    Attributes:
        status: HTTP status.
        content_type: Media type in lower case, without parameters.
        body: The first 64 KiB of the body.
        headers: The answer's headers, names in lower case.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}


class Call(msgspec.Struct, frozen=True):
    """One POST (or the GET of `get_json`), and what its failures name. Its repr shows no secret.

    Attributes:
        url: Where to.
        body: JSON.
        provider: The provider's name, for messages.
        model: The model's name, for messages.
        explain: Turns an answer that is no event stream into the error to raise.
        whole: Turns one JSON document, for servers that do not stream, into the events that it stands for; into none
            if it is no answer.
        headers: Further headers, over the usual ones; never the key.
        key: Sent as `Authorization: Bearer`, to this URL's own host only.
        proxy: An http or https proxy; empty for what the environment says. Loopback always goes direct.
        timeout: Seconds without an event (pings do not count) after which the stream is given up.
        connect_timeout: Seconds to reach the host.
        one_at_a_time: Whether only one request per key may be in flight (the platforms).
        notify: Called with one sentence that says why nothing has come yet.
        shared: Whether it may use a connection that other requests have used, inside `shared_connections`.
    """

    url: str
    body: bytes
    provider: str
    model: str
    explain: Callable[[Refusal], ProviderError]
    whole: Callable[[bytes], bytes] = lambda _: b""
    headers: Mapping[str, str] = {}
    key: str = ""
    proxy: str = ""
    timeout: float = 120.0
    connect_timeout: float = 15.0
    one_at_a_time: bool = False
    notify: Callable[[str], None] | None = None
    shared: bool = True

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("url", self.url), ("provider", self.provider), ("model", self.model)]

    def __repr__(self) -> str:
        return f"Call({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def headers_of(call: Call, method: str) -> dict[str, str]:
    """Return the headers of a call. The key is not in their repr: tracebacks show local variables.

    Args:
        call: The call.
        method: `POST`, answered by a stream, or `GET`, answered by JSON.
    """
    headers = {
        "Accept": EVENT_STREAM if method == "POST" else "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"chatglm-magic/{__version__} (+aiohttp)",
    }
    if method == "POST":
        headers["Content-Type"] = "application/json"
    if call.key:
        headers["Authorization"] = _Hidden(f"Bearer {call.key}")
    names = {name.lower(): name for name in headers}
    for name, value in call.headers.items():
        if name.lower() != "authorization" or not call.key:
            headers[names.get(name.lower(), name)] = value
    return headers


class _Hidden(NeverPickled, str):
    """Text that is sent as it is, and shown as stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def proxy_for(url: str, proxy: str = "") -> str:
    """Return the proxy for a URL, with the credentials it may hold; an empty string for the direct way.

    A URL on this machine is always asked directly, whatever is set: the local model's key and the
    conversation with it must not reach a proxy, and a proxy elsewhere could not find it. Otherwise a
    named proxy is used, else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`; the
    system's settings on macOS and Windows).

    Args:
        url: What will be asked.
        proxy: An http or https proxy that the user named; empty for the environment's.

    Raises:
        ConfigError: The proxy is of another kind (socks) or its URL cannot be read. The message shows
            no credentials.
    """
    if is_loopback(url):
        return ""
    if proxy:
        return _checked_proxy(proxy, "proxy=")
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    found = getproxies().get(parts.scheme, "")
    if not found or proxy_bypass(parts.hostname or ""):
        return ""
    return _checked_proxy(found, f"{parts.scheme}_proxy")


def _checked_proxy(proxy: str, named_by: str) -> str:
    """Return a proxy's URL, its scheme filled in."""
    whole = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(whole)
        readable = parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number
        readable = False
    if not readable:
        raise ConfigError(
            tr("The proxy in {named_by} is no URL. Write it like http://127.0.0.1:7890.", named_by=named_by)
        )
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(
            tr(
                "The proxy in {named_by} is a {scheme} proxy, which is not supported. Use the http port of the "
                "same proxy, like http://127.0.0.1:7890, or name none to go directly.",
                named_by=named_by,
                scheme=parts.scheme,
            )
        )
    return whole


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_event_stream(kind: str, head: bytes) -> bool | None:
    """Return whether a body is an event stream; None if more of it is needed to know.

    The bytes go before the declaration: servers declare streams as plain text, JSON or HTML, and errors as streams.

    Args:
        kind: The media type that was declared; empty for none.
        head: The body's first bytes, at least one.
    """
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(_STARTS):
        return True
    if any(start.startswith(text) for start in (*_STARTS, _BOM)) and len(head) < _PEEK_BYTES:
        return None
    return kind == EVENT_STREAM and not is_document(text)


def is_document(head: bytes) -> bool:
    """Return whether a body begins like JSON or HTML."""
    return head.removeprefix(_BOM).lstrip().startswith((b"{", b"[", b"<"))


class Unpacker:
    """Undoes a body's compression, a bounded piece at a time.

    What the bytes are counts more than what the header says: many put a charset there, or compress without saying so.

    Args:
        encoding: What the header `Content-Encoding` says, in lower case.

    Raises:
        ValueError: From `take`: the body is packed in a way that is not supported, damaged, or grows beyond reason.
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._packed = b""
        self._bits: int | None = None  # zlib's name for the format; 0 for none, None before it is known
        self._needed = _MAGIC_BYTES if encoding == "deflate" or encoding in _UNSUPPORTED else 2
        self._full = False
        self._sizes = [0, 0]

    def give(self, chunk: bytes) -> None:
        """Take more of the body as it was sent."""
        self._packed += chunk
        self._sizes[0] += len(chunk)

    def take(self, *, last: bool = False) -> bytes:
        """Return at most 256 KiB more of the body; nothing if more must be given first, or it is at its `last`."""
        size = len(self._packed)
        if self._bits is None and (last or size > _PEEK_BYTES or len(self._packed.lstrip()) >= self._needed):
            self._bits = self._format()
            if self._bits:
                self._zlib = zlib.decompressobj(self._bits)
        if not self._bits:
            plain, self._packed = (b"", self._packed) if self._bits is None else (self._packed, b"")
            return plain
        plain = b""
        while not plain and (self._packed or self._full):
            try:
                plain = self._zlib.decompress(self._packed, _PLAIN_BYTES)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            self._packed, self._full = self._zlib.unconsumed_tail, len(plain) == _PLAIN_BYTES
            if self._zlib.eof:
                rest, self._full = self._zlib.unused_data, False
                self._packed = rest if rest.startswith(b"\x1f") else b""  # another member, or padding
                self._zlib = zlib.decompressobj(self._bits)
        self._sizes[1] += len(plain)
        if self._sizes[1] > max(_UNPACKED_BYTES, _GROWTH * (self._sizes[0] - len(self._packed))):
            raise ValueError(tr("a few bytes grow beyond reason"))
        return plain

    def _format(self) -> int:
        """Return how the body is packed, by its first bytes; zero if it is not."""
        head = self._packed[:_MAGIC_BYTES]
        if head.startswith(b"\x1f\x8b"):
            return zlib.MAX_WBITS | 16
        begin = head.removeprefix(_BOM).lstrip()
        begins = is_document(head) or any(start.startswith(begin[: len(start)]) for start in _STARTS)
        if begins and not head.translate(None, _PRINTED):
            return 0
        if self.encoding == "deflate":
            has_header = head[0] & 15 == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
            return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
        if self.encoding in _UNSUPPORTED:
            raise ValueError(tr("{encoding} is not supported", encoding=self.encoding))
        return 0
