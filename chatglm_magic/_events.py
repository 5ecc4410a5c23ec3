"""What comes back: the events of a reply, in the order in which they arrive.

A reply is any number of events and exactly one `Finished`, which is the last. Consumers `match` on the class and end
with `assert_never`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Reason = Literal["stop", "length", "tool_calls", "content_filter", "error", "interrupted"]
PartKind = Literal[
    "text",
    "thinking",
    "code",
    "execution_output",
    "image",
    "search",
    "server_tool",
    "tool_call",
    "notice",
    "unknown",
]


class TextDelta(msgspec.Struct, frozen=True):
    """More text of the answer."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True):
    """More of the thinking before the answer."""

    text: str


class Replace(msgspec.Struct, frozen=True):
    """A correction by the service: all text and thinking so far, in place of what was sent before."""

    text: str
    thinking: str = ""


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call; pieces of one call share their index.

    Attributes:
        index: The number of the call in this reply.
        id: The call's id, in the piece that brings it first; else empty.
        name: The function's name, in the piece that brings it first; else empty.
        arguments: More of the JSON text of the arguments.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """One call that the model asked for.

    Attributes:
        id: The service's id of the call, to which a tool's answer refers.
        name: The function's name.
        arguments: JSON text, exactly as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class Source(msgspec.Struct, frozen=True):
    """One page that a search found; `key` is the mark by which the text cites it."""

    title: str
    url: str
    key: str = ""


class PartialValue(msgspec.Struct, frozen=True):
    """What is complete of an answer that is asked for by a schema: plain data, in place of what was told before.

    Attributes:
        value: Of a list, the items that are complete and fit; of an object, its complete fields; anything else only
            when all of it is there. Not to be changed.
    """

    value: Any


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a reply: as an event, a complete part; in `Reply.parts`, any part.

    A later event with the same non-empty `id` and kind replaces the earlier one.

    Attributes:
        kind: The kind of content.
        content: The text, code, output or notice.
        id: The service's id of the part; empty where it has none.
        name: Of a tool, its name.
        arguments: Of a tool, JSON text.
        index: Of a tool call, its number among the calls.
        call_id: Of a tool call, the id to which its answer refers.
        urls: Of images; http and https only.
        sources: Of a search.
        raw: Of an unknown part, the service's own JSON value.
    """

    kind: PartKind
    content: str = ""
    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int | None = None
    call_id: str = ""
    urls: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    raw: Any = None


class ToolStarted(msgspec.Struct, frozen=True):
    """A function begins to run: somebody allowed this call."""

    call: ToolCall


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a call: a result, an error, or that it was not run.

    Attributes:
        call: The call as it was decided on, with the arguments that the function got.
        result: What the model is told of what the function returned, as text.
        error: Why there is no result, on one line: an exception's, or that the call was not run.
        seconds: How long the function ran.
        approved_by: Who allowed it: `person`, `always`, `author`, `all` or `program`; empty where nobody did.
        traceback: Of a function that failed, where and how, for people to read.
        offset: How many characters of the answer's text were there before it; `Reply` counts them.
    """

    call: ToolCall
    result: str = ""
    error: str = ""
    seconds: float = 0.0
    approved_by: str = ""
    traceback: str = ""
    offset: int = 0

    @property
    def name(self) -> str:
        """The function's name."""
        return self.call.name

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments, as plain JSON values."""
        found: Mapping[str, Any] = msgspec.json.decode(self.call.arguments)
        return found


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tokens that a reply used.

    Attributes:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written, thinking included.
        total_tokens: Both.
        raw: All that the service said about usage.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    raw: Mapping[str, Any] = {}

    def __add__(self, other: Usage) -> Usage:
        """Return the tokens of two replies; `raw` is that of the second."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            other.raw,
        )


class Finished(msgspec.Struct, frozen=True):
    """The end of a reply, exactly once and last; an error, if there is one, is raised right after it.

    Attributes:
        reason: Why it ended.
        raw: The service's own word for the reason; empty if there was none.
        model: The model that answered, as the service named it.
        message_id: The service's id of the reply.
        conversation_id: The service's id of the conversation (chatglm.cn).
        mode: chatglm.cn: whether frames were snapshots or deltas; empty if that never showed.
        warnings: Short names of oddities in the stream that were tolerated.
        parts: The complete list of parts, from services that number them; empty elsewhere.
    """

    reason: Reason
    raw: str = ""
    model: str = ""
    message_id: str = ""
    conversation_id: str = ""
    mode: Literal["", "snapshot", "delta"] = ""
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


Event = (
    TextDelta
    | ThinkingDelta
    | Replace
    | ToolCallDelta
    | ToolStarted
    | ToolResult
    | PartialValue
    | Part
    | Usage
    | Finished
)


class ColumnEvent(msgspec.Struct, frozen=True):
    """What comes of one of several models that answer side by side.

    Attributes:
        column: The model.
        event: An event of its reply; None for one of the others.
        status: The reason why nothing has come yet.
        failure: Why it failed.
    """

    column: str
    event: Event | None = None
    status: str = ""
    failure: str = ""


class FinishReason(msgspec.Struct, frozen=True):
    """The last item of a g4f-style generator; not a `str`, so that it is never shown as text."""

    reason: Reason

    def __str__(self) -> str:
        return self.reason
