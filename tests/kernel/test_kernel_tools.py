"""Functions as tools in a real kernel: the card's buttons, the input line, no person at all, and a stop at the card."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel_driver import VIEW, Kernel, Run
from openai_frames import call, chunk, sse, text
from tool_plays import FUNCTIONS, PLAYS

SOON = 5.0
DEFINE = """
ran = []
def stock(ticker: str) -> int:
    "Return the price of a share."
    ran.append(ticker)
    print('asked for', ticker)
    return len(ticker)
"""


@pytest.fixture(autouse=True)
def _defined(kernel):
    kernel.ok(DEFINE)


def plays(glm: Any, *tickers: str) -> None:
    """Have the server ask for a price each, then answer."""
    for number, ticker in enumerate(tickers):
        asked = call(0, f"id-{number}", "stock", json.dumps({"ticker": ticker}))
        glm.replay(sse(chunk({"tool_calls": [asked]}), chunk(finish="tool_calls")))
    glm.replay(sse(text("It is known."), chunk(finish="stop")))


def opened(run: Run, name: str) -> list[dict[str, Any]]:
    """Return what opened the models of one kind, in order."""
    contents = [message.content for message in run.messages if message.type == "comm_open"]
    return [one for one in contents if one["data"]["state"]["_model_name"] == f"{name}Model"]


def press(kernel: Kernel, run: Run, label: str, cards: int = 1, subshell: str | None = None) -> None:
    """Press a button of the newest card, as soon as it is there."""
    kernel.wait(lambda: len(opened(run, "VBox")) >= cards and len(run.buttons) >= cards)
    button = [one for one in opened(run, "Button") if one["data"]["state"]["description"] == label][-1]
    kernel.click(button["comm_id"], subshell)


def sent_results(glm: Any) -> list[str]:
    return [one["content"] for one in glm.requests[-1].json["messages"] if one["role"] == "tool"]


def test_nothing_runs_before_run_is_pressed(kernel, glm):
    """The card shows the function, its doc and its arguments; Run runs it once, and its output stays in the cell."""
    plays(glm, "AB")
    run = kernel.submit("%%chatglm -T stock --out r\nhow much?")
    kernel.wait(lambda: run.buttons)
    (words,) = opened(run, "HTML")
    assert "stock" in words["data"]["state"]["value"]
    assert "Return the price of a share." in words["data"]["state"]["value"]
    assert "AB" in words["data"]["state"]["value"]
    kernel.settle(1.3)  # long enough for a Stop button, too
    assert len(glm.requests) == 1

    press(kernel, run, "Run")
    kernel.finish(run)

    assert run.status == "ok"
    assert kernel.value("(ran, r.text, r.tool_runs[0].approved_by)") == "(['AB'], 'It is known.', 'person')"
    assert run.stdout == "asked for AB\n"
    assert sent_results(glm) == ["Result, as data:\n```text\n2\n```"]
    shown = [one["data"] for one in run.outputs if "data" in one]
    assert not any(VIEW in data for data in shown)
    assert any("Called stock" in data.get("text/markdown", "") for data in shown)
    closed = [message.content["comm_id"] for message in run.messages if message.type == "comm_close"]
    assert {one["comm_id"] for one in opened(run, "Button")} <= set(closed)


def test_deny_runs_nothing_and_tells_the_model(kernel, glm):
    """The model answers without the result."""
    plays(glm, "AB")
    run = kernel.submit("%%chatglm -T stock --out r\nhow much?")
    press(kernel, run, "Deny")
    kernel.finish(run)

    assert kernel.value("(ran, r.text)") == "([], 'It is known.')"
    assert sent_results(glm) == ["Error: not run: the person who was asked said no"]
    assert len(run.outputs) == 1


def test_always_asks_once_until_the_function_is_another_one(kernel, glm):
    """The same function runs unasked from then on, in other cells too; a redefined one is asked about again."""
    kernel.ok(DEFINE.replace("len(ticker)", "2 * len(ticker)"))
    plays(glm, "AB", "CDE")
    run = kernel.submit("%%chatglm -T stock\nhow much?")
    press(kernel, run, "Always")
    kernel.finish(run)
    assert kernel.value("ran") == "['AB', 'CDE']"

    kernel.ok(DEFINE.replace("len(ticker)", "-len(ticker)"))
    glm.forget()
    plays(glm, "FGHI")
    run = kernel.submit("%%chatglm -T stock\nhow much?")
    press(kernel, run, "Deny")
    kernel.finish(run)

    assert kernel.value("ran") == "[]"


def test_edited_arguments_run_once_they_fit(kernel, glm):
    """What does not fit is said in the card; what runs is what the person wrote."""
    plays(glm, "AB")
    run = kernel.submit("%%chatglm -T stock\nhow much?")
    press(kernel, run, "Edit")
    (field,) = opened(run, "Textarea")

    def write(value: str) -> None:
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        kernel._send("shell", "comm_msg", {"comm_id": field["comm_id"], "data": data})

    write('{"ticker": 5}')
    press(kernel, run, "Run")
    kernel.wait(lambda: any("cannot be called so" in str(one.content) for one in kernel.told))
    assert len(glm.requests) == 1
    write('{"ticker": "XYZ"}')
    press(kernel, run, "Run")
    kernel.finish(run)

    assert kernel.value("ran") == "['XYZ']"


def test_a_stop_at_the_card_runs_nothing(kernel, glm):
    """An interrupt while the card is open ends the reply at once, and a later click does nothing."""
    plays(glm, "AB")
    run = kernel.submit("%%chatglm -T stock --out r\nhow much?")
    kernel.wait(lambda: run.buttons)
    kernel.settle(0.1)
    kernel.interrupt()
    kernel.finish(run, SOON)
    press(kernel, run, "Run")

    assert run.ename == "Interrupted"
    assert (
        kernel.value("(ran, r.finish_reason, r.exchange[-1].text)") == "([], 'interrupted', 'Error: not run: stopped')"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("stok", "--tool names stok, which is not there"), ("len", "len cannot be a tool: it is built in")],
)
def test_a_name_that_is_no_function_of_the_notebook_is_refused(kernel, glm, name, words):
    """What is missing and what Python itself brings are told apart, and nothing is sent."""
    run = kernel.run(f"%%chatglm -T {name}\nhow much?")

    assert run.ename == "ConfigError"
    assert words in run.evalue
    assert glm.requests == []


def test_nobody_is_asked_in_a_headless_run(kernel, glm):
    """Where no input is possible the answer is no, at once."""
    plays(glm, "AB")

    run = kernel.run("%%chatglm -T stock --out r\nhow much?", allow_stdin=False)

    assert run.status == "ok"
    assert not any(message.type == "comm_open" for message in run.messages)
    assert kernel.value("ran") == "[]"
    assert sent_results(glm) == ["Error: not run: nobody can be asked here"]


@pytest.mark.parametrize(
    ("typed", "ran", "told"),
    [
        ("y", "['AB']", "Result, as data"),
        ("", "[]", "Error: not run: the person who was asked said no"),
        ("too expensive", "[]", "Error: not run: too expensive"),
    ],
)
def test_a_cell_that_blocks_asks_in_a_line(kernel, glm, typed, ran, told):
    """Where buttons are not heard there is one line of input: yes, no, or why not."""
    plays(glm, "AB")
    kernel.typed = typed
    kernel.asked.clear()

    run = kernel.run("def ask():\n    r = %chatglm -T stock how much\n    return r\nr = ask()")

    assert run.status == "ok"
    assert 'stock {"ticker": "AB"}' in kernel.asked[0]["prompt"]
    assert kernel.value("ran") == ran
    assert sent_results(glm)[0].startswith(told)


@pytest.mark.parametrize(("who", "ran", "reason"), [("all", "['AB']", "stop"), ("none", "[]", "tool_calls")])
def test_approve_says_who_decides(kernel, glm, who, ran, reason):
    """`all` allows each call of this question; `none` shows the calls and runs none."""
    plays(glm, "AB")

    run = kernel.ok(f"%%chatglm -T stock --approve {who} --out r\nhow much?")

    assert kernel.value("(ran, r.finish_reason)") == f"({ran}, {reason!r})"
    assert run.buttons == []
    assert any("stock" in str(one["data"]) for one in run.outputs if "data" in one)


def test_a_function_that_hangs_is_stopped_by_an_interrupt(kernel, glm):
    """The stop button reaches the function itself, and the kernel lives."""
    kernel.ok("import time\ndef stock(ticker: str) -> int:\n    ran.append(ticker)\n    time.sleep(60)")
    plays(glm, "AB")
    run = kernel.submit("%%chatglm -T stock --approve all --out r\nhow much?")
    glm.wait_until(lambda: glm.finished == 1)
    kernel.settle(0.5)
    kernel.interrupt()
    kernel.finish(run, SOON)

    assert run.ename == "Interrupted"
    assert kernel.value("(ran, r.exchange[-1].text)") == "(['AB'], 'Error: stopped while it ran')"


@pytest.mark.parametrize("play", PLAYS, ids=[one.name for one in PLAYS])
def test_each_play_ends_well_in_a_cell(kernel, glm, play):
    """A person presses Run on each card, as it comes; what ran is what was allowed."""
    kernel.ok(FUNCTIONS)
    play.script(glm)
    names = "".join(f" -T {name}" for name in ("stock", "now", "huge", "fails", "later"))
    run = kernel.submit(f"%%chatglm{names} --out r\nhow much?")
    for cards in range(1, len(play.ran) + 1):
        kernel.wait(lambda cards=cards: len(opened(run, "VBox")) >= cards)
        press(kernel, run, "Run", cards)
    kernel.finish(run)

    assert (run.ename if run.status == "error" else "") == play.error
    assert kernel.value("RAN") == repr(list(play.ran))
    assert kernel.value("len(r.tool_runs)") == str(len(play.ran))


@pytest.mark.parametrize("where", ["main", "subshell"])
def test_buttons_are_heard_wherever_a_page_sends_them(kernel, glm, where):
    """JupyterLab presses in a subshell, other front ends in the main one; a job in the background is asked too."""
    subshell = kernel.create_subshell() if where == "subshell" else None
    for options in ("", " --bg"):
        glm.forget()
        kernel.ok(DEFINE)
        plays(glm, "AB")
        run = kernel.submit(f"%%chatglm -T stock{options} --out r\nhow much?")
        press(kernel, run, "Run", subshell=subshell)
        kernel.wait(lambda: len(glm.requests) % 2 == 0)
        kernel.finish(run)
        kernel.settle(0.2)
        assert kernel.value("ran") == "['AB']"


def test_names_that_are_not_there_are_refused(kernel, glm):
    """Nothing is sent for a function that has not been defined, or cannot be a tool."""
    for line, words in (("-T undefined_stock", "--tool names undefined_stock"), ("-T ran", "cannot be a tool")):
        run = kernel.run(f"%%chatglm {line}\nhow much?")
        assert run.ename == "ConfigError"
        assert words in run.evalue
    assert glm.requests == []


def test_a_dry_run_shows_the_functions(kernel, glm):
    """What would be sent names them; nothing is sent."""
    run = kernel.ok("%%chatglm -T stock --dry-run\nhow much?")

    assert "stock(ticker)" in run.outputs[0]["data"]["text/plain"]
    assert glm.requests == []


def test_search_is_refused_where_it_does_not_exist(kernel, glm):
    """Only the two platforms search the web."""
    run = kernel.run("%%chatglm --search\nnews?")

    assert run.ename == "ConfigError"
    assert "cannot search the web" in run.evalue
    assert glm.requests == []


PANEL = """
import asyncio, threading, time
from chatglm_magic import ChatPanel
from chatglm_magic._event_loops import call_soon, io_thread
from chatglm_magic.panel.run import running

