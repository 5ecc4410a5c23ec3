"""A conversation as it grows, is changed and is watched."""

from __future__ import annotations

import pytest

from chatglm_magic._conversation.conversation import NOT_RUN, Conversation, InsertPoint, last_turns
from chatglm_magic._errors import ConfigError
from chatglm_magic._events import Finished, TextDelta, ThinkingDelta, ToolCall
from chatglm_magic._messages import ImagePart, Message, TextPart
from chatglm_magic._reply import Reply


class Notes:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def on_start(self, conversation, question, answer):
        self.told.append(("on_start", question.text, answer.text_so_far))

    def on_event(self, conversation, answer, event):
        self.told.append(("on_event", answer.text_so_far))

    def on_end(self, conversation, answer, error):
        self.told.append(("on_end", answer.text, str(error or "")))

    def on_change(self, conversation):
        self.told.append(("on_change", *(message.content for message in conversation.messages)))


def ask(conversation, prompt, *words, place=None, remember=True, error=None, thinking=""):
    """Ask, and let these words be the answer."""
    reply = Reply()
    turn = conversation.begin(prompt, reply, place, remember=remember)
    if thinking:
        reply.add(ThinkingDelta(thinking))
    for word in words:
        event = TextDelta(word)
        reply.add(event)
        conversation.notify_event(turn, event)
    reply.add(Finished("error" if error else "stop"))
    conversation.end(turn, error)
    return turn


def said(conversation):
    return " ".join(message.content for message in conversation.messages)


def shown(conversation):
    return " ".join(one.text_so_far or "-" for one in conversation.tree.path())


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

    assert notes.told == [
        ("on_start", "a", ""),
        ("on_event", "B"),
        ("on_event", "BC"),
        ("on_end", "BC", ""),
        ("on_change",),
    ]


def test_a_watcher_that_fails_does_not_take_the_reply_with_it(caplog):
    """What it raised is logged."""
    conversation = Conversation()
    conversation.watch(object())
    notes = Notes()
    conversation.watch(notes)

    ask(conversation, "a", "B")

    assert notes.told[-1] == ("on_end", "B", "")
    assert "failed to take note" in caplog.text


def test_a_one_off_is_told_and_is_no_part_of_the_conversation():
    """It is watched, for it may be kept; nothing follows it."""
    conversation = Conversation()
    notes = Notes()
    conversation.watch(notes)

    turn = ask(conversation, "a", "B", remember=False)

    assert [what for what, *_ in notes.told] == ["on_start", "on_event", "on_end"]
    assert conversation.tree.get(turn.answer.id) is None
    assert said(conversation) == ""


def test_the_same_words_give_another_answer_and_other_words_another_question():
    """Both stand beside the old ones; what followed stays with the new one or with the old one."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    ask(conversation, "b", "B")

    ask(conversation, "a", "A2", place=InsertPoint(instead_of=first.question.id))
    assert said(conversation) == "a A2 b B"
    assert [one.text for one in conversation.tree.versions(first.answer)] == ["A", "A2"]
    ask(conversation, "c", "C", place=InsertPoint(instead_of=first.question.id, keep_followers=False))
    assert said(conversation) == "c C"
    conversation.choose(first.answer)
    assert said(conversation) == "a A"


def test_a_cell_asks_again_in_the_place_of_its_own_question():
    """However its words have changed; another cell's stays."""
    conversation = Conversation()
    ask(conversation, "a", "A", place=InsertPoint(cell="1"))
    ask(conversation, "b", "B", place=InsertPoint(cell="2"))

    ask(conversation, "a2", "A2", place=InsertPoint(cell="1"))
    ask(conversation, "a3", "A3", place=InsertPoint(cell="1"))

    assert said(conversation) == "a3 A3 b B"
    assert [message.content for message in conversation.before(InsertPoint(cell="2"))] == ["a3", "A3"]


