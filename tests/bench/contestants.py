"""Ways to read a chat stream, each an async function that returns (characters, seconds to the first piece).

    python -m tests.bench.contestants NAME ORIGIN WIRE TOKENS      prints one JSON line of figures

Each runs in a process of its own, after one short warm-up request.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

Outcome = tuple[int, float]
PATHS = {
    "openai": "{origin}/openai/{tokens}/{pause}/chat/completions",
    "web": "{origin}/web/{tokens}/{pause}/chatglm/mainchat-api/guest/stream",
    "long": "{origin}/long/{tokens}/{pause}/chatglm/mainchat-api/guest/stream",
}


async def limit(url: str, wire: str) -> Outcome:
    """Read with aiohttp and orjson, as little as will do: the limit that goals refer to."""
    import aiohttp
    import orjson

    started, first, size, seen = time.perf_counter(), 0.0, 0, 0
    rest = b""
    async with aiohttp.ClientSession() as session, session.post(url, json={"stream": True}) as response:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")  # one byte is looked for much faster than two
            for line in lines:
                if not line.startswith(b"data: {"):
                    continue
                frame = orjson.loads(line[6:])
                if wire == "openai":
                    text = frame["choices"][0]["delta"].get("content") or ""
                else:
                    whole = frame["parts"][0]["content"][0]["text"]
                    text, seen = whole[seen:], len(whole)
                size += len(text)
                first = first or time.perf_counter() - started
    return size, first


async def seed(url: str, wire: str) -> Outcome:
    """Read line by line with the standard library's JSON: the loop most providers are written as."""
    import aiohttp

    started, first, size, seen = time.perf_counter(), 0.0, 0, 0
    async with aiohttp.ClientSession() as session, session.post(url, json={"stream": True}) as response:
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            frame = json.loads(line[6:])
            if wire == "openai":
                text = frame["choices"][0]["delta"].get("content") or ""
            else:
                whole = frame["parts"][0]["content"][0]["text"]
                text, seen = whole[seen:], len(whole)
            size += len(text)
            first = first or time.perf_counter() - started
    return size, first


async def ours(url: str, wire: str) -> Outcome:
    """Read through our provider, to typed events."""
    from chatglm_magic import Message, Request, TextDelta
    from chatglm_magic.providers import Settings, make_provider

    base = url.removesuffix("/chatglm/mainchat-api/guest/stream")
    provider = make_provider("openai" if wire == "openai" else "chatglm", Settings(base_url=base))
    request = Request((Message("user", "hello"),), model="glm-4.7")
    started, first, size = time.perf_counter(), 0.0, 0
    async with aclosing(provider.stream(request)) as events:
        async for event in events:
            if type(event) is TextDelta:
                size += len(event.text)
                first = first or time.perf_counter() - started
    return size, first


async def ours_chat(url: str, wire: str) -> Outcome:
    """Read through a whole Chat, to a Reply."""
    from chatglm_magic import Chat

    base = url.removesuffix("/chatglm/mainchat-api/guest/stream")
    chat = Chat("openai" if wire == "openai" else "chatglm", base_url=base, model="glm-4.7")
    reply = await chat.send("hello")
    return len(reply.text), reply.first_event or 0.0


async def openai_sdk(url: str, wire: str) -> Outcome:
    """Read with the openai package, if it is installed."""
    import openai

    client = openai.AsyncOpenAI(base_url=url.removesuffix("/chat/completions"), api_key="none")
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
    "openai_sdk": openai_sdk,
}


def _rss_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Run one contestant once and print its figures."""
    name, origin, wire, tokens, pause = sys.argv[1:6]
    read = CONTESTANTS[name]
    path = PATHS[wire]

    async def run() -> dict[str, float | str]:
        await read(path.format(origin=origin, tokens=20, pause=0), wire)
        rss, cpu, wall = _rss_kib(), time.process_time(), time.perf_counter()
        try:
            size, first = await read(path.format(origin=origin, tokens=tokens, pause=pause), wire)
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
