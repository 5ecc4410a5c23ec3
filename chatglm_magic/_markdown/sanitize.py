"""Hostile Markdown in, Markdown that is inert under every parser out; no I/O."""

from __future__ import annotations

import re

from .fences import Fence, fenced, fences
from .inline import DRASTIC, HARMFUL, bold, paragraph
from .links import literal, visible
from .stable import formula

_BREAKS = re.compile(r"\r\n?|[\x85\u2028\u2029]")
_ACTIVE = re.compile(
    r"[<&\\`$\[\]{]|:::|~~~|://|www\.|\)=|^[ \t>*+.)\d-]*[%+]|^[ \t>]*:|^(?: {4}|\t)", re.IGNORECASE | re.MULTILINE
)
_LABEL = re.compile(r"(?m)^(?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*\[")
"""Where the definition of a link may begin; it ends with a `]:` wherever that stands."""
_TICKS = re.compile(r"`{3}|~{3}")
_ITEM = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_DIAGRAM_RISK = re.compile(
    r"[<&\\]|//|%%\{|^\s*(?:---|click|link|links)\b|^---|url|href|img|image|icon|javascript|#\w+;",
    re.IGNORECASE | re.MULTILINE,
)
"""In a diagram: what may load, link or hold HTML (nbconvert puts its source into the page as it is)."""


def safe(text: str) -> str:
    r"""Return a model's Markdown in a form that is safe to show as trusted `text/markdown`.

    Raw HTML shows as text; images become links; links to anything but http, https, mail and places on the same server
    show as text. Formulas in `\(…\)` and `\[…\]` get the dollar signs that notebooks know, and bold words are bold
    beside Chinese ones too, see `bold`. The time is linear in the length.

    Args:
        text: A whole reply or a settled block of one; the results of the blocks may be joined.
    """
    text = normal(text)
    return _Writer(text.split("\n")).write() if _ACTIVE.search(text) else bold(text)


def normal(text: str) -> str:
    """Return text with one kind of line end, and a visible mark for each character that has no place in it."""
    return visible(_BREAKS.sub("\n", text))


def _is_inert(code: str) -> bool:
    """Return whether code would do nothing under a parser that took it for text."""
    return not (
        DRASTIC.search(code) or HARMFUL.search(code) or _TICKS.search(code) or ("]:" in code and _LABEL.search(code))
    )


class _Writer:
    """Writes one text, block by block."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._out: list[str] = []
        self._in_list = False

    def write(self) -> str:
        """Return the text with its fences and what is between them in inert forms."""
        at = 0
        for fence in fences(self._lines):
            self._text(at, fence.first)
            self._fence(fence)
            at = fence.after
        self._text(at, len(self._lines))
        return "\n".join(self._out)

    def _text(self, number: int, stop: int) -> None:
        """Write the lines between two fences, paragraph by paragraph."""
        lines = self._lines
        if self._out and number < stop and lines[number].strip(" \t"):
            self._out.append("")  # behind a fence
        while number < stop:
            if not lines[number].strip(" \t"):
                self._out.append("")
                number += 1
                continue
            if not self._in_list and lines[number].startswith(("    ", "\t")):
                number = self._indented(number, stop)
                continue
            block: list[str] = []
            while number < stop and lines[number].strip(" \t"):
                end = max(formula(lines, number, stop) or number, number + 1)
                block += [line for line in lines[number:end] if line.strip(" \t")]
                number = end
            # Whether deeper lines that follow belong to a list.
            self._in_list = any(map(_ITEM.match, block)) or (self._in_list and block[0][:1] in {" ", "\t"})
            self._out.append(paragraph("\n".join(block)))

    def _indented(self, number: int, stop: int) -> int:
        """Write indented code as a fence, on which parsers agree, and return the line behind it."""
        code: list[str] = []
        while number < stop and (
            self._lines[number].startswith(("    ", "\t")) or not self._lines[number].strip(" \t")
        ):
            code.append(self._lines[number].expandtabs(4)[4:])
            number += 1
        blanks = 0
        while not code[-1].strip(" \t"):
            code.pop()
            blanks += 1
        self._plain_fence("", code)
        self._out += [""] * blanks
        return number

    def _fence(self, fence: Fence) -> None:
        """Write a fence: as one in column 0, as one in its list or quote, or as HTML."""
        language = fence.safe_language
        if language.startswith("mermaid") and (language != "mermaid" or _DIAGRAM_RISK.search("\n".join(fence.code))):
            language = "text"
        if not (fence.head.strip(" \t") or (fence.head and self._in_list)):
            self._plain_fence(language, fence.code)
            self._in_list = False
            return
        self._in_list = self._in_list or ">" not in fence.head
        self._blank()
        head, code = fence.head.expandtabs(4), "\n".join(fence.code)
        if fence.flush and _is_inert(code):
            inner = re.sub(r"[^ >]", " ", head)
            self._out += [f"{head}```{language}", *((inner + line).rstrip() for line in fence.code), f"{inner}```"]
        else:
            kind = f' class="language-{language}"' if language else ""
            self._out.append(f"{head}<pre><code{kind}>{literal(code)}</code></pre>")

    def _plain_fence(self, language: str, code: list[str]) -> None:
        """Write a fence in column 0."""
        self._blank()
        self._out += fenced(language, "\n".join(code)).split("\n") if code else [f"```{language}", "```"]

    def _blank(self) -> None:
        """End the paragraph before."""
        if self._out and self._out[-1].strip(" \t"):
            self._out.append("")
