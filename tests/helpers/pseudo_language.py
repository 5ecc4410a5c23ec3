"""Languages that are none, in which what was never marked can be seen.

In the first, every sentence of the catalog stands between ⟦ and ⟧. In the second it has strange vowels, so that the
values in it can be told from its words too.
"""

from __future__ import annotations

import re
import string

import pytest

from chatglm_magic import _language

_MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
_STRANGE = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")
_RUN = re.compile(r"[A-Za-z][\w'’-]*(?:[ ,;:()]+[A-Za-z][\w'’-]*)+")
_PLAIN = re.compile(r"[A-Za-z'’]*[aeiouAEIOU][A-Za-z'’]*")


class _Pseudo:
    """A catalog that knows every sentence."""

    def gettext(self, sentence: str) -> str:
        return f"⟦{sentence}⟧"

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.gettext(one if count == 1 else many)


class _Strange:
    """A catalog whose translations are the sentences with strange vowels; values that are put in stay."""

    def gettext(self, sentence: str) -> str:
        """Return the sentence, each vowel outside its places for values strange."""
        try:
            pieces = list(string.Formatter().parse(sentence))
        except ValueError:
            return sentence.translate(_STRANGE)
        text = ""
        for words, name, spec, conversion in pieces:
            text += words.replace("{", "{{").replace("}", "}}").translate(_STRANGE)
            if name is not None:
                text += "{" + name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
        return text

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Return the form for a count, as `gettext` returns a sentence."""
        return self.gettext(one if count == 1 else many)


def speak_pseudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak it from now on, until the environment names another language."""
    monkeypatch.setattr(_language, "_catalog", lambda _: _Pseudo())
    monkeypatch.setenv("CHATGLM_LANG", "zh")


def unmarked(text: str) -> str:
    """Return what of a text is not marked; sentences may stand within each other."""
    while (rest := _MARKED.sub("", text)) != text:
        text = rest
    return text


def speak_strangely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the pseudo-locale in force."""
    monkeypatch.setattr(_language, "_catalog", lambda _: _Strange())
    monkeypatch.setenv("CHATGLM_LANG", "zh")


def plain_english(text: str, allowed: frozenset[str] = frozenset()) -> list[str]:
    """Return the phrases of a text that are plain English: two words and more that are not `allowed`."""
    found = []
    for run in _RUN.findall(text):
        words = [word for word in re.split(r"[^\w'’-]+", run) if _PLAIN.fullmatch(word) and word not in allowed]
        if len(words) > 1:
            found.append(run)
    return found
