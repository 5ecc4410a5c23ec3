"""What is decoded straight into structs is what the tolerant path reads, event for event; all else is left to that."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._events import Finished, TextDelta, Usage
from chatglm_magic.providers.openai import decoder as decoding
from chatglm_magic.providers.openai.decoder import OpenAIDecoder
from chatglm_magic.providers.openai.errors import RequestInfo
from chatglm_magic.providers.openai.frames import piece_in, usual_frame

INFO = RequestInfo("openai", "glm-4.7", "127.0.0.1")
TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts").glob("b*.sse"))
DONE = b"data: [DONE]\n\n"


def read(decoder, chunks: list[bytes]) -> tuple[list[object], str]:
    """Read chunks as the loop does; return the events, deltas joined, and the error."""
    events = []
    for chunk in chunks:
        events += decoder.feed(chunk)
        if decoder.done:
            break
    events += decoder.close()
    joined: list[object] = []
    for event in events:
        if isinstance(event, TextDelta) and joined and isinstance(joined[-1], TextDelta):
            joined[-1] = TextDelta(joined[-1].text + event.text)
        else:
            joined.append(event)
    return joined, str(decoder.error)


def both(chunks: list[bytes], *, think_tags: bool = True) -> list[object]:
    """Read chunks both ways, which must not differ; return the events."""
    found = read(OpenAIDecoder(INFO, think_tags=think_tags), chunks)
    with patch.object(decoding, "usual_frame", lambda _: None), patch.object(decoding, "piece_in", lambda _: None):
        assert read(OpenAIDecoder(INFO, think_tags=think_tags), chunks) == found
    return found[0]


def usual(body: bytes) -> bool:
    """Return whether all frames of a stream are read without the tolerant path."""
    with patch.object(OpenAIDecoder, "_read_any", side_effect=AssertionError):
        try:
            read(OpenAIDecoder(INFO, think_tags=True), [body])
        except AssertionError:
            return False
    return True


def frames(*chunks: dict[str, object]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks) + DONE


def choice(content: object = None, finish: object = None, **more: object) -> dict[str, object]:
    delta = {} if content is None else {"role": "assistant", "content": content}
    return {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
LAST = {"id": "1", "model": "m", "choices": [], "usage": USAGE, "timings": {"predicted_ms": 1.5}}


@pytest.mark.parametrize(
    "body",
    [
        frames(choice("good"), choice(None, "stop"), LAST),
        frames(choice("good"), {**choice("", "stop"), "usage": USAGE}),
        frames({**choice("good", "stop"), "usage": USAGE}),
        frames(choice(""), choice("go"), choice("od"), {**choice(None, "length"), "usage": USAGE}),
        frames(*(choice(letter) for letter in "good"), *(choice("") for _ in range(9)), choice(None, "stop"), LAST),
        b": ping\n\n" + frames(choice("good", "stop", matched_stop=151336), LAST),
        frames(choice("good", "stop"), LAST).replace(b"\n", b"\r\n"),
    ],
)
def test_usual_frames_need_no_tolerant_path(body):
    """Text, the end and usage, in the forms in which servers send them."""
    assert usual(body)
    events = both([body])
    assert events[0] == TextDelta("good")
    assert isinstance(events[1], Usage)
    assert isinstance(events[2], Finished)
    assert (events[2].message_id, events[2].model) == ("1", "m")


@pytest.mark.parametrize(
    "body",
    [
        frames(choice("<think>hm</think>good", "stop")),
        frames(choice(" good\n", "stop")),
        frames(choice("", "stop")),
        frames(choice("a"), choice("b"), choice("c"), choice("abc", "stop")),
        frames(choice("good", "stop"), choice(" more")),
        frames(choice("good", ""), choice(" more", "stop"), choice(None, "length")),
        frames(
            {"choices": [{"index": 0, "delta": {"content": "good", "reasoning_content": "hm"}}]}, choice("", "stop")
        ),
        frames(choice("good"), {"choices": [{"delta": {"reasoning": "hm"}}]}, choice(" more"), choice("", "stop")),
        frames(choice("good", "stop"))[: -len(DONE)],
        frames(choice("good")),
        DONE,
    ],
)
def test_usual_frames_may_hold_an_unusual_answer(body):
    """Tags, repetitions, words behind the end, no end: read alike."""
    assert usual(body)
    for think_tags in (True, False):
        assert both([body], think_tags=think_tags)


@pytest.mark.parametrize(
    "body",
    [
        frames(choice("good", "sensitive")),
        frames(choice("good", "stop", message={"content": "good"})),
        frames({**choice("good", "stop"), "error": {"message": "no"}}),
        frames({**choice("good", "stop"), "web_search": [{"link": "https://x.org", "title": "x"}]}),
        frames({"choices": None}, choice("good", "stop")),
        frames({"choices": [{"index": 1, "delta": {"content": "two"}}]}, choice("good", "stop")),
        frames({"choices": [*choice("good")["choices"], {"index": 1, "delta": {}}]}, choice("", "stop")),
        frames(choice("good", "stop", stop_reason=1)),
        frames(choice("good"), {"id": 5, **LAST, "detail": "x"}),
        b"event: error\n" + frames(choice("good", "stop")),
        b'data: {"choices": [\n\n' + DONE,
    ],
)
def test_what_is_rare_is_left_to_the_tolerant_path(body):
    """Errors, searches, other ends, other frames."""
    assert not usual(body)
    for think_tags in (True, False):
        assert both([body], think_tags=think_tags)


@pytest.mark.parametrize(
    "data", [b"", b"[DONE]", b"{", b'{"choices": [{"delta": {"content": "\xff"}}]}', b'{"choices": []} {}']
)
def test_what_is_no_frame_fails_no_reader(data):
    """Whatever the bytes are, the answer is None, and no error."""
    assert usual_frame(data) is None
    assert piece_in(data) is None


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_recorded_streams_are_read_alike(path):
    """Whole, and in pieces."""
    body = path.read_bytes()
    for think_tags in (True, False):
        assert both([body], think_tags=think_tags)
        assert both([body[:100], body[100:]], think_tags=think_tags)


_texts = st.text(st.sampled_from("ab <>|/好\n\u2028\ud83d"), max_size=4)
_chunks = st.builds(
    lambda content, finish, more, usage: {**choice(content, finish, **more), **usage},
    st.one_of(st.none(), _texts),
    st.sampled_from([None, None, "stop", "length", "tool_calls", ""]),
    st.sampled_from([{}, {}, {"logprobs": None}, {"stop_reason": 1}, {"x": 1}]),
    st.sampled_from([{}, {}, {"usage": None}, {"usage": {"total_tokens": 3}}, {"usage": {}}, {"x_groq": {"a": 1}}]),
)


@given(st.lists(_chunks, max_size=8), st.booleans(), st.booleans())
def test_any_stream_is_read_alike(chunks, whole, think_tags):
    """Whatever the frames hold, both ways give the same events and the same error."""
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + DONE * whole
    assert both([body], think_tags=think_tags)
