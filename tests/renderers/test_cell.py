"""What a person sees of a reply in a cell at each moment."""

from __future__ import annotations

import json
import re

import pytest
from front_end import FrontEnd, Play, chinese, play, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_judge import HOSTILE, dangers
from pseudo_language import speak_pseudo, unmarked

from chatglm_magic._errors import Interrupted, ServerError
from chatglm_magic._events import Finished, Part, Replace, Source, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from chatglm_magic._markdown.reply_markdown import compose
from chatglm_magic._reply import Reply
from chatglm_magic.renderers.cell import CellRenderer
from chatglm_magic.renderers.output import bundle


def test_a_status_line_is_there_at_once_and_counts_seconds():
    """Before the first event the cell says who is asked, and each second how long it takes."""
    played = play()

    assert played.front.markdown == "*glm · waiting*"

    played.wait(3.2)

    assert played.front.markdown == "*glm · waiting · 3 s*"
    assert len(played.front.log) == 4

    played.renderer.status("trying again")
    played.wait(0.1)

    assert played.front.markdown == "*glm · trying again · 3 s*"


def test_the_first_words_are_shown_at_once():
    """Words that come right after the status line do not wait for the next paint; later ones do."""
    played = play()
    played.wait(0.004)
    played.say(TextDelta("Hel"))

    assert played.front.markdown == "Hel"

    played.wait(0.005)
    played.say(TextDelta("lo"))

    assert played.front.markdown == "Hel"

    played.wait(0.1)

    assert played.front.markdown == "Hello"


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_is_shown_is_always_what_has_come(exclusive):
    """At each moment the outputs, one below the other, read as the text so far; nothing is missing or twice."""
    text = re.sub(r"[$<`\[\]]", "", chinese(6000))
    played = play(exclusive=exclusive)

    for at in range(0, len(text), 20):
        played.say(TextDelta(text[at : at + 20]))
        played.wait(0.4)
        so_far = text[: at + 20]

        assert re.sub(r"[\s*]+", "", played.front.markdown) == re.sub(r"[\s*]+", "", so_far)


def test_nothing_that_was_seen_vanishes_between_two_messages(monkeypatch):
    """When a block is settled the page is never shorter for a moment: scrolled to its end, it would jump."""
    played = play()
    publish, sizes = played.front.publish, []

    def watched(*data, **how):
        publish(*data, **how)
        sizes.append(len(played.front.markdown))

    monkeypatch.setattr(played.front, "publish", watched)
    for number in range(150):
        before = len(played.front.markdown)
        sizes.clear()
        played.say(TextDelta(f"Sentence {number} of a long answer. " + "\n\n" * (number % 3 == 0)))
        played.wait(0.1)

        assert not number or min(sizes, default=before) >= before - 2  # blank lines at a block's end

    assert len(played.front.outputs) > 3


