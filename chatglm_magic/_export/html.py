"""A conversation as one HTML page that stands alone: no script, nothing loaded, light or dark as the reader likes."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from importlib.resources import files

from .._conversation.message_node import MessageNode
from .._language import language as spoken
from .._language import tr
from .._markdown.links import visible
from .._markdown.reply_markdown import run_block
from .._messages import ImagePart
from ..renderers.html import render
from ..renderers.output import tokens_of
from .markdown import PICTURE_TYPES, STAMP, about, author, clock, ending, extras, language, picture_name

_SPOKEN = {"en": "en", "zh": "zh-Hans"}
"""The tag of the page's own language."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def to_html(title: str, nodes: Sequence[MessageNode]) -> str:
    """Return a conversation as an HTML page: code with colours, formulas as MathML, thinking folded away."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    name = " ".join(title.split()) or tr("Conversation")
    line = about(nodes)
    lines = [
        "<!DOCTYPE html>",
        f"<!-- {STAMP} -->",
        f'<html lang="{language("".join(node.text_so_far for node in nodes)) or _SPOKEN[spoken()]}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="generator" content="chatglm_magic">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{_escape(name)}</title>",
        f"<style>\n{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<header>\n<h1>{_escape(name)}</h1>",
        f'<p class="about">{_escape(line)}</p>' if line else "",
        "</header>",
        *map(_article, nodes),
        "</main>",
        "</body>",
        "</html>\n",
    ]
    return "\n".join(lines)


def _article(node: MessageNode) -> str:
    text = node.text_so_far
    kind = "question" if node.role == "user" else "answer"
    lang = f' lang="{found}"' if (found := language(text)) else ""
    time = f" <time>{moment}</time>" if (moment := clock(node.created)) else ""
    texts = (
        *_texts(node),
        *map(_picture, node.attachments),
        *map(render, extras(node)),
    )
    notes = " · ".join(filter(None, (ending(node), _figures(node))))
    lines = [
        f'<article class="{kind}"{lang}>',
        f"<h2>{_escape(author(node))}{time}</h2>",
        _thinking(node),
        *(f'<div class="text">\n{written}\n</div>' for written in texts if written),
        f'<p class="notes">{_escape(notes)}</p>' if notes else "",
        "</article>",
    ]
    return "\n".join(filter(None, lines))


def _texts(node: MessageNode) -> Iterator[str]:
    """Yield the text, and between its pieces what came of calls."""
    if node.role == "user":
        yield render(node.markdown, breaks=True)
        return
    for piece in node.in_order():
        yield render(piece if isinstance(piece, str) else run_block(piece))


def _picture(picture: ImagePart) -> str:
    """Return a picture, which the page holds itself; only its name where it lies elsewhere, or is lost."""
    name = _escape(picture_name(picture))
    if not picture.data or picture.media_type not in PICTURE_TYPES:
        return f"<p>[{name}]</p>"
    data = base64.b64encode(picture.data).decode("ascii")
    return f'<p><img src="data:{picture.media_type};base64,{data}" alt="{name}"></p>'


def _thinking(node: MessageNode) -> str:
    """Return the thinking folded away; unfolded if there is no text."""
    if not node.thinking_so_far.strip():
        return ""
    state = "" if node.text_so_far.strip() else " open"
    seconds = node.thinking_seconds
    summary = tr("Thought for {seconds:.1f} s", seconds=seconds) if seconds else tr("Thought")
    return (
        f"<details{state}>\n<summary>{summary}</summary>\n"
        f'<div class="text">\n{render(node.thinking_so_far)}\n</div>\n</details>'
    )


def _figures(node: MessageNode) -> str:
    """Return an answer's tokens and seconds, as far as they are known."""
    tokens = tokens_of(node.usage) if node.usage and node.usage.total_tokens else ""
    seconds = tr("{seconds:.1f} s", seconds=node.elapsed) if node.elapsed else ""
    return " · ".join(filter(None, (tokens, seconds)))


def _escape(text: str) -> str:
    return html.escape(visible(text))
