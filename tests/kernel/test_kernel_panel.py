"""Tests of panels in a real kernel, which a page asks over its comm: while cells run, block and are interrupted."""

from __future__ import annotations

import pytest
from kernel_driver import VIEW
from kernel_page import KernelPage
from older import version_of

WORDS = "one two three four five six seven eight nine ten"


@pytest.fixture
def open_panel(kernel):
    """Open panels, and close them in the end."""
    pages = []

    def open_one(code: str = "%chatglm panel", *, subshell: bool = True, **how) -> KernelPage:
        where = kernel.create_subshell() if subshell and version_of(kernel) >= (7, 0) else None
        page = KernelPage(kernel, kernel.ok(code), subshell=where, **how)
        pages.append(page)
        return page

    yield open_one
    kernel.ok("import ipywidgets; ipywidgets.Widget.close_all()")


def test_a_panel_is_shown_and_answers(kernel, glm, open_panel):
    """`%chatglm panel` shows one widget, and what is sent there comes back as it streams."""
    glm.say(WORDS, delay=0.05)
    page = open_panel()
    assert (page.head["title"], page.head["model"]) == ("default", "openai:glm-4.7")
    assert page.shown == []

    page.exchange("send", text="hi")

    assert page.kinds().count("grow") > 4
    assert page.last["blocks"] == [f"<p>{WORDS}</p>"]
    assert [m.type for m in kernel.orphans if m.type not in {"status", "comm_msg"}] == []


def test_a_reply_streams_while_a_cell_blocks(kernel, glm, open_panel):
    """Neither asking nor streaming nor Stop waits for a cell that holds the main thread."""
    page = open_panel()
    if page._subshell is None:
        pytest.skip("ipykernel 6 hears nothing while a cell blocks.")
    glm.say(WORDS, delay=0.1)
    cell = kernel.submit("import time\nprint('begun')\ntime.sleep(60)")
    kernel.wait(lambda: cell.stdout)

    page.exchange("send", text="hi")
    glm.stall_after(2)
    page.ask("send", text="again")
    page.wait(lambda: len(page.shown) == 4 and "two" in page.last["tail"])
    page.ask("stop")
    page.wait(lambda: page.last["state"] == "stopped")
    glm.wait_until(lambda: glm.aborted == 1)

    assert not cell.done
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.ename == "KeyboardInterrupt"


def test_an_interrupted_cell_takes_no_panels_reply_with_it(kernel, glm, open_panel):
    """■ is for the cell, be it one that blocks, one that awaits, or one that awaits the panel itself."""
    page = open_panel("from chatglm_magic import ChatPanel\npanel = ChatPanel()\npanel")
    glm.say(WORDS, delay=0.25)
    page.ask("send", text="hi")
    page.wait(lambda: page.shown and page.last["role"] == "assistant")
    for code in (
        "import time\nprint(1)\ntime.sleep(60)",
        "import asyncio\nprint(1)\nwhile True:\n    await asyncio.sleep(0.05)",
    ):
        cell = kernel.submit(code)
        kernel.wait(lambda cell=cell: cell.stdout)
        kernel.settle(0.1)
        kernel.interrupt()
        kernel.finish(cell)
        assert cell.status == "error"
    page.wait(lambda: page.last["state"] == "done")
    assert page.last["blocks"] == [f"<p>{WORDS}</p>"]

    cell = kernel.submit("print(1)\nawait panel.send('again')")
    page.wait(lambda: len(page.shown) == 4 and "two" in page.last["tail"])
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    page.wait(lambda: page.last["state"] == "done")
    assert page.last["blocks"] == [f"<p>{WORDS}</p>"]


def test_cells_and_panels_share_their_conversations(kernel, glm, open_panel):
    """What a cell asks streams in the panel, what the panel asks is history for cells, and commands show at once."""
    glm.say(lambda asked: f"answer {len(asked.json['messages'])}", delay=0.05)
    page = open_panel()
    kernel.ok("%%chatglm\nfrom a cell")
    page.wait(lambda: len(page.shown) == 2 and page.is_still)
    assert page.kinds().count("grow") >= 1
    page.exchange("send", text="from the panel")
    assert [m["content"] for m in glm.requests[1].json["messages"]] == ["from a cell", "answer 1", "from the panel"]
    assert kernel.ok("r = %chatglm last\nprint(r)").stdout == "answer 3\n"
    kernel.ok("%%chatglm\nback in a cell")
    assert len(glm.requests[2].json["messages"]) == 5

    kernel.ok("%chatglm undo")
    page.wait(lambda: len(page.shown) == 4)
    kernel.ok("%chatglm set temperature 0.5")
    page.exchange("send", text="warmer")
    assert glm.requests[3].json["temperature"] == 0.5
    kernel.ok("%chatglm rename paper")
    page.wait(lambda: page.head["title"] == "paper")
    kernel.ok("%chatglm reset")
    page.wait(lambda: not page.shown)


