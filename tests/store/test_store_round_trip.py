"""Whatever is said and done in a conversation comes back as it was."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from nodes import nodes
from store_kit import Scripted, put

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._conversation.tree import MessageTree
from chatglm_magic._events import Finished, TextDelta, ThinkingDelta
from chatglm_magic._messages import Message
from chatglm_magic._resolve import Target
from chatglm_magic._store import Store, Thread
from chatglm_magic._store import store as module
from chatglm_magic._store.recorder import bring_back, keep

ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x00\ud83d\ude00🎉שלום\u202e机器"), max_size=12)
ASKED = ANY.filter(str.strip)
SAID = nodes(ANY)


def same(one: MessageNode, other: MessageNode) -> None:
    for name in MessageNode.__struct_fields__:
        assert getattr(one, name) == getattr(other, name), name


def same_tree(one: MessageTree, other: MessageTree) -> None:
    assert [said.id for said in one.path()] == [said.id for said in other.path()]
    assert {said.id for said in one} == {said.id for said in other}
    assert one.chosen == other.chosen
    for said in one:
        twin = other.get(said.id)
        same(said, twin)
        assert [version.id for version in one.versions(said)] == [version.id for version in other.versions(twin)]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("store") / "x.db"))
    yield store
    store.close(10)


@settings(max_examples=60, deadline=None)
@given(said=st.lists(SAID, min_size=1, max_size=6), data=st.data(), name=ANY)
def test_any_tree_comes_back(one_store, said, data, name):
    """Messages of any content, in a tree of any shape, are read as they were written."""
    for position, one in enumerate(said):
        one.parent = data.draw(st.sampled_from(["", *(other.id for other in said[:position])]))
    tree = MessageTree(said)
    tree.choose(data.draw(st.sampled_from(said)))
    thread = Thread(id=MessageNode(role="user").id, name=name, created=1.5, updated=2.5, settings={"system": name})
    put(one_store, thread, *said)
    one_store.write(lambda writes: writes.choose(thread.id, tree.chosen))

    kept, found, chosen = one_store.load(thread.id)

    assert (kept.name, kept.created, kept.updated, kept.settings) == (name, 1.5, 2.5, {"system": name})
    same_tree(tree, MessageTree(found, chosen))
    assert name.startswith("#") or one_store.find(name).id == thread.id


class Conversing(RuleBasedStateMachine):
    """A conversation to which anything may happen, beside what the store has of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        place = str(Path(self.folder.name) / "x.db")
        self.store = module._stores[place] = Store(place)
        self.chat = Chat(Scripted())
        self.chat.name = "x"
        keep(self.chat, place)

    def teardown(self) -> None:
        self.store.close(10)
        del module._stores[self.store.where]
        self.folder.cleanup()

    def questions(self) -> list[MessageNode]:
        return [one for one in self.chat.tree.path() if one.role == "user"]

    def ask(self, prompt: str, answer: list[str], place: InsertPoint | None, *, remember: bool = True) -> None:
        self.chat.target = Target(
            Scripted(ThinkingDelta("hm"), *map(TextDelta, answer), Finished("stop")), self.chat.model
        )
        asyncio.run(self.chat.send(prompt, at=place, remember=remember))

    @rule(prompt=ASKED, answer=st.lists(ANY, max_size=3), remember=st.booleans())
    def asks(self, prompt, answer, remember):
        self.ask(prompt, answer, None, remember=remember)

    @rule(
        prompt=ASKED,
        answer=st.lists(ANY, max_size=3),
        cell=st.sampled_from(["id 1", "id 2", "id 3"]),
        keeps=st.booleans(),
    )
    def asks_from_a_cell(self, prompt, answer, cell, keeps):
        self.ask(prompt, answer, InsertPoint(cell=cell, keep_followers=keeps))

    @precondition(lambda self: self.questions())
    @rule(prompt=ASKED, answer=st.lists(ANY, max_size=3), data=st.data(), same_words=st.booleans(), keeps=st.booleans())
    def asks_instead(self, prompt, answer, data, same_words, keeps):
        old = data.draw(st.sampled_from(self.questions()))
        self.ask(old.text if same_words else prompt, answer, InsertPoint(instead_of=old.id, keep_followers=keeps))

    @precondition(lambda self: self.chat.last_turn())
    @rule(answer=st.lists(ANY, max_size=3))
    def goes_on(self, answer):
        self.ask("Go on.", answer, InsertPoint(continues=True))

    @precondition(lambda self: len(self.chat.tree))
    @rule(data=st.data(), what=st.sampled_from(["remove", "choose"]))
    def changes(self, data, what):
        getattr(self.chat, what)(data.draw(st.sampled_from(list(self.chat.tree))))

    @rule()
    def undoes(self):
        self.chat.undo()

    @rule(texts=st.lists(ASKED, max_size=2))
    def begins_anew(self, texts):
        self.chat.messages = [Message(role, text) for text in texts for role in ("user", "assistant")]

    @invariant()
    def is_kept(self):
        if not len(self.chat.tree):
            assert all(thread.id != self.chat.id for thread in self.store.threads())
            return
        again = Chat(Scripted())
        bring_back(again, self.store, self.chat.id)
        same_tree(self.chat.tree, again.tree)
        assert again.messages == self.chat.messages


Conversing.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestConversing = Conversing.TestCase
TestConversing.__doc__ = "After every step a conversation that is brought back is the one that was kept."
