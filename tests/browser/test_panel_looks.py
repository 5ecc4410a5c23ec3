"""How the panel looks and reads to everybody: widths, themes, contrast, motion, and what axe-core says of it."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from panel_page import answer, question, rich

pytestmark = pytest.mark.browser

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
WIDE = (
    "```python\n" + "x = '" + "long " * 80 + "'\n```\n\n| a | b |\n| - | - |\n| " + "wide " * 9 + "| " + "w" * 200 + "|"
)


def findings(page, where: str = ".cg-panel") -> list[str]:
    """Give axe-core's findings in the panel: serious and critical ones."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found = page.evaluate("where => axe.run(where, {resultTypes: ['violations']})", where)
    assert found["passes"]
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


THEMES = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "contrast": {"forced_colors": "active"},
    "narrow": {"width": 320},
}


@pytest.mark.parametrize("theme", THEMES)
def test_axe_has_nothing_serious_to_say(panels, theme):
    """In each theme, empty, full, with lists open, in mid-answer and without a kernel, axe-core finds nothing bad."""
    with panels.opens(**THEMES[theme]) as panel:
        assert findings(panel.page) == [], "waiting"
        panel.snap()
        assert findings(panel.page) == [], "empty"
        panel.snap(
            *rich(), question("q3", "Why?"), answer("a3", "", state="failed", note="No answer came.", can=["retry"])
        )
        for group in panel.page.get_by_role("group").all()[:1]:
            group.hover()
        panel.page.add_style_tag(content=".cg-bar { opacity: 1 !important }")  # as it is when the mouse is over it
        assert findings(panel.page) == [], "full"
        for name in ("Model: glm-4.7", "Conversations: Attention", "Settings", "Export"):
            panel.button(name).click()
            assert findings(panel.page) == [], name
            for key in ("F2", "Shift+Delete") if name.startswith("Conversations") else ():
                panel.page.get_by_role("combobox").press(key)
                assert findings(panel.page) == [], key
            panel.page.keyboard.press("Escape")
        panel.button("Edit", panel.group("You, question 1")).click()
        panel.message.fill("What is in {d")
        panel.tell("chips", tokens=9, names=[{"name": "df", "kind": "DataFrame"}], offer=["df"])
        assert findings(panel.page) == [], "writing"
        thoughts = {"blocks": ["<p>Hm.</p>"], "tail": "", "seconds": 1}
        panel.snap(question("q", "a"), answer("a", state="streaming", thinking=thoughts), state="thinking")
        assert findings(panel.page) == [], "thinking"
        panel.page.evaluate("() => window.__session.statusChanged.emit('dead')")
        assert findings(panel.page) == [], "dead"


@pytest.mark.parametrize("width", [320, 480, 960])
def test_nothing_is_wider_than_the_panel(panels, width):
    """Long lines, tables and words scroll in their own place; the panel itself is never wider than it may be."""
    with panels.opens(width=width) as panel:
        panel.snap(question("q", "w" * 300), answer("a", WIDE, "w" * 500), *rich()[2:])
        panel.button("Model: glm-4.7").click()
        over = panel.page.evaluate(
            """() => { const edge = document.querySelector('.cg-panel').getBoundingClientRect();
            const scrolls = n => n && n !== document.body && (['auto', 'scroll'].includes(getComputedStyle(n).overflowX)
              && !n.matches('.cg-log') || scrolls(n.parentElement));
            return [...document.querySelectorAll('.cg-panel *')].filter(n => n.checkVisibility() && !scrolls(n)
              && !n.closest('.cg-hidden, .cg-skip'))
              .filter(n => { const b = n.getBoundingClientRect();
                return b.width && (b.right > edge.right + 1 || b.left < edge.left - 1) })
              .map(n => n.outerHTML.slice(0, 120)) }"""
        )

        assert over == []
        assert panel.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_theme_is_the_front_ends(panels):
    """Colours are JupyterLab's variables where they are, VS Code's where those are, else the system's."""
    background = "() => getComputedStyle(document.querySelector('.cg-panel')).backgroundColor"
    lab = "data-jp-theme-light=false style='--jp-layout-color1: rgb(1, 2, 3); --vscode-editor-background: rgb(7, 7, 7)'"
    code = "class=vscode-dark style='--vscode-editor-background: rgb(4, 5, 6)'"
    for body, options, seen in (
        (lab, {}, "rgb(1, 2, 3)"),
        (code, {}, "rgb(4, 5, 6)"),
        ("", {}, "rgb(255, 255, 255)"),
        ("", {"color_scheme": "dark"}, "rgb(27, 27, 27)"),
    ):
        with panels.opens(body=body, **options) as panel:
            panel.snap()
            assert panel.page.evaluate(background) == seen, body


