"""Markdown of a model in, safe HTML out.

Safe at each of three steps: the parser lets no raw HTML through and follows no link but http, https and
mail; code and formulas are written by us, of known elements; and a sanitiser goes over the whole.

What is code and what is a formula is decided by `_markdown`, as for cells and as for what may be
settled: each fence and each displayed formula is taken out of the text before it is parsed, and a
mark that no text can hold stands in its place.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._markdown.blocks import Fence, fences, formula
from .._markdown.inline import BEGIN, BREAK, DOLLAR, DOLLARS, ROUND, SQUARE
from .._markdown.links import BARE_URL, split_url, target, visible
from .._markdown.safe import BREAKS
from ._highlight import code_block, token_classes
from ._math import ATTRIBUTES, ELEMENTS, mathml

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nh3
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_MARK = "{\x01"
"""Stands with a number for what was taken out; `normal` leaves none in a text.

It begins with a character at which markdown-it looks for markup within a line.
"""
_NUMBER = re.compile(rf"{re.escape(_MARK)}(\d+)")
_WORD = re.compile(r"[\w.+#-]{1,40}", re.ASCII)
_SPOT = re.compile(rf"https?://[A-Za-z0-9\[]|{BREAK.pattern}", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\][ \t]+")
_ALIGN = re.compile(r"text-align:(left|center|right)")
_CLOSERS = {"$$": "$$", "\\[": "\\]"}
_ENVIRONMENT_LIMIT = 5000
_DEMOTED = 2
"""Levels that headings sink by: the page's own stand above them."""
_NESTING = 20
"""Lists and quotes within each other; what is deeper is left out by the parser."""

