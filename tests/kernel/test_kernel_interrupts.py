"""Tests in a real kernel: interrupts, the Stop button, and what is left afterwards."""

from __future__ import annotations

import random
from typing import Any

import pytest
from kernel_driver import VIEW
from older import shell_for_clicks, version_of

SOON = 2.0
"""Seconds within which an interrupt must have bitten; it takes 0.05, and test machines are slow."""

FORMS = {
    "cell": "%%chatglm --out r\nhi",
    "line": "%chatglm --out r hi",
    "timed": "%%time\n%chatglm --out r hi",
    "captured": "%%capture cap\n%chatglm --out r hi",
    "function": "def ask():\n    %chatglm --out r hi\nask()",
    "function in a cell that awaits": "import asyncio\nawait asyncio.sleep(0)\nfor n in [1]:\n    %chatglm --out r hi",
}

OUR_TASKS = (
    "[t.get_name() for t in asyncio.all_tasks() if (frame := t.get_coro().cr_frame) is not None"
    " and frame.f_globals['__name__'].startswith('chatglm_magic')]"
)
"""Names of the tasks of the kernel's loop that run code of ours, by the module that the code is from."""


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupt_bites_on_a_silent_stream(kernel, glm, form):
    """The cell ends at once, what had arrived is kept everywhere, and the server sees us hang up."""
    glm.stall_after(2)
    kernel.ok("r = None")

    run = kernel.submit(FORMS[form])
    glm.wait_until(lambda: glm.open == 1)
    kernel.settle(0.2)
    kernel.interrupt()
    kernel.finish(run, SOON)

    # IPython's %%capture reports errors of its cell but ends well, whatever they are.
    assert (run.status, run.ename) == (("ok", "") if form == "captured" else ("error", "Interrupted"))
    assert run.traceback == ["Interrupted: The reply was interrupted; what had arrived is kept."]
    glm.wait_until(lambda: glm.aborted == 1)
    assert kernel.value("(r.text, r.finish_reason)") == "('one two ', 'interrupted')"
    if form != "captured":
        assert len(run.markdown) == 1
        assert "one two" in run.markdown[0]
        ours = [found for o in run.outputs if (found := o.get("metadata", {}).get("chatglm_magic"))]
        assert [found["status"] for found in ours] == ["interrupted"]  # beside it stand those that were emptied


def test_an_interrupt_bites_before_the_server_answers(kernel, glm):
    """Not even a status line has come: the cell ends all the same."""
    glm.never_answers()

    run = kernel.submit("%%chatglm --out r\nhi")
    glm.wait_until(lambda: glm.open == 1)
    kernel.interrupt()
    kernel.finish(run, SOON)

    assert (run.ename, kernel.value("r.text")) == ("Interrupted", "''")
    glm.wait_until(lambda: glm.aborted == 1)


def test_the_conversation_survives_an_interrupt(kernel, glm):
    """The stopped answer is in the history, and the next question follows it."""
    glm.stall_after(2)
    run = kernel.submit("%%chatglm --new\nfirst")
    glm.wait_until(lambda: glm.open == 1)
    kernel.settle(0.2)
    kernel.interrupt()
    kernel.finish(run, SOON)
    glm.forget()
    glm.say("ok")

    kernel.ok("%chatglm second")

    said = [message["content"] for message in glm.requests[-1].json["messages"]]
    assert said == ["first", "one two ", "second"]


def test_run_all_stops_at_an_interrupt(kernel, glm):
    """Cells that wait behind an interrupted one are not run."""
    glm.stall_after(1)

    run, after = kernel.submit("%%chatglm\nhi"), kernel.submit("print('ran')")
    glm.wait_until(lambda: glm.open == 1)
    kernel.interrupt()
    kernel.finish(run, SOON)
    kernel.wait(lambda: after.reply is not None)

    assert (after.status, after.stdout) == ("aborted", "")
    assert kernel.ok("print('lives')").stdout == "lives\n"


