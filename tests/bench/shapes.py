"""What work costs by the shape of its input, and how it grows: four times as much input may cost four times as much.

    python -m tests.bench.shapes [--runs N]

Each shape is measured at a size and at four times that; the last column is the second time over the first, near 4 where
the work is linear. The first shape of each part is the plain one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from chatglm_magic._map.rows import Row, Rows
from chatglm_magic._map.source import Source
from chatglm_magic._prompting.prompt import Budget, fill_in
from chatglm_magic._redaction import key_guard
from chatglm_magic.providers.openai.decoder import OpenAIDecoder
from chatglm_magic.providers.openai.errors import RequestInfo
from chatglm_magic.renderers.html import Growing

Work = Callable[[int], object]
"""Does a piece of work of a size."""


def grow(line: str, head: str = "") -> Work:
    """Return what streams lines of Markdown into the panel, 60 characters at a time."""

    def work(size: int) -> None:
        text, growing = head + line * (size // len(line)), Growing()
        for at in range(0, len(text), 60):
            growing.write(text[at : at + 60])
            growing.take()
        growing.close()

    return work


def decode(name: str = "delta", inside: Mapping[str, object] = MappingProxyType({}), **fields: object) -> Work:
    """Return what decodes frames, each with a word in `delta` or `message`, with more in it and beside it."""

    def work(size: int) -> None:
        decoder = OpenAIDecoder(RequestInfo("openai", "glm-4.7", "127.0.0.1"), think_tags=True)
        for number in range(size):
            choice = {"index": 0, name: {"content": f"word {number} ", **inside}, **fields}
            decoder.feed(b"data: %b\n\n" % json.dumps({"id": "1", "choices": [choice]}).encode())
        decoder.close()

    return work


def fill(line: str, head: str = "", foot: str = "") -> Work:
    """Return what fills in a prompt of lines."""
    return lambda size: fill_in(head + line * (size // len(line)) + foot, {"x": 1}, Budget())


def guard(line: str) -> Work:
    """Return what looks for keys in rows."""

    def work(size: int) -> None:
        refuse = key_guard()
        for number in range(size):
            refuse(f"{number} {line}")

    return work


def tell(**fields: object) -> Work:
    """Return what tells of a map's rows what should be known."""

    def work(size: int) -> None:
        rows = {at: Row(at, at, "good", "good", attempts=1, **fields) for at in range(size)}  # type: ignore[arg-type]
        Rows(Source.of(range(size)), rows, size).notices()

    return work


CODE = 'print(f"{x + 1}")\n'
SHAPES: dict[str, tuple[int, dict[str, Work]]] = {
    "the panel's Markdown, characters": (
        10_000,
        {
            "prose": grow("Some words that follow each other, and then end.\n\n"),
            "a list": grow("- a point that says something about it\n"),
            "a numbered list": grow("1. a step that says what is done\n"),
            "code with backticks": grow("const name = `a ${b} c`;\n", "```js\n"),
            "a table": grow("| a cell | another cell | 1,234 |\n", "| a | b | c |\n| - | - | - |\n"),
        },
    ),
    "frames of OpenAI's dialect": (
        2_000,
        {
            "pieces": decode(),
            "a finish reason each": decode(finish_reason="stop"),
            "messages": decode("message"),
            "an unknown field each": decode(inside={"foo": None}),
        },
    ),
    "prompts to be filled in, characters": (
        10_000,
        {
            "text": fill("Some words, and no name.\n"),
            "many fences of code": fill(f"```python\n{CODE}```\n"),
            "one fence of code": fill(CODE, "```python\n", "```\n"),
        },
    ),
    "rows looked through for keys": (
        2_000,
        {
            "words": guard("the second one that I bought"),
            "identifiers": guard("0b5d1e8a-1111-2222-3333-444455556666"),
        },
    ),
    "rows of a map, told of": (
        5_000,
        {
            "as they should be": tell(),
            "with a warning each": tell(warnings=("odd-choice",)),
            "filtered": tell(finish_reason="content_filter"),
        },
    ),
}


def seconds(work: Work, size: int, runs: int) -> float:
    """Return the least seconds of the processor that some work takes."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work(size)
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=2)
    runs = arguments.parse_args().runs
    for part, (size, shapes) in SHAPES.items():
        print(f"\n{part}: {size:,} and {4 * size:,}")
        plain = 0.0
        for name, work in shapes.items():
            small, large = seconds(work, size, runs), seconds(work, 4 * size, runs)
            plain = plain or large
            ratios = f"{large / plain:5.1f} × plain  {large / small:4.1f}"
            print(f"  {name:22} {small * 1e3:8.1f} {large * 1e3:8.1f} ms  {ratios}")


if __name__ == "__main__":
    main()
