"""What a hostile model writes does nothing in a page that places our HTML as it is."""

from __future__ import annotations

from typing import Any

import pytest
from hostile import JS, MEANT, MEANT_MATH, TEXTS, cuts, pieces

from chatglm_magic.renderers.html import Growing, render

pytestmark = pytest.mark.browser

EMPTY = "<!DOCTYPE html><meta charset=utf-8><link rel=icon href='data:,'><title>x</title><body></body>"
PLACE = """html => { for (const each of html) {
    const box = document.createElement('div'); document.body.append(box); box.innerHTML = each; } }"""
# As the panel does it; see `Step`.
FOLLOW = """steps => {
    const list = document.createElement('div'), tail = document.createElement('div');
    document.body.append(list, tail);
    for (const step of steps) {
        while (list.children.length > step.keep) list.lastElementChild.remove();
        for (const html of step.blocks) {
            const box = document.createElement('div'); list.append(box); box.innerHTML = html; }
        if (step.code) [...list.lastElementChild.querySelectorAll('code')].at(-1).append(step.code);
        tail.innerHTML = step.tail;
    }
    const whole = document.createElement('div');
    for (const html of steps.at(-1).whole) {
        const box = document.createElement('div'); whole.append(box); box.innerHTML = html; }
    return [list.innerHTML, whole.innerHTML];
}"""


def steps(text: str) -> list[dict[str, Any]]:
    """Give the steps of a text that streams, and at the last what is said to be there."""
    growing = Growing()
    found = []
    for piece in pieces(text):
        growing.write(piece)
        found.append(growing.take())
    found.append(growing.close())
    return [
        {"keep": step.keep, "blocks": step.blocks, "tail": step.tail, "code": step.code, "whole": growing.blocks}
        for step in found
    ]


def test_the_page_sees_what_runs_loads_and_covers(opens):
    """A test that finds nothing must have been able to: HTML that was not made safe does all of it."""
    page = opens(EMPTY)
    raw = [
        f"<img src=http://evil.test/x.png onerror={JS}>",
        "<a href='javascript:0'>x</a>",
        "<div style='position:fixed'>x</div>",
        "<math><mtext><table><mglyph><style><img src=y onerror=x></style></mglyph></table></mtext></math>",
        "<math><mspace width='9999em'></mspace></math>",
    ]
    page.js(PLACE, raw)
    found = "\n".join(page.findings())

    for sign in ("canary\n", "http://evil.test/x.png", "javascript:0", "fixed", " in <img", "covers"):
        assert sign in found, (sign, found)


def test_no_hostile_text_does_anything_in_a_page(opens):
    """The corpus, whole and cut anywhere, runs, asks, opens and covers nothing where a page places its HTML."""
    page = opens(EMPTY)
    page.js(PLACE, [render(text) for text in TEXTS])
    page.js(PLACE, [render(part) for text in TEXTS for part in cuts(text)])
    page.js(PLACE, [render("\n\n".join(TEXTS[at::7])) for at in range(7)])

    assert page.findings() == []


def test_no_hostile_text_does_anything_while_it_streams(opens):
    """On no step of the way does a page run, ask, open or cover anything; it ends with the blocks of the whole."""
    page = opens(EMPTY)
    for text in TEXTS:
        followed, whole = page.js(FOLLOW, steps(text))
        assert followed == whole, text

    assert page.findings() == []


def test_a_page_reads_what_was_written(opens):
    """Read by a browser and written again, the HTML is the same: nothing moves, nothing changes meaning."""
    page = opens(EMPTY)
    again = """html => html.map(each => { const one = document.createElement('div'), two = one.cloneNode();
        one.innerHTML = each; two.innerHTML = one.innerHTML; return [one.isEqualNode(two), one.textContent]; })"""
    texts = [text for text, _ in MEANT]
    read = page.js(again, [render(text) for text in (*TEXTS, *texts, *MEANT_MATH)])

    assert all(equal for equal, _ in read)
    for (_, seen), (_, shown) in zip(MEANT, read[len(TEXTS) :], strict=False):
        for words in seen:
            assert words in shown


def test_formulas_have_a_size(opens):
    """A formula is drawn by the browser itself, without a script."""
    page = opens(EMPTY)
    page.js(PLACE, [render(text) for text in MEANT_MATH])
    boxes = page.js("() => [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)")

    assert len(boxes) == len(MEANT_MATH)
    assert min(boxes) > 8
