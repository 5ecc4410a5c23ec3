"""Tests of a panel's state: what its views hold is what was said, however it came there."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref

import pytest
from panel_kit import Page, Scripted, chat_with, is_as_new

from chatglm_magic import Chat, ChatPanel, Message, Replace, TextDelta, ThinkingDelta, Usage
from chatglm_magic._errors import ConnectError, MissingKeyError

HELLO = [TextDelta("Hello "), TextDelta("**world**"), Usage(3, 4, 7)]
LONG = [TextDelta(f"word{n} ") if n % 9 else TextDelta(f"\n\nparagraph {n}\n\n") for n in range(60)]
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


def test_nothing_is_made_for_a_panel_that_nobody_looks_at():
    """Before a view says `ready`, and after the last one said `bye`, nothing is sent; the next view gets all."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat), opens=False) as page:
        asyncio.run(chat.send("one"))
        assert page.got == []

        page.ask("ready")
        page.wait(lambda: len(page.shown) == 2)
        page.ask("bye")
        page.wait(lambda: not page.panel._session.wire.views)
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

    def nobody(_: Chat) -> dict:
        msg = "No key for zai. Set ZAI_API_KEY."
        raise MissingKeyError(msg)

    monkeypatch.setattr(panel._session.desk, "how", nobody)
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


def test_what_code_asks_shows_in_the_panel():
    """Questions from cells stream in the panel too, also those that began before it was opened."""
    chat = chat_with(slowly("One ", "two ", "three ", "four ", delay=0.15))
    asked = threading.Thread(target=lambda: asyncio.run(chat.send("from a cell")))
    asked.start()
    with Page(ChatPanel(chat)) as page:
        page.wait(lambda: page.shown and page.last["state"] == "streaming")
        assert page.foot["state"] in {"waiting", "answering"}
        assert is_as_new(page)
        page.wait(lambda: page.last["state"] == "done")
        asked.join()
        page.settled()

        assert "".join(page.last["blocks"]) == "<p>One two three four</p>"
        assert page.kinds().count("grow") >= 2
        chat.undo()
        page.wait(lambda: not page.shown)


def test_two_panels_on_one_conversation_show_the_same():
    """What one asks streams in the other, and Stop works in either."""
    chat = chat_with(slowly("One ", "two ", "never", delay=0.2))
    with Page(ChatPanel(chat)) as one, Page(ChatPanel(chat)) as other:
        one.ask("send", text="hi")
        other.wait(lambda: other.shown and "two" in other.last["tail"])
        assert other.answer("send", text="me too")["bad"]
        other.ask("stop")
        one.wait(lambda: one.last["state"] == "stopped")
        other.wait(lambda: other.last["state"] == "stopped")
        one.settled()

        assert [m["blocks"] for m in one.shown] == [m["blocks"] for m in other.shown]


def test_a_panel_waits_for_a_cells_answer_and_says_so():
    """A question of a panel while a cell's answer grows has its turn after it; stopped before, its words go back."""
    chat = chat_with(slowly("One ", "two ", "three ", delay=0.2), HELLO)
    asked = threading.Thread(target=lambda: asyncio.run(chat.send("from a cell")))
    asked.start()
    with Page(ChatPanel(chat)) as page:
        page.wait(lambda: page.shown and page.last["state"] == "streaming")
        number = page.ask("send", text="from the panel")
        page.wait(lambda: page.panel._session.chat is chat and "waiting for" in str(page.foot.get("text")), 5)
        page.ask("stop")
        page.wait(lambda: any(m.get("for") == number and m["bad"] for _, m in page.got if m["k"] == "note"))
        asked.join()
        page.settled()

        assert [m.content for m in chat.messages] == ["from a cell", "One two three "]


def test_stop_reaches_an_answer_that_code_waits_for_or_says_why_not():
    """An answer nobody offers a Stop for is the cell's to interrupt; the page is told."""
    chat = chat_with(slowly("One ", "two ", "three ", delay=0.2))
    asked = threading.Thread(target=lambda: asyncio.run(chat.send("from code")))
    asked.start()
    with Page(ChatPanel(chat)) as page:
        page.wait(lambda: page.shown and page.last["state"] == "streaming")
        assert "interrupt that cell" in page.answer("stop")["text"]
        page.wait(lambda: page.last["state"] == "done")
        asked.join()


