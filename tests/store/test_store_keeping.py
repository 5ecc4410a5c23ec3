"""What is kept of a conversation, as it happens."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import aclosing

import pytest
from soon import until_then
from store_kit import Scripted, ask, change, look, said, talked, tell

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.cache import request_key
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._errors import ProviderError
from chatglm_magic._events import Finished, Part, Replace, Source, TextDelta, ThinkingDelta, ToolCall, Usage
from chatglm_magic._messages import ImagePart, Message
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target
from chatglm_magic._store import open_store, writer
from chatglm_magic._store.recorder import keep, leave, recorder_of


def stored(store, chat: Chat) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in store.load(chat.id)[1]]


def test_a_conversation_with_a_name_is_kept(store):
    """Question and answer are in the store once the answer is there, with all that came with it."""
    chat = Chat(Scripted(), name="paper", system="Be terse.", temperature=0.5)
    part = Part("search", sources=(Source("A page", "https://a.example", "1"),))
    usage = Usage(3, 4, 7, raw={"cached": 1})
    ask(chat, "Why?", ThinkingDelta("hm"), TextDelta("Because."), part, usage, Finished("length", model="m-2"))

    thread, (question, answer), chosen = store.load(chat.id)

    assert (thread.name, thread.count, thread.title) == ("paper", 2, "Why?")
    assert thread.settings == {"provider": "scripted", "system": "Be terse.", "options": {"temperature": 0.5}}
    assert (question.role, question.text, question.id) == ("user", "Why?", chat.tree.path()[0].id)
    original = chat.tree.path()[1]
    for name in ("id", "parent", "text", "thinking", "finish_reason", "model", "provider", "usage", "parts", "elapsed"):
        assert getattr(answer, name) == getattr(original, name), name
    assert (answer.text, answer.thinking, answer.finish_reason, answer.parts) == ("Because.", "hm", "length", (part,))
    assert answer.usage.raw == {"cached": 1}
    assert chosen == {"": question.id, question.id: answer.id}


def test_what_no_database_can_hold_is_kept(store):
    """Halves of characters and zeros come back, in texts, names and what comes with an answer; a list shows marks."""
    odd = "\ud83d\x00 汉字"
    chat = Chat(Scripted(), name="x")
    chat.name = odd  # as an older version allowed
    ask(chat, odd * 100, TextDelta(odd), Part("code", odd, raw={odd: [odd]}), Finished("stop", warnings=(odd,)))

    thread, (question, answer), _ = store.load(chat.id)

    assert (thread.name, question.text, answer.text, answer.warnings) == (odd, odd * 100, odd, (odd,))
    assert (answer.parts[0].content, answer.parts[0].raw) == (odd, {odd: [odd]})
    assert "汉字" in thread.title
    assert [hit.role for hit in store.search("汉字")] == ["assistant", "user"]


def test_an_answer_of_a_later_version_is_read_as_far_as_it_goes(store, path):
    """Fields that are unknown are passed over; of an answer with an unknown kind of end or part the text is there."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "One?", *tell("Uno."))
    ask(chat, "Two?", *tell("Due."))
    store.close(5)
    change(
        path,
        """UPDATE message SET details = '{"mood": 1}' WHERE content = 'Uno.'""",
        """UPDATE message SET details = '{"parts": [{"kind": "smell"}]}' WHERE content = 'Due.'""",
    )

    answers = store.load(chat.id)[1][1::2]

    assert [(answer.text, answer.finish_reason) for answer in answers] == [("Uno.", "stop"), ("Due.", "error")]
    assert "Another version" in answers[1].error


def test_a_conversation_without_a_name_is_not_kept(store, path):
    """What has no name is asked for once, and no file is made for it."""
    ask(Chat(Scripted()), "Why?")

    assert store.threads() == []
    assert not path.parent.exists()


def test_nothing_is_written_where_the_store_is_off(path, monkeypatch):
    """Off means off: no file, no folder, no thread."""
    monkeypatch.setenv("CHATGLM_STORE", "off")
    chat = talked("Why?", name="paper")

    assert not open_store().is_on
    assert open_store().threads() == []
    assert recorder_of(chat) is None
    assert not path.parent.parent.exists()


