"""Stored answers: which requests are the same, and what an answer is when it is given again."""

from __future__ import annotations

import asyncio

import pytest
from store_kit import Scripted

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.cache import replay, request_key
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._errors import ConfigError, MissingKeyError
from chatglm_magic._events import Event, Finished, Part, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, Usage
from chatglm_magic._messages import ChatOptions, ImagePart, Message, Request, ResponseFormat, TextPart, ToolSpec
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target, resolve
from chatglm_magic._store import close_stores
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.renderers.output import bundle

QUESTION = (Message("user", "hi"),)


ANSWER = (
    *(ThinkingDelta("hm "), ThinkingDelta("hm"), Part("search", id="s"), ToolCallDelta(0, "c", "add", "{}")),
    *(TextDelta("one "), TextDelta("二"), Usage(3, 4, 7), Finished("stop", model="count-1.5", warnings=("odd",))),
)


def choose(provider: str = "auto", model: str = "", configured: ChatOptions | None = None, *, cached: bool = False):
    """Resolve as a question does that says so."""
    return resolve(ChatOptions(provider=provider, model=model), configured, cached=cached)


class Shelf:
    """Keeps answers as a store does: whole ones, by their keys."""

    def __init__(self) -> None:
        self.answers: dict[str, MessageNode] = {}

    def serve(self, chat: Chat) -> Chat:
        """Give a conversation these answers in place of the store's."""
        chat.find_stored = self.answers.get
        return chat

    def keep(self, chat: Chat) -> None:
        self.answers |= {said.key: said for said in chat.tree if said.key and said.finish_reason == "stop"}


def platform(name: str, model: str = ""):
    return make_provider(name, Settings(model=model))


def test_equal_requests_have_equal_keys_and_others_do_not():
    """Provider, model, parameters, thinking and messages count; seconds to wait and whom to tell do not."""
    zai = platform("zai")
    base = Request(QUESTION, "glm-4.7", {"temperature": 0.2, "seed": 1})
    same = Request(QUESTION, "glm-4.7", {"seed": 1, "temperature": 0.2}, timeout=5, notify=print)
    others = [
        request_key(platform("bigmodel"), base),
        request_key(zai, Request(QUESTION, "glm-4.6", base.options)),
        request_key(zai, Request(QUESTION, "glm-4.7", {"seed": 1})),
        request_key(zai, Request(QUESTION, "glm-4.7", {"seed": 1, "temperature": 0.3})),
        request_key(zai, Request(QUESTION, "glm-4.7", base.options, think=False)),
        request_key(zai, Request((Message("system", "x"), *QUESTION), "glm-4.7", base.options)),
        request_key(zai, Request((Message("user", "Hi"),), "glm-4.7", base.options)),
    ]

    assert request_key(zai, base) == request_key(zai, same)
    assert len({request_key(zai, base), *others}) == len(others) + 1


def test_pictures_calls_tools_and_the_form_count():
    """What is sent beside words decides the answer too; how the server is held to a form does not."""
    zai = platform("zai")
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    other_order = {"type": "object", "properties": {"b": {}, "a": {}}}
    pictures = [
        ImagePart(data=b"a", media_type="image/png"),
        ImagePart(data=b"b", media_type="image/png"),
        ImagePart(url="https://h/a"),
    ]
    calls = [ToolCall("1", "f", "{}"), ToolCall("2", "f", "{}"), ToolCall("1", "g", "{}"), ToolCall("1", "f", "[]")]
    requests = [
        Request(QUESTION),
        Request(QUESTION, search=True),
        *(Request(QUESTION, tools=(ToolSpec("f", words, {}),)) for words in ("", "What it does")),
        *(Request((Message("user", (TextPart("hi"), picture)),)) for picture in pictures),
        *(Request((*QUESTION, Message("assistant", calls=(call,)))) for call in calls),
        *(Request((*QUESTION, Message("tool", "1", call_id=one))) for one in "12"),
        *(Request(QUESTION, format=ResponseFormat("prompt", "x", form)) for form in (schema, other_order)),
        Request(QUESTION, format=ResponseFormat("prompt", "y", schema)),
    ]
    held = Request(QUESTION, format=ResponseFormat("json_schema", "y", schema))
    renamed = ImagePart(data=b"a", media_type="image/png", name="plot.png")

    assert len({request_key(zai, one) for one in requests}) == len(requests)
    assert request_key(zai, held) == request_key(zai, requests[-1])
    assert request_key(zai, requests[4]) == request_key(zai, Request((Message("user", (TextPart("hi"), renamed)),)))


