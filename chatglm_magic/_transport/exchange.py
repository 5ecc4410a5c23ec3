"""One request and its answer: a POST out, chunks of bytes in, every failure one of ours.

Each request has a session and a connection of its own, and both end with it: nothing is pooled, so
nothing leaks and nothing crosses event loops. aiohttp itself is imported at the first request.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from .._errors import ChatGLMError, ConfigError, ProviderError, StalledError
from .._imports import in_peace
from .._turns import turns_of
from .._urls import check_key_travel, is_loopback, origin
from .answers import EVENT_STREAM, inflated, is_event_stream, media_type
from .call import Call, Refusal, headers_of
from .failures import Failures
from .proxy import proxy_for
from .watchdog import Watchdog

if TYPE_CHECKING:
    import aiohttp

_REFUSAL_BYTES = 64 * 1024
_REFUSAL_SECONDS = 5.0
"""How long the body of a refusal is waited for: its status says enough."""
_JSON_BYTES = 8 * 1024 * 1024
_HEADER_BYTES = 64 * 1024
_HOPS = 4
_OK, _SEE_OTHER, _PROXY_PASSWORD = 200, 303, 407
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@asynccontextmanager
async def open_stream(call: Call) -> AsyncGenerator[Stream]:
    """Send a call and give the event stream that answers it; leaving the block hangs up at once.

    An answer counts as an event stream if its status is 200 and `is_event_stream` says so.

    Raises:
        ProviderError: What `call.explain` makes of any other answer.
        ConnectError: Nothing answered, or it closed the connection without an answer.
        StalledError: No answer within `call.timeout`.
        ProtocolError: The answer is no HTTP, is compressed, or sends the request to another server.
        ConfigError: URL, key or proxy cannot be used.
    """
    async with _turn(call), _exchange(call) as exchange:
        async with exchange.opening():
            await exchange.ask("POST")
            first = await exchange.first_bytes()
        yield Stream(exchange, first)


async def get_json(call: Call) -> object:
    """Send a GET and give the JSON value that answers it; the call's body is not sent.

    Raises:
        ProviderError: As `open_stream`; what `call.explain` makes of a status other than 200.
        ProtocolError: The answer is no JSON, or longer than 8 MiB.
    """
    async with _exchange(call) as exchange:
        async with exchange.opening():
            await exchange.ask("GET")
            body = await exchange.whole_body()
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise exchange.failures.no_json(body) from None


class Stream:
    """The body of an answer that is an event stream: `async for chunk in stream`.

    Attributes:
        status: HTTP status.
        content_type: Media type in lower case, without parameters.
        host: Who answers, for messages.
    """

    __slots__ = ("_content", "_first", "_mapping", "_watchdog", "content_type", "host", "status")

    def __init__(self, exchange: _Exchange, first: bytes) -> None:
        self.status = exchange.response.status
        self.content_type = media_type(exchange.response.headers.get("Content-Type", ""))
        self.host = exchange.failures.host
        self._first = first
        self._content = exchange.response.content
        self._mapping = exchange.mapping
        self._watchdog = exchange.watchdog

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        """Give what has arrived since the last time: at least one byte.

        Raises:
            BrokenStreamError: The connection broke.
            StalledError: No event came for too long.
            ProtocolError: What came is no HTTP.
        """
        if self._first:
            chunk, self._first = self._first, b""
            return chunk
        self._watchdog.listen()
        try:
            with self._mapping:
                chunk = await self._content.readany()
        except ProviderError as error:
            chunk = self._arrived_before()
            if not chunk and not (self._watchdog.ending and isinstance(error, StalledError)):
                raise
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _arrived_before(self) -> bytes:
        """Give what had arrived before the connection failed while the caller was busy, if anything had.

        aiohttp would raise its failure first and drop it. The failure is raised the next time.
        """
        content, failure = self._content, self._content.exception()
        if failure is None:
            return b""
        content._exception = None  # noqa: SLF001 - there is no public way to what it still holds
        try:
            return content.read_nowait()
        finally:
            content.set_exception(failure)

    def alive(self) -> None:
        """Tell that an event has come: the watchdog starts anew. Pings are no events."""
        self._watchdog.alive = True

    def end_within(self, seconds: float) -> None:
        """Let silence of this length be the stream's end, no failure any more."""
        self._watchdog.end_within(seconds)


