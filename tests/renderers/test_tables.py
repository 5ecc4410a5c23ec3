"""A value on its way to a table: what is shown as it grows and what stays, in cells, in terminals and as text."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from front_end import FrontEnd, Play, play
from hostile import TEXTS
from html_judge import Page
from hypothesis import given
from hypothesis import strategies as st
from markdown_judge import HOSTILE, dangers, read
from rich.cells import cell_len
from terminal import Terminal

from chatglm_magic._errors import Interrupted, ReplyFormatError
from chatglm_magic._events import Finished, Part, PartialValue, Replace, TextDelta, ThinkingDelta, ToolCall, ToolResult
from chatglm_magic._markdown.table import MOST_ROWS, NO_FORMULAS, Table
from chatglm_magic._reply import Reply
from chatglm_magic._schema.schema import Schema
from chatglm_magic.renderers.output import bundle
from chatglm_magic.renderers.plain import PlainRenderer
from chatglm_magic.renderers.terminal import TerminalRenderer

PEOPLE = Schema.of("name, age int", many=True)
PERSON = Schema.of("name, age int")
ROWS = [{"name": "Ada", "age": 36}, {"name": "林黛玉", "age": 7}]


def table(value: Any, schema: Schema = PEOPLE) -> Table:
    return Table.of(schema, value)


def ended(value: Any, schema: Schema = PEOPLE, *events) -> Reply:
    """Make a reply whose value was read."""
    reply = Reply("glm", "test")
    reply.schema, reply.schema_mode = schema, "prompt"
    for event in (*events, TextDelta(json.dumps(value)), PartialValue(value)):
        reply.add(event)
    reply.take_value(value)
    reply.add(Finished("stop"))
    return reply


# ---- the table itself


def test_what_json_has_no_type_for_is_shown_as_it_is_written():
    """Dates and decimals without quotes, alone and in a list."""
    moment = date(2026, 1, 31)

    shown = table([{"name": moment, "age": Decimal("1.50")}, {"name": [moment, moment], "age": True}])

    assert shown.rows == (("2026-01-31", "1.50"), ("2026-01-31, 2026-01-31", "true"))


def test_a_list_is_a_row_for_each_item():
    """In the declared order of the fields, whatever order the items have."""
    shown = table([{"age": 36, "name": "Ada"}, {"name": "林黛玉", "age": 7}])

    assert shown.markdown() == "| name | age |\n| :-- | --: |\n| Ada | 36 |\n| 林黛玉 | 7 |"
    assert shown.plain() == "name    age\n------  ---\nAda     36\n林黛玉  7"
    assert '<td style="text-align: left">Ada</td><td style="text-align: right">36</td>' in shown.html()


def test_an_object_is_a_table_of_its_fields():
    """Two columns: names and values."""
    assert table(ROWS[0], PERSON).plain() == "field  value\n-----  -----\nname   Ada\nage    36"


def test_a_single_value_is_text():
    """No table is made of one word."""
    shown = table("good", Schema.of(Literal["good", "bad"]))

    assert (shown.plain(), shown.markdown()) == ("good", "**good**")
    assert "<table>" not in shown.html()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (1.5, "1.5"),
        (["a", 2], "a, 2"),
        ({"a": [1]}, '{"a": [1]}'),
        ("two\nlines  and blanks", "two lines and blanks"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_a_cell_holds_any_value_on_one_line(value, text):
    """Long ones are cut, nested ones are JSON."""
    assert table([{"name": value, "age": 1}]).rows[0][0] == text


def test_a_list_of_words_has_one_column():
    """Its head says what it is."""
    assert table(["a", "b"], Schema.of(list[str])).plain() == "value\n-----\na\nb"


def test_an_empty_list_has_its_head():
    """And says that nothing was found."""
    assert table([]).plain() == "name  age\n----  ---\nno rows"


def test_a_long_list_is_shown_in_part_and_says_so():
    """The newest rows while it grows, the first ones at the end."""
    rows = [{"name": str(number), "age": number} for number in range(500)]
    whole, growing = table(rows), Table.of(PEOPLE, rows, growing=True)

    assert (len(whole.rows), whole.rows[0][0], whole.below) == (MOST_ROWS, "0", 300)
    assert (len(growing.rows), growing.rows[-1][0], growing.above) == (20, "499", 480)
    for said in (whole.markdown(), whole.html(), whole.plain()):
        assert "… 300 more rows" in said
    assert growing.markdown().startswith("*… 480 rows above*\n\n| name | age |")


@given(st.lists(st.tuples(st.text(max_size=90), st.text("林a\u0301é￥ ", max_size=50)), min_size=1, max_size=4))
def test_columns_of_text_stand_below_each_other(cells):
    """Wide characters take two columns of a console, combining ones none; no cell is too wide."""
    shown = table([{"name": first, "age": second} for first, second in cells]).plain()

    head, rule, *rows = shown.split("\n")
    second = rule.index("  ") + 2
    assert all(cell_len(row) <= 60 + 2 + 60 for row in rows)
    assert head[second:].strip() == "age"


@pytest.mark.parametrize("text", [*TEXTS, *HOSTILE])
def test_nothing_in_a_cell_acts(text):
    """A model's words are words: in Markdown under every parser, in HTML, in text."""
    shown = table([{"name": text, "age": text}, {"name": "end", "age": 1}])
    one = table(text, Schema.of(str))
    named = table({text: "x", "end": "y"}, Schema.of(dict[str, str]))

    for each in (shown, one, named):
        assert dangers(each.markdown()) == {}
        page = Page(re.sub(rf' (?:class="{NO_FORMULAS}"|style="text-align: (?:left|right)")', "", each.html()))
        assert (page.dangers, page.links) == ([], [])
        assert not any(sign < " " or "\x7f" <= sign < "\xa0" for sign in each.plain().replace("\n", ""))
    assert "end" in read(shown.markdown(), "markdown-it").text


