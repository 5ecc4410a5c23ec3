"""A conversation as a notebook to work on.

Questions are Markdown, not `%%chatglm` cells: "Run All" would ask them all again, and would cost money.
Answers are Markdown too, but Python in a fence of its own becomes a code cell, which has not been run: running the
code is what people export a notebook for. Code in lists and quotes stays where it explains something.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from .._conversation.message_node import MessageNode
from .._markdown.fences import PYTHON, Fence, fences
from .._markdown.links import literal
from .._markdown.reply_markdown import piece_block, run_block, thinking_block
from .._messages import ImagePart
from .markdown import PICTURE_TYPES, STAMP, author, ending_note, extras, head, picture_line, picture_name, question


def to_ipynb(title: str, nodes: Sequence[MessageNode]) -> str:
    """Return a conversation as a notebook (nbformat 4.5) in which nothing has been run."""
    cells = [_cell("markdown", "\n\n".join(head(title, nodes)))]
    for node in nodes:
        metadata = {"chatglm_magic": {"role": node.role, "id": node.id}}
        for kind, source in _question(node) if node.role == "user" else _answer(node):
            cells.append(_cell(kind, source, metadata))
        if node.role == "user" and (attached := _attached(node)):
            cells[-1]["attachments"] = attached
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = {
        "metadata": {
            "chatglm_magic": {"written": STAMP},
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
        "cells": cells,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _question(node: MessageNode) -> Iterator[tuple[str, str]]:
    """Yield a question as one cell, quoted."""
    written = question(node, _picture)
    quoted = "\n".join(f"> {line}" if line else ">" for line in written.split("\n"))
    yield "markdown", f"**{literal(author(node))}**\n\n{quoted}"


def _picture(picture: ImagePart) -> str:
    """Return a picture as Markdown: from the cell's attachments if its bytes are there."""
    if not _is_attached(picture):
        return picture_line(picture)
    return f"![{literal(picture_name(picture))}](attachment:{_file(picture)})"


def _attached(node: MessageNode) -> dict[str, dict[str, str]]:
    """Return the attachments of a question's cell, as nbformat has them: base64 by media type, by file name."""
    return {
        _file(picture): {picture.media_type: base64.b64encode(picture.data).decode("ascii")}
        for picture in node.attachments
        if _is_attached(picture)
    }


def _is_attached(picture: ImagePart) -> bool:
    return bool(picture.data) and picture.media_type in PICTURE_TYPES


def _file(picture: ImagePart) -> str:
    return f"{picture.sha256[:16]}.{picture.media_type.removeprefix('image/')}"


def _answer(node: MessageNode) -> Iterator[tuple[str, str]]:
    """Yield an answer as a cell for each block of Python, and Markdown cells around them."""
    blocks = [f"**{literal(author(node))}**", thinking_block(node.thinking_so_far, node.thinking_seconds)]
    for piece in node.in_order():
        if not isinstance(piece, str):
            blocks.append(run_block(piece))
            continue
        lines = piece.split("\n")
        start = 0
        for fence in filter(_is_program, fences(lines)):
            yield from _text(*blocks, piece_block("\n".join(lines[start : fence.first])))
            yield "code", "\n".join(fence.code)
            blocks, start = [], fence.after
        blocks.append(piece_block("\n".join(lines[start:])))
    yield from _text(*blocks, *extras(node), ending_note(node))


def _is_program(fence: Fence) -> bool:
    """Return whether a fence holds Python, and stands in no list and no quote."""
    is_python = fence.closed and fence.language.lower() in PYTHON
    return is_python and not fence.head and bool("".join(fence.code).strip())


def _text(*blocks: str) -> Iterator[tuple[str, str]]:
    if written := "\n\n".join(block for block in blocks if block.strip()):
        yield "markdown", written


def _cell(kind: str, source: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    cell = {"cell_type": kind, "id": "", "metadata": metadata or {}, "source": source.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
