"""A reply in a terminal: what grows is repainted, what is final stays, and nothing is lost or painted over."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from front_end import FrontEnd, Play
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from terminal import Terminal

from chatglm_magic._events import Finished, Part, Replace, TextDelta, ThinkingDelta
from chatglm_magic._reply import Reply
from chatglm_magic.renderers.plain import PlainRenderer, WholeRenderer
from chatglm_magic.renderers.terminal import TerminalRenderer, stdout_renderer

SIZE = os.terminal_size((40, 12))
TEXT = """# Title

Some **bold** and `code`, long enough to be wrapped once or twice.

- one
- two

```python
x = [1, 2]
```

The end."""
SHOWN = [
    "Title",
    "",
    "Some bold and code, long enough to be",
    "wrapped once or twice.",
    "",
    " • one",
    " • two",
    "",
    "python",
    "x = [1, 2]",
    "",
    "The end.",
    "",
]
STYLE = re.compile(r"\x1b\[[\d;]*m")


def play(terminal: Terminal, **how) -> Play:
    """Open a reply whose events are painted one by one: each comes a period after the one before."""
    front = FrontEnd()

    def size() -> os.terminal_size:
        return os.terminal_size((terminal.columns, terminal.lines))

    return Slow(front, TerminalRenderer(terminal.write, size, clock=front.clock, **how))


class Slow(Play):
    """Plays each event a period after the one before, so that each is painted."""

    def say(self, *events) -> None:
        for event in events:
            self.front.now += 0.1
            super().say(event)


def letters(text: str) -> str:
    return re.sub(r"\W|_|\d", "", STYLE.sub("", text))  # lists are numbered anew


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_reply_ends_rendered(step):
    """Marks are gone at the end, bold is bold, and what stood above stands there still."""
    terminal = Terminal(lines=30)
    terminal.write("In [1]: %chatglm hi\n")
    played = play(terminal)
    for at in range(0, len(TEXT), step):
        played.say(TextDelta(TEXT[at : at + step]))
    played.say(Finished("stop"))
    played.end()

    assert terminal.rows == ["In [1]: %chatglm hi", *SHOWN]


def test_what_grows_is_repainted():
    """Words are shown as Markdown at once, with marks that are half there; each paint is over the one before."""
    terminal = Terminal()
    played = play(terminal)
    played.say(TextDelta("# Title\n"))

    assert terminal.rows == ["Title", ""]

    played.say(TextDelta("\nNext *word* and **bo"))

    assert terminal.rows == ["Title", "", "Next word and bo", ""]


def test_many_words_take_few_paints():
    """Words that come faster than 20 times a second are painted together; what is the same is not written again."""
    terminal = Terminal()
    written: list[str] = []
    write = terminal.write
    terminal.write = lambda text: (written.append(text), write(text))
    played = Play(front := FrontEnd(), TerminalRenderer(terminal.write, lambda: SIZE, clock=front.clock))
    for number in range(200):
        played.say(TextDelta(f"word{number} "))
        played.wait(0.005)

    assert len(written) <= 21
    assert "word0 " not in written[-1]


def test_a_reply_longer_than_the_screen_is_shown_whole():
    """What has left the screen cannot be painted again: code and lists are printed in parts, before they leave it."""
    terminal = Terminal(lines=8)
    played = play(terminal)
    code = "".join(f"line_{n} = {n}\n" for n in range(40))
    items = "".join(f"- item {n}\n" for n in range(20))
    text = f"# Long\n\n```python\n{code}```\n\n{items}\n**Done**"
    played.say(*map(TextDelta, text.splitlines(keepends=True)))
    played.end()

    shown = items.replace("-", " •").splitlines()
    assert terminal.rows == ["Long", "", "python", *code.splitlines(), "", *shown, "", "Done", ""]


def test_of_a_block_higher_than_the_screen_the_newest_rows_are_seen():
    """While it grows its last rows are shown; when it ends it is there from its first row to its last."""
    terminal = Terminal(lines=6)
    played = play(terminal)
    rows = [f"| cell {n} |" for n in range(20)]
    played.say(*(TextDelta(f"{line}\n") for line in ("| head |", "|---|", *rows)))

    assert [row.strip() for row in terminal.rows] == [*(f"cell {n}" for n in range(15, 20)), ""]

    played.end()

    assert [row.strip() for row in terminal.rows if letters(row)] == ["head", *(f"cell {n}" for n in range(20))]


blocks = st.sampled_from(
    [
        "# head\n\n",
        "word " * 20 + "\n\n",
        "- item\n- **other** item\n",
        "\n",
        "```python\nx = 'a'\ny = 2\n```\n\n",
        "```\n" + "code\n" * 9,
        "```\n\n",
        "| a | b |\n|---|---|\n| cell | `code` |\n\n",
        "> quoted\n\n",
        "中文字很宽" * 9 + "\n\n",
        "“doubtful”… width — é " * 3 + "\n\n",
        "a*b_c**d`e",
        "1. one\n2. two\n\n",
    ]
)


@settings(deadline=None)
@given(st.lists(blocks, max_size=8), st.integers(1, 40), st.integers(20, 60), st.integers(3, 30))
def test_nothing_is_lost_and_nothing_is_doubled(pieces, step, columns, lines):
    """However a reply comes and whatever the terminal's size, each letter stands there once, below what was there."""
    text = "".join(pieces)
    terminal = Terminal(columns, lines)
    terminal.write("above\n")
    played = play(terminal)
    for at in range(0, len(text), step):
        played.say(TextDelta(text[at : at + step]))
    played.end()

    assert terminal.rows[0] == "above"
    assert letters("".join(terminal.rows[1:])) == letters(text)


