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
"""Most characters of a formula; a longer one shows as its source."""
_DEEPEST = 40
"""Most groups within each other; the converter calls itself for each."""
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
"""The attributes that are kept, and what the value of each may be."""

_REWRITES = (
    (re.compile(r"(?m)(?<!\\)%.*$"), ""),
    (re.compile(r"\\(?:label\{[^{}]*\}|(?:nonumber|notag|nolimits)(?![A-Za-z]))"), ""),
    (re.compile(r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}"), ""),
    (re.compile(r"\\(begin|end)\{(?:aligned|alignedat|align|split|eqnarray|flalign|alignat)\*?\}"), r"\\\1{align*}"),
    (re.compile(r"\\(begin|end)\{dcases\*?\}"), r"\\\1{cases}"),
    (re.compile(r"\\(begin|end)\{(?:gathered|gather|mult(?:line|lined))\*?\}"), r"\\\1{matrix}"),
    (re.compile(r"(\\begin\{align\*\})\{\d+\}"), r"\1"),
    (re.compile(r"\\(arg|injlim|projlim)(?![A-Za-z])"), r"\\operatorname{\1}"),
)
"""What the converter does not know, in the order in which it is replaced: comments, numbers, environments, names."""
_COMMAND = re.compile(r"\\[A-Za-z]")
_ESCAPED = re.compile(r"\\([$%&#_{}])")
_TOKENS = frozenset({"mi", "mn", "mo", "ms", "mtext"})


@lru_cache(maxsize=512)
def mathml(source: str, *, display: bool) -> str:
    r"""Return LaTeX without its delimiters as HTML that a page may show: MathML, or its source in `<code>`.

    It has a line of its own if `display` says so.
    """
    source = source.strip()
    tree = _convert(_known(source), display=display) if _is_modest(source) else None
    if tree is None:
        return f'<code class="cg-math">{html.escape(source, quote=False)}</code>'
    inside = "".join(map(_write, tree))
    kind = "block" if display else "inline"
    return f'<math display="{kind}" alttext="{html.escape(source)}">{inside}</math>'


def _is_modest(source: str) -> bool:
    """Return whether a formula can be converted in little time and with little stack."""
    if not source or len(source) > _LONGEST:
        return False
    depth = deepest = 0
    for mark in re.finditer(r"[{}]|\\(?:begin|end|left|right)(?![A-Za-z])", source):
        depth += 1 if mark[0] in {"{", r"\begin", r"\left"} else -1
        deepest = max(deepest, depth)
    return deepest <= _DEEPEST


def _known(source: str) -> str:
    """Return LaTeX with environments that the converter knows, without numbers; lines outside any become rows."""
    for pattern, replacement in _REWRITES:
        source = pattern.sub(replacement, source)
    source = source.strip()
    if "\\\\" in source and "\\begin" not in source:
        kind = "align*" if "&" in source else "matrix"
        source = f"\\begin{{{kind}}}{source}\\end{{{kind}}}"
    return source


def _convert(source: str, *, display: bool) -> Element | None:
    from latex2mathml.converter import Converter  # imported where there is a formula only

    try:
        tree = Converter(display="block" if display else "inline").convert_to_element(source)
    except Exception:  # noqa: BLE001 - on LaTeX that it cannot read it raises what it likes, also a RecursionError
        return None
    return tree if all(map(_is_read, tree.iter())) else None


def _is_read(element: Element) -> bool:
    r"""Return whether the converter has understood what an element holds: no command, no `&` outside a table."""
    text = html.unescape(element.text or "")
    return element.tag == "mtext" or not (_COMMAND.match(text) or (text == "&" and element.text == "&"))


def _write(element: Element) -> str:
    """Return an element written anew, with known attributes; of an unknown element what is in it."""
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
