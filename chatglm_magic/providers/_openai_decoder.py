"""Bytes of an OpenAI-compatible chat stream → typed events; no I/O.

Strategy. Almost every frame holds one choice with a piece of text or of thinking. Those are decoded
straight into structs that accept nothing else: whatever is rare (a finish reason, usage,
tool calls, an error, an odd type, broken JSON) fails that decoder and takes the tolerant road, which
reads the frame as plain JSON. What is said is gathered over one network read and given as one delta.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from .._errors import BrokenStreamError, ErrorKind, ProtocolError, ProviderError, status_error
from .._events import (
    Event,
    Finished,
    Part,
    Reason,
    Replace,
    Source,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from .._sse import ServerSentEvent, SSEDecoder
from ._openai_json import DONE, Piece, read_pieces
from ._platform_errors import Asked, Complaint, read_complaint, refusal_error
from ._think_tags import ThinkSplitter
from ._tool_calls import ToolCalls, text_of

GRACE = 5.0
"""Seconds of silence after a finish reason before the reply counts as ended: usage and `[DONE]` come at once."""

_HEAD_FRAMES = 4
"""How many frames are read in full for the reply's id and the model's name."""

_Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: _Nothing | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Annotated[int, msgspec.Meta(ge=0, le=0)] = 0
    finish_reason: None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    usage: None = None
    error: None = None
    web_search: None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode

_FINISH: Mapping[str, tuple[Reason, ErrorKind | None, str]] = MappingProxyType(
    {
        "stop": ("stop", None, ""),
        "length": ("length", None, ""),
        "tool_calls": ("tool_calls", None, ""),
        "function_call": ("tool_calls", None, ""),
        "sensitive": ("content_filter", "content_filter", "blocked by content safety"),
        "content_filter": ("content_filter", "content_filter", "blocked by content safety"),
        "model_context_window_exceeded": ("length", "context_length", "context window exceeded"),
        "network_error": ("error", "server", "inference broke off"),
        "abort": ("error", "server", "inference was aborted"),
        "error": ("error", "server", "inference failed"),
    }
)
"""The wire's word for the end → ours, the kind of the error to raise after it, and its words."""


