"""Draw the two pictures of notebook 04: `python -m tests.helpers.drawings`. test_house checks that they are current."""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "notebooks" / "images"

ROAD = (
    ("cell text", "_jupyter/input.py", "AwaitOurs", "the cell becomes a top-level await"),
    ("the magic", "_magics/magic.py", "chatglm_async", "all that %load_ext imports"),
    ("options", "_magics/door.py", "ask_awaited", "options and prompt are read from one table"),
    ("the question", "_magics/run.py", "Run", "{names} filled in; who answers, and where"),
    ("the wait", "_waiting.py", "await_reply", "ticks 50 ms apart, so that an interrupt bites"),
    ("the conversation", "_chat.py", "stream", "history in, events out; opens the provider"),
    ("the provider", "providers/openai/provider.py", "stream", "the request as JSON"),
    ("the decode loop", "providers/stream.py", "run", "bytes to events, by a decoder without I/O"),
    ("POST", "_transport/exchange.py", "open_stream", "retries before the first event only"),
)
"""The hops of a question from the cell to the POST: what it is, file, function or class, and what happens there."""

FLOORS = {
    "_magics : panel": "the doors: cells and the panel",
    "_workspace": "a kernel's conversations, defaults, models, store",
    "_chat": "history in, events out",
    "_map | _comparison": "a prompt over a column",
    "_store | _export | _extras": "kept, and written to be read · what a question brings",
    "_conversation | _resolve | renderers | _tools | _structured": "said · who answers · shown · tools · values",
    "providers | _attachments | _redaction | _waiting | _jupyter": "who speaks · pictures · keys · waiting · kernel",
    "_transport | _prompting | _reply": "the network · your values as text · events added up",
    "_markdown | _schema | _credentials": "model text, made safe · answers as values · keys",
    "_messages : _errors : _events : _event_loops : _language : _version": "values, loops, words",
}
"""What each floor of the import contract is for."""

_WIDTH = 900
_CODE = 'font-family="monospace" font-size="13"'
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    'font-family="Helvetica, Arial, sans-serif" font-size="14"><rect width="{width}" height="{height}" fill="white"/>'
)


def road() -> str:
    """Return the road as SVG: one box for each hop, top to bottom, and what flows back beside it."""
    step, top = 46, 20
    height = top + step * len(ROAD) + 20
    parts = [_HEAD.format(width=_WIDTH, height=height)]
    for number, (name, file, function, what) in enumerate(ROAD):
        y = top + number * step
        parts += [
            f'<rect x="20" y="{y}" width="820" height="36" rx="7" fill="#eef4ff" stroke="#4b74c8"/>',
            f'<text x="34" y="{y + 23}" font-weight="600">{number + 1}  {escape(name)}</text>',
            f'<text x="196" y="{y + 23}" {_CODE}>{escape(file)}: {escape(function)}</text>',
            f'<text x="545" y="{y + 23}" font-size="12" fill="#444">{escape(what)}</text>',
        ]
    parts.append(
        f'<path d="M866,{height - 30} L866,{top + 10}" stroke="#3c9a4f" stroke-width="2" fill="none"/>'
        f'<path d="M860,{top + 18} L866,{top + 4} L872,{top + 18} z" fill="#3c9a4f"/>'
        f'<text x="884" y="{height // 2}" transform="rotate(-90 884 {height // 2})" '
        'text-anchor="middle" fill="#3c9a4f">events come back the same way</text></svg>'
    )
    return "".join(parts) + "\n"


def layers() -> list[str]:
    """Return the floors of the import contract, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def floors() -> str:
    """Return the floors of the import contract as SVG."""
    step, top = 44, 16
    names = layers()
    height = top * 2 + step * len(names)
    parts = [_HEAD.format(width=_WIDTH, height=height)]
    for number, layer in enumerate(names):
        y = top + number * step
        parts += [
            f'<rect x="20" y="{y}" width="860" height="36" rx="7" fill="#effaf0" stroke="#3c9a4f"/>',
            f'<text x="34" y="{y + 23}" {_CODE} font-weight="600">{escape(layer)}</text>',
            f'<text x="530" y="{y + 23}" font-size="12" fill="#444">{escape(FLOORS[layer])}</text>',
        ]
    return "".join(parts) + "</svg>\n"


if __name__ == "__main__":
    (IMAGES / "road.svg").write_text(road(), encoding="utf-8")
    (IMAGES / "floors.svg").write_text(floors(), encoding="utf-8")
