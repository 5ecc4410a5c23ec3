"""The conversations of a kernel: which one is asked in, and what comes back out of the store."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .._chat import Chat
from .._compose import day
from .._errors import ConfigError, StoreError
from .._history import estimate_tokens
from .saying import say

if TYPE_CHECKING:
    from .._choice import Choice
    from .._events import Event
    from .._history import Place
    from .._messages import Request
    from .._store import Thread
    from .magic import ChatGLMMagics
    from .outcomes import Ask


class _Nobody:
    """Who answers in a conversation that has been opened and not been asked yet: a question brings its own."""

    name = "nobody"

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Refuse."""
        msg = "Nobody was asked in this conversation yet. Say who answers: %chatglm use MODEL."
        raise ConfigError(msg)
        yield  # type: ignore[unreachable]  # makes it a generator


_NUMBER = re.compile(r"#\d{1,9}")
USUAL = "default"
"""The conversation that every kernel begins with."""


def conversation(magics: ChatGLMMagics, name: str = "", tell: Callable[[str], object] = say) -> Chat:
    """Give a conversation: one that is open, else the stored one of that name, else a new one.

    Args:
        magics: Where the conversations are.
        name: Its name, or the number of a stored one (`#12`); empty for the current one. The usual one is new in
            each kernel.
        tell: Told in a sentence that one came back out of the store, or that it could not.

    Raises:
        ConfigError: None of that number is stored.
    """
    name = name or magics.current
    chat = magics.chats.get(name)
    if chat is not None:
        return chat
    if _NUMBER.fullmatch(name):
        return _numbered(magics, name)
    chat = Chat(_Nobody(), name=name)
    try:
        thread = magics.memory.find(name) if name != USUAL else None
        if thread is not None:
            tell(_bring_back(magics, chat, thread))
    except StoreError as error:  # a question is asked all the same
        tell(f"What conversation {name} may have held before cannot be read: {error}")
    return _opened(magics, chat)


def open_stored(magics: ChatGLMMagics, thread: Thread) -> Chat:
    """Give a stored conversation: open already, or brought back, under another name where its own is taken."""
    for chat in magics.chats.values():
        if chat.id == thread.id:
            return chat
    name = free_name(magics, thread.name) if thread.name in magics.chats else thread.name
    chat = Chat(_Nobody(), name=name)
    _bring_back(magics, chat, thread)
    return _opened(magics, chat)


def _numbered(magics: ChatGLMMagics, number: str) -> Chat:
    thread = magics.memory.find(number)
    if thread is None:
        msg = f"No conversation {number} is stored; %chatglm chats lists them."
        raise ConfigError(msg)
    return open_stored(magics, thread)


def free_name(magics: ChatGLMMagics, wanted: str) -> str:
    """Give a name that no conversation has, open or stored: the one that is wanted, or that with a number."""
    name, number = wanted, 1
    with suppress(StoreError):  # what cannot be read is not in the way
        while name in magics.chats or magics.memory.find(name) is not None:
            number += 1
            name = f"{wanted}-{number}"
    return name


def _opened(magics: ChatGLMMagics, chat: Chat) -> Chat:
    magics.chats[chat.name] = chat
    magics.memory.keep(chat)
    return chat


def _bring_back(magics: ChatGLMMagics, chat: Chat, thread: Thread) -> str:
    """Put what is stored into a conversation, and tell that in a sentence."""
    magics.memory.bring_back(chat, thread)
    count = count_words(len(chat.messages))
    return f"Conversation {chat.name} goes on: {count}, the last on {day(datetime.fromtimestamp(thread.updated, UTC))}."


def conversation_for(magics: ChatGLMMagics, asked: Ask, choice: Choice, tell: Callable[[str], object]) -> Chat:
    """Give the conversation that a question is asked in; it starts over where the question says so.

    Args:
        magics: Where the conversations are.
        asked: The question.
        choice: Who answers it.
        tell: Told in a sentence that a conversation came back out of the store.
    """
    arguments = asked.arguments
    told: list[str] = []
    chat = conversation(magics, arguments.conversation, told.append)
    if chat.name == USUAL and arguments.history and not magics.memory.begun:
        magics.memory.begun = True
        if not arguments.new:
            _go_on_in_cell(magics, chat, asked.place, told.append)
    # Where something came back and nothing of it is sent along, as by a cell that begins it anew, none need know.
    if arguments.history and not arguments.new and (chat.before(asked.place) or not len(chat.tree)):
        for sentence in told:
            tell(sentence)
    if isinstance(chat.provider, _Nobody):
        chat.provider, chat.model = choice.provider, choice.model
    if arguments.new:
        chat.reset()
    if magics.history_tokens is not None:
        chat.history_tokens = magics.history_tokens
    return chat


def _go_on_in_cell(magics: ChatGLMMagics, chat: Chat, place: Place | None, tell: Callable[[str], object]) -> None:
    """Bring back the usual conversation in which a cell has asked before, where it is the first to ask here.

    So a cell that is run again takes the place of what it said also after the kernel was started anew. Only
    cells that the front end names count: the same source may stand in any notebook.
    """
    if place is None or not place.cell.startswith("id ") or chat.tree:
        return
    thread = magics.memory.of_cell(place.cell, USUAL)
    if thread is None:
        return
    with suppress(StoreError):  # it was forgotten in this moment
        tell(_bring_back(magics, chat, thread))


def conversation_of_panel(magics: ChatGLMMagics, name: str = "") -> Chat:
    """Give the conversation that a panel begins with: the one that cells ask in, or the one that is named.

    Where nothing was said in this kernel's usual one, the panel of a cell that the front end names goes on with
    what the same cell's panel showed before the kernel was started anew.
    """
    chat = conversation(magics, name, unsaid)
    cell = cell_of(magics)
    if name or chat.name != USUAL or chat.tree or not cell or magics.memory.begun:
        return chat
    try:
        thread = magics.memory.of_panel(cell)
        if thread is None:
            return chat
        if thread.name != USUAL:
            return open_stored(magics, thread)
        _bring_back(magics, chat, thread)
    except StoreError:  # it was forgotten in this moment
        pass
    return chat


def cell_of(magics: ChatGLMMagics) -> str:
    """Give what the front end calls the cell that runs, as `Place.cell` begins; empty where it does not say."""
    places = magics._places  # noqa: SLF001 - the magics' own, like this
    return places._cell if places.cell_id else ""  # noqa: SLF001 - as above


def unsaid(text: str) -> None:
    """Say nothing below a cell: a panel shows what came back."""
    del text


def describe(chat: Chat) -> str:
    """Tell in a few words how much has been said in a conversation."""
    count = len(chat.messages)
    return count_words(count) + (f", about {estimate_tokens(chat.messages)} tokens" if count else "")


def count_words(count: int) -> str:
    """Write a number of messages in words."""
    return {0: "nothing said", 1: "1 message"}.get(count, f"{count} messages")
