"""Tests of panels in company: cells and other panels ask too, conversations are long, and all comes to an end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref

import pytest
from panel_kit import Page, Scripted, chat_with, is_as_new

from chatglm_magic import Chat, ChatPanel, Message, TextDelta, Usage
from chatglm_magic._conversation.conversation import GO_ON, InsertPoint
from chatglm_magic._conversation.tree import MessageTree
from chatglm_magic._errors import ConnectError
from chatglm_magic._resolve import Target
from chatglm_magic._workspace import Workspace

HELLO = [TextDelta("Hello "), TextDelta("**world**"), Usage(3, 4, 7)]


def slowly(*texts: str, delay: float = 0.1) -> list:
    return [one for text in texts for one in (TextDelta(text), delay)]


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


def test_an_answer_that_goes_on_at_once_streams_on():
    """A continuation that begins before the panel has seen the first part's end is shown while it comes."""
    chat = chat_with(slowly("One ", delay=0.3), slowly("two ", "three ", delay=0.3))

    async def ask() -> None:
        await chat.send("count")
        await chat.send(GO_ON, at=InsertPoint(continues=True))

    asked = threading.Thread(target=lambda: asyncio.run(ask()))
    asked.start()
    with Page(ChatPanel(chat)) as page:
        page.wait(lambda: page.shown and page.last["state"] == "streaming" and "two" in page.last["tail"])
        assert is_as_new(page)
        page.wait(lambda: page.last["state"] == "done")
        asked.join()
        page.settled()

        assert "".join(page.last["blocks"]) == "<p>One two three</p>"


def test_two_panels_on_one_conversation_show_the_same():
    """What one asks streams in the other, and Stop works in either."""
    chat = chat_with(slowly("One ", "two ", "never", delay=0.2))
    with Page(ChatPanel(chat)) as one, Page(ChatPanel(chat)) as other:
        one.ask("send", text="hi")
        other.wait(lambda: other.shown and "two" in other.last["tail"])
        other.ask("stop")
        one.wait(lambda: one.last["state"] == "stopped")
        other.wait(lambda: other.last["state"] == "stopped")
        one.settled()

        assert [m["blocks"] for m in one.shown] == [m["blocks"] for m in other.shown]


def test_what_is_deleted_elsewhere_is_shown_no_more():
    """Panels that show a conversation which a cell or another panel has deleted show the current one then."""
    workspace = Workspace()
    first, second = workspace.new("first"), workspace.new("second")
    first.target = second.target = Target(Scripted(HELLO))
    panels = [ChatPanel(first), ChatPanel(first)]
    for panel in panels:
        panel._state.workspace = panel._actions._state.workspace = workspace
        workspace.listeners.append(panel._state.mark)
    with Page(panels[0]) as one, Page(panels[1]) as other:
        workspace.current = "second"
        workspace.delete(first)

        for page in (one, other):
            page.wait(lambda page=page: page.head["title"] == "second")
            assert [item["name"] for item in page.head["chats"]] == ["second"]


def test_a_panel_waits_for_another_panels_answer_and_says_so():
    """Its question has its turn next, and Stop means in each panel what it asked; in the same one it is refused."""
    chat = chat_with(slowly("One ", "two ", "never", delay=0.3), HELLO, HELLO)
    with Page(ChatPanel(chat)) as one, Page(ChatPanel(chat)) as other:
        one.ask("send", text="first")
        other.wait(lambda: other.shown and "One" in other.last["tail"])
        assert one.answer("send", text="too soon")["bad"]
        withdrawn = other.ask("send", text="withdrawn")
        other.wait(lambda: (other.foot["state"], "waiting for" in other.foot["text"]) == ("waiting", True))
        other.ask("stop")
        other.wait(lambda: any(m.get("for") == withdrawn and m["bad"] for _, m in other.got if m["k"] == "note"))
        other.ask("send", text="second")
        other.wait(lambda: other.foot["state"] == "waiting")
        assert one.foot["state"] == "answering"
        one.ask("stop")
        one.wait(lambda: len(one.shown) == 4)
        one.settled()
        other.settled()

        assert [m["source"] for m in other.shown[::2]] == ["first", "second"]
        assert [m["state"] for m in other.shown[1::2]] == ["stopped", "done"]


