"""The language in which people are addressed: English, or its translation in the catalog.

Every sentence that a person can see is written in English where it is used, and marked: by `tr` or `trn` there, or by
`marked` where it stands in a table, and then by `tr` where the table is read. `zh.po` holds the translations, `zh.mo`
is what gettext reads of it, and `terms.md` lists the words that are agreed on; `python -m tests.helpers.catalog`
brings them up to date. Not translated are what a service says, what is stored, the names of options and commands,
`kind` and metadata.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from gettext import NullTranslations

Language = Literal["en", "zh"]
SETTINGS = ("auto", "en", "zh")
"""The values of `%config ChatGLMMagics.language`; `auto` leaves it to the environment, the page or the locale."""
VARIABLE = "CHATGLM_LANG"
_LOCALE_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a locale is named, in the order in which gettext looks."""

_page: ContextVar[str] = ContextVar("page", default="")
_spoken: ContextVar[Language | None] = ContextVar("spoken", default=None)


class _Setting:
    """What `%config` says, for the whole process."""

    value: ClassVar[str] = "auto"


def set_language(setting: str) -> None:
    """Set the language of the process: one of `SETTINGS`. It is in force at once."""
    _Setting.value = setting


@contextmanager
def page_language(tag: str) -> Generator[None]:
    """Speak the language of a page (`zh-CN`) inside the block and its tasks, unless a setting names one."""
    token = _page.set(tag)
    try:
        yield
    finally:
        _page.reset(token)


@contextmanager
def speaking(known: Language) -> Generator[None]:
    """Speak a language inside the block and its tasks, whatever is set here: what is said there is read elsewhere."""
    token = _spoken.set(known)
    try:
        yield
    finally:
        _spoken.reset(token)


def configured() -> Language | None:
    """Return the language that `%config` or the environment names; None where both leave it open."""
    if _Setting.value != "auto":
        return language_of(_Setting.value)
    return language_of(os.environ.get(VARIABLE, ""))


def language() -> Language:
    """Return the language in force: that of `%config`, else of CHATGLM_LANG, else of the page, else of the locale."""
    return _spoken.get() or configured() or language_of(_page.get()) or language_of(_locale()) or "en"


def named_by() -> str:
    """Return what names the language in force: `config`, CHATGLM_LANG, `page` or `locale`; empty where nothing does."""
    if configured():
        return VARIABLE if _Setting.value == "auto" else "config"
    return "page" if language_of(_page.get()) else "locale" if language_of(_locale()) else ""


def tr(sentence: str, /, **values: object) -> str:
    """Return a sentence in the language in force.

    Args:
        sentence: In English, a literal; with `{name}` where a value goes, as `str.format` reads it. Without values,
            braces stay braces.
        values: The values by name. What a service or a person wrote goes in here and is not translated.
    """
    if (known := language()) != "en":
        sentence = _catalog(known).gettext(sentence)
    return sentence.format(**values) if values else sentence


def trn(one: str, many: str, /, count: int, **values: object) -> str:
    """Return a sentence about one or many things in the language in force; `{count}` is how many."""
    if (known := language()) != "en":
        sentence = _catalog(known).ngettext(one, many, count)
    else:
        sentence = one if count == 1 else many
    return sentence.format(count=count, **values)


def marked(sentence: str, /) -> str:
    """Return the sentence as it is: marks one in a table for the catalog. Whoever shows it calls `tr`."""
    return sentence


def join_sentences(*sentences: str) -> str:
    """Return sentences as one text, without empty ones; behind a full-width mark stands no blank."""
    text = ""
    for sentence in filter(None, sentences):
        text += sentence if not text or text[-1] in "。！？；：，" else f" {sentence}"
    return text


@cache
def _catalog(known: Language) -> NullTranslations:
    import gettext  # only those need it who do not read English

    with (Path(__file__).parent / f"{known}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def language_of(tag: str) -> Language | None:
    """Return the language of a locale's name or a page's tag; None if it is neither of ours."""
    tag = tag.lower()
    if tag.startswith(("zh", "chinese")):
        return "zh"
    return "en" if tag.startswith("en") else None


def _locale() -> str:
    """Return the name of the user's locale; empty for none."""
    for name in _LOCALE_VARIABLES:
        if value := os.environ.get(name):
            return value
    import locale

    return locale.getlocale()[0] or ""
