"""What the panel costs the page and the kernel: JupyterLab in real Chromium, a real kernel, a paced stream.

    python -m tests.bench.panel [--quick] [--runs N]

Some text stands in the panel already; then 200 tokens a second (four characters each) come for five seconds. Told are
the main thread's share of one core while they come (B1 and B2), long tasks, the panel's bytes on the kernel's output
channel for each character of a reply, how 500 messages open and scroll, and what repaints leave in the kernel.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "helpers")]

from driver import OpenNotebook, Visitor, chromium, visitor  # noqa: E402 - the tests' folders are no packages
from glm_server import FakeGLM  # noqa: E402
from panel_lab import RealPanel, load  # noqa: E402

from tests.bench.browser import PIECE, RATE, STREAM, paced_reply, stretch, thread_seconds  # noqa: E402

GOALS = {20_000: 10.0, 200_000: 10.0}
"""B1 and B2: percent of one core, by the characters that stand there already."""
MESSAGES = 500
FILL = f"""
import sys; sys.path.insert(0, {str(ROOT.parent)!r}); sys.path.insert(0, {str(ROOT)!r})
from tests.bench.browser import stretch
from chatglm_magic import Chat, ChatPanel
from chatglm_magic._conversation.message_node import MessageNode
chat = Chat()
last = ""
for number in range({MESSAGES}):
    role = "assistant" if number % 2 else "user"
    text = stretch(400) if number % 2 else f"Question {{number}}?"
    said = MessageNode(role=role, text=text, parent=last, finish_reason="stop")
    chat.tree.add(said)
    last = said.id
panel = ChatPanel(chat)
"""
# Counts what goes out on each comm, where it is handed to the kernel's socket.
COUNT = """
import json, ipywidgets
sent = [0, 0]
from chatglm_magic.panel.transcript import Transcript
tell = Transcript.tell
def counted(self, message):
    sent[0] += 1; sent[1] += len(json.dumps(message, ensure_ascii=False).encode()); tell(self, message)
Transcript.tell = counted
"""
RSS = "import gc, psutil; gc.collect(); print(psutil.Process().memory_info().rss)"
# Scrolls from end to end as fast as a person does, and notes each frame.
SCROLL = """async () => {
  const log = document.querySelector('.cg-log'), frames = [];
  let before = performance.now();
  for (let step = 0; step < 240; step += 1) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before); before = now;
    log.scrollTop += step < 120 ? -120 : 120;
  }
  return frames.slice(2);
}"""


def panel_of(notebook: OpenNotebook) -> RealPanel:
    """Give the panel that a notebook shows, ready."""
    panel = RealPanel(notebook)
    panel.message.wait_for(timeout=30_000)
    panel.page.wait_for_function("() => document.querySelector('.cg-panel').dataset.state === 'ready'")
    return panel


def stream_on(person: Visitor, glm: FakeGLM, size: int) -> dict[str, float]:
    """Measure five seconds of a stream on top of `size` characters."""
    count = int(STREAM * RATE)
    whole = stretch(size + count * PIECE)
    pause = 3.0 if size < 100_000 else 8.0  # for what stood before to be painted
    glm.forget()
    glm.script(paced_reply([whole[:size], *(whole[at : at + PIECE] for at in range(size, len(whole), PIECE))], pause))
    with person.opens([load(glm), COUNT, "%chatglm panel", "print(*sent)"], fresh=True) as notebook:
        for cell in range(3):
            notebook.run(cell)
        panel = panel_of(notebook)
        session = notebook.page.context.new_cdp_session(notebook.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time: neighbours do not count
        panel.ask("go on")
        time.sleep(pause - 0.5)
        notebook.js("() => { window.__long.length = 0; window.__shift = 0; }")
        time.sleep(1.0)
        busy, started = thread_seconds(session), time.monotonic()
        time.sleep(STREAM - 1.0)
        share = (thread_seconds(session) - busy) / (time.monotonic() - started)
        long, nodes = notebook.js("() => [window.__long, document.querySelectorAll('.cg-panel *').length]")
        panel.rests()
        end = notebook.js("() => window.__long")
        notebook.run(3)
        packets, sent = (int(word) for word in notebook.outputs(3)[0]["text"].split())
    return {
        "share": 100 * share,
        "long": len(long),
        "longest": max(long, default=0.0),
        "end": max(end, default=0.0),
        "nodes": nodes,
        "packets": packets,
        "bytes": sent / len(whole),
    }


def many(person: Visitor) -> dict[str, float]:
    """Measure a conversation of 500 messages: until it is to be read, and while it is scrolled through."""
    with person.opens(["%load_ext chatglm_magic", FILL, "panel"], fresh=True) as notebook:
        notebook.run(0)
        notebook.run(1)
        session = notebook.page.context.new_cdp_session(notebook.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        notebook.js("() => { window.__long.length = 0 }")
        busy, started = thread_seconds(session), time.monotonic()
        notebook.start(2)
        notebook.page.wait_for_function("() => document.querySelectorAll('.cg-message').length >= 100", polling=20)
        opened, work = time.monotonic() - started, thread_seconds(session) - busy
        longest = max(notebook.js("() => window.__long"), default=0.0)
        until = time.monotonic() + 60
        while notebook.js("() => document.querySelectorAll('.cg-message').length") < MESSAGES:
            notebook.js("() => { document.querySelector('.cg-log').scrollTop = 0 }")
            time.sleep(0.1)
            if time.monotonic() > until:
                raise TimeoutError("the older messages did not come")
        notebook.js("() => { const log = document.querySelector('.cg-log'); log.scrollTop = log.scrollHeight / 2 }")
        time.sleep(1.0)
        frames = notebook.js(SCROLL)
        nodes = notebook.js("() => document.querySelectorAll('.cg-panel *').length")
    return {
        "opened": opened,
        "work": work,
        "longest": longest,
        "nodes": nodes,
        "fps": 1000 / statistics.median(frames),
        "worst": max(frames),
        "late": 100 * sum(frame > 25 for frame in frames) / len(frames),
    }


def memory(person: Visitor, times: int) -> list[float]:
    """Give the kernel's growth in MB after each further round of views that ask for the whole."""
    with person.opens(["%load_ext chatglm_magic", FILL, "panel", RSS], fresh=True) as notebook:
        for cell in range(3):
            notebook.run(cell)
        panel_of(notebook)
        notebook.run(3)
        grown, before = [], int(notebook.outputs(3)[0]["text"])
        for _ in range(times):
            for _ in range(10):
                notebook.js(
                    """() => { const p = window.__panel(); p.content.activeCellIndex = 2;
                    return (window.jupyterapp || window.jupyterlab).commands.execute('notebook:create-output-view') }"""
                )
                notebook.page.wait_for_function(
                    "() => document.querySelectorAll('.jp-LinkedOutputView .cg-message').length >= 100", timeout=30_000
                )
                notebook.js(
                    """() => { for (const one of (window.jupyterapp || window.jupyterlab).shell.widgets('main'))
                    if (one.node.querySelector('.jp-LinkedOutputView')) one.dispose() }"""
                )
            notebook.run(3)
            now = int(notebook.outputs(3)[0]["text"])
            grown.append((now - before) / 1e6)
            before = now
    return grown