class OpenAIDecoder:
    """Decodes one reply; see `_stream.Decoder` for the protocol.

    Args:
        asked: Whom to name in errors.
        think_tags: Whether raw model text is to be expected: think tags in the content are taken apart
            and leaked control tokens trimmed (on for users' own servers, off for the platforms).
        warnings: What was odd about the request already.
    """

    def __init__(self, asked: Asked, *, think_tags: bool, warnings: tuple[str, ...] = ()) -> None:
        self.error: ProviderError | None = None
        self.done = False
        self.grace: float | None = None
        self._asked = asked
        self._sse = SSEDecoder()
        self._splitter = ThinkSplitter() if think_tags else None
        self._tools = ToolCalls()
        self._warnings = dict.fromkeys(warnings)
        self._out: list[Event] = []
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._frames = 0
        self._id = ""
        self._model = ""
        self._finish = ""
        self._usage: Mapping[str, Any] = MappingProxyType({})
        self._sources: tuple[Source, ...] = ()
        self._has_text = False
        self._has_thinking = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take one network read and give its deltas, consecutive ones merged.

        Raises:
            EventTooLongError: The only way in which bytes can make it fail.
        """
        if not self.done:
            self._read(self._sse.feed(chunk))
        return self._take()

    def close(self) -> list[Event]:
        """End the reply: remaining deltas, usage, and `Finished`; `error` is set to what is to be raised after it."""
        if not self.done:
            self._read(self._sse.close())
        self._flush()
        if self._splitter is not None:
            self._emit(self._splitter.close())
        if self._usage:
            self._out.append(_read_usage(self._usage))
        self._out.append(self._finished())
        return self._take()

    def _read(self, events: list[ServerSentEvent]) -> None:
        texts, thoughts = self._texts, self._thoughts  # texts follow thoughts: what thinks after a text flushes first
        for event in events:
            frame = None
            if self._frames >= _HEAD_FRAMES and event.event == "message":
                try:
                    frame = _decode_chunk(event.data)
                except (ValueError, RecursionError):  # msgspec's errors and Unicode's are ValueErrors
                    frame = None
            if frame is None:
                self._read_slowly(event)
                if self.done:
                    return
                continue
            delta = frame.choices[0].delta
            if thought := delta.reasoning_content or delta.reasoning:
                if texts:
                    self._flush()
                thoughts.append(thought)
            if delta.content:
                texts.append(delta.content)

    # The tolerant road

    def _read_slowly(self, event: ServerSentEvent) -> None:
        """Read any one event; never fails."""
        self._frames += 1
        pieces = read_pieces(event.data)
        if event.event == "error":
            value = next((piece.value for piece in pieces if not piece.cut), None)
            words = value if isinstance(value, str) else event.data.decode("utf-8", "replace")
            complaint = read_complaint(value) or read_complaint({"error": value}) or Complaint(words)
            self._fail(refusal_error(complaint, self._asked))
            return
        if event.event != "message" and any(piece.cut for piece in pieces):
            return  # an event of the server's own
        whole = next((piece.value for piece in pieces if not piece.cut and isinstance(piece.value, dict)), {})
        known = self._id or text_of(whole.get("id"))
        for piece in pieces:
            self._read_piece(piece, known)
            if self.done:
                return

    def _read_piece(self, piece: Piece, known: str) -> None:
        frame = piece.value
        if frame == DONE:
            self.done = True
            return
        if piece.cut or not isinstance(frame, dict):
            self._warn("bad-frame")
        if not isinstance(frame, dict) or (piece.cut and text_of(frame.get("id")) not in {"", known}):
            return  # the second: a left-over of another reply
        self._id = self._id or text_of(frame.get("id"))
        self._model = self._model or text_of(frame.get("model"))
        usage = frame.get("usage")
        if isinstance(usage, dict) and usage:
            self._usage = usage
        choices = frame.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                self._read_choice(choice)
        elif "choices" in frame:
            self._warn("null-choices")
        self._read_search(frame.get("web_search"))
        if complaint := read_complaint(frame):
            self._fail(refusal_error(complaint, self._asked))

    def _read_choice(self, choice: object) -> None:
        if not isinstance(choice, dict) or (choice.get("index") or 0) != 0:
            self._warn("odd-choice")
            return
        delta = choice.get("delta") or choice.get("message")  # the latter: a server that answers in one piece
        if isinstance(delta, dict):
            self._think(_plain(delta.get("reasoning_content")) or _plain(delta.get("reasoning")))
            self._read_content(delta.get("content"))
            self._read_tool_calls(delta.get("tool_calls"))
        finish = choice.get("finish_reason")
        if isinstance(finish, dict):
            finish = finish.get("type")
        if finish and isinstance(finish, str):
            self._finish = finish
            self.grace = GRACE

    def _read_content(self, content: object) -> None:
        for item in content if isinstance(content, list) else [content]:
            if isinstance(item, dict):
                text = item.get("text")
                kind = text_of(item.get("type", "text"))
                if kind in {"thinking", "reasoning"}:
                    self._think(_plain(text) or _plain(item.get(kind)))
                elif kind == "text" and isinstance(text, str):
                    self._say(text)
                else:
                    self._part(Part("unknown", raw=item))
                    self._warn("unknown-content")
            elif isinstance(item, str):
                self._say(item)
            elif item is not None:
                self._warn("unknown-content")

    def _read_tool_calls(self, pieces: object) -> None:
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict) or (piece.get("type") or "function") != "function":
                self._part(Part("unknown", raw=piece))
                self._warn("unknown-tool-call")
            elif delta := self._tools.add(piece):
                self._flush()
                self._out.append(delta)

    def _read_search(self, pages: object) -> None:
        if not isinstance(pages, list):
            return
        sources = tuple(
            Source(text_of(page.get("title")), text_of(page.get("link")), text_of(page.get("refer")))
            for page in pages
            if isinstance(page, dict)
        )
        if sources and sources != self._sources:
            self._sources = sources
            self._part(Part("search", sources=sources))

    # What is said

    def _say(self, text: str) -> None:
        if text:
            self._texts.append(text)

    def _think(self, text: str) -> None:
        if text:
            if self._texts:
                self._flush()
            self._thoughts.append(text)

    def _part(self, part: Part) -> None:
        self._flush()
        self._out.append(part)

    def _flush(self) -> None:
        """Make deltas of what was gathered: thoughts, and the texts that came after them."""
        if self._thoughts:
            if self._splitter is not None:
                self._splitter.thinking_came()
            self._emit([ThinkingDelta("".join(self._thoughts))])
            self._thoughts.clear()
        if self._texts:
            text = "".join(self._texts)
            self._texts.clear()
            self._emit([TextDelta(text)] if self._splitter is None else self._splitter.push(text))

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case TextDelta(text):
                    self._has_text = self._has_text or not text.isspace()
                case ThinkingDelta():
                    self._has_thinking = True
                case Replace(text):
                    self._has_text, self._has_thinking = bool(text), True
                case _:
                    pass
            last = self._out[-1] if self._out else None
            if isinstance(event, TextDelta) and isinstance(last, TextDelta):
                self._out[-1] = TextDelta(last.text + event.text)
            else:
                self._out.append(event)

    def _take(self) -> list[Event]:
        self._flush()
        events, self._out = self._out, []
        return events

    # The end

    def _finished(self) -> Finished:
        reason: Reason = "error"
        if self.error is None:
            reason, self.error = self._verdict()
        if self._has_thinking and not self._has_text and not self._tools and reason in {"stop", "length"}:
            self._warn("reasoning-only")
        return Finished(
            reason,
            raw=self._finish,
            model=self._model,
            message_id=self._id,
            warnings=tuple(self._warnings),
        )

    def _verdict(self) -> tuple[Reason, ProviderError | None]:
        """Judge how the wire ended (wire.md F)."""
        asked = self._asked
        if self._finish:
            if self._finish not in _FINISH:
                self._warn("unknown-finish-reason")
            reason, kind, words = _FINISH.get(self._finish, ("stop", None, ""))
            if kind is None:
                return reason, None
            return reason, status_error(
                kind, code=self._finish, detail=words, retryable=kind == "server", **self._about()
            )
        if not self.done:
            msg = (
                f"The reply of {asked.provider} at {asked.host} broke off: the stream ended before a finish frame. "
                "What had arrived is kept; run the cell again for a whole one."
            )
            return "error", BrokenStreamError(msg, retryable=True, **self._about())
        if self._has_text or self._tools:
            self._warn("no-finish-reason")
            return "stop", None
        msg = f"No answer from {asked.provider} at {asked.host}: the stream ended without content. Run the cell again."
        return "error", ProtocolError(msg, kind="empty", retryable=True, **self._about())

    def _fail(self, error: ProviderError) -> None:
        self.error = error
        self.done = True

    def _about(self) -> dict[str, Any]:
        return {"provider": self._asked.provider, "model": self._asked.model, "host": self._asked.host}

    def _warn(self, warning: str) -> None:
        self._warnings[warning] = None


def _plain(value: object) -> str:
    """Give thinking as text: a string, or a list of strings or of `{"text": …}`."""
    if isinstance(value, list):
        return "".join(text_of(item.get("text")) if isinstance(item, dict) else text_of(item) for item in value)
    return text_of(value)


def _read_usage(usage: Mapping[str, Any]) -> Usage:
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return Usage(prompt, completion, _count(usage.get("total_tokens")) or prompt + completion, raw=usage)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0
    return max(int(value), 0)
