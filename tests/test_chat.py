"""Chat: history in, events out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from store_kit import Scripted

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._errors import ConfigError, MissingKeyError, ProviderError
from chatglm_magic._events import Finished, TextDelta, ThinkingDelta, ToolCall
from chatglm_magic._messages import ChatOptions, ImagePart, Message, TextPart
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target, environment_options, resolve


def said(chat: Chat) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in chat.messages]


def test_send_gives_the_reply_and_remembers_the_exchange():
    """A question and its answer enter the history together."""
    chat = Chat(Scripted(ThinkingDelta("hm"), TextDelta("Hel"), TextDelta("lo"), Finished("stop", model="m-2")))

    reply = asyncio.run(chat.send("Hello?"))

    assert (reply.text, reply.thinking, reply.finish_reason, reply.model) == ("Hello", "hm", "stop", "m-2")
    assert said(chat) == [("user", "Hello?"), ("assistant", "Hello")]


def test_history_and_system_prompt_are_sent():
    """The next question carries the system prompt, the history and itself, in this order."""
    provider = Scripted()
    chat = Chat(provider, system="Be terse.", temperature=0.2)

    async def talk() -> None:
        await chat.send("One")
        await chat.send("Two", max_tokens="7")

    asyncio.run(talk())

    assert [(m.role, m.content) for m in provider.requests[1].messages] == [
        ("system", "Be terse."),
        ("user", "One"),
        ("assistant", "Hi."),
        ("user", "Two"),
    ]
    assert dict(provider.requests[1].options) == {"temperature": 0.2, "max_tokens": 7}


def test_a_question_not_to_be_remembered_neither_sees_nor_enters_the_history():
    """`remember=False` is a one-off."""
    provider = Scripted()
    chat = Chat(provider)

    async def talk() -> None:
        await chat.send("One")
        await chat.send("Secret", remember=False)

    asyncio.run(talk())

    assert [m.content for m in provider.requests[1].messages] == ["Secret"]
    assert [m.content for m in chat.messages] == ["One", "Hi."]


def test_hanging_up_closes_the_provider_and_keeps_what_had_arrived():
    """A stopped reply is in the history as far as it came, so that the history stays well-formed."""
    provider = Scripted(TextDelta("partial"), lambda: asyncio.sleep(60), Finished("stop"))
    chat = Chat(provider)
    reply = Reply()

    async def stop_after_first() -> None:
        async with aclosing(chat.stream("Tell me", reply=reply)) as events:
            async for _ in events:
                break

    asyncio.run(stop_after_first())

    assert provider.closed == 1
    assert reply.finish_reason == "interrupted"
    assert said(chat) == [("user", "Tell me"), ("assistant", "partial")]


def test_cancelling_is_not_swallowed_and_keeps_what_had_arrived():
    """A cancelled reply is marked as interrupted and the cancellation goes on."""
    provider = Scripted(TextDelta("partial"), lambda: asyncio.sleep(60), Finished("stop"))
    chat = Chat(provider)
    reply = Reply()

    async def cancel() -> None:
        task = asyncio.ensure_future(chat.send("Tell me", reply=reply))
        while not reply.text:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert (reply.text, reply.finish_reason, provider.closed) == ("partial", "interrupted", 1)
    assert said(chat) == [("user", "Tell me"), ("assistant", "partial")]


def test_an_error_carries_the_reply_so_far():
    """What had arrived before a failure is in the error, and in the history."""
    chat = Chat(Scripted(TextDelta("half"), Finished("error"), ProviderError("gone", kind="truncated")))

    with pytest.raises(ProviderError) as caught:
        asyncio.run(chat.send("Tell me"))

    assert caught.value.reply is not None
    assert (caught.value.reply.text, caught.value.reply.finish_reason) == ("half", "error")
    assert said(chat) == [("user", "Tell me"), ("assistant", "half")]


def test_an_error_without_text_leaves_no_question_behind():
    """A question that got no answer is not in the history, where it would make two in a row."""
    chat = Chat(Scripted(ProviderError("no", kind="server")))

    with pytest.raises(ProviderError):
        asyncio.run(chat.send("Tell me"))

    assert chat.messages == []


def test_the_second_question_waits_for_the_first_and_says_so():
    """One conversation asked twice at once answers in turn, each seeing what was said before."""
    provider = Scripted(lambda: asyncio.sleep(0.01), TextDelta("Hi."), Finished("stop"))
    chat = Chat(provider)
    notes: list[str] = []
    replies: list[Reply] = []

    async def both() -> None:
        replies.extend(await asyncio.gather(chat.send("One"), chat.send("Two", notify=notes.append)))

    asyncio.run(both())

    assert notes == ["waiting for the conversation's other reply"]
    assert replies[1].warnings == ["waited-its-turn"]
    assert [m.content for m in provider.requests[1].messages] == ["One", "Hi.", "Two"]


def test_history_is_trimmed_to_whole_exchanges():
    """Where a limit is set, the oldest exchanges are left out whole, and the reply says so."""
    provider = Scripted()
    chat = Chat(provider, history_tokens=40)
    chat.messages = [
        Message("user", "x" * 90),
        Message("assistant", "y" * 90),
        Message("user", "recent"),
        Message("assistant", "answer"),
    ]

    reply = asyncio.run(chat.send("Now"))

    assert [m.content for m in provider.requests[0].messages] == ["recent", "answer", "Now"]
    assert reply.warnings == ["history-trimmed"]


def test_a_key_that_a_server_has_said_is_not_sent_to_another(monkeypatch):
    """What was said goes out without the user's keys, whoever is asked next."""
    key = "0123456789abcdef0123456789abcdef" + ".ABCDEFGHIJKLMNOP"
    monkeypatch.setenv("CHATGLM_API_KEY", key)
    provider = Scripted(TextDelta(f"You sent {key}."), Finished("stop"))
    chat = Chat(provider)

    async def talk() -> None:
        await chat.send("One")
        await chat.send("Two")

    asyncio.run(talk())

    assert [m.content for m in provider.requests[1].messages] == ["One", "You sent [key].", "Two"]


