"""Tests with older releases of ipykernel: the few promises that depend on how a kernel works.

`pytest -m long` runs all of this folder's tests with each of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_driver import Kernel, prepare
from older import VERSIONS, folder_of, shell_for_clicks

WORDS = "some words that take their time to come"


@pytest.fixture(scope="module", params=VERSIONS)
def older(request, tmp_path_factory):
    """Give a kernel of an older release, one for all tests of this module."""
    folder = folder_of(request.param, request.config, tmp_path_factory)
    with Kernel(tmp_path_factory.mktemp("kernel"), {"PYTHONPATH": str(folder)}) as kernel:
        assert kernel.value("__import__('ipykernel').__version__") == repr(request.param)
        yield kernel


@pytest.fixture
def kernel(older, glm):
    """Give that kernel with the extension loaded, whose questions go to the loopback server."""
    prepare(older, glm)
    older.orphans.clear()
    yield older
    older.runs.clear()


def button_of(kernel, run) -> str:
    kernel.wait(lambda: run.buttons)
    return run.buttons[0]


def usual_shell(kernel) -> str | None:
    """Give the shell that JupyterLab sends clicks to: the main one where there is no other."""
    has = kernel.value("'kernel subshells' in get_ipython().kernel.kernel_info.get('supported_features', [])")
    return shell_for_clicks(kernel, "subshell" if has == "True" else "main")


def test_a_reply_streams_and_is_the_cells_value(kernel, glm):
    """It is painted as it comes, ends as one output, and is a value, awaited or not."""
    glm.say(WORDS, delay=0.05)

    run = kernel.ok("%%chatglm\nhi")
    assert len(run.paints) > 4
    assert run.markdown == [WORDS]
    assert kernel.value("_.text") == repr(WORDS)
    run = kernel.ok("def f():\n    a = %chatglm hi\n    return a.text\nprint(f())")
    assert (run.stdout, run.markdown[0]) == (f"{WORDS}\n", WORDS)


def test_an_interrupt_bites_on_a_silent_stream(kernel, glm):
    """The cell ends at once, the server sees us hang up, the kernel lives, awaited or not."""
    for cell in ("%%chatglm --out r\nhi", "def f():\n    %chatglm --out r hi\nf()"):
        glm.forget()
        glm.stall_after(2)
        aborted = glm.aborted
        run = kernel.submit(cell)
        glm.wait_until(lambda: glm.open == 1)
        kernel.settle(0.2)
        kernel.interrupt()
        kernel.finish(run, 3)
        assert (run.ename, kernel.value("r.text")) == ("Interrupted", "'one two '")
        glm.wait_until(lambda aborted=aborted: glm.aborted > aborted)


def test_the_stop_button_ends_a_reply_well(kernel, glm):
    """The click gets through while the cell awaits, and the cells that wait keep their order."""
    glm.stall_after(2)
    subshell = usual_shell(kernel)

    run = kernel.submit("%%chatglm --out r\nhi")
    after = [kernel.submit(f"print({number})") for number in range(3)]
    kernel.click(button_of(kernel, run), subshell)
    kernel.finish(run, 3)
    for cell in after:
        kernel.finish(cell)

    assert (run.status, len(run.outputs)) == ("ok", 1)
    assert "stopped" in run.markdown[0]
    assert [cell.stdout for cell in after] == ["0\n", "1\n", "2\n"]
    assert kernel.value("r.finish_reason") == "'interrupted'"
    glm.wait_until(lambda: glm.aborted == 1)


def test_a_job_grows_in_its_own_cell(kernel, glm):
    """Other cells, awaiting or blocking, neither hold it up nor get its output."""
    glm.say(WORDS, delay=0.1)

    run = kernel.ok("job = %chatglm --bg --out r hi")
    blocking = "while not job.text.endswith('come'):\n    time.sleep(0.02)\nprint(True)"
    other = kernel.ok(f"import asyncio, time\nawait asyncio.sleep(0.1)\n{blocking}")
    kernel.ok("await job")
    kernel.settle(0.1)

    assert (run.markdown, other.stdout, kernel.value("r.text")) == ([WORDS], "True\n", repr(WORDS))
    assert [message for message in kernel.orphans if message.type != "status"] == []


def test_a_jobs_stop_button_works_while_a_cell_awaits(kernel, glm):
    """The click ends the job alone, and what the other cell shows stays its own."""
    glm.stall_after(2)
    subshell = usual_shell(kernel)

    kernel.ok("import asyncio")
    run = kernel.ok("%%chatglm --bg\nhi")
    other = kernel.submit("for number in range(60):\n    await asyncio.sleep(0.05)\nprint('mine')")
    kernel.click(button_of(kernel, run), subshell)
    glm.wait_until(lambda: glm.aborted == 1, 3)

    assert not other.done
    kernel.finish(other)
    assert (other.stdout, "stopped" in run.markdown[0]) == ("mine\n", True)


def test_a_captured_reply_is_one_display(kernel, glm):
    """Nothing is shown, and what `%%capture` keeps can be shown later."""
    glm.say(WORDS)

    run = kernel.ok("%%capture cap\n%chatglm hi")

    assert run.outputs == []
    assert kernel.value("[o.data['text/plain'] for o in cap.outputs]") == repr([WORDS])


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_all_of_this_folder_holds(version, request, tmp_path_factory):
    """What the newest kernel promises, older ones keep, but for what a test says of itself."""
    folder = folder_of(version, request.config, tmp_path_factory)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    print(done.stdout[-1500:])
    assert done.returncode == 0
