"""Tests of a panel's state: what its views hold is what was said, however it came there."""

from __future__ import annotations

import asyncio

import pytest
from panel_kit import Page, Scripted, chat_with, is_as_new

from chatglm_magic import Chat, ChatPanel, Finished, Part, Replace, Source, TextDelta, ThinkingDelta, Usage
from chatglm_magic._errors import ConnectError, MissingKeyError

HELLO = [TextDelta("Hello "), TextDelta("**world**"), Usage(3, 4, 7)]
CODE = [ThinkingDelta("hm "), 0.05, ThinkingDelta("so"), 0.05, TextDelta("Look:\n\n```python\n"), 0.06]
CODE += [one for n in range(8) for one in (TextDelta(f"x{n} = '<b>'\n"), 0.03)]
CODE += [TextDelta("```\n\n- a\n- b\n\n"), 0.06, TextDelta("and $x^2$"), 0.06]


def slowly(*texts: str, delay: float = 0.1) -> list:
    return [one for text in texts for one in (TextDelta(text), delay)]


def test_a_question_and_its_answer_come_to_the_page():
    """What is sent appears, its answer grows below it, and the end tells model, tokens and what may be done."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        sent = page.ask("send", text="hi *there*")
        page.wait(lambda: page.shown and page.last["state"] == "done")
        page.settled()

        question, answer = page.shown
        assert (question["role"], question["source"], question["can"]) == ("user", "hi *there*", ["edit", "delete"])
        assert question["blocks"] == ["<p>hi <em>there</em></p>"]
        assert (answer["role"], answer["state"], answer["note"]) == ("assistant", "done", "")
        assert "".join(answer["blocks"]) == "<p>Hello <strong>world</strong></p>"
        assert answer["meta"].startswith("glm-4.7 · 3 + 4 tokens · ")
        assert answer["can"] == ["regenerate", "delete"]
        assert page.foot["tokens"] == 7
        assert [m["k"] for _, m in page.got if m.get("for") == sent] == ["ok"]
        assert page.panel.chat.messages[-1].content == "Hello **world**"


@pytest.mark.parametrize(
    ("finished", "state", "note"),
    [
        (Finished("stop", warnings=("no-finish-reason",)), "cut", "did not say that the answer is complete"),
        (Finished("stop", warnings=("bad-frame",)), "cut", "could not be read"),
        (Finished("length"), "cut", "max_tokens"),
        (Finished("content_filter", warnings=("refusal",)), "done", "refused by the model"),
        (Finished("stop", warnings=("unknown-field:audio",)), "done", "not understood"),
        (Finished("stop", warnings=("null-choices", "store-full")), "done", ""),
    ],
)
def test_a_cut_or_odd_answer_is_marked(finished, state, note):
    """An answer that may not be whole says so and offers to go on; what is not shown is named."""
    with Page(ChatPanel(chat_with([TextDelta("Half"), finished]))) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] in {"cut", "done"})

        assert page.last["state"] == state
        assert note in page.last["note"]
        assert bool(page.last["note"]) == bool(note)
        assert "%chatglm" not in page.last["note"]
        assert ("continue" in page.last["can"]) == (state == "cut")


def test_nothing_is_made_for_a_panel_that_nobody_looks_at():
    """Before a view says `ready`, and after the last one said `bye`, nothing is sent; the next view gets all."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat), opens=False) as page:
        asyncio.run(chat.send("one"))
        assert page.got == []

        page.ask("ready")
        page.wait(lambda: len(page.shown) == 2)
        for _ in range(40):
            page.ask("draft", text="more than goes out at once", at=0)
        page.ask("bye")
        page.wait(lambda: not page.panel._state.channel.views)
        assert not page.panel._state.channel.waiting
        count = len(page.got)
        asyncio.run(chat.send("two"))
        assert len(page.got) == count

        page.ask("ready")
        page.wait(lambda: len(page.shown) == 4)
        assert is_as_new(page)


def test_a_view_that_comes_in_mid_stream_holds_what_the_first_one_was_told():
    """Steps, code that is appended, thinking and settled blocks add up to the whole, at any moment and at the end."""
    with Page(ChatPanel(chat_with(CODE))) as page:
        page.ask("send", text="code")
        page.wait(lambda: page.shown and page.last["role"] == "assistant")
        moments = 0
        while page.last["state"] == "streaming":
            assert is_as_new(page)
            page.panel.chat.notify_change()  # whatever it was: what grows goes on growing
            moments += 1
        page.settled()

        assert moments > 3
        assert is_as_new(page)
        assert page.last["thinking"]["blocks"] == ["<p>hm so</p>"]
        assert page.last["can"] == ["regenerate", "delete", "insert"]
        assert "cg-code" in "".join(page.last["blocks"])


