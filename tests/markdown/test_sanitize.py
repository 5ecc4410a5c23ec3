"""Hostile Markdown is safe under every parser, and what was meant to be read still reads right."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_judge import HOSTILE, PARSERS, dangers, read

from chatglm_magic._markdown.fences import fenced
from chatglm_magic._markdown.links import literal, target, visible
from chatglm_magic._markdown.sanitize import safe
from chatglm_magic._markdown.stable import close_open, settled

DIRECTIVES = [
    ":::{figure} https://e.de/x.png\n:::",
    ":::{iframe} https://e.de\nwords\n:::",
    ":::{include} /etc/passwd\n:::",
    "::::{card}\n:::{image} https://e.de/x.png\n:::\n::::",
    ":::raw html\n<b>\n:::",
    "% not to be seen",
    "+++ break",
    "(label)=\nwords",
    "{{ env.config }}",
]
ROLES = ["{download}`/etc/passwd`", "{eval}``x``", "{a}`b`{c}`d`", "{kbd}`a`{.x}"]
hostile = st.lists(st.sampled_from(HOSTILE), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(hostile)
@example("`$$`\n\n```\n$$\n<img src=x onerror=1>\n```")  # nbconvert reads the formula first
@example("$$a$$ x\n\n```\n$$\n<img src=x onerror=1>\n```")
@example("[r\n\n```\n]: <form>\n```")  # a link's definition that spans a fence
@example("~~x `**~~<img src=x onerror=1>`")
@example("~~`<img src=x onerror=1>`")
@example("http://</a>`<img src=x onerror=1>`")
@example("!<http://e.de/x.png>")
@example("1. a\n   ```\n   <script>x</script>\n   ```\n```\n<b>\n```")
@example("```mermaid\n<script>x</script>\n```")  # nbconvert writes diagrams as they are
@example("text ~~~\n- [ ] ~~~\n\n```\n~~~\n<img src=x onerror=1>\n```")
def test_no_parser_finds_anything_that_acts(text):
    """No tag, handler, image or dangerous link comes of a model's text, whole or cut off, under any parser."""
    assert dangers(safe(text)) == {}
    assert dangers(safe(close_open(text))) == {}
    assert dangers(safe(close_open(text, growing=True))) == {}


@pytest.mark.parametrize("parser", ["commonmark", "markdown-it", "mistune", "nbconvert"])
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("**结论：**这是", ["结论："]),
        ("这是**“结论”**的。", ["“结论”"]),
        ("**Note:**这是", ["Note:"]),
        ("**甲**，**乙：**丙**丁**", ["甲", "乙：", "丁"]),
        ("2 ** 3，和**（结论）**是", ["（结论）"]),
        ("- **要点：**说明 `**不是：**粗` $**不：**粗$", ["要点："]),
        ("**`x`：**值", ["<code>x</code>："]),
        ("**结论：** 这是", ["结论："]),
        ("a**(b)**c 和 2 ** 3 ** 4", []),
    ],
)
def test_bold_words_are_bold_beside_chinese_ones(parser, text, seen):
    """Chinese writes no blank between a mark and a word; what is no bold in English is none here, nor is code."""
    assert re.findall("<strong>(.*?)</strong>", PARSERS[parser](safe(text))) == seen


@settings(deadline=None)
@given(hostile, hostile)
def test_blocks_are_as_safe_together_as_alone(text, other):
    """Settled blocks that were made safe one by one are safe put together, and inside of `<details>`."""
    cut = settled(text)
    together = f"{safe(text[:cut])}\n\n{safe(text[cut:])}"

    assert dangers(together) == {}
    assert dangers(f"<details><summary>x</summary>\n\n{together}\n\n</details>\n\n{safe(other)}") == {}


