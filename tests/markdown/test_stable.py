"""Where the code of a growing Markdown text is, and what of it is settled."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_judge import PARSERS

from chatglm_magic._markdown.fences import CodeBlock, code_blocks
from chatglm_magic._markdown.sanitize import safe
from chatglm_magic._markdown.stable import close_open, cuts, settled, split_fence

BLOCKS = [
    "A paragraph with `code`.\n\n",
    "One line\nand another.\n\n",
    "# Heading\n\n",
    "# Heading\nand text\n\n",
    "- item\n- item\n\n",
    "- loose\n\n- list\n\n",
    "1. first\n\n   more of it\n\n2. second\n\n",
    "  indented text\n\n",
    "    code by indent\n\n",
    "> quote\n\n",
    "| a | b |\n|---|---|\n| c | d |\n\n",
    "```python\nx = 1\n\ny = 2\n```\n\n",
    "~~~\n```\n\n# no heading\n~~~\n\n",
    "````\n```\n````\n",
    "---\n\n",
    "Title\n===\n\n",
    "**bold** start\n\n",
    "*emphasis*\n\n",
    "2024 was a year.\n\n",
    "3. late\n\n",
    "中文段落。\n\n",
    "$$\na\n\nb\n$$\n\n",
    "\\[\nx\n\n\\]\n\n",
    "\n",
    "```\nopen\n\n",
    "text ",
]
documents = st.lists(st.sampled_from(BLOCKS), max_size=12).map("".join)
parser = MarkdownIt("gfm-like", {"html": True, "linkify": False})


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("no code, `no` block", []),
        ("```python\nx = 1\n```", [("python", "x = 1")]),
        ("```python title='x.py'\nx\n\n\ny\n```\n", [("python", "x\n\n\ny")]),
        ("~~~ js\nx\n```\n~~~", [("js", "x\n```")]),
        ("````md\n```\nx\n```\n````", [("md", "```\nx\n```")]),
        ("   ```\n   a\n     b\n   ```", [("", "a\n  b")]),
        ("```\nopen", [("", "open")]),
        ("```sh", [("sh", "")]),
        ("```\na\n``` x\n```", [("", "a\n``` x")]),
        ("```\na\n    ```\n```", [("", "a\n    ```")]),
        ("``` a`b\nx\n```", [("", "")]),
        ("1. do\n   ```sh\n   ls\n     -l\n   ```\n2. then\n   ```\n   x\n   ```", [("sh", "ls\n  -l"), ("", "x")]),
        ("- ```c\n  x;\n  ```\nafter", [("c", "x;")]),
        ("> ```py\n> x\n>  y\n> ```\n> after", [("py", "x\n y")]),
        ("> ```py\n> x\nafter", [("py", "x")]),
        ("1. sloppy\n   ```py\nx = 1\n   ```\n2. next", [("py", "x = 1")]),
        ("```a\r\nx\r\n```\r\n", [("a", "x")]),
        ("\t```\n\tx\n\t```", [("", "x")]),
    ],
)
def test_fences_are_found_where_models_write_them(text, blocks):
    """Fences in column 0, indented, in lists and quotes give their code without the depth; an open one counts."""
    assert code_blocks(text) == [CodeBlock(*block) for block in blocks]


@given(st.lists(st.sampled_from(["```", "~~~", "````", "``` x", "~~~ y", "  ```", "    ```", "a", "", "`b`"])))
def test_fences_out_of_lists_are_commonmarks(lines):
    """Where no list or quote is about and nothing is indented deep, fences are those of CommonMark."""
    text = "\n".join(line for line in lines if not line.startswith("    "))
    tokens = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    blocks = code_blocks(text)

    assert [block.language for block in blocks] == [token.info.strip() for token in tokens]
    assert [block.source.rstrip("\n") for block in blocks] == [token.content.rstrip("\n") for token in tokens]


@settings(deadline=None)
@given(documents, st.data())
@example("- a\n\nb", None)
def test_settled_never_shrinks(text, data):
    """As a text grows, by any cuts, what is settled only grows, and always lies within the text."""
    before = 0
    for end in range(len(text) + 1):
        now = settled(text[:end])
        assert before <= now <= end
        before = now
    if data is not None:
        start = settled(text[: data.draw(st.integers(0, len(text)))])
        assert start + settled(text[start:]) == settled(text)


@settings(deadline=None)
@given(documents)
def test_what_is_settled_is_final(text):
    """A text shows the same whole as cut where it is settled."""
    cut = settled(text)
    written, first, second = safe(text), safe(text[:cut]), safe(text[cut:])

    def shown(part: str) -> str:
        return re.sub(r"\s+", " ", parser.render(part)).strip()

    assert shown(written) == f"{shown(first)} {shown(second)}".strip()


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("one\n\ntwo", "one\n\n"),
        ("one\n\ntwo\n\nthree\nfour", "one\n\ntwo\n\n"),
        ("- a\n\n- b", ""),
        ("- a\n\n  b\n\nc", "- a\n\n  b\n\n"),
        ("1. a\n\n2. b\n\n2024年", "1. a\n\n2. b\n\n"),
        ("a\n\n2024", ""),
        ("a\n\n* b", ""),
        ("a\n\n*", ""),
        ("a\n\n*b", "a\n\n"),
        ("a\n\n**b", "a\n\n"),
        ("a\n\n***", ""),
        ("a\n\n| b", ""),
        ("a\n\n> b", ""),
        ("a\n\n    b", ""),
        ("a\n\n=b", ""),
        ("a\n\n<b", ""),
        ("a\n\n[b", ""),
        ("a\n\n# b", "a\n\n"),
        ("a\n\n```\nb\n\nc", "a\n\n"),
        ("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n"),
        ("```\na\n\nb\n```\nc", "```\na\n\nb\n```\n"),
        ("```\na\n```\n", "```\na\n```\n"),
        ("```\na\n```", ""),
        ("- ```\n  a\n  ```\nb", ""),
        ("$$\na\n\nb", ""),
        ("$$\na\n\nb\n$$\n\nc", "$$\na\n\nb\n$$\n\n"),
        ("\\[\na\n\nb", ""),
        ("x\n\n\\[\na\n\nb\n\\]\n\nc", "x\n\n\\[\na\n\nb\n\\]\n\n"),
        ("$$\n" + "a\n" * 60 + "\nb", "$$\n" + "a\n" * 60 + "\n"),
        ("$$ a $$\n\nb", "$$ a $$\n\n"),
        ("a\r\n\r\nb", "a\r\n\r\n"),
    ],
)
def test_a_cut_is_made_only_where_a_block_surely_begins(text, before):
    """A text is cut at a blank line before what can only be a new block, outside fences and formulas."""
    assert text[: settled(text)] == before


def test_items_of_a_list_may_be_cut_apart_on_demand():
    """With `items`, a long list is cut between its items, not within one."""
    text = "1. a\n\n   b\n\n2. c\n\n   d"

    assert settled(text) == 0
    assert text[settled(text, items=True) :] == "2. c\n\n   d"
    assert cuts("So:\n- a\n- b\n  c\n- d", items=True) == [4, 8, 16]
    assert cuts("7. a\n8. b", items=True) == [5]
    assert cuts("It was in\n2. that\n3. this", items=True) == []


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("plain", "plain"),
        ("```py\nx", "```py\nx\n```"),
        ("1. a\n   ~~~~\n   x", "1. a\n   ~~~~\n   x\n   ~~~~"),
        ("> ```\n> x", "> ```\n> x\n> ```"),
        ("```mermaid\ngraph", "```text\ngraph\n```"),
        ("a\n\n$$\nx + \\frac{", "a\n\n```latex\n$$\nx + \\frac{\n```"),
        ("\\[ x", "```latex\n\\[ x\n```"),
        ("$$ x $$ and", "$$ x $$ and"),
        ("```\nx\n```\n\n\\[", "```\nx\n```\n\n```latex\n\\[\n```"),
    ],
)
def test_what_is_open_is_closed_for_a_glance(text, closed):
    """A frame in mid-stream has its fence closed, and half a formula or diagram as source."""
    assert close_open(text) == closed


@pytest.mark.parametrize(
    ("text", "steady"),
    [
        ("a\n\n| x", "a\n"),
        ("a\n\n| x |", "a\n\n| x |\n| --- |"),
        ("a\n\n| x | y |", "a\n\n| x | y |\n| --- | --- |"),
        ("a\n\n| x | **y\\|z", "a\n\n| x | **y\\|z** |\n| --- | --- |"),
        ("a\n\n| x | y |\n| ---", "a\n\n| x | y |\n| --- | --- |"),
        ("| x | y |\n", "| x | y |\n| --- | --- |"),
        ("|x| is positive", ""),
        ("a\n| x | y |", "a"),
        ("a:\n| x | y |\n| --- | ", "a:"),
        ("| x | y |\n| --- | -", "| x | y |\n| --- | -"),
        ("| x |\n| - |\n| **1", "| x |\n| - |\n| **1**"),
        ("| x |\n| y |", "| x |\n| y |"),
        ("| x |\n\n", "| x |\n\n"),
        ("so **bold wo", "so **bold wo**"),
        ("so **bold*", "so **bold**"),
        ("so **", "so "),
        ("2 ** 3", "2 ** 3"),
        ("call `f(", "call `f(`"),
        ("call `", "call "),
        ("`a` **b** c", "`a` **b** c"),
        ("*`a`*", "*`a`*"),
        ("so **`a`", "so **`a`**"),
        ("see [this](https://x.de/a", "see this"),
        ("see [this](https://x.de/a)", "see [this](https://x.de/a)"),
        ("```\n| x |\n```\n| y |", "```\n| x |\n```\n| y |\n| --- |"),
        ("```\n| x **", "```\n| x **\n```"),
    ],
)
def test_half_marks_are_not_seen_while_a_text_grows(text, steady):
    """A table's head is one before its rule is there; marks that are open at the end are closed."""
    assert close_open(text, growing=True) == steady


