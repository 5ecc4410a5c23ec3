"""The recorded streams of the dialect come out as their descriptions say, however they are cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_frames import ASKED, Outcome, decode, many

from chatglm_magic._events import Part
from chatglm_magic._transport.call import Refusal
from chatglm_magic.providers.openai.errors import explain

FOLDER = Path(__file__).parents[2] / "transcripts"
NAMES = sorted(path.stem for path in FOLDER.glob("b*.json"))
OWN_WORDS = {"truncated", "empty"}


def load(name: str) -> tuple[dict[str, Any], bytes]:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8")), (FOLDER / f"{name}.sse").read_bytes()


def streams() -> list[str]:
    return [name for name in NAMES if load(name)[0]["http"]["status"] == 200]


def described(part: Part) -> dict[str, Any]:
    """Write a part as the descriptions do."""
    shown: dict[str, Any] = {"kind": "reasoning" if part.kind == "thinking" else part.kind}
    if part.kind == "tool_call":
        shown |= {"index": part.index, "call_id": part.call_id, "name": part.name, "arguments": part.arguments}
    elif part.kind == "search":
        shown["sources"] = [{"title": page.title, "url": page.url, "key": page.key} for page in part.sources]
    else:
        shown["content"] = part.content
    return shown


def check(outcome: Outcome, expected: dict[str, Any]) -> None:
    reply, error = outcome.reply, outcome.error
    assert reply.text == expected["text"]
    assert reply.thinking == expected["reasoning"]
    assert reply.finish_reason == expected["finish_reason"]
    assert (reply.raw_finish or None) == expected["raw_finish"]
    assert (dict(reply.usage.raw) if reply.usage else None) == expected["usage"]
    assert (reply.message_id or None) == expected["message_id"]
    assert (reply.model or None) == expected["model"]
    assert reply.warnings == expected["warnings"]
    assert [described(part) for part in reply.parts] == expected["parts"]
    check_error(error, expected["error"])


def check_error(error: Any, expected: dict[str, Any] | None) -> None:
    assert (error is None) == (expected is None)
    if expected is None:
        return
    assert error.kind == expected["kind"]
    assert error.retryable == expected["retryable"]
    if error.kind in OWN_WORDS:
        assert expected["message"] in str(error)
    else:
        assert error.code == expected["code"]
        assert error.detail == expected["message"]


def test_there_are_transcripts() -> None:
    """The folder is found, with streams and refusals in it."""
    assert len(NAMES) > len(streams()) > 10


@pytest.mark.parametrize("name", streams())
@pytest.mark.parametrize("sizes", [(), (1,), (2, 3), (7, 1, 64)], ids=["whole", "bytes", "small", "mixed"])
def test_stream(name: str, sizes: tuple[int, ...]) -> None:
    """A recorded stream gives what its description says, whole, byte by byte and in between."""
    facts, body = load(name)
    check(decode(body, sizes), facts["expected"])


@many
@given(st.sampled_from(streams()), st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_any_cuts(name: str, sizes: list[int]) -> None:
    """A recorded stream gives the same reply wherever it is cut."""
    facts, body = load(name)
    check(decode(body, sizes), facts["expected"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in streams()])
def test_refusal(name: str) -> None:
    """A recorded refusal is explained as its description says."""
    facts, body = load(name)
    error = explain(Refusal(facts["http"]["status"], facts["http"]["content_type"], body), ASKED)
    check_error(error, facts["expected"]["error"])
    assert error.status == facts["expected"]["error"]["http_status"]