def test_code_can_ask_in_the_panel():
    """`await panel.send(…)` gives the reply, or raises what it raised; the page shows both."""
    error = ConnectError("Nobody answers.", provider="scripted", model="")
    with Page(ChatPanel(chat_with(HELLO, [error]))) as page:
        reply = asyncio.run(page.panel.send("hi"))
        assert reply.text == "Hello **world**"
        with pytest.raises(ConnectError, match="Nobody answers"):
            asyncio.run(page.panel.send("again"))
        page.wait(lambda: len(page.shown) == 4 and page.last["state"] == "failed")

        assert page.last["note"] == "Nobody answers."


def test_a_long_conversation_comes_in_portions():
    """The newest hundred first, then a hundred more each time, for each view by itself."""
    chat = chat_with(HELLO)
    chat.messages = [Message("user" if n % 2 == 0 else "assistant", f"said {n}") for n in range(250)]
    with Page(ChatPanel(chat)) as page:
        assert (len(page.shown), page.earlier) == (100, 150)
        page.ask("more")
        page.wait(lambda: page.earlier == 50)
        other = Page(page.panel, "other")
        assert (len(other.shown), other.earlier) == (100, 150)
        page.ask("more")
        page.wait(lambda: page.earlier == 0)

        assert [m["blocks"] for m in page.shown] == [[f"<p>said {n}</p>"] for n in range(250)]
        page.ask("send", text="newest")
        page.wait(lambda: page.last["state"] == "done" and len(page.shown) == 252)
        other.wait(lambda: len(other.shown) == 102)
        assert page.shown[-102:] == other.shown


def test_repaints_leave_no_memory_behind():
    """However often a page asks for the whole, the kernel keeps it once."""
    import tracemalloc

    chat = chat_with(HELLO)
    chat.messages = [Message("user" if n % 2 == 0 else "assistant", f"said **{n}** " * 20) for n in range(400)]
    with Page(ChatPanel(chat), opens=False) as page:
        session = page.panel._session
        session.wire._send = lambda message: counts.append(message["n"])
        counts: list[int] = []

        def resync(times: int) -> None:
            for _ in range(times):
                session.wire._sent.clear()
                before = len(counts)
                page.ask("resync")
                page.wait(lambda before=before: len(counts) > before)

        resync(5)
        gc.collect()
        tracemalloc.start()
        try:
            resync(5)
            first = tracemalloc.get_traced_memory()[0]
            resync(50)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - first
        finally:
            tracemalloc.stop()

        assert grown < 50_000


def close_in_mid_stream(chat: Chat) -> weakref.ref:
    """Ask in a panel, close it while the answer grows, wait for the answer's end; give the panel's state."""
    page = Page(ChatPanel(chat))
    page.ask("send", text="hi")
    page.wait(lambda: page.shown and page.last["role"] == "assistant")
    page.panel.close()
    count = len(page.got)
    page.wait(lambda: chat.messages and chat.messages[-1].content == "One two three")
    assert all(message["k"] != "grow" for _, message in page.got[count + 1 :])
    return weakref.ref(page.panel._session)


def test_a_closed_panel_watches_no_more():
    """Neither the conversation nor the desk holds on to it, and a reply on its way goes on without it."""
    chat = chat_with(slowly("One ", "two ", "three", delay=0.1))
    session = close_in_mid_stream(chat)
    for _ in range(100):
        gc.collect()
        if session() is None:
            break
        threading.Event().wait(0.05)

    assert session() is None
    assert chat.watchers == ()


LEFT_OPEN = """
import sys
sys.path[:0] = {path!r}
from panel_kit import Page, chat_with
from chatglm_magic import ChatPanel, TextDelta
page = Page(ChatPanel(chat_with([TextDelta("Hello"), {seconds}])))
page.ask("send", text="hi")
page.wait(lambda: "Hello" in str(page.shown))
if {seconds} == 0:
    page.settled()
print(page.panel.chat.tree.path()[-1].content)
"""


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_process_with_an_open_panel_ends_by_itself(seconds):
    """Neither a panel that was left open nor a reply on its way keeps Python from ending."""
    code = LEFT_OPEN.format(path=[entry for entry in sys.path if entry], seconds=seconds)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.returncode) == ("Hello\n", 0), done.stderr
    assert done.stderr == ""