def test_a_correction_of_the_wire_replaces_what_was_shown():
    """What the wire takes back is on no page."""
    said = [TextDelta("Wrong\n\nwords\n\n"), 0.1, Replace("Right\n\n", "a thought"), 0.1, TextDelta("words")]
    with Page(ChatPanel(chat_with(said))) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] == "done")

        assert "".join(page.last["blocks"]) == "<p>Right</p><p>words</p>"
        assert page.last["thinking"]["blocks"] == ["<p>a thought</p>"]
        assert is_as_new(page)


def test_parts_of_a_reply_stand_below_its_text():
    """Output of code and the pages that were found come with the end, made safe like all else."""
    parts = [
        Part("execution_output", "<b>42</b>"),
        Part("search", sources=(Source("A [page]", "https://example.org/a"), Source("", "javascript:alert(1)"))),
    ]
    with Page(ChatPanel(chat_with([TextDelta("Found:"), 0.1, *parts]))) as page:
        html = "".join(page.exchange("send", text="search")["blocks"])

        assert "&lt;b&gt;42&lt;/b&gt;" in html
        assert 'href="https://example.org/a"' in html
        assert 'href="javascript' not in html
        assert is_as_new(page)


def test_no_more_than_twenty_messages_go_out_in_a_second():
    """Servers drop what comes in bursts: a reply that is there at once, and a page that asks much, are paced."""
    with Page(ChatPanel(chat_with([TextDelta(f"word {n}\n\n") for n in range(3000)]))) as page:
        page.ask("send", text="go")
        for _ in range(30):
            page.ask("draft", text="some {draft}", at=3)
        page.wait(lambda: page.shown and page.last["state"] == "done")
        page.settled()

        times = [moment for moment, _ in page.got]
        assert all(later - sooner >= 0.999 for sooner, later in zip(times, times[20:], strict=False))
        assert "".join(page.last["blocks"]).count("word ") == 3000
        assert is_as_new(page)


def test_stop_keeps_what_came_and_continue_goes_on_there():
    """A stopped answer keeps its text and a mark; going on appends to it, as one answer."""
    chat = chat_with(slowly("One ", "two ", "never", delay=0.2), [TextDelta("three")])
    with Page(ChatPanel(chat)) as page:
        page.ask("send", text="count")
        page.wait(lambda: page.shown and "two" in page.last["tail"])
        page.ask("stop")
        page.wait(lambda: page.last["state"] == "stopped")
        page.settled()
        assert (page.last["note"], page.last["can"][0]) == ("[stopped]", "continue")
        assert chat.messages[-1].content == "One two "

        page.ask("continue", id=page.last["id"])
        page.wait(lambda: page.last["state"] == "done")
        page.settled()
        assert "".join(page.last["blocks"]) == "<p>One two three</p>"
        assert len(page.shown) == 2
        assert [message.content for message in chat.messages] == ["count", "One two three"]
        assert is_as_new(page)


def test_regenerating_makes_versions_that_can_be_leafed_through():
    """Another answer stands beside the first; each version brings what followed it."""
    chat = chat_with([TextDelta("first")], [TextDelta("and then")], [TextDelta("second")])
    with Page(ChatPanel(chat)) as page:
        for text in ("one", "two"):
            page.exchange("send", text=text)
        page.ask("regenerate", id=page.shown[1]["id"])
        page.wait(lambda: len(page.shown) == 2 and page.last["state"] == "done")
        page.settled()
        assert (page.last["version"], page.last["versions"]) == (2, 2)
        assert page.last["blocks"] == ["<p>second</p>"]

        page.ask("version", id=page.last["id"], step=-1)
        page.wait(lambda: len(page.shown) == 4)
        assert [m["version"] for m in page.shown] == [1, 1, 1, 1]
        assert [m.content for m in chat.messages] == ["one", "first", "two", "and then"]
        assert page.answer("version", id=page.shown[1]["id"], step=-1)["bad"]
        assert is_as_new(page)


def test_an_edited_question_is_a_branch():
    """Edit and resend asks with what was said before; the old question and all that followed stay as a version."""
    provider = Scripted([TextDelta("a1")], [TextDelta("a2")], [TextDelta("b1")])
    chat = Chat(provider)
    with Page(ChatPanel(chat)) as page:
        for text in ("one", "two"):
            page.exchange("send", text=text)
        page.ask("edit", id=page.shown[0]["id"], text="uno")
        page.wait(lambda: len(page.shown) == 2 and page.last["state"] == "done")
        page.settled()

        assert [message.content for message in provider.requests[-1].messages] == ["uno"]
        assert (page.shown[0]["version"], page.shown[0]["versions"]) == (2, 2)
        page.ask("version", id=page.shown[0]["id"], step=-1)
        page.wait(lambda: len(page.shown) == 4)
        assert page.shown[0]["source"] == "one"
        assert is_as_new(page)