def test_what_any_door_says_shows_in_the_panel(kernel, glm, open_panel):
    """A name is one conversation in a kernel: the panel shows what cells and Python say in it, whoever came first."""
    glm.say(lambda asked: f"answer {len(asked.json['messages'])}")
    name = "Lesson 中文 one"
    page = open_panel()
    page.answer("new", name=name)
    page.wait(lambda: page.head["title"] == name)
    page.exchange("send", text="panel")
    kernel.ok(f"%chatglm -c '{name}' cell")
    kernel.ok(f"from chatglm_magic import Chat\nr = await Chat.open('{name}').send('opened')")
    kernel.ok(f"r = await Chat(name='{name}').send('named')")
    kernel.ok(f"%chatglm new '{name}'\nr = %chatglm line")
    page.wait(lambda: len(page.shown) == 10 and page.is_still)

    assert [shown["source"] for shown in page.shown[::2]] == ["panel", "cell", "opened", "named", "line"]
    assert [message["content"] for message in glm.requests[-1].json["messages"][::2]] == [
        "panel",
        "cell",
        "opened",
        "named",
        "line",
    ]


def test_conversations_and_models_of_the_kernel_are_picked(kernel, glm, open_panel):
    """A panel begins and switches the kernel's conversations, and its model answers in cells too."""
    glm.say("Hello")
    kernel.ok("%chatglm -c notes remember")
    page = open_panel()
    kernel.ok("%chatglm new other")
    page.wait(lambda: {chat["name"] for chat in page.head["chats"]} >= {"default", "notes", "other"})
    page.answer("chat", name="notes")
    page.wait(lambda: len(page.shown) == 2)
    page.answer("new", name="mine")
    page.wait(lambda: not page.shown)
    page.exchange("send", text="hi")
    assert "* other" in kernel.ok("%chatglm chats").stdout
    assert "mine" in kernel.ok("%chatglm chats").stdout

    names = [item["name"] for item in page.answer("find", what="model", text="flash openai")["items"]]
    assert names == ["openai:glm-4.7-flash"]
    page.answer("model", name="openai:glm-4.7-flash")
    kernel.ok("%chatglm which?")
    assert glm.requests[-1].json["model"] == "glm-4.7-flash"
    kernel.ok("%chatglm use openai:glm-4.7")
    page.wait(lambda: page.head["model"] == "openai:glm-4.7")


def test_variables_are_named_in_the_panel_as_in_cells(kernel, glm, open_panel):
    """A draft shows them, the model gets their values; what a blocking cell has made by then counts."""
    glm.say("Hello")
    page = open_panel()
    kernel.ok("table = [1, 2, 3]\ntall = 'so tall'")
    chips = page.answer("draft", text="{table} {ta", at=11)
    assert (chips["names"], chips["offer"]) == ([{"name": "table", "kind": "list"}], ["table", "tall"])
    if page._subshell is None:
        pytest.skip("ipykernel 6 hears nothing while a cell blocks.")

    cell = kernel.submit("import time\nlate = 'made just now'\nprint(1)\ntime.sleep(60)")
    kernel.wait(lambda: cell.stdout)
    page.exchange("send", text="what is {late}?")
    assert glm.requests[-1].json["messages"][-1]["content"] == "what is made just now?"
    assert page.shown[0]["source"] == "what is {late}?"
    kernel.interrupt()
    kernel.finish(cell)


def test_stop_in_the_panel_ends_a_cells_answer_well(kernel, glm, open_panel):
    """The cell's own answer is stopped as by its button: no error, what came is kept."""
    page = open_panel()
    glm.stall_after(2)
    cell = kernel.submit("%%chatglm --out said\nhi")
    page.wait(lambda: page.shown and "two" in page.last["tail"])
    page.ask("stop")
    kernel.finish(cell)
    page.wait(lambda: page.last["state"] == "stopped")

    assert cell.status == "ok"
    assert kernel.value("(said.text, said.finish_reason)") == "('one two ', 'interrupted')"