@settings(deadline=None)
@given(st.text(alphabet="a*`_#|>-[]()\n\x00\x07\x08\x1b\x9b\x7f\r]m[2J;\ud800", max_size=200), st.integers(1, 9))
def test_text_does_not_drive_the_terminal(text, step):
    """What is rendered holds no control character of the model's: the terminal here takes none but ours."""
    terminal = Terminal()
    written: list[str] = []
    write = terminal.write
    terminal.write = lambda text: (written.append(text), write(text))
    played = play(terminal)
    for at in range(0, len(text), step):
        played.say(TextDelta(text[at : at + step]))
    played.end()

    assert (
        not re.sub(r"\x1b\[[\d;]*[AJm]|\r", "", "".join(written))
        .encode(errors="replace")
        .translate(None, bytes(set(range(256)) - set(range(32)) - {127} | {10}))
    )


def test_waiting_is_told_and_taken_back():
    """Until the first words one line counts the seconds; a notice stays; nothing of the waiting is left."""
    terminal = Terminal()
    played = play(terminal)

    assert terminal.rows == ["glm · waiting", ""]

    played.wait(2.1)
    played.renderer.status("trying again")

    assert terminal.rows == ["[trying again]", "glm · waiting · 2 s", ""]

    played.say(TextDelta("Hi"))
    played.wait(3)
    played.end()

    assert terminal.rows == ["[trying again]", "Hi", ""]


def test_what_stands_between_the_words_is_left_alone():
    """Thoughts, news, parts and corrections stand on rows of their own, and nothing of them is painted over."""
    terminal = Terminal()
    played = play(terminal)
    played.say(ThinkingDelta("hm"), TextDelta("# One"), Part("notice", "mind"), TextDelta("# Two\n\nx"))
    played.say(Replace("# Three"), Finished("stop"))
    played.end()

    assert terminal.rows == [
        "[thinking]", "hm", "[thought for 0.1 s]", "One", "[mind]", "Two", "", "x", "[corrected]", "Three", "",
    ]  # fmt: skip


def test_thinking_is_dim():
    """Thoughts are dim, and written as they come; hidden, only their marks are shown."""
    terminal = Terminal(columns=10)
    written: list[str] = []
    write = terminal.write
    terminal.write = lambda text: (written.append(text), write(text))
    played = play(terminal)
    played.say(ThinkingDelta("one\ntwo words"), ThinkingDelta(" more"), TextDelta("Yes"))
    played.end()

    assert terminal.rows == ["[thinking]", "one", "two words", "more", "[thought f", "or 0.2 s]", "Yes", ""]
    assert "\x1b[2mone\ntwo words\x1b[22m" in "".join(written)

    terminal = Terminal()
    played = play(terminal, show_thinking=False)
    played.say(ThinkingDelta("hm"), TextDelta("Yes"))
    played.end()

    assert terminal.rows == ["[thinking …]", "[thought for 0.1 s]", "Yes", ""]