def test_a_deleted_message_goes_with_its_partner():
    """Question and answer go together; what followed stays."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat)) as page:
        for text in ("one", "two"):
            page.exchange("send", text=text)
        page.ask("delete", id=page.shown[0]["id"])
        page.wait(lambda: len(page.shown) == 2)

        assert [m.content for m in chat.messages] == ["two", "Hello **world**"]
        assert page.answer("delete", id="nobody")["bad"]
        assert is_as_new(page)


def test_what_was_deleted_can_be_brought_back():
    """A note says how much is gone and offers it; it comes back in its place, until something else is asked."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat)) as page:
        assert "nothing was deleted" in page.answer("undo")["text"]
        for text in ("one", "two"):
            page.exchange("send", text=text)
        page.exchange("edit", id=page.shown[0]["id"], text="uno")
        page.answer("version", id=page.shown[0]["id"], step=-1)
        page.wait(lambda: len(page.shown) == 4)
        told = page.answer("delete", id=page.shown[0]["id"])
        assert (told["text"], told["undo"], told["bad"]) == ("4 messages deleted.", True, False)
        page.wait(lambda: len(page.shown) == 2)
        page.answer("undo")
        page.wait(lambda: [m["source"] for m in page.shown[::2]] == ["one", "two"])

        assert (page.shown[0]["version"], page.shown[0]["versions"]) == (1, 2)
        assert is_as_new(page)
        assert page.answer("undo")["bad"]
        page.answer("delete", id=page.shown[0]["id"])
        page.exchange("send", text="three")
        assert page.answer("undo")["bad"]


def test_a_failure_is_told_in_its_message_and_can_be_tried_again():
    """What went wrong stands below the question in a sentence; trying again takes its place."""
    error = ConnectError("Nobody answers at 127.0.0.1: start the server.", provider="scripted", model="")
    with Page(ChatPanel(chat_with([error], HELLO))) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] == "failed")
        page.settled()
        assert page.last["note"] == "Nobody answers at 127.0.0.1: start the server."
        assert page.last["can"] == ["retry", "regenerate", "delete"]

        page.ask("retry")
        page.wait(lambda: page.last["state"] == "done")
        page.settled()
        assert len(page.shown) == 2
        assert page.last["versions"] == 1
        assert is_as_new(page)


@pytest.mark.parametrize(
    ("advice", "shown"),
    [
        ("Nobody answers. Run the cell again in a moment.", "Nobody answers. Try again in a moment."),
        ("Too many. Wait a moment and run the cell again.", "Too many. Wait a moment and try again."),
        ("Silent. Run the cell again, or wait longer with --timeout S.", "Silent. Try again."),
        ("No key: log in, or use -m local.", "No key: log in, or choose local under Model."),
    ],
)
def test_advice_is_for_the_panel(advice, shown):
    """What an error tells whoever asks in a cell to do, a panel says in its own words."""
    error = ConnectError(advice, provider="scripted", model="")
    with Page(ChatPanel(chat_with([error]))) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] == "failed")

        assert page.last["note"] == shown


def test_a_bug_of_a_provider_is_told_like_any_failure(caplog):
    """Whatever a provider raises, the message says so, the log has the rest, and the panel goes on."""
    with Page(ChatPanel(chat_with([TextDelta("so far "), ZeroDivisionError("division by zero")], HELLO))) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] == "failed")
        page.settled()

        assert page.last["note"] == "division by zero"
        assert "so far" in "".join(page.last["blocks"])
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()


def test_a_missing_key_is_a_failed_message(monkeypatch):
    """Where nobody can be asked, the question stands with the ways out below it."""
    chat = chat_with(HELLO)
    panel = ChatPanel(chat)

    def nobody(_: Chat, *, cached: bool) -> None:
        msg = "No key for zai. Set ZAI_API_KEY."
        raise MissingKeyError(msg)

    monkeypatch.setattr(panel._state.workspace, "target", nobody)
    with Page(panel) as page:
        page.ask("send", text="hi")
        page.wait(lambda: page.shown and page.last["state"] == "failed")

        assert page.last["note"] == "No key for zai. Set ZAI_API_KEY."
        assert page.shown[0]["source"] == "hi"
        assert chat.messages == []


def test_a_key_in_a_message_is_refused_and_shown_nowhere(monkeypatch):
    """The words go back to the box; neither the conversation nor the server gets them."""
    monkeypatch.setenv("ZAI_API_KEY", "0123456789abcdef.0123456789abcdef")
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat)) as page:
        answer = page.answer("send", text="my key is 0123456789abcdef.0123456789abcdef, is it good?")

        assert (answer["k"], answer["bad"]) == ("note", True)
        assert "holds one of your keys" in answer["text"]
        assert "0123456789" not in str(page.got)
        assert page.shown == []
        assert len(chat.tree) == 0

        def nobody(_: Chat, *, cached: bool) -> None:
            msg = "No key for zai."
            raise MissingKeyError(msg)

        monkeypatch.setattr(page.panel._state.workspace, "target", nobody)
        assert page.answer("send", text="0123456789abcdef.0123456789abcdef")["bad"]
        assert len(chat.tree) == 0