@pytest.mark.parametrize("form", ["cell", "timed"])
def test_interrupts_at_any_moment_leave_the_kernel_usable(kernel, glm, form):
    """Twenty interrupts at random moments: every cell ends, the kernel answers, nothing is left running."""
    if form == "cell" and (7, 0) <= version_of(kernel) < (7, 4):
        pytest.skip("ipykernel 7.1 stops answering now and then, also when a cell that only sleeps is interrupted.")
    glm.say("a few words that take their time to come ", delay=0.01, first_delay=0.02)
    chance = random.Random(form)
    kernel.ok("import asyncio, threading")

    for _ in range(20 if form == "cell" else 10):
        run = kernel.submit(FORMS[form])
        kernel.settle(chance.uniform(0, 0.15))
        kernel.interrupt()
        # An interrupt outside the cell's own code loses the kernel's reply, whatever the cell holds.
        kernel.wait(lambda run=run: run.idle, SOON + 3)
        assert run.ename in {"", "Interrupted", "KeyboardInterrupt", "CancelledError"}
        assert kernel.value("1") == "1"

    glm.wait_until(lambda: glm.open == 0)
    assert kernel.value(OUR_TASKS) == "[]"


def test_plain_code_beside_a_line_of_ours_can_be_interrupted(kernel, glm):
    """A cell awaits because of our line alone: its other lines stay as interruptible as they were."""
    glm.say("ok")

    for cell in ("print(1)\nimport time\ntime.sleep(60)\n%chatglm hi", "%chatglm hi\nprint(1)\ntime.sleep(60)"):
        run = kernel.submit(cell)
        kernel.wait(lambda run=run: run.stdout)
        kernel.settle(0.1)
        kernel.interrupt()
        kernel.finish(run, SOON + 1)
        assert run.ename == "KeyboardInterrupt"


def test_nested_calls_can_be_interrupted(kernel, glm):
    """In the nested way too an interrupt ends the call, hangs up, and leaves the loop alive."""
    kernel.ok("%config ChatGLMMagics.nested = 'nest'")
    kernel.ok("def ask():\n    %chatglm --out r hi")

    for _ in range(5):
        glm.forget()
        glm.stall_after(1)
        aborted = glm.aborted
        run = kernel.submit("ask()")
        glm.wait_until(lambda: glm.open == 1)
        kernel.settle(0.1)
        kernel.interrupt()
        kernel.finish(run, SOON)
        assert run.ename == "Interrupted"
        kernel.settle(0.05)
        glm.wait_until(lambda aborted=aborted: glm.aborted > aborted)
    # Not its status: once an interrupt has hit its displayhook, ipykernel 7.4 calls cells failed that have not.
    assert kernel.run("import asyncio\nawait asyncio.sleep(0.01)\nprint('lives')").stdout == "lives\n"


@pytest.mark.parametrize("where", ["main", "subshell"])
def test_the_stop_button_ends_a_reply_well(kernel, glm, where):
    """After a second there is a button; its click is no error, and it leaves nothing in the notebook."""
    glm.stall_after(2)
    subshell = shell_for_clicks(kernel, where)

    run, after = kernel.submit("%%chatglm --out r\nhi"), kernel.submit("print('ran')")
    kernel.wait(lambda: run.buttons)
    kernel.click(run.buttons[0], subshell)
    kernel.finish(run, SOON)
    kernel.finish(after)

    assert (run.status, after.stdout) == ("ok", "ran\n")
    assert kernel.value("r.finish_reason") == "'interrupted'"
    glm.wait_until(lambda: glm.aborted == 1)
    assert len(run.outputs) == 1
    assert VIEW not in run.outputs[0]["data"]
    closed = [message.content["comm_id"] for message in run.messages if message.type == "comm_close"]
    assert sorted(closed) == sorted(m.content["comm_id"] for m in run.messages if m.type == "comm_open")


