"""Searching stored messages: what a query means, which texts match it, and what a hit shows; no I/O.

SQLite reads through all messages with `LIKE`, which is quick enough without an index: 100,000 messages of 500 bytes
take 0.2 seconds at most, and 0.5 where many hold the letters of a word inside other words (`python -m
tests.bench.store`). `LIKE` knows the case of ASCII letters only, so a text with other capital letters, accents or wide
letters is stored a second time as `fold` returns it, see `folded`.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

_IDEOGRAPHS = (
    "\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0002ffff"
)
"""The letters of Chinese, Japanese and Korean, which are written without blanks between words."""
_LETTER = rf"[^\W_{_IDEOGRAPHS}]"
_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_ACCENT = re.compile("[\u0300-\u036f]")
_MOST_TERMS = 50
"""SQLite limits a statement and a pattern. Further terms, and the rest of longer ones, are compared by `re` alone."""
_LONGEST_TERM = 1000
_AROUND = 60
"""Characters of a snippet before the first match and, at least, after it."""


class _Folding(dict[int, str]):
    """The characters that stand for each one in a comparison, by code point, found out when first needed."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if code == 0 or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - no text of SQLite's can hold these
            char = " "
        elif _ACCENT.match(char):
            char = ""
        elif char.isalnum():  # punctuation stays as it is: most Chinese texts would be stored twice for a wide comma
            bare = _ACCENT.sub("", unicodedata.normalize("NFKD", char))
            char = unicodedata.normalize("NFKC", bare).casefold()
        self[code] = char
        return char


_FOLDING = _Folding()


class Query(msgspec.Struct, frozen=True):
    r"""A parsed query.

    Attributes:
        likes: Patterns for `LIKE` with the escape character `\`. All match each text that matches the query.
        patterns: Patterns that all match a folded text if, and only if, it matches the query.
    """

    likes: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]

    def matches(self, folded_text: str) -> bool:
        """Return whether all terms of the query are in a folded text."""
        return all(pattern.search(folded_text) for pattern in self.patterns)


def parse(query: str) -> Query:
    """Parse a query: words that must all occur, and phrases in double quotes. No other character has a meaning.

    A word is found where a word begins with it (`atten` finds attention), a phrase where it is made of whole words.
    Chinese, Japanese and Korean are found anywhere.
    """
    likes: list[str] = []
    patterns: list[re.Pattern[str]] = []
    for phrase, word in _TERM.findall(fold(query)):
        words = (phrase or word.strip('"')).split()
        if words:
            like = re.sub(r"([\\%_])", r"\\\1", " ".join(words)[:_LONGEST_TERM])
            likes.append(f"%{like.replace(' ', '%')}%")
            patterns.append(re.compile(_pattern(words, whole=bool(phrase))))
    return Query(tuple(likes[:_MOST_TERMS]), tuple(patterns))


def _pattern(words: list[str], *, whole: bool) -> str:
    first, *rest = map(re.escape, words)
    # The literal stands before the look-behind, so that `re` looks for it first, which is ten times as quick.
    start = first + (rf"(?<!{_LETTER}{first})" if re.match(_LETTER, words[0]) else "")
    end = rf"(?!{_LETTER})" if whole and re.match(_LETTER, words[-1][-1]) else ""
    return r"\W+".join((start, *rest)) + end


def fold(text: str) -> str:
    """Return a text as it is compared: without differences of case, accents and width."""
    return unicodedata.normalize("NFC", text).translate(_FOLDING)


def folded(text: str) -> str | None:
    """Return a text as `fold` does; None if `LIKE` compares the text itself alike."""
    is_alike = all(_FOLDING[ord(char)] == (char.lower() if char.isascii() else char) for char in set(text))
    return None if is_alike and unicodedata.is_normalized("NFC", text) else fold(text)


def snippet(text: str, query: Query) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text around the first match, on one line, and the start and the end of each match in that."""
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    # Folding may change the number of characters: `origins` leads from each folded one back to its own in the line.
    pieces = [_FOLDING[ord(char)] for char in line]
    origins = [index for index, piece in enumerate(pieces) for _ in piece]
    found = "".join(pieces)
    spans = sorted(
        (origins[match.start()], origins[match.end() - 1] + 1)
        for pattern in query.patterns
        for match in pattern.finditer(found)
        if match[0]
    )
    first, first_end = spans[0] if spans else (0, 0)
    start = max(0, first - _AROUND)
    end = min(len(line), max(first_end, start + _AROUND) + _AROUND)
    before, after = "…" if start else "", "…" if end < len(line) else ""
    shift = len(before) - start
    marks: list[tuple[int, int]] = []
    for left, right in spans:
        if right <= end and not (marks and left + shift < marks[-1][1]):
            marks.append((left + shift, right + shift))
    return f"{before}{line[start:end]}{after}", tuple(marks)