class _Exchange:
    """One request and its answer.

    Attributes:
        response: The answer; set by `ask`.
    """

    response: aiohttp.ClientResponse

    def __init__(self, call: Call, session: aiohttp.ClientSession, proxy: str) -> None:
        self._call = call
        self._session = session
        self._proxy = proxy
        self.watchdog = Watchdog(call.timeout)
        self.failures = Failures(call, proxy)
        self.mapping = _Mapping(self.failures, self.watchdog)

    @asynccontextmanager
    async def opening(self) -> AsyncGenerator[None]:
        """Guard the time until the answer is there."""
        with self.mapping:
            async with self.watchdog.guard():
                yield
        self.mapping.streaming = True
        self.expect_loss()
        self.watchdog.bite = self.hang_up

    async def ask(self, method: str) -> None:
        """Send the request; follow redirects only within the origin, which neither key nor prompt may leave."""
        url = self._call.url
        location, status = "", 0
        for _ in range(_HOPS):
            self.response = await self._session.request(
                method,
                url,
                data=io.BytesIO(self._call.body) if method == "POST" else None,  # raw bytes of 1 MiB make it warn
                headers=headers_of(self._call, method),
                proxy=self._proxy or None,
                allow_redirects=False,
            )
            status, location = self.response.status, self.response.headers.get("Location", "")
            if status == _PROXY_PASSWORD and self._proxy:
                raise self.failures.proxy_failed(status)
            if status not in _REDIRECTS or not location:
                return
            target = _within_origin(url, location)
            if status == _SEE_OTHER or not target:
                raise self.failures.redirected(location, status)
            self.hang_up()
            url = target
        raise self.failures.redirected(location, status)

    async def first_bytes(self) -> bytes:
        """Give the first bytes of an event stream; none where it ends before them.

        Raises:
            ProviderError: The answer is no event stream, or a compressed one.
        """
        kind = media_type(self.response.headers.get("Content-Type", ""))
        head = b""
        verdict = None if self.response.status == _OK else False
        while verdict is None:
            chunk = await self.response.content.readany()
            head += chunk
            verdict = is_event_stream(kind, head) if chunk else kind == EVENT_STREAM
        if not verdict:
            raise await self._refusal(head)
        if encoding := self._encoding():
            raise self.failures.compressed(encoding)
        return head

    async def whole_body(self) -> bytes:
        """Give a body that is short by nature.

        Raises:
            ProviderError: The status is not 200, or the body is longer than 8 MiB.
        """
        if self.response.status != _OK:
            raise await self._refusal(b"")
        body = bytearray()
        while chunk := await self.response.content.readany():
            body += chunk
            if len(body) > _JSON_BYTES:
                raise self.failures.no_json(bytes(body))
        return inflated(bytes(body), self._encoding(), _JSON_BYTES)

    def expect_loss(self) -> None:
        """Make the reader notice when the connection is lost.

        It does so itself in all cases but one: after broken framing in the middle of a body, aiohttp's C
        parser closes the connection and leaves the reader waiting (3.14.5).
        """
        content, connection = self.response.content, self.response.connection
        closed = getattr(connection and connection.protocol, "closed", None)
        if closed is not None:
            closed.add_done_callback(partial(_lose, content))

    def hang_up(self) -> None:
        """Close the connection now: not when its buffers are empty, or when TLS has said goodbye."""
        response = getattr(self, "response", None)
        if response is not None:
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            response.close()

    def _encoding(self) -> str:
        encoding = self.response.headers.get("Content-Encoding", "").strip().lower()
        return "" if encoding == "identity" else encoding

    async def _refusal(self, head: bytes) -> ProviderError:
        """Read what else there is of an answer that is no event stream, and let the call explain it."""
        body = bytearray(head)
        try:
            async with asyncio.timeout(_REFUSAL_SECONDS):
                while len(body) < _REFUSAL_BYTES and (chunk := await self.response.content.readany()):
                    body += chunk
        except Exception as error:  # noqa: BLE001 - whatever ends the body, the status is already known
            del error
        headers = {name.lower(): value for name, value in self.response.headers.items()}
        kind = media_type(headers.get("content-type", ""))
        plain = inflated(bytes(body[:_REFUSAL_BYTES]), self._encoding(), _REFUSAL_BYTES)
        if key := self._call.key:  # some services repeat the key that they refuse
            plain = plain.replace(key.encode(), b"[key]")
            headers = {name: value.replace(key, "[key]") for name, value in headers.items()}
        return self._call.explain(Refusal(self.response.status, kind, plain, MappingProxyType(headers)))


