"""A shell of this process with the magics in it, whose questions go to the loopback server; what tests say to it."""

from __future__ import annotations

import atexit

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


def make_shell(**settings: object) -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.ChatGLMMagics.update(settings)
    shell = InteractiveShell.instance(config=config)
    atexit.unregister(shell.atexit_operations)  # it looks through all memory, at the end of the tests, for each shell
    return shell


def run(shell: InteractiveShell, cell: str):
    """Run a cell that must not fail, and give its value."""
    result = shell.run_cell(cell, store_history=True)
    result.raise_error()
    return result.result


def fail(shell: InteractiveShell, cell: str) -> BaseException:
    """Run a cell that must fail, and give its error."""
    result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    assert error is not None
    return error


def asked(glm) -> list[tuple[str, str]]:
    """Give what the last request said, as roles and texts."""
    return [(message["role"], message["content"]) for message in glm.requests[-1].json["messages"]]


def offered(shell, text: str) -> list[str]:
    """Press Tab at the bar, or at the end; give the cell's texts that could come of it."""
    before, _, after = text.partition("|")
    with provisionalcompleter():
        found = list(shell.Completer.completions(before + after, len(before)))
    return [before[: item.start] + item.text + (before + after)[item.end :] for item in found]


def said(shell, name: str = "default") -> list[str]:
    return [
        message.content for message in shell.magics_manager.registry["ChatGLMMagics"].workspace.chats[name].messages
    ]
