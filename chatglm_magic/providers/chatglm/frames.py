"""One frame of chatglm.cn's stream, as values; no I/O.

The wire is undocumented. This is what was recorded of it: one JSON object in every event,

    {"id": "<message>", "conversation_id": "<24 hex digits>", "assistant_id": "…", "created_at": "2026-09-30 08:00:00",
     "status": "init", "last_error": {},
     "parts": [{"id": "<message>", "logic_id": "<part>", "role": "assistant", "model": "moe_53f", "status": "init",
                "meta_data": {}, "content": [{"type": "text", "text": "你好"}]}]}

- `status` is `init` while the reply grows, then `finish`, `intervene` (cut by moderation) or `error`.
- `last_error` is null, `{}`, or an object with `intervene_text`, or with `error_code` or `code` and `err_msg` or
  `message`.
- `parts` is empty in the opening frame; later it holds the parts that changed, or all of them.
- A content item of type `text`, `think` or `code` is one string, under the type's own name. `READERS` has the other
  types. The tools named there are run by the server; none is ours to call.
- There are no token counts.

Frames also come with nulls, values of other types, half a surrogate pair, bare control characters, or cut short with
the next frame on the same line. So a frame is read typed and fast where that works, and else by `read_pieces`, which
also finds complete frames behind a broken one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from ..._events import Part, PartKind, Source
from ..openai.wire import json_text, read_pieces, scrub

GROWING: Mapping[str, PartKind] = {"text": "text", "think": "thinking", "code": "code"}
"""The types of content items that are one growing string, and our names for them."""

_UNREADABLE = (ValueError, RecursionError)


class WirePart(msgspec.Struct):
    """One part as sent; content items stay JSON objects, because their types are open-ended."""

    logic_id: Any = None
    id: Any = None
    status: Any = None
    model: Any = None
    meta_data: Any = None
    content: list[dict[str, Any]] | None = None

    def by_type(self) -> dict[str, list[dict[str, Any]]]:
        """Return the content items of each type."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for item in self.content or ():
            kind = item.get("type")
            groups.setdefault(kind if isinstance(kind, str) else "", []).append(item)
        return groups


class Frame(msgspec.Struct):
    """One frame as sent, or the JSON envelope of a refusal in place of one."""

    id: Any = None
    conversation_id: Any = None
    status: Any = None
    last_error: Any = None
    parts: list[WirePart] | None = None
    code: Any = None
    message: Any = None
    validation_error: Any = None

    def envelope(self) -> dict[str, Any] | None:
        """Return the refusal in place of a frame: its status is a number; None if this is a frame."""
        status = self.status if type(self.status) is int else None
        if self.parts is not None or not (status or self.code or self.validation_error):
            return None
        envelope = {"status": status, "code": self.code, "message": self.message}
        return envelope | {"validation_error": self.validation_error}

    def keyed_parts(self) -> list[tuple[str, WirePart]]:
        """Return the parts with their keys: the logic id, else the id, else the position.

        Parts without a logic id may all bear the message's id; the second of them is `id#2`.
        """
        pairs: list[tuple[str, WirePart]] = []
        bearers: dict[str, int] = {}
        for position, part in enumerate(self.parts or ()):
            key = _key(part.logic_id)
            if not key:
                key = _key(part.id) or str(position)
                bearers[key] = count = bearers.get(key, 0) + 1
                key = f"{key}#{count}" if count > 1 else key
            pairs.append((key, part))
        return pairs


class Reading(msgspec.Struct):
    """What could be read of an event's data.

    Attributes:
        frames: The frames: as a rule one.
        clean: Whether the data are exactly one frame, in well-formed JSON.
        broken: Whether something could not be read.
    """

    frames: list[Frame]
    clean: bool = False
    broken: bool = False


_decode_frame = msgspec.json.Decoder(Frame).decode


def read_frames(data: bytes) -> Reading:
    """Read an event's data; never raises, whatever the bytes."""
    try:
        return Reading([_decode_frame(data)], clean=True)
    except _UNREADABLE:
        pieces = read_pieces(data, keep_halves=True)
    values = [(one, piece.cut) for piece in pieces for one in _list(piece.value) or [piece.value]]
    frames: list[Frame] = []
    for value, cut in values:
        with suppress(RecursionError):
            if isinstance(value, dict) and not cut:
                frames.append(_frame(value))
    return Reading(frames, broken=len(frames) < len(values))


def whole_answer(body: bytes) -> bytes:
    """Return the event that a document stands for; none if it is no frame with parts."""
    return b"data: %b\n\n" % body.replace(b"\n", b" ") if any(one.parts for one in read_frames(body).frames) else b""


