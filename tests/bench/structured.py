"""What structured answers cost.

    python -m tests.bench.structured [--only partial|stream] [--runs N]

`partial`: a list of papers, 1 MB of JSON, comes in pieces of four characters, and what is complete is asked for as
often as at 20 values a second where all of it comes within some seconds. Milliseconds of processor time, the least of
the runs; on two cores of 2026, Python 3.11, with jiter 0.19:

    values   PartialJson   Schema.partial (validates)   jiter, all of it again for each value
        20            55                           95                                      60
       100            55                           94                                     164
       400            57                           99                                     578

So jiter is no dependency: it has no memory, and reads for each value what it has read before. Reading the finished
text once takes 2 ms with `json`, 17 ms with `Schema.read`, which checks it.

`stream`: the same answer over HTTP, in frames of four characters: 101 ms of processor time as text, 188 ms as a value,
1.9 times as much.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

from chatglm_magic import Chat, Reply
from chatglm_magic._schema.partial import PartialJson
from chatglm_magic._schema.schema import Schema

PIECE = 4
VALUES = (20, 100, 400)


@dataclasses.dataclass
class Paper:
    """What the answer is a list of."""

    title: str
    year: int
    authors: list[str]
    abstract: str


class Reader(Protocol):
    """Reads JSON that comes in pieces."""

    @property
    def value(self) -> Any: ...

    def feed(self, text: str) -> None: ...


class Jiter:
    """jiter's partial mode over all that has come."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._read = importlib.import_module("jiter").from_json

    def feed(self, text: str) -> None:
        self._text += text.encode()

    @property
    def value(self) -> Any:
        return self._read(bytes(self._text), partial_mode=True)


def answer(size: int) -> str:
    """Return an answer of about that many bytes."""
    abstract = "词语 and words " * 12
    one = len(
        json.dumps(dataclasses.asdict(Paper("Paper 1000", 1999, ["Li", "Wang"], abstract)), ensure_ascii=False).encode()
    )
    papers = [Paper(f"Paper {n}", 1990 + n % 30, ["Li", "Wang"], abstract) for n in range(size // one)]
    return json.dumps({"items": [dataclasses.asdict(paper) for paper in papers]}, ensure_ascii=False)


def least(runs: int, work: Callable[[], object]) -> float:
    """Return the milliseconds of processor time that some work takes."""
    taken = []
    for _ in range(runs):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return 1000 * min(taken)


def read_in_pieces(reader: Reader, text: str, values: int) -> Any:
    """Feed a text and ask for the value as often as told; return the last one."""
    every = len(text) // PIECE // values
    for number, at in enumerate(range(0, len(text), PIECE)):
        reader.feed(text[at : at + PIECE])
        if number % every == 0 and at:
            _ = reader.value
    return reader.value


def partial(runs: int) -> None:
    """Print what values of an unfinished answer cost."""
    text = answer(1_000_000)
    schema = Schema.of(list[Paper])
    readers: dict[str, Callable[[], Reader]] = {"PartialJson": PartialJson, "Schema.partial": schema.partial}
    if find_spec("jiter"):
        readers["jiter"] = Jiter
    print(f"{len(text):,} characters, {len(text.encode()):,} bytes, in pieces of {PIECE}; ms of processor time")
    print(f"once, json        {least(runs, lambda: json.loads(text)):8.1f}")
    print(f"once, Schema.read {least(runs, lambda: schema.read(text)):8.1f}")
    for values in VALUES:
        for name, make in readers.items():
            taken = least(runs, lambda make=make, values=values: read_in_pieces(make(), text, values))
            print(f"{values:5} values  {name:15} {taken:8.1f}")


def serve() -> None:
    """Answer each question with the same papers, one frame for each piece, from a process of its own."""
    from aiohttp import web

    text = answer(1_000_000)
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    frames = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = b"".join(b"data: %s\n\n" % json.dumps(frame, ensure_ascii=False).encode() for frame in frames)
    body += b"data: [DONE]\n\n"

    async def answered(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for at in range(0, len(body), 65536):
            await response.write(body[at : at + 65536])
        return response

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answered)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(run())


def stream(runs: int) -> None:
    """Print what the same answer costs as text and as a value, over HTTP, in turns."""
    command = [sys.executable, "-m", "tests.bench.structured", "--only", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        chat = Chat("openai", base_url=f"http://127.0.0.1:{server.stdout.readline().strip()}/v1", model="m")
        taken: dict[str, list[float]] = {"text": [], "value": []}
        for _ in range(runs):
            for name, schema in (("text", None), ("value", list[Paper])):
                taken[name].append(least(1, lambda schema=schema: asyncio.run(_listen(chat, schema))))
        server.stdin.close()
    text, value = min(taken["text"]), min(taken["value"])
    print(f"as text {text:8.0f}\nas a value {value:5.0f}   {value / text:.2f} times the text")


async def _listen(chat: Chat, schema: object) -> None:
    reply = Reply()
    async for _ in chat.stream("Which papers?", schema=schema, reply=reply, remember=False):
        pass
    assert schema is None or len(reply.value) > 1000


PARTS = {"partial": partial, "stream": stream}


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*PARTS, "serve"])
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if given.only == "serve":
        serve()
    for name, part in PARTS.items():
        if given.only in {None, name}:
            part(given.runs)


if __name__ == "__main__":
    main()
