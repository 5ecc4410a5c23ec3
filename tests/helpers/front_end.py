"""A front end that shows one cell's outputs, and a reply that is played into it on a clock moved by hand."""

from __future__ import annotations

import json
from typing import Any

from chatglm_magic._events import TextDelta
from chatglm_magic._reply import Reply
from chatglm_magic.renderers.cell import CellRenderer

ENVELOPE = 650
"""Bytes that headers, signature and topic add to each message of a real kernel (measured)."""
TICK = 0.05


class FrontEnd:
    """Takes what a renderer publishes, as a notebook does: updates by display id, clears when told to.

    Attributes:
        outputs: What the cell shows now, from top to bottom; the user's own outputs are strings.
        log: Of each message, when it came and how many bytes it had.
        peak: The most outputs there ever were.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.outputs: list[Any] = []
        self.log: list[tuple[float, int]] = []
        self.peak = 0
        self.cleared = 0
        self._clear = False
        self._displays: dict[str, dict[str, Any]] = {}

    def clock(self) -> float:
        return self.now

    def prints(self, text: str) -> None:
        """Show an output of the user's."""
        self._clear_now()
        self.outputs.append(text)

    def publish(self, data, metadata=None, *, transient=None, update=False) -> None:
        message = json.dumps([data, metadata, transient], ensure_ascii=False)
        self.log.append((self.now, ENVELOPE + len(message.encode())))
        output = {"data": data, "metadata": metadata or {}}
        display = (transient or {}).get("display_id", "")
        if update:
            self._displays[display].update(output)
            return
        self._clear_now()
        self._displays[display] = output
        self.outputs.append(output)
        self.peak = max(self.peak, len(self.outputs))

    def clear_output(self, *, wait=False) -> None:
        self.log.append((self.now, ENVELOPE))
        self.cleared += 1
        self._clear = True
        if not wait:
            self._clear_now()

    def _clear_now(self) -> None:
        if self._clear:
            self.outputs.clear()
            self._clear = False

    @property
    def markdown(self) -> str:
        """All Markdown that is to be seen now, without the mark of a reply that is still being written."""
        shown = [output["data"].get("text/markdown", "") for output in self.outputs if isinstance(output, dict)]
        return "\n\n".join(part for part in shown if part).removeprefix("*[still being written]*\n\n")

    @property
    def bytes(self) -> int:
        """The bytes of all messages."""
        return sum(size for _, size in self.log)

    def busiest(self, seconds: float) -> int:
        """The most messages in any such stretch of time."""
        times = [time for time, _ in self.log]
        return max((sum(start <= time < start + seconds for time in times) for start in times), default=0)


class Play:
    """One reply as it is written to a renderer, with a tick every 50 ms between events.

    Attributes:
        lags: Of each event, the seconds until something was painted after it.
    """

    def __init__(self, front: FrontEnd, renderer) -> None:
        self.front = front
        self.renderer = renderer
        self.reply = Reply("glm", "test")
        self.lags: list[float] = []
        self._pending: list[float] = []
        self._tick = 0.0
        renderer.open("glm")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.front.now + seconds
        while self._tick <= until:
            self.front.now = max(self.front.now, self._tick)
            self._do(self.renderer.tick)
            self._tick += TICK
        self.front.now = until

    def say(self, *events) -> None:
        """Let events arrive now."""
        for event in events:
            self.reply.add(event)
            self._pending.append(self.front.now)
            self._do(lambda event=event: self.renderer.write(event))

    def end(self, error: BaseException | None = None) -> None:
        """End the reply."""
        self._do(lambda: self.renderer.close(self.reply, error))

    def _do(self, step) -> None:
        before = len(self.front.log)
        step()
        if len(self.front.log) > before:
            self.lags += [self.front.now - time for time in self._pending]
            self._pending.clear()


SENTENCE = "注意力机制让模型在处理每个词的时候看到其他所有的词，并且按照相关的程度加权求和。"


def chinese(characters: int) -> str:
    """Give Markdown of all kinds of blocks, as long as asked for."""
    blocks = [
        "## 标题\n\n",
        f"{SENTENCE}{SENTENCE}\n\n",
        f"- {SENTENCE}\n- **重点** {SENTENCE}\n\n",
        f"{SENTENCE}$x<y$。\n\n",
        "```python\ndef f(x: list[int]) -> int:\n    return x[0] + 1\n```\n\n",
    ]
    text, number = "", 0
    while len(text) < characters:
        text += blocks[number % len(blocks)]
        number += 1
    return text[:characters]


def play(*, exclusive: bool = True, **how) -> Play:
    front = FrontEnd()
    if not exclusive:
        front.prints("the user's own")
    return Play(front, CellRenderer(front, exclusive=exclusive, clock=front.clock, **how))


def stream(text: str, *, seconds: float = 0.005, exclusive: bool = True) -> Play:
    """Play a text, two characters a delta."""
    played = play(exclusive=exclusive)
    for at in range(0, len(text), 2):
        played.wait(seconds)
        played.say(TextDelta(text[at : at + 2]))
    return played
