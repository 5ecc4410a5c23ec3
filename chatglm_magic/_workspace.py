"""The conversations of a kernel, the current one, its defaults, its models and its store: below cells and panels.

`%load_ext chatglm_magic` makes one `Workspace`, which the magics and every panel of the kernel share. A panel that
stands alone makes its own from the `Chat` that it shows.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from ._chat import NOBODY, Chat, close_chat, open_chat, open_chats, open_under
from ._conversation.conversation import (
    DEFAULT,
    InsertPoint,
    check_name,
    clean_name,
    estimate_tokens,
    quote_name,
)
from ._conversation.message_node import MessageNode
from ._conversation.tree import MessageTree
from ._credentials import NeverPickled, find_key
from ._errors import ChatGLMError, ConfigError, StoreError
from ._language import join_sentences, tr, trn
from ._markdown.reply_markdown import day
from ._messages import ChatOptions, check_options
from ._reply import Reply
from ._resolve import Target, environment_options, owner_of_settings, resolve
from ._store import Store, Thread, configure, locate, open_store, recorder
from .providers import PROVIDERS, UnavailableProvider, known_models, split_spec

_NUMBER = re.compile(r"#\d{1,9}")


class Settings(Protocol):
    """What `%config ChatGLMMagics` says; see there."""

    provider: str
    model: str
    base_url: str
    system: str
    temperature: float | None
    max_tokens: int | None
    history_tokens: int | None
    timeout: float | None
    cache: str


class Workspace(NeverPickled):
    """The conversations of a kernel, or of a panel that stands alone.

    Args:
        settings: What is configured; None in a panel that stands alone.
        chat: The conversation of such a panel. Conversations begun beside it are answered as it is.
        running_cell: Returns the cell that runs, as `InsertPoint.cell` begins; empty where that is not known.

    Attributes:
        current: The name of the conversation that is asked in where none is named.
        last: The newest reply, whole or as far as it has come; None before the first.
        models: The models that providers were seen to have, by provider.
        begun: Whether something was asked in the default conversation, or it was begun anew.
        running_cell: As given.
        listeners: Functions that are called, in any thread, when something has changed that no conversation
            reports: the settings, the models, the names.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        chat: Chat | None = None,
        running_cell: Callable[[], str] = lambda: "",
    ) -> None:
        self.current = DEFAULT
        self.last: Reply | None = None
        self.models: dict[str, list[str]] = {}
        self.begun = False
        self.running_cell = running_cell
        self.listeners: list[Callable[[], object]] = []
        self._settings = settings
        self._like = chat
        self._chats: list[Chat] = []
        self._made: list[Chat] = []
        self._said = {""}
        self._label = ""
        self._keyless: frozenset[str] | None = None
        if chat is not None:
            chat.name = chat.name or "chat"
            self._chats.append(chat)
            self.current = chat.name

    @property
    def chats(self) -> dict[str, Chat]:
        """The open conversations, by name; in a kernel with cells, those that Python has opened are among them."""
        if self._like is None:
            self._chats += [chat for chat in open_chats() if not any(chat is one for one in self._chats)]
        return {chat.name: chat for chat in list(self._chats)}

    @property
    def store(self) -> Store:
        """The store, wherever it is configured to be now."""
        return open_store()

    # What is configured, and who answers

    def options(self) -> ChatOptions:
        """Return what `%config` says; nothing in a panel that stands alone, whose chat holds its own options."""
        settings = self._settings
        if settings is None:
            return ChatOptions()
        return ChatOptions(
            provider="" if settings.provider == "auto" else settings.provider,
            model=settings.model,
            base_url=settings.base_url,
            system=settings.system or None,
            timeout=settings.timeout or None,
            history_tokens=settings.history_tokens,
            cache={"replay": True, "off": False}.get(settings.cache),
            parameters=check_options({"temperature": settings.temperature, "max_tokens": settings.max_tokens}),
        )

    def configured(self) -> ChatOptions:
        """Return what `%config` says, over the environment."""
        return self.options().over(environment_options())

    def options_for(self, chat: Chat | None, asked: ChatOptions | None = None) -> ChatOptions:
        """Return the options in force for a question: its own, over the conversation's, over `%config`."""
        options = (asked or ChatOptions()).over(chat.options if chat else ChatOptions()).over(self.options())
        return options if self.store.is_on else msgspec.structs.replace(options, cache=False)

    def target(self, chat: Chat | None = None, asked: ChatOptions | None = None, *, cached: bool = False) -> Target:
        """Return who answers a question.

        Args:
            chat: The conversation; one that does not follow `%config` has a provider of its own.
            asked: The question's options.
            cached: Whether a stored answer will do; see `resolve`.

        Raises:
            ConfigError: Nobody can be asked so.
        """
        chat, asked = chat or self._like, asked or ChatOptions()
        if chat is None or self._follows_config(chat):
            return resolve(asked, self.configured(), cached=cached)
        return chat.target_for(asked)

    def use(self, chat: Chat, model: str) -> Target:
        """Ask a model from now on: in the whole kernel, or in one chat that has a provider of its own.

        Raises:
            ConfigError: Nobody can be asked so; all is as before.
        """
        settings = self._settings
        if settings is None or not self._follows_config(chat):
            chat.target = chat.target_for(ChatOptions(model=model))
            return chat.target
        name, own = split_spec(model)
        before = {field: getattr(settings, field) for field in ("provider", "model", "base_url")}
        if name:
            settings.provider = name
            if name not in {before["provider"], "openai"}:
                settings.base_url = ""  # a server belongs to the provider it was configured for
        settings.model = own
        self._label = ""
        try:
            return self.target()
        except ChatGLMError:
            for field, value in before.items():
                setattr(settings, field, value)
            raise

    def _follows_config(self, chat: Chat) -> bool:
        """Return whether a conversation is answered as `%config` says: in a kernel with cells, one without its own."""
        return self._like is None and chat.follows_config

    def is_guess(self) -> bool:
        """Whether nothing is configured, so that who answers is a guess that a user should be told."""
        configured = self.configured()
        return not owner_of_settings(configured) and not configured.model

    def label(self, chat: Chat) -> str:
        """Return the model that answers, as pickers name it; what is configured where nobody can be asked."""
        if not self._follows_config(chat):
            return label_of(chat.target)
        if not self._label:  # a keyring may be slow to say whether there is a key
            try:
                self._label = label_of(self.target())
            except ChatGLMError:
                options = self.options()
                self._label = ":".join(word for word in (options.provider, options.model) if word)
        return self._label

    def known_models(self, chat: Chat) -> list[str]:
        """Return the models that are known without asking anybody, that which answers first."""
        now = self.label(chat)
        own = now.partition(":")[0]
        listed = [f"{own}:{name}" for name in (*self.models.get(own, ()), *known_models(own))]
        platforms = [f"{name}:{model}" for name in ("zai", "bigmodel") if name != own for model in known_models(name)]
        others = [name for name in PROVIDERS if name not in {own, "openai"} and not known_models(name)]
        return list(dict.fromkeys((now, *listed, *others, *platforms)))

    def lacks_key(self, model: str) -> bool:
        """Return whether a model, as pickers name it, belongs to a platform that no key is known for."""
        if self._keyless is None:  # a keyring may be slow to say so
            self._keyless = frozenset(name for name in ("zai", "bigmodel") if not find_key(name))
        return split_spec(model)[0] in self._keyless

    async def find_models(self, chat: Chat) -> str:
        """Ask the service that answers which models it has.

        Returns:
            Why that is not known, in a sentence; empty where it is.
        """
        try:
            provider = self.target(chat).provider
            models = getattr(provider, "models", None)
            if models is not None and provider.name not in self.models:
                self.models[provider.name] = await models()
        except ConfigError as error:
            return str(error)
        except ChatGLMError as error:
            return tr("The service did not say which models it has: {error}", error=error)
        return ""

    def say_once(self, text: str) -> bool:
        """Return whether a sentence is still to be said; it counts as said from now on."""
        if text in self._said:
            return False
        self._said.add(text)
        return True

    def was_said(self, text: str) -> bool:
        """Return whether a sentence was said already."""
        return text in self._said

    def changed(self) -> None:
        """Call all listeners: settings, models or names may have changed."""
        self._label, self._keyless = "", None
        _ = self.chats  # what a cell's Python has opened stays open, whether or not a variable holds it
        for listener in list(self.listeners):
            listener()

    # The conversations

    def chat(self, name: str = "", tell: Callable[[str], object] = lambda _: None) -> Chat:
        """Return a conversation: one that is open, else the stored one of that name, else a new one.

        Args:
            name: Its name, or the number of a stored one (`#12`); empty for the current one. The default one is
                new in each kernel.
            tell: Called with a sentence where one came back out of the store, or could not.

        Raises:
            ConfigError: None of that number is stored, or no conversation may be called so.
        """
        name = name.strip() or self.current
        if (chat := self.open_chat(name)) is not None:
            return chat
        if _NUMBER.fullmatch(name):
            thread = self.store.find(name)
            if thread is None:
                raise ConfigError(tr("No conversation {name} is stored; %chatglm chats lists them.", name=name))
            return self.open_stored(thread)
        chat = self._new_chat()
        chat.name = check_name(name)
        try:
            thread = self.store.find(name) if name != DEFAULT else None
            if thread is not None:
                tell(self.bring_back(chat, thread))
        except StoreError as error:  # a question is asked all the same
            tell(tr("What conversation {name} may have held before cannot be read: {error}", name=name, error=error))
        return self._opened(chat, chat.name)

    def open_chat(self, name: str = "") -> Chat | None:
        """Return an open conversation by its name, the current one where it is empty; None if it is not open."""
        name = name.strip() or self.current
        found = self.chats.get(name)
        if found is None and (found := open_chat(name)) is not None:
            self._chats.append(found)
        return found

    def known_chat(self, name: str, tell: Callable[[str], object]) -> Chat | None:
        """Return a conversation that is open or stored, as `chat` does; None where there is none."""
        name = name or self.current
        if name in self.chats or (name != DEFAULT and self.store.find(name) is not None):
            return self.chat(name, tell)
        return None

    def open(self, name: str) -> Chat:
        """Return a conversation: one that is open, or a stored one, by its name or its number.

        Raises:
            ConfigError: There is none.
        """
        found = self.find(name)
        if found is None:
            raise ConfigError(tr("There is no conversation {name}.", name=name))
        return self.open_stored(found) if isinstance(found, Thread) else found

    def find(self, name: str) -> Chat | Thread | None:
        """Return a conversation by its name or its number: one that is open, else a stored one, else None."""
        if (chat := self.open_chat(name)) is not None:
            return chat
        thread = self.store.find(name) if self._like is None else None
        return thread and next((chat for chat in self.chats.values() if chat.id == thread.id), thread)

    def open_stored(self, thread: Thread) -> Chat:
        """Return a stored conversation: open already, or brought back, under another name where its own is taken."""
        for chat in self.chats.values():
            if chat.id == thread.id:
                return chat
        chat = self._new_chat()
        chat.name = self.free_name(thread.name) if thread.name in self.chats else thread.name
        self.bring_back(chat, thread)
        return self._opened(chat, chat.name)

    def new(self, name: str = "") -> Chat:
        """Begin a conversation, or go on with the one of that name.

        Raises:
            ConfigError: It cannot be called so.
        """
        return self.chat(name or self.free_name("chat"))

    def add(self, title: str, tree: MessageTree) -> Chat:
        """Open a conversation that a file holds, under its title or a free name like it."""
        chat = self.chat(self.free_name(clean_name(title, "loaded")))
        chat.start_over(_with_new_ids(tree))
        return chat

    def start_over(self, name: str = "") -> Chat:
        """Begin a conversation anew; what was said in it stays stored."""
        self.begun = True
        chat = self.chat(name)
        chat.reset()
        return chat

    def rename(self, found: Chat | Thread, name: str) -> str:
        """Rename a conversation, open or stored, and return its name as it is now.

        Raises:
            ConfigError: It cannot be called so, or another one is.
        """
        name = check_name(name)
        if name == found.name:
            return name
        self._check_free(name, found.id)
        if isinstance(found, Thread):
            self.store.rename(found.id, name)
        else:
            if self.current == found.name:
                self.current = name
            found.name = name
            found.notify_change()
        self.changed()
        return name

    def _check_free(self, name: str, thread_id: str) -> None:
        stored = () if self._like is not None else self.store.named(name)
        if name in self.chats or any(thread.id != thread_id for thread in stored):
            message = join_sentences(
                tr("There is a conversation {name} already.", name=name),
                tr("Take another name, or %chatglm delete {name} first.", name=quote_name(name)),
            )
            raise ConfigError(message)

    def delete(self, found: Chat | Thread) -> None:
        """Close a conversation, if it is open, and remove what is stored of it."""
        if isinstance(found, Chat):
            self._chats, self._made = ([one for one in some if one is not found] for some in (self._chats, self._made))
            close_chat(found)
            recorder.leave(found)
            if self.current == found.name:
                self.current = DEFAULT
        self.store.delete(found.id)
        self.changed()

    def free_name(self, wanted: str) -> str:
        """Return a name that no conversation has, open or stored: the one that is wanted, or that with a number."""
        name, number = wanted, 1
        with suppress(StoreError):  # what cannot be read is not in the way
            while name in self.chats or open_chat(name) or (self._like is None and self.store.find(name) is not None):
                number += 1
                name = f"{wanted[:50]}-{number}"
        return name

    def stored(self, limit: int) -> list[Thread]:
        """Return the newest stored conversations that are not open; none where the store cannot be read."""
        if self._like is not None:
            return []
        here = {chat.id for chat in list(self.chats.values())}
        with suppress(ChatGLMError):
            return [thread for thread in self.store.threads(limit + len(here)) if thread.id not in here][:limit]
        return []

    def bring_back(self, chat: Chat, thread: Thread) -> str:
        """Put what is stored, with its settings, into a conversation, and go on keeping it there.

        The name stays, and so does who answers.

        Returns:
            A sentence that says so.

        Raises:
            StoreError: It is gone, or cannot be read.
        """
        name = chat.name
        recorder.bring_back(chat, self.store, thread.id)
        chat.name = name
        chat.options = recorder.stored_options(thread)
        count = count_messages(chat.message_count)
        last = day(datetime.fromtimestamp(thread.updated, UTC))
        return tr("Conversation {name} goes on: {messages}, the last on {day}.", name=name, messages=count, day=last)

    def move_store(self, where: str) -> None:
        """Keep what is said elsewhere from now on, and with it what was said so far in the open conversations.

        Args:
            where: A path, `:memory:`, `off`, or empty for the usual place.
        """
        configure(locate(where) if where.strip() else "")  # a relative path means what it means now
        for chat in self.chats.values():
            recorder.keep(chat)

    def close(self) -> None:
        """Leave the conversations that cells have begun, and go back to the usual store."""
        for chat in self._made:
            close_chat(chat)
        configure("")

    # Where cells and panels begin

    def chat_for(
        self, name: str, at: InsertPoint | None, target: Target, *, new: bool, remember: bool
    ) -> tuple[Chat, list[str]]:
        """Return the conversation that a cell's question is asked in; it starts over where that is wanted.

        Args:
            name: As in `chat`.
            at: Where the question goes.
            target: Who answers it.
            new: Whether the conversation starts over.
            remember: Whether the question sees and enters the conversation.

        Returns:
            The conversation, and what the user should know of it.
        """
        told: list[str] = []
        chat = self.chat(name, told.append)
        if chat.name == DEFAULT and remember and not self.begun:
            self.begun = True
            if not new:
                told += self._go_on_in_cell(chat, at)
        # Where something came back and nothing of it is sent along, as by a cell that begins it anew, none need know.
        is_news = remember and not new and bool(chat.before(at) or not len(chat.tree))
        self.give_target(chat, target)
        if new:
            chat.reset()
        return chat, told if is_news else []

    def chat_for_panel(self, name: str = "") -> Chat:
        """Return the conversation that a panel begins with: the current one, or the one that is named.

        Where nothing was said in the kernel's default conversation, the panel of a cell that the front end names
        goes on with what the same cell's panel showed before the kernel was started anew.
        """
        chat, cell = self.chat(name), self.running_cell()
        if name or chat.name != DEFAULT or chat.tree or not cell or self.begun:
            return chat
        with suppress(StoreError):  # it was forgotten in this moment
            thread = self.store.of_panel(cell)
            if thread is not None and thread.name != DEFAULT:
                return self.open_stored(thread)
            if thread is not None:
                self.bring_back(chat, thread)
        return chat

    def give_target(self, chat: Chat, target: Target) -> None:
        """Name who answers a conversation that was opened and not asked in yet."""
        if chat.provider.name == NOBODY:
            chat.target = target

    def first_line(self, chat: Chat) -> str:
        """Return the first line of a cell that asks in a conversation; empty where no cell can."""
        if self._like is not None or not any(chat is one for one in list(self.chats.values())):
            return ""
        return "%%chatglm" if chat.name == self.current else f"%%chatglm -c {quote_name(chat.name)}"

    def _go_on_in_cell(self, chat: Chat, at: InsertPoint | None) -> list[str]:
        """Bring back the default conversation in which a cell has asked before, where it is the first to ask here.

        So a cell that is run again takes the place of what it said also after the kernel was started anew. Only
        cells that the front end names count: the same source may stand in any notebook.
        """
        if at is not None and at.cell.startswith("id ") and not chat.tree:
            with suppress(StoreError):  # it was forgotten in this moment
                thread = self.store.of_cell(at.cell, DEFAULT)
                if thread is not None:
                    return [self.bring_back(chat, thread)]
        return []

    def _new_chat(self) -> Chat:
        like = self._like
        if like is None:
            error = ConfigError(tr("Nobody was asked in this conversation yet. Say who answers: %chatglm use MODEL."))
            chat = Chat(UnavailableProvider(NOBODY, error), configured=ChatOptions())
            chat.follows_config = True
            self._made.append(chat)
            return chat
        chat = Chat(like.provider, configured=like.options)
        chat.target = like.target
        return chat

    def _opened(self, chat: Chat, name: str) -> Chat:
        self._chats.append(chat)
        open_under(chat, name)
        return chat


