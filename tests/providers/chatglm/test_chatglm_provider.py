"""chatglm.cn's dialect over a real connection: what is sent, what comes of it, and the generator for others."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from glm_server import FakeGLM
from providers.contract import GUEST, KEY, added, read
from web_frames import frame, sse, text

import chatglm_magic
from chatglm_magic._errors import BlockedError, BrokenStreamError, ChatGLMError, ConfigError, ContentFilterError
from chatglm_magic._events import FinishReason, ToolCall
from chatglm_magic._messages import ImagePart, Message, Request, TextPart, ToolSpec
from chatglm_magic.providers import Settings
from chatglm_magic.providers.chatglm.provider import ChatGLM, ChatGLMProvider, fold

FIXTURES = sorted(path.stem for path in (Path(__file__).parents[2] / "transcripts").glob("a*.json"))
HELLO = Request((Message("user", "你好"),))


def provider(glm: FakeGLM, **settings: str) -> ChatGLMProvider:
    return ChatGLMProvider(Settings(**{"base_url": glm.origin, **settings}))


def elsewhere(endpoint: str) -> type[ChatGLM]:
    class Elsewhere(ChatGLM):
        api_endpoint = endpoint

    return Elsewhere


def pieces(glm: FakeGLM, messages: Any = ({"role": "user", "content": "Hello"},), **kwargs: Any) -> list[Any]:
    """Ask through the generator, at the fake server."""

    async def main() -> list[Any]:
        where = elsewhere(glm.origin + GUEST)
        async with aclosing(where.create_async_generator("glm-4", messages, **kwargs)) as stream:
            return [piece async for piece in stream]

    return asyncio.run(main())


# The provider


def test_what_is_sent(glm: FakeGLM) -> None:
    """The request is the page's own guest call, under our own name."""
    glm.say("ok")
    asyncio.run(read(provider(glm), HELLO))

    [request] = glm.requests
    assert request.path == GUEST
    assert request.json == {
        "assistant_id": "65940acff94777010aa6b796",
        "conversation_id": "",
        "meta_data": {
            "if_plus_model": False,
            "is_test": False,
            "input_question_type": "xxxx",
            "channel": "",
            "draft_id": "",
            "quote_log_id": "",
            "platform": "pc",
        },
        "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}],
    }
    expected = {
        "accept": "text/event-stream",
        "app-name": "chatglm",
        "authorization": "undefined",
        "content-type": "application/json",
        "origin": "https://chatglm.cn",
        "x-app-platform": "pc",
        "x-app-version": "0.0.1",
    }
    assert {name: request.headers[name] for name in expected} == expected
    assert request.headers["user-agent"].startswith(f"chatglm-magic/{chatglm_magic.__version__}")
    assert not [name for name in request.headers if name in {"x-sign", "x-nonce", "x-timestamp", "x-forwarded-for"}]


def test_a_device_id_for_each_call(glm: FakeGLM) -> None:
    """Each call has a device id of its own; a retry keeps it, for it is no way around a refusal."""
    glm.status_with_body(503, {})
    glm.say("ok")
    asked = provider(glm)
    asyncio.run(read(asked, HELLO))
    asyncio.run(read(asked, HELLO))

    first, again, second = (request.headers["x-device-id"] for request in glm.requests)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first == again != second


@pytest.mark.parametrize("base", ["", "/", "/gate/7", "/gate/7" + GUEST])
def test_base_url(glm: FakeGLM, base: str) -> None:
    """A base URL stands in for the site's host; a path before ours is kept, ours at its end forgiven."""
    glm.say("ok")
    asyncio.run(read(provider(glm, base_url=glm.origin + base), HELLO))

    assert glm.requests[0].path == base.rstrip("/").removesuffix(GUEST) + GUEST


def test_the_site_itself_is_the_default() -> None:
    """Without a base URL the site is asked."""
    assert ChatGLMProvider(Settings()).host == "chatglm.cn"


def test_no_url() -> None:
    """What is no URL is refused before anything is sent."""
    with pytest.raises(ConfigError):
        ChatGLMProvider(Settings(base_url="chatglm.cn"))


@pytest.mark.parametrize("name", FIXTURES)
def test_transcripts(glm: FakeGLM, name: str) -> None:
    """Each recorded answer, served as it was recorded, gives the reply and the error that are noted beside it."""
    facts = glm.replay_fixture(name)
    expected = facts["expected"]

    events, error = asyncio.run(read(provider(glm), HELLO))

    if events:
        assert (added(events).text, added(events).thinking) == (expected["text"], expected["reasoning"])
        assert added(events).finish_reason == expected["finish_reason"]
    else:
        assert expected["text"] == ""
    if expected["error"] is None:
        assert error is None
    else:
        assert (error.kind, error.retryable) == (expected["error"]["kind"], expected["error"]["retryable"])
        assert str(glm.port) in str(error)


def test_the_walls_answer_is_final(glm: FakeGLM) -> None:
    """A firewall's page is not asked twice, and the error names the official ways."""
    glm.html_error_page()

    _, error = asyncio.run(read(provider(glm), HELLO))

    assert isinstance(error, BlockedError)
    assert len(glm.requests) == 1
    assert all(way in str(error) for way in ("official API", "-m zai", "-m bigmodel", "-m local"))


def test_the_end_needs_no_close(glm: FakeGLM) -> None:
    """After the finish frame a connection that stays open holds the reply up for a moment only."""
    glm.stall_after(99, "one two")

    events, error = asyncio.run(asyncio.wait_for(read(provider(glm), HELLO), 15))

    assert (added(events).text, added(events).finish_reason, error) == ("one two", "stop", None)


# Folding


def test_one_question_is_left_as_it_is() -> None:
    """A question that stands alone is sent untouched."""
    assert fold([Message("user", "  Hi\n")]) == "  Hi\n"


def test_a_conversation_is_one_message() -> None:
    """System prompt, history and question come in this order, each marked."""
    said = [Message("system", "Be terse."), Message("user", "1+1?"), Message("assistant", "2"), Message("user", "+1?")]

    assert fold(said) == ("Be terse.\n\nWhat was said so far:\n\nUser: 1+1?\n\nAssistant: 2\n\nNow answer this:\n\n+1?")
    assert fold(said[:2]) == "Be terse.\n\n1+1?"
    assert fold(said[:3]).endswith("User: 1+1?\n\nGo on from this:\n\n2")
    assert fold(said[:1]) == "Be terse."


# The generator


def test_pieces_and_the_reason(glm: FakeGLM) -> None:
    """The generator yields text in pieces, and last the reason, which is no text."""
    glm.say("Hello world", thinking="hm", delay=0.02)

    *texts, reason = pieces(glm)

    assert (texts, reason) == (["Hello ", "world"], FinishReason("stop"))
    assert not isinstance(reason, str)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"content": "Hi"},
        Message("user", "Hi"),
    ],
)
def test_forms_of_messages(glm: FakeGLM, message: object) -> None:
    """A message is a dict with text or a list of texts, or one of ours."""
    glm.say("ok")
    pieces(glm, [message])

    assert glm.requests[0].json["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]])
def test_messages_that_cannot_be_asked(glm: FakeGLM, messages: list[object]) -> None:
    """Nothing at all, or what is no text, is refused before anything is sent."""
    with pytest.raises(ConfigError):
        pieces(glm, messages)

    assert glm.requests == []


def test_the_endpoint_is_read_when_called(glm: FakeGLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets `api_endpoint`, on the class or on a subclass, is heard."""
    glm.say("ok")
    monkeypatch.setattr(ChatGLM, "api_endpoint", f"{glm.origin}/elsewhere/guest/stream")

    async def main() -> list[Any]:
        return [piece async for piece in ChatGLM.create_async_generator("glm-4", [{"role": "user", "content": "Hi"}])]

    assert asyncio.run(main()) == ["ok", FinishReason("stop")]
    assert glm.requests[0].path == "/elsewhere/guest/stream"


def test_keywords(glm: FakeGLM, caplog: pytest.LogCaptureFixture) -> None:
    """Ids reach the wire; a continued conversation is sent its newest message only; the rest is noted."""
    glm.say("ok")
    said = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    with caplog.at_level(logging.DEBUG, "chatglm_magic"):
        pieces(glm, said, assistant_id="A", conversation_id="C", timeout=9, web_search=True, cookies={"a": "secret"})

    sent = glm.requests[0].json
    assert (sent["assistant_id"], sent["conversation_id"]) == ("A", "C")
    assert sent["messages"][0]["content"][0]["text"] == "user"
    assert "cookies, web_search" in caplog.text
    assert "secret" not in caplog.text


def test_a_key_is_sent_only_if_given(glm: FakeGLM) -> None:
    """A key takes the place of the guest's word."""
    glm.say("ok")
    pieces(glm, api_key=KEY)

    assert glm.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_key_does_not_travel_unencrypted() -> None:
    """A key over plain http to another machine is refused."""

    async def main() -> None:
        where = elsewhere("http://chatglm.invalid" + GUEST)
        async for _ in where.create_async_generator("glm-4", [{"content": "Hi"}], api_key=KEY):
            pass

    with pytest.raises(ConfigError, match="unencrypted") as caught:
        asyncio.run(main())
    assert KEY not in str(caught.value)


def test_the_proxy_is_used(glm: FakeGLM) -> None:
    """The request goes to the proxy that was named, for the host that was asked."""
    glm.say("ok")

    async def main() -> list[Any]:
        where = elsewhere("http://chatglm.invalid" + GUEST)
        return [piece async for piece in where.create_async_generator("glm-4", [{"content": "Hi"}], proxy=glm.origin)]

    assert asyncio.run(main()) == ["ok", FinishReason("stop")]
    assert glm.requests[0].headers["host"] == "chatglm.invalid"


def test_errors_are_ours(glm: FakeGLM) -> None:
    """What was said is yielded before the error is raised; no reason comes before it."""
    glm.replay_fixture("a15_truncated")
    got = []

    async def main() -> None:
        async for piece in elsewhere(glm.origin + GUEST).create_async_generator("glm-4", [{"content": "Hi"}]):
            got.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(BrokenStreamError):
        asyncio.run(main())
    assert "".join(got) == "说到一半"

    glm.replay_fixture("a11_intervene")
    with pytest.raises(ContentFilterError):
        asyncio.run(main())


def replay(glm: FakeGLM, *payloads: str, final: str) -> None:
    events = [sse(frame(text("L1", payload))) for payload in payloads]
    events.append(sse(frame(text("L1", final, "finish"), status="finish")))
    glm.replay(b"".join(events), chunk_sizes=[len(event) for event in events], delay=0.02)


def test_a_correction_is_logged(glm: FakeGLM, caplog: pytest.LogCaptureFixture) -> None:
    """Text that was yielded stays as it is; that the wire corrected it is logged."""
    replay(glm, "Hello", " wrld", final="Hello world")

    with caplog.at_level(logging.WARNING, "chatglm_magic"):
        *texts, reason = pieces(glm)

    assert ("".join(texts), reason) == ("Hello wrld", FinishReason("stop"))
    assert "corrected" in caplog.text


def test_an_end_that_proves_nothing_is_logged(glm: FakeGLM, caplog: pytest.LogCaptureFixture) -> None:
    """After `[DONE]` without the site's own end there is what came, and the log says that it may be cut."""
    glm.replay(sse(frame(text("L1", "Hello"))) + b"data: [DONE]\n\n")

    with caplog.at_level(logging.WARNING, "chatglm_magic"):
        *texts, _ = pieces(glm)

    assert "".join(texts) == "Hello"
    assert "the answer is not whole: cut off" in caplog.text


def test_nothing_new_is_lost_by_a_correction(glm: FakeGLM) -> None:
    """Behind a correction of what came earlier, the answer goes on."""
    replay(glm, "好", "好的", "，", "走", final="好好的，走吧")

    *texts, _ = pieces(glm)

    assert "".join(texts) == "好的，走吧"


def test_closing_hangs_up(glm: FakeGLM) -> None:
    """Whoever stops reading and closes the generator closes the connection."""
    glm.stall_after(3)

    async def main() -> None:
        where = elsewhere(glm.origin + GUEST)
        async with aclosing(where.create_async_generator("glm-4", [{"content": "Hi"}])) as stream:
            await anext(stream)
        await glm.until(lambda: glm.aborted == 1)

    asyncio.run(main())


def test_never_anything_but_ours(glm: FakeGLM) -> None:
    """A server that answers nonsense gives an error of ours."""
    for body in (b"\x00\xff\n\n", b"data: [1]\n\n"):
        glm.forget()
        glm.replay(body, content_type="text/event-stream")

        _, error = asyncio.run(read(provider(glm), HELLO))

        assert isinstance(error, ChatGLMError)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Request((Message("user", (TextPart("Look"), ImagePart(url="https://h/a.png"))),)), "sees no pictures"),
        (Request((Message("user", "Hi"),), tools=(ToolSpec("f", "", {}),)), "calls no tools"),
        (Request((Message("user", "Hi"),), search=True), "cannot search the web"),
    ],
)
def test_what_the_site_does_not_take_is_not_sent(glm: FakeGLM, asked: Request, words: str) -> None:
    """The refusal is ours and comes first."""
    with pytest.raises(ConfigError, match=f"127.0.0.1:.* {words}"):
        ChatGLMProvider(Settings(base_url=glm.origin)).stream(asked)

    assert glm.requests == []


def test_what_was_said_with_tools_and_pictures_is_folded_as_words() -> None:
    """A conversation that was begun elsewhere goes on here: calls leave their results, pictures a word."""
    said = [
        Message("user", "Weather?"),
        Message("assistant", calls=(ToolCall("c", "weather", "{}"),)),
        Message("tool", "21 °C", call_id="c"),
        Message("assistant", "Warm."),
        Message("user", "Thanks"),
    ]

    assert "User: Weather?\n\nTool: 21 °C\n\nAssistant: Warm.\n\nNow answer this:\n\nThanks" in fold(said)