@pytest.mark.parametrize(
    ("around", "texts"),
    [
        ("{}", None),
        ("- {}", None),
        ("> {}", None),
        ("1. a\n\n   {}", None),
        ("Term\n: {}", None),
        (":field: {}", None),
        ("text {}", [*ROLES, "{{ env }}"]),
        ("| a |\n| --- |\n| {} |", [*ROLES, "{{ env }}"]),
        ("<details><summary>x</summary>\n\n{}\n\n</details>", [*ROLES, "{{ env }}"]),
    ],
)
def test_nothing_acts_where_markdown_is_read_as_myst(around, texts):
    """No directive, role, substitution, comment or label: nothing is loaded, run or left out."""
    for text in texts or [*DIRECTIVES, *ROLES]:
        inner = text.replace("\n", f"\n{around.partition('{}')[0].rpartition(chr(10))[2].replace('-', ' ')}")
        written = safe(around.replace("{}", inner)) if "<" not in around else around.replace("{}", safe(text))

        assert dangers(text).get("myst"), text
        assert dangers(written) == {}, written
        assert re.findall(r"\w+", text)[0] in read(written, "myst").text


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "text",
    [
        "<b>bold</b> and <script>alert(1)</script>",
        "a <!-- comment --> b",
        "if a < b and c<d: x<y",
        "&lt;b&gt; stays",
        "AT&T and R&D &unknown; &#115;",
        "a[0]: b and [x]: y",
        "`` a`b `` and `c",
        "![not an image] and wow!",
    ],
)
def test_what_acts_elsewhere_reads_as_text_here(text, parser):
    """Raw HTML, comparisons and stray marks show as they were written; only known entities are read."""
    shown = html.unescape(text) if "&lt;" in text else text.replace("`` a`b ``", "a`b")

    assert read(safe(text), parser).text.strip() == shown


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "code",
    ["List<int>", "a && b", "x <y> z", "a|b <c>", "$x <b>$", "[a](b)", "\\begin{x}", "$$", "a`b<c", "&lt;", "![i](u)"],
)
@pytest.mark.parametrize("around", ["{}", "so {} there", "- item {}", "price $5 {} $6", "**{}**", "~~no~~ {}"])
def test_code_in_a_line_reads_as_it_was_written(code, around, parser):
    """Generics, links and formulas in backticks keep each character, whatever stands around them."""
    fence = "``" if "`" in code else "`"

    assert code in read(safe(around.format(f"{fence}{code}{fence}")), parser).codes


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("before", ["", "text\n", "1. item\n", "> quote\n", "- a\n  - b\n\n", "$$\n", "`\n"])
def test_a_fence_keeps_its_code(before, parser):
    """A fence shows its code to the letter, whatever stands before it."""
    code = 'if a < b:\n    print("<b>", `x`, $y$, "$$")\n\n```\nend ]: \\end{x} &lt;'

    [shown] = read(safe(f"{before}````python\n{code}\n````\ntext"), parser).codes

    assert shown.strip("\n") == code


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("head", ["   ", "1. ", "- ", "  - ", "> ", "      "])
@pytest.mark.parametrize(
    "code", ["x = 1\n\n  y = 2", "#include <stdio.h>\nint x[3]; // $$ `a`", "a: dict[str, int]: b"]
)
def test_a_fence_in_a_list_or_quote_keeps_its_code(head, code, parser):
    """A nested fence shows its code to the letter, and what comes after it is no code."""
    inner = "> " if ">" in head else " " * len(head)
    item = "1. item\n" if not head.strip() else ""
    lines = [f"{head}```c", *(inner + line for line in code.split("\n")), f"{inner}```", "", "after"]

    seen = read(safe(item + "\n".join(lines)), parser)

    assert [shown.rstrip("\n") for shown in seen.codes] == [code]
    assert seen.text.rstrip().endswith("after")


