"""What a streaming cell costs in a real kernel, beside the least that could be done and what people write.

    python -m tests.bench.notebook [--runs N] [--quick]

Each run has a kernel of its own, asked over ZMQ as front ends do; the server is another process. Runs are interleaved,
and figures are medians. `silent` reads in a minimal loop and displays once, at the end: the limit that ratios refer
to. On a shared machine processor time and ratios say more than milliseconds do.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cells import CONTESTANTS, LOADS, PATHS, cell, installed_peers
from tests.bench.provider import Server, server
from tests.bench.watching import Trace, watch
from tests.bench.wires import passage
from tests.helpers.kernel_driver import Kernel

PEAK = "from pathlib import Path; print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
"""Prints the most memory the kernel has had, in KiB; `ru_maxrss` would count that of the process that started it."""

Figures = dict[str, dict[str, list[float]]]
"""By what is measured, then by contestant: one figure for each run."""


@dataclass(frozen=True)
class Sizes:
    """How much is asked for, in tokens."""

    short: int = 500
    usual: int = 5_000
    long: int = 20_000


@contextmanager
def kernel(store: str = "") -> Iterator[Kernel]:
    """Run a fresh kernel for the length of a block.

    Args:
        store: Where it keeps what is said; empty for a file of its own, as users have it.
    """
    with tempfile.TemporaryDirectory() as folder:
        fresh = Kernel(Path(folder), {"CHATGLM_STORE": store or f"{folder}/store.db"})
        fresh.manager.kernel_spec.argv.append("--log-level=ERROR")  # its warning about loopback without encryption
        with fresh as running:
            time.sleep(0.2)  # what a kernel does right after it says that it is ready
            yield running


@contextmanager
def compiled() -> Iterator[None]:
    """Let kernels find all modules compiled for the length of a block, ours too: so does pip leave them."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        try:
            yield
        finally:
            del os.environ["PYTHONPYCACHEPREFIX"]
            if before is not None:
                os.environ["PYTHONDONTWRITEBYTECODE"] = before


def warm_up(served: Server, peers: dict[str, str]) -> None:
    """Let everything be compiled that is to be measured."""
    for load in peers.values():
        with kernel() as running:
            watch(running, load)
    for name, contestant in CONTESTANTS.items():
        with kernel() as running:
            watch(running, contestant.load)
            for wire in PATHS:
                watch(running, cell(name, served.origin, wire, 200, 0))


