"""Cells that show a streamed reply in a notebook: ours, the least that could be done, and what people write."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

_READ = """\
import aiohttp, orjson
from IPython.display import Markdown, display

async def pieces(url):
    rest, seen = b"", 0
    async with aiohttp.ClientSession() as session, session.post(url, json={"stream": True}) as response:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\\n")
            for line in lines:
                if not line.startswith(b"data: {"):
                    continue
                frame = orjson.loads(line[6:])
                if "choices" in frame:
                    text = frame["choices"][0]["delta"].get("content") or ""
                else:
                    whole = frame["parts"][0]["content"][0]["text"]
                    text, seen = whole[seen:], len(whole)
                if text:
                    yield text
"""
"""The minimal loop, as a generator; `silent` has it inlined."""

_SILENT = f"""{_READ}
async def ask(url):
    display(Markdown("".join([text async for text in pieces(url)])))
"""
_PRINT = f"""{_READ}
async def ask(url):
    async for text in pieces(url):
        print(text, end="", flush=True)
"""
_UPDATE = f"""{_READ}
async def ask(url):
    text = ""
    handle = display(Markdown(text), display_id=True)
    async for piece in pieces(url):
        text += piece
        handle.update(Markdown(text))
"""


@dataclass(frozen=True)
class Contestant:
    """One way to ask.

    Attributes:
        load: The first cell of a session.
        ask: The cell that asks; `{url}` is the whole address, `{base}` that without the path of the dialect.
    """

    load: str
    ask: str


CONTESTANTS = {
    "silent": Contestant(_SILENT, "await ask({url!r})"),
    "ours": Contestant("%load_ext chatglm_magic", "%%chatglm -m {model} --base-url {base}\nhello"),
    "print(flush)": Contestant(_PRINT, "await ask({url!r})"),
    "display.update": Contestant(_UPDATE, "await ask({url!r})"),
}

LOADS = {"pass": "pass", "import aiohttp": "import aiohttp", "%load_ext chatglm_magic": "%load_ext chatglm_magic"}
"""First cells whose time is compared."""

PEERS = {
    "jupyter-ai-magics": ("jupyter_ai_magics", "%load_ext jupyter_ai_magics"),
    "chatlab": ("chatlab", "import chatlab"),
}
"""Others' packages, whose load alone is measured where they are installed: their cells show nothing, or each token."""

PATHS = {"markdown": "/chat/completions", "webmarkdown": "/chatglm/mainchat-api/guest/stream"}


def cell(name: str, origin: str, wire: str, tokens: int, pause: float) -> str:
    """Write the cell with which a contestant asks for a reply of so many tokens, `pause` milliseconds apart."""
    base = f"{origin}/{wire}/{tokens}/{pause:g}"
    model = "chatglm:glm-4.7" if wire.startswith("web") else "openai:glm-4.7"
    return CONTESTANTS[name].ask.format(url=base + PATHS[wire], base=base, model=model)


def installed_peers() -> dict[str, str]:
    """Give the first cells of the packages of others that are here, and say which are not."""
    found = {}
    for name, (module, load) in PEERS.items():
        if importlib.util.find_spec(module):
            found[name] = load
        else:
            print(f"{name}: not installed, skipped")
    return found
