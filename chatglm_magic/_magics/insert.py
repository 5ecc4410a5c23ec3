"""A reply's code into a cell, where a person may run it; nothing here runs it."""

from __future__ import annotations

from typing import Any

from .._markdown.blocks import CodeBlock

PYTHON = frozenset({"python", "py", "python3", "ipython", "ipython3"})
_CELL_MAGICS = {"bash": "bash", "sh": "sh", "shell": "bash", "zsh": "bash", "html": "html", "javascript": "js"}


def code_for_cell(blocks: list[CodeBlock]) -> str:
    """Give the code that a cell would hold; empty where there is none.

    A reply that goes step by step spreads its code over several blocks: all Python blocks are joined, in
    order. Without any that says Python, those that name no language are. Else it is the last block, under
    the cell magic of its language where IPython has one.
    """
    for languages in (PYTHON, frozenset({""})):
        found = [block.source.strip("\n") for block in blocks if block.language.lower() in languages]
        if any(found):
            return "\n\n".join(source for source in found if source)
    if not blocks:
        return ""
    magic = _CELL_MAGICS.get(blocks[-1].language.lower())
    return f"%%{magic}\n{blocks[-1].source}" if magic else blocks[-1].source


def put_into_cell(shell: Any, code: str, *, replace: bool = False) -> None:  # noqa: ANN401 - IPython's shell
    """Put code into a new cell below the running one, or in its place.

    It arrives with the end of the running cell, and only if that does not fail; of several, the last one
    does. Outside a running cell front ends show it too late and in the wrong place.
    """
    shell.set_next_input(code, replace=replace)
