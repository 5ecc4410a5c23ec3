"""The hostile corpus through the whole road: model, kernel, panel, JupyterLab."""

from __future__ import annotations

import pytest
from hostile import TEXTS, pieces
from panel_lab import SECONDS, opens_panel
from playwright.sync_api import expect

from .test_panel_hostile import LOOK

pytestmark = pytest.mark.browser


def test_a_hostile_stream_does_nothing_in_a_real_notebook(lab, glm):
    """All texts, one after the other, cut anywhere, as thoughts and as an answer: nothing runs and nothing loads."""
    text = "\n\n".join(TEXTS)
    with opens_panel(lab, glm, fresh=True) as (panel, notebook):
        dialogs: list[str] = []
        panel.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        notebook.requests.clear()
        glm.say(f"{text}\n\nThe very end.", thinking=text, pieces=list(pieces(f"{text}\n\nThe very end.")), delay=0.001)
        panel.ask("Be nasty.")
        panel.button("Stop").wait_for()
        expect(panel.log).to_contain_text("The very end.", timeout=4 * SECONDS)
        panel.rests()
        panel.node.locator(".cg-fold").click()
        panel.page.wait_for_timeout(500)
        ours = (lab.jupyter.url, "data:", "blob:")

        assert panel.node.locator(".cg-think .cg-block").count() > 10
        assert panel.page.evaluate(LOOK) == []
        assert dialogs == []
        assert [url for url in notebook.requests if not url.startswith(ours) or "canary" in url] == []
