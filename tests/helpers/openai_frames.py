"""Frames of the OpenAI-compatible dialect for tests, and what a decoder makes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, settings

from chatglm_magic._errors import ProviderError
from chatglm_magic._events import Event, Finished, TextDelta
from chatglm_magic._reply import Reply
from chatglm_magic.providers.openai.decoder import OpenAIDecoder
from chatglm_magic.providers.openai.errors import RequestInfo

ASKED = RequestInfo("openai", "glm-demo", "127.0.0.1:8000")
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
DONE = b"data: [DONE]\n\n"

many = settings(
    max_examples=int(os.environ.get("TEST_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # it measures the machine
)
"""How often a property is tried: 100 times, or `TEST_EXAMPLES` times for a long run by hand."""


@dataclass(frozen=True)
class Outcome:
    reply: Reply
    error: ProviderError | None
    events: list[Event]

    @property
    def facts(self) -> dict[str, Any]:
        """What must not depend on how the bytes were cut."""
        reply, error = self.reply, self.error
        return {
            "text": reply.text,
            "thinking": reply.thinking,
            "reason": reply.finish_reason,
            "raw": reply.raw_finish,
            "usage": reply.usage and dict(reply.usage.raw),
            "parts": reply.parts,
            "model": reply.model,
            "id": reply.message_id,
            "warnings": reply.warnings,
            "error": error and (type(error), error.kind, error.retryable, str(error)),
        }


def chunk(delta: object = None, *, finish: object = None, **more: object) -> dict[str, Any]:
    """Make a chunk with one choice; further keywords stand beside `choices`."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "chat-1", "object": "chat.completion.chunk", "model": "glm-demo", "choices": [choice], **more}


def text(said: object) -> dict[str, Any]:
    return chunk({"content": said})


def call(index: int | None, key: str | None = None, name: str | None = None, arguments: object = "") -> dict[str, Any]:
    """Make one piece of a tool call."""
    piece: dict[str, Any] = {"type": "function", "function": {"arguments": arguments}}
    if index is not None:
        piece["index"] = index
    if key is not None:
        piece["id"] = key
    if name is not None:
        piece["function"]["name"] = name
    return piece


def sse(*frames: object, done: bool = True) -> bytes:
    """Write frames as events; bytes are taken as they are."""
    return b"".join(
        frame if isinstance(frame, bytes) else b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames
    ) + (DONE if done else b"")


def pieces_of(body: bytes, sizes: Sequence[int]) -> Iterable[bytes]:
    """Cut a body into chunks of these sizes, over and over."""
    start, turn = 0, 0
    while start < len(body):
        size = max(1, sizes[turn % len(sizes)])
        yield body[start : start + size]
        start, turn = start + size, turn + 1


def decode(body: bytes, sizes: Sequence[int] = (), *, think_tags: bool = True) -> Outcome:
    """Decode a body cut into chunks of these sizes (whole, where none are given), and check the protocol's laws."""
    decoder = OpenAIDecoder(ASKED, think_tags=think_tags)
    events: list[Event] = []
    for piece in pieces_of(body, sizes or [len(body) + 1]):
        fed = decoder.feed(piece)
        assert not any(isinstance(event, Finished) for event in fed)
        assert not any(isinstance(a, TextDelta) and isinstance(b, TextDelta) for a, b in pairwise(fed))
        events += fed
        if decoder.done:
            break
    events += decoder.close()
    assert [type(event) for event in events].index(Finished) == len(events) - 1
    assert not any(getattr(event, "text", None) == "" for event in events if type(event) is TextDelta)
    reply = Reply()
    for event in events:
        reply.add(event)
    return Outcome(reply, decoder.error, events)
