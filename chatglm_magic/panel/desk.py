"""What a panel needs of its kernel: conversations, who answers in them, and the user's variables.

A panel that stands alone has a `Desk`; where the magics are loaded, their own takes its place, so that cells
and panels share all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from .._chat import Chat
from .._choice import Choice, choose
from .._errors import ChatGLMError, ConfigError
from .._interpolate import interpolate
from .._prompt import Budget, Prompt, fill_in, names_of, notes_on
from .._reply import Reply
from .._values import dataclass
from ..providers import PROVIDERS, known_models, split_spec

NAME = re.compile(r"[\w.-]{1,60}")
"""What a conversation may be called: one word, so that `%chatglm new` takes it too."""

_OPEN = re.compile(r"(?<!\{)\{([^\W\d]\w*)?\Z")
_MOST_NAMES = 20
_LINES = 60
"""Characters of a first question that stand for a conversation."""


@dataclass(frozen=True, slots=True)
class Known:
    """A conversation in a list.

    Attributes:
        name: Its name.
        title: What it is about.
        count: How many messages it has.
    """

    name: str
    title: str
    count: int


def shell() -> Any:  # noqa: ANN401 - IPython's shell
    """Give the shell that this runs in; None where there is none."""
    import sys

    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def kernel() -> Any:  # noqa: ANN401 - ipykernel's
    """Give the kernel that this runs in; None where there is none."""
    return getattr(shell(), "kernel", None)


def title_of(chat: Chat) -> str:
    """Give a conversation's first words; empty where nothing was said."""
    path = chat.tree.path()
    first = " ".join(path[0].text.split()) if path else ""
    return first if len(first) <= _LINES else f"{first[: _LINES - 1]}…"


