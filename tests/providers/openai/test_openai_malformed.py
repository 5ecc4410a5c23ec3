"""Frames that should not be: cut, spliced, not JSON, not UTF-8, nested without end; and any bytes at all."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai_frames import ASKED, USAGE, chunk, decode, many, sse, text

from chatglm_magic._errors import StatusError
from chatglm_magic._transport.call import Refusal
from chatglm_magic._transport.sse import EventTooLongError
from chatglm_magic.providers.openai.errors import explain

END = chunk(finish="stop")


def raw(*frames: str | bytes) -> bytes:
    """Write each frame on a `data:` line of its own, as it is."""
    return b"".join(b"data: " + (f.encode() if isinstance(f, str) else f) + b"\n\n" for f in frames)


def cut(frame: object, before: str) -> str:
    """Break a frame off before these characters."""
    whole = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    return whole[: whole.index(before)]


@pytest.mark.parametrize("before", ['"model"', "at.completion", '"content"', '"delta"', "glm-demo", 'hat-1","object'])
@pytest.mark.parametrize("position", [0, 9])
def test_spliced_frames(before: str, position: int) -> None:
    """A frame that is cut before it says anything, a whole one on the same line: the whole one counts."""
    line = cut(text("lost"), before) + "data: " + json.dumps(text("kept"))

    reply = decode(sse(*[text("a")] * position, raw(line), text("!"), END | {"usage": USAGE})).reply

    assert ("a" * position + "kept!", ["bad-frame"]) == (reply.text, reply.warnings)
    assert (reply.finish_reason, reply.usage and reply.usage.raw) == ("stop", USAGE)


def test_what_a_cut_frame_said_is_kept() -> None:
    """What can still be read of a cut frame is not lost."""
    line = cut(text("hal|ves"), "|ves") + "data: " + json.dumps(text("|kept"))
    thinking = cut(chunk({"reasoning_content": "hm|"}), "|")

    reply = decode(sse(text("a"), raw(line, thinking), END)).reply

    assert (reply.text, reply.thinking, reply.warnings) == ("ahal|kept", "hm", ["bad-frame"])


def test_cut_among_search_results() -> None:
    """The words of a page that was found are none of the model's, even where the frame is cut among them."""
    frame = chunk(finish="length") | {"web_search": [{"content": "of a page|"}]}

    reply = decode(sse(text("a"), raw(cut(frame, "|")))).reply

    assert (reply.text, reply.finish_reason, reply.warnings) == ("a", "length", ["bad-frame"])


@pytest.mark.parametrize("end", ["\\", "\\u", "\\u4f", "\\ud83d", "\\\\", "\\\\u4f"])
def test_cut_in_an_escape(end: str) -> None:
    """A frame cut in the middle of an escape keeps what stands before it."""
    reply = decode(sse(raw('{"choices":[{"delta":{"content":"a' + end), END)).reply

    assert reply.text.startswith("a")
    assert not any(0xD800 <= ord(char) < 0xE000 for char in reply.text)


def test_left_over_of_another_reply() -> None:
    """A cut frame with another id than the whole one behind it is a left-over, and says nothing."""
    stale = cut(text("old") | {"id": "stale"}, '"old')[:-1] + ':"old words'
    line = stale + "data: " + json.dumps(text("new"))

    reply = decode(sse(raw(line), END)).reply

    assert (reply.text, reply.message_id, reply.warnings) == ("new", "chat-1", ["bad-frame"])


def test_several_frames_on_one_line() -> None:
    """Whole frames on one line all count, with and without `data:` between them, and `[DONE]` too."""
    one, two, three = (json.dumps(text(said)) for said in ("1", "data: {2", "3"))

    reply = decode(raw(f"{one}data: {two} {three}data: [DONE]") + raw(json.dumps(text("late")))).reply

    assert (reply.text, reply.warnings) == ("1data: {23", ["no-finish-reason"])


