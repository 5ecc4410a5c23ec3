"""Text and links that mean the same under every Markdown parser; no I/O."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

INLINE_TARGET = re.compile(
    r"""\]\([ \t]*(?:<(?P<angled>[^<>\n]*)>|(?P<bare>[^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*))"""
    r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*\)"""
)
"""What follows a link's text: its target in one of two groups, and a title that is left out."""
URL_LIMIT = 2000
BARE_URL = re.compile(rf"\S{{1,{URL_LIMIT}}}")
"""What a parser may take for one URL."""
_PLAIN_URL = re.compile(r"[A-Za-z0-9\-._~:/?#@!*'+,;=%&()|{}^\"]*")
_TRAILING = ".,;:!?'\")}*_~|"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_LIVE = frozenset({"http", "https", "mailto"})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MARK = re.compile(r"[`*_\[\]<>&$\\!|~:@\n\t]|\{(?=\{)|^[%+(]|^\{(?=[\w.#%-])|(?i:(?<=www))\.")
"""What may act anywhere in a line; at its start only what MyST reads a line by."""
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff]")


def visible(text: str) -> str:
    """Return text with a visible mark for each character that would drive a terminal or cannot be encoded."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def literal(text: str) -> str:
    """Return Markdown that every parser shows as just this text; not for the start of a line."""
    text = visible(text)
    return _MARK.sub(lambda mark: f"&#{ord(mark[0])};", text)


def link(text: str, url: str) -> str:
    """Return a link, or only its text where the target must not be followed."""
    live = target(url)
    return f"[{literal(text)}]({live})" if live else literal(text)


def target(url: str) -> str:
    """Return the target of a link, as written in Markdown, in a form that needs no escaping anywhere.

    It is an http, https or mail address, or a place on the same server; empty for anything else.
    """
    url = _INVISIBLE.sub("", html.unescape(_ESCAPED.sub(r"\1", url)))
    scheme = _SCHEME.match(url)
    if scheme:
        if scheme[1].lower() not in _LIVE:
            return ""
    elif ":" in re.split(r"[/?#]", url, maxsplit=1)[0]:
        return ""
    quoted = quote(url, safe="/?#@!*+,;=:%&~", errors="replace")
    return re.sub(r"&(?=#?\w+;)", "%26", quoted)


def split_url(run: str) -> str:
    """Return the part of a run of characters that is a URL: up to a formula or to what is not ASCII."""
    found = _PLAIN_URL.match(run)
    return (found[0] if found else "").rstrip(_TRAILING) or run[:1]
