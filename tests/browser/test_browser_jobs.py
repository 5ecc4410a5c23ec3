"""A reply in the background, as a person sees it in JupyterLab and Notebook 7."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

VIEW = "application/vnd.jupyter.widget-view+json"
WORDS = "some words that take their time to come"


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_job_grows_below_its_own_cell_while_another_blocks(lab, glm, tmp_path, ui):
    """The cell has ended, its output grows on, and is saved as one answer; the other cell's stays its own."""
    glm.say(WORDS, delay=0.25)
    cells = ["%load_ext chatglm_magic", f"%%chatglm --bg --base-url {glm.url} -m glm-4.7\nhi"]
    gate = tmp_path / "gate"
    blocking = f"while not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.05)"
    cells.append(f"import pathlib, time\nprint('mine')\n{blocking}\nprint('all mine')")
    cells.append("reply = await Out[2]")

    with lab.opens(cells, ui=ui) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        notebook.output(1).get_by_text(WORDS).wait_for()
        assert notebook.text(2).strip() == "mine"
        gate.touch()
        notebook.ended(2)
        notebook.run(3)

        assert notebook.text(2).strip().split("\n") == ["mine", "all mine"]
        (output,) = notebook.save().cells[1].outputs
        assert output.metadata["chatglm_magic"]["status"] == "stop"
        assert output.data["text/plain"] == WORDS


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_click_stops_a_job_while_another_cell_runs(lab, glm, ui):
    """The button stands in the job's own output; its click hangs up, marks the reply and leaves no button."""
    glm.stall_after(2)
    cells = ["%load_ext chatglm_magic", f"%%chatglm --bg --base-url {glm.url} -m glm-4.7\nhi"]
    cells.append("import asyncio\nawait asyncio.sleep(4)\nprint('ran')")

    with lab.opens(cells, ui=ui) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        button = notebook.output(1).get_by_role("button", name="Stop")
        button.wait_for()
        button.click()
        glm.wait_until(lambda: glm.aborted == 1)
        assert notebook.text(2).strip() == ""
        notebook.output(1).get_by_text("stopped").wait_for()
        notebook.ended(2)

        assert notebook.output(1).get_by_role("button").count() == 0
        saved = notebook.save()
        (output,) = saved.cells[1].outputs
        assert VIEW not in output.data
        assert output.metadata["chatglm_magic"]["status"] == "interrupted"
        assert "widgets" not in saved.metadata
