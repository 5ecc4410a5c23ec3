"""Connections: each request has one of its own, or a piece of work shares some among its requests.

A cell's request needs no pool: nothing is kept, so nothing leaks and nothing is used from two event loops. Thousands of
requests in a row need one: each handshake costs as much as a short answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .._credentials import is_loopback, origin
from .._event_loops import running_loop
from .call import Call, proxy_for

if TYPE_CHECKING:
    import aiohttp
    from aiohappyeyeballs import AddrInfoType

_HEADER_BYTES = 64 * 1024
_PATIENCE = 2
"""How many kept connections of one server may turn out to be closed before none of its are kept any more."""


class Pool:
    """The connections that the requests of one piece of work share, in the event loop that begins it.

    Args:
        limit: How many requests may be in flight at once; others wait for their turn before they count as begun.

    Attributes:
        proxies: The proxies that were found, by address and by what was given.
    """

    def __init__(self, limit: int) -> None:
        self._loop = running_loop()
        self._turns = asyncio.Semaphore(limit)
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self._stale: dict[tuple[str, str, int], int] = {}
        self._is_closed = False
        self.proxies: dict[tuple[str, str], str] = {}

    def serves(self, call: Call) -> bool:
        """Return whether a call may use a connection of these, here and now."""
        is_here = not self._is_closed and self._loop is running_loop()
        return is_here and call.shared and self._stale.get(origin(call.url), 0) < _PATIENCE

    async def enter(self) -> aiohttp.ClientSession:
        """Wait until one more request may be in flight, and return the session that sends it; `leave` ends that."""
        await self._turns.acquire()
        if self._session is None:
            self._session = _new_session(self._limit, keep=True)
        return self._session

    def leave(self) -> None:
        """Pass the turn of a request that has ended on to the next."""
        self._turns.release()

    def note_stale(self, call: Call) -> None:
        """Count a kept connection that its server had closed: llama.cpp's does so after each reply, unannounced."""
        host = origin(call.url)
        self._stale[host] = self._stale.get(host, 0) + 1

    async def close(self) -> None:
        """Close all connections; requests that still come get their own."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()


_pool: ContextVar[Pool | None] = ContextVar("pool", default=None)


@asynccontextmanager
async def shared_connections(limit: int) -> AsyncGenerator[None]:
    """Share connections among the requests of a block and of the tasks that begin in it; close them at its end.

    A request that is interrupted or hung up on still closes its connection at once. Requests in other event loops, and
    to the local model, have connections of their own.

    Args:
        limit: How many requests may be in flight at once. Waiting for a turn does not count as a server's silence.
    """
    outer, pool = _pool.get(), Pool(limit)
    _pool.set(pool)
    try:
        yield
    finally:
        _pool.set(outer)
        await pool.close()


class session_for:  # noqa: N801 - used as a function, and a class as each request of thousands enters it
    """Enter with the session that sends a call, and the pool that it belongs to; None where it is the call's own."""

    def __init__(self, call: Call) -> None:
        pool = _pool.get()
        self._pool = pool if pool is not None and pool.serves(call) else None
        self._own: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> tuple[aiohttp.ClientSession, Pool | None]:
        if self._pool is not None:
            return await self._pool.enter(), self._pool
        self._own = _new_session(1, keep=False)
        return self._own, None

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.leave()
        if self._own is not None:
            await self._own.close()


async def find_proxy(call: Call) -> str:
    """Return the proxy of a call, found in a thread, as on Windows the system's exceptions may ask the resolver."""
    if is_loopback(call.url):
        return ""
    pool = _pool.get()
    known = pool.proxies if pool is not None else {}
    if (call.url, call.proxy) not in known:
        known[call.url, call.proxy] = await asyncio.to_thread(proxy_for, call.url, call.proxy)
    return known[call.url, call.proxy]


class Way:
    """How a request was sent.

    Attributes:
        is_new: Whether a connection was made for it; a kept one was taken otherwise.
    """

    __slots__ = ("is_new",)

    def __init__(self) -> None:
        self.is_new = False


_way: ContextVar[Way | None] = ContextVar("way", default=None)


def begin_way() -> Way:
    """Return how the request is sent that follows in this task; it is known once that has been answered or failed."""
    way = Way()
    _way.set(way)
    return way


def _new_socket(address: AddrInfoType) -> socket.socket:
    """Return a socket, as aiohttp would make it, and note that the request needs one."""
    way = _way.get()
    if way is not None:
        way.is_new = True
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)


def _new_session(limit: int, *, keep: bool) -> aiohttp.ClientSession:
    """Return a session of so many connections at most, which it keeps for further requests or does not."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit, force_close=not keep, use_dns_cache=False, socket_factory=_new_socket
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # so that a few bytes never become gigabytes
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )
