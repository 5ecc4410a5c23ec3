"""Every way in which a server can misbehave, on both dialects: a clear error of ours, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from glm_server import FakeGLM

from chatglm_magic._chat import Chat
from chatglm_magic._errors import ChatGLMError
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target
from chatglm_magic.providers import Settings, make_provider

Misbehave = Callable[[FakeGLM], None]

# What the server does, the kind of error that it becomes, and how the text begins that is kept.
BAD: dict[str, tuple[Misbehave, str, str]] = {
    "stalls": (lambda glm: glm.stall_after(2), "stalled", "one"),
    "never answers": (lambda glm: glm.never_answers(), "stalled", ""),
    "pings for ever": (lambda glm: glm.ping_forever(), "stalled", ""),
    "empty events": (lambda glm: glm.endless_empty_events(0.01), "stalled", ""),
    "slow loris": (lambda glm: glm.slow_loris(), "stalled", ""),
    "resets": (lambda glm: glm.reset_after(2), "truncated", "one"),
    "hangs up": (lambda glm: glm.hang_up_after(2), "truncated", "one"),
    "cuts an event": (lambda glm: glm.cut_mid_event(2), "truncated", "one"),
    "endless line": (lambda glm: glm.endless_line(), "protocol", ""),
    "gigabyte line": (lambda glm: glm.gigabyte_without_newline(), "protocol", ""),
    "gzip bomb": (lambda glm: glm.gzip_bomb(16), "protocol", ""),
    "block page": (lambda glm: glm.html_error_page(405), "blocked", ""),
    "fails": (lambda glm: glm.status_with_body(400, {"error": {"message": "bad field"}}), "invalid_request", ""),
    "redirects": (lambda glm: glm.redirect("http://127.0.0.2:9/elsewhere"), "protocol", ""),
    "no stream": (lambda glm: glm.replay(b"It is sunny.", content_type="text/plain"), "protocol|blocked", ""),
}


def ask(dialect: str, glm: FakeGLM, reply: Reply | None = None) -> Reply:
    """Ask once, giving up after 0.4 s without an event."""
    base = glm.url if dialect == "openai" else glm.origin
    provider = make_provider(dialect, Settings(base_url=base, model=""))
    chat = Chat(provider, timeout=0.4)
    return asyncio.run(chat.send("Hello", reply=reply, target=Target(provider, "glm-4.7")))


@pytest.mark.parametrize("dialect", ["openai", "chatglm"])
@pytest.mark.parametrize("name", BAD)
def test_a_misbehaving_server_gives_a_clear_error_and_keeps_the_text(glm: FakeGLM, dialect: str, name: str) -> None:
    """The error has its kind and what had arrived; the server sees that nobody waits any longer."""
    misbehave, kind, text = BAD[name]
    misbehave(glm)
    reply = Reply()

    with pytest.raises(ChatGLMError) as caught:
        ask(dialect, glm, reply)

    assert caught.value.kind in kind.split("|"), str(caught.value)  # chatglm.cn's gate answers such things
    assert caught.value.reply is reply
    assert bool(reply.text) == bool(text)
    assert reply.text.startswith(text)
    assert reply.finish_reason == "error"
    glm.wait_until(lambda: glm.open == 0)


@pytest.mark.parametrize("dialect", ["openai", "chatglm"])
def test_bytes_that_come_one_by_one_are_a_reply(glm: FakeGLM, dialect: str) -> None:
    """Cut anywhere, also in the middle of a character, a reply is whole."""
    glm.one_byte_at_a_time("汉字 and words")

    assert ask(dialect, glm).text == "汉字 and words"


@pytest.mark.parametrize("dialect", ["openai", "chatglm"])
def test_a_refusal_that_may_pass_is_tried_again(glm: FakeGLM, dialect: str) -> None:
    """Too many requests: the second attempt answers, and there are two requests in all."""
    glm.refuse(429, "1302", "请等待其他对话生成完毕")
    glm.say("Hello again")

    assert ask(dialect, glm).text == "Hello again"
    assert len(glm.requests) == 2


@pytest.mark.parametrize("dialect", ["openai", "chatglm"])
def test_a_port_nobody_listens_on(glm: FakeGLM, dialect: str) -> None:
    """A refused connection says so at once."""
    provider = make_provider(dialect, Settings(base_url=glm.refused_url))

    with pytest.raises(ChatGLMError, match="Nothing answers") as caught:
        asyncio.run(Chat(provider).send("Hello", target=Target(provider, "m")))

    assert caught.value.kind == "connect"
