"""What a person sees of a failed cell that is mended, and of code that is put into a cell."""

from __future__ import annotations

import json
import os

import pytest

pytestmark = pytest.mark.browser

FIXED = "`x` is zero, and nothing can be divided by it.\n\n```python\nx = 2\nprint(1 / x)\n```"
CELLS = "() => window.__panel().content.widgets.map(cell => cell.model.sharedModel.getSource())"


def test_a_failed_cell_is_mended_in_a_cell_below(lab, glm):
    """`fix` explains, shows what changes in colours, and puts the corrected cell below itself, not run."""
    glm.say(FIXED, delay=0.02)
    asking = f"%chatglm --base-url {glm.url} -m glm-4.7 fix"

    with lab.opens(["%load_ext chatglm_magic", "x = 0\nprint(1 / x)", asking, "'the last cell'"]) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.run(2)
        notebook.page.wait_for_function(f"() => ({CELLS})().length === 5", timeout=10_000)
        sources = notebook.js(CELLS)
        shown = notebook.text(2)
        counts = notebook.js("() => window.__panel().content.widgets.map(cell => cell.model.executionCount ?? null)")
        if folder := os.environ.get("TEST_PICTURES"):
            notebook.page.screenshot(path=f"{folder}/mending.png")

    assert sources[3] == "x = 2\nprint(1 / x)"
    assert counts[3] is None
    assert "nothing can be divided by it" in shown
    for line in ("--- before", "-x = 0", "+x = 2"):
        assert line in shown


def test_code_takes_the_place_of_the_question(lab, glm):
    """`--insert replace` turns the asking cell into its answer."""
    glm.say("```python\nprint(6 * 7)\n```")
    asking = f"%%chatglm --base-url {glm.url} -m glm-4.7 --insert replace\nWhat is six times seven?"

    with lab.opens(["%load_ext chatglm_magic", asking]) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.page.wait_for_function(f"() => ({CELLS})()[1] === 'print(6 * 7)'", timeout=10_000)
        assert notebook.js(CELLS)[1] == "print(6 * 7)"


def test_code_that_was_put_below_is_replaced_by_the_next(lab, glm):
    """Run again, `--insert` replaces the cell that it made, wherever it stands, unless a person has changed it."""
    glm.say(lambda request: f"```python\nprint({len(glm.requests)})\n```")
    asking = f"%%chatglm --base-url {glm.url} -m glm-4.7 --insert\nPrint a number."

    def shows(*sources: str) -> None:
        notebook.page.wait_for_function(
            f"wanted => JSON.stringify(({CELLS})().slice(2)) === wanted", arg=json.dumps(sources, separators=(",", ":"))
        )

    with lab.opens(["%load_ext chatglm_magic", asking, "'the last cell'"]) as notebook:
        notebook.run(0)
        for number in (1, 2):
            notebook.run(1)
            shows(f"print({number})", "'the last cell'")
        notebook.js("() => window.__panel().content.widgets[2].model.sharedModel.setSource('print(2)  # mine')")
        for number in (3, 4):
            notebook.run(1)
            shows(f"print({number})", "print(2)  # mine", "'the last cell'")
        notebook.js("() => window.__panel().content.model.sharedModel.moveCell(2, 4)")
        notebook.run(1)
        shows("print(2)  # mine", "'the last cell'", "print(5)")
        assert len(glm.requests) == 5
