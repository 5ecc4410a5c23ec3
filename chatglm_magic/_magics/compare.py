"""Several models asked from one cell, side by side: `-m A -m B`."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from .._comparison import Comparison
from .._errors import ConfigError
from .._events import ColumnEvent, Event
from .._jupyter.shell import can_show_button, can_show_widget, is_of_console
from .._jupyter.widgets import StopButton, output_widget
from .._language import join_sentences, tr
from .._resolve import Target, resolve_or_say
from ..renderers import Renderer
from ..renderers.columns import ColumnsRenderer, SectionsRenderer
from ..renderers.plain import QuietRenderer
from .run import Run, asked_schema, fields_of, question_of
from .session import Prompted, Session

if TYPE_CHECKING:
    from .options import Arguments


class CompareRun(Run):
    """One question to several models on its way; the attributes are those of `Run`.

    Attributes:
        reply: The reply of the first model.
        value: All replies, by model.

    Raises:
        ConfigError: It cannot be asked so.
    """

    def __init__(self, session: Session, prompted: Prompted, *, alone: bool) -> None:
        self._session = session
        self._prompted = prompted
        workspace, arguments = session.workspace, prompted.arguments
        _refuse(arguments)
        self.value: Comparison = Comparison((arguments.options.model, *arguments.models))
        self.reply = next(iter(self.value.values()))
        self.pinned, self.inserts = None, False
        self._targets = targets_of(session, arguments)
        self._target = next(iter(self._targets.values()))
        self._prompt, self._attached, notes = question_of(session, prompted)
        self._chat, told = workspace.chat_for(
            arguments.conversation, prompted.at, self._target, new=arguments.new, remember=arguments.history
        )
        self._options = workspace.options_for(self._chat, arguments.options)
        self._notes = (*told, *notes)
        self.label = " · ".join(self.value)
        self.renderer = _columns(session, arguments, self.value, exclusive=alone)
        grows = isinstance(self.renderer, ColumnsRenderer) and self.renderer.grows
        self.stop = StopButton(session.shell) if alone and grows and can_show_button(session.shell) else None

    def open(self, notify: Callable[[str], None]) -> AsyncGenerator[Event | ColumnEvent]:
        """Ask all models, and yield what comes of each."""
        arguments = self._prompted.arguments
        return self._chat.stream_columns(
            self._prompt,
            self.value,
            self._options,
            targets=self._targets,
            remember=arguments.history,
            at=self._prompted.at,
            notify=notify,
            attachments=self._attached.pictures_alone(),
            schema=asked_schema(self._session, arguments),
            **fields_of(self._session, arguments),
        )

    def lasting_notice(self) -> str:
        """Return nothing: what stays is said once, above the columns."""
        if isinstance(self.renderer, ColumnsRenderer):
            self.renderer.note = join_sentences(*self._notes)
        return ""

    def _check(self) -> None:
        """Raise the first error where all models failed."""
        self.value.check()


def targets_of(session: Session, arguments: Arguments) -> dict[str, Target]:
    """Return who answers for each model; one that cannot be asked says why in its column."""
    workspace = session.workspace
    chat = workspace.open_chat(arguments.conversation)
    cached = bool(workspace.options_for(None, arguments.options).cache)
    models = (arguments.options.model, *arguments.models)
    return {
        name: resolve_or_say(name, lambda asked: workspace.target(chat, asked, cached=cached), arguments.options)
        for name in models
    }


def _refuse(arguments: Arguments) -> None:
    """Check that nothing is asked for that only one answer can have.

    Raises:
        ConfigError: Something is.
    """
    given = {
        "--format": arguments.format != "md",
        "--insert": bool(arguments.insert),
        "--bg": arguments.background,
        "--tool": bool(arguments.tools),
    }
    name = next((name for name, is_given in given.items() if is_given), "")
    if name:
        raise ConfigError(tr("{option} goes with one model: name one with -m, or leave {option} out.", option=name))


def _columns(session: Session, arguments: Arguments, comparison: Comparison, *, exclusive: bool) -> Renderer:
    """Return how the answers are shown: in columns, or below each other in a terminal."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    shell, display = session.shell, session.display()
    show_thinking = display.show_thinking and not arguments.hide_thinking
    if arguments.quiet:
        return QuietRenderer()
    kernel = getattr(shell, "kernel", None)
    publisher = shell.display_pub
    if kernel is None and not isinstance(publisher, CapturingDisplayPublisher):
        from ..renderers.terminal import stdout_renderer  # imports rich

        colors = str(shell.colors).lower() != "nocolor"
        return SectionsRenderer(sys.stdout.write, comparison, lambda: stdout_renderer("md", colors=colors))
    is_plain = kernel is not None and not session.cells.cell_id and is_of_console(kernel)
    is_captured = isinstance(publisher, CapturingDisplayPublisher) or output_widget(publisher) is not None
    return ColumnsRenderer(
        publisher,
        comparison,
        comparison.errors,
        grows=not (is_plain or is_captured) and can_show_widget(shell),
        exclusive=exclusive,
        hz=display.refresh_hz,
        show_thinking=show_thinking,
    )
