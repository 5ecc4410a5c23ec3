"""What servers do that no document says: the cases of `providers/faults.json`, played by the loopback server.

A case has `http`, and its answer as `steps` (text, or seconds of silence) or as `frames` (objects are events); where
they matter, `headers`, how it is `pack`ed, the `models` that are listed, and a parameter to `refuse`. `expected` names
what must come of it: `text`, `thinking`, `finish_reason`, `usage`, `arguments`, `parts` (kinds), `warnings`, `error`
(kinds that fit), `message_has`, `requests`, `model_asked`, and what a person is `shown`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from glm_script import Recorded, paced, send

from chatglm_magic._errors import ChatGLMError
from chatglm_magic._reply import Reply
from chatglm_magic._transport import retries
from chatglm_magic.providers import stream
from chatglm_magic.providers.openai import decoder

PACE = 0.02
"""How much faster than written the pauses of the cases are."""
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "providers" / "faults.json").read_text("utf-8"))


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what is waited for as the pauses are."""
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0)
    monkeypatch.setattr(decoder, "GRACE", decoder.GRACE * PACE)
    monkeypatch.setattr(decoder, "LONG_GRACE", decoder.LONG_GRACE * PACE)
    monkeypatch.setattr(stream, "SURE", stream.SURE * PACE)


def steps_of(case: dict[str, Any]) -> list[bytes | float]:
    """Return what the server sends, and the pauses between, in seconds."""
    steps: list[bytes | float] = []
    for step in case.get("steps") or case["frames"]:
        if isinstance(step, dict):
            steps.append(f"data: {json.dumps(step)}\n\n".encode())
        else:
            steps.append(step.encode() if isinstance(step, str) else step * PACE)
    return steps


def body_of(case: dict[str, Any]) -> bytes:
    """Return the whole body."""
    return b"".join(step for step in steps_of(case) if isinstance(step, bytes))


def play(glm: Any, case: dict[str, Any]) -> None:
    """Let the server answer as the case says, as often as it is asked."""
    if "models" in case:
        glm.on_get.status_with_body(200, {"object": "list", "data": case["models"]})

    async def serve(request: web.Request, recorded: Recorded) -> web.StreamResponse:
        refused = case.get("refuse")
        if refused and refused in recorded.json:
            words = f"Unsupported parameter: '{refused}' is not supported with this model."
            error = {"message": words, "type": "invalid_request_error", "param": refused}
            return web.json_response({"error": error}, status=case["refuse_status"])

        async def chunks():
            for step in [_packed(case)] if case.get("pack") else steps_of(case):
                async for chunk in paced([step], 0) if isinstance(step, bytes) else paced([b""], 0, step):
                    yield chunk

        http = case["http"]
        return await send(
            request, chunks(), status=http["status"], content_type=http["content_type"], headers=case.get("headers")
        )

    glm.script(serve)


def _packed(case: dict[str, Any]) -> bytes:
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return {
        "gzip": gzip.compress,
        "zlib": zlib.compress,
        "deflate": lambda body: raw.compress(body) + raw.flush(),
    }[case["pack"]](body_of(case))


def wrongs(case: dict[str, Any], reply: Reply | None, error: ChatGLMError | None, requests: list[Any]) -> Iterator[str]:
    """Yield what is not as it is expected to be."""
    expected = case["expected"]
    reply = reply or Reply()
    if "error" in expected and (error is None or error.kind not in expected["error"]):
        yield f"error: {error!r}"
    if (
        "error" not in expected
        and error is not None
        and expected.get("finish_reason") not in {"error", "content_filter"}
    ):
        yield f"error: {error!r}"
    if expected.get("message_has", "") not in str(error):
        yield f"message: {error}"
    usage = reply.usage and [reply.usage.prompt_tokens, reply.usage.completion_tokens]
    found = {
        "text": reply.text,
        "thinking": reply.thinking,
        "finish_reason": reply.finish_reason,
        "usage": usage,
        "arguments": "".join(call.arguments for call in reply.tool_calls),
        "warnings": reply.warnings,
        "requests": len(requests),
        "model_asked": requests[-1].json.get("model") if requests else None,
    }
    yield from (
        f"{name}: {value!r}, not {expected[name]!r}"
        for name, value in found.items()
        if name in expected and value != expected[name]
    )
    if missing := set(expected.get("parts", ())) - {part.kind for part in reply.parts}:
        yield f"parts: no {missing}"
