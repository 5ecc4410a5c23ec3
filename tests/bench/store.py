"""What keeping costs: a cell with the store and without, words found among 100,000 messages, an event of an answer.

    python -m tests.bench.store [--runs N] [--messages N] [--quick]

The cell's figures are ratios of processor time, each pair of fresh kernels one after the other, medians of the pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from chatglm_magic import Chat, TextDelta
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._store import Store, Thread, row_of
from chatglm_magic._store.queries import Writes
from chatglm_magic._store.recorder import Recorder
from chatglm_magic._store.records import Row
from tests.bench.cells import CONTESTANTS, cell
from tests.bench.notebook import compiled, kernel
from tests.bench.provider import Server, server
from tests.bench.watching import watch
from tests.bench.wires import PASSAGE, passage

GOAL = 1.05
"""How much dearer a cell may be with the store."""
GOAL_MS = 300
"""How long a search may take."""
ENGLISH = [
    "the",
    "model",
    "attends",
    "to",
    "every",
    "token",
    "and",
    "weighs",
    "data",
    "a",
    "function",
    "returns",
    "items",
]
QUERIES = (
    *("学习", "注意力机制", "力", "the model", "weighs", "token data", '"every token"', "att", "needle"),
    *("weighs TOKEN needle", "缝针", "学习 needle", "nothing such", "不存在的词", "zqx", "ata", "cafe", "C++", "🎉"),
)
"""Frequent and rare words, several, parts of words, an emoji, and what is nowhere: then all messages are read."""


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


def said(chance: random.Random) -> str:
    """Say something in English, in Chinese or in both, of 500 bytes on average, mostly shorter."""
    size, kind = int(chance.lognormvariate(5.6, 1.0)), chance.random()
    pieces: list[str] = []
    while size > 0:
        if kind < 0.4 or (kind > 0.8 and chance.random() < 0.5):
            piece = " ".join(chance.choices(ENGLISH, k=12)).capitalize() + ". "
        else:
            start = chance.randrange(len(PASSAGE) - 40)
            piece = PASSAGE[start : start + 40]
        pieces.append(piece)
        size -= len(piece.encode())
    rare = ((0.0003, " Needle 缝针"), (0.001, " 🎉"), (0.02, " Café"))
    return "".join((*pieces, *(words for share, words in rare if chance.random() < share)))


def fill(store: Store, messages: int) -> int:
    """Keep as many messages as people say in years; give the bytes of their texts."""
    chance = random.Random(7)
    size = 0
    for number in range(messages // 100):
        thread = Thread(id=f"thread {number}", name=f"talk {number}", created=number, updated=number)
        rows = []
        parent = ""
        for position in range(100):
            text = said(chance)
            node = MessageNode(role="assistant" if position % 2 else "user", text=text, parent=parent, created=number)
            rows.append(row_of(node))
            parent = node.id
            size += len(text.encode())

        def change(writes: Writes, thread: Thread = thread, rows: list[Row] = rows) -> None:
            writes.put_thread(thread, new=True)
            for row in rows:
                writes.put(thread.id, row, 0)

        store.write(change)
        if not number % 20:
            store.flush(60)
    store.flush(60)
    return size


def timed(do: Callable[[], object], times: int = 7) -> tuple[float, float]:
    """Give the milliseconds that something takes: the median of several times, and the worst."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        found.append((time.perf_counter() - begun) * 1000)
    return statistics.median(found), max(found)


def finding(messages: int) -> None:
    """Print how long it takes to find words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        store = Store(str(path))
        begun = time.perf_counter()
        texts = fill(store, messages) / 1e6
        seconds = time.perf_counter() - begun
        size = path.stat().st_size / 1e6
        print(f"\n{messages} messages of {texts:.0f} MB kept in {seconds:.1f} s; the file has {size:.0f} MB")
        for asked in QUERIES:
            count = len(store.search(asked))
            median, worst = timed(lambda asked=asked: store.search(asked))
            missed = "   MISSED" if median > GOAL_MS else ""
            print(f"  search {asked:20} {median:6.1f} ms, at worst {worst:6.1f}; {count:2} hits of 20 at most{missed}")
        for what, do in (
            ("50 newest threads", lambda: store.threads(50)),
            ("a thread of 100", lambda: store.load("thread 7")),
            ("by a cell", lambda: store.of_cell("id 7 1")),
        ):
            median, worst = timed(do)
            print(f"  {what:27} {median:6.1f} ms, at worst {worst:6.1f}")
        store.close(60)
        begun = time.perf_counter()
        other = Store(str(path))
        other.threads(1)
        print(f"  open and first list {(time.perf_counter() - begun) * 1000:15.1f} ms")
        begun = time.perf_counter()
        other.forget(["thread 7"])
        print(f"  forget a thread   {(time.perf_counter() - begun) * 1000:17.1f} ms")
        other.close(60)


def road(events: int = 200_000) -> None:
    """Print what one event of an answer costs the road it comes by."""
    said = [TextDelta(passage(2)[position : position + 2]) for position in range(0, 4, 2)] * (events // 2)

    async def stream() -> float:
        chat = Chat("local")
        with tempfile.TemporaryDirectory() as folder:
            store = Store(f"{folder}/x.db")
            recorder = Recorder(store, chat)
            answer = MessageNode(role="assistant")
            begun = time.process_time()
            for event in said:
                recorder.on_event(chat, answer, event)
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
    finding(2_000 if given.quick else given.messages)
    with server() as served, compiled():
        cost(served, 1 if given.quick else given.runs, 500 if given.quick else 5_000)


if __name__ == "__main__":
    main()
