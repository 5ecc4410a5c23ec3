"""What an answer is, judged by its headers and its first bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._transport.call import Unpacker, is_event_stream, media_type


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Text/Event-Stream; charset=utf-8", "text/event-stream"), ("", ""), (" application/json ", "application/json")],
)
def test_a_media_type_has_no_parameters(header, expected):
    """Parameters, case and blanks around it are no part of a media type."""
    assert media_type(header) == expected


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "text/plain", "application/octet-stream", "", "application/json", "text/html"]
)
@given(body=st.sampled_from([b"data: x", b"event: y", b": ping", b"id: 1", b"\xef\xbb\xbfdata:x", b"\n\r\ndata: "]))
def test_what_starts_like_a_stream_is_one(kind, body):
    """However few of a stream's first bytes are seen, whatever it is called, it is never taken for something else."""
    verdicts = [is_event_stream(kind, body[:size]) for size in range(1, len(body) + 1)]

    assert False not in verdicts
    assert verdicts[-1] is True


@pytest.mark.parametrize("body", [b"{", b' {"error"', b"[", b"<html>", b"\xef\xbb\xbf{"])
def test_documents_are_none(body):
    """What starts like JSON or HTML is no stream, whatever it is declared to be."""
    assert is_event_stream("text/event-stream", body) is False
    assert is_event_stream("text/plain", body) is False


def test_blank_space_is_not_waited_through():
    """A body of blanks is judged by its declaration after a few thousand."""
    assert is_event_stream("text/plain", b" " * 4000) is None
    assert is_event_stream("text/plain", b" " * 5000) is False
    assert is_event_stream("text/event-stream", b"\n" * 5000) is True


def unpack(packed: bytes, encoding: str, size: int = 0) -> bytes:
    """Unpack a body that comes in pieces of a size."""
    unpacker = Unpacker(encoding)
    plain = b""
    for start in range(0, len(packed), size or len(packed)):
        unpacker.give(packed[start : start + (size or len(packed))])
        while more := unpacker.take():
            assert len(more) <= 256 * 1024 or packed == plain + more
            plain += more
    return plain + unpacker.take(last=True)


def raw(body: bytes) -> bytes:
    """Compress without a header, as some servers understand `deflate`."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


TEXT = b"".join(b"data: {%d}\n\n" % (number**3) for number in range(4_000))
PACKED = [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("", gzip.compress), ("utf-8", gzip.compress)]


@pytest.mark.parametrize(("encoding", "pack"), [*PACKED, ("deflate", zlib.compress), ("deflate", raw)])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_what_is_packed_is_unpacked(encoding, pack, size):
    """Gzip is known by its first bytes, deflate by the header; a body that is cut gives what it held."""
    packed = pack(TEXT)

    assert unpack(packed, encoding, size) == TEXT
    assert TEXT.startswith(unpack(packed[:-9], encoding, size))


def test_members_and_padding():
    """Gzip may come in several members; what follows them is dropped."""
    assert unpack(gzip.compress(b"data: a") + gzip.compress(b"b"), "gzip", 3) == b"data: ab"
    assert unpack(gzip.compress(b"data: a") + b"\0\0", "gzip") == b"data: a"


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "none", "gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", [b"data: x", b'{"a": 1}', b"<html>", b": ping", b"\n\ndata: x", b"d", b""])
def test_text_stays_as_it_is(encoding, body):
    """Text is not compressed, whatever the header says."""
    assert unpack(body, encoding, 1) == body


def test_blank_space_is_not_kept():
    """Blanks that never end are passed on, not gathered."""
    unpacker = Unpacker("br")
    unpacker.give(b"\n" * 5000)

    assert unpacker.take() == b"\n" * 5000


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("br", b"\x01\x02\x03"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("gzip", b"\x1f\x8bgarbage that is no gzip"),
        ("gzip", gzip.compress(b"\0" * 2**24)),
        ("deflate", raw(b"data: " + b"\0" * 2**24)),
    ],
)
def test_what_cannot_be_unpacked_fails(encoding, packed):
    """An unknown way to pack, damage, and a few bytes that grow beyond reason are errors."""
    with pytest.raises(ValueError, match=r"."):
        unpack(packed, encoding)
