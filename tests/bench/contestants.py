"""Ways to read a chat stream, each an async function that returns (characters of text, seconds to the first piece).

    python -m tests.bench.contestants NAME ORIGIN WIRE TOKENS PAUSE      prints one JSON line of figures

Each runs in a process of its own, after one short warm-up request. The wires are those of `tests.bench.wires`:
`openai`, and all others are chatglm.cn's.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

Outcome = tuple[int, float]
_OPENAI_PATH = "/chat/completions"
_WEB_PATH = "/chatglm/mainchat-api/guest/stream"


async def limit(url: str, wire: str) -> Outcome:
    """Read with aiohttp and orjson, as little as will do: the limit that goals refer to."""
    import aiohttp
    import orjson

    async def lines() -> AsyncIterator[list[bytes]]:
        rest = b""
        async with aiohttp.ClientSession() as session, session.post(url, json={"stream": True}) as response:
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")  # one byte is looked for much faster than two
                yield whole

    return await _count(lines(), orjson.loads, wire)


async def seed(url: str, wire: str) -> Outcome:
    """Read line by line with the standard library's JSON: the loop most providers are written as."""
    import aiohttp

    async def lines() -> AsyncIterator[list[bytes]]:
        async with aiohttp.ClientSession() as session, session.post(url, json={"stream": True}) as response:
            async for line in response.content:
                yield [line]

    return await _count(lines(), json.loads, wire)


async def _count(reads: AsyncIterator[list[bytes]], loads: Callable[[bytes], Any], wire: str) -> Outcome:
    """Count what the data lines of a stream add to the text."""
    started, first, size, seen = time.perf_counter(), 0.0, 0, 0
    async for lines in reads:
        for line in lines:
            if not line.startswith(b"data:") or b"[DONE]" in line[:16]:
                continue
            frame = loads(line[5:])
            if wire == "openai":
                text = frame["choices"][0]["delta"].get("content") or ""
            else:
                text = frame["parts"][-1]["content"][0].get("text", "")
                if wire == "web-delta":
                    text = text if frame["status"] == "init" else ""
                else:
                    text, seen = text[seen:], len(text)
            size += len(text)
            first = first or time.perf_counter() - started
    return size, first


async def ours(url: str, wire: str) -> Outcome:
    """Read through our provider, to typed events."""
    from chatglm_magic import Message, Request
    from chatglm_magic.providers import Settings, make_provider

    provider = make_provider("openai" if wire == "openai" else "chatglm", Settings(base_url=_base(url)))
    return await _add(provider.stream(Request((Message("user", "hello"),), model="glm-4.7")))


async def ours_chat(url: str, wire: str) -> Outcome:
    """Read the events of a whole Chat."""
    from chatglm_magic import Chat

    chat = Chat("openai" if wire == "openai" else "chatglm", base_url=_base(url), model="glm-4.7")
    return await _add(chat.stream("hello"))


async def ours_generator(url: str, _: str) -> Outcome:
    """Read the strings of the generator that g4f's callers know."""
    from chatglm_magic import ChatGLM

    started, first, size = time.perf_counter(), 0.0, 0
    messages = [{"role": "user", "content": "hello"}]
    pieces = ChatGLM.create_async_generator("glm-4", messages, base_url=_base(url))
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, str):
                size += len(piece)
                first = first or time.perf_counter() - started
    return size, first


async def _add(stream: Any) -> Outcome:
    from chatglm_magic import TextDelta

    started, first, size = time.perf_counter(), 0.0, 0
    async with aclosing(stream) as events:
        async for event in events:
            if type(event) is TextDelta:
                size += len(event.text)
                first = first or time.perf_counter() - started
    return size, first


async def openai_sdk(url: str, wire: str) -> Outcome:
    """Read with the openai package, if it is installed."""
    import openai

    client = openai.AsyncOpenAI(base_url=url.removesuffix(_OPENAI_PATH), api_key="none")
    started, first, size = time.perf_counter(), 0.0, 0
    stream = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
    async for chunk in stream:
        size += len(chunk.choices[0].delta.content or "")
        first = first or time.perf_counter() - started
    return size, first


CONTESTANTS: dict[str, Callable[[str, str], Awaitable[Outcome]]] = {
    "limit": limit,
    "seed": seed,
    "ours": ours,
    "ours_chat": ours_chat,
    "ours_generator": ours_generator,
    "openai_sdk": openai_sdk,
}


def _url(origin: str, wire: str, tokens: int, pause: float) -> str:
    return f"{origin}/{wire}/{tokens}/{pause}" + (_OPENAI_PATH if wire == "openai" else _WEB_PATH)


def _base(url: str) -> str:
    return url.removesuffix(_OPENAI_PATH).removesuffix(_WEB_PATH)


def _rss_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Run one contestant once and print its figures."""
    name, origin, wire, tokens, pause = sys.argv[1:6]
    read = CONTESTANTS[name]

    async def run() -> dict[str, float | str]:
        await read(_url(origin, wire, 20, 0), wire)
        rss, cpu, wall = _rss_kib(), time.process_time(), time.perf_counter()
        try:
            size, first = await read(_url(origin, wire, int(tokens), float(pause)), wire)
        except Exception as error:  # noqa: BLE001 - a contestant that fails is a result too
            return {"error": f"{type(error).__name__}: {error}"[:200]}
        return {
            "cpu_ms": (time.process_time() - cpu) * 1000,
            "wall_ms": (time.perf_counter() - wall) * 1000,
            "first_ms": first * 1000,
            "rss_mib": (_rss_kib() - rss) / 1024,
            "characters": size,
        }

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main()
