"""One message of a conversation: its text, its place in the tree, and how it came about."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from .._events import Part, Reason, ToolResult, Usage
from .._markdown.reply_markdown import CUTS, in_order
from .._markdown.table import as_code
from .._messages import ImagePart, Message
from .._reply import Reply


def _new_id() -> str:
    return uuid.uuid4().hex


class MessageNode(msgspec.Struct, eq=False, kw_only=True, omit_defaults=True):
    """A question, or an answer as far as it has come. Equal only to itself.

    The values of an answer stay as they are while a reply streams into it, and become those of the reply in `settle`;
    `text_so_far` and `thinking_so_far` include the reply at any time.

    All fields but `replayed` and `reply` are plain values that the store and export files hold under their encoded
    names. A new field is added here alone, with a default: the store keeps it among a message's `details`. Only one
    that a query of the store needs is also named in `_store.records.COLUMNS`, and gets a migration in `_store.schema`.

    Attributes:
        role: The author.
        text: The text.
        thinking: The model's thinking before the text.
        id: The message's id, unique across processes.
        parent: The id of the message that this one follows; empty for a conversation's first.
        created: When it began, in seconds since the epoch.
        cell: Of a question, the cell that asked it; empty if none did.
        finish_reason: Of an answer, why it ended; None before that, and for questions.
        model: Of an answer, the model.
        provider: Of an answer, the provider's name.
        usage: Of an answer, its tokens, if the service said.
        elapsed: Of an answer, seconds from the question to the end.
        first_event: Of an answer, seconds from the question to the first event; None where there was none.
        thinking_seconds: Of an answer, seconds from the first piece of thinking to the last.
        parts: Of an answer, its parts other than text and thinking, in their order.
        tool_runs: Of an answer, the calls of functions that were decided on, with what came of each.
        warnings: Of an answer, short names of oddities that were tolerated.
        error: Of an answer that failed, the error's message.
        key: Of an answer, the `request_key` of the request that it answers; empty where a cache must not find it.
        exchange: Of an answer, the messages between the question and its text: calls of tools and their results.
        attachments: Of a question, its pictures. The store keeps their bytes apart, each picture once.
        is_value: Of an answer, whether a value was asked for: the text is JSON, or should be.
        replayed: Of an answer that is a stored one replayed, when that was given; else None.
        reply: Of an answer, the reply that streams into it; None before and after.
    """

    role: Literal["user", "assistant"]
    text: str = msgspec.field(default="", name="content")
    thinking: str = ""
    id: str = msgspec.field(default_factory=_new_id)
    parent: str = ""
    created: float = msgspec.field(default_factory=time.time)
    cell: str = ""
    finish_reason: Reason | None = None
    model: str = ""
    provider: str = ""
    usage: Usage | None = None
    elapsed: float = 0.0
    first_event: float | None = None
    thinking_seconds: float = 0.0
    parts: tuple[Part, ...] = ()
    tool_runs: tuple[ToolResult, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    key: str = ""
    exchange: tuple[Message, ...] = ()
    attachments: tuple[ImagePart, ...] = ()
    is_value: bool = False
    replayed: datetime | None = None
    reply: Reply | None = None

    @property
    def streaming(self) -> bool:
        """Whether more of it is coming."""
        return self.reply is not None

    @property
    def text_so_far(self) -> str:
        """The text, with that of the reply that streams."""
        reply = self.reply  # read once: another thread may settle it meanwhile
        return self.text if reply is None else self._text_before(reply) + reply.text

    @property
    def thinking_so_far(self) -> str:
        """The thinking, with that of the reply that streams."""
        reply = self.reply
        return self.thinking if reply is None else self.thinking + reply.thinking

    @property
    def tool_runs_so_far(self) -> tuple[ToolResult, ...]:
        """The calls that were decided on, with those of the reply that streams."""
        reply = self.reply
        if reply is None:
            return self.tool_runs
        at = len(self._text_before(reply))
        runs = (replace(run, offset=at + run.offset if run.offset else len(self.text)) for run in reply.tool_runs)
        return (*self.tool_runs, *runs)

    @property
    def markdown(self) -> str:
        """The text so far as Markdown, which is not safe yet: of a value it is a block of code."""
        text = self.text_so_far.strip("\n")
        return as_code(text) if self.is_value else text

    def in_order(self) -> Iterator[str | ToolResult]:
        """Yield the text so far, as `markdown` has it, in pieces, and between them the calls, as it happened.

        A value stands below its calls.
        """
        if not self.is_value:
            yield from in_order(self.text_so_far, self.tool_runs_so_far)
            return
        yield from self.tool_runs_so_far
        yield self.markdown

    @property
    def has_content(self) -> bool:
        """Whether a conversation can go on from it: it has text, or tools were called on the way there."""
        return bool(self.text or self.exchange)

    def _text_before(self, reply: Reply) -> str:
        """Return the text that a reply goes on with, which begins a paragraph where calls stand between both."""
        is_between = any(run.offset == len(self.text) for run in self.tool_runs)
        is_between = is_between or any(run.offset == 0 for run in reply.tool_runs)
        return f"{self.text}\n\n" if is_between and self.text and reply.text else self.text

    def settle(self) -> None:
        """Take over the values of the reply, which has ended; do nothing if there is none."""
        reply = self.reply
        if reply is None:
            return
        self.tool_runs = self.tool_runs_so_far
        self.text, self.thinking = self.text_so_far, self.thinking_so_far
        self.parts += tuple(part for part in reply.parts if part.kind not in {"text", "thinking"})
        self.exchange += tuple(reply.exchange)
        self.finish_reason = reply.finish_reason
        self.model, self.provider = reply.model, reply.provider
        self.usage = reply.usage
        self.elapsed, self.first_event = reply.elapsed, reply.first_event
        self.thinking_seconds += reply.thinking_seconds
        self.replayed = reply.replayed
        self.is_value = self.is_value or reply.schema is not None
        before = (name for name in self.warnings if name not in CUTS)  # an answer that was cut is gone on with
        self.warnings = tuple(dict.fromkeys((*before, *reply.warnings)))
        self.reply = None
