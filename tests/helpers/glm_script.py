"""Replies of the fake GLM server, good and bad, to be sent one after the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aiohttp import web
from glm_wire import cut_up, events_for, openai_events, web_events, words

Say = str | Callable[["Recorded"], str]

SSE = "text/event-stream"
FOREVER = 3600.0
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived.

    Attributes:
        method: `POST` or `GET`.
        path: With the query.
        headers: By name in lower case; of a header sent twice the last one.
        body: As it was sent; `json` reads it.
        names: The headers' names in lower case, as often as they came.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    names: tuple[str, ...] = ()

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    serve: Callable[[web.Request, Recorded], Awaitable[web.StreamResponse]]
    used: bool = False


class Script:
    """Replies to come. Every method but the last ones adds one reply and may be called at any time."""

    def __init__(self) -> None:
        self._queue: deque[Scripted] = deque()
        self._lock = threading.Lock()

    def script(self, serve: Callable[[web.Request, Recorded], Awaitable[web.StreamResponse]]) -> None:
        """Add a reply of your own: a handler that sends and returns its response."""
        with self._lock:
            self._queue.append(Scripted(serve))

    def forget(self) -> None:
        """Drop all replies scripted so far."""
        with self._lock:
            self._queue.clear()

    def next(self) -> Scripted | None:
        with self._lock:
            if not self._queue:
                return None
            if self._queue[0].used and len(self._queue) > 1:
                self._queue.popleft()
            self._queue[0].used = True
            return self._queue[0]

    # Good replies

    def say(
        self,
        text: Say = "Hello world",
        *,
        pieces: Sequence[str] | None = None,
        delay: float = 0.0,
        first_delay: float = 0.0,
        thinking: str = "",
        finish: str = "stop",
        model: str = "glm-4.7",
        mode: str = "snapshot",
    ) -> None:
        """Say a text, in the dialect of the path that is asked.

        Args:
            text: What to say, or a function of the recorded request.
            pieces: How it is cut into deltas; by default after each word.
            delay: Seconds before each piece but the first.
            first_delay: Seconds before the first piece (headers are sent at once).
            thinking: What comes before the answer, one piece a word.
            finish: The wire's word for the end.
            model: The model that is said to answer.
            mode: Of the web dialect, `snapshot` or `delta`.
        """

        async def serve(request: web.Request, recorded: Recorded) -> web.StreamResponse:
            said = text if isinstance(text, str) else text(recorded)
            cut = words(said) if pieces is None else list(pieces)
            if "guest/stream" in request.path:
                events = web_events(cut, thinking=words(thinking), finish=finish, mode=mode)
            else:
                events = openai_events(cut, thinking=words(thinking), finish=finish, model=model)
            return await send(request, paced(events, delay, first_delay))

        self.script(serve)

    def replay(
        self,
        source: Path | str | bytes,
        *,
        chunk_sizes: Sequence[int] | None = None,
        delay: float = 0.0,
        status: int = 200,
        content_type: str = SSE,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send bytes as they are (a file's, where a path is given), in chunks of these sizes, then the rest."""
        body = source if isinstance(source, bytes) else Path(source).read_bytes()

        async def serve(request: web.Request, _: Recorded) -> web.StreamResponse:
            chunks = paced(cut_up(body, chunk_sizes or ()), delay)
            return await send(request, chunks, status=status, content_type=content_type, headers=headers)

        self.script(serve)

    def replay_fixture(self, name: str) -> dict[str, Any]:
        """Replay `transcripts/<name>.sse` as its JSON says, and return that JSON."""
        folder = Path(__file__).parents[1] / "transcripts"
        facts: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
        self.replay(
            folder / f"{name}.sse",
            chunk_sizes=facts.get("chunk_sizes"),
            delay=0.002 if facts.get("chunk_sizes") else 0.0,
            status=facts["http"]["status"],
            content_type=facts["http"]["content_type"],
        )
        return facts

    # Refusals

    def status_with_body(
        self,
        status: int,
        body: object = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Refuse. A body that is neither bytes nor str is sent as JSON."""
        if isinstance(body, (bytes, str)):
            raw = body.encode() if isinstance(body, str) else body
        else:
            raw = json.dumps({"error": {"message": "no"}} if body is None else body, ensure_ascii=False).encode()
        self.replay(raw, status=status, content_type=content_type, headers=headers)

    def refuse(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Refuse as the official platforms do."""
        self.status_with_body(status, {"error": {"code": code, "message": message}}, headers=headers)

    def too_many(self, retry_after: str | None = "1", *, code: str = "1302") -> None:
        """Refuse with HTTP 429, and `Retry-After` unless it is None."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.refuse(429, code, "Rate limit reached for requests", headers=headers)

    def html_error_page(self, status: int = 405) -> None:
        """Refuse as a firewall in front of the service does."""
        page = "<!DOCTYPE html><html><head><title>405</title></head><body>Request blocked</body></html>"
        self.status_with_body(status, page, content_type="text/html; charset=utf-8")

    def redirect(self, location: str, status: int = 307) -> None:
        """Send elsewhere."""
        self.replay(b"", status=status, content_type="text/plain", headers={"Location": location})

    # Misbehaviours

    def stall_after(self, n: int, text: str = "one two three four five") -> None:
        """Send `n` pieces, then nothing any more, the connection open."""
        self._misbehave(n, text, lambda _: asyncio.sleep(FOREVER))

    def reset_after(self, n: int, text: str = "one two three four five", delay: float = 0.0) -> None:
        """Send `n` pieces, then reset the connection (TCP RST)."""
        self._misbehave(n, text, reset, delay)

    def hang_up_after(self, n: int, text: str = "one two three four five", delay: float = 0.0) -> None:
        """Send `n` pieces, then close the connection without HTTP's last chunk."""
        self._misbehave(n, text, close, delay)

    def cut_mid_event(self, n: int = 2, text: str = "one two three four five") -> None:
        """Send `n` pieces and half of another, then end the body as if all were well."""

        async def serve(request: web.Request, _: Recorded) -> web.StreamResponse:
            events = list(events_for(request.path, text))
            return await send(request, paced([*events[:n], events[n][: len(events[n]) // 2]]))

        self.script(serve)

    def one_byte_at_a_time(self, text: str = "Hello world") -> None:
        """Send every byte by itself."""

        async def serve(request: web.Request, _: Recorded) -> web.StreamResponse:
            return await send(request, paced(cut_up(b"".join(events_for(request.path, text)), every=1)))

        self.script(serve)

    def never_answers(self) -> None:
        """Take the request and send nothing, not even a status."""

        async def serve(_: web.Request, __: Recorded) -> web.StreamResponse:
            await asyncio.sleep(FOREVER)
            return web.Response()

        self.script(serve)

    def ping_forever(self, period: float = 0.01, text: str = "") -> None:
        """Send the text's pieces, then comments only, without end."""
        self._repeat(b": ping\n\n", period, text)

    def endless_empty_events(self, period: float = 0.0, text: str = "") -> None:
        """Send the text's pieces, then events without data, without end."""
        self._repeat(b"data:\n\n" if period else b"data:\n\n" * 1000, period, text)

    def slow_loris(self, period: float = 0.02) -> None:
        """Send one byte at a time of an event that never ends."""
        self._repeat(b"x", period, "", b"data: ")

    def endless_line(self) -> None:
        """Send one line without end, as fast as it is read."""
        self._repeat(b"x" * BLOCK, 0.0, "", b"data: ")

    def gigabyte_without_newline(self) -> None:
        """Send one line of 2**30 bytes and then end properly."""
        self._repeat(b"x" * BLOCK, 0.0, "", b"data: ", count=2**30 // BLOCK)

    def gzip_bomb(self, mebibytes: int = 256, content_type: str = SSE, status: int = 200) -> None:
        """Send a small gzip body that grows to this size, whatever `Accept-Encoding` said."""
        packed = gzip.compress(b"data: " + b"\0" * (mebibytes * 2**20), compresslevel=9)
        self.replay(packed, status=status, content_type=content_type, headers={"Content-Encoding": "gzip"})

    def _misbehave(self, n: int, text: str, then: Callable[[web.Request], Awaitable[None]], delay: float = 0.0) -> None:
        async def serve(request: web.Request, _: Recorded) -> web.StreamResponse:
            async def chunks() -> AsyncGenerator[bytes]:
                async for event in paced(list(events_for(request.path, text))[:n], delay):
                    yield event
                await asyncio.sleep(0.01)  # so that a reset does not overtake what was sent
                await then(request)

            return await send(request, chunks())

        self.script(serve)

    def _repeat(self, block: bytes, period: float, text: str, head: bytes = b"", count: int = 2**62) -> None:
        async def serve(request: web.Request, _: Recorded) -> web.StreamResponse:
            async def chunks() -> AsyncGenerator[bytes]:
                for event in list(events_for(request.path, text))[:-2] if text else ():
                    yield event
                if head:
                    yield head
                for _ in range(count):
                    yield block
                    await asyncio.sleep(period)

            return await send(request, chunks())

        self.script(serve)


class Gone(Exception):  # noqa: N818 - no error: the server closed the connection as it was told
    """The handler closed the connection itself."""


async def send(
    request: web.Request,
    chunks: AsyncIterator[bytes],
    *,
    status: int = 200,
    content_type: str = SSE,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send a response whose every chunk is a chunk of HTTP's too."""
    response = web.StreamResponse(status=status, headers={"Content-Type": content_type, **(headers or {})})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for chunk in chunks:
        if chunk:
            await response.write(chunk)
    await response.write_eof()
    return response


async def paced(chunks: Iterable[bytes], delay: float = 0.0, first_delay: float = 0.0) -> AsyncGenerator[bytes]:
    for position, chunk in enumerate(chunks):
        await asyncio.sleep(delay if position else first_delay)
        yield chunk


async def reset(request: web.Request) -> None:
    """Close with a TCP reset."""
    transport = request.transport
    assert transport is not None
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    raise Gone


async def close(request: web.Request) -> None:
    """Close the connection in the middle of a body."""
    transport = request.transport
    assert transport is not None
    transport.close()
    raise Gone
