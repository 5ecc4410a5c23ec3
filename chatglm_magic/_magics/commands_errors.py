"""The commands about the last error: fix and explain. Only they send it, and nothing they bring back is run."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from .._errors import ConfigError
from .._markdown.safe import fenced, safe
from .fix import corrected_cell, diff, error_prompt, system_prompt
from .insert import put_into_cell
from .outcomes import Ask

if TYPE_CHECKING:
    from .._reply import Reply
    from .arguments import Arguments
    from .last_error import LastError
    from .magic import ChatGLMMagics


class ErrorCommands:
    """Commands about the last error.

    Attributes:
        magics: The settings and the shell.
    """

    magics: ChatGLMMagics

    def do_fix(self, arguments: Arguments, where: str = "below") -> Ask:
        """Ask for a corrected cell; it comes below this cell, or in its place, with what changes."""
        error = self._error("fix")
        asked = _ask(arguments, error, fix=True)
        return dataclasses.replace(asked, then=partial(self._offer, error, replace=where == "replace"))

    def do_explain(self, arguments: Arguments) -> Ask:
        """Ask what the last error means."""
        return _ask(arguments, self._error("explain"), fix=False)

    def _error(self, verb: str) -> LastError:
        error = self.magics.find_error()
        if error is None:
            msg = f"No error to {verb}: no cell has failed since the kernel started."
            raise ConfigError(msg)
        return error

    def _offer(self, error: LastError, reply: Reply, *, replace: bool) -> None:
        """Put the corrected cell into the notebook, and show what it changes."""
        if reply.finish_reason == "interrupted":
            return
        code = corrected_cell(reply.code)
        changes = diff(error.source, code)
        if not code or not changes:
            said = "The reply holds no corrected cell." if not code else "The reply leaves the cell as it was."
            self._show(f"*{said}*", said)
            return
        put_into_cell(self.magics.shell, code, replace=replace)
        self._show(safe(fenced("diff", changes)), changes)

    def _show(self, markdown: str, plain: str) -> None:
        data = {"text/markdown": markdown, "text/plain": plain}
        self.magics.shell.display_pub.publish(data)


def _ask(arguments: Arguments, error: LastError, *, fix: bool) -> Ask:
    """Make a question of an error; `-s` may give other orders."""
    system = arguments.system if arguments.system is not None else system_prompt(error, fix=fix)
    prompt = error_prompt(error)
    return Ask(dataclasses.replace(arguments, prompt=prompt, system=system, format="md", insert=""), as_is=True)