class _Mapping:
    """A context manager: the one place where aiohttp's failures become ours.

    What it raises has no context: a reader is helped by our sentence, not by aiohttp's frames.

    Attributes:
        streaming: Whether the answer has begun.
    """

    def __init__(self, failures: Failures, watchdog: Watchdog) -> None:
        self._failures = failures
        self._watchdog = watchdog
        self.streaming = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, ChatGLMError) or not isinstance(error, Exception):
            return
        failure = self._translate(error)
        if failure is not None:
            try:
                raise failure
            finally:
                failure.__context__ = None

    def _translate(self, error: Exception) -> ChatGLMError | None:
        """Give our error for one of aiohttp's or the system's; None for what is neither."""
        import aiohttp
        from aiohttp.http_exceptions import HttpProcessingError

        make = self._failures
        failure: ChatGLMError | None = None
        match error:
            case _ if self._watchdog.bitten:
                failure = make.stalled(self._watchdog.timeout)
            case aiohttp.ConnectionTimeoutError():
                failure = make.late()
            case aiohttp.ServerTimeoutError():
                failure = make.stalled(self._watchdog.timeout)
            case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
                failure = make.proxy_failed(getattr(error, "status", None))
            case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
                failure = make.untrusted(getattr(error, "certificate_error", error))
            case aiohttp.ClientConnectorDNSError():
                failure = make.unknown_name(error.os_error)
            case aiohttp.ClientConnectorError():
                failure = make.unreachable(error.os_error)
            case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | UnicodeError():
                failure = make.malformed()
            case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
                failure = make.broken() if self.streaming else make.no_answer()
            case aiohttp.ClientError() | aiohttp.WSMessageTypeError() | HttpProcessingError():
                failure = make.no_http(str(error))
        return failure


def _turn(call: Call) -> AbstractAsyncContextManager[None]:
    """Give the turn of a call's key at its origin (wire.md B.4: as few as one request per account)."""
    if not call.one_at_a_time:
        return nullcontext()
    name = (*origin(call.url), hashlib.sha256(call.key.encode()).digest())
    notify = call.notify
    return turns_of(name).turn(None if notify is None else lambda: notify("waiting for another request with this key"))


@asynccontextmanager
async def _exchange(call: Call) -> AsyncGenerator[_Exchange]:
    """Open what one request needs, and hang up on every way out.

    Raises:
        ConfigError: URL, key or proxy cannot be used.
    """
    check_key_travel(call.url, call.key)
    if "@" in urlsplit(call.url).netloc:
        raise ConfigError("A base URL holds no user and no password. Give the key as api_key, or in the environment.")
    if not (call.key.isascii() and call.key.isprintable()) or " " in call.key:
        raise ConfigError("The key holds a blank, a line break or a letter that no key has. Copy it once more.")
    # In a thread, as on Windows the system's exceptions to its proxy may ask the resolver.
    proxy = "" if is_loopback(call.url) else await asyncio.to_thread(proxy_for, call.url, call.proxy)
    with in_peace():
        import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=None, connect=call.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # so that a few bytes never become gigabytes
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )
    exchange = _Exchange(call, session, proxy)
    try:
        yield exchange
    finally:
        exchange.watchdog.stop()
        exchange.hang_up()
        await session.close()


def _lose(content: aiohttp.StreamReader, closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()  # seen; the reader has its own
    if not content.is_eof() and content.exception() is None:
        content.set_exception(ConnectionResetError("the connection was lost"))


def _within_origin(url: str, location: str) -> str:
    """Give where a redirect leads; empty if out of the URL's origin, or nowhere."""
    try:
        target = urljoin(url, location)
        return target if origin(target) == origin(url) else ""
    except (ConfigError, ValueError):
        return ""
