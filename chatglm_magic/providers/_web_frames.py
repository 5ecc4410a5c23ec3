"""One frame of chatglm.cn's stream: its JSON as values, whatever state it is in.

The wire was never documented, and frames come with nulls, wrong types, half characters and two
frames on one line. So a frame is read typed and fast where that works, and else by the standard
library's forgiving reader, which also finds whole frames behind a broken one.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

GROWING = frozenset({"text", "think", "code"})
"""Types of content items that are one string which grows; it stands under the type's own name."""

_UNREADABLE = (ValueError, RecursionError)
_NEXT_FRAME = re.compile(r"data:\s*(?=\{)")
_MAX_ON_A_LINE = 8
"""How many frames are looked for on one line: each look may walk over all of it."""
_HALVES = re.compile("[\ud800-\udfff]")


class WirePart(msgspec.Struct):
    """One part as sent; content items stay JSON objects, for their types are open-ended."""

    logic_id: Any = None
    id: Any = None
    status: Any = None
    model: Any = None
    meta_data: Any = None
    content: list[dict[str, Any]] | None = None


class Frame(msgspec.Struct):
    """One frame as sent, or a JSON envelope where a frame should be (then `status` is a number)."""

    id: Any = None
    conversation_id: Any = None
    status: Any = None
    last_error: Any = None
    parts: list[WirePart] | None = None
    code: Any = None
    message: Any = None
    validation_error: Any = None

    def envelope(self) -> dict[str, Any] | None:
        """Give the refusal that stands where a frame should be; None if this is a frame."""
        status = self.status if type(self.status) is int else None
        if self.parts is not None or not (status or self.code or self.validation_error):
            return None
        envelope = {"status": status, "code": self.code, "message": self.message}
        return envelope | {"validation_error": self.validation_error}


class Reading(msgspec.Struct):
    """What could be read of an event's data.

    Attributes:
        frames: The frames: as a rule one.
        clean: Whether the data are exactly that frame, in well-formed JSON.
        broken: Whether something could not be read.
    """

    frames: list[Frame]
    clean: bool = False
    broken: bool = False


_decoder = msgspec.json.Decoder(Frame)
_forgiving = json.JSONDecoder(strict=False)  # bare control characters, NaN, huge numbers


def read_frames(data: bytes) -> Reading:
    """Read an event's data; never raises, whatever the bytes."""
    try:
        return Reading([_decoder.decode(data)], clean=True)
    except _UNREADABLE:
        return _read_forgivingly(data.decode("utf-8", "replace").lstrip())


def _read_forgivingly(text: str) -> Reading:
    """Read every whole frame on a line that is not simply one frame."""
    reading = Reading([])
    position = 0
    for _ in range(_MAX_ON_A_LINE):
        try:
            value, position = _forgiving.raw_decode(text, position)
            reading.frames.append(_frame(value))
        except _UNREADABLE:
            reading.broken = True
            position += 1
        following = _NEXT_FRAME.search(text, position)
        between = text[position : following.start() if following else None]
        reading.broken = reading.broken or bool(between.strip())
        if following is None:
            break
        position = following.end()
    return reading


def _frame(value: object) -> Frame:
    """Make a frame of a JSON object, dropping what is no part.

    Halves of surrogate pairs are kept in strings that grow, for the other half may come; elsewhere
    they become U+FFFD.

    Raises:
        ValueError: This is no JSON object.
    """
    if not isinstance(value, dict):
        msg = "a frame is a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - bad data like all others, caught beside them
    parts = value.pop("parts", None)
    frame = msgspec.convert(_mend(value), Frame)
    if isinstance(parts, list):
        frame.parts = [_part(part) for part in parts if isinstance(part, dict)]
    return frame


def _part(value: dict[str, Any]) -> WirePart:
    content = value.pop("content", None)
    part = msgspec.convert(_mend(value), WirePart)
    if isinstance(content, list):
        part.content = [
            {
                name: field if name in GROWING and isinstance(field, str) else _mend(field)
                for name, field in item.items()
            }
            for item in content
            if isinstance(item, dict)
        ]
    return part


def _mend(value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    """Replace half surrogate pairs, which nothing further on could encode, in every string of a JSON value."""
    match value:
        case str():
            return _HALVES.sub("\ufffd", value)
        case list():
            return [_mend(item) for item in value]
        case dict():
            return {_mend(name): _mend(item) for name, item in value.items()}
        case _:
            return value