def _frame(value: dict[str, Any]) -> Frame:
    """Return a JSON object as a frame, without what is no part.

    Halves of surrogate pairs are kept in growing strings, for the other half may come; elsewhere they become U+FFFD.
    """
    parts = value.pop("parts", None)
    frame = msgspec.convert(scrub(value), Frame)
    if isinstance(parts, list):
        frame.parts = [_part(part) for part in parts if isinstance(part, dict)]
    return frame


def _part(value: dict[str, Any]) -> WirePart:
    content = value.pop("content", None)
    part = msgspec.convert(scrub(value), WirePart)
    if isinstance(content, list):
        part.content = [
            {
                name: field if name in GROWING and isinstance(field, str) else scrub(field)
                for name, field in item.items()
            }
            for item in content
            if isinstance(item, dict)
        ]
    return part


def _key(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) else ""


# Content items that do not grow


def read_items(kind: str, key: str, items: list[dict[str, Any]], meta: object) -> tuple[Part, ...]:
    """Read the items of one type in one part; an item that is still empty gives no part.

    Args:
        kind: The items' type.
        key: The key of the part on the wire.
        items: At least one.
        meta: The part's `meta_data`, where sources are.
    """
    parts: list[Part] = []
    for item in items:
        found = READERS[kind](item, _object(meta)) if kind in READERS else [Part("unknown", raw=item)]
        parts += [one for one in found if one.kind == "unknown" or one not in parts]  # output is at times sent twice
    return tuple(replace(part, id=f"{key}#{number}" if number > 1 else key) for number, part in enumerate(parts, 1))


def _content(kind: PartKind, value: object, name: str = "") -> list[Part]:
    """Return content that may be empty; it may begin with a line end, which stays."""
    content = _text(value)
    return [Part(kind, content, name=name)] if content else []


def _search(pages: object) -> list[Part]:
    """Return the pages of a search; the text cites one by its `match_key`, as in 【turn0search0】."""
    sources = []
    for page in map(_object, _list(pages)):
        title, url, key = (_text(page.get(name)) for name in ("title", "url", "match_key"))
        if title or url:
            sources.append(Source(title, url, key))
    return [Part("search", sources=tuple(sources))] if sources else []


def _image(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    urls = [_object(image).get("image_url") for image in _list(item.get("image"))]
    safe = tuple(url for url in urls if isinstance(url, str) and url.lower().startswith(("http://", "https://")))
    return [Part("image", urls=safe)] if safe else []


def _page(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    """Read one page that the browser tool opened: JSON, as a rule inside a string."""
    content = _parsed(item.get("content"))
    return _search(content if isinstance(content, list) else [content]) or _content("search", content)


def _calls(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    """Read calls: an object, a list of them, or either as JSON text; `{}` is an empty marker."""
    calls = _parsed(item.get("tool_calls"))
    parts = []
    for call in map(_object, calls if isinstance(calls, list) else [calls]):
        name, arguments = _text(call.get("name")), _text(call.get("arguments"))
        if name or arguments:
            parts.append(Part("server_tool", name=name, arguments=arguments))
    return parts


def _result(item: dict[str, Any], meta: dict[str, Any]) -> list[Part]:
    """Read a tool's answer: what a search found, else its words."""
    extra, result = _object(meta.get("tool_result_extra")), item.get("tool_result")
    content = result.get("content") if isinstance(result, dict) else result
    name = _text(extra.get("tool_call_name"))
    return _search(extra.get("search_results")) or _content("server_tool", content, name)


READERS: Mapping[str, Callable[[dict[str, Any], dict[str, Any]], list[Part]]] = {
    "execution_output": lambda item, _: _content("execution_output", item.get("content")),
    "function_result": lambda item, _: _content("server_tool", item.get("content")),
    "rag_slices": lambda item, _: _content("server_tool", item.get("content")),
    "system_error": lambda item, _: _content("notice", item.get("content")),
    "image": _image,
    "quote_result": lambda _, meta: _search(meta.get("metadata_list")),
    "browser_result": _page,
    "tool_calls": _calls,
    "tool_result": _result,
}
"""By type: the reader of an item, given its part's `meta_data` too."""


def _parsed(value: object) -> object:
    """Read JSON out of a string; return any other value, and a string that is no JSON, as it is."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except _UNREADABLE:
            return value
    return value


def _text(value: object) -> str:
    """Return text as it is, nothing for nothing, anything else as JSON."""
    if value is None or value in ({}, []):
        return ""
    return value if isinstance(value, str) else json_text(value)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
