"""An exported page in a real browser: safe, and good to look at."""

from __future__ import annotations

import pytest
from hostile import JS, TEXTS

from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._export.html import to_html

pytestmark = pytest.mark.browser


def hostile() -> list[MessageNode]:
    """Say the whole corpus in every place where something is said."""
    said = []
    for text in TEXTS:
        said.append(MessageNode(role="user", text=text))
        said.append(MessageNode(role="assistant", text=text, thinking=text, model=text, provider=text, error=text))
    return said


def test_a_page_of_hostile_texts_does_nothing(opens):
    """The corpus as question, answer, thought, name, error and title runs, asks, opens and covers nothing."""
    page = opens(to_html(TEXTS[0] + TEXTS[30], hostile()))
    page.js("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    found = [each for each in page.findings() if not each.endswith("/favicon.ico")]

    assert page.js("() => document.querySelectorAll('article').length") == 2 * len(TEXTS)
    assert found == []


def test_the_page_forbids_what_would_slip_through(opens):
    """Should an element get in all the same, the page's own policy stops it."""
    page = opens(
        to_html("t", []).replace("<main>", f"<main><script>{JS}</script><img src=http://evil.test/x onerror={JS}>")
    )

    assert page.js("() => window.__canary") is None


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_light_and_dark(opens, dark):
    """Words, code, quotes, notes and links stand out from what is behind them by at least 4.5 to 1."""
    text = (
        "Words, `code`, [link](http://a.test)\n\n> quote\n\n```python\n# note\ndef f(x): return 'a' + str(1)\n```\n\n"
        "```diff\n- a\n+ b\n```\n\n| a |\n|---|\n| b |\n\n$\\unknown{x}$\n"
    )
    said = [
        MessageNode(role="user", text=text),
        MessageNode(role="assistant", text=text, thinking=text, model="glm", finish_reason="interrupted"),
    ]
    page = opens(to_html("Title", said), dark=dark)
    faint = page.js(
        """() => {
        document.querySelectorAll('details').forEach(d => d.open = true);
        const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
        const draw = canvas.getContext('2d', {willReadFrequently: true});
        const light = rgb => { const [r, g, b] = [...rgb].map(v => (v /= 255) <= .03928 ? v / 12.92
            : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
        const over = (colours) => { draw.clearRect(0, 0, 1, 1); for (const c of colours) {
            draw.fillStyle = c; draw.fillRect(0, 0, 1, 1); }
            return draw.getImageData(0, 0, 1, 1).data.slice(0, 3); };
        const faint = [];
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const e = walk.currentNode.parentElement;
            if (!walk.currentNode.data.trim()) continue;
            const behind = []; let opacity = 1;
            for (let n = e; n; n = n.parentElement) { behind.unshift(getComputedStyle(n).backgroundColor);
                opacity *= getComputedStyle(n).opacity; }
            draw.globalAlpha = 1; const back = over(behind);
            const a = light(back);
            draw.globalAlpha = opacity; draw.fillStyle = getComputedStyle(e).color; draw.fillRect(0, 0, 1, 1);
            const b = light(draw.getImageData(0, 0, 1, 1).data.slice(0, 3)); draw.globalAlpha = 1;
            const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            if (ratio < 4.5) faint.push(`${walk.currentNode.data.trim()} ${ratio.toFixed(2)} ${e.className}`);
        }
        return faint; }"""
    )

    assert faint == []


def test_a_narrow_page_has_no_scroll_bar(opens):
    """On a telephone long code, wide tables and formulas scroll by themselves, not the page."""
    long = "word" * 60
    text = (
        f"{long}\n\n```\n{long}\n```\n\n| {'a | ' * 30}\n|{'---|' * 30}\n| {long} {'| a ' * 29}|\n\n$${'x+' * 200}y$$\n"
    )
    page = opens(to_html(long, [MessageNode(role="user", text=text), MessageNode(role="assistant", text=text)]))
    page.page.set_viewport_size({"width": 360, "height": 700})

    assert page.js("() => document.documentElement.scrollWidth") == 360
