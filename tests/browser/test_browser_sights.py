"""What a person sees of a cell beside its answer: waiting, thoughts, a page that is left, completion, the manual.

`PICTURES=folder` keeps a picture of each sight there, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .test_browser_cell import ANSWER, LOAD, ask

pytestmark = pytest.mark.browser

LONG = "\n\n".join(f"Paragraph {number}: " + "words and words " * 12 for number in range(24))


def picture(notebook, name: str) -> None:
    """Keep what is to be seen now, where somebody wants to look at it."""
    if folder := os.environ.get("PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        notebook.page.screenshot(path=Path(folder) / f"{name}.png")


def until_text(notebook, cell: int, words: str) -> None:
    """Wait until words are to be read below a cell."""
    notebook.page.wait_for_function(
        """([i, words]) => window.__panel().content.widgets[i].node
        .querySelector('.jp-Cell-outputArea')?.innerText.includes(words)""",
        arg=[cell, words],
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_status_line_then_thoughts_then_the_answer_with_the_thoughts_folded(lab, glm, dark):
    """Who is asked stands there at once; the thoughts open with a click and tell their seconds."""
    glm.say("The answer is **42**.", thinking="First I wonder. Then I know. " * 3, delay=0.15, first_delay=2.0)

    with lab.opens([LOAD, ask(glm)], dark=dark) as notebook:
        notebook.run(0)
        notebook.start(1)
        until_text(notebook, 1, "glm-4.7")
        waiting = notebook.text(1)
        picture(notebook, f"waiting_{'dark' if dark else 'light'}")
        until_text(notebook, 1, "wonder")
        picture(notebook, f"thinking_{'dark' if dark else 'light'}")
        notebook.ended(1)
        details = notebook.output(1).locator("details")
        closed = details.get_attribute("open")
        details.locator("summary").click()
        picture(notebook, f"thought_{'dark' if dark else 'light'}")
        thoughts = details.inner_text()
        text = notebook.text(1)

    assert "waiting" in waiting
    assert closed is None
    assert "Thought for" in thoughts
    assert "Then I know." in thoughts
    assert "The answer is 42." in text


def test_chinese_bold_words_are_bold(lab, glm):
    """JupyterLab's own parser shows no bare `**` where Chinese words stand beside bold ones."""
    glm.say("**结论：**这是答案。\n\n- 称为**“要点”**的一项\n\n| **项：**名 | 值 |\n|---|---|\n| 甲 | **一：**二 |")
    with lab.opens([LOAD, ask(glm)]) as notebook:
        notebook.run(0)
        notebook.run(1)
        picture(notebook, "bold")
        bold = notebook.output(1).locator("strong").all_inner_texts()
        text = notebook.text(1)

    assert bold == ["结论：", "“要点”", "项：", "一："]
    assert "*" not in text


def test_reading_above_is_not_disturbed(lab, glm):
    """Whoever has scrolled up keeps the words under the eyes while the reply grows below, and when it ends."""
    glm.say(LONG, delay=0.01)
    with lab.opens([LOAD, *["print('line\\n' * 40)"] * 3, ask(glm)]) as notebook:
        for cell in range(4):
            notebook.run(cell)
        notebook.start(4)
        until_text(notebook, 4, "Paragraph 3")
        place = """() => { const n = window.__panel().content.widgets[1].node; return n.getBoundingClientRect().top }"""
        notebook.js("() => window.__panel().content.widgets[1].node.scrollIntoView()")
        notebook.page.wait_for_timeout(300)
        notebook.js("() => { window.__shift = 0 }")
        before = notebook.js(place)
        seen = set()
        while not notebook.js("() => window.__panel().content.widgets[4].model.executionCount"):
            seen.add(round(notebook.js(place)))
            notebook.page.wait_for_timeout(60)
        notebook.page.wait_for_timeout(200)
        seen.add(round(notebook.js(place)))
        shift = notebook.js("() => window.__shift")

    assert seen == {round(before)}
    assert shift < 0.02


def test_a_page_that_is_left_in_mid_stream_shows_the_reply_again(lab, glm):
    """The cell's output stays as it was saved; the next line shows the last reply whole."""
    glm.say(ANSWER, delay=0.02)

    with lab.opens([LOAD, ask(glm), "%chatglm last"]) as notebook:
        notebook.run(0)
        notebook.start(1)
        until_text(notebook, 1, "query")
        notebook.save()
        notebook.page.reload()
        notebook.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        notebook.page.wait_for_function("() => window.__panel()?.sessionContext?.session?.kernel?.status === 'idle'")
        notebook.run(2)
        text = notebook.text(2)
        picture(notebook, "reloaded")

    assert "def attention" in text
    assert "中文也可以" in text


def test_a_saved_notebook_reopens_with_its_answer(lab, glm):
    """Nothing of it needs the kernel that wrote it: it is there as soon as the page is."""
    glm.say(ANSWER)

    with lab.opens([LOAD, ask(glm)]) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.save()
        notebook.js("() => window.__panel().sessionContext.shutdown()")
        notebook.page.reload()
        notebook.page.wait_for_selector(".jp-Notebook mjx-container", timeout=60_000)
        place = notebook.output(1)
        cells = place.locator("table td").count()
        text = notebook.text(1)

    assert cells == 4
    assert "def attention" in text


def test_a_cell_run_again_in_jupyterlab_replaces_what_it_said(lab, glm):
    """Its cell id tells which one it is, though its words have changed."""
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content']}")

    with lab.opens([LOAD, ask(glm, "one"), ask(glm, "two")]) as notebook:
        for cell in (0, 1, 2):
            notebook.run(cell)
        notebook.js("i => window.__panel().content.widgets[i].model.sharedModel.setSource(`%%chatglm\\nuno`)", 1)
        notebook.js("() => { window.__panel().content.widgets[1].model.executionCount = null }")
        source = ask(glm, "uno")
        notebook.js("s => window.__panel().content.widgets[1].model.sharedModel.setSource(s)", source)
        notebook.run(1)
        notebook.run(2)

    sent = [message["content"] for message in glm.requests[-1].json["messages"]]
    assert sent == ["uno", "re: uno", "two"]


def test_tab_offers_our_options_in_the_page(lab, glm):
    """The list opens, and what is chosen stands in the cell."""
    with lab.opens([LOAD, "%%chatglm --sys"]) as notebook:
        notebook.run(0)
        editor = notebook.page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".cm-content")
        editor.click()
        notebook.page.keyboard.press("End")
        notebook.page.keyboard.press("Tab")
        offered = notebook.page.locator(".jp-Completer-item")
        offered.first.wait_for()
        picture(notebook, "completion")
        words = offered.all_inner_texts()
        notebook.page.keyboard.press("Enter")
        notebook.page.wait_for_function(
            "() => window.__panel().content.widgets[1].model.sharedModel.getSource() === '%%chatglm --system'"
        )

    assert [word.splitlines()[1] for word in words] == ["--system"]


def test_the_manual_opens_where_help_opens(lab, glm):
    """`%chatglm?` shows the options, in the front end's own pager."""
    with lab.opens([LOAD, "%chatglm?"]) as notebook:
        notebook.run(0)
        notebook.run(1)
        shown = notebook.page.locator("body")
        notebook.page.wait_for_function("() => document.body.innerText.includes('--conversation NAME')")
        picture(notebook, "manual")
        text = shown.inner_text()

    assert "--dry-run" in text
    assert glm.requests == []
