"""What a line's reserved first word does: one method `do_<name>` for each row of `_arguments.COMMANDS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .arguments import Command
from .commands_errors import ErrorCommands
from .commands_jobs import JobCommands
from .commands_memory import MemoryCommands
from .commands_panel import PanelCommands
from .commands_talk import TalkCommands
from .commands_who import WhoCommands
from .outcomes import Outcome, Value
from .saying import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arguments import Arguments
    from .magic import ChatGLMMagics


class Commands(TalkCommands, MemoryCommands, WhoCommands, JobCommands, ErrorCommands, PanelCommands):
    """The commands of one shell. A method takes the line as it was read, and the words after the first one.

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

    def do_help(self, _: Arguments, topic: str = "") -> None:
        """Show the manual, or a page of it."""
        from .help import page

        say(page(topic))

    def do_version(self, _: Arguments) -> None:
        """Show the version."""
        from .._version import __version__

        say(f"chatglm_magic {__version__}")
