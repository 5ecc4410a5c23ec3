"""The language of what people read: a complete catalog, and a setting that is in force at once."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import string
import subprocess
import sys
from pathlib import Path

import catalog
import pytest

from chatglm_magic import _language
from chatglm_magic._language import join_sentences, language, page_language, set_language, tr, trn

ENTRIES = [message for message in catalog.read() if message.id]
_HAN = "\u3400-\u9fff"


@pytest.fixture
def locale(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Leave the language to the locale, which is none of a person's."""
    for name in ("CHATGLM_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    return monkeypatch


def placeholders(sentence: str) -> set[str]:
    """Return the names of a sentence's places for values."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
    except ValueError:  # a lone brace: a sentence without values
        return set()


def both(entry: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return an entry's English forms and its Chinese ones."""
    english = entry.id if isinstance(entry.id, tuple) else (entry.id,)
    chinese = entry.string if isinstance(entry.string, tuple) else (entry.string,)
    return english, chinese


def test_the_catalog_holds_exactly_what_is_marked():
    """Every marked sentence stands in `zh.po`, and none that is gone: python -m tests.helpers.catalog."""
    assert {str(entry.id) for entry in ENTRIES} == {str(entry.id) for entry in catalog.template() if entry.id}


def test_no_sentence_is_marked_within_an_f_string():
    """The catalog's tool does not look into f-strings, so that a sentence marked in one would never be translated."""
    inside = [
        f"{path.name}:{call.lineno}"
        for path in catalog.PACKAGE.rglob("*.py")
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(outer, ast.JoinedStr)
        for call in ast.walk(outer)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {"tr", "trn", "marked"}
        if isinstance(call.args[0], (ast.Constant, ast.JoinedStr))
    ]

    assert inside == []


def test_every_sentence_is_translated():
    """None is untranslated, none is fuzzy."""
    assert [entry.id for entry in ENTRIES if not all(both(entry)[1]) or entry.fuzzy] == []


def test_placeholders_match():
    """A translation has the places of its sentence, and formats them in the same way."""
    odd = [
        entry.id
        for entry in ENTRIES
        if any(placeholders(chinese) != placeholders(both(entry)[0][-1]) for chinese in both(entry)[1])
    ]

    assert odd == []


def test_what_gettext_and_the_page_read_is_current():
    """`zh.mo` and the page's `zh.json` are made from `zh.po` as it stands: python -m tests.helpers.catalog."""
    assert catalog.MO.read_bytes() == catalog.mo_bytes(catalog.read())
    assert catalog.PAGE_JSON.read_text(encoding="utf-8") == catalog.page_json(catalog.read())


def test_the_page_reads_one_sentence_for_each():
    """Where Python has a sentence with its plural, as "{count} message", the page finds text there, not a list."""
    assert {type(said) for said in json.loads(catalog.PAGE_JSON.read_text(encoding="utf-8")).values()} == {str}


def test_the_catalog_is_written_in_one_way():
    """The file is what the tool writes, so that a change shows as what was changed."""
    assert catalog.PO.read_bytes() == catalog.po_text(catalog.updated())


def test_chinese_is_set_as_in_print():
    """A blank stands between Han and Latin letters or digits, none beside full-width marks, which Chinese uses."""
    rules = (f"[{_HAN}][A-Za-z0-9]", f"[A-Za-z0-9][{_HAN}]", f"[。，；：？！、）] [{_HAN}A-Za-z]", f"[{_HAN}][,;?!]")
    odd = []
    for entry in ENTRIES:
        for sentence in both(entry)[1]:
            bare = re.sub(r"\{[^}]*\}", "_", sentence)  # beside a value a blank may be right or wrong
            odd += [(sentence, found[0]) for rule in rules if (found := re.search(rule, bare))]

    assert odd == []


def test_the_agreed_words_are_used():
    """`terms.md` has at most 60 words, and no translation uses a word that is not the agreed one."""
    rows = (catalog.PO.parent / "terms.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("| ")][2:]
    terms = {row[at]: row[at + 1] for row in table for at in (1, 4)}
    wrong = (
        "令牌",
        "秘钥",
        "密匙",
        "您",
        "登陆",
        "帐号",
        "帐户",
        "回复",
        "对话线程",
        "单元 ",
        "供应商",
        "基础网址",
        "堆栈",
    )
    used = [sentence for entry in ENTRIES for sentence in both(entry)[1]]

    assert 30 <= len(terms) <= 60
    assert [sentence for sentence in used if any(word in sentence for word in wrong)] == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "en_US:zh_CN"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "CHATGLM_LANG": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "CHATGLM_LANG": "zh-CN"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "CHATGLM_LANG": "klingon"}, "zh"),
    ],
)
def test_the_locale_decides_where_nothing_is_set(
    locale: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    """CHATGLM_LANG goes before the locale, whose variables are read in gettext's order."""
    for name, value in variables.items():
        locale.setenv(name, value)

    assert language() == expected


def test_a_setting_goes_before_all(locale: pytest.MonkeyPatch) -> None:
    """`%config` goes before the environment, that before the page, that before the locale."""
    locale.setenv("LANG", "en_US.UTF-8")
    with page_language("zh-CN"):
        assert language() == "zh"
        locale.setenv("CHATGLM_LANG", "en")
        assert language() == "en"
        set_language("zh")
        assert language() == "zh"
        set_language("auto")
    locale.delenv("CHATGLM_LANG")
    assert language() == "en"


def test_a_page_speaks_for_its_own_tasks(locale: pytest.MonkeyPatch) -> None:
    """Two pages of different languages are each spoken to in their own, also by tasks that they begin."""

    async def speak(tag: str) -> str:
        with page_language(tag):
            task = asyncio.create_task(later())
        return await task

    async def later() -> str:
        await asyncio.sleep(0)
        return language()

    async def main() -> list[str]:
        return await asyncio.gather(speak("zh-CN"), speak("en-US"), speak("zh"), later())

    assert asyncio.run(main()) == ["zh", "en", "zh", "en"]


def test_values_are_put_in_and_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Braces in a value are text, and a sentence without values keeps its own."""
    assert tr("{what}.", what="{0} {what}") == "{0} {what}."
    assert tr("write {{x}} for {x}") == "write {{x}} for {x}"
    assert trn("{count} page", "{count} pages", 1) == "1 page"
    assert trn("{count} page", "{count} pages", 0) == "0 pages"


def test_no_blank_stands_behind_a_full_width_mark():
    """Sentences are joined as their language writes them."""
    assert join_sentences("One.", "", "Two.") == "One. Two."
    assert join_sentences("一。", "二。") == "一。二。"


def test_english_needs_no_catalog():
    """Neither gettext nor the catalog is read for a person who reads English."""
    code = """
import sys
before = set(sys.modules)
from chatglm_magic import ConfigError, _language
assert _language.tr("x") == "x"
assert "gettext" not in set(sys.modules) - before
assert not _language._catalog.cache_info().currsize
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "CHATGLM_LANG": "en"})

    assert done.returncode == 0


def test_an_error_is_told_in_the_language_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """`str(error)` is in the language in force, and `kind` is the same in both."""
    from chatglm_magic._errors import status_error

    english = status_error("auth", host="h.example", status=401, detail="bad key")
    monkeypatch.setenv("CHATGLM_LANG", "zh")
    chinese = status_error("auth", host="h.example", status=401, detail="bad key")

    assert english.kind == chinese.kind == "auth"
    assert "h.example" in str(chinese)
    assert "bad key" in str(chinese)
    assert re.search(f"[{_HAN}]", str(chinese))
    assert not re.search(f"[{_HAN}]", str(english))


def test_the_wheel_holds_the_catalog():
    """The files lie inside the package, where the wheel takes everything."""
    assert Path(_language.__file__).with_name("zh.mo").is_file()
