"""The options of %chatglm: one table; parser, help text and names are made from it.

Options stand only before the prompt, on the first line; `--` ends them. The prompt itself is never
split or unquoted: what follows the last option reaches the model byte for byte.
"""

from __future__ import annotations

import difflib
import keyword
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._errors import ConfigError
from ._messages import OPTIONS as PARAMETERS
from ._messages import parse_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._messages import OptionValue


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
        dry_run: Whether what would be sent is shown, and nothing sent.
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
    dry_run: bool = False


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


@dataclass(frozen=True, slots=True)
class Command:
    """One of the line's reserved first words.

    Attributes:
        name: The word.
        values: What may follow it, for readers: `[name]`.
        help: What it does, in a few words.
        most: How many words may follow; with more of them the line is a prompt.
        rest: What those words must look like, all together, where not every word will do.
    """

    name: str
    values: str
    help: str
    most: float = 0
    rest: re.Pattern[str] | None = None

    def fits(self, words: list[str]) -> bool:
        """Tell whether a line's words, the first one included, are this command."""
        if words[0] != self.name or len(words) - 1 > self.most:
            return False
        return self.rest is None or len(words) == 1 or self.rest.fullmatch(" ".join(words[1:])) is not None


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
    Option(("--dry-run",), (), "show what would be sent, and to whom; send nothing", _switch("dry_run")),
    Option(("--out",), ("VAR",), "put the reply into a variable, also one that was stopped or failed", _store_out),
    Option(("--timeout",), ("S",), "seconds without an event before the reply is given up", _store_timeout),
    Option(("-q", "--quiet"), (), "show nothing", _switch("quiet")),
    Option(("-u", "--usage"), (), "show tokens and seconds", _switch("usage")),
)
"""Every option, in the order in which a reader should meet them."""

COMMANDS: tuple[Command, ...] = (
    Command("help", "", "this manual"),
    Command("version", "", "the version of chatglm_magic"),
)
"""Every reserved first word of a line."""

_NAMED = {name: option for option in TABLE for name in option.names}
_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
_QUOTED = re.compile(r"""(['"])((?:\\\1|(?!\\\1)(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)""", re.DOTALL)
_QUOTED_PLAINLY = re.compile(r"""(['"])((?:(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)""", re.DOTALL)
_DASH_HINT = "A prompt that begins with a dash stands after --, as in %chatglm -- -5 is what?"


def parse(line: str, cell: str | None = None) -> Arguments:
    """Read options and prompt.

    Args:
        line: What follows the magic's name on its line.
        cell: The lines below it; None for the line form. Text after the options on the first line is
            the first line of the prompt.

    Raises:
        ArgumentError: An option is unknown, lacks its value or has one that does not fit.
    """
    arguments = Arguments()
    rest = _take_options(line, arguments)
    if cell is not None:
        body = cell.removesuffix("\n").removesuffix("\r")
        rest = f"{rest}\n{body}" if rest else body
    arguments.prompt = rest
    return arguments


def find_command(arguments: Arguments) -> tuple[Command, list[str]] | None:
    """Give the command that a line is, with its words, or None where it is a prompt.

    A reserved word is one only where the rest of the line fits it: `help` is a command, `help me with
    this` a prompt. After `--` everything is a prompt.
    """
    words = arguments.prompt.split()
    if arguments.literal or not words:
        return None
    for command in COMMANDS:
        if command.fits(words):
            return command, words[1:]
    return None


def manual() -> str:
    """Write the manual: what `%chatglm?` and `%chatglm help` show."""
    return "\n".join((_HEAD, "", "Options:", *_rows(option_rows()), "", "Commands:", *_rows(command_rows()), _FOOT))


def short_help() -> str:
    """Write what `%chatglm` alone shows."""
    return _SHORT


def option_rows() -> list[tuple[str, str]]:
    """Give usage and help of every option, for tables."""
    return [(option.usage, option.help) for option in TABLE]


def command_rows() -> list[tuple[str, str]]:
    """Give usage and help of every command, for tables."""
    return [(f"{command.name} {command.values}".rstrip(), command.help) for command in COMMANDS]


