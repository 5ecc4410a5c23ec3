"""The panel's keys are its own, in the real notebooks with their shortcuts."""

from __future__ import annotations

import pytest
from panel_lab import opens_panel
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CELLS = "() => window.__panel().content.model.sharedModel.cells.length"


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_no_key_in_the_panel_starts_a_shortcut_of_the_notebook(lab, glm, ui):
    """`b`, which adds a cell where a cell is chosen, does nothing on a message, the log, a button or a setting."""
    with opens_panel(lab, glm, ui=ui) as (panel, notebook):
        glm.say("An answer.")
        panel.ask("A question.")
        panel.reads("An answer.")
        panel.rests()
        panel.button("Settings").click()
        settings = panel.page.get_by_role("dialog", name="Settings of this conversation")
        expect(settings.locator(":focus")).to_have_count(1)
        count = notebook.js(CELLS)
        answer = panel.group("Answer 1")
        places = [panel.log, answer, panel.button("Copy", answer), panel.button("New conversation")]
        for place in [settings.get_by_label("Think"), settings.get_by_label("Temperature"), *places]:
            place.focus()
            panel.page.keyboard.press("b")
            panel.page.wait_for_timeout(100)
            assert place.evaluate("node => node.matches(':focus')")
            assert notebook.js(CELLS) == count
