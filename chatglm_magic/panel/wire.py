"""Messages to the page: numbered, in order, and never more than the servers in between let through."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

PER_SECOND = 20
"""Messages a second at most. Jupyter's servers drop what comes in bursts, and the last words are lost with it."""

_MOST_WAITING = 200
"""How many messages may wait before mere acknowledgements are left out: a page that asks so much reads none."""
_PASSING = frozenset({"ok", "pong", "note", "chips"})

_MOST_VIEWS = 16
"""How many views are remembered: a page that was closed in haste does not say goodbye."""


class Wire:
    """The way to the views of one panel. For one thread.

    Args:
        send: Sends one message to all of them.
        clock: Seconds from any fixed point.

    Attributes:
        views: The views that there are, each with the id of the oldest message it holds.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.views: dict[str, str] = {}
        self._send = send
        self._clock = clock
        self._number = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._sent: deque[float] = deque(maxlen=PER_SECOND)

    @property
    def waiting(self) -> bool:
        """Whether messages wait for their turn; what is new may wait too, and be joined meanwhile."""
        return bool(self._waiting)

    @property
    def pause(self) -> float:
        """Seconds until another message may be sent."""
        if len(self._sent) < PER_SECOND:
            return 0.0
        return max(0.0, self._sent[0] + 1.0 - self._clock())

    def meet(self, view: str) -> None:
        """Take note of a view."""
        self.views[view] = self.views.pop(view, "")
        while len(self.views) > _MOST_VIEWS:
            del self.views[next(iter(self.views))]

    def put(self, kind: str, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Send a message when its turn has come; a passing note that waits already is not said twice."""
        message = {"k": kind, **fields}
        if kind in _PASSING and (len(self._waiting) >= _MOST_WAITING or message in self._waiting):
            return
        self._waiting.append(message)

    def flush(self) -> None:
        """Send what may be sent now."""
        while self._waiting and self.pause <= 0:
            self._number += 1
            message = self._waiting.popleft()
            self._sent.append(self._clock())
            self._send({"n": self._number, **message})

    def forget(self) -> None:
        """Drop what waits: nobody is there to read it."""
        self._waiting.clear()
