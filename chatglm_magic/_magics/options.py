"""The options of %chatglm: one table, from which parser, help and README are made; no I/O."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable
from dataclasses import field

from .._messages import OPTIONS as PARAMETERS
from .._messages import OptionValue, parse_option
from .._values import dataclass

FORMATS = ("md", "text", "code", "json")
"""How a reply may be shown."""


class ArgumentError(ValueError):
    """The line cannot be read as options and a prompt; the message says why and what to write."""


@dataclass(slots=True)
class Arguments:
    """A line, read.

    Attributes:
        prompt: What is asked, byte for byte; without the newline that ends a cell.
        literal: Whether `--` said that a prompt follows, whatever it looks like.
        model: `-m`; empty if not given.
        base_url: `--base-url`; empty if not given.
        system: `-s`; None if not given (an empty text takes the system prompt away).
        options: Parameters of the model, checked.
        think: `--think` or `--no-think`; None if neither.
        conversation: `-c`; empty for the usual one.
        new: Whether the conversation starts over.
        history: Whether the question sees and enters the conversation.
        out: `--out`; empty if not given.
        timeout: Seconds without an event; None if not given.
        quiet: Whether nothing is shown.
        hide_thinking: Whether thinking is not shown.
        usage: Whether tokens and seconds are shown.
        format: How the reply is shown: one of `FORMATS`.
        insert: Where the reply's code goes: `below`, `replace`, or empty for nowhere.
        err: Whether the last error is sent along.
        cells: Numbers of the cells that are sent along.
        variables: Paths of the variables that are sent along.
        background: Whether the cell ends at once, and the reply grows on.
        dry_run: Whether what would be sent is shown, and nothing sent.
        cache: `--cache` or `--no-cache`: whether a stored answer does; None if neither.
    """

    prompt: str = ""
    literal: bool = False
    model: str = ""
    base_url: str = ""
    system: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    think: bool | None = None
    conversation: str = ""
    new: bool = False
    history: bool = True
    out: str = ""
    timeout: float | None = None
    quiet: bool = False
    hide_thinking: bool = False
    usage: bool = False
    format: str = "md"
    insert: str = ""
    err: bool = False
    cells: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    background: bool = False
    dry_run: bool = False
    cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    Attributes:
        names: As they are typed, the short one first.
        values: What the values are called, in order; none for a switch.
        help: What it does, in a few words.
        store: Puts the values into the arguments; raises `ArgumentError` or `ConfigError`.
        choices: Of an option whose value may be left out, the words that are one; the first is meant without.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    help: str
    store: Callable[[Arguments, list[str]], None]
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The names and values as a reader sees them: `-m, --model M`."""
        return " ".join((", ".join(self.names), *self.values))


def _text(name: str) -> Callable[[Arguments, list[str]], None]:
    def store(arguments: Arguments, values: list[str]) -> None:
        setattr(arguments, name, values[0])

    return store


def _switch(name: str, *, to: bool = True) -> Callable[[Arguments, list[str]], None]:
    def store(arguments: Arguments, _: list[str]) -> None:
        setattr(arguments, name, to)

    return store


def _store_option(arguments: Arguments, values: list[str]) -> None:
    name = values[0].replace("-", "_")
    value = parse_option(name, values[1])
    earlier = arguments.options.get(name)
    if isinstance(value, tuple) and isinstance(earlier, tuple):
        value = earlier + value
    arguments.options[name] = value


def _store_out(arguments: Arguments, values: list[str]) -> None:
    name = values[0]
    if not name.isidentifier() or keyword.iskeyword(name):
        msg = f"--out takes the name of a variable, not {name!r}."
        raise ArgumentError(msg)
    arguments.out = name


def _store_timeout(arguments: Arguments, values: list[str]) -> None:
    try:
        seconds = float(values[0])
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = f"--timeout takes seconds, a number above 0, not {values[0]!r}."
        raise ArgumentError(msg)
    arguments.timeout = seconds


def _store_format(arguments: Arguments, values: list[str]) -> None:
    if values[0] not in FORMATS:
        msg = f"--format takes one of {', '.join(FORMATS)}, not {values[0]!r}."
        raise ArgumentError(msg)
    arguments.format = values[0]


def _store_insert(arguments: Arguments, values: list[str]) -> None:
    if values[0] not in _PLACES:
        msg = f"--insert takes {' or '.join(_PLACES)}, not {values[0]!r}."
        raise ArgumentError(msg)
    arguments.insert = values[0]


def _store_cells(arguments: Arguments, values: list[str]) -> None:
    numbers: list[int] = []
    for piece in values[0].split(","):
        found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", piece)
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else 0
        if not 0 < first <= last < first + _MOST_CELLS:
            msg = f"--cells takes numbers of cells, as in 3,5-7, not {values[0]!r}."
            raise ArgumentError(msg)
        numbers += range(first, last + 1)
    arguments.cells += tuple(numbers)


def _store_variables(arguments: Arguments, values: list[str]) -> None:
    arguments.variables += tuple(name for name in values[0].split(",") if name)


_MOST_CELLS = 100
_PLACES = ("below", "replace")

TABLE: tuple[Option, ...] = (
    Option(("-m", "--model"), ("M",), "model, or provider:model (zai:glm-4.7-flash, local)", _text("model")),
    Option(("--base-url",), ("URL",), "an OpenAI-compatible server", _text("base_url")),
    Option(("-s", "--system"), ("TEXT",), "system prompt", _text("system")),
    Option(("-o", "--option"), ("K", "V"), f"a parameter (repeats): {', '.join(PARAMETERS)}", _store_option),
    Option(("--think",), (), "let the model think first", _switch("think")),
    Option(("--no-think",), (), "let it answer at once", _switch("think", to=False)),
    Option(("-R", "--hide-thinking"), (), "do not show what it thinks", _switch("hide_thinking")),
    Option(("-c", "--conversation"), ("NAME",), "ask in this conversation", _text("conversation")),
    Option(("--new",), (), "start the conversation over", _switch("new")),
    Option(("--no-history",), (), "neither see nor enter the conversation", _switch("history", to=False)),
    Option(("-f", "--format"), ("FORMAT",), f"how the reply is shown: {', '.join(FORMATS)}", _store_format),
    Option(
        ("--insert",),
        ("[below|replace]",),
        "put the reply's code into a cell, never run: below (usual), or in place of this one",
        _store_insert,
        _PLACES,
    ),
    Option(("--err",), (), "send the last error along: its cell and its traceback", _switch("err")),
    Option(("--cells",), ("N,N-N",), "send cells along, and their values: 3,5-7", _store_cells),
    Option(("--vars",), ("NAME,NAME",), "send variables along, described", _store_variables),
    Option(
        ("--bg",), (), "in the background: the cell is a job at once (.text, .stop(), await job)", _switch("background")
    ),
    Option(("--dry-run",), (), "show what would be sent, and to whom; send nothing", _switch("dry_run")),
    Option(
        ("--cache",),
        (),
        "show the stored answer to the same question, if there is one, and ask nobody",
        _switch("cache"),
    ),
    Option(("--no-cache",), (), "ask, whatever is stored", _switch("cache", to=False)),
    Option(("--out",), ("VAR",), "put the reply into a variable, also one that was stopped or failed", _store_out),
    Option(("--timeout",), ("S",), "seconds without an event before the reply is given up", _store_timeout),
    Option(("-q", "--quiet"), (), "show nothing", _switch("quiet")),
    Option(("-u", "--usage"), (), "show tokens and seconds", _switch("usage")),
)
"""Every option, in the order in which a reader should meet them."""
