"""A grammar of the dialect: any reply it can write, in any cuts, comes out as it was meant."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai_frames import USAGE, Outcome, call, chunk, decode, many

words = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=6)
keys = st.sampled_from(["", "a", "b"])


@dataclass
class MessageNode:
    """What a stream means, as far as it is written."""

    text: str = ""
    thinking: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)  # id, name, arguments
    usage: dict[str, int] | None = None
    warnings: set[str] = field(default_factory=set)
    finish: str = ""
    failed: bool = False
    frames: list[bytes] = field(default_factory=list)


class Writer:
    """Writes a random stream and remembers what it means."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.said = MessageNode()
        self.field = draw(st.sampled_from(["reasoning_content", "reasoning"]))
        self.ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
        self.ascii = draw(st.booleans())

    def write(self) -> MessageNode:
        steps = [self.text] * 4 + [self.think] * 2 + [self.mixed, self.in_parts, self.tool, self.usage]
        steps += [self.finish, self.nulls, self.ping, self.odd, self.own, self.left_over]
        for _ in range(self.draw(st.integers(0, 12))):
            self.draw(st.sampled_from(steps))()
        self.draw(st.sampled_from([self.done, self.done, self.finish, self.fail, lambda: None]))()
        return self.said

    def event(self, frame: Any) -> None:
        if isinstance(frame, dict):
            space = self.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
            frame = json.dumps(frame, ensure_ascii=self.ascii, separators=space)
        prefix = self.draw(st.sampled_from(["data: ", "data:", "id: 7\ndata: ", "event: message\ndata: "]))
        self.line(prefix + frame + "\n\n")

    def line(self, text: str) -> None:
        self.said.frames.append(text.replace("\n", self.ends).encode())

    def say(self, text: str = "", thinking: str = "") -> None:
        """Note words; they withdraw a finish reason that came before them."""
        self.said.text += text
        self.said.thinking += thinking
        if (text + thinking).strip():
            self.said.finish = ""

    def text(self) -> None:
        said = self.draw(words)
        self.event(chunk({"role": "assistant", "content": said}))
        self.say(text=said)

    def think(self) -> None:
        said = self.draw(words)
        self.event(chunk({self.field: said, "content": self.draw(st.sampled_from([None, ""]))}))
        self.say(thinking=said)

    def mixed(self) -> None:
        thought, said = self.draw(words), self.draw(words)
        self.event(chunk({"content": said, self.field: thought}))
        self.say(said, thought)

    def in_parts(self) -> None:
        said = self.draw(st.lists(words, max_size=3))
        self.event(chunk({"content": [{"type": "text", "text": text} for text in said]}))
        self.say("".join(said))

    def tool(self) -> None:
        index, key, name = self.draw(st.integers(0, 2)), self.draw(keys), self.draw(keys)
        arguments = self.draw(st.sampled_from(["", '{"x":', "1", '"]"', " "]))  # never whole by itself
        self.event(chunk({"tool_calls": [call(index, key, name, arguments)]}))
        known = self.said.calls.setdefault(index, ["", "", ""])
        known[0] = known[0] or key
        known[1] = known[1] or name
        known[2] += arguments
        if arguments or (key and known[0] == key) or (name and known[1] == name):
            self.said.finish = ""

    def usage(self) -> None:
        usage = USAGE | {"completion_tokens": self.draw(st.integers(0, 99))}
        if self.draw(st.booleans()):
            self.event({"choices": [], "usage": usage})
        else:
            self.event(chunk({}) | {"usage": usage})
        self.said.usage = usage

    def finish(self) -> None:
        word = self.draw(st.sampled_from(["stop", "length", "tool_calls"]))
        self.event(chunk({"content": ""}, finish=word))
        self.said.finish = (self.said.finish or word) if word == "stop" else word

    def nulls(self) -> None:
        self.event({"id": "", "choices": None, "usage": None})
        self.said.warnings.add("null-choices")

    def ping(self) -> None:
        self.line(self.draw(st.sampled_from([":\n\n", ": ping\n\n", "retry: 10\n\n", "\n", "data\n\n"])))

    def odd(self) -> None:
        self.event(self.draw(st.sampled_from(["{", "5", "[]", "nonsense", '{"choices":[{"delta":{"role"'])))
        self.said.warnings.add("bad-frame")

    def own(self) -> None:
        self.line("event: own\ndata: nothing to read\n\n")

    def left_over(self) -> None:
        said = self.draw(words)
        whole = json.dumps(chunk({"content": said}))
        self.event('{"id":"stale","choices":[{"index":0,"delta":{"content":"old"' + "data: " + whole)
        self.say(said)
        self.said.warnings.add("bad-frame")

    def done(self) -> None:
        self.event("[DONE]")
        self.said.finish = self.said.finish or "done"

    def fail(self) -> None:
        self.event({"error": {"code": "1234", "message": "boom"}})
        self.said.failed = True


@st.composite
def streams(draw: st.DrawFn) -> MessageNode:
    return Writer(draw).write()


def check(said: MessageNode, outcome: Outcome) -> None:
    reply, error = outcome.reply, outcome.error
    assert (said.text, said.thinking, said.usage) == (reply.text, reply.thinking, reply.usage and reply.usage.raw)
    known = [tuple(said.calls[index]) for index in sorted(said.calls) if any(said.calls[index])]
    assert known == [
        (tool.id, tool.name, tool.arguments) for tool in reply.tool_calls if tool != type(tool)("", "", "")
    ]
    verdict = {"no-finish-reason", "reasoning-only", "no-tool-call"}
    assert ("no-tool-call" in reply.warnings) == (
        reply.finish_reason == "tool_calls" and not any(map(any, said.calls.values()))
    )
    assert said.warnings == set(reply.warnings) - verdict
    if said.failed or said.finish == "":
        ended = "truncated" if any(b"data:" in frame for frame in said.frames) else "empty"
        assert ("error", "server" if said.failed else ended) == (reply.finish_reason, error and error.kind)
    elif said.finish == "done":
        answered = bool(said.text.strip() or any(map(any, said.calls.values())))
        assert (None if answered else "empty") == (error and error.kind)
        assert answered == ("no-finish-reason" in reply.warnings)
    else:
        assert (said.finish, None) == (reply.finish_reason, error)


@many
@given(streams(), st.lists(st.integers(1, 400), min_size=1, max_size=6), st.booleans())
def test_any_stream(said: MessageNode, sizes: list[int], think_tags: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
    """Any stream gives the text, the thinking, the calls, the usage and the end that it was written with."""
    body = b"".join(said.frames)

    outcome = decode(body, sizes, think_tags=think_tags)

    check(said, outcome)
    assert outcome.facts == decode(body, think_tags=think_tags).facts


@many
@given(streams(), st.integers(0, 2_000))
def test_any_interruption(said: MessageNode, length: int) -> None:
    """A stream that breaks off anywhere gives a beginning of what it would have said."""
    body = b"".join(said.frames)

    whole, part = decode(body).reply, decode(body[:length], [11]).reply

    assert whole.text.startswith(part.text.removesuffix("\ufffd"))
    assert whole.thinking.startswith(part.thinking.removesuffix("\ufffd"))
