"""A conversation as a notebook to work on.

Questions are Markdown, not `%%chatglm` cells: "Run All" would ask them all again, and would cost money.
Answers are Markdown too, but Python in a fence of its own becomes a code cell, which has not been run: what
people export a notebook for is to run the code. Code in lists and quotes stays where it explains something.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .._compose import thinking_block
from .._markdown.blocks import fences
from .._markdown.links import literal
from .._markdown.safe import safe
from .._said import Said
from .._tree import Tree
from .markdown import question
from .stamp import BLANK, stamped
from .telling import about, ending, extras, shown, who

_PYTHON = frozenset({"python", "py", "python3", "ipython", "ipython3"})


def to_ipynb(title: str, said: Tree | Sequence[Said]) -> str:
    """Write a conversation as a notebook (nbformat 4.5) with nothing run in it."""
    messages = shown(said)
    words = [f"# {literal(' '.join(title.split())) or 'Conversation'}"]
    if line := about(messages):
        words.append(f"*{literal(line)}*")
    cells = [_cell("markdown", "\n\n".join(words))]
    for one in messages:
        told = {"chatglm_magic": {"role": one.role, "id": one.id}}
        for kind, source in _question(one) if one.role == "user" else _answer(one):
            cells.append(_cell(kind, source, told))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = {
        "metadata": {
            "chatglm_magic": {"written": BLANK},
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
        "cells": cells,
    }
    return stamped(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _question(said: Said) -> Iterator[tuple[str, str]]:
    """Write a question in one cell, as a quote."""
    quoted = "\n".join(f"> {line}" if line else ">" for line in "\n".join(question(said)).split("\n"))
    yield "markdown", f"**{literal(who(said))}**\n\n{quoted}"


def _answer(said: Said) -> Iterator[tuple[str, str]]:
    """Write an answer in as many cells as it has pieces of Python, and text around them."""
    lines = said.content.strip("\n").split("\n")
    words = [f"**{literal(who(said))}**", thinking_block(said.thinking, said.thinking_seconds)]
    at = 0
    for fence in fences(lines):
        if fence.head or not fence.closed or fence.language.lower() not in _PYTHON or not "".join(fence.code).strip():
            continue
        yield from _text(*words, safe("\n".join(lines[at : fence.first]).strip("\n")))
        yield "code", "\n".join(fence.code)
        words, at = [], fence.after
    words += [safe("\n".join(lines[at:]).strip("\n")), *extras(said)]
    yield from _text(*words, f"*[{literal(ending(said))}]*" if ending(said) else "")


def _text(*blocks: str) -> Iterator[tuple[str, str]]:
    if written := "\n\n".join(block for block in blocks if block.strip()):
        yield "markdown", written


def _cell(kind: str, source: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": "", "metadata": metadata or {}}
    cell["source"] = source.splitlines(keepends=True)
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell
