"""ChatPanel: a chat that lives in the notebook, in the same conversations as the cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from .._chat import Chat
from .._errors import ConfigError, shorten
from .._event_loops import TICK
from .._jupyter.shell import can_show_widget, current_shell, loaded_magics
from .._jupyter.widgets import unopened
from .._language import tr
from .._reply import Reply
from .._tools.loop import ToolUse
from .._workspace import Workspace
from .actions import EMPTY, Actions
from .run import PanelRun
from .state import PanelState
from .transcript import Transcript
from .view import static_view

__all__ = ["ChatPanel"]


class ChatPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A chat: put it at a cell's end, or `display` it. It streams while other cells run.

    Args:
        chat: The conversation. Without one, where `%load_ext chatglm_magic` was run, the one that cells ask in;
            else a new one, answered as `Chat()` would.
        height: How high it is, a CSS length.
        tools: Functions that the model may ask for; a card in the panel asks about each call.
        chain_limit: How often the model may ask for functions in one answer; None for the usual number.

    Raises:
        ConfigError: A function cannot be a tool.

    A reply that was asked for in a panel goes on when a cell is interrupted; Stop ends it. Where no widget can be
    shown, in a terminal or a headless run, what has been said so far is shown as text. The panel speaks the language
    that `%config` or CHATGLM_LANG sets, else that of the page.
    """

    def __init__(
        self,
        chat: Chat | None = None,
        *,
        height: str = "min(36rem, 70vh)",
        tools: Sequence[Callable[..., Any]] = (),
        chain_limit: int | None = None,
    ) -> None:
        given: object = chat
        if not isinstance(given, Chat | None):
            msg = tr(
                "ChatPanel shows a Chat, not {given}: write {example}, or ChatPanel() for the conversation of the "
                "cells.",
                given=shorten(repr(given), 60),
                example='ChatPanel(Chat(name="lesson"))',
            )
            raise ConfigError(msg)
        offer = {"tools": list(tools), "chain_limit": chain_limit} if tools else {}
        workspace = _workspace_for(chat)
        shell = current_shell()
        self._is_open = can_show_widget(shell)
        with unopened(shell):
            self._transcript = Transcript(height)
            self._state = PanelState(workspace, chat or workspace.chat_for_panel(), self._transcript.tell, offer)
            self._actions = Actions(self._state)
            self._transcript.on_msg(lambda _, content, buffers: self._actions.receive(content, buffers))
            super().__init__([self._transcript])
            self.add_class("chatglm-panel")
        if tools:
            try:
                ToolUse.of(tools, None, chain_limit)
            except ConfigError:  # told here, not with the first question
                self.close()
                raise

    @property
    def chat(self) -> Chat:
        """The conversation that is shown."""
        return self._state.chat

    async def send(self, text: str) -> Reply:
        """Ask in the panel's conversation, as if the text had been typed there, and wait for the reply.

        An interrupt ends the waiting, not the reply.

        Raises:
            ConfigError: There is nothing to ask.
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        if not text.strip():
            raise ConfigError(tr(EMPTY))
        run = PanelRun(self.chat, text)
        self._actions.begin(run)
        while not run.done:  # noqa: ASYNC110 - it ends in another loop, and an interrupt only bites where this one wakes
            await asyncio.sleep(TICK)
        if run.error is not None:
            raise run.error
        return run.reply

    def close(self) -> None:
        """Take the panel off the page. The conversation stays, and a reply that is coming goes on."""
        if not hasattr(self, "_state"):  # ipywidgets closes also what could not be made
            return
        self._state.close()
        self._transcript.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:  # noqa: ANN401 - IPython's own protocol
        """Return what was said, and the widget too where somebody may use it."""
        static = static_view(self.chat.name, self.chat.tree.path())
        if not (self._is_open and can_show_widget(current_shell())):
            return static
        # The transcript knows what else Colab must be told to show widgets of other makers.
        metadata = (self._transcript._repr_mimebundle_() or ({}, {}))[1]
        return super()._repr_mimebundle_(**kwargs) | static, metadata


def _workspace_for(chat: Chat | None) -> Workspace:
    """Return the workspace of the magics if the conversation is one of theirs, else a new one."""
    workspace: Workspace | None = getattr(loaded_magics(), "workspace", None)
    if workspace is not None and (chat is None or any(chat is one for one in workspace.chats.values())):
        return workspace
    return Workspace(chat=chat if chat is not None else Chat())
