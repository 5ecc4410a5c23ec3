"""What the fake servers say, as bytes: OpenAI chunks and chatglm.cn frames; no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any


def cut_up(body: bytes, sizes: Sequence[int] = (), every: int = 0) -> Iterable[bytes]:
    """Cut bytes into chunks of these sizes, then the rest; or all into chunks of one size."""
    if every:
        return [body[start : start + every] for start in range(0, len(body), every)]
    chunks, start = [], 0
    for size in sizes:
        chunks.append(body[start : start + size])
        start += size
    return [*chunks, body[start:]]


def words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def events_for(path: str, text: str) -> Iterable[bytes]:
    return web_events(words(text)) if "guest/stream" in path else openai_events(words(text))


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def openai_events(
    pieces: Sequence[str], *, thinking: Sequence[str] = (), finish: str = "stop", model: str = "glm-4.7"
) -> Iterable[bytes]:
    """Give the events of an OpenAI-compatible stream, the usage beside the finish reason, then `[DONE]`."""
    head = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1790000000, "model": model}

    def chunk(delta: dict[str, str], **more: object) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}, **more}]}

    for piece in thinking:
        yield event(chunk({"reasoning_content": piece}))
    for piece in pieces:
        yield event(chunk({"content": piece}))
    count = len(thinking) + len(pieces)
    usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
    yield event({**chunk({"content": ""}, finish_reason=finish), "usage": usage})
    yield b"data: [DONE]\n\n"


def web_events(
    pieces: Sequence[str], *, thinking: Sequence[str] = (), finish: str = "finish", mode: str = "snapshot"
) -> Iterable[bytes]:
    """Give the frames of a chatglm.cn stream: each the whole so far, or (mode `delta`) what is new."""

    def part(kind: str, text: str, status: str) -> dict[str, Any]:
        key = {"think": "p1", "text": "p2"}[kind]
        return {
            "id": key,
            "logic_id": key,
            "role": "assistant",
            "status": status,
            "content": [{"type": kind, kind: text}],
        }

    def frame(parts: list[dict[str, Any]], status: str = "init") -> bytes:
        head = {"id": "message-1", "conversation_id": "conversation-1", "assistant_id": "assistant-1"}
        return b"event: message\n" + event({**head, "status": status, "last_error": {}, "parts": parts})

    whole: list[dict[str, Any]] = []
    yield frame([])
    for kind, cut in (("think", thinking), ("text", pieces)):
        said = ""
        for piece in cut:
            said += piece
            yield frame([part(kind, piece if mode == "delta" else said, "init")])
        if said:
            whole.append(part(kind, said, "finish"))
            yield frame([whole[-1]])
    yield frame(whole, "finish" if finish == "stop" else finish)
