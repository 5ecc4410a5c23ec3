"""One message at its place in a conversation: what is shown, kept and gone on from; no I/O."""

from __future__ import annotations

import time
import uuid
from dataclasses import field
from datetime import datetime
from typing import Literal

from ._events import Part, Reason, Usage
from ._messages import Message
from ._reply import Reply
from ._values import dataclass


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(slots=True, eq=False, kw_only=True)
class Said:
    """A question, or an answer whole or as far as it has come.

    Attributes:
        role: Who said it.
        text: Its words; of an answer that streams, those that stood before the reply that is coming.
        thought: What the model thought before them, likewise.
        id: Its name, the same in every process and for ever.
        parent: The id of what it follows; empty for a conversation's first.
        created: When it was begun, in seconds since the epoch.
        cell: Of a question, the cell that asked; empty where none did.
        finish_reason: Of an answer, why it ended; None while it streams, and for questions.
        model: Who answered.
        provider: By whom.
        usage: Of an answer, its tokens, if the service said.
        elapsed: Of an answer, seconds from the question to the end.
        first_event: Of an answer, seconds from the question to the first event; None where there was none.
        thinking_seconds: Of an answer, seconds from the first thought to the last.
        parts: Of an answer, its parts other than text and thinking, in their order.
        warnings: Of an answer, short names of what was odd and tolerated.
        error: Of an answer that failed, what happened, in a sentence.
        key: Of an answer, the name of the request that it answers: equal requests have equal keys.
        replayed: Of a stored answer that was given again, when it was given first; None for all others.
        reply: Of an answer, the reply that is coming; None before and after.
    """

    role: Literal["user", "assistant"]
    text: str = ""
    thought: str = ""
    id: str = field(default_factory=_new_id)
    parent: str = ""
    created: float = field(default_factory=time.time)
    cell: str = ""
    finish_reason: Reason | None = None
    model: str = ""
    provider: str = ""
    usage: Usage | None = None
    elapsed: float = 0.0
    first_event: float | None = None
    thinking_seconds: float = 0.0
    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    key: str = ""
    replayed: datetime | None = None
    reply: Reply | None = field(default=None, repr=False)

    @property
    def content(self) -> str:
        """The words so far."""
        return self.text if self.reply is None else self.text + self.reply.text

    @property
    def thinking(self) -> str:
        """The thoughts so far."""
        return self.thought if self.reply is None else self.thought + self.reply.thinking

    @property
    def streams(self) -> bool:
        """Whether more of it is coming."""
        return self.reply is not None

    def settle(self) -> None:
        """Take over what the reply brought; it has ended."""
        reply = self.reply
        if reply is None:
            return
        self.text, self.thought = self.content, self.thinking
        self.parts += tuple(part for part in reply.parts if part.kind not in {"text", "thinking"})
        self.finish_reason = reply.finish_reason
        self.model, self.provider = reply.model, reply.provider
        self.usage = reply.usage
        self.elapsed, self.first_event = reply.elapsed, reply.first_event
        self.thinking_seconds += reply.thinking_seconds
        self.replayed = reply.replayed
        self.warnings = tuple(dict.fromkeys((*self.warnings, *reply.warnings)))
        self.reply = None

    def message(self) -> Message:
        """Give it as a message that a provider understands."""
        return Message(self.role, self.content, thinking=self.thinking)
