"""Pictures and models side by side in JupyterLab, with a real kernel: what a person drops, sees and reads again."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pytest
from panel_lab import SECONDS, load, opens_panel
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

DROP = """(target, [kind, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], 'dot.png', {type: 'image/png'}));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
  target.dispatchEvent(event);
}"""
COLUMNS = """() => [...document.querySelectorAll('.jp-OutputArea-output div[style*=grid] > div')].map(one => {
  const {left, top} = one.getBoundingClientRect(); return [Math.round(left), Math.round(top)]; })"""
CODE = "```python\nprint('a long line of code that is wider than a column of these')\n```"
TEXT = f"**{{model}}**\n\n- one\n- two\n\n{CODE}\n"


def shot(page, name: str) -> None:
    """Keep a picture where PANEL_PICTURES says."""
    if folder := os.environ.get("PANEL_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (120, 80), colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_brought_into_the_panel_and_reaches_the_server(lab, glm, kind):
    """What is dropped or pasted shows as a chip, goes with the question, and stays small in the log."""
    glm.say("It is green.")
    with opens_panel(lab, glm) as (panel, _):
        panel.message.evaluate(DROP, [kind, list(picture((10, 200, 30)))])
        expect(panel.node.locator(".cg-file img")).to_be_visible(timeout=SECONDS)
        shot(panel.page, f"panel-{kind}")
        panel.ask("Which colour?")
        panel.reads("It is green.")
        panel.rests()

        expect(panel.log.locator("img.cg-picture")).to_be_visible()
        expect(panel.node.locator(".cg-file")).to_have_count(0)
        shot(panel.page, f"panel-{kind}-sent")
    text, part = glm.requests[-1].json["messages"][-1]["content"]
    assert text["text"] == "Which colour?"
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).getpixel((60, 40)) == (10, 200, 30)


def test_columns_stand_side_by_side_and_are_saved(lab, glm):
    """Three models grow beside each other; the saved notebook holds them as HTML and Markdown, and shows them again."""
    glm.say(lambda request: TEXT.format(model=request.json["model"]) + "word " * 60, delay=0.01)
    ask = "%%chatglm -m a -m b -m c\nWho are you?"
    with lab.opens([load(glm), ask]) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.page.wait_for_function(f"() => ({COLUMNS})().length === 3")
        shot(notebook.page, "columns-growing")
        notebook.ended(1)
        columns = notebook.js(COLUMNS)
        shot(notebook.page, "columns")
        assert len({left for left, _ in columns}) == 3
        assert len({top for _, top in columns}) == 1
        saved = notebook.save()
        (output,) = saved.cells[1].outputs
        assert {"text/html", "text/markdown", "text/plain"} <= set(output.data)

        notebook.page.set_viewport_size({"width": 600, "height": 900})
        notebook.page.wait_for_timeout(500)
        narrow = notebook.js(COLUMNS)
        shot(notebook.page, "columns-narrow")
        assert len({top for _, top in narrow}) > 1
