"""The recorded streams of chatglm.cn, whole and in pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_frames import INFO, cut, decode, joined, many

from chatglm_magic._errors import ProviderError
from chatglm_magic._events import Part
from chatglm_magic._reply import Reply
from chatglm_magic._transport.call import Refusal
from chatglm_magic.providers.chatglm.errors import explain

FOLDER = Path(__file__).parents[2] / "transcripts"
ALL = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("a*.json"))}
STREAMS = {name: facts for name, facts in ALL.items() if "event-stream" in facts["http"]["content_type"]}
REFUSALS = {name: facts for name, facts in ALL.items() if name not in STREAMS}


def body(name: str) -> bytes:
    return (FOLDER / f"{name}.sse").read_bytes()


def as_expected(part: Part) -> dict[str, Any]:
    sources = [{"title": s.title, "url": s.url} | ({"key": s.key} if s.key else {}) for s in part.sources]
    fields = {"kind": part.kind.replace("thinking", "reasoning"), "id": part.id, "content": part.content}
    fields |= {"name": part.name, "arguments": part.arguments, "urls": list(part.urls), "sources": sources}
    return {name: value for name, value in fields.items() if value}


def check_reply(reply: Reply, expected: dict[str, Any]) -> None:
    assert reply.text == expected["text"]
    assert reply.thinking == expected["reasoning"]
    assert reply.finish_reason == expected["finish_reason"]
    assert (reply.raw_finish or None) == expected["raw_finish"]
    assert [as_expected(part) for part in reply.parts] == expected["parts"]
    assert (reply.mode or None) == expected["mode"]
    assert (reply.model or None) == expected["model"]
    assert (reply.message_id or None) == expected["message_id"]
    assert (reply.conversation_id or None) == expected["conversation_id"]
    assert reply.warnings == expected["warnings"]


def check_error(error: ProviderError | None, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert error is None
        return
    assert error is not None
    assert (error.kind, error.retryable) == (expected["kind"], expected["retryable"])
    assert getattr(error, "code", None) == expected["code"]
    assert expected["message"] == getattr(error, "detail", expected["message"])
    assert expected["message"] in str(error)
    assert "official API" in str(error)
    assert "-m local" in str(error)


@pytest.mark.parametrize("name", STREAMS)
def test_stream_is_read_as_recorded(name: str) -> None:
    """Each recorded stream gives the reply, and the error after it, that is noted beside it."""
    outcome = decode(cut(body(name), sizes_to_places(STREAMS[name]["chunk_sizes"])))

    check_reply(outcome.reply, STREAMS[name]["expected"])
    check_error(outcome.error, STREAMS[name]["expected"]["error"])


def sizes_to_places(sizes: list[int] | None) -> list[int]:
    return [sum(sizes[: n + 1]) for n in range(len(sizes))] if sizes else []


@pytest.mark.parametrize("name", STREAMS)
def test_one_byte_at_a_time(name: str) -> None:
    """Fed byte by byte, a stream gives the same events, every one of them as early."""
    whole, single = decode(body(name)), decode(body(name)[n : n + 1] for n in range(len(body(name))))

    assert joined(single.events) == joined(whole.events)
    check_reply(single.reply, STREAMS[name]["expected"])


@many
@given(name=st.sampled_from(sorted(STREAMS)), places=st.lists(st.integers(min_value=0), max_size=8))
def test_any_cuts(name: str, places: list[int]) -> None:
    """Wherever a stream is cut, the events are the same."""
    assert joined(decode(cut(body(name), places)).events) == joined(decode(body(name)).events)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_explained(name: str) -> None:
    """An answer that is no stream gives the error that is noted beside it, which names the ways out."""
    http, expected = REFUSALS[name]["http"], REFUSALS[name]["expected"]["error"]

    error = explain(Refusal(http["status"], http["content_type"], body(name)), INFO)

    check_error(error, expected)
    assert getattr(error, "status", None) == expected["http_status"]
