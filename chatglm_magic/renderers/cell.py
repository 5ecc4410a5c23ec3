"""A reply in the output of the cell that asked: finished blocks, a tail that is repainted, one output at the end.

The messages are those that the most front ends handle (JupyterLab, Notebook, VS Code, Colab, qtconsole, Jupyter's and
Spyder's consoles, `jupyter run`, nbclient and what is made of it, Voilà):

1. `display_data` with the status line, as Markdown and as plain text: consoles show it at once.
2. `update_display_data` of that display while the reply grows, and one more `display_data` for each block; consoles
   and `ipywidgets.Output` ignore updates.
3. At the end one `display_data` of its own, without a `display_id`, with the whole reply as Markdown and as plain text.
   In a cell that holds nothing else `clear_output` with `wait` goes before it; among other outputs the growing ones
   are emptied behind it, each by an update with a text (VS Code does not empty an output whose update has no data).

In an `ipywidgets.Output` the growing outputs are widgets (`WidgetPublisher`). A console that has started its kernel
itself is known: text streams there as it comes (`PlainRenderer`), since it could not take back what it has shown.
Where nobody watches (nbclient, papermill, nbval, an engine of ipyparallel) only the last message is sent, by a
`QuietRenderer`.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from .._events import Event, Finished, ToolStarted, Usage
from .._jupyter.shell import Publisher
from .._language import language, tr
from .._markdown.links import literal, visible
from .._markdown.reply_markdown import UNFINISHED
from .._markdown.table import Tabular
from .._reply import Reply
from . import Renderer
from .draft import Draft, Frame, ValueDraft
from .output import bundle

_BLOCK = 300
"""Characters of the first tail, before its finished part becomes a block."""
_BLOCKS = 46
"""Blocks of a reply in a cell of its own: JupyterLab shows 50 outputs, and some are not ours."""
_GROWTH = 1.05
"""Each block is longer than the one before by this factor: 46 of them hold some 40,000 characters."""
_BLOCKS_AMONG_OTHERS = 4
"""Blocks in a cell with outputs of the user's, which must not be cleared: empty blocks stay there at the end."""
_CLEARED = 8
"""Blocks from which clearing the cell takes fewer messages than emptying them one by one."""
_PERIOD = 0.055
"""Least seconds between two paints."""
_GAP = 0.05
"""Seconds for each message sent: servers drop what comes too fast, and the end of a reply with it."""
_ENVELOPE = 650
"""Bytes of a message without its content."""
_CALM = 0.1
_CALM_RATE = 15_000
"""A tail is repainted at no more than this many bytes a second, but at least every `_CALM` seconds."""
_LONG_CALMS = ((15_000, 0.11), (1_000, 0.1))
"""Characters of the reply, and the least seconds between paints from there on: each paint lays the page out anew."""
_LONGEST = 1.0
_RATE = 28_000
"""Nothing takes more than this many bytes a second, but no paint is delayed by more than `_LONGEST` seconds."""
_RENDER = 0.0001
"""Seconds for each character of the tail: a front end renders one in 5.5 µs and should be idle most of the time."""
_THINKING = 0.25
"""Least seconds between two paints of thinking."""
_EMPTY = {"text/plain": ""}