def label_of(target: Target) -> str:
    """Return the model of a target, as pickers name it and `%chatglm use` takes it."""
    provider = target.provider
    usual = getattr(provider, "model", "")
    model = target.model or (usual if usual in known_models(provider.name) else "")
    return f"{provider.name}:{model}" if model else provider.name


def describe(chat: Chat) -> str:
    """Return in a few words how much has been said in a conversation."""
    count = chat.message_count
    if not count:
        return count_messages(count)
    tokens = estimate_tokens(chat.messages)
    return tr("{messages}, about {tokens} tokens", messages=count_messages(count), tokens=tokens)


def count_messages(count: int) -> str:
    """Return a number of messages in words."""
    return trn("{count} message", "{count} messages", count) if count else tr("nothing said")


def _with_new_ids(tree: MessageTree) -> MessageTree:
    """Return a copy of what was said under new ids: the store may hold the same messages already."""
    ids = {node.id: uuid.uuid4().hex for node in tree}
    nodes: list[MessageNode] = []
    for node in tree:
        changes: dict[str, Any] = {"id": ids[node.id], "parent": ids.get(node.parent, "")}
        nodes.append(msgspec.structs.replace(node, **changes))
    chosen = {ids.get(parent, ""): ids[child] for parent, child in tree.chosen.items() if child in ids}
    return MessageTree(nodes, chosen)
