"""A conversation as one HTML page that stands alone: no script, nothing loaded, light or dark as the reader likes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files

from .._markdown.links import visible
from .._said import Said
from .._tree import Tree
from ..renderers.html import render
from .stamp import BLANK, stamped
from .telling import about, clock, ending, extras, facts, language, shown, who

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(title: str, said: Tree | Sequence[Said]) -> str:
    """Write a conversation as an HTML page: code with colours, formulas as MathML, thoughts folded away."""
    messages = shown(said)
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    name = " ".join(title.split()) or "Conversation"
    line = about(messages)
    return stamped(
        "\n".join(
            [
                "<!DOCTYPE html>",
                f"<!-- {BLANK} -->",
                f'<html lang="{language("".join(one.content for one in messages)) or "en"}">',
                "<head>",
                '<meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                '<meta name="color-scheme" content="light dark">',
                '<meta name="generator" content="chatglm_magic">',
                '<meta name="referrer" content="no-referrer">',
                f"<title>{_text(name)}</title>",
                f"<style>\n{style}</style>",
                "</head>",
                "<body>",
                "<main>",
                f"<header>\n<h1>{_text(name)}</h1>",
                f'<p class="about">{_text(line)}</p>' if line else "",
                "</header>",
                *map(_article, messages),
                "</main>",
                "</body>",
                "</html>\n",
            ]
        )
    )


def _article(said: Said) -> str:
    kind = "question" if said.role == "user" else "answer"
    lang = f' lang="{tongue}"' if (tongue := language(said.content)) else ""
    time = f" <time>{moment}</time>" if (moment := clock(said.created)) else ""
    written = render(said.content.strip("\n"), breaks=said.role == "user")
    texts = [_thoughts(said), *(f'<div class="text">\n{text}\n</div>' for text in (written, *_extras(said)) if text)]
    notes = " · ".join(filter(None, (ending(said), facts(said))))
    return "\n".join(
        [
            f'<article class="{kind}"{lang}>',
            f"<h2>{_text(who(said))}{time}</h2>",
            *filter(None, texts),
            *([f'<p class="notes">{_text(notes)}</p>'] if notes else []),
            "</article>",
        ]
    )


def _extras(said: Said) -> list[str]:
    return [render(extra) for extra in extras(said)]


def _thoughts(said: Said) -> str:
    """Write thoughts folded away, unless they are all there is."""
    if not said.thinking.strip():
        return ""
    state = "" if said.content.strip() else " open"
    seconds = f" for {said.thinking_seconds:.1f} s" if said.thinking_seconds else ""
    return (
        f'<details{state}>\n<summary>Thought{seconds}</summary>\n<div class="text">\n{render(said.thinking)}\n</div>\n'
        "</details>"
    )


def _text(text: str) -> str:
    """Write text as text."""
    return html.escape(visible(text))
