"""The three providers over a real connection: what they send, what comes of it, and which model is asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest
from contract import QUESTION, added, read
from glm_server import FakeGLM
from openai_frames import chunk, sse, text

from chatglm_magic._errors import (
    AuthenticationError,
    BrokenStreamError,
    ChatGLMError,
    ConfigError,
    ConnectError,
    ContentFilterError,
    ProtocolError,
    ServerError,
)
from chatglm_magic._events import Event, Finished, TextDelta, Usage
from chatglm_magic._messages import Message, Request
from chatglm_magic.providers import PROVIDERS, Provider, Settings, make_provider
from chatglm_magic.providers.openai_compatible import BigModelProvider, OpenAICompatibleProvider, ZaiProvider

ERROR_CHUNK = b'data: {"error":{"code":"1305","message":"busy"}}\n\n'
TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
STREAMS = sorted(
    path.stem for path in TRANSCRIPTS.glob("b*.json") if json.loads(path.read_text("utf-8"))["http"]["status"] == 200
)


def ask(provider: Provider, request: Request = QUESTION) -> tuple[list[Event], ChatGLMError | None]:
    """Ask, and give all events and the error that came after them."""
    return asyncio.run(read(provider, request))


def server(glm: FakeGLM, **settings: str) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(Settings(**{"base_url": glm.url, **settings}))


def zai(glm: FakeGLM, key: str = "id.secret") -> ZaiProvider:
    return ZaiProvider(Settings(base_url=f"{glm.origin}/api/paas/v4", api_key=key))


def test_reply_of_a_server(glm: FakeGLM) -> None:
    """A server's reply arrives as text, usage and one end; what was sent is the dialect's request."""
    glm.say("Hello world", thinking="hm hm")

    events, error = ask(server(glm))

    assert error is None
    assert (
        added(events).text,
        added(events).thinking,
        added(events).finish_reason,
    ) == ("Hello world", "hm hm", "stop")
    assert [Usage, Finished] == [type(event) for event in events[-2:]]
    sent = glm.requests[0]
    assert (sent.path, sent.json["model"], sent.json["stream"]) == ("/v1/chat/completions", "glm-4.7", True)
    assert sent.json["stream_options"] == {"include_usage": True}
    assert "authorization" not in sent.headers


@pytest.mark.parametrize("kind", [ZaiProvider, BigModelProvider])
def test_reply_of_a_platform(glm: FakeGLM, kind: type[ZaiProvider]) -> None:
    """A platform gets the key, its own parameters and the free model where none is named."""
    glm.say("Hello")
    provider = kind(Settings(base_url=f"{glm.origin}/api/paas/v4/", api_key="id.secret"))

    events, error = ask(provider, Request((Message("user", "Hi"),), think=False, options={"temperature": 0.0}))

    assert (error, added(events).text) == (None, "Hello")
    sent = glm.requests[0]
    assert sent.path == "/api/paas/v4/chat/completions"
    assert sent.json == {
        "model": "glm-4.7-flash",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "thinking": {"type": "disabled"},
        "do_sample": False,
    }
    assert sent.headers["authorization"] == "Bearer id.secret"
    assert sent.headers["accept-language"] == "en-US,en"
    assert sent.headers["content-type"] == "application/json"


def test_hosts() -> None:
    """Each platform has its own host, never the coding plan's; a server has the one it is given."""
    assert [provider.host for provider in (ZaiProvider(Settings()), BigModelProvider(Settings()))] == [
        "api.z.ai",
        "open.bigmodel.cn",
    ]
    assert not any("coding" in provider._base for provider in (ZaiProvider(Settings()), BigModelProvider(Settings())))
    assert make_provider("openai", Settings(base_url="http://user:pw@h:8000")).host == "h:8000"
    with pytest.raises(ConfigError):
        make_provider("openai", Settings())


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name in {"zai", "bigmodel", "openai"}])
def test_protocol(name: str) -> None:
    """Each of the three is a provider of its own name, and shows no key."""
    provider = make_provider(name, Settings(base_url="http://127.0.0.1:1/v1", api_key="id.secret"))

    assert isinstance(provider, Provider)
    assert name == provider.name
    assert "secret" not in repr(provider)


@pytest.mark.parametrize("name", STREAMS)
def test_transcripts(glm: FakeGLM, name: str) -> None:
    """A recorded stream over a real connection ends with its `Finished`, then the error it describes."""
    facts = glm.replay_fixture(name)
    expected = facts["expected"]

    events, error = ask(server(glm))

    reply = added(events)
    assert (expected["text"], expected["reasoning"]) == (reply.text, reply.thinking)
    if expected["text"] or expected["reasoning"] or not expected["error"]:
        assert (expected["finish_reason"], expected["warnings"]) == (reply.finish_reason, reply.warnings)
    assert (expected["error"] and expected["error"]["kind"]) == (error and error.kind)


