"""%chatglm and %%chatglm: the door from a notebook's cell to a conversation.

This module is all that `%load_ext` imports; what a question needs is imported with the first one.
"""

from __future__ import annotations

import sys
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Float, Integer, Unicode, observe

from .._errors import ChatGLMError
from .._event_loops import io_thread, remember_main_loop
from .._jupyter import input as cell_input
from .._jupyter.shell import Offers, install_completer
from .._jupyter.trackers import CellTracker, ErrorTracker, PictureTracker
from .._language import SETTINGS as LANGUAGES
from .._language import marked, set_language, tr
from .._waiting import let_code_be_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import HasTraits, TraitType

    from .._workspace import Settings, Workspace
    from .session import Session


def _manual() -> str:
    """Return the manual; IPython's help asks a magic's `getdoc` for it."""
    from .help import manual

    return manual()


@magics_class
class ChatGLMMagics(Magics):
    """Ask a model from a cell. `%chatglm?` is the manual."""

    provider = Unicode("auto", help=marked("Who answers: auto, local, zai, bigmodel, openai or chatglm.")).tag(
        config=True
    )
    model = Unicode("", help=marked("The model, perhaps with its provider: zai:glm-4.7-flash.")).tag(config=True)
    base_url = Unicode("", help=marked("The server of that provider: http://127.0.0.1:8000/v1.")).tag(config=True)
    system = Unicode("", help=marked("The system prompt, where a conversation has none of its own.")).tag(config=True)
    temperature = Float(
        None, allow_none=True, min=0.0, max=2.0, help=marked("How freely it speaks, 0 to 2; None for the model's own.")
    ).tag(config=True)
    max_tokens = Integer(
        None, allow_none=True, min=1, help=marked("How long a reply may be, in tokens; None for the model's own.")
    ).tag(config=True)
    history_tokens = Integer(
        None,
        allow_none=True,
        min=1,
        help=marked("How much of a conversation is sent, in tokens; None for the provider's own."),
    ).tag(config=True)
    refresh_hz = Float(20.0, min=1.0, max=20.0, help=marked("How often a growing reply is painted, per second.")).tag(
        config=True
    )
    show_thinking = Bool(True, help=marked("Whether what it thinks before it answers is shown.")).tag(config=True)
    short_errors = Bool(True, help=marked("Whether an error is one line; False brings the traceback back.")).tag(
        config=True
    )
    timeout = Float(
        None, allow_none=True, min=0.0, help=marked("Seconds without an event before a reply is given up.")
    ).tag(config=True)
    store = Unicode(
        "", help=marked("Where what is said is kept: a file, :memory: or off; empty for the usual place.")
    ).tag(config=True)
    cache = Enum(
        ("", "off", "replay"), "", help=marked("replay: show the stored answer to the same question, and ask nobody.")
    ).tag(config=True)
    rerun = Enum(
        ("keep", "cut"),
        "keep",
        help=marked("What followed a cell's answer when it is run again: keep it, or cut it off."),
    ).tag(config=True)
    nested = Enum(
        ("thread", "nest"),
        "thread",
        help=marked("How plain functions wait: a second loop in a thread, or nest-asyncio."),
    ).tag(config=True)
    language = Enum(
        LANGUAGES,
        "auto",
        help=marked("The language of messages, help and panel: en, zh, or auto for the environment's own."),
    ).tag(config=True)

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        self._errors = ErrorTracker(shell.compile)
        self._cells = CellTracker()
        self._pictures = PictureTracker()
        super().__init__(shell)

    @classmethod
    def class_get_trait_help(
        cls, trait: TraitType[Any, Any], inst: HasTraits | None = None, helptext: str | None = None
    ) -> str:
        """Return what `%config ChatGLMMagics` shows of a setting: its help, in the language in force."""
        return super().class_get_trait_help(trait, inst, helptext or (trait.help and tr(trait.help)))

    @cached_property
    def session(self) -> Session:
        """What the magics hold together; made with the first question."""
        from .session import Display, Session

        return Session(
            self.shell,
            cast("Settings", self),
            self._errors,
            self._cells,
            self._pictures,
            lambda: Display(self.show_thinking, self.refresh_hz),
        )

    @property
    def workspace(self) -> Workspace:
        """The conversations of the kernel, which its panels share."""
        return self.session.workspace

    @no_var_expand
    @line_cell_magic
    def chatglm(self, line: str, cell: str | None = None) -> object:
        """Ask a model; its reply streams into the cell. `%chatglm help` is the manual."""
        nested = self.nested == "nest"
        return self._door.ask(
            self.session, line, cell, self._next_question(), keeps=self.rerun == "keep", nested=nested
        )

    chatglm.getdoc = _manual  # type: ignore[union-attr]  # IPython asks for help so

    @no_var_expand
    @line_cell_magic
    async def chatglm_async(self, line: str, cell: str | None = None) -> object:
        """Do what %chatglm does, awaited. Cells call it by themselves; write %chatglm."""
        alone = cell_input.is_alone()
        return await self._door.ask_awaited(
            self.session, line, cell, self._next_question(), keeps=self.rerun == "keep", alone=alone
        )

    @property
    def _door(self) -> ModuleType:
        """What a question needs, imported with the first one."""
        from . import door

        return door

    def _next_question(self) -> str:
        """Return the name of the cell's next question; empty in a thread of the user's, which belongs to no cell."""
        return self._cells.next() if threading.current_thread() is threading.main_thread() else ""

    # What the shell calls

    @observe("store")
    def _move_store(self, change: dict[str, Any]) -> None:
        self.workspace.move_store(change["new"])

    @observe("language")
    def _speak(self, change: dict[str, Any]) -> None:
        set_language(change["new"])
        if "session" in vars(self):
            self.workspace.changed()

    @observe("short_errors")
    def _shorten_errors(self, change: dict[str, Any]) -> None:
        ChatGLMError.short = change["new"]

    def _offers(self, before: str, after: str) -> Offers:
        """Return what Tab offers."""
        from .completion import Completer

        return Completer(self.session).offers(before, after)

    def _before_cell(self, info: object = None) -> None:
        if not cell_input.is_in_code(sys._getframe()):  # noqa: SLF001 - a cell that runs another stays the one that asks
            self._cells.begin(info, getattr(self.shell, "parent_header", None))
            if "session" in vars(self):
                self.session.jobs.run_again(self._cells.cell_id)
        if cell_input.awaits_ours_only():
            let_code_be_interrupted(cell_input.is_nested)

    def _after_cell(self, result: object = None) -> None:
        if not cell_input.is_in_code(sys._getframe()):  # noqa: SLF001 - as above
            self._cells.end()
            self._warn_of_keys(str(getattr(getattr(result, "info", None), "raw_cell", "")))
        if "session" in vars(self):
            self.session.end_cell()
            self.workspace.changed()

    def _warn_of_keys(self, source: str) -> None:
        """Say so where a cell holds a key; after it has run, for a reply clears what its cell showed before."""
        if "sk-" in source or "." in source:
            from .._redaction import WARNING, holds_key

            if holds_key(source):
                sys.stderr.write(f"chatglm_magic: {tr(WARNING)}\n")

    def _show_value(self, value: object = None) -> None:
        """Show a cell's value in a terminal, where a value that stays quiet needs no `Out[n]:` either."""
        hook = self.shell.displayhook
        if not getattr(value, "quiet_once", False):
            hook(value)
            return
        hook.write_output_prompt = lambda: None  # type: ignore[method-assign]  # for this one call
        try:
            hook(value)
        finally:
            del hook.write_output_prompt

    def install(self) -> None:
        """Register everything in the shell."""
        shell = self.shell
        shell.register_magics(self)
        self._uninstall = (cell_input.install(shell), install_completer(shell, self._offers))
        for name, callback in self._callbacks():
            shell.events.register(name, callback)
        if hasattr(shell.display_pub, "register_hook"):  # of kernels
            shell.display_pub.register_hook(self._pictures.see)
        if getattr(shell, "kernel", None) is None:
            shell.display_trap.hook = self._show_value
        ChatGLMError.short = self.short_errors
        set_language(self.language)
        remember_main_loop(shell)

    def uninstall(self) -> None:
        """Leave nothing behind in the shell."""
        shell = self.shell
        for uninstall in self._uninstall:
            uninstall()
        for name, callback in self._callbacks():
            shell.events.unregister(name, callback)
        manager = shell.magics_manager
        manager.registry.pop(type(self).__name__, None)
        for kind in ("line", "cell"):
            for name in self.magics[kind]:
                manager.magics[kind].pop(name, None)
        if hasattr(shell.display_pub, "unregister_hook"):
            shell.display_pub.unregister_hook(self._pictures.see)
        shell.display_trap.hook = shell.displayhook
        shell.configurables.remove(self)  # type: ignore[arg-type]  # IPython declares a list of shells
        ChatGLMError.short = True
        set_language("auto")
        if "session" in vars(self):
            self.session.jobs.close()
            self.workspace.close()
        io_thread.close()

    def _callbacks(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("pre_run_cell", self._before_cell),
            ("post_run_cell", self._after_cell),
            ("post_run_cell", self._errors.after_cell),
            ("post_run_cell", self._pictures.after_cell),
        )


def load(shell: InteractiveShell) -> None:
    """Load the magics into a shell; does nothing where they are loaded."""
    if ChatGLMMagics.__name__ not in shell.magics_manager.registry:
        ChatGLMMagics(shell).install()


def unload(shell: InteractiveShell) -> None:
    """Unload the magics from a shell."""
    magics = shell.magics_manager.registry.get(ChatGLMMagics.__name__)
    if magics is not None:
        magics.uninstall()