def test_a_store_in_memory_leaves_nothing(tmp_path, monkeypatch):
    """What is kept in memory can be read like any other, and is in no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATGLM_STORE", ":memory:")
    chat = Chat(Scripted(), name="paper")
    ask(chat, "Why is the sky blue?", *tell("Because of the air."))

    store = open_store()
    assert [thread.name for thread in store.threads()] == ["paper"]
    assert [hit.role for hit in store.search("air")] == ["assistant"]
    assert said(Chat.open("paper", provider=Scripted())) == said(chat)
    store.forget()
    assert store.threads() == []
    assert list(tmp_path.iterdir()) == []


def test_words_are_kept_while_they_come(store, path):
    """A second after they came, the words so far are in the file, as those of an answer that has not ended."""

    async def half_way():
        chat = Chat(
            Scripted(TextDelta("One "), ThinkingDelta("hm"), TextDelta("two"), lambda: asyncio.sleep(30)), name="x"
        )
        async with aclosing(chat.stream("Count.")) as events:
            for _ in range(3):
                await anext(events)
            waiting = asyncio.ensure_future(anext(events))
            await until_then(lambda: (found := store.threads()) and store.load(found[0].id)[1][1].text == "One two")
            answer = store.load(chat.id)[1][1]
            waiting.cancel()
            await asyncio.wait([waiting])
        return answer, chat

    answer, chat = asyncio.run(half_way())

    assert (answer.text, answer.thinking, answer.finish_reason) == ("One two", "hm", None)
    after = store.load(chat.id)[1][1]
    assert (after.text, after.finish_reason) == ("One two", "interrupted")
    assert look(path, "SELECT count(*) FROM piece") == [(0,)]


def test_many_words_are_not_waited_with(store, path, monkeypatch):
    """500 characters are handed over at once, not at the next stroke of the clock."""

    def seen() -> str:
        return "".join(text for (text,) in look(path, "SELECT content FROM piece ORDER BY number"))

    async def wait():
        await until_then(lambda: len(seen()) >= 600)
        assert seen() == "a" + "b" * 600

    monkeypatch.setattr(writer, "PERIOD", 3600.0)
    ask(Chat(Scripted(), name="x"), "Go.", TextDelta("a"), lambda: asyncio.sleep(0.2), TextDelta("b" * 600), wait)


def test_a_silent_answer_says_that_it_lives(store, path, monkeypatch):
    """While nothing comes, the file is told now and then that somebody still writes the answer."""
    monkeypatch.setattr(writer, "HEARTBEAT", 0.05)
    seen = []

    def beats() -> int:
        if path.exists() and store.threads():
            rows = look(path, "SELECT heartbeat FROM message WHERE process != ''")
            seen.extend(beat for (beat,) in rows if beat not in seen)
        return len(seen)

    async def wait():
        await until_then(lambda: beats() >= 3)

    ask(Chat(Scripted(), name="x"), "Go.", TextDelta("Hm"), wait, Finished("stop"))

    assert seen == sorted(seen)
    store.flush()
    assert look(path, "SELECT process, heartbeat FROM message WHERE role = 'assistant'") == [("", 0)]


def test_a_correction_takes_the_place_of_what_was_written(store, path):
    """Words that the wire took back are not found in the store, neither while it streams nor after."""
    wanted = iter(("wrong and long", "right"))

    async def wait():
        text = next(wanted)
        await until_then(lambda: [one.text for one in store.load(store.threads()[0].id)[1][1:]] == [text])

    chat = Chat(Scripted(), name="x")
    ask(chat, "Go.", TextDelta("wrong and long"), wait, Replace("right"), wait, TextDelta(" on"), Finished("stop"))

    assert stored(store, chat)[1] == ("assistant", "right on")
    assert store.search("wrong") == []


def test_a_continued_answer_is_one(store):
    """What continues an answer is appended to it, in the file as on the screen."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "Go.", *tell("The first half"))
    ask(chat, "Go on.", *tell(" and the second."), at=InsertPoint(continues=True))

    assert stored(store, chat) == [("user", "Go."), ("assistant", "The first half and the second.")]
    assert [hit.role for hit in store.search('"half and the second"')] == ["assistant"]


