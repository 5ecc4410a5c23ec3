"""What of a growing Markdown text is final, and what of the rest can be shown; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from .fences import Fence, fences

_MATH_OPEN = re.compile(r" {0,3}(?P<delimiter>\$\$|\\\[)")
_MATH_CLOSE = {"$$": "$$", "\\[": "\\]"}
_MATH_LINES = 60
"""Most lines of a displayed formula; in what is longer the first delimiter was a stray one."""
_FRESH = re.compile(
    r"""(?! [ \t>|=<\[:+-]              # indented code, quote, table, setext, HTML, reference, definition, list
          | \*(?!\*?[^\s*])             # a list or a rule, unless it can only be emphasis
          | \d+(?:[.)]|$)               # an ordered list, or digits that may become one
        ) \S""",
    re.VERBOSE,
)
"""Lines which, behind a blank one, can only begin a new block."""
ITEM = re.compile(r"(?:[-*+]|(\d{1,9})[.)])[ \t]+\S")
_RULE = re.compile(r"[ \t|:-]*")
_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_HALF_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*$")
_HEAD = re.compile(r" {0,3}\|[ \t]+[^\s|][^|]*\|")
_PIPE = re.compile(r"(?<!\\)\|")
_UNSURE = re.compile(r"[\[<\r\v\f\x1c-\x1e\x85\u2028\u2029]|://|\\\\")
"""What may change the number of cells of a table's head, once `safe` has written it."""
_UNSURE_BESIDE_CODE = re.compile(r"[\]$&\\]")
"""The same in a head with code: `safe` may write that as HTML, where a `|` divides no cells."""


def formula(lines: Sequence[str], first: int, stop: int) -> int | None:
    """Return the end of a displayed formula that opens at the start of a line and goes on behind it, before `stop`.

    Returns:
        Index of the line behind the formula; `first` where none opens here (or one that is closed on its own line);
        None where one opens whose end has not come yet.
    """
    opening = _MATH_OPEN.match(lines[first])
    if not opening:
        return first
    closer = _MATH_CLOSE[opening["delimiter"]]
    if closer in lines[first][opening.end() :]:
        return first
    limit = min(stop, first + _MATH_LINES)
    for number in range(first + 1, limit):
        if closer in lines[number]:
            return number + 1
    return None if limit == len(lines) else first


def units(lines: Sequence[str]) -> Iterator[tuple[int, int, Fence | Literal["line", "formula", "open"]]]:
    """Yield the lines of a text, those of a fence or of a displayed formula of several lines together.

    Yields:
        The index of the first line and of the line behind the last one, and the fence, `formula`, `line` for any other
        line, or `open` for the first line of a formula whose end has not come.
    """
    number = 0
    for fence in [*fences(lines), None]:
        stop = fence.first if fence else len(lines)
        while number < stop:
            end = formula(lines, number, stop)
            if end is None or end == number:
                yield number, number + 1, "open" if end is None else "line"
                number += 1
            else:
                yield number, end, "formula"
                number = end
        if fence:
            yield fence.first, fence.after, fence
            number = fence.after


def settled(text: str, *, items: bool = False) -> int:
    """Return the last of the `cuts`, else 0. It never shrinks as the text grows."""
    return max(cuts(text, items=items), default=0)


def cuts(text: str, *, items: bool = False) -> list[int]:
    """Return all places where a growing text may be cut so that what is before the cut is final.

    They are before a line in column 0 behind a blank one that cannot belong to a list, a table, a quote, a heading's
    underline, a link reference, indented code or HTML; before a fence in column 0 behind a blank line; and behind such
    a fence, whatever follows. They are never within a fence or a formula. With `items`, a list may be cut too, before
    an item in column 0: it shows as two lists then.

    Returns:
        The places, in order; none is lost as the text grows, and what is behind one is cut as a text of its own.
    """
    lines = text.split("\n")
    found: list[int] = []
    position = 0
    blank, in_list = True, False
    for first, after, what in units(lines):
        line = lines[first]
        item = ITEM.match(line) if items else None
        if blank and (not what.head if isinstance(what, Fence) else _FRESH.match(line)):
            found.append(position)
            in_list = False
        elif item and (blank or in_list or item[1] in {None, "1"}):  # other numbers cannot interrupt a paragraph
            found.append(position)
            in_list = True
        if what == "open":
            break
        blank = not line.strip()
        position += sum(len(passed) + 1 for passed in lines[first:after])
        if isinstance(what, Fence) and what.closed and not what.head and after < len(lines):
            found.append(position)
            in_list = False
    return [place for place in found if place]