TAGS = frozenset(
    {"p", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br"}
    | {"a", "table", "thead", "tbody", "tr", "th", "td", "div", "span"}
)
"""The elements of HTML that a text may become; `ELEMENTS` are those of formulas."""
_CELL_CLASSES = frozenset({"cg-left", "cg-center", "cg-right"})


def render(markdown: str, *, breaks: bool = False) -> str:
    """Write Markdown as HTML that a page may show.

    Code is `<div class="cg-code" data-language="python"><pre><code>…</code></pre></div>`, coloured by
    Pygments' classes with the prefix `cg-`; tables stand in `<div class="cg-table">`, their cells may have the
    class `cg-left`, `cg-center` or `cg-right`; tasks are `<li class="cg-task">` with a ballot box; formulas are
    MathML, those that cannot be read `<code class="cg-math">`. Headings begin at `<h3>`. There is no other
    class, no style and no id.

    Args:
        markdown: Text of a model or a user: whatever it holds, the result runs and loads nothing.
        breaks: Whether each line end is one, as people write; models wrap lines as they like.
    """
    return _render(normal(markdown), breaks=breaks)


def render_normal(text: str) -> str:
    """Do as `render` for text that `normal` gave."""
    return _render(text, breaks=False)


def normal(text: str) -> str:
    """Give text with one kind of line end, and with a visible mark for each character that has no place in it."""
    return visible(BREAKS.sub("\n", text))


def _render(text: str, *, breaks: bool) -> str:
    outline, taken = _take_out(text.split("\n"))
    written: str = _parser(breaks).render(outline, {"taken": taken})
    return _cleaner().clean(written).replace("<p></p>", "").strip("\n")


def _take_out(lines: Sequence[str]) -> tuple[str, list[str]]:
    """Take code and displayed formulas out; give the text with marks for them, and their HTML."""
    out: list[str] = []
    taken: list[str] = []
    at = 0
    for fence in [*fences(lines), None]:
        at = _take_formulas(lines, at, fence.first if fence else len(lines), out, taken)
        if fence is not None:
            out.append(f"{fence.head}{_MARK}{len(taken)}")
            taken.append(_code(fence))
            at = fence.after
    return "\n".join(out), taken


def _take_formulas(lines: Sequence[str], at: int, stop: int, out: list[str], taken: list[str]) -> int:
    """Take formulas of several lines out of those between two fences."""
    while at < stop:
        end = formula(lines, at, stop)
        if end is None or end == at:
            out.append(lines[at])
            at += 1
            continue
        first = lines[at].lstrip(" ")
        inside, _, behind = "\n".join((first[2:], *lines[at + 1 : end])).partition(_CLOSERS[first[:2]])
        out.append(f"{lines[at][: len(lines[at]) - len(first)]}{_MARK}{len(taken)}")
        taken.append(f"<p>{mathml(inside, display=True)}</p>")
        if behind.strip():
            out.append(behind)
        at = end
    return at


def _code(fence: Fence) -> str:
    word = _WORD.match(fence.language)
    return code_block("\n".join(fence.code), word[0] if word else "")


@lru_cache(maxsize=2)
def _parser(breaks: bool) -> MarkdownIt:  # noqa: FBT001 - a key of the cache
    """Make a parser; it keeps nothing of a text."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": _NESTING, "xhtmlOut": False})
    parser.enable(["table", "strikethrough"])
    parser.disable(["fence", "html_block", "html_inline"])
    parser.block.ruler.before("code", "taken", _taken, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.inline.ruler.before("escape", "math", _math)
    parser.inline.ruler.before("escape", "taken", _taken_in_line)
    parser.core.ruler.push("tidy", _tidy)
    setattr(parser, "normalizeLink", _live)  # noqa: B010 - methods that markdown-it means to be replaced
    setattr(parser, "validateLink", bool)  # noqa: B010 - the same
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


@lru_cache(maxsize=1)
def _cleaner() -> nh3.Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=TAGS | ELEMENTS,
        attributes={
            "a": {"href", "target"},
            "ol": {"start"},
            "div": {"data-language"},
            "math": {"alttext"},
            **{element: {*ATTRIBUTES, "alttext"} if element == "math" else {*ATTRIBUTES} for element in ELEMENTS},
        },
        allowed_classes={
            "div": {"cg-code", "cg-table"},
            "code": {"cg-math"},
            "li": {"cg-task"},
            "span": token_classes(),
            "th": _CELL_CLASSES,
            "td": _CELL_CLASSES,
        },
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )


def _live(url: str) -> str:
    """Give the target of a link to a place on the web or a mail address; empty for any other."""
    live = target(url)
    try:
        parts = urlsplit(live)
    except ValueError:  # brackets that hold no address
        return ""
    return live if (parts.scheme and parts.hostname) or (parts.scheme == "mailto" and parts.path) else ""


def _taken(state: StateBlock, first: int, _last: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    """Read a line that stands for a block."""
    found = _NUMBER.match(state.src, state.bMarks[first] + state.tShift[first])
    if not found:
        return False
    if not silent:
        state.push("taken", "", 0).content = state.env["taken"][int(found[1])]
        state.line = first + 1
    return True


def _taken_in_line(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    """Read such a mark where the parser went on with a paragraph before it: the sanitiser ends that."""
    found = _NUMBER.match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        state.push("taken", "", 0).content = state.env["taken"][int(found[1])]
    state.pos = found.end()
    return True


def _math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    r"""Read a formula in `$…$`, `$$…$$`, `\(…\)`, `\[…\]` or an environment of its own."""
    found = _formula(state.src, state.pos)
    if found is None:
        return False
    source, end, display = found
    if end > state.posMax:
        return False
    if not silent:
        state.push("formula", "", 0).content = mathml(source, display=display)
    state.pos = end
    return True


def _formula(text: str, at: int) -> tuple[str, int, bool] | None:
    """Give a formula's source, its end, and whether it is displayed; None if there is none."""
    if text[at] == "$" and text[at - 1 : at] != "$":
        if found := DOLLARS.match(text, at):
            return found[1], found.end(), True
        if found := DOLLAR.match(text, at):
            return found[1] or found[2], found.end(), False
    if text[at] == "\\":
        if (found := ROUND.match(text, at)) or (found := SQUARE.match(text, at)):
            return found[2], found.end(), found.re is SQUARE
        if found := BEGIN.match(text, at):
            closer = f"\\end{{{found[1]}}}"
            stop = text.find(closer, at, at + _ENVIRONMENT_LIMIT)
            if stop >= 0:
                return text[at : stop + len(closer)], stop + len(closer), True
    return None


def _tidy(state: StateCore) -> None:
    """Sink headings, name what cells are aligned to, mark tasks, and find plain URLs."""
    in_cell = False
    for number, token in enumerate(state.tokens):
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + _DEMOTED)}"
        elif token.type in {"th_open", "td_open"}:
            in_cell = True
            align = _ALIGN.fullmatch(str(token.attrs.pop("style", "")))
            if align:
                token.attrs["class"] = f"cg-{align[1]}"
        elif token.type in {"th_close", "td_close"}:
            in_cell = False
        elif token.type == "inline" and token.children:
            if number >= 2 and state.tokens[number - 2].type == "list_item_open":  # noqa: PLR2004 - item, paragraph, text
                _mark_task(state.tokens[number - 2], token.children[0])
            token.children = _pieces(token.children, in_cell=in_cell)