def stock(ticker: str) -> int:
    ran.append(threading.current_thread() is threading.main_thread())
    time.sleep(30 if ticker == 'LONG' else 0)
    return 1

async def press_run(panel):
    "Press Run on the card, as a page does: in the loop thread."
    task = asyncio.ensure_future(panel.send('how much?'))
    while not (runs := running(panel.chat)) or runs[0].card is None:
        await asyncio.sleep(0.01)
    call_soon(io_thread.loop(), lambda: runs[0].decide('run'))
    return task

panel = ChatPanel(tools=[stock])
"""


def test_a_panel_runs_functions_in_the_main_thread(kernel, glm):
    """The reply streams in a thread of its own; its functions run where notebooks expect them, and Stop ends them."""
    kernel.ok(PANEL)
    plays(glm, "AB")
    kernel.ok("reply = await (await press_run(panel))")
    assert kernel.value("(ran, reply.text)") == "([True], 'It is known.')"

    glm.forget()
    plays(glm, "LONG")
    kernel.ok("stop = {'k': 'stop', 'view': 'v', 'req': 1}\nbegun = time.monotonic()")
    kernel.ok(
        "threading.Timer(2, lambda: panel._actions.receive(stop)).start()\nreply = await (await press_run(panel))"
    )
    assert kernel.value("(ran, time.monotonic() - begun < 15)") == "([True, True], True)"
    assert kernel.value("panel.chat.messages[-1].text") == "'Error: stopped while it ran'"
