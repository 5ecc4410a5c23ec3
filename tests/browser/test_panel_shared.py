"""The panel among cells, other panels and other views of itself, in JupyterLab with a real kernel."""

from __future__ import annotations

import pytest
from panel_lab import RealPanel, opens_panel
from playwright.sync_api import expect

from .test_browser_cell import ANSWER
from .test_panel_looks import findings

pytestmark = pytest.mark.browser

COUNT = "() => window.__panel().content.widgets.length"
SLEEP = "import time\ntime.sleep(6)"


def test_what_is_said_in_a_cell_is_read_in_the_panel(lab, glm):
    """A cell's reply grows in the panel too, and what the cell takes back leaves it; the model hears both doors."""
    with opens_panel(lab, glm, "%%chatglm\nAsked in a cell.", "%chatglm undo") as (panel, notebook):
        glm.say("".join(f"Number {number}. " for number in range(60)), delay=0.03)
        notebook.start(2)
        panel.reads("Number 2.")
        assert panel.button("Stop").is_visible()
        expect(panel.log).not_to_contain_text("Number 59.", timeout=1)
        notebook.ended(2)
        panel.reads("Number 59.")
        panel.rests()
        assert panel.texts()[0] == "Asked in a cell."

        glm.say("An answer in the panel.")
        panel.ask("Asked in the panel.")
        panel.reads("An answer in the panel.")
        panel.rests()
        assert [one["content"] for one in glm.requests[-1].json["messages"] if one["role"] == "user"] == [
            "Asked in a cell.",
            "Asked in the panel.",
        ]
        notebook.run(3)
        panel.reads("Asked in the panel.", gone=True)
        assert len(panel.texts()) == 2


def test_stop_stops_a_reply_that_a_cell_asked_for(lab, glm):
    """Stop in the panel hangs up a cell's reply as well."""
    with opens_panel(lab, glm, "%%chatglm\nAsked in a cell.") as (panel, notebook):
        glm.stall_after(2)
        notebook.start(2)
        panel.button("Stop").wait_for()
        panel.log.locator(".cg-assistant .cg-block:not(:empty)").first.wait_for()
        panel.button("Stop").click()
        glm.wait_until(lambda: glm.aborted)
        panel.rests()
        panel.reads("[stopped]")


def test_a_busy_kernel_answers_or_is_said_to_be_busy(lab, glm):
    """While a cell computes, the panel answers all the same, or says that it waits; then it answers."""
    with opens_panel(lab, glm, SLEEP) as (panel, notebook):
        glm.say("An answer.")
        notebook.start(2)
        panel.ask("Are you there?")
        panel.reads("Are you there?")
        panel.node.locator(".cg-state", has_text="busy").or_(panel.log.get_by_text("An answer.")).first.wait_for()
        panel.reads("An answer.")
        panel.rests()
        notebook.ended(2)
        assert panel.texts() == ["Are you there?", "An answer."]


def test_a_reply_streams_while_other_cells_run_and_outlives_their_interrupt(lab, glm):
    """A cell that runs, and is interrupted, leaves the panel's reply alone."""
    with opens_panel(lab, glm, "x = 1 + 1\nx", SLEEP) as (panel, notebook):
        glm.say("".join(f"Number {number}. " for number in range(120)), delay=0.03)
        panel.ask("Count.")
        panel.reads("Number 2.")
        notebook.run(2)
        assert "2" in notebook.text(2)
        expect(panel.log).not_to_contain_text("Number 119.", timeout=1)
        notebook.start(3)
        panel.page.wait_for_timeout(300)
        notebook.interrupt()
        panel.reads("Number 119.")
        panel.rests()
        assert "[stopped]" not in panel.log.inner_text()


def test_two_panels_show_one_conversation(lab, glm):
    """Two panels of one conversation show the same, whichever one was asked in."""
    with opens_panel(lab, glm, "%chatglm panel") as (panel, notebook):
        notebook.run(2)
        other = RealPanel(notebook, notebook.output(2))
        other.message.wait_for()
        glm.say("Seen twice.")
        other.ask("Who sees this?")
        for one in (panel, other):
            one.reads("Seen twice.")
            one.rests()
            one.shows("Who sees this?", "Seen twice.")
            assert one.log.locator(".cg-message").count() == 2


def test_two_views_of_one_panel_show_the_same(lab, glm):
    """A second view of the output shows all that was said and all that comes; closing it leaves the first alone."""
    with opens_panel(lab, glm) as (panel, notebook):
        glm.say("The first.")
        panel.ask("One?")
        panel.reads("The first.")
        panel.rests()
        notebook.js(
            """() => { window.__panel().content.activeCellIndex = 1;
            return (window.jupyterapp || window.jupyterlab).commands.execute('notebook:create-output-view') }"""
        )
        second = RealPanel(notebook, panel.page.locator(".jp-LinkedOutputView"))
        second.reads("The first.")
        glm.say("The second.")
        second.ask("Two?")
        for one in (panel, second):
            one.reads("The second.")
            one.rests()
        notebook.js(
            """() => { for (const one of (window.jupyterapp || window.jupyterlab).shell.widgets('main'))
            if (one.node.querySelector('.jp-LinkedOutputView')) one.dispose() }"""
        )
        glm.say("The third.")
        panel.ask("Three?")
        panel.reads("The third.")
        panel.rests()
        assert len(panel.texts()) == 6


