"""What is kept of a kernel's conversations: the store as the magics use it, opened when it is first needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
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

    def move(self, where: str) -> None:
        """Keep what is said elsewhere from now on: a path, `:memory:`, `off`, or empty for the usual place."""
        from .._store.place import configure

        configure(where)

    @property
    def place(self) -> str:
        """Where it is: a path, `:memory:` or `off`."""
        from .._store.place import place

        return place()

    @property
    def is_on(self) -> bool:
        """Whether there is one."""
        return self.place != "off"

    @property
    def exists(self) -> bool:
        """Whether anything may be in it; asked before a question, so that a first one need not open it."""
        return self.is_on and (self.place == ":memory:" or Path(self.place).exists())

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

        if not self.is_on:
            msg = "Nothing is stored: the store is off (CHATGLM_STORE, %config ChatGLMMagics.store)."
            raise ConfigError(msg)
        return open_store(self.place)

    def all(self, limit: int = _ALL) -> list[Thread]:
        """Give the stored conversations, the newest first; none where there is no store."""
        return self.store().threads(limit) if self.exists else []

    def named(self, what: str) -> list[Thread]:
        """Give the stored conversations of a name, the newest first, or the one of a number, `#12`."""
        number = what[1:] if what[:1] == "#" else ""
        if number.isdigit():
            return [thread for thread in self.all() if thread.number == int(number)]
        return [thread for thread in self.all() if thread.name == what]

    def search(self, text: str, limit: int) -> list[Hit]:
        """Find words in all that was said."""
        return self.store().search(text, limit) if self.exists else []

    def forget(self, threads: Iterable[str] | None) -> None:
        """Remove stored conversations by their ids, or all that is stored."""
        if self.exists:
            self.store().forget(threads)

    def take_in(self, magics: ChatGLMMagics, title: str, said: Iterable[Said]) -> Chat:
        """Open a conversation that a file holds, under its title or a free name like it."""
        from .conversations import conversation, free_name

        name = re.sub(r"[^\w.-]+", "-", title).strip("-")[:60] or "loaded"
        chat = conversation(magics, free_name(magics, name))
        chat.start_over(Tree(said))
        return chat

    def keep(self, chat: Chat) -> None:
        """Keep a conversation from now on."""

    def leave(self, chat: Chat) -> None:
        """Keep a conversation no more."""

    def bring_back(self, chat: Chat, thread: Thread) -> None:
        """Put what is stored into a conversation, and go on keeping it there."""

    def of_cell(self, cell: str) -> Thread | None:
        """Give the conversation in which a cell has asked before."""
        return self.store().cell(cell) if self.exists else None

    def answer(self, key: str) -> Said | None:
        """Give the stored answer to the request of that key."""
        return self.store().answer(key) if self.exists else None
