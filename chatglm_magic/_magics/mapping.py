"""A prompt over a column from a cell: what `--over` names, how far it is, and the rows as the cell's value."""

from __future__ import annotations

import html
import re
import shutil
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from rich.cells import set_cell_size

from .._chat import Chat
from .._errors import ChatGLMError, ConfigError, Interrupted
from .._events import Event
from .._jupyter.shell import can_show_button, can_show_widget, is_of_console
from .._jupyter.widgets import PinnedPublisher, StopButton, WidgetPublisher, output_widget
from .._language import tr
from .._map.job import MapJob, progress_line
from .._map.setup import MapOptions, Setup, plan, setup_of
from .._map.source import IT, Source
from .._markdown.links import literal, visible
from .._markdown.table import NO_FORMULAS, Table
from .._messages import ChatOptions
from .._prompting.prompt import Budget, fill_in
from .._prompting.template import escaped, pieces, resolve, root_of
from .._reply import Reply
from .._resolve import Target
from .._waiting import await_reply, block_for_reply
from .prompt import Notebook, describe_request, prepare
from .run import asked_schema

if TYPE_CHECKING:
    from .._jupyter.shell import Publisher
    from .._map.rows import Rows
    from .options import Arguments
    from .session import Prompted, Session

_PERIOD = 0.25
"""Least seconds between two paints."""


def ask_rows(session: Session, prompted: Prompted, *, nested: bool) -> Rows | MapJob:
    """Map in a plain call, and return the cell's value: the rows, or with `--bg` the job.

    Raises:
        ConfigError: It cannot be asked so.
        ChatGLMError: What would have failed all other rows too.
        Interrupted: The user interrupted it; `.rows` has what was done.
    """
    run = _MapRun(session, prompted, alone=False)
    if run.pinned is not None:
        return run.begin()
    with run.on_stage():
        block_for_reply(run.open, run.view, run.reply, nested=nested, note=session.warn_once)
    return run.value()


async def ask_rows_awaited(session: Session, prompted: Prompted, *, alone: bool) -> Rows | MapJob:
    """Do the same in a cell that awaits; arguments and errors as in `ask_rows`.

    Args:
        session: The shell and the conversations.
        prompted: What the cell asks.
        alone: Whether the cell holds nothing else.
    """
    run = _MapRun(session, prompted, alone=alone)
    if run.pinned is not None:
        return run.begin()
    with run.on_stage():
        await await_reply(run.open, run.view, run.reply, run.stop)
    return run.value()


def show_plan(session: Session, prompted: Prompted) -> None:
    """Show what a map would ask and of whom; send nothing.

    Raises:
        ConfigError: It cannot be asked so.
    """
    setup, target, notes = _setup(session, prompted)
    planned = plan(setup)
    notes = [*notes, *planned.counts()]
    if planned.request is not None:
        first = describe_request(planned.request, target.provider, [*notes, tr("The first request:")])
        session.shell.display_pub.publish(first)
        return
    head = tr("Dry run: nothing was sent.")
    markdown = [f"**{head}**", *(f"*{literal(note)}*" for note in notes)]
    session.shell.display_pub.publish(
        {"text/markdown": "\n\n".join(markdown), "text/plain": visible("\n\n".join((head, *notes)))}
    )


def _setup(session: Session, prompted: Prompted) -> tuple[Setup, Target, list[str]]:
    """Return what a cell's map asks, of whom, and what the user should know about it."""
    workspace, arguments = session.workspace, prompted.arguments
    _refuse_what_does_not_fit(arguments)
    notebook = Notebook.of(session.shell, session.cell_sources(), session.last_error() if arguments.err else None)
    over = _value_of(arguments.over, notebook)
    prompt, notes = _prompt(arguments, Source.of(over, 0).columns or (), notebook)
    target = workspace.target(workspace.open_chat(arguments.conversation), arguments.options)
    notes += filter(None, [target.note, target.language_note(arguments.prompt)])
    chat = workspace.known_chat(arguments.conversation, notes.append)
    chat = chat or Chat(target.provider, model=target.model, configured=ChatOptions())
    how = MapOptions(
        schema=asked_schema(session, arguments),
        limit=arguments.limit,
        concurrency=arguments.concurrency or "auto",
        rows_per_request=arguments.rows_per_request,
        fresh=arguments.fresh or arguments.options.cache is False,
    )
    _, request = chat.map_request(prompt, workspace.options_for(chat, arguments.options), target=target)
    return setup_of(prompt, over, target, request, how), target, notes


