"""Tests in a real kernel: replies in the background, and what they leave alone."""

from __future__ import annotations

import pytest
from kernel_driver import VIEW, Kernel
from older import shell_for_clicks


def end(kernel, name: str = "job") -> None:
    """Wait for a job's end, and for what it shows then."""
    kernel.wait(lambda: kernel.value(f"{name}.done") == "True")
    kernel.settle(0.1)


def test_a_job_grows_in_its_own_cell_while_others_run(kernel, glm):
    """The cell ends at once; awaiting, blocking and failing cells neither hold the reply up nor get its output."""
    glm.say("some words that take their time to come", delay=0.1)

    run = kernel.ok("job = %chatglm --bg --out r hi")
    others = [
        kernel.submit("import asyncio, time\nawait asyncio.sleep(0.1)"),
        kernel.submit("while not job.reply.text.endswith('come'):\n    time.sleep(0.02)\nprint(True)"),
        kernel.submit("1 / 0", stop_on_error=False),
    ]
    for other in others:
        kernel.finish(other)
    assert kernel.value("type(job).__name__") == "'BackgroundJob'"
    kernel.ok("reply = await job")

    kernel.settle(0.1)
    assert kernel.value("(reply.text, reply is r is job.reply, job.done)") == f"('{glm_text()}', True, True)"
    assert [output["data"]["text/markdown"].strip() for output in run.outputs] == [glm_text()]
    assert run.outputs[0]["metadata"]["chatglm_magic"]["status"] == "stop"
    assert len(run.paints) > 4
    assert [other.outputs for other in others[:2]] == [[], [{"type": "stream", "name": "stdout", "text": "True\n"}]]
    assert [message for message in kernel.orphans if message.type != "status"] == []


def glm_text() -> str:
    return "some words that take their time to come"


def test_a_job_is_its_cells_value_and_quiet_there(kernel, glm):
    """The reply grows in the output, so the value is not shown besides; evaluated later it tells its state."""
    glm.stall_after(2)

    run = kernel.ok("%%chatglm --bg --out late\nhi")
    kernel.wait(lambda: "one two" in "".join(run.markdown))

    assert kernel.value("'late' in globals()") == "False"
    assert not any(output["type"] == "execute_result" for output in run.outputs)
    (told,) = kernel.ok("job = Out[max(Out)]\njob").outputs
    assert told["data"]["text/plain"] == "<Job 1 running 'glm-4.7' 'one two'>"
    assert kernel.ok("job.stop()\nprint(job.state, job.reply.finish_reason)").stdout == "stopped interrupted\n"
    glm.wait_until(lambda: glm.aborted == 1)
    kernel.settle(0.1)
    assert "stopped" in run.markdown[0]
    assert len(run.outputs) == 1
    assert kernel.value("late.text") == "'one two '"


def test_jobs_do_not_mind_interrupts(kernel, glm):
    """■ is for the cell that runs, be it one that blocks, one that awaits, one that awaits the job, or none."""
    glm.stall_after(2)
    kernel.ok("import asyncio, time\njob = %chatglm --bg hi")
    glm.wait_until(lambda: glm.open == 1)

    for cell in ("print(1)\ntime.sleep(60)", "print(1)\nawait job", None):
        run = kernel.submit(cell or "print(1)")
        kernel.wait(lambda run=run: run.stdout)
        kernel.settle(0.1)
        kernel.interrupt()
        if cell is not None:
            kernel.finish(run)
            assert run.status == "error"
        kernel.settle(0.2)
        assert kernel.value("job.done") == "False"

    assert (glm.open, glm.aborted) == (1, 0)
    kernel.ok("job.stop()")


