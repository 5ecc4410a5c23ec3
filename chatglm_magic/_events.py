"""What comes back: typed items of a reply in the order in which they arrived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from ._values import dataclass

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


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """The wire corrected itself: this is the whole so far, in place of all that was said."""

    text: str
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call; pieces of one call share their index.

    Attributes:
        index: Which call of this reply.
        id: The call's id, where this piece says it first; else empty.
        name: The function's name, where this piece says it first; else empty.
        arguments: More of the JSON text of the arguments.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model asked for.

    Attributes:
        id: The service's name for the call; a tool's answer refers to it.
        name: The function's name.
        arguments: JSON text, exactly as the model wrote it.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Source:
    """One page that a search found; `key` is the mark that the text cites it by."""

    title: str
    url: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a reply: as an event, a part that is complete; in `Reply.parts`, any part.

    A later event with the same non-empty `id` and kind takes the place of the earlier one.

    Attributes:
        kind: What it is.
        content: Text, code, output or the words of a notice.
        id: The wire's key of the part; empty where the wire has none.
        name: Of a tool.
        arguments: Of a tool, JSON text.
        index: Of a tool call, its place among the calls.
        call_id: Of a tool call, the id that its answer refers to.
        urls: Of images; http and https only.
        sources: Of a search.
        raw: Of an unknown part, the wire's own JSON value.
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
    raw: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the reply cost, in tokens.

    Attributes:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written, thinking included.
        total_tokens: Both.
        raw: All that the service said about usage.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a reply, exactly once and last. An error, if there is one, is raised right after it.

    Attributes:
        reason: Why it ended.
        raw: The wire's own word for it; empty if the wire said none.
        model: The model that answered, as the wire named it.
        message_id: The wire's id of the reply.
        conversation_id: The wire's id of the conversation (chatglm.cn).
        mode: chatglm.cn: whether frames were snapshots or deltas; empty if it never showed.
        warnings: Short names of what was odd on the wire and was tolerated.
        parts: The whole list of parts, from wires that number them; empty elsewhere.
    """

    reason: Reason
    raw: str = field(default="", compare=False)
    model: str = field(default="", compare=False)
    message_id: str = field(default="", compare=False)
    conversation_id: str = field(default="", compare=False)
    mode: Literal["", "snapshot", "delta"] = field(default="", compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    parts: tuple[Part, ...] = field(default=(), compare=False, repr=False)


Event = TextDelta | ThinkingDelta | Replace | ToolCallDelta | Part | Usage | Finished


@dataclass(frozen=True, slots=True)
class FinishReason:
    """The last item of a g4f-style generator; not a `str`, so that it is never shown as text."""

    reason: Reason

    def __str__(self) -> str:
        return self.reason
