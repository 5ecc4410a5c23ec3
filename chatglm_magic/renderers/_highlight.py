"""Code in, HTML with a class for each kind of token out; the page's style sheet gives them colours."""

from __future__ import annotations

import html
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

PREFIX = "cg-"
"""What the classes begin with: `cg-k` is a keyword, as Pygments names it."""
_LONGEST = 100_000
"""Characters of code that are worth the time; more is shown without colours."""
_PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "output", "console-output", "none"})


def code_block(code: str, language: str) -> str:
    """Write a block of code; `language` is one plain word, or empty."""
    shown = _colored(code, language.lower()) if len(code) <= _LONGEST else html.escape(code, quote=False)
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
    from pygments import highlight

    colored: str = highlight(f"{code}\n", lexer, _formatter())  # it would add a line end only where there is none
    return colored.removesuffix("\n")


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
