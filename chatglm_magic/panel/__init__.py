"""ChatPanel: a chat that lives in the notebook, in the same conversations as the cells."""

from __future__ import annotations

import asyncio
from typing import Any

import ipywidgets as widgets

from .._chat import Chat
from .._comms import can_show_button
from .._errors import ConfigError
from .._reply import Reply
from .actions import Actions
from .asking import Asking
from .desk import Desk, shell
from .session import Session
from .settings import Settings
from .still import still
from .transcript import Transcript

__all__ = ["ChatPanel"]

_TICK = 0.05
"""Seconds between two looks at a reply that a cell waits for; they let an interrupt bite."""


class ChatPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A chat: put it at a cell's end, or `display` it. It streams while other cells run.

    Args:
        chat: The conversation. Without one, where `%load_ext chatglm_magic` was run, the one that cells ask in;
            else a new one, answered as `Chat()` would.
        height: How high it is, a CSS length.

    A reply that a panel asked for runs on when a cell is interrupted; it is stopped by Stop. Where no widget
    can be shown, in a terminal or a headless run, what has been said so far is shown as text.
    """

    def __init__(self, chat: Chat | None = None, *, height: str = "min(36rem, 70vh)") -> None:
        desk = desk_for(chat)
        self._transcript = Transcript(height)
        self._session = Session(desk, chat or desk.first(), self._transcript.tell)
        self._settings = Settings(self._session.chat, self._session.later)
        self._actions = Actions(self._session, self._settings)
        self._transcript.on_msg(self._receive)
        super().__init__([self._transcript, self._settings.box])
        self.add_class("chatglm-panel")

    @property
    def chat(self) -> Chat:
        """The conversation that is shown."""
        return self._session.chat

    async def send(self, text: str) -> Reply:
        """Ask in the panel's conversation, as if it had been typed there, and wait for the reply.

        An interrupt ends the waiting, not the reply.

        Raises:
            ConfigError: There is nothing to ask.
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        if not text.strip():
            msg = "There is nothing to ask: the message is empty."
            raise ConfigError(msg)
        asking = Asking(self.chat, text)
        self._session.later(lambda: self._actions.ask(asking))
        while not asking.done:  # noqa: ASYNC110 - it ends in another loop
            await asyncio.sleep(_TICK)
        if asking.error is not None:
            raise asking.error
        return asking.reply

    def close(self) -> None:
        """Take the panel off the page. The conversation stays, and so does a reply that is on its way."""
        self._session.close()
        self._settings.close()
        self._transcript.close()
        super().close()

    def _receive(self, _: object, content: object, buffers: object) -> None:
        del buffers
        self._actions.receive(content)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:  # noqa: ANN401 - IPython's own protocol
        """Show the widget where somebody may use it, and what was said where not."""
        said = still(self.chat.name, self.chat.tree.path())
        here = shell()
        if here is None or not can_show_button(here):
            return said
        shown = super()._repr_mimebundle_(**kwargs)
        data, *rest = shown if isinstance(shown, tuple) else (shown,)
        return (data | said, *rest) if rest else data | said


def desk_for(chat: Chat | None) -> Desk:
    """Give the desk of the magics, where they are loaded and the conversation is one of theirs."""
    here = shell()
    magics = None if here is None else here.magics_manager.registry.get("ChatGLMMagics")
    desk: Desk | None = getattr(magics, "desk", None)
    if desk is not None and (chat is None or any(chat is one for one in desk.opened().values())):
        return desk
    return Desk(chat if chat is not None else Chat())
