"""What a line's reserved first word does: one method `do_<name>` for each row of `_arguments.COMMANDS`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from ._arguments import Command, manual
from ._outcomes import Outcome, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._arguments import Arguments
    from ._magic import ChatGLMMagics


class Commands:
    """The commands of one shell. A method takes the line and the words after the first one.

    Args:
        magics: The settings and the conversations.
    """

    def __init__(self, magics: ChatGLMMagics) -> None:
        self.magics = magics

    def run(self, command: Command, words: list[str], arguments: Arguments) -> Outcome:
        """Do what a command says.

        Raises:
            ConfigError: It cannot be done so.
        """
        method = cast("Callable[..., Outcome | None]", getattr(self, f"do_{command.name}"))
        return method(arguments, *words) or Value()

    def do_help(self, _: Arguments) -> None:
        """Show the manual."""
        say(manual())

    def do_version(self, _: Arguments) -> None:
        """Show the version."""
        from ._version import __version__

        say(f"chatglm_magic {__version__}")


def say(text: str) -> None:
    """Write a line below the cell."""
    sys.stdout.write(f"{text}\n")
