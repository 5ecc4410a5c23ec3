"""A notebook cell: finished blocks stay, only the tail is updated.

What is sent grows linearly with the reply: a block of Markdown that is final is not sent again before
the end, and the longer the tail, the rarer it is repainted. JupyterLab folds a cell's outputs beyond
50, so each block is a little longer than the one before, and when they are used up they become one, at
twice the length each time. At the end all give way to one output, the one that is saved.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from .._coalesce import Coalescer
from .._compose import bundle
from .._events import Event, Finished, Usage
from .._markdown.links import literal
from .._reply import Reply
from . import Publisher
from ._draft import Draft, Frame

_BLOCK = 300
"""Characters that a tail may have at the beginning, before what is final of it becomes a block."""
_BLOCKS = 46
"""How many blocks a reply may have in a cell of its own: JupyterLab's 50 outputs, less what we add ourselves."""
_GROWTH = 1.05
"""How much longer each block is than the one before: 46 of them hold some 40,000 characters."""
_BLOCKS_AMONG_OTHERS = 4
"""How many it may have in a cell with outputs of the user's: there they stay behind, empty, at the end."""
_CLEARED = 8
"""Blocks from which it takes fewer messages to clear the cell than to empty them one by one."""
_PERIOD = 0.055
"""Seconds between two paints at least."""
_GAP = 0.05
"""Seconds for each message sent: servers drop what comes too fast, and the end of a reply with it."""
_WEIGHT = 650
"""Bytes that a message weighs by itself."""
_CALM = 0.1
"""Seconds that a reader waits at most for a tail of usual length."""
_CALM_RATE = 15_000
"""Bytes a second that repainting such a tail may take."""
_LONG_CALMS = ((15_000, 0.11), (3_000, 0.09))
"""Characters of a page, and seconds that its reader waits at least: each paint lays the page out anew."""
_RATE = 28_000
"""Bytes a second that anything may take: the longer what was sent, the longer the rest behind it."""
_LONGEST = 1.0
"""Seconds of that rest at most: behind a book that came at once, the next words are waited for too."""
_RENDER = 0.0001
"""Seconds of rest for each character: a front end needs 5.5 µs to render it and is to be idle else."""
_THINKING = 0.25
"""Seconds between two glances at a thought."""
_EMPTY = {"text/plain": ""}
_STREAMING = {"chatglm_magic": {"status": "streaming"}}


