"""A kernel's conversations: one for a name, whichever door it came in by, and one rule for names."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from store_kit import Scripted, ask, put, said, tell

from chatglm_magic import Chat, ConfigError
from chatglm_magic._conversation.conversation import check_name, clean_name, quote_name
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._magics.parser import find_command, parse
from chatglm_magic._messages import ChatOptions
from chatglm_magic._store import Thread, close_stores, open_store
from chatglm_magic._workspace import Workspace
from chatglm_magic.providers import UnavailableProvider

NAME = "Lesson 中文 one"
DOORS = {
    "Chat": lambda _: Chat(Scripted(), name=NAME),
    "Chat.open": lambda _: Chat.open(NAME, provider=Scripted()),
    "cell": lambda workspace: workspace.chat(NAME),
    "new": lambda workspace: workspace.new(NAME),
    "panel": lambda workspace: workspace.chat_for_panel(NAME),
    "picker": lambda workspace: workspace.open(NAME),
}


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "said.db"))
    yield
    close_stores()


def keep_thread(name: str = NAME, **settings: object) -> None:
    """Keep a conversation as another process did."""
    thread = Thread(id=f"thread {name}", name=name, created=1.0, updated=2.0, settings=settings)
    question = MessageNode(role="user", text="Before?")
    answer = MessageNode(role="assistant", text="Yes.", parent=question.id, finish_reason="stop")
    put(open_store(), thread, question, answer)


@pytest.mark.parametrize(("first", "second"), list(permutations(DOORS, 2)))
def test_a_name_is_one_conversation_by_whatever_door(first, second):
    """What is stored under a name comes back by each door, and each later door leads to the same object."""
    keep_thread()
    workspace = Workspace()
    chat = DOORS[first](workspace)
    ask(chat, "Now?", *tell("I do."))

    assert DOORS[second](workspace) is chat
    assert workspace.chats[NAME] is chat
    assert said(chat) == [("user", "Before?"), ("assistant", "Yes."), ("user", "Now?"), ("assistant", "I do.")]
    assert [thread.count for thread in open_store().named(NAME)] == [4]


@pytest.mark.parametrize("where", ["off", ":memory:"])
def test_a_name_is_one_conversation_without_a_file(monkeypatch, where):
    """Nothing need be stored for it."""
    monkeypatch.setenv("CHATGLM_STORE", where)
    workspace = Workspace()

    chat = workspace.chat("x")

    assert Chat.open("x", provider=Scripted()) is chat
    assert Chat(Scripted(), name=" x ") is chat
    assert Workspace(chat=Chat(Scripted())).new("x") is chat


def test_what_is_given_with_a_name_is_set_and_the_rest_stays():
    """`Chat(name=)` on an open conversation sets the options and who answers where they are given."""
    provider = Scripted()
    chat = Chat(provider, name="x", model="m-1", system="Be terse.", temperature=0.2)

    Chat(name="x", seed=3)
    assert (chat.options.system, chat.options.parameters) == ("Be terse.", {"temperature": 0.2, "seed": 3})
    assert (chat.provider, chat.model) == (provider, "m-1")
    Chat(name="x", model="m-2", system="")
    assert (chat.provider, chat.model, chat.options.system) == (provider, "m-2", "")
    Chat("openai", base_url="http://127.0.0.1:9/v1", name="x")
    assert (chat.provider.name, chat.model) == ("openai", "")
    with pytest.raises(ConfigError, match="no provider 'nobody'"):
        Chat("nobody", name="x")
    assert chat.provider.name == "openai"


def test_stored_options_stand_below_the_given_ones():
    """A stored conversation that `Chat(name=)` goes on with has its system prompt, unless another one is given."""
    keep_thread("x", provider="zai", system="Old.", options={"seed": 3})

    chat = Chat(Scripted(), name="x", temperature=0.5)

    assert (chat.options.system, chat.options.parameters) == ("Old.", {"seed": 3, "temperature": 0.5})
    assert chat.provider.name == "scripted"


def test_a_store_that_cannot_be_read_is_not_in_the_way(tmp_path):
    """A conversation is begun all the same."""
    (tmp_path / "said.db").write_bytes(b"no database at all" * 100)

    assert len(Chat(Scripted(), name="x").tree) == 0


def test_a_name_that_was_deleted_is_free():
    """The next conversation of that name is another one, and empty."""
    workspace = Workspace()
    chat = Chat(Scripted(), name="x")
    ask(chat, "Here?")
    workspace.delete(workspace.open("x"))

    again = workspace.new("x")

    assert again is not chat
    assert len(again.tree) == 0


def test_a_renamed_conversation_is_found_by_its_new_name():
    """By each door, also where it was renamed in Python."""
    workspace = Workspace()
    chat = Chat(Scripted(), name="x")
    ask(chat, "Here?")
    workspace.rename(chat, "y 二")
    assert Chat.open("y 二") is chat
    chat.name = "z"

    assert workspace.chat("z") is chat
    assert list(workspace.chats) == ["z"]
    assert workspace.chat("x") is not chat


def test_conversations_of_one_name_are_open_under_two():
    """An older one of the same name, opened by its number, is called something else while both are open."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "One?")
    chat.reset()
    ask(chat, "Two?")

    older = Chat.open("#1", provider=Scripted())

    assert (said(older)[0], older.name) == (("user", "One?"), "x-1")
    assert Chat.open("x") is chat
    assert Chat.open("#1") is older


