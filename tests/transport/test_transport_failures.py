"""What a transport does where the server does not do its part."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from asking import call_to, fail, run

from chatglm_magic._errors import BrokenStreamError, ConnectError, ProtocolError, StalledError
from chatglm_magic._transport import open_stream
from chatglm_magic._transport.sse import EventTooLongError, SSEDecoder

EVENT = b'data: {"choices":[]}\n\n'


def test_silence_is_given_up(glm):
    """No event for `timeout` seconds ends the stream, what came before it is given, and the server is told."""
    glm.stall_after(2)

    async def main():
        came, error = await fail(call_to(glm.url, timeout=0.2), StalledError)
        await glm.until(lambda: glm.aborted == 1)
        return came, error

    came, error = run(main())

    assert came.count(b"data: ") == 2
    assert error.kind == "stalled"
    assert "for 0.2 s" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("name", ["ping_forever", "endless_empty_events", "slow_loris", "never_answers"])
def test_pings_are_no_events(glm, name):
    """Neither comments nor empty events, nor single bytes, nor nothing at all keep a stream alive."""
    getattr(glm, name)()

    error = run(fail(call_to(glm.url, timeout=0.2), StalledError))[1]

    assert error.host == glm.origin.removeprefix("http://")
    glm.wait_until(lambda: glm.aborted == 1 and glm.open == 0)


def test_events_keep_a_stream_alive(glm):
    """A stream may take longer than its timeout as long as events come: there is no limit for the whole."""
    glm.say("a b c d e f g h", delay=0.1)

    async def main():
        count = 0
        async with open_stream(call_to(glm.url, timeout=0.4)) as stream:
            async for chunk in stream:
                count += chunk.count(b"data: ")
                stream.alive()
        return count

    assert run(main()) == 10


def test_silence_after_the_end_is_the_end(glm):
    """Once the end was said, silence ends the stream without an error."""
    glm.stall_after(2)

    async def main():
        chunks = []
        async with open_stream(call_to(glm.url)) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                stream.end_within(0.05)
        await glm.until(lambda: glm.aborted == 1)
        return b"".join(chunks)

    assert run(main()).count(b"data: ") == 2


@pytest.mark.parametrize("name", ["reset_after", "hang_up_after"])
def test_a_broken_connection_is_a_broken_stream(glm, name):
    """A connection that ends before its body does is an error, after what had arrived."""
    getattr(glm, name)(2)

    came, error = run(fail(call_to(glm.url), BrokenStreamError))

    assert came.count(b"data: ") == 2
    assert error.kind == "truncated"
    assert error.retryable


@pytest.mark.parametrize("name", ["reset_after", "hang_up_after"])
def test_what_arrived_while_the_reader_was_busy_is_kept(glm, name):
    """A connection that breaks behind a slow reader's back costs none of what had arrived."""
    getattr(glm, name)(3, delay=0.02)

    async def main():
        came = b""
        async with open_stream(call_to(glm.url)) as stream:
            try:
                async for chunk in stream:
                    came += chunk
                    await glm.until(lambda: glm.finished == 1)
                    await asyncio.sleep(0.05)
            except BrokenStreamError:
                return came
        raise AssertionError

    assert run(main()).count(b"data: ") == 3


@pytest.mark.parametrize("name", ["reset_after", "hang_up_after"])
def test_a_connection_closed_without_an_answer(glm, name):
    """A server that hangs up before its status has not answered."""
    from glm_script import close, reset

    async def serve(request, _):
        await {"reset_after": reset, "hang_up_after": close}[name](request)

    glm.script(serve)

    error = run(fail(call_to(glm.url), ConnectError))[1]

    assert "without an answer" in str(error)
    assert error.retryable


def test_nobody_listens(glm):
    """A refused connection names the address, and on this machine is not worth another try."""
    error = run(fail(call_to(glm.refused_url), ConnectError))[1]

    assert glm.refused_url.removeprefix("http://").removesuffix("/v1") in str(error)
    assert "refused" in str(error)
    assert error.kind == "connect"
    assert not error.retryable


def test_what_is_no_http_is_said(glm):
    """A server of another kind is a protocol error, its words shortened."""

    async def main():
        async def talk(_, writer):
            writer.write(b"SSH-2.0-OpenSSH_9.9" + b"!" * 10_000 + b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return (await fail(call_to(f"http://127.0.0.1:{port}"), ProtocolError))[1]

    error = run(main())

    assert "no HTTP" in str(error)
    assert len(str(error)) < 400


def test_broken_framing_is_a_broken_stream(glm):
    """Bytes that break HTTP's own framing in mid-stream end it at once, not at its timeout."""

    async def serve(request, _):
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(EVENT)
        await asyncio.sleep(0.02)
        request.transport.write(b"no length\r\n")
        await asyncio.sleep(3600)

    glm.script(serve)

    came, _ = run(fail(call_to(glm.url, timeout=3600), BrokenStreamError))

    assert came == EVENT


@pytest.mark.parametrize("name", ["endless_line", "gigabyte_without_newline", "endless_empty_events"])
def test_floods_are_read_in_bounded_memory(glm, name):
    """A decoder that gives up ends the flood; nothing is read ahead of it without bound."""
    getattr(glm, name)()

    async def main():
        decoder = SSEDecoder(max_event_bytes=2**20)
        read = 0
        async with open_stream(call_to(glm.url)) as stream:
            try:
                async for chunk in stream:
                    assert decoder.feed(chunk) == []
                    read += len(chunk)
                    if read > 2**21:
                        break
            except EventTooLongError:
                pass
        await glm.until(lambda: glm.aborted == 1)
        return read

    tracemalloc.start()
    try:
        assert 2**19 < run(main()) < 2**22
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
