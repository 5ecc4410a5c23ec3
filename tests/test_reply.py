"""A reply adds its events up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from IPython.lib.pretty import pretty

from chatglm_magic._errors import ReplyFormatError
from chatglm_magic._events import Finished, Part, Replace, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, Usage
from chatglm_magic._messages import Message
from chatglm_magic._reply import Reply


def made(*events) -> Reply:
    reply = Reply("m", "p")
    for event in events:
        reply.add(event)
    return reply


def kinds(reply: Reply) -> list[tuple[str, str]]:
    return [(part.kind, part.content or part.name) for part in reply.parts]


@given(st.lists(st.builds(TextDelta, st.text()) | st.builds(ThinkingDelta, st.text())))
def test_text_and_thinking_are_their_deltas(events):
    """However deltas are mixed, text is all of the text, thinking all of the thinking, in order."""
    reply = made(*events)

    assert reply.text == str(reply) == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert reply.thinking == "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def test_parts_stand_where_they_first_arrived():
    """Text, thinking and calls grow in the place where they began; other parts stand between them."""
    reply = made(
        ThinkingDelta("t"),
        TextDelta("a"),
        Part("code", "x"),
        ToolCallDelta(0, "1", "f", "{}"),
        ThinkingDelta("u"),
        TextDelta("b"),
        Part("image", urls=("https://e.de",)),
    )

    assert kinds(reply) == [("thinking", "tu"), ("text", "ab"), ("code", "x"), ("tool_call", "f"), ("image", "")]


def test_a_part_that_comes_again_takes_its_place():
    """A later part with the same id and kind replaces the earlier; another kind or no id does not."""
    reply = made(
        Part("code", "x", id="a"),
        TextDelta("t"),
        Part("code", "y", id="a"),
        Part("execution_output", "z", id="a"),
        Part("notice", "n"),
        Part("notice", "n"),
    )

    assert kinds(reply) == [("code", "y"), ("text", "t"), ("execution_output", "z"), ("notice", "n"), ("notice", "n")]


def test_the_wires_own_list_of_parts_wins():
    """A wire that numbers its parts gives them whole at the end."""
    parts = (Part("text", "a"), Part("code", "x"), Part("text", "b"))

    assert made(TextDelta("a\n\nb"), Part("code", "x"), Finished("stop", parts=parts)).parts == list(parts)


def test_calls_merge_by_index():
    """Pieces of a call join by index, whatever comes between; the first id and name given win."""
    reply = made(
        ToolCallDelta(1, "b", "g", "{"),
        ToolCallDelta(0, "", "f", '{"x":'),
        ToolCallDelta(1, "other", "h", "}"),
        ToolCallDelta(0, "a", "", "1}"),
    )

    assert reply.tool_calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]
    assert [part.call_id for part in reply.parts] == ["b", "a"]


@pytest.mark.parametrize(
    ("replace", "shown"),
    [
        (Replace("new"), [("text", "new"), ("code", "x")]),
        (Replace("new", "thought"), [("thinking", "thought"), ("text", "new"), ("code", "x")]),
        (Replace("", "thought"), [("thinking", "thought"), ("code", "x")]),
        (Replace(""), [("code", "x")]),
    ],
)
def test_a_correction_unsays_text_and_thinking(replace, shown):
    """`Replace` is the whole of text and thinking so far; other parts stay."""
    reply = made(TextDelta("old"), Part("code", "x"), replace)

    assert kinds(reply) == shown
    assert (reply.text, reply.thinking) == (replace.text, replace.thinking)

    reply.add(TextDelta("+"))

    assert reply.text == f"{replace.text}+"


def test_the_end_tells_what_the_wire_said():
    """`Finished` brings reason, model, ids and warnings; `Usage` the tokens."""
    reply = made(
        TextDelta("a"),
        Usage(1, 2, 3),
        Finished("length", raw="len", model="m2", message_id="i", conversation_id="c", mode="delta", warnings=("w",)),
    )

    assert (reply.finish_reason, reply.raw_finish, reply.model, reply.provider) == ("length", "len", "m2", "p")
    assert (reply.message_id, reply.conversation_id, reply.mode, reply.warnings) == ("i", "c", "delta", ["w"])
    assert reply.usage == Usage(1, 2, 3)
    assert made(Finished("stop")).model == "m"


def test_an_end_is_final():
    """A reply that has ended stays ended as it did; its seconds stand still."""
    reply = made(Finished("stop"))
    reply.end("error")
    stopped = Reply()
    stopped.end("interrupted")
    stopped.end("error")
    seconds = stopped.elapsed

    assert (reply.finish_reason, stopped.finish_reason) == ("stop", "interrupted")
    assert stopped.elapsed == seconds
    assert Reply().finish_reason is None


def test_times_are_of_the_first_event_and_the_thoughts():
    """`first_event` is set by the first event only; thinking seconds span the thoughts."""
    reply = Reply()

    assert reply.first_event is None
    assert reply.thinking_seconds == 0

    reply.add(ThinkingDelta("a"))
    first = reply.first_event
    reply.add(ThinkingDelta("b"))
    reply.add(TextDelta("c"))

    assert first is not None
    assert reply.first_event == first
    assert 0 <= reply.thinking_seconds <= reply.elapsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (" [1, 2]\n", [1, 2]),
        ('Here:\n```json\n{"a": [1]}\n```\nDone.', {"a": [1]}),
        ("```\n3\n```", 3),
        ("null", None),
    ],
)
def test_json_is_read_with_a_fence_forgiven(text, value):
    """JSON is read from the whole text, or from the one fence in it."""
    assert made(TextDelta(text)).json == value


@pytest.mark.parametrize("text", ["", "no", "{'a': 1}", "```json\n{\n```", "```\n1\n```\n```\n2\n```", "[" * 100_000])
def test_what_is_no_json_says_so(text):
    """The error quotes the text, shortened, and says what to do."""
    with pytest.raises(ReplyFormatError, match=r"not JSON .*Ask for JSON only"):
        _ = made(TextDelta(text)).json


def test_the_message_for_the_history_is_what_the_model_said():
    """Text and thinking go into the history; the service's own parts do not."""
    reply = made(ThinkingDelta("t"), TextDelta("a"), Part("code", "x"), ToolCallDelta(0, "1", "f", "{}"))

    assert reply.message() == Message("assistant", "a", thinking="t")