# ---- the final output


def test_a_value_is_saved_as_html_markdown_and_text():
    """All three say the same, with what is said of how it ended and the form in which it was asked for."""
    reply = ended(ROWS, PEOPLE, Part("notice", "A <note>."))

    data, metadata = bundle(reply, show_usage=True)

    assert set(data) == {"text/html", "text/markdown", "text/plain"}
    assert all("林黛玉" in said for said in data.values())
    assert "<em>A &lt;note&gt;.</em>" in data["text/html"]
    assert "tokens unknown" in data["text/html"]
    assert data["text/plain"].endswith("[A <note>.]")
    assert (metadata["chatglm_magic"]["schema_mode"], metadata["chatglm_magic"]["repairs"]) == ("prompt", 0)


def test_thinking_is_folded_away_above_a_value():
    """In HTML too, where it is text; and not shown where that is wanted."""
    reply = ended(ROWS, PEOPLE, ThinkingDelta("<b>hm</b> $x$"))

    shown, hidden = bundle(reply)[0], bundle(reply, show_thinking=False)[0]

    assert "<details><summary>Thought for 0.0 s</summary>" in shown["text/html"]
    assert "&lt;b&gt;hm&lt;/b&gt;" in shown["text/html"]
    assert "hm" not in hidden["text/html"] + hidden["text/markdown"]


def test_what_a_table_cannot_hold_is_not_lost():
    """A reply that called functions is Markdown, which shows them too."""
    call = ToolCall("1", "stock", "{}")
    data, _ = bundle(ended(ROWS, PEOPLE, ToolResult(call, "7")))

    assert set(data) == {"text/markdown", "text/plain"}
    assert "stock" in data["text/markdown"]


def test_a_value_as_a_data_frame_is_shown_as_one():
    """`-f df`: the library's own table, in which nothing acts either."""
    data, _ = bundle(ended([{"name": "<script>x</script> $y$", "age": 1}]), form="df")

    assert 'class="dataframe"' in data["text/html"]
    assert "<script>x" not in data["text/html"]
    assert data["text/html"].startswith(f'<div class="{NO_FORMULAS}">')
    assert "name" in data["text/plain"]


@pytest.mark.parametrize(("form", "text"), [("json", "36"), ("text", '"age": 36')])
def test_a_value_is_shown_in_the_other_forms(form, text):
    """`json` is the value itself without a wrapper, `text` what the model wrote."""
    reply = ended(ROWS)
    data, _ = bundle(reply, form=form)

    assert text in data["text/plain"]
    assert "text/html" not in data
    if form == "json":
        assert json.loads(data["text/plain"]) == ROWS


def test_an_answer_that_does_not_fit_is_shown_as_it_was_written():
    """In a fence, whatever it holds: it is no Markdown."""
    reply = Reply("glm", "test")
    reply.schema = PEOPLE
    for event in (TextDelta('[{"name": "<b>"'), PartialValue(ROWS), Finished("stop")):
        reply.add(event)

    data, _ = bundle(reply)

    assert data == {"text/markdown": '```json\n[{"name": "<b>"\n```', "text/plain": '[{"name": "<b>"'}


@pytest.mark.parametrize("reason", ["interrupted", "length", "error"])
def test_an_answer_that_was_stopped_shows_what_was_complete(reason):
    """And how it ended."""
    reply = Reply("glm", "test")
    reply.schema = PEOPLE
    for event in (TextDelta("[…"), PartialValue(ROWS), Finished(reason)):
        reply.add(event)

    data, _ = bundle(reply)

    assert data["text/plain"].startswith("name    age\n")
    assert data["text/plain"].endswith("]")
    assert "<table>" in data["text/html"]


def test_a_reply_shows_its_table_again():
    """As a cell's value later on."""
    assert ended(ROWS)._repr_markdown_() == table(ROWS).markdown()


# ---- in a cell