def is_han(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def lags(trace: Trace, tokens: int, sent: Callable[[int], float]) -> list[float]:
    """Give the seconds from each token's sending until it was shown.

    Chinese characters are counted, since no Markdown is made of them.
    """
    counts, said = [], passage(tokens)
    count = 0
    for number in range(tokens):
        count += sum(map(is_han, said[2 * number : 2 * number + 2]))
        counts.append(count)
    seen = itertools.accumulate((sum(map(is_han, text)) for _, text in trace.shown()), max)
    times = [at for at, _ in trace.shown()]
    visible = list(seen)
    found = []
    for number, needed in enumerate(counts):
        if number and counts[number - 1] == needed:
            continue
        place = bisect.bisect_left(visible, needed)
        assert place < len(visible), f"never shown: token {number}"
        found.append(times[place] - sent(number))
    return found


def measure_loads(figures: Figures, peers: dict[str, str]) -> None:
    """Run first cells, each in a fresh kernel."""
    for name, load in {**LOADS, **peers}.items():
        with kernel() as running:
            figures["load"][name].append(watch(running, load).wall)


def measure(name: str, served: Server, sizes: Sizes, figures: Figures, *, slow: bool) -> None:
    """Run one contestant once through all cases, in one fresh kernel.

    Args:
        name: The contestant.
        served: The server.
        sizes: How much is asked for.
        figures: Where the figures go.
        slow: Whether to ask at a real pace too, which takes half a minute.
    """

    def note(what: str, value: float) -> None:
        figures[what][name].append(value)

    def ask(tokens: int, pause: float = 0, wire: str = "markdown") -> Trace:
        return watch(running, cell(name, served.origin, wire, tokens, pause))

    with kernel() as running:
        started = watch(running, CONTESTANTS[name].load).wall
        note("begin", started + ask(20).wall)
        trace = ask(sizes.short, 5)
        served.began()
        note("first", first_text(trace))
        trace = ask(sizes.usual)
        note("cpu", trace.cpu)
        note("wall", trace.wall)
        note("messages", len(trace.messages))
        note("bytes", trace.size)
        note("peak", trace.peak())
        note("web cpu", ask(sizes.usual, wire="webmarkdown").cpu)
        if slow:
            trace = ask(sizes.usual, 5)
            began = served.began()
            late = sorted(lags(trace, sizes.usual, lambda number: began + number * 0.005))
            note("slow cpu", trace.cpu)
            note("slow bytes", trace.size)
            note("slow messages", len(trace.messages))
            note("slow peak", trace.peak())
            note("lag p50", late[len(late) // 2])
            note("lag p99", late[len(late) * 99 // 100])
        trace = ask(sizes.long)
        note("long bytes", trace.size)
        note("long peak", trace.peak())
        note("rss", float(watch(running, PEAK).shown()[-1][1]) * 1024)


def first_text(trace: Trace) -> float:
    """Give the seconds until the first words of the passage were to be read."""
    return next(at for at, text in trace.shown() if passage(1) in text) - trace.start


def table(figures: Figures, names: list[str]) -> None:
    """Print what each contestant cost."""
    columns = (
        ("begin", 1000, "load + first ms"),
        ("first", 1000, "first text ms"),
        ("wall", 1000, "usual: end ms"),
        ("cpu", 1000, "usual: CPU ms"),
        ("messages", 1, "msgs"),
        ("bytes", 1e-3, "kB"),
        ("long bytes", 1e-3, "long: kB"),
        ("slow cpu", 1000, "paced: CPU ms"),
        ("slow messages", 1, "msgs"),
        ("slow bytes", 1e-3, "kB"),
        ("lag p50", 1000, "lag p50 ms"),
        ("lag p99", 1000, "lag p99 ms"),
        ("rss", 2**-20, "RSS MiB"),
    )
    print(f"\n{'':26}" + "".join(f"{name:>16}" for name in names))
    for key, factor, title in columns:
        row = (figures[key].get(name) for name in names)
        print(f"{title:26}" + "".join(f"{statistics.median(r) * factor:16.1f}" if r else f"{'–':>16}" for r in row))
    print(
        "\nfirst cells, ms: " + ", ".join(f"{n} {statistics.median(v) * 1000:.1f}" for n, v in figures["load"].items())
    )


def goals(figures: Figures) -> None:
    """Print the goals beside the results."""

    def ours(key: str) -> list[float]:
        return figures[key]["ours"]

    def over(key: str) -> list[float]:
        return [a / b for a, b in zip(ours(key), figures[key]["silent"], strict=True)]

    load = figures["load"]
    loads = [a / b for a, b in zip(load["%load_ext chatglm_magic"], load["import aiohttp"], strict=True)]
    peaks = [max(row) for row in zip(ours("peak"), ours("slow peak"), ours("long peak"), strict=False)]
    growth = [a / b for a, b in zip(ours("long bytes"), ours("bytes"), strict=True)]
    rows = (
        ("N1", "%load_ext / import aiohttp", 0.15, loads, 1),
        ("N2", "load + first 20-token answer / silent", 1.4, over("begin"), 1),
        ("N3", "first text after the request, ms", 12, ours("first"), 1000),
        ("N4", "kernel CPU at catch-up speed / silent", 2.0, over("cpu"), 1),
        ("N4", "the same on the snapshot wire", 2.0, over("web cpu"), 1),
        ("N5", "kernel CPU at 5 ms a token / silent", 2.2, over("slow cpu"), 1),
        ("N6", "iopub MB at 5 ms a token", 0.5, ours("slow bytes"), 1e-6),
        ("N7", "iopub bytes, four times the tokens", 4.2, growth, 1),
        ("N8", "messages a second in any 3 s", 25, peaks, 1),
        ("N9", "lag of a token, median, ms", 60, ours("lag p50"), 1000),
        ("N9", "lag of a token, 99 of 100, ms", 120, ours("lag p99"), 1000),
        ("N10", "peak RSS / silent (with widgets 1.3)", 1.1, over("rss"), 1),
    )
    print(f"\n{'':4} {'':40} {'goal':>8} {'result':>8}   (least – most)")
    for name, what, goal, values, factor in rows:
        result = statistics.median(values) * factor
        verdict = "" if result <= goal else "   MISSED"
        spread = f"({min(values) * factor:.2f} – {max(values) * factor:.2f})"
        print(f"{name:4} {what:40} {goal:8.2f} {result:8.2f}   {spread}{verdict}")


def main() -> None:
    """Run all contestants in turn and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="one run, a tenth of the tokens: to see that it works")
    given = arguments.parse_args()
    sizes = Sizes(50, 500, 2_000) if given.quick else Sizes()
    figures: Figures = defaultdict(lambda: defaultdict(list))
    peers = installed_peers()
    with compiled(), server() as served:
        warm_up(served, peers)
        for run in range(1 if given.quick else given.runs):
            measure_loads(figures, peers)
            for name in CONTESTANTS:
                rival = name not in {"silent", "ours"}
                if rival and run > 1:
                    continue  # so much dearer that no third run is needed
                measure(name, served, sizes, figures, slow=not rival or not run)
            print(f"run {run + 1} done", flush=True)
    print(f"\nshort, usual, long: {sizes.short}, {sizes.usual}, {sizes.long} tokens of two characters")
    table(figures, list(CONTESTANTS))
    goals(figures)


if __name__ == "__main__":
    main()