PICTURES = [ImagePart(data=bytes([number]), media_type="image/png") for number in range(6)]
WORD = TextPart("[picture]")


def test_pictures_belong_to_their_question():
    """They are sent with it and with what follows, as `request` says before; the newest four are, the others named."""
    chat = Chat(Scripted())
    before = chat.request("Look", attachments=PICTURES[:3])
    asyncio.run(chat.send("Look", attachments=PICTURES[:3]))
    asyncio.run(chat.send("And there?", attachments=PICTURES[3:5]))
    first, second = chat.provider.requests

    assert first.messages == before.messages == (Message("user", (TextPart("Look"), *PICTURES[:3])),)
    assert second.messages[0] == Message("user", (TextPart("Look"), WORD, *PICTURES[1:3]))
    assert second.messages[-1] == Message("user", (TextPart("And there?"), *PICTURES[3:5]))
    assert chat.messages[0] == first.messages[0]


def test_a_question_asked_again_keeps_its_pictures():
    """Another answer, or other words in its place, need them not given anew; others, or none, replace them."""
    chat = Chat(Scripted())
    asyncio.run(chat.send("Look", attachments=PICTURES[:1]))
    place = InsertPoint(instead_of=chat.tree.path()[0].id)
    for prompt, more in (
        ("Look", {}),
        ("See", {}),
        ("Look", {"attachments": PICTURES[1:2]}),
        ("Look", {"attachments": ()}),
    ):
        asyncio.run(chat.send(prompt, at=place, **more))
    asked = [request.messages[-1].content for request in chat.provider.requests[1:]]

    assert asked == [
        (TextPart("Look"), PICTURES[0]),
        (TextPart("See"), PICTURES[0]),
        (TextPart("Look"), PICTURES[1]),
        "Look",
    ]
    assert chat.request("Hi").messages[-1].content == "Hi"


def test_what_passes_between_question_and_answer_is_sent_again():
    """A stage appends it to the reply; it is a part of the turn, whole even where the reply was stopped."""
    call = Message("assistant", calls=(ToolCall("c", "stock", "{}"),))
    result = Message("tool", "3 left", call_id="c")
    chat = Chat(Scripted())

    async def main():
        reply = Reply()
        async with aclosing(chat.stream("How many?", reply=reply)) as events:
            async for _ in events:
                reply.exchange[:] = [call, result]
        reply = Reply()
        async with aclosing(chat.stream("And now?", reply=reply)) as events:
            async for _ in events:
                reply.exchange[:] = [call]
                break
        await chat.send("Go on")

    asyncio.run(main())

    assert chat.provider.requests[-1].messages == (
        *(Message("user", "How many?"), call, result, Message("assistant", "Hi.")),
        *(Message("user", "And now?"), call, Message("tool", "not run: stopped", call_id="c")),
        *(Message("assistant", "Hi."), Message("user", "Go on")),
    )