def test_the_stop_button_is_what_ipywidgets_would_make(kernel, glm):
    """Its page gets the models that ipywidgets' own button has, without its import, and once more when it asks."""
    glm.stall_after(2)
    where = shell_for_clicks(kernel, "main")
    imported = "'ipywidgets' in __import__('sys').modules"
    before = kernel.value(imported)
    run = kernel.submit("%%chatglm\nhi")
    kernel.wait(lambda: run.buttons)
    answers = len(answered(kernel.told))
    ours = {one["comm_id"]: one["data"]["state"] for one in opened(run.messages)}
    for model in ours:
        kernel._send("shell", "comm_msg", {"comm_id": model, "data": {"method": "request_state"}}, where)
    kernel.wait(lambda: len(answered(kernel.told)) >= answers + len(ours))
    again = dict(answered(kernel.told)[answers:])
    kernel.click(run.buttons[0], where)
    kernel.finish(run)
    assert kernel.value(imported) == before
    hint = "Stop this reply; what has arrived is kept"
    kernel.ok(f"import ipywidgets; b = ipywidgets.Button(description='Stop', icon='stop', tooltip={hint!r})")
    theirs = [one["data"]["state"] for one in opened(kernel.told)[-3:]]

    assert again == ours
    assert [state["_model_name"] for state in ours.values()] == ["LayoutModel", "ButtonStyleModel", "ButtonModel"]
    for mine, own in zip(ours.values(), theirs, strict=True):
        names = {"layout", "style"} & mine.keys()  # each has its own
        assert {name: mine[name] for name in mine.keys() - names} == {name: own[name] for name in mine.keys() - names}
        assert all(own[name] in (None, "", False, []) for name in own.keys() - mine.keys())


def answered(messages) -> list[tuple[str, dict[str, Any]]]:
    """Return the states that models have sent, with their names."""
    contents = [message.content for message in messages if message.type == "comm_msg"]
    return [(one["comm_id"], one["data"]["state"]) for one in contents if one["data"]["method"] == "update"]


def opened(messages) -> list[dict[str, Any]]:
    """Return the contents of messages that open a comm."""
    return [message.content for message in messages if message.type == "comm_open"]


def test_no_button_where_it_could_not_work_or_would_stay(kernel, glm):
    """Headless runs, functions, captured cells and cells with other output show no widget."""
    glm.say("some words", first_delay=1.2)

    runs = [
        kernel.submit("%%chatglm\nhi", allow_stdin=False),
        kernel.submit("print(1)\n%chatglm hi"),
        kernel.submit("%%capture\n%chatglm hi"),
        kernel.submit("%%chatglm -q\nhi"),
    ]
    for run in runs:
        kernel.finish(run)
        assert run.status == "ok"
        assert run.buttons == []
        assert not any(message.type == "comm_open" for message in run.messages)


GENERATOR = """from chatglm_magic import ChatGLM
said = [{{'role': 'user', 'content': 'hi'}}]
async for word in ChatGLM.create_async_generator('glm-4', said, base_url={site!r}):
    pass"""


@pytest.mark.parametrize(
    "call",
    [
        "from chatglm_magic import Chat\nawait Chat('openai', base_url={url!r}, model='m').send('hi')",
        GENERATOR,
    ],
    ids=["chat", "generator"],
)
def test_an_interrupt_bites_where_a_cell_awaits_python_calls(kernel, glm, call):
    """Also on a silent stream the cell ends, the server sees us hang up, and the next cell runs."""
    glm.stall_after(2)

    run = kernel.submit(call.format(url=glm.url, site=glm.origin))
    glm.wait_until(lambda: glm.started == 1)
    kernel.settle(0.3)
    kernel.interrupt()
    kernel.finish(run)
    glm.wait_until(lambda: glm.aborted == 1)

    assert run.status == "error"
    assert kernel.value("1 + 1") == "2"