def _refuse_what_does_not_fit(arguments: Arguments) -> None:
    """Raise ConfigError for options that one answer to one question has."""
    chosen = {
        "-a": arguments.attached,
        "-m A -m B": arguments.models,
        "-T": arguments.tools,
        "--insert": arguments.insert,
        "--search": arguments.search,
        "--new": arguments.new,
        f"-f {arguments.format}": arguments.format != "md",
        "-u": arguments.usage,
    }
    for name, value in chosen.items():
        if value:
            raise ConfigError(tr("{name} does not go with --over: leave one of them out.", name=name))


def _value_of(text: str, notebook: Notebook) -> object:
    """Return what `--over` names: a name or a path, with or without braces; nothing is evaluated."""
    in_braces = re.fullmatch(r"[{｛](.+)[}｝]", text.strip())
    path = (in_braces[1] if in_braces else text).strip()
    try:
        return resolve(path, notebook.names)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a property may raise anything, even SystemExit
        raise ConfigError(
            tr(
                "--over names {path}, which has no value here ({error}). It takes a name, as in --over df.text; "
                "nothing is computed: assign it first.",
                path=path,
                error=type(error).__name__,
            )
        ) from None


def _prompt(arguments: Arguments, columns: tuple[str, ...], notebook: Notebook) -> tuple[str, list[str]]:
    """Return a prompt with the notebook's values in it, in which only a row's places are left, and notes on that."""
    of_rows, budget = {IT, *columns}, Budget()
    found = []
    for text, path in pieces(arguments.prompt, columns):
        found.append(escaped(text, columns))
        if not path:
            continue
        if path in of_rows or root_of(path) in of_rows or root_of(path) not in notebook.names:
            found.append(f"{{{path}}}")  # what neither has is an error there
        else:
            filled = fill_in(f"{{{path}}}", notebook.names, budget).text
            found.append(escaped(f"\n{filled}\n" if "\n" in filled else filled, columns))
    if arguments.variables or arguments.cells or arguments.err:
        more = prepare(replace(arguments, prompt=""), notebook)
        found.append(escaped(more.text, columns))
        budget.notes += more.notes
    return "".join(found), list(budget.notes)


class _MapRun:
    """One map of a cell on its way.

    Attributes:
        reply: Stands for the map where a reply is waited for; it says only how it ended.
        view: Shows how far it is.
        stop: The Stop button, where one can work.
        pinned: The publisher of a map that outlives its cell; None for one that the cell waits for.
    """

    def __init__(self, session: Session, prompted: Prompted, *, alone: bool) -> None:
        self._session, self._arguments = session, prompted.arguments
        self._setup, _, notes = _setup(session, prompted)
        self.pinned = _pinned(session) if self._arguments.background else None
        self.reply = Reply(self._setup.model, self._setup.provider)
        self.view = _view(session, self._arguments, self.pinned, exclusive=alone)
        self.view.notes = notes
        with_button = alone and isinstance(self.view, _CellView) and can_show_button(session.shell)
        self.stop = StopButton(session.shell, self.pinned) if with_button else None
        self._job: MapJob | None = None
        self._rows: Rows | None = None

    @property
    def job(self) -> MapJob:
        """The map; it begins when it is first asked for."""
        if self._job is None:
            self._job = self.view.job = MapJob(self._setup)
        return self._job

    async def open(self, _: Callable[[str], None]) -> AsyncGenerator[Event]:
        """Wait for the map; whatever ends the waiting stops it.

        Raises:
            ChatGLMError: What would have failed all other rows too.
        """
        job = self.job
        try:
            await job.ended()
        finally:
            await job.halt()
        job.outcome()
        return
        yield  # type: ignore[unreachable]  # makes it a generator

    @contextmanager
    def on_stage(self) -> Generator[None]:
        """Show how far it is while the block waits; keep the rows however it ends."""
        session, out = self._session, self._arguments.out
        try:
            job = self.job
            if self.pinned is not None and out:
                session.shell.user_ns[out] = job
            yield
        except Interrupted as interrupt:
            interrupt.rows = self._rows = self.job.rows  # type: ignore[attr-defined]  # beside its reply
            raise
        finally:
            self.reply.end("error")
            self._rows = self._rows or self.job.rows
            if out:
                session.shell.user_ns[out] = self._rows
            self.view.close(self._rows)

    def begin(self) -> MapJob:
        """Have the map run on while other cells run, and return it."""
        job = self.job
        session = self._session
        background = session.jobs.add(self._setup.model, self._arguments.prompt, self.reply, session.cells.cell_id)
        background.how_far = lambda: progress_line(job)
        stage = ExitStack()
        stage.enter_context(self.on_stage())
        background.begin(lambda: self._wait_aside(stage))
        return session.quiet_once(job)

    async def _wait_aside(self, stage: ExitStack) -> None:
        try:
            with stage:
                await await_reply(self.open, self.view, self.reply, self.stop)
        except ChatGLMError as error:
            if self.pinned is not None:
                message = f"{type(error).__name__}: {error}"
                self.pinned.publish({"text/plain": message, "text/markdown": literal(message)})
            raise

    def value(self) -> Rows | MapJob:
        """Return the cell's value, which its output has shown."""
        if self._arguments.background:
            return self._session.quiet_once(self.job)
        rows = self._rows or self.job.rows
        return rows if self._arguments.quiet else self._session.quiet_once(rows)