def test_an_empty_prompt_is_refused_before_anything_is_sent():
    """There must be something to ask."""
    provider = Scripted()

    with pytest.raises(ConfigError, match="empty"):
        asyncio.run(Chat(provider).send(" \n"))

    assert provider.requests == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda chat: asyncio.run(chat.send(None)),
        lambda chat: chat.request(None),
        lambda chat: chat.map(None, ["a"]),
        lambda chat: chat.plan_map(None, ["a"]),
        lambda chat: asyncio.run(chat.compare(None, models=["a", "b"])),
    ],
)
def test_a_prompt_is_text(ask):
    """Whatever asks says so."""
    provider = Scripted()

    with pytest.raises(ConfigError, match=r"text, not a value of type NoneType\. Nothing was sent"):
        ask(Chat(provider))

    assert provider.requests == []


def test_one_question_may_go_to_another_provider():
    """A choice for one question leaves the conversation's own provider alone."""
    own, other = Scripted(), Scripted(TextDelta("Other."), Finished("stop"))
    chat = Chat(own)

    async def talk() -> None:
        await chat.send("One", target=Target(other, "m"))
        await chat.send("Two")

    asyncio.run(talk())

    assert (other.requests[0].model, own.requests[0].messages[1].content) == ("m", "Other.")


def test_options_are_checked():
    """An unknown parameter lists the valid ones."""
    with pytest.raises(ConfigError, match=r"temprature.*Did you mean temperature\?.*top_p"):
        Chat(Scripted(), temprature=1)


def choose(provider: str = "auto", model: str = "", base_url: str = "", configured: ChatOptions | None = None, **how):
    """Resolve as a question does that says so."""
    return resolve(ChatOptions(provider=provider, model=model, base_url=base_url), configured, **how)


