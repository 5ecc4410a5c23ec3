"""A POST out, chunks of bytes in, every failure one of ours."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tracemalloc

import pytest
from aiohttp import web
from asking import call_to, fail, lookup, read, run
from glm_script import send

import chatglm_magic
from chatglm_magic._errors import ConfigError, ProtocolError, ServerError
from chatglm_magic._transport import Call, get_json, open_stream

KEY = "sk-0123456789.secret"
EVENT = b'data: {"choices":[]}\n\n'


def test_a_stream_is_read_whole(glm):
    """All bytes of the body arrive in order, each chunk holding at least one."""
    glm.say("one two three", delay=0.002)

    async def main():
        async with open_stream(call_to(glm.url)) as stream:
            chunks = [chunk async for chunk in stream]
        assert all(chunks)
        return b"".join(chunks)

    body = run(main())

    assert body.count(b"data: ") == 5
    assert body.endswith(b"data: [DONE]\n\n")
    glm.wait_until(lambda: glm.finished == 1)


def test_nothing_stays_behind(glm):
    """After a stream neither a timer nor a task of it is left in the loop."""
    glm.say()

    async def main():
        await read(call_to(glm.url))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        return timers, asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == ([], set())


def test_what_is_sent(glm):
    """The request says what program asks, wants no compression, and carries the key as a bearer."""
    glm.say()
    run(read(call_to(glm.url, key=KEY, headers={"X-More": "1"}, body=b'{"model":"m"}')))

    [request] = glm.requests
    assert request.path == "/v1/chat/completions"
    assert request.json == {"model": "m"}
    assert request.headers["user-agent"] == f"chatglm-magic/{chatglm_magic.__version__} (+aiohttp)"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["x-more"] == "1"
    assert request.headers["connection"] == "close"


def test_no_key_no_authorization(glm):
    """Without a key no Authorization is sent, unless a dialect wants one of its own."""
    glm.say()
    run(read(call_to(glm.url)))
    run(read(call_to(glm.url, headers={"Authorization": "undefined"})))

    assert "authorization" not in glm.requests[0].headers
    assert glm.requests[1].headers["authorization"] == "undefined"


def test_a_dialects_headers_outrank_the_usual_ones(glm):
    """A header is sent once, as the dialect wants it, however its name is spelt; only the key outranks it."""
    glm.say()
    wanted = {"user-agent": "own", "ACCEPT": "*/*", "authorization": "undefined"}
    run(read(call_to(glm.url, key=KEY, headers=wanted)))

    headers = glm.requests[0].headers
    assert (headers["user-agent"], headers["accept"], headers["authorization"]) == ("own", "*/*", f"Bearer {KEY}")
    assert glm.requests[0].names.count("user-agent") == glm.requests[0].names.count("authorization") == 1


def test_a_conversation_of_megabytes_is_sent(glm):
    """A body that is longer than any buffer is sent whole, with its length."""
    glm.say()
    body = json.dumps({"messages": "好" * 1_000_000}).encode()
    run(read(call_to(glm.url, body=body)))

    assert glm.requests[0].body == body
    assert glm.requests[0].headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/event-stream; charset=utf-8", EVENT),
        ("TEXT/Event-Stream", b"\n\n" + EVENT),
        ("text/event-stream", b""),
        ("text/event-stream", b"\n"),
        ("text/event-stream", b"\xef\xbb\xbf" + EVENT),
        ("text/plain", EVENT),
        ("text/plain; charset=utf-8", b": ping\n\n" + EVENT),
        ("application/octet-stream", b"event: message\n" + EVENT),
        ("application/octet-stream", b"\xef\xbb\xbfid: 7\n" + EVENT),
        ("", b"\r\n\r\nretry: 5\n" + EVENT),
    ],
)
@pytest.mark.parametrize("every", [0, 1], ids=["whole", "bytes"])
def test_streams_are_known_by_type_or_by_first_bytes(glm, content_type, body, every):
    """Servers that stream under a wrong type are read, and no byte is lost in looking."""
    sizes = [1] * len(body) if every else None
    glm.replay(body, content_type=content_type, chunk_sizes=sizes, delay=0.001 if every else 0)

    assert run(read(call_to(glm.url))) == body


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "application/json", b'{"error":"no"}'),
        (200, "text/event-stream", b' {"status":500}'),
        (200, "text/event-stream", b"\n<!DOCTYPE html>"),
        (200, "text/plain", b"database is down"),
        (200, "text/plain", b""),
        (200, "text/plain", b"dat"),
        (200, "", b" " * 5000),
        (204, "text/event-stream", b""),
        (429, "text/event-stream", EVENT),
        (500, "text/plain", b"data: x\n\n"),
        (302, "text/plain", b"no location"),
    ],
)
def test_anything_else_is_explained(glm, status, content_type, body):
    """What is no event stream goes to `explain`, with status, type, headers and body."""
    glm.replay(body, status=status, content_type=content_type, headers={"Retry-After": "7"})

    refusal = run(fail(call_to(glm.url), ServerError))[1].refusal

    assert (refusal.status, refusal.content_type, refusal.body) == (status, content_type, body)
    assert refusal.headers["retry-after"] == "7"


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain", ""])
@pytest.mark.parametrize("sizes", [[], [1], [1, 1, 3]])
def test_one_document_stands_for_a_stream(glm, content_type, sizes):
    """A server that does not stream is heard: its document becomes the events that the call makes of it."""
    glm.replay(b' {"said": "all"}', chunk_sizes=sizes, content_type=content_type, delay=0.01)

    def whole(body: bytes) -> bytes:
        return b"data: %b\n\n" % json.loads(body)["said"].encode()

    assert run(read(call_to(glm.url, whole=whole))) == b"data: all\n\n"


def test_a_slow_document_is_waited_for(glm):
    """A document may take longer than the timeout, as long as it grows."""
    glm.replay(b"{" + b" " * 8 + b"}", chunk_sizes=[1] * 9, delay=0.15, content_type="application/json")

    assert run(read(call_to(glm.url, whole=lambda _: EVENT, timeout=0.6))) == EVENT


def test_a_refusal_is_read_up_to_a_limit(glm):
    """Of a refusal without end 64 KiB are taken; then the connection is closed, the rest never sent."""
    sent = 0

    async def serve(request, _):
        async def chunks():
            nonlocal sent
            while True:
                yield b"{" * 10_000
                sent += 10_000
                await asyncio.sleep(0)

        return await send(request, chunks())

    glm.script(serve)
    glm.on_get.script(serve)

    error = run(fail(call_to(glm.url, timeout=4), ServerError))[1]
    assert len(error.refusal.body) == 64 * 1024
    glm.wait_until(lambda: glm.aborted == 1)
    assert sent < 8 * 2**20
    error = run(fail_lookup(lookup(glm.url, timeout=20)))
    assert isinstance(error, ProtocolError)
    assert "no JSON" in str(error)


async def fail_lookup(call: Call):
    try:
        return await get_json(call)
    except chatglm_magic._errors.ChatGLMError as error:
        return error


def test_a_refusals_body_is_not_waited_for(glm, monkeypatch):
    """A refusal whose body does not come is explained by its status."""
    monkeypatch.setattr("chatglm_magic._transport.exchange._REFUSAL_SECONDS", 0.05)

    async def serve(request, _):
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.sleep(3600)

    glm.script(serve)

    error = run(fail(call_to(glm.url, timeout=4), ServerError))[1]

    assert (error.refusal.status, error.refusal.body) == (503, b"half")


def test_compressed_streams_are_refused(glm):
    """A gzip bomb is not unpacked, as a stream or as a refusal."""
    glm.gzip_bomb(64)
    glm.gzip_bomb(64, status=503, content_type="text/plain")
    glm.gzip_bomb(64, content_type="application/octet-stream")
    tracemalloc.start()
    try:
        assert "compresses" in str(run(fail(call_to(glm.url), ProtocolError))[1])
        refusal = run(fail(call_to(glm.url), ServerError))[1].refusal
        assert "compresses" in str(run(fail(call_to(glm.url), ProtocolError))[1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(refusal.body) == 64 * 1024
    assert refusal.body.startswith(b"data: ")
    assert peak < 16 * 2**20


def test_one_byte_at_a_time_is_a_stream_too(glm):
    """However small the pieces, all arrive."""
    glm.one_byte_at_a_time("Hi")

    assert run(read(call_to(glm.url))).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1", "no base URL"),
        ("127.0.0.1:8000", "no base URL"),
        ("http://user:hunter2@127.0.0.1:9", "no user and no password"),
        (f"http://{'a' * 70}.invalid", "malformed"),
    ],
)
def test_urls_that_cannot_be_asked(url, words):
    """A URL that cannot be asked is a ConfigError that shows no password."""
    error = run(fail(call_to(url), ConfigError))[1]

    assert words in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("key", ["sk-secret\nX-Evil: 1", "sk secret", "sk-sécret", "sk\r\n", "\0sk"])
def test_keys_that_cannot_be_sent(glm, key):
    """A key that would change the request or cannot be one is refused without being shown."""
    error = run(fail(call_to(glm.url, key=key), ConfigError))[1]

    assert "s\u00e9cret" not in str(error)
    assert "secret" not in str(error)
    assert glm.requests == []


def test_json_is_got(glm):
    """`get_json` gives the value, with the key and no body sent."""
    value = run(get_json(lookup(glm.url, key=KEY)))

    assert [model["id"] for model in value["data"]] == glm.models
    [request] = glm.lookups
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"] == "application/json"
    assert "content-type" not in request.headers
    assert request.body == b""


def test_json_that_is_none_or_refused(glm):
    """`get_json` explains refusals and quotes, shortened, what is no JSON."""
    glm.on_get.status_with_body(401, {"error": {"message": "bad key"}})
    assert isinstance(run(fail_lookup(lookup(glm.url))), ServerError)
    glm.on_get.html_error_page(200)
    error = run(fail_lookup(lookup(glm.url)))

    assert isinstance(error, ProtocolError)
    assert "<!DOCTYPE html>" in str(error)
    assert len(str(error)) < 300
    assert error.__context__ is None or error.__suppress_context__


def test_aiohttp_is_imported_at_the_first_request():
    """Importing the transport does not import aiohttp."""
    code = "import sys, chatglm_magic._transport; print(sorted({'aiohttp'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_nothing_is_written_to_the_streams_of_the_process(glm, monkeypatch):
    """The transport prints nothing, whatever goes wrong."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    glm.reset_after(1)
    run(fail(call_to(glm.url)))

    assert (out.getvalue(), err.getvalue()) == ("", "")