def compare(person: Visitor, glm: FakeGLM, size: int, goal: float, runs: int) -> None:
    """Print the figures of one size."""
    rows = [stream_on(person, glm, size) for _ in range(runs)]
    row = {key: statistics.median(each[key] for each in rows) for key in rows[0]}
    print(
        f"{size:10} {goal:7.0f} {row['share']:9.1f} {row['long']:11.0f} {row['longest']:9.0f} {row['end']:14.0f}"
        f" {row['nodes']:7.0f} {row['packets']:8.0f} {row['bytes']:11.1f}{'' if row['share'] <= goal else '   MISSED'}",
        flush=True,
    )


def main() -> None:
    """Print the figures beside the goals."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="the smaller text only, everything once")
    arguments.add_argument("--runs", type=int, default=3)
    given = arguments.parse_args()
    runs = 1 if given.quick else given.runs
    with FakeGLM() as glm, chromium() as browser, visitor(browser) as person:
        print(
            f"{'characters':>10} {'goal %':>7} {'thread %':>9} {'long tasks':>11} {'worst ms':>9} {'at the end ms':>14}"
            f" {'nodes':>7} {'packets':>8} {'bytes/char':>11}"
        )
        for size, goal in GOALS.items():
            if not given.quick or size == min(GOALS):
                compare(person, glm, size, goal, runs)
        rows = [many(person) for _ in range(runs)]
        row = {key: statistics.median(each[key] for each in rows) for key in rows[0]}
        print(
            f"{MESSAGES} messages: to be read after {row['opened']:.2f} s (goal 1), {row['work']:.2f} s of them work"
            f" on the page, longest task {row['longest']:.0f} ms; all in the page: {row['nodes']:.0f} nodes, scrolled"
            f" at {row['fps']:.0f} frames a second, worst frame {row['worst']:.0f} ms, {row['late']:.1f} % late"
        )
        grown = memory(person, 2 if given.quick else 4)
        print(
            f"The kernel grows by {', '.join(f'{one:.1f}' for one in grown)} MB, each after ten repaints of the whole"
        )


if __name__ == "__main__":
    main()