def test_the_end_is_one_output():
    """At the end the cell holds one display with Markdown, plain text and what it came from."""
    played = stream(chinese(3000))
    played.say(Usage(1, 2, 3), Finished("stop"))
    played.end()
    [output] = played.front.outputs

    assert output["data"] == {"text/markdown": compose(played.reply), "text/plain": played.reply.text}
    told = output["metadata"]["chatglm_magic"]
    assert (told["status"], told["model"], told["provider"]) == ("stop", "glm", "test")
    assert told["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("tokens", [3, 4000])
def test_who_ignores_updates_gets_the_whole_too(exclusive, tokens, monkeypatch):
    """A console, which knows no updates, is told at once who is asked, and gets the whole reply once, as plain text."""
    played = play(exclusive=exclusive)
    publish = played.front.publish
    new = [output["data"] for output in played.front.outputs if isinstance(output, dict)]

    def watched(data, metadata=None, *, transient=None, update=False):
        publish(data, metadata, transient=transient, update=update)
        new.extend([] if update else [data])

    monkeypatch.setattr(played.front, "publish", watched)
    for at in range(0, tokens, 20):
        played.wait(0.05)
        played.say(TextDelta(chinese(tokens)[at : at + 20]))
    played.end()

    said = [data["text/plain"] for data in new if "text/plain" in data]
    assert said == ["glm · waiting\n", played.reply.text]


def test_an_unfinished_output_says_so():
    """Blocks of a reply that still grows are marked, so that a notebook saved now can tell."""
    played = stream(chinese(1000))

    assert {output["metadata"]["chatglm_magic"]["status"] for output in played.front.outputs} == {"streaming"}


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("form", ["md", "text", "json"])
def test_no_paint_before_the_end_reads_as_whole(exclusive, form):
    """Each one begins with words that say so: a kernel may end after any of them, and its notebook is saved."""
    played = play(exclusive=exclusive, form=form)

    for text in ("Hel", "lo.\n\n", "```python\nprint(", chinese(2000)):
        played.say(TextDelta(text))
        played.wait(0.5)
        ours = next(output for output in played.front.outputs if isinstance(output, dict))
        assert ours["data"]["text/markdown"].startswith("*[still being written]*\n\n")
    played.end()

    assert "still being written" not in json.dumps(played.front.outputs)


def test_among_other_outputs_nothing_is_cleared():
    """Where the cell holds more than ours, the whole comes below, and those that grew are emptied in their places."""
    played = stream(chinese(4000), exclusive=False)
    played.front.prints("printed meanwhile")
    played.wait(0.5)
    played.end()

    assert played.front.cleared == 0
    user = [output for output in played.front.outputs if isinstance(output, str)]
    *others, last = [output for output in played.front.outputs if isinstance(output, dict)]
    assert user == ["the user's own", "printed meanwhile"]
    assert last["data"]["text/markdown"] == compose(played.reply)
    assert others
    assert [(output["data"], output["metadata"]) for output in others] == [({"text/plain": ""}, {})] * len(others)


events = st.one_of(
    st.builds(TextDelta, st.sampled_from(["a ", "b\n\nC", "- x\n", "```\n", "$$", "**c", "long " * 100 + "\n\n"])),
    st.builds(ThinkingDelta, st.sampled_from(["hm ", "so\n\n"])),
    st.builds(Replace, st.sampled_from(["", "new", "other\n\ntext\n\n" * 200]), st.sampled_from(["", "thought"])),
    st.builds(Part, st.sampled_from(["code", "notice", "image", "unknown"]), st.just("x"), st.sampled_from(["", "1"])),
    st.just(Part("search", sources=(Source("t", "https://e.de"),))),
    st.just(ToolCallDelta(0, "1", "f", "{}")),
    st.just(Usage(1, 1, 2)),
)
steps = st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.03, 0.2, 1.5]), events), max_size=60)


@settings(deadline=None)
@given(steps, st.booleans(), st.booleans(), st.sampled_from(["stop", "length", "interrupted", "error"]))
def test_whatever_comes_ends_as_the_whole(steps, exclusive, show_thinking, reason):
    """Any events end as the composed reply, at no more than 20 messages a second, the user's outputs untouched."""
    played = play(exclusive=exclusive, show_thinking=show_thinking)
    for seconds, event in steps:
        played.wait(seconds)
        played.say(event)
    played.say(Finished(reason))
    played.end()
    ours = [output for output in played.front.outputs if isinstance(output, dict)]
    data, _ = bundle(played.reply, show_thinking=show_thinking)

    assert ours[-1]["data"] == data
    assert all(output["data"] == {"text/plain": ""} for output in ours[:-1])
    assert len(ours) == 1 or not exclusive
    assert ("the user's own" in played.front.outputs) is not exclusive
    assert played.front.cleared == 0 or exclusive
    assert played.front.busiest(1.0) <= 20
    assert played.front.peak <= 49


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(HOSTILE), max_size=30), st.lists(st.sampled_from(HOSTILE), max_size=10))
def test_every_frame_is_safe(pieces, thoughts):
    """Nothing acts in any output at any moment, in the answer, in thoughts, notices, code or names."""
    front = FrontEnd()
    played = Play(front, CellRenderer(front, exclusive=True, clock=front.clock))
    hostile = [ThinkingDelta(piece) for piece in thoughts] + [TextDelta(piece) for piece in pieces]
    hostile += [Part(kind, "".join(thoughts)) for kind in ("code", "execution_output", "notice")]
    hostile += [ToolCallDelta(0, "", "".join(thoughts), "".join(pieces)), Part("server_tool", name="".join(thoughts))]
    for event in hostile:
        played.say(event)
        played.wait(0.3)
        for output in front.outputs:
            assert dangers(output["data"].get("text/markdown", "")) == {}
    played.end()
    assert dangers(front.markdown) == {}