def test_what_is_taken_back_is_gone(store):
    """An undone exchange, and a removed message, are in no file."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "One?", *tell("Uno."))
    ask(chat, "Two?", *tell("Due."))

    chat.undo()

    assert stored(store, chat) == [("user", "One?"), ("assistant", "Uno.")]
    assert store.search("Due") == []


def test_what_began_anew_stays_as_another_thread(store):
    """`reset` loses nothing: the old conversation is listed beside the new one, under the same name."""
    chat = talked("One?")
    old = chat.id
    chat.reset()

    assert [thread.id for thread in store.threads()] == [old]
    ask(chat, "Two?")
    assert [(thread.name, thread.title) for thread in store.threads()] == [("x", "Two?"), ("x", "One?")]
    assert [thread.number for thread in store.threads()] == [2, 1]
    assert store.find("x").title == "Two?"
    assert store.find("#1").title == "One?"


def test_an_answer_that_ends_after_a_new_beginning_stays_with_its_question(store):
    """A reply that streams while its conversation is reset is kept where it was asked."""
    chat = Chat(Scripted(), name="x")

    async def reset():
        await asyncio.sleep(0)
        chat.reset()

    old = chat.id
    ask(chat, "One?", TextDelta("U"), reset, TextDelta("no"), Finished("stop"))

    assert [(one.role, one.text, one.finish_reason) for one in store.load(old)[1]] == [
        ("user", "One?", None),
        ("assistant", "Uno", "stop"),
    ]


def test_versions_and_the_chosen_way_are_kept(store):
    """Answers given anew stand beside each other, and the path takes the one that was chosen."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "One?", *tell("Uno."))
    question = chat.tree.path()[0]
    ask(chat, "One?", *tell("Un."), at=InsertPoint(instead_of=question.id))
    chat.choose(chat.tree.children(question)[0])

    again = Chat.open("x", provider=Scripted())

    assert said(again) == [("user", "One?"), ("assistant", "Uno.")]
    assert [one.text for one in again.tree.children(again.tree.path()[0])] == ["Uno.", "Un."]


def test_a_cell_that_asks_again_is_known_after_a_restart(store):
    """The thread in which a cell has asked is found by the cell, the newest first."""
    for name in ("a", "b"):
        ask(Chat(Scripted(), name=name), "One?", at=InsertPoint(cell="id 1 1"))

    assert store.of_cell("id 1 1").name == "b"
    assert store.of_cell("id 1 1", "a").name == "a"
    assert store.of_cell("id 2 1") is None
    assert store.of_cell("") is None


def test_a_question_asked_aside_is_in_no_thread(store):
    """A one-off is neither listed nor found by its words, but its answer is, by its request."""
    chat = Chat(Scripted(), name="x")
    ask(chat, "Aside?", *tell("Only here."), remember=False)
    key = request_key(chat.provider, chat.provider.requests[0])

    assert store.threads() == []
    assert store.search("only") == []
    assert store.answer(key).text == "Only here."
    assert store.answer("") is None
    store.forget()
    assert store.answer(key) is None


def test_only_an_answer_that_ended_well_is_given_again(store):
    """An answer that failed or was stopped answers no other question; of several the newest does."""
    chat = Chat(Scripted(), name="x")
    with pytest.raises(ProviderError):
        ask(chat, "One?", TextDelta("half"), Finished("error"), ProviderError("broke"), remember=False)
    key = request_key(chat.provider, chat.provider.requests[0])

    assert store.answer(key) is None
    ask(chat, "One?", *tell("first"), remember=False)
    ask(chat, "One?", *tell("second"), remember=False)
    assert store.answer(key).text == "second"


def test_a_failure_is_kept_in_a_sentence(store):
    """What failed is told beside what had come."""
    chat = Chat(Scripted(), name="x")
    with pytest.raises(ProviderError):
        ask(chat, "One?", TextDelta("half"), Finished("error"), ProviderError("The wire broke."))

    answer = store.load(chat.id)[1][1]
    assert (answer.text, answer.finish_reason, answer.error) == ("half", "error", "The wire broke.")


def test_a_conversation_is_kept_from_when_that_is_wished(store):
    """What was said before `keep` is kept too; after `leave` nothing more is."""
    chat = Chat(Scripted())
    chat.messages = [Message("user", "Before?"), Message("assistant", "Yes.")]
    chat.name = "late"
    keep(chat)

    assert stored(store, chat) == [("user", "Before?"), ("assistant", "Yes.")]
    leave(chat)
    ask(chat, "After?")
    assert len(stored(store, chat)) == 2
    keep(chat)
    keep(chat)
    assert len(stored(store, chat)) == 4
    assert store.find("late").count == 4


