"""Code in, HTML with a class for each kind of token out; the page's style sheet gives them colours."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

PREFIX = "cg-"
"""What the classes begin with: `cg-k` is a keyword, as Pygments names it."""
_LONGEST = 100_000
"""Characters of code that are worth the time; more is shown without colours."""
_LONGEST_LINE = 5_000
"""Characters of a line, likewise: what nobody wrote by hand, and nobody reads."""
_PATIENCE = 0.3
"""Seconds of this thread's work after which colours are given up: some lexers need minutes for odd code."""
_PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "output", "console-output", "none"})


def code_block(code: str, language: str) -> str:
    """Write a block of code; `language` is one plain word, or empty."""
    is_long = len(code) > _LONGEST or max(map(len, code.split("\n"))) > _LONGEST_LINE
    shown = html.escape(code, quote=False) if is_long else _colored(code, language.lower())
    return f'<div class="cg-code" data-language="{language}"><pre><code>{shown}</code></pre></div>'


def token_classes() -> frozenset[str]:
    """Give every class that code may have."""
    from pygments.token import STANDARD_TYPES

    return frozenset(PREFIX + name for name in STANDARD_TYPES.values() if name)


@lru_cache(maxsize=64)
def _colored(code: str, language: str) -> str:
    # Pygments leaves out a byte order mark.
    lexer = None if language in _PLAIN or code.startswith("\ufeff") else _lexer(language)
    if lexer is None:
        return html.escape(code, quote=False)
    from pygments import format as write

    try:
        # One line end more: a lexer adds one only where there is none.
        colored: str = write(list(_tokens(lexer, f"{code}\n")), _formatter())
    except Exception:  # noqa: BLE001 - whatever a lexer stumbles over, the code is shown
        return html.escape(code, quote=False)
    return colored.removesuffix("\n")


def _tokens(lexer: Lexer, code: str) -> Iterator[tuple[object, str]]:
    """Give a lexer's tokens as long as there is patience; what has no colour anywhere gets no class either."""
    from pygments.token import Name, Punctuation, Text, Whitespace

    until = time.thread_time() + _PATIENCE
    for kind, text in lexer.get_tokens(code):
        if time.thread_time() > until:
            raise TimeoutError
        yield (Text if kind in {Name, Punctuation, Whitespace} else kind), text


@lru_cache(maxsize=256)  # an unknown name is looked for in all installed packages
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None


@lru_cache(maxsize=1)
def _formatter() -> HtmlFormatter:
    from pygments.formatters.html import HtmlFormatter

    return HtmlFormatter(nowrap=True, classprefix=PREFIX)
