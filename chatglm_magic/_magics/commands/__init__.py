"""What a line's reserved first word does: one function `do_<name>` for each row of `options.COMMANDS`.

A function takes the session, the line as it was read, and the words after the first one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from ..._conversation.conversation import quote_name
from ..._language import tr
from ..._messages import OPTIONS as PARAMETERS
from ..._version import __version__
from ...providers import PROVIDERS
from ..help import page
from ..options import COMMANDS, TABLE, TOPIC_WORDS
from ..output import say
from ..parser import command_named, option_in, split_option
from ..session import Session, Value
from . import conversations, debugging, models, storage

if TYPE_CHECKING:
    from ..options import Arguments, Command
    from ..session import Outcome


def run_command(session: Session, command: Command, words: list[str], arguments: Arguments) -> Outcome:
    """Do what a command says.

    Raises:
        ConfigError: It cannot be done so.
    """
    return FUNCTIONS[command.name](session, arguments, *words) or Value()


_SECOND_WORDS = {
    "set": ("system", "think", "timeout", *PARAMETERS),
    "help": (*TOPIC_WORDS, *TOPIC_WORDS.values()),
    "fix": ("below", "replace"),
    "login": tuple(PROVIDERS),
    "logout": tuple(PROVIDERS),
}
_CLOSED = {"set": 2, "login": 1, "logout": 1}
"""Commands that few questions begin with: up to how many words behind them something is hardly a question."""
_PUNCTUATION = "?!.。:,;、/\\%\u200b\ufeff"
"""What may stand beside a command's word, after NFKC: `帮助？`."""
_FIRST_WORD = re.compile(r"^\s*[^\s？！。：，；、]+[？！。：，；、]")
"""A word with a full-width mark, which no blank follows: `帮助：错误`."""
_NAME_WORDS = 3
"""Words behind `new` that may be a name whose quotes are missing; more are a question."""
_SURE = re.compile(
    rf"#?\d+|all|https?://\S+|\S+\.(json|md|html|ipynb)|({'|'.join(map('|'.join, _SECOND_WORDS.values()))})( .*)?"
)
"""What follows a command, and hardly a word of a question."""


def near_miss(prompt: str) -> tuple[str, bool]:
    """Return the line that may be meant by one that is no command but nearly one, and whether that is sure.

    Returns:
        What follows `%chatglm`, empty for nothing; and whether it can hardly be a question.
    """
    typed, *rest = normalize("NFKC", _FIRST_WORD.sub(r"\g<0> ", prompt)).split()
    if not (first := typed.strip(_PUNCTUATION).lower()):
        return "help", True
    near = _near(first, (word for command in COMMANDS for word in command.names))
    command = command_named(near)
    if command is None:
        return "", False
    if first == near and command.name == "new" and 1 < len(rest) <= _NAME_WORDS:  # a name with blanks, perhaps
        return f"{near} {quote_name(' '.join(rest))}", False
    if rest and _SURE.fullmatch(" ".join((*rest[:-1], last := rest[-1].rstrip(_PUNCTUATION)))):
        rest[-1] = last
    second_words = _SECOND_WORDS.get(command.name, ())
    if command.name == "set" and rest:
        rest = [*filter(None, re.split("[=:]", rest[0], maxsplit=1)), *rest[1:]]
    if second_words and rest and (len(rest) == 1 or command.name == "set"):
        rest[0] = _near(rest[0].lower(), second_words) or rest[0]
    if command.fits([near, *rest]):
        fixed = [near, *rest]
        return " ".join(fixed), not rest or _SURE.fullmatch(" ".join(rest)) is not None
    if not rest:
        return f"{near} {tr(command.values)}", True
    if command.name == "set" and rest[0] in second_words:
        values = f"{rest[0]} VALUE"
    else:
        values = tr(command.values) if first == near and len(rest) <= _CLOSED.get(command.name, 0) else ""
    return values and f"{near} {values}", False


def late_options(prompt: str) -> str:
    """Return a line with the options in front that stand behind its first word; empty where there are none."""
    words = prompt.split()
    for place, word in enumerate(words[1:], 1):
        name, joined = split_option(option_in(word).partition(" ")[0])
        option = next((option for option in TABLE if name in option.names), None)
        names_model = name == "-m" and " ".join(words[place + 1 :]).startswith((*PROVIDERS, "glm"))
        if option is not None and (name.startswith("--") or names_model):  # other programs have short options too
            after = place + 1 + (len(option.values) if joined is None and not option.choices else 0)
            return " ".join((option_in(word), *words[place + 1 : after], *words[:place], *words[after:]))
    return ""


def _near(word: str, words: Iterable[str]) -> str:
    """Return the one of some words that another must be, by its first letter and a length within one; else nothing."""
    words = list(words)
    if word in words:
        return word
    alike = [known for known in words if known[0] == word[0] and abs(len(known) - len(word)) <= 1 < len(word) - 1]
    return next(iter(get_close_matches(word, alike, n=1, cutoff=0.8)), "")


def do_help(_: Session, __: Arguments, topic: str = "") -> None:
    """Show the manual, or a page of it."""
    say(page(topic))


def do_version(_: Session, __: Arguments) -> None:
    """Show the version."""
    say(f"chatglm_magic {__version__}")


FUNCTIONS: Mapping[str, Callable[..., Any]] = {"help": do_help, "version": do_version} | {
    name.removeprefix("do_"): function
    for home in (conversations, debugging, models, storage)
    for name, function in vars(home).items()
    if name.startswith("do_")
}
"""The functions by the command's name."""