def test_thinking_is_a_line_that_folds_away():
    """A thought shows as one line with its newest words; with the answer it folds away, and stays in the end."""
    played = play()
    played.say(ThinkingDelta("first " * 40))
    played.wait(2.3)
    played.say(ThinkingDelta("<b>second</b>"))
    played.wait(1)

    assert played.front.markdown.startswith("*thinking · 3 s*\n\n> ")
    assert played.front.markdown.endswith("first &#60;b&#62;second&#60;/b&#62;")
    assert len(played.front.markdown) < 250

    played.say(TextDelta("Answer"))

    assert played.front.markdown.startswith("<details><summary>Thought for 2.3 s</summary>\n\nfirst first")
    assert played.front.markdown.endswith("first &lt;b>second&lt;/b>\n\n</details>\n\nAnswer")

    played.say(Finished("stop"))
    played.end()

    assert re.fullmatch(
        r"<details><summary>Thought for \d\.\d s</summary>\n\n.*second&lt;/b>\n\n</details>\n\nAnswer",
        played.front.markdown,
    )
    assert played.front.outputs[0]["data"]["text/plain"] == "Answer"


def test_hidden_thinking_only_counts():
    """With thinking hidden the cell says that it goes on, and nothing of it."""
    played = play(show_thinking=False)
    played.say(ThinkingDelta("secret"))
    played.wait(2.1)

    assert played.front.markdown == "*thinking · 2 s*"

    played.say(TextDelta("Answer"), Finished("stop"))
    played.end()

    assert played.front.markdown == "Answer"


def test_a_reply_that_only_thought_is_not_blank():
    """Where no answer comes, the thinking is shown open, with a word about it."""
    played = play(show_thinking=False)
    played.say(ThinkingDelta("hm"), Finished("stop"))
    played.end()

    assert played.front.markdown.startswith("<details open>")
    assert "hm" in played.front.markdown
    assert "gave no answer" in played.front.markdown


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_correction_repaints_everything(exclusive):
    """What was unsaid disappears, settled blocks too; what is said anew stands in its place."""
    played = stream(chinese(4000), exclusive=exclusive)
    before = len(played.front.outputs)
    played.say(Replace("Something else."))
    played.wait(1)

    assert before > 2
    assert played.front.markdown == "Something else."

    sent = len(played.front.log)
    played.say(Replace("Something else again."))
    played.wait(1)
    played.say(Replace("Something else."))
    played.wait(1)

    assert played.front.markdown == "Something else."
    assert len(played.front.log) == sent + 2

    played.say(TextDelta(f"\n\n{chinese(4000)}"))
    played.wait(5)

    assert played.front.markdown.startswith("Something else.\n\n## 标题")
    assert len(played.front.outputs) <= before + 2


def test_a_correction_that_only_adds_is_no_repaint():
    """Where the corrected text begins with what was said, settled blocks stay as they are."""
    text = chinese(4000)
    played = stream(text)
    blocks = list(played.front.outputs[:-1])
    cleared = played.front.cleared
    played.say(Replace(f"{text} More."))
    played.wait(1)

    assert played.front.outputs[: len(blocks)] == blocks
    assert played.front.cleared == cleared
    assert played.front.markdown.endswith("More.")


