"""From what a cell says to what is sent: values, cells and errors as data, in fences, within limits."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic import ConfigError, Reply, TextDelta
from chatglm_magic._jupyter.trackers import LastError
from chatglm_magic._magics.parser import parse
from chatglm_magic._magics.prompt import Notebook, prepare
from chatglm_magic._markdown.fences import fences
from chatglm_magic._prompting.describe import MAX_BYTES
from chatglm_magic._prompting.prompt import MAX_DATA_BYTES, Prompt

FRAME = pd.DataFrame({"price": [1.5, 2.5], "城市": ["北京", "上海"]})


def double(x: int) -> int:
    return 2 * x


def failed(source: str) -> LastError:
    """Run a cell that fails."""
    try:
        exec(compile(source, "cell.py", "exec"), {})  # noqa: S102 - the test's own source
    except Exception as error:  # noqa: BLE001 - whatever the cell raises
        return LastError(source, error, 7)
    raise AssertionError(source)


def prompt(line: str, cell: str | None = None, **notebook: object) -> Prompt:
    return prepare(parse(line, cell), Notebook(**notebook))


def test_a_short_value_stays_in_its_sentence():
    """What fits on a line is part of the line, once, and is not looked through again."""
    done = prompt("Is {x} > {d[k].v}{{x}}?".replace("[k]", "['k']"), names={"x": "{y}", "y": 1, "d": {"k": double}})

    assert done.text == "Is {y} > {d['k'].v}{x}?"
    assert done.notes == ("No value for {d['k'].v}; sent as written.",)


def test_a_value_of_several_lines_is_fenced_where_it_stands():
    """Data is told from the prompt by a fence and a line that says what it is."""
    done = prompt("Explain {df} and find outliers.", names={"df": FRAME})

    before, _, rest = done.text.partition("\n`df`, as data:\n```text\n")
    data, _, after = rest.partition("\n```\n")
    assert (before, after) == ("Explain ", " and find outliers.")
    assert "2 rows and 2 columns: price (float64), 城市" in data
    assert "0,1.5,北京" in data
    assert done.notes == ()


def test_a_function_is_python():
    """Source code is fenced as what it is."""
    assert "```python\ndef double(x: int) -> int:" in prompt("What does {f} do?", names={"f": double}).text


@given(st.text(alphabet="`~\nab{x} "))
def test_no_value_ends_its_fence(value):
    """Whatever a value says, it stays inside its fence."""
    text = f"{value}\nlast line"
    done = prompt("Look: {value}\nThe end", names={"value": text, "x": "SECRET"})

    (fence,) = (found for found in fences(done.text.split("\n")) if found.head == "")
    assert "\n".join(fence.code) == text
    assert done.text.endswith("\nThe end")
    assert "SECRET" not in done.text


def test_a_value_inside_the_users_fence_needs_no_other():
    """A cell that brings its own fence gets the text in it."""
    text = "Translate:\n```text\n{poem}\n```\nThanks"

    assert prompt("", text, names={"poem": "one\ntwo"}).text == text.replace("{poem}", "one\ntwo")
    assert "````text\n```\nout\n````" in prompt("", text, names={"poem": "```\nout"}).text


def test_misses_are_told_in_one_line():
    """Names without a value are listed once, in order."""
    done = prompt("{nmae} {x} {a.b} {nmae}", names={"x": 1})

    assert done == Prompt("{nmae} 1 {a.b} {nmae}", ("No value for {nmae}, {a.b}; sent as written.",))


@pytest.mark.parametrize(
    ("text", "listed", "first"),
    [
        ("Look: {df.describe()} and {len(df)}", "{df.describe()}, {len(df)}", "df.describe()"),
        ("{df[df.price>1]}", "{df[df.price>1]}", "df[df.price>1]"),
        ("{df['price'].mean():.2f}", "{df['price'].mean():.2f}", "f\"{df['price'].mean():.2f}\""),
        ("{x:.2f} or {x!r}", "{x:.2f}, {x!r}", 'f"{x:.2f}"'),
        ("{len（df）}", "{len（df）}", "len(df)"),
        ("{x + 1}", "{x + 1}", "x + 1"),
        ("{df.iloc[0:3]}", "{df.iloc[0:3]}", "df.iloc[0:3]"),
        ("{dff.head()}", "{dff.head()}", "dff.head()"),
    ],
)
def test_what_is_not_computed_is_told_with_the_way_to_it(text, listed, first):
    """Braces that hold a call, a formula or a format are sent as written, and a note says what to do."""
    done = prompt(text, names={"df": FRAME, "x": 1})

    assert done.text == text
    assert done.notes == (
        (
            f"Nothing is called, computed or formatted in braces: {listed} was sent as written. "
            f"Assign it first, as in value = {first}, and write {{value}}."
        ),
    )


@pytest.mark.parametrize(("text", "name"), [("｛df｝有几行？", "df"), ("{ x }", "x"), ("{df．shape}", "df.shape")])
def test_a_name_that_is_not_written_plainly_is_told(text, name):
    """Full-width braces and blanks inside of them are sent as they are; a note has the way to write it."""
    done = prompt(text, names={"df": FRAME, "x": 1})

    assert done.text == text
    assert done.notes[0].endswith(f" was sent as written; a value's name is written {{{name}}}.")


@pytest.mark.parametrize(
    "text",
    [
        "｛y｝ {x, df} {f(y)} {{len(df)}} {} {'k': x} {x: df} \\frac{x+1}{2} {y: 1} {not code} {1+1}",
        "```python\nprint(f'{len(df)} {x:.2f}')\n```",
    ],
)
def test_other_braces_are_no_expressions(text):
    """Sets, JSON, LaTeX, doubled braces, and code in a fence have no note."""
    assert prompt("", text, names={"df": FRAME, "x": 1}) == Prompt(text)


def test_what_is_shortened_is_told():
    """A long text loses its middle, and the user reads by how much."""
    done = prompt("Sum up {log} and {log}", names={"log": "line\n" * 240_000})

    assert done.notes == ("{log} was shortened: 1.2 MB → 6 kB.",)
    assert len(done.text.encode()) < 2 * MAX_BYTES + 300


def test_all_data_together_has_a_limit():
    """Ten long values do not fill the model's context; even the last says what it is."""
    names = {f"v{number}": f"I am v{number}\n" + "x" * 10_000 for number in range(10)}
    done = prompt("--vars " + ",".join(names) + " Compare.", names=names)

    assert len(done.text.encode()) < MAX_DATA_BYTES + 10 * 600
    assert "I am v9" in done.text
    assert len(done.notes) == 10


