"""A growing Markdown text: where its code is and what of it is settled; no I/O.

Models write fences in list items, in quotes, and sometimes at the wrong depth. A fence here ends at
its closing fence wherever that stands (in a quote, also where the quote ends), never with the list
item around it: what a model meant, rather than CommonMark to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._values import dataclass


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced code block.

    Attributes:
        language: The first word after the fence; empty if there is none.
        source: The code, without the fence.
    """

    language: str
    source: str


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block, found in the lines of a text.

    Attributes:
        first: Index of the line that opens it.
        after: Index of the line behind it, its closing line included.
        head: What stands before the opening run: blanks, quote and list markers.
        run: The opening run of backticks or tildes.
        info: What stands behind the run.
        code: The lines between, without the head's depth.
        closed: Whether its end has been seen.
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


_OPEN = re.compile(r"(?P<head>(?:[ \t]|>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*)(?P<run>`{3,}|~{3,})(?P<info>.*)")
_CLOSER_SLACK = 3
"""How many columns deeper than its opening fence a closing fence may stand (CommonMark 4.5)."""


def code_blocks(text: str) -> list[CodeBlock]:
    """Give the fenced code blocks of a text, in order; one that is still open counts as far as it has come."""
    return [CodeBlock(fence.language, "\n".join(fence.code)) for fence in fences(text.split("\n"))]


def fences(lines: Sequence[str]) -> list[Fence]:
    """Find all fenced blocks, in order."""
    found: list[Fence] = []
    after = 0
    for number, line in enumerate(lines):
        if number < after or not ("```" in line or "~~~" in line):
            continue
        opening = _OPEN.match(line)
        if opening and not ("`" in opening["run"] and "`" in opening["info"]):
            fence = _read(lines, number, opening["head"], opening["run"], opening["info"].strip())
            found.append(fence)
            after = fence.after
    return found


def _read(lines: Sequence[str], first: int, head: str, run: str, info: str) -> Fence:
    """Read one fence from its opening line on."""
    depth = head.count(">")
    inner = head.rpartition(">")[2].removeprefix(" ") if depth else head
    width = len(inner.expandtabs(4))
    code: list[str] = []
    flush = True
    for number in range(first + 1, len(lines)):
        line = lines[number].removesuffix("\r")
        if depth:
            quoted, line = _unquote(line, depth)
            if not quoted:
                return Fence(first, number, head, run, info, code, True, flush)
        inside = code_line(line, run, width)
        if inside is None:
            return Fence(first, number + 1, head, run, info, code, True, flush)
        flush = flush and (not line.strip(" \t") or _depth(line) >= width)
        code.append(inside)
    return Fence(first, len(lines), head, run, info, code, False, flush)


def code_line(line: str, run: str, width: int) -> str | None:
    """Give one line of a fenced block without its depth; None if it closes the fence.

    Args:
        line: The line, without quote markers.
        run: The run of backticks or tildes that opened the fence.
        width: Columns before that run.
    """
    bare = line.lstrip(" \t")
    depth = _depth(line)
    if bare.startswith(run) and not bare.rstrip(" \t").strip(run[0]) and depth <= width + _CLOSER_SLACK:
        return None
    return " " * (depth - width) + bare if width else line


def _depth(line: str) -> int:
    """Count the columns before a line's first mark."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(4))


def _unquote(line: str, depth: int) -> tuple[bool, str]:
    """Take quote markers off a line; False where there are too few."""
    for _ in range(depth):
        bare = line.lstrip(" \t")
        if not bare.startswith(">"):
            return False, line
        line = bare[1:].removeprefix(" ")
    return True, line


_MATH_OPEN = re.compile(r" {0,3}(?P<delimiter>\$\$|\\\[)")
_MATH_CLOSE = {"$$": "$$", "\\[": "\\]"}
_MATH_LINES = 60
"""How many lines a display formula may have; what is longer is none, but a stray delimiter."""


def formula(lines: Sequence[str], first: int, stop: int) -> int | None:
    """Find the end of a display formula that opens at the start of a line and goes on behind it.

    Args:
        lines: The lines of a text.
        first: The line to look at.
        stop: Where the lines end, or a fence begins.

    Returns:
        Index of the line behind the formula; `first` where none opens here (or one that is closed on
        its own line); None where one opens whose end has not come yet.
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


_FRESH = re.compile(
    r"""(?! [ \t>|=<\[:+-]              # indented code, quote, table, setext, HTML, reference, definition, list
          | \*(?!\*?[^\s*])             # a list or a rule, unless it can only be emphasis
          | \d+(?:[.)]|$)               # an ordered list, or digits that may become one
        ) \S""",
    re.VERBOSE,
)
ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]+\S")


def settled(text: str, start: int = 0, *, items: bool = False) -> int:
    """Find where a growing text may be cut so that all before the cut is final.

    Args:
        text: The text so far.
        start: An earlier cut, or 0: what is before it is not looked at.
        items: As in `cuts`.

    Returns:
        The last such place behind `start`, else `start`. It never shrinks as the text grows.
    """
    return max(cuts(text, start, items=items), default=start)


