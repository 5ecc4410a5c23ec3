"""The frames that almost every stream consists of, decoded straight into structs that accept nothing else; no I/O.

Whatever is rare (an error, calls of tools, sources, an odd type, broken JSON) fails these decoders and is left to the
decoder that reads plain JSON, which would find the same in the frames that pass.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

_Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
_First = Annotated[int, msgspec.Meta(ge=0, le=0)]


class Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of text or of thinking."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: _Nothing | None = None
    refusal: Literal[""] | None = None
    function_call: None = None
    audio: None = None
    annotations: _Nothing | None = None
    reasoning_details: _Nothing | None = None


class _PieceChoice(msgspec.Struct, gc=False):
    delta: Delta
    index: _First = 0
    finish_reason: None = None
    message: None = None
    text: None = None
    error: None = None
    stop_reason: None = None
    finished: None = msgspec.field(default=None, name="finishReason")
    citations: None = None


class _PieceFrame(msgspec.Struct, gc=False):
    choices: tuple[_PieceChoice]
    finish_reason: None = None
    usage: None = None
    error: None = None
    web_search: None = None
    citations: None = None
    search_results: None = None
    x_groq: None = None


class UsualChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A choice of a usual frame."""

    delta: Delta
    index: _First = 0
    finish_reason: Literal["", "stop", "length"] | None = None
    logprobs: None = None
    stop_reason: None = None
    matched_stop: int | str | None = None  # SGLang
    token_ids: None = None  # vLLM
    content_filter_results: None = None


class UsualFrame(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A frame in which every field is known: the first ones of a stream, and the last ones."""

    choices: Annotated[tuple[UsualChoice, ...], msgspec.Meta(max_length=1)]
    id: str = ""
    model: str = ""
    object: Literal["chat.completion.chunk"] | None = None
    created: int | None = None
    request_id: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    obfuscation: str | None = None
    provider: str | None = None
    prompt_token_ids: None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, float] | None = None  # llama.cpp


_decode_piece = msgspec.json.Decoder(_PieceFrame).decode
_decode_usual = msgspec.json.Decoder(UsualFrame).decode


def piece_in(data: bytes) -> Delta | None:
    """Return the delta of a frame that holds one and nothing else that matters; its other fields are passed over."""
    try:
        return _decode_piece(data).choices[0].delta
    except (ValueError, RecursionError):  # msgspec's errors and Unicode's are ValueErrors
        return None


def usual_frame(data: bytes) -> UsualFrame | None:
    """Return a frame of which every field is known; None for another one."""
    try:
        return _decode_usual(data)
    except (ValueError, RecursionError):
        return None
