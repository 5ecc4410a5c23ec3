"""Reply: the sum of the events that have come so far."""

from __future__ import annotations

import json
import time
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, assert_never

import msgspec
from msgspec.structs import replace

from ._errors import ConfigError, ReplyFormatError, shorten
from ._events import (
    Event,
    Finished,
    Part,
    PartialValue,
    Reason,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolStarted,
    Usage,
)
from ._language import marked, tr
from ._markdown.fences import CodeBlock, code_blocks
from ._markdown.reply_markdown import compose, ending
from ._markdown.table import Table
from ._messages import FormatMode, Message

if TYPE_CHECKING:
    from ._schema.schema import Schema

RUNNING = marked("stopped while it ran")
"""What is told of a function that has begun, until its result is there."""


class Reply:
    """A reply, complete or as far as it has come.

    It keeps pieces of text and joins them when they are read, so adding an event costs the same at any length. One
    thread may add events while others read.

    Args:
        model: The requested model, until the service names one.
        provider: The name of the provider that was asked.

    Attributes:
        model: The model that answered, as the service named it, else the requested one.
        provider: The name of the provider.
        finish_reason: Why it ended; None before that.
        raw_finish: The service's own word for the reason; empty if there was none.
        usage: Tokens, if the service said.
        exchange: The messages between the question and this text, in their order: calls of tools and their results.
        schema: What the answer was asked to be; None for text.
        value: The answer as what the schema asks for, validated; None before its end, and where it does not fit.
        schema_mode: How the server was held to the schema; empty without one, and for a stored answer.
        repairs: How often an answer that did not fit was sent back.
        warnings: Short names of oddities in the stream that were tolerated.
        message_id: The service's id of the reply.
        conversation_id: The service's id of the conversation (chatglm.cn).
        mode: chatglm.cn: `snapshot` or `delta`; empty elsewhere.
        first_event: Seconds from the question to the first event; None before it.
        replayed: When the answer was first given, if it is a stored one; None for a new one. Model, provider, tokens
            and seconds are those of that time.
        quiet_once: Whether IPython shows nothing for the reply the next time it is a cell's value.
    """

    def __init__(self, model: str = "", provider: str = "") -> None:
        self.model = model
        self.provider = provider
        self.finish_reason: Reason | None = None
        self.raw_finish = ""
        self.usage: Usage | None = None
        self.exchange: list[Message] = []
        self.schema: Schema | None = None
        self.value: Any = None
        self.schema_mode: FormatMode | Literal[""] = ""
        self.repairs = 0
        self.warnings: list[str] = []
        self.message_id = ""
        self.conversation_id = ""
        self.mode = ""
        self.first_event: float | None = None
        self.replayed: datetime | None = None
        self.quiet_once = False
        self._started = time.monotonic()
        self._ended: float | None = None
        self._replayed_seconds: tuple[float, float] | None = None  # in all, and of thinking
        self._thinking_span: tuple[float, float] | None = None
        self._has_value = False
        self._partial: Any = None  # what is complete of the value
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._runs: dict[str, ToolResult] = {}
        self._order: list[Part | int | str] = []  # "text", "thinking", a call's index, or the part itself
        self._final_parts: tuple[Part, ...] = ()

    def add(self, event: Event) -> None:
        """Add one event."""
        if self.first_event is None:
            self.first_event = time.monotonic() - self._started
        match event:
            case TextDelta(text):
                if not self._text:
                    self._append("text")
                self._text.append(text)
            case ThinkingDelta(text):
                if not self._thinking:
                    self._append("thinking")
                self._thinking.append(text)
                now = time.monotonic()
                self._thinking_span = (self._thinking_span or (now, now))[0], now
            case Replace(text, thinking):
                self._partial = None
                self._text = [text] if text else []
                self._thinking = [thinking] if thinking else []
                self._reorder_text()
            case ToolCallDelta(index):
                if index not in self._calls:
                    self._calls[index] = _Call()
                    self._append(index)
                self._calls[index].add(event)
            case ToolStarted(call) | ToolResult(call):
                run = event if isinstance(event, ToolResult) else ToolResult(call, error=RUNNING)
                self._runs[call.id] = replace(run, offset=len(self.text))
            case PartialValue(value):
                self._partial = value
            case Part() if self._final_parts:  # a notice of our own, after all that the service sent
                self._final_parts += (event,)
            case Part():
                self._append(event)
            case Usage():
                self.usage = event
            case Finished():
                self._finish(event)
            case _:
                assert_never(event)

    def mark_replayed(
        self, given: datetime, elapsed: float, first_event: float | None, thinking_seconds: float
    ) -> None:
        """Mark this as a stored answer, with the time and the seconds of that; its events follow."""
        self.replayed = given
        self.first_event = first_event
        self._replayed_seconds = elapsed, thinking_seconds

    def start(self) -> None:
        """Count the seconds from now on: what asks only now was waiting for its turn."""
        self._started = time.monotonic()

    def end(self, reason: Reason) -> None:
        """End a reply that no `Finished` has ended; do nothing if it has ended."""
        if self.finish_reason is None:
            self.finish_reason = reason
            self._ended = time.monotonic()

    def take_value(self, value: Any) -> None:  # noqa: ANN401 - the type that was asked for
        """Take the validated value, which may be None."""
        self.value, self._has_value = value, True

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """The model's thinking before the answer."""
        return "".join(self._thinking)

    def pieces(self) -> tuple[list[str], list[str]]:
        """Return the pieces of text and of thinking, not to be changed: the same lists until a `Replace`."""
        return self._text, self._thinking

    @property
    def elapsed(self) -> float:
        """Seconds from the question to the end, or to now."""
        if self._replayed_seconds is not None:
            return self._replayed_seconds[0]
        return (time.monotonic() if self._ended is None else self._ended) - self._started

    @property
    def thinking_seconds(self) -> float:
        """Seconds from the first piece of thinking to the last."""
        if self._replayed_seconds is not None:
            return self._replayed_seconds[1]
        return self._thinking_span[1] - self._thinking_span[0] if self._thinking_span else 0.0

    @property
    def parts(self) -> list[Part]:
        """All parts, in the order in which they first arrived."""
        return list(self._final_parts) if self._final_parts else [self._part(entry) for entry in self._order]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls that the model asked for, by index."""
        return [ToolCall(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())]

    @property
    def tool_runs(self) -> list[ToolResult]:
        """The calls of functions that were decided on, in order, with what came of each."""
        return list(self._runs.values())

    @property
    def code(self) -> list[CodeBlock]:
        """The fenced code blocks of the text, in order, each with `.language` and `.source`."""
        return code_blocks(self.text)

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is any value
        """The text, or its only code block, read as JSON.

        Raises:
            ReplyFormatError: The text is not JSON; the message says where the parser stopped.
        """
        blocks = self.code
        text = blocks[0].source if len(blocks) == 1 else self.text
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = tr(
                "The reply is not JSON ({error}): {text!r}. Ask for JSON only, or read reply.text.",
                error=error,
                text=shorten(text, 120),
            )
            raise ReplyFormatError(msg) from None

    @property
    def records(self) -> list[dict[str, Any]]:
        """The value as plain dicts, a row each; what is no object is `{"value": …}`.

        While an answer is written, where it was stopped and where it does not fit, what is complete of it and fits.
        Empty without a schema.
        """
        if self.schema is None:
            return []
        if self._has_value:
            return self.schema.records(self.value)
        return [] if self._partial is None else self.schema.records(self._partial)

    @property
    def table(self) -> Table | None:
        """The value as it is shown; None where there is none.

        Of an answer that was stopped or cut off, what is complete; of one that does not fit, nothing.
        """
        if self.schema is None or not (self._has_value or (self._partial is not None and self.finish_reason != "stop")):
            return None
        return Table.of(self.schema, self.value if self._has_value else self._partial)

    @property
    def frame(self) -> Any:  # noqa: ANN401 - of whichever library is there
        """The records as a pandas DataFrame; as a polars one where only that is installed.

        Raises:
            ConfigError: Neither is installed.
        """
        rows = self.records
        names = self.schema.columns(rows) if self.schema is not None else []
        if frame_library() == "pandas":
            import pandas as pd

            return pd.DataFrame(rows, columns=names)
        import polars as pl

        return pl.DataFrame({name: [row.get(name) for row in rows] for name in names}, strict=False)

    def message(self) -> Message:
        """Return the text as a message, without calls of tools that nothing has answered; see `exchange`."""
        return Message("assistant", self.text, thinking=self.thinking)

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    def __repr__(self) -> str:
        return f"<Reply {self.finish_reason or 'streaming'} {self.model!r} {shorten(self.text, 60)!r}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - IPython's own protocol
        printer.text(repr(self) if cycle else "\n\n".join(filter(None, (self.text, ending(self)))))

    def _repr_markdown_(self) -> str:
        return compose(self)

    def _repr_llm_(self) -> str:
        """Return the text by which a prompt that names this reply describes it."""
        return self.text

    def _ipython_display_(self) -> None:
        """IPython's hook: shows nothing once, for a reply that has just been shown as it streamed."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representations above
        self.quiet_once = False

    def _append(self, entry: Part | int | str) -> None:
        """Add an entry to the order of the parts, or replace the part with the same id and kind."""
        if isinstance(entry, Part) and entry.id:
            for position, other in enumerate(self._order):
                if isinstance(other, Part) and (other.id, other.kind) == (entry.id, entry.kind):
                    self._order[position] = entry
                    return
        if isinstance(entry, Part) or entry not in self._order:
            self._order.append(entry)

    def _reorder_text(self) -> None:
        """Put thinking, then text, where the first of them stood before the correction."""
        rest = [entry for entry in self._order if entry not in ("thinking", "text")]
        at = next((at for at, entry in enumerate(self._order) if entry in ("thinking", "text")), len(rest))
        new: list[Part | int | str] = ["thinking"] if self._thinking else []
        self._order = rest[:at] + new + (["text"] if self._text else []) + rest[at:]

    def _part(self, entry: Part | int | str) -> Part:
        match entry:
            case Part():
                return entry
            case int():
                call = self._calls[entry]
                return Part(
                    "tool_call", index=entry, call_id=call.id, name=call.name, arguments="".join(call.arguments)
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
        self._final_parts = event.parts


def frame_library() -> str:
    """Return the library that makes data frames: pandas, or polars where only that is installed.

    Raises:
        ConfigError: Neither is.
    """
    found = next((name for name in ("pandas", "polars") if find_spec(name) is not None), "")
    if not found:
        raise ConfigError(tr("A frame needs pandas or polars: pip install pandas."))
    return found


class _Call(msgspec.Struct):
    """One tool call so far. The first id and name count: some servers repeat them, empty or changed, in every piece."""

    id: str = ""
    name: str = ""
    arguments: list[str] = []

    def add(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id
        self.name = self.name or delta.name
        self.arguments.append(delta.arguments)
