"""Stored answers in the place of new ones: which questions are the same, how an answer is given again; no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from ._events import Event, Finished, Part, TextDelta, ThinkingDelta, ToolCallDelta
from ._messages import Request
from ._said import Said

if TYPE_CHECKING:
    from .providers import Provider

Recall = Callable[[str], Said | None]
"""Gives the stored answer to the request of that key; None where there is none. It must not fail."""

_VERSION = 1
"""Counted up when keys come to mean something else, so that no answer is given to another question."""


def request_key(provider: Provider, request: Request) -> str:
    """Name a request by what decides its answer: provider, model, parameters and messages as they are sent.

    Equal requests have equal keys in every process. The host counts only where no model is named, for there
    it decides which one answers; seconds to wait and keys never count.
    """
    model = request.model or getattr(provider, "model", "")
    if provider.name == "openai" and not request.model:
        model = f"the first at {getattr(provider, 'host', '')}"  # its `model` is known only after it was asked
    told = (
        _VERSION,
        provider.name,
        model,
        sorted(request.options.items()),
        request.think,
        [(message.role, message.content) for message in request.messages],
    )
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


async def replay(said: Said) -> AsyncGenerator[Event]:
    """Give a stored answer as a provider would, all at once."""
    if said.thought:
        yield ThinkingDelta(said.thought)
    for number, part in enumerate(said.parts):
        yield _call(number, part) if part.kind == "tool_call" else part
    if said.text:
        yield TextDelta(said.text)
    if said.usage is not None:
        yield said.usage
    yield Finished(said.finish_reason or "stop", model=said.model, warnings=said.warnings)


def _call(number: int, part: Part) -> ToolCallDelta:
    index = number if part.index is None else part.index
    return ToolCallDelta(index, part.call_id, part.name, part.arguments)
