"""Tests in a real kernel: the pictures that cells have shown, sent along by `-a _` and `-a Out[n]`."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

PLOT = """
%matplotlib inline
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(4, 2), facecolor=(0.2, 0.4, 0.6))
ax.plot([1, 2, 3])
"""


@pytest.fixture(autouse=True)
def _nothing_shown_yet(kernel):
    """The kernel is shared: what earlier tests have shown is none of ours."""
    kernel.ok("%reload_ext chatglm_magic\nOut.clear()")


def sent(glm) -> list[Image.Image]:
    parts = [part for part in glm.requests[-1].json["messages"][-1]["content"] if part["type"] == "image_url"]
    data = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts]
    return [Image.open(io.BytesIO(one)).convert("RGB") for one in data]


@pytest.mark.parametrize("end", ["plt.show()", "fig", "ax.bar([1], [2])", "ax.set_title('T');", "display(fig); 3"])
def test_the_plot_of_the_last_cell_is_the_newest_output(kernel, glm, end):
    """However a cell ends that draws, `-a _` sends its plot; so does `-a Out[n]`, and `-a _` after an answer."""
    glm.say("seen")
    run = kernel.ok(PLOT + end)

    for line in (
        "%chatglm --new -a _ 解释这张图",
        f"%chatglm -a Out[{run.reply['execution_count']}] Explain",
        "%chatglm -a _ Again",
    ):
        kernel.ok(line)
        (picture,) = sent(glm)
        assert picture.getpixel((2, 2)) == (51, 102, 153)
        assert picture.width > 300


def test_the_plot_of_the_same_cell_is_the_newest_output(kernel, glm):
    """A cell that draws and asks sends what it has drawn, though the notebook shows it only at the cell's end."""
    glm.say("seen")
    kernel.ok("%matplotlib inline\nfrom PIL import Image\nImage.new('RGB', (400, 200), 'red')")

    run = kernel.ok(f"{PLOT}\n%chatglm -a _ Explain")

    (picture,) = sent(glm)
    assert picture.getpixel((2, 2)) == (51, 102, 153)
    assert any("image/png" in output.get("data", {}) for output in run.outputs)


def test_a_plot_that_is_shown_as_svg_hides_the_older_ones(kernel, glm):
    """Its picture cannot be sent, and another one was not meant."""
    glm.say("seen")
    kernel.ok(PLOT + "plt.show()\n%config InlineBackend.figure_formats = ['svg']")
    try:
        kernel.ok(PLOT + "plt.show()")
        run = kernel.run("%chatglm -a _ Explain")
    finally:
        kernel.ok("%config InlineBackend.figure_formats = ['png']")

    assert "was shown as SVG" in run.evalue


def test_a_value_without_a_picture_is_not_taken_for_an_older_one(kernel, glm):
    """What is sent is what was meant: a newer output that has no picture is refused, with the way out."""
    glm.say("seen")
    kernel.ok(PLOT + "plt.show()")
    kernel.ok("1 + 1")
    before = len(glm.requests)

    run = kernel.run("%chatglm -a _ Explain")

    assert run.status == "error"
    assert "(int) has no picture" in run.evalue
    assert len(glm.requests) == before


def test_the_cell_says_what_goes_along(kernel, glm):
    """While nothing has come, the cell names the picture and its size; the answer is kept without that line."""
    glm.say("seen", first_delay=0.5)

    run = kernel.ok(PLOT + "plt.close()\n%chatglm -a fig Explain")

    assert any("With picture {fig}, PNG, 400 × 200 pixels, " in str(paint.content) for paint in run.paints)
    assert "With picture" not in str(run.outputs)
