"""What a map over many rows costs, beside the least that could be done: ratios within one run.

    python -m tests.bench.map [--rows N] [--runs N] [--concurrency N] [--pieces N ...]

The server is a process of its own that answers each request with a word, or with a sentence in as many pieces as are
asked for. `limit` is a bare loop of aiohttp and orjson, with the same number of requests in flight and one pool of
connections; `ours` is `Chat.map` with a store, each answer kept; `resumed` is the same once more, with all answers
there. Each runs in a process of its own, a few rows before the clock starts, so that no import counts. What memory
grows by is told without the results themselves. Where they are installed, `openai` with a semaphore and
`litellm.batch_completion` run beside them, over fewer rows:
`--others N`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

CONCURRENCY = 64
PIECES = (1, 12)
"""How many pieces the answers have that are measured: a word, a sentence."""
_BASE = {"id": "1", "created": 1, "model": "glm-4.7"}
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"


@lru_cache
def words_of(pieces: int) -> list[str]:
    """Return the pieces of an answer."""
    return ["good", *(f" word{number}" for number in range(1, pieces))]


@lru_cache
def answer_of(pieces: int, *, stream: bool) -> bytes:
    """Return an answer of so many pieces as the platforms give it."""
    words, end = words_of(pieces), {"index": 0, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": pieces, "total_tokens": 9 + pieces}
    if not stream:
        message = {"role": "assistant", "content": "".join(words)}
        whole = {**_BASE, "object": "chat.completion", "choices": [{**end, "message": message}], "usage": usage}
        body = json.dumps(whole).encode()
        return _HEAD % (b"application/json", len(body), body)
    deltas = [{"role": "assistant", "content": words[0]}, *({"content": word} for word in words[1:])]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{**end, "delta": {"content": ""}}], "usage": usage})
    frames = b"".join(b"data: %b\n\n" % json.dumps({**_BASE, **chunk}).encode() for chunk in chunks)
    body = frames + b"data: [DONE]\n\n"
    return _HEAD % (b"text/event-stream", len(body), body)


class _Server(asyncio.Protocol):
    """Answers every request alike, as cheaply as can be; the first part of the path says with how many pieces."""

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            pieces = int(head.split(b"/", 2)[1])
            self._transport.write(answer_of(pieces, stream=b'"stream"' in body))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def rows_of(count: int, name: str = "Row") -> list[str]:
    """Return distinct rows like reviews: English, Chinese, and with a number as long as a key."""
    said = (
        "the second one that I bought, and it still works as on the first day.",
        "这是我买的第二个，用起来还和第一天一样好，快递也很快，包装完好，下次还会再来。",
        "order 20261127-00004711-0815, came late, but it still works as on the first day.",
    )
    return [f"{name} {number}: {said[number % 3]}" for number in range(count)]


def check(url: str, values: Sequence[object], texts: list[str]) -> None:
    """Fail unless each value is the whole answer."""
    answer = "".join(words_of(int(urlsplit(url).path.split("/")[1])))
    assert values == [answer] * len(texts), values[:3]


async def limit(url: str, texts: list[str], concurrency: int) -> dict[str, Any]:
    """Ask with aiohttp and orjson, as little as will do: the limit that goals refer to."""
    import aiohttp
    import orjson

    rows = iter(enumerate(texts))
    values: list[str | None] = [None] * len(texts)

    async def work(session: aiohttp.ClientSession) -> None:
        for position, row in rows:
            body = orjson.dumps(
                {
                    "model": "glm-4.7",
                    "messages": [{"role": "user", "content": f"Mood of {row}? One word."}],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }
            )
            text, rest = "", b""
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                async for chunk in response.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        if line.startswith(b"data:") and b"[DONE]" not in line[:16]:
                            text += orjson.loads(line[5:])["choices"][0]["delta"].get("content") or ""
            values[position] = text

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
    check(url, values, texts)
    return {}


async def ours(url: str, texts: list[str], concurrency: int) -> dict[str, Any]:
    """Ask with `Chat.map`."""
    from chatglm_magic import Chat

    chat = Chat("openai", base_url=url.removesuffix("/chat/completions"), model="glm-4.7")
    job = chat.map("Mood of {it}? One word.", texts, concurrency=concurrency)
    rows = await job
    check(url, rows.values, texts)
    return {"requests": job.progress.requests, "results": _size_of(rows)}


def _size_of(rows: Sequence[Any]) -> int:
    """Return the bytes of a map's rows with what they hold, but for what the input holds too."""
    parts = ((row, row.text, row.seconds, row.position) for row in rows)
    return sum(sys.getsizeof(part) for row in parts for part in row)