class TestChoose:
    """Which provider answers."""

    def test_auto_falls_to_local_without_any_key(self):
        """With nothing configured and no key, the local model answers, and `auto` says so."""
        choice = choose()

        assert choice.provider.name == "local"
        assert "local" in choice.reason

    @pytest.mark.parametrize(("variable", "name"), [("ZAI_API_KEY", "zai"), ("ZHIPUAI_API_KEY", "bigmodel")])
    def test_auto_takes_the_platform_whose_key_is_present(self, monkeypatch, variable, name):
        """A key in the environment decides."""
        monkeypatch.setenv(variable, "id.secret")

        choice = choose()

        assert choice.provider.name == name
        assert variable in choice.reason
        assert "secret" not in choice.reason + repr(choice)

    def test_the_environment_fills_what_is_left_open(self, monkeypatch):
        """What the user configured goes before the environment, field by field."""
        monkeypatch.setenv("CHATGLM_PROVIDER", "zai")
        monkeypatch.setenv("CHATGLM_MODEL", " glm-4.7 ")

        known = ChatOptions(model="mine").over(environment_options())

        assert known == ChatOptions(provider="zai", model="mine")

    def test_auto_takes_what_is_configured_first(self, monkeypatch):
        """What is configured goes before a key that happens to be there."""
        monkeypatch.setenv("ZAI_API_KEY", "id.secret")
        monkeypatch.setenv("CHATGLM_PROVIDER", "local")

        assert choose().provider.name == "local"

    def test_a_model_without_its_provider_never_falls_to_local(self):
        """`-m glm-4.7` without a key is a missing key, with the ways out."""
        with pytest.raises(MissingKeyError, match=r"'glm-4\.7'\. Set ZAI_API_KEY.*%chatglm login zai,.*-m local"):
            choose(model="glm-4.7")
        with pytest.raises(MissingKeyError, match=r"'glm4'\. Did you mean glm-4\.7\?"):
            choose(model="glm4")

    def test_a_provider_that_there_is_not_is_told_from_a_models_name(self):
        """What stands before a colon may be a typing error, or belong to the model's name."""
        with pytest.raises(MissingKeyError, match=r"'claude:opus'.*'claude' is no provider; those are local, zai"):
            choose(model="claude:opus")

    def test_a_platform_without_its_key_names_variable_command_and_local(self):
        """A missing key is explained with its three remedies."""
        with pytest.raises(MissingKeyError, match=r"ZHIPUAI_API_KEY.*%chatglm login bigmodel,.*-m local"):
            choose("bigmodel")

    def test_a_base_url_alone_means_an_openai_compatible_server(self):
        """`--base-url` needs no provider beside it."""
        choice = choose(model="qwen3:8b", base_url="http://127.0.0.1:1/v1")

        assert (choice.provider.name, choice.model) == ("openai", "qwen3:8b")

    def test_openai_needs_a_server(self):
        """The `openai` provider has no host of its own."""
        with pytest.raises(ConfigError, match="--base-url"):
            choose("openai")

    def test_an_unknown_provider_lists_the_valid_ones(self):
        """A typing error is answered with the names there are."""
        with pytest.raises(ConfigError, match=r"'claude'.*local, zai, bigmodel, openai, chatglm"):
            choose("claude")

    def test_a_configured_model_belongs_to_its_provider(self):
        """A default model is not sent to another provider."""
        configured = ChatOptions(provider="openai", model="mine", base_url="http://127.0.0.1:1/v1")

        assert choose(configured=configured).model == "mine"
        assert choose("local", configured=configured).model == ""

    def test_a_key_never_travels_in_the_clear(self):
        """A key over plain http to another machine is refused; without a key it just works."""
        with pytest.raises(ConfigError, match="unencrypted to lab"):
            choose(base_url="http://lab:8000/v1", api_key="id.secret")

        assert choose(base_url="http://lab:8000/v1").provider.name == "openai"

    @pytest.mark.parametrize("name", ["chatglm", "zai", "bigmodel", "openai"])
    @pytest.mark.parametrize("named_by", ["provider", "model"])
    def test_a_configured_base_url_belongs_to_the_configured_provider(self, name, named_by, monkeypatch):
        """A question goes to the host that the user configured, whichever provider speaks there."""
        monkeypatch.setenv("CHATGLM_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("ZAI_API_KEY", "id.secret")
        if named_by == "provider":
            monkeypatch.setenv("CHATGLM_PROVIDER", name)
        else:
            monkeypatch.setenv("CHATGLM_MODEL", f"{name}:glm-4.7")

        for chosen in (choose(), choose(name), choose(model=f"{name}:glm-4")):
            assert (chosen.provider.name, chosen.provider.host) == (name, "127.0.0.1:9")
            assert chosen.note == ""

    def test_a_configured_base_url_that_is_not_used_is_said(self, monkeypatch):
        """Whoever asks another provider than the configured one is told that its own host is asked."""
        monkeypatch.setenv("CHATGLM_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("ZAI_API_KEY", "id.secret")

        chosen = choose("zai")

        assert chosen.provider.host == "api.z.ai"
        assert "http://127.0.0.1:9/v1 belongs to openai; zai does not use it" in chosen.note

    def test_the_local_model_refuses_a_base_url(self, monkeypatch):
        """A server configured for a model that runs here would be passed over."""
        monkeypatch.setenv("CHATGLM_PROVIDER", "local")
        monkeypatch.setenv("CHATGLM_BASE_URL", "http://127.0.0.1:9/v1")

        with pytest.raises(ConfigError, match=r"local model has no base URL.*-m openai:MODEL"):
            choose()

    def test_a_platform_key_is_not_sent_to_a_configured_host(self, monkeypatch):
        """The error names the host, and the command that keeps a key for it."""
        monkeypatch.setenv("CHATGLM_PROVIDER", "zai")
        monkeypatch.setenv("CHATGLM_BASE_URL", "https://proxy.invalid/v4")
        monkeypatch.setenv("ZAI_API_KEY", "id.secret")

        with pytest.raises(MissingKeyError, match=r"proxy\.invalid.*%chatglm login https://proxy\.invalid/v4"):
            choose()


@pytest.mark.parametrize(
    "ask",
    [lambda chat: chat.send("hi"), lambda chat: anext(chat.stream("hi")), lambda chat: chat.send("hi", remember=False)],
    ids=["send", "stream", "beside"],
)
def test_without_asyncio_a_sentence_says_what_to_do(ask):
    """Under trio, whose loop is not asyncio's, a question fails at once with the way out."""
    waiting = ask(Chat(Scripted(TextDelta("Hello"), Finished("stop"))))

    with pytest.raises(ConfigError, match=r"need asyncio.*%autoawait asyncio"):
        waiting.__await__().send(None)
