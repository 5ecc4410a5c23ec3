"""`Chat.open`: a stored conversation goes on as it was, as far as that is possible."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from store_kit import Scripted, ask, put, said, talked, tell

from chatglm_magic._chat import Chat, close_chat
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._errors import ConfigError, MissingKeyError
from chatglm_magic._store import Thread


def keep_thread(store, name: str = "x", **settings: object) -> None:
    """Keep a conversation as another process did."""
    thread = Thread(id=f"thread {name}", name=name, created=1.0, updated=2.0, settings=settings)
    question = MessageNode(role="user", text="Before?")
    put(store, thread, question, MessageNode(role="assistant", text="Yes.", parent=question.id, finish_reason="stop"))


def test_it_goes_on_with_who_answered_before(glm, path):
    """Server, model, system prompt and options come back, and the next question carries what was said."""
    glm.say("Hello.")
    chat = Chat(
        "openai",
        base_url=glm.url,
        model="m-1",
        system="Be terse.",
        think=False,
        temperature=0.5,
        stop=["a", "b"],
        name="x",
    )
    chat.options = replace(chat.options, timeout=9.0, history_tokens=1000)
    asyncio.run(chat.send("One?"))

    again = Chat.open("x")
    asyncio.run(again.send("Two?"))

    first, second = (request.json for request in glm.requests)
    assert [message["content"] for message in second["messages"]] == ["Be terse.", "One?", "Hello.", "Two?"]
    assert {name: value for name, value in first.items() if name != "messages"} == {
        name: value for name, value in second.items() if name != "messages"
    }
    for name in ("id", "name", "options", "model"):
        assert getattr(again, name) == getattr(chat, name), name
    assert Chat.open("x").id == chat.id
    assert len(Chat.open("x").messages) == 4


def test_a_missing_key_does_not_hide_what_was_said(store):
    """Without its key a conversation is read; the next question names the key, and another provider may answer."""
    keep_thread(store, provider="zai", model="glm-4.7", system="Be terse.", options={"seed": 3})

    chat = Chat.open("x")

    assert said(chat) == [("user", "Before?"), ("assistant", "Yes.")]
    assert (chat.options.system, chat.options.parameters) == ("Be terse.", {"seed": 3})
    assert (chat.model, chat.provider.name) == ("glm-4.7", "zai")
    with pytest.raises(MissingKeyError, match="ZAI_API_KEY"):
        asyncio.run(chat.send("Now?"))
    with pytest.raises(MissingKeyError):
        Chat.open("x", provider="bigmodel")
    other = Chat.open("x", provider=Scripted())
    assert other.model == ""
    ask(other, "Now?", *tell("I do."))
    assert said(Chat.open("x"))[-1] == ("assistant", "I do.")


def test_a_function_is_given_again(store):
    """A provider that has no name among ours cannot be brought back; the sentence says which there are."""
    keep_thread(store, provider="parrot")

    with pytest.raises(ConfigError, match="no provider 'parrot'"):
        asyncio.run(Chat.open("x").send("Now?"))


def test_what_the_opener_says_comes_first(store, glm):
    """Each argument of `Chat` takes the place of what was kept; another provider has its own model and server."""
    keep_thread(
        store, provider="openai", base_url="http://127.0.0.1:9/v1", model="old", system="Old.", options={"seed": 3}
    )
    glm.say("Hello.")

    assert Chat.open("x", system="New.").options.system == "New."
    assert Chat.open("x", model="new").model == "new"
    assert Chat.open("x", model="new").provider.base_url == "http://127.0.0.1:9/v1"
    assert Chat.open("x", seed=4).options.parameters == {"seed": 4}
    chat = Chat.open("x", provider="openai", base_url=glm.url, model="new")
    asyncio.run(chat.send("Now?"))
    assert glm.requests[0].json["model"] == "new"
    assert Chat.open("x", model="chatglm:glm-4").provider.name == "chatglm"


def test_what_a_later_version_kept_is_passed_over(store):
    """Settings and options that are not known here do no harm."""
    keep_thread(store, provider="openai", base_url="http://127.0.0.1:9/v1", mood="good", options={"seed": 3, "mood": 1})

    assert Chat.open("x").options.parameters == {"seed": 3}


def test_the_newest_of_a_name_is_opened_or_a_number(store):
    """Of several conversations of one name the one changed last is opened; a number names one exactly."""
    chat = Chat(Scripted(), name="x")
    for text in ("One?", "Two?"):
        chat.reset()
        ask(chat, text)
    close_chat(chat)  # as a process that has ended

    assert said(Chat.open("x", provider=Scripted()))[0] == ("user", "Two?")
    first = Chat.open("#1", provider=Scripted())
    assert said(first)[0] == ("user", "One?")
    ask(first, "More?")
    assert said(Chat.open("x", provider=Scripted()))[0] == ("user", "One?")


@pytest.mark.parametrize("name", ["nope", "#99", "#" + "9" * 30, ""])
def test_what_is_not_there_is_said_so(path, name):
    """An unknown name says which store was looked into, and how to list what is there."""
    with pytest.raises(ConfigError, match=r"There is no conversation .* in .*conversations.db. %chatglm chats lists"):
        Chat.open(name)
    assert not path.exists()


def test_nothing_is_opened_where_the_store_is_off(monkeypatch):
    """Off, the sentence says how to have a store."""
    monkeypatch.setenv("CHATGLM_STORE", "off")

    with pytest.raises(ConfigError, match="The store is off"):
        Chat.open("x")


def test_another_store_may_be_named(path, tmp_path):
    """`store=` opens a conversation of another file, and keeps it there."""
    talked("Here?")
    elsewhere = str(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigError):
        Chat.open("x", store=elsewhere)
    chat = Chat.open("x", store=str(path), provider=Scripted())
    ask(chat, "More?")

    assert len(Chat.open("x", store=str(path), provider=Scripted()).messages) == 4
    assert not (tmp_path / "elsewhere.db").exists()
