"""What a hostile model writes runs, loads and covers nothing in the panel, wherever the panel shows it."""

from __future__ import annotations

import pytest
from hostile import EVIL, JS, MEANT, MEANT_MATH, TEXTS, cuts, pieces
from panel_page import HEAD, PanelPage, answer, question

from chatglm_magic.renderers.html import Growing, render

pytestmark = pytest.mark.browser

# What is wrong with what came from the kernel; the panel's own buttons stand beside it, in heads of code.
LOOK = r"""() => {
  const html = 'p,h3,h4,h5,h6,em,strong,s,code,pre,ul,ol,li,blockquote,hr,br,a,table,thead,tbody,tr,th,td,div,span';
  const maths = 'http://www.w3.org/1998/Math/MathML';
  const wrong = [];
  for (const n of document.querySelectorAll('.cg-block *')) {
    if (n.closest('.cg-code-head')) continue;
    const found = [];
    if (n.namespaceURI === maths ? !n.closest('math') : !n.matches(html)) found.push('element');
    for (const a of n.attributes) {
      if (/^on|^style$|src|action|xlink|^id$|^name$/i.test(a.name)) found.push(a.name);
      if (a.name === 'href' && !/^(https?|mailto):/.test(a.value)) found.push(a.value);
      if (a.name === 'class' && a.value.includes('canary')) found.push(a.value);
    }
    if (['fixed', 'sticky'].includes(getComputedStyle(n).position)) found.push('position');
    if (found.length) wrong.push(found.join(' ') + ' in ' + n.outerHTML.slice(0, 200));
  }
  if (window.__canary !== undefined) wrong.push('canary');
  return wrong.slice(0, 20);
}"""


def findings(panel: PanelPage, server: str) -> list[str]:
    """Give all that happened and must not."""
    panel.page.wait_for_timeout(300)  # what runs or loads late
    loads = [url for url in panel.requests if not url.startswith((server, "data:", "blob:"))]
    return [*loads, *panel.page.evaluate(LOOK)]


def test_the_page_sees_what_runs_and_loads(panels):
    """A test that finds nothing must have been able to: HTML that was not made safe runs and loads."""
    with panels.opens() as panel:
        bad = f"<img src=x onerror={JS}><a href='javascript:0'>x</a><img src={EVIL}.png>"
        panel.snap(question("q", "hello", blocks=[bad]))
        found = "\n".join(findings(panel, panels.url))
        panel.errors.clear()

    for sign in ("canary", EVIL, "javascript:0", "onerror in", "element"):
        assert sign in found, (sign, found)


def test_no_hostile_text_does_anything_anywhere_in_a_message(panels):
    """The corpus as answers, thoughts and questions, whole and cut: nothing runs, loads or is what it must not be."""
    with panels.opens() as panel:
        for at in range(0, len(TEXTS), 40):
            messages = []
            for number, text in enumerate(TEXTS[at : at + 40]):
                thoughts = {"blocks": [render(text)], "tail": render(cuts(text)[-1]), "seconds": 1.0}
                asked = question(f"q{number}", text, blocks=[render(text, breaks=True)])
                messages += [asked, answer(f"a{number}", text, *cuts(text), thinking=thoughts)]
            panel.snap(*messages)
            panel.page.evaluate("() => document.querySelectorAll('.cg-fold').forEach(one => one.click())")
            assert panel.page.locator(".cg-message").count() == len(messages)

        assert findings(panel, panels.url) == []


def test_no_hostile_text_does_anything_while_it_streams(panels):
    """On no step of the way does the page do what a text wants; at the end it reads as the whole does."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), state="answering")
        for number, text in enumerate(TEXTS):
            growing = Growing()
            steps = []
            for piece in pieces(text, 24):
                growing.write(piece)
                steps.append(growing.take())
            steps.append(growing.close())
            panel.tell("add", after="q" if not number else f"a{number - 1}", m=answer(f"a{number}", state="streaming"))
            for step in steps:
                packet = {"keep": step.keep, "blocks": list(step.blocks), "tail": step.tail, "code": step.code}
                panel.page.evaluate(
                    "packet => window.__tell(packet)", {"k": "grow", "id": f"a{number}", "part": "answer", **packet}
                )
            panel.settle()
            shown, whole = panel.page.evaluate(
                """([id, html]) => { const place = document.createElement('template'); place.innerHTML = html;
                const log = document.querySelector(`[data-id=${id}] > .cg-text`).cloneNode(true);
                log.querySelectorAll('.cg-code-head').forEach(head => head.remove());
                return [log.textContent, place.content.textContent] }""",
                [f"a{number}", "".join(growing.blocks)],
            )
            assert shown == whole, text

        assert findings(panel, panels.url) == []
        assert panel.sent("resync") == []


def test_words_beside_the_messages_are_shown_as_words(panels):
    """Names, notes, titles and counts are text, whatever they hold."""
    bad = f"<img src=x onerror={JS}><script>{JS}</script>"
    head = {
        **HEAD,
        "title": bad,
        "model": bad,
        "models": [{"name": bad, "about": bad, "current": True}],
        "settings": {"system": bad},
        "ideas": [bad],
        "chats": [{"name": bad, "title": bad, "about": bad, "count": 1, "current": True}],
    }
    with panels.opens() as panel:
        panel.snap(question("q", bad, meta=bad, note=bad), answer("a", "x", note=bad, meta=bad, state="failed"))
        panel.tell("head", head=head)
        panel.tell("foot", foot={"state": "answering", "text": bad, "tokens": 1, "seconds": 1})
        panel.tell("note", text=bad)
        panel.message.fill("{x")
        panel.tell("chips", tokens=1, names=[{"name": bad, "kind": bad}], offer=[bad])
        for name in ("Model:", "Conversations:"):
            panel.page.get_by_role("button", name=name).click()
        panel.button("Edit").first.click(force=True)

        assert panel.page.locator(".cg-panel img, .cg-panel script").count() == 0
        assert findings(panel, panels.url) == []


def test_what_the_model_meant_is_still_read(panels):
    """Code with angle brackets, HTML examples and comparison signs read as they were written."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", *(text for text, _ in MEANT), *MEANT_MATH))
        blocks = panel.page.locator("[data-id=a] > .cg-text .cg-block")
        for number, (text, read) in enumerate(MEANT):
            seen = blocks.nth(number).text_content()
            for words in read:
                assert words in seen, (text, seen)
        assert panel.page.locator("[data-id=a] math").count() == len(MEANT_MATH)