cells = st.text(alphabet="ab\\|`*[]()<:/&$#;\u2028\r", max_size=8)


@pytest.mark.parametrize("before", ["", "Some text.\n\n", "1. Step:\n\n   ", "- Item:\n\n  "])
@given(cells=st.lists(cells, min_size=1, max_size=4).map(" | ".join))
@example(cells="x | `y|z` | ")
@example(cells="x | y\\|z")
@example(cells="x | [l](http://x.de/a|b")
@example(cells="x | <http://x.de/a|b> |")
@example(cells="x | y\\\\|z")
@example(cells="`|]:")
@example(cells="x | `y|](")
def test_a_table_s_growing_head_is_a_table(before, cells):
    """The rule that it is given has as many cells as parsers see in the head, else its marks were seen."""
    shown = close_open(f"{before}| {cells}", growing=True)
    if not shown.endswith("--- |"):
        return

    html = PARSERS["markdown-it"](safe(shown))

    assert "<table>" in html
    assert "---" not in html


def test_a_head_of_nothing_but_marks_ends_soon():
    """What it costs to finish marks grows as their number, not as its square."""
    shown = close_open("| a | " + "`" * 100_000, growing=True)

    assert shown.startswith("| a |")


@given(
    st.lists(st.sampled_from(["a", " b", "", "``", "```", "~~~~~~", "    c", "````x"]), min_size=1),
    st.text(alphabet="xy\n"),
)
def test_a_split_fence_keeps_its_code(lines, before):
    """Code cut into two fences is, put together, the code there was; what is still written is in the second."""
    text = f"{before}\n`````py\n" + "\n".join(lines)
    parts = split_fence(text)
    if parts is None:
        assert len(lines) == 1
        return
    first, second = parts

    sources = [block.source for block in code_blocks(first) + code_blocks(second)]

    assert "\n".join(sources) == "\n".join(lines)
    assert "\n" not in sources[-1]


@pytest.mark.parametrize(
    "text", ["no fence", "```\nx\n```\ny", "- ```\n  x\n  y", "```mermaid\na\nb", "```\n", "```\nx"]
)
def test_only_a_long_open_fence_in_column_0_is_split(text):
    """Closed, nested and drawn fences are left whole, and so is one without a whole line."""
    assert split_fence(text) is None