def test_nothing_moves_for_those_who_asked_for_that(panels):
    """With reduced motion there is no animation and no transition."""
    moving = """() => [...document.querySelectorAll('.cg-panel, .cg-panel *')].filter(
      n => [null, '::before'].some(part => {
      const {animationName, transitionDuration, scrollBehavior} = getComputedStyle(n, part);
      return animationName !== 'none' || parseFloat(transitionDuration) > 0 || scrollBehavior === 'smooth' })).length"""
    waiting = (question("q", "hello"), answer("a", state="streaming"))
    with panels.opens(reduced_motion="reduce") as panel:
        panel.snap(*waiting, state="waiting")
        assert panel.page.evaluate(moving) == 0
    with panels.opens() as panel:
        panel.snap(*waiting, state="waiting")
        assert panel.page.evaluate(moving) > 0


def test_each_paragraph_is_read_in_its_own_direction(panels):
    """Arabic and Hebrew run from the right, code and formulas in them from the left."""
    direction = "node => getComputedStyle(node).direction"
    with panels.opens() as panel:
        panel.snap(question("q", "مرحبا"), answer("a", "שלום", "Hello", "שלום\n\n```python\nx\n```\n\n$$a < b$$"))
        blocks = panel.page.locator("[data-id=a] .cg-block")

        assert [blocks.nth(number).evaluate(direction) for number in range(3)] == ["rtl", "ltr", "rtl"]
        assert panel.page.locator("[data-id=a] pre").evaluate(direction) == "ltr"
        assert panel.page.locator("[data-id=a] math").evaluate(direction) == "ltr"
        assert panel.page.locator("[data-id=q] .cg-block").first.evaluate(direction) == "rtl"


def test_touch_shows_the_buttons(panels):
    """Where nothing can hover, each message's buttons are always there."""
    with panels.opens(has_touch=True, is_mobile=True) as panel:
        panel.snap(*rich())

        assert panel.page.locator(".cg-bar").first.evaluate("node => getComputedStyle(node).opacity") == "1"


def test_nothing_is_loaded_from_elsewhere(panels):
    """The panel loads its own two files and nothing else."""
    with panels.opens() as panel:
        panel.snap(*rich())

        assert [url for url in panel.requests if not url.startswith((panels.url, "data:"))] == []
        files = ("panel.html", "module.js", "panel.css")
        assert {url.rsplit("/", 1)[1] for url in panel.requests if url.startswith(panels.url)} == set(files)


def test_little_room_is_left_for_buttons_that_are_out_of_sight(panels):
    """Between an earlier answer's words and the next question is room for a row of buttons, and no more."""
    with panels.opens() as panel:
        panel.snap(question("q", "one"), answer("a", "First."), question("q2", "two"), answer("a2", "Second."))
        words = panel.page.locator(".cg-assistant .cg-text p").first.bounding_box()
        bubble = panel.page.locator(".cg-user .cg-text").nth(1).bounding_box()
        heights = [
            panel.button("Copy", group).bounding_box()["height"] for group in panel.log.get_by_role("group").all()
        ]

        assert 24 <= bubble["y"] - words["y"] - words["height"] <= 36
        assert min(heights) >= 24


def test_a_panel_leaves_room_for_the_notebook_on_a_low_screen(panels):
    """Without a height of the person's own, the panel takes at most seven tenths of what is seen."""
    sizes = []
    for height in (600, 1200):
        with panels.opens(height=height) as panel:
            panel.snap()
            sizes.append(panel.page.locator(".cg-host").bounding_box()["height"])

    assert sizes == [pytest.approx(420), pytest.approx(576)]