def test_a_harmless_fence_in_a_list_stays_a_fence():
    """Code that is inert as text too stays a fence, so that it is highlighted."""
    assert "   ```python\n   def f(x: int) -> list[int]:\n   ```" in safe(
        "1. a\n   ```python\n   def f(x: int) -> list[int]:\n   ```"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"\(a<b\)", "$a< b$"),
        (r"so \( x \) is", "so $x$ is"),
        ("\\[\na = b\n\\]", "$$a = b$$"),
        ("\\[\n\na\n\nb\n\n\\] then", "$$a b$$\nthen"),
        (r"\\(x\\) \\[y\\]", "$x$ $$y$$"),
        (r"\[ a \] - b", "$$a$$\n&#45; b"),
        ("$$\nE = mc^2 % energy\n$$", "$$E = mc^2$$"),
        (r"\begin{align} a &= b \\ c &= d \end{align}", r"$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$"),
        (r"\begin{equation}x\end{equation}", "$$x$$"),
        ("$x<y$ and $a &lt; b$", "$x< y$ and $a < b$"),
        (r"$\href{javascript:x}{y}$ \href{z}", r"$href{javascript:x}{y}$ href{z}"),
        ("It costs $5.", "It costs $5."),
        (r"It costs $5 and \$6.", "It costs <span>&#36;</span>5 and <span>&#36;</span>6."),
        ("$ x^2 $ in $HOME", "$x^2$ in $HOME"),
        ("`\\(x\\)` ``", "`\\(x\\)` &#96;&#96;"),
        (r"\[link\](http://x.de)", "&#91;link&#93;(http://x.de)"),
        (r"\[1\] alone \(", "$$1$$\nalone &#40;"),
        (r"$\begin{x}$ \begin{y} \end{z}", r"$&#92;begin{x}$ &#92;begin{y} &#92;end{z}"),
    ],
)
def test_formulas_get_the_dollars_that_notebooks_know(text, written):
    r"""`\(…\)`, `\[…\]` and bare environments become formulas outside code; what is none stays text."""
    assert safe(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("![alt](https://e.de/x.png)", "[alt](https://e.de/x.png)"),
        ("![](https://e.de/x.png)", "[image](https://e.de/x.png)"),
        ("![a](data:image/png;base64,AA)", "&#33;&#91;a&#93;(data:image/png;base64,AA)"),
        ("[a](vbscript:x)", "&#91;a&#93;(vbscript:x)"),
        ("[a](/files/b.txt) [c](#d)", "[a](/files/b.txt) [c](#d)"),
        ('[a](https://e.de/b_(c) "title")', "[a](https://e.de/b_%28c%29)"),
        ("[a](<https://e.de/b c>)", "[a](https://e.de/bc)"),
        ("<https://e.de/x>", "[https&#58;//e.de/x](https://e.de/x)"),
        ("参见 https://e.de/a。然后", "参见 [https&#58;//e.de/a](https://e.de/a)。然后"),
        ("see https://e.de/a?b=c.", "see https://e.de/a?b=c."),
        ("http://e.de/$x$", "http&#58;//e.de/$x$"),
        ("| a<br>b |\n|---|", "| a<br>b |\n|---|"),
    ],
)
def test_links_are_written_anew(text, written):
    """Targets are plain or dead, images are links, a URL ends where Chinese begins."""
    assert safe(text) == written


@pytest.mark.parametrize(
    "url",
    [
        "javascript:x", "JAVASCRIPT:x", " java\nscript:x", "java&#115;cript:x", "javascript\\:x", "javascript&colon;x",
        "&#x6a;avascript:x", "\x01javascript:x", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:x", ":x",
        "java%0ascript:x", "view-source:javascript:x", "",
    ],
)  # fmt: skip
def test_other_schemes_are_dead(url):
    """Only http, https, mail and places on the same server are linked to, however the scheme is hidden."""
    assert target(url) == ""


@settings(deadline=None)
@given(st.text())
def test_literal_text_shows_itself(text):
    """Any text written by `literal` shows as just that text, control characters marked."""
    line = " ".join(visible(text).split())

    for parser in PARSERS:
        assert " ".join(read(f"x {literal(line)} y", parser).text.split()) == " ".join(f"x {line} y".split())


@settings(deadline=None)
@given(st.text(alphabet="`~ab\n "))
def test_a_fence_can_hold_any_code(code):
    """`fenced` chooses a run of backticks that its code does not hold."""
    [shown] = read(fenced("python", f"{code}."), "commonmark").codes

    assert shown == f"{code}.\n"


@pytest.mark.parametrize(
    "piece",
    ["\\[", "\\(", "$", "$$", "`", "``` ", "<", "[", "](", "![", "]:", "http://", "www.", "\\begin{a}", "<br>", "&#",
     "\\[ a \\\\[2pt] ", "$a\\", "[a](", "$$a$$ ", "> ", "- ", "\\\\", "~", "*", "![a](b",
     "{", "{{ ", ":::", ": ", ":a: ", "}`", "(a"],
)  # fmt: skip
def test_no_text_is_slow(piece):
    """What begins without end does not make the work grow faster than the text (a quadratic walk would not end)."""
    assert len(safe(piece * 40_000)) > 0
    assert len(safe(f"{piece}\n" * 20_000)) > 0


