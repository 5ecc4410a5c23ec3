"""The language of the panel's page: which one it is, that all of its words are in it, and what a change of it keeps."""

from __future__ import annotations

import json

import pytest
from catalog import page_words
from panel_page import HEAD, PSEUDO, PanelPage, answer, question
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CHINESE = json.dumps({"Send": "发送", "Message": "消息", "Continue": "", "Discard": None}, ensure_ascii=False)
# What of the panel is shown or read aloud, without what is marked as translated.
LEFT = """() => {
  const panel = document.querySelector('.cg-panel');
  const spoken = ['title', 'aria-label', 'placeholder', 'alt', 'aria-description', 'aria-valuetext'];
  const nodes = [panel, ...panel.querySelectorAll('*')];
  const said = nodes.flatMap(node => spoken.map(name => node.getAttribute(name) ?? ''));
  let text = [panel.textContent, ...said].join(' ');
  for (let before = ''; before !== text;) { before = text; text = text.replace(/⟦[^⟦⟧]*⟧/g, '') }
  return text.replace(/\\s+/g, ' ').trim();
}"""
# The message that is read: the first one in sight, and where it stands.
READ = """() => {
  const box = node => node.getBoundingClientRect();
  const edge = box(document.querySelector('.cg-log')).top;
  const node = [...document.querySelectorAll('.cg-message')].find(one => box(one).bottom > edge);
  return {id: node.dataset.id, top: box(node).top};
}"""
# Names and words that are not ours are Greek here: every Latin letter that is left over is a word of the page.
GREEK = {
    "language": "zh",
    "title": "Αθήνα",
    "model": "γλμ",
    "models": [{"name": "γλμ", "current": True}, {"name": "δέλτα", "about": "κλειδί"}],
    "chats": [{"name": "Αθήνα", "count": 1, "current": True}, {"name": "Σπάρτη", "count": 2}, {"name": "Θήβα"}],
    "settings": {},
    "ideas": ["Γιατί;"],
    "kept": True,
    "cell": "%%",
}
CODE = "```42\n1\n```\n\n```\n1\n2\n```\n\n| 1 | 2 |\n| - | - |\n| 3 | 4 |"


def greek(panel: PanelPage, *messages: dict, **more: object) -> None:
    """Show the whole of a conversation without a Latin letter."""
    panel.snap(*messages, head=more.pop("head", GREEK), **more)


def turn(**more: object) -> tuple[dict, dict]:
    """Return a question and its answer in Greek."""
    thinking = {"blocks": ["<p>Χμ.</p>"], "tail": "", "seconds": 3.4}
    return question("q1", "Γιατί;"), answer("a1", "Διότι.", *CODE.split("\n\n"), thinking=thinking, meta="", **more)


def is_translated(panel: PanelPage, where: str) -> None:
    """Fail if the panel shows or says a word of ours that is not translated."""
    left = panel.page.evaluate(LEFT)
    assert not [sign for sign in left if sign.isascii() and sign.isalpha()], (where, left)


def lists(panel: PanelPage) -> None:
    """Open all that opens below the head's buttons."""
    for at, name in enumerate(("conversations", "models")):
        panel.page.locator(".cg-picker-button").nth(at).click()
        search = panel.page.get_by_role("combobox")
        is_translated(panel, name)
        search.fill("ωμέγα")
        is_translated(panel, f"new {name}")
        search.fill("")
        for chat in range(3 * (at == 0)):
            for key in ("F2", "Shift+Delete"):
                search.press("Home")
                for _ in range(3):
                    search.press("ArrowUp")
                for _ in range(chat):
                    search.press("ArrowDown")
                search.press(key)
                is_translated(panel, f"{key} {chat}")
                panel.page.locator(".cg-form [data-ref=no]").click()
        search.press("Escape")


def asks(panel: PanelPage) -> None:
    """Write, edit, ask and stop."""
    area = panel.page.locator(".cg-area")
    area.fill("{δ")
    panel.tell("chips", tokens=1, names=[{"name": "δ", "kind": "Δ"}], offer=["δέλτα"])
    panel.tell("chips", tokens=2000, names=[], offer=[])
    is_translated(panel, "draft")
    area.fill("")
    panel.page.locator("[data-do=edit]").first.click()
    panel.page.locator(".cg-edit:not(.cg-card-field)").fill("")
    panel.page.locator("[data-ref=save]").click()
    is_translated(panel, "editor")
    panel.page.locator("[data-ref=discard]").click()
    area.fill("Πότε;")
    area.press("Enter")
    is_translated(panel, "waiting")
    for state in ("thinking", "answering", "stopping"):
        panel.tell("foot", foot={"state": state, "tokens": 1, "seconds": 2})
        is_translated(panel, state)
    area.fill("Πού;")
    area.press("Enter")
    is_translated(panel, "busy")
    panel.tell("note", **{"for": panel.wait_sent("send")["req"]}, text="Όχι.", bad=True, view=panel.view)
    panel.tell("foot", foot={"state": "ready", "tokens": 3, "seconds": 12})
    is_translated(panel, "ready")


