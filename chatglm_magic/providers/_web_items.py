"""What chatglm.cn's servers did beside writing: content items other than growing strings, as parts.

All of these are things the *server* executed; none is a call for a tool of ours.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec

from .._events import Part, Source

_UNREADABLE = (ValueError, RecursionError)


def read_items(kind: str, key: str, items: list[dict[str, Any]], meta: object) -> tuple[Part, ...]:
    """Read the items of one type in one part; what is still empty gives nothing.

    Args:
        kind: The items' type.
        key: The wire's key of the part.
        items: At least one.
        meta: The part's `meta_data`, where search results are.
    """
    read = _READERS.get(kind)
    parts = [Part("unknown", raw=item) for item in items] if read is None else _read(read, items, _object(meta))
    return tuple(replace(part, id=f"{key}#{n + 1}" if n else key) for n, part in enumerate(parts))


def is_known(kind: str) -> bool:
    """Tell whether items of this type can be read."""
    return kind in _READERS


def _read(read: Any, items: list[dict[str, Any]], meta: dict[str, Any]) -> list[Part]:  # noqa: ANN401 - see _READERS
    parts: list[Part] = []
    for item in items:
        parts += [part for part in read(item, meta) if part not in parts]  # output is sent twice at times
    return parts


def _output(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    content = _words(item.get("content"))
    return [Part("execution_output", content)] if content else []


def _tool_output(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    content = _words(item.get("content"))
    return [Part("server_tool", content)] if content else []


def _notice(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    content = _words(item.get("content"))
    return [Part("notice", content)] if content else []


def _image(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    urls = [_object(image).get("image_url") for image in _list(item.get("image"))]
    safe = tuple(url for url in urls if isinstance(url, str) and url.lower().startswith(("http://", "https://")))
    return [Part("image", urls=safe)] if safe else []


def _quotes(_: dict[str, Any], meta: dict[str, Any]) -> list[Part]:
    sources = _sources(meta.get("metadata_list"))
    return [Part("search", sources=sources)] if sources else []


def _page(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    """Read one page that the browser tool opened: JSON, as a rule inside a string."""
    content = _parsed(item.get("content"))
    sources = _sources(content if isinstance(content, list) else [content])
    if sources:
        return [Part("search", sources=sources)]
    words = _words(content)
    return [Part("search", words)] if words else []


def _calls(item: dict[str, Any], _: dict[str, Any]) -> list[Part]:
    """Read calls: one object, several, or either of these as JSON text; `{}` is an empty marker."""
    calls = _parsed(item.get("tool_calls"))
    parts = []
    for call in map(_object, calls if isinstance(calls, list) else [calls]):
        name, arguments = _words(call.get("name")), _words(call.get("arguments"))
        if name or arguments:
            parts.append(Part("server_tool", name=name, arguments=arguments))
    return parts


def _result(item: dict[str, Any], meta: dict[str, Any]) -> list[Part]:
    """Read a tool's answer: what a search found, else its words."""
    extra = _object(meta.get("tool_result_extra"))
    sources = _sources(extra.get("search_results"))
    if sources:
        return [Part("search", sources=sources)]
    result = item.get("tool_result")
    content = _words(result.get("content") if isinstance(result, dict) else result)
    return [Part("server_tool", content, name=_words(extra.get("tool_call_name")))] if content else []


_READERS = {
    "execution_output": _output,
    "function_result": _tool_output,
    "rag_slices": _tool_output,
    "image": _image,
    "quote_result": _quotes,
    "browser_result": _page,
    "tool_calls": _calls,
    "tool_result": _result,
    "system_error": _notice,
}


def _sources(pages: object) -> tuple[Source, ...]:
    found = []
    for page in map(_object, _list(pages)):
        title, url, key = (_words(page.get(name)) for name in ("title", "url", "match_key"))
        if title or url:
            found.append(Source(title, url, key))
    return tuple(found)


def _parsed(value: object) -> object:
    """Read JSON out of a string; any other value, and a string that is none, as it is."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except _UNREADABLE:
            return value
    return value


def _words(value: object) -> str:
    """Give text as it is, nothing for nothing, anything else as JSON."""
    if value is None or value in ({}, []):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
