"""The rules of the dialect, one by one: fields, tool calls, ends and errors."""

from __future__ import annotations

import json

import pytest
from openai_frames import USAGE, call, chunk, decode, sse, text

from chatglm_magic._errors import BadRequestError, BrokenStreamError, ProtocolError, RateLimitError, ServerError
from chatglm_magic._events import Part, Source, TextDelta, ThinkingDelta, ToolCallDelta, Usage

END = chunk(finish="stop")


# Fields


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_either_field_is_thinking(field: str) -> None:
    """Thinking is read from both fields that servers use."""
    reply = decode(sse(chunk({field: "hm"}), chunk({field: "m", "content": None}), text("4"), END)).reply

    assert (reply.thinking, reply.text) == ("hmm", "4")


def test_both_fields_count_once() -> None:
    """A server that sends thinking under both names is not heard twice."""
    reply = decode(sse(chunk({"reasoning_content": "hm", "reasoning": "hm"}), text("4"), END)).reply

    assert reply.thinking == "hm"


@pytest.mark.parametrize("position", [0, 9])
def test_mixed_chunk_thinks_first(position: int) -> None:
    """Thinking and text in one chunk are both kept, the thinking first."""
    frames = [chunk({"reasoning_content": "a"})] * position + [chunk({"content": "4", "reasoning_content": "hm"}), END]

    events = decode(sse(*frames)).events

    assert [ThinkingDelta("a" * position + "hm"), TextDelta("4")] == events[:2]


def test_content_in_parts() -> None:
    """Content may be an array of text parts; what is no text is kept raw and named in the warnings."""
    image = {"type": "image_url", "image_url": {"url": "https://example.invalid/i.png"}}
    content = [{"type": "text", "text": "Hel"}, {"type": "thinking", "thinking": "hm"}, image, "lo"]

    reply = decode(sse(chunk({"content": content}), END)).reply

    assert (reply.text, reply.thinking, reply.warnings) == ("Hello", "hm", ["unknown-content"])
    assert [part.raw for part in reply.parts if part.kind == "unknown"] == [image]


def test_one_piece_despite_stream() -> None:
    """A stream whose only chunk has a message in place of deltas is read all the same."""
    frame = {"id": "1", "model": "m", "choices": [{"index": 0, "message": {"content": "all"}, "finish_reason": "stop"}]}

    assert decode(sse(frame)).reply.text == "all"


def test_one_delta_for_each_read() -> None:
    """All that one network read says is one delta."""
    frames = [text(str(number)) for number in range(10)]

    assert TextDelta("0123456789") == decode(sse(*frames, END), think_tags=False).events[0]


def test_only_the_first_choice() -> None:
    """Other choices than the first are left out, and said so."""
    other = {"id": "chat-1", "choices": [{"index": 1, "delta": {"content": "other"}}]}

    reply = decode(sse(*[text("a")] * 9, other, text("b"), END)).reply

    assert (reply.text, reply.warnings) == ("a" * 9 + "b", ["odd-choice"])


@pytest.mark.parametrize("position", [0, 9])
def test_null_everywhere(position: int) -> None:
    """Null in place of anything is tolerated; no choices at all is warned of, once."""
    nulls = {"id": "", "model": None, "choices": None, "usage": None, "error": None, "web_search": None}
    odd = [nulls, nulls, chunk(None), chunk({"content": None, "tool_calls": None, "reasoning_content": None})]

    reply = decode(sse(*[text("a")] * position, *odd, text("b"), END)).reply

    assert ("a" * position + "b", ["null-choices"]) == (reply.text, reply.warnings)
    assert (reply.message_id, reply.model) == ("chat-1", "glm-demo")


def test_rare_things_in_common_frames() -> None:
    """Whatever may stand beside ordinary text is found far into a stream, too."""
    frames = [text("a")] * 9
    page = {"title": "T", "link": "https://s.example.invalid/1", "refer": "1"}

    outcome = decode(
        sse(
            *frames,
            text("b") | {"web_search": [page]},
            text("c") | {"usage": USAGE},
            chunk({"content": "d", "tool_calls": [call(0, "a", "f", "{}")]}),
            text("e") | {"error": {"code": "1234", "message": "boom"}},
        ),
    )

    assert [part.kind for part in outcome.reply.parts] == ["text", "search", "tool_call"]
    assert outcome.reply.text == "a" * 9 + "bcde"
    assert outcome.reply.usage == Usage(9, 5, 14, raw=USAGE)
    assert (outcome.error and outcome.error.code) == "1234"