def streams(panel: PanelPage) -> None:
    """Take an answer that thinks first, and end it in each way."""
    growing = answer("a2", state="streaming", can=[], meta="")
    panel.tell("add", after="a1", m=growing)
    panel.grow("a2", "<p>Χμ.</p>", keep=0, part="thinking")
    is_translated(panel, "thinking")
    panel.grow("a2", '<div class="cg-code"><pre><code>1</code></pre></div>', keep=0)
    panel.tell("set", m=answer("a2", state="done", can=["regenerate"], meta="", seconds=0))
    panel.tell("set", m=growing)
    panel.tell("set", m=answer("a2", "Α", state="stopped", can=["continue"], meta=""))
    is_translated(panel, "ended")
    panel.tell("gone", ids=["a2"])


def buttons(panel: PanelPage) -> None:
    """Press what gives the page's own notes."""
    panel.page.locator("[data-do=copy]").first.click()
    expect(panel.page.locator(".cg-state")).to_contain_text("⟦Copied")
    panel.page.locator("[data-do=insert]").last.click(force=True)
    panel.tell_cell()
    panel.settle()
    is_translated(panel, "put in")
    panel.tell("note", text="Έφυγε.", undo=True, view=panel.view)
    is_translated(panel, "undo")
    panel.tell("file", name="χ", type="text/plain", text="χ", view=panel.view)
    is_translated(panel, "file")


def is_asked(panel: PanelPage) -> None:
    """Be asked about a call of a function, and change its arguments."""
    panel.tell("card", card={"id": "c1", "name": "φ", "doc": "Ψ.", "arguments": "{}"})
    is_translated(panel, "card")
    panel.page.locator(".cg-card [data-ref=edit]").click()
    is_translated(panel, "arguments")
    panel.tell("card", card=None)


def attaches(panel: PanelPage) -> None:
    """Take a file that is there, and one that is too large."""
    panel.tell("attached", attached=[{"id": "f1", "name": "φ", "about": "1 × 1", "src": ""}])
    is_translated(panel, "attached")
    panel.page.locator(".cg-area").evaluate(
        """target => {
          const data = new DataTransfer();
          const file = new File(["1"], "φ");
          data.items.add(file);
          Object.defineProperty(File.prototype, "size", {value: 2 ** 30, configurable: true});
          target.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
          delete File.prototype.size;
        }"""
    )
    is_translated(panel, "too large")
    panel.tell("attached", attached=[])


def shows_maps(panel: PanelPage) -> None:
    """Have a map run."""
    panel.tell("maps", maps=[{"id": "1", "name": "Τί;", "text": "1 / 2"}])
    is_translated(panel, "maps")


def loses_its_kernel(panel: PanelPage) -> None:
    """Be away, late and gone."""
    panel.page.evaluate("() => window.__session.connectionStatusChanged.emit('connecting')")
    is_translated(panel, "away")
    panel.page.evaluate("() => window.__session.connectionStatusChanged.emit('connected')")
    panel.page.locator("[data-ref=begin]").click()
    expect(panel.page.locator(".cg-state")).to_contain_text("⟦The kernel is busy")
    is_translated(panel, "late")
    greek(panel, *turn(), answer("a2", "Α", state="streaming", can=[], meta=""), foot={"state": "ready"})
    panel.page.locator(".cg-area").fill("Πότε;")
    panel.page.locator(".cg-area").press("Enter")
    panel.page.evaluate("() => window.__session.statusChanged.emit('dead')")
    is_translated(panel, "lost")


def test_every_word_of_the_page_is_translated(panels):
    """On a tour of the panel no word of ours is shown or said that does not come from the catalog.

    What the page asks for on the tour is what the catalog of the page has, neither more nor less.
    """
    rights = {"permissions": ["clipboard-read", "clipboard-write"]}
    with panels.opens(chinese=PSEUDO, locale="zh-CN", **rights) as panel:
        is_translated(panel, "new")
        panel.page.wait_for_timeout(700)  # until the kernel counts as late
        is_translated(panel, "waiting for the kernel")
        greek(panel)
        is_translated(panel, "empty")
        for earlier in (1, 2):
            greek(panel, *turn(versions=2), earlier=earlier)
            is_translated(panel, f"{earlier} earlier")
        greek(panel, *turn(can=["regenerate", "delete", "insert", "retry"], state="failed", note="Όχι."))
        is_translated(panel, "failed")
        lists(panel)
        asks(panel)
        streams(panel)
        buttons(panel)
        is_asked(panel)
        attaches(panel)
        shows_maps(panel)
        loses_its_kernel(panel)
        asked = set(panel.page.evaluate("() => [...globalThis.__asked]"))
    with panels.opens(chinese=PSEUDO, locale="zh-CN", lab=False) as panel:
        panel.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
        for works in ("true", "false"):
            panel.page.evaluate(f"() => {{ document.execCommand = () => {works} }}")
            greek(panel, *turn(can=["insert"]))
            for at, what in enumerate(("copy", "insert")):
                panel.page.locator(f"[data-do={what}]").last.click(force=True)
                if at:
                    panel.tell_cell(1 + (works == "false"))
                panel.page.wait_for_timeout(100)
                is_translated(panel, f"{what} {works}")
        greek(panel, head={**GREEK, "kept": False})
        panel.page.evaluate("() => window.__close()")
        asked |= set(panel.page.evaluate("() => [...globalThis.__asked]"))
    assert {words for words in asked if any(map(str.isalpha, words))} ^ set(page_words()) == set()


