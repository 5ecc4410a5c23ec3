"""The footer: what it says first, what passes, and what may be taken back."""

from __future__ import annotations

import pytest
from panel_page import answer, question

pytestmark = pytest.mark.browser

ASKED = question("q", "hello")
BUSY = "The kernel is busy; it answers as soon as it can."


def said(panel) -> str:
    """Give the footer's words."""
    return panel.page.locator(".cg-state").inner_text()


def test_words_that_pass_never_hide_the_state(panels):
    """A busy kernel comes before all else, then the state; a remark stands beside the state, not in its place."""
    with panels.opens() as panel:
        panel.snap(ASKED)
        panel.message.fill("my {x}")
        panel.message.press("Enter")
        panel.tell("note", text="No value for {x}; sent as written.", bad=False)
        assert said(panel) == "Waiting for the model · No value for {x}; sent as written."
        panel.tell("foot", foot={"state": "thinking", "text": "Thinking it over"})
        assert said(panel) == "Thinking it over · No value for {x}; sent as written."
        panel.button("Stop").click()
        panel.page.get_by_text(BUSY).last.wait_for()

        assert said(panel) == BUSY


def test_words_pass_when_they_are_true_no_longer(panels):
    """What was said of the last question goes with the next, with an answer's good end and another conversation."""
    with panels.opens() as panel:
        panel.snap(ASKED, answer("a", "hi"))
        ready = said(panel)
        panel.tell("note", text="No.", bad=True)
        assert said(panel) == "No."
        panel.message.fill("again")
        panel.message.press("Enter")
        assert said(panel) == "Waiting for the model"
        panel.tell("add", after="a", m=question("q2", "again"))
        panel.tell("add", after="q2", m=answer("a2", "", state="streaming"))
        panel.tell("note", text="Wait.", bad=True)
        panel.tell("set", m=answer("a2", "well"))
        panel.tell("foot", foot={"state": "ready"})
        assert said(panel) == ready
        panel.tell("note", text="Glm answers from now on.", bad=False)
        panel.snap(ASKED)
        assert said(panel) == "Glm answers from now on."
        chat = {"name": "other", "title": "Other"}
        panel.tell("snap", to=panel.view, chat=chat, messages=[], earlier=0, foot={"state": "ready"})

        assert said(panel) == ready
        assert "cg-bad" not in panel.page.locator(".cg-state").get_attribute("class")
