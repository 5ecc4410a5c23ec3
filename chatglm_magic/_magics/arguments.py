"""A line of %chatglm, read: its options and prompt, or a command; the manual is made from the same tables.

Options stand only before the prompt, on the first line; `--` ends them. The prompt itself is never
split or unquoted: what follows the last option reaches the model byte for byte.
"""

from __future__ import annotations

import re

from .._errors import ConfigError
from .._messages import OPTIONS as PARAMETERS
from .._values import dataclass
from .options import TABLE, ArgumentError, Arguments, Option

__all__ = [
    "COMMANDS",
    "EXPORTS",
    "TABLE",
    "TOPICS",
    "ArgumentError",
    "Arguments",
    "Command",
    "command_rows",
    "find_command",
    "manual",
    "option_rows",
    "parse",
    "short_help",
    "split_option",
    "table",
]


@dataclass(frozen=True, slots=True)
class Command:
    """One of the line's reserved first words.

    Attributes:
        name: The word.
        values: What may follow it, for readers: `[name]`.
        help: What it does, in a few words.
        most: How many words may follow; with more of them the line is a prompt.
        rest: What those words must look like, joined by blanks, where not all will do; `most` does not
            count then.
    """

    name: str
    values: str
    help: str
    most: int = 0
    rest: str | None = None

    def fits(self, words: list[str]) -> bool:
        """Tell whether a line's words, the first one included, are this command."""
        if words[0] != self.name:
            return False
        if self.rest is None:
            return len(words) - 1 <= self.most
        return re.fullmatch(self.rest, " ".join(words[1:]), re.DOTALL) is not None


_NAME = r"[\w.-]{1,60}"
_THREAD = rf"(#\d{{1,9}}|{_NAME})"
_PATH = r"""(\S*|"[^"]+"|'[^']+')"""
_WHOSE = r"(|zai|bigmodel|openai|https?://\S+)"
_ONE_WORD = "|".join(name.replace("_", "[_-]") for name in PARAMETERS if name != "stop")
EXPORTS = (".md", ".html", ".ipynb", ".json")
"""The endings of files that a conversation is exported to."""
TOPICS = ("options", "commands", "models", "keys", "context", "memory", "errors")
"""The pages of the manual."""

COMMANDS: tuple[Command, ...] = (
    Command("help", "[topic]", f"this manual, or a page of it: {', '.join(TOPICS)}", rest=f"({'|'.join(TOPICS)})?"),
    Command("models", "[filter]", "the models of who answers, or of a provider: models zai", rest=r"\S*|[a-z]+ \S+"),
    Command("use", "MODEL", "let this model answer from now on", rest=r"\S+"),
    Command("login", "[provider or URL]", "type a key, hidden, and keep it for one host", rest=_WHOSE),
    Command("logout", "[provider or URL]", "forget a key that was typed", rest=_WHOSE),
    Command("status", "", "who answers, where the key comes from, which conversation"),
    Command(
        "set",
        "[K [V]]",
        "system, think, timeout or a parameter for this conversation; none takes it away",
        rest=rf"|({_ONE_WORD}|think|timeout|stop|system)( \S+)?|(system|stop) .+",
    ),
    Command("new", "[name]", "begin a conversation, or go on with that one", rest=rf"({_NAME})?"),
    Command(
        "chats", "[n]", "the conversations: those that are open, and the newest n that are stored", rest=r"\d{0,6}"
    ),
    Command("search", "TEXT", "find words in all that was ever said", rest=r".*"),
    Command("history", "[n]", "what was said, or its last n exchanges", rest=r"\d{0,6}"),
    Command("undo", "", "take the last exchange back"),
    Command("retry", "", "ask the last question again, in the place of its answer"),
    Command("continue", "", "go on with an answer that was stopped or cut off"),
    Command("reset", "", "start the conversation over"),
    Command("last", "", "show the last reply again"),
    Command("fix", "[replace]", "send the last error; put a corrected cell below, or here", rest="(below|replace)?"),
    Command("explain", "", "send the last error; have it explained"),
    Command("code", "[n]", "a code block of the last reply, as a string", rest=r"\d{0,6}"),
    Command("rename", "[name] new-name", "give a conversation another name", rest=rf"({_THREAD} )?{_NAME}"),
    Command("delete", "[name]", "delete a conversation, stored or not", rest=rf"({_THREAD})?"),
    Command(
        "forget",
        "[name|all]",
        "remove what is stored of a conversation, or of all of them; alone: what there is",
        rest=rf"({_THREAD})?",
    ),
    Command("save", "PATH", "write the conversation to a file that load reads", rest=_PATH),
    Command("load", "PATH", "bring one back from a file, or a stored one by its name or #number", rest=_PATH),
    Command("export", "PATH", "write it to be read: .md, .html, .ipynb or .json", rest=_PATH),
    Command("stop", "[job]", "stop a reply in the background, or all of them", rest=r"\d{0,6}"),
    Command("jobs", "", "the replies in the background"),
    Command("panel", "", "a chat below the cell, in the same conversations"),
    Command("version", "", "the version of chatglm_magic"),
)
"""Every reserved first word of a line."""

