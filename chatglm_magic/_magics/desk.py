"""The desk of panels in a kernel that has the magics: the same conversations, models and settings as the cells."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._chat import Chat
from .._choice import Choice
from .._errors import ChatGLMError, ConfigError, StoreError
from ..panel.desk import Desk, Known, check_name, label_of, others
from .arguments import Arguments
from .ask import how_asked
from .choosing import choose_for, recalls
from .conversations import (
    cell_of,
    conversation,
    conversation_of_panel,
    free_name,
    open_stored,
    unsaid,
)
from .outcomes import Ask

if TYPE_CHECKING:
    from .._reply import Reply
    from .magic import ChatGLMMagics

_MOST_STORED = 100
"""How many stored conversations a picker lists."""


class MagicsDesk(Desk):
    """What panels need of a kernel, as its magics have it.

    Args:
        magics: The settings and the conversations.
    """

    def __init__(self, magics: ChatGLMMagics) -> None:
        self._magics = magics
        super().__init__(self.first())
        self._listed = magics.listed
        self._label = ""

    def first(self) -> Chat:
        """Give the conversation that cells ask in, or what this cell's panel showed in an earlier kernel."""
        return conversation_of_panel(self._magics)

    @property
    def cell(self) -> str:
        """What the front end calls the cell that runs, as `Place.cell` begins; empty where it does not say."""
        return cell_of(self._magics)

    def line(self, chat: Chat) -> str:
        """Give the first line of a cell that asks in a conversation."""
        if not any(chat is one for one in list(self._magics.chats.values())):
            return ""
        return "%%chatglm" if chat.name == self._magics.current else f"%%chatglm -c {shlex.quote(chat.name)}"

    def opened(self) -> Mapping[str, Chat]:
        """Give the conversations of this kernel, by name."""
        return self._magics.chats

    def stored(self) -> list[Known]:
        """List the conversations that the store holds and this kernel has not opened."""
        here = {chat.id for chat in list(self._magics.chats.values())}
        try:
            threads = self._magics.memory.all(_MOST_STORED)
        except (ChatGLMError, StoreError):
            return []
        return [
            Known(f"#{thread.number}", f"{thread.name}: {thread.title}", thread.count)
            for thread in threads
            if thread.id not in here
        ]

    def open(self, name: str) -> Chat:
        """Give a conversation: one that is open, or a stored one, by its name or its number."""
        chat = self._magics.chats.get(name)
        if chat is not None:
            return chat
        thread = self._magics.memory.find(name)
        if thread is None:
            msg = f"There is no conversation {name}."
            raise ConfigError(msg)
        return open_stored(self._magics, thread)

    def new(self, name: str = "") -> Chat:
        """Begin a conversation, or go on with the one of that name."""
        if name:
            check_name(name)
            return conversation(self._magics, name, tell=unsaid)
        return conversation(self._magics, free_name(self._magics, "chat"), tell=unsaid)

    def rename(self, chat: Chat, name: str) -> None:
        """Give a conversation another name."""
        check_name(name)
        magics = self._magics
        if name == chat.name:
            return
        if name in magics.chats or any(thread.id != chat.id for thread in magics.memory.named(name)):
            msg = f"There is a conversation {name} already. Take another name."
            raise ConfigError(msg)
        old, chat.name = chat.name, name
        magics.chats = {name if one is chat else known: one for known, one in magics.chats.items()}
        if magics.current == old:
            magics.current = name
        chat.changed()

    def label(self, chat: Chat) -> str:
        """Give the model that answers, as the picker names it; what is configured, where nobody can be asked."""
        del chat
        magics = self._magics
        if not self._label:  # whether there is a key may have to be asked of a slow keyring
            try:
                self._label = label_of(choose_for(magics, Arguments()))
            except ChatGLMError:
                self._label = ":".join(word for word in (magics.provider, magics.model) if word)
        return self._label

    def models(self, chat: Chat) -> list[str]:
        """List the models that are known without asking anybody."""
        now = self.label(chat)
        own = now.partition(":")[0]
        return list(dict.fromkeys((now, *self.models_of(own), *others(own))))

    async def find_models(self, chat: Chat) -> str:
        """Ask who answers which models it has."""
        del chat
        try:
            choice = choose_for(self._magics, Arguments())
        except ChatGLMError as error:
            return str(error)
        return await super().find_models(Chat(choice.provider, model=choice.model))

    def use(self, chat: Chat, model: str) -> None:
        """Let a model answer from now on, in this kernel: what `%chatglm use` does."""
        del chat
        self._magics.commands.use(model)
        self._label = ""

    def how(self, chat: Chat) -> dict[str, Any]:
        """Give what `Chat.stream` takes for a question, as a cell without options would ask it."""
        magics, arguments = self._magics, Arguments()
        recall = magics.memory.answer if recalls(magics, arguments) else None
        choice = choose_for(magics, arguments, recalls=recall is not None)
        if chat.provider.name == "nobody":  # it was opened, and nobody was asked yet
            chat.provider, chat.model = choice.provider, choice.model
        if magics.history_tokens is not None:
            chat.history_tokens = magics.history_tokens
        how = how_asked(magics, Ask(arguments), chat, choice)
        del how["place"]
        return how | {"recall": recall}

    def why(self, chat: Chat, choice: Choice) -> str:
        """Tell, once in a kernel, who was taken to answer and for which reason."""
        del chat
        return choice.why if self._magics.say_once(choice.why) else ""

    def asked(self, chat: Chat, reply: Reply) -> None:
        """Let `%chatglm last` find the reply."""
        del chat
        self._magics.last = reply

    def after_cell(self) -> None:
        """Let panels see what a cell may have changed: names, models, settings."""
        self._label = ""
        for panel in list(self.watchers):
            panel.mark(path=False)
