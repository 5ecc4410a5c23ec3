"""Frames of chatglm.cn that should not be: cut, spliced, half a character, the wrong types, without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from web_frames import FINISH, INFO, decode, frame, item, part, sse, text

from chatglm_magic._events import Part, TextDelta
from chatglm_magic._transport.sse import EventTooLongError
from chatglm_magic.providers.chatglm.decoder import WebDecoder


def deltas(*pieces: str) -> list[dict[str, Any]]:
    return [frame(text("L1", piece)) for piece in pieces]


@pytest.mark.parametrize(
    "bad", [b"{", b"[1]", b"null", b'{"parts":[{"content":[{"type":"text","te', b"[" * 5000, b'{"parts":[3,null,{}]}']
)
def test_a_bad_frame_is_skipped(bad: bytes) -> None:
    """A frame that cannot be read costs nothing but itself."""
    outcome = decode(sse(*deltas("a", "ab")) + b"data: " + bad + b"\n\n" + sse(*deltas("abc"), FINISH))

    assert (outcome.reply.text, outcome.error) == ("abc", None)
    assert outcome.reply.warnings in (["bad-frame"], [])


@pytest.mark.parametrize("wrap", [json.dumps, lambda data: f"[{data}]"], ids=["encoded twice", "in a list"])
def test_a_frame_that_a_gateway_has_wrapped_is_read(wrap: Callable[[str], str]) -> None:
    """A frame inside a JSON string, or a list of frames, is what it holds."""
    frames = [wrap(json.dumps(one)) for one in (*deltas("a", "ab"), FINISH)]
    outcome = decode("".join(f"data: {one}\n\n" for one in frames).encode())

    assert (outcome.reply.text, outcome.error, outcome.reply.warnings) == ("ab", None, [])
    both = json.dumps([*deltas("a", "ab"), FINISH])
    assert decode(f"data: {both}\n\n".encode()).reply.text == "ab"


def test_a_whole_frame_behind_a_cut_one_counts() -> None:
    """A frame cut short with the next one on the same line loses only itself."""
    broken = sse(*deltas("a"))[:-20] + b"data: " + sse(*deltas("ab")).partition(b"data: ")[2]

    outcome = decode(broken + sse(FINISH))

    assert (outcome.reply.text, outcome.reply.warnings) == ("ab", ["bad-frame"])


@pytest.mark.parametrize("mode", ["snapshot", "delta"])
def test_a_pair_split_over_frames(mode: str) -> None:
    """A frame may end in half a surrogate pair: nothing is shown of it until the other half is there."""
    halves = ["a", "b", "\ud83d", "\ude42!"]
    told = ["".join(halves[: n + 1]) for n in range(4)] if mode == "snapshot" else halves
    frames = [sse(one, ascii_only=True) for one in deltas(*told)]

    outcome = decode(frames)

    assert outcome.reply.text == "ab🙂!"
    assert all("\ufffd" not in event.text for event in outcome.events if isinstance(event, TextDelta))


def test_bytes_that_are_no_utf8() -> None:
    """A character that is broken for good becomes U+FFFD, alone."""
    assert decode(sse(*deltas("a?b")).replace(b"?", b"\xff") + sse(FINISH)).reply.text == "a\ufffdb"


def test_half_a_pair_gets_nowhere() -> None:
    """Half a surrogate pair, which nothing could encode, becomes U+FFFD in names, ids and contents."""
    odd = part("k\ud83d", {"type": "execution_output", "content": "\ude42!"}, status="finish", model="m\ud83d")

    reply = decode(sse(frame(odd, id="i\ud83d"), FINISH, ascii_only=True)).reply

    assert (reply.model, reply.message_id) == ("m\ufffd", "m1")
    assert reply.parts == [Part("execution_output", "\ufffd!", "k\ufffd")]


def test_odd_values_everywhere() -> None:
    """Nulls and wrong types where others have values harm nothing."""
    odd = {"id": None, "status": {}, "last_error": "", "parts": [{"logic_id": [1], "content": None}, {"status": 5}]}
    items = [None, {"type": None}, {"type": "text", "text": None}, {"type": "image", "image": 3}, item("text", "ok")]

    outcome = decode(sse(odd, frame({"logic_id": 7, "content": items, "meta_data": "x"}), FINISH))

    assert outcome.reply.text == "ok"
    assert set(outcome.reply.warnings) <= {"unknown-part:", "unknown-part:None"}


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never ends is not gathered for ever."""
    decoder = WebDecoder(INFO)
    monkeypatch.setattr(decoder._sse, "_max", 1000)

    decoder.feed(b"data: " + b"x" * 900)
    with pytest.raises(EventTooLongError):
        decoder.feed(b"x" * 900)