def test_error_after_text(glm: FakeGLM) -> None:
    """An error in mid-stream comes after the text and the `Finished`, and is not tried again."""
    glm.replay(sse(text("half"), ERROR_CHUNK))

    events, error = ask(server(glm))

    assert [TextDelta("half"), Finished("error")] == events
    assert (error.kind, error.code, error.model) == ("rate_limit", "1305", "glm-4.7")
    assert glm.started == 1


def test_error_before_text_is_tried_again(glm: FakeGLM) -> None:
    """An error that is the first thing said, of a kind that may pass, is tried again."""
    glm.replay(sse(ERROR_CHUNK))
    glm.say("Hello")

    events, error = ask(server(glm))

    assert (error, added(events).text, glm.started) == (None, "Hello", 2)


def test_think_tags_by_provider(glm: FakeGLM) -> None:
    """Think tags are taken apart on users' servers, are text on the platforms, and the option can be changed."""
    glm.replay(sse(text("<think>hm</think>4"), chunk(finish="stop")))
    raw = server(glm)
    raw.think_tags = False

    assert [
        (added(ask(provider)[0]).thinking, added(ask(provider)[0]).text) for provider in (server(glm), zai(glm), raw)
    ] == [("hm", "4"), ("", "<think>hm</think>4"), ("", "<think>hm</think>4")]


@pytest.mark.parametrize(("one_at_a_time", "most"), [(True, 1), (False, 2)])
def test_one_request_at_a_time(glm: FakeGLM, one_at_a_time: bool, most: int) -> None:  # noqa: FBT001 - a table
    """A platform is asked one thing at a time for each key, and the one who waits is told; a server takes several."""
    glm.say("one two three", delay=0.05)
    told: list[str] = []
    open_at_once: list[int] = []

    async def one(provider: Provider) -> None:
        async with aclosing(
            provider.stream(Request((Message("user", "Hi"),), model="m", notify=told.append))
        ) as events:
            async for _ in events:
                open_at_once.append(glm.open)  # noqa: PERF401 - looked at while the reply grows

    async def both() -> None:
        await asyncio.gather(*(one(zai(glm) if one_at_a_time else server(glm)) for _ in range(2)))

    asyncio.run(both())
    assert max(open_at_once) == most
    assert bool(told) == one_at_a_time


def test_turn_tokens_are_for_glm() -> None:
    """A service behind https that runs another model gets no stop words of ours."""
    request = Request((Message("user", "Hi"),))

    for base_url, model, expected in (
        ("http://gpu1:8000/v1", "default", True),
        ("https://gpu1/v1", "zai-org/GLM-4.7", True),
        ("https://api.example.invalid/v1", "other", False),
    ):
        body = OpenAICompatibleProvider(Settings(base_url=base_url))._body(request, model)
        assert ("stop" in json.loads(body.data)) == expected


def test_warnings_of_the_request_arrive(glm: FakeGLM) -> None:
    """What a platform could not honour stands among the reply's warnings."""
    glm.say("Hello")

    events, _ = ask(zai(glm), Request((Message("user", "Hi"),), options={"temperature": 1.5}))

    assert added(events).warnings == ["temperature-above-1"]


def test_refused_option_sends_nothing(glm: FakeGLM) -> None:
    """A parameter a platform does not have fails before anything is sent."""
    events, error = ask(zai(glm), Request((Message("user", "Hi"),), options={"top_k": 1}))

    assert ([], ConfigError, 0) == (events, type(error), glm.started)


@pytest.mark.parametrize(
    ("status", "body", "kind", "error"),
    [
        (401, {"error": {"code": "1001", "message": "no key"}}, "auth", AuthenticationError),
        (400, {"error": {"code": "1301", "message": "unsafe"}}, "content_filter", ContentFilterError),
        (200, {"choices": [{"message": {"content": "whole"}}]}, "protocol", ProtocolError),
        (200, "<html><title>Hi</title></html>", "protocol", ProtocolError),
    ],
)
def test_refusals(glm: FakeGLM, status: int, body: object, kind: str, error: type[ChatGLMError]) -> None:
    """A refusal raises its error at once, without any event, and is not tried again."""
    glm.status_with_body(status, body)

    events, found = ask(server(glm))

    assert ([], kind, error, 1) == (events, found.kind, type(found), glm.started)


def test_broken_connection_keeps_the_text(glm: FakeGLM) -> None:
    """A connection that breaks in mid-stream leaves the text, and says so."""
    glm.reset_after(2)

    events, error = ask(server(glm))

    assert (added(events).text, added(events).finish_reason) == ("one two ", "error")
    assert isinstance(error, BrokenStreamError)