def test_a_name_may_be_changed(store):
    """A thread goes by its new name at once."""
    chat = talked("One?", name="old")
    chat.name = "new"
    chat.notify_change()

    assert (store.find("old"), store.find("new").id) == (None, chat.id)
    store.rename(chat.id, "newer")
    assert store.find("newer").id == chat.id
    store.delete(chat.id)
    assert store.threads() == []


def test_what_another_kernel_deleted_stays_deleted(store):
    """What is said later in a conversation that was deleted is kept, and only that."""
    chat = talked("One?")
    store.delete(chat.id)
    chat.notify_change()

    assert store.threads() == []
    ask(chat, "Two?")
    assert stored(store, chat) == [("user", "Two?"), ("assistant", "Hi.")]


def test_a_store_is_opened_by_the_first_thing_that_is_kept(tmp_path):
    """Importing us, and making a conversation, imports no database and makes no file."""
    code = (
        "import sys, os; from chatglm_magic import Chat, FunctionProvider\n"
        "async def parrot(model, messages, proxy=None): yield 'x'\n"
        "Chat(FunctionProvider(parrot), name='x'); print('sqlite3' in sys.modules, os.path.exists('here'))"
    )
    env = {**os.environ, "CHATGLM_STORE": "here/x.db"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "False"]


def test_a_choice_for_one_question_is_no_setting(store):
    """Who was asked once is told with the answer, and does not become who is asked."""
    chat = Chat(Scripted(), name="x")
    other = Scripted(*tell("I."))
    other.name = "other"
    asyncio.run(chat.send("Who?", target=Target(other, "m-9")))

    thread, (_, answer), _ = store.load(chat.id)
    assert (thread.settings["provider"], answer.provider, answer.model) == ("scripted", "other", "m-9")


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_removed_and_brought_back_is_kept_as_it_was(store, count):
    """In its place, with all versions, also where nothing was left of the conversation in between."""
    chat = Chat(Scripted(), name="paper")
    for words in ("one", "two")[:count]:
        ask(chat, words, TextDelta(words.upper()), Finished("stop"))
    first = chat.tree.path()[0]
    ask(chat, "one", TextDelta("ONCE"), Finished("stop"), at=InsertPoint(instead_of=first.id))
    before = sorted(stored(store, chat)), said(Chat.open("paper"))

    chat.remove(first)
    assert len(stored(store, chat) if count > 1 else store.threads()) == 2 * count - 2
    chat.restore()

    again = Chat.open("paper")
    assert (sorted(stored(store, chat)), said(again)) == before
    assert [one.text for one in again.tree.versions(again.tree.path()[1])] == ["ONE", "ONCE"]
    assert store.load(chat.id)[2] == chat.tree.chosen


def test_a_conversation_comes_back_with_its_pictures(path, store):
    """Whoever opens it asks about the same pictures; one that was lost from the file is named only."""
    picture = ImagePart(data=b"\x89PNG", media_type="image/png", name="plot.png")
    first = talked(name="paper")
    ask(first, "Look", attachments=[picture, ImagePart(url="https://h/a.png")])
    store.flush(5)
    _, (question, _), _ = store.load(first.id)
    assert question.attachments == first.tree.path()[0].attachments
    assert question.attachments[0].data == b"\x89PNG"

    change(path, "DELETE FROM message_blob", "DELETE FROM blob")
    _, (question, _), _ = store.load(first.id)
    assert question.attachments[0] == ImagePart(media_type="image/png", sha256=picture.sha256, name="plot.png")


def test_results_of_calls_are_kept_as_they_come(store):
    """A kernel that dies before the answer takes no result with it: a call that was run is not run again."""
    exchange = [Message("assistant", calls=(ToolCall("c", "stock", "{}"),)), Message("tool", "3 left", call_id="c")]
    seen = []

    async def main():
        chat = Chat(Scripted(TextDelta("Let me see. "), Part("notice", "ran"), TextDelta("Three.")), name="paper")
        reply = Reply()
        async for event in chat.stream("How many?", reply=reply):
            if isinstance(event, TextDelta) and not seen:
                reply.exchange += exchange
            if isinstance(event, Part):
                await asyncio.to_thread(store.flush, 5)
                seen.extend(store.load(chat.id)[1])
        store.flush(5)
        seen.extend(store.load(chat.id)[1])

    asyncio.run(main())
    answers = [node for node in seen if node.role == "assistant"]

    assert [answer.exchange for answer in answers] == [tuple(exchange)] * 2
    assert [answer.text for answer in answers] == ["Let me see. ", "Let me see. Three."]
