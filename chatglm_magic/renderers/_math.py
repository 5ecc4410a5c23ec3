"""LaTeX of a model in, MathML of known elements and attributes out."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

_LONGEST = 4000
"""Characters of a formula; a longer one shows as its source."""
_DEEPEST = 40
"""Groups within groups; the converter calls itself for each."""
_LENGTH = r"[+-]?\d{0,2}(?:\.\d{1,4})?(?:em|ex|pt|px|mu|%)?"
_LENGTHS = re.compile(rf"{_LENGTH}(?: {_LENGTH}){{0,20}}")
"""Small ones: a formula must not cover the page around it."""
_SIZE = re.compile(r"[0-3]?(?:\.\d{1,4})?(?:em|rem)|[1-3]?\d{1,2}%")
_COLOR = re.compile(r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{3,20}")
_WORDS = re.compile(r"[a-z-]{1,25}(?: [a-z-]{1,25}){0,20}")
_COUNT = re.compile(r"\d{1,2}")
_SWITCH = re.compile(r"true|false")

ELEMENTS = frozenset(
    {"math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "merror"}
    | {"mpadded", "mphantom", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts"}
    | {"mprescripts", "none", "mtable", "mtr", "mtd", "menclose"}
)
"""What a formula may be made of: nothing that links, loads, acts or holds HTML."""
ATTRIBUTES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        **dict.fromkeys(("display", "mathvariant", "form", "notation"), _WORDS),
        **dict.fromkeys(("columnalign", "columnlines", "rowlines", "rowalign"), _WORDS),
        **dict.fromkeys(("stretchy", "fence", "accent", "accentunder", "separator", "symmetric"), _SWITCH),
        **dict.fromkeys(("movablelimits", "largeop", "displaystyle"), _SWITCH),
        **dict.fromkeys(("lspace", "rspace", "width", "height", "depth", "voffset", "linethickness"), _LENGTHS),
        **dict.fromkeys(("minsize", "maxsize", "rowspacing", "columnspacing"), _LENGTHS),
        **dict.fromkeys(("mathcolor", "mathbackground"), _COLOR),
        **dict.fromkeys(("scriptlevel", "rowspan", "columnspan"), _COUNT),
        "mathsize": _SIZE,
    }
)
"""The attributes that stay, and what each may be."""

_COMMENT = re.compile(r"(?m)(?<!\\)%.*$")
_ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|alignedat|align|split|eqnarray|flalign|alignat)\*?\}")
_GATHERED = re.compile(r"\\(begin|end)\{(?:gathered|gather|mult(?:line|lined))\*?\}")
_CASES = re.compile(r"\\(begin|end)\{dcases\*?\}")
_NUMBERED = re.compile(r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}")
_COLUMNS = re.compile(r"(\\begin\{align\*\})\{\d+\}")
_SILENT = re.compile(r"\\(?:label\{[^{}]*\}|(?:nonumber|notag|nolimits)(?![A-Za-z]))")
_NAMES = re.compile(r"\\(arg|injlim|projlim)(?![A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]")
_ESCAPED = re.compile(r"\\([$%&#_{}])")
_TOKENS = frozenset({"mi", "mn", "mo", "ms", "mtext"})


@lru_cache(maxsize=512)
def mathml(source: str, *, display: bool) -> str:
    r"""Write a formula as HTML that a page may show; its source in `<code>` where that cannot be done.

    Args:
        source: LaTeX without its delimiters.
        display: Whether it stands in a line of its own.
    """
    source = source.strip()
    tree = _convert(_known(source), display=display) if _is_modest(source) else None
    if tree is None:
        return f'<code class="cg-math">{html.escape(source, quote=False)}</code>'
    inside = "".join(map(_write, tree))
    kind = "block" if display else "inline"
    return f'<math display="{kind}" alttext="{html.escape(source)}">{inside}</math>'


def _is_modest(source: str) -> bool:
    """Tell whether a formula can be converted in little time and on little stack."""
    if not source or len(source) > _LONGEST:
        return False
    depth = deepest = 0
    for mark in re.finditer(r"[{}]|\\(?:begin|end|left|right)(?![A-Za-z])", source):
        depth += 1 if mark[0] in {"{", r"\begin", r"\left"} else -1
        deepest = max(deepest, depth)
    return deepest <= _DEEPEST


def _known(source: str) -> str:
    """Name environments as the converter knows them, without numbers; lines outside any become rows."""
    source = _NUMBERED.sub("", _SILENT.sub("", _COMMENT.sub("", source)))
    source = _ALIGNED.sub(r"\\\1{align*}", source)
    source = _CASES.sub(r"\\\1{cases}", source)
    source = _GATHERED.sub(r"\\\1{matrix}", source)
    source = _COLUMNS.sub(r"\1", source)
    source = _NAMES.sub(r"\\operatorname{\1}", source).strip()
    if "\\\\" in source and "\\begin" not in source:
        kind = "align*" if "&" in source else "matrix"
        source = f"\\begin{{{kind}}}{source}\\end{{{kind}}}"
    return source


def _convert(source: str, *, display: bool) -> Element | None:
    from latex2mathml.converter import Converter  # a page with formulas alone pays for it

    try:
        tree = Converter(display="block" if display else "inline").convert_to_element(source)
    except Exception:  # noqa: BLE001 - on LaTeX that it cannot read it raises what it likes, also a RecursionError
        return None
    return tree if all(map(_is_read, tree.iter())) else None


def _is_read(element: Element) -> bool:
    r"""Tell whether an element holds no LaTeX that was not understood: a command, or `&` outside a table."""
    text = html.unescape(element.text or "")
    return element.tag == "mtext" or not (_COMMAND.match(text) or (text == "&" and element.text == "&"))


def _write(element: Element) -> str:
    """Write an element anew, of what is known; of an unknown one what is in it."""
    inside = "".join(map(_write, element))
    if element.tag in _TOKENS:
        inside = html.escape(_ESCAPED.sub(r"\1", html.unescape(element.text or "")), quote=False)
    if element.tag not in ELEMENTS:
        return inside
    kept = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and ATTRIBUTES[name].fullmatch(value)
    )
    return f"<{element.tag}{kept}>{inside}</{element.tag}>"