def test_a_panel_waits_for_a_cells_answer_and_says_so():
    """A question of a panel while a cell's answer grows has its turn after it; stopped before, its words go back."""
    chat = chat_with(slowly("One ", "two ", "three ", delay=0.2), HELLO)
    asked = threading.Thread(target=lambda: asyncio.run(chat.send("from a cell")))
    asked.start()
    with Page(ChatPanel(chat)) as page:
        page.wait(lambda: page.shown and page.last["state"] == "streaming")
        number = page.ask("send", text="from the panel")
        page.wait(lambda: page.panel._state.chat is chat and "waiting for" in str(page.foot.get("text")), 5)
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
        assert page.answer("delete", id=page.shown[0]["id"])["bad"]
        assert page.answer("version", id=page.shown[0]["id"], step=1)["bad"]
        assert len(chat.tree) == 2
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


def test_messages_in_another_order_come_as_a_whole():
    """Where what stays has moved, views are given everything anew."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat)) as page:
        for text in ("one", "two"):
            page.exchange("send", text=text)
        first, second = chat.tree.path()[:2], chat.tree.path()[2:]
        parents = ["", *(said.id for said in (*second, *first))]
        for said, parent in zip((*second, *first), parents, strict=False):
            said.parent = parent
        chat.start_over(MessageTree((*second, *first)))
        page.wait(lambda: [shown.get("source") for shown in page.shown] == ["two", None, "one", None])

        assert is_as_new(page)


def test_a_page_that_cannot_be_reached_is_left_alone(caplog):
    """Where sending fails for good, the panel gives up; a view that asks again is answered."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        channel = page.panel._state.channel
        send, tried = channel._send, []

        def broken(message: dict) -> None:
            tried.append(message)
            msg = "nobody there"
            raise OSError(msg)

        channel._send = broken
        page.ask("ping")
        page.wait(lambda: not channel.views)
        assert len(tried) < 10
        assert "nobody there" in caplog.text
        caplog.clear()
        channel._send = send
        page.number = 0
        page.ask("ready")
        page.wait(lambda: page.number)


def test_repaints_leave_no_memory_behind():
    """However often a page asks for the whole, the kernel keeps it once."""
    import tracemalloc

    chat = chat_with(HELLO)
    chat.messages = [Message("user" if n % 2 == 0 else "assistant", f"said **{n}** " * 20) for n in range(400)]
    with Page(ChatPanel(chat), opens=False) as page:
        state = page.panel._state
        state.channel._send = lambda message: counts.append(message["n"])
        counts: list[int] = []

        def resync(times: int) -> None:
            for _ in range(times):
                state.channel._sent.clear()
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
    return weakref.ref(page.panel._state)


def test_a_closed_panel_watches_no_more():
    """Neither the conversation nor the workspace holds on to it, and a reply on its way goes on without it."""
    chat = chat_with(slowly("One ", "two ", "three", delay=0.1))
    state = close_in_mid_stream(chat)
    for _ in range(100):
        gc.collect()
        if state() is None:
            break
        threading.Event().wait(0.05)

    assert state() is None
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
print(page.panel.chat.tree.path()[-1].text_so_far)
"""


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_process_with_an_open_panel_ends_by_itself(seconds):
    """Neither a panel that was left open nor a reply on its way keeps Python from ending."""
    code = LEFT_OPEN.format(path=[entry for entry in sys.path if entry], seconds=seconds)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.returncode) == ("Hello\n", 0), done.stderr
    assert done.stderr == ""
