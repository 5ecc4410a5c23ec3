"""Text and targets of Markdown links that mean the same under every parser; no I/O."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

INLINE_TARGET = re.compile(
    r"""\]\([ \t]*(?:<(?P<angled>[^<>\n]*)>|(?P<bare>[^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*))"""
    r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*\)"""
)
"""What follows a link's text: its target in one of two groups; a title is read over."""
URL_LIMIT = 2000
BARE_URL = re.compile(rf"\S{{1,{URL_LIMIT}}}")
"""What a parser may take for one URL; longer ones are cut."""
_PLAIN_URL = re.compile(r"[A-Za-z0-9\-._~:/?#@!*'+,;=%&()|{}^\"]*")
_TRAILING = ".,;:!?'\")}*_~|"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_LIVE = frozenset({"http", "https", "mailto"})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MARK = re.compile(r"[`*_\[\]<>&$\\!|~:@\n\t]|(?i:(?<=www))\.")
"""What may act anywhere in a line; what only acts at its start is not escaped."""
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff]")


def visible(text: str) -> str:
    """Put a visible mark for each character that would drive a terminal or cannot be sent at all."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def literal(text: str) -> str:
    """Write text so that every parser shows just this text; not for the start of a line."""
    text = visible(text)
    return _MARK.sub(lambda mark: f"&#{ord(mark[0])};", text)


def link(text: str, url: str) -> str:
    """Write a link; only its text where the target is not to be followed."""
    live = target(url)
    return f"[{literal(text)}]({live})" if live else literal(text)


def target(url: str) -> str:
    """Give a link's target in a form that needs no escaping anywhere.

    Args:
        url: As written in Markdown: with entities and backslash escapes.

    Returns:
        An http, https or mail address, or a place on the same server; empty for anything else.
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
    """Give the part of a run of characters that is a URL: up to a formula or to what is not ASCII."""
    found = _PLAIN_URL.match(run)
    return (found[0] if found else "").rstrip(_TRAILING) or run[:1]
