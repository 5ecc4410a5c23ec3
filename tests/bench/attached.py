"""What a plot costs until it is part of a request, beside drawing it alone: a ratio within one run.

    python -m tests.bench.attached [--runs N]

Both draw the same figure of 10 × 6 inches anew each time; the first of them pays for fonts and is not counted.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import AsyncIterator, Callable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from chatglm_magic import Chat, FunctionProvider


def figure_of() -> Figure:
    """Return a plot with four lines, a legend and labels."""
    figure = Figure(figsize=(10, 6))
    axes = figure.subplots()
    for shift in range(4):
        axes.plot(np.sin(np.linspace(shift, 10, 500)), label=f"line {shift}")
    axes.set(title="Waves", xlabel="time", ylabel="height")
    axes.legend()
    return figure


def drawn() -> int:
    """Draw it as a PNG of 1,000 × 600 pixels, as matplotlib does; return its bytes."""
    file = io.BytesIO()
    figure_of().savefig(file, format="png", dpi=100)
    return len(file.getvalue())


def asked() -> int:
    """Make a request with it; return its bytes."""

    async def echo(model: str, messages: object, **_: object) -> AsyncIterator[str]:
        yield "seen"

    (picture,) = Chat(FunctionProvider(echo)).request("Explain", attachments=figure_of()).messages[-1].pictures
    return len(picture.data)


def cpu_of(work: Callable[[], int]) -> float:
    """Return the milliseconds of this thread's processor that some work takes."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


def main() -> None:
    """Print both, and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=15)
    runs = arguments.parse_args().runs
    mpl.use("agg")
    sizes = drawn(), asked()
    pairs = [(cpu_of(drawn), cpu_of(asked)) for _ in range(runs)]
    alone, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(whole / alone for alone, whole in pairs)
    print(f"drawn alone   {alone:6.1f} ms  {sizes[0] / 1000:4.0f} kB")
    print(f"as a request  {whole:6.1f} ms  {sizes[1] / 1000:4.0f} kB  = {ratio:.2f}")


if __name__ == "__main__":
    main()
