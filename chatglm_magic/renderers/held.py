"""Replies that may be stored ones: nothing is shown before that is known, and of a stored one only the whole."""

from __future__ import annotations

from collections.abc import Callable

from .._events import Event
from .._reply import Reply
from . import Renderer


class Held:
    """Lets another renderer show a reply from the first tick or word on, and one that is stored at its end.

    A stored reply is there at once. Painting its status line and its growth would be a burst of messages, of
    which servers drop what comes too fast.

    Args:
        inner: Shows it.
        is_stored: Tells whether it is known to be stored.
        prepare: Called right before anything else is shown, of a reply that is not stored.
    """

    def __init__(self, inner: Renderer, is_stored: Callable[[], bool], prepare: Callable[[], None]) -> None:
        self._inner = inner
        self._is_stored = is_stored
        self._prepare = prepare
        self._label = ""
        self._note = ""
        self._begun = False

    def open(self, label: str) -> None:
        """Take note of who is asked."""
        self._label = label

    def status(self, text: str) -> None:
        """Say why nothing has come yet, once it is worth a line."""
        self._note = text
        if self._begun:
            self._inner.status(text)

    def write(self, event: Event) -> None:
        """Take one event."""
        if self._shows():
            self._inner.write(event)

    def tick(self) -> None:
        """Paint what is due."""
        if self._shows():
            self._inner.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Show the end."""
        self._inner.close(reply, error)

    def _shows(self) -> bool:
        if not self._begun and not self._is_stored():
            self._begun = True
            self._prepare()
            self._inner.open(self._label)
            if self._note:
                self._inner.status(self._note)
        return self._begun
