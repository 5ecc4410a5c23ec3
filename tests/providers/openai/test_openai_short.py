"""What is read at once is what the decoder for everything reads, event for event; all else is left to that one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._events import Finished, TextDelta, Usage
from chatglm_magic.providers.openai.decoder import OpenAIDecoder
from chatglm_magic.providers.openai.errors import RequestInfo
from chatglm_magic.providers.openai.short import ShortReplyDecoder, read_short

INFO = RequestInfo("openai", "glm-4.7", "127.0.0.1")
TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts").glob("b*.sse"))
DONE = b"data: [DONE]\n\n"


def plain(*, think_tags: bool) -> OpenAIDecoder:
    return OpenAIDecoder(INFO, think_tags=think_tags)


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
    quick = ShortReplyDecoder(partial(plain, think_tags=think_tags))
    expected = read(plain(think_tags=think_tags), chunks)
    assert read(quick, chunks) == expected
    return expected[0]


def frames(*chunks: dict[str, object]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks) + DONE


def choice(content: object = None, finish: object = None, **more: object) -> dict[str, object]:
    delta = {} if content is None else {"role": "assistant", "content": content}
    return {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def test_a_word_is_read_at_once():
    """Text, the end and usage, in the forms in which servers send them."""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    for body in (
        frames(choice("good"), choice(None, "stop"), {"id": "1", "model": "m", "choices": [], "usage": usage}),
        frames(choice("good"), {**choice("", "stop"), "usage": usage}),
        frames({**choice("good", "stop"), "usage": usage}),
        frames(choice(""), choice("go"), choice("od"), {**choice(None, "length"), "usage": usage}),
    ):
        assert read_short(body) is not None
        events = both([body])
        assert events[0] == TextDelta("good")
        assert isinstance(events[1], Usage)
        assert isinstance(events[2], Finished)


@pytest.mark.parametrize(
    "body",
    [
        frames(choice("good")),
        frames(choice("<think>hm</think>good", "stop")),
        frames(choice(" good\n", "stop")),
        frames(choice("", "stop")),
        frames(choice("a"), choice("b"), choice("c"), choice("abc", "stop")),
        frames(choice("good", "stop"), choice(" more")),
        frames(choice("good", "sensitive")),
        frames(choice("good", "stop", message={"content": "good"})),
        frames({**choice("good", "stop"), "error": {"message": "no"}}),
        frames({**choice("good", "stop"), "web_search": [{"link": "https://x.org", "title": "x"}]}),
        frames(
            {"choices": [{"index": 0, "delta": {"content": "good", "reasoning_content": "hm"}}]}, choice("", "stop")
        ),
        frames({"choices": None}, choice("good", "stop")),
        frames(choice("good", "stop"))[: -len(DONE)],
        b"event: error\n" + frames(choice("good", "stop")),
        b": ping\n\n" + frames(choice("good", "stop")),
        frames(choice("good", "stop")).replace(b"\n", b"\r\n"),
        b'data: {"choices": [\n\n' + DONE,
        DONE,
        b"",
    ],
)
def test_what_is_not_ordinary_is_left_to_the_other(body):
    """Tags, repetitions, errors, searches, other ends, other frames: read as ever."""
    assert read_short(body) is None
    for think_tags in (True, False):
        assert both([body], think_tags=think_tags)


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


@given(st.lists(_chunks, max_size=4), st.booleans(), st.booleans())
def test_any_stream_is_read_alike(chunks, whole, think_tags):
    """Whatever the frames hold, both ways give the same events and the same error."""
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + DONE * whole
    assert both([body], think_tags=think_tags)
