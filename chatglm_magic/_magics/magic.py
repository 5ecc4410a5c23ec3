"""%chatglm and %%chatglm: the door from a notebook's cell to a conversation.

This module is all that `%load_ext` imports; what a question needs is imported with the first one.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Float, Integer, Unicode, observe

from .._errors import ChatGLMError, Interrupted
from .._imports import in_peace
from .._loops import io_thread, remember_main_loop, wait_here
from . import cells, matcher
from .last_error import ErrorWatch, LastError
from .outcomes import Ask, Outcome, Value
from .places import CellPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from IPython.core.interactiveshell import InteractiveShell

    from .._chat import Chat
    from .._history import Place
    from .._reply import Reply
    from .ask import Question
    from .commands import Commands
    from .desk import MagicsDesk
    from .jobs import Job, Jobs
    from .memory import Memory

_V = TypeVar("_V", "Reply", "Job")


def _manual() -> str:
    """Write the manual; IPython's help asks a magic's `getdoc` for it."""
    from .arguments import manual

    return manual()


@magics_class
class ChatGLMMagics(Magics):
    """Ask a model from a cell. `%chatglm?` is the manual.

    Attributes:
        chats: The conversations of this kernel, by name.
        current: The name of the conversation that a line without `-c` is asked in.
        last: The kernel's last reply, whole or as far as it has come.
        asked: The last question of each conversation, as it was asked, and its reply.
        listed: The models that providers were seen to have, by provider.
    """

    provider = Unicode("auto", help="Who answers: auto, local, zai, bigmodel, openai or chatglm.").tag(config=True)
    model = Unicode("", help="The model, perhaps with its provider: zai:glm-4.7-flash.").tag(config=True)
    base_url = Unicode("", help="An OpenAI-compatible server: http://127.0.0.1:8000/v1.").tag(config=True)
    system = Unicode("", help="The system prompt, where a conversation has none of its own.").tag(config=True)
    temperature = Float(
        None, allow_none=True, min=0.0, max=2.0, help="How freely it speaks, 0 to 2; None for the model's own."
    ).tag(config=True)
    max_tokens = Integer(
        None, allow_none=True, min=1, help="How long a reply may be, in tokens; None for the model's own."
    ).tag(config=True)
    history_tokens = Integer(
        None, allow_none=True, min=1, help="How much of a conversation is sent, in tokens; None for the provider's own."
    ).tag(config=True)
    refresh_hz = Float(20.0, min=1.0, max=20.0, help="How often a growing reply is painted, per second.").tag(
        config=True
    )
    show_thinking = Bool(True, help="Whether what it thinks before it answers is shown.").tag(config=True)
    short_errors = Bool(True, help="Whether an error is one line; False brings the traceback back.").tag(config=True)
    timeout = Float(None, allow_none=True, min=0.0, help="Seconds without an event before a reply is given up.").tag(
        config=True
    )
    store = Unicode("", help="Where what is said is kept: a file, :memory: or off; empty for the usual place.").tag(
        config=True
    )
    cache = Enum(
        ("", "off", "replay"), "", help="replay: show the stored answer to the same question, and ask nobody."
    ).tag(config=True)
    rerun = Enum(
        ("keep", "cut"), "keep", help="What followed a cell's answer when it is run again: keep it, or cut it off."
    ).tag(config=True)
    nested = Enum(
        ("thread", "nest"), "thread", help="How plain functions wait: a second loop in a thread, or nest-asyncio."
    ).tag(config=True)

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        self.chats: dict[str, Chat] = {}
        self.current = "default"
        self.last: Reply | None = None
        self.asked: dict[str, tuple[Ask, Reply]] = {}
        self.listed: dict[str, list[str]] = {}
        self._errors = ErrorWatch(shell.compile)
        self._places = CellPlaces()
        self._shown: list[Reply | Job] = []
        self._said: set[str] = set()
        super().__init__(shell)

    @no_var_expand
    @line_cell_magic
    def chatglm(self, line: str, cell: str | None = None) -> object:
        """Ask a model; its reply streams into the cell. `%chatglm help` is the manual."""
        outcome = self._or_shown(self._read(line, cell, self._place()))
        if not isinstance(outcome, Ask):
            outcome = outcome if isinstance(outcome, Value) else outcome.then(io_thread.wait_for(outcome.run()))
            if isinstance(outcome, Value):
                return outcome.value
        question = self._question(outcome, alone=False)
        from .._loop import in_call

        if question.own_cell is not None:
            return self._begin(question, outcome)
        with self._kept(question.reply, outcome), question.on_stage():
            in_call(question.open, question.renderer, question.reply, nested=self.nested == "nest", note=self._say)
        return self._followed(question, outcome)

    chatglm.getdoc = _manual  # type: ignore[union-attr]  # IPython asks for help so

    @no_var_expand
    @line_cell_magic
    async def chatglm_async(self, line: str, cell: str | None = None) -> object:
        """Do what %chatglm does, awaited. Cells call it by themselves; write %chatglm."""
        outcome = self._or_shown(self._read(line, cell, self._place()))
        if not isinstance(outcome, Ask):
            outcome = outcome if isinstance(outcome, Value) else outcome.then(await wait_here(outcome.run()))
            if isinstance(outcome, Value):
                return outcome.value
        question = self._question(outcome, alone=cells.is_alone())
        from .._loop import in_this_loop

        if question.own_cell is not None:
            return self._begin(question, outcome)
        with self._kept(question.reply, outcome), question.on_stage():
            await in_this_loop(question.open, question.renderer, question.reply, question.stop)
        return self._followed(question, outcome)

    def _question(self, asked: Ask, *, alone: bool) -> Question:
        """Make a question of what a cell says; an interrupt meanwhile ends it as it ends one that is asked."""
        try:
            with in_peace():
                from .choosing import choose_to_ask

            choice = choose_to_ask(self, asked.arguments)
            with in_peace():
                from .ask import ask

            return ask(self, asked, choice, alone=alone)
        except KeyboardInterrupt:
            from .._reply import Reply

            reply = Reply()
            reply.end("interrupted")
            with self._kept(reply, asked):
                raise Interrupted(reply) from None

    def _place(self) -> Place | None:
        """Give the place of a question in its conversation; none where a thread of the user's asks."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return self._places.next(keeps=self.rerun == "keep")

    def _read(self, line: str, cell: str | None, place: Place | None = None) -> Outcome:
        """Find out what is to be done, and do at once what needs no waiting."""
        with in_peace():
            from .arguments import ArgumentError, Arguments, find_command, parse, short_help

        try:
            arguments = parse(line, cell)
        except ArgumentError as error:
            # IPython shows its own class in one line, and no class derived from it.
            raise UsageError(str(error)) from None
        found = find_command(arguments) if cell is None else None
        if found is not None:
            return self.commands.run(*found, arguments)
        if arguments.prompt.strip():
            return Ask(arguments, place)
        if cell is None and arguments == Arguments():
            sys.stdout.write(f"{short_help()}\n")
            return Value()
        if arguments.new:
            self.memory.begun = True
            if (chat := self.chats.get(arguments.conversation or self.current)) is not None:
                chat.reset()
            return Value()
        msg = "There is nothing to ask: the prompt is empty. %chatglm? is the manual."
        raise UsageError(msg)

    def _or_shown(self, outcome: Outcome) -> Outcome:
        """Show a question that is not to be asked."""
        if not isinstance(outcome, Ask) or not outcome.arguments.dry_run:
            return outcome
        from .ask import show_dry_run

        show_dry_run(self, outcome)
        return Value()

    @cached_property
    def commands(self) -> Commands:
        """What the reserved first words of a line do."""
        from .commands import Commands

        return Commands(self)

    @cached_property
    def memory(self) -> Memory:
        """What is kept of the conversations."""
        from .memory import Memory

        return Memory()

    @cached_property
    def desk(self) -> MagicsDesk:
        """What panels need of this kernel."""
        from .desk import MagicsDesk

        return MagicsDesk(self)

    @cached_property
    def jobs(self) -> Jobs:
        """The replies in the background."""
        from .jobs import Jobs

        return Jobs()

    def _begin(self, question: Question, asked: Ask) -> Job:
        """Let a reply grow in its cell's output while other cells run."""
        from .ask import wait_aside

        job = self.jobs.add(question.label, asked.arguments.prompt, question.reply, self._places.cell_id)
        stage = ExitStack()
        stage.enter_context(self._kept(question.reply, asked))
        stage.enter_context(question.on_stage())
        job.begin(lambda: wait_aside(question, stage))
        return self._shown_once(job)

    def _followed(self, question: Question, asked: Ask) -> Reply | Job:
        """Do what follows a reply, and give the cell's value."""
        if asked.then is not None:
            asked.then(question.reply)
        if not asked.arguments.background:
            return self._shown_once(question.reply)
        job = self.jobs.add(question.label, asked.arguments.prompt, question.reply)
        job.end()  # here a reply cannot outlive its cell
        return self._shown_once(job)

    def _shown_once(self, value: _V) -> _V:
        """Let a value stay quiet in the cell whose output has shown it."""
        value.quiet_once = True
        self._shown.append(value)
        return value

    def find_error(self) -> LastError | None:
        """Give the last error of the user's cells; None where none has failed."""
        from .prompt import cell_sources

        return self._errors.find(cell_sources(self.shell))

    @contextmanager
    def _kept(self, reply: Reply, asked: Ask) -> Generator[None]:
        """Keep a reply, however it ends, where the cell wants it and where commands look for it."""
        arguments = asked.arguments
        self.last = reply
        if arguments.history:
            self.asked[arguments.conversation or self.current] = asked, reply
        try:
            yield
        finally:
            if arguments.out:
                self.shell.user_ns[arguments.out] = reply

    @observe("store")
    def _move_store(self, change: dict[str, Any]) -> None:
        self.memory.move(change["new"], self.chats.values())

    @observe("short_errors")
    def _shorten_errors(self, change: dict[str, Any]) -> None:
        ChatGLMError.short = change["new"]

    def say_once(self, text: str) -> bool:
        """Tell whether something is still to be said; it counts as said from now on."""
        if not text or text in self._said:
            return False
        self._said.add(text)
        return True

    def was_said(self, text: str) -> bool:
        """Tell whether something was said already."""
        return text in self._said

    def _say(self, text: str) -> None:
        if self.say_once(text):
            sys.stderr.write(f"chatglm_magic: {text}\n")

    def _before_cell(self, info: object = None) -> None:
        if not cells.is_in_code(sys._getframe()):  # noqa: SLF001 - a cell that runs another stays the one that asks
            self._places.begin(info, getattr(self.shell, "parent_header", None))
            if "jobs" in vars(self):
                self.jobs.run_again(self._places.cell_id)
        if cells.awaits_ours_only():
            from .._loop import let_code_be_interrupted

            let_code_be_interrupted(cells.is_nested)

    def _after_cell(self, result: object = None) -> None:
        if not cells.is_in_code(sys._getframe()):  # noqa: SLF001 - as above
            self._places.end()
            self._warn_of_keys(str(getattr(getattr(result, "info", None), "raw_cell", "")))
        for value in self._shown:
            value.quiet_once = False
        if self._shown and isinstance(captured := getattr(self.shell.display_pub, "outputs", None), list):
            # A value that stays quiet leaves an empty output where outputs are captured.
            captured[:] = [output for output in captured if output["data"]]
        self._shown.clear()
        if "desk" in vars(self):
            self.desk.after_cell()

    def _warn_of_keys(self, source: str) -> None:
        """Say so where a cell holds a key; after it has run, for a reply clears what its cell showed before."""
        if "sk-" in source or "." in source:
            from .._secrets import WARNING, holds_key

            if holds_key(source):
                sys.stderr.write(f"chatglm_magic: {WARNING}\n")

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
        """Take a place in the shell."""
        shell = self.shell
        shell.register_magics(self)
        self._uninstall = (cells.install(shell), matcher.install(shell, self))
        for name, callback in self._callbacks():
            shell.events.register(name, callback)
        if getattr(shell, "kernel", None) is None:
            shell.display_trap.hook = self._show_value
        ChatGLMError.short = self.short_errors
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
        shell.display_trap.hook = shell.displayhook
        shell.configurables.remove(self)  # type: ignore[arg-type]  # IPython declares a list of shells
        ChatGLMError.short = True
        if "jobs" in vars(self):
            self.jobs.close()
        if self.store:
            self.memory.move("", ())
        io_thread.close()

    def _callbacks(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("pre_run_cell", self._before_cell),
            ("post_run_cell", self._after_cell),
            ("post_run_cell", self._errors.after_cell),
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
