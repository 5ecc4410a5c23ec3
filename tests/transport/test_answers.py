"""What an answer is, judged by its headers and its first bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._transport.answers import inflated, is_event_stream, media_type


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Text/Event-Stream; charset=utf-8", "text/event-stream"), ("", ""), (" application/json ", "application/json")],
)
def test_a_media_type_has_no_parameters(header, expected):
    """Parameters, case and blanks around it are no part of a media type."""
    assert media_type(header) == expected


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", "application/octet-stream", ""])
@given(body=st.sampled_from([b"data: x", b"event: y", b": ping", b"id: 1", b"\xef\xbb\xbfdata:x", b"\n\r\ndata: "]))
def test_what_starts_like_a_stream_is_one(kind, body):
    """However few of a stream's first bytes are seen, it is never taken for something else."""
    verdicts = [is_event_stream(kind, body[:size]) for size in range(1, len(body) + 1)]

    assert False not in verdicts
    assert verdicts[-1] is True


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json", "text/html", "application/xhtml+xml"])
def test_documents_are_none(kind):
    """What is declared to be JSON or HTML is no stream, whatever it starts with."""
    assert is_event_stream(kind, b"data: x") is False


@pytest.mark.parametrize("body", [b"{", b' {"error"', b"[", b"<html>", b"\xef\xbb\xbf{"])
def test_documents_declared_as_streams_are_none(body):
    """What starts like JSON or HTML is no stream, whatever it is declared to be."""
    assert is_event_stream("text/event-stream", body) is False
    assert is_event_stream("text/plain", body) is False


def test_blank_space_is_not_waited_through():
    """A body of blanks that is not declared a stream is given up after a few thousand."""
    assert is_event_stream("text/plain", b" " * 4000) is None
    assert is_event_stream("text/plain", b" " * 5000) is False


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_inflating_stops_at_its_limit(encoding, compress):
    """Never more than the limit is unpacked; what is shorter is unpacked whole."""
    assert inflated(compress(b"x" * 10_000_000), encoding, 100) == b"x" * 100
    assert inflated(compress(b"hello"), encoding, 100) == b"hello"
    assert inflated(compress(b"hello")[:-3], encoding, 100) == b"hello"


def test_what_cannot_be_inflated_stays():
    """Unknown encodings and broken bodies are given as they came."""
    assert inflated(b"plain", "", 100) == b"plain"
    assert inflated(b"plain", "br", 100) == b"plain"
    assert inflated(b"plain", "gzip", 100) == b"plain"