class CellRenderer:
    """Shows a reply in the output of the cell that asked.

    Args:
        publisher: IPython's `display_pub`, or what behaves like it.
        exclusive: Whether the cell holds nothing but our magic, so that its outputs may be cleared.
        hz: Paints a second at most; never more than 18.
        show_thinking: Whether thinking is shown.
        show_usage: Whether tokens and seconds are shown at the end.
        form: As what the whole is shown at the end; see `bundle`.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        exclusive: bool,
        hz: float = 20,
        show_thinking: bool = True,
        show_usage: bool = False,
        form: str = "md",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._exclusive = exclusive
        self._period = max(_PERIOD, 1 / hz)
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._form = form
        self._clock = clock
        self._slots = _Slots(publisher)
        self._draft = Draft(show_thinking=show_thinking)
        self._coalescer = Coalescer(self._paint, self._period, clock)
        self._settled: list[str] = []  # what stands in blocks
        self._joined = 0  # characters that stand in one block, since all blocks were used up
        self._label = ""
        self._note = "waiting"
        self._opened = clock()
        self._second = 0

    def open(self, label: str) -> None:
        """Show a status line at once."""
        self._label = label
        self._opened = self._clock()
        self._coalescer.touch()

    def status(self, text: str) -> None:
        """Say why nothing has come yet."""
        self._note = text
        if not self._draft.started:
            self._coalescer.touch()

    def write(self, event: Event) -> None:
        """Take one event; what is shown of it follows at the next paint, which for the first words is now."""
        draft = self._draft
        before = draft.started, draft.thinking_since is None
        draft.add(event, self._clock())
        if isinstance(event, (Usage, Finished)):
            return  # the end follows
        if (draft.started, draft.thinking_since is None) != before:
            self._coalescer.period = 0.0
        self._coalescer.touch()

    def tick(self) -> None:
        """Paint what is due; where no words come, the seconds so far."""
        since = self._opened if not self._draft.started else self._draft.thinking_since
        if since is not None and int(self._clock() - since) != self._second:
            self._second = int(self._clock() - since)
            self._coalescer.touch()
        self._coalescer.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Put one output in the place of all; nothing where an error comes instead of any word."""
        if error is not None and not reply.parts and reply.finish_reason == "error":
            self._clear()
            return
        data, metadata = bundle(reply, show_thinking=self._show_thinking, show_usage=self._show_usage, form=self._form)
        if self._exclusive:
            if self._slots.sent:  # what was shown before us, if anything, is not ours to clear
                self._publisher.clear_output(wait=True)
            self._publisher.publish(data, metadata=metadata)
            return
        self._slots.restart()
        self._slots.show(data, metadata)

    def _paint(self, _: str) -> None:
        """Show finished blocks and the tail, then rest for as long as that was heavy."""
        now = self._clock()
        if not self._draft.started:
            self._slots.show(_markdown(self._status_line(now)))
            self._coalescer.period = self._period
            return
        frame = self._draft.frame(self._limit(), now)
        messages = self._slots.sent
        if frame.anew:
            self._clear_blocks()
            self._settled.clear()
            self._joined = 0
        self._settled += frame.finished
        if frame.finished and self._exclusive and self._slots.used >= _BLOCKS:
            frame = self._join(frame)
        self._slots.show_below([_markdown(text) for text in (*frame.finished, frame.tail)], moves=frame.moves)
        self._coalescer.period = max(self._rest(frame), _GAP * (self._slots.sent - messages))

    def _join(self, frame: Frame) -> Frame:
        """Let one block take the place of all."""
        self._settled = ["\n\n".join(self._settled)]
        self._joined = len(self._settled[0])
        self._publisher.clear_output(wait=True)
        self._slots = _Slots(self._publisher, sent=self._slots.sent + 1)
        return Frame(list(self._settled), frame.tail, anew=False)

    def _limit(self) -> float:
        """Give the characters that a tail may have: few at first, more the more blocks there are."""
        size, blocks = self._draft.size, self._slots.used
        if not self._exclusive:
            return max(4 * _BLOCK, size / 2) if blocks < _BLOCKS_AMONG_OTHERS else math.inf
        share = (_GROWTH - 1) / (_GROWTH**_BLOCKS - 1)  # of the first of as many blocks as may come, that grow so
        return max(_BLOCK, self._joined * share) * _GROWTH**blocks

    def _rest(self, frame: Frame) -> float:
        """Give the seconds to the next paint."""
        if self._draft.thinking_since is not None:
            return max(self._period, _THINKING)
        tail = _size(frame.tail)
        return max(
            self._period,
            next((seconds for size, seconds in _LONG_CALMS if self._draft.size > size), 0.0),
            min(_CALM, tail / _CALM_RATE),
            min(_LONGEST, (tail + sum(map(_size, frame.finished))) / _RATE),
            len(frame.tail) * _RENDER,
        )

    def _status_line(self, now: float) -> str:
        seconds = now - self._opened
        since = f" · {seconds:.0f} s" if seconds >= 1 else ""
        return f"*{literal(self._label)} · {literal(self._note)}{since}*"

    def _clear_blocks(self) -> None:
        if self._exclusive and self._slots.used > _CLEARED:
            self._publisher.clear_output(wait=True)
            self._slots = _Slots(self._publisher, sent=self._slots.sent + 1)
        else:
            self._slots.restart()

    def _clear(self) -> None:
        """Take away what was shown: an error comes in its place."""
        if self._exclusive:
            self._publisher.clear_output(wait=True)
        elif self._slots.used:
            self._slots.restart()
            self._slots.show(_EMPTY)


class _Slots:
    """Displays below each other in one cell, filled from the top.

    Attributes:
        sent: How many messages that took.
    """

    def __init__(self, publisher: Publisher, sent: int = 0) -> None:
        self.sent = sent
        self._publisher = publisher
        self._name = uuid.uuid4().hex[:12]
        self._shown: list[bool] = []  # of each display, whether there is anything in it
        self._at = 0

    @property
    def used(self) -> int:
        """How many displays there are."""
        return len(self._shown)

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Fill the current display; one that is new says that the reply is not whole."""
        update = self._at < len(self._shown)
        if not update:
            self._shown.append(True)
            metadata = metadata or _STREAMING
        self._shown[self._at] = True
        transient = {"display_id": f"{self._name}-{self._at}"}
        self._publisher.publish(data, metadata=metadata or {}, transient=transient, update=update)
        self.sent += 1

    def show_below(self, blocks: list[dict[str, Any]], *, moves: bool) -> None:
        """Fill the current display and those below it, one each; the last one is the current one then.

        Where some of what the current one shows moves to those below, it comes last. Front ends paint between
        two messages: were it first, what is seen would grow shorter for a moment, and a page that is scrolled
        to its end would jump.
        """
        first = self._at
        places = list(range(first, first + len(blocks)))
        if moves and first < len(self._shown):
            places.append(places.pop(0))
        for self._at in places:
            self.show(blocks[self._at - first], _STREAMING if self._at < first + len(blocks) - 1 else None)
        self._at = first + len(blocks) - 1

    def restart(self) -> None:
        """Empty all displays but the first, and go back to that."""
        for place in range(1, len(self._shown)):
            if self._shown[place]:
                self._at = place
                self.show(_EMPTY)
                self._shown[place] = False
        self._at = 0


def _size(text: str) -> int:
    """Give the bytes of a message that shows this."""
    return _WEIGHT + len(text.encode(errors="replace"))


def _markdown(text: str) -> dict[str, Any]:
    return {"text/markdown": text}
