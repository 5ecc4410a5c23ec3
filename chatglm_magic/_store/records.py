"""What the store takes and returns: conversations, search hits, and messages as rows of its file; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from .._conversation.message_node import MessageNode
from .._language import marked, tr

COLUMNS = ("id", "parent", "role", "content", "thinking", "created", "cell", "finish_reason", "key")
"""The encoded fields of a `MessageNode` that are columns of the table `message`; `details` has all others, as JSON."""

Row = dict[str, Any]
"""A message as it is written: a value for each of `COLUMNS`, its `details`, and the bytes of its `blobs` by SHA-256."""

_STORE_WARNINGS = "store-"
_UNREADABLE = marked("Another version of chatglm_magic stored this answer; what came with its text cannot be read.")


class AnswerRow(msgspec.Struct, frozen=True, gc=False):
    """The answer that a row of a map was given.

    Attributes:
        text: As the model wrote it.
        finish_reason: Why it ended.
        tokens: Tokens read and written; 0 where the service did not say.
        seconds: How long it took.
        warnings: Short names of oddities in its stream that were tolerated.
    """

    text: str
    finish_reason: str = "stop"
    tokens: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """The rows that a map has asked.

    Attributes:
        id: An id that no other batch has.
        created: When it began, in seconds since the epoch.
        prompt: The prompt with its places for a row's value.
        model: The model that was asked, for people to read.
    """

    id: str
    created: float
    prompt: str
    model: str


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A stored conversation.

    Attributes:
        id: The conversation's id.
        name: The name that the user gave it; several may have the same one.
        created: When it was first stored, in seconds since the epoch.
        updated: When it was last changed, likewise.
        settings: Its settings, see `recorder.settings_of`.
        number: Its number, which users write as `#12`; 0 before it is stored.
        count: How many messages it holds, in all versions.
        title: The beginning of its first question.
    """

    id: str
    name: str = ""
    created: float = 0.0
    updated: float = 0.0
    settings: Mapping[str, Any] = {}
    number: int = 0
    count: int = 0
    title: str = ""


class Hit(msgspec.Struct, frozen=True):
    """A message that a search has found.

    Attributes:
        thread: Its conversation.
        message_id: Its id.
        role: Its author.
        snippet: The text around the first match, on one line; plain text, which a model may have written.
        marks: The start and the end of each match in the snippet.
        created: When the message began, in seconds since the epoch.
    """

    thread: Thread
    message_id: str
    role: str
    snippet: str
    marks: tuple[tuple[int, int], ...]
    created: float


def row_of(node: MessageNode) -> Row:
    """Return a copy of a message as a row. What a reply that streams into it has brought is not included."""
    warnings = tuple(name for name in node.warnings if not name.startswith(_STORE_WARNINGS))
    attachments = tuple(msgspec.structs.replace(picture, data=b"") for picture in node.attachments)
    plain = msgspec.structs.replace(node, reply=None, replayed=None, warnings=warnings, attachments=attachments)
    values: dict[str, Any] = msgspec.to_builtins(plain, enc_hook=str)
    row: Row = {name: values.pop(name, "") for name in COLUMNS}
    # Not msgspec's encoder: a model's text may hold halves of surrogate pairs, which only ASCII escapes can express.
    row["details"] = json.dumps(values, default=str)
    row["blobs"] = {picture.sha256: picture.data for picture in node.attachments if picture.sha256}
    return row


def node_of(row: Row) -> MessageNode:
    """Return the message of a row, without the bytes of its pictures. Fields of later versions are ignored."""
    values = {name: row[name] for name in COLUMNS if row[name] != ""}
    try:
        return msgspec.convert({**json.loads(row["details"]), **values}, MessageNode)
    except ValueError:  # a finish reason, or a kind of part, of a later version
        return msgspec.convert({**values, "finish_reason": "error", "error": tr(_UNREADABLE)}, MessageNode)


def size_of(row: Row) -> int:
    """Return about how many characters a row holds."""
    return len(row["content"]) + len(row["thinking"]) + len(row["details"]) + sum(map(len, row["blobs"].values()))


def to_sql(text: str) -> str | bytes:
    """Return a text as SQLite can store it: as bytes if it holds halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_sql(value: Any) -> Any:  # noqa: ANN401 - any value of SQLite's
    """Return a value as it was before `to_sql`."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
