"""FakeGLM: a real HTTP server on loopback that answers as it is told, well or badly.

It speaks both dialects, by the path that is asked: `…/chat/completions` gets OpenAI chunks,
`…/guest/stream` chatglm.cn frames. Scripted replies are used in order and the last one repeats, so one
`say` answers everything and `too_many(); say("ok")` answers the second attempt. A reply scripted later
takes over from one that has been used.

    with FakeGLM() as glm:
        glm.say("Hello world", delay=0.01)
        ...                                     # ask glm.url
        assert glm.requests[0].json["stream"] is True
        glm.wait_until(lambda: glm.aborted == 1)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from aiohttp import web
from glm_script import Gone, Recorded, Script
from soon import until, until_then

__all__ = ["FakeGLM", "Gone", "Recorded", "Script"]


class FakeGLM(Script):
    """The server; a context manager. POSTs are answered as scripted, GETs as `on_get` is, else with the models.

    Attributes:
        requests: The POSTs, in order of arrival.
        lookups: The GETs.
        models: What `GET …/models` lists.
        started: POSTs taken.
        finished: Replies sent to their end.
        aborted: Replies that the client did not wait for: it hung up.
        open: Replies being sent now.
        on_get: The script of GETs.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._tls = tls
        self.requests: list[Recorded] = []
        self.lookups: list[Recorded] = []
        self.models = ["glm-4.7", "glm-4.7-flash"]
        self.started = self.finished = self.aborted = self.open = 0
        self.on_get = Script()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="FakeGLM", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._nobody: socket.socket | None = None

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def refused_url(self) -> str:
        """An address where nobody listens; the port is kept from others until the server closes."""
        if self._nobody is None:
            self._nobody = socket.socket()
            self._nobody.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._nobody.getsockname()[1]}/v1"

    def wait_until(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Block until the predicate is true; never in the client's own loop (there: `until`)."""
        until(predicate, timeout, self)

    async def until(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as above
        """Wait until the predicate is true, the loop running on."""
        await until_then(predicate, timeout, self)

    def __repr__(self) -> str:
        counts = f"started={self.started} finished={self.finished} aborted={self.aborted} open={self.open}"
        return f"<FakeGLM {self.origin} {counts}>"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self._nobody is not None:
            self._nobody.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_route("POST", "/{path:.*}", self._post)
        app.router.add_route("GET", "/{path:.*}", self._get)
        # Cancelling handlers when the client is gone is how `aborted` is counted.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listening, ssl_context=self._tls).start()
        self.port = listening.getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        # asyncio loses a connection that was accepted in the round in which its server closes (python/cpython#109564),
        # and aiohttp closes those that it knows: first no more are accepted, and a few rounds make the last ones known.
        self._loop.remove_reader(listening)
        for _ in range(5):
            await asyncio.sleep(0)
        await runner.cleanup()
        await asyncio.sleep(0)  # the round in which their sockets are closed

    async def _post(self, request: web.Request) -> web.StreamResponse:
        recorded = await record(request)
        self.requests.append(recorded)
        self.started += 1
        self.open += 1
        try:
            scripted = self.next()
            if scripted is None:
                response = web.json_response({"error": {"message": "nothing is scripted"}}, status=500)
            else:
                response = await scripted.serve(request, recorded)
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            raise
        except Gone:
            self.finished += 1
            return web.Response()  # is never sent: the connection is closed
        else:
            self.finished += 1
            return response
        finally:
            self.open -= 1

    async def _get(self, request: web.Request) -> web.StreamResponse:
        recorded = await record(request)
        self.lookups.append(recorded)
        scripted = self.on_get.next()
        if scripted is not None:
            with contextlib.suppress(Gone):
                return await scripted.serve(request, recorded)
            return web.Response()
        if request.path.endswith("/models"):
            data = [{"id": name, "object": "model", "owned_by": "fake"} for name in self.models]
            return web.json_response({"object": "list", "data": data})
        return web.json_response({"error": {"message": "not found"}}, status=404)


async def record(request: web.Request) -> Recorded:
    headers = {name.lower(): value for name, value in request.headers.items()}
    names = tuple(name.lower() for name in request.headers)
    return Recorded(request.method, request.path_qs, headers, await request.read(), names)
