"""Keeping conversations: what happens in one is written to the store as it happens, and brought back from there."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .._conversation.conversation import Conversation, InsertPoint, turns_on
from .._conversation.message_node import MessageNode
from .._conversation.tree import MessageTree
from .._errors import ConfigError
from .._events import Event
from .._language import tr
from .._messages import OPTIONS, ChatOptions, Message, check_options
from ..providers import split_spec
from .location import MEMORY
from .records import Thread, row_of, size_of
from .store import Store, open_store
from .writer import HANDFUL

if TYPE_CHECKING:
    from .queries import Writes

_OPTIONS = ("system", "think", "timeout", "history_tokens")
_TARGET = ("provider", "model", "base_url")
_MOST_PANELS = 20
"""How many cells whose panels have shown a conversation are stored with it, the newest."""

_Position = tuple[str, int, str]
"""What can change of a message: its parent, its index among that one's children, and the cell that asks it."""


class Recorder:
    """Watches one conversation, and has the store write what happens in it. Its methods never wait and never raise.

    Args:
        store: Where the conversation is kept.
        conversation: The conversation; only a weak reference to it is held.
    """

    def __init__(self, store: Store, conversation: Conversation) -> None:
        self.store = store
        self._conversation = weakref.ref(conversation)
        self._lock = threading.Lock()
        self._thread_id = ""
        self._created = 0.0
        self._generation = store.generation
        self._kept: dict[str, _Position] = {}
        self._chosen: dict[str, str] = {}
        self._thread_ids: dict[str, str] = {}  # of the answers that stream
        self._exchanged: dict[str, tuple[Message, ...]] = {}  # what of their exchange is written, likewise
        self._left = HANDFUL  # characters until the store is told to hurry
        store.listen(self.keep_again)

    def on_start(self, conversation: Conversation, question: MessageNode, answer: MessageNode) -> None:
        """Keep the question, and the answer's text as it streams.

        A replayed answer is ignored while the conversation holds no other: a notebook that is run again and again
        would fill the store, and each search, with copies.
        """
        with self._lock:
            self._left = HANDFUL
            aside = conversation.tree.get(answer.id) is None
            replayed = answer.reply is not None and answer.reply.replayed is not None
            if replayed and (aside or not self._kept or self._thread_id != conversation.id):
                return
            self._thread_ids[answer.id] = "" if aside else conversation.id
            if aside:
                self._put("", question, answer, streaming=True)
            else:
                self._keep(conversation, answer, streaming=True)
            if answer.reply is not None:
                self.store.follow(answer.id, answer.reply)

    def on_event(self, conversation: Conversation, answer: MessageNode, event: Event) -> None:  # noqa: ARG002 - the watcher's
        """Hurry the store if much text has come, and keep the results of calls as they come: they were paid for."""
        try:
            self._left -= len(event.text)  # type: ignore[union-attr]  # the quickest way, for the events that count
        except AttributeError:
            self._keep_exchange(answer)
            return
        if self._left < 0:
            self._left = HANDFUL
            self.store.hurry()

    def _keep_exchange(self, answer: MessageNode) -> None:
        """Write what was exchanged with tools so far, if it is not as before: a result takes the place of none."""
        exchange = () if answer.reply is None else tuple(answer.reply.exchange)
        if exchange == self._exchanged.get(answer.id, ()) or answer.reply is None or answer.id not in self._thread_ids:
            return
        self._exchanged[answer.id] = exchange
        whole = {"exchange": (*answer.exchange, *exchange), "tool_runs": answer.tool_runs_so_far}
        row = row_of(msgspec.structs.replace(answer, **whole))
        self.store.write(lambda writes: writes.put_details(row), size_of(row))

    def on_end(self, conversation: Conversation, answer: MessageNode, error: BaseException | None) -> None:  # noqa: ARG002 - the answer holds it
        """Keep the answer as it is now, or what has replaced it."""
        with self._lock:
            thread_id = self._thread_ids.pop(answer.id, None)
            self._exchanged.pop(answer.id, None)
            if thread_id is None:
                return  # it was ignored
            self.store.unfollow(answer.id)
            if thread_id == conversation.id:
                self._keep(conversation, answer)
            else:  # it is in no conversation, or in the one before `start_over`
                self._put(thread_id, answer)
            self.store.hurry(now=True)

    def on_change(self, conversation: Conversation) -> None:
        """Keep what is different."""
        with self._lock:
            self._keep(conversation)

    def keep_again(self) -> None:
        """Keep all messages in a file that has replaced the one they were kept in."""
        conversation = self._conversation()
        if conversation is not None and self._kept:
            self.on_change(conversation)

    def assume_kept(self, conversation: Conversation, thread: Thread) -> None:
        """Take a conversation as kept already, as it is."""
        self._thread_id, self._created = thread.id, thread.created
        self._kept, self._chosen = _positions(conversation.tree), dict(conversation.tree.chosen)

    def _put(self, thread_id: str, *nodes: MessageNode, streaming: bool = False) -> None:
        """Write messages that are not in the tree; the last one is an answer, which may be streaming."""
        *others, last = map(row_of, nodes)

        def change(writes: Writes) -> None:
            for row in others:
                writes.put(thread_id, row, 0)
            writes.put(thread_id, last, 0, streaming=streaming)

        self.store.write(change, sum(map(size_of, (*others, last))))

    def _keep(self, conversation: Conversation, answer: MessageNode | None = None, *, streaming: bool = False) -> None:
        """Write what is different from what is kept, and an answer in any case if it is in the tree."""
        generation = self.store.generation
        if conversation.id != self._thread_id or generation != self._generation:
            self._thread_id, self._generation = conversation.id, generation
            self._created = time.time()
            self._kept, self._chosen = {}, {}
        tree, kept = conversation.tree, self._kept
        now, chosen = _positions(tree), dict(tree.chosen)
        if not (now or kept):
            return  # an empty conversation is not kept
        new = {node.id: row_of(node) for node in tree if node is answer or node.id not in kept}
        moved = {node_id: now[node_id] for node_id in now.keys() & kept.keys() if now[node_id] != kept[node_id]}
        different = {parent: child for parent, child in chosen.items() if self._chosen.get(parent) != child}
        different |= dict.fromkeys(self._chosen.keys() - chosen.keys(), "")
        removed = kept.keys() - now.keys()
        thread = Thread(
            id=conversation.id,
            name=conversation.name,
            created=self._created,
            updated=time.time(),
            settings=_settings(conversation),
        )
        is_new = bool(now.keys() - kept.keys())

        def change(writes: Writes) -> None:
            writes.put_thread(thread, new=is_new)
            for node_id, row in new.items():
                is_streaming = streaming and answer is not None and node_id == answer.id
                writes.put(thread.id, row, now[node_id][1], streaming=is_streaming)
            for node_id, position in moved.items():
                writes.move(node_id, *position)
            writes.choose(thread.id, different)
            writes.remove(removed)  # last, since a thread is removed as soon as it is empty

        self.store.write(change, sum(map(size_of, new.values())))
        self._kept, self._chosen = now, chosen


