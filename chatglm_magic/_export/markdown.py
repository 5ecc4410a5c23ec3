"""A conversation as Markdown, as safe to open as the cells it came from; and what all formats say of a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from .._conversation.message_node import MessageNode
from .._language import tr
from .._markdown.fences import fenced, fences
from .._markdown.inline import PLAIN_DOLLAR
from .._markdown.links import link, literal
from .._markdown.reply_markdown import MONTHS, block, day, end_words, piece_block, source_list, thinking_block
from .._markdown.sanitize import safe
from .._messages import ImagePart

STAMP = "chatglm_magic:" + "0" * 16
"""The placeholder of a digest, by which an export is known to be ours. It stands among the first 400 characters."""

PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What is shown as a picture in a file; others can hold more than a picture."""

_LETTERS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh-Hans", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")),
)


def to_markdown(title: str, nodes: Sequence[MessageNode]) -> str:
    """Return a conversation as Markdown: a heading for each message, thinking folded away."""
    blocks = [f"<!-- {STAMP} -->", *head(title, nodes)]
    for node in nodes:
        blocks.append(f"## {literal(author(node))}")
        blocks += [question(node)] if node.role == "user" else _answer(node)
    lines = "\n\n".join(blocks).split("\n")
    code = _code_lines(lines)
    plain = (line if number in code else line.replace(PLAIN_DOLLAR, r"\$") for number, line in enumerate(lines))
    return "\n".join(plain) + "\n"


def head(title: str, nodes: Sequence[MessageNode]) -> list[str]:
    """Return the blocks at the top: the title, and when and with whom the conversation was held."""
    name, line = " ".join(title.split()) or tr("Conversation"), about(nodes)
    return [f"# {literal(name)}", *([f"*{literal(line)}*"] if line else [])]


def picture_name(picture: ImagePart) -> str:
    """Return a picture's name for people."""
    return picture.name or picture.url or tr("Picture")


def picture_line(picture: ImagePart) -> str:
    """Return a picture as Markdown: a link, as remote images are not loaded by themselves, or its name alone."""
    return link(picture_name(picture), picture.url) if picture.url else f"*[{literal(picture_name(picture))}]*"


def question(node: MessageNode, picture: Callable[[ImagePart], str] = picture_line) -> str:
    """Return a question as Markdown that keeps its line ends, and below it each picture as `picture` writes it."""
    return "\n\n".join(filter(None, (_question_text(node), *map(picture, node.attachments))))


def _question_text(node: MessageNode) -> str:
    lines = safe(node.text_so_far.strip("\n")).split("\n")
    code = _code_lines(lines)
    for number in range(len(lines) - 1):
        if number not in code and lines[number].strip() and lines[number + 1].strip() and number + 1 not in code:
            lines[number] = f"{lines[number].rstrip()}  "
    return "\n".join(lines)


def _code_lines(lines: list[str]) -> set[int]:
    return {number for fence in fences(lines) for number in range(fence.first, fence.after)}


def _answer(node: MessageNode) -> list[str]:
    thinking = thinking_block(node.thinking_so_far, node.thinking_seconds, is_open=not node.text_so_far.strip())
    blocks = (thinking, *map(piece_block, node.in_order()), *extras(node), ending_note(node))
    return [written for written in blocks if written.strip()]


def author(node: MessageNode) -> str:
    """Return the name of a message's author."""
    return tr("You") if node.role == "user" else node.model or node.provider or tr("Model")


def ending(node: MessageNode) -> str:
    """Return how an answer ended; empty if it ended well."""
    if node.error:
        return node.error
    return tr("still coming") if node.streaming else end_words(node.finish_reason, node.warnings)


def ending_note(node: MessageNode) -> str:
    """Return the same as Markdown."""
    return f"*[{literal(ending(node))}]*" if ending(node) else ""


def extras(node: MessageNode) -> list[str]:
    """Return what came with the text as Markdown: code that was run, its output, images as links, sources."""
    blocks = [block(part) for part in node.parts if part.kind != "search"] + _results(node)
    if sources := source_list(source for part in node.parts for source in part.sources):
        blocks.append("**" + tr("Sources") + f"**\n\n{sources}")
    return list(filter(None, blocks))


def _results(node: MessageNode) -> list[str]:
    """Return what the tools have answered, which the text rests on, where it is not known how they ran."""
    if node.tool_runs_so_far:
        return []
    names = {call.id: call.name for message in node.exchange for call in message.calls}
    return [
        f"*{_returned(names.get(message.call_id, ''))}*\n\n{safe(fenced('text', message.text))}"
        for message in node.exchange
        if message.role == "tool"
    ]


def _returned(name: str) -> str:
    return tr("{name} returned", name=literal(name or tr("A tool")))


def about(nodes: Sequence[MessageNode]) -> str:
    """Return on which days a conversation was held, and with which models, on one line."""
    moments = [moment for node in nodes if (moment := _moment(node.created))]
    days = list(dict.fromkeys(day(moment, MONTHS) for moment in moments))
    held = days[0] if days else ""
    if len(days) > 1:
        held = tr("{first} – {last}", first=days[0], last=days[-1])
    models = dict.fromkeys(author(node) for node in nodes if node.role == "assistant")
    return " · ".join(filter(None, (held, tr(", ").join(models))))


def clock(created: float) -> str:
    """Return the time of day in the time zone of this computer: 14:05."""
    moment = _moment(created)
    return f"{moment:%H:%M}" if moment else ""


def _moment(created: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(created).astimezone()
    except (OverflowError, ValueError, OSError):  # a loaded file may hold any number
        return None


def language(text: str) -> str:
    """Guess the language whose fonts a text needs; empty if any will do."""
    return next((name for name, letters in _LETTERS if letters.search(text)), "")
