"""Reads only what is new in a stream whose every frame repeats all that came before.

Strategy. Of a frame that was read in full it is known where its growing string lies:

    event: message ⏎ data: {…"text":" │ the text so far │ "}],…"status":"init"}⏎⏎
    └──────────── known ──────────────────────────────┘   └──────── rest ─────────┘

Where the next frame starts with the same `known` bytes and ends with the same `rest`, what stands
between is more of the string and nothing else has changed: two comparisons of memory in place of
decoding all of it. That what was inserted cannot have ended the string, or be no text at all, is seen
by decoding it, between quotes, as one JSON string. Where anything differs the frame is read in full.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Self

import msgspec

from .._values import dataclass
from ._web_frames import Frame, WirePart, read_frames
from ._web_parts import keyed

END = b"\n\n"
"""The end of an event; streams with other line ends are not read this way."""

_START = re.compile(rb'"(text|think|code)"\s*:\s*"')
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+')
_UNREADABLE = (ValueError, RecursionError)

_string = msgspec.json.Decoder(str)


@dataclass(slots=True)
class Tail:
    """Where the string lies that grows from frame to frame.

    Attributes:
        key: The key of its part.
        kind: The type of its item.
        text: The string in the frame where it was found.
        known: The newest frame's bytes up to the end of its string.
        rest: The bytes from there to the end of the event.
        used: Whether any frame was read by it.
    """

    key: str
    kind: str
    text: str
    known: memoryview
    rest: bytes
    used: bool = False

    @classmethod
    def find(cls, event: bytes, data: bytes, frame: Frame) -> Self | None:
        """Find the last growing string of a frame.

        It is believed only if without these bytes that very string is empty.

        Args:
            event: The event's bytes with its end.
            data: The event's data.
            frame: What was read of them; left as it is.
        """
        found = next(iter(deque(_START.finditer(data), maxlen=1)), None)
        offset = event.find(data)
        if found is None or offset < 0:
            return None
        start = found.end()
        string = _STRING.match(data, start)
        end = string.end() if string else start
        without = read_frames(data[:start] + data[end:])
        if not without.clean:
            return None
        kind = found[1].decode()
        place = _difference(frame, without.frames[0], kind)
        if place is None:
            return None
        position, text = place
        return cls(keyed(frame)[position][0], kind, text, memoryview(event)[: offset + end], event[offset + end :])

    def read(self, buffer: bytes, position: int) -> tuple[str, int]:
        """Read all whole frames from a position on that do nothing but let the string grow.

        Returns:
            By what it grew, and the position behind those frames.
        """
        starts_with, find, view = buffer.startswith, buffer.find, memoryview(buffer)
        known, rest, before = self.known, self.rest, len(self.known)
        size, start = before, position
        while starts_with(known, position):
            end = find(END, position + size) + len(END)
            at = end - len(rest)
            if at < position + size or not starts_with(rest, at):
                break
            known = view[position:at]
            size = at - position
            position = end
        if position == start:
            return "", start
        try:
            text = _string.decode(b'"' + known[before:] + b'"')
        except _UNREADABLE:
            return "", start
        self.known, self.used = known, True
        return text, position


def _difference(frame: Frame, without: Frame, kind: str) -> tuple[int, str] | None:
    """Give position and value of the one string of a type that a frame has and its copy has not.

    None if there is none, or if the part has more strings of that type, which belong together.
    """
    for position, (part, other) in enumerate(zip(frame.parts or (), without.parts or (), strict=False)):
        mine, its = _strings(part, kind), _strings(other, kind)
        if mine != its:
            return (position, mine[0]) if len(mine) == 1 and its == [""] else None
    return None


def _strings(part: WirePart, kind: str) -> list[str]:
    items = part.content or ()
    return [text for item in items if item.get("type") == kind and isinstance(text := item.get(kind), str)]
