"""Tests in a real kernel: several models in one cell, how their columns grow, end and are stopped."""

from __future__ import annotations

import re
import time

ASK = "%%chatglm --new -m a -m b -m c\nWho are you?"


def test_columns_grow_together_and_end_as_one_output(kernel, glm):
    """One display is repainted while they come, at most 20 times a second; at the end stands one output."""
    for _ in range(3):
        glm.say(lambda request: f"**{request.json['model']}** " + "word " * 80, delay=0.01)

    started = time.monotonic()
    run = kernel.ok(ASK)
    seconds = time.monotonic() - started

    (output,) = run.outputs
    assert set(output["data"]) == {"text/html", "text/markdown", "text/plain"}
    for name in "abc":
        assert f"<strong>{name}</strong> · <em>" in output["data"]["text/html"]
        assert f"#### {name}\n\n" in output["data"]["text/markdown"]
        assert re.search(rf"── {name} · [\d.]+ s", output["data"]["text/plain"])
    assert output["metadata"]["chatglm_magic"]["status"] == "stop"
    assert set(output["metadata"]["chatglm_magic"]["models"]) == {"a", "b", "c"}
    growing = [str(paint.content) for paint in run.paints]
    assert 3 < len(growing) <= 20 * seconds + 2
    assert any(all(f"<p><strong>{name}</strong> word" in paint for name in "abc") for paint in growing)


def test_a_column_that_fails_says_so(kernel, glm):
    """The others are whole, and the cell ends well."""
    glm.say("fine")

    run = kernel.ok("%%chatglm --new -m a -m zai:glm-4.7\nWho?")

    assert "ZAI_API_KEY" in run.outputs[0]["data"]["text/html"]
    assert "fine" in run.outputs[0]["data"]["text/html"]
    assert run.outputs[0]["metadata"]["chatglm_magic"]["status"] == "mixed"


def test_all_that_fail_are_an_error_of_the_cell(kernel, glm):
    """One line says what happened, and no column stays."""
    glm.refuse(401, "1000", "bad key")

    run = kernel.run(ASK)

    assert (run.status, run.ename) == ("error", "AuthenticationError")
    assert not any("text/html" in output.get("data", {}) for output in run.outputs)


def test_an_interrupt_stops_all_and_keeps_what_had_come(kernel, glm):
    """The columns stay as far as they came, marked; the variable holds them."""
    glm.say("word " * 400, delay=0.02)
    run = kernel.submit("%%chatglm --new -m a -m b --out both\nWho?")
    kernel.wait(lambda: any("word word" in str(paint.content) for paint in run.paints))

    stopped = time.monotonic()
    kernel.interrupt()
    kernel.finish(run)

    assert time.monotonic() - stopped < 2
    assert run.status == "error"
    (output,) = [one for one in run.outputs if "data" in one]
    assert output["data"]["text/html"].count("word word") >= 2
    assert kernel.value("[reply.finish_reason for reply in both.values()]") == "['interrupted', 'interrupted']"
    glm.wait_until(lambda: glm.aborted == 2)


def test_the_value_shows_the_columns_again(kernel, glm):
    """Evaluated later it is the same output."""
    glm.say("fine")
    kernel.ok("%%chatglm --new -m a -m b --out both\nWho?")

    run = kernel.ok("both")

    assert run.outputs[0]["data"]["text/html"].count("fine") == 2


def test_among_other_outputs_they_leave_those_alone(kernel, glm):
    """A cell that prints keeps what it printed; a function of the user's may compare too."""
    glm.say("fine")

    run = kernel.ok("def ask():\n    %chatglm -m a -m b Who?\nprint('before')\nask()")

    assert run.stdout == "before\n"
    assert [one["data"]["text/html"].count("fine") for one in run.outputs if "text/html" in one.get("data", {})] == [2]


def test_the_stop_button_stops_all_columns_and_the_cell_ends_well(kernel, glm):
    """A click is no error: what had come of each stays, and the value says that it was stopped."""
    glm.say("word " * 600, delay=0.02)
    run = kernel.submit("%%chatglm --new -m a -m b --out both\nWho?")
    kernel.wait(lambda: run.buttons)

    kernel.click(run.buttons[0])
    kernel.finish(run)

    assert run.status == "ok"
    assert kernel.value("[reply.finish_reason for reply in both.values()]") == "['interrupted', 'interrupted']"
    assert run.outputs[-1]["metadata"]["chatglm_magic"]["status"] == "interrupted"


def test_in_an_output_widget_the_columns_come_whole(kernel, glm):
    """An output that cannot be updated gets them once, at their end."""
    glm.say("fine")

    run = kernel.ok("import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    %chatglm --new -m a -m b Who?\nout")

    (columns,) = [one for one in run.outputs if "text/html" in one.get("data", {})]
    assert columns["data"]["text/html"].count("fine") == 2
    assert not any("text/html" in str(paint.content) and "streaming" in str(paint.content) for paint in run.paints)
