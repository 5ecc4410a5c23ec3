"""The three providers over a real connection: what they send, what comes of it, and which model is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from contract import QUESTION, added, read
from glm_script import Recorded
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
from chatglm_magic._transport import retries
from chatglm_magic.providers import PROVIDERS, Provider, Settings, make_provider
from chatglm_magic.providers.openai.provider import BigModelProvider, OpenAICompatibleProvider, ZaiProvider

ERROR_CHUNK = b'data: {"error":{"code":"1305","message":"busy"}}\n\n'
TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"
STREAMS = sorted(
    path.stem for path in TRANSCRIPTS.glob("b*.json") if json.loads(path.read_text("utf-8"))["http"]["status"] == 200
)


def ask(provider: Provider, request: Request = QUESTION) -> tuple[list[Event], ChatGLMError | None]:
    """Return all events of a reply, and the error that came after them."""
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

    assert events[0] == TextDelta("half")
    assert [event.reason for event in events[1:]] == ["error"]
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
        (200, {"choices": [], "created": 1}, "protocol", ProtocolError),
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
    monkeypatch.setattr("chatglm_magic.providers.openai.decoder.GRACE", 0.05)
    glm.stall_after(6, "one two three four five")

    events, error = ask(server(glm))

    assert (error, added(events).finish_reason) == (None, "stop")


def test_a_repeated_key_is_hidden_last(glm: FakeGLM) -> None:
    """A key that a service repeats is nowhere in the error, not even in part where its words were cut."""
    key = "sk-0123456789abcdef"
    for words in (f"Incorrect API key provided: {key}.", f"{'x' * 290} {key}", f"{'x' * 296} {key}"):
        glm.status_with_body(401, {"error": {"message": words, "code": key}})
        _, error = ask(server(glm, api_key=key))

        assert "[key]" in error.detail
        assert "sk-0" not in f"{error}{error.detail}{error.code}"


# Parameters that nobody asked for


UNSUPPORTED = "Unsupported parameter: '{}' is not supported with this model."
NEW_NAME = f"{UNSUPPORTED} Use 'max_completion_tokens' instead."


def refusing(name: str, how: str = UNSUPPORTED, status: int = 400) -> Callable[..., Any]:
    """Return a server that refuses a parameter by its name: with an error status, or at 200 in its stream."""

    async def serve(request: web.Request, recorded: Recorded) -> web.StreamResponse:
        if name not in recorded.json:
            body = sse(text("ok"), chunk({}, finish="stop")) + b"data: [DONE]\n\n"
            return web.Response(body=body, content_type="text/event-stream")
        error = {"error": {"message": how.format(name), "type": "invalid_request_error"}}
        if status == 200:
            return web.Response(body=sse(error), content_type="text/event-stream")
        return web.json_response(error, status=status)

    return serve


@pytest.mark.parametrize(
    ("name", "how", "status"),
    [
        ("stream_options", UNSUPPORTED, 400),
        ("stream_options", "body.{}: Extra inputs are not permitted", 422),
        ("stream_options", "create() got an unexpected keyword argument '{}'", 500),
        ("stream_options", "{} is not supported", 500),
        ("stream_options", UNSUPPORTED, 200),
        ("stream_options", "{} is not supported", 200),
        ("stop", UNSUPPORTED, 400),
        ("stop", "Invalid '{}': array too long", 400),
        ("max_tokens", NEW_NAME, 400),
        ("repeat_penalty", "Unexpected fields in the request: {{'{}'}}", 422),
        ("repetition_penalty", "Unexpected fields in the request: {{'{}'}}", 422),
    ],
)
def test_a_parameter_that_nobody_asked_for(glm: FakeGLM, name: str, how: str, status: int) -> None:
    """Refused by its name before the first word, it is left out, or named anew, now and for the next questions."""
    glm.script(refusing(name, how, status))
    question = Request((Message("user", "Hi"),), model="glm-x", options={"max_tokens": 99, "repeat_penalty": 1.5})

    replies = [added(ask(server(glm), question)[0]) for _ in range(2)]

    assert [(reply.text, reply.finish_reason) for reply in replies] == [("ok", "stop")] * 2
    assert [name in request.json for request in glm.requests] == [True, False, False]
    assert all(99 in request.json.values() and 1.5 in request.json.values() for request in glm.requests)


@pytest.mark.parametrize(
    ("name", "how", "options"),
    [
        ("stop", UNSUPPORTED, {"stop": ("END",)}),
        ("max_tokens", UNSUPPORTED, {"max_tokens": 9}),
        ("max_completion_tokens", UNSUPPORTED, {"max_completion_tokens": 9}),
        ("temperature", UNSUPPORTED, {"temperature": 0.5}),
        ("repeat_penalty", "Unexpected: repeat_penalty, repetition_penalty", {"repeat_penalty": 1.5}),
        ("stream_options", "{}: rate limit reached, try again in 60s", {}),
        ("stream_options", "no", {}),
    ],
)
def test_what_was_asked_for_is_not_left_out(glm: FakeGLM, name: str, how: str, options: dict[str, Any]) -> None:
    """A refusal of the user's own parameter, one without a name, or one for another reason is the user's to know."""
    glm.script(refusing(name, how))

    _, error = ask(server(glm), Request((Message("user", "Hi"),), model="m", options=options))

    assert error is not None
    assert all(name in request.json for request in glm.requests)


def test_after_a_word_nothing_is_asked_again(glm: FakeGLM) -> None:
    """A refusal behind the first word ends the reply: the words would come twice."""
    error = {"error": {"message": UNSUPPORTED.format("stream_options"), "code": 400}}

    async def serve(request: web.Request, recorded: Recorded) -> web.StreamResponse:
        return web.Response(body=sse(text("a"), error), content_type="text/event-stream")

    glm.script(serve)
    events, failure = ask(server(glm))

    assert (added(events).text, events[-1].reason, failure.kind) == ("a", "error", "invalid_request")
    assert len(glm.requests) == 1


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


@pytest.mark.parametrize(
    ("model", "hint"), [("glm4", "Did you mean -m zai:glm-4.7?"), ("qwen3:8b", ""), ("glm-4.7", "")]
)
def test_model_that_a_platform_does_not_know(glm: FakeGLM, model: str, hint: str) -> None:
    """A name near a known one has a suggestion; another one, and one that is known, has none."""
    glm.refuse(400, "1211", "no such model")

    _, error = ask(zai(glm), Request((Message("user", "Hi"),), model=model))

    assert error.kind == "model_not_found"
    assert str(error).endswith(hint or "with -m.")


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


@pytest.mark.parametrize(
    ("status", "words", "lookups"),
    [
        (404, "The model `glm-4.7` does not exist", 1),
        (400, "odd", 1),
        (403, "no", 1),
        (500, "no", 1),
        (401, "no", 0),
        (402, "no", 0),
        (400, "prompt is too long", 0),
    ],
)
def test_a_server_that_was_restarted_with_another_model(
    glm: FakeGLM, monkeypatch: pytest.MonkeyPatch, status: int, words: str, lookups: int
) -> None:
    """After a refusal that may be about a model that nobody named, the next question looks for it again."""
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0)
    glm.say("Hello")
    provider, question = server(glm), Request((Message("user", "Hi"),))
    ask(provider, question)
    glm.forget()
    glm.status_with_body(status, {"error": {"message": words}})
    assert ask(provider, question)[1] is not None
    glm.forget()
    glm.say("Hello")
    ask(provider, question)

    assert len(glm.lookups) == 1 + lookups


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


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"detail": "no"}, "auth", "No key was sent"),
        (402, {"error": "Insufficient Balance"}, "billing", "balance"),
        (429, {"error": "slow down"}, "rate_limit", "Too many requests"),
        (503, {"error": {"message": "Loading model"}}, "server", "Loading model"),
    ],
)
def test_a_list_that_is_refused(glm: FakeGLM, status: int, body: object, kind: str, words: str) -> None:
    """Where naming a model would not help, the refusal of the list is the error."""
    glm.on_get.status_with_body(status, body)

    _, error = ask(server(glm), Request((Message("user", "Hi"),)))

    assert error.kind == kind
    assert words in str(error)
    assert glm.requests == []


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