def test_an_interrupted_reply_keeps_what_arrived():
    """All that has come stays, also of a block higher than the screen; a terminal's ^C is painted over."""
    terminal = Terminal(lines=4)
    played = play(terminal)
    played.say(TextDelta("word " * 60 + "some **bold"))
    terminal.write("^C")
    played.reply.end("interrupted")
    played.end()

    assert letters("".join(terminal.rows)) == "word" * 60 + "someboldstopped"
    assert terminal.rows[-2:] == ["[stopped]", ""]


def test_what_may_be_wrapped_anew_is_not_painted_over():
    """Where a terminal has become narrower, nobody knows on how many rows a block stands: it is painted again below."""
    terminal = Terminal()
    terminal.write("above\n")
    played = play(terminal)
    played.say(TextDelta("some **bold** words"))
    terminal.columns = 10
    played.end()

    assert terminal.rows == ["above", "some bold words", "some bold", "words", ""]

    terminal = Terminal()
    played = play(terminal)
    played.say(TextDelta("some **bold** words"))
    terminal.columns = 50
    played.end()

    assert terminal.rows == ["some bold words", ""]


def test_text_that_is_no_markdown_is_shown_as_written():
    """In the form `text` marks stay marks and lines stay lines, as they come; only the waiting is taken back."""
    terminal = Terminal(columns=20)
    played = play(terminal, markdown=False)
    played.say(TextDelta("# no *title*\n\n- x  \n中文字很宽中文字很宽"), TextDelta("中文"))

    assert terminal.rows == ["# no *title*", "", "- x", "中文字很宽中文字很宽", "中文"]

    played.end()

    assert terminal.rows == ["# no *title*", "", "- x", "中文字很宽中文字很宽", "中文", ""]


def rendered(text: str, columns: int = 20, **how) -> str:
    """Return what is written for a whole text."""
    written: list[str] = []
    size = os.terminal_size((columns, 50))
    renderer = TerminalRenderer(written.append, lambda: size, **how)
    renderer.write(TextDelta(text))
    renderer.close(Reply(), None)
    return written[-1].removesuffix("\n").rpartition("\x1b[J")[2]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("# Big **x**", "<1;4>Big <0><1;4>x<0>"),
        ("### Small ###", "<1>Small<0>"),
        ("**b** and *i* and ~~g~~", "<1>b<0> and <3>i<0> and <9>g<0>"),
        ("**结论：**这是", "<1>结论：<0>这是"),
        ("snake_case_x or 2 * 3 * 4", "snake_case_x or 2 *\n3 * 4"),
        ("`co*d*e` \\*no\\*", "<1;36>co*d*e<0> *no*"),
        ("$a_1 * b$ \\(x*y*z\\)", "$a_1 * b$ \\(x*y*z\\)"),
        ("$$\na *b* c\n$$", "$$\na *b* c\n$$"),
        ("[text](https://e.de)", "<4>text<0> (<2>https://e.de<0>)"),
        ("https://e.de", "https://e.de"),
        ("![cat](https://e.de)", "<4>cat<0> (<2>https://e.de<0>)"),
        ("[text](javascript:x)", "[text](javascript:x)"),
        ("<b>&amp;", "<b>&"),
        ("one\ntwo", "one\ntwo"),
        ("- a\n- [ ] c\n- [x] d", " • a\n • ☐ c\n • ☑ d"),
        ("3. a\n4. b", " 3 a\n 4 b"),
        ("> q", "▌ q"),
        ("```\na\n```\n", "a"),
        ("```nosuch\n**a**\n```", "<2>nosuch<0>\n**a**"),
        ("- x\n  ```\n  a\n  ```", " • x\n   a"),
        ("x\n    ```\n    a\n    ```", "x\na"),
    ],
)
def test_markdown_is_written_for_a_terminal(text, written):
    """Each kind of Markdown has its look; what is code, a formula or no Markdown keeps its letters."""
    assert re.sub(r"\x1b\[([\d;]+)m", r"<\1>", rendered(text)) == written


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("| a | 中文 |\n|---|:-:|\n| **bb** |\n|x|y|", 20, [["a", "中文"], ["bb"], ["x", "y"]]),
        ("| a | b | c |\n|---|---|---|\n| d | e | f |", 17, [["a", "│", "b", "│", "c"], ["d", "│", "e", "│", "f"]]),
        ("| no table |", 20, [["|", "no", "table", "|"]]),
    ],
)
def test_tables_keep_all_their_cells(text, columns, rows):
    """A row of the terminal holds one of the table, also where that is too wide to be aligned."""
    lines = [line.split() for line in STYLE.sub("", rendered(text, columns)).split("\n") if letters(line)]

    assert lines == rows