def _pinned(session: Session) -> PinnedPublisher | None:
    shell = session.shell
    if not can_show_button(shell) or not hasattr(shell.display_pub, "pub_socket"):
        return None
    return PinnedPublisher(shell.display_pub)


def _view(session: Session, arguments: Arguments, pinned: PinnedPublisher | None, *, exclusive: bool) -> _View:
    """Return how the map is shown: by where the output goes."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    shell = session.shell
    kernel = getattr(shell, "kernel", None)
    publisher: Publisher = pinned or shell.display_pub
    if arguments.quiet:
        return _View()
    if kernel is None:
        return _LineView(sys.stdout)
    is_live = can_show_widget(shell) and not is_of_console(kernel)
    if isinstance(publisher, CapturingDisplayPublisher) or not is_live:
        return _CellView(publisher, is_live=False, exclusive=False)
    if pinned is None and (output := output_widget(shell.display_pub)) is not None:
        return _CellView(WidgetPublisher(output, publisher, html.escape), is_live=True, exclusive=False)
    return _CellView(publisher, is_live=True, exclusive=exclusive)


class _View:
    """Shows nothing. Others show how far a map is, at most four times a second, and the rows at its end.

    Attributes:
        job: The map; None before it has begun.
        notes: What the user should know about it.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.job: MapJob | None = None
        self._due = 0.0

    def write(self, event: Event) -> None:
        """Take an event; a map has none."""

    def status(self, text: str) -> None:
        """Take the reason why nothing has come yet; a map's line says that."""

    def tick(self) -> None:
        """Paint if it is time to."""
        now = time.monotonic()
        if self.job is not None and now >= self._due:
            self._due = now + _PERIOD
            self.paint(self.job)

    def paint(self, job: MapJob) -> None:
        """Show how far it is."""

    def close(self, rows: Rows) -> None:
        """Show the rows."""


class _CellView(_View):
    """Shows a map in an output of its cell, which changes in place.

    Args:
        publisher: Where it is shown.
        is_live: Whether anybody sees it change.
        exclusive: Whether the cell holds nothing else, so that its outputs may be cleared.
    """

    def __init__(self, publisher: Publisher, *, is_live: bool, exclusive: bool) -> None:
        super().__init__()
        self._exclusive = exclusive
        self._publisher = publisher
        self._is_live = is_live
        self._shown = ""
        self._transient = {"display_id": uuid.uuid4().hex}
        self._is_there = False

    def paint(self, job: MapJob) -> None:
        """Show the line and the newest rows, if they have changed."""
        if not self._is_live:
            return
        line = progress_line(job)
        text = _paragraphs([*self.notes, line])
        if newest := [(label, excerpt, row.error or row.value) for label, excerpt, row in reversed(job.newest)]:
            text += Table.of_rows(("", tr("row"), tr("value")), newest).html()
        if text != self._shown:
            self._shown = text
            self._publish({"text/html": text, "text/plain": visible(line)})

    def close(self, rows: Rows) -> None:
        """Show the table of the rows in the place of all that."""
        if self._exclusive:
            self._publisher.clear_output(wait=True)
            self._is_there = False
        notes = "".join(f"*{literal(note)}*\n\n" for note in self.notes)
        self._publish(
            {
                "text/html": _paragraphs(self.notes) + rows._repr_html_(),
                "text/markdown": notes + rows._repr_markdown_(),
                "text/plain": visible("\n".join([*self.notes, rows.as_text()])),
            }
        )

    def _publish(self, data: dict[str, Any]) -> None:
        self._publisher.publish(data, transient=self._transient, update=self._is_there)
        self._is_there = True


def _paragraphs(lines: list[str]) -> str:
    body = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<div class="{NO_FORMULAS}">{body}</div>\n' if body else ""


class _LineView(_View):
    """Shows a map as one line of a terminal that is written over.

    Args:
        stream: Where it is written.
    """

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - IPython's or a test's
        super().__init__()
        self._stream = stream
        self._is_there = False

    def paint(self, job: MapJob) -> None:
        """Write the line over the last one."""
        if not getattr(self._stream, "isatty", lambda: False)():
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{set_cell_size(visible(progress_line(job)), width)}")
        self._stream.flush()
        self._is_there = True

    def close(self, rows: Rows) -> None:
        """Write the rows below."""
        text = "\n".join([*self.notes, rows.as_text()])
        self._stream.write(f"{chr(10) * self._is_there}{visible(text)}\n")
