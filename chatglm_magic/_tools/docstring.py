"""What a function's docstring says of it and of its parameters: Google's, NumPy's and reST's forms; no I/O."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

import msgspec

_MOST = 1_000
"""Characters of a description: models read it with every request."""
_SECTION = re.compile(
    r"(?:Args|Arguments|Parameters|Params|Other Parameters|Keyword Args|Keyword Arguments|Returns?|Raises|Yields?"
    r"|Examples?|Notes?|References|See Also|Warns|Warnings?|Attributes|参数|返回)\s*[:：]?\s*$",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(
    r"(?:args|arguments|parameters|params|other parameters|keyword args|keyword arguments|参数)\b", re.IGNORECASE
)
_UNDERLINE = re.compile(r"\s*-{3,}\s*$")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*[:：]\s*(.*)$")
_NUMPY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?:[:：].*)?$")
_REST = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_REST_FIELD = re.compile(r":\w+[^:]*:")


class Description(msgspec.Struct, frozen=True):
    """What a docstring says.

    Attributes:
        text: What the function does: the docstring up to its first section.
        parameters: What is said about each parameter, on one line.
    """

    text: str = ""
    parameters: Mapping[str, str] = {}

    @property
    def first_line(self) -> str:
        """The first sentence or line, for people who are asked about a call."""
        return self.text.partition("\n")[0].strip()


def read_docstring(doc: str | None) -> Description:
    """Return what a docstring says; nothing of one that is empty or None."""
    lines = inspect.cleandoc(doc or "").split("\n")
    end = next((number for number, line in enumerate(lines) if _begins_section(lines, number, line)), len(lines))
    found: dict[str, list[str]] = {}
    for name, text in (*_from_fields(lines), *_from_sections(lines)):
        found.setdefault(name, []).append(text)
    parameters = {name: " ".join(" ".join(texts).split())[:_MOST] for name, texts in found.items()}
    return Description("\n".join(lines[:end]).strip()[:_MOST], parameters)


def _begins_section(lines: list[str], number: int, line: str) -> bool:
    if _REST_FIELD.match(line):
        return True
    is_underlined = number + 1 < len(lines) and bool(_UNDERLINE.match(lines[number + 1]))
    return bool(_SECTION.match(line)) and (is_underlined or line.rstrip().endswith((":", "：")))


def _from_fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what reST's `:param name:` fields say, line by line."""
    name = ""
    for line in lines:
        if match := _REST.match(line):
            name = match[1]
            yield name, match[2]
        elif name and line.startswith((" ", "\t")):
            yield name, line
        else:
            name = ""


def _from_sections(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what the sections about parameters say, line by line: Google's are indented, NumPy's underlined."""
    inside = underlined = False
    names: list[str] = []
    indent = -1
    for number, line in enumerate(lines):
        if _begins_section(lines, number, line):
            inside = bool(_PARAMETERS.match(line))
            underlined = number + 1 < len(lines) and bool(_UNDERLINE.match(lines[number + 1]))
            names, indent = [], -1
            continue
        text = line.strip()
        if not inside or not text or _UNDERLINE.match(line):
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent < 0 else indent
        if not underlined and not depth:  # what stands at the margin again is no longer Google's section
            inside = False
        elif depth > indent:
            yield from ((name, text) for name in names)
        elif match := (_NUMPY if underlined else _GOOGLE).match(text):
            names = [name.strip() for name in match[1].split(",")]
            if not underlined:
                yield names[0], match[2]
        else:
            names = []