def test_long_words_of_a_table_are_wrapped():
    """They are not cut off, as rich would do."""
    rows = STYLE.sub("", rendered("| a | b |\n|---|---|\n| long-word-long | c |", 12)).split("\n")

    assert max(map(len, rows)) <= 12
    assert sorted(letters("".join(rows))) == sorted("ablongwordlongc")


def test_a_rule_is_a_line():
    """It is as wide as the terminal."""
    [row] = STYLE.sub("", rendered("---")).split("\n")

    assert (len(row), len(set(row))) == (20, 1)


def test_code_has_colours_where_they_are_wanted():
    """A language that is known is coloured, and reads the same; without colours it only reads the same."""
    text = "`x`\n\n```python\ndef f(): return '**'\n```"
    plain = "x\n\npython\ndef f(): return '**'"

    assert "\x1b[94mdef" in rendered(text, 40)
    assert STYLE.sub("", rendered(text, 40)) == plain
    assert set(STYLE.findall(rendered(text, 40, colors=False))) <= {"\x1b[0m", "\x1b[1m", "\x1b[2m"}
    assert STYLE.sub("", rendered(text, 40, colors=False)) == plain


@pytest.mark.parametrize(
    ("form", "is_terminal", "term", "kind"),
    [
        ("md", True, "xterm", TerminalRenderer),
        ("text", True, "xterm", TerminalRenderer),
        ("md", True, "dumb", PlainRenderer),
        ("md", True, "", PlainRenderer),
        ("md", False, "xterm", PlainRenderer),
        ("code", True, "xterm", WholeRenderer),
        ("json", False, "xterm", WholeRenderer),
    ],
)
def test_where_the_cursor_cannot_move_text_only_grows(form, is_terminal, term, kind, monkeypatch):
    """A pipe, a file and a dumb terminal get plain text without any code; code and JSON alone come when whole."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)

    assert type(stdout_renderer(form)) is kind


def test_rich_is_imported_in_terminals_alone():
    """A kernel, whose cells are shown by the front end, never pays for it."""
    code = "import sys, chatglm_magic._magics.run, chatglm_magic.panel; print('rich' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"False"


def test_a_status_line_of_wide_characters_stays_in_its_row(monkeypatch):
    """A status line in Chinese is cut where the row ends: a wrapped one would not be taken away whole."""
    written: list[str] = []
    front = FrontEnd()
    renderer = TerminalRenderer(written.append, lambda: os.terminal_size((20, 5)), clock=front.clock)
    monkeypatch.setattr("chatglm_magic._language._catalog", lambda _: Wide())
    monkeypatch.setenv("CHATGLM_LANG", "zh")
    renderer.open("模型")
    front.now = 3.0
    renderer.tick()

    rows = [row for text in written for row in STYLE.sub("", text).replace("\x1b[J", "").split("\n") if "模" in row]

    assert rows
    assert all(cell_len(row.rpartition("A")[2].strip("\r")) <= 20 for row in rows)


class Wide:
    """A catalog in which everything is long and wide."""

    def gettext(self, _: str) -> str:
        return "正在等待回答正在等待回答"