@pytest.mark.parametrize("where", ["main", "subshell"])
@pytest.mark.parametrize("other", ["nothing", "while True:\n    await asyncio.sleep(0.05)"])
def test_a_jobs_stop_button_works_while_cells_await(kernel, glm, where, other):
    """It stands in the job's own cell, its click ends the job well, and nothing is left of it."""
    glm.stall_after(2)
    subshell = shell_for_clicks(kernel, where)

    kernel.ok("import asyncio\nnothing = 0")
    run = kernel.ok("%%chatglm --bg --out r\nhi")
    waiting = kernel.submit(other)
    kernel.wait(lambda: run.buttons)
    kernel.click(run.buttons[0], subshell)
    glm.wait_until(lambda: glm.aborted == 1, 3)
    kernel.settle(0.2)

    assert waiting.done == (other == "nothing")
    assert VIEW not in str([output["data"] for output in run.outputs])
    assert "stopped" in run.markdown[0]
    told = [message.type for messages in (run.messages, waiting.messages, kernel.orphans) for message in messages]
    assert told.count("comm_close") == told.count("comm_open") == 3
    if other != "nothing":
        kernel.interrupt()
    kernel.finish(waiting)
    assert kernel.value("r.finish_reason") == "'interrupted'"


def test_a_blocking_cell_does_not_keep_the_button_from_working(kernel, glm):
    """A front end with a subshell reaches the button even then."""
    glm.stall_after(2)
    subshell = shell_for_clicks(kernel, "subshell")

    run = kernel.ok("%%chatglm --bg\nhi")
    waiting = kernel.submit("import time\ntime.sleep(2)")
    kernel.wait(lambda: run.buttons)
    kernel.click(run.buttons[0], subshell)
    glm.wait_until(lambda: glm.aborted == 1)

    assert not waiting.done
    kernel.finish(waiting)


def test_a_failure_is_a_line_in_the_jobs_own_output(kernel, glm):
    """Nothing can be raised when the cell has ended: it is shown there, kept, and raised where the job is awaited."""
    glm.refuse(401, "1000", "bad <b>key</b>")

    run = kernel.ok("job = %chatglm --bg --out r hi")
    end(kernel)

    (line,) = run.markdown
    assert line.startswith("**AuthenticationError**: No key was sent")
    assert "<b>" not in line
    assert len(line.splitlines()) == 1
    assert run.outputs[-1]["metadata"]["chatglm_magic"] == {"status": "error", "kind": "auth"}
    assert kernel.value("(job.state, r.finish_reason)") == "('failed', 'error')"
    assert kernel.run("await job").ename == "AuthenticationError"
    glm.forget()
    glm.reset_after(3)
    run = kernel.ok("job = %chatglm --bg hi")
    end(kernel)
    assert "one two three" in run.markdown[0]
    assert "BrokenStreamError" in run.markdown[1]


def test_jobs_are_listed_and_stopped_by_line(kernel, glm):
    """`jobs` tells number, state and question; `stop N` stops one, `stop` all; other words make a prompt."""
    glm.stall_after(1)
    assert "Nothing was asked" in kernel.ok("%chatglm jobs").stdout
    assert "Nothing runs" in kernel.ok("%chatglm stop").stdout
    kernel.ok("for name in 'abc':\n    get_ipython().run_line_magic('chatglm', f'--bg -c {name} about {name}')")
    glm.wait_until(lambda: glm.open == 3)

    assert kernel.ok("%chatglm stop 2").stdout.split()[:2] == ["2", "stopped"]
    listed = kernel.ok("%chatglm jobs").stdout.splitlines()
    assert [line.split()[1] for line in listed] == ["running", "stopped", "running"]
    assert listed[0].endswith("about a")
    assert kernel.run("%chatglm stop 9").ename == "ConfigError"
    assert len(kernel.ok("%chatglm stop").stdout.splitlines()) == 2
    glm.wait_until(lambda: glm.aborted == 3)
    glm.forget()
    glm.say("ok")
    assert kernel.ok("%chatglm stop being silly").markdown == ["ok"]


def test_questions_of_one_conversation_take_turns(kernel, glm):
    """A cell that asks where a job is being answered waits its turn and says so; the history is well-formed."""
    glm.say("first answer", delay=0.3)
    kernel.ok("job = %chatglm --bg first")
    glm.wait_until(lambda: glm.open == 1)

    kernel.ok("%chatglm second")

    said = [message["content"] for message in glm.requests[-1].json["messages"]]
    assert said == ["first", "first answer", "second"]