def test_a_default_model_is_the_same_as_its_name():
    """`-m zai` and `-m zai:glm-4.7-flash` ask the same."""
    assert request_key(platform("zai"), Request(QUESTION)) == request_key(
        platform("zai"), Request(QUESTION, "glm-4.7-flash")
    )


def test_a_server_counts_only_where_it_decides_on_the_model():
    """A named model is the same at another address; "the first there is" is not, before and after it is known."""
    here, there = (make_provider("openai", Settings(base_url=f"http://127.0.0.1:{port}/v1")) for port in (1, 2))
    unnamed = request_key(here, Request(QUESTION))
    assert unnamed != request_key(there, Request(QUESTION))
    here.model = "the-first"
    assert unnamed == request_key(here, Request(QUESTION))
    assert request_key(here, Request(QUESTION, "m")) == request_key(there, Request(QUESTION, "m"))


def test_a_stored_answer_is_the_answer_again():
    """Text, thinking, parts, calls, tokens, model and seconds; nobody is asked; the reply says of when it is."""
    provider, shelf = Scripted(*ANSWER), Shelf()
    first, again = Reply(), Reply()
    asyncio.run(Chat(provider).send("hi", reply=Reply()))
    chat = Chat(provider)
    asyncio.run(chat.send("hi", reply=first))
    shelf.keep(chat)
    (stored,) = shelf.answers.values()
    stored.created, stored.elapsed, stored.thinking_seconds = 1_795_262_400.0, 12.5, 3.5

    asyncio.run(shelf.serve(Chat(provider)).send("hi", reply=again, cache=True))

    assert len(provider.requests) == 2
    for fact in ("text", "thinking", "usage", "model", "finish_reason", "tool_calls", "warnings"):
        assert getattr(again, fact) == getattr(first, fact), fact
    assert {part.kind for part in again.parts} == {part.kind for part in first.parts}
    assert (again.elapsed, again.thinking_seconds) == (12.5, 3.5)
    assert first.replayed is None
    data, metadata = bundle(again)
    assert "Stored answer of 2" in data["text/markdown"]
    assert "Nov 2026" in data["text/markdown"]
    assert metadata["chatglm_magic"]["replayed"] is True
    assert metadata["chatglm_magic"]["given"] == "2026-11-21T12:00:00+00:00"
    assert "replayed" not in bundle(first)[1]["chatglm_magic"]
    assert "Stored" not in bundle(first)[0]["text/markdown"]


def test_an_answer_given_again_is_in_the_conversation_and_has_no_key():
    """The next question sees it; the day that counts stays that of the first one."""
    provider, shelf = Scripted(*ANSWER), Shelf()
    chat = Chat(provider)
    asyncio.run(chat.send("hi"))
    shelf.keep(chat)
    other = shelf.serve(Chat(provider))

    asyncio.run(other.send("hi", cache=True))
    asyncio.run(other.send("and?", cache=True))

    assert [message.content for message in other.messages] == ["hi", "one 二", "and?", "one 二"]
    assert [bool(said.key) for said in other.tree if said.role == "assistant"] == [False, True]
    assert len(provider.requests) == 2


def test_an_answer_that_goes_on_is_no_answer_to_its_request_any_more():
    """It says more than the request would bring, so it is not given again for it."""
    chat = Chat(Scripted(TextDelta("one "), Finished("length")))
    asyncio.run(chat.send("hi"))
    assert [bool(said.key) for said in chat.tree] == [False, True]

    asyncio.run(chat.send("go on", at=InsertPoint(continues=True)))

    assert [(said.text, bool(said.key)) for said in chat.tree] == [("hi", False), ("one one ", False)]


def test_a_cell_that_is_given_its_own_answer_again_has_one_version_of_it():
    """What stood there and says the same makes way, and its key and its day live on; another answer is a version."""
    provider, shelf = Scripted(*ANSWER), Shelf()
    chat, place = Chat(provider), InsertPoint(cell="id a 1")
    asyncio.run(chat.send("hi", at=place))
    asyncio.run(chat.send("and?", at=InsertPoint(cell="id b 1")))
    shelf.keep(chat)
    shelf.serve(chat)
    before = [(said.text, said.key, said.created) for said in chat.tree.path()]

    for _ in range(3):
        asyncio.run(chat.send("hi", at=place, cache=True))
    assert [(said.text, said.key, said.created) for said in chat.tree.path()] == before
    assert len(chat.tree) == 4
    asyncio.run(chat.send("hi", at=place))
    assert len(chat.tree) == 5