class Throttle:
    """Calls `paint` soon after each change, but not more often than once in `period` seconds.

    The first change is painted at once, a later one by the first `touch` or `tick` after the period.

    Args:
        paint: Shows all changes so far.
        period: Least seconds between two calls; may be changed at any time.
        clock: Seconds from any fixed point.
    """

    def __init__(self, paint: Callable[[], None], period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.period = period
        self._paint = paint
        self._clock = clock
        self._changed = False
        self._painted = -math.inf

    def touch(self) -> None:
        """Paint a change now if the period has passed, else with the first call after it."""
        self._changed = True
        self.tick()

    def tick(self) -> None:
        """Paint if something has changed and the period has passed."""
        if self._changed and self._clock() - self._painted >= self.period:
            self._changed = False
            self._paint()
            self._painted = self._clock()  # after the paint: the next one must not follow a slow one at once


class CellRenderer(Renderer):
    """Shows a reply in the output of the cell that asked.

    Args:
        publisher: IPython's `display_pub`, or what behaves like it.
        exclusive: Whether the cell holds nothing but our magic, so that its outputs may be cleared.
        hz: Paints a second at most; never more than 18.
        show_thinking: Whether thinking is shown.
        show_usage: Whether tokens and seconds are shown at the end.
        form: The form of the final output, as in `bundle`. `text` and `json` are shown as they are written while
            they grow too, not as the Markdown that they may look like.
        schema: What the answer has to be, where it is shown as a table; None for text.
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
        schema: Tabular | None = None,
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
        if schema is not None:
            self._draft: Draft = ValueDraft(schema, show_thinking=show_thinking)
        else:
            self._draft = Draft(show_thinking=show_thinking, fence=form if form in {"text", "json"} else "")
        self._throttle = Throttle(self._paint, self._period, clock)
        self._blocks: list[str] = []  # Markdown of the finished blocks
        self._joined = 0  # characters of the block that took the place of all when they were used up
        self._label = ""
        self._note = ""
        self._opened = clock()
        self._second = 0

    def open(self, label: str) -> None:
        """Show a status line at once."""
        self._label = label
        self._opened = self._clock()
        self._throttle.touch()

    def status(self, text: str) -> None:
        """Say in the status line why nothing has come yet."""
        self._note = text
        if not self._draft.started:
            self._throttle.touch()

    def write(self, event: Event) -> None:
        """Take one event. It is shown with the next paint; the first words are painted now."""
        draft = self._draft
        before = draft.stage
        draft.add(event, self._clock())
        if isinstance(event, (Usage, Finished)):
            return  # `close` shows them
        if isinstance(event, ToolStarted):
            self._exclusive = False  # what a function prints and draws is the user's, and stays
        if draft.stage != before:
            self._throttle.period = 0.0
        self._throttle.touch()

    def tick(self) -> None:
        """Paint what is due; while no words come, the seconds so far."""
        since = self._opened if not self._draft.started else self._draft.thinking_since
        if since is not None and int(self._clock() - since) != self._second:
            self._second = int(self._clock() - since)
            self._throttle.touch()
        self._throttle.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Put one output in the place of all; nothing where an error comes instead of any word."""
        if error is not None and not (reply.parts or reply.tool_runs) and reply.finish_reason == "error":
            self._clear()
            return
        data, metadata = bundle(reply, show_thinking=self._show_thinking, show_usage=self._show_usage, form=self._form)
        if self._exclusive and self._slots.sent:  # what was shown before us, if anything, is not ours to clear
            self._publisher.clear_output(wait=True)
        self._publisher.publish(data, metadata=metadata)
        if not self._exclusive:
            self._slots.empty()  # not before: the page would be shorter for a moment, and jump

    def _paint(self) -> None:
        """Show the finished blocks and the tail; set how long to wait with the next paint."""
        now = self._clock()
        if not self._draft.started:
            line = self._status_line(now)
            self._slots.show({**_markdown(f"*{literal(line)}*"), "text/plain": f"{visible(line)}\n"})
            self._throttle.period = self._period
            return
        frame = self._draft.frame(self._limit(), now)
        messages = self._slots.sent
        if frame.anew:
            self._clear_blocks()
            self._blocks.clear()
            self._joined = 0
        self._blocks += frame.finished
        if frame.finished and self._exclusive and self._slots.used >= _BLOCKS:
            frame = self._join(frame)
        texts = [*frame.finished, frame.tail]
        if self._slots.at_top:  # where it stays: taken away below the text, it would make the page jump
            texts[0] = f"*[{tr(UNFINISHED)}]*\n\n{texts[0]}"
        self._slots.show_below(list(map(_markdown, texts)))
        self._throttle.period = max(self._pause(frame), _GAP * (self._slots.sent - messages))

    def _join(self, frame: Frame) -> Frame:
        """Put one block in the place of all."""
        self._blocks = ["\n\n".join(self._blocks)]
        self._joined = len(self._blocks[0])
        self._clear_cell()
        return Frame(list(self._blocks), frame.tail, anew=False)

    def _limit(self) -> float:
        """Return the characters that the tail may have: few at first, more with each block."""
        size, used = self._draft.size, self._slots.used
        if not self._exclusive:
            return max(4 * _BLOCK, size / 2) if used < _BLOCKS_AMONG_OTHERS else math.inf
        # After a join as many blocks may come again: together they grow by as much as the joined one holds.
        first = self._joined * (_GROWTH - 1) / (_GROWTH**_BLOCKS - 1)
        return max(_BLOCK, first) * _GROWTH**used

    def _pause(self, frame: Frame) -> float:
        """Return the seconds to the next paint; see the constants."""
        if self._draft.thinking_since is not None:
            return max(self._period, _THINKING)
        tail = _bytes(frame.tail)
        return max(
            self._period,
            next((seconds for size, seconds in _LONG_CALMS if self._draft.size > size), 0.0),
            min(_CALM, tail / _CALM_RATE),
            min(_LONGEST, (tail + sum(map(_bytes, frame.finished))) / _RATE),
            len(frame.tail) * _RENDER,
        )

    def _status_line(self, now: float) -> str:
        seconds = now - self._opened
        since = tr("{seconds:.0f} s", seconds=seconds) if seconds >= 1 else ""
        return " · ".join(filter(None, (self._label, self._note or tr("waiting"), since)))

    def _clear_blocks(self) -> None:
        if self._exclusive and self._slots.used > _CLEARED:
            self._clear_cell()
        else:
            self._slots.restart()

    def _clear_cell(self) -> None:
        """Clear the cell when the next output comes, and begin with new displays."""
        self._publisher.clear_output(wait=True)
        self._slots = _Slots(self._publisher, sent=self._slots.sent + 1)

    def _clear(self) -> None:
        """Remove what was shown: an error comes in its place."""
        if self._exclusive:
            self._publisher.clear_output(wait=True)
        else:
            self._slots.empty()


class _Slots:
    """Displays below each other in one cell, filled from the top.

    Attributes:
        sent: How many messages that took.
    """

    def __init__(self, publisher: Publisher, sent: int = 0) -> None:
        self.sent = sent
        self._publisher = publisher
        self._name = uuid.uuid4().hex[:12]
        self._filled: list[bool] = []  # whether there is anything in each display
        self._current = 0

    @property
    def used(self) -> int:
        """How many displays there are."""
        return len(self._filled)

    @property
    def at_top(self) -> bool:
        """Whether the current display is the first."""
        return not self._current

    def show(self, data: dict[str, Any]) -> None:
        """Fill the current display; its metadata says that the reply is not whole."""
        update = self._current < len(self._filled)
        if not update:
            self._filled.append(True)
        self._filled[self._current] = data is not _EMPTY
        transient = {"display_id": f"{self._name}-{self._current}"}
        metadata = {} if data is _EMPTY else {"chatglm_magic": {"status": "streaming", "language": language()}}
        self._publisher.publish(data, metadata=metadata, transient=transient, update=update)
        self.sent += 1

    def show_below(self, blocks: list[dict[str, Any]]) -> None:
        """Fill the current display and those below it, one each; the last one becomes the current one.

        If there is something in the current one, it is filled last: a part of that may move to those below, front ends
        paint between two messages, and a page that is scrolled to its end would jump if it were shorter for a moment.
        """
        first, last = self._current, self._current + len(blocks) - 1
        below = range(first + 1, last + 1)
        order = (*below, first) if first < len(self._filled) else (first, *below)
        for self._current in order:
            self.show(blocks[self._current - first])
        self._current = last

    def restart(self) -> None:
        """Empty all displays but the first, which becomes the current one."""
        self.empty(first=1)
        self._current = 0

    def empty(self, first: int = 0) -> None:
        """Empty all displays, from the `first` on."""
        for number in range(first, len(self._filled)):
            if self._filled[number]:
                self._current = number
                self.show(_EMPTY)


def _bytes(text: str) -> int:
    """Return the size of a message that shows a text."""
    return _ENVELOPE + len(text.encode(errors="replace"))


def _markdown(text: str) -> dict[str, Any]:
    return {"text/markdown": text}