def _mark_task(item: Token, words: Token) -> None:
    task = _TASK.match(words.content) if words.type == "text" else None
    if task:
        item.attrs["class"] = "cg-task"
        words.content = ("☐ " if task[1] == " " else "☑ ") + words.content[task.end() :]


def _pieces(children: Sequence[Token], *, in_cell: bool) -> list[Token]:
    """Make links of plain URLs, and line ends of the `<br>` that models write in tables."""
    out: list[Token] = []
    depth = 0
    for token in children:
        depth += token.nesting if token.type.startswith("link_") else 0
        if token.type == "text" and (not depth or in_cell):
            out += _split(token, in_cell=in_cell, in_link=depth > 0)
        else:
            out.append(token)
    return out


def _split(token: Token, *, in_cell: bool, in_link: bool) -> list[Token]:
    """Cut one piece of text at URLs and at line ends."""
    from markdown_it.token import Token

    def words(piece: str) -> Token:
        return Token("text", "", 0, content=piece)

    out: list[Token] = []
    text, at = token.content, 0
    for mark in _SPOT.finditer(text):
        start = mark.start()
        if start < at:
            continue
        if text[start] == "<":
            if in_cell:
                out += [words(text[at:start]), Token("hardbreak", "br", 0)]
                at = mark.end()
        elif not in_link and (run := BARE_URL.match(text, start)) and (live := _live(url := split_url(run[0]))):
            link = [Token("link_open", "a", 1, attrs={"href": live}), words(url), Token("link_close", "a", -1)]
            out += [words(text[at:start]), *link]
            at = start + len(url)
    return [*out, words(text[at:])]


def _as_is(_: object, tokens: Sequence[Token], number: int, *_others: object) -> str:
    return tokens[number].content


def _indented(_: object, tokens: Sequence[Token], number: int, *_others: object) -> str:
    return code_block(tokens[number].content.rstrip("\n"), "")


def _link(_: object, tokens: Sequence[Token], number: int, *_others: object) -> str:
    url = html.escape(str(tokens[number].attrs.get("href", "")))
    return f'<a href="{url}" target="_blank">' if url else "<a>"


def _image(_: object, tokens: Sequence[Token], number: int, *_others: object) -> str:
    """Write a link in place of an image, so that nothing is loaded before somebody clicks."""
    url = html.escape(str(tokens[number].attrs.get("src", "")))
    words = html.escape(tokens[number].content.strip() or "image", quote=False)
    return f'<a href="{url}" target="_blank">{words}</a>' if url else words


_RULES = {
    "taken": _as_is,
    "formula": _as_is,
    "code_block": _indented,
    "link_open": _link,
    "image": _image,
    "table_open": lambda *_: '<div class="cg-table"><table>',
    "table_close": lambda *_: "</table></div>",
}