def test_two_cut_frames_before_a_whole_one() -> None:
    """More than one cut frame on a line does not hide the whole one."""
    line = cut(text("x"), '"choices"') + "data: " + cut(text("y"), '"model"') + "data: " + json.dumps(text("z"))

    assert decode(sse(raw(line), END)).reply.text == "z"


@pytest.mark.parametrize("odd", ["{", "nonsense", "5", '"words"', "[]", '[{"a":1}]', "{]}", "NaN", "true", "<p>"])
def test_no_frame_at_all(odd: str) -> None:
    """What is no frame is skipped with a warning, and the reading goes on."""
    outcome = decode(sse(text("a"), raw(odd), text("b"), END))

    assert (outcome.reply.text, outcome.reply.warnings, outcome.error) == ("ab", ["bad-frame"], None)


@pytest.mark.parametrize("position", [0, 9])
def test_tolerated_json(position: int) -> None:
    """Invalid UTF-8, bare control characters, NaN, huge numbers and a BOM do not lose the frame."""
    frames = [
        b'{"choices":[{"delta":{"content":"\xff1"}}]}',
        b'{"choices":[{"delta":{"content":"\x012"}}]}',
        b'{"choices":[{"delta":{"content":"3"}}],"logprob":NaN}',
        b'{"choices":[{"delta":{"content":"4"}}],"created":1e999}',
        b'{"choices":[{"delta":{"content":"5","x":1}}]}}',
    ]

    reply = decode(sse(*[text("a")] * position, raw(*frames), END)).reply

    assert reply.text == "a" * position + "\ufffd1\x0123" + "45"


def test_lone_surrogates() -> None:
    """Half a surrogate pair becomes U+FFFD, wherever it stands: it could not be written down later."""
    frame = b'{"id":"\\ud800","choices":[{"delta":{"content":"a\\ud83d","tool_calls":[{"id":"\\udc00"}]}}]}'
    usage = b'{"choices":[],"usage":{"prompt_tokens":1,"\\ud800":["\\ud83d\\ude00"]}}'

    reply = decode(sse(raw(frame, usage), END)).reply

    assert (reply.text, reply.message_id, reply.tool_calls[0].id) == ("a\ufffd", "\ufffd", "\ufffd")
    assert reply.usage
    assert reply.usage.raw == {"prompt_tokens": 1, "\ufffd": ["😀"]}


@pytest.mark.parametrize(
    ("around", "said"),
    [({"id": "\ud83d"}, "\U0001f600"), ({chr(0xD83D): {"choices": [1, 2]}, chr(0xDC00): {}}, "\ufffd\ufffd")],
)
def test_half_characters_in_a_gateways_envelope(around: dict[str, object], said: str) -> None:
    """They find each other in a chunk that is wrapped; where names become the same without halves nothing fails."""
    frames = [json.dumps({**around, "data": text(half)}) for half in ("\ud83d", "\ude00")]

    reply = decode(sse(raw(*frames), END)).reply

    assert (reply.text, reply.finish_reason) == (said, "stop")


@pytest.mark.parametrize("before", [0, 9])
def test_a_frame_that_is_encoded_twice_is_read(before: int) -> None:
    """A chunk inside a JSON string is that chunk, wherever it stands; a string that holds none stays odd."""
    frames = [json.dumps(json.dumps(one)) for one in (text("Hel"), text("lo"), END | {"usage": USAGE})]

    reply = decode(sse(*[text("a")] * before, raw(*frames))).reply
    assert (reply.text, reply.finish_reason, reply.warnings) == ("a" * before + "Hello", "stop", [])
    assert reply.usage is not None

    odd = decode(sse(text("a"), raw('"[no JSON"'), END)).reply
    assert (odd.text, odd.warnings) == ("a", ["bad-frame"])


