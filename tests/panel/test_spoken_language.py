"""The language of a panel: the page's where nothing is set, at once another one when that changes."""

from __future__ import annotations

from typing import Any

import catalog
import pytest
from panel_kit import Page, Scripted
from pseudo_language import speak_pseudo

from chatglm_magic import Chat, ChatPanel
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._language import set_language
from chatglm_magic.panel.view import in_panel


@pytest.fixture(autouse=True)
def pseudo(monkeypatch):
    """Leave the language to the page, and translate in a way that can be seen."""
    speak_pseudo(monkeypatch)
    for name in ("CHATGLM_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    yield
    set_language("auto")


def opened(language: str, *events: Any) -> Page:
    """Return a view of a new panel on a page in a language."""
    page = Page(
        ChatPanel(Chat(Scripted(events or [TextDelta("So."), Finished("length")]), model="glm-4.7")), opens=False
    )
    page.ask("ready", language=language)
    page.wait(lambda: page.number)
    return page


def test_a_panel_speaks_the_language_of_its_page():
    """Notes, states and refusals are in the page's language, and the page is told which one is in force."""
    with opened("zh-CN") as page:
        assert page.head["language"] == "zh"
        assert page.head["ideas"] == [f"⟦{one}⟧" for one in opened("en").head["ideas"]]
        shown = page.exchange("send", text="Why?")
        assert shown["meta"].startswith("glm-4.7 · ⟦")
        assert page.answer("send", text=" ")["text"] == "⟦There is nothing to ask: the message is empty.⟧"
        assert page.answer("delete", id=shown["id"])["text"] == "⟦2 messages deleted.⟧"
        assert page.answer("nonsense")["text"].startswith("⟦The page asked for something")


def test_what_is_set_counts_more_than_the_page(monkeypatch):
    """`CHATGLM_LANG` names the language of every panel, also of one without the magics."""
    monkeypatch.setenv("CHATGLM_LANG", "en")
    with opened("zh-CN") as page:
        assert page.head["language"] == "en"
        assert page.answer("send", text=" ")["text"].startswith("There is nothing")


def test_an_open_panel_changes_its_language_at_once():
    """When the setting changes, all is sent anew in the language in force, the notes of old answers too."""
    with opened("en-US") as page:
        before = page.exchange("send", text="Why?")["meta"]
        assert "⟦" not in before
        for setting, language in (("zh", "zh"), ("en", "en"), ("zh", "zh"), ("auto", "en")):
            snaps = page.kinds().count("snap")
            set_language(setting)
            page.panel._state.workspace.changed()
            page.wait(lambda known=language: page.head["language"] == known)
            assert page.kinds().count("snap") == snaps + 1
            assert ("⟦" in page.last["meta"]) == (language == "zh")


def test_the_page_that_was_opened_last_says_the_language():
    """Two pages of one panel share it: both are told what the newer one speaks."""
    with opened("en-US") as page:
        page.ask("ready", view="newer", language="zh-TW")
        page.wait(lambda: page.head["language"] == "zh")
        assert page.answer("send", text=" ")["text"].startswith("⟦")


CHINESE_ADVICE = {
    "稍等片刻，再重新运行单元格。": "稍等片刻，再重试。",
    "已收到的内容已保留；可用 %chatglm continue 接着写，或重新运行单元格。": "已收到的内容已保留；重试。",
    "重新运行单元格，或用 --timeout S 延长等待时间。": "重试。",
    "给账户充值，或改用 -m local。": "给账户充值，或在“模型”里选 local。",
}


@pytest.mark.parametrize("cell", CHINESE_ADVICE)
def test_advice_for_cells_is_advice_for_panels_in_chinese_too(cell):
    """What can be done in a cell only is replaced by what can be done in a panel, in either language."""
    assert in_panel(cell) == CHINESE_ADVICE[cell]


def test_no_translation_of_advice_escapes_a_panel():
    """Wherever the English sentence is put in other words for a panel, its translation is as well."""
    for message in catalog.read():
        if message.string and isinstance(message.id, str) and in_panel(message.id) != message.id:
            assert in_panel(message.string) != message.string, message.id