_HEAD = """\
Ask a model; its reply streams into this cell.

    %chatglm [options] prompt               # one line
    answer = %chatglm [options] prompt      # a Reply
    %%chatglm [options]                     # a whole cell
    prompt, as many lines as you like

Options stand before the prompt, on the first line; -- ends them. Their values may be quoted. The prompt
is sent as it stands: quotes, backslashes, braces and ? need no escaping."""

_FOOT = """
The reply is the cell's value (`_`): .text .thinking .code .json .usage .finish_reason.
%config ChatGLMMagics lists the settings; an option goes before the conversation's own setting, that
before %config, that before the environment (CHATGLM_PROVIDER, CHATGLM_MODEL, CHATGLM_BASE_URL)."""

_SHORT = """\
%chatglm prompt asks on one line, %%chatglm with the prompt below it asks with a whole cell.
%chatglm? is the manual."""


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(usage) for usage, _ in rows)
    return [f"  {usage:{width}}  {text}" for usage, text in rows]


def _take_options(line: str, arguments: Arguments) -> str:
    """Store the options at the beginning of a line and give what follows them."""
    place = 0
    while True:
        start = _end(_BLANKS, line, place)
        word = _word(line, start)
        if not word.startswith("-"):
            # Blanks belong to the prompt once they are not ASCII: a Chinese paragraph begins with U+3000.
            return line[place:].strip(" \t\r\n\f\v")
        place = start + len(word)
        if word == "--":
            arguments.literal = True
            return line[place:].strip(" \t\r\n\f\v")
        name, equals, attached = word.partition("=")
        if not name.startswith("--"):
            name, equals, attached = word, "", ""
        option = _NAMED.get(name)
        if option is None:
            raise ArgumentError(_unknown(word))
        if equals:
            place = start + len(name) + 1
            if not option.values:
                msg = f"{name} takes no value, so there is no {word!r}."
                raise ArgumentError(msg)
        values = _left_out(line, place, option, joined=bool(attached))
        for number in range(len(values), len(option.values)):
            joined = bool(attached) and number == 0
            value, place = _take_value(line, place, option, name, joined=joined)
            values.append(value)
        try:
            option.store(arguments, values)
        except ConfigError as error:
            raise ArgumentError(str(error)) from None


def _left_out(line: str, place: int, option: Option, *, joined: bool) -> list[str]:
    """Give the value that is meant where an option's value may be left out and is."""
    if not option.choices or joined or _word(line, _end(_BLANKS, line, place)) in option.choices:
        return []
    return [option.choices[0]]


def _take_value(line: str, place: int, option: Option, name: str, *, joined: bool) -> tuple[str, int]:
    """Give one value and where it ends; a quoted one without its quotes."""
    if not joined:
        place = _end(_BLANKS, line, place)
    word = _word(line, place)
    if not word or (not joined and (word == "--" or word in _NAMED)):
        msg = f"{name} lacks its value. It is written {name} {' '.join(option.values)}."
        raise ArgumentError(msg)
    if word[0] not in "'\"":
        return word, place + len(word)
    quoted = _QUOTED.match(line, place)
    if quoted is not None:
        quote = quoted[1]
        return quoted[2].replace("\\" + quote, quote), quoted.end()
    quoted = _QUOTED_PLAINLY.match(line, place)  # a value that ends in a backslash: "C:\dir\"
    if quoted is not None:
        return quoted[2], quoted.end()
    msg = f"The value of {name} begins with {word[0]} and has no closing one before a blank or the line's end."
    raise ArgumentError(msg)


def _unknown(word: str) -> str:
    name = word.partition("=")[0]
    near = difflib.get_close_matches(name, _NAMED, n=1)
    if not near and not name.startswith("--"):
        near = [known for known in _NAMED if known.startswith("--") and known[2:] == name[1:]]
    hint = f" Did you mean {near[0]}?" if near else " %chatglm? lists them."
    if (parameter := name.strip("-").replace("-", "_")) in PARAMETERS:
        hint = f" It is a parameter: -o {parameter} V."
    return f"There is no option {word}.{hint} {_DASH_HINT}"


def _word(line: str, place: int) -> str:
    found = _WORD.match(line, place)
    return found[0] if found else ""


def _end(pattern: re.Pattern[str], line: str, place: int) -> int:
    found = pattern.match(line, place)
    return found.end() if found else place
