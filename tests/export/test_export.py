"""A conversation as a file: safe to open, whole or not there, and read back as it was."""

from __future__ import annotations

import json
import os
import re

import nbformat
import pytest
from hostile import TEXTS
from html_judge import Page
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_judge import dangers
from nodes import nodes
from pseudo_language import speak_pseudo, unmarked

from chatglm_magic import ConfigError
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._conversation.tree import MessageTree
from chatglm_magic._events import Part, Source, TextDelta, ToolCall, Usage
from chatglm_magic._export import FORMATS, read_json, render, write
from chatglm_magic._export.html import to_html
from chatglm_magic._export.json import to_json
from chatglm_magic._export.markdown import to_markdown
from chatglm_magic._export.notebook import to_ipynb
from chatglm_magic._magics.options import EXPORTS
from chatglm_magic._messages import ImagePart, Message
from chatglm_magic._reply import Reply

MOMENT = 1_795_355_000.0
ANSWER = (
    "Do **this**:\n\n```python\nx = 1\nprint(x)\n```\n\nand\n\n```bash\nls\n```\n\n1. or\n   ```python\n   y\n   ```\n"
)


def talk(answer: str = ANSWER, **more) -> list[MessageNode]:
    """Give a question and its answer."""
    question = MessageNode(role="user", text="How?\nShow me `x`.", created=MOMENT)
    return [
        question,
        MessageNode(role="assistant", text=answer, parent=question.id, created=MOMENT, model="glm-4.7", **more),
    ]


def tree_of(answer: str = ANSWER, **more) -> MessageTree:
    """Give the same as a conversation."""
    return MessageTree(talk(answer, **more))


def as_told(said: MessageNode) -> dict[str, object]:
    """Give all of a message that a file keeps."""
    return {name: getattr(said, name) for name in MessageNode.__struct_fields__ if name != "reply"}


words = st.text(st.characters(codec="utf-8"), max_size=30)
messages = nodes(words)


@st.composite
def trees(draw: st.DrawFn) -> MessageTree:
    """Grow a tree in any form, with any path chosen."""
    tree = MessageTree()
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
    said = talk("", thinking="hm")
    said[1].reply = Reply()
    said[1].reply.add(TextDelta("half"))
    saved = read_json(to_json("t", said))[1].path()[1]

    assert (saved.text, saved.thinking, saved.finish_reason) == ("half", "hm", "interrupted")
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
        (
            '{"format": "chatglm_magic conversation", "version": 1, "messages": [ONE]}'.replace(
                "ONE", '{"role": "user", "id": "a", "reply": {}}'
            ),
            "reply",
        ),
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


EARLIER = """
{"format": "chatglm_magic conversation", "version": 1, "written": "chatglm_magic:efe5884f7516f896", "title": "paper",
 "chosen": {"": "q", "q": "a"},
 "messages": [
  {"role": "user", "id": "q", "created": 1795355000.0, "cell": "id a 1", "elapsed": 0.0, "thinking_seconds": 0.0,
   "content": "How?"},
  {"role": "assistant", "id": "a", "thinking": "hm", "parent": "q", "created": 1795355001.5, "finish_reason": "stop",
   "model": "glm-4.7", "provider": "zai", "usage": {"prompt_tokens": 3, "total_tokens": 7, "raw": {"cached": 1}},
   "elapsed": 1.5, "first_event": 0.25, "thinking_seconds": 0.5, "warnings": ["odd"], "key": "k", "content": "So.",
   "parts": [{"kind": "search", "sources": [{"title": "A", "url": "https://a.example", "key": "1"}]},
             {"kind": "code", "content": "1"}]},
  {"role": "assistant", "id": "b", "parent": "q", "created": 1795355002.0, "finish_reason": "error", "elapsed": 0.0,
   "thinking_seconds": 0.0, "error": "It broke."}]}
"""
"""A file as it has been written from the beginning: what is renamed inside keeps its name there."""


def test_a_file_of_an_earlier_version_is_read():
    """Every field of it stands where it stood."""
    title, tree = read_json(EARLIER)
    question, answer = tree.path()

    assert (title, len(tree), question.text, question.cell) == ("paper", 3, "How?", "id a 1")
    assert as_told(answer) == as_told(
        MessageNode(
            role="assistant",
            id="a",
            text="So.",
            thinking="hm",
            parent="q",
            created=1795355001.5,
            finish_reason="stop",
            model="glm-4.7",
            provider="zai",
            usage=Usage(3, 0, 7, raw={"cached": 1}),
            elapsed=1.5,
            first_event=0.25,
            thinking_seconds=0.5,
            parts=(Part("search", sources=(Source("A", "https://a.example", "1"),)), Part("code", "1")),
            warnings=("odd",),
            key="k",
        )
    )
    assert tree.get("b").error == "It broke."


def test_what_a_later_version_adds_is_passed_over():
    """A file with fields that are not known here is read."""
    told = json.loads(to_json("t", talk()))
    told["colour"] = told["messages"][0]["colour"] = "blue"

    assert read_json(json.dumps(told))[1].path()[0].text == "How?\nShow me `x`."


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_written_whole_and_again(tmp_path, suffix):
    """Each form is written in UTF-8; the file that we wrote is replaced, and nothing is left beside it."""
    path = tmp_path / f"talk{suffix}"
    assert write(path, "汉字", tree_of("一")) == path
    write(path, "汉字", tree_of("二 \ud800"))

    assert "二" in path.read_text(encoding="utf-8")
    assert "汉字" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_file_of_somebodys_is_replaced(tmp_path, suffix):
    """A file that is not ours, or that was changed since, stays as it is."""
    foreign = tmp_path / f"foreign{suffix}"
    foreign.write_text("mine", encoding="utf-8")
    changed = write(tmp_path / f"changed{suffix}", "t", tree_of())
    changed.write_text(changed.read_text(encoding="utf-8") + " ", encoding="utf-8")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()

    for path in (foreign, changed, folder):
        with pytest.raises(ConfigError, match="left as it is"):
            write(path, "t", tree_of())
    assert foreign.read_text(encoding="utf-8") == "mine"


def test_an_ending_that_says_nothing_is_refused(tmp_path):
    """The endings that there are stand in the message."""
    for name in ("talk.docx", "talk"):
        with pytest.raises(ConfigError, match=r"\.md, \.html, \.ipynb, \.json"):
            write(tmp_path / name, "t", tree_of())
    assert write(tmp_path / "TALK.MD", "t", tree_of()).exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    """A full disk costs neither the file that was there nor leaves half of another."""
    path = write(tmp_path / "talk.md", "t", tree_of("old"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "t", tree_of("new"))

    assert "old" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_markdown_reads_as_a_talk():
    """Each message has a heading, thoughts are folded away, a user's line ends are kept, an end is told."""
    told = to_markdown("My [talk]", talk(thinking="hm", thinking_seconds=2, finish_reason="interrupted"))

    assert re.sub(r"<!--.*-->\n\n", "", told).startswith("# My &#91;talk&#93;\n\n*")
    assert "## You\n\nHow?  \nShow me `x`.\n\n## glm-4.7\n\n<details><summary>Thought for 2.0 s</summary>\n\nhm" in told
    assert "```python\nx = 1\nprint(x)\n```" in told
    assert told.endswith("*[stopped]*\n")


def test_amounts_of_money_read_as_they_were_written():
    """In a file a plain dollar is escaped as people do, not an element; code is left alone."""
    node = MessageNode(role="assistant", text="It costs $1.10 or $2.20.\n\n```html\n<span>&#36;</span>\n```", model="m")

    told = to_markdown("t", [node])

    assert r"It costs \$1.10 or \$2.20." in told
    assert "```html\n<span>&#36;</span>\n```" in told


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
    for suffix in FORMATS:
        assert re.search("chatglm_magic:[0-9a-f]{16}", render(suffix, title, MessageTree(said))[:400])


def test_the_magics_offer_every_format():
    """What `%chatglm export` completes is what there is."""
    assert tuple(FORMATS) == EXPORTS


def test_a_tree_is_told_as_it_is_shown():
    """The forms to be read tell the chosen versions; JSON holds all of them."""
    tree = MessageTree(talk("the old version"))
    question = tree.path()[0]
    tree.add(MessageNode(role="assistant", text="the new version", parent=question.id))

    for suffix in FORMATS:
        assert "the new version" in render(suffix, "t", tree)
        assert ("the old version" in render(suffix, "t", tree)) is (suffix == ".json")


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_texts_are_inert_in_files(text):
    """Opened in whatever reader, an export of the hostile corpus does nothing: as model, question, title and name."""
    said = talk(text, thinking=text)
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
    page = to_html("A <b>", talk("$x$ and\n\n| a |\n|---|\n| b |\n", thinking="t"))

    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "<title>A &lt;b&gt;</title>" in page
    assert not re.search(r"<script|<link|<img|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_ours_in_every_language(suffix, tmp_path, monkeypatch):
    """An export made in one language is known as untouched in another, and JSON is read there as it was."""
    path = tmp_path / f"talk{suffix}"
    tree = tree_of(finish_reason="interrupted")
    speak_pseudo(monkeypatch)
    write(path, "", tree)
    monkeypatch.setenv("CHATGLM_LANG", "en")
    if suffix == ".json":
        assert list(map(as_told, read_json(path)[1])) == list(map(as_told, tree))

    assert write(path, "", tree).read_text("utf-8") == render(suffix, "", tree)


def test_the_words_of_an_export_are_translated(monkeypatch):
    """Who spoke, when, how it ended and what came with it are told in the language that is spoken."""
    talked = talk(
        "1",
        finish_reason="length",
        thinking="2",
        usage=Usage(3, 4, 7),
        elapsed=5.0,
        parts=(Part("search", sources=(Source("6", "https://7.de"),)),),
    )
    speak_pseudo(monkeypatch)

    markdown = unmarked(to_markdown("", talked))
    page = Page(to_html("", talked))

    for word in ("You", "Conversation", "Thought", "Sources", "cut off", "November"):
        assert word not in markdown
        assert word not in unmarked(page.text)
    assert "⟦You⟧" in page.text
    assert 'lang="zh-Hans"' in to_html("", talked)


def called() -> list[MessageNode]:
    """Give a question with pictures that was answered with the help of a tool."""
    question, answer = talk("Three.")
    question.attachments = (
        ImagePart(data=b"\x89PNG", media_type="image/png", name="my [plot].png"),
        ImagePart(url="https://h/a.png"),
        ImagePart(data=b"<script>", media_type="text/html", name="odd"),
    )
    answer.exchange = (
        Message("assistant", calls=(ToolCall("c", "stock", "{}"),)),
        Message("tool", "</details> 3 left", call_id="c"),
    )
    return [question, answer]


def test_pictures_are_in_the_page_and_in_the_notebook():
    """Their bytes travel with the file; remote ones are named or linked, never loaded, and other files never shown."""
    page, notebook = to_html("x", called()), nbformat.reads(to_ipynb("x", called()), 4)
    nbformat.validate(notebook)
    cell = next(cell for cell in notebook.cells if "attachments" in cell)
    [(file, data)] = cell["attachments"].items()

    assert page.count("<img ") == 1
    assert '<img src="data:image/png;base64,iVBORw==" alt="my [plot].png">' in page
    assert "img-src data:;" in page
    assert "<p>[odd]</p>" in page
    assert data == {"image/png": "iVBORw=="}
    assert f"(attachment:{file})" in cell.source
    assert "](https://h/a.png)" in cell.source
    assert "iVBORw" not in to_markdown("x", called())
    assert "](https://h/a.png)" in to_markdown("x", called())


def test_what_tools_returned_is_shown_as_text():
    """The answer rests on it, and it is as hostile as an answer."""
    for text in (to_markdown("x", called()), to_html("x", called()), to_ipynb("x", called())):
        assert "stock returned" in text
        assert "3 left" in text
    _, _, below_our_comment = to_markdown("x", called()).partition("\n")
    assert dangers(below_our_comment) == {}
