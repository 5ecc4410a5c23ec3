"""The page's part of a panel: one anywidget, whose files are in `static`, and the channel that paces what is sent."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import msgspec

from .._jupyter.widgets import hear_while_busy
from .protocol import Chips, Message, Note, Ok, Pong, replace_surrogates

PER_SECOND = 20
"""Messages to the page in one second. Jupyter's servers drop bursts, and the last words of an answer with them."""
_MAX_WAITING = 200
"""Messages that may wait before acknowledgements are dropped: a page that asks for so much reads none of them."""
_MAX_VIEWS = 16
"""Views that are remembered: a page that is closed in haste does not say goodbye."""

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = (
    *("dom", "channel", "text", "actions", "card", "message", "message_list"),
    *("files", "composer", "maps", "pickers", "panel"),
)
"""The scripts, each behind all that it imports."""
_LINKS = re.compile(r"^import [^;]*;\n|^export (?!default)", re.MULTILINE)
"""What links the scripts to each other, and means nothing in one text."""


def module() -> str:
    """Return the text of the panel's JavaScript module.

    anywidget loads a single text, in which no relative import can be resolved. The scripts are modules of their
    own, so that editors understand them; joined, they share one scope. `panel.html` and `zh.json`, what its words and
    theirs are in Chinese, are constants before them.
    """
    scripts = [_LINKS.sub("", (_STATIC / f"{name}.js").read_text(encoding="utf-8")) for name in _SCRIPTS]
    markup = json.dumps((_STATIC / "panel.html").read_text(encoding="utf-8"))
    chinese = json.dumps(json.loads((_STATIC / "zh.json").read_text(encoding="utf-8")))
    return "\n".join((f"const PANEL_HTML = {markup};", f"const PANEL_ZH = {chinese};", *scripts))


class Transcript(anywidget.AnyWidget):
    """Header, messages, composer and footer; they send and receive custom messages, not traits.

    Args:
        height: A CSS length.
    """

    # As texts: where anywidget is given a path, every widget ever made stays in memory.
    _esm = module()
    _css = (_STATIC / "panel.css").read_text(encoding="utf-8")

    def __init__(self, height: str) -> None:
        super().__init__(layout={"height": height, "width": "100%"})
        hear_while_busy(self.comm)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the page; do nothing once this is closed."""
        if self.comm is None:
            return
        try:
            self.send(message)
        except UnicodeEncodeError:  # half of a UTF-16 pair, which a model may write
            self.send(replace_surrogates(message))


class Channel:
    """Sends messages to the views of one panel: numbered, in order, at most `PER_SECOND`. For one thread.

    Args:
        send: Sends JSON data to all views.
        clock: Returns seconds from any fixed point.

    Attributes:
        views: The known views, each with the id of the oldest message that it holds.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.views: dict[str, str] = {}
        self._send = send
        self._clock = clock
        self._number = 0
        self._waiting: deque[Message] = deque()
        self._sent: deque[float] = deque(maxlen=PER_SECOND)

    @property
    def waiting(self) -> bool:
        """Whether messages wait for their turn."""
        return bool(self._waiting)

    @property
    def pause(self) -> float:
        """Seconds until the next message may be sent."""
        if len(self._sent) < PER_SECOND:
            return 0.0
        return max(0.0, self._sent[0] + 1.0 - self._clock())

    def add_view(self, view: str) -> None:
        """Remember a view as the newest, and forget the oldest where there are too many."""
        self.views[view] = self.views.pop(view, "")
        while len(self.views) > _MAX_VIEWS:
            del self.views[next(iter(self.views))]

    def put(self, message: Message) -> None:
        """Queue a message; an acknowledgement or a note that waits already is not queued twice."""
        if isinstance(message, (Ok, Pong, Note, Chips)) and (
            len(self._waiting) >= _MAX_WAITING or message in self._waiting
        ):
            return
        self._waiting.append(message)

    def flush(self) -> None:
        """Send what may be sent now."""
        while self._waiting and self.pause <= 0:
            self._number += 1
            message = self._waiting.popleft()
            self._sent.append(self._clock())
            self._send({"n": self._number, **msgspec.to_builtins(message)})

    def clear(self) -> None:
        """Drop what waits: no view is left to read it."""
        self._waiting.clear()