def test_an_empty_conversation_takes_what_is_stored():
    """`Chat.open` of a name that is open and holds nothing brings the stored messages into that object."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "Here?")
    chat.reset()

    assert Chat.open("x", provider=Scripted()) is chat
    assert said(chat)[0] == ("user", "Here?")


def test_who_was_named_in_python_answers_the_cells_too(monkeypatch):
    """The conversation's own provider goes before what is configured; a question's own goes before both."""
    monkeypatch.setenv("CHATGLM_PROVIDER", "chatglm")
    workspace, provider = Workspace(), Scripted()
    chat, asked = Chat(provider, name="x", model="m-1"), ChatOptions

    assert workspace.target(chat).provider is provider
    assert workspace.label(chat) == "scripted:m-1"
    assert workspace.target(chat, asked(model="m-2")).model == "m-2"
    assert workspace.target(chat, asked(model="local")).provider.name == "local"
    assert workspace.target(workspace.chat("y")).provider.name == "chatglm"
    Chat.open("y", system="Be terse.")
    assert workspace.target(workspace.chat("y")).provider.name == "chatglm"
    keep_thread("z", provider="zai")  # its key is missing
    opened = Chat.open("z")
    assert (opened.provider.name, workspace.target(workspace.chat("z")).provider.name) == ("zai", "chatglm")
    Chat(provider, name="y")
    assert workspace.target(workspace.chat("y")).provider is provider
    workspace.use(chat, "chatglm:glm-4")
    assert (chat.provider.name, chat.model) == ("chatglm", "glm-4")


def test_a_conversation_whose_key_was_missing_is_answered_once_it_is_there(monkeypatch):
    """Opened without a key it can be read; with the key, which may come later, the same object is answered."""
    keep_thread("x", provider="zai", model="glm-4.7")
    chat = Chat.open("x")
    with pytest.raises(ConfigError, match="ZAI_API_KEY"):
        asyncio.run(chat.send("Now?"))
    assert chat.unanswered is None or chat.unanswered[0] == "Now?"

    monkeypatch.setenv("ZAI_API_KEY", "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP")

    assert type(chat.target_for(ChatOptions()).provider) is not UnavailableProvider
    assert Chat.open("x") is chat
    assert (type(chat.provider) is UnavailableProvider, chat.provider.name, chat.model) == (False, "zai", "glm-4.7")


def test_a_question_may_name_who_answers_it():
    """A model alone is another one of the same provider; a provider alone is asked for its own default model."""
    provider = Scripted()
    chat = Chat(provider, model="m-1")

    asyncio.run(chat.send("Now?", model="m-2"))

    assert provider.requests[0].model == "m-2"
    assert chat.model == "m-1"
    assert (chat.target_for(ChatOptions(provider="chatglm")).model, chat.target.model) == ("", "m-1")
    with pytest.raises(ConfigError, match="no provider 'nobody'"):
        asyncio.run(chat.send("Now?", provider="nobody"))


NAMES = ("x", "物理", NAME, "it's", 'say "hi"', "a/b:c", "v1.2_b-c", "What now?", "🙂", "x" * 60)
WRONG = ("", "  ", "#1", "#x", "-x", "--new", "a\nb", "a\tb", "a\x00b", "\x1b[31m", "a\u2028b", "\ud83d", "x" * 61)


@pytest.mark.parametrize("name", NAMES)
def test_one_rule_allows_a_name_everywhere(name):
    """Cells, panel and Python take it, a cell's line as `quote_name` writes it."""
    workspace, line = Workspace(), quote_name(name)

    chat = Chat(Scripted(), name=name)

    assert (chat.name, check_name(f" {name} "), clean_name(name)) == (name, name, name)
    assert workspace.new(name) is chat
    assert parse(f"-c {line} hi").conversation == name
    for command in ("new", "delete", "rename", "rename old", "forget"):
        found = find_command(parse(f"{command} {line}"))
        assert found is not None
        assert [found[0].name, *found[1]] == [*command.split(), name]
    workspace.rename(chat, "other")
    workspace.rename(chat, name)
    assert workspace.chats == {name: chat}


@pytest.mark.parametrize("name", WRONG)
def test_one_rule_refuses_a_name_everywhere(name):
    """A sentence says what a name may be; nothing has changed, and what was open stays so."""
    workspace = Workspace()
    chat = workspace.chat("x")

    doors = [check_name, lambda name: workspace.rename(chat, name)]
    if name.strip():  # without a name a conversation has none, or a free one
        doors += [lambda name: Chat(Scripted(), name=name)]
    if name.strip() and name != "#1":  # a number is one of a stored conversation
        doors += [workspace.new, workspace.chat, lambda name: parse(f"-c '{name}' hi")]
    for door in doors:
        with pytest.raises((ConfigError, ValueError), match=r"cannot be called|lacks its value"):
            door(name)
    assert workspace.chats == {"x": chat}
    assert check_name(clean_name(name)) == clean_name(name)