def test_a_table_grows_in_a_cell_with_each_item():
    """At first how much is written, then the rows that are complete; at the end one output with all of it."""
    played = play(schema=PEOPLE)
    played.reply.schema = PEOPLE
    played.wait(0.1)
    played.say(TextDelta('[{"name": '))
    assert played.front.markdown == "*writing · 10 characters*"

    for number in range(1, 30):
        played.say(TextDelta("{…}"), PartialValue([{"name": f"n{one}", "age": one} for one in range(number)]))
        played.wait(0.0 if number == 1 else 0.2)  # the first row is there at once
        assert f"n{number - 1}" in played.front.markdown
        assert len(re.findall(r"\n\| n\d", played.front.markdown)) == min(number, 20)

    played.reply.take_value([{"name": f"n{one}", "age": one} for one in range(29)])
    played.say(Finished("stop"))
    played.end()
    (output,) = played.front.outputs
    assert set(output["data"]) == {"text/html", "text/markdown", "text/plain"}
    assert len(re.findall(r"\n\| n\d", played.front.markdown)) == 29


def test_a_table_is_not_painted_too_often():
    """However fast items come."""
    played = play(schema=PEOPLE)
    for number in range(400):
        played.wait(0.005)
        played.say(TextDelta("{…}"), PartialValue([ROWS[0]] * number))

    assert played.front.busiest(1.0) <= 21


def test_thinking_and_corrections_come_before_a_table():
    """Thinking is shown while it lasts; what a repair takes back is gone."""
    played = play(schema=PEOPLE)
    played.say(ThinkingDelta("hm"))
    played.wait(0.3)
    assert "hm" in played.front.markdown

    played.say(TextDelta("[…"), PartialValue(ROWS))
    played.wait(0.3)
    assert "林黛玉" in played.front.markdown
    assert "thinking ·" not in played.front.markdown

    played.say(Replace(""), TextDelta("[{"))
    played.wait(0.3)
    assert "林黛玉" not in played.front.markdown
    assert "writing · 2 characters" in played.front.markdown


def test_an_error_leaves_what_was_written():
    """The error is shown by who raises it."""
    played = play(schema=PEOPLE)
    played.reply.schema = PEOPLE
    played.say(TextDelta("[{}]"), Finished("stop"))
    played.end(ReplyFormatError("no", (("$", "no"),)))

    assert played.front.markdown == "```json\n[{}]\n```"


# ---- in a terminal


class Slow(Play):
    """Plays each event a period after the one before, so that each is painted."""

    def say(self, *events) -> None:
        for event in events:
            self.front.now += 0.1
            super().say(event)


def in_terminal(columns: int = 40, lines: int = 12) -> tuple[Terminal, Play]:
    terminal, front = Terminal(columns, lines), FrontEnd()
    renderer = TerminalRenderer(
        terminal.write, lambda: os.terminal_size((columns, lines)), colors=False, schema=PEOPLE, clock=front.clock
    )
    played = Slow(front, renderer)
    played.reply.schema = PEOPLE
    return terminal, played


def test_a_table_grows_in_a_terminal():
    """Rows are repainted in place; at the end the table stands there once, and JSON nowhere."""
    terminal, played = in_terminal()
    played.say(TextDelta('[{"name": "Ada"'), PartialValue(ROWS[:1]))
    assert next(row.split() for row in terminal.rows if row) == ["name", "age"]

    played.say(TextDelta(', "age"'), PartialValue(ROWS))
    played.reply.take_value(ROWS)
    played.say(Finished("stop"))
    played.end()

    shown = "\n".join(terminal.rows)
    assert shown.count("Ada") == shown.count("林黛玉") == shown.count("name") == 1
    assert "{" not in shown
    ends = [cell_len(row) for row in terminal.rows if row.endswith(("36", "7"))]
    assert len(set(ends)) == 1  # below each other, wide characters or not


def test_a_table_longer_than_the_screen_is_printed_once():
    """While it grows only the newest rows are shown; nothing is left behind of them."""
    terminal, played = in_terminal()
    rows = [{"name": f"n{number:02}", "age": number} for number in range(60)]
    for count in range(1, 61):
        played.say(TextDelta("{…}"), PartialValue(rows[:count]))
    played.reply.take_value(rows)
    played.say(Finished("stop"))
    played.end()

    shown = "\n".join(terminal.rows)
    assert all(shown.count(f"n{number:02}") == 1 for number in range(60))


def test_a_table_is_written_to_a_pipe_at_its_end():
    """What was written there cannot be taken back."""
    said: list[str] = []
    renderer = PlainRenderer(said.append, schema=PEOPLE)
    reply = ended(ROWS)
    for event in (TextDelta("[…"), PartialValue(ROWS), Replace("[["), Finished("stop")):
        renderer.write(event)
    renderer.close(reply, None)

    assert "".join(said) == "name    age\n------  ---\nAda     36\n林黛玉  7\n"


def test_what_does_not_fit_is_written_as_it_came():
    """In a terminal as to a pipe."""
    said: list[str] = []
    reply = Reply("glm", "test")
    reply.schema = PEOPLE
    reply.add(TextDelta("no\x1b[2J JSON"))
    reply.end("interrupted")
    renderer = PlainRenderer(said.append, schema=PEOPLE)
    renderer.write(TextDelta("no\x1b[2J JSON"))
    renderer.close(reply, Interrupted(reply))

    assert "".join(said) == "no�[2J JSON\n[stopped]\n"