@pytest.mark.parametrize(
    ("page", "reader", "tag", "lang"),
    [("en", "zh-CN", "zh-CN", "zh-CN"), ("zh-CN", "en-US", "zh-CN", "zh-CN"), ("en", "en-US", "en-US", "en")],
)
def test_the_page_says_its_language(panels, page, reader, tag, lang):
    """A page in Chinese counts whatever its reader's browser says; one in English where that is not Chinese."""
    with panels.opens(lang=page, locale=reader, chinese=CHINESE) as panel:
        assert panel.sent("ready")[-1]["language"] == tag
        assert panel.page.locator(".cg-panel").get_attribute("lang") == lang
        panel.button("发送" if lang == "zh-CN" else "Send").wait_for()


def test_a_page_in_another_language_leaves_it_open(panels):
    """Neither English nor Chinese is asked for: the kernel's own language is spoken."""
    with panels.opens(lang="fr", locale="fr-FR") as panel:
        assert panel.sent("ready")[-1]["language"] == ""


def test_what_is_not_translated_is_english(panels):
    """Empty translations, and missing ones, do no harm."""
    with panels.opens(locale="zh-CN", chinese=CHINESE) as panel:
        panel.snap(*turn(can=["continue"], state="stopped", note="[…]"), head={**HEAD, "language": "zh"})
        expect(panel.button("Continue")).to_be_visible()
        panel.page.locator("[data-do=edit]").first.click()
        expect(panel.button("Discard")).to_be_visible()


def test_another_language_keeps_what_a_person_does(panels):
    """In the moment in which the setting changes, draft, cursor and focus stay, and so does the view of the log."""
    with panels.opens(chinese=CHINESE) as panel:
        messages = [one for at in range(12) for one in (question(f"q{at}", "Why?"), answer(f"a{at}", *["So."] * 9))]
        panel.snap(*messages)
        panel.message.fill("half a question")
        panel.page.evaluate("() => { document.querySelector('.cg-log').scrollTop = 700 }")
        panel.page.wait_for_timeout(200)
        panel.message.evaluate("area => area.setSelectionRange(2, 4)")
        before = panel.page.evaluate(READ)
        panel.snap(*messages, head={**HEAD, "language": "zh"})
        area = panel.page.get_by_role("textbox", name="消息", exact=True)
        expect(area).to_be_focused()
        expect(area).to_have_value("half a question")
        assert area.evaluate("area => [area.selectionStart, area.selectionEnd]") == [2, 4]
        assert panel.page.locator(".cg-panel").get_attribute("lang") == "zh-CN"
        after = panel.page.evaluate(READ)
        assert after["id"] == before["id"] not in {"q0", "a11"}
        assert abs(after["top"] - before["top"]) < 16  # messages out of sight are as high as the browser guesses
        assert panel.page.locator(".cg-panel").count() == 1


def test_another_language_keeps_an_edited_question_and_steals_no_focus(panels):
    """What is typed in a question's own box stays there; who works elsewhere on the page goes on there."""
    with panels.opens(chinese=CHINESE) as panel:
        panel.page.evaluate("() => document.body.append(document.createElement('textarea'))")
        panel.snap(*turn())
        panel.page.locator("[data-do=edit]").first.click()
        panel.page.locator(".cg-edit:not(.cg-card-field)").fill("another question")
        panel.page.locator("body > textarea").focus()
        panel.snap(*turn(), head={**HEAD, "language": "zh"})
        expect(panel.page.locator(".cg-edit:not(.cg-card-field)")).to_have_value("another question")
        expect(panel.page.locator("body > textarea")).to_be_focused()
        panel.button("发送").wait_for()
        panel.snap(*turn(), head={**HEAD, "language": "en"})
        panel.button("Send").wait_for()
        expect(panel.page.locator(".cg-edit:not(.cg-card-field)")).to_have_value("another question")


def test_both_views_of_a_panel_change_their_language(panels):
    """A panel may be shown twice on a page: both views speak what the kernel says, and one that is opened then too."""
    with panels.opens(chinese=CHINESE) as panel:
        panel.page.evaluate("() => { window.__open() }")
        panel.snap(*turn(), to=None, head={**HEAD, "language": "zh"})
        expect(panel.page.locator(".cg-panel[lang=zh-CN]")).to_have_count(2)
        panel.page.evaluate("() => { window.__open() }")
        expect(panel.page.locator(".cg-panel[lang=zh-CN]")).to_have_count(3)
