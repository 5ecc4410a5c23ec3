"""Many writes in, few paints out."""

from __future__ import annotations

import time
from collections.abc import Callable


class Coalescer:
    """Joins what is written until it is time to paint again; the writer never waits.

    The first write is painted at once, later ones when `period` has passed since the last paint: by the
    next write or `tick` after that. `stop` paints what is left.

    Args:
        paint: Shows more text; takes all that was written since the last paint (empty after `touch`).
        period: Seconds between two paints at least; may be changed at any time.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self, paint: Callable[[str], None], period: float = 0.05, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.period = period
        self._paint = paint
        self._clock = clock
        self._pending: list[str] = []
        self._touched = False
        self._painted: float | None = None

    def write(self, text: str) -> None:
        """Hand over more text; paints if it is time."""
        self._pending.append(text)
        self._touched = True
        self.tick()

    def touch(self) -> None:
        """Ask for a paint of what has changed other than by more text."""
        self.write("")

    def tick(self) -> None:
        """Paint if there is something to paint and it is time."""
        if self._touched and (self._painted is None or self._clock() - self._painted >= self.period):
            self._flush()

    def stop(self) -> None:
        """Paint what is left, whatever the time."""
        if self._touched:
            self._flush()

    def _flush(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        self._touched = False
        self._paint(text)
        self._painted = self._clock()  # after the paint: a slow one must not be followed by the next at once
