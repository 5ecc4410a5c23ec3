"""A reply inside `ipywidgets.Output`, which ignores updates of outputs, in JupyterLab and Notebook 7."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

CELL = """from ipywidgets import Button, Output, VBox, interact_manual
from IPython.display import display
out, button = Output(), Button(description="Ask")

def ask(_):
    with out:
        r = %chatglm --base-url {url} -m glm-4.7 hi

button.on_click(ask)
display(VBox([button, out]))
"""
MANUAL = """@interact_manual
def answer(n=3):
    r = %chatglm --base-url {url} -m glm-4.7 hi
"""


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_reply_grows_and_ends_inside_an_output_widget(lab, glm, ui):
    """From a button's callback, and from `interact_manual`: text while it comes, in the end the answer, once."""
    words = [f"word{number}" for number in range(40)]
    glm.say("## Title\n\n" + " ".join(words), delay=0.1)
    cells = ["%load_ext chatglm_magic", CELL.format(url=glm.url), MANUAL.format(url=glm.url)]

    with lab.opens(cells, ui=ui) as notebook:
        for number in range(3):
            notebook.run(number)
        for number, name in ((1, "Ask"), (2, "Run Interact")):
            place = notebook.output(number)
            place.get_by_role("button", name=name).click()
            place.get_by_text("waiting").or_(place.get_by_text("word2")).first.wait_for()
            place.get_by_text("word9").first.wait_for()
            early = place.inner_text()
            place.locator(".jp-RenderedMarkdown h2").wait_for()
            place.locator(".jp-RenderedMarkdown").get_by_text("word39").wait_for()
            text = place.inner_text()

            assert "word39" not in early
            assert "waiting" not in text
            assert [text.count(word) for word in ("Title", "word0 ", "word39")] == [1, 1, 1]