@pytest.mark.parametrize(
    "cell", ["%%time\n%chatglm --bg hi", "def f():\n    job = %chatglm --bg hi\n    return job\nf()"]
)
def test_jobs_begin_from_anywhere_in_a_cell(kernel, glm, cell):
    """In functions and timed cells the call returns at once too; the cell's other output stays."""
    glm.stall_after(2)

    run = kernel.ok(f"print('mine')\n{cell}" if not cell.startswith("%%") else cell)
    kernel.wait(lambda: "one two" in "".join(run.markdown))
    kernel.ok("%chatglm stop")
    kernel.settle(0.1)

    assert "stopped" in run.markdown[0]
    assert run.stdout


@pytest.mark.parametrize("cell", ["job = %chatglm --bg hi", "%%capture cap\njob = %chatglm --bg hi"])
def test_where_nobody_watches_the_cell_waits(kernel, glm, cell):
    """Headless runs save what a cell has shown by its end; the job is the same, but over."""
    glm.say("some words", delay=0.05)

    run = kernel.finish(kernel.submit(cell, allow_stdin="capture" in cell))

    assert run.status == "ok"
    assert kernel.value("(job.done, job.text, (await job).text)") == "(True, 'some words', 'some words')"
    if "capture" in cell:
        assert kernel.value("[o.data['text/plain'] for o in cap.outputs]") == "['some words']"
    else:
        assert run.markdown == ["some words"]


def test_a_job_puts_no_code_into_cells(kernel, glm):
    """A cell can be filled only by the one that runs; that is said before anything is sent."""
    run = kernel.run("%%chatglm --bg --insert below\nhi")

    assert (run.ename, glm.requests) == ("ConfigError", [])
    assert "--bg" in run.evalue


def test_unloading_stops_jobs(kernel, glm):
    """Nothing goes on of an extension that is gone; what had arrived is kept."""
    glm.stall_after(2)
    run = kernel.ok("job = %chatglm --bg hi")
    kernel.wait(lambda: "one two" in "".join(run.markdown))

    kernel.ok("%unload_ext chatglm_magic")

    glm.wait_until(lambda: glm.aborted == 1)
    assert kernel.value("(job.state, job.text)") == "('stopped', 'one two ')"
    kernel.settle(0.1)
    assert "stopped" in run.markdown[0]


def test_a_kernel_that_shuts_down_stops_its_jobs(glm, tmp_path):
    """The server sees us hang up, and the output is marked."""
    glm.stall_after(2)
    with Kernel(tmp_path) as kernel:
        kernel.ok("%load_ext chatglm_magic")
        run = kernel.ok(f"%chatglm --bg --base-url {glm.url} -m glm-4.7 hi")
        kernel.wait(lambda: "one two" in "".join(run.markdown))
        kernel.client.shutdown()
        kernel.wait(lambda: "stopped" in "".join(run.markdown))
        glm.wait_until(lambda: glm.aborted == 1)


def test_a_cell_that_is_run_again_stops_its_former_job(kernel, glm):
    """One cell never has two replies growing in it; jobs of other cells go on."""
    glm.stall_after(2)

    kernel.ok("first = %chatglm --bg hi", cellId="one")
    kernel.ok("other = %chatglm --bg -c elsewhere hi", cellId="two")
    kernel.wait(lambda: kernel.value("len(first.text) * len(other.text) > 0") == "True")
    glm.forget()
    glm.say("the second time")
    again = kernel.ok("second = %chatglm --bg hi", cellId="one")
    end(kernel, "second")

    glm.wait_until(lambda: glm.aborted == 1)
    end(kernel, "first")
    assert kernel.value("(first.state, other.state, second.state)") == "('stopped', 'running', 'done')"
    assert kernel.value("first.text.strip()") == "'one two'"
    assert again.markdown[-1].strip() == "the second time"
    kernel.ok("other.stop()")
