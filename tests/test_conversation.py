"""A conversation as it grows, is changed and is watched."""

from __future__ import annotations

import pytest

from chatglm_magic._conversation import Conversation
from chatglm_magic._errors import ConfigError
from chatglm_magic._events import Finished, TextDelta, ThinkingDelta
from chatglm_magic._history import Place
from chatglm_magic._messages import Message
from chatglm_magic._reply import Reply


class Notes:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def began(self, conversation, question, answer):
        self.told.append(("began", question.text, answer.content))

    def grew(self, conversation, answer, event):
        self.told.append(("grew", answer.content))

    def ended(self, conversation, answer, error):
        self.told.append(("ended", answer.text, str(error or "")))

    def changed(self, conversation):
        self.told.append(("changed", *(message.content for message in conversation.messages)))


def ask(conversation, prompt, *words, place=None, remember=True, error=None, thinking=""):
    """Ask, and let these words be the answer."""
    reply = Reply()
    exchange = conversation.begin(prompt, reply, place, remember=remember)
    if thinking:
        reply.add(ThinkingDelta(thinking))
    for word in words:
        event = TextDelta(word)
        reply.add(event)
        conversation.grew(exchange, event)
    reply.add(Finished("error" if error else "stop"))
    conversation.end(exchange, error)
    return exchange


def said(conversation):
    return " ".join(message.content for message in conversation.messages)


def shown(conversation):
    return " ".join(one.content or "-" for one in conversation.tree.path())


def test_whoever_watches_is_told_of_each_step_as_it_is_taken():
    """The answer has grown already when its growth is told."""
    conversation = Conversation()
    notes = Notes()
    conversation.watch(notes)
    conversation.watch(notes)

    ask(conversation, "a", "B", "C")
    conversation.undo()
    conversation.unwatch(notes)
    ask(conversation, "d", "E")

    assert notes.told == [("began", "a", ""), ("grew", "B"), ("grew", "BC"), ("ended", "BC", ""), ("changed",)]


def test_a_watcher_that_fails_does_not_take_the_reply_with_it(caplog):
    """What it raised is logged."""
    conversation = Conversation()
    conversation.watch(object())
    notes = Notes()
    conversation.watch(notes)

    ask(conversation, "a", "B")

    assert notes.told[-1] == ("ended", "B", "")
    assert "failed to take note" in caplog.text


def test_a_one_off_is_told_and_is_no_part_of_the_conversation():
    """It is watched, for it may be kept; nothing follows it."""
    conversation = Conversation()
    notes = Notes()
    conversation.watch(notes)

    exchange = ask(conversation, "a", "B", remember=False)

    assert [what for what, *_ in notes.told] == ["began", "grew", "ended"]
    assert conversation.tree.get(exchange.answer.id) is None
    assert said(conversation) == ""


def test_the_same_words_give_another_answer_and_other_words_another_question():
    """Both stand beside the old ones; what followed stays with the new one or with the old one."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    ask(conversation, "b", "B")

    ask(conversation, "a", "A2", place=Place(instead_of=first.question.id))
    assert said(conversation) == "a A2 b B"
    assert [one.text for one in conversation.tree.versions(first.answer)] == ["A", "A2"]
    ask(conversation, "c", "C", place=Place(instead_of=first.question.id, keeps=False))
    assert said(conversation) == "c C"
    conversation.choose(first.answer)
    assert said(conversation) == "a A"


def test_a_cell_asks_again_in_the_place_of_its_own_question():
    """However its words have changed; another cell's stays."""
    conversation = Conversation()
    ask(conversation, "a", "A", place=Place(cell="1"))
    ask(conversation, "b", "B", place=Place(cell="2"))

    ask(conversation, "a2", "A2", place=Place(cell="1"))
    ask(conversation, "a3", "A3", place=Place(cell="1"))

    assert said(conversation) == "a3 A3 b B"
    assert [message.content for message in conversation.before(Place(cell="2"))] == ["a3", "A3"]


