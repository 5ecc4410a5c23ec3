"""Code in, its tokens or HTML with a class for each kind of token out; the page's style sheet gives them colours."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

_PREFIX = "cg-"
"""What the classes begin with: `cg-k` is a keyword, as Pygments names it."""
_LONGEST = 100_000
"""Characters of code that are worth the time; more is shown without colours."""
_LONGEST_LINE = 5_000
"""Characters of a line, likewise: nobody wrote it by hand, and nobody reads it."""
_PATIENCE = 0.3
"""Seconds of this thread's work after which colours are given up: some lexers need minutes for odd code."""
_PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "output", "console-output", "none"})


def code_block(code: str, language: str) -> str:
    """Return code as HTML; `language` is one plain word, or empty."""
    from pygments import format as write
    from pygments.token import Text

    shown: str = write((*code_tokens(code, language), (Text, "\n")), _formatter()).removesuffix("\n")
    return f'<div class="cg-code" data-language="{language}"><pre><code>{shown}</code></pre></div>'


def token_classes() -> frozenset[str]:
    """Return every class that code may have."""
    from pygments.token import STANDARD_TYPES

    return frozenset(_PREFIX + name for name in STANDARD_TYPES.values() if name)


@lru_cache(maxsize=64)
def code_tokens(code: str, language: str) -> tuple[tuple[Any, str], ...]:
    """Return the pieces of code with Pygments' type of each.

    All of it is one piece of plain text where the language is not known, the code is too long, or its lexer fails or
    takes too long.
    """
    from pygments.token import Name, Punctuation, Text, Whitespace

    plain = ((Text, code),)
    lexer = None if language.lower() in _PLAIN else _lexer(language.lower())
    if lexer is None or len(code) > _LONGEST or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return plain
    colorless = {Name, Punctuation, Whitespace}  # in all styles
    pieces: list[tuple[Any, str]] = []
    until = time.thread_time() + _PATIENCE
    try:
        for kind, text in lexer.get_tokens(f"{code}\n"):  # with a line end, which some lexers need
            if text:  # some lexers end with an empty piece, behind the line end
                pieces.append((Text if kind in colorless else kind, text))
            if time.thread_time() > until:
                return plain
    except Exception:  # noqa: BLE001 - whatever a lexer stumbles over, the code is shown
        return plain
    if "".join(text for _, text in pieces) != f"{code}\n":  # a byte order mark is left out, for instance
        return plain
    kind, last = pieces.pop()
    return (*pieces, (kind, last[:-1]))


@lru_cache(maxsize=256)  # an unknown name is looked for in all installed packages
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=1)
def _formatter() -> HtmlFormatter:
    from pygments.formatters.html import HtmlFormatter

    return HtmlFormatter(nowrap=True, classprefix=_PREFIX)