def _positions(tree: MessageTree) -> dict[str, _Position]:
    nodes = list(tree)
    roots = next((tree.versions(node) for node in nodes if not node.parent), [])
    return {
        node.id: (node.parent, index, node.cell)
        for siblings in (roots, *map(tree.children, nodes))
        for index, node in enumerate(siblings)
    }


def keep(conversation: Conversation, where: str = "") -> Recorder | None:
    """Keep a conversation from now on, with all its messages so far, unless it is kept there already.

    `where` is the store's place, empty for what is configured. Return its recorder; None if the store is off.
    """
    store = open_store(where)
    recorder = recorder_of(conversation)
    if recorder is not None:
        if recorder.store is store:
            return recorder
        conversation.unwatch(recorder)
    if not store.is_on:
        return None
    recorder = Recorder(store, conversation)
    conversation.watch(recorder)
    if len(conversation.tree):
        recorder.on_change(conversation)
    return recorder


def leave(conversation: Conversation) -> None:
    """Stop keeping a conversation; what is kept of it stays."""
    recorder = recorder_of(conversation)
    if recorder is not None:
        conversation.unwatch(recorder)


def recorder_of(conversation: Conversation) -> Recorder | None:
    """Return the recorder of a conversation; None if it is not kept."""
    return next((watcher for watcher in conversation.watchers if isinstance(watcher, Recorder)), None)


