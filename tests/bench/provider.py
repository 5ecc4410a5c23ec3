"""What a provider costs, beside the least that could be done: ratios within one run, medians of interleaved runs.

    python -m tests.bench.provider [--runs N] [--only cases|framings] [--quick]

Every figure comes from a process of its own; the server is another. CPU is what is compared: wall time on a shared
machine says more about the neighbours. `limit` is aiohttp and orjson in a minimal loop; `seed` is the loop most
providers are written as (lines and the standard library's JSON); `ours` ends in typed events, `ours_chat` in those of
a Chat, `ours_generator` in the strings of `ChatGLM.create_async_generator`.

The second table has chatglm.cn's wire in every framing, and in other ways to write an answer: `web` (only one string
ever changes), `web-ascii` (escapes), `web-restless` (each frame has a new time) and `web-delta` (pieces, no snapshots).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.bench.wires import FRAMINGS

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
WRITTEN = (*(f"web-{name}" for name in FRAMINGS), "web", "web-ascii", "web-restless", "web-delta")


@dataclass(frozen=True)
class Server:
    """The wire server, a process of its own."""

    origin: str
    output: IO[str]

    def began(self) -> float:
        """Return when the next paced stream of those not yet asked about began, on the monotonic clock."""
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
    """Run one contestant in a process of its own; a failure is returned under `error`."""
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


def _ratios(rows: list[dict[str, Any]], limits: list[dict[str, Any]]) -> str:
    """Return median, least and largest CPU of rows over that of the limit's row of the same round."""
    if failed := next((row["error"] for row in rows if "error" in row), None):
        return failed
    ratios = [row["cpu_ms"] / limit["cpu_ms"] for row, limit in zip(rows, limits, strict=True)]
    return f"{statistics.median(ratios):5.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def _interleaved(origin: str, wire: str, tokens: int, names: Sequence[str], runs: int) -> dict[str, list[Any]]:
    """Run every contestant in turn, `runs` times."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            results[name].append(measure(name, origin, wire, tokens))
    return results


def compare(origin: str, wire: str, tokens: int, names: Sequence[str], runs: int) -> None:
    """Print one case's table."""
    results = _interleaved(origin, wire, tokens, names, runs)
    sizes = {name: row[-1].get("characters") for name, row in results.items()}
    print(f"\n{wire}, {tokens} tokens, {runs} runs; characters read: {sizes}")
    print(f"{'':14} {'CPU ms':>9}  {'CPU / limit':18} {'wall ms':>9} {'first ms':>9} {'RSS +MiB':>9}")
    for name, rows in results.items():
        ratios = _ratios(rows, results["limit"])
        if "error" in rows[0]:
            print(f"{name:14} {ratios}")
            continue
        figures = " ".join(f"{_median(rows, key):9.2f}" for key in ("wall_ms", "first_ms", "rss_mib"))
        print(f"{name:14} {_median(rows, 'cpu_ms'):9.2f}  {ratios:18} {figures}", flush=True)


def compare_framings(origin: str, wires: Sequence[str], sizes: Sequence[int], runs: int) -> None:
    """Print the CPU of both ways to ask chatglm.cn over the limit's, a row for each way to write its stream."""
    ours = ("ours_generator", "ours_chat")
    columns = [f"{name.removeprefix('ours_')} {tokens:,}" for tokens in sizes for name in ours]
    print(f"\nCPU / limit, {runs} runs\n{'':18}" + "".join(f"{column:20}" for column in columns))
    for wire in wires:
        cells = []
        for tokens in sizes:
            results = _interleaved(origin, wire, tokens, ("limit", *ours), runs)
            cells += [_ratios(results[name], results["limit"]) for name in ours]
        print(f"{wire:18}" + "".join(f"{cell:20}" for cell in cells), flush=True)


def main() -> None:
    """Print all tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--only", choices=("cases", "framings"))
    arguments.add_argument("--quick", action="store_true", help="a few small cases, to see that it works")
    given = arguments.parse_args()
    with server() as served:
        if given.only != "framings":
            for wire, tokens in QUICK if given.quick else CASES:
                names = ["limit", "seed", "ours", "ours_chat"]
                if wire != "openai":
                    names.append("ours_generator")
                elif importlib.util.find_spec("openai"):
                    names.append("openai_sdk")
                compare(served.origin, wire, tokens, names, given.runs)
        if given.only != "cases":
            wires, sizes = (WRITTEN[:3], (500,)) if given.quick else (WRITTEN, (5_000, 20_000))
            compare_framings(served.origin, wires, sizes, given.runs)


if __name__ == "__main__":
    main()
