"""Which of a reply's code a cell would hold; no I/O."""

from __future__ import annotations

from ._markdown.blocks import CodeBlock

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