def is_kept(conversation: Conversation) -> bool:
    """Return whether a conversation is kept in a file, which outlives this process."""
    recorder = recorder_of(conversation)
    return recorder is not None and recorder.store.where != MEMORY


def bring_back(conversation: Conversation, store: Store, thread_id: str) -> None:
    """Replace a conversation's messages and name by those of a stored one, and keep it there from now on.

    No reply may stream into it now. Its settings are not brought back: see `settings_of`.

    Raises:
        StoreError: It is not there, or cannot be read.
    """
    thread, nodes, chosen = store.load(thread_id)
    leave(conversation)
    conversation.id, conversation.name = thread.id, thread.name
    conversation.tree = MessageTree(nodes, chosen)
    conversation.unanswered = _unanswered(conversation.tree)
    conversation.panels = tuple(map(str, thread.settings.get("panels", ())))
    conversation.notify_change()
    recorder = Recorder(store, conversation)
    recorder.assume_kept(conversation, thread)
    conversation.watch(recorder)


def _unanswered(tree: MessageTree) -> tuple[str, InsertPoint | None] | None:
    """Return the last question and where to ask it again, if its answer has no text."""
    turns = turns_on(tree.path())
    if not turns:
        return None
    question, answer = turns[-1]
    if answer is not None and answer.has_content:
        return None
    return question.text, InsertPoint(cell=question.cell, instead_of=question.id)


def find(name: str, where: str = "") -> tuple[Store, Thread]:
    """Return a stored conversation, found by its name or its number (`#12`), and the store that holds it.

    Raises:
        ConfigError: There is none of that name, or the store is off.
        StoreError: The store cannot be read.
    """
    store = open_store(where)
    if not store.is_on:
        raise ConfigError(
            tr(
                "The store is off, so conversation {name!r} cannot be brought back. "
                "Give it a file: CHATGLM_STORE, or %config ChatGLMMagics.store.",
                name=name,
            )
        )
    thread = store.find(name)
    if thread is None:
        raise ConfigError(
            tr(
                "There is no conversation {name!r} in {where}. %chatglm chats lists those there are.",
                name=name,
                where=store.where,
            )
        )
    return store, thread


def _settings(conversation: Conversation) -> dict[str, Any]:
    """Return the settings that are stored with a conversation: those of a `Chat`, as far as it is one."""
    provider = getattr(conversation, "provider", None)
    options = getattr(conversation, "options", ChatOptions())
    settings: dict[str, Any] = {
        **{name: getattr(options, name) for name in _OPTIONS},
        "model": getattr(conversation, "model", ""),
        "provider": getattr(provider, "name", ""),
        "base_url": getattr(provider, "base_url", ""),
        "options": dict(options.parameters),
        "panels": list(conversation.panels[-_MOST_PANELS:]),
    }
    return {name: value for name, value in settings.items() if value not in (None, "", {}, [])}


def stored_options(thread: Thread) -> ChatOptions:
    """Return the options that are stored with a conversation, without those that say who answers."""
    kept = thread.settings
    return ChatOptions(
        system=kept.get("system") or None,
        think=kept.get("think"),
        timeout=kept.get("timeout"),
        parameters=check_options(kept.get("options", {})),
    )


def settings_of(thread: Thread, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `Chat` that goes on with a stored conversation.

    Those `given` take precedence; another provider does not get the model and the server of the old one.
    """
    kept = dict(thread.settings)
    parameters = {name: value for name, value in kept.pop("options", {}).items() if name in OPTIONS}
    if "provider" in given or split_spec(given.get("model", ""))[0]:
        for name in _TARGET:
            kept.pop(name, None)
    known = {name: value for name, value in kept.items() if name in {*_OPTIONS, *_TARGET}}
    return {**parameters, **known, **given}
