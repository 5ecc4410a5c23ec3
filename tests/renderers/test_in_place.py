"""Markdown in a terminal: it grows as plain text, and each block is rendered in its place."""

from __future__ import annotations

import os
import re

import pytest
from front_end import FrontEnd, Play
from hypothesis import given
from hypothesis import strategies as st
from terminal import Terminal

from chatglm_magic._events import Finished, Part, Replace, TextDelta, ThinkingDelta
from chatglm_magic.renderers._ansi import ansi
from chatglm_magic.renderers._rows import rows_down, width_of
from chatglm_magic.renderers.in_place import InPlace
from chatglm_magic.renderers.plain import PlainRenderer

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
    "Some bold and code, long enough to be wr",
    "apped once or twice.",
    "",
    "• one",
    "• two",
    "",
    "python",
    "x = [1, 2]",
    "",
    "The end.",
    "",
]


def play(terminal: Terminal, **how) -> Play:
    front = FrontEnd()

    def size() -> os.terminal_size:
        return os.terminal_size((terminal.columns, terminal.lines))

    in_place = InPlace(terminal.write, size)
    return Play(front, PlainRenderer(terminal.write, live=True, in_place=in_place, clock=front.clock, **how))


def letters(text: str) -> str:
    return re.sub(r"\W|_", "", text)


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


def test_a_block_is_plain_until_it_is_whole():
    """Words are shown as they come; once the next block begins, the one before is rendered."""
    terminal = Terminal()
    played = play(terminal)
    played.say(TextDelta("# Title\n"))

    assert terminal.rows == ["# Title", ""]

    played.say(TextDelta("\nNext *w"))

    assert terminal.rows == ["Title", "", "Next *w"]


def test_a_reply_longer_than_the_screen_is_rendered_as_far_as_it_can_be():
    """What has left the screen cannot be written again; blocks that fit are, code before it leaves."""
    terminal = Terminal(lines=8)
    played = play(terminal)
    code = "".join(f"line_{n} = {n}\n" for n in range(40))
    played.say(*(TextDelta(line) for line in f"# Long\n\n```python\n{code}```\n\n**Done**".splitlines(keepends=True)))
    played.end()

    assert terminal.rows == ["Long", "", "python", *code.splitlines(), "", "Done", ""]


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


@given(st.lists(blocks, max_size=12), st.integers(1, 40), st.integers(20, 60), st.integers(3, 30))
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
        not re.sub(r"\x1b\[(\d*[AJm]|2K)|\r", "", "".join(written))
        .encode(errors="replace")
        .translate(None, bytes(set(range(256)) - set(range(32)) - {127} | {10}))
    )


def test_what_stands_between_the_words_is_left_alone():
    """Thoughts, news, parts and corrections stand on rows of their own, and nothing of them is written over."""
    terminal = Terminal()
    played = play(terminal)
    played.say(ThinkingDelta("hm"), TextDelta("# One"), Part("notice", "mind"), TextDelta("# Two\n\nx"))
    played.say(Replace("# Three"), Finished("stop"))
    played.end()

    assert terminal.rows == [
        "[thinking]", "hm", "[thought for 0.0 s]", "One", "[mind]", "Two", "", "x", "[corrected]", "Three", "",
    ]  # fmt: skip


def test_an_interrupted_reply_stays_as_it_was_written():
    """A terminal writes ^C where the cursor is: nothing is written over then."""
    terminal = Terminal()
    played = play(terminal)
    played.say(TextDelta("some **bold"))
    terminal.write("^C")
    played.reply.end("interrupted")
    played.end()

    assert terminal.rows == ["some **bold^C", "[stopped]", ""]


def test_a_resized_terminal_is_not_written_over():
    """Where the size has changed since a block began, nobody knows where it stands."""
    terminal = Terminal()
    played = play(terminal)
    played.say(TextDelta("some **bold** words"))
    terminal.columns = 10
    played.end()

    assert terminal.rows == ["some **bold** words", ""]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("", 10, 0),
        ("a" * 10, 10, 0),
        ("a" * 11, 10, 1),
        ("a" * 10 + "\n", 10, 1),
        ("a\n\nb", 10, 2),
        ("中" * 5, 10, 0),
        ("中" * 5, 9, 1),
        ("a\tb", 10, 0),
        ("e\u0301" * 10, 10, 0),
        ("…" * 5, 10, 0),
        ("…" * 6, 10, None),
        ("\U0001f469\u200d\U0001f4bb" * 3, 10, None),
    ],
)
def test_rows_are_counted_or_in_doubt(text, columns, rows):
    """A row is full before the next one begins, wide characters do not break; what terminals differ about is said."""
    assert rows_down(text, columns) == rows


def test_columns_are_counted():
    """Chinese is two columns wide, an accent none."""
    assert width_of("a中e\u0301") == 4


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("# Big **x**", "<1><4>Big x<24><22>"),
        ("### Small ###", "<1>Small<22>"),
        ("**b** and *i* and ~~g~~", "<1>b<22> and <3>i<23> and <9>g<29>"),
        ("__b__ and _i_, not snake_case_x or 2 * 3 * 4", "<1>b<22> and <3>i<23>, not snake_case_x or 2 * 3 * 4"),
        ("`co*d*e` \\*no\\*", "<36>co*d*e<39> *no*"),
        ("$a_1 * b_1$ and \\(x\\)", "$a_1 * b_1$ and \\(x\\)"),
        ("[text](https://e.de)", "<4>text<24><2> (https://e.de)<22>"),
        ("  - a\n* b\n- [ ] c\n- [x] d", "  • a\n• b\n☐ c\n☑ d"),
        ("> q\n> > r", "<2>│ <22>q\n<2>│ │ <22>r"),
        ("---", "<2>" + "─" * 20 + "<22>"),
        ("| a | 中文 |\n|---|:-:|\n| **bb** |\n|x|y|", "a  │ 中文\n<2>───┼─────<22>\n<1>bb<22> │\nx  │ y"),
        ("| no table |", "| no table |"),
        ("```\na\n```\n", "a\n"),
        ("```nosuch\n**a**\n```", "<2>nosuch<22>\n**a**"),
        ("- x\n  ```\n  a\n  ```", "• x\n  a"),
    ],
)
def test_markdown_is_written_for_a_terminal(text, written):
    """Each kind of Markdown has its look; what is code, a formula or no Markdown keeps its letters."""
    assert re.sub(r"\x1b\[(\d+)m", r"<\1>", ansi(text, 20)) == written


def test_code_has_colours_where_they_are_wanted():
    """A language that is known is coloured, and reads the same; without colours, code keeps its marks."""
    text = "`x`\n\n```python\ndef f(): return '**'\n```"

    assert "\x1b[36m" in ansi(text, 40)
    assert "\x1b[94mdef" in ansi(text, 40)
    assert re.sub(r"\x1b\[[\d;]*m", "", ansi(text, 40)) == "x\n\npython\ndef f(): return '**'"
    assert ansi(text, 40, colors=False) == "`x`\n\n\x1b[2mpython\x1b[22m\ndef f(): return '**'"