async def openai_sdk(url: str, texts: list[str], concurrency: int) -> dict[str, Any]:
    """Ask with the openai package and a semaphore, as most scripts do."""
    import openai

    values: list[str | None] = [None] * len(texts)
    gate = asyncio.Semaphore(concurrency)

    async def ask(client: openai.AsyncOpenAI, position: int, row: str) -> None:
        async with gate:
            text = ""
            stream = await client.chat.completions.create(
                model="glm-4.7", messages=[{"role": "user", "content": f"Mood of {row}? One word."}], stream=True
            )
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            values[position] = text

    async with openai.AsyncOpenAI(base_url=url.removesuffix("/chat/completions"), api_key="none") as client:
        await asyncio.gather(*(ask(client, position, row) for position, row in enumerate(texts)))
    check(url, values, texts)
    return {}


async def litellm(url: str, texts: list[str], concurrency: int) -> dict[str, Any]:
    """Ask with `litellm.batch_completion`, which LOTUS uses: threads, and no streams."""
    import litellm as lite

    messages = [[{"role": "user", "content": f"Mood of {row}? One word."}] for row in texts]
    how = {"api_base": url.removesuffix("/chat/completions"), "api_key": "none", "max_workers": concurrency}
    answers = lite.batch_completion(model="openai/glm-4.7", messages=messages, **how)
    check(url, [answer.choices[0].message.content for answer in answers], texts)
    return {}


def contestant(name: str, url: str, count: int, concurrency: int) -> None:
    """Run one contestant in this process, and print its figures."""
    way = {"limit": limit, "ours": ours, "openai": openai_sdk, "litellm": litellm}[name]
    asyncio.run(way(url, rows_of(concurrency, "First"), concurrency))
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, cpu = time.perf_counter(), time.process_time()
    said = asyncio.run(way(url, rows_of(count), concurrency))
    after = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "rss_mb": (after.ru_maxrss - before.ru_maxrss - said.pop("results", 0) / 1024) / 1024,
        **said,
    }
    print(json.dumps(figures))


def measure(name: str, url: str, count: int, concurrency: int, store: str) -> dict[str, Any]:
    """Run one contestant in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.map", "--contestant", name, url, str(count), str(concurrency)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CHATGLM_STORE": store},
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def compare(url: str, count: int, runs: int, concurrency: int) -> None:
    """Print the table."""
    print(f"\n{count:,} rows, {concurrency} in flight, {runs} runs, medians; CPU over the limit's of the same round")
    results: dict[str, list[dict[str, Any]]] = {"limit": [], "ours": [], "resumed": []}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            store = f"{folder}/conversations.db"
            for name, found in results.items():
                found.append(measure("ours" if name == "resumed" else name, url, count, concurrency, store))
    for name, found in results.items():
        ratios = [row["cpu_s"] / least["cpu_s"] for row, least in zip(found, results["limit"], strict=True)]
        wall, cpu, rss = (statistics.median(row[key] for row in found) for key in ("wall_s", "cpu_s", "rss_mb"))
        print(
            f"{name:10} wall {wall:7.2f} s  CPU {cpu:7.2f} s = {statistics.median(ratios):5.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})  {count / wall:8,.0f} rows/s  RSS +{rss:.0f} MiB  "
            f"requests {found[-1].get('requests', count)}",
            flush=True,
        )


def compare_others(url: str, count: int, concurrency: int) -> None:
    """Print the rows a second of other packages that are installed, and ours over theirs."""
    print(f"\n{count:,} rows, {concurrency} in flight, 1 run; how many times their rows a second ours are")
    with tempfile.TemporaryDirectory() as folder:
        own = measure("ours", url, count, concurrency, f"{folder}/conversations.db")
    for name in ("openai", "litellm"):
        if importlib.util.find_spec(name) is None:
            continue
        found = measure(name, url, count, concurrency, "off")
        wall, cpu = (found[key] / own[key] for key in ("wall_s", "cpu_s"))
        print(
            f"{name:10} wall {found['wall_s']:7.2f} s  CPU {found['cpu_s']:7.2f} s  "
            f"{count / found['wall_s']:8,.0f} rows/s  ours: {wall:.1f} times in wall, {cpu:.1f} in CPU",
            flush=True,
        )


def main() -> None:
    """Print the table, or be one part of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--concurrency", type=int, default=CONCURRENCY)
    arguments.add_argument("--others", type=int, default=5_000)
    arguments.add_argument("--pieces", type=int, nargs="+", default=PIECES)
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--contestant", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.serve:
        asyncio.run(_serve())
        return
    if given.contestant:
        name, url, count, concurrency = given.contestant
        contestant(name, url, int(count), int(concurrency))
        return
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.map", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        host = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        for pieces in given.pieces:
            print(f"\n== Answers of {pieces} pieces")
            url = f"{host}/{pieces}/v1/chat/completions"
            compare(url, given.rows, given.runs, given.concurrency)
            compare_others(url, given.others, given.concurrency)
        server.stdin.close()


if __name__ == "__main__":
    main()
