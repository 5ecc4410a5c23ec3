"""What a growing reply costs the page: JupyterLab in real Chromium, a real kernel, a paced stream.

    python -m tests.bench.browser [--quick] [--pictures FOLDER]

Some text stands in the cell already; then 200 tokens a second (four characters each) come for five seconds. Told are
the main thread's share of one core while they come, long tasks, how often what was on the screen jumped, and how long
a click on Stop takes to hang up at the server.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "helpers")]

from driver import OpenNotebook, Visitor, chromium, visitor  # noqa: E402 - the tests' folders are no packages
from glm_server import FakeGLM  # noqa: E402

from tests.bench.wires import PASSAGE  # noqa: E402

GOALS = {20_000: 13.0, 200_000: 20.0}
"""B1 and B2: percent of one core, by the characters that stand there already."""
COLUMNS, COLUMNS_START, COLUMNS_GOAL = 4, 2_000, 25.0
"""Models side by side, each at the same rate: how many, the characters of each that stand there, percent of a core."""
TITLES = (
    f"{'characters':>10} {'goal %':>7} {'thread %':>9} {'long tasks':>11} {'worst ms':>9} {'layout shift':>13}"
    f" {'jumps':>6} {'worst frame ms':>15} {'at the end ms':>14}"
)
STREAM, RATE, PIECE = 5.0, 200, 4

# Where each block of the reply stands on the screen, frame by frame; a block that moves up or away has jumped.
WATCH_JUMPS = """() => {
  window.__jumps = []; window.__frames = []; let last = null, before = performance.now();
  const area = window.__panel().content.widgets[1].node.querySelector('.jp-Cell-outputArea');
  const step = now => {
    if (window.__ended) return;
    window.__frames.push(now - before); before = now;
    const height = area ? area.getBoundingClientRect().height : 0;
    if (last !== null && height < last - 2) window.__jumps.push(last - height);
    last = height; requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}"""


def stretch(size: int) -> str:
    """Give Markdown of a length."""
    return "".join(itertools.islice(itertools.cycle(PASSAGE), size))


def thread_seconds(session) -> float:
    """Give the seconds that the page's main thread has been busy."""
    metrics = {row["name"]: row["value"] for row in session.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"]


def stream_on(
    person: Visitor,
    glm: FakeGLM,
    size: int,
    *,
    jumps: bool = False,
    pictures: Path | None = None,
    dark: bool = False,
    columns: int = 1,
) -> dict[str, float]:
    """Measure five seconds of a stream on top of `size` characters.

    Args:
        person: Who looks on.
        glm: Who answers.
        size: What stands there already.
        jumps: Watch each frame, instead of the time that the main thread is busy.
        pictures: Take pictures instead, and put them there.
        dark: Use the dark theme.
        columns: How many models answer side by side.
    """
    count = int(STREAM * RATE)
    whole = stretch(size + count * PIECE)
    pause = 3.0 if size < 100_000 else 8.0  # for what stood before to be painted
    glm.forget()
    glm.script(paced_reply([whole[:size], *(whole[at : at + PIECE] for at in range(size, len(whole), PIECE))], pause))
    models = "glm-4.7" if columns == 1 else " -m ".join(f"openai:model-{number}" for number in range(columns))
    ask = f"%%chatglm --base-url {glm.url} -m {models}\ngo on"
    with person.opens(["%load_ext chatglm_magic", ask, "1 + 1"], dark=dark, fresh=True) as notebook:
        notebook.run(0)
        session = notebook.page.context.new_cdp_session(notebook.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time: neighbours do not count
        notebook.start(1)
        time.sleep(pause - 0.5)
        notebook.js("() => { window.__long.length = 0; window.__shift = 0; }")
        if jumps:
            notebook.js(WATCH_JUMPS)
        time.sleep(1.0)
        busy, started = thread_seconds(session), time.monotonic()
        shots(notebook, pictures, f"{'dark' if dark else 'light'}-{size}")
        time.sleep(max(0.0, STREAM - 1.0 - (time.monotonic() - started)))
        share = (thread_seconds(session) - busy) / (time.monotonic() - started)
        long, shift, found, frames = notebook.js(
            """() => { window.__ended = true;
            return [window.__long, window.__shift, window.__jumps || [], window.__frames || []] }"""
        )
        notebook.ended(1)
        end = notebook.js("() => window.__long")
    return {
        "share": 100 * share,
        "long": len(long),
        "longest": max(long, default=0.0),
        "shift": shift,
        "jumps": len(found),
        "frame": max(frames, default=0.0),
        "end": max(end, default=0.0),
    }


def paced_reply(pieces: list[str], pause: float):
    """Script a reply whose first piece comes at once, the rest after a pause, at the rate of the goals."""
    import asyncio

    from glm_script import send
    from glm_wire import openai_events

    async def serve(request, _):
        async def chunks():
            due = 0.0
            for number, event in enumerate(openai_events(pieces)):
                if number == 1:
                    await asyncio.sleep(pause)
                    due = time.monotonic()
                elif number:
                    due += 1 / RATE
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                yield event

        return await send(request, chunks())

    return serve


def shots(notebook: OpenNotebook, folder: Path | None, name: str) -> None:
    """Take pictures while a reply grows, where somebody wants to look at them."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        notebook.page.screenshot(path=folder / f"{name}-{number}.png")
        time.sleep(1.0)


def stop_click(person: Visitor, glm: FakeGLM, times: int) -> list[float]:
    """Give the milliseconds from a click on Stop until the server sees the hang-up."""
    found = []
    with person.opens(
        ["%load_ext chatglm_magic", f"%%chatglm --base-url {glm.url} -m glm-4.7\ngo on"], fresh=True
    ) as notebook:
        notebook.run(0)
        for _ in range(times):
            glm.forget()
            glm.stall_after(3)
            aborted = glm.aborted
            notebook.start(1)
            button = notebook.output(1).locator("button", has_text="Stop")
            button.wait_for(timeout=20_000)
            time.sleep(0.3)
            clicked = time.monotonic()
            notebook.js("() => document.querySelector('.jp-Cell-outputArea button.widget-button').click()")
            glm.wait_until(lambda seen=aborted: glm.aborted > seen)
            found.append(1000 * (time.monotonic() - clicked))
            notebook.ended(1)
    return found


def compare(person: Visitor, glm: FakeGLM, size: int, goal: float, runs: int, columns: int = 1) -> None:
    """Print the figures of one size."""
    rows = [stream_on(person, glm, size, columns=columns) for _ in range(runs)]
    row = {key: statistics.median(each[key] for each in rows) for key in rows[0]}
    seen = stream_on(person, glm, size, jumps=True, columns=columns)
    name = str(size) if columns == 1 else f"{columns} x {size}"
    print(
        f"{name:>10} {goal:7.0f} {row['share']:9.1f} {row['long']:11.0f} {row['longest']:9.0f} {row['shift']:13.3f}"
        f" {seen['jumps']:6.0f} {seen['frame']:15.0f} {row['end']:14.0f}{'' if row['share'] <= goal else '   MISSED'}",
        flush=True,
    )


def main() -> None:
    """Print the figures beside the goals."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="the smaller text only, once")
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--columns", action="store_true", help="models side by side only")
    arguments.add_argument("--pictures", type=Path, help="where to put pictures of a growing reply, light and dark")
    given = arguments.parse_args()
    with FakeGLM() as glm, chromium() as browser, visitor(browser) as person:
        if given.pictures:
            for dark in (False, True):
                stream_on(person, glm, 1000, pictures=given.pictures, dark=dark)
        print(TITLES)
        if given.columns:
            compare(person, glm, COLUMNS_START, COLUMNS_GOAL, given.runs, COLUMNS)
            return
        for size, goal in GOALS.items():
            if not given.quick or size == min(GOALS):
                compare(person, glm, size, goal, 1 if given.quick else given.runs)
        compare(person, glm, COLUMNS_START, COLUMNS_GOAL, 1 if given.quick else given.runs, COLUMNS)
        stops = stop_click(person, glm, 2 if given.quick else 5)
        print(f"Stop click to hang-up: median {statistics.median(stops):.0f} ms, most {max(stops):.0f} ms")


if __name__ == "__main__":
    main()
