"""One request and its answer: a POST out, chunks of bytes in, every failure one of ours.

Whose connection a request takes is the matter of `connections`. aiohttp is imported at the first request, as it takes
90 ms.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import lru_cache, partial
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from .._credentials import check_key_travel, origin
from .._errors import ConfigError, ProviderError, StalledError
from .._event_loops import fair_lock_of
from .._language import tr
from .call import EVENT_STREAM, Call, Refusal, Unpacker, headers_of, is_document, is_event_stream, media_type
from .connections import begin_way, find_proxy, session_for
from .failures import Failures, hide_key
from .retries import is_single_attempt
from .watchdog import Watchdog

if TYPE_CHECKING:
    import aiohttp

_REFUSAL_BYTES = 64 * 1024
_REFUSAL_SECONDS = 5.0
"""How long to wait for the body of a refusal: its status says enough."""
_JSON_BYTES = 8 * 1024 * 1024
_ANSWER_BYTES = 2 * 1024 * 1024
"""How long an answer in one piece may be."""
_TAIL_SECONDS, _TAIL_BYTES = 0.2, 16 * 1024
"""How much may follow behind an answer's end on a connection that is to be used once more."""
_RAW_BYTES = 512 * 1024
_HOPS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@asynccontextmanager
async def open_stream(call: Call) -> AsyncGenerator[Stream]:
    """Send a call; the block gets the event stream that answers it, and leaving the block hangs up at once.

    An answer counts as an event stream if its status is 2xx and `is_event_stream` says so; one JSON document stands for
    the stream that `call.whole` makes of it.

    Raises:
        ProviderError: From entering: what `call.explain` makes of any other answer.
        ConnectError: Nothing answered, or it closed the connection without an answer.
        StalledError: No answer within `call.timeout`.
        ProtocolError: The answer is no HTTP, is packed in an unknown way, or sends the request to another server.
        ConfigError: URL, key or proxy cannot be used.
    """
    async with _turn(call), _Exchange(call) as exchange:
        yield Stream(exchange, await exchange.open("POST", exchange.first_bytes))
        await exchange.leave_connection()


async def get_json(call: Call) -> object:
    """Send a GET and return the JSON value that answers it; the call's body is not sent.

    Raises:
        ProviderError: As `open_stream`; what `call.explain` makes of a status other than 200.
        ProtocolError: The answer is no JSON, or longer than 8 MiB.
    """
    async with _Exchange(call) as exchange:
        body = await exchange.open("GET", exchange.whole_body)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise exchange.failures.no_json(body) from None


class Stream:
    """The body of an answer that is an event stream: `async for chunk in stream`."""

    def __init__(self, exchange: _Exchange, first: bytes) -> None:
        self._exchange = exchange
        self._content = exchange.response.content
        self._first = first

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        """Return what has arrived since the last time: at least one byte.

        Raises:
            BrokenStreamError: The connection broke.
            StalledError: No event came for too long.
            ProtocolError: What came is no HTTP.
        """
        if self._first:
            chunk, self._first = self._first, b""
            return chunk
        watchdog = self._exchange.watchdog
        watchdog.listen()
        try:
            with self._exchange.failures:
                chunk = await self._exchange.read()
        except ProviderError as error:
            chunk = self._arrived_before()
            if not chunk and not (watchdog.ending and isinstance(error, StalledError)):
                raise
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _arrived_before(self) -> bytes:
        """Return what had arrived before the connection failed while the caller was busy, if anything had.

        aiohttp would raise its failure first and drop it. The failure is raised the next time.
        """
        content, failure = self._content, self._content.exception()
        if failure is None:
            return b""
        content._exception = None  # noqa: SLF001 - there is no public way to what it still holds
        try:
            return self._exchange.unpack(content.read_nowait())
        finally:
            content.set_exception(failure)

    @property
    def silent(self) -> bool:
        """Whether the stream's end was silence."""
        watchdog = self._exchange.watchdog
        return watchdog.ending and watchdog.bitten

    def whole(self) -> None:
        """Note that the answer is whole: nothing that matters can follow, and the connection may be used again."""
        self._exchange.is_whole = True

    def alive(self) -> None:
        """Restart the watchdog's time: an event has come. Pings are no events."""
        self._exchange.watchdog.alive = True

    def end_within(self, seconds: float | None) -> None:
        """Take silence of this length for the stream's end from now on, not for a failure; None: no more."""
        self._exchange.watchdog.end_within(seconds)