@pytest.mark.parametrize(
    ("text", "written"),
    [
        # JupyterLab takes formulas out before it looks for code, and puts them back into the finished HTML.
        ("$a `x$y` `<b>`", "$a `x$y` <code>&#60;b&#62;</code>"),
        ("`\\begin{a}` \\end{a}", "<code>&#92;begin{a}</code> &#92;end{a}"),
        ("`$$`", "<code>&#36;&#36;</code>"),
        ('[a](http://x.de)$"onclick=x$', '[a](http://x.de )$"onclick=x$'),
        ('<http://x.de>$"onclick=x$', '[http&#58;//x.de](http://x.de )$"onclick=x$'),
        ('www.x.de/[$"onclick=x$', 'www&#46;x.de/&#91;$"onclick=x$'),
        ('https://x.de[a](http://y.de "t")', "https://x.de[a](http://y.de )"),
        ("[a](http://x.de/$b$)", "[a](http://x.de/%24b%24)"),
        # It writes a fence's language into an attribute as it is; so does nbconvert with a diagram's source.
        ('```x"onclick="y\n1\n```', "```x\n1\n```"),
        ("```$x$\n1\n```", "```\n1\n```"),
        ("```mermaidx\na<b>\n```", "```text\na<b>\n```"),
        ('```mermaid\nclick A "https://x.de"\n```', '```text\nclick A "https://x.de"\n```'),
        ("```mermaid\nA --> B\n```", "```mermaid\nA --> B\n```"),
        # Its marked and nbconvert's mistune look for a link's definition across blank lines and fences.
        ("[r\n\n```\n]: x\n```", "&#91;r\n\n```\n]: x\n```"),
        ("[a $b] $c", "&#91;a $b] $c"),
        ("`d[k]: v`", "<code>d&#91;k&#93;&#58; v</code>"),
        # It reads tildes and backticks as one run of text; so may others with three tildes and a fence.
        ("~`a<b>`", "&#126;`a<b>`"),
        ("a ~~~ b", "a &#126;&#126;&#126; b"),
        # mistune's plugins do not spare code.
        ("~~a `~~<b>`", "~~a <code>&#126;&#126;&#60;b&#62;</code>"),
        ("| `a|<b>` |", "| <code>a&#124;&#60;b&#62;</code> |"),
        # VS Code reads a formula that begins a line to a line's end, over fences.
        ("$$a$$ b", "$$a$$\nb"),
        ("- $$a$$  \n- b", "- $$a$$\n- b"),
        ("$$a$$$$b$$", "&#36;&#36;a&#36;&#36;&#36;&#36;b&#36;&#36;"),
        # Where Markdown is read as MyST, colons open directives, and braces roles, substitutions and attributes.
        (":::{figure} u\n:::", "&#58;&#58;&#58;{figure} u\n&#58;&#58;&#58;"),
        ("- ::::{x}", "- &#58;&#58;&#58;&#58;{x}"),
        ("std::vector a::b", "std::vector a::b"),
        ("see {download}`a` {x} `b`", "see {download&#125;`a` {x} `b`"),
        ("{{ a }} {b}", "&#123;{ a }} {b}"),
        ("`a`{.b} [a](https://e.de){.b}", "`a`&#123;.b} [a](https://e.de)&#123;.b}"),
        ("{.a #b}\nwords", "&#123;.a #b}\nwords"),
        ("5 % of\n% all", "5 % of\n&#37; all"),
        ("(a)=\n+++", "&#40;a)=\n&#43;++"),
        ("$\\frac{{a}}{b}$", "$\\frac{ {a}}{b}$"),
        # Front ends disagree on what ends a line.
        ("a\u2028# b\x85c\rd", "a\n# b\nc\nd"),
        (
            "a\x0b```\x0c\x1e",
            "a\N{REPLACEMENT CHARACTER}&#96;&#96;&#96;\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}",
        ),
        # Nested code that could act as text is HTML; a fence that the list's parser would leave early, too.
        ("- ```\n  $$\n  ```", "- <pre><code>&#36;&#36;</code></pre>"),
        ("- ```\n  <b>\n  ```", "- <pre><code>&#60;b&#62;</code></pre>"),
        ("- ```\n  ~~~\n  ```", "- <pre><code>&#126;&#126;&#126;</code></pre>"),
        ("- ```\n  [a\n  ]: b\n  ```", "- <pre><code>&#91;a&#10;&#93;&#58; b</code></pre>"),
        ("- ```\nx\n  ```", "- <pre><code>x</code></pre>"),
        ("- ```\n  x\n     ```\ny", "- ```\n  x\n  ```\n\ny"),
    ],
)
def test_what_other_front_ends_read_differently_is_written_for_all(text, written):
    """Each front end's own ideas of formulas, code and links find nothing that means more to them than to others."""
    assert safe(text) == written
