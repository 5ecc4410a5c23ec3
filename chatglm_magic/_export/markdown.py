"""A conversation as Markdown, as safe to open as the cells it came from."""

from __future__ import annotations

from collections.abc import Sequence

from .._compose import thinking_block
from .._markdown.blocks import fences
from .._markdown.links import literal
from .._markdown.safe import safe
from .._said import Said
from .._tree import Tree
from .stamp import BLANK, stamped
from .telling import about, ending, extras, shown, who


def to_markdown(title: str, said: Tree | Sequence[Said]) -> str:
    """Write a conversation as Markdown: a heading for each message, thoughts folded away."""
    messages = shown(said)
    blocks = [f"<!-- {BLANK} -->", f"# {literal(' '.join(title.split())) or 'Conversation'}"]
    if line := about(messages):
        blocks.append(f"*{literal(line)}*")
    for one in messages:
        blocks += [f"## {literal(who(one))}", *(question(one) if one.role == "user" else answer(one))]
    return stamped("\n\n".join(blocks) + "\n")


def question(said: Said) -> list[str]:
    """Write a question; its line ends are kept."""
    lines = safe(said.content.strip("\n")).split("\n")
    coded = {number for fence in fences(lines) for number in range(fence.first, fence.after)}
    for number in range(len(lines) - 1):
        if number not in coded and lines[number].strip() and lines[number + 1].strip() and number + 1 not in coded:
            lines[number] = f"{lines[number].rstrip()}  "
    return ["\n".join(lines)]


def answer(said: Said) -> list[str]:
    """Write an answer with all that came with it, and how it ended if not well."""
    content = said.content.strip("\n")
    blocks = [thinking_block(said.thinking, said.thinking_seconds, is_open=not content.strip()), safe(content)]
    blocks += [*extras(said), f"*[{literal(ending(said))}]*" if ending(said) else ""]
    return [written for written in blocks if written.strip()]
