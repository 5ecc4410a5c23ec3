"""The footer: what it says first, what passes, and what may be taken back."""

from __future__ import annotations

import pytest
from panel_page import HEAD, answer, question

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
        panel.tell("snap", to=panel.view, chat=chat, head=HEAD, messages=[], earlier=0, foot={"state": "ready"})

        assert said(panel) == ready
        assert "cg-bad" not in panel.page.locator(".cg-state").get_attribute("class")


def test_what_was_deleted_can_be_brought_back(panels):
    """A note that can be undone has a button beside it, in place of nothing: it tells the kernel, and goes."""
    with panels.opens() as panel:
        panel.snap(ASKED)
        log = panel.log.bounding_box()
        panel.tell("note", text="2 messages deleted.", undo=True, bad=False)
        undo = panel.button("Undo")
        assert undo.is_visible()
        assert "Undo" in panel.page.get_by_role("status").inner_text()
        assert panel.log.bounding_box() == log
        assert panel.button("Undo", panel.log).count() == 0
        undo.click()
        assert len(panel.sent("undo")) == 1
        assert undo.count() == 0
        assert panel.message.evaluate("node => node === document.activeElement")
        panel.tell("note", text="1 message deleted.", undo=True, bad=False)
        assert undo.is_visible()
        panel.message.fill("go on")
        panel.message.press("Enter")
        assert undo.count() == 0
        panel.tell("note", text="1 message deleted.", undo=True, bad=False, view="another")

        assert undo.count() == 0


def test_undo_is_offered_for_ten_seconds(panels):
    """The button goes with its words."""
    with panels.opens() as panel:
        panel.page.clock.install()
        panel.snap(ASKED)
        panel.page.evaluate(
            "packet => window.__tell(packet)", {"k": "note", "text": "1 message deleted.", "undo": True}
        )
        panel.page.clock.run_for(9000)
        assert panel.button("Undo").is_visible()
        panel.page.clock.run_for(2000)

        assert panel.button("Undo").count() == 0