def test_keys_in_the_panel_do_nothing_to_the_notebook(lab, glm):
    """Letters that would cut, add or run cells are just letters in the panel, and nothing on its buttons."""
    with opens_panel(lab, glm, "1", "2") as (panel, notebook):
        cells = notebook.js(COUNT)
        glm.say("Fine.")
        panel.message.click()
        panel.page.keyboard.type("ddabxvmyzc00ii")
        for key in ("Shift+Enter", "Alt+Enter", "Escape", "ArrowUp", "ArrowDown"):
            panel.page.keyboard.press(key)
        assert panel.message.input_value().startswith("ddabxvmyzc00ii")
        panel.message.press("Control+Enter")  # sends, as Enter does
        panel.reads("ddabxvmyzc00ii")
        panel.rests()
        for name in ("New conversation", "Export", "Settings"):
            panel.button(name).focus()
            for key in ("d", "d", "a", "b", "x"):
                panel.page.keyboard.press(key)
        panel.log.focus()
        panel.page.keyboard.press("b")

        assert notebook.js(COUNT) == cells
        assert panel.page.locator(".jp-Dialog").count() == 0
        assert notebook.outputs(2) == []


def test_the_settings_open_in_the_panel_and_are_set(lab, glm):
    """The gear shows the settings inside the panel, each with a name, ready to be typed in; answers obey."""
    with opens_panel(lab, glm) as (panel, _):
        panel.button("Settings").click()
        box = panel.page.get_by_role("dialog", name="Settings of this conversation")
        for name in ("Instructions", "Temperature", "Longest answer", "Think before answering"):
            expect(box.get_by_label(name)).to_be_visible()
        assert findings(panel.page, ".chatglm-panel") == []
        panel.page.keyboard.type("Be kind.")
        box.get_by_label("Temperature").fill("0.3")
        panel.page.keyboard.press("Escape")
        glm.say("Yes.")
        panel.ask("Kind?")
        panel.reads("Yes.")

        assert glm.requests[-1].json["messages"][0]["content"] == "Be kind."
        assert glm.requests[-1].json["temperature"] == 0.3


def test_an_export_is_a_file_with_all_that_was_said(lab, glm):
    """What is exported from the panel is downloaded, whole."""
    with opens_panel(lab, glm) as (panel, _):
        glm.say("To be **kept**.")
        panel.ask("Keep this.")
        panel.reads("To be kept.")
        panel.rests()
        panel.button("Export").click()
        with panel.page.expect_download() as waited:
            panel.page.get_by_role("menuitem", name="Markdown").click()

        text = waited.value.path().read_text(encoding="utf-8")
        assert "Keep this." in text
        assert "To be **kept**." in text


def test_a_variable_is_offered_and_shown(lab, glm):
    """A variable's name is completed, what it is stands below the draft, and its value reaches the model."""
    with opens_panel(lab, glm, "numbers = [17, 4, 99]") as (panel, notebook):
        notebook.run(2)
        panel.message.click()
        panel.page.keyboard.type("Sum {numb")
        panel.page.get_by_role("option", name="numbers").wait_for()
        panel.page.keyboard.press("Enter")
        assert panel.message.input_value() == "Sum {numbers}"
        expect(panel.node.locator(".cg-chip")).to_contain_text("numbers")
        glm.say("120")
        panel.message.press("Enter")
        panel.reads("120")
        panel.rests()

        assert "17, 4, 99" in glm.requests[-1].json["messages"][-1]["content"]
        assert panel.texts()[0] == "Sum {numbers}"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_axe_has_nothing_serious_to_say_in_jupyterlabs_themes(lab, glm, theme):
    """In the themes that JupyterLab brings, axe-core finds nothing bad, contrast included."""
    with opens_panel(lab, glm) as (panel, notebook):
        glm.say(ANSWER, thinking="A formula, a table, code.")
        panel.ask("Explain `attention` in {curly} words.")
        panel.reads("中文也可以")
        panel.rests()
        notebook.js(
            """theme => (window.jupyterapp || window.jupyterlab).commands
            .execute('apputils:change-theme', {theme})""",
            theme,
        )
        panel.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        panel.node.locator(".cg-fold").click()
        panel.page.add_style_tag(content=".cg-bar { opacity: 1 !important }")  # as it is when the mouse is over it
        assert findings(panel.page) == []
        panel.node.get_by_role("button", name="Model:").click()
        assert findings(panel.page) == []
