"""Whatever is said and done in a conversation comes back as it was."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_kit import Scripted

from chatglm_magic._chat import Chat
from chatglm_magic._events import Finished, Part, Source, TextDelta, ThinkingDelta, Usage
from chatglm_magic._history import Place
from chatglm_magic._keeper import bring_back, keep
from chatglm_magic._messages import Message
from chatglm_magic._said import Said
from chatglm_magic._store import Store, Thread, row_of
from chatglm_magic._store import store as module
from chatglm_magic._tree import Tree

ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x00\ud83d\ude00🎉שלום\u202e机器"), max_size=12)
ASKED = ANY.filter(str.strip)
PARTS = st.builds(
    Part,
    kind=st.sampled_from(["code", "search", "image", "notice", "tool_call", "unknown"]),
    content=ANY,
    id=ANY,
    name=ANY,
    arguments=ANY,
    index=st.none() | st.integers(0, 9),
    call_id=ANY,
    urls=st.lists(ANY, max_size=2).map(tuple),
    sources=st.lists(st.builds(Source, ANY, ANY, ANY), max_size=2).map(tuple),
    raw=st.none() | st.dictionaries(ANY, st.integers() | ANY, max_size=2),
)
SAID = st.builds(
    Said,
    role=st.sampled_from(["user", "assistant"]),
    text=ANY,
    thought=ANY,
    created=st.floats(0, 1e10),
    cell=ANY,
    finish_reason=st.sampled_from([None, "stop", "length", "interrupted", "error"]),
    model=ANY,
    provider=ANY,
    usage=st.none()
    | st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 99), st.just({"x": [1, None]})),
    elapsed=st.floats(0, 1e6),
    first_event=st.none() | st.floats(0, 1e6),
    thinking_seconds=st.floats(0, 1e6),
    parts=st.lists(PARTS, max_size=3).map(tuple),
    warnings=st.lists(ANY.filter(lambda text: not text.startswith("store-")), max_size=2).map(tuple),
    error=ANY,
    key=ANY,
)


def same(one: Said, other: Said) -> None:
    for field in fields(Said):
        assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert [part.raw for part in one.parts] == [part.raw for part in other.parts]
    assert one.usage is None or one.usage.raw == other.usage.raw


def same_tree(one: Tree, other: Tree) -> None:
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
    tree = Tree(said)
    tree.choose(data.draw(st.sampled_from(said)))
    thread = Thread(id=Said(role="user").id, name=name, created=1.5, updated=2.5, settings={"system": name})
    one_store.put_thread(thread)
    for one in said:
        one_store.put(thread.id, row_of(one), tree.versions(one).index(one))
    one_store.choose(thread.id, tree.chosen)

    kept, found, chosen = one_store.load(thread.id)

    assert (kept.name, kept.created, kept.updated, kept.settings) == (name, 1.5, 2.5, {"system": name})
    same_tree(tree, Tree(found, chosen))
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

    def questions(self) -> list[Said]:
        return [one for one in self.chat.tree.path() if one.role == "user"]

    def ask(self, prompt: str, answer: list[str], place: Place | None, *, remember: bool = True) -> None:
        self.chat.provider = Scripted(ThinkingDelta("hm"), *map(TextDelta, answer), Finished("stop"))
        asyncio.run(self.chat.send(prompt, place=place, remember=remember))

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
        self.ask(prompt, answer, Place(cell=cell, keeps=keeps))

    @precondition(lambda self: self.questions())
    @rule(prompt=ASKED, answer=st.lists(ANY, max_size=3), data=st.data(), same_words=st.booleans(), keeps=st.booleans())
    def asks_instead(self, prompt, answer, data, same_words, keeps):
        old = data.draw(st.sampled_from(self.questions()))
        self.ask(old.text if same_words else prompt, answer, Place(instead_of=old.id, keeps=keeps))

    @precondition(lambda self: self.chat.last_exchange())
    @rule(answer=st.lists(ANY, max_size=3))
    def goes_on(self, answer):
        self.ask("Go on.", answer, Place(goes_on=True))

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
            assert self.store.thread(self.chat.id) is None
            return
        again = Chat(Scripted())
        bring_back(again, self.store, self.chat.id)
        same_tree(self.chat.tree, again.tree)
        assert again.messages == self.chat.messages


Conversing.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestConversing = Conversing.TestCase
TestConversing.__doc__ = "After every step a conversation that is brought back is the one that was kept."
