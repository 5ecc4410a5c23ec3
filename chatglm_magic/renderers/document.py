"""Markdown of a model in, tokens or safe HTML out.

The HTML is safe at each of three steps: the parser lets no raw HTML through and follows no link but http, https and
mail; code and formulas are written here, of known elements; and a sanitiser goes over the whole.

What is code and what is a formula is decided by `_markdown`, as for cells and for what is settled: each fence and each
displayed formula is taken out of the text before it is parsed, and a mark that no text can hold stands in its place.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._language import tr
from .._markdown.fences import Fence
from .._markdown.inline import BREAK, bold_at, formula_at
from .._markdown.links import BARE_URL, split_url, target
from .._markdown.sanitize import normal
from .._markdown.stable import units
from .highlight import code_block, token_classes
from .math import ATTRIBUTES, ELEMENTS, mathml

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
_SPOT = re.compile(rf"https?://[A-Za-z0-9\[]|{BREAK.pattern}", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\][ \t]+")
_ALIGN = re.compile(r"text-align:(left|center|right)")
_CLOSERS = {"$$": "$$", "\\[": "\\]"}
_DEMOTED = 2
"""Levels by which headings are lowered: those of the page stand above them."""
_NESTING = 20
"""Most lists and quotes within each other; the parser leaves out what is deeper."""

TAGS = frozenset(
    {"p", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br"}
    | {"a", "table", "thead", "tbody", "tr", "th", "td", "div", "span"}
)
"""The elements of HTML that a text may become; `ELEMENTS` are those of formulas."""
_CELL_CLASSES = frozenset({"cg-left", "cg-center", "cg-right"})


def render(markdown: str, *, breaks: bool = False) -> str:
    """Return Markdown as HTML that a page may show.

    Code is `<div class="cg-code" data-language="python"><pre><code>…</code></pre></div>`, coloured by
    Pygments' classes with the prefix `cg-`; tables stand in `<div class="cg-table">`, their cells may have the
    class `cg-left`, `cg-center` or `cg-right`; tasks are `<li class="cg-task">` with a ballot box; formulas are
    MathML, those that cannot be read `<code class="cg-math">`. Headings begin at `<h3>`. There is no other
    class, no style and no id.

    Args:
        markdown: Text of a model or a user: whatever it holds, the result runs and loads nothing.
        breaks: Whether each line end is one, as people write; models wrap lines as they like.
    """
    parser = _parser(breaks)
    written: str = parser.renderer.render(parse(markdown, breaks=breaks), parser.options, {})
    return _cleaner().clean(written).replace("<p></p>", "").strip("\n")


def parse(text: str, *, breaks: bool = False) -> list[Token]:
    """Return the tokens into which markdown-it takes a text apart.

    Besides those of markdown-it there are `formula` (within a line; `content` is its source, `markup` what was
    written, `info` is `display` or empty) and `taken` (a block, or within a line where the parser takes what follows
    for a part of a paragraph), whose `meta["taken"]` is a `Fence` or the source of a displayed formula. Links and
    images whose target is not live have an empty one.
    """
    outline, taken = _take_out(normal(text).split("\n"))
    return _parser(breaks).parse(outline, {"taken": taken})


def _take_out(lines: Sequence[str]) -> tuple[str, list[Fence | str]]:
    """Return the text with marks in place of code and displayed formulas of several lines, and these."""
    out: list[str] = []
    taken: list[Fence | str] = []

    def take(head: str, block: Fence | str) -> None:
        out.append(f"{head}{_MARK}{len(taken)}")
        taken.append(block)

    for first, after, what in units(lines):
        line = lines[first]
        if isinstance(what, Fence):
            take(what.head, what)
        elif what == "formula":
            head = line[: len(line) - len(line.lstrip(" "))]
            opener, source = line[len(head) :][:2], "\n".join((line[len(head) + 2 :], *lines[first + 1 : after]))
            inside, _, behind = source.partition(_CLOSERS[opener])
            take(head, inside)
            if behind.strip():
                out.append(behind)
        else:
            out.append(line)
    return "\n".join(out), taken


@lru_cache(maxsize=2)
def _parser(breaks: bool) -> MarkdownIt:  # noqa: FBT001 - a key of the cache
    """Return a parser, which keeps nothing of a text."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": _NESTING, "xhtmlOut": False})
    parser.enable(["table", "strikethrough"])
    parser.disable(["fence", "html_block", "html_inline"])
    parser.block.ruler.before("code", "taken", _taken, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.inline.ruler.before("escape", "math", _math)
    parser.inline.ruler.before("escape", "taken", _taken_in_line)
    parser.inline.ruler.before("emphasis", "bold", _bold)
    parser.core.ruler.push("tidy", _tidy)
    setattr(parser, "normalizeLink", _live)  # noqa: B010 - methods that markdown-it means to be replaced
    setattr(parser, "validateLink", bool)  # noqa: B010 - the same
    for kind in _WRITTEN:
        parser.add_render_rule(kind, _write)
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
    """Return the target of a link if it is a place on the web or a mail address; empty for any other."""
    live = target(url)
    try:
        parts = urlsplit(live)
    except ValueError:  # brackets that hold no address
        return ""
    return live if (parts.scheme and parts.hostname) or (parts.scheme == "mailto" and parts.path) else ""


def _take(state: StateBlock | StateInline, at: int, *, silent: bool) -> int:
    """Parse a mark that stands for what was taken out, and return its end; 0 if there is none."""
    found = _NUMBER.match(state.src, at)
    if found and not silent:
        state.push("taken", "", 0).meta["taken"] = state.env["taken"][int(found[1])]
    return found.end() if found else 0


def _taken(state: StateBlock, first: int, _last: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    """Parse a line that stands for a block."""
    end = _take(state, state.bMarks[first] + state.tShift[first], silent=silent)
    if end and not silent:
        state.line = first + 1
    return bool(end)


def _taken_in_line(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    """Parse such a mark where the parser goes on with a paragraph before it: the sanitiser ends that."""
    end = _take(state, state.pos, silent=silent)
    state.pos = end or state.pos
    return bool(end)


def _math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    r"""Parse a formula in `$…$`, `$$…$$`, `\(…\)`, `\[…\]` or an environment of its own."""
    found = formula_at(state.src, state.pos) if state.src[state.pos - 1 : state.pos] != "$" else None
    if found is None or found[1] > state.posMax:
        return False
    source, end, display = found
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup, token.info = source, state.src[state.pos : end], "display" if display else ""
    state.pos = end
    return True


def _bold(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's own
    """Parse bold words that CommonMark does not see; those that it sees are passed over, with the marks behind them."""
    if not state.src.startswith("**", state.pos):
        return False
    text, seen = state.env.get("bold", ("", 0))
    found = None if text is state.src and state.pos < seen else bold_at(state.src, state.pos)
    if found is None or found[0] > state.posMax:
        return False
    end, is_lost = found
    if not is_lost:
        state.env["bold"] = state.src, end
        return False
    if not silent:
        most = state.posMax
        state.push("strong_open", "strong", 1)
        state.pos, state.posMax = state.pos + 2, end - 2
        state.md.inline.tokenize(state)
        state.push("strong_close", "strong", -1)
        state.posMax = most
    state.pos = end
    return True


def _tidy(state: StateCore) -> None:
    """Mark tasks and find plain URLs."""
    before: list[Token | None] = [None, None, *state.tokens]
    for outer, parent, token in zip(before, before[1:], state.tokens, strict=False):
        if token.type == "inline" and token.children:
            if outer and outer.type == "list_item_open":
                _mark_task(outer, token.children[0])
            in_cell = parent is not None and parent.type in {"th_open", "td_open"}
            token.children = _pieces(token.children, in_cell=in_cell)


def _mark_task(item: Token, words: Token) -> None:
    task = _TASK.match(words.content) if words.type == "text" else None
    if task:
        item.attrs["class"] = "cg-task"
        words.content = ("☐ " if task[1] == " " else "☑ ") + words.content[task.end() :]


def _pieces(children: Sequence[Token], *, in_cell: bool) -> list[Token]:
    """Make plain URLs links, and the `<br>` that models write in tables line ends."""
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
    """Divide one piece of text at URLs and at line ends."""
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


def _write(_: object, tokens: Sequence[Token], number: int, *_others: object) -> str:  # noqa: PLR0911 - see below
    """Return the HTML of one token: a rule of markdown-it's renderer for each of `_WRITTEN`."""
    token = tokens[number]
    match token.type:
        case "taken":
            taken = token.meta["taken"]
            if isinstance(taken, str):
                return f"<p>{mathml(taken, display=True)}</p>"
            return code_block("\n".join(taken.code), taken.safe_language)
        case "formula":
            return mathml(token.content, display=bool(token.info))
        case "code_block":
            return code_block(token.content.rstrip("\n"), "")
        case "heading_open" | "heading_close":
            tag = f"h{min(6, int(token.tag[1]) + _DEMOTED)}"
            return f"<{tag}>" if token.nesting > 0 else f"</{tag}>\n"
        case "th_open" | "td_open":
            align = _ALIGN.fullmatch(str(token.attrs.get("style", "")))
            return f'<{token.tag} class="cg-{align[1]}">' if align else f"<{token.tag}>"
        case "link_open":
            return _link(str(token.attrs["href"]))
        case "image":  # a link in its place: nothing is loaded before somebody clicks
            words = html.escape(token.content.strip() or tr("image"), quote=False)
            return f"{_link(str(token.attrs['src']))}{words}</a>" if token.attrs["src"] else words
        case "table_open":
            return '<div class="cg-table"><table>'
        case _:
            return "</table></div>"


def _link(url: str) -> str:
    return f'<a href="{html.escape(url)}" target="_blank">' if url else "<a>"


_WRITTEN = (
    *("taken", "formula", "code_block", "heading_open", "heading_close", "link_open", "image"),
    *("table_open", "th_open", "td_open", "table_close"),
)