def test_an_answer_without_a_word_displaces_none_and_leaves_no_version():
    """What stood there is shown again, with what followed it; the question can still be asked again."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    ask(conversation, "b", "B")
    for prompt in ("a", "other"):
        ask(conversation, prompt, place=InsertPoint(instead_of=first.question.id), error=OSError("gone"))

        assert said(conversation) == "a A b B"
        assert len(conversation.tree) == 4
        assert conversation.unanswered == (prompt, InsertPoint(instead_of=first.question.id))


def test_thoughts_without_an_answer_are_kept_as_a_version_that_is_not_chosen():
    """Nothing that came is lost, and the history keeps its words."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")

    ask(conversation, "a", place=InsertPoint(instead_of=first.question.id), thinking="hm")

    assert said(conversation) == "a A"
    assert [one.thinking for one in conversation.tree.versions(first.answer)] == ["", "hm"]


def test_a_question_that_failed_is_shown_and_is_not_sent():
    """It stands where it was asked until it is asked again; then its failure is no version of it."""
    conversation = Conversation()
    failed = ask(conversation, "a", error=OSError("gone"))
    ask(conversation, "b", "B")

    assert shown(conversation) == "a - b B"
    assert failed.answer.error == "gone"
    assert said(conversation) == "b B"
    ask(conversation, "a", "A", place=InsertPoint(instead_of=failed.question.id))
    assert said(conversation) == "a A b B"
    assert len(conversation.tree) == 4


def test_an_answer_that_goes_on_grows():
    """The words come behind those that were there; if none come, it stays as it was."""
    conversation = Conversation()
    first = ask(conversation, "a", "A")
    answer = first.answer
    answer.finish_reason = "interrupted"

    ask(conversation, "go on", place=InsertPoint(continues=True), error=OSError("gone"))
    assert (answer.text, answer.finish_reason, answer.streaming) == ("A", "interrupted", False)
    turn = conversation.begin("go on", Reply(), InsertPoint(continues=True), remember=True)
    turn.answer.reply.add(TextDelta("BC"))
    assert (answer.text_so_far, said(conversation)) == ("ABC", "a A")
    turn.answer.reply.end("stop")
    conversation.end(turn, None)
    assert (said(conversation), answer.finish_reason) == ("a ABC", "stop")


def test_undo_takes_back_the_last_answered_turn_in_all_its_versions():
    """And what failed after it; nothing of it comes back."""
    conversation = Conversation()
    ask(conversation, "a", "A")
    second = ask(conversation, "b", "B")
    ask(conversation, "c", "C", place=InsertPoint(instead_of=second.question.id))
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


CALL = Message("assistant", "Let me see.", calls=(ToolCall("c1", "stock", "{}"), ToolCall("c2", "now", "{}")))
RESULTS = (Message("tool", "3 left", call_id="c1"), Message("tool", "noon", call_id="c2"))
PICTURE = ImagePart(data=b"\x89PNG", media_type="image/png", name="plot.png")
OTHER = ImagePart(url="https://h/a.png")


def call(conversation, prompt, *words, exchange=(CALL, *RESULTS), place=None):
    """Ask, and let tools be called before these words."""
    reply = Reply()
    turn = conversation.begin(prompt, reply, place, remember=True)
    reply.exchange += exchange
    for word in words:
        reply.add(TextDelta(word))
    reply.add(Finished("stop" if words else "interrupted"))
    conversation.end(turn, None)


def look(conversation, prompt, *words, pictures=(PICTURE,), place=None):
    """Ask about pictures."""
    reply = Reply()
    turn = conversation.begin(prompt, reply, place, remember=True, attachments=pictures)
    for word in words:
        reply.add(TextDelta(word))
    reply.add(Finished("stop" if words else "error"))
    conversation.end(turn, None)


