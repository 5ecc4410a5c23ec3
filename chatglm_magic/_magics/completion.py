"""Tab in our lines and cells: options and their values, models, conversations, commands, `{names}` in prompts.

Nothing is asked over the network and no code of the user's is run: what is offered is known already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import msgspec

from .._conversation.conversation import quote_name
from .._errors import ChatGLMError
from .._jupyter.trackers import RUNNING
from .._language import language, marked, tr
from .._messages import OPTIONS as PARAMETERS
from ..providers import PROVIDERS, known_models
from .options import APPROVALS, COMMANDS, EXPORTS, FORMATS, TABLE, TOPIC_WORDS, Option
from .parser import command_named, split_option

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .._jupyter.shell import Offers
    from .._store import Thread
    from .session import Session

_LINE = re.compile(r"\s*(?:[\w.\[\]'\", ]+=\s*)?%chatglm(?P<blank>\s+)")
_CELL = re.compile(r"\s*%%chatglm(?P<blank>[ \t]+|(?=\n))")
_WORD = re.compile(r"""(?:"[^"]*"?|'[^']*'?|\S)+""")
_NAME = re.compile(r"(?<![{\\^_])\{(?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)*\.?)?\Z")
_SWITCHES = ("true", "false")
_MOST_STORED = 100
_MOST_PATHS = 1000
_BLANKS = frozenset(" \t'\"")
"""What a file's name would have to be quoted for."""
_MOST_OUTPUTS = 10
_ATTACHED = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    *(".txt", ".md", ".csv", ".tsv", ".json", ".py", ".ipynb", ".log", ".tex", ".html"),
)
"""The endings of files that are offered to be attached."""
_TYPES = frozenset({"types", "typing"})
"""Where the classes of types live that are no classes themselves: `list[int]`, `Literal["a"]`."""
_KEY_OWNERS = ("zai", "bigmodel", "openai")
_NOTES = {
    "M": marked("model"),
    "SCHEMA": marked("schema"),
    "X": marked("picture or file"),
    "K": marked("parameter"),
    "NAME": marked("conversation"),
    "NAME,NAME": marked("variable"),
    "VAR": marked("variable"),
    "use": marked("model"),
    "models": marked("provider"),
    "help": marked("page"),
    "set": marked("setting"),
    "new": marked("conversation"),
    "delete": marked("conversation"),
    "forget": marked("conversation"),
    "load": marked("conversation"),
    "rename": marked("conversation"),
    "save": marked("file"),
    "export": marked("file"),
    "login": marked("provider"),
    "logout": marked("provider"),
}
"""What is offered as an option's value, or behind a command's word; front ends show it beside what is offered."""


