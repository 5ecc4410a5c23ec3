"""Connections that a piece of work shares: few of them, none of them left, and each as easily closed as before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from asking import call_to, lookup, read, run
from glm_script import send

from chatglm_magic._errors import ProviderError
from chatglm_magic._messages import Message, Request
from chatglm_magic._transport import get_json, open_stream, shared_connections, single_attempts
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.providers.local.provider import _ChildProvider

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REPLY = b'data: {"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@dataclass
class Server:
    """Answers each request on a connection for as long as the client keeps it.

    Attributes:
        closes: Whether it closes a connection after each reply, without a word.
        seconds: How long it thinks about each.
        stalls: Whether replies stop before their end.
        used: Connections so far.
        open: Connections now.
        most: The most that were open at once.
        served: Requests answered.
    """

    closes: bool = False
    seconds: float = 0.0
    stalls: bool = False
    used: int = 0
    open: int = 0
    most: int = 0
    served: int = 0
    url: str = ""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.used += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0)
                await reader.readexactly(length)
                await asyncio.sleep(self.seconds)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%b\r\n" % (len(REPLY), REPLY))
                if self.stalls:
                    await reader.read()  # until the client hangs up
                    return
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                self.served += 1
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self.gone.set()
            writer.close()


@asynccontextmanager
async def serving(**how: object) -> AsyncGenerator[Server]:
    server = Server(**how)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


async def ask(server: Server, provider: object = None, **how: object) -> str:
    """Ask as a map does: a provider, which stops reading at `[DONE]`."""
    provider = provider or make_provider("openai", Settings(base_url=server.url, model="m"))
    request = Request((Message("user", "Hi"),), **how)
    return "".join([event.text async for event in provider.stream(request) if hasattr(event, "text")])


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


REQUEST = Request((Message("user", "hello"),), model="glm-4.7")
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n'
WHOLE = CHUNK + b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def ports(glm) -> list[int]:
    """Have the server answer whole, in two pieces; give the client's port of each request."""
    seen: list[int] = []

    async def serve(request, _):
        seen.append(request.transport.get_extra_info("peername")[1])

        async def chunks():
            yield WHOLE[:-20]
            await asyncio.sleep(0.001)
            yield WHOLE[-20:]

        return await send(request, chunks())

    glm.script(serve)
    return seen


def ask_often(url: str, times: int, leave_after: int = 10**9, limit: int = 4) -> None:
    """Ask one question after the other within one block."""
    stream = make_provider("openai", Settings(base_url=url)).stream

    async def main() -> None:
        async with shared_connections(limit):
            for _ in range(times):
                async with aclosing(stream(REQUEST)) as events:
                    seen = 0
                    async for _ in events:
                        seen += 1
                        if seen >= leave_after:
                            break

    asyncio.run(main())


@pytest.mark.parametrize("limit", [1, 4])
def test_many_requests_share_few_connections(limit):
    """200 requests at once take no more connections than the limit, and none is left at the block's end."""

    async def main():
        async with serving() as server:
            async with shared_connections(limit):
                answers = await asyncio.gather(*(ask(server) for _ in range(200)))
            await until(lambda: not server.open)
            return answers, server

    answers, server = run(main())

    assert answers == ["Hi."] * 200
    assert server.served == 200
    assert server.used <= limit


def test_elsewhere_each_request_has_its_own():
    """A cell's request keeps nothing; nor does the local model's, whatever surrounds it, or one after the block."""

    async def main():
        async with serving() as server:
            for _ in range(3):
                await ask(server)
            child = type("Child", (), {"url": server.url, "key": ""})()
            async with shared_connections(2):
                for _ in range(3):
                    await ask(server, _ChildProvider(child), model="m")
                late = asyncio.create_task(asyncio.sleep(0.05))
            await late
            await until(lambda: not server.open)
            await ask(server)
            return server

    assert run(main()).used == 7


def test_a_task_that_outlives_the_block_gets_its_own():
    """What begins after the block's end, or in another loop, finds no closed pool."""

    async def main():
        async with serving() as server:
            begin = asyncio.Event()

            async def late() -> str:
                await begin.wait()
                return await ask(server)

            async with shared_connections(2):
                task = asyncio.create_task(late())
                elsewhere = asyncio.to_thread(asyncio.run, ask(server))
                assert await elsewhere == "Hi."
                await ask(server)
            begin.set()
            assert await task == "Hi."
            return server

    assert run(main()).used == 3


