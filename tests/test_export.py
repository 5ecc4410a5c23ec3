"""A conversation as a file: safe to open, whole or not there, and read back as it was."""

from __future__ import annotations

import json
import math
import os
import re

import nbformat
import pytest
from hostile import TEXTS
from html_judge import Page
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_judge import dangers

from chatglm_magic import ConfigError
from chatglm_magic._events import Part, Source, TextDelta, Usage
from chatglm_magic._export import FORMS, read_json, to_html, to_ipynb, to_json, to_markdown, write
from chatglm_magic._reply import Reply
from chatglm_magic._said import Said
from chatglm_magic._tree import Tree

MOMENT = 1_795_355_000.0
ANSWER = (
    "Do **this**:\n\n```python\nx = 1\nprint(x)\n```\n\nand\n\n```bash\nls\n```\n\n1. or\n   ```python\n   y\n   ```\n"
)


def talk(answer: str = ANSWER, **more) -> list[Said]:
    """Give a question and its answer."""
    question = Said(role="user", text="How?\nShow me `x`.", created=MOMENT)
    return [question, Said(role="assistant", text=answer, parent=question.id, created=MOMENT, model="glm-4.7", **more)]


def as_told(said: Said) -> dict[str, object]:
    """Give all of a message that a file keeps."""
    return {name: getattr(said, name) for name in Said.__dataclass_fields__ if name != "reply"}


words = st.text(st.characters(codec="utf-8"), max_size=30)
numbers = st.floats(0, 1e10).filter(math.isfinite)
parts = st.builds(
    Part,
    kind=st.sampled_from(["code", "execution_output", "image", "search", "tool_call", "notice", "unknown"]),
    content=words,
    id=words,
    name=words,
    index=st.none() | st.integers(0, 9),
    urls=st.lists(words, max_size=2).map(tuple),
    sources=st.lists(st.builds(Source, words, words, words), max_size=2).map(tuple),
    raw=st.none() | st.dictionaries(words, st.integers(0, 9) | words, max_size=2),
)
messages = st.builds(
    Said,
    role=st.sampled_from(["user", "assistant"]),
    text=words,
    thought=words,
    created=numbers,
    cell=words,
    finish_reason=st.none() | st.sampled_from(["stop", "length", "interrupted", "error"]),
    model=words,
    provider=words,
    usage=st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    elapsed=numbers,
    first_event=st.none() | numbers,
    thinking_seconds=numbers,
    parts=st.lists(parts, max_size=2).map(tuple),
    warnings=st.lists(words, max_size=2).map(tuple),
    error=words,
    key=words,
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Grow a tree in any form, with any path chosen."""
    tree = Tree()
    for said in draw(st.lists(messages, max_size=6)):
        said.parent = draw(st.sampled_from(["", *(one.id for one in tree)]))
        tree.add(said)
    if len(tree):
        tree.choose(draw(st.sampled_from(list(tree))))
    return tree


@given(words, trees())
@settings(deadline=None)
def test_json_brings_everything_back(title, tree):
    """What is saved is loaded as it was: every message with all its facts, every version, the chosen path."""
    named, again = read_json(to_json(title, tree))

    assert named == title
    assert [as_told(one) for one in again] == [as_told(one) for one in tree]
    assert [one.id for one in again.path()] == [one.id for one in tree.path()]


def test_an_answer_that_streams_is_saved_as_far_as_it_has_come():
    """A file holds what was there when it was written, marked as stopped."""
    said = talk("", thought="hm")
    said[1].reply = Reply()
    said[1].reply.add(TextDelta("half"))
    saved = read_json(to_json("t", said))[1].path()[1]

    assert (saved.content, saved.thinking, saved.finish_reason) == ("half", "hm", "interrupted")
    assert "still coming" in to_markdown("t", said)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a conversation"),
        ("[]", "not a conversation"),
        ('{"format": "x", "version": 1, "messages": []}', "not a conversation of ours"),
        ('{"format": "chatglm_magic conversation", "version": 2, "messages": []}', "newer version"),
        ('{"format": "chatglm_magic conversation", "version": 1, "messages": [{"role": "root", "id": "a"}]}', "role"),
        (
            '{"format": "chatglm_magic conversation", "version": 1, "messages": [TWICE, TWICE]}'.replace(
                "TWICE", '{"role": "user", "id": "a"}'
            ),
            "damaged",
        ),
        ("[" * 100_000, "not a conversation"),
    ],
)
def test_what_is_no_conversation_is_refused(text, words):
    """A file of another kind, a damaged one or one of the future is refused in a sentence."""
    with pytest.raises(ConfigError, match=words):
        read_json(text)


def test_a_file_says_which_one_it_is(tmp_path):
    """A message about a file names it."""
    path = tmp_path / "talk.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        read_json(path)


def test_what_a_later_version_adds_is_passed_over():
    """A file with fields that are not known here is read."""
    told = json.loads(to_json("t", talk()))
    told["colour"] = told["messages"][0]["colour"] = "blue"

    assert read_json(json.dumps(told))[1].path()[0].content == "How?\nShow me `x`."


@pytest.mark.parametrize("suffix", FORMS)
def test_a_file_is_written_whole_and_again(tmp_path, suffix):
    """Each form is written in UTF-8; the file that we wrote is replaced, and nothing is left beside it."""
    path = tmp_path / f"talk{suffix}"
    assert write(path, "汉字", talk("一")) == path
    write(path, "汉字", talk("二 \ud800"))

    assert "二" in path.read_text(encoding="utf-8")
    assert "汉字" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMS)
def test_no_file_of_somebodys_is_replaced(tmp_path, suffix):
    """A file that is not ours, or that was changed since, stays as it is."""
    foreign = tmp_path / f"foreign{suffix}"
    foreign.write_text("mine", encoding="utf-8")
    changed = write(tmp_path / f"changed{suffix}", "t", talk())
    changed.write_text(changed.read_text(encoding="utf-8") + " ", encoding="utf-8")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()

    for path in (foreign, changed, folder):
        with pytest.raises(ConfigError, match="left as it is"):
            write(path, "t", talk())
    assert foreign.read_text(encoding="utf-8") == "mine"


def test_an_ending_that_says_nothing_is_refused(tmp_path):
    """The endings that there are stand in the message."""
    for name in ("talk.docx", "talk"):
        with pytest.raises(ConfigError, match=r"\.md, \.html, \.ipynb, \.json"):
            write(tmp_path / name, "t", talk())
    assert write(tmp_path / "TALK.MD", "t", talk()).exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    """A full disk costs neither the file that was there nor leaves half of another."""
    path = write(tmp_path / "talk.md", "t", talk("old"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "t", talk("new"))

    assert "old" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_markdown_reads_as_a_talk():
    """Each message has a heading, thoughts are folded away, a user's line ends are kept, an end is told."""
    told = to_markdown("My [talk]", talk(thought="hm", thinking_seconds=2, finish_reason="interrupted"))

    assert re.sub(r"<!--.*-->\n\n", "", told).startswith("# My &#91;talk&#93;\n\n*")
    assert "## You\n\nHow?  \nShow me `x`.\n\n## glm-4.7\n\n<details><summary>Thought for 2.0 s</summary>\n\nhm" in told
    assert "```python\nx = 1\nprint(x)\n```" in told
    assert told.endswith("*[stopped]*\n")


def test_what_came_with_an_answer_is_told():
    """Code that was run, its output, images as links and sources stand below the words in each form to be read."""
    said = talk(
        parts=(
            Part("code", "1 + 1"),
            Part("execution_output", "2"),
            Part("image", urls=("http://a.test/x.png",)),
            Part("search", sources=(Source("Page", "http://b.test"),)),
        )
    )
    for told in (to_markdown("t", said), to_ipynb("t", said), to_html("t", said)):
        for words in ("http://a.test/x.png", "http://b.test", "Sources"):
            assert words in told
    assert [*Page(to_html("t", said)).codes[-2:]] == ["1 + 1", "2"]


def test_python_becomes_cells_that_are_not_run():
    """A notebook is valid; Python in a fence of its own is a code cell without output, all else is to be read."""
    notebook = nbformat.reads(to_ipynb("t", talk()), as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert [cell.source for cell in code] == ["x = 1\nprint(x)"]
    assert all(cell.execution_count is None and not cell.outputs for cell in code)
    assert "> How?  \n> Show me `x`." in notebook.cells[1].source
    assert "```bash\nls\n```" in notebook.cells[-1].source


def test_half_a_program_is_no_cell():
    """Code that the answer broke off in is shown where it was, not offered to be run."""
    cells = nbformat.reads(to_ipynb("t", talk("```python\nx =", finish_reason="length")), as_version=4).cells

    assert [cell.cell_type for cell in cells] == ["markdown"] * 3
    assert "x =" in cells[2].source


@given(st.lists(messages, max_size=4), words)
@settings(deadline=None)
def test_any_conversation_makes_a_valid_notebook(said, title):
    """Whatever was said, nbformat finds nothing wrong, and no cell asks a model."""
    notebook = nbformat.reads(to_ipynb(title, said), as_version=4)
    nbformat.validate(notebook)

    assert all(not cell.source.startswith(("%", "!")) for cell in notebook.cells if cell.cell_type == "markdown")


@given(st.lists(messages, max_size=4), words)
@settings(deadline=None)
def test_any_conversation_makes_every_form(said, title):
    """No title, moment or text keeps a conversation from being written."""
    for form in FORMS.values():
        assert "chatglm_magic:" in form(title, said)[:400]


def test_a_tree_is_told_as_it_is_shown():
    """The forms to be read tell the chosen versions; JSON holds all of them."""
    tree = Tree(talk("the old version"))
    question = tree.path()[0]
    tree.add(Said(role="assistant", text="the new version", parent=question.id))

    for form in (to_markdown, to_html, to_ipynb):
        assert "the new version" in form("t", tree)
        assert "the old version" not in form("t", tree)
    assert "the old version" in to_json("t", tree)


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_texts_are_inert_in_files(text):
    """Opened in whatever reader, an export of the hostile corpus does nothing: as model, question, title and name."""
    said = talk(text, thought=text)
    said[0].text = text
    said[1].model = text
    markdown = to_markdown(text, said)
    cells = nbformat.reads(to_ipynb(text, said), as_version=4).cells

    assert {name: [each for each in found if each[:4] != "<!--"] for name, found in dangers(markdown).items()} == {
        name: [] for name in dangers(markdown)
    }
    for cell in cells:
        assert cell.cell_type == "code" or dangers(cell.source) == {}


def test_the_page_stands_alone():
    """An exported page loads nothing, runs nothing, and says so to the browser."""
    page = to_html("A <b>", talk("$x$ and\n\n| a |\n|---|\n| b |\n", thought="t"))

    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "<title>A &lt;b&gt;</title>" in page
    assert not re.search(r"<script|<link|<img|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
