"""A line or a cell of ours, from its text to its value; imported with the first one."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import ModuleType

from IPython.core.error import UsageError

from .._comparison import Comparison
from .._conversation.conversation import InsertPoint
from .._errors import ConfigError, Interrupted
from .._event_loops import io_thread
from .._jupyter.input import is_value
from .._language import marked, tr
from .._reply import Reply
from .._waiting import await_interruptibly, await_reply, block_for_reply
from .commands import late_options, near_miss, run_command
from .help import short_help
from .jobs import BackgroundJob
from .options import ArgumentError, Arguments
from .parser import find_command, parse
from .run import Run, show_dry_run
from .session import Outcome, Prompted, Session, Value

_COMPANY = (
    (
        "over",
        ("limit", "concurrency", "rows_per_request", "fresh"),
        marked("{name} goes with --over, which names the rows: give both, or neither."),
    ),
    (
        "tools",
        ("approve", "chain_limit"),
        marked("{name} goes with -T, which names a function: give both, or neither."),
    ),
)
"""Options without which others do nothing, those others, and how they are refused then."""


def ask(session: Session, line: str, cell: str | None, name: str, *, keeps: bool, nested: bool) -> object:
    """Do what a line or a cell says in a plain call, and return its value.

    Args:
        session: The shell and the conversations.
        line: What follows the magic's name on its line.
        cell: The lines below it; None for the line form.
        name: The question's name in its cell, as `InsertPoint.cell`; empty where no cell asks.
        keeps: Whether what followed an earlier answer of the cell follows the new one.
        nested: Whether to wait in the notebook's own loop instead of a second one.

    Raises:
        UsageError: The line cannot be read.
        ChatGLMError: It cannot be asked so, or the reply failed.
        Interrupted: The user interrupted it.
    """
    outcome = _read(session, line, cell, InsertPoint(cell=name, keep_followers=keeps) if name else None)
    if not isinstance(outcome, (Prompted, Value)):
        outcome = outcome.then(io_thread.wait_for(outcome.run()))
    if isinstance(outcome, Value):
        return outcome.value
    if outcome.arguments.over:
        return _mapping().ask_rows(session, outcome, nested=nested)
    run = _make_run(session, outcome, alone=False)
    if run.pinned is not None:
        return _begin(session, run, outcome)
    with session.recorded(run.value, outcome), run.on_stage():
        block_for_reply(run.open, run.renderer, run.reply, nested=nested, note=session.warn_once)
    return _finish(session, run, outcome)


async def ask_awaited(session: Session, line: str, cell: str | None, name: str, *, keeps: bool, alone: bool) -> object:
    """Do the same as `ask` in a cell that awaits.

    Args:
        session: As in `ask`, like all but the last.
        line: The line.
        cell: The cell.
        name: The question's name.
        keeps: What happens with what followed.
        alone: Whether the cell holds nothing else.
    """
    outcome = _read(session, line, cell, InsertPoint(cell=name, keep_followers=keeps) if name else None)
    if not isinstance(outcome, (Prompted, Value)):
        outcome = outcome.then(await await_interruptibly(outcome.run()))
    if isinstance(outcome, Value):
        return outcome.value
    if outcome.arguments.over:
        return await _mapping().ask_rows_awaited(session, outcome, alone=alone)
    run = _make_run(session, outcome, alone=alone)
    if run.pinned is not None:
        return _begin(session, run, outcome)
    with session.recorded(run.value, outcome), run.on_stage():
        await await_reply(run.open, run.renderer, run.reply, run.stop)
        if run.inserts:
            await session.inserter.wait()
    return _finish(session, run, outcome)


def _mapping() -> ModuleType:
    """Return the module of `--over`, which few cells need."""
    from . import mapping

    return mapping


def _read(session: Session, line: str, cell: str | None, at: InsertPoint | None) -> Outcome:
    """Return what is to be done, and do at once what needs no waiting."""
    try:
        arguments = parse(line, cell)
    except ArgumentError as error:
        # IPython shows its own class in one line, and no class derived from it.
        raise UsageError(str(error)) from None
    found = find_command(arguments) if cell is None else None
    if found is not None:
        outcome = run_command(session, *found, arguments)
    elif arguments.prompt.strip():
        outcome = Prompted(arguments, at, note=_note(arguments if cell is None else parse(line), is_line=cell is None))
    elif cell is None and arguments == Arguments():
        sys.stdout.write(f"{short_help()}\n")
        outcome = Value()
    elif arguments.new:
        session.workspace.start_over(arguments.conversation)
        outcome = Value()
    else:
        msg = tr("There is nothing to ask: the prompt is empty. %chatglm? is the manual.")
        raise UsageError(msg)
    if isinstance(outcome, Prompted):
        _refuse_what_does_nothing(outcome.arguments)
    if isinstance(outcome, Prompted) and outcome.arguments.dry_run:
        if outcome.arguments.over:
            _mapping().show_plan(session, outcome)
        else:
            show_dry_run(session, outcome)
        return Value()
    return outcome


def _refuse_what_does_nothing(arguments: Arguments) -> None:
    """Raise ConfigError for options that only say how another one is done, where that one is not given."""
    usual = Arguments()
    for needed, names, sentence in _COMPANY:
        for name in names:
            if not getattr(arguments, needed) and getattr(arguments, name) != getattr(usual, name):
                raise ConfigError(tr(sentence, name=f"--{name.replace('_', '-')}"))


def _note(line: Arguments, *, is_line: bool) -> str:
    """Return a note on what a line may mean beside a question; empty for nothing.

    Raises:
        UsageError: It is hardly a question.
    """
    if line.literal or not line.prompt.strip():
        return ""
    meant, is_sure = near_miss(line.prompt) if is_line else ("", False)
    if is_sure:
        msg = tr(
            "Nothing was sent. Did you mean %chatglm {meant}? A question may stand after --: %chatglm -- {prompt}",
            meant=meant,
            prompt=line.prompt,
        )
        raise UsageError(msg)
    if meant:
        return tr("Sent as a question; did you mean %chatglm {meant}?", meant=meant)
    if meant := late_options(line.prompt):
        return tr("Sent as a question; did you mean %chatglm {meant} (options stand before the prompt)?", meant=meant)
    return ""


def _make_run(session: Session, prompted: Prompted, *, alone: bool) -> Run:
    """Return the run of a question; an interrupt meanwhile ends it as it ends one that is asked."""
    try:
        if prompted.arguments.models:
            from .compare import CompareRun  # few cells ask several

            return CompareRun(session, prompted, alone=alone)
        return Run(session, prompted, alone=alone)
    except KeyboardInterrupt:
        reply = Reply()
        reply.end("interrupted")
        with session.recorded(reply, prompted):
            raise Interrupted(reply) from None


def _begin(session: Session, run: Run, prompted: Prompted) -> BackgroundJob:
    """Begin a reply that grows in its cell's output while other cells run."""
    job = session.jobs.add(run.label, prompted.arguments.prompt, run.reply, session.cells.cell_id)
    stage = ExitStack()
    stage.enter_context(session.recorded(run.reply, prompted))
    stage.enter_context(run.on_stage())
    job.begin(lambda: run.wait_aside(stage))
    return session.quiet_once(job)


def _finish(session: Session, run: Run, prompted: Prompted) -> Reply | Comparison | BackgroundJob:
    """Do what follows a reply, and return the cell's value."""
    if prompted.then is not None:
        prompted.then(run.reply)
    if not prompted.arguments.background:
        was_shown = not prompted.arguments.quiet or is_value()  # -q keeps its own value silent, not what is made of it
        return session.quiet_once(run.value) if was_shown else run.value
    job = session.jobs.add(run.label, prompted.arguments.prompt, run.reply)
    job.end()  # here a reply cannot outlive its cell
    return session.quiet_once(job)
