"""A conversation as JSON, with all versions of its messages, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .._conversation.message_node import MessageNode
from .._conversation.tree import MessageTree
from .._errors import ConfigError
from .._language import marked, tr
from .markdown import STAMP

_FORMAT = "chatglm_magic conversation"
_VERSION = 1
_MOST_BYTES = 200_000_000
"""A larger file is not read."""


class _File(msgspec.Struct):
    """The contents of a file. Fields that a later version may add are ignored, in messages too.

    Attributes:
        format: `_FORMAT`.
        version: `_VERSION`; a file of a higher one is refused.
        written: The stamp.
        title: The conversation's name.
        chosen: As in `MessageTree`.
        messages: Each message after its parent.
    """

    format: str
    version: int
    written: str = ""
    title: str = ""
    chosen: Mapping[str, str] = {}
    messages: Sequence[MessageNode] = ()


def to_json(title: str, nodes: MessageTree | Sequence[MessageNode]) -> str:
    """Return a conversation as JSON; of a tree, with all versions. An answer that streams is saved as interrupted."""
    chosen = nodes.chosen if isinstance(nodes, MessageTree) else {}
    file = _File(_FORMAT, _VERSION, STAMP, title, chosen, [_plain(node) for node in nodes])
    return json.dumps(msgspec.to_builtins(file, enc_hook=str), indent=1, ensure_ascii=False, default=str) + "\n"


def _plain(node: MessageNode) -> MessageNode:
    """Return a copy of a message with nothing but plain values: a reply is settled as if it had been stopped now."""
    copy = msgspec.structs.replace(node)
    copy.settle()
    if node.streaming:
        copy.finish_reason = "interrupted"
    copy.replayed = None
    return copy


def read_json(source: Path | str) -> tuple[str, MessageTree]:
    """Return the title and the messages that `to_json` has written to a file, or as a text.

    Raises:
        ConfigError: It is no such file, a damaged one, or one of a later version.
        OSError: The file cannot be read.
    """
    name = str(source) if isinstance(source, Path) else tr("This text")
    if isinstance(source, Path) and source.stat().st_size > _MOST_BYTES:
        raise ConfigError(tr("{name} is too large for a conversation.", name=name))
    try:
        file = msgspec.json.decode(source.read_bytes() if isinstance(source, Path) else source, type=_File)
    except (ValueError, RecursionError) as error:
        message = tr("{name} is not a conversation that %chatglm save has written: {error}", name=name, error=error)
        raise ConfigError(message) from None
    if file.format != _FORMAT or file.version > _VERSION:
        if file.format == _FORMAT:
            sentence = marked("{name} was written by a newer version: format {format!r}, version {version}.")
        else:
            sentence = marked("{name} is not a conversation of ours: format {format!r}, version {version}.")
        raise ConfigError(tr(sentence, name=name, format=file.format, version=file.version))
    tree = MessageTree()
    for node in file.messages:
        if not node.id or tree.get(node.id):
            raise ConfigError(tr("{name} is damaged: two messages have the id {id!r}.", name=name, id=node.id))
        tree.add(node)
    tree.chosen.update(file.chosen)
    return file.title, tree
