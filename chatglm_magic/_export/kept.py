"""A conversation as JSON: all that was said, in all versions, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Literal

import msgspec

from .._errors import ConfigError
from .._events import Part, Reason, Usage
from .._said import Said
from .._tree import Tree
from .stamp import BLANK, stamped

_FORMAT = "chatglm_magic conversation"
_VERSION = 1
_LARGEST = 200_000_000
"""Bytes of a file that is read: more is none of ours."""
_EMPTY: tuple[object, ...] = ("", None, [], ())


class _Message(msgspec.Struct):
    """A message as it stands in a file; see `Said` for what each field means."""

    role: Literal["user", "assistant"]
    id: str
    content: str = ""
    thinking: str = ""
    parent: str = ""
    created: float = 0.0
    cell: str = ""
    finish_reason: Reason | None = None
    model: str = ""
    provider: str = ""
    usage: Usage | None = None
    elapsed: float = 0.0
    first_event: float | None = None
    thinking_seconds: float = 0.0
    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    key: str = ""


class _File(msgspec.Struct):
    """A file; what a later version of us may add is passed over."""

    format: str
    version: int
    messages: list[_Message]
    title: str = ""
    chosen: dict[str, str] = {}


def to_json(title: str, said: Tree | Sequence[Said]) -> str:
    """Write a conversation as JSON: of a tree, all versions and which of them are shown."""
    told = {
        "format": _FORMAT,
        "version": _VERSION,
        "written": BLANK,
        "title": title,
        "chosen": said.chosen if isinstance(said, Tree) else {},
        "messages": [_told(one) for one in said],
    }
    return stamped(json.dumps(told, indent=1, ensure_ascii=False, default=str) + "\n")


def _told(said: Said) -> dict[str, Any]:
    """Give a message's fields other than those that are empty; of one that streams, what has come."""
    told = {name: getattr(said, name) for name in _Message.__struct_fields__}
    told["usage"] = said.usage and {**asdict(said.usage), "raw": dict(said.usage.raw)}
    told["parts"] = [_filled(part) for part in said.parts]
    if said.streams:
        told["finish_reason"] = "interrupted"
    return {name: value for name, value in told.items() if value not in _EMPTY and _is_finite(value)}


def _filled(part: Part) -> dict[str, Any]:
    plain = {field.name: None if field.default is MISSING else field.default for field in fields(part)}
    return {name: value for name, value in asdict(part).items() if value != plain[name]}


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def read_json(source: Path | str) -> tuple[str, Tree]:
    """Read what `to_json` wrote.

    Args:
        source: The file, or its text.

    Returns:
        The title, and all that was said with the versions that were shown.

    Raises:
        ConfigError: This is no such file, or a newer one than this version reads.
        OSError: The file cannot be read.
    """
    name = str(source) if isinstance(source, Path) else "This text"
    if isinstance(source, Path) and source.stat().st_size > _LARGEST:
        msg = f"{name} is too large for a conversation."
        raise ConfigError(msg)
    try:
        told = msgspec.json.decode(source.read_bytes() if isinstance(source, Path) else source, type=_File)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        msg = f"{name} is not a conversation that %chatglm save has written: {error}"
        raise ConfigError(msg) from None
    if told.format != _FORMAT or told.version > _VERSION:
        what = "was written by a newer version" if told.format == _FORMAT else "is not a conversation of ours"
        msg = f"{name} {what}: format {told.format!r}, version {told.version}."
        raise ConfigError(msg)
    tree = Tree()
    for one in told.messages:
        if not one.id or tree.get(one.id):
            msg = f"{name} is damaged: two messages have the id {one.id!r}."
            raise ConfigError(msg)
        tree.add(_said(one))
    tree.chosen.update(told.chosen)
    return told.title, tree


def _said(told: _Message) -> Said:
    kept = {name: getattr(told, name) for name in told.__struct_fields__}
    return Said(text=kept.pop("content"), thought=kept.pop("thinking"), **kept)
