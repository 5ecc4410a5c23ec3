"""Keeps conversations: what happens in one is written to the store as it happens, and brought back from there."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ._conversation import Conversation
from ._errors import ConfigError
from ._events import Event
from ._history import Place
from ._messages import OPTIONS, Request
from ._said import Said
from ._store import Store, Thread, open_store, place, row_of
from ._store.place import MEMORY
from ._store.writer import HANDFUL
from ._tree import Tree
from .providers import split_spec

_SETTINGS = ("model", "system", "think", "timeout", "history_tokens")
_MOST_PANELS = 20
"""How many cells with a panel are remembered of a conversation, the newest."""


class Keeper:
    """Watches one conversation for a store. It only takes notes; the store's own thread writes them.

    Args:
        store: Where it is kept.
        conversation: The conversation.

    Attributes:
        store: As given.
    """

    def __init__(self, store: Store, conversation: Conversation) -> None:
        self.store = store
        self._conversation = weakref.ref(conversation)
        store.listen(self.begin_again)
        self._guard = threading.Lock()
        self._thread_id = ""
        self._created = 0.0
        self._generation = store.generation
        self._known: dict[str, tuple[str, int, str]] = {}
        self._chosen: dict[str, str] = {}
        self._open: dict[str, str] = {}
        self._passed: set[str] = set()
        self._left = HANDFUL

    def began(self, conversation: Conversation, question: Said, answer: Said) -> None:
        """Keep the question, and the answer's words from now on as they come.

        A stored answer that is given again adds nothing: where no other has been given in the conversation, a
        notebook that runs again and again would fill the store, and each search, with copies.
        """
        with self._guard:
            self._left = HANDFUL
            aside = conversation.tree.get(answer.id) is None
            replayed = answer.reply is not None and answer.reply.replayed is not None
            if replayed and (aside or not self._known or self._thread_id != conversation.id):
                self._passed.add(answer.id)
                return
            thread_id = self._open[answer.id] = "" if aside else conversation.id
            if aside:
                self.store.put("", row_of(question))
                place = 0
            else:
                self._keep(conversation, but=answer)
                place = self._known[answer.id][1]
            self.store.put(thread_id, row_of(answer), place, streams=True)
            if answer.reply is not None:
                self.store.follow(answer.id, answer.reply)

    def grew(self, conversation: Conversation, answer: Said, event: Event) -> None:  # noqa: ARG002 - the watcher's
        """Have the words kept soon where there are many."""
        try:
            self._left -= len(event.text)  # type: ignore[union-attr]  # the quickest way, for the events that count
        except AttributeError:
            return
        if self._left < 0:
            self._left = HANDFUL
            self.store.hurry()

    def ended(self, conversation: Conversation, answer: Said, error: BaseException | None) -> None:  # noqa: ARG002 - the answer tells it
        """Keep the answer as it has become, or what took its place."""
        with self._guard:
            if answer.id in self._passed:
                self._passed.discard(answer.id)
                return
            thread_id = self._open.pop(answer.id, conversation.id)
            if thread_id == conversation.id:
                self._keep(conversation)
                known = self._known.get(answer.id)
                if known is not None:
                    self.store.settle(thread_id, row_of(answer), known[1])
            else:  # asked aside, or in what the conversation was before it began anew
                self.store.settle(thread_id, row_of(answer))

    def changed(self, conversation: Conversation) -> None:
        """Keep what is different."""
        with self._guard:
            self._keep(conversation)

    def begin_again(self) -> None:
        """Keep all of it once more, in a file that took the place of another one."""
        conversation = self._conversation()
        if conversation is not None and self._known:
            self.changed(conversation)

    def knows(self, conversation: Conversation, thread: Thread) -> None:
        """Take note that a conversation is kept already, as it is."""
        self._thread_id, self._created = thread.id, thread.created
        self._known, self._chosen = _places(conversation.tree), dict(conversation.tree.chosen)

    def _keep(self, conversation: Conversation, but: Said | None = None) -> None:
        """Write what differs from what is known to be kept.

        Args:
            conversation: The conversation.
            but: A message that is written by its caller.
        """
        generation = self.store.generation
        if conversation.id != self._thread_id or generation != self._generation:
            self._thread_id, self._generation = conversation.id, generation
            self._created = time.time()
            self._known, self._chosen = {}, {}
        tree, known, thread_id = conversation.tree, self._known, self._thread_id
        now = _places(tree)
        if not (now or known):
            return  # an empty conversation is not kept
        self.store.put_thread(self._thread(conversation), new=bool(now.keys() - known.keys()))
        for said in tree:
            place = now[said.id]
            if said is but:
                continue
            if said.id not in known:
                self.store.put(thread_id, row_of(said), place[1])
            elif known[said.id] != place:
                self.store.move(said.id, *place)
        chosen = dict(tree.chosen)
        different = {parent: child for parent, child in chosen.items() if self._chosen.get(parent) != child}
        different |= dict.fromkeys(self._chosen.keys() - chosen.keys(), "")
        if different:
            self.store.choose(thread_id, different)
        if gone := known.keys() - now.keys():  # at last: a thread that holds nothing for a moment would go with them
            self.store.remove(gone)
        self._known, self._chosen = now, chosen

    def _thread(self, conversation: Conversation) -> Thread:
        return Thread(
            id=conversation.id,
            name=conversation.name,
            created=self._created,
            updated=time.time(),
            settings=_settings(conversation),
        )


class Absent:
    """Who answered in a conversation and is not there: it may be read, and whoever asks on must say whom.

    Args:
        name: The provider's name.
        why: Why it is not there.

    Attributes:
        name: As given.
    """

    def __init__(self, name: str, why: ConfigError) -> None:
        self.name = name
        self._why = why

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Refuse, and say why.

        Raises:
            ConfigError: Always.
        """
        raise type(self._why)(str(self._why))
        yield  # type: ignore[unreachable]  # makes it a generator