def test_code_is_the_fences_of_the_text():
    """`code` gives each fenced block with language and source."""
    reply = made(TextDelta("a\n```py\nx\n"), TextDelta("```\nb\n```\ny"))

    assert [(block.language, block.source) for block in reply.code] == [("py", "x"), ("", "y")]


def test_a_reply_is_quiet_once():
    """Shown while it streamed, a reply stays silent as its cell's value; evaluated again, it shows as Markdown."""
    formatter = DisplayFormatter()
    reply = made(TextDelta("**a** <b>"))
    reply.quiet_once = True

    assert formatter.format(reply) == ({}, {})

    data, _ = formatter.format(reply)

    assert data == {"text/markdown": "**a** &lt;b>", "text/plain": "**a** <b>"}


def test_a_reply_is_formatted_as_its_text():
    """A width or a precision counts its characters."""
    reply = Reply()
    reply.add(TextDelta("one two"))

    assert (f"{reply}", f"{reply:.3}", f"{reply:>9}") == ("one two", "one", "  one two")


def test_a_cut_reply_reads_as_cut_in_a_terminal():
    """Where its text alone is printed, a line below says how it ended, if not well."""
    reply = Reply()
    reply.add(TextDelta("half"))
    reply.end("interrupted")

    assert pretty(reply) == "half\n\n[stopped]"


def test_a_repr_is_one_line():
    """`repr` tells state and model and begins the text; `str` is the text."""
    assert repr(made(TextDelta("a\nb " * 50))) == f"<Reply streaming 'm' {'a b ' * 14 + 'a b…'!r}>"
    assert repr(made(TextDelta("hi"), Finished("stop"))) == "<Reply stop 'm' 'hi'>"
