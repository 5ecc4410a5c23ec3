"""The rules by which chatglm.cn's parts are gathered, one by one."""

from __future__ import annotations

import json

import pytest
from web_frames import FINISH, INFO, decode, frame, item, part, sse, text

from chatglm_magic._errors import BrokenStreamError, ContentFilterError, ProtocolError
from chatglm_magic._events import Part, Replace, Source, TextDelta, ThinkingDelta
from chatglm_magic.providers.chatglm.decoder import WebDecoder
from chatglm_magic.providers.chatglm.frames import whole_answer

# Modes


def deltas(*pieces: str) -> list[dict[str, object]]:
    return [frame(text("L1", piece)) for piece in pieces]


def test_a_repeated_piece_is_shown_once_the_mode_is_known() -> None:
    """Two equal payloads prove nothing; the first that differs makes them two pieces."""
    outcome = decode([sse(one) for one in deltas("ha", "ha", "!")])

    assert outcome.feeds[:3] == [[TextDelta("ha")], [], [TextDelta("ha!")]]
    assert (outcome.reply.text, outcome.reply.mode) == ("haha!", "delta")


def test_pieces_that_look_like_snapshots() -> None:
    """A delta stream whose second piece starts with the first is found out at the third, and corrected."""
    outcome = decode([sse(one) for one in deltas("好", "好的", "，", "走")])

    assert outcome.feeds[:4] == [[TextDelta("好")], [TextDelta("的")], [Replace("好好的，")], [TextDelta("走")]]
    assert (outcome.reply.text, outcome.reply.mode) == ("好好的，走", "delta")


def test_the_whole_in_the_finish_frame_counts_whatever_the_mode() -> None:
    """What a finished part holds takes the place of what was gathered."""
    frames = [*deltas("1", ",", " 2"), frame(text("L1", "1, 2, 3", "finish"))]

    outcome = decode(sse(*frames, FINISH))

    assert (outcome.reply.text, outcome.error) == ("1, 2, 3", None)
    assert not any(isinstance(event, Replace) for event in outcome.events)


def test_a_finished_part_that_differs_is_a_correction() -> None:
    """A final text that does not start with what was shown replaces it."""
    outcome = decode([sse(*deltas("Hello", " wrld")), sse(frame(text("L1", "Hello world", "finish")))])

    assert outcome.events[1] == Replace("Hello world")


def test_an_empty_final_payload_takes_nothing_away() -> None:
    """A finish frame whose part is empty leaves what was gathered."""
    assert decode(sse(*deltas("a", "ab"), frame(text("L1", "", "finish"), status="finish"))).reply.text == "ab"


def test_a_settled_snapshot_stream_never_turns() -> None:
    """After many payloads that fit, one that does not is a correction, not a piece."""
    frames = [frame(text("L1", "x" * n)) for n in range(1, 70)]

    outcome = decode(sse(*frames, frame(text("L1", "something else"))))

    assert (outcome.reply.text, outcome.reply.mode) == ("something else", "snapshot")


def test_a_corrected_snapshot_is_no_piece() -> None:
    """A payload that keeps a long beginning of what is there corrects it, early in the stream too."""
    told = ["The quick brown fax", "The quick brown fax jumps", "The quick brown fox jumps"]

    outcome = decode(sse(*deltas(*told)))

    assert (outcome.reply.text, outcome.reply.mode) == (told[-1], "snapshot")


def test_the_mode_is_the_streams_not_the_parts() -> None:
    """What one part proves holds for the others, also for pieces they got before."""
    frames = [frame(text("a", "x")), frame(text("a", "x")), frame(text("b", "1")), frame(text("b", "2"))]

    outcome = decode(sse(*frames))

    assert outcome.reply.text == "xx\n\n12"


def test_a_frame_after_the_end_may_still_add() -> None:
    """Text that comes after the finish frame counts, and nothing ends twice."""
    frames = [*deltas("a", "ab"), frame(text("L1", "abc", "finish"), status="finish")]

    outcome = decode(sse(*frames, frames[-1], frame(text("L1", "abcd", "finish"), status="finish")))

    assert (outcome.reply.text, outcome.reply.finish_reason) == ("abcd", "stop")