def cuts(text: str, start: int = 0, *, items: bool = False) -> list[int]:
    """Find all places where a growing text may be cut so that all before the cut is final.

    They are at column-0 lines behind a blank line, outside fences and formulas, that cannot belong to
    a list, a table, a quote, a heading's underline, a link reference, indented code or HTML.

    Args:
        text: The text so far.
        start: An earlier cut, or 0: what is before it is not looked at.
        items: Also cut between the items of a list: the list then shows as two.

    Returns:
        The places, in order; none is lost as the text grows.
    """
    lines = text[start:].split("\n")
    found: list[int] = []
    position, number = start, 0
    blank = False
    skips = [(fence.first, fence.after) for fence in fences(lines)]
    skips.append((len(lines), len(lines)))
    for first, after in skips:
        while number < first:
            line = lines[number]
            if blank and (_FRESH.match(line) or (items and ITEM.match(line))):
                found.append(position)
            end = formula(lines, number, first)
            if end is None:
                return found
            blank = not line.strip()
            for passed in lines[number : max(end, number + 1)]:
                position += len(passed) + 1
            number = max(end, number + 1)
        if blank and first < len(lines) and lines[first][:1] in {"`", "~"}:
            found.append(position)
        position += sum(len(line) + 1 for line in lines[first:after])
        number, blank = after, False
    return found


def close_open(text: str, *, growing: bool = False) -> str:
    """Make a text that is cut off in the middle fit to be shown.

    A formula that is still open is shown as its source, since half a formula shows as an error; so
    is half a diagram. An open fence is closed.

    Args:
        text: The text so far.
        growing: Whether more is to come at once: what would show as bare marks until then, and jump, is
            finished: `**bold` without its end, a table's head without its rule.
    """
    lines = text.split("\n")
    found = fences(lines)
    if found and not found[-1].closed:
        fence = found[-1]
        info = "text" if fence.language == "mermaid" else fence.info
        lines[fence.first] = f"{fence.head}{fence.run}{info}"
        indent = re.sub(r"[^\s>]", " ", fence.head)
        return "\n".join([*lines, f"{indent}{fence.run}"])
    number = found[-1].after if found else 0
    while number < len(lines):
        end = formula(lines, number, len(lines))
        if end is None:
            source = "\n".join(lines[number:])
            return "\n".join([*lines[:number], "```latex", source, "```"])
        number = max(end, number + 1)
    if not growing:
        return text
    after = found[-1].after if found else 0
    return "\n".join([*lines[:after], *_steady(lines[after:])])


_RULE = re.compile(r"[ \t|:-]*")
_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_HALF_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*$")
_HEAD = re.compile(r" {0,3}\|[ \t]+[^\s|][^|]*\|")
_PIPE = re.compile(r"(?<!\\)\|")
_UNSURE = re.compile(r"[\[<\r\v\f\x1c-\x1e\x85\u2028\u2029]|://|\\\\")
"""What may make another number of cells of a head, once it is safe to show."""


def _steady(lines: list[str]) -> list[str]:
    """Give a table's head a rule until its own is there; finish the marks that are open in the last line."""
    last = len(lines) - 1 if lines and lines[-1].strip() else len(lines) - 2
    first = last
    while first >= 0 and last - first < 3 and lines[first].lstrip(" ").startswith("|"):  # noqa: PLR2004 - head, rule, row
        first -= 1
    rows = lines[first + 1 : last + 1]
    if len(rows) == 1 or (len(rows) == 2 and _RULE.fullmatch(rows[1]) and not _is_rule(rows[1], rows[0])):  # noqa: PLR2004 - head and rule
        return [*lines[: first + 1], *_headed(rows[0], alone=first < 0 or not lines[first].strip())]
    return [*lines[:-1], _finish_marks(lines[-1])] if lines else lines


def _headed(head: str, *, alone: bool) -> list[str]:
    """Show a table's head as one already, as soon as a cell of it is whole.

    Args:
        head: Its line, as far as it is there.
        alone: Whether it begins a block; what follows a paragraph may be none.
    """
    if not (alone and _HEAD.match(head)) or _UNSURE.search(head):
        return []
    row = _finish_marks(head.rstrip(" \t|"))
    indent = head[: len(head) - len(head.lstrip(" "))]
    return [f"{row} |", f"{indent}|{' --- |' * len(_PIPE.findall(row))}"]


def _is_rule(line: str, head: str) -> bool:
    """Tell whether a line makes the one before it a table's head."""
    cells = line.strip().strip("|").split("|")
    return all("-" in cell for cell in cells) and len(cells) >= len(
        head.replace("\\|", "").strip().strip("|").split("|")
    )


def _finish_marks(line: str) -> str:
    """Close the code, emphasis or link that is open at a line's end; drop a mark with nothing behind it."""
    bare = _SPAN.sub("", line)
    if "`" in bare:
        run = re.findall("`+", bare)[-1]
        return f"{line}{run}" if not bare.endswith("`") else line[: -len(run)]
    said = bare.split("**")[-1]
    if bare.count("**") % 2 and not said[:1].isspace():
        return f"{line.rstrip('* ')}**" if said.strip("* ") else line[: line.rindex("**")]
    return _HALF_LINK.sub(r"\1", line)


def split_fence(text: str) -> tuple[str, str] | None:
    """Cut an open column-0 fence between two lines, for a block of code too long to be repainted whole.

    Returns:
        What may be settled, its fence closed, and the rest, its fence opened again; None where the
        text does not end in such a fence or there is nothing to cut off.
    """
    lines = text.split("\n")
    found = fences(lines)
    if not found or found[-1].closed or found[-1].head or found[-1].language == "mermaid":
        return None
    fence = found[-1]
    if len(lines) - fence.first <= 2:  # noqa: PLR2004 - the opening line and one that is still being written
        return None
    return "\n".join([*lines[:-1], fence.run]), "\n".join([lines[fence.first], lines[-1]])
