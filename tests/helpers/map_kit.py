"""Maps against a server on loopback that answers by what it is asked, and counts how often each row was."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from glm_script import Recorded, reset, send
from glm_server import FakeGLM

from chatglm_magic._map.engine import Engine
from chatglm_magic._map.gate import Gate
from chatglm_magic._map.kept import Kept
from chatglm_magic._map.question import Question
from chatglm_magic._transport import shared_connections, single_attempts
from chatglm_magic.providers import Settings, make_provider

Behave = Callable[["Asked"], Awaitable[web.StreamResponse | None]]


class Asked:
    """One request as it arrives: which row it asks, and how to answer.

    Attributes:
        row: The word behind `row` in the prompt.
        time: Which time this row is asked, from 1.
        number: Which request this is, from 1.
        together: How many are open at this moment, with this one.
    """

    def __init__(self, server: RowServer, request: web.Request, recorded: Recorded) -> None:
        self.server, self.request, self.recorded = server, request, recorded
        self.prompt: str = recorded.json["messages"][-1]["content"]
        found = re.search(r"row (\w+)", self.prompt)
        self.row = found[1] if found else self.prompt
        server.asked[self.row] += 1
        self.time = server.asked[self.row]
        self.number = sum(server.asked.values())
        self.together = server.open

    async def say(self, text: str, finish: str = "stop") -> web.StreamResponse:
        """Answer with a text and its usage."""
        chunks = (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
        )
        base = {"id": "1", "model": "glm-4.7", "object": "chat.completion.chunk"}
        body = b"".join(b"data: %b\n\n" % json.dumps({**base, **chunk}).encode() for chunk in chunks)

        async def once() -> Any:
            yield body + b"data: [DONE]\n\n"

        return await send(self.request, once())

    async def refuse(self, status: int, code: str, **headers: str) -> web.StreamResponse:
        """Refuse with one of the platforms' codes."""
        body = {"error": {"code": code, "message": f"refused with {code}"}}
        return web.json_response(body, status=status, headers=headers)

    async def reset_within(self) -> web.StreamResponse:
        """Begin an answer, and break off."""

        async def half() -> Any:
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
            await reset(self.request)

        return await send(self.request, half())

    async def reset(self) -> web.StreamResponse:
        """Reset the connection."""
        await reset(self.request)
        raise AssertionError


class RowServer:
    """Answers each row with `answer to ROW`, unless `behave` does something else.

    Attributes:
        asked: How often each row was asked.
        open: How many requests are open now.
        most: The most of them at any time.
        delay: Seconds before an answer.
    """

    def __init__(self, glm: FakeGLM, behave: Behave | None = None, delay: float = 0.0) -> None:
        self.glm = glm
        self.asked: Counter[str] = Counter()
        self.open = self.most = 0
        self.delay = delay
        self.lock = threading.Lock()
        self._behave = behave
        glm.script(self._serve)

    @property
    def url(self) -> str:
        return self.glm.url

    @property
    def requests(self) -> int:
        return sum(self.asked.values())

    async def _serve(self, request: web.Request, recorded: Recorded) -> web.StreamResponse:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            asked = Asked(self, request, recorded)
            if self.delay:
                await asyncio.sleep(self.delay)
            if self._behave is not None and (response := await self._behave(asked)) is not None:
                return response
            return await asked.say(f"answer to {asked.row}")
        finally:
            self.open -= 1


def answers(rows: Iterable[object]) -> list[str]:
    """Return what `RowServer` answers to rows."""
    return [f"answer to {row}" for row in rows]


def engine(url: str, rows: Iterable[Any], *, gate: Gate | None = None, kept: Kept | None = None, **how: Any) -> Engine:
    """Make an engine that asks a server about rows."""
    stage = how.pop("stage", None) or make_provider("openai", Settings(base_url=url)).stream
    question = how.pop("question", None) or Question("What of row {it}?", model="glm-4.7")
    numbered = ((number, number, row) for number, row in enumerate(rows))
    return Engine(question, stage, numbered, gate=gate or quick_gate(), kept=kept, **how)


def quick_gate(**how: Any) -> Gate:
    """Make a gate whose waits do not keep a test waiting."""
    return Gate(**{"first_wait": 0.005, **how})


def run(made: Engine, seconds: float = 30.0) -> Engine:
    """Run an engine to its end in a loop of its own."""

    async def main() -> None:
        async with asyncio.timeout(seconds), shared_connections(64):
            with single_attempts():
                await made.run()

    asyncio.run(main())
    return made


def values(made: Engine) -> list[Any]:
    """Return the values of an engine's rows, in the input's order."""
    return [made.rows[position].value for position in sorted(made.rows)]
