"""What a panel is told of its conversation, in whichever thread it happens."""

from __future__ import annotations

import contextlib
import weakref
from typing import Protocol

from .._conversation import Conversation
from .._events import Event
from .._said import Said


class Marked(Protocol):
    """Takes note, from any thread, and looks later."""

    def mark(self, *, path: bool = True) -> None:
        """Take note that something has changed."""

    def grew(self, name: str) -> None:
        """Take note that an answer has grown."""


class SessionWatcher:
    """Tells a session of its conversation; holds neither of them."""

    def __init__(self, session: Marked) -> None:
        self._session = weakref.ref(session)

    def began(self, conversation: Conversation, question: Said, answer: Said) -> None:
        """Show both."""
        del question, answer
        if (session := self._here(conversation)) is not None:
            session.mark()

    def grew(self, conversation: Conversation, answer: Said, event: Event) -> None:
        """Leave a mark: the clock comes by."""
        del event
        if (session := self._here(conversation)) is not None:
            session.grew(answer.id)

    def ended(self, conversation: Conversation, answer: Said, error: BaseException | None) -> None:
        """Show how."""
        del answer, error
        if (session := self._here(conversation)) is not None:
            session.mark()

    def changed(self, conversation: Conversation) -> None:
        """Show what it is now."""
        if (session := self._here(conversation)) is not None:
            session.mark()

    def _here(self, conversation: Conversation) -> Marked | None:
        """Give the session; None once it is gone, which is then not told any more."""
        session = self._session()
        if session is None:
            with contextlib.suppress(Exception):
                conversation.unwatch(self)
        return session
