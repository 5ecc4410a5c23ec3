"""What keeping costs: a cell with the store and without, words found among 100,000 messages, a growing answer.

    python -m tests.bench.store [--runs N] [--messages N] [--quick]

The cell's figures are ratios of processor time, each pair of fresh kernels one after the other, medians of the pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from chatglm_magic import Chat, TextDelta
from chatglm_magic._keeper import Keeper
from chatglm_magic._said import Said
from chatglm_magic._store import Store, Thread, row_of
from tests.bench.cells import CONTESTANTS, cell
from tests.bench.notebook import compiled, kernel
from tests.bench.provider import Server, server
from tests.bench.watching import watch
from tests.bench.wires import PASSAGE, passage

GOAL = 1.05
"""How much dearer a cell may be with the store."""
GOAL_MS = 50
"""How long a search may take."""
ENGLISH = "the model attends to every token and weighs what it reads before it writes another word about data".split()  # noqa: SIM905 - a text
QUERIES = (
    "学习",
    "注意力机制",
    "力",
    "weighs",
    "token data",
    '"every token"',
    "att",
    "needle",
    "缝针",
    "nothing such",
    "C++",
    "🎉",
)


def cost(served: Server, runs: int, tokens: int) -> None:
    """Print what cells cost with the store, over what they cost without."""
    figures: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for run in range(runs):
        for kept in (True, False) if run % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder, kernel(f"{folder}/x.db" if kept else "off") as running:
                begun = watch(running, CONTESTANTS["ours"].load).cpu
                begun += watch(running, cell("ours", served.origin, "markdown", 20, 0)).cpu
                figures["N2 load and first answer"][kept].append(begun)
                for what, wire, pause in (
                    ("N4 catch-up", "markdown", 0.0),
                    ("N4 snapshots", "webmarkdown", 0.0),
                    ("N5 5 ms a token", "markdown", 5.0),
                ):
                    trace = watch(running, cell("ours", served.origin, wire, tokens, pause))
                    figures[what][kept].append(trace.cpu)
                    if pause:
                        served.began()
                if kept:
                    assert Path(folder, "x.db").stat().st_size > 0
        print(f"pair {run + 1} done", flush=True)
    print(f"\n{'':32} {'without':>9} {'with':>9} {'ratio':>6}   (least – most), goal {GOAL}")
    for what, found in figures.items():
        ratios = [one / other for one, other in zip(found[True], found[False], strict=True)]
        without, with_it = (statistics.median(found[kept]) * 1000 for kept in (False, True))
        ratio = statistics.median(ratios)
        missed = "   MISSED" if ratio > GOAL else ""
        print(f"{what:32} {without:9.1f} {with_it:9.1f} {ratio:6.3f}   ({min(ratios):.2f} – {max(ratios):.2f}){missed}")


def fill(store: Store, messages: int) -> None:
    """Keep as many messages as people say in years, in Chinese and in English."""
    chance = random.Random(7)
    for number in range(messages // 100):
        thread = Thread(id=f"thread {number}", name=f"talk {number}", created=number, updated=number)
        store.put_thread(thread)
        parent = ""
        for position in range(100):
            start = chance.randrange(len(PASSAGE) - 200)
            words = " ".join(chance.choices(ENGLISH, k=30))
            rare = " needle 缝针" if chance.random() < 0.0003 else ""
            text = f"{PASSAGE[start : start + 200]} {words}{rare}"
            said = Said(role="assistant" if position % 2 else "user", text=text, parent=parent, created=number)
            store.put(thread.id, row_of(said))
            parent = said.id
        if not number % 20:
            store.flush(60)
    store.flush(60)


def timed(do: Callable[[], object], times: int = 7) -> float:
    """Give the milliseconds that something takes, the median of several times."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        found.append(time.perf_counter() - begun)
    return statistics.median(found) * 1000


def finding(messages: int) -> None:
    """Print how long it takes to find words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        store = Store(str(path))
        begun = time.perf_counter()
        fill(store, messages)
        seconds = time.perf_counter() - begun
        size = path.stat().st_size / 1e6
        print(f"\n{messages} messages kept in {seconds:.1f} s; the file has {size:.0f} MB")
        for asked in QUERIES:
            count = len(store.search(asked))
            milliseconds = timed(lambda asked=asked: store.search(asked))
            missed = "   MISSED" if milliseconds > GOAL_MS else ""
            print(f"  search {asked:16} {milliseconds:7.1f} ms, {count:3} hits of 20 at most{missed}")
        print(f"  50 newest threads {timed(lambda: store.threads(50)):13.1f} ms")
        print(f"  a thread of 100   {timed(lambda: store.load('thread 7')):13.1f} ms")
        print(f"  by a cell         {timed(lambda: store.cell('id 7 1')):13.1f} ms")
        store.close(60)
        begun = time.perf_counter()
        other = Store(str(path))
        other.threads(1)
        print(f"  open and first list {(time.perf_counter() - begun) * 1000:11.1f} ms")
        begun = time.perf_counter()
        other.forget(["thread 7"])
        print(f"  forget a thread   {(time.perf_counter() - begun) * 1000:13.1f} ms")
        other.close(60)


def growing(size: int = 1_000_000, step: int = 700) -> None:
    """Print what the two ways of keeping a growing text cost."""
    piece = PASSAGE[:step]
    ways = {
        "pieces in rows of their own": (
            "CREATE TABLE piece (number INTEGER PRIMARY KEY, said INTEGER, text TEXT)",
            "INSERT INTO piece (said, text) VALUES (1, ?)",
        ),
        "text = text || piece": (
            "CREATE TABLE said (number INTEGER PRIMARY KEY, text TEXT)",
            "INSERT INTO said (number, text) VALUES (1, ?) ON CONFLICT DO UPDATE SET text = text || excluded.text",
        ),
    }
    print(f"\nan answer of {size // 1000} kB in pieces of 2 kB, a transaction each:")
    for name, (make, write) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            database = sqlite3.connect(f"{folder}/x.db", isolation_level=None)
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", make):
                database.execute(statement)
            begun = time.process_time()
            for _ in range(size // len(piece.encode())):
                database.execute("BEGIN IMMEDIATE")
                database.execute(write, (piece,))
                database.execute("COMMIT")
            print(f"  {name:30} {(time.process_time() - begun) * 1000:8.1f} ms of processor time")
            database.close()


def road(events: int = 200_000) -> None:
    """Print what one event of an answer costs the road it comes by."""
    said = [TextDelta(passage(2)[position : position + 2]) for position in range(0, 4, 2)] * (events // 2)

    async def stream() -> float:
        chat = Chat("local")
        with tempfile.TemporaryDirectory() as folder:
            store = Store(f"{folder}/x.db")
            keeper = Keeper(store, chat)
            answer = Said(role="assistant")
            begun = time.process_time()
            for event in said:
                keeper.grew(chat, answer, event)
            taken = time.process_time() - begun
            store.close(10)
        return taken

    empty = time.process_time()
    for _ in said:
        pass
    empty = time.process_time() - empty
    print(f"\none event: {(asyncio.run(stream()) - empty) / len(said) * 1e6:.2f} µs")


def main() -> None:
    """Print all tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--quick", action="store_true", help="one pair, few messages: to see that it works")
    given = arguments.parse_args()
    road()
    growing()
    finding(2_000 if given.quick else given.messages)
    with server() as served, compiled():
        cost(served, 1 if given.quick else given.runs, 500 if given.quick else 5_000)


if __name__ == "__main__":
    main()