class Spot(msgspec.Struct, frozen=True):
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
    """Return where the end of a line stands among options, commands and prompt."""
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
    """Offers what may stand at the cursor, as a kernel's session knows it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def offers(self, before: str, after: str) -> Offers:
        """Return what may stand between the halves of a cell before and after the cursor.

        Returns:
            The fragment that is there already, what it may become and what that is, and whether nothing else may stand
            there: names of Python's are no model and no conversation.
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
        is_model = cell is None and spot.kind == "command" and list(map(_english, spot.earlier)) == ["use"]
        names = _beginning(spot.fragment, self._at(spot, is_line=cell is None))
        return spot.fragment, names, is_model or spot.kind == "value"

    def _at(self, spot: Spot, *, is_line: bool) -> Iterable[tuple[str, str]]:
        if spot.kind == "word":
            options = _noted([name for option in TABLE for name in option.names], tr("option"))
            is_option = spot.fragment.startswith("-") or not is_line
            return options if is_option else [*_noted(_command_words(), tr("command")), *options]
        if spot.option is not None:
            kind = spot.option.values[len(spot.earlier)]
            noted = tr("function") if "--tool" in spot.option.names else _note(kind)
            return _noted(self._values(spot.option, spot.earlier, spot.fragment), noted)
        if not is_line or spot.kind != "command" or len(spot.earlier) != 1:
            return []
        command = _english(spot.earlier[0])
        return _noted(self._words(command, spot.fragment), _note(command))

    def _values(self, option: Option, earlier: tuple[str, ...], fragment: str) -> Iterable[str]:  # noqa: PLR0911 - one each
        """Return what an option's value may be."""
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
                return self._functions() if "--tool" in option.names else self._conversations()
            case "WHO":
                return APPROVALS
            case "NAME,NAME":
                first = fragment.rpartition(",")[0]
                return [f"{first},{name}" if first else name for name in self._variables()]
            case "FORMAT":
                return FORMATS
            case "X":
                return (*_paths(fragment, _ATTACHED), *self._outputs())
            case "SCHEMA":
                return (*self._schemas(), *_paths(fragment, (".json",)))
            case "VAR":
                return self._variables()
            case _:
                return ()

    def _words(self, command: str, fragment: str) -> Iterable[str]:
        """Return what may follow a command."""
        offered: dict[str, Callable[[], Iterable[str]]] = {
            "use": lambda: self._models(fragment),
            "models": lambda: PROVIDERS,
            "help": lambda: (*(TOPIC_WORDS.values() if language() == "zh" else ()), *TOPIC_WORDS),
            "set": lambda: ("system", "think", "timeout", *PARAMETERS),
            "new": self._conversations,
            "pick": lambda: [model for model, _ in self._session.compared.values()],
            "delete": lambda: self._stored(fragment),
            "forget": lambda: [*self._stored(fragment), "rows", "all"],
            "load": lambda: [*self._stored(fragment), *_paths(fragment, (".json",))],
            "save": lambda: _paths(fragment, (".json",)),
            "export": lambda: _paths(fragment, EXPORTS),
            "fix": lambda: ("replace",),
            "rename": lambda: self._stored(fragment),
            "login": lambda: _KEY_OWNERS,
            "logout": lambda: _KEY_OWNERS,
        }
        return offered[command]() if command in offered else ()

    def _models(self, fragment: str) -> list[str]:
        """Return the models that are known: by themselves, and after a provider's name and a colon."""
        workspace = self._session.workspace
        provider, colon, _ = fragment.partition(":")
        names = {name: dict.fromkeys((*workspace.models.get(name, ()), *known_models(name))) for name in PROVIDERS}
        if colon and provider in PROVIDERS:
            return [f"{provider}:{model}" for model in names[provider]]
        return [*PROVIDERS, *names.get(workspace.options().provider, ()), *names["zai"]]

    def _conversations(self) -> list[str]:
        """Return the names of the conversations that are open, and of those that are stored."""
        workspace = self._session.workspace
        stored = [thread.name for thread in self._threads()]
        return list(dict.fromkeys(map(quote_name, (workspace.current, *workspace.chats, *stored))))

    def _stored(self, fragment: str) -> list[str]:
        """Return the same, or their numbers where one is begun."""
        if not fragment.startswith("#"):
            return self._conversations()
        return [f"#{thread.number}" for thread in self._threads()]

    def _threads(self) -> list[Thread]:
        with suppress(ChatGLMError):  # nothing is offered then
            return self._session.workspace.store.threads(_MOST_STORED)
        return []

    def _outputs(self) -> list[str]:
        """Return the newest outputs of cells."""
        shown = {*self._session.shell.user_ns.get("_oh", {}), *self._session.pictures.shown}
        return ["_", *(f"Out[{number}]" for number in sorted(shown - {RUNNING}, reverse=True)[:_MOST_OUTPUTS])]

    def _functions(self) -> list[str]:
        """Return the user's own functions."""
        names = self._session.shell.user_ns
        return [name for name in self._variables() if isinstance(names[name], FunctionType)]

    def _variables(self) -> list[str]:
        shell = self._session.shell
        hidden = shell.user_ns_hidden
        return sorted(
            name for name, value in shell.user_ns.items() if name[:1] != "_" and hidden.get(name, shell) is not value
        )

    def _schemas(self) -> list[str]:
        """Return the names of what may be a schema: classes, types such as `list[Paper]`, and JSON Schemas."""
        values = self._session.shell.user_ns
        kinds = {name: type(values[name]) for name in self._variables()}
        return [name for name, kind in kinds.items() if issubclass(kind, (type, dict)) or kind.__module__ in _TYPES]

    def _names(self, before: str, after: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the names that an open brace before the cursor may enclose, and what their types say they have."""
        found = _NAME.search(before)
        if found is None:
            return "", []
        path = found["path"] or ""
        owner, dot, fragment = path.rpartition(".")
        end = "" if after[:1] == "}" else "}"
        names = _attributes(self._session.shell, owner) if dot else self._variables()
        noted = _noted([f"{name}{end}" for name in names], tr("variable"))
        return fragment, _beginning(fragment, noted)


def _command_words() -> list[str]:
    """Return the words of the commands, in Chinese the Chinese ones before the English ones."""
    known = language()
    return [
        word
        for command in COMMANDS
        for word in ((*command.words, command.name) if known == "zh" else command.names[:1])
    ]


def _english(word: str) -> str:
    """Return the name of the command that a word names; empty for none."""
    command = command_named(word)
    return command.name if command else ""


def _attributes(shell: InteractiveShell, path: str) -> list[str]:
    """Return the public names that a value's type has, and those it holds itself; no property is read."""
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
    """Return the folders and the files of some endings that a beginning may become; hidden ones where it says so."""
    folder, slash, begun = fragment.rpartition("/")
    head = f"{folder}{slash}"
    with suppress(OSError, RuntimeError):  # it cannot be looked into, or there is no such user
        found = sorted(Path(head or ".").expanduser().iterdir())[:_MOST_PATHS]
        shown = [path for path in found if begun.startswith(".") or not path.name.startswith(".")]
        names = [(path.name, path.is_dir()) for path in shown if path.is_dir() or path.suffix.lower() in endings]
        return [f"{head}{name}{'/' if is_folder else ''}" for name, is_folder in names if not set(name) & _BLANKS]
    return []


def _note(kind: str) -> str:
    return tr(_NOTES[kind]) if kind in _NOTES else tr("value")


def _noted(names: Iterable[str], note: str) -> list[tuple[str, str]]:
    return [(name, note) for name in names]


def _beginning(fragment: str, offered: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what begins with a fragment, each name once."""
    return list({name: (name, note) for name, note in offered if name.startswith(fragment)}.values())
