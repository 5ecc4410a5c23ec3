"""Words found in what was said; Chinese, Japanese and Korean ones too, which are written without blanks.

Of a run of such characters every two neighbours are a word of the index, and the last character is one by itself:
so a word of two is found at once, a longer one as a phrase, and a single character as how a word begins.
"""

from __future__ import annotations

import re
import unicodedata
from operator import add

from .._values import dataclass

FOLD = f"1 {unicodedata.unidata_version}"
"""Changes whenever `fold` may give other words."""

_RUNS = re.compile(
    "[\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0002ffff]+"
)
_UNTOLD = re.compile("[\x00\ud800-\udfff]")
_SIGNS = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]+")
_ODD = re.compile("[^\x00-\x7f\xc0-\xff\u2010-\u2027\u2030-\u205e\u3001-\u3011\u4e00-\u9fff\uff01-\uff0f\uff1a-\uff20]")
"""What may be another letter without its difference of width: most texts hold nothing of it."""
_ASKED = re.compile(r'"([^"]*)"?|(\S+)')
_WORD = re.compile(r"\w+")
_UNKNOWN = re.compile("[\U00030000-\U0010ffff]")
"""What is younger than FTS5's own tables."""
_PLAIN = re.compile(r"[\w\s]*")
_AROUND = 60
"""Characters of a snippet before the first hit and, at least, after it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to be found.

    Attributes:
        text: As it is written, in small letters.
        match: The same for FTS5; empty where the index holds no such thing (a sign, an emoji).
        exact: Whether the text must stand there to the letter: it holds signs that the index knows nothing of.
    """

    text: str
    match: str
    exact: bool


def fold(text: str) -> str:
    """Give a text's words as they are in the index, with blanks between them."""
    small = plain(text) if _ODD.search(text) else text.casefold()
    return _RUNS.sub(lambda found: f" {_pairs(found[0])} {found[0][-1]} ", small)


def plain(text: str) -> str:
    """Give a text as it is compared: without differences of width and case, and nothing that no file can hold."""
    small = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _UNTOLD.sub(" ", small)


def wanted(asked: str) -> list[Wanted]:
    """Read what a person looks for: words that must all occur, and phrases in quotes.

    A word may go on where it stands (`atten` finds attention), one in quotes may not. No sign is an operator.
    """
    found = []
    for quoted, word in _ASKED.findall(plain(asked)):
        text = " ".join((quoted or word.strip('"')).split())
        if text:
            exact = not _PLAIN.fullmatch(text) or bool(_UNKNOWN.search(text))
            found.append(Wanted(text, _match(text, may_go_on=not quoted), exact))
    return found


def is_sign(text: str) -> bool:
    """Tell whether a text is emoji alone, which are written in one way only."""
    return _SIGNS.fullmatch(text) is not None


def snippet(text: str, things: list[Wanted]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Give the words around the first hit, on one line, and where in them the hits are."""
    line = " ".join(text.split())
    pattern = re.compile("|".join(_loosely(thing.text) for thing in things), re.IGNORECASE) if things else None
    first = pattern.search(line) if pattern else None
    start = max(0, (first.start() if first else 0) - _AROUND)
    end = min(len(line), max(first.end() if first else 0, start + _AROUND) + _AROUND)
    before, after = "…" if start else "", "…" if end < len(line) else ""
    cut = f"{before}{line[start:end]}{after}"
    return cut, tuple(found.span() for found in pattern.finditer(cut) if found[0]) if pattern else ()


def _match(text: str, *, may_go_on: bool) -> str:
    """Give what is wanted as a phrase of FTS5's; whatever it holds is a word in it, for it stands in quotes."""
    if not _WORD.search(text) or _UNKNOWN.search(text):
        return ""

    def words_of(found: re.Match[str]) -> str:
        goes_on = found.end() == len(text) and len(found[0]) > 1  # then the last character is none by itself
        return f" {_pairs(found[0])} {'' if goes_on else found[0][-1]} "

    words = _RUNS.sub(words_of, text).replace('"', " ")
    last = text[-1]
    single = bool(_RUNS.fullmatch(last)) and not (len(text) > 1 and _RUNS.fullmatch(text[-2]))
    goes_on = single or (may_go_on and last.isalnum() and not _RUNS.fullmatch(last))
    return f'"{words}"*' if goes_on else f'"{words}"'


def _pairs(run: str) -> str:
    return " ".join(map(add, run, run[1:]))


def _loosely(text: str) -> str:
    """Give a pattern that finds a folded text in one that is not, where letters may be wide ones."""
    return "".join(_letter(letter) for letter in text)


def _letter(letter: str) -> str:
    wide = chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else ""
    return f"[{re.escape(letter)}{wide}]" if wide else re.escape(letter)
