"""The card about a call, in a real browser: keys, buttons, what is read aloud, and what typing must not allow."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from panel_page import answer, question

pytestmark = pytest.mark.browser

CARD = {
    "id": "c1",
    "name": "stock",
    "doc": "Return the price of a share.",
    "arguments": '{\n  "ticker": "<b>AB</b>"\n}',
}


AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")


def card(panel):
    return panel.page.get_by_role("group", name="The model asks to run stock")


def shown(panel) -> None:
    panel.snap(question("q1", "how much?"))
    panel.tell("foot", foot={"state": "waiting", "text": "", "tokens": 0, "seconds": 0})
    panel.tell("card", card=CARD)
    card(panel).wait_for()


def test_the_card_shows_the_call_as_text(panels):
    """Function, doc and arguments are there, and nothing of them is markup."""
    with panels.opens() as panel:
        shown(panel)

        assert "Return the price of a share." in card(panel).inner_text()
        assert card(panel).locator("pre").inner_text() == CARD["arguments"]
        assert card(panel).locator("pre b").count() == 0


def test_the_arguments_stand_in_a_box(panels):
    """JupyterLab takes the border and the padding of any `pre` in an output away; the card keeps its own."""
    with panels.opens() as panel:
        panel.page.add_style_tag(content=":is(.cg-panel, .jp-Output) pre { border: none; margin: 0; padding: 0 }")
        shown(panel)

        style = (
            card(panel)
            .locator("pre")
            .evaluate("pre => [getComputedStyle(pre).padding, getComputedStyle(pre).borderStyle]")
        )
        assert style == ["6px 8px", "solid"]


@pytest.mark.parametrize(("name", "pressed"), [("Run", "run"), ("Deny", "deny"), ("Always", "always")])
def test_a_button_decides_about_this_call(panels, name, pressed):
    """The kernel is told the card's id, and that no argument was changed."""
    with panels.opens() as panel:
        shown(panel)
        card(panel).get_by_role("button", name=name, exact=True).click()

        sent = panel.sent("decide")
        assert [(one["id"], one["pressed"], one["arguments"]) for one in sent] == [("c1", pressed, "")]


def test_escape_denies_and_does_not_stop(panels):
    """Esc is the way to say no, wherever the focus is; the answer goes on."""
    with panels.opens() as panel:
        shown(panel)
        panel.message.press("Escape")

        assert [one["pressed"] for one in panel.sent("decide")] == ["deny"]
        assert panel.sent("stop") == []
        panel.tell("card", card=None)
        panel.message.press("Escape")
        assert len(panel.sent("stop")) == 1


def test_typing_goes_on_while_a_card_comes(panels):
    """The card takes no focus: Enter meant for the message box allows nothing."""
    with panels.opens() as panel:
        panel.snap(question("q1", "how much?"))
        panel.message.click()
        panel.page.keyboard.type("and ")
        panel.tell("card", card=CARD)
        card(panel).wait_for()
        panel.page.keyboard.type("then")
        panel.page.keyboard.press("Enter")

        assert panel.sent("decide") == []


def test_a_keyboard_alone_is_enough(panels):
    """Shift+Tab leads from the message box to the card; its buttons are pressed by keys."""
    with panels.opens() as panel:
        shown(panel)
        panel.message.focus()
        names = []
        for _ in range(5):
            panel.page.keyboard.press("Shift+Tab")
            names.append(panel.page.evaluate("() => document.activeElement.textContent.trim()"))
        panel.page.keyboard.press("Enter")

        assert names == ["", "Always", "Edit", "Deny", "Run"]  # the first is the button that attaches a file
        assert [one["pressed"] for one in panel.sent("decide")] == ["run"]


def test_edited_arguments_are_sent_with_run(panels):
    """Edit opens a field with the arguments; Esc there leaves them as they were."""
    with panels.opens() as panel:
        shown(panel)
        edit = card(panel).get_by_role("button", name="Edit", exact=True)
        edit.click()
        field = card(panel).get_by_label("Arguments as JSON")
        assert field.input_value() == CARD["arguments"]
        field.fill("{}")
        field.press("Escape")
        assert panel.sent("decide") == []
        edit.click()
        field.fill('{"ticker": "XYZ"}')
        card(panel).get_by_role("button", name="Run", exact=True).click()

        assert [one["arguments"] for one in panel.sent("decide")] == ['{"ticker": "XYZ"}']


def test_the_card_is_read_aloud(panels):
    """A person who does not see it hears what is asked, and where the answer is given."""
    with panels.opens() as panel:
        shown(panel)
        panel.page.wait_for_function(
            "() => document.querySelector('.cg-hidden[role=status]').textContent.includes('stock')"
        )

        heard = panel.page.locator(".cg-hidden[role=status]").inner_text()
        assert "The model asks to run stock" in heard
        assert "Esc denies" in heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_to_say_of_the_card(panels, scheme):
    """A card, as it comes and with its field, keeps nobody out, in either theme."""
    with panels.opens(color_scheme=scheme) as panel:
        shown(panel)
        panel.page.add_script_tag(path=AXE)
        found = []
        for _ in range(2):
            said = panel.page.evaluate("where => axe.run(where, {resultTypes: ['violations']})", ".cg-panel")
            assert said["passes"]
            found += [f"{one['id']}: {one['help']}" for one in said["violations"]]
            card(panel).get_by_role("button", name="Edit", exact=True).click()

        assert found == []


def test_what_came_of_a_call_unfolds_like_thinking(panels):
    """It is folded away behind a button of its own; only messages are groups."""
    with panels.opens() as panel:
        said = answer("a1", "Forty-two.")
        said["blocks"].append("<details><summary>Called stock</summary><p>42</p></details>")
        panel.snap(question("q1", "how much?"), said)
        button = panel.page.get_by_role("button", name="Called stock", exact=True)
        found = panel.page.get_by_text("42", exact=True)
        seen = [(found.is_visible(), button.get_attribute("aria-expanded"))]
        for key in ("Enter", "Space"):
            button.press(key)
            seen.append((found.is_visible(), button.get_attribute("aria-expanded")))

        assert seen == [(False, "false"), (True, "true"), (False, "false")]
        assert panel.page.locator("details").count() == 0


def test_a_card_goes_with_the_kernel(panels):
    """Where the kernel is gone, nothing can be allowed any more."""
    with panels.opens() as panel:
        panel.snap(question("q1", "how much?"))
        panel.tell("card", card=CARD)
        card(panel).wait_for()
        panel.page.evaluate("() => window.__session.statusChanged.emit('restarting')")

        card(panel).wait_for(state="hidden")
        assert not card(panel).is_visible()
