"""HTML for the panel and for exports: safe, the same however it came, and no more bytes than the text deserves."""

from __future__ import annotations

import html
import re
import subprocess
import sys

import pytest
from hostile import MEANT, MEANT_MATH, TEXTS, cuts, pieces
from html_judge import Page
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_judge import HOSTILE

from chatglm_magic._markdown.stable import close_open, settled
from chatglm_magic.renderers.html import Growing, Step, render

PARTS = [
    "A paragraph with `code` and **bold**.",
    "One line\nand another.",
    "# Heading\n",
    "- item\n- item\n- item",
    "- loose\n\n- list",
    "1. first\n\n   more of it\n\n2. second",
    "1. do\n   ```sh\n   ls\n     -l\n   ```\n2. then",
    "1. sloppy\n   ```py\nx = 1\n   ```\n2. next",
    "> quote\n> more",
    "> ```py\n> x\n> ```",
    "| a | b |\n|---|---|\n| c | d |\n| e | f |",
    "```python\nx = 1\n\ny = 2\n```",
    "```\nplain\n``` x\n```",
    "~~~ js\nlet a\n```\n~~~",
    "text\n    ```\n    deep\n    ```",
    "$$\na\n\nb\n$$",
    "\\[\nx\n\\] behind",
    "Inline $a<b$ and \\(c\\).",
    "中文段落，https://a.test/中文。",
    "<script>x</script> & `<b>`",
    "[r]\n\n[r]: http://a.test",
    "```open\nand no end\n",
    "\r\n",
    "x",
]
documents = st.lists(
    st.tuples(st.sampled_from(PARTS), st.sampled_from(["\n", "\n\n", "\n\n\n", " ", ""])).map("".join), max_size=10
).map("".join)
hostile = st.lists(st.sampled_from(HOSTILE), max_size=25).map("".join)
NUMBERED = "".join(f"{number}. The point number {number} says something about it.\n" for number in range(1, 200))
TABLE = "| a | b | c |\n|:--|--:|---|\n" + "".join(f"| {n} | {n * n} | word |\n" for n in range(200))
LONG = {
    "paragraphs": "Some words of a paragraph that is not long at all, with `code`.\n\n" * 150,
    "a list": NUMBERED,
    "a table": TABLE,
    "code": "```python\n" + "def f(x):\n    return {'a': x + 1}  # why\n\n" * 200 + "```\n",
    "code without an end": "```python\n" + "x = 'abc' + str(1)\n" * 400,
    "code in a list": "1. do\n\n   ```sh\n" + "   ls -l | grep x\n" * 300 + "   ```\n2. done\n",
    "short code in a long item": "1. " + "word " * 300 + "\n   ```sh\n   ls\n   ```\n   and more\n",
    "a list behind code": "```sh\nls\n```\n\n" + NUMBERED,
    "a line without an end": "word " * 2000,
    "a quote": "> some words of a quote\n" * 300,
    "chinese": "这是一个很长的段落，没有换行，也没有结束。" * 300,
}


class Reader:
    """Does with steps what a page does."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.tail = ""
        self.bytes = 0

    def take(self, step: Step) -> None:
        assert 0 <= step.keep <= len(self.blocks)
        self.blocks[step.keep :] = step.blocks
        if step.code:
            before, mark, behind = self.blocks[-1].rpartition("</code>")
            assert mark
            self.blocks[-1] = f"{before}{html.escape(step.code, quote=False)}{mark}{behind}"
        self.bytes += len("".join((*step.blocks, step.code)).encode())
        if step.tail != self.tail:
            self.bytes += len(step.tail.encode())
        self.tail = step.tail


def stream(parts: list[str], every: int = 1) -> tuple[Reader, Growing]:
    """Write a text in pieces, with a step after each few, and compare what a page has with what is said to be there."""
    growing, page = Growing(), Reader()
    for number, part in enumerate(parts):
        growing.write(part)
        if number % every == 0:
            page.take(growing.take())
            assert (tuple(page.blocks), page.tail) == (growing.blocks, growing.tail)
    page.take(growing.close())
    return page, growing


def whole(text: str) -> tuple[str, ...]:
    """Give the blocks of a text that came at once."""
    growing = Growing()
    growing.write(text)
    return growing.close().blocks


@st.composite
def divided(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> list[str]:
    """Cut a text anywhere."""
    text = draw(texts)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def test_markdown_becomes_html():
    """Each kind of block has its element; headings are demoted, tables and code stand in boxes of ours."""
    text = "# One\n\n###### Six\n\nA **b** *c* ~~d~~ `e`\n\n- [x] f\n- [ ] g\n\n3. h\n\n> i\n\n---\n\n"
    text += "|a|b|\n|-|:-:|\n|c<br>d|e|\n"

    assert render(text) == (
        "<h3>One</h3>\n<h6>Six</h6>\n<p>A <strong>b</strong> <em>c</em> <s>d</s> <code>e</code></p>\n"
        '<ul>\n<li class="cg-task">☑ f</li>\n<li class="cg-task">☐ g</li>\n</ul>\n'
        '<ol start="3">\n<li>h</li>\n</ol>\n<blockquote>\n<p>i</p>\n</blockquote>\n<hr>\n'
        '<div class="cg-table"><table><thead>\n<tr>\n<th>a</th>\n<th class="cg-center">b</th>\n</tr>\n</thead>\n'
        "<tbody>\n"
        '<tr>\n<td>c<br>\nd</td>\n<td class="cg-center">e</td>\n</tr>\n</tbody>\n</table></div>'
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**甲**，**乙：**丙**“丁”**", "<strong>甲</strong>，<strong>乙：</strong>丙<strong>“丁”</strong>"),
        ("[**乙：**丙](https://e.de)", "<strong>乙：</strong>丙</a>"),
        ("**[丙](https://e.de)：**丁", "</a>：</strong>丁"),
        ("`**乙：**丙` a**(b)**c", "<code>**乙：**丙</code> a**(b)**c"),
    ],
)
def test_bold_words_are_bold_beside_chinese_ones(text, html):
    """As in a cell, see `sanitize.safe`."""
    assert html in render(text)


def test_code_has_colours_and_says_its_language():
    """A fence becomes a block with its language and Pygments' classes; its text is the code and nothing else."""
    code = "def f(a):\n    return a < 1  # <b>\n"
    written = render(f"1. do\n   ```python title=x\n   {code.replace(chr(10), chr(10) + '   ')}\n   ```")

    assert '<div class="cg-code" data-language="python"><pre><code>' in written
    assert '<span class="cg-k">def</span> <span class="cg-nf">f</span>(a):' in written
    assert Page(written).codes == [code]
    assert render("```nolang\na<b\n```") == (
        '<div class="cg-code" data-language="nolang"><pre><code>a&lt;b</code></pre></div>'
    )
    assert 'data-language=""' in render('```"x" onclick=1\na\n```')


@pytest.mark.parametrize(
    "language", ["python", "js", "html", "sh", "console", "json", "diff", "text", "", "rst", "php"]
)
@given(code=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.just("\n")))
@example(code="()")  # at its end the lexer of consoles puts an empty piece
@settings(max_examples=30, deadline=None)
def test_colours_change_no_code(language, code):
    """Whatever the language, what a reader copies is what the model wrote."""
    if "```" in code:
        return
    assert Page(render(f"```{language}\n{code}\n```")).codes == [code]


def test_code_that_no_lexer_copes_with_is_shown_plainly():
    """Colours are given up where they would hold the kernel for minutes; no language can be asked to do that."""
    for code in ("a\n" * 20_000 + "a", "a " * 20_000, "'a'\n" * 40_000 + "a"):
        plain = f'<div class="cg-code" data-language="java"><pre><code>{code}</code></pre></div>'
        is_plain = render(f"```java\n{code}\n```") == plain
        assert is_plain


@pytest.mark.parametrize(
    ("text", "source", "display"),
    [
        ("$a<b$", "a<b", "inline"),
        ("\\(a_1\\)", "a_1", "inline"),
        ("\\\\(a_1\\\\)", "a_1", "inline"),
        ("see $$x^2$$ here", "x^2", "block"),
        ("\\[ x \\]", "x", "block"),
        ("\\[\n\\begin{aligned} a &= b \\\\\n- c &= d \\end{aligned}\n\\]", None, "block"),
        ("\\begin{equation} E = mc^2 \\end{equation}", None, "block"),
        ("- a\n\n  $$\n  x\n  $$", "x", "block"),
        ("$$\na\n\n= b\n$$ behind", "a\n\n= b", "block"),
    ],
)
def test_formulas_become_mathml(text, source, display):
    """Each form that models write a formula in becomes MathML, with its LaTeX to copy."""
    written = render(text)
    page = Page(written)

    assert f'<math display="{display}"' in written
    assert len(page.formulas) == 1
    assert source in (None, page.formulas[0])
    assert page.dangers == []


@pytest.mark.parametrize(
    "source",
    ["\\frac{", "x^", "\\unheardof{x}", "{" * 100 + "}" * 100, "x" * 5000, "\\left(", "a & b", "\\begin{aligned}"],
)
def test_a_formula_that_cannot_be_read_shows_its_source(source):
    """What is no LaTeX, too long or too deep is shown as it was written."""
    written = render(f"$${source}$$")

    assert "<math" not in written
    assert html.unescape(re.sub(r"<[^>]*>", "", written)).replace("$$", "") == source


def test_a_formula_stays_small():
    """No length, size or attribute of a formula lets it cover the page or lead out of it."""
    for source in (
        "\\hspace{9999em}x",
        "\\rule{999em}{9999em}",
        "\\href{https://evil.test}{x}",
        "\\style{position:fixed}{x}",
        "\\class{a}{x}",
    ):
        written = render(f"${source}$").replace(f'alttext="{source}"', "")
        assert not re.search("999|evil|fixed|class=.a", written)


def test_money_is_no_formula():
    """Two prices in a line are text."""
    assert render("It costs $5 or $6.") == "<p>It costs $5 or $6.</p>"


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("[a](https://b.test/?x=1&y=2)", ["https://b.test/?x=1&y=2"]),
        ("<https://b.test/> and https://c.test/x.", ["https://b.test/", "https://c.test/x"]),
        ("见https://c.test/x，好", ["https://c.test/x"]),
        ("[a](mailto:a@b.test)", ["mailto:a@b.test"]),
        ("![a](http://b.test/x.png)", ["http://b.test/x.png"]),
        ("[a]\n\n[a]: http://b.test", ["http://b.test"]),
        ("[a](/b) [a](#b) [a](b) [a](//b.test) [a](http:b) [a]()", []),
        ("[a](javascript:x) [a](data:text/html,x) [a](file:///x) [a](ftp://b.test)", []),
        ("`https://b.test`", []),
    ],
)
def test_links_lead_to_the_web_or_to_mail_only(text, links):
    """A link is http, https or mail, with its host named; an image is a link; anything else is text."""
    written = render(text)

    assert Page(written).links == links
    assert written.count('target="_blank" rel="noopener noreferrer nofollow"') == len(links)
    assert "<img" not in written


def test_people_break_lines_where_models_do_not():
    """A user's line ends are kept where that is asked for."""
    assert render("a\nb") == "<p>a\nb</p>"
    assert render("a\nb", breaks=True) == "<p>a<br>\nb</p>"


@pytest.mark.parametrize("text", TEXTS)
def test_the_hostile_corpus_makes_nothing_but_what_is_allowed(text):
    """Whole, cut anywhere, and while it streams, no hostile text gives an element or attribute that is not ours."""
    page, _ = stream(list(pieces(text)))

    for written in (render(text), *map(render, cuts(text)), *page.blocks):
        assert Page(written).dangers == []