def close_open(text: str, *, growing: bool = False) -> str:
    """Return a text that is cut off in the middle so that it can be shown.

    An open fence is closed. A formula that is still open is shown as its source, since half a formula shows as an
    error; so is half a diagram. If more comes soon (`growing`), what would show as bare marks until then, and jump, is
    finished, such as `**bold` without its end or a table's head without its rule.
    """
    lines = text.split("\n")
    found = fences(lines)
    if found and not found[-1].closed:
        fence = found[-1]
        info = "text" if fence.language == "mermaid" else fence.info
        lines[fence.first] = f"{fence.head}{fence.run}{info}"
        indent = re.sub(r"[^\s>]", " ", fence.head)
        return "\n".join([*lines, f"{indent}{fence.run}"])
    for first, _, what in units(lines):
        if what == "open":
            return "\n".join([*lines[:first], "```latex", *lines[first:], "```"])
    if not growing:
        return text
    after = found[-1].after if found else 0
    return "\n".join([*lines[:after], *_steady(lines[after:])])


def _steady(lines: list[str]) -> list[str]:
    """Add the rule below a table's head that has none yet, or finish the marks that are open in the last line."""
    last = len(lines) - 1 if lines and lines[-1].strip() else len(lines) - 2
    first = last
    while first >= 0 and last - first < 3 and lines[first].lstrip(" ").startswith("|"):  # noqa: PLR2004 - head, rule, row
        first -= 1
    rows = lines[first + 1 : last + 1]
    if len(rows) == 1 or (len(rows) == 2 and _RULE.fullmatch(rows[1]) and not _is_rule(rows[1], rows[0])):  # noqa: PLR2004 - head and rule
        return [*lines[: first + 1], *_headed(rows[0], alone=first < 0 or not lines[first].strip())]
    return [*lines[:-1], _finish_marks(lines[-1])] if lines else lines


def _headed(head: str, *, alone: bool) -> list[str]:
    """Return a table's head with a rule below it as soon as one of its cells is whole; nothing before.

    It must stand `alone`, at the beginning of a block: what follows a paragraph may be no table.
    """
    if not (alone and _HEAD.match(head)) or _UNSURE.search(head) or ("`" in head and _UNSURE_BESIDE_CODE.search(head)):
        return []
    row = _finish_marks(head.rstrip(" \t|"))
    indent = head[: len(head) - len(head.lstrip(" "))]
    return [f"{row} |", f"{indent}|{' --- |' * len(_PIPE.findall(row))}"]


def _is_rule(line: str, head: str) -> bool:
    """Return whether a line makes the one before it a table's head."""
    cells = line.strip().strip("|").split("|")
    return all("-" in cell for cell in cells) and len(cells) >= len(
        head.replace("\\|", "").strip().strip("|").split("|")
    )


def _finish_marks(line: str) -> str:
    """Close the code, emphasis or link that is open at the end of a line; remove a mark with nothing behind it."""
    bare = _SPAN.sub("x", line)  # a letter, lest the marks on its two sides become one
    if "`" in bare:
        run = re.findall("`+", bare)[-1]
        return f"{line}{run}" if not bare.endswith("`") else line[: -len(run)]
    said = bare.split("**")[-1]
    if bare.count("**") % 2 and not said[:1].isspace():
        return f"{line.rstrip('* ')}**" if said.strip("* ") else line[: line.rindex("**")]
    return _HALF_LINK.sub(r"\1", line)


def split_fence(text: str) -> tuple[str, str] | None:
    """Divide an open fence in column 0 before its last line, where the code is too long to be repainted whole.

    Return what comes before, its fence closed, and the rest, its fence opened again; None where the text does not end
    in such a fence, or there is nothing to cut off.
    """
    lines = text.split("\n")
    found = fences(lines)
    if not found or found[-1].closed or found[-1].head or found[-1].language == "mermaid":
        return None
    fence = found[-1]
    if len(lines) - fence.first <= 2:  # noqa: PLR2004 - the opening line and one that is still being written
        return None
    return "\n".join([*lines[:-1], fence.run]), "\n".join([lines[fence.first], lines[-1]])