@pytest.mark.parametrize("depth", [300, 900, 990, 1_000, 5_000, 200_000])
@pytest.mark.parametrize("odd", ["\\ud800", "x"])
def test_deep_nesting(depth: int, odd: str) -> None:
    """Nesting of any depth is survived, and the next frame is read."""
    deep = "[" * depth + f'"{odd}"' + "]" * depth
    frames = [
        f'{{"x":{deep}}}',
        f'{{"choices":{deep}}}',
        f'{{"choices":[{{"delta":{{"tool_calls":[{{"function":{{"arguments":{{"a":{deep}}}}}}}]}}}}]}}',
    ]

    outcome = decode(sse(raw(*frames), text("b"), END))

    assert (outcome.reply.text, outcome.error) == ("b", None)


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ('{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{"a":%s}}}]}}]}', ("[", "]")),
        ('{"choices":[{"delta":{"content":[%s]}}]}', ('{"text":', "}")),
        ('{"error":{"error":%s}}', ('{"error":', "}")),
        ('{"error":{"message":%s}}', ("[", "]")),
    ],
)
def test_nesting_at_the_edge(head: str, tail: tuple[str, str]) -> None:
    """What can just be parsed can also be walked, or is survived."""
    for depth in range(850, 1_000):
        frame = head % (tail[0] * depth + '"x"' + tail[1] * depth)

        outcome = decode(sse(text("a"), raw(frame)))

        assert outcome.reply.text == "a"
        assert isinstance(explain(Refusal(400, "application/json", frame.encode()), ASKED), StatusError)


def test_endless_event() -> None:
    """An event that never ends is given up with the one error that bytes can cause."""
    with pytest.raises(EventTooLongError):
        decode(b"data: " + b"x" * (65 * 1024 * 1024))


def test_long_line() -> None:
    """One event of more than half a megabyte is read."""
    said = "长" * 250_000

    assert decode(sse(text(said), END), [65_536]).reply.text == said


VALID = sse(
    chunk({"role": "assistant", "reasoning_content": "算"}),
    *[text("ab")] * 6,
    chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
    END | {"usage": USAGE, "web_search": [{"title": "t"}]},
)
SCRAPS = [
    b"data: ",
    b"\n\n",
    b"\r",
    b'"',
    b"{",
    b"}",
    b"[",
    b"null",
    b"\\",
    b"\xff",
    b"</think>",
    b"<think>",
    b"error: ",
]


@many
@given(st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 9), st.sampled_from([b"", *SCRAPS])), max_size=6))
@example([(0, 9, b"")])
def test_damaged_streams(damages: list[tuple[int, int, bytes]]) -> None:
    """A stream damaged anywhere ends with one `Finished` and no error of another kind, however it is cut."""
    body = VALID
    for start, length, scrap in damages:
        body = body[:start] + scrap + body[start + length :]

    assert decode(body).facts == decode(body, [1]).facts


@many
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(body: bytes, think_tags: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
    """Any bytes at all are survived."""
    assert decode(body, [3], think_tags=think_tags).reply.finish_reason in {"error", "stop"}


NAMES = re.findall(
    r"\w+",
    "id model choices delta message content reasoning tool_calls function arguments index finish_reason usage "
    "prompt_tokens error code web_search type text name refusal citations annotations audio stop_reason thinking "
    "function_call status_code status_msg success",
)


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
LEAF |= st.sampled_from(["\ud83d", "\ude00", "stop", "<think>", "<|end_of_box|>"])
JSON = st.deferred(
    lambda: LEAF | st.lists(JSON, max_size=3) | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4)
)


@many
@given(st.lists(JSON, max_size=6), st.integers(0, 5))
def test_any_json(values: list[object], ordinary: int) -> None:
    """Frames of any JSON, the dialect's own names in any place and with any value, are survived."""
    shapes = [value for inner in values for value in (inner, {"choices": inner}, {"choices": [{"delta": inner}]})]

    assert (
        decode(sse(*[text("a")] * ordinary, *shapes)).facts == decode(sse(*[text("a")] * ordinary, *shapes), [7]).facts
    )