_NAMED = {name: option for option in TABLE for name in option.names}
_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
_QUOTED = r"""(?s)(['"])((?:\\\1|(?!\\\1)(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)"""
_QUOTED_PLAINLY = r"""(?s)(['"])((?:(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)"""
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
    return "\n".join((_HEAD, "", table("Options:", option_rows()), "", table("Commands:", command_rows()), _FOOT))


def short_help() -> str:
    """Write what `%chatglm` alone shows."""
    return _SHORT


def option_rows() -> list[tuple[str, str]]:
    """Give usage and help of every option, for tables."""
    return [(option.usage, option.help) for option in TABLE]


def command_rows() -> list[tuple[str, str]]:
    """Give usage and help of every command, for tables."""
    return [(f"{command.name} {command.values}".rstrip(), command.help) for command in COMMANDS]


def table(head: str, rows: list[tuple[str, str]]) -> str:
    """Write rows below a line that says what they are."""
    return "\n".join((head, *_rows(rows)))


_HEAD = """\
Ask a model; its reply streams into this cell.

    %chatglm [options] prompt               # one line
    answer = %chatglm [options] prompt      # a Reply
    %%chatglm [options]                     # a whole cell
    prompt, as many lines as you like

Options stand before the prompt, on the first line; -- ends them. Their values may be quoted. The prompt
is sent as it stands: quotes, backslashes and ? need no escaping. {name} puts the value of a variable
into it; where there is none, and in {{name}}, the braces stay braces."""

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
        name, attached = split_option(word)
        option = _NAMED.get(name)
        if option is None:
            raise ArgumentError(_unknown(word))
        if attached is not None:
            place -= len(attached)
            if not option.values:
                msg = f"{name} takes no value, so there is no {word!r}."
                raise ArgumentError(msg)
        values = _left_out(line, place, option, joined=attached is not None)
        for number in range(len(values), len(option.values)):
            joined = attached is not None and number == 0
            value, place = _take_value(line, place, option, name, joined=joined)
            values.append(value)
        try:
            option.store(arguments, values)
        except ConfigError as error:
            raise ArgumentError(str(error)) from None


def split_option(word: str) -> tuple[str, str | None]:
    """Split a word into an option's name and the value, or its beginning, that is joined to it.

    A value is joined to a long name by `=`, and to a short one by nothing: `--model=x`, `-mx`. A long name
    or a parameter after a single dash is a mistake, and no value.

    Returns:
        The name, and what is joined to it: None for nothing, empty for what ends in `=`.
    """
    name, equals, attached = word.partition("=")
    if word.startswith("--"):
        return name, attached if equals else None
    option = _NAMED.get(word[:2])
    is_mistaken = f"-{name}" in _NAMED or name[1:].replace("-", "_") in PARAMETERS
    if option is None or not option.values or word[2:3] in {"", "="} or is_mistaken:
        return word, None
    return word[:2], word[2:]


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
    if joined and not word:
        return "", place  # nothing after the equals sign is a value too
    if not word or (not joined and (word == "--" or word in _NAMED)):
        msg = f"{name} lacks its value. It is written {name} {' '.join(option.values)}."
        raise ArgumentError(msg)
    if word[0] not in "'\"":
        return word, place + len(word)
    quoted = re.compile(_QUOTED).match(line, place)
    if quoted is not None:
        quote = quoted[1]
        return quoted[2].replace("\\" + quote, quote), quoted.end()
    quoted = re.compile(_QUOTED_PLAINLY).match(line, place)  # a value that ends in a backslash: "C:\dir\"
    if quoted is not None:
        return quoted[2], quoted.end()
    msg = f"The value of {name} begins with {word[0]} and has no closing one before a blank or the line's end."
    raise ArgumentError(msg)


def _unknown(word: str) -> str:
    import difflib  # for mistakes alone

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
