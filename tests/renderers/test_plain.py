"""Logs, where text only grows; and no display."""

from __future__ import annotations

import pytest
from front_end import FrontEnd, Play
from hypothesis import given
from hypothesis import strategies as st
from pseudo_language import speak_pseudo, unmarked

from chatglm_magic._errors import Interrupted
from chatglm_magic._events import Finished, Part, Replace, Source, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from chatglm_magic.renderers.output import bundle
from chatglm_magic.renderers.plain import PlainRenderer, QuietRenderer


class Log(FrontEnd):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text
        self.log.append((self.now, len(text)))


def play(**how) -> Play:
    log = Log()
    return Play(log, PlainRenderer(log.write, clock=log.clock, **how))


def test_text_grows_as_it_comes():
    """Each word is written when it arrives; the end ends the line."""
    played = play()
    played.say(TextDelta("Hel"))

    assert played.front.written == "Hel"

    played.say(TextDelta("lo"), Usage(1, 2, 3), Finished("stop"))
    played.end()

    assert played.front.written == "Hello\n"


@given(st.lists(st.text(alphabet="ab\r\n中 ")))
def test_what_is_written_is_the_text(pieces):
    """However a text is cut, what is written is the text, with one line end at its end."""
    text = "".join(pieces)
    played = play()
    played.say(*map(TextDelta, pieces))
    played.end()

    want = text.replace("\r\n", "\n").replace("\r", "\N{REPLACEMENT CHARACTER}")
    assert played.front.written == want + ("" if want.endswith("\n") or not want else "\n")


@given(st.text(alphabet="a\x00\x07\x08\x1b\x9b\x7f\r]m[2J;\ud800"))
def test_text_does_not_drive_a_terminal(text):
    """No control character of a model's is written, in text, thoughts, notices or names."""
    played = play()
    played.renderer.status(text)
    played.say(ThinkingDelta(text), TextDelta(text), Part("notice", text), Part("code", text))
    played.say(Part("image", urls=(text,)), ToolCallDelta(0, text, text, text))
    played.end()

    assert not set(played.front.written) & set("\x00\x07\x08\x1b\x9b\x7f\r\ud800")


def test_a_log_tells_only_what_stays():
    """Where no line can be taken back, waiting is not told, notices are."""
    played = play()
    played.wait(5)
    played.renderer.status("trying again")
    played.end()

    assert played.front.written == "[trying again]\n"


@pytest.mark.parametrize(
    ("how", "written"),
    [
        ({}, "[thinking]\nhm so\n[thought for 2.5 s]\nYes\n"),
        ({"show_thinking": False}, "[thinking …]\n[thought for 2.5 s]\nYes\n"),
    ],
)
def test_thinking_is_told_apart(how, written):
    """Thoughts stand between two marks; hidden, only the marks are left."""
    played = play(**how)
    played.say(ThinkingDelta("hm "))
    played.wait(2.5)
    played.say(ThinkingDelta("so"), TextDelta("Yes"))
    played.end()

    assert played.front.written == written


@pytest.mark.parametrize(
    ("correction", "written"),
    [("Hello", "Hello, you\n"), ("Bye", "Hel\n[corrected]\nBye, you\n"), ("", "Hel\n[corrected]\n, you\n")],
)
def test_a_correction_is_said(correction, written):
    """What was written cannot be taken back: a correction that does not only add is announced."""
    played = play()
    played.say(TextDelta("Hel"), Replace(correction), TextDelta(", you"))
    played.end()

    assert played.front.written == written


def test_parts_and_calls_are_told():
    """Code, output, links, notices and calls stand on lines of their own."""
    played = play()
    played.say(
        TextDelta("So:"),
        Part("code", "print(1)"),
        Part("execution_output", "1\n"),
        Part("image", urls=("https://e.de/x.png",)),
        Part("search", sources=(Source("A", "https://a.de"),)),
        Part("server_tool", name="search", arguments="{}"),
        Part("notice", "take\ncare"),
        Part("unknown", "?"),
        TextDelta("Done."),
        ToolCallDelta(0, "1", "f", "{}"),
        Finished("tool_calls"),
    )
    played.end()

    assert played.front.written == (
        "So:\n```python\nprint(1)\n```\n```text\n1\n```\n[image] https://e.de/x.png\n[A] https://a.de\n"
        "[search {}]\n[take care]\nDone.\n[calls f {}]\n"
    )


def test_what_is_not_the_models_is_translated(monkeypatch):
    """Notes between the words of a reply, its end and its tokens are told in the language that is spoken."""
    speak_pseudo(monkeypatch)
    played = play(show_usage=True)
    played.say(
        ThinkingDelta("1"),
        TextDelta("2"),
        Replace("3"),
        Part("image", urls=("4",)),
        ToolCallDelta(0, "5", "6", "7"),
        Finished("length", model="8"),
    )
    played.end()

    assert "".join(filter(str.isalpha, unmarked(played.front.written))) == ""
    assert "[⟦corrected⟧]" in played.front.written


@pytest.mark.parametrize(
    ("reason", "word"),
    [("interrupted", "[stopped]"), ("length", "[cut off: max_tokens reached]"), ("error", "[broken off]")],
)
def test_a_bad_end_is_said(reason, word):
    """What was cut off, stopped or failed says so on a line of its own; its tokens may follow."""
    played = play(show_usage=True)
    played.say(TextDelta("Half"), Usage(3, 4, 7), Finished(reason))
    played.end(Interrupted(played.reply))

    first, second, third, end = played.front.written.split("\n")
    assert (first, second, end) == ("Half", word, "")
    assert third.startswith("glm · 3 + 4 tokens · ")


def test_quiet_shows_nothing_or_the_whole_once():
    """Without a publisher nothing is shown; with one the whole, once, at the end."""
    front = FrontEnd()
    for renderer in (QuietRenderer(), QuietRenderer(front)):
        played = Play(front, renderer)
        played.wait(2)
        played.renderer.status("trying again")
        played.say(TextDelta("Hi"), Finished("stop"))

        assert front.outputs == []

        played.end()

    [output] = front.outputs
    assert output["data"] == bundle(played.reply)[0]