@given(hostile | st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_makes_nothing_but_what_is_allowed(text):
    """Whatever a model writes, the result is well-formed and of known elements and attributes."""
    assert Page(render(text)).dangers == []


@given(divided(hostile | documents))
@settings(deadline=None)
def test_each_step_is_safe_by_itself(parts):
    """What a page is given while a text grows is as safe as the whole."""
    growing = Growing()
    for part in parts:
        growing.write(part)
        step = growing.take()
        for written in (*step.blocks, step.tail):
            assert Page(written).dangers == []


@pytest.mark.parametrize(("text", "seen"), MEANT)
def test_what_the_model_meant_is_still_read(text, seen):
    """Code with angle brackets, HTML examples and comparison signs read as they were written."""
    page = Page(render(text))

    for words in seen:
        assert words in page.text


@pytest.mark.parametrize("text", MEANT_MATH)
def test_formulas_with_signs_of_markup_are_typeset(text):
    """`<` and `&` within a formula are the formula's."""
    assert "<math" in render(text)
    assert "cg-math" not in render(text)


@given(divided(documents | hostile))
@settings(max_examples=300, deadline=None)
def test_steps_end_with_the_same_blocks_however_the_text_was_cut(parts):
    """A page that follows the steps has what is said to be there, and in the end the blocks of the whole."""
    page, growing = stream(parts)

    assert tuple(page.blocks) == growing.blocks == whole("".join(parts))
    assert page.tail == growing.tail == ""


@given(divided(st.sampled_from([text[:3000] for text in LONG.values()])))
@settings(deadline=None)
def test_long_texts_end_with_the_same_blocks(parts):
    """What stands in provisional blocks on the way leaves no trace."""
    page, growing = stream(parts)

    assert tuple(page.blocks) == growing.blocks == whole("".join(parts))


@given(documents, documents, documents)
@settings(deadline=None)
def test_a_correction_takes_the_place_of_what_was_said(said, corrected, more):
    """After the wire corrected itself the page has what it would have had without the mistake."""
    growing, page = Growing(), Reader()
    growing.write(said)
    page.take(growing.take())
    growing.replace(corrected)
    page.take(growing.take())
    assert (tuple(page.blocks), page.tail) == (growing.blocks, growing.tail)
    growing.write(more)
    page.take(growing.close())

    assert tuple(page.blocks) == whole(corrected + more)


def test_a_correction_unsays_code_too():
    """Code that was appended to an open fence goes where the correction does not have it."""
    growing, page = Growing(), Reader()
    for text in ("```\n", "wrong\n"):
        growing.write(text)
        page.take(growing.take())
    assert "wrong" in page.blocks[0]
    growing.replace("```\n")
    page.take(growing.take())

    assert Page("".join(page.blocks)).codes == [""]


@pytest.mark.parametrize("name", sorted(LONG.keys() - {"a table"}))  # its head is repeated on the way
def test_what_has_come_is_shown_and_nothing_twice(name):
    """At each step a page shows the text so far, but for a few of the newest words."""
    growing, page = Growing(), Reader()
    text = LONG[name][:4000] + "\n\nThen more.\n\n" + LONG[name][:500]
    for at in range(0, len(text), 20):
        growing.write(text[at : at + 20])
        page.take(growing.take())
        if at % 140 == 0:
            came = "".join(Page(render(close_open(text[: at + 20], growing=True))).text.split())
            seen = "".join(Page("".join((*page.blocks, page.tail))).text.split())
            assert came.startswith(seen)
            assert len(seen) >= len(came) - 40 - len(came) / 32


@given(
    divided(
        st.sampled_from(
            ["```\nab\n  ``\n``` x\n\tc\n", "1. a\n   ```\n   b\n     c\n  ```` \n", "~~~\n~~\n\n``\n~ ~\n"]
        )
    )
)
@settings(deadline=None)
def test_code_that_was_shown_stays(parts):
    """What is shown of an open fence is code for good: never its depth, never the beginning of its end."""
    growing, page = Growing(), Reader()
    whole_code = Page(render("".join(parts))).codes[0]
    for part in parts:
        growing.write(part)
        page.take(growing.take())
        if page.blocks:
            assert whole_code.startswith(Page(page.blocks[-1]).codes[0])


def test_a_line_end_that_comes_in_halves_is_one():
    """A carriage return waits for what follows it."""
    growing = Growing()
    for text in ("a\r", "\nb\r", "\n\r", "\nc\r"):
        growing.write(text)
        growing.take()
    growing.close()

    assert growing.blocks == ("<p>a\nb</p>", "<p>c</p>")


def test_a_correction_that_only_adds_keeps_all():
    """Snapshots of a growing text cost no more than its pieces."""
    growing, page = Growing(), Reader()
    text = LONG["code"]
    for end in range(40, len(text), 40):
        growing.replace(text[:end])
        page.take(growing.take())
    pieced = stream([text[at : at + 40] for at in range(0, len(text), 40)])[0]

    assert page.bytes <= pieced.bytes


@pytest.mark.parametrize("name", LONG)
def test_bytes_are_linear(name):
    """A text of twice the length costs twice the bytes, each byte of it a bounded number, however it is built."""
    text = LONG[name] * 2
    sizes = []
    for length in (len(text) // 4, len(text) // 2, len(text)):
        part = text[:length]
        page, growing = stream([part[at : at + 20] for at in range(0, length, 20)])
        assert growing.blocks == whole(part)
        sizes.append(page.bytes / len(part.encode()))

    assert max(sizes) <= 120
    assert sizes[-1] <= 1.5 * sizes[0] + 5


def test_code_comes_as_it_is_written(monkeypatch):
    """An open fence is neither sent nor read again with each line: most steps bring the code alone."""
    looks = []
    look = Growing._look
    monkeypatch.setattr(Growing, "_look", lambda growing: (looks.append(1), look(growing)))
    growing, page = Growing(), Reader()
    steps = []
    for piece in pieces(LONG["code"], 30):
        growing.write(piece)
        steps.append(growing.take())
        page.take(steps[-1])

    assert sum(bool(step.blocks) for step in steps) <= 12
    assert len(looks) <= 12
    assert not any(step.tail for step in steps[2:])
    assert Page("".join(page.blocks)).codes[0].strip() == LONG["code"][10:-4].strip()


def test_a_closed_text_takes_no_more():
    """Words behind the end are a mistake of the caller's; closing twice is none."""
    growing = Growing()
    growing.write("a")
    assert growing.close() == Step(0, ("<p>a</p>",), "")
    assert growing.close() == Step(1, (), "")
    with pytest.raises(ValueError, match="closed"):
        growing.write("b")


@given(documents)
@settings(deadline=None)
def test_what_is_settled_is_what_cells_settle(text):
    """The panel and a cell agree on how far a text is final."""
    growing = Growing()
    growing.write(text)
    growing.take()
    came = text.replace("\r\n", "\n").removesuffix("\r")

    assert "".join(growing._rest) == came[settled(came) :]


def test_who_shows_no_html_does_not_pay_for_it():
    """Neither the package nor a cell's renderer imports parser, formulas, colours or sanitiser."""
    code = (
        "import sys; import chatglm_magic, chatglm_magic.renderers.html, chatglm_magic.renderers.cell;"
        "print({'markdown_it', 'nh3', 'latex2mathml', 'pygments.lexers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
