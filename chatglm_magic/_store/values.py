"""What the store gives and takes: threads, hits, and messages as rows; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from .._events import Part, Source, Usage
from .._said import Said
from .._values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A conversation as it is kept.

    Attributes:
        id: The conversation's id.
        name: What the user calls it; several may have one name.
        created: When it began, in seconds since the epoch.
        updated: When it was last changed, likewise.
        settings: What is set for it: plain values by name, those of `Chat`.
        number: What people call it exactly, written `#12`; 0 before it is kept.
        count: How many messages it holds, in all versions.
        title: How its first question begins.
    """

    id: str
    name: str = ""
    created: float = 0.0
    updated: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0
    count: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A message in which something was found.

    Attributes:
        thread: Where it was said.
        said_id: The message.
        role: Who said it.
        snippet: The words around the first hit, on one line; plain text, from a model perhaps.
        marks: Where the hits are in the snippet: from, to.
        created: When it was said, in seconds since the epoch.
    """

    thread: Thread
    said_id: str
    role: str
    snippet: str
    marks: tuple[tuple[int, int], ...]
    created: float


Row = dict[str, Any]
"""A message as it is written: one value for each column of `said` but number, thread and place."""

_REST = ("elapsed", "first_event", "thinking_seconds", "error")
_OUR_WARNINGS = "store-"


def row_of(said: Said) -> Row:
    """Give a message as a row, as it is now; later changes of the message do not change it.

    Of an answer that streams, only the words that stood before its reply: what comes is written by itself.
    """
    rest: dict[str, Any] = {name: value for name in _REST if (value := getattr(said, name)) is not None and value != ""}
    if said.usage is not None:
        rest["usage"] = {**_filled(asdict(said.usage)), "raw": dict(said.usage.raw)}
    if said.parts:
        rest["parts"] = [_filled(asdict(part)) for part in said.parts]
    if warnings := [name for name in said.warnings if not name.startswith(_OUR_WARNINGS)]:
        rest["warnings"] = warnings
    return {
        "id": said.id,
        "parent": said.parent,
        "role": said.role,
        "text": said.text,
        "thought": said.thought,
        "created": said.created,
        "cell": said.cell,
        "finish_reason": said.finish_reason,
        "model": said.model,
        "provider": said.provider,
        "key": said.key,
        "rest": json.dumps(rest, default=str),
    }


def said_of(row: Row) -> Said:
    """Give a row's message. What a later version of us may have added is passed over."""
    rest = json.loads(row["rest"])
    usage = rest.get("usage")
    return Said(
        **{name: row[name] for name in row.keys() - {"rest"}},
        **{name: rest[name] for name in _REST if name in rest},
        usage=None if usage is None else Usage(**_known(Usage, usage)),
        parts=tuple(_part(part) for part in rest.get("parts", ())),
        warnings=tuple(rest.get("warnings", ())),
    )


def _part(told: dict[str, Any]) -> Part:
    known = _known(Part, told)
    if "sources" in known:
        known["sources"] = tuple(Source(**_known(Source, source)) for source in known["sources"])
    if "urls" in known:
        known["urls"] = tuple(known["urls"])
    return Part(**known)


def _filled(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in (None, "", (), [])}


def _known(kind: type, told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name in kind.__dataclass_fields__}  # type: ignore[attr-defined]  # dataclasses have them