def test_a_stored_answer_can_be_stopped_like_any():
    """Closing the generator in the middle is an interrupted reply."""
    events = replay(MessageNode(role="assistant", thinking="a", text="b", finish_reason="stop"))

    async def stop() -> list[Event]:
        found = [await anext(events)]
        await events.aclose()
        return found

    assert asyncio.run(stop()) == [ThinkingDelta("a")]


def ask_without_key(spec: str, recalled: dict[str, MessageNode], **configured: str) -> Reply:
    """Ask as the magics do where stored answers will do."""
    target = choose("auto", spec, configured=ChatOptions(**configured), cached=True)
    reply = Reply()
    chat = Chat(target.provider, model=target.model)
    chat.find_stored = recalled.get
    asyncio.run(chat.send("hi", reply=reply, target=target, cache=True))
    return reply


def stored(name: str, model: str) -> dict[str, MessageNode]:
    answer = MessageNode(role="assistant", text=f"from {name}", finish_reason="stop", provider=name, model=model)
    provider = platform(name) if name != "openai" else make_provider(name, Settings(base_url="http://127.0.0.1/v1"))
    return {request_key(provider, Request(QUESTION, model)): answer}


@pytest.mark.parametrize(
    ("spec", "name", "model", "configured"),
    [
        ("", "zai", "", {}),
        ("", "bigmodel", "", {}),
        ("glm-4.6", "zai", "glm-4.6", {}),
        ("glm-4.6", "bigmodel", "glm-4.6", {}),
        ("qwen3:8b", "openai", "qwen3:8b", {}),
        ("zai", "zai", "", {}),
        ("zai:glm-5", "zai", "glm-5", {}),
        ("openai:qwen3:8b", "openai", "qwen3:8b", {}),
        ("", "bigmodel", "", {"provider": "bigmodel"}),
        ("", "zai", "glm-5", {"model": "zai:glm-5"}),
        ("glm-5", "bigmodel", "glm-5", {"provider": "bigmodel"}),
    ],
)
def test_without_a_key_an_answer_of_whoever_was_meant_is_found(spec, name, model, configured):
    """By `auto`, by a model's name alone, by a platform's name, and as configured."""
    assert ask_without_key(spec, stored(name, model), **configured).text == f"from {name}"


@pytest.mark.parametrize("spec", ["zai", "glm-4.7", "bigmodel:glm-5", "openai:m"])
def test_without_a_key_and_an_answer_the_error_says_both(spec):
    """The usual error with its ways out, and that nothing is stored."""
    kind = ConfigError if spec == "openai:m" else MissingKeyError
    with pytest.raises(kind) as usual:
        choose("auto", spec)
    with pytest.raises(kind, match="no stored answer") as error:
        ask_without_key(spec, {})

    assert str(error.value).startswith(str(usual.value))


def test_who_can_be_asked_is_chosen_as_ever():
    """Keys, servers and names decide; an unknown provider stays an error."""
    for spec, configured in (("local", ChatOptions()), ("m", ChatOptions(base_url="http://127.0.0.1:1/v1"))):
        usual, lenient = (choose("auto", spec, configured, cached=cached) for cached in (False, True))
        assert (usual.provider.name, usual.model, usual.reason) == (
            lenient.provider.name,
            lenient.model,
            lenient.reason,
        )
        assert lenient.alternatives == ()
    with pytest.raises(ConfigError, match="needs a server"):
        choose("openai", cached=True)
    assert choose(cached=True).provider.name == "local"
    assert [choice.provider.name for choice in choose(cached=True).alternatives] == ["zai", "bigmodel"]
    assert isinstance(choose(cached=True), Target)


def test_a_chat_of_ones_own_gives_stored_answers_again(tmp_path, monkeypatch, glm):
    """`cache="replay"`: asked once, then neither a key nor a server is needed, in another conversation."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "said.db"))
    glm.say("one two")
    with_key = Chat("zai", model="glm-4.7", base_url=glm.url, cache="replay", name="mine")
    first = asyncio.run(with_key.send("hi"))

    again = [asyncio.run(Chat(model=spec, cache="replay").send("hi")) for spec in ("glm-4.7", "zai:glm-4.7")]
    with pytest.raises(MissingKeyError, match="no stored answer"):
        asyncio.run(Chat(model="glm-4.7", cache="replay").send("something else"))
    close_stores()

    assert [(reply.text, reply.provider, reply.usage) for reply in again] == [("one two", "zai", first.usage)] * 2
    assert all(reply.replayed is not None for reply in again)
    assert first.replayed is None
    assert len(glm.requests) == 1
    with pytest.raises(ConfigError, match="cache takes"):
        Chat("local", cache="repaly")
