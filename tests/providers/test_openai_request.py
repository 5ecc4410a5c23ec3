"""What is sent: URLs, messages and parameters in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._messages import Message, Request, check_options
from chatglm_magic.providers._openai_request import chat_url, normalize, platform_body, server_body

TURNS = ["<|user|>", "<|assistant|>", "<|observation|>"]


def request(**options: object) -> Request:
    return Request((Message("system", "Be terse."), Message("user", "你好")), options=check_options(options))


def platform(**options: object) -> dict[str, Any]:
    return json.loads(platform_body(request(**options), "glm-4.7").data)


def server(*, turn_tokens: bool = True, **options: object) -> dict[str, Any]:
    return json.loads(server_body(request(**options), "m", turn_tokens=turn_tokens).data)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1/chat/completions"),
        (" http://127.0.0.1:8000/v1/ ", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/v1/chat/completions//", "http://h/v1/chat/completions"),
        ("http://h/chat/completions", "http://h/v1/chat/completions"),
        ("https://h/api/coding/paas/v4", "https://h/api/coding/paas/v4/chat/completions"),
        ("https://h/openai?api-version=1", "https://h/openai/chat/completions?api-version=1"),
        ("http://[::1]:8000/v1#x", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_base_urls(written: str, asked: str) -> None:
    """What people write for a base URL leads to one place; a bare host gets `/v1`."""
    assert asked == chat_url(normalize(written, "/v1"))


@pytest.mark.parametrize("odd", ["127.0.0.1:8000", "ftp://h/v1", "http://", "", "http://h:port/v1"])
def test_no_base_url(odd: str) -> None:
    """What is no http or https URL is refused with an example of one."""
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:8000/v1"):
        normalize(odd, "/v1")


def test_platform_body() -> None:
    """A platform gets the messages and the stream switch, and nothing that was not asked for."""
    messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "你好"}]

    assert {"model": "glm-4.7", "messages": messages, "stream": True} == platform()


def test_server_body() -> None:
    """A server is also asked for usage, and told where a turn of GLM's ends."""
    body = server()

    assert body["stream_options"] == {"include_usage": True}
    assert body["stop"] == TURNS
    assert body.keys() == {"model", "messages", "stream", "stream_options", "stop"}
    assert "stop" not in server(turn_tokens=False)


@pytest.mark.parametrize(("think", "word"), [(True, "enabled"), (False, "disabled")])
def test_thinking(think: bool, word: str) -> None:  # noqa: FBT001 - a table
    """Thinking is switched by each dialect's own parameter, and only where it was asked for."""
    asked = Request((Message("user", "x"),), think=think)

    assert {"type": word} == json.loads(platform_body(asked, "m").data)["thinking"]
    body = json.loads(server_body(asked, "m", turn_tokens=True).data)
    assert {"enable_thinking": think} == body["chat_template_kwargs"]
    assert "thinking" not in body


def test_earlier_thinking_is_not_sent_back() -> None:
    """Of an earlier reply only the answer is sent."""
    asked = Request((Message("user", "a"), Message("assistant", "b", thinking="secret"), Message("user", "c")))

    for body in (platform_body(asked, "m"), server_body(asked, "m", turn_tokens=True)):
        assert b"secret" not in body.data
        assert [m["content"] for m in json.loads(body.data)["messages"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"temperature": 0}, {"do_sample": False}),
        ({"temperature": 0.256}, {"temperature": 0.26}),
        ({"temperature": 0.001}, {"temperature": 0.01}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"temperature": 1.5}, {"temperature": 1.0}),
        ({"top_p": 0}, {"top_p": 0.01}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"max_tokens": 5, "seed": 1, "do_sample": True}, {"max_tokens": 5, "seed": 1, "do_sample": True}),
    ],
)
def test_platform_parameters(given: dict[str, object], sent: dict[str, object]) -> None:
    """Parameters are brought into the ranges the platforms document."""
    body = platform(**given)

    assert sent == {name: value for name, value in body.items() if name not in {"model", "messages", "stream"}}


def test_platform_warnings() -> None:
    """What a platform will not honour as it was asked for is named in the reply's warnings."""
    body = platform_body(request(temperature=1.5, stop=["a", "b"]), "m")

    assert body.warnings == ("temperature-above-1", "one-stop-word-honoured")
    assert platform_body(request(temperature=1, stop="a"), "m").warnings == ()


@pytest.mark.parametrize("name", ["top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty"])
def test_platforms_refuse_what_they_do_not_have(name: str) -> None:
    """A parameter the platforms do not have is refused, the valid ones listed."""
    with pytest.raises(ConfigError, match=rf"{name}.*temperature, top_p, max_tokens, seed, stop, do_sample"):
        platform(**{name: 1})


def test_too_many_stop_words() -> None:
    """More stop words than the platforms' schema allows are refused."""
    with pytest.raises(ConfigError, match="at most 4"):
        platform(stop=list("abcde"))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ((), TURNS),
        (("END",), ["END", *TURNS]),
        (("a", "b", "c"), ["a", "b", "c", TURNS[0]]),
        (tuple("abcde"), list("abcde")),
        ((TURNS[1],), [TURNS[1], TURNS[0], TURNS[2]]),
    ],
)
def test_stop_words_of_servers(given: tuple[str, ...], sent: list[str]) -> None:
    """The user's stop words come first; turn tokens fill up to four, the most that some servers take."""
    assert sent == server(stop=given or None)["stop"]


def test_server_parameters() -> None:
    """Parameters that servers name differently are translated; the rest is passed on."""
    body = server(temperature=1.5, top_k=5, min_p=0.1, repeat_penalty=1.1, seed=3)

    assert tuple(
        body[name] for name in ("temperature", "top_k", "min_p", "repeat_penalty", "repetition_penalty", "seed")
    ) == (1.5, 5, 0.1, 1.1, 1.1, 3)
    assert server(do_sample=False)["temperature"] == 0
    assert "do_sample" not in server(do_sample=False)
    assert server(do_sample=True).keys() == server().keys()


def test_any_prompt_can_be_sent() -> None:
    """A prompt with half a surrogate pair in it does not fail the cell."""
    asked = Request((Message("user", "a\ud83db"),))

    assert json.loads(server_body(asked, "m", turn_tokens=True).data)["messages"][0]["content"] == "a?b"
