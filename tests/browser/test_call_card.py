"""The card about a call, in the cell of a person in JupyterLab and Notebook 7: by mouse, and by keys alone."""

from __future__ import annotations

import re

import axe_playwright_python
import pytest
from tool_plays import ANSWER, A, calling

pytestmark = pytest.mark.browser

VIEW = "application/vnd.jupyter.widget-view+json"
AXE = axe_playwright_python.__file__.replace("__init__.py", "axe.min.js")
DEFINE = """def stock(ticker: str) -> int:
    'Return the price of a share.'
    print('asked for', ticker)
    return len(ticker)"""


def cells(glm) -> list[str]:
    glm.replay(calling(A))
    glm.say(ANSWER)
    ask = f"%%chatglm --base-url {glm.url} -m glm-4.7 -T stock\nhow much?"
    return ["%load_ext chatglm_magic", DEFINE, ask, "print('ran')"]


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_click_on_run_runs_the_function(lab, glm, ui):
    """The card shows the call; Run runs it, what it prints stays, and no widget is saved with the notebook."""
    with lab.opens(cells(glm), ui=ui) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        card = notebook.output(2)
        card.get_by_role("button", name="Run", exact=True).wait_for()
        assert "The model asks to run stock" in notebook.text(2)
        assert "Return the price of a share." in notebook.text(2)
        assert '"ticker": "A"' in notebook.text(2)
        assert len(glm.requests) == 1
        card.get_by_role("button", name="Run", exact=True).click()
        notebook.ended(2)

        assert card.get_by_role("button").count() == 0
        assert "asked for A" in notebook.text(2)
        assert ANSWER in notebook.text(2)
        saved = notebook.save()
        assert not any(VIEW in output.get("data", {}) for output in saved.cells[2].outputs)
        assert "widgets" not in saved.metadata


def test_no_button_is_cut_on_a_narrow_page(lab, glm):
    """Each is as wide as its word, and 320 pixels are enough for all, in Chinese too."""
    first, *others = cells(glm)
    with lab.opens([f"{first}\n%config ChatGLMMagics.language = 'zh'", *others], ui="notebook") as notebook:
        notebook.page.set_viewport_size({"width": 320, "height": 800})
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        card = notebook.output(2)
        card.get_by_role("button", name="总是允许", exact=True).wait_for()
        buttons = card.get_by_role("button", name=re.compile("运行|拒绝|编辑|总是允许"))

        assert buttons.evaluate_all("all => all.map(one => one.scrollWidth <= one.clientWidth)") == [True] * 4
        card.get_by_role("button", name="拒绝", exact=True).click()
        notebook.ended(2)


def test_keys_alone_edit_the_arguments_and_run(lab, glm):
    """Tab leads to the buttons; Edit opens a field; Run runs what was written there."""
    with lab.opens(cells(glm)) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        card, keys = notebook.output(2), notebook.page.keyboard
        card.get_by_role("button", name="Run", exact=True).wait_for()
        card.get_by_role("button", name="Run", exact=True).focus()
        for _ in range(2):
            keys.press("Tab")
        keys.press("Enter")
        field = card.get_by_role("textbox")
        field.wait_for()
        field.focus()
        keys.press("Control+A")
        keys.type('{"ticker": "XYZ"}')
        keys.press("Tab")
        keys.press("Enter")
        notebook.ended(2)

        assert "asked for XYZ" in notebook.text(2)


@pytest.mark.parametrize("dark", [False, True])
def test_axe_has_nothing_serious_to_say_of_the_card(lab, glm, dark):
    """The card, with its field, keeps nobody out, in JupyterLab's own themes."""
    with lab.opens(cells(glm), dark=dark) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.start(2)
        card = notebook.output(2)
        card.get_by_role("button", name="Edit", exact=True).click()
        card.get_by_role("textbox").wait_for()
        notebook.page.add_script_tag(path=AXE)
        said = notebook.page.evaluate("where => axe.run(where, {resultTypes: ['violations']})", ".widget-vbox")
        assert said["passes"]
        found = [one for one in said["violations"] if one["impact"] in {"serious", "critical"}]
        card.get_by_role("button", name="Deny", exact=True).click()
        notebook.ended(2)

        assert [
            f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}" for one in found
        ] == []
