"""Frames that repeat all that came before: what is new is read, and nothing is believed that was not seen."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_frames import BEFORE, FINISH, INFO, cut, decode, frame, item, joined, many, part, sse, text

from chatglm_magic._events import Replace, TextDelta
from chatglm_magic.providers.chatglm import decoder as web_decoder
from chatglm_magic.providers.chatglm.decoder import WebDecoder

LONG = "The answer is long enough to be worth it. " * 20
WARM = [frame(text("L1", LONG[: 10 * n])) for n in range(1, 80)]
SAID = WARM[-1]["parts"][0]["content"][0]["text"]


def grown(*more: str) -> list[dict[str, Any]]:
    """Return frames of a stream that is settled, each with this much more."""
    return [frame(text("L1", SAID + "".join(more[: n + 1]))) for n in range(len(more))]


def full_reads(*frames: dict[str, Any], body: bytes | None = None, **written: Any) -> tuple[int, str]:
    """Return how many events of these were read in full once the stream was settled, and the text."""
    decoder = WebDecoder(INFO)
    decoder.feed(sse(*WARM, **written))
    with mock.patch.object(web_decoder, "read_frames", wraps=web_decoder.read_frames) as read:
        decoder.feed(sse(*frames, **written) if body is None else body)
        reads = read.call_count
    return reads, decoder.close()[-1].parts[0].content


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("compact", [True, False])
def test_only_what_is_new_is_read(before: str, end: str, ascii_only: bool, compact: bool) -> None:  # noqa: FBT001
    """However the server writes its events and its JSON, no settled frame that only grows is decoded as a whole."""
    more = ["好", '"', "\\", "\n", "🙂", "\\n", "é" * 50, "</p>"]
    written = {"before": before, "end": end, "ascii_only": ascii_only, "compact": compact}

    assert full_reads(*grown(*more), **written) == (0, SAID + "".join(more))


def test_thinking_is_read_that_way_too() -> None:
    """Thinking grows as text does; of the text that follows in a part of its own, just the beginning is read whole."""
    thoughts = [frame(part("T", item("think", LONG[: 10 * n]))) for n in range(1, 80)]
    whole = part("T", item("think", LONG[:790]), status="finish")
    answer = [frame(whole, text("L1", LONG[:n])) for n in range(1, 20)]
    with mock.patch.object(web_decoder, "read_frames", wraps=web_decoder.read_frames) as read:
        outcome = decode(sse(*thoughts, *answer, FINISH))

    assert (outcome.reply.thinking, outcome.reply.text) == (LONG[:790], LONG[:19])
    assert read.call_count < 72


def test_anything_else_that_changes_is_seen() -> None:
    """A frame that differs in more than its text is read in full, and so is the next; those after them are not."""
    later = [one | {"created_at": "2026-09-30 08:00:01"} for one in grown("a", "b", "c", "d")]

    assert full_reads(*later) == (2, SAID + "abcd")


def test_a_string_that_ends_early_is_seen() -> None:
    """An unescaped quote in what looks like more text is not taken for text."""
    body = sse(*grown("a")).replace(b'a"}', b'a"},{"type":"text","text":"b"}')

    assert full_reads(body=body) == (1, SAID + "ab")


@pytest.mark.parametrize("bad", [b"\\", b"\\ud83d", b"\\x", b"\xe5\xa5", b"\x01"])
def test_what_is_no_text_by_itself(bad: bytes) -> None:
    """A frame that ends in half an escape, pair or character costs nothing, once the next is whole."""
    broken = sse(*grown("!")).replace(b'!"}', b"!" + bad + b'"}')
    decoder = WebDecoder(INFO)
    decoder.feed(sse(*WARM))

    events = [*decoder.feed(broken), *decoder.feed(sse(*grown("!好"), FINISH)), *decoder.close()]

    assert events[-1].parts[0].content == SAID + "!好"
    assert not any("\ufffd" in event.text for event in events if isinstance(event, TextDelta) and bad != b"\x01")


def test_a_correction_is_seen() -> None:
    """A change in the middle is a correction, also in a settled stream."""
    decoder = WebDecoder(INFO)
    decoder.feed(sse(*WARM, *grown("a")))

    assert decoder.feed(sse(frame(text("L1", "No. " + SAID)))) == [Replace("No. " + SAID)]


def test_a_stream_whose_frames_always_differ_is_read() -> None:
    """Where every frame has a new time, all are read in full."""
    frames = [one | {"created_at": str(n)} for n, one in enumerate(grown(*"abcdefghij" * 3))]

    assert full_reads(*frames) == (30, SAID + "abcdefghij" * 3)


def test_the_growing_part_may_stand_anywhere() -> None:
    """Other parts before and behind the one that grows are neither lost nor read again and again."""
    code, last = part("c", item("code", "1+1"), status="finish"), text("z", "end")

    def whole(words: str) -> dict[str, Any]:
        return frame(code, text("L1", words), last)

    told = [whole(LONG[: 10 * n]) for n in range(1, 84)]
    outcome = decode(sse(*told))

    assert outcome.reply.text == LONG[:830] + "\n\nend"


@many
@given(
    more=st.lists(st.text(alphabet='a好"\\\n🙂', min_size=1, max_size=4), min_size=1, max_size=12),
    places=st.lists(st.integers(min_value=0), max_size=6),
)
def test_any_cuts_of_a_settled_stream(more: list[str], places: list[int]) -> None:
    """Wherever the reads end, in text, head or blank line, the events are the same."""
    body = sse(*grown(*more), FINISH)
    warm = sse(*WARM)

    outcome = decode([warm, *cut(body, places)])

    assert joined(outcome.events) == joined(decode(warm + body).events)
    assert outcome.reply.text == SAID + "".join(more)


def test_a_short_frame_behind_long_ones_is_not_kept_waiting() -> None:
    """The end is seen at once where a short frame comes in two reads, though a longer one was expected."""
    decoder = WebDecoder(INFO)
    decoder.feed(sse(*WARM))
    end = sse(FINISH)

    decoder.feed(end[:30])
    decoder.feed(end[30:])

    assert decoder.grace is not None


@pytest.mark.parametrize("size", [1_000, 262_144])
def test_a_line_of_more_than_a_megabyte(size: int) -> None:
    """One frame may be longer than any line limit, in reads of any size, and takes linear time."""
    words = "智谱" * 210_000
    body = sse(frame(text("L1", words, "finish"), status="finish"))

    outcome = decode(body[start : start + size] for start in range(0, len(body), size))

    assert len(body) > 1_200_000
    assert outcome.reply.text == words


def test_keys_of_json_in_text_mislead_nobody() -> None:
    """Text that quotes the wire's own JSON is text."""
    trap = json.dumps(frame(text("L1", "x")))

    assert full_reads(*grown(trap, '"text":"', trap)) == (0, SAID + trap + '"text":"' + trap)
