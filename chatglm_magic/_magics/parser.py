"""How a line of %chatglm is read: options first, then a command or a prompt, byte for byte; no I/O."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import takewhile
from unicodedata import category, normalize

from .._errors import ConfigError
from .._language import join_sentences, marked, tr
from .._messages import OPTIONS as PARAMETERS
from .options import COMMANDS, TABLE, ArgumentError, Arguments, Command, Option

_NAMED = {name: option for option in TABLE for name in option.names}
_COMMANDS = {name: command for command in COMMANDS for name in command.names}
_BLANKS = re.compile(r"[\s\u200b\u2060\ufeff]*")
_WORD = re.compile(r"\S+")
_QUOTED = r"""(?s)(['"])((?:\\\1|(?!\\\1)(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)"""
_QUOTED_OTHERWISE = r"(?:[“”„＂](.+?)[“”＂]|[‘’＇](.+?)[‘’＇]|「(.+?)」|『(.+?)』)(?=\s|\Z)"
_ARGUMENT = re.compile(rf"{_QUOTED}|{_QUOTED_OTHERWISE}|\S+")
_QUOTED_PLAINLY = r"""(?s)(['"])((?:(?!\1(?:\s|\Z)).)*)\1(?=\s|\Z)"""
_DASH_HINT = marked("A prompt that begins with a dash stands after --, as in %chatglm -- -5 is what?")


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
        rest = f"{rest}\n{body}" if rest.strip() else body
    arguments.prompt = rest
    return arguments


def find_command(arguments: Arguments) -> tuple[Command, list[str]] | None:
    """Return the command that a line is, with its words, or None where it is a prompt.

    A reserved word is one only where the rest of the line fits it: `help` is a command, `help me with
    this` a prompt. After `--` everything is a prompt.
    """
    first, *rest = arguments.prompt.split(None, 1) or [""]
    if arguments.literal or not first:
        return None
    found = list(_ARGUMENT.finditer("".join(rest)))
    shape = [first, *("_" if one.lastindex else one[0] for one in found)]
    for command in COMMANDS:
        if command.fits(shape):
            return command, [_unquoted(one) for one in found]
    return None


def command_named(word: str) -> Command | None:
    """Return the command that a word names, in English or in Chinese."""
    return _COMMANDS.get(word)


def _unquoted(found: re.Match[str]) -> str:
    if found[1]:
        return found[2].replace("\\" + found[1], found[1])
    return found[found.lastindex or 0]


def _take_options(line: str, arguments: Arguments) -> str:
    """Store the options at the beginning of a line and give what follows them."""
    place = 0
    while True:
        start = _end(_BLANKS, line, place)
        word = _word(line, start)
        if (plain := option_in(word)) != word:
            line, word = line[:start] + plain + line[start + len(word) :], _word(plain, 0)
        if not word.startswith("-"):
            return _after(line, place)
        place = start + len(word)
        if word == "--":
            arguments.literal = True
            return _after(line, place)
        name, attached = split_option(word)
        option = _NAMED.get(name)
        if option is None:
            raise ArgumentError(_unknown(word))
        if attached is not None:
            place -= len(attached)
            if not option.values:
                msg = tr("{name} takes no value, so there is no {word!r}.", name=name, word=word)
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


def _after(line: str, place: int) -> str:
    """Return the prompt that follows options, without the blank between them.

    Other blanks belong to the prompt where they are not ASCII: a Chinese paragraph begins with U+3000.
    """
    return line[place + (0 < place < len(line) and line[place].isspace()) :].strip(" \t\r\n\f\v")


def option_in(word: str) -> str:
    """Return an option as a plain keyboard writes it, with what is joined to it: `－－new`, `—m`, `--model：x`.

    Any other word is returned as it is.
    """
    dashes = "".join(takewhile(lambda sign: category(sign) == "Pd" or sign == "−", word))
    typed, mark, value = [*re.split(r"([:：＝]|(?==))", word[len(dashes) :], maxsplit=1), "", ""][:3]
    name = "".join("-" if category(sign) == "Pd" else sign for sign in normalize("NFKC", typed))
    full = next((known for known in (f"--{name}", f"-{name}") if known in _NAMED), "")
    is_plain = set(dashes) <= {"-"} and typed == name
    if not dashes or (is_plain and not (mark and dashes + typed == full)):
        return word
    if full:
        return f"{full}{mark and ' ' if _NAMED[full].values else mark and value and '='}{value}".rstrip()
    if (plain := normalize("NFKC", dashes)) in {"-", "--"}:
        return f"{plain}{name}{mark}{value}"
    names = [known.strip("-") for known in (*_NAMED, *PARAMETERS)]
    is_near = len(name) > 2 and get_close_matches(name.replace("-", "_"), names, n=1)  # noqa: PLR2004 - no word
    return f"--{name}" if is_near else word  # which is refused; a dash that begins a sentence is not


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
    """Return the value that is meant where an option's value may be left out and is."""
    if not option.choices or joined or _word(line, _end(_BLANKS, line, place)) in option.choices:
        return []
    return [option.choices[0]]


def _take_value(line: str, place: int, option: Option, name: str, *, joined: bool) -> tuple[str, int]:
    """Return one value and where it ends; a quoted one without its quotes."""
    if not joined:
        place = _end(_BLANKS, line, place)
    word = _word(line, place)
    if joined and not word:
        return "", place  # nothing after the equals sign is a value too
    if not word or (not joined and (word == "--" or word in _NAMED)):
        values = " ".join(option.values)
        msg = tr("{name} lacks its value. It is written {name} {values}.", name=name, values=values)
        raise ArgumentError(msg)
    if category(word[0]) in {"Pi", "Pf"} or word[0] in "＂＇「『„":
        otherwise = re.compile(f"(?s){_QUOTED_OTHERWISE}").match(line, place)
        if otherwise is not None:
            return otherwise[otherwise.lastindex or 0], otherwise.end()
    elif word[0] not in "'\"":
        return word, place + len(word)
    quoted = re.compile(_QUOTED).match(line, place)
    if quoted is not None:
        quote = quoted[1]
        return quoted[2].replace("\\" + quote, quote), quoted.end()
    quoted = re.compile(_QUOTED_PLAINLY).match(line, place)  # a value that ends in a backslash: "C:\dir\"
    if quoted is not None:
        return quoted[2], quoted.end()
    msg = tr(
        "The value of {name} begins with {quote} and has no closing one before a blank or the line's end.",
        name=name,
        quote=word[0],
    )
    raise ArgumentError(msg)


def _unknown(word: str) -> str:
    name = word.partition("=")[0]
    near = get_close_matches(name.lower(), _NAMED, n=1)
    if not near and not name.startswith("--"):
        near = [known for known in _NAMED if known.startswith("--") and known[2:] == name[1:]]
    hint = tr("Did you mean {name}?", name=near[0]) if near else tr("%chatglm? lists them.")
    if (parameter := name.strip("-").replace("-", "_")) in PARAMETERS:
        hint = tr("It is a parameter: -o {parameter} V.", parameter=parameter)
    return join_sentences(tr("There is no option {word}.", word=word), hint, tr(_DASH_HINT))


def _word(line: str, place: int) -> str:
    found = _WORD.match(line, place)
    return found[0] if found else ""


def _end(pattern: re.Pattern[str], line: str, place: int) -> int:
    found = pattern.match(line, place)
    return found.end() if found else place
