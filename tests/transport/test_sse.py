"""Bytes in, server-sent events out."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatglm_magic._transport.sse import EventTooLongError, ServerSentEvent, SSEDecoder

BOM = b"\xef\xbb\xbf"


def decode(body: bytes, sizes: tuple[int, ...] = (), **limits: int) -> list[tuple[str, bytes]]:
    """Feed a body in pieces of these sizes, then the rest, and end it."""
    decoder = SSEDecoder(**limits)
    events: list[ServerSentEvent] = []
    start = 0
    for size in sizes:
        events += decoder.feed(body[start : start + size])
        start += size
    events += decoder.feed(body[start:])
    events += decoder.close()
    return [(event.event, event.data) for event in events]


def one_by_one(body: bytes) -> list[tuple[str, bytes]]:
    return decode(body, (1,) * len(body))


def reference(body: bytes) -> list[tuple[str, bytes]]:
    """Walk the standard's own steps, line by line, with our five differences; slow and plain."""
    events: list[tuple[str, bytes]] = []
    kind, data = "message", []
    lines = re.split(b"\r\n|\n|\r", body.removeprefix(BOM))
    for number, line in enumerate(lines, 1):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if data and data[0][:2].lstrip().startswith(b"{") and data[-1].endswith(b"}"):
            begins = name == b"data" and value.lstrip().startswith((b"{", b"[DONE]"))
            if begins or name in {b"event", b"error"}:
                events.append((kind, b"\n".join(data)))
                kind, data = "message", []
        if not line and number < len(lines):
            if b"\n".join(data):
                events.append((kind, b"\n".join(data)))
            kind, data = "message", []
        elif name in {b"data", b"error"}:
            data.append(value)
            kind = "error" if name == b"error" else kind
            if data == [b"[DONE]"]:
                events.append((kind, data[0]))
                kind, data = "message", []
        elif name == b"event":
            kind = value.decode("utf-8", "replace") or "message"
    last = b"\n".join(data)
    with contextlib.suppress(ValueError):
        if last == b"[DONE]" or json.loads(last) is not None:
            events.append((kind, last))
    return events


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", b"YHOO\n+2\n10")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [("message", b"first event"), ("message", b"second event"), ("message", b" third event")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", b"\n")]),
        (b"data:test\n\ndata: test\n\n", [("message", b"test"), ("message", b"test")]),
        (b"event: add\ndata: 73857293\n\n", [("add", b"73857293")]),
        (b"event: add\n\ndata: x\n\n", [("message", b"x")]),
        (b"event:\ndata: x\n\n", [("message", b"x")]),
        (b"retry: 10\nid: a\0b\nnothing: y\ndata: x\n\n", [("message", b"x")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\n", [("message", c) for c in (b"a", b"b", b"c", b"d")]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [("message", b"a"), ("message", b"b")]),
        (b" data: x\n\ndata : y\n\nDATA: z\n\n", []),
        (b"data: x\ndata: y", []),
        (b"event: error\ndata: {}\n\n", [("error", b"{}")]),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_the_standards_examples(body, expected):
    """The examples of the WHATWG text come out as it says, but for events without data, in whole and byte by byte."""
    assert expected == decode(body)
    assert expected == one_by_one(body)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f"])
def test_only_cr_and_lf_end_a_line(mark):
    """What Unicode or Python call a line end stays in the line."""
    body = f"data: a{mark}b\n\n".encode()

    assert [("message", f"a{mark}b".encode())] == decode(body) == one_by_one(body)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 8])
def test_one_bom_is_dropped_wherever_it_is_cut(size):
    """One leading BOM is no part of the first line; a second one is."""
    assert decode(BOM + b"data: x\n\n", (size,)) == [("message", b"x")]
    assert decode(BOM + BOM + b"data: x\n\n", (size,)) == []
    assert decode(b"data: y\n\n" + BOM + b"data: x\n\n", (size,)) == [("message", b"y")]


def test_half_a_bom_is_text():
    """What only begins like a BOM is kept, and harms nothing."""
    assert one_by_one(BOM[:2] + b"data: x\n\n") == []
    assert decode(BOM[:2]) == []


def test_a_cut_crlf_is_one_line_end():
    """CR at the end of one chunk and LF at the start of the next end one line, not two."""
    body = b"data: a\r\ndata: b\r\n\r\n"

    assert all(decode(body, (size,)) == [("message", b"a\nb")] for size in range(len(body)))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("last", [b"[DONE]", b'{"choices":[]}', b'{"a":\r"b"}', b"7"])
def test_a_whole_last_event_needs_no_blank_line(last, end):
    """At the end of the stream an event that is whole JSON or `[DONE]` is handed over (llama.cpp)."""
    body = b"data: first\n\ndata: " + last.replace(b"\r", b"\ndata: ") + end

    assert [("message", b"first"), ("message", last.replace(b"\r", b"\n"))] == decode(body) == one_by_one(body)


@pytest.mark.parametrize("last", [b'{"choices":[', b"[DON", b"words", b"\xff\xfe", b"[" * 100_000])
def test_an_unfinished_last_event_is_discarded(last):
    """At the end of the stream what is no whole event is dropped, whatever bytes it has."""
    assert decode(b"data: first\n\ndata: " + last) == [("message", b"first")]


def test_error_fields_are_error_events():
    """A field named `error` is an event of that type with its value as data (llama.cpp up to 2025)."""
    assert decode(b'error: {"code":500}\n\n') == [("error", b'{"code":500}')]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("between", [b"", b": ping\n", b"id: 1\n", b"event: message\n"])