def test_the_end_starts_a_grace() -> None:
    """Once the end was said, silence is the end; before, it is not."""
    decoder = WebDecoder(INFO)
    decoder.feed(sse(*deltas("a", "ab")))

    assert decoder.grace is None
    decoder.feed(sse(FINISH))
    assert decoder.grace is not None
    assert not decoder.done


def test_a_repeated_end_counts_as_whole() -> None:
    """A finished part that is sent again, as if it were still growing, is not added to itself."""
    frames = [*deltas("a", "b"), frame(text("L1", "ab", "finish")), frame(text("L1", "ab")), frame(text("L1", "abc"))]

    assert decode(sse(*frames)).reply.text == "abc"


def test_the_end_frame_is_whole_whatever_its_parts_say() -> None:
    """Every part of the frame that ends the reply is whole, though its own status is `init`."""
    assert decode(sse(*deltas("a", "b"), frame(text("L1", "ab!"), status="finish"))).reply.text == "ab!"


def test_a_finished_part_stays_as_it_is() -> None:
    """When the stream turns to delta, a part that was said to be whole is not made anew."""
    frames = [frame(text("a", "x")), frame(text("a", "xy")), frame(text("a", "xyz", "finish"))]

    outcome = decode(sse(*frames, frame(text("b", "1")), frame(text("b", "2"))))

    assert (outcome.reply.text, outcome.reply.mode) == ("xyz\n\n12", "delta")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_nothing_is_kept_waiting(end: str) -> None:
    """Whatever the line ends, and wherever among them a read stops, an event counts as soon as it has ended."""
    decoder = WebDecoder(INFO)
    first, second = (sse(one, end=end) for one in deltas("a", "ab"))
    decoder.feed(first)

    assert [*decoder.feed(second[:-1]), *decoder.feed(second[-1:])] == [TextDelta("b")]


# Parts


def test_thoughts_and_text_may_share_a_key() -> None:
    """A part is known by its key and its items' type."""
    frames = [
        frame(part("L1", item("think", "Hm"))),
        frame(part("L1", item("think", "Hmm"))),
        frame(text("L1", "Yes")),
        frame(part("L1", item("think", "Hmm"), item("text", "Yes."), status="finish"), status="finish"),
    ]

    outcome = decode([sse(one) for one in frames])

    assert outcome.events[:4] == [ThinkingDelta("Hm"), ThinkingDelta("m"), TextDelta("Yes"), TextDelta(".")]
    assert outcome.reply.parts == [Part("thinking", "Hmm", "L1"), Part("text", "Yes.", "L1")]


def test_an_earlier_part_that_grows_late() -> None:
    """Text that grows before the last part cannot be appended: the whole is said anew."""
    frames = [frame(text("p9", "A")), frame(text("p10", "B")), frame(text("p9", "AA")), frame(text("p10", "BB"))]

    outcome = decode([sse(one) for one in frames])

    assert outcome.events[:4] == [TextDelta("A"), TextDelta("\n\nB"), Replace("AA\n\nB"), TextDelta("B")]


def test_an_empty_part_leaves_no_gap() -> None:
    """A part that stays empty is no part, and adds no blank line."""
    outcome = decode(sse(frame(text("a", "A")), frame(text("b", "")), frame(text("c", "C"), status="finish")))

    assert outcome.reply.text == "A\n\nC"
    assert [one.id for one in outcome.reply.parts] == ["a", "c"]


def test_without_a_logic_id_the_id_is_the_key() -> None:
    """Frames without logic ids are told apart by id; several in one frame by their order."""
    first, more, second = (part(None, item("text", words)) for words in ("A", "AB", "C"))

    outcome = decode(sse(frame(first), frame(more, second)))

    assert outcome.reply.text == "AB\n\nC"
    assert [one.id for one in outcome.reply.parts] == ["m1", "m1#2"]


def test_without_any_id_the_position_is_the_key() -> None:
    """The last resort is a part's place in its frame."""
    bare = {"content": [item("text", "A")], "status": "init"}

    assert decode(sse({"parts": [bare], "status": "init"})).reply.parts == [Part("text", "A", "0")]


