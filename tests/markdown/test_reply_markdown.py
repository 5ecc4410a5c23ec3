"""A finished reply as the Markdown that is shown and saved."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from markdown_judge import PARSERS, read
from pseudo_language import speak_pseudo, unmarked

from chatglm_magic._events import Finished, Part, Replace, Source, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from chatglm_magic._markdown.reply_markdown import _SENTENCES, CUTS, compose
from chatglm_magic._reply import Reply
from chatglm_magic.renderers.output import bundle, usage_line

GO_ON = "; %chatglm continue goes on"


def made(*events, model: str = "glm") -> Reply:
    reply = Reply(model, "test")
    for event in events:
        reply.add(event)
    return reply


@pytest.mark.parametrize(
    ("events", "markdown"),
    [
        ([TextDelta("Hi <b>")], "Hi &lt;b>"),
        ([], ""),
        ([TextDelta(" \n")], " \n"),
        (
            [TextDelta("a"), Part("code", "x = '```'"), Part("execution_output", "\n1\n")],
            "a\n\n````python\nx = '```'\n````\n\n```text\n1\n```",
        ),
        (
            [Part("image", urls=("https://e.de/a.png", "https://e.de/b"))],
            "- [image](https://e.de/a.png)\n- [image](https://e.de/b)",
        ),
        ([Part("image", urls=("javascript:x",))], "- image"),
        ([ToolCallDelta(0, "1", "f", '{"a": 1}')], '*calls f*\n\n```json\n{"a": 1}\n```'),
        ([Part("server_tool", name="search", arguments='{"q": "x"}')], '*search* {"q"&#58; "x"}'),
        ([Part("notice", "mind\nthe <gap>")], "*mind the &#60;gap&#62;*"),
        ([Part("notice", " ")], ""),
        ([Part("unknown", raw={"a": 1})], ""),
        ([TextDelta("a"), Replace("b")], "b"),
    ],
)
def test_each_part_has_its_form(events, markdown):
    """Code and output stand in fences, images become links, what a service did is told in a line."""
    assert compose(made(*events)) == markdown


def test_the_wires_own_order_holds():
    """Where the wire numbers its parts, words and code stand as they came."""
    parts = (Part("text", "first"), Part("code", "x"), Part("text", "then"), Part("execution_output", "1"))

    assert compose(made(TextDelta("first\n\nthen"), Finished("stop", parts=parts))) == (
        "first\n\n```python\nx\n```\n\nthen\n\n```text\n1\n```"
    )


def test_sources_stand_below_the_answer_once():
    """What several searches found is one numbered list, without repetition, links checked."""
    reply = made(
        Part("search", sources=(Source("A", "https://a.de"),)),
        Part("search", sources=(Source("A", "https://a.de"), Source("", "https://b.de"), Source("C", "data:x"))),
        TextDelta("Found【1†source】."),
    )

    assert compose(reply) == ("Found【1†source】.\n\n1. [A](https://a.de)\n2. [https&#58;//b.de](https://b.de)\n3. C")


@pytest.mark.parametrize("parser", PARSERS)
def test_thinking_is_folded_in_every_front_end(parser):
    """Thinking is Markdown within `<details>`, and cannot get out of it."""
    reply = made(ThinkingDelta("**bold** </details>\n\n```\n</details>\n```\n- item"), TextDelta("**Answer**"))

    shown = read(compose(reply), parser)

    assert shown.dangers == []
    assert shown.text.count("</details>") == 2
    assert "bold </details>" in shown.text
    assert "Thought for 0.0 s" in shown.text
    assert compose(reply).endswith("\n\n</details>\n\n**Answer**")
    assert compose(reply, show_thinking=False) == "**Answer**"


def test_thinking_alone_is_open():
    """A reply without an answer shows its thinking, whatever is set, and says that this was all."""
    reply = made(ThinkingDelta("hm"), Finished("stop"))
    warned = made(ThinkingDelta("hm"), Finished("stop", warnings=("reasoning-only",)))
    stopped = made(ThinkingDelta("hm"), Finished("interrupted"))
    opened = "<details open><summary>Thought for 0.0 s</summary>\n\nhm\n\n</details>\n\n"

    assert compose(reply, show_thinking=False) == f"{opened}*The model only thought, and gave no answer.*"
    assert compose(warned) == compose(reply)
    assert compose(stopped) == f"{opened}*&#91;stopped&#93;*"
    assert bundle(reply)[0]["text/plain"] == "hm"


@pytest.mark.parametrize(
    ("finished", "mark"),
    [
        (Finished("stop"), ""),
        (Finished("tool_calls"), ""),
        (Finished("interrupted"), "[stopped]"),
        (Finished("length"), "[cut off: max_tokens reached]"),
        (Finished("length", raw="model_context_window_exceeded"), "[cut off: the model's context is full]"),
        (Finished("content_filter"), "[cut by moderation]"),
        (Finished("error"), "[broken off]"),
        (Finished("content_filter", warnings=("refusal",)), "[refused by the model]"),
        (Finished("stop", warnings=("no-finish-reason",)), f"[{CUTS['no-finish-reason']}{GO_ON}]"),
        (Finished("stop", warnings=("bad-frame",)), f"[{CUTS['bad-frame']}{GO_ON}]"),
        (Finished("stop", warnings=("last-error",)), f"[{CUTS['last-error']}{GO_ON}]"),
        (
            Finished("stop", raw="O_THER\x1b[31m", warnings=("unknown-finish-reason",)),
            f"[{CUTS['unknown-finish-reason']} (O_THER?31m){GO_ON}]",
        ),
        (Finished("length", warnings=("bad-frame",)), "[cut off: max_tokens reached]"),
    ],
)
def test_a_bad_end_is_marked(finished, mark):
    """Markdown and plain text say how a reply ended, if not well."""
    data, metadata = bundle(made(TextDelta("Half\n"), finished))

    assert data["text/plain"] == (f"Half\n\n{mark}" if mark else "Half\n")
    assert read(data["text/markdown"], "commonmark").text.strip() == f"Half\n{mark}".strip()
    assert metadata["chatglm_magic"]["status"] == finished.reason


def test_an_end_without_words_is_only_its_mark():
    """A reply that was stopped before its first word is no blank output."""
    reply = Reply()
    reply.end("interrupted")

    assert bundle(reply)[0] == {"text/markdown": "*&#91;stopped&#93;*", "text/plain": "[stopped]"}


def test_warnings_that_matter_are_sentences():
    """What the user should know is told once; what only the wire did is not."""
    reply = made(TextDelta("Hi"), Finished("stop", warnings=("null-choices", "history-trimmed", "history-trimmed")))

    assert compose(reply) == "Hi\n\n*Earlier parts of the conversation were left out: they no longer fit.*"


def test_what_is_not_understood_is_named():
    """A field or part that is not understood is named, without what would mean something to the page."""
    names = ("unknown-field:audio_*x*", "unknown-part:<b>", "unknown-content", "odd-choice", "unknown-field:audio_*x*")

    shown = read(compose(made(TextDelta("Hi"), Finished("stop", warnings=names))), "commonmark").text

    assert shown.count("audio_?x?.") == shown.count("not shown: ?b?.") == 1
    assert "several answers" in shown


def test_warnings_are_in_the_metadata():
    """What was odd can be read from the saved output."""
    _, metadata = bundle(made(TextDelta("a"), Finished("stop", warnings=("odd-choice",))))

    assert metadata["chatglm_magic"]["warnings"] == ["odd-choice"]


def test_metadata_tells_where_it_came_from():
    """Saved outputs name model, provider, tokens, seconds and the language of what we say in them."""
    _, metadata = bundle(made(TextDelta("a"), Usage(1, 2, 3), Finished("stop", model="glm-4.7")))
    told = metadata["chatglm_magic"]

    assert told.pop("seconds") >= 0
    assert told == {
        "status": "stop",
        "model": "glm-4.7",
        "provider": "test",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "language": "en",
    }
    assert bundle(made(TextDelta("a")))[1]["chatglm_magic"]["usage"] is None


def test_usage_is_one_line():
    """Tokens and seconds stand in one line, where the user asked for it."""
    reply = made(TextDelta("a"), Usage(1, 2, 3), model="<m>")
    data, _ = bundle(reply, show_usage=True)

    assert usage_line(reply).startswith("<m> · 1 + 2 tokens · ")
    assert data["text/markdown"].startswith("a\n\n*&#60;m&#62; · 1 + 2 tokens")
    assert usage_line(made(model="")).startswith("tokens unknown · ")


@pytest.mark.parametrize(
    ("text", "form", "data"),
    [
        ("a <b>", "text", {"text/plain": "a <b>"}),
        ("\x1b[2J", "text", {"text/plain": "\N{REPLACEMENT CHARACTER}[2J"}),
        (
            "a\n```py\nx\n```\n```\ny\n```",
            "code",
            {"text/markdown": "```py\nx\n```\n\n```\ny\n```", "text/plain": "x\n\ny"},
        ),
        ("```<b>\n</code>\n```", "code", {"text/markdown": "```\n</code>\n```", "text/plain": "</code>"}),
        ("no code", "code", {"text/markdown": "no code", "text/plain": "no code"}),
        ('```\n{"a":[1]}\n```', "json", {"text/plain": '{\n  "a": [\n    1\n  ]\n}'}),
        ("no JSON", "json", {"text/markdown": "no JSON", "text/plain": "no JSON"}),
    ],
)
def test_forms_show_what_was_asked_for_alone(text, form, data):
    """Text, code and JSON are shown alone and as safely; what has none of it shows as Markdown."""
    shown, _ = bundle(made(TextDelta(text), Finished("stop")), form=form)

    assert shown == {"text/markdown": f"```json\n{data['text/plain']}\n```"} | data if "[1]" in text else shown == data


def test_a_reply_shows_itself_as_it_was_composed():
    """`_repr_markdown_` is what the cell showed."""
    reply = made(ThinkingDelta("t"), TextDelta("a <b>"), Finished("length"))

    assert reply._repr_markdown_() == compose(reply) == bundle(reply)[0]["text/markdown"]


@pytest.mark.parametrize("events", [[], [TextDelta(" \n")], [Part("notice", "Mind you.")]])
def test_an_empty_answer_says_so(events):
    """A reply that ended well and holds nothing to read says that in a sentence, as Markdown and as plain text."""
    reply = made(*events, Finished("stop"))
    data, _ = bundle(reply)

    assert data["text/markdown"].strip().endswith("*The model gave no answer text.*")
    assert data["text/plain"] == "The model gave no answer text."
    assert bundle(reply, form="code")[0] == data
    assert bundle(reply, form="text")[0] == data


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta("Hi"), Finished("stop")],
        [ThinkingDelta("hm"), Finished("stop")],
        [Part("image", urls=("https://e.de/a.png",)), Finished("stop")],
        [Finished("length")],
        [Finished("interrupted")],
        [],
    ],
)
def test_other_answers_are_not_called_empty(events):
    """Words, thoughts and pictures are something to read; what did not end well says why."""
    assert "no answer text" not in str(bundle(made(*events)))


def full_reply(*warnings: str) -> Reply:
    """Return a stored answer with a part of each kind and these warnings, all of whose own words are digits."""
    reply = made(
        ThinkingDelta("1"),
        TextDelta("2 ![](https://3.de)"),
        Part("image", urls=("javascript:4",)),
        ToolCallDelta(0, "5", "6", "7"),
        Usage(8, 9, 17),
        Finished("stop", model="0", warnings=warnings),
        model="0",
    )
    reply.replayed = datetime(2026, 11, 21, tzinfo=UTC)
    return reply


def test_all_words_of_ours_are_translated(monkeypatch):
    """Below an answer, above it and in its place, nothing is said in English where another language is spoken."""
    speak_pseudo(monkeypatch)
    reply = full_reply(*_SENTENCES, "unknown-field:1", "unknown-part:2", *CUTS)

    shown = unmarked(compose(reply) + usage_line(reply)).replace("https://3.de", "").replace("json", "")

    assert set(re.findall("[A-Za-z]+", shown)) == {"details", "summary"}
    assert unmarked(compose(made(Finished("stop")))) == "**"


def test_the_language_is_that_of_the_moment(monkeypatch):
    """A reply is shown in the language that is spoken now; what goes on with one that was cut is said in each."""
    reply = full_reply("silent-end")
    english = compose(reply)
    speak_pseudo(monkeypatch)
    other, language = compose(reply), bundle(reply)[1]["chatglm_magic"]["language"]
    monkeypatch.setenv("CHATGLM_LANG", "en")

    assert "%chatglm continue" in other
    assert "⟦21 ⟦Nov⟧ 2026⟧" in other
    assert (language, bundle(reply)[1]["chatglm_magic"]["language"]) == ("zh", "en")
    assert compose(reply) == english
