"""What is kept of a kernel's conversations: the store as the magics use it, opened when it is first needed."""

from __future__ import annotations

import re
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from .._messages import check_options
from .._tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._chat import Chat
    from .._said import Said
    from .._store import Hit, Store, Thread
    from .magic import ChatGLMMagics

_MEGA = 1_000_000
_ALL = 1_000_000
"""More conversations than anybody has."""


class Memory:
    """The store of this process, wherever it is configured to be now.

    Attributes:
        begun: Whether something was asked in the kernel's usual conversation, or it was begun anew by hand.
    """

    def __init__(self) -> None:
        self.begun = False
        self._keeps = False

    def move(self, where: str, chats: Iterable[Chat] = ()) -> None:
        """Keep what is said elsewhere from now on, and with it what was said so far in these conversations.

        Args:
            where: A path, `:memory:`, `off`, or empty for the usual place.
            chats: The conversations that are open.
        """
        from .._store.place import configure, place

        configure(place(where) if where.strip() else "")  # a relative path means what it means now
        for chat in chats:
            self.leave(chat)
            self.keep(chat)

    @property
    def place(self) -> str:
        """Where it is: a path, `:memory:` or `off`."""
        from .._store.place import place

        return place()

    @property
    def label(self) -> str:
        """Where it is, in words."""
        return "this kernel's memory" if self.place == ":memory:" else self.place

    @property
    def is_on(self) -> bool:
        """Whether there is one."""
        return self.place != "off"

    @property
    def exists(self) -> bool:
        """Whether anything may be in it; asked before a question, so that a first one need not open it."""
        return self.is_on and (self._keeps or self.place == ":memory:" or Path(self.place).exists())

    @property
    def trouble(self) -> str:
        """What is wrong with it, in a sentence; empty while all is well."""
        return self.store().trouble if self.is_on else ""

    @property
    def size(self) -> str:
        """How much room it takes, in words."""
        path = Path(self.place)
        size = sum(found.stat().st_size for found in path.parent.glob(f"{path.name}*") if found.is_file())
        return f"{size / _MEGA:.1f} MB" if size >= _MEGA else f"{size / 1000:.0f} kB"

    def store(self) -> Store:
        """Open it.

        Raises:
            ConfigError: It is off.
        """
        from .._store import open_store

        store = open_store()
        if store is None:
            msg = "Nothing is stored: the store is off (CHATGLM_STORE, %config ChatGLMMagics.store)."
            raise ConfigError(msg)
        return store

    def all(self, limit: int = _ALL) -> list[Thread]:
        """Give the stored conversations, the newest first; none where there is no store."""
        return self.store().threads(limit) if self.exists else []

    def find(self, what: str) -> Thread | None:
        """Give the stored conversation of a name, the newest one, or the one of a number, `#12`."""
        return self.store().find(what) if self.exists else None

    def named(self, what: str) -> list[Thread]:
        """Give all stored conversations of a name, the newest first, or the one of a number, `#12`."""
        if what.startswith("#"):
            return [thread] if (thread := self.find(what)) is not None else []
        return [thread for thread in self.store().threads(_ALL, what) if thread.name == what] if self.exists else []

    def search(self, text: str, limit: int) -> list[Hit]:
        """Find words in all that was said."""
        return self.store().search(text, limit) if self.exists else []

    def forget(self, threads: Iterable[str] | None) -> None:
        """Remove stored conversations by their ids, or all that is stored, so that no byte of it stays.

        Raises:
            StoreError: It could not be done.
        """
        if self.exists:
            self.store().forget(threads)

    def delete(self, thread: str) -> None:
        """Remove a stored conversation by its id.

        Raises:
            StoreError: It could not be done.
        """
        if self.exists:
            self.store().delete(thread)

    def take_in(self, magics: ChatGLMMagics, title: str, tree: Tree) -> Chat:
        """Open a conversation that a file holds, under its title or a free name like it."""
        from .conversations import conversation, free_name

        name = re.sub(r"[^\w.-]+", "-", title).strip("-")[:60] or "loaded"
        chat = conversation(magics, free_name(magics, name))
        chat.start_over(_renewed(tree))
        return chat

    def keep(self, chat: Chat) -> None:
        """Keep a conversation from now on, where there is a store."""
        if self.is_on:
            from .. import _keeper

            self._keeps = True
            _keeper.keep(chat)

    def leave(self, chat: Chat) -> None:
        """Keep a conversation no more; what is stored of it stays."""
        if "chatglm_magic._keeper" in sys.modules:
            from .. import _keeper

            _keeper.leave(chat)

    def bring_back(self, chat: Chat, thread: Thread) -> None:
        """Put what is stored into a conversation, with what is set for it, and go on keeping it there.

        Its name stays as it is here, and who answers is for the question to say.

        Raises:
            StoreError: It is gone, or cannot be read.
        """
        from .. import _keeper

        name = chat.name
        _keeper.bring_back(chat, self.store(), thread.id)
        chat.name = name
        told = thread.settings
        chat.system, chat.think, chat.timeout = (told.get("system", ""), told.get("think"), told.get("timeout"))
        chat.options = dict(check_options(told.get("options", {})))

    def of_cell(self, cell: str, name: str) -> Thread | None:
        """Give the conversation of a name in which a cell has asked before."""
        return self.store().cell(cell, name) if self.exists else None

    def of_panel(self, cell: str) -> Thread | None:
        """Give the conversation, changed last, that a cell's panel has shown."""
        return self.store().panel(cell) if self.exists else None

    def answer(self, key: str) -> Said | None:
        """Give the stored answer to the request of that key."""
        return self.store().answer(key) if self.exists else None


def _renewed(tree: Tree) -> Tree:
    """Copy what was said under new ids: the store may hold the same messages already."""
    ids = {said.id: uuid.uuid4().hex for said in tree}
    said = [replace(one, id=ids[one.id], parent=ids.get(one.parent, "")) for one in tree]
    return Tree(said, {ids.get(parent, ""): ids[child] for parent, child in tree.chosen.items() if child in ids})