def keep(conversation: Conversation, where: str = "") -> Keeper | None:
    """Keep a conversation from now on, with what was said in it so far.

    Args:
        conversation: The conversation; one that is kept there already stays so.
        where: The store's place; empty for what is configured.

    Returns:
        Who keeps it; None where the store is off.
    """
    found = place(where)
    keeper = kept_by(conversation)
    if keeper is not None:
        if keeper.store.where == found:
            return keeper
        conversation.unwatch(keeper)
    store = open_store(found)
    if store is None:
        return None
    keeper = Keeper(store, conversation)
    conversation.watch(keeper)
    if len(conversation.tree):
        keeper.changed(conversation)
    return keeper


def leave(conversation: Conversation) -> None:
    """Keep a conversation no more; what is kept of it stays."""
    keeper = kept_by(conversation)
    if keeper is not None:
        conversation.unwatch(keeper)


def kept_by(conversation: Conversation) -> Keeper | None:
    """Give who keeps a conversation; None where nobody does."""
    return next((watcher for watcher in conversation.watchers if isinstance(watcher, Keeper)), None)


def is_kept(conversation: Conversation) -> bool:
    """Tell whether a conversation is kept in a file, which outlives this process."""
    keeper = kept_by(conversation)
    return keeper is not None and keeper.store.where != MEMORY


def bring_back(conversation: Conversation, store: Store, thread_id: str) -> None:
    """Put what is kept of a thread into a conversation, in place of what it held, and keep it there from now on.

    The name comes with it; the settings do not.

    Args:
        conversation: The conversation; nothing is asked in it now.
        store: Where the thread is.
        thread_id: The thread.

    Raises:
        StoreError: It is not there, or cannot be read.
    """
    thread, said, chosen = store.load(thread_id)
    leave(conversation)
    conversation.id, conversation.name = thread.id, thread.name
    conversation.tree = Tree(said, chosen)
    conversation.unanswered = _unanswered(conversation.tree)
    conversation.panels = tuple(map(str, thread.settings.get("panels", ())))
    conversation.changed()
    keeper = Keeper(store, conversation)
    keeper.knows(conversation, thread)
    conversation.watch(keeper)


def stored_answer(key: str) -> Said | None:
    """Give the stored answer to the request of that key; None where there is none, or no store."""
    store = open_store()
    return None if store is None else store.answer(key)


def find(name: str, where: str = "") -> tuple[Store, Thread]:
    """Find a thread by its name, or exactly by its number (`#12`).

    Raises:
        ConfigError: There is none of that name, or the store is off.
        StoreError: The store cannot be read.
    """
    store = open_store(where)
    if store is None:
        msg = (
            f"The store is off, so conversation {name!r} cannot be brought back. "
            "Give it a file: CHATGLM_STORE, or %config ChatGLMMagics.store."
        )
        raise ConfigError(msg)
    thread = store.find(name)
    if thread is None:
        msg = f"There is no conversation {name!r} in {store.where}. %chatglm chats lists those there are."
        raise ConfigError(msg)
    return store, thread


def settings_of(thread: Thread, how: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a `Chat` is made with that goes on in a thread.

    Args:
        thread: The thread.
        how: What its opener says, which comes first. Another provider has its own model and server.
    """
    kept = dict(thread.settings)
    options = {name: value for name, value in kept.pop("options", {}).items() if name in OPTIONS}
    if "provider" in how or split_spec(how.get("model", ""))[0]:
        for name in ("provider", "model", "base_url"):
            kept.pop(name, None)
    known = {name: value for name, value in kept.items() if name in {*_SETTINGS, "provider", "base_url"}}
    return {**options, **known, **how}


def _settings(conversation: Conversation) -> Mapping[str, Any]:
    """Give what brings a conversation's settings back; those of `Chat`, where it is one."""
    provider = getattr(conversation, "provider", None)
    settings: dict[str, Any] = {name: getattr(conversation, name, None) for name in _SETTINGS}
    settings["provider"] = getattr(provider, "name", "")
    settings["base_url"] = getattr(provider, "base_url", "")
    settings["options"] = dict(getattr(conversation, "options", {}))
    settings["panels"] = list(conversation.panels[-_MOST_PANELS:])
    return {name: value for name, value in settings.items() if value not in (None, "", {}, [])}


def _places(tree: Tree) -> dict[str, tuple[str, int, str]]:
    """Give each message's parent, which of its children it is, and the cell that asks it."""
    found: dict[str, tuple[str, int, str]] = {}
    said = list(tree)
    roots = next((tree.versions(one) for one in said if not one.parent), [])
    for children in (roots, *(tree.answers(one) for one in said)):
        for position, child in enumerate(children):
            found[child.id] = child.parent, position, child.cell
    return found


def _unanswered(tree: Tree) -> tuple[str, Place | None] | None:
    """Give the last question if no word of its answer is there."""
    path = tree.path()
    questions = [said for said in path if said.role == "user"]
    if not questions or any(said.role == "assistant" and said.content for said in path[-1:]):
        return None
    return questions[-1].text, Place(cell=questions[-1].cell, instead_of=questions[-1].id)
