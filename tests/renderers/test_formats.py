"""Replies shown as text, code or JSON: as they are written while they grow, and in no other form."""

from __future__ import annotations

import pytest
from front_end import FrontEnd, Play
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._errors import ServerError
from chatglm_magic._events import Finished, Part, Replace, TextDelta, ThinkingDelta, Usage
from chatglm_magic.renderers.cell import CellRenderer
from chatglm_magic.renderers.output import bundle
from chatglm_magic.renderers.plain import WholeRenderer

FENCE = "~" * 20


def in_cell(form: str = "text") -> Play:
    front = FrontEnd()
    return Play(front, CellRenderer(front, exclusive=True, form=form, clock=front.clock))


class Paper:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text


def on_paper(form: str, **how) -> tuple[Paper, Play]:
    paper = Paper()
    return paper, Play(FrontEnd(), WholeRenderer(paper.write, form, **how))


def test_text_is_shown_as_written_while_it_grows():
    """What looks like Markdown, HTML or a formula stands there letter by letter, in one fence."""
    played = in_cell()
    said = "# no title\n\n**not bold** $x$ <b>"
    for at in range(0, len(said), 5):
        played.say(TextDelta(said[at : at + 5]))
        played.wait(0.2)

    assert played.front.markdown == f"```text\n{said}\n```"


@given(st.lists(st.sampled_from(["```\n", "~~~\n", "a\n", "\n", "$$", "- x\n"]), min_size=1, max_size=30))
def test_nothing_in_the_text_ends_its_fence(pieces):
    """Whatever is written, all of it stays inside the one fence."""
    played = in_cell("json")
    for piece in pieces:
        played.say(TextDelta(piece))
    played.wait(1)
    first, *inside, last = played.front.markdown.split("\n")

    assert first == f"{last}json"
    assert "\n".join(inside).rstrip("\n") == "".join(pieces).rstrip("\n")
    assert last not in inside


def test_a_correction_is_fenced_too():
    """What is said anew is shown as it is written, as what was said before."""
    played = in_cell()
    played.say(TextDelta("# one"))
    played.wait(0.2)
    played.say(Replace("# two"))
    played.wait(0.2)
    played.say(TextDelta(" more"))
    played.wait(0.2)

    assert played.front.markdown == "```text\n# two more\n```"


def test_what_follows_a_part_is_fenced_too():
    """Where code or a notice of the service stands between the words, those behind it are shown as written too."""
    played = in_cell()
    played.say(TextDelta("# one"), Part("notice", "mind"), TextDelta("# two"))
    played.wait(0.2)

    assert played.front.markdown == "```text\n# one\n```\n\n*mind*\n\n```text\n# two\n```"


def test_thinking_waiting_and_news_are_not_fenced():
    """The status line, its reasons and thoughts look as they do in Markdown replies."""
    played = in_cell()

    assert played.front.markdown == "*glm · waiting*"

    played.renderer.status("trying again")
    played.wait(0.1)

    assert played.front.markdown == "*glm · trying again*"

    played.say(ThinkingDelta("hm"))
    played.wait(0.5)

    assert FENCE not in played.front.markdown
    assert "> hm" in played.front.markdown


@pytest.mark.parametrize(("form", "said"), [("text", "# no title"), ("json", '{"a": 1}')])
def test_the_end_is_the_whole_in_its_form(form, said):
    """At the end the cell holds one output, in the form that was asked for."""
    played = in_cell(form)
    played.say(TextDelta(said), Finished("stop"))
    played.end()
    [output] = played.front.outputs

    assert output["data"] == bundle(played.reply, form=form)[0]


def test_an_error_without_words_leaves_nothing():
    """Where an error comes instead of any word, nothing of ours is left."""
    played = in_cell()
    played.reply.end("error")
    played.end(ServerError("x"))
    played.front.prints("ServerError: x")

    assert played.front.outputs == ["ServerError: x"]


@pytest.mark.parametrize(
    ("form", "said", "written"),
    [
        ("code", "So:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("code", "no code here", "no code here\n"),
        ("json", 'Here:\n```json\n{"a":[1,2]}\n```', '{\n  "a": [\n    1,\n    2\n  ]\n}\n'),
    ],
)
def test_at_the_end_only_what_was_asked_for_is_written(form, said, written):
    """Where nothing can be taken back, only the code or the JSON is written, once it is whole."""
    paper, played = on_paper(form)
    played.say(TextDelta(said))
    played.wait(3)

    assert paper.written == ""

    played.say(Finished("stop"))
    played.end()

    assert paper.written == written


def test_at_the_end_news_and_tokens_are_told():
    """Why nothing has come yet is told at once, on its own line; tokens and seconds at the end, where asked for."""
    paper, played = on_paper("code", show_usage=True)
    played.renderer.status("trying\x1b again")

    assert paper.written == "[trying\N{REPLACEMENT CHARACTER} again]\n"

    played.say(TextDelta("```\nx\n```"), Usage(1, 2, 3), Finished("stop"))
    played.end()
    _, code, usage, end = paper.written.split("\n")

    assert (code, end) == ("x", "")
    assert usage.startswith("glm · 1 + 2 tokens · ")


def test_at_the_end_of_nothing_nothing_is_written():
    """A reply that failed before any word leaves the error alone; one that is empty says so."""
    paper, played = on_paper("code")
    played.reply.end("error")
    played.end(ServerError("x"))

    assert paper.written == ""

    paper, played = on_paper("code")
    played.say(Finished("stop"))
    played.end()

    assert paper.written == "The model gave no answer text.\n"


def test_what_drives_a_terminal_is_not_written():
    """No control character of a model's reaches the terminal."""
    paper, played = on_paper("code")
    played.say(TextDelta("```\n\x1b[2Jx\x07\n```"), Part("notice", "\x1b"), Finished("stop"))
    played.end()

    assert "\x1b" not in paper.written
    assert "\x07" not in paper.written