def test_calls_and_their_results_are_a_part_of_the_turn():
    """They are sent again between question and answer, are trimmed together, and are undone at once."""
    conversation = Conversation()
    call(conversation, "How many?", "Three.")
    ask(conversation, "Thanks", "Welcome.")
    first = [Message("user", "How many?"), CALL, *RESULTS, Message("assistant", "Three.")]
    second = [Message("user", "Thanks"), Message("assistant", "Welcome.")]

    assert conversation.messages == first + second
    assert conversation.message_count == 4
    assert len(conversation.tree) == 4
    assert [last_turns(conversation.messages, limit) for limit in (20, 30, 99)] == [second, second, first + second]
    assert (conversation.undo(), conversation.undo()) == ("Thanks", "How many?")
    assert conversation.messages == []


def test_what_was_called_before_a_stop_is_kept():
    """An answer that was stopped at its tools is an answer: each call has a result, and going on appends to it."""
    conversation = Conversation()
    call(conversation, "How many?", exchange=(CALL, RESULTS[1]))
    stopped = [Message("user", "How many?"), CALL, Message("tool", NOT_RUN, call_id="c1"), RESULTS[1]]

    assert conversation.messages == stopped
    assert conversation.unanswered is None
    ask(conversation, "Go on", "Three.", place=InsertPoint(continues=True))
    assert conversation.messages == [*stopped, Message("assistant", "Three.")]
    assert len(conversation.tree) == 2


def test_another_answer_that_calls_stands_beside_the_old_one():
    """A version keeps its own calls; one that fails before anything was said or called leaves the old one there."""
    conversation = Conversation()
    ask(conversation, "How many?", "Two.")
    question = conversation.tree.path()[0]
    call(conversation, "How many?", "Three.", place=InsertPoint(instead_of=question.id))
    call(conversation, "How many?", exchange=(), place=InsertPoint(instead_of=question.id))

    assert conversation.messages == [Message("user", "How many?"), CALL, *RESULTS, Message("assistant", "Three.")]
    conversation.choose(conversation.tree.children(question)[0])
    assert conversation.messages == [Message("user", "How many?"), Message("assistant", "Two.")]


def test_messages_with_calls_and_pictures_can_be_assigned():
    """What one conversation has said another one can go on with, whole turns or one that ends at its tools."""
    conversation, other = Conversation(), Conversation()
    look(conversation, "Look", "A plot.")
    call(conversation, "How many?", "Three.")
    call(conversation, "And now?")
    other.messages = conversation.messages

    assert other.messages == conversation.messages
    assert [node.role for node in other.tree.path()] == ["user", "assistant"] * 3
    with pytest.raises(ConfigError, match="not 'system'"):
        other.messages = [Message("system", "Be terse.")]


def test_a_question_is_its_text_and_its_pictures():
    """Other pictures make another question of the same words; the same ones give it another answer."""
    conversation = Conversation()
    look(conversation, "Look", "A plot.")
    at_plot = InsertPoint(instead_of=conversation.tree.path()[0].id)
    look(conversation, "Look", "A cat.", pictures=(OTHER,), place=at_plot)
    assert conversation.messages == [Message("user", (TextPart("Look"), OTHER)), Message("assistant", "A cat.")]
    at_cat = InsertPoint(instead_of=conversation.tree.path()[0].id)
    look(conversation, "Look", "A dog.", pictures=(OTHER,), place=at_cat)

    first, second = conversation.tree.versions(conversation.tree.path()[0])
    assert (first.attachments, second.attachments) == ((PICTURE,), (OTHER,))
    assert [node.text for node in conversation.tree.children(second)] == ["A cat.", "A dog."]


def test_a_question_that_failed_leads_back_to_its_pictures():
    """They are no part of the prompt, so where it is asked again they are found in its place."""
    conversation = Conversation()
    look(conversation, "Look", place=InsertPoint(cell="a"))
    prompt, place = conversation.unanswered

    assert (prompt, place.cell) == ("Look", "a")
    assert conversation.tree.get(place.instead_of).attachments == (PICTURE,)