def test_variables_are_appended_as_data():
    """`--vars` leaves the prompt alone and puts what it names below it."""
    done = prompt("--vars df,ns.deep[0] What is {df} missing?", names={"df": FRAME, "ns": SimpleNamespace(deep=[42])})

    assert done.text.index("data from the notebook") < done.text.index("Variable `df`:\n```text\npandas DataFrame")
    assert done.text.endswith("Variable `ns.deep[0]`:\n```text\n42\n```")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--vars nmae hi", "--vars names nmae, which has no value here (KeyError)"),
        ("--vars x.y hi", "--vars names x.y"),
        ("--vars x() hi", "--vars names x()"),
        ("--vars x.__class__ hi", "--vars names x.__class__"),
        ("--cells 9 hi", "In[9] holds nothing"),
        ("--cells 2 hi", "In[2] holds nothing"),
        ("--err hi", "no cell has failed"),
    ],
)
def test_what_an_option_names_must_be_there(line, words):
    """An option that names nothing is an error: the question would be asked without its object."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        prompt(line, names={"x": 1}, sources=["", "x = 1", ""])


def test_cells_come_with_their_values():
    """`--cells` sends sources, and values where there are any; a reply as its answer."""
    reply = Reply()
    reply.add(TextDelta("forty-two"))
    done = prompt("--cells 1,2-3 Sum up", sources=["", "x = 1", "x", "ask"], outputs={2: 1, 3: reply})

    blocks = done.text.split("\n\n")[2:]
    assert blocks == [
        "In[1]:\n```python\nx = 1\n```",
        "In[2]:\n```python\nx\n```",
        "Out[2]:\n```text\n1\n```",
        "In[3]:\n```python\nask\n```",
        "Out[3]:\n```text\nforty-two\n```",
    ]


def test_the_last_error_comes_with_its_cell_and_its_traceback():
    """`--err` sends the source as it was typed and what Python said."""
    done = prompt("--err Why?", error=failed("x = 0\n1 / x"))

    assert done.text.startswith("Why?\n\n")
    assert "The cell that failed, In[7]:\n```python\nx = 0\n1 / x\n```" in done.text
    assert "ZeroDivisionError: division by zero\n```" in done.text


def test_ipythons_own_names_are_not_the_users():
    """`{exit}` in a prompt is text; a variable of that name is a value."""
    hidden = {"exit": object(), "_oh": {}}
    shell = SimpleNamespace(user_ns={**hidden, "x": 1}, user_ns_hidden=hidden, history_manager=None)

    assert "exit" not in Notebook.of(shell, (), None).names
    shell.user_ns["exit"] = "mine"
    assert Notebook.of(shell, (), None).names["exit"] == "mine"


def test_a_prompt_without_names_is_sent_as_it_stands():
    """Nothing to put in, nothing changed."""
    text = 'def f():\n\treturn {"a": 1}  # \\frac{x}{y}\n\n```\n{ x }\n```  '

    assert prompt("", text, names={"x": 1, "y": 2, "a": 3}) == Prompt(text)
