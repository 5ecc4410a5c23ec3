"""Tab in our lines and cells: options and their values, models, conversations, commands, `{names}` in prompts.

Nothing is asked over the network and no code of the user's is run: what is offered is known already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ChatGLMError
from .._messages import OPTIONS as PARAMETERS
from .._values import dataclass
from ..providers import PROVIDERS, known_models
from .arguments import COMMANDS, EXPORTS, TABLE, TOPICS, split_option
from .options import FORMATS, Option

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .._store import Thread
    from .magic import ChatGLMMagics

_LINE = re.compile(r"\s*(?:[\w.\[\]'\", ]+=\s*)?%chatglm(?P<blank>\s+)")
_CELL = re.compile(r"\s*%%chatglm(?P<blank>[ \t]+|(?=\n))")
_WORD = re.compile(r"""(?:"[^"]*"?|'[^']*'?|\S)+""")
_NAME = re.compile(r"(?<![{\\^_])\{(?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)*\.?)?\Z")
_SWITCHES = ("true", "false")
_MOST_STORED = 100
_MOST_PATHS = 1000
_BLANKS = frozenset(" \t'\"")
"""What a file's name would have to be quoted for."""
_KEY_OWNERS = ("zai", "bigmodel", "openai")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the cursor stands in what follows `%chatglm`.

    Attributes:
        kind: `word` where an option, a command or the prompt may begin; `value` of an option; `command` for
            the words after a command; `prompt` elsewhere.
        fragment: What has been typed of it.
        option: Whose value it is.
        earlier: The option's values before it, or the line's words.
    """

    kind: str
    fragment: str
    option: Option | None = None
    earlier: tuple[str, ...] = ()


def spot_of(line: str) -> Spot:  # noqa: PLR0911 - one for each place there is
    """Find out where the end of a line stands among options, commands and prompt."""
    named = {name: option for option in TABLE for name in option.names}
    words = [(found[0], found.end() == len(line)) for found in _WORD.finditer(line)]
    at = 0
    while at < len(words):
        word, is_open = words[at]
        name, attached = split_option(word)
        if is_open and attached is None:
            return Spot("word", word)
        if not word.startswith("-") or word == "--":
            break
        option = named.get(name)
        if option is None:
            return Spot("prompt", "")
        at += 1
        values = [] if attached is None else [attached]
        if attached is not None and is_open:
            return Spot("value", attached, option)
        while len(values) < len(option.values):
            if at == len(words):
                return Spot("value", "", option, tuple(values))
            word, is_open = words[at]
            if is_open:
                return Spot("value", word, option, tuple(values))
            if option.choices and word not in option.choices:
                break
            values.append(word)
            at += 1
    rest = [word for word, _ in words[at:]]
    if not rest:
        return Spot("word", "")
    fragment = rest.pop() if words[-1][1] else ""
    return Spot("command", fragment, earlier=tuple(rest))


class Completer:
    """Offers what may stand at the cursor.

    Args:
        magics: The settings and the conversations.
    """

    def __init__(self, magics: ChatGLMMagics) -> None:
        self._magics = magics

    def offers(self, before: str, after: str) -> tuple[str, list[str], bool]:
        """Give what may stand between two halves of a cell, and the fragment of it that is there already.

        Args:
            before: The cell up to the cursor.
            after: The cell from the cursor on.

        Returns:
            The fragment, what it may become, and whether nothing else may stand there: names of Python's
            are no model and no conversation.
        """
        cell = _CELL.match(before)
        if cell is not None and "\n" in before[cell.end() :]:
            return *self._names(before, after), False
        line = before.rpartition("\n")[2] if cell is None else before
        found = cell or _LINE.match(line)
        if found is None:
            return "", [], False
        fragment, names = self._names(before, after)
        if names:
            return fragment, names, False
        spot = spot_of(line[found.end() :])
        is_model = cell is None and spot.kind == "command" and spot.earlier == ("use",)
        names = _beginning(spot.fragment, self._at(spot, is_line=cell is None))
        return spot.fragment, names, is_model or spot.kind == "value"

    def _at(self, spot: Spot, *, is_line: bool) -> Iterable[str]:
        if spot.kind == "word":
            options = [name for option in TABLE for name in option.names]
            return options if spot.fragment.startswith("-") or not is_line else [*_commands(), *options]
        if spot.option is not None:
            return self._values(spot.option, spot.earlier, spot.fragment)
        return self._words(spot.earlier, spot.fragment) if is_line and spot.kind == "command" else []

    def _values(self, option: Option, earlier: tuple[str, ...], fragment: str) -> Iterable[str]:  # noqa: PLR0911 - one each
        """Give what an option's value may be."""
        if option.choices:
            return option.choices
        match option.values[len(earlier)]:
            case "M":
                return self._models(fragment)
            case "K":
                return PARAMETERS
            case "V":
                known = PARAMETERS.get(earlier[0].replace("-", "_"))
                return _SWITCHES if known is not None and known.kind == "bool" else ()
            case "NAME":
                return self._conversations()
            case "NAME,NAME":
                first = fragment.rpartition(",")[0]
                return [f"{first},{name}" if first else name for name in self._variables()]
            case "FORMAT":
                return FORMATS
            case "VAR":
                return self._variables()
            case _:
                return ()

    def _words(self, earlier: tuple[str, ...], fragment: str) -> Iterable[str]:
        """Give what may follow a command."""
        offered: dict[str, Callable[[], Iterable[str]]] = {
            "use": lambda: self._models(fragment),
            "models": lambda: PROVIDERS,
            "help": lambda: TOPICS,
            "set": lambda: ("system", "think", "timeout", *PARAMETERS),
            "new": self._conversations,
            "delete": lambda: self._stored(fragment),
            "forget": lambda: [*self._stored(fragment), "all"],
            "load": lambda: [*self._stored(fragment), *_paths(fragment, (".json",))],
            "save": lambda: _paths(fragment, (".json",)),
            "export": lambda: _paths(fragment, EXPORTS),
            "fix": lambda: ("replace",),
            "rename": lambda: self._stored(fragment),
            "login": lambda: _KEY_OWNERS,
            "logout": lambda: _KEY_OWNERS,
        }
        return offered[earlier[0]]() if len(earlier) == 1 and earlier[0] in offered else ()

    def _models(self, fragment: str) -> list[str]:
        """Give the models that are known: by themselves, and after a provider's name and a colon."""
        magics = self._magics
        provider, colon, _ = fragment.partition(":")
        names = {name: dict.fromkeys((*magics.listed.get(name, ()), *known_models(name))) for name in PROVIDERS}
        if colon and provider in PROVIDERS:
            return [f"{provider}:{model}" for model in names[provider]]
        return [*PROVIDERS, *names.get(magics.provider, ()), *names["zai"]]

    def _conversations(self) -> list[str]:
        """Give the names of the conversations that are open, and of those that are stored."""
        stored = [thread.name for thread in self._threads()]
        return list(dict.fromkeys((self._magics.current, *self._magics.chats, *stored)))

    def _stored(self, fragment: str) -> list[str]:
        """Give the same, or their numbers where one is begun."""
        if not fragment.startswith("#"):
            return self._conversations()
        return [f"#{thread.number}" for thread in self._threads()]

    def _threads(self) -> list[Thread]:
        with suppress(ChatGLMError):  # nothing is offered then
            return self._magics.memory.all(_MOST_STORED)
        return []

    def _variables(self) -> list[str]:
        shell = self._magics.shell
        hidden = shell.user_ns_hidden
        return sorted(
            name for name, value in shell.user_ns.items() if name[:1] != "_" and hidden.get(name, shell) is not value
        )

    def _names(self, before: str, after: str) -> tuple[str, list[str]]:
        """Give the names that an open brace before the cursor may enclose, and what their types say they have."""
        found = _NAME.search(before)
        if found is None:
            return "", []
        path = found["path"] or ""
        owner, dot, fragment = path.rpartition(".")
        end = "" if after[:1] == "}" else "}"
        if not dot:
            return path, [f"{name}{end}" for name in _beginning(path, self._variables())]
        return fragment, [f"{name}{end}" for name in _beginning(fragment, _attributes(self._magics.shell, owner))]


def _attributes(shell: InteractiveShell, path: str) -> list[str]:
    """Give the public names that a value's type has, and those it holds itself; no property is read."""
    if "." in path or path not in shell.user_ns:
        return []
    value = shell.user_ns[path]
    try:
        own = list(object.__getattribute__(value, "__dict__"))
    except Exception:  # noqa: BLE001 - it holds nothing of its own, or is strange
        own = []
    inherited = [name for kind in type(value).__mro__ for name in vars(kind)]
    return sorted({name for name in (*own, *inherited) if isinstance(name, str) and name[:1] != "_"})


def _paths(fragment: str, endings: tuple[str, ...]) -> list[str]:
    """Give the folders and the files of some endings that a beginning may become; hidden ones where it says so."""
    folder, slash, begun = fragment.rpartition("/")
    head = f"{folder}{slash}"
    with suppress(OSError, RuntimeError):  # it cannot be looked into, or there is no such user
        found = sorted(Path(head or ".").expanduser().iterdir())[:_MOST_PATHS]
        shown = [path for path in found if begun.startswith(".") or not path.name.startswith(".")]
        names = [(path.name, path.is_dir()) for path in shown if path.is_dir() or path.suffix.lower() in endings]
        return [f"{head}{name}{'/' if is_folder else ''}" for name, is_folder in names if not set(name) & _BLANKS]
    return []


def _commands() -> list[str]:
    return [command.name for command in COMMANDS]


def _beginning(fragment: str, names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name.startswith(fragment)))
