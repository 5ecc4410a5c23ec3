"""A short reply that comes in one piece, as the rows of a map are answered: read at once, a fifth of the work; no I/O.

Only what is quite ordinary is read here: text without tags, `stop` or `length`, usage, `[DONE]`, in frames with no
field that the decoder for everything would look into. Whatever else comes is left to that decoder, from its first byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from ..._errors import ProviderError
from ..._events import Event, Finished, TextDelta
from ..stream import Decoder
from .wire import usage_in

_END = b"data: [DONE]\n\n"
_LONGEST = 16_384
_FEW = 2
"""So many pieces of text cannot be said once more in a last one without that being seen here."""

_Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]


class _Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str | None = None
    role: Literal["assistant"] | None = None
    reasoning_content: Literal[""] | None = None
    reasoning: Literal[""] | None = None
    tool_calls: _Nothing | None = None
    refusal: Literal[""] | None = None


class _Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    delta: _Delta
    index: Annotated[int, msgspec.Meta(ge=0, le=0)] = 0
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: None = None
    stop_reason: None = None
    token_ids: None = None


class _Chunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    choices: Annotated[tuple[_Choice, ...], msgspec.Meta(max_length=1)]
    id: str = ""
    model: str = ""
    object: Literal["chat.completion.chunk"] | None = None
    created: int | None = None
    request_id: str = ""
    system_fingerprint: str | None = None
    prompt_token_ids: None = None
    usage: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ShortReply(msgspec.Struct, frozen=True):
    """A reply that was read at once.

    Attributes:
        text: Its text.
        end: What follows it: usage, if there was any, and `Finished`.
    """

    text: str
    end: list[Event]


def read_short(body: bytes) -> ShortReply | None:
    """Return the reply that a whole stream holds; None where it is not quite ordinary, or not whole."""
    if len(body) > _LONGEST or not body.endswith(_END) or b"\r" in body:
        return None
    pieces: list[str] = []
    finish = reply_id = model = ""
    usage: dict[str, Any] | None = None
    for frame in body[: -len(_END)].split(b"\n\n")[:-1]:
        if not frame.startswith(b"data: ") or b"\n" in frame:
            return None
        try:
            chunk = _decode(frame[6:])
        except ValueError:  # msgspec's errors and Unicode's are ValueErrors
            return None
        reply_id, model = reply_id or chunk.id, model or chunk.model
        usage = chunk.usage or usage
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        if finish:
            return None  # words, or another reason, may withdraw it
        if choice.delta.content:
            pieces.append(choice.delta.content)
        finish = choice.finish_reason or ""
    text = "".join(pieces)
    if not finish or not text or text != text.strip() or "<" in text or len(pieces) > _FEW:
        return None
    end: list[Event] = [] if usage is None else [usage_in(usage)]
    reason: Literal["stop", "length"] = "stop" if finish == "stop" else "length"
    end.append(Finished(reason, raw=finish, model=model, message_id=reply_id))
    return ShortReply(text, end)


class ShortReplyDecoder:
    """Decodes a short reply at once, and any other one with the decoder for everything.

    Args:
        make: Makes that decoder.
    """

    def __init__(self, make: Callable[[], Decoder]) -> None:
        self._make = make
        self._reply: ShortReply | None = None
        self._other: Decoder | None = None

    @property
    def error(self) -> ProviderError | None:
        """See `Decoder`."""
        return None if self._other is None else self._other.error

    @property
    def done(self) -> bool:
        """See `Decoder`."""
        return self._reply is not None or (self._other is not None and self._other.done)

    @property
    def grace(self) -> float | None:
        """See `Decoder`."""
        return None if self._other is None else self._other.grace

    def feed(self, chunk: bytes) -> list[Event]:
        """See `Decoder`."""
        if self._other is None:
            self._reply = read_short(chunk) if self._reply is None else self._reply
            if self._reply is not None:
                return [TextDelta(self._reply.text)]
            self._other = self._make()
        return self._other.feed(chunk)

    def close(self) -> list[Event]:
        """See `Decoder`."""
        if self._reply is not None:
            return self._reply.end
        return (self._other or self._make_empty()).close()

    def _make_empty(self) -> Decoder:
        """Return the decoder of a stream in which nothing came."""
        self._other = self._make()
        return self._other