def test_two_panels_and_two_views_hold_the_same(kernel, glm, open_panel):
    """Whoever looks, at whichever panel, from whenever on, sees what was said."""
    glm.say(WORDS, delay=0.05)
    one = open_panel()
    other = open_panel()
    one.ask("send", text="hi")
    other.wait(lambda: other.shown and other.last["state"] == "streaming")
    late = one.beside("late")
    for page in (one, other, late):
        page.wait(lambda page=page: len(page.shown) == 2 and page.is_still)

    shown = [[(m["id"], "".join(m["blocks"])) for m in page.shown] for page in (one, other, late)]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0][-1][1] == f"<p>{WORDS}</p>"


def test_a_missing_key_and_nonsense_are_told_in_the_page(kernel, glm, open_panel):
    """No cell fails, nothing is printed: the message or a note says what is wrong, and the panel goes on."""
    glm.say("Hello")
    page = open_panel()
    for content in (None, [], {"k": "x"}, {"k": "send", "view": "view", "text": 5}, {"view": 3}):
        page.say(content)
    page.wait(lambda: len(page.notes()) >= 3)
    kernel.ok("%config ChatGLMMagics.provider = 'zai'\n%config ChatGLMMagics.base_url = ''")
    page.ask("send", text="hi")
    page.wait(lambda: page.shown and page.last["state"] == "failed")
    assert "No key for zai" in page.last["note"]
    kernel.ok(f"%config ChatGLMMagics.provider = 'openai'\n%config ChatGLMMagics.base_url = {glm.url!r}")
    page.exchange("retry")

    assert len(page.shown) == 2
    assert [m for m in kernel.orphans if m.type in {"stream", "error"}] == []


def test_headless_a_panel_is_text(kernel, glm):
    """Where no input is possible nobody presses buttons: the cell holds what was said, as Markdown."""
    glm.say("Hello **world**")
    run = kernel.run(
        "from chatglm_magic import ChatPanel\npanel = ChatPanel()\nreply = await panel.send('hi')\npanel",
        allow_stdin=False,
    )
    kernel.ok("panel.close()")

    (output,) = [one for one in run.outputs if "data" in one]
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    assert "Hello **world**" in output["data"]["text/markdown"]
    assert VIEW not in output["data"]


def test_a_panel_outlives_a_reload_of_the_extension(kernel, glm, open_panel):
    """Its page is answered after `%reload_ext`, though the loop thread is another one then."""
    glm.say("Hello")
    page = open_panel()
    kernel.ok("%reload_ext chatglm_magic")
    kernel.ok(f"%config ChatGLMMagics.provider = 'openai'\n%config ChatGLMMagics.base_url = {glm.url!r}")

    assert page.answer("ping")["k"] == "pong"
    page.exchange("send", text="hi")
    assert page.last["blocks"] == ["<p>Hello</p>"]


def test_stored_conversations_are_picked_and_stored_answers_marked(kernel, glm, open_panel):
    """What an earlier session said is found by its words and goes on; an answer out of the store says so."""
    glm.say("Hello")
    kernel.ok("%config ChatGLMMagics.store = ':memory:'")
    kernel.ok("%chatglm -c paper about otters")
    kernel.ok("%reload_ext chatglm_magic")
    kernel.ok(f"%config ChatGLMMagics.provider = 'openai'\n%config ChatGLMMagics.base_url = {glm.url!r}")
    kernel.ok("%config ChatGLMMagics.model = 'glm-4.7'\n%config ChatGLMMagics.store = ':memory:'")
    page = open_panel()
    found = page.answer("find", what="chat", text="otters")["items"]
    assert [(item["title"], item["about"], item["count"]) for item in found] == [("paper", "about otters", 2)]
    page.answer("chat", name=found[0]["name"])
    page.wait(lambda: len(page.shown) == 2)
    assert (page.head["title"], page.shown[0]["source"]) == ("paper", "about otters")

    kernel.ok("%config ChatGLMMagics.cache = 'replay'")
    page.answer("new", name="")
    page.wait(lambda: not page.shown)
    asked = len(glm.requests)
    answer = page.exchange("send", text="about otters")
    assert len(glm.requests) == asked
    assert (answer["blocks"], answer["note"][:16]) == (["<p>Hello</p>"], "Stored answer of")
