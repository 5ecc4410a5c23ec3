"""What is sent: URLs, messages and parameters in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._events import ToolCall
from chatglm_magic._messages import ImagePart, Message, Request, ResponseFormat, TextPart, ToolSpec, check_options
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.providers.openai.request import endpoint, normalize, platform_body, server_body

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
    assert asked == endpoint(normalize(written, "/v1"))


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


PNG = ImagePart(data=b"\x89PNG", media_type="image/png", name="plot.png")
SEEN = Request((Message("user", (TextPart("What is it?"), PNG, ImagePart(url="https://h/a.png"))),))
CALLED = Request(
    (
        Message("user", "Weather?"),
        Message("assistant", calls=(ToolCall("c1", "weather", '{"city": "Paris"}'), ToolCall("c2", "now", ""))),
        Message("tool", "21 °C", call_id="c1"),
        Message("tool", "noon", call_id="c2"),
    ),
    tools=(ToolSpec("weather", "Return the weather.", {"type": "object"}),),
)


def sent(request: Request, name: str) -> dict[str, Any]:
    data = platform_body(request, "m") if name == "platform" else server_body(request, "m", turn_tokens=False)
    return json.loads(data.data)


@pytest.mark.parametrize(("name", "url"), [("platform", "iVBORw=="), ("server", "data:image/png;base64,iVBORw==")])
def test_pictures_are_parts_of_the_content(name: str, url: str) -> None:
    """The platforms take bare base64, other servers a `data:` URL; an address is passed on. Names stay here."""
    assert sent(SEEN, name)["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
    ]


@pytest.mark.parametrize("name", ["platform", "server"])
def test_calls_and_their_results_are_sent_back(name: str) -> None:
    """A result names its call; a call without arguments has an empty object; the model chooses what it calls."""
    body = sent(CALLED, name)

    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "21 °C", "tool_call_id": "c1"},
        {"role": "tool", "content": "noon", "tool_call_id": "c2"},
    ]
    function = {"name": "weather", "description": "Return the weather.", "parameters": {"type": "object"}}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == "auto"


@pytest.mark.parametrize("name", ["platform", "server"])
@pytest.mark.parametrize("mode", ["grammar", "json_schema", "json_object", "prompt"])
def test_a_form_is_asked_for_as_the_mode_says(name: str, mode: Any) -> None:
    """A schema is sent strict, in its own order; `prompt` leaves all to the messages."""
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}
    body = sent(Request(SEEN.messages, format=ResponseFormat(mode, "Paper", schema)), name)
    form = {"name": "Paper", "schema": schema, "strict": True}
    held = {"response_format": {"type": "json_schema", "json_schema": form}}
    expected = {"prompt": {}, "json_object": {"response_format": {"type": "json_object"}}}.get(mode, held)

    assert {key: value for key, value in body.items() if key == "response_format"} == expected
    assert json.dumps(body).find('"b"') <= json.dumps(body).find('"a"')


def test_how_each_can_be_held_to_a_schema() -> None:
    """The best way stands first; who says nothing is asked in the prompt."""
    made = [make_provider(name, Settings(api_key="k")) for name in ("zai", "bigmodel", "chatglm")]
    made += [make_provider("local", Settings()), make_provider("openai", Settings(base_url="http://127.0.0.1:9"))]
    modes = [getattr(provider, "schema_modes", ("prompt",)) for provider in made]

    assert modes == [
        ("json_object",),
        ("json_object",),
        ("prompt",),
        ("grammar",),
        ("json_schema", "json_object", "prompt"),
    ]


def test_a_search_is_a_tool_of_the_platforms() -> None:
    """It stands beside the functions, and its results come back."""
    body = sent(Request(CALLED.messages, tools=CALLED.tools, search=True), "platform")

    assert [tool["type"] for tool in body["tools"]] == ["function", "web_search"]
    assert body["tools"][1]["web_search"] == {"enable": True, "search_engine": "search_std", "search_result": True}


@pytest.mark.parametrize(
    ("provider", "model", "request_", "words"),
    [
        ("zai", "glm-4.7", SEEN, "glm-4.7 sees no pictures, so nothing was sent.* -m zai:glm-4.6v-flash is free"),
        ("openai", "m", Request(CALLED.messages, search=True), "127.0.0.1:9 cannot search the web.*-m zai:"),
    ],
)
def test_what_a_model_is_known_not_to_take_is_refused(provider: str, model: str, request_: Request, words: str) -> None:
    """The error comes before anything is sent, and names one that takes it."""
    made = make_provider(provider, Settings(base_url="http://127.0.0.1:9", api_key="k"))
    with pytest.raises(ConfigError, match=words):
        made._body(request_, model)


@pytest.mark.parametrize("model", ["glm-4.6v", "glm-5v-turbo", "glm-5.3-flash", "glm-9-of-tomorrow"])
def test_models_that_see_or_may_see_are_asked(model: str) -> None:
    """A name that is not known here may be that of a model that sees."""
    made = make_provider("zai", Settings(api_key="k"))

    assert "iVBORw==" in made._body(SEEN, model).data.decode()


def test_a_model_that_sees_nothing_goes_on_with_the_words() -> None:
    """Pictures of earlier questions do not keep a conversation from being gone on with."""
    made = make_provider("zai", Settings(api_key="k"))
    later = Request((*SEEN.messages, Message("assistant", "A plot."), Message("user", "Thanks")))
    messages = json.loads(made._body(later, "glm-4.7").data)["messages"]

    assert messages[0] == {"role": "user", "content": "What is it?\n\n[picture]\n\n[picture]"}
