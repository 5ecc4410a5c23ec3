"""What a provider costs, beside the least that could be done: ratios within one run, medians of interleaved runs.

    python -m tests.bench.provider [--runs N] [--quick]

Every figure comes from a process of its own; the server is another. CPU is what is compared: wall time on a shared
machine says more about the neighbours. `limit` is aiohttp and orjson in a minimal loop; `seed` is the loop most
providers are written as (lines and the standard library's JSON); `ours` ends in typed events, `ours_chat` in a Reply.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

CASES = (
    ("openai", 500),
    ("openai", 5_000),
    ("openai", 20_000),
    ("web", 500),
    ("web", 5_000),
    ("web", 20_000),
    ("long", 200_000),
)
QUICK = (("openai", 500), ("web", 500))


@dataclass(frozen=True)
class Server:
    """The wire server, a process of its own."""

    origin: str
    output: IO[str]

    def began(self) -> float:
        """Give when the next paced stream of those not yet asked about began, on the monotonic clock."""
        return float(self.output.readline())


@contextmanager
def server() -> Iterator[Server]:
    """Run the wire server for the length of a block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.wires"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Server(f"http://127.0.0.1:{process.stdout.readline().strip()}", process.stdout)
        process.stdin.close()


def measure(name: str, origin: str, wire: str, tokens: int, pause: float = 0) -> dict[str, Any]:
    """Run one contestant in a process of its own; a failure is told under `error`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.contestants", name, origin, wire, str(tokens), str(pause)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:200]}
    return json.loads(done.stdout)


def _median(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def _ratio(rows: list[dict[str, Any]], limits: list[dict[str, Any]]) -> str:
    ratios = [row["cpu_ms"] / limit["cpu_ms"] for row, limit in zip(rows, limits, strict=True)]
    return f"{statistics.median(ratios):5.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def compare(origin: str, wire: str, tokens: int, names: list[str], runs: int) -> None:
    """Print one case's table."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            results[name].append(measure(name, origin, wire, tokens))
    limits = results["limit"]
    sizes = {name: row[-1].get("characters") for name, row in results.items()}
    print(f"\n{wire}, {tokens} tokens, {runs} runs; characters read: {sizes}")
    print(f"{'':12} {'CPU ms':>9}  {'CPU / limit':18} {'wall ms':>9} {'first ms':>9} {'RSS +MiB':>9}")
    for name, rows in results.items():
        if "error" in rows[0]:
            print(f"{name:12} {rows[0]['error']}")
            continue
        figures = " ".join(f"{_median(rows, key):9.2f}" for key in ("wall_ms", "first_ms", "rss_mib"))
        print(f"{name:12} {_median(rows, 'cpu_ms'):9.2f}  {_ratio(rows, limits):18} {figures}")


def main() -> None:
    """Print all tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="two small cases, to see that it works")
    given = arguments.parse_args()
    names = ["limit", "seed", "ours", "ours_chat"]
    if importlib.util.find_spec("openai"):
        names.append("openai_sdk")
    with server() as served:
        for wire, tokens in QUICK if given.quick else CASES:
            runs = max(3, given.runs // 2) if tokens >= 20_000 and wire == "web" else given.runs
            contestants = [name for name in names if wire == "openai" or name != "openai_sdk"]
            compare(served.origin, wire, tokens, contestants, runs)


if __name__ == "__main__":
    main()