def test_hanging_up_is_noticed(glm: FakeGLM) -> None:
    """Closing the stream hangs up at once."""
    glm.stall_after(1)

    async def leave() -> None:
        async with aclosing(server(glm).stream(Request((Message("user", "Hi"),), model="m"))) as events:
            async for _ in events:
                break
        await glm.until(lambda: glm.aborted == 1)

    asyncio.run(leave())
    assert glm.open == 0


def test_no_done_and_no_hanging_up(glm: FakeGLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says the end but never closes does not keep the reader."""
    monkeypatch.setattr("chatglm_magic.providers._openai_decoder.GRACE", 0.05)
    glm.stall_after(6, "one two three four five")

    events, error = ask(server(glm))

    assert (error, added(events).finish_reason) == (None, "stop")


# Models


def test_first_model_is_asked_for_once(glm: FakeGLM) -> None:
    """A server without a named model is asked for its first one, which is remembered."""
    glm.say("Hello")
    provider = server(glm)
    told: list[str] = []

    for _ in range(2):
        ask(provider, Request((Message("user", "Hi"),), notify=told.append))

    assert (
        len(glm.lookups),
        [r.json["model"] for r in glm.requests],
        provider.model,
    ) == (1, ["glm-4.7"] * 2, "glm-4.7")
    assert (glm.lookups[0].path, ["glm-4.7" in sentence for sentence in told]) == ("/v1/models", [True])


def test_model_that_is_gone(glm: FakeGLM) -> None:
    """Where the remembered model is gone, the next question looks again."""
    glm.say("Hello")
    provider = server(glm)
    ask(provider, Request((Message("user", "Hi"),)))
    glm.models = ["qwen3"]
    glm.forget()
    glm.refuse(404, "1211", "no such model")
    _, error = ask(provider, Request((Message("user", "Hi"),)))
    glm.forget()
    glm.say("Hello")
    ask(provider, Request((Message("user", "Hi"),)))

    assert (error.kind, glm.requests[-1].json["model"]) == ("model_not_found", "qwen3")


def test_a_named_model_needs_no_list(glm: FakeGLM) -> None:
    """Where a model is named, by the request or by the settings, no list is asked for."""
    glm.say("Hello")
    ask(server(glm))
    ask(server(glm, model="qwen3"), Request((Message("user", "Hi"),)))

    assert (glm.lookups, [r.json["model"] for r in glm.requests]) == ([], ["glm-4.7", "qwen3"])


@pytest.mark.parametrize("body", [{"error": "no"}, {"data": "odd"}, [{"id": 5}]])
def test_no_model_to_be_found(glm: FakeGLM, body: object) -> None:
    """Where no model can be found, the error says how to name one."""
    glm.on_get.status_with_body(404 if "error" in body else 200, body)

    events, error = ask(server(glm), Request((Message("user", "Hi"),)))

    assert ([], ConfigError, []) == (events, type(error), glm.requests)
    assert "-m" in str(error)


def test_nobody_there_is_said_as_such(glm: FakeGLM) -> None:
    """Where nobody listens, the error is that, and not a missing model."""
    assert isinstance(ask(server(glm, base_url=glm.refused_url), Request((Message("user", "Hi"),)))[1], ConnectError)


@pytest.mark.parametrize(
    "body", [{"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}, {"models": [{"name": "a"}, "b"]}, ["a", "b", None]]
)
def test_lists_of_models(glm: FakeGLM, body: object) -> None:
    """A list of models is read in the shapes that servers give it."""
    glm.on_get.status_with_body(200, body)

    assert asyncio.run(server(glm, api_key="k").models()) == ["a", "b"]
    assert glm.lookups[0].headers["authorization"] == "Bearer k"


def test_models_of_a_platform(glm: FakeGLM) -> None:
    """A platform's list is completed by the models that are known."""
    glm.models = ["glm-9", "glm-4.7"]

    models = asyncio.run(zai(glm).models())

    assert models[:2] == ["glm-9", "glm-4.7"]
    assert {"glm-4.7-flash", "glm-5.3"} < set(models)
    assert len(models) == len(set(models))


def test_models_of_a_platform_that_does_not_tell(glm: FakeGLM) -> None:
    """Where a platform has no list, the known models are given; a key it does not accept is an error."""
    glm.on_get.status_with_body(404, {"error": "Not Found", "path": "/models"})
    assert "glm-4.7-flash" in asyncio.run(zai(glm).models())

    glm.on_get.refuse(401, "1000", "bad key")
    with pytest.raises(AuthenticationError):
        asyncio.run(zai(glm).models())


def test_models_of_a_failing_server(glm: FakeGLM) -> None:
    """A server that fails to list its models raises."""
    glm.on_get.status_with_body(500, {"error": "oom"})

    with pytest.raises(ServerError):
        asyncio.run(server(glm).models())
