"""Asking the fake server through the transport, as a provider would."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from chatglm_magic._errors import ChatGLMError, status_error
from chatglm_magic._transport import Call, Refusal, open_stream


def explain(refusal: Refusal) -> ChatGLMError:
    """Make an error that holds the refusal, for tests to look at."""
    error = status_error(
        "server", provider="test", status=refusal.status, detail=refusal.body.decode("utf-8", "replace")
    )
    error.refusal = refusal
    return error


def call_to(url: str, **changes: Any) -> Call:
    """Make a call to a base URL."""
    facts = {"body": b'{"stream": true}', "provider": "test", "model": "glm-4.7", "explain": explain, **changes}
    return Call(url=f"{url}/chat/completions", **facts)


def lookup(url: str, **changes: Any) -> Call:
    """Make the call of a GET."""
    return Call(url=f"{url}/models", body=b"", provider="test", model="", explain=explain, **changes)


async def read(call: Call) -> bytes:
    """Read a stream to its end."""
    async with open_stream(call) as stream:
        return b"".join([chunk async for chunk in stream])


async def fail(call: Call, kind: type[ChatGLMError] = ChatGLMError) -> tuple[bytes, ChatGLMError]:
    """Read a stream that must fail; give what came before, and the error."""
    came = b""
    try:
        async with open_stream(call) as stream:
            async for chunk in stream:
                came += chunk
    except kind as error:
        return came, error
    raise AssertionError(f"no {kind.__name__}, but {came[-200:]!r}")


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, which is never far: what hangs fails."""

    async def soon() -> Any:
        return await asyncio.wait_for(coroutine, 30)

    return asyncio.run(soon())
