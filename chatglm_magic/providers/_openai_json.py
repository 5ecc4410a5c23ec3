"""Frames as they should not be: tolerant JSON, and what can be saved of a frame that was cut; no I/O.

The live service has been seen to cut a frame in the middle of its JSON and to go on, on the same line,
with the next `data: ` and a complete frame (zai-org/GLM-5#66). The cut frame may be a left-over of
another reply: its id tells.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .._values import dataclass

DONE = "[DONE]"
"""What stands in place of JSON at the end of a stream."""
_MAX_PIECES = 64
"""How many pieces of one broken frame are looked at: each look may walk over all of it."""

_DECODER = json.JSONDecoder(strict=False)  # bare control characters in strings, NaN: tolerated
_NEXT = re.compile(r"data: ?(?=\{|\[DONE\])")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ID = re.compile(r'"id"\s*:\s*"([^"\\]*)"')
_DELTA = re.compile(r'"delta"\s*:\s*\{')
_SAID = re.compile(r'"(content|reasoning_content|reasoning)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_FINISH = re.compile(r'"finish_reason"\s*:\s*"([^"\\]+)"')
_HALF_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,3}\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """One JSON value of a frame.

    Attributes:
        value: The value; of a cut frame, as much of a chunk as could be read.
        cut: Whether the frame broke off.
    """

    value: Any
    cut: bool = False


def read_pieces(data: bytes) -> list[Piece]:
    """Read a frame that is not plain JSON of the expected shape, as far as it can be read.

    Never fails: invalid UTF-8 is replaced, whatever is unreadable is a cut piece with an empty chunk.
    """
    text = data.decode("utf-8", "replace")
    pieces: list[Piece] = []
    position = len(text) - len(text.lstrip())
    while position < len(text) and len(pieces) < _MAX_PIECES:
        if start := _NEXT.match(text, position):
            position = start.end()
        try:
            value, end = _DECODER.raw_decode(text, position)
            pieces.append(Piece(_scrub(value) if _ESCAPED_SURROGATE.search(text, position, end) else value))
        except (ValueError, RecursionError):
            following = _NEXT.search(text, position + 1)
            end = following.start() if following else len(text)
            broken = text[position:end].strip()
            pieces.append(Piece(DONE) if broken == DONE else Piece(_salvage(broken), cut=True))
        position = end + len(text[end:]) - len(text[end:].lstrip())
    return pieces


def json_text(value: object) -> str:
    """Write a JSON value as text; an empty one where it is nested too deeply to be walked."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _salvage(text: str) -> dict[str, Any]:
    """Make a chunk of what a cut frame still says."""
    chunk: dict[str, Any] = {}
    delta: dict[str, Any] = {}
    if found := _ID.search(text):
        chunk["id"] = found[1]
    text = text.partition('"web_search"')[0]  # its pages have a `content` of their own
    if start := _DELTA.search(text):
        for name, said in _SAID.findall(text, start.end()):
            delta.setdefault(name, _unescape(said))
        finish = _FINISH.search(text, start.end())
        chunk["choices"] = [{"delta": delta, "finish_reason": finish[1] if finish else None}]
    return chunk


def _unescape(said: str) -> str:
    """Read the inside of a JSON string that may break off in an escape."""
    for inside in (said, _HALF_ESCAPE.sub("", said)):
        try:
            return _whole(_DECODER.decode(f'"{inside}"'))
        except ValueError:
            continue
    return ""


def _scrub(value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    """Make lone surrogates U+FFFD: no other part of the program could write them down."""
    match value:
        case str():
            return _whole(value)
        case list():
            return [_scrub(item) for item in value]
        case dict():
            return {_whole(name): _scrub(item) for name, item in value.items()}
        case _:
            return value


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
