"""Markdown in, the same for a terminal out: bold, dim and coloured, aligned and without its marks; no I/O.

The text must hold no control characters; see `visible`. What is written begins and ends as the text does, so
that one may stand in the place of the other.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from .._markdown.blocks import Fence, fences
from ._rows import width_of

if TYPE_CHECKING:
    from pygments.lexer import Lexer

_BOLD, _DIM, _ITALIC, _UNDER, _CODE, _GONE = (1, 22), (2, 22), (3, 23), (4, 24), (36, 39), (9, 29)
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*(?:[ \t]#+[ \t]*)?")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*")
_QUOTE = re.compile(r"((?: {0,3}>)+) ?(.*)")
_BULLET = re.compile(r"([ \t]*)[-*+][ \t]+(?:\[([ xX])\][ \t]+)?(.*)")
_ROW = re.compile(r" {0,3}\|.*\|[ \t]*")
_TABLE_RULE = re.compile(r"[ \t|:-]*-[ \t|:-]*")
_INLINE = re.compile(
    r"""\\(?P<escaped>[*_`#~|>+.!-])
      | (?P<ticks>`+)(?!`)(?P<code>[^\n]{1,500}?)(?<!`)(?P=ticks)(?!`)
      | (?P<math>\$[^$\s](?:[^$\n]{0,500}[^$\s])?\$)
      | \[(?P<text>[^\[\]\n]{1,500})\]\((?P<url>[^()\s]{1,2000})(?:[ ]+"[^"\n]{0,200}")?\)
      | \*\*(?=\S)(?P<bold>[^\n]{1,500}?)(?<=\S)\*\*
      | (?<!\w)__(?=\S)(?P<bold_>[^\n]{1,500}?)(?<=\S)__(?!\w)
      | (?<![\w*])\*(?=[^\s*])(?P<italic>[^*\n]{1,500}?)(?<=\S)\*(?![\w*])
      | (?<!\w)_(?=[^\s_])(?P<italic_>[^_\n]{1,500}?)(?<=\S)_(?!\w)
      | ~~(?=\S)(?P<gone>[^\n]{1,500}?)(?<=\S)~~""",
    re.VERBOSE,
)
_LONGEST = 20_000
"""Characters of code that are worth colours."""
_PATIENCE = 0.1
"""Seconds of work after which they are given up: some lexers need minutes for odd code."""
_RULE_WIDTH = 40


def ansi(text: str, width: int, *, colors: bool = True, goes_on: bool = False) -> str:
    """Write Markdown for a terminal.

    Args:
        text: The Markdown.
        width: Columns of the terminal.
        colors: Whether code has colours.
        goes_on: Whether the text begins with a fence that only goes on here: its language stands above already.
    """
    lines = text.split("\n")
    out: list[str] = []
    at = 0
    for fence in fences(lines):
        out += _text(lines[at : fence.first], width, colors=colors)
        out += _code(fence, colors=colors, label=not (goes_on and not fence.first))
        at = fence.after
    out += _text(lines[at:], width, colors=colors)
    return "\n".join(out)


def _styled(text: str, style: tuple[int, int]) -> str:
    return f"\x1b[{style[0]}m{text}\x1b[{style[1]}m" if text else ""


def _text(lines: list[str], width: int, *, colors: bool) -> list[str]:
    out: list[str] = []
    number = 0
    while number < len(lines):
        stop = number
        while stop < len(lines) and _ROW.fullmatch(lines[stop]):
            stop += 1
        if stop - number > 1 and _TABLE_RULE.fullmatch(lines[number + 1]):
            out += _table(lines[number:stop], colors=colors)
            number = stop
        else:
            out.append(_line(lines[number], width, colors=colors))
            number += 1
    return out


def _line(line: str, width: int, *, colors: bool) -> str:
    if found := _HEADING.fullmatch(line):
        words = _inline(found[2].replace("**", ""), colors=colors)
        return _styled(_styled(words, _UNDER) if len(found[1]) == 1 else words, _BOLD)
    if _RULE.fullmatch(line):
        return _styled("─" * min(width, _RULE_WIDTH), _DIM)
    if found := _QUOTE.fullmatch(line):
        return _styled("│ " * found[1].count(">"), _DIM) + _line(found[2], width, colors=colors)
    if found := _BULLET.fullmatch(line):
        mark = {None: "•", " ": "☐"}.get(found[2], "☑")
        return f"{found[1]}{mark} {_inline(found[3], colors=colors)}"
    return _inline(line, colors=colors)


def _inline(text: str, *, colors: bool) -> str:
    def write(found: re.Match[str]) -> str:  # noqa: PLR0911 - one for each kind
        match found.lastgroup:
            case "escaped":
                return found["escaped"]
            case "code" | "ticks":
                return _styled(found["code"].strip(" ") or found["code"], _CODE) if colors else found[0]
            case "url":
                url = "" if found["url"] == found["text"] else _styled(f" ({found['url']})", _DIM)
                return _styled(found["text"], _UNDER) + url
            case "bold" | "bold_":
                return _styled(_inline(found[found.lastgroup], colors=colors), _BOLD)
            case "italic" | "italic_":
                return _styled(found[found.lastgroup], _ITALIC)
            case "gone":
                return _styled(found["gone"], _GONE)
        return found[0]

    return _INLINE.sub(write, text)


def _table(rows: list[str], *, colors: bool) -> list[str]:
    """Align a table's columns; its rule becomes a line."""
    cells = [[_inline(cell.strip(), colors=colors) for cell in _cells(row)] for row in rows]
    count = len(cells[0])
    for row in cells:
        row[:] = [*row, *[""] * count][:count]
    sizes = [max(width_of(_bare(row[column])) for row in cells[:1] + cells[2:]) for column in range(count)]
    out = []
    for number, row in enumerate(cells):
        if number == 1:
            out.append(_styled("─┼─".join("─" * size for size in sizes), _DIM))
            continue
        padded = [cell + " " * (size - width_of(_bare(cell))) for cell, size in zip(row, sizes, strict=True)]
        out.append(" │ ".join(padded).rstrip())
    return out


def _cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip()[1:-1])


def _bare(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def _code(fence: Fence, *, colors: bool, label: bool) -> list[str]:
    """Write code without its fence, below the name of its language."""
    indent = re.sub(r"[^ ]", " ", fence.head.expandtabs(4))
    name = [_styled(fence.language, _DIM)] if label and fence.language else []
    code = _colored("\n".join(fence.code), fence.language) if colors and fence.code else fence.code
    return [indent + line if line else line for line in (*name, *code)]


def _colored(code: str, language: str) -> list[str]:
    """Give code its colours, as lines; as it is where its language is not known."""
    lines = code.split("\n")
    lexer = _lexer(language) if len(code) <= _LONGEST else None
    if lexer is None:
        return lines
    from pygments import format as write
    from pygments.formatters.terminal import TerminalFormatter

    until = time.thread_time() + _PATIENCE
    tokens = []
    try:
        for token in lexer.get_tokens(f"{code}\n"):
            tokens.append(token)
            if time.thread_time() > until:
                return lines
    except Exception:  # noqa: BLE001 - whatever a lexer stumbles over, the code is shown
        return lines
    written: list[str] = write(tokens, TerminalFormatter(bg="dark")).removesuffix("\n").split("\n")
    return written if _bare(re.sub(r"\x1b\[[\d;]*m", "", "\n".join(written))) == code else lines


def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        found: Lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return found
