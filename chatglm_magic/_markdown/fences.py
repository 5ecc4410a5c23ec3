"""The fenced code of a text, read and written, and what of it a notebook's cell holds; no I/O.

Models write fences in list items, in quotes, and sometimes at the wrong depth. Here a fence ends at its closing fence
wherever that stands (in a quote, also where the quote ends), never with the list item around it: this is what a model
meant, rather than CommonMark to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

PYTHON = frozenset({"python", "py", "python3", "ipython", "ipython3"})
_CELL_MAGICS = {
    "bash": "bash",
    "sh": "sh",
    "shell": "bash",
    "zsh": "bash",
    "html": "html",
    "javascript": "js",
    "js": "js",
    "latex": "latex",
    "svg": "svg",
}
_OPEN = re.compile(r"(?P<head>(?:[ \t]|>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*)(?P<run>`{3,}|~{3,})(?P<info>.*)")
_WORD = re.compile(r"[\w.+#-]{1,40}", re.ASCII)
_CLOSER_SLACK = 3
"""Columns by which a closing fence may be deeper than its opening one (CommonMark 4.5)."""


class CodeBlock(Struct, frozen=True):
    """One fenced code block.

    Attributes:
        language: The first word after the fence; empty if there is none.
        source: The code, without the fence.
    """

    language: str
    source: str


class CellContent(Struct, frozen=True):
    """What a new cell is made of.

    Attributes:
        source: The text of the cell.
        cell_type: The type of the cell, as nbformat names it.
    """

    source: str
    cell_type: Literal["code", "markdown"]


class Fence(Struct, frozen=True):
    """One fenced block, as found in the lines of a text.

    Attributes:
        first: Index of the line that opens it.
        after: Index of the line behind it, its closing line included.
        head: The blanks and the markers of quotes and lists before the opening run.
        run: The opening run of backticks or tildes.
        info: What follows the run.
        code: The lines between, without the depth of the head.
        closed: Whether its end has come.
        flush: Whether each line between was at least as deep as the head.
    """

    first: int
    after: int
    head: str
    run: str
    info: str
    code: list[str]
    closed: bool
    flush: bool

    @property
    def language(self) -> str:
        """The first word of the info string."""
        return self.info.split(maxsplit=1)[0] if self.info.strip() else ""

    @property
    def safe_language(self) -> str:
        """The language as far as it consists of characters that mean nothing anywhere."""
        found = _WORD.match(self.language)
        return found[0] if found else ""


def code_blocks(text: str) -> list[CodeBlock]:
    """Return the fenced code blocks of a text, in order; one that is still open counts as far as it has come."""
    return [CodeBlock(fence.language, "\n".join(fence.code)) for fence in fences(text.split("\n"))]


def has_code(text: str) -> bool:
    """Return whether a text has a fenced code block; it reads no further than that."""
    return ("```" in text or "~~~" in text) and next(_fences(text.split("\n")), None) is not None


def fences(lines: Sequence[str]) -> list[Fence]:
    """Return all fenced blocks in the lines of a text, in order."""
    return list(_fences(lines))


def _fences(lines: Sequence[str]) -> Iterator[Fence]:
    after = 0
    for number, line in enumerate(lines):
        if number < after or not ("```" in line or "~~~" in line):
            continue
        opening = _OPEN.match(line)
        if opening and not ("`" in opening["run"] and "`" in opening["info"]):
            fence = _read(lines, number, opening["head"], opening["run"], opening["info"].strip())
            after = fence.after
            yield fence


def _read(lines: Sequence[str], first: int, head: str, run: str, info: str) -> Fence:
    """Read one fence from its opening line on."""
    quotes = head.count(">")
    inner = head.rpartition(">")[2].removeprefix(" ") if quotes else head
    width = len(inner.expandtabs(4))
    code: list[str] = []
    flush = True
    for number in range(first + 1, len(lines)):
        line = lines[number].removesuffix("\r")
        if quotes:
            quoted, line = _unquote(line, quotes)
            if not quoted:
                return Fence(first, number, head, run, info, code, True, flush)
        bare = line.lstrip(" \t")
        depth = len(line[: len(line) - len(bare)].expandtabs(4))
        if bare.startswith(run) and not bare.rstrip(" \t").strip(run[0]) and depth <= width + _CLOSER_SLACK:
            return Fence(first, number + 1, head, run, info, code, True, flush)
        flush = flush and (not bare or depth >= width)
        code.append(" " * (depth - width) + bare if width else line)
    return Fence(first, len(lines), head, run, info, code, False, flush)


def _unquote(line: str, depth: int) -> tuple[bool, str]:
    """Remove the markers of quotes from a line; False where there are too few."""
    for _ in range(depth):
        bare = line.lstrip(" \t")
        if not bare.startswith(">"):
            return False, line
        line = bare[1:].removeprefix(" ")
    return True, line


def fenced(language: str, code: str) -> str:
    """Return code in a fence in column 0, whose run of backticks does not stand in the code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    run = "`" * max(3, longest + 1)
    return f"{run}{language}\n{code}\n{run}"


def code_for_cell(blocks: list[CodeBlock]) -> str:
    """Return the code that a cell would hold; empty where there is none.

    A reply that goes step by step spreads its code over several blocks: all Python blocks are joined, in order. Without
    any that says Python, the blocks that name no language are joined. Otherwise the last block is returned, under the
    cell magic of its language where IPython has one.
    """
    if python := _python(blocks):
        return python
    if not blocks:
        return ""
    magic = _CELL_MAGICS.get(blocks[-1].language.lower())
    return f"%%{magic}\n{blocks[-1].source}" if magic else blocks[-1].source


def cell_content(blocks: list[CodeBlock]) -> CellContent:
    """Return a cell that keeps as much of the code as one cell can run.

    Python comes first, as in `code_for_cell`. Otherwise all blocks of one cell magic are joined under it. Code that no
    single cell can run becomes text: a Markdown cell with every block in its fence.
    """
    if python := _python(blocks):
        return CellContent(python, "code")
    runnable = [block for block in blocks if block.language.lower() in _CELL_MAGICS]
    magics = {_CELL_MAGICS[block.language.lower()] for block in runnable}
    if len(magics) == 1:
        code = "\n\n".join(block.source for block in runnable)
        return CellContent(f"%%{magics.pop()}\n{code}", "code")
    return CellContent("\n\n".join(fenced(block.language, block.source) for block in blocks), "markdown")


def _python(blocks: list[CodeBlock]) -> str:
    """Join the Python blocks, or those without a language where none is Python; empty where there is neither."""
    for languages in (PYTHON, frozenset({""})):
        found = [block.source.strip("\n") for block in blocks if block.language.lower() in languages]
        if any(found):
            return "\n\n".join(source for source in found if source)
    return ""