class Desk:
    """The desk of a panel that stands alone: its conversations are its own.

    Args:
        chat: The first of them.

    Attributes:
        watchers: Told, in any thread, that something has changed that no conversation tells.
    """

    def __init__(self, chat: Chat) -> None:
        self._first = chat
        chat.name = chat.name or "chat"
        self._chats = {chat.name: chat}
        self._listed: dict[str, list[str]] = {}
        self._told = {""}
        self.watchers: WeakSet[Any] = WeakSet()

    def first(self) -> Chat:
        """Give the conversation that a panel begins with."""
        return self._first

    @property
    def cell(self) -> str:
        """What the front end calls the cell that runs, as `Place.cell` begins; empty where that is not known."""
        return ""

    def line(self, chat: Chat) -> str:
        """Give the first line of a cell that asks in a conversation; empty where none can."""
        del chat
        return ""

    def opened(self) -> Mapping[str, Chat]:
        """Give the conversations that are open, by name."""
        return self._chats

    def chats(self) -> list[Known]:
        """List the conversations there are."""
        return [Known(name, title_of(chat), len(chat.tree.path())) for name, chat in list(self.opened().items())]

    def stored(self) -> list[Known]:
        """List conversations that may be brought back; in a thread that may wait for a disk."""
        return []

    def open(self, name: str) -> Chat:
        """Give a conversation by its name.

        Raises:
            ConfigError: There is none.
        """
        chat = self.opened().get(name)
        if chat is None:
            msg = f"There is no conversation {name}."
            raise ConfigError(msg)
        return chat

    def new(self, name: str = "") -> Chat:
        """Begin a conversation, or go on with the one of that name.

        Raises:
            ConfigError: It cannot be called so.
        """
        if name:
            check_name(name)
        number = 2
        while not name:
            name, number = f"chat-{number}", number + 1
            if name in self.opened():
                name = ""
        return self.opened().get(name) or self._make(name)

    def _make(self, name: str) -> Chat:
        like = self._first
        chat = self._chats[name] = Chat(
            like.provider,
            model=like.model,
            system=like.system,
            think=like.think,
            timeout=like.timeout,
            history_tokens=like.history_tokens,
            name=name,
        )
        chat.options.update(like.options)
        return chat

    def rename(self, chat: Chat, name: str) -> None:
        """Give a conversation another name.

        Raises:
            ConfigError: It cannot be called so.
        """
        check_name(name)
        if name == chat.name:
            return
        if name in self._chats:
            msg = f"There is a conversation {name} already. Take another name."
            raise ConfigError(msg)
        self._chats = {name if one is chat else old: one for old, one in self._chats.items()}
        chat.name = name
        chat.changed()

    def label(self, chat: Chat) -> str:
        """Give the model that answers in a conversation, as the picker names it."""
        return label_of(Choice(chat.provider, chat.model))

    def models(self, chat: Chat) -> list[str]:
        """List the models that are known without asking anybody."""
        own = chat.provider.name
        return list(dict.fromkeys((self.label(chat), *self.models_of(own), *others(own))))

    def models_of(self, provider: str) -> list[str]:
        """List a provider's models, as far as they are known."""
        return [f"{provider}:{name}" for name in (*self._listed.get(provider, ()), *known_models(provider))]

    async def find_models(self, chat: Chat) -> str:
        """Ask who answers which models it has.

        Returns:
            Why that is not known; empty where it is.
        """
        provider = chat.provider
        models = getattr(provider, "models", None)
        if models is None or provider.name in self._listed:
            return ""
        try:
            self._listed[provider.name] = await models()
        except ChatGLMError as error:
            return f"The service did not say which models it has: {error}"
        return ""

    def use(self, chat: Chat, model: str) -> None:
        """Let a model answer from now on.

        Raises:
            ConfigError: Nobody can be asked so.
        """
        name, own = split_spec(model)
        if name in {"", chat.provider.name}:
            chat.model = own
            return
        choice = choose(model=model)
        chat.provider, chat.model = choice.provider, choice.model

    def how(self, chat: Chat) -> dict[str, Any]:
        """Give what `Chat.stream` takes for a question.

        Raises:
            ChatGLMError: Nobody can be asked.
        """
        return {"choice": Choice(chat.provider, chat.model)}

    def why(self, chat: Chat, choice: Choice) -> str:
        """Tell, once, who was taken to answer and for which reason, where the user did not say it."""
        why = choice.why or (chat.why if choice.provider is chat.provider else "")
        if why in self._told:
            return ""
        self._told.add(why)
        return why

    def asked(self, chat: Chat, reply: Reply) -> None:
        """Take note of a reply that is asked for."""

    def names(self) -> dict[str, object]:
        """Give the user's variables; from any thread."""
        here = shell()
        return names_of(here) if here is not None else {}

    def prepare(self, text: str, known: frozenset[str] = frozenset()) -> Prompt:
        """Put the user's values into a prompt.

        Args:
            text: As the user typed it.
            known: Names that are left as they are written.
        """
        budget = Budget()
        names = {name: value for name, value in self.names().items() if name not in known}
        done = fill_in(text, names, budget)
        missed = tuple(path for path in done.missed if _root(path) not in known)
        return Prompt(done.text, notes_on(replace(done, missed=missed), budget))

    def named(self, text: str) -> list[tuple[str, str]]:
        """Give the variables that a draft names, each with what kind of thing it is; nothing of them is read."""
        names = self.names()
        paths = interpolate(text, dict.fromkeys(names, _Anything()), lambda _: "").used
        roots = dict.fromkeys(map(_root, paths))
        return [(name, type(names[name]).__name__) for name in roots][:_MOST_NAMES]

    def offers(self, before: str) -> list[str]:
        """Give the variables that may stand in the brace which is open at the end of a text."""
        found = _OPEN.search(before)
        if found is None:
            return []
        begun = found[1] or ""
        names = sorted(name for name in self.names() if name[:1] != "_" and name.startswith(begun))
        return names[:_MOST_NAMES]


def names_in(text: str) -> frozenset[str]:
    """Give what a text names in braces, be it a variable or not."""
    done = interpolate(text, {}, lambda _: "")
    return frozenset(map(_root, done.missed))


class _Anything:
    """Has every attribute and every item: stands for a value that is not to be looked at."""

    def __getattr__(self, _: str) -> _Anything:
        return self

    def __getitem__(self, _: object) -> _Anything:
        return self


def _root(path: str) -> str:
    """Give a path's first name."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def check_name(name: str) -> None:
    """See that a conversation may be called so.

    Raises:
        ConfigError: It may not.
    """
    if not NAME.fullmatch(name):
        msg = "A conversation's name is one word of letters, digits, '.', '_' and '-', up to 60 of them."
        raise ConfigError(msg)


def label_of(choice: Choice) -> str:
    """Give the model of a choice, as the picker names it and `use` takes it."""
    provider = choice.provider
    usual = getattr(provider, "model", "")
    model = choice.model or (usual if usual in known_models(provider.name) else "")
    return f"{provider.name}:{model}" if model else provider.name


def others(own: str) -> list[str]:
    """List what else could answer: the other providers, and the platforms' models."""
    platforms = [f"{name}:{model}" for name in ("zai", "bigmodel") if name != own for model in known_models(name)]
    return [*(name for name in PROVIDERS if name != own and not known_models(name) and name != "openai"), *platforms]
