"""A map in a real kernel: how far it is, a stop that bites at once, and one that runs on while other cells run."""

from __future__ import annotations

import asyncio
import time

import pytest
from kernel_driver import VIEW
from map_kit import RowServer, answers
from older import shell_for_clicks

CELL = "%%chatglm --over rows --out got --concurrency 4\nWhat of row {it}?"


@pytest.fixture
def server(kernel, glm) -> RowServer:
    kernel.ok("rows, got = list(range(400)), None")
    return RowServer(glm, delay=0.02)


@pytest.fixture
def endless(server) -> RowServer:
    """Have the server answer ten rows, and none after them."""

    async def behave(asked):
        if int(asked.row) >= 10:
            await asyncio.sleep(60)

    server._behave = behave
    return server


def shown(run) -> list[str]:
    return [output["data"]["text/plain"] for output in run.outputs if "data" in output]


def test_a_map_shows_how_far_it_is(kernel, server):
    """One output that changes at most four times a second, and in its place at the end a table of ten."""
    began = time.monotonic()
    run = kernel.ok(CELL)
    seconds = time.monotonic() - began
    lines = [message.content["data"].get("text/html", "") for message in run.paints]

    assert 3 <= len([line for line in lines if " / 400" in line]) <= 4 * seconds + 2
    assert any("in flight" in line and "rows/s" in line for line in lines)
    assert max(line.count("<tr>") for line in lines if " / 400" in line) == 6  # a head and five rows
    (final,) = shown(run)
    assert final.startswith("400 rows, 400 answered\n")
    assert run.outputs[0]["data"]["text/html"].count("<tr>") == 11
    assert kernel.value("(got.values[:3], Out[max(Out)] is got)") == f"({answers(range(3))}, True)"


def test_an_interrupt_bites_and_keeps_the_rows(kernel, endless):
    """The stop button ends the cell within 0.3 s; what was answered is in the variable and shown."""
    run = kernel.submit(CELL)
    endless.glm.wait_until(lambda: endless.open == 4)
    kernel.settle(0.3)
    began = time.monotonic()
    kernel.interrupt()
    kernel.finish(run, 2.0)

    assert time.monotonic() - began < 0.4  # 0.3, and the way there and back
    assert (run.status, run.ename) == ("error", "Interrupted")
    assert kernel.value("(got.finish_reason, got.values[:11])") == f"('interrupted', {[*answers(range(10)), None]})"
    assert any("10 answered" in text and "interrupted" in text for text in shown(run))
    endless.glm.wait_until(lambda: endless.open == 0)


def test_the_button_ends_the_map_and_no_error_is_raised(kernel, endless):
    """Stop is no failure: the cell's value is the rows so far."""
    subshell = shell_for_clicks(kernel, "subshell")
    run = kernel.submit(CELL)
    kernel.wait(lambda: run.buttons)
    kernel.click(run.buttons[-1], subshell)
    kernel.finish(run, 3.0)

    assert run.status == "ok"
    assert VIEW not in str(run.outputs)
    assert kernel.value("(got.finish_reason, len(got), got.values[9])") == "('interrupted', 400, 'answer to 9')"


def test_a_plain_function_maps_too(kernel, server):
    """Inside a function, under %%time and in a loop, the rows come all the same."""
    kernel.ok(
        "def ask():\n    return get_ipython().run_line_magic('chatglm', '--over rows --limit 5 row {it}')\nr = ask()"
    )
    assert kernel.value("r.values[:5]") == str(answers(range(5)))


def test_a_map_in_the_background_leaves_the_kernel_free(kernel, server):
    """The cell is a job at once; it shows how far it is while other cells run, and then the table."""
    run = kernel.ok("job = %chatglm --bg --out late --over rows --concurrency 4 What of row {it}?")
    assert kernel.value("(type(job).__name__, job.is_done)") == "('MapJob', False)"
    kernel.ok("import time; time.sleep(0.5)")
    assert len(run.paints) >= 2
    assert "/ 400" in kernel.ok("%chatglm jobs").stdout
    kernel.ok("rows_there = await job")
    kernel.settle(0.3)

    assert kernel.value("(rows_there.values == [f'answer to {row}' for row in rows], len(late))") == "(True, 400)"
    assert any(text.startswith("400 rows, 400 answered") for text in shown(run))
    assert "done" in kernel.ok("%chatglm jobs").stdout


def test_a_map_in_the_background_is_stopped(kernel, endless):
    """By its own method or by `%chatglm stop`, with the rows kept."""
    kernel.ok("job = %chatglm --bg --over rows --concurrency 4 What of row {it}?")
    endless.glm.wait_until(lambda: endless.open == 4)
    kernel.wait(lambda: kernel.value("job.progress.done") == "10")
    kernel.ok("%chatglm stop")
    kernel.wait(lambda: kernel.value("job.is_done") == "True")

    assert kernel.value("(job.rows.finish_reason, job.rows.values[:10])") == f"('interrupted', {answers(range(10))})"


def test_without_a_person_only_the_table_is_shown(kernel, server):
    """Those like nbconvert and papermill keep one output, not what was painted meanwhile."""
    run = kernel.run(CELL, allow_stdin=False)

    assert run.status == "ok"
    assert len(run.paints) == 1
    assert shown(run)[0].startswith("400 rows, 400 answered")
