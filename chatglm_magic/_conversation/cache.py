"""Stored answers in place of new ones: which requests are equal, and how an answer is replayed; no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .._events import Event, Finished, Part, TextDelta, ThinkingDelta, ToolCallDelta
from .._markdown.reply_markdown import in_order
from .._messages import Message, Request, TextPart
from .._reply import Reply
from .message_node import MessageNode

if TYPE_CHECKING:
    from ..providers import Provider

_VERSION = 2
"""Part of every key: counted up when the meaning of keys changes, so that no old answer is found by a new key."""


def request_key(provider: Provider, request: Request) -> str:
    """Return the key of a request: a hash of what decides its answer, equal for equal requests in every process.

    That is the provider's name, the model, the parameters, the messages as they are sent (pictures by digest or
    address), the tools, and the name and schema of the form that is asked for. Timeouts, API keys and how the server is
    held to the form do not count. The host counts only where no model is named, for there it decides which model
    answers.
    """
    model = request.model or getattr(provider, "model", "")
    if provider.name == "openai" and not request.model:
        model = f"the first at {getattr(provider, 'host', '')}"  # its `model` is known only after the first request
    facts = (
        _VERSION,
        provider.name,
        model,
        sorted(request.options.items()),
        request.think,
        [_message_facts(message) for message in request.messages],
        [(tool.name, tool.description, tool.parameters) for tool in request.tools],
        request.search,
        (request.format.name, request.format.schema) if request.format is not None else None,
    )
    return hashlib.sha256(json.dumps(facts, default=dict).encode()).hexdigest()


def _message_facts(message: Message) -> tuple[object, ...]:
    """Return what of a message decides the answer."""
    content: object = message.content
    if not isinstance(message.content, str):
        content = [part.text if isinstance(part, TextPart) else (part.sha256, part.url) for part in message.content]
    calls = [(call.id, call.name, call.arguments) for call in message.calls]
    return message.role, content, calls, message.call_id


def begin_replay(reply: Reply, answer: MessageNode) -> None:
    """Set a reply's model, provider, time, seconds and exchange to those of the stored answer whose events follow."""
    reply.model, reply.provider = answer.model, answer.provider
    reply.exchange = list(answer.exchange)
    given = datetime.fromtimestamp(answer.created, UTC)
    reply.mark_replayed(given, answer.elapsed, answer.first_event, answer.thinking_seconds)


async def replay(answer: MessageNode) -> AsyncGenerator[Event]:
    """Yield the events of a stored answer, each kind in one piece, as a provider would."""
    if answer.thinking:
        yield ThinkingDelta(answer.thinking)
    for number, part in enumerate(answer.parts):
        yield _call(number, part) if part.kind == "tool_call" else part
    for piece in in_order(answer.text, answer.tool_runs):  # shown as they were; nothing runs again
        yield TextDelta(piece) if isinstance(piece, str) else piece
    if answer.usage is not None:
        yield answer.usage
    yield Finished(answer.finish_reason or "stop", model=answer.model, warnings=answer.warnings)


def _call(number: int, part: Part) -> ToolCallDelta:
    index = number if part.index is None else part.index
    return ToolCallDelta(index, part.call_id, part.name, part.arguments)