def test_search_results_carry_their_marks() -> None:
    """What a search found names each page with the mark that the text cites it by."""
    found = [{"match_key": "turn0search0", "title": "GLM", "url": "https://a.example.invalid/"}]
    extra = {"tool_result_extra": {"tool_call_name": "search", "search_results": found}}
    frames = [
        frame(part("c", item("tool_calls", {}))),
        frame(part("r", item("tool_result", {"content": ""}), status="finish", meta_data=extra)),
        frame(text("x", "It is【turn0search0】.", "finish"), status="finish"),
    ]

    outcome = decode(sse(*frames))

    search = Part("search", id="r", sources=(Source("GLM", "https://a.example.invalid/", "turn0search0"),))
    assert outcome.reply.parts == [search, Part("text", "It is【turn0search0】.", "x")]
    assert outcome.events[0] == search


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("tool_calls", [{"name": "a", "arguments": [1]}], Part("server_tool", name="a", arguments="[1]", id="k")),
        ("tool_calls", '{"name":"a","arguments":"{}"}', Part("server_tool", name="a", arguments="{}", id="k")),
        ("tool_result", {"content": "42"}, Part("server_tool", "42", "k")),
        (
            "image",
            [{"image_url": "javascript:x"}, {"image_url": "https://i/"}],
            Part("image", id="k", urls=("https://i/",)),
        ),
    ],
)
def test_what_the_server_did(kind: str, value: object, expected: Part) -> None:
    """Calls, results and images of the server are parts of their kinds, in any of the shapes that were seen."""
    assert decode(sse(frame(part("k", item(kind, value), status="finish")), FINISH)).reply.parts == [expected]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("system_error", "broken", Part("notice", "broken", "k")),
        ("function_result", {"a": 1}, Part("server_tool", '{"a": 1}', "k")),
        (
            "browser_result",
            {"title": "T", "url": "https://t/"},
            Part("search", id="k", sources=(Source("T", "https://t/"),)),
        ),
        ("browser_result", "no JSON", Part("search", "no JSON", "k")),
        ("execution_output", "\n42\n", Part("execution_output", "\n42\n", "k")),
    ],
)
def test_what_stands_under_content(kind: str, content: object, expected: Part) -> None:
    """Items with a `content` give parts of their kinds, blank lines and all."""
    one = {"type": kind, "content": content}

    assert decode(sse(frame(part("k", one, one, status="finish")), FINISH)).reply.parts == [expected]


def test_code_is_told_when_it_is_complete() -> None:
    """Code streams silently and comes as one part, once."""
    frames = [frame(part("b", item("code", "print(")))]
    frames += [frame(part("b", item("code", "print(6)"), status="finish"))] * 2

    outcome = decode([sse(one) for one in frames])

    assert outcome.feeds[:3] == [[], [Part("code", "print(6)", "b")], []]


def test_what_was_told_is_not_told_again() -> None:
    """A part that is repeated as it was is no news."""
    image = part("i", item("image", [{"image_url": "https://i/"}]), status="finish")

    outcome = decode([sse(frame(image)), sse(frame(image)), sse(frame(image, status="finish"))])

    assert outcome.events[:-1] == [Part("image", id="i", urls=("https://i/",))]


def test_parts_that_never_finish_come_at_the_end() -> None:
    """A part that no frame said to be complete is told before the reply ends."""
    outcome = decode(sse(frame(part("b", item("code", "1"))), FINISH))

    assert outcome.events[:-1] == [Part("code", "1", "b")]


def test_an_unknown_type_is_kept_and_warned_of_once() -> None:
    """Items of a type that is new stay as they are on the wire."""
    odd = {"type": "hologram", "hologram": {"x": 1}}

    outcome = decode(sse(frame(part("h", odd)), frame(part("h", odd), text("x", "ok"), status="finish")))

    assert outcome.reply.warnings == ["unknown-part:hologram"]
    assert (outcome.reply.parts[0].kind, outcome.reply.parts[0].raw) == ("unknown", odd)
    assert outcome.reply.text == "ok"