def test_parts_show_as_they_come():
    """Code, output and images of the service stand between the words, images as links."""
    played = play()
    for event in (
        TextDelta("Let me see."),
        Part("code", "print(6*7)", id="b"),
        Part("execution_output", "\n42\n", id="c"),
        Part("execution_output", "\n42\n", id="c"),
        Part("image", urls=("https://e.de/cat.png",)),
        Part("search", sources=(Source("A", "https://a.de"), Source("B", "https://b.de"))),
        TextDelta("It is 42."),
    ):
        played.say(event)
        played.wait(0.2)

    assert played.front.markdown == (
        "Let me see.\n\n```python\nprint(6*7)\n```\n\n```text\n42\n```\n\n- [image](https://e.de/cat.png)"
        "\n\n*2 pages found*\n\nIt is 42."
    )


def test_a_call_is_told():
    """A tool call is told while its arguments come, and shown whole at the end."""
    played = play()
    played.say(ToolCallDelta(0, "1", "get_weather", '{"city":'))
    played.wait(0.1)

    assert played.front.markdown == "*calling get&#95;weather …*"

    played.say(ToolCallDelta(0, arguments='"Bonn"}'), Finished("tool_calls"))
    played.end()

    assert played.front.markdown == '*calls get&#95;weather*\n\n```json\n{"city":"Bonn"}\n```'


def test_an_interrupted_reply_stays_marked():
    """What had arrived stays, marked as stopped; without any word the mark alone."""
    for text in ("Half an", ""):
        played = play()
        played.say(*([TextDelta(text)] if text else []))
        played.reply.end("interrupted")
        played.end(Interrupted(played.reply))

        assert played.front.markdown == "\n\n".join(filter(None, [text, "*&#91;stopped&#93;*"]))
        [output] = played.front.outputs
        assert output["metadata"]["chatglm_magic"]["status"] == "interrupted"


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_failed_reply_keeps_its_words(exclusive):
    """Where a reply fails, its words stay, marked; where none came, the status line makes room for the error."""
    played = play(exclusive=exclusive)
    played.say(TextDelta("Half"), Finished("error"))
    played.end(ServerError("x"))
    silent = play(exclusive=exclusive)
    silent.reply.end("error")
    silent.end(ServerError("x"))
    silent.front.prints("ServerError: x")

    assert played.front.markdown == "Half\n\n*&#91;broken off&#93;*"
    assert silent.front.markdown == ""
    assert silent.front.outputs[-1] == "ServerError: x"
    assert ("the user's own" in silent.front.outputs) is not exclusive


def test_a_reply_that_was_never_opened_can_be_closed():
    """An error before the first paint leaves nothing behind."""
    front = FrontEnd()
    reply = Reply()
    reply.end("error")
    CellRenderer(front, exclusive=False, clock=front.clock).close(reply, ServerError("x"))

    assert front.outputs == []


def test_a_growing_answer_speaks_the_language_of_the_moment(monkeypatch):
    """A cell that waits, thinks, calls or grows changes its language with the next paint, and its metadata name it."""
    played = play()
    played.wait(2.2)
    english = played.front.markdown
    speak_pseudo(monkeypatch)
    shown = []
    for event in (None, ThinkingDelta("1"), ToolCallDelta(0, "2", "3", "{}"), TextDelta("4")):
        played.say(*filter(None, [event]))
        played.wait(2)
        shown.append("".join(filter(str.isalpha, unmarked(played.front.markdown))))

    assert english == "*glm · waiting · 2 s*"
    assert shown == ["glm", "", *["detailssummarysummarydetails"] * 2]
    assert played.front.outputs[0]["metadata"]["chatglm_magic"] == {"status": "streaming", "language": "zh"}
