"""The maps that run, in the panel in a real browser: seen, stopped by keys and pointer, and not read aloud."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from panel_page import answer, question
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
MAPS = [
    {"id": "1", "name": "Sort: {it}", "text": "1,200 / 10,000 · 3 failed · 8 in flight · 41 rows/s · 3:34 left"},
    {"id": "2", "name": "<b>Name</b> the city", "text": "0 / 40 · 1 in flight"},
]


def maps(panel):
    return panel.page.get_by_role("group", name="Running maps", exact=True)


def test_each_map_has_a_line_and_a_button(panels):
    """A view that comes is told all; the strip is there only while a map runs; names are no markup."""
    with panels.opens() as panel:
        panel.snap(maps=MAPS)
        expect(maps(panel).locator(".cg-map")).to_have_count(2)
        assert MAPS[0]["text"] in maps(panel).inner_text()
        assert maps(panel).locator("b").count() == 0
        panel.button("Stop the map <b>Name</b> the city").click()
        assert [one["id"] for one in panel.sent("stop_map")] == ["2"]
        panel.tell("maps", maps=[])
        expect(maps(panel)).to_be_hidden()


def test_the_log_stays_at_its_end(panels):
    """The strip takes its room from above: the newest words stay in sight, and so does the message box."""
    with panels.opens() as panel:
        panel.snap(question("q1", "Why?"), answer("a1", *["So."] * 40))
        panel.tell("maps", maps=MAPS)
        panel.page.wait_for_timeout(150)
        left = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
        assert panel.log.evaluate(left) < 2
        many = [{"id": str(one), "name": f"map {one}", "text": "1 / 2"} for one in range(30)]
        panel.tell("maps", maps=many)
        expect(panel.message).to_be_in_viewport()


def test_counts_move_nothing_and_say_nothing(panels):
    """The focus stays on a button while its line changes, and goes to the message box with it; no count is read out."""
    with panels.opens() as panel:
        panel.snap(maps=MAPS)
        button = panel.button("Stop the map Sort: {it}")
        button.focus()
        panel.tell("maps", maps=[{**MAPS[0], "text": "1,300 / 10,000"}, MAPS[1]])
        expect(button).to_be_focused()
        expect(maps(panel)).to_contain_text("1,300 / 10,000")
        assert maps(panel).evaluate("node => node.closest('[aria-live], [role=status]')") is None
        assert "1,300" not in panel.page.locator(".cg-hidden[role=status]").inner_text()
        button.press("Enter")
        assert [one["id"] for one in panel.sent("stop_map")] == ["1"]
        panel.tell("maps", maps=[MAPS[1]])
        expect(panel.message).to_be_focused()


def test_they_go_with_the_kernel(panels):
    """Nothing runs where there is no kernel."""
    with panels.opens() as panel:
        panel.snap(maps=MAPS)
        panel.page.evaluate("() => window.__session.statusChanged.emit('restarting')")
        expect(maps(panel)).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_to_say_of_the_maps(panels, scheme):
    """The strip keeps nobody out, in either theme, wide and narrow."""
    for width in (960, 320):
        with panels.opens(color_scheme=scheme, width=width) as panel:
            panel.snap(question("q1", "Why?"), answer("a1", "So."), maps=MAPS)
            panel.page.add_script_tag(path=AXE)
            said = panel.page.evaluate("where => axe.run(where, {resultTypes: ['violations']})", ".cg-panel")
            assert said["passes"]
            assert [f"{one['id']}: {one['help']}" for one in said["violations"]] == []
