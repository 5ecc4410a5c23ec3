"""Pieces of tool calls → one call for each index, whatever servers do to ids and indices; no I/O."""

from __future__ import annotations

import json
from typing import Any

from .._events import ToolCallDelta
from ._openai_json import json_text


class ToolCalls:
    """Puts pieces in their places. The first id and name of a call win (wire.md C, rule 7).

    Servers repeat or change the id with every piece, send whole calls without an index, or give every
    whole call the index 0.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._place: dict[int, int] = {}  # the wire's index → ours, where two calls shared one
        self._last = 0

    def __bool__(self) -> bool:
        return any(call.id or call.name or not call.is_empty() for call in self._calls.values())

    def add(self, piece: dict[str, Any]) -> ToolCallDelta | None:
        """Take one piece in; None where it says nothing new."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        key = text_of(piece.get("id"))
        name = text_of(function.get("name"))
        arguments = _arguments(function.get("arguments"))
        wire = piece.get("index")
        index = self._by_index(wire, key, name, arguments) if isinstance(wire, int) else self._without_index(key, name)
        self._last = index
        call = self._calls.setdefault(index, _Call())
        if arguments and (key or name) and _is_whole(arguments) and call.so_far() == arguments:
            arguments = ""  # said again, with the finish reason
        delta = ToolCallDelta(index, "" if call.id else key, "" if call.name else name, arguments)
        call.id = call.id or key
        call.name = call.name or name
        call.add(arguments)
        return delta if delta.id or delta.name or delta.arguments else None

    def _by_index(self, wire: int, key: str, name: str, arguments: str) -> int:
        index = self._place.get(wire, wire)
        call = self._calls.get(index)
        if (
            call is not None
            and key not in {"", call.id}
            and name
            and _is_whole(arguments)
            and call.is_whole()
            and (name, arguments) != (call.name, call.so_far())
        ):
            index = self._place[wire] = max(self._calls) + 1  # another whole call under the same index
        return index

    def _without_index(self, key: str, name: str) -> int:
        if not self._calls:
            return 0
        for index, call in self._calls.items():
            if key and call.id == key:
                return index
        last = self._calls[self._last]
        begins = (key or name) and (last.is_empty() or last.is_whole())
        return max(self._calls) + 1 if begins else self._last


class _Call:
    """One call so far."""

    __slots__ = ("_arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self._arguments: list[str] = []

    def add(self, arguments: str) -> None:
        if arguments:
            self._arguments.append(arguments)

    def so_far(self) -> str:
        self._arguments = ["".join(self._arguments)]
        return self._arguments[0]

    def is_empty(self) -> bool:
        return not self._arguments

    def is_whole(self) -> bool:
        return bool(self._arguments) and self._arguments[-1].endswith("}") and _is_whole(self.so_far())


def text_of(value: object) -> str:
    """Give a string as it is, and anything else as an empty one."""
    return value if isinstance(value, str) else ""


def _arguments(value: object) -> str:
    """Give arguments as JSON text; some servers send the object itself."""
    if isinstance(value, dict):
        return json_text(value)
    return text_of(value)


def _is_whole(arguments: str) -> bool:
    """Tell whether this is one complete JSON object."""
    if not (arguments.startswith("{") and arguments.endswith("}")):
        return False
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