def test_search_results() -> None:
    """Pages found by the web_search tool are one part, even if they are sent twice."""
    pages = [{"refer": "ref_1", "title": "T", "link": "https://s.example.invalid/1"}, {"title": 5}, "odd"]
    frame = {"choices": [], "web_search": pages}

    reply = decode(sse(text("x"), frame, frame, END)).reply

    sources = (Source("T", "https://s.example.invalid/1", "ref_1"), Source("", "", ""))
    assert [Part("text", "x"), Part("search", sources=sources)] == reply.parts


# Usage


@pytest.mark.parametrize("place", ["before", "with", "after"])
def test_usage_anywhere(place: str) -> None:
    """Usage counts before, beside and after the finish reason, and does not end the reading."""
    apart = {"choices": [], "usage": USAGE}
    frames = {
        "before": [text("a"), apart, text("b"), END],
        "with": [text("a"), text("b"), END | {"usage": USAGE}],
        "after": [text("a"), END, text("b"), apart],
    }

    reply = decode(sse(*frames[place])).reply

    assert (
        reply.text,
        reply.usage and (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens),
    ) == ("ab", (9, 5, 14))


def test_the_last_usage_counts() -> None:
    """Of usage on every chunk, the last that says something is kept."""
    frames = [text("a") | {"usage": {"prompt_tokens": 9, "completion_tokens": count}} for count in range(1, 4)]

    usage = decode(sse(*frames, END | {"usage": None})).reply.usage

    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 3, 12)


@pytest.mark.parametrize("odd", ["nine", None, True, -1, float("nan"), float("inf"), [9]])
def test_odd_usage(odd: object) -> None:
    """A count that is no count is none."""
    usage = decode(sse(text("a"), END | {"usage": {"prompt_tokens": odd, "completion_tokens": 5.0}})).reply.usage

    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 5, 5)


# Tool calls