def test_an_answer_without_a_word_displaces_none_and_leaves_no_version():
    """What stood there is shown again, with what followed it; the question can still be asked again."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    ask(conversation, "b", "B")
    for prompt in ("a", "other"):
        ask(conversation, prompt, place=Place(instead_of=first.question.id), error=OSError("gone"))

        assert said(conversation) == "a A b B"
        assert len(conversation.tree) == 4
        assert conversation.unanswered == (prompt, Place(instead_of=first.question.id))


def test_thoughts_without_an_answer_are_kept_as_a_version_that_is_not_chosen():
    """Nothing that came is lost, and the history keeps its words."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")

    ask(conversation, "a", place=Place(instead_of=first.question.id), thinking="hm")

    assert said(conversation) == "a A"
    assert [one.thought for one in conversation.tree.versions(first.answer)] == ["", "hm"]


def test_a_question_that_failed_is_shown_and_is_not_sent():
    """It stands where it was asked until it is asked again; then its failure is no version of it."""
    conversation = Conversation()
    failed = ask(conversation, "a", error=OSError("gone"))
    ask(conversation, "b", "B")

    assert shown(conversation) == "a - b B"
    assert failed.answer.error == "gone"
    assert said(conversation) == "b B"
    ask(conversation, "a", "A", place=Place(instead_of=failed.question.id))
    assert said(conversation) == "a A b B"
    assert len(conversation.tree) == 4


def test_an_answer_that_goes_on_grows():
    """The words come behind those that were there; if none come, it stays as it was."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    answer = first.answer
    answer.finish_reason = "interrupted"

    ask(conversation, "go on", place=Place(goes_on=True), error=OSError("gone"))
    assert (answer.text, answer.finish_reason, answer.streams) == ("A", "interrupted", False)
    exchange = conversation.begin("go on", Reply(), Place(goes_on=True), remember=True)
    exchange.answer.reply.add(TextDelta("BC"))
    assert (answer.content, said(conversation)) == ("ABC", "a A")
    exchange.answer.reply.end("stop")
    conversation.end(exchange, None)
    assert (said(conversation), answer.finish_reason) == ("a ABC", "stop")


def test_undo_takes_back_the_last_answered_exchange_in_all_its_versions():
    """And what failed after it; nothing of it comes back."""
    conversation = Conversation()
    ask(conversation, "a", "A")
    second = ask(conversation, "b", "B")
    ask(conversation, "c", "C", place=Place(instead_of=second.question.id))
    ask(conversation, "d", error=OSError("gone"))

    assert conversation.undo() == "c"
    assert shown(conversation) == "a A"
    assert conversation.undo() == "a"
    assert conversation.undo() is None


def test_what_was_removed_is_gone_once_something_else_was_asked():
    """Nor does it come back into a conversation that began anew; a question asked aside is none of its matter."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    ask(conversation, "b", "B")

    assert [one.text for one in conversation.remove(first.question)] == ["a", "A"]
    ask(conversation, "aside", "Z", remember=False)
    assert [one.text for one in conversation.restore()] == ["a", "A"]
    assert said(conversation) == "a A b B"
    conversation.remove(first.question)
    ask(conversation, "c", "C")
    assert conversation.restore() == []
    conversation.remove(conversation.tree.path()[0])
    conversation.undo()
    assert conversation.restore() == []
    conversation.messages = [Message("user", "x"), Message("assistant", "X")]
    conversation.remove(conversation.tree.path()[0])
    conversation.start_over()
    assert conversation.restore() == []


def test_starting_over_is_a_new_conversation_of_the_same_name():
    """Whoever keeps the old one can tell them apart."""
    conversation = Conversation("paper")
    ask(conversation, "a", "A")
    before = conversation.id

    conversation.reset()

    assert (conversation.messages, conversation.name) == ([], "paper")
    assert conversation.id != before


def test_messages_may_be_assigned():
    """A list of one's own is the conversation from then on; a system message has its own place."""
    conversation = Conversation()
    conversation.messages = [Message("user", "a"), Message("assistant", "A", thinking="hm")]

    assert conversation.messages == [Message("user", "a"), Message("assistant", "A", thinking="hm")]
    with pytest.raises(ConfigError, match=r"Chat\.system"):
        conversation.messages = [Message("system", "s")]
