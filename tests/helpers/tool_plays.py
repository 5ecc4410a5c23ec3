"""Streams of calls as models and servers send them, and the functions that they ask for: one play for each.

The functions count how often they ran and with what, and `yes` counts what was allowed: the first may never be more
than the second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openai_frames import call, chunk, sse, text

FUNCTIONS = """
import asyncio
RAN, ALLOWED = [], []

def stock(ticker: str) -> dict[str, object]:
    '''Return the price of a share.'''
    RAN.append(f"stock {ticker}")
    return {"ticker": ticker, "price": 3}

def now() -> str:
    '''Return the time.'''
    RAN.append("now")
    return "12:00"

def huge() -> str:
    '''Return a megabyte.'''
    RAN.append("huge")
    return "x" * 1_000_000

def fails() -> None:
    '''Raise.'''
    RAN.append("fails")
    raise ValueError("no such share")

async def later(ticker: str) -> int:
    '''Come later.'''
    await asyncio.sleep(0)
    RAN.append(f"later {ticker}")
    return 5

TOOLS = [stock, now, huge, fails, later]

def yes(asked):
    ALLOWED.append(" ".join([asked.name, *map(str, asked.arguments.values())]))
    return True
"""
"""Run where the functions are to be: a test's own namespace, or a kernel."""
ANSWER = "It is known."


@dataclass(frozen=True)
class Play:
    """What a server sends, round by round, and what comes of it.

    Attributes:
        name: What the play is about.
        streams: The rounds; `ANSWER` follows them, unless the last repeats for ever.
        ran: What runs, in order, where everything is allowed.
        error: The name of the error in which it ends; empty for an answer.
        told: Words that the last request holds.
        endless: Whether the last stream repeats.
    """

    name: str
    streams: tuple[bytes, ...]
    ran: tuple[str, ...] = ()
    error: str = ""
    told: str = ""
    endless: bool = field(default=False)

    def script(self, glm: Any) -> None:
        """Have a server play it."""
        for stream in self.streams:
            glm.replay(stream)
        if not self.endless:
            glm.replay(sse(text(ANSWER), chunk(finish="stop")))


def asks(name: str, arguments: str | Mapping[str, Any] = "{}", index: int = 0, key: str = "a") -> dict[str, Any]:
    """Make a whole call."""
    return call(index, key, name, arguments if isinstance(arguments, str) else json.dumps(arguments))


def calling(*calls: dict[str, Any], said: str = "", finish: str = "tool_calls") -> bytes:
    """Make a stream that asks for functions, each piece of a call in a frame."""
    frames = [text(said)] if said else []
    return sse(*frames, *(chunk({"tool_calls": [one]}) for one in calls), chunk(finish=finish))


_LONG = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TAGS = "<arg_key>ticker</arg_key>\n<arg_value>A</arg_value>"
A, B = asks("stock", {"ticker": "A"}), asks("stock", {"ticker": "B"}, 1, "b")
_CUT = calling(asks("stock", '{"ticker": "A'))
PLAYS = (
    Play("one call", (calling(A),), ("stock A",), told="'price': 3"),
    Play("two in parallel", (calling(A, B),), ("stock A", "stock B")),
    Play("after text", (calling(A, said="Let me look."),), ("stock A",)),
    Play(
        "forty pieces",
        (calling(call(0, "a", "stock"), *(call(0, arguments=one) for one in json.dumps({"ticker": _LONG}))),),
        (f"stock {_LONG}",),
    ),
    Play("an id repeated", (calling(A), calling(asks("now"))), ("stock A", "now")),
    Play("malformed three times", (_CUT, _CUT, _CUT), error="ToolCallError", told="no JSON object"),
    Play("malformed, then mended", (_CUT, calling(A)), ("stock A",)),
    Play("an unknown name", (calling(asks("format_disk")),), told="There is no function"),
    Play("a wrong type", (calling(asks("stock", {"ticker": 5})),), told="Expected `str`"),
    Play("tags in the name", (calling(asks(f"stock{_TAGS}", "")),), ("stock A",)),
    Play("a lost call", (sse(chunk(finish="tool_calls")),)),
    Play("no arguments at all", (calling(asks("now", "")),), ("now",)),
    Play("without an end", (calling(A),), ("stock A",) * 8, error="ToolCallError", endless=True),
    Play("other arguments", (calling(A), calling(B)), ("stock A", "stock B")),
    Play("a huge result", (calling(asks("huge")),), ("huge",), told="left out"),
    Play("one that raises", (calling(asks("fails")),), ("fails",), told="ValueError: no such share"),
    Play("a coroutine", (calling(asks("later", {"ticker": "A"})),), ("later A",)),
    Play(
        "JSON in JSON, ended by stop",
        (calling(asks("stock", json.dumps('{"ticker": "A"}')), finish="stop"),),
        ("stock A",),
    ),
    Play(
        "inside the thinking",
        (sse(chunk({"reasoning_content": f"<tool_call>stock\n{_TAGS}\n</tool_call>"}), chunk(finish="stop")),),
        ("stock A",),
    ),
)
"""Every play: the nineteen together are every fault of GLM's and of real servers that is known."""
