"""The text, lists and code of hostile Markdown in, the same in forms that are inert under every parser out; no I/O.

See `safe` for the rules.
"""

from __future__ import annotations

import re

from .blocks import Fence, fences, formula
from .inline import DRASTIC, HARMFUL, paragraph
from .links import literal
from .safe import fenced

_LABEL = re.compile(r"(?m)^(?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*\[")
"""Where a link's definition may begin; it goes on to a `]:` wherever that stands."""
_TICKS = re.compile(r"`{3}|~{3}")
_WORD = re.compile(r"[\w.+#-]{1,40}", re.ASCII)
_ITEM = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_DIAGRAM_RISK = re.compile(
    r"[<&\\]|//|%%\{|^\s*(?:---|click|link|links)\b|^---|url|href|img|image|icon|javascript|#\w+;",
    re.IGNORECASE | re.MULTILINE,
)
"""In a diagram: what may load, link or carry HTML (nbconvert puts its source into the page as it is)."""


def _is_inert(code: str) -> bool:
    """Tell whether code would do nothing where a parser took it for text."""
    return not (
        DRASTIC.search(code) or HARMFUL.search(code) or _TICKS.search(code) or ("]:" in code and _LABEL.search(code))
    )


class Writer:
    """Writes the blocks of one text."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._out: list[str] = []
        self._in_list = False

    def write(self) -> str:
        """Write text and fences in turn."""
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
        """Write indented code as a fence, on which parsers agree; give the line behind it."""
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
        word = _WORD.match(fence.language)
        language = word[0] if word else ""
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