class _Exchange:
    """One request and its answer: enter with what it needs, and every way out hangs up.

    Raises:
        ConfigError: From entering: URL, key or proxy cannot be used.

    Attributes:
        response: The answer; set by `ask`.
        is_whole: Whether all of the answer that matters was read.
    """

    response: aiohttp.ClientResponse

    _forget_loss: Callable[[], object] | None = None
    is_whole = False

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __aenter__(self) -> Self:
        _check(self._call)
        self._proxy = await find_proxy(self._call)
        self._connections = session_for(self._call)
        self._session, self._pool = await self._connections.__aenter__()
        self.watchdog = Watchdog(self._call.timeout)
        self.failures = Failures(self._call, self._proxy, self.watchdog)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ProviderError):
            hide_key(error, self._call.key)
        self.watchdog.stop()
        if self._forget_loss is not None:
            self._forget_loss()
        self.hang_up()  # unless the connection was left to others
        await self._connections.__aexit__(kind, error, traceback)

    async def open(self, method: str, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """Send the request and return the beginning of its answer; map failures, and limit the silence until then."""
        with self.failures:
            async with asyncio.timeout(None) as limit:
                self.watchdog.guard(limit)
                await self.ask(method)
                begin = await read()
        self.failures.streaming = True
        self.expect_loss()
        self.watchdog.bite = self.hang_up
        return begin

    async def ask(self, method: str) -> None:
        """Send the request; follow redirects only within the origin, which neither key nor prompt may leave."""
        url = self._call.url
        location, status = "", 0
        for _ in range(_HOPS):
            self.response = await self._send(method, url)
            status, location = self.response.status, self.response.headers.get("Location", "")
            self._unpacker = Unpacker(self.response.headers.get("Content-Encoding", "").strip().lower())
            if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy:
                raise self.failures.proxy_failed(status)
            if status not in _REDIRECTS or not location:
                return
            target = _within_origin(url, location)
            if status == HTTPStatus.SEE_OTHER or not target:
                raise self.failures.redirected(location, status)
            self.hang_up()
            url = target
        raise self.failures.redirected(location, status)

    async def _send(self, method: str, url: str) -> aiohttp.ClientResponse:
        """Send the request once; again at once where a kept connection was closed before it took the request."""
        import aiohttp

        while True:
            way = begin_way()
            try:
                return await self._session.request(
                    method,
                    url,
                    data=self._data() if method == "POST" else None,
                    headers=headers_of(self._call, method),
                    proxy=self._proxy or None,
                    allow_redirects=False,
                    timeout=_timeout(self._call.connect_timeout),
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if self._pool is None or way.is_new:
                    raise
                self._pool.note_stale(self._call)

    def _data(self) -> bytes | io.BytesIO:
        """Return the body for aiohttp, which warns of raw bytes of 1 MiB."""
        body = self._call.body
        return body if len(body) < _RAW_BYTES else io.BytesIO(body)

    async def first_bytes(self) -> bytes:
        """Return the first bytes of an event stream; none where it ends before them.

        Raises:
            ProviderError: The answer is no event stream, and no document that stands for one.
        """
        kind = media_type(self.response.headers.get("Content-Type", ""))
        head = b""
        status = self.response.status
        succeeded = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and status != HTTPStatus.NO_CONTENT
        verdict = None if succeeded else False
        while verdict is None:
            chunk = await self.read()
            head += chunk
            verdict = is_event_stream(kind, head) if chunk else kind == EVENT_STREAM and not is_document(head)
        if verdict:
            return head
        if succeeded and is_document(head):
            while len(head) <= _ANSWER_BYTES and (chunk := await self.read()):
                head += chunk
                self.watchdog.alive = True  # it may be written as slowly as a stream
                self.watchdog.listen()
            if events := self._call.whole(head):
                return events
        raise await self._refusal(head)

    async def read(self) -> bytes:
        """Return the next bytes of the body, unpacked; none at its end."""
        while not (plain := self.unpack(b"")):
            chunk = await self.response.content.readany()
            if not chunk:
                return self.unpack(b"", last=True)
            if plain := self.unpack(chunk):
                break
        return plain

    def unpack(self, chunk: bytes, *, last: bool = False) -> bytes:
        """Return what a chunk, or what is left of earlier ones, was before it was compressed."""
        self._unpacker.give(chunk)
        try:
            return self._unpacker.take(last=last)
        except ValueError as error:
            raise self.failures.compressed(self._unpacker.encoding or "gzip", str(error)) from None

    async def whole_body(self) -> bytes:
        """Return a body that is short by nature.

        Raises:
            ProviderError: The status is not 200, or the body is longer than 8 MiB.
        """
        if self.response.status != HTTPStatus.OK:
            raise await self._refusal(b"")
        body = bytearray()
        while chunk := await self.read():
            body += chunk
            if len(body) > _JSON_BYTES:
                raise self.failures.no_json(bytes(body))
        return bytes(body)

    def expect_loss(self) -> None:
        """Make the reader notice when the connection is lost.

        It does so itself in all cases but one: after broken framing in the middle of a body, aiohttp's C
        parser closes the connection and leaves the reader waiting (3.14.5).
        """
        content, connection = self.response.content, self.response.connection
        if content.is_eof():
            return

        def lose(closed: asyncio.Future[None]) -> None:
            if not closed.cancelled():
                closed.exception()  # seen; the reader has its own
            if not content.is_eof() and content.exception() is None:
                content.set_exception(ConnectionResetError("the connection was lost"))

        closed = getattr(connection and connection.protocol, "closed", None)
        if closed is not None:
            closed.add_done_callback(lose)
            self._forget_loss = partial(closed.remove_done_callback, lose)  # the connection may outlive this answer

    async def leave_connection(self) -> None:
        """Read what follows behind a whole answer, a few bytes, so that a shared connection serves again."""
        if self._pool is None or not self.is_whole or self.response.content.at_eof():
            return
        with suppress(Exception):  # then it is closed, as any other is
            async with asyncio.timeout(_TAIL_SECONDS):
                size = 0
                while size < _TAIL_BYTES and (chunk := await self.response.content.readany()):
                    size += len(chunk)

    def hang_up(self) -> None:
        """Close the connection now: not when its buffers are empty, or when TLS has said goodbye."""
        response = getattr(self, "response", None)  # there may have been none
        if response is not None:
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            response.close()

    async def _refusal(self, head: bytes) -> ProviderError:
        """Read what else there is of an answer that is no event stream, and let the call explain it."""
        body = bytearray(head)
        with suppress(Exception):  # whatever ends the body, the status is already known
            async with asyncio.timeout(_REFUSAL_SECONDS):
                while len(body) < _REFUSAL_BYTES and (chunk := await self.read()):
                    body += chunk
        headers = {name.lower(): value for name, value in self.response.headers.items()}
        kind = media_type(headers.get("content-type", ""))
        plain = bytes(body[:_REFUSAL_BYTES])
        return self._call.explain(Refusal(self.response.status, kind, plain, headers))


def _turn(call: Call) -> AbstractAsyncContextManager[None]:
    """Return the turn of a call's key at its origin: some accounts may make only one request at a time."""
    if not call.one_at_a_time or is_single_attempt():
        return nullcontext()
    name = (*origin(call.url), hashlib.sha256(call.key.encode()).digest())
    notify = call.notify
    return fair_lock_of(*name).turn(
        None if notify is None else lambda: notify(tr("waiting for another request with this key"))
    )


@lru_cache(8)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, connect=connect)


def _check(call: Call) -> None:
    """Raise ConfigError for a URL or a key that cannot be used."""
    check_key_travel(call.url, call.key)
    if "@" in urlsplit(call.url).netloc:
        raise ConfigError(
            tr("A base URL holds no user and no password. Give the key as api_key, or in the environment.")
        )
    if not (call.key.isascii() and call.key.isprintable()) or " " in call.key:
        raise ConfigError(tr("The key holds a blank, a line break or a letter that no key has. Copy it once more."))


def _within_origin(url: str, location: str) -> str:
    """Return where a redirect leads; empty if it leads out of the URL's origin, or nowhere."""
    try:
        target = urljoin(url, location)
        return target if origin(target) == origin(url) else ""
    except (ConfigError, ValueError):
        return ""