# Ends and errors


def test_an_error_of_a_part_or_without_a_reason_is_none() -> None:
    """`error` on a part, or on a frame that says no reason, is ignored."""
    tool = part("t", item("tool_calls", {"name": "x"}), status="error")
    nothing = frame(status="error", last_error={"message": None})
    frames = [frame(tool), frame(status="error"), nothing, frame(text("x", "ok"))]

    outcome = decode(sse(*frames, FINISH))

    assert (outcome.reply.text, outcome.reply.finish_reason, outcome.error) == ("ok", "stop", None)


def test_a_reason_beside_a_good_end_is_a_warning() -> None:
    """A reply that was said to be finished is, whatever `last_error` holds."""
    outcome = decode(sse(frame(text("x", "ok", "finish"), status="finish", last_error={"code": 7})))

    assert (outcome.reply.finish_reason, outcome.error, outcome.reply.warnings) == ("stop", None, ["last-error"])


def test_intervention_keeps_the_text() -> None:
    """Moderation ends the reply; what had come stays, its words are the error's."""
    end = frame(text("L1", "ab", "finish"), status="intervene", last_error={"intervene_text": "No."})

    outcome = decode(sse(*deltas("a", "ab"), end))

    assert isinstance(outcome.error, ContentFilterError)
    assert (outcome.reply.text, outcome.reply.finish_reason, outcome.error.detail) == ("ab", "content_filter", "No.")


def test_no_end_is_truncated() -> None:
    """A stream that just stops was cut, however much had come, and may be asked again if nothing had."""
    for body in (sse(frame()), sse(*deltas("a", "b"))[:-40]):
        outcome = decode(body)

        assert isinstance(outcome.error, BrokenStreamError)
        assert outcome.error.retryable
        assert outcome.reply.finish_reason == "error"


@pytest.mark.parametrize("body", [b"", b": ping\n\n", b"\n"])
def test_nothing_at_all_is_empty(body: bytes) -> None:
    """A stream without one event is an empty answer; asking again would bring no other."""
    error = decode(body).error

    assert error is not None
    assert (error.kind, error.retryable) == ("empty", False)


def test_plain_words_are_quoted() -> None:
    """What a proxy says in plain words, declared as an event stream, is no empty answer."""
    error = decode(b": ping\n\nService busy\n").error

    assert error is not None
    assert (error.kind, "'Service busy'" in str(error)) == ("protocol", True)


def test_one_document_in_place_of_a_stream() -> None:
    """A whole frame that comes as a document, on several lines, stands for the stream; other JSON does not."""
    whole = frame(text("L1", "ab", "finish"), status="finish")

    assert decode(whole_answer(json.dumps(whole, indent=1).encode())).reply.text == "ab"
    assert whole_answer(b'{"status": 10061, "message": "busy"}') == whole_answer(b"[1") == whole_answer(b"") == b""


def test_done_without_an_end() -> None:
    """`[DONE]` ends the reply; without any text it is an empty one."""
    done, empty = decode(sse(*deltas("a", "b")) + b"data: [DONE]\n\n"), decode(b"data:  [DONE]\n\n")

    assert (done.reply.finish_reason, done.reply.warnings, done.error) == ("stop", ["no-finish-reason"], None)
    assert isinstance(empty.error, ProtocolError)
    assert empty.error.kind == "empty"


def test_an_envelope_in_the_stream_is_a_refusal() -> None:
    """The JSON that stands for a stream may come as an event of one."""
    outcome = decode(sse({"status": 10061, "message": "请等待其他对话生成完毕", "rid": "r"}))

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == ("rate_limit", True)


def test_other_fields_of_an_event() -> None:
    """An id behind the data, a comment before it, data on two lines: all as the standard says."""
    one, two = (sse(frame(text("L1", words))) for words in ("a", "ab"))
    one = one.replace(b"\n\n", b"\nid: 7\n\n")
    two = b": ping\n\n" + two.replace(b'"parts"', b'\ndata: "parts"')

    outcome = decode(one + two + sse(FINISH))

    assert (outcome.reply.text, outcome.reply.warnings) == ("ab", [])