def calls(*pieces: dict[str, object], finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    """Send each piece in a chunk of its own, the last beside the finish reason; give id, name and arguments."""
    frames = [chunk({"tool_calls": [piece]}) for piece in pieces[:-1]]
    reply = decode(sse(*frames, chunk({"tool_calls": [pieces[-1]]}, finish=finish))).reply
    assert reply.finish_reason == "tool_calls"
    return [(tool.id, tool.name, tool.arguments) for tool in reply.tool_calls]


def test_first_identity_wins() -> None:
    """Ids and names that are repeated or changed on later pieces change nothing."""
    pieces = [call(0, "call_a", "f", '{"x":'), call(0, "call_b", "f", "1"), call(0, "call_c", "g", "}")]

    assert calls(*pieces) == [("call_a", "f", '{"x":1}')]


def test_identity_repeated_at_the_end() -> None:
    """A last piece that says the whole call once more beside the finish reason adds nothing."""
    whole = '{"x":1}'

    assert [("call_a", "f", whole)] == calls(call(0, "call_a", "f", whole), call(0, "call_b", "f", whole))
    assert [("call_a", "f", whole)] == calls(call(0, "call_a", "f", whole), call(0, "call_b", "f", ""))


def test_identity_comes_late() -> None:
    """Empty ids and names are not the first ones."""
    assert calls(call(0, "", "", "{"), call(0, "call_a", "f", "}")) == [("call_a", "f", "{}")]


def test_whole_calls_without_index() -> None:
    """Whole calls that lack an index, or all have the same, are different calls."""
    first, second = '{"x":1}', '{"x":2}'
    expected = [("a", "f", first), ("b", "f", second)]

    assert expected == calls(call(None, "a", "f", first), call(None, "b", "f", second))
    assert expected == calls(call(0, "a", "f", first), call(0, "b", "f", second))
    assert [("", "f", first), ("", "g", second)] == calls(call(None, None, "f", first), call(None, None, "g", second))
    reply = decode(sse(chunk({"tool_calls": [call(None, "a", "f", first), call(None, "b", "f", second)]}))).reply
    assert [first, second] == [tool.arguments for tool in reply.tool_calls]


def test_pieces_without_index() -> None:
    """Pieces that lack an index belong to the call that is open, or to the one whose id they name."""
    pieces = [call(None, "a", "f", '{"x":'), call(None, None, None, "1}"), call(None, "b", "f", "{"), call(None, "b")]

    assert calls(*pieces, call(None, None, None, "}")) == [("a", "f", '{"x":1}'), ("b", "f", "{}")]


def test_two_calls_in_turns() -> None:
    """Pieces of two calls may come in turns: the index tells."""
    pieces = [call(0, "a", "f", "{"), call(1, "b", "g", "{"), call(0, None, None, "}"), call(1, None, None, "}")]

    assert calls(*pieces) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_arguments_as_an_object() -> None:
    """Arguments that are no text but the object itself become JSON text."""
    assert calls(call(0, "a", "f", {"city": "北京"})) == [("a", "f", '{"city": "北京"}')]


def test_odd_tool_pieces() -> None:
    """Pieces that are no function call are kept raw and warned of."""
    odd = {"type": "mcp", "mcp": {"name": "x"}}

    reply = decode(sse(chunk({"tool_calls": [odd, 5, call(0, "a", "f", "{}"), {"function": None}]}), END)).reply

    assert [odd, 5] == [part.raw for part in reply.parts if part.kind == "unknown"]
    assert reply.warnings == ["unknown-tool-call"]
    assert [ToolCallDelta(0, "a", "f", "{}")] == [
        e
        for e in decode(sse(chunk({"tool_calls": [call(0, "a", "f", "{}"), call(0, "a", "f", "")]}), END)).events
        if isinstance(e, ToolCallDelta)
    ]


# Ends


@pytest.mark.parametrize(
    ("raw", "reason", "kind", "retryable"),
    [
        ("stop", "stop", None, False),
        ("length", "length", None, False),
        ("tool_calls", "tool_calls", None, False),
        ("function_call", "tool_calls", None, False),
        ("sensitive", "content_filter", "content_filter", False),
        ("content_filter", "content_filter", "content_filter", False),
        ("model_context_window_exceeded", "length", "context_length", False),
        ("network_error", "error", "server", True),
        ("abort", "error", "server", True),
        ("error", "error", "server", True),
    ],
)
def test_finish_reasons(raw: str, reason: str, kind: str | None, retryable: bool) -> None:  # noqa: FBT001 - a table
    """Each word for the end has its reason and its error, and the text stays."""
    outcome = decode(sse(text("part"), chunk(finish=raw)))

    assert ("part", reason, raw) == (outcome.reply.text, outcome.reply.finish_reason, outcome.reply.raw_finish)
    assert kind == (outcome.error and outcome.error.kind)
    if outcome.error:
        assert (raw, retryable) == (outcome.error.code, outcome.error.retryable)


def test_unknown_finish_reason() -> None:
    """A word that is not known counts as stop, is kept, and is warned of."""
    reply = decode(sse(text("x"), chunk(finish="eos"))).reply

    assert (reply.finish_reason, reply.raw_finish, reply.warnings) == ("stop", "eos", ["unknown-finish-reason"])


@pytest.mark.parametrize("odd", [None, "", False, 0, [], {"type": "stop", "matched": 1}])
def test_odd_finish_reason(odd: object) -> None:
    """An empty finish reason is none, and an object's type is one."""
    reply = decode(sse(text("a"), text("b"), chunk(finish=odd))).reply

    assert (reply.text, reply.finish_reason) == ("ab", "stop")
    assert (["no-finish-reason"] if not odd else []) == reply.warnings


def test_finish_without_done() -> None:
    """A stream that just ends after its finish reason ended well."""
    outcome = decode(sse(text("x"), END, done=False))

    assert (outcome.reply.finish_reason, outcome.reply.warnings, outcome.error) == ("stop", [], None)


def test_cut_off() -> None:
    """A stream that ends without finish reason and `[DONE]` was cut off; what came stays."""
    outcome = decode(sse(text("x"), chunk({"reasoning_content": "y"}), done=False))

    assert (outcome.reply.text, outcome.reply.thinking, outcome.reply.finish_reason) == ("x", "y", "error")
    assert isinstance(outcome.error, BrokenStreamError)
    assert outcome.error.retryable


@pytest.mark.parametrize("said", [{}, {"content": ""}, {"content": " \n"}, {"reasoning_content": "only thoughts"}])
def test_done_without_an_answer(said: dict[str, str]) -> None:
    """`[DONE]` with neither finish reason nor answer is an error; thinking stays."""
    outcome = decode(sse(chunk(said)))

    assert isinstance(outcome.error, ProtocolError)
    assert (outcome.error.kind, outcome.error.retryable) == ("empty", True)
    assert said.get("reasoning_content", "") == outcome.reply.thinking


@pytest.mark.parametrize("blank", ["", "\n"])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_answer_in_thinking(blank: str, finish: str) -> None:
    """A reply that only thinks and then ends is kept, with a warning that there is no answer."""
    outcome = decode(sse(chunk({"reasoning_content": "The answer is 4."}), text(blank), chunk(finish=finish)))

    assert (outcome.reply.thinking, outcome.reply.text) == ("The answer is 4.", blank)
    assert outcome.reply.finish_reason == finish
    assert (outcome.reply.warnings, outcome.error) == (["reasoning-only"], None)


def test_nothing_after_done() -> None:
    """What comes after `[DONE]` is not read."""
    assert decode(sse(text("a"), END) + sse(text("b"))).reply.text == "a"


# Errors inside a stream


@pytest.mark.parametrize(
    ("said", "code", "kind", "words"),
    [
        (b'data: {"error":{"code":"1305","message":"busy"}}\n\n', "1305", "rate_limit", "busy"),
        (b'data: {"error":{"code":"1301","message":"no"}}\n\n', "1301", "content_filter", "no"),
        (b'data: {"error":{"object":"error","message":"boom","code":500}}\n\n', "500", "server", "boom"),
        (b'data: {"error":{"message":"bad","type":"BadRequestError","code":400}}\n\n', "400", "invalid_request", "bad"),
        (b'data: {"error":"CUDA out of memory"}\n\n', None, "server", "CUDA out of memory"),
        (b'data: {"object":"error","message":"boom","code":503}\n\n', "503", "server", "boom"),
        (b'data: {"code":1234,"msg":"boom"}\n\n', "1234", "server", "boom"),
        (b'event: error\ndata: {"error":{"code":"1302","message":"slow"}}\n\n', "1302", "rate_limit", "slow"),
        (b'event: error\ndata: {"code":429,"message":"slow"}\n\n', "429", "rate_limit", "slow"),
        (b"event: error\ndata: plain words\n\n", None, "server", "plain words"),
        (b'event: error\ndata: "quoted words"\n\n', None, "server", "quoted words"),
        (b'error: {"code":500,"message":"oom","type":"server_error"}\n\n', "500", "server", "oom"),
        (
            b'error: {"code":400,"message":"the request exceeds the available context size"}\n\n',
            "400",
            "context_length",
            "the request exceeds the available context size",
        ),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_errors_in_the_stream(said: bytes, code: str | None, kind: str, words: str, done: bool) -> None:  # noqa: FBT001
    """An error inside the stream is one in any shape, with or without `[DONE]`; the text stays."""
    outcome = decode(sse(text("a"), said, done=done))

    assert (outcome.reply.text, outcome.reply.finish_reason, outcome.reply.warnings) == ("a", "error", [])
    assert outcome.error
    assert (kind, code, words) == (outcome.error.kind, outcome.error.code, outcome.error.detail)
    assert outcome.error.retryable == isinstance(outcome.error, (RateLimitError, ServerError))


def test_error_event_that_looks_like_a_chunk() -> None:
    """What is sent as an error is one, even if it has choices."""
    event = b"event: error\ndata: " + json.dumps(text("b")).encode() + b"\n\n"

    outcome = decode(sse(*[text("a")] * 9, event))

    assert (outcome.reply.text, outcome.error and outcome.error.kind) == ("a" * 9, "server")


def test_error_beside_a_choice() -> None:
    """An error in a chunk that also says something, and after a finish reason, counts."""
    outcome = decode(sse(text("a"), END, text("b") | {"error": {"code": 400, "message": "bad"}}))

    assert (outcome.reply.text, outcome.reply.finish_reason) == ("ab", "error")
    assert isinstance(outcome.error, BadRequestError)


def test_other_named_events() -> None:
    """Events of a server's own are no frames; a chunk under another name is read."""
    own = b"event: sglext_ids\ndata: [1,2\n\nevent: ping\ndata: x\n\n"
    named = b"event: chunk\ndata: " + json.dumps(text("b")).encode() + b"\n\n"

    reply = decode(sse(text("a"), own, named, END)).reply

    assert (reply.text, reply.warnings) == ("ab", [])
