"""A whole visit to the panel in JupyterLab and Notebook 7, with a real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from panel_lab import SECONDS, RealPanel, opens_panel
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

LONG = "".join(f"Sentence number {number} of a long answer. " for number in range(400))
CODE = "Here it is:\n\n```python\nprint('<b>' + 'from the panel')\n```\n\nThat prints."
READ = "() => navigator.clipboard.readText()"
SOURCES = "() => window.__panel().content.model.sharedModel.cells.map(cell => cell.getSource())"


class Album:
    """Keeps pictures of a visit where PANEL_PICTURES says; nowhere otherwise."""

    def __init__(self, page, name: str) -> None:
        self._page, self._name, self._count = page, name, 0
        self._folder = Path(os.environ["PANEL_PICTURES"]) if "PANEL_PICTURES" in os.environ else None

    def take(self, what: str) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._count += 1
            self._page.screenshot(path=self._folder / f"{self._name}-{self._count:02}-{what}.png")


def watch_it_stream(panel: RealPanel) -> None:
    """See a text grow while Stop is to be had."""
    answer = panel.log.locator(".cg-assistant").last
    panel.button("Stop").wait_for()
    expect(answer).to_contain_text("Sentence number 3 ")
    before = len(answer.inner_text())
    panel.page.wait_for_function(
        "n => [...document.querySelectorAll('.cg-assistant')].pop().innerText.length > n + 100", arg=before
    )
    assert panel.button("Send").count() == 0


def talk(panel: RealPanel, glm, album: Album) -> None:
    """Ask, watch, stop, go on, edit, regenerate and switch versions."""
    glm.say(LONG, delay=0.02)
    aborted = glm.aborted
    panel.ask("Tell me a long story.")
    watch_it_stream(panel)
    album.take("streaming")
    panel.button("Stop").click()
    glm.wait_until(lambda: glm.aborted > aborted)
    panel.reads("[stopped]")
    panel.rests()
    kept = panel.texts()[-1]
    assert "Sentence number 3 " in kept
    album.take("stopped")

    glm.say(" And so it ended.", delay=0.01)
    panel.button("Continue").click()
    panel.reads("And so it ended.")
    panel.rests()
    assert panel.texts()[-1].startswith(kept[:100])

    glm.say("A short story.", delay=0.01)
    panel.group("You, question 1").hover()
    panel.button("Edit").first.click()
    editor = panel.node.get_by_role("textbox", name="Question")
    editor.fill("Tell me a short story.")
    editor.press("Enter")
    panel.reads("A short story.")
    panel.rests()
    panel.shows("Tell me a short story.", "A short story.")

    glm.say("Another short story.", delay=0.01)
    panel.button("Regenerate", panel.group("Answer 1")).click()
    panel.reads("Another short story.")
    panel.rests()
    expect(panel.group("Answer 1")).to_contain_text("2/2")
    panel.button("Previous version", panel.group("Answer 1")).click()
    panel.shows("Tell me a short story.", "A short story.")
    album.take("versions")
    panel.group("You, question 1").hover()
    panel.button("Previous version", panel.group("You, question 1")).click()
    panel.reads("And so it ended.")


def use_code(panel: RealPanel, glm, album: Album) -> None:
    """Copy an answer, its code, and put it into a cell."""
    glm.say(CODE, delay=0.01)
    panel.ask("Show me code.")
    panel.reads("That prints.")
    panel.rests()
    panel.button("Copy", panel.log.locator(".cg-assistant").last).click()
    panel.says("Copied.")
    panel.page.wait_for_function(f"async text => (await ({READ})()) === text", arg=CODE)
    panel.button("Code to clipboard").click()
    panel.page.wait_for_function(f"async () => (await ({READ})()).startsWith('print')")
    panel.button("Code to new cell", panel.log.get_by_role("figure", name="Code, python")).click()
    panel.says("Put into a new cell below.")
    assert panel.notebook.js(SOURCES)[2] == "print('<b>' + 'from the panel')"
    album.take("inserted")
    panel.notebook.run(2)
    assert "<b>from the panel" in panel.notebook.text(2)


def choose(panel: RealPanel, glm, album: Album) -> None:
    """Take another model, begin another conversation, and come back."""
    glm.say("From another model.")
    panel.node.get_by_role("button", name="Model:").click()
    panel.page.keyboard.type("glm-4.6")
    album.take("models")
    panel.page.get_by_role("option", name="Use “glm-4.6”").click()
    expect(panel.node.get_by_role("button", name="Model:")).to_contain_text("glm-4.6")
    panel.ask("Who are you?")
    panel.reads("From another model.")
    panel.rests()
    assert glm.requests[-1].json["model"] == "glm-4.6"

    panel.button("New conversation").click()
    panel.log.get_by_text("What would you like to know?").wait_for()
    glm.say("A fresh start.")
    panel.ask("Hello?")
    panel.reads("A fresh start.")
    panel.rests()
    panel.node.get_by_role("button", name="Conversations:").click()
    album.take("conversations")
    panel.page.get_by_role("option", name="default").click()
    panel.reads("From another model.")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_a_whole_visit(lab, glm, ui, dark):
    """A person asks, stops, goes on, edits, copies, chooses, reloads and restarts; each does what it says."""
    with opens_panel(lab, glm, ui=ui, dark=dark) as (panel, notebook):
        album = Album(panel.page, f"{ui}-{'dark' if dark else 'light'}")
        album.take("empty")
        talk(panel, glm, album)
        use_code(panel, glm, album)
        choose(panel, glm, album)
        said = panel.texts()

        notebook.save()
        panel.page.reload()
        panel.message.wait_for(timeout=3 * SECONDS)
        panel.reads("From another model.")
        panel.shows(*said)
        album.take("reloaded")
        glm.say("Still here.")
        panel.ask("And now?")
        panel.reads("Still here.")
        panel.rests()

        notebook.js("() => window.__panel().sessionContext.session.kernel.restart()")
        panel.says("The kernel was restarted. Run this cell again")
        album.take("restarted")
        assert panel.message.is_disabled()
        panel.reads("Still here.")
        panel.button("Copy", panel.log.locator(".cg-assistant").last).click()
        panel.page.wait_for_function(f"async () => (await ({READ})()) === 'Still here.'")
