"""Reads HTML that was made for a page, and tells what in it is not allowed there."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_HTML = frozenset(
    {"p", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br", "a"}
    | {"table", "thead", "tbody", "tr", "th", "td", "div", "span"}
)
_MATH = frozenset(
    {"math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "merror"}
    | {
        "mpadded",
        "mphantom",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mmultiscripts",
        "mprescripts",
        "none",
    }
    | {"mtable", "mtr", "mtd", "menclose"}
)
_EMPTY = frozenset({"br", "hr"})
_PLAIN = re.compile(r"[\w.#%+ -]{0,80}")
_NEVER = ("on", "style", "src", "xlink", "id", "name")
_OURS = {
    "href": ({"a"}, re.compile(r"(?:https?|mailto):.*")),
    "rel": ({"a"}, re.compile("noopener noreferrer nofollow")),
    "target": ({"a"}, re.compile("_blank")),
    "class": (_HTML, re.compile(r"cg-(?:code|table|math|task|left|center|right|[a-z0-9]{1,3})")),
    "data-language": ({"div"}, re.compile(r"[\w.+#-]{0,40}", re.ASCII)),
    "start": ({"ol"}, re.compile(r"\d+")),
    "alttext": ({"math"}, re.compile(r"(?s).*")),
}
"""The attributes that are ours: of which elements, with which values."""


class Judge(HTMLParser):
    """Reads HTML as a browser does, roughly, and finds what is neither an element nor text.

    Attributes:
        dangers: What is not allowed, in words; empty for a safe piece.
        text: All text.
        codes: The text of each block of code.
        links: Where links lead.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.dangers: list[str] = []
        self.text = ""
        self.codes: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        self.close()

    def handle_comment(self, data):
        self.dangers.append(f"<!--{data}-->")

    def handle_decl(self, decl):
        self.dangers.append(f"<!{decl}>")

    def handle_pi(self, data):
        self.dangers.append(f"<?{data}>")

    def unknown_decl(self, data):
        self.dangers.append(f"<![{data}]>")


class Page(Judge):
    """What a page would show of a piece of HTML.

    Attributes:
        formulas: The source of each formula.
    """

    def __init__(self, html: str) -> None:
        self.formulas: list[str] = []
        self.open: list[str] = []
        super().__init__(html)
        self.dangers += [f"<{tag}> is open" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        if tag not in _HTML | _MATH:
            self.dangers.append(f"<{tag}>")
        for name, value in attrs:
            if not self._allows(tag, name, value or ""):
                self.dangers.append(f"<{tag} {name}={value!r}>")
        if tag == "a" and dict(attrs).get("href"):
            self.links.append(dict(attrs)["href"])
        if tag == "math":
            self.formulas.append(dict(attrs).get("alttext", ""))
        if tag == "pre":
            self.codes.append("")
        if tag not in _EMPTY:
            self.open.append(tag)

    def _allows(self, tag, name, value):
        owners, values = _OURS.get(name, (_MATH, _PLAIN))
        return tag in owners and values.fullmatch(value) and not name.startswith(_NEVER)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.dangers.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text += data
        if "pre" in self.open:
            self.codes[-1] += data
