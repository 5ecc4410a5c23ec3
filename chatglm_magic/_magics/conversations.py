"""Who answers in a kernel, and in which of its conversations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from .._chat import Chat
from .._choice import Choice, choose
from .._config import Defaults
from .._errors import ConfigError
from .._history import estimate_tokens
from ..providers import split_spec

if TYPE_CHECKING:
    from .._events import Event
    from .._messages import Request
    from .arguments import Arguments
    from .magic import ChatGLMMagics


class _Nobody:
    """Who answers in a conversation that has been opened and not been asked yet: a question brings its own."""

    name = "nobody"

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Refuse."""
        msg = "Nobody was asked in this conversation yet. Say who answers: %chatglm use MODEL."
        raise ConfigError(msg)
        yield  # type: ignore[unreachable]  # makes it a generator


def conversation(magics: ChatGLMMagics, name: str = "") -> Chat:
    """Give a conversation; make it where there is none.

    Args:
        magics: Where the conversations are.
        name: Its name; empty for the current one.
    """
    name = name or magics.current
    chat = magics.chats.get(name)
    if chat is None:
        chat = magics.chats[name] = Chat(_Nobody(), name=name)
    return chat


def conversation_for(magics: ChatGLMMagics, arguments: Arguments, choice: Choice) -> Chat:
    """Give the conversation that a question is asked in; it starts over where the question says so."""
    chat = conversation(magics, arguments.conversation)
    if isinstance(chat.provider, _Nobody):
        chat.provider, chat.model = choice.provider, choice.model
    if arguments.new:
        chat.reset()
    if magics.history_tokens is not None:
        chat.history_tokens = magics.history_tokens
    return chat


def configured(magics: ChatGLMMagics) -> Defaults:
    """Give what `%config` says."""
    named = "" if magics.provider == "auto" else magics.provider
    return Defaults(provider=named, model=magics.model, base_url=magics.base_url)


def choose_for(magics: ChatGLMMagics, arguments: Arguments) -> Choice:
    """Find out who answers: by an option, else as configured, else by the environment, else by a guess."""
    known = configured(magics)
    base_url, provider = arguments.base_url, "auto"
    if not base_url and known.base_url and known.provider and split_spec(arguments.model)[0] in {"", known.provider}:
        base_url, provider = known.base_url, known.provider  # a server stays with the provider it was configured for
    return choose(provider, arguments.model, base_url=base_url, configured=known)


def describe(chat: Chat) -> str:
    """Tell in a few words how much has been said in a conversation."""
    count = len(chat.messages)
    return count_words(count) + (f", about {estimate_tokens(chat.messages)} tokens" if count else "")


def count_words(count: int) -> str:
    """Write a number of messages in words."""
    return {0: "nothing said", 1: "1 message"}.get(count, f"{count} messages")
