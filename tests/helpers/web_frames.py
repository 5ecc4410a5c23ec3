"""Frames of chatglm.cn for tests, and what a decoder makes of them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings

from chatglm_magic._errors import ProviderError
from chatglm_magic._events import Event, Finished, Replace, TextDelta, ThinkingDelta
from chatglm_magic._reply import Reply
from chatglm_magic.providers.chatglm.decoder import WebDecoder
from chatglm_magic.providers.openai.errors import RequestInfo

many = settings(max_examples=int(os.environ.get("TEST_EXAMPLES", "100")), deadline=None)
"""How often a property is tried: 100 times, or `TEST_EXAMPLES` times for a long run by hand."""

INFO = RequestInfo("chatglm", "", "chatglm.cn")
HEAD = {"id": "m1", "conversation_id": "c1", "assistant_id": "a1"}


@dataclass
class Outcome:
    reply: Reply
    error: ProviderError | None
    events: list[Event]
    feeds: list[list[Event]] = field(default_factory=list)


def item(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, kind: value}


def part(key: str | None, *items: dict[str, Any], status: str = "init", **more: Any) -> dict[str, Any]:
    named = {} if key is None else {"logic_id": key}
    return {"id": "m1", **named, "role": "assistant", "content": list(items), "model": "moe", "status": status, **more}


def text(key: str, words: str, status: str = "init") -> dict[str, Any]:
    return part(key, item("text", words), status=status)


def frame(*parts: dict[str, Any], status: str = "init", **more: Any) -> dict[str, Any]:
    time = "2026-09-30 08:00:00"
    return {**HEAD, "parts": list(parts), "created_at": time, "status": status, "last_error": {}, **more}


def sse(
    *frames: object,
    ascii_only: bool = False,
    compact: bool = True,
    end: str = "\n",
    before: str = "event: message\ndata: ",
) -> bytes:
    """Write frames as events.

    Args:
        frames: JSON values.
        ascii_only: Whether other characters are escaped.
        compact: Whether there are no blanks between values.
        end: The line end.
        before: What precedes the JSON, with LF.
    """
    separators = (",", ":") if compact else (", ", ": ")
    written = (json.dumps(one, ensure_ascii=ascii_only, separators=separators) for one in frames)
    return "".join(f"{before}{one}\n\n".replace("\n", end) for one in written).encode("utf-8", "surrogatepass")


BEFORE = [f"{line}data:{blanks}" for line in ("event: message\n", "event:message\n", "") for blanks in ("", " ", "  ")]
"""What was seen to precede the JSON of an event, and what might."""
FINISH = frame(status="finish")


def decode(chunks: bytes | Iterable[bytes]) -> Outcome:
    """Decode a stream to its end, checking what holds for each: no empty delta, one `Finished`, last."""
    decoder = WebDecoder(INFO)
    feeds = [decoder.feed(chunk) for chunk in ([chunks] if isinstance(chunks, bytes) else chunks)]
    feeds.append(decoder.close())
    events = [event for feed in feeds for event in feed]
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    assert not any(isinstance(event, (TextDelta, ThinkingDelta)) and not event.text for event in events)
    reply = Reply()
    for event in events:
        reply.add(event)
    return Outcome(reply, decoder.error, events, feeds)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places, counted modulo their number."""
    borders = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:stop] for start, stop in itertools.pairwise(borders)]


def joined(events: Iterable[Event]) -> list[Event]:
    """Join neighbouring deltas, and of neighbouring corrections keep the last: what a reader sees."""
    out: list[Event] = []
    for event in events:
        match out[-1] if out else None, event:
            case TextDelta(before), TextDelta(words):
                out[-1] = TextDelta(before + words)
            case ThinkingDelta(before), ThinkingDelta(words):
                out[-1] = ThinkingDelta(before + words)
            case Replace(), Replace():
                out[-1] = event
            case _:
                out.append(event)
    return out
