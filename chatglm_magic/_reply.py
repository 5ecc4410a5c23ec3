"""Reply, which adds events up: the one thing that grows."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, assert_never

from ._compose import compose
from ._errors import ReplyFormatError, shorten
from ._events import (
    Event,
    Finished,
    Part,
    Reason,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from ._markdown.blocks import CodeBlock, code_blocks
from ._messages import Message


class Reply:
    """A reply, whole or as far as it has come.

    Keeps pieces and joins them when read, so that adding an event costs the same at any length.

    Attributes:
        model: The model that answered, as the wire named it, else as it was asked for.
        provider: The provider that answered.
        finish_reason: Why it ended; None while it grows.
        raw_finish: The wire's own word for it; empty if there was none.
        usage: Tokens, if the service said.
        warnings: Short names of what was odd on the wire and was tolerated.
        message_id: The wire's id of the reply.
        conversation_id: The wire's id of the conversation (chatglm.cn).
        mode: chatglm.cn: `snapshot` or `delta`; empty elsewhere.
        first_event: Seconds from the question to the first event; None before it.
        replayed: When the answer was given, where it is a stored one that is shown again; None for a new one.
            Model, provider, tokens and seconds are those of that day.
    """

    def __init__(self, model: str = "", provider: str = "") -> None:
        self.model = model
        self.provider = provider
        self.finish_reason: Reason | None = None
        self.raw_finish = ""
        self.usage: Usage | None = None
        self.warnings: list[str] = []
        self.message_id = ""
        self.conversation_id = ""
        self.mode = ""
        self.first_event: float | None = None
        self.replayed: datetime | None = None
        self.quiet_once = False
        self._started = time.monotonic()
        self._ended: float | None = None
        self._recalled: tuple[float, float] | None = None  # its seconds in all, and of thinking
        self._thinking_span: tuple[float, float] | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._order: list[Part | int | str] = []  # "text", "thinking", a call's index, or the part itself
        self._whole: tuple[Part, ...] = ()

    def add(self, event: Event) -> None:
        """Take one event in. Safe to call in one thread while others read."""
        if self.first_event is None:
            self.first_event = time.monotonic() - self._started
        match event:
            case TextDelta(text):
                if not self._text:
                    self._place("text")
                self._text.append(text)
            case ThinkingDelta(text):
                if not self._thinking:
                    self._place("thinking")
                self._thinking.append(text)
                now = time.monotonic()
                self._thinking_span = (self._thinking_span or (now, now))[0], now
            case Replace(text, thinking):
                self._text = [text] if text else []
                self._thinking = [thinking] if thinking else []
                self._place_anew()
            case ToolCallDelta(index):
                if index not in self._calls:
                    self._calls[index] = _Call()
                    self._place(index)
                self._calls[index].add(event)
            case Part() if self._whole:  # a note of our own, behind all that the wire brought
                self._whole += (event,)
            case Part():
                self._place(event)
            case Usage():
                self.usage = event
            case Finished():
                self._finish(event)
            case _:
                assert_never(event)

    def recall(self, given: datetime, elapsed: float, first_event: float | None, thinking_seconds: float) -> None:
        """Become a stored answer, of which the events follow; seconds as they were then."""
        self.replayed = given
        self.first_event = first_event
        self._recalled = elapsed, thinking_seconds

    def end(self, reason: Reason) -> None:
        """End a reply that no `Finished` ended; does nothing to one that has ended."""
        if self.finish_reason is None:
            self.finish_reason = reason
            self._ended = time.monotonic()

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """What the model thought before it."""
        return "".join(self._thinking)

    def pieces(self) -> tuple[list[str], list[str]]:
        """Give the pieces of text and of thinking, to be read only: lists that grow; others after a correction."""
        return self._text, self._thinking

    @property
    def elapsed(self) -> float:
        """Seconds from the question to the end, or to now."""
        if self._recalled is not None:
            return self._recalled[0]
        return (time.monotonic() if self._ended is None else self._ended) - self._started

    @property
    def thinking_seconds(self) -> float:
        """Seconds from the first thought to the last."""
        if self._recalled is not None:
            return self._recalled[1]
        return self._thinking_span[1] - self._thinking_span[0] if self._thinking_span else 0.0

    @property
    def parts(self) -> list[Part]:
        """All parts, in the order in which they first arrived."""
        return list(self._whole) if self._whole else [self._part(place) for place in self._order]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls the model asked for."""
        return [ToolCall(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())]

    @property
    def code(self) -> list[CodeBlock]:
        """The fenced code blocks of the text, in order, each with `.language` and `.source`."""
        return code_blocks(self.text)

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is any value
        """The text read as JSON; a fence around it is forgiven.

        Raises:
            ReplyFormatError: The text is not JSON; the message says where it stops being it.
        """
        blocks = self.code
        text = blocks[0].source if len(blocks) == 1 else self.text
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"The reply is not JSON ({error}): {shorten(text, 120)!r}. Ask for JSON only, or read reply.text."
            raise ReplyFormatError(msg) from None

    def message(self) -> Message:
        """Give the reply as a message for the history; tool calls stay out, for nothing answers them there."""
        return Message("assistant", self.text, thinking=self.thinking)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Reply {self.finish_reason or 'streaming'} {self.model!r} {shorten(self.text, 60)!r}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - IPython's own protocol
        printer.text(repr(self) if cycle else self.text)

    def _repr_markdown_(self) -> str:
        return compose(self)

    def _repr_llm_(self) -> str:
        """Give what a model reads where a prompt names a reply: the answer."""
        return self.text

    def _ipython_display_(self) -> None:
        """Stay quiet once where the reply has just been shown as it streamed."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representation below
        self.quiet_once = False

    def _place(self, place: Part | int | str) -> None:
        if isinstance(place, Part) and place.id:
            for position, other in enumerate(self._order):
                if isinstance(other, Part) and (other.id, other.kind) == (place.id, place.kind):
                    self._order[position] = place
                    return
        if isinstance(place, Part) or place not in self._order:
            self._order.append(place)

    def _place_anew(self) -> None:
        """Put thinking, then text, where the first of them stood: what was said before is unsaid."""
        said = [position for position, place in enumerate(self._order) if place in ("thinking", "text")]
        rest = [place for place in self._order if place not in ("thinking", "text")]
        at = said[0] if said else len(rest)
        new: list[Part | int | str] = ["thinking"] if self._thinking else []
        self._order = rest[:at] + new + (["text"] if self._text else []) + rest[at:]

    def _part(self, place: Part | int | str) -> Part:
        match place:
            case Part():
                return place
            case int():
                call = self._calls[place]
                return Part(
                    "tool_call", index=place, call_id=call.id, name=call.name, arguments="".join(call.arguments)
                )
            case "thinking":
                return Part("thinking", self.thinking)
            case _:
                return Part("text", self.text)

    def _finish(self, event: Finished) -> None:
        self.end(event.reason)
        self.finish_reason = event.reason
        self.raw_finish = event.raw
        self.model = event.model or self.model
        self.message_id = event.message_id
        self.conversation_id = event.conversation_id
        self.mode = event.mode
        self.warnings.extend(event.warnings)
        self._whole = event.parts


class _Call:
    """One tool call as it grows; the first id and name given win (wire.md C, rule 7)."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id
        self.name = self.name or delta.name
        self.arguments.append(delta.arguments)
