"""What a person sees of a value in JupyterLab: rows as they are complete, and nothing that a model wrote acts."""

from __future__ import annotations

import json

import pytest

from .test_browser_cell import LOAD, ask, sights

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.__canary=1'> $\\frac{1}{2}$ [a](javascript:window.__canary=1)"
_SIDE = "cell => getComputedStyle(cell).textAlign"


def test_a_table_grows_and_stays(lab, glm):
    """Each moment shows whole rows, no JSON; the table that is saved holds all of them, formulas as text."""
    people = [*({"name": f"n{number}", "age": number} for number in range(6)), {"name": HOSTILE, "age": 1}]
    pieces = ["[", *(json.dumps(one) + "," for one in people[:-1]), json.dumps(people[-1]), "]"]
    glm.say("".join(pieces), pieces=pieces, delay=0.2)

    with lab.opens([LOAD, ask(glm, "who?", "--schema-multi 'name, age int'")]) as notebook:
        notebook.run(0)
        notebook.start(1)
        seen = sights(notebook, 1, 30)
        notebook.ended(1)
        place = notebook.output(1)
        texts = place.locator("tbody td").all_inner_texts()
        formulas, pictures = place.locator("mjx-container, .MathJax").count(), place.locator("img").count()
        sides = [place.locator(f"tbody tr:first-child td:nth-child({at})").evaluate(_SIDE) for at in (1, 2)]
        canary = notebook.js("() => window.__canary")
        outputs = notebook.outputs(1)

    assert texts == [text for one in people for text in (one["name"], str(one["age"]))]
    assert sides == ["left", "right"]
    assert (formulas, pictures, canary) == (0, 0, None)
    assert len([text for text in seen if "n0" in text]) >= 4
    assert not [text for text in seen if "{" in text and "frac" not in text]
    assert [set(output["data"]) for output in outputs] == [{"text/html", "text/markdown", "text/plain"}]
