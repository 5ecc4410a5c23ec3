"""Streams of chatglm.cn as a grammar makes them: whatever the order, the encoder and the cuts, the text is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from web_frames import BEFORE, FINISH, cut, decode, frame, item, joined, many, part, sse

from chatglm_magic.providers.chatglm import decoder
from chatglm_magic.providers.chatglm import parts as wire_parts

WORDS = st.one_of(
    st.text(alphabet='a好\n"\\🙂/<\u2028é\t', min_size=1, max_size=6),
    st.sampled_from(['"text":"', "data: {", "\\", '"}],"', "\\ud83d", "\n\n", "\r\n", "\\u4f60", "好", "好的"]),
)


@dataclass(frozen=True)
class Story:
    """Parts (their type and pieces), the order in which they grow, and how the frames are written."""

    parts: tuple[tuple[str, tuple[str, ...]], ...]
    order: tuple[int, ...]
    all_parts: bool
    ascii_only: bool
    compact: bool
    end: str
    before: str

    def write(self, frames: Iterable[dict[str, Any]]) -> bytes:
        return sse(*frames, ascii_only=self.ascii_only, compact=self.compact, end=self.end, before=self.before)

    def whole(self, kind: str) -> str:
        return "\n\n".join(self.of(kind))

    def of(self, kind: str) -> list[str]:
        """Return the whole of each part of a type, in order of arrival."""
        arrival = list(dict.fromkeys(self.order))
        return ["".join(self.parts[n][1]) for n in arrival if self.parts[n][0] == kind]

    def steps(self) -> Iterable[tuple[int, str, str]]:
        """Yield part, whole so far and new piece, step by step."""
        told = dict.fromkeys(range(len(self.parts)), 0)
        for n in self.order:
            told[n] += 1
            pieces = self.parts[n][1][: told[n]]
            yield n, "".join(pieces), pieces[-1]

    def snapshots(self) -> Iterable[dict[str, Any]]:
        told: dict[int, str] = {}
        for n, whole, _ in self.steps():
            told[n] = whole
            shown = told if self.all_parts else {n: whole}
            yield frame(*(self.wire(m, words) for m, words in shown.items()))

    def deltas(self) -> Iterable[dict[str, Any]]:
        for n, _, piece in self.steps():
            yield frame(self.wire(n, piece))

    def last(self) -> dict[str, Any]:
        arrival = dict.fromkeys(self.order)
        return frame(*(self.wire(n, "".join(self.parts[n][1]), "finish") for n in arrival), status="finish")

    def wire(self, n: int, words: str, status: str = "init") -> dict[str, Any]:
        kind = self.parts[n][0]
        return part(f"p{n}", item(kind, words), status=status)


@st.composite
def stories(draw: st.DrawFn, max_pieces: int = 5) -> Story:
    kinds = st.sampled_from(["text", "text", "think", "code"])
    pieces = st.lists(WORDS, min_size=1, max_size=max_pieces).map(tuple)
    parts = tuple(draw(st.lists(st.tuples(kinds, pieces), min_size=1, max_size=4)))
    turns = [n for n, (_, told) in enumerate(parts) for _ in told]
    order = tuple(draw(st.permutations(turns)) if draw(st.booleans()) else turns)
    flags = [draw(st.booleans()) for _ in range(3)]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return Story(parts, order, *flags, end=end, before=draw(st.sampled_from(BEFORE)))


places = st.lists(st.integers(min_value=0), max_size=6)


@many
@given(story=stories(), ended=st.booleans(), places=places)
def test_snapshots(story: Story, ended: bool, places: list[int]) -> None:  # noqa: FBT001 - drawn
    """A snapshot stream gives its texts, ended or cut, whatever the cuts; and never turns to delta."""
    body = story.write([*story.snapshots(), *([story.last()] if ended else [])])

    outcome = decode(cut(body, places))

    assert (outcome.reply.text, outcome.reply.thinking) == (story.whole("text"), story.whole("think"))
    assert outcome.reply.mode in {"", "snapshot"}
    assert (outcome.error is None) == ended
    assert joined(outcome.events) == joined(decode(body).events)


@many
@given(story=stories(max_pieces=8), places=places)
def test_snapshots_read_by_the_template(story: Story, places: list[int]) -> None:
    """Reading only what is new gives the very events that reading everything gives."""
    body = story.write([*story.snapshots(), story.last()])
    with mock.patch.object(decoder._Template, "find", return_value=None):
        in_full = decode(cut(body, places))

    with mock.patch.object(wire_parts, "_SETTLED", 1):
        by_template = decode(cut(body, places))

    assert joined(by_template.events) == joined(in_full.events)
    assert by_template.reply.parts == in_full.reply.parts


def inserted(what: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[int, Any]]]:
    return st.lists(st.tuples(st.integers(min_value=0), what), max_size=3)


BETWEEN = st.sampled_from(
    [
        frame(part("p0", item("text", "A correction."))),
        frame(part("p9", item("code", "1"), status="finish")),
        frame(part("p8", {"type": "tool_result", "tool_result": {"content": "42"}}, status="finish")),
        {"status": 10061, "message": "busy"},
        "no frame",
    ]
)
CHANGES = st.sampled_from(
    [
        {"last_error": {"error_code": 10024, "err_msg": "busy"}},
        {"status": "error", "last_error": {"message": "broken"}},
        {"status": "intervene", "last_error": {"intervene_text": "No."}},
        {"last_error": 10},  # as long as `{}`
        {"conversation_id": "c2"},
    ]
)
"""What may be different in a frame that is a snapshot in all else."""


@many
@given(story=stories(max_pieces=8), between=inserted(BETWEEN), changes=inserted(CHANGES), places=places)
def test_nothing_between_snapshots_is_skipped(
    story: Story, between: list[tuple[int, Any]], changes: list[tuple[int, dict[str, Any]]], places: list[int]
) -> None:
    """An error, an intervention, a correction or another part between snapshots counts, however these are read."""
    frames: list[Any] = [*story.snapshots(), story.last()]
    for place, change in changes:
        frames[place % len(frames)] |= change
    for place, one in between:
        frames.insert(place % len(frames), one)
    body = story.write(frames)

    with mock.patch.object(wire_parts, "_SETTLED", 1):
        by_template = decode(cut(body, places))
        with mock.patch.object(decoder._Template, "find", return_value=None):
            in_full = decode(cut(body, places))

    assert joined(by_template.events) == joined(in_full.events)
    assert by_template.reply.parts == in_full.reply.parts
    assert by_template.reply.warnings == in_full.reply.warnings
    assert str(by_template.error) == str(in_full.error)


@many
@given(story=stories(), places=places)
def test_deltas(story: Story, places: list[int]) -> None:
    """A delta stream gives its texts, though pieces repeat and look like snapshots, whatever the cuts."""
    body = story.write([*story.deltas(), story.last()])

    outcome = decode(cut(body, places))

    assert (outcome.reply.text, outcome.reply.thinking) == (story.whole("text"), story.whole("think"))
    assert outcome.error is None
    assert joined(outcome.events) == joined(decode(body).events)


@many
@given(story=stories(), places=places)
def test_deltas_without_an_end(story: Story, places: list[int]) -> None:
    """A delta stream that was recognised as one keeps every piece, though it is cut."""
    outcome = decode(cut(story.write(story.deltas()), places))

    if outcome.reply.mode == "delta":
        assert (outcome.reply.text, outcome.reply.thinking) == (story.whole("text"), story.whole("think"))


@many
@given(story=stories(), places=places, deltas=st.booleans())
def test_what_was_told_is_what_there_is(story: Story, places: list[int], deltas: bool) -> None:  # noqa: FBT001 - drawn
    """Deltas and corrections, added up, always come to the text of the parts."""
    body = story.write([*(story.deltas() if deltas else story.snapshots()), story.last(), FINISH])

    reply = decode(cut(body, places)).reply

    assert reply.text == "\n\n".join(one.content for one in reply.parts if one.kind == "text")
    assert reply.thinking == "\n\n".join(one.content for one in reply.parts if one.kind == "thinking")


@many
@given(story=stories(), noise=st.lists(st.tuples(st.integers(min_value=0), st.binary(max_size=12)), max_size=6))
def test_damaged_streams(story: Story, noise: list[tuple[int, bytes]]) -> None:
    """Whatever bytes come between: no exception, and one end."""
    body = bytearray(story.write([*story.snapshots(), story.last()]))
    for place, junk in noise:
        at = place % (len(body) + 1)
        body[at : at + len(junk) // 2] = junk

    with mock.patch.object(wire_parts, "_SETTLED", 1):
        reply = decode(cut(bytes(body), [place for place, _ in noise])).reply

    assert reply.finish_reason is not None
    assert reply.text.encode().decode() == reply.text  # no half of a surrogate pair


@many
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"data: ", b"\n\n", b"{", b'"parts":[{', b"\r"]))))
def test_any_bytes(chunks: list[bytes]) -> None:
    """Any bytes at all: no exception, and one end."""
    assert decode(chunks).reply.finish_reason is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["text", "finish"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
FIELDS = ("id", "conversation_id", "status", "last_error", "code", "message", "validation_error")
ITEM_FIELDS = ("type", "text", "think", "image", "content", "tool_calls", "tool_result", "code")
KINDS = st.sampled_from(["text", "think", "image", "tool_calls", "tool_result", "quote_result", "browser_result"])


def objects(names: tuple[str, ...], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON) | more)


ITEMS = objects(ITEM_FIELDS, type=KINDS)
PARTS = objects(("logic_id", "id", "status", "model", "meta_data"), content=st.lists(ITEMS | JSON, max_size=2) | JSON)
FRAMES = objects(FIELDS, parts=st.lists(PARTS | JSON, max_size=2) | JSON)


@many
@given(st.lists(FRAMES | JSON, max_size=4))
def test_any_json(frames: list[Any]) -> None:
    """Any JSON in the places of the wire's fields: no exception, and one end."""
    reply = decode(sse(*frames, ascii_only=True)).reply

    assert reply.finish_reason is not None
    assert reply.text.encode().decode() == reply.text  # no half of a surrogate pair