def test_an_interrupt_closes_its_own_connection_and_no_other():
    """A cancelled request hangs up at once, while the others of the block are answered on."""

    async def main():
        async with serving(stalls=True) as stalled, serving(seconds=0.05) as server, shared_connections(4):

            async def listen() -> None:
                async with open_stream(call_to(stalled.url)) as stream:
                    async for _ in stream:
                        pass

            task = asyncio.create_task(listen())
            others = [asyncio.create_task(ask(server)) for _ in range(6)]
            await until(lambda: stalled.open == 1)
            await asyncio.sleep(0.02)
            begun = time.monotonic()
            task.cancel()
            await until(lambda: not stalled.open)
            took = time.monotonic() - begun
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.gather(*others) == ["Hi."] * 6
            return took, server.used

    took, used = run(main())

    assert took < 0.3
    assert used <= 4


def test_hanging_up_early_does_not_wait_for_the_end():
    """A reader that leaves a reply in the middle closes the connection; the next request gets another one."""

    async def main():
        async with serving(stalls=True) as server, shared_connections(1):

            async def leave() -> None:
                async with open_stream(call_to(server.url)) as stream:
                    await anext(aiter(stream))
                    raise ZeroDivisionError

            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    await leave()
            await until(lambda: not server.open)
            return server

    server = run(main())

    assert (server.used, server.most) == (3, 1)


def test_a_reply_that_does_not_end_is_not_waited_for():
    """Where the bytes after `[DONE]` do not come, the connection is closed soon and not used again."""

    async def main():
        async with serving(stalls=True) as server, shared_connections(1):
            begun = time.monotonic()
            assert await ask(server) == "Hi."
            await until(lambda: not server.open)
            return time.monotonic() - begun

    assert run(main()) < 1.5


def test_a_server_that_closes_without_a_word_is_asked_all_the_same():
    """A kept connection that was closed costs no attempt and no wait; soon none of that server's is kept."""
    told: list[str] = []

    async def main():
        async with serving(closes=True) as server:
            async with shared_connections(2):
                answers = [await ask(server, notify=told.append) for _ in range(20)]
            return answers, server

    answers, server = run(main())

    assert answers == ["Hi."] * 20
    assert server.served == 20
    assert told == []


def test_waiting_for_a_turn_is_no_silence():
    """With a limit of one the last of six waits longer than a server may be silent, and is answered."""

    async def main():
        async with serving(seconds=0.2) as server, shared_connections(1):
            return await asyncio.gather(*(ask(server, timeout=0.6) for _ in range(6)))

    assert run(main()) == ["Hi."] * 6


def test_lists_and_refusals_leave_connections_too(glm):
    """A refusal, a list of models and a reply come one after the other; keys belong to requests, not to connections."""
    glm.refuse(401, "1000", "no")
    glm.say("Hi.")

    async def main():
        async with shared_connections(1):
            with pytest.raises(ProviderError):
                await read(call_to(glm.url, key="k-1"))
            await get_json(lookup(glm.url))
            return await read(call_to(glm.url, key="k-2"))

    assert b"[DONE]" in run(main())
    assert [request.headers.get("authorization") for request in glm.requests] == ["Bearer k-1", "Bearer k-2"]
    assert "authorization" not in glm.lookups[0].headers


def test_answers_that_follow_each_other_share_a_connection(glm, ports):
    """Five whole answers come over one connection, though the end of each body comes later than its words."""
    ask_often(glm.url, 5)

    assert len(ports) == 5
    assert len(set(ports)) == 1


def test_an_answer_that_is_left_hangs_up(glm):
    """The server notices at once, and the next request has another connection."""
    glm.stall_after(2)
    ask_often(glm.url, 2, leave_after=1)

    glm.wait_until(lambda: glm.aborted == 2)


def test_a_refusal_keeps_its_connection(glm):
    """A refusal that was read to its end is no reason to connect anew; it is raised at once where that is asked for."""
    ports = []

    async def serve(request, _):
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.json_response({"error": {"code": "1302", "message": "too many"}}, status=429)

    glm.script(serve)
    stream = make_provider("openai", Settings(base_url=glm.url)).stream

    async def main() -> None:
        async with shared_connections(4):
            with single_attempts():
                for _ in range(3):
                    with pytest.raises(ProviderError) as raised:
                        await anext(stream(REQUEST))
                    assert raised.value.kind == "rate_limit"

    asyncio.run(main())
    assert len(ports) == 3
    assert len(set(ports)) == 1