def test_frames_without_blank_lines_are_events(end, between):
    """An object on a data line is an event where another one, `[DONE]` or the next event's type follows at once."""
    objects = [b'{"n": %d}' % number for number in range(100)]
    body = between.join(b"data: %b\n" % data for data in [*objects, b"[DONE]"]).replace(b"\n", end)

    expected = [("message", data) for data in [*objects, b"[DONE]"]]
    assert expected == decode(body) == one_by_one(body)


def test_an_object_on_several_lines_is_one_event():
    """An object that is written on several data lines stays whole."""
    assert decode(b'data: {\ndata: "a": {}\ndata: }\n\ndata: {"a":\ndata: {}}\n\n') == [
        ("message", b'{\n"a": {}\n}'),
        ("message", b'{"a":\n{}}'),
    ]


def test_an_error_behind_an_object_is_its_own():
    """The type of the next event is none of the one before, even without a blank line."""
    body = b'data: {"a": 1}\nevent: error\ndata: {"b": 2}\nerror: {"c": 3}\n'

    assert decode(body) == [("message", b'{"a": 1}'), ("error", b'{"b": 2}'), ("error", b'{"c": 3}')]


def test_done_waits_for_nothing():
    """`[DONE]` is handed over with its line: some servers send no blank line, and stay."""
    assert [event.data for event in SSEDecoder().feed(b"data: {}\ndata: [DONE]\n")] == [b"{}", b"[DONE]"]


def test_bytes_that_are_no_utf8_stay():
    """Data are handed on as they came; the event's type is decoded with replacement."""
    assert decode(b"event: \xff\ndata: \xff\xfe\n\n") == [("\ufffd", b"\xff\xfe")]


pieces = st.sampled_from(
    (
        *(b"data", b"data:", b"data: ", b":", b" ", b"event", b"event: e", b"error: ", b"id: 1", b"x", b"{}"),
        *(b"[DONE]", b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", BOM, b"\xff", "\u2028".encode()),
    )
)
bodies = st.lists(pieces, max_size=40).map(b"".join)


@given(body=bodies)
@example(body=b"data: a\n\ndata: \n\ndata: b\n\n")
@example(body=b"\n\ndata: a\n\n")
@example(body=b"data: a\r\n\ndata: b\n\n")
@example(body=b"data: a\n\ndata: b\ndata: c\n\n")
def test_every_body_is_read_as_the_standard_says(body):
    """A plain walk along the standard's steps gives the same events."""
    assert reference(body) == decode(body)


@given(body=bodies, sizes=st.lists(st.integers(0, 7), max_size=60).map(tuple))
@example(body=b"data: a\n\n\r", sizes=(9,))
@example(body=b"data: \r\n\n", sizes=(7,))
def test_any_chunking_gives_the_same_events(body, sizes):
    """How the network cuts a stream changes nothing."""
    assert decode(body) == decode(body, sizes)


@pytest.mark.parametrize(
    "chunk", [b"x" * 100, b"data: x\n", b":\n", b"data:\n", b"a\r", b"\r\nd"], ids=lambda chunk: repr(chunk[:9])
)
def test_an_event_without_end_is_given_up(chunk):
    """An event may not outgrow its limit, whatever it is made of; the error shows how it began."""
    decoder = SSEDecoder(max_event_bytes=10_000)

    with pytest.raises(EventTooLongError, match="longer than 10000 bytes") as caught:
        all(decoder.feed(chunk) == [] for _ in range(10_001))

    assert 0 < len(caught.value.head) <= 200
    assert caught.value.head.startswith(chunk.strip(b"\r\n")[:2])


@pytest.mark.parametrize("block", [b"\n", b"\r", b"\r\n", b":\n\n", b"data:\n\n", b": ping\r\n\r\n", b"event: x\n\n"])
def test_endless_nothing_needs_no_memory(block):
    """Blank lines, comments and events without data leave nothing behind, however many come."""
    decoder = SSEDecoder(max_event_bytes=100)

    for _ in range(1000):
        assert decoder.feed(block * 50) == []

    assert sum(map(len, decoder._pending)) < 20


class Counting(bytes):
    """Bytes that count how many of them are searched."""

    searched = 0

    def __contains__(self, other):
        Counting.searched += len(self)
        return super().__contains__(other)


def test_a_long_line_costs_linear_work():
    """A chunk is searched twice (for CR, for LF), and what waits in full pieces is not touched again."""
    decoder = SSEDecoder()
    Counting.searched = 0
    count = 20_000
    decoder.feed(b"data: " + b"x" * 1024)
    first = decoder._pending[0]
    for _ in range(count):
        decoder.feed(Counting(b"x" * 10))

    assert Counting.searched == 2 * 10 * count
    assert decoder._pending[0] is first
    assert len(decoder._pending) <= 10 * count / 1024 + 2
    [event] = decoder.feed(b"\n\n")
    assert event.data == b"x" * (1024 + 10 * count)


def test_a_line_beyond_aiohttps_own_limit_is_read():
    """A line of 1.2 MB, in pieces of 64 KiB, is one event (line readers stop at 512 KiB)."""
    body = b"data: " + b"y" * 1_200_000 + b"\n\n"

    assert decode(body, (65536,) * 18) == [("message", b"y" * 1_200_000)]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_plain_words_are_kept(size):
    """Lines that are neither field nor comment are no events, and are there to be quoted."""
    body = b': ping\nid: 1\nretry: 5\n\nInternal Server Error\ndata: {}\n\n{"error": 1}'
    decoder = SSEDecoder()

    events = [event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])]

    assert [event.data for event in (*events, *decoder.close())] == [b"{}"]
    assert decoder.strays == b'Internal Server Error\n{"error": 1}\n'
    for _ in range(100):
        decoder.feed(b"words, words\n" * 10)
    assert len(decoder.strays) < 2100
