"""What Markdown becomes under the parsers of notebooks, and what in that could act.

JupyterLab's marked is looked at in tests/browser; markdown-it-py follows VS Code's markdown-it, mistune is nbconvert's.
MyST is what Sphinx and an extension of JupyterLab read: whatever it would run, load or leave out counts as a danger.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

import mistune
from html_judge import Judge
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.attrs import attrs_block_plugin, attrs_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.field_list import fieldlist_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from mdit_py_plugins.substitution import substitution_plugin
from nbconvert.filters.markdown_mistune import markdown2html_mistune

_PLUGINS = ["strikethrough", "footnotes", "table", "url", "task_lists", "def_list", "math", "spoiler", "mark", "abbr"]


def myst() -> MarkdownIt:
    """Return a parser of MyST with all of its extensions, which writes what would act as `<iframe>`."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for plugin in (amsmath_plugin, attrs_block_plugin, colon_fence_plugin, deflist_plugin, fieldlist_plugin):
        parser.use(plugin)
    parser.use(dollarmath_plugin, double_inline=True).use(attrs_plugin, spans=True)
    for plugin in (myst_block_plugin, myst_role_plugin, substitution_plugin):
        parser.use(plugin)

    def acts(self, tokens, at, options, env):
        return f"<iframe>{escape(tokens[at].content)}"

    def fence(self, tokens, at, options, env):
        directive = "<iframe>" if tokens[at].info.strip().startswith("{") else ""
        return directive + self.fence(tokens, at, options, env)

    acting = ("colon_fence", "substitution_block", "myst_line_comment", "myst_target", "myst_block_break")
    for name in (*acting, "myst_role", "substitution_inline"):
        parser.add_render_rule(name, acts)
    parser.add_render_rule("fence", fence)
    return parser


PARSERS: dict[str, Callable[[str], str]] = {
    "commonmark": MarkdownIt("commonmark", {"html": True}).render,
    "markdown-it": MarkdownIt("gfm-like", {"html": True, "linkify": False}).render,
    "mistune": mistune.create_markdown(escape=False),
    "mistune with plugins": mistune.create_markdown(escape=False, plugins=_PLUGINS),
    "nbconvert": markdown2html_mistune,
    "myst": myst().render,
}
_TAGS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br"}
    | {"a", "table", "thead", "tbody", "tr", "th", "td", "del", "s", "input", "details", "summary", "div", "span"}
    | {"dl", "dt", "dd", "sup", "section", "mark", "abbr"}
)
_ATTRIBUTES = frozenset({"class", "id", "start", "type", "disabled", "checked", "align", "open"})
_ALIGN = re.compile(r"text-align: ?(left|right|center)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_LIVE = ("http:", "https:", "mailto:")


class _Reader(Judge):
    """What a notebook would show of Markdown; its codes are those in a line too."""

    def __init__(self, html: str) -> None:
        self._in_code = 0
        super().__init__(html)

    def handle_starttag(self, tag, attrs):
        if tag not in _TAGS:
            self.dangers.append(f"<{tag}>")
        for name, value in attrs:
            if name == "href":
                self._link(value or "")
            elif not (
                name in _ATTRIBUTES
                or (name == "style" and _ALIGN.fullmatch(value or ""))
                or (tag == "abbr" and name == "title")
            ):
                self.dangers.append(f"<{tag} {name}={value!r}>")
        if tag == "pre" or (tag == "code" and not self._in_code):
            self.codes.append("")
        if tag in {"pre", "code"}:
            self._in_code += 1

    def handle_endtag(self, tag):
        if tag in {"pre", "code"}:
            self._in_code -= 1

    def handle_data(self, data):
        self.text += data
        if self._in_code:
            self.codes[-1] += data

    def _link(self, url):
        self.links.append(url)
        scheme = _SCHEME.match(re.sub(r"[\x00-\x20]", "", url).lower())
        if scheme and scheme[0] not in _LIVE:
            self.dangers.append(f"href={url!r}")


def read(markdown: str, parser: str) -> _Reader:
    """Read what one parser makes of a text."""
    return _Reader(PARSERS[parser](markdown))


def dangers(markdown: str) -> dict[str, list[str]]:
    """Give what could act in a text, by parser; empty for a safe text."""
    found = {name: read(markdown, name).dangers for name in PARSERS}
    return {name: what for name, what in found.items() if what}


# fmt: off
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>x</a>", "<!-- c -->",
    "<details>", "</details>", "<pre>", "</pre>", "<style>*{}</style>", "<svg onload=x>", "<iframe src=x>", "<br>", "<",
    "[a](javascript:alert(1))", "[a](java&#115;cript:alert(1))", "[a](<javascript:alert(1)>)", "[a](java\tscript:x)",
    "![i](http://e.de/x.png)", "![i](data:image/png;base64,AAAA)", "![i][r]", "[a][r]", "[r]: javascript:alert(1)",
    "<javascript:alert(1)>", "<http://ok.de/a>", '[ok](http://ok.de/a?b=1&c=2 "title")', "[x\\](javascript:x)",
    '[x](http://x "$"onmouseover=alert(1) $")', 'http://x/$"onmouseover="alert(1)"$', 'www.x.de/$"onclick=x$',
    "**：**这", "**“", "”**的",
    "[", "](", "]", "(", ")", "!", "![", "]:", "`", "``", "```", "````", "~~~", "~~", "`<img src=x onerror=1>`",
    "`a|<img src=x onerror=1>`", "```html\n", "```\n", "~~~\n", "\n```\n", '```x"onmouseover="a\n', "```mermaid\n",
    "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\\\(", "\\\\[", "\\\\]", "\\begin{x}", "\\end{x}", "\\begin{align}",
    "\\end{align}", "$x<y$", "$$a$$", "\\$", "\\\\", "\\", "\\`", "\\<", "\\!", "0", "\\href{javascript:x}{x}",
    "\n", "\n\n", "  \n", "\n    ", "\n  ", "\n\t", "\n- ", "\n1. ", "\n> ", "\n* [ ] ", "\n# ", "\n---\n", "\n===\n",
    "\n|a|b|\n|-|-|\n|", "|", "\n: ", "    ", "\u3000", "\xa0", "\u2028", "\x0c", "\r\n", "\r", "\x00",
    "a", "b c", "中文", "，", "*", "**", "_", "&lt;", "&#60;", "&", '"', ":", "//", "http://", "x@y.de", "1", "#", " ",
    ":::", "\n:::{figure} http://e.de/x.png\n", ":::{iframe} http://e.de\n:::", "::::", "```{include} /etc/passwd\n",
    "{download}", "{eval}`x`", "{", "}", "{{", "}}", "{{ env }}", "{onclick=x}", "{#id .class}", "[a]{.b onclick=x}",
    "\n% ", "\n+++ ", "\n(a)=\n", "\n:a: ", "+", "%", "=",
]
# fmt: on
"""Pieces that hostile Markdown is put together from."""
