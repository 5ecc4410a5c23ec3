"""What a person sees of a streaming cell in JupyterLab and Notebook 7."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.browser

ANSWER = """## Attention

A *query* looks at every **key**, and takes the values in proportion:

$$\\mathrm{softmax}\\left(\\frac{QK^T}{\\sqrt{d}}\\right)V$$

| name | shape |
| --- | --- |
| Q | n × d |
| K | m × d |

```python
def attention(q, k, v):
    return softmax(q @ k.T / d ** 0.5) @ v
```

中文也可以。 Inline math \\(a < b\\) and code `List<int>`.
"""
LOAD = "%load_ext chatglm_magic"


def ask(glm, prompt: str = "Explain attention.", options: str = "") -> str:
    return f"%%chatglm --base-url {glm.url} -m glm-4.7 {options}\n{prompt}"


def sights(notebook, cell: int, seconds: float) -> list[str]:
    """Give the distinct texts that were to be read below a cell, in order, until it ended."""
    seen: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        text = notebook.text(cell).strip()
        if text and (not seen or seen[-1] != text):
            seen.append(text)
        if notebook.js("i => window.__panel().content.widgets[i].model.executionCount !== null", cell):
            break
        time.sleep(0.03)
    return seen


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_reply_grows_in_the_cell_and_ends_as_one_rendered_answer(lab, glm, ui):
    """Text is to be read while it is written; at the end math, table and code are rendered and saved."""
    glm.say(ANSWER, delay=0.02)

    with lab.opens([LOAD, ask(glm)], ui=ui) as notebook:
        notebook.run(0)
        assert notebook.outputs(0) == []
        notebook.start(1)
        seen = sights(notebook, 1, 30)
        notebook.ended(1)
        place = notebook.output(1)
        outputs = notebook.outputs(1)
        saved = notebook.save().cells[1].outputs
        assert place.locator("table td").count() == 4
        assert place.locator("pre code, .highlight pre").count() >= 1
        assert place.locator("mjx-container").count() >= 2

    assert len(seen) > 5
    assert not [text for text in seen if "| name" in text or "| --" in text or "**key" in text]  # half marks
    assert [output["output_type"] for output in outputs] == ["display_data"]
    assert set(outputs[0]["data"]) == {"text/markdown", "text/plain"}
    assert outputs[0]["metadata"]["chatglm_magic"]["status"] == "stop"
    assert saved[0].data["text/plain"] == ANSWER


def test_the_stop_button_of_jupyter_stops_a_silent_stream(lab, glm):
    """■ bites while nothing arrives; what had arrived stays, marked; the server sees that we hung up."""
    glm.stall_after(2, text="one two three four five six")

    with lab.opens([LOAD, ask(glm, options="--out r"), "r.finish_reason, r.text"]) as notebook:
        notebook.run(0)
        notebook.start(1)
        notebook.page.wait_for_function(
            """() => window.__panel().content.widgets[1].node
            .querySelector('.jp-Cell-outputArea')?.innerText.includes('two')"""
        )
        notebook.interrupt()
        glm.wait_until(lambda: glm.aborted == 1)
        notebook.ended(1)
        text = notebook.text(1)
        notebook.run(2)
        value = notebook.text(2)

    assert "one two" in text
    assert "stopped" in text
    assert "'interrupted'" in value
    assert "one two" in value


def test_an_error_is_a_line_or_two(lab, glm):
    """What happened, to what, what to do next; no traceback."""
    glm.refuse(401, "1001", "no key")

    with lab.opens([LOAD, ask(glm)]) as notebook:
        notebook.run(0)
        notebook.run(1)
        text = notebook.text(1)

    assert "AuthenticationError" in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) <= 3
