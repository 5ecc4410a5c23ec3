"""The Stop button, pressed by a person in JupyterLab and Notebook 7."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_click_stops_the_reply_and_leaves_no_button(lab, glm, ui):
    """The button appears above a reply that takes long; its click ends the cell well, and it is gone."""
    glm.stall_after(2)
    cells = ["%load_ext chatglm_magic", f"%%chatglm --base-url {glm.url} -m glm-4.7\nhi", "print('ran')"]

    with lab.opens(cells, ui=ui) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.start(2)
        button = notebook.output(1).get_by_role("button", name="Stop")
        button.wait_for()
        assert "one two" in notebook.text(1)
        button.click()
        notebook.ended(2)
        glm.wait_until(lambda: glm.aborted == 1)

        assert notebook.output(1).get_by_role("button").count() == 0
        assert notebook.text(2).strip() == "ran"
        saved = notebook.save()
        (output,) = saved.cells[1].outputs
        assert VIEW not in output.data
        assert output.data["text/plain"] == "one two\n\n[stopped]"
        assert output.metadata["chatglm_magic"]["status"] == "interrupted"
        assert "widgets" not in saved.metadata


TOP = """() => [...window.__panel().content.widgets[1].node.querySelectorAll('.jp-OutputArea-child')]
.find(child => child.innerText.includes('one two')).getBoundingClientRect().top"""


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_the_button_moves_nothing_when_it_comes(lab, glm, ui):
    """What is being read stays where it is when the button appears."""
    glm.stall_after(2)

    with lab.opens(["%load_ext chatglm_magic", f"%%chatglm --base-url {glm.url} -m glm-4.7\nhi"], ui=ui) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.output(1).get_by_text("one two").wait_for()
        before = notebook.js(TOP)
        notebook.output(1).get_by_role("button", name="Stop").wait_for()
        after = notebook.js(TOP)
        notebook.output(1).get_by_role("button", name="Stop").click()
        notebook.ended(1)

    assert abs(after - before) <= 1
