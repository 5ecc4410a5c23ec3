"""Pieces of tool calls → one call for each index, whatever servers do to ids and indices; no I/O."""

from __future__ import annotations

import json
from typing import Any

from ..._events import ToolCallDelta
from .wire import HalfJoiner, json_text, text_of


class ToolCalls:
    """The tool calls of one reply so far. The first id and name of a call win, its arguments are concatenated.

    Servers repeat or change the id with every piece, send whole calls without an index, give every whole call the
    index 0, or repeat a whole call beside the finish reason.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._moved: dict[int, int] = {}  # the wire's index → ours, where two calls shared one
        self._last = 0

    def __bool__(self) -> bool:
        return any(call.id or call.name or not call.is_empty() for call in self._calls.values())

    def add(self, piece: dict[str, Any]) -> ToolCallDelta | None:
        """Return the delta for one piece; None if it adds nothing."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else piece  # a few send name and arguments without it
        call_id = text_of(piece.get("id"))
        name = text_of(function.get("name"))
        arguments = function.get("arguments")
        arguments = json_text(arguments) if isinstance(arguments, dict) else text_of(arguments)  # some send the object
        wire_index = piece.get("index")
        if isinstance(wire_index, str) and wire_index.isdecimal():
            wire_index = int(wire_index[:9])
        if isinstance(wire_index, int):
            index = self._by_index(wire_index, call_id, name, arguments)
        else:
            index = self._without_index(call_id, name)
        self._last = index
        call = self._calls.setdefault(index, _Call())
        arguments = call.joiner.join(arguments)
        if arguments and (call_id or name) and _is_object(arguments) and call.arguments() == arguments:
            arguments = ""  # repeated, with the finish reason
        delta = ToolCallDelta(index, "" if call.id else call_id, "" if call.name else name, arguments)
        call.id = call.id or call_id
        call.name = call.name or name
        call.append(arguments)
        return delta if delta.id or delta.name or delta.arguments else None

    def _by_index(self, wire_index: int, call_id: str, name: str, arguments: str) -> int:
        index = self._moved.get(wire_index, wire_index)
        call = self._calls.get(index)
        if (
            call is not None
            and call_id not in {"", call.id}
            and name
            and _is_object(arguments)
            and call.is_complete()
            and (name, arguments) != (call.name, call.arguments())
        ):
            index = self._moved[wire_index] = max(self._calls) + 1  # another whole call under the same index
        return index

    def _without_index(self, call_id: str, name: str) -> int:
        if not self._calls:
            return 0
        for index, call in self._calls.items():
            if call_id and call.id == call_id:
                return index
        last = self._calls[self._last]
        is_new = (call_id or name) and (last.is_empty() or last.is_complete())
        return max(self._calls) + 1 if is_new else self._last


class _Call:
    """One call so far."""

    __slots__ = ("_pieces", "id", "joiner", "name")

    def __init__(self) -> None:
        self.joiner = HalfJoiner()
        self.id = ""
        self.name = ""
        self._pieces: list[str] = []

    def append(self, arguments: str) -> None:
        if arguments:
            self._pieces.append(arguments)

    def arguments(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def is_empty(self) -> bool:
        return not self._pieces

    def is_complete(self) -> bool:
        return bool(self._pieces) and self._pieces[-1].endswith("}") and _is_object(self.arguments())


def _is_object(arguments: str) -> bool:
    """Return whether this is one complete JSON object."""
    if not (arguments.startswith("{") and arguments.endswith("}")):
        return False
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
