"""What the magics of one kernel hold together, and what a line comes to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from .._comparison import Comparison
from .._conversation.conversation import InsertPoint
from .._jupyter.trackers import CellTracker, ErrorTracker, LastError, PictureTracker
from .._jupyter.widgets import CodeInserter
from .._reply import Reply
from .._workspace import Settings, Workspace
from .jobs import Jobs
from .options import Arguments

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Quiet(Protocol):
    """A value that its cell need not show again."""

    quiet_once: bool


_V = TypeVar("_V", bound=Quiet)


class Value(msgspec.Struct, frozen=True):
    """A command that is done, and the cell's value."""

    value: object = None


class Prompted(msgspec.Struct, frozen=True):
    """A question, to be asked like any other: it streams, can be stopped, and is the cell's value.

    Attributes:
        arguments: The prompt and its options.
        at: Where the turn goes in the conversation; None for its end.
        as_is: Whether the prompt is complete: nothing in it is a name to be replaced.
        then: Called with the reply once it has ended well, after it was shown.
        note: What else may have been meant; empty for nothing.
    """

    arguments: Arguments
    at: InsertPoint | None = None
    as_is: bool = False
    then: Callable[[Reply], object] | None = None
    note: str = ""


class Later(msgspec.Struct, frozen=True):
    """A command that waits for something, such as a server.

    Attributes:
        run: Waits: in the notebook's loop where the cell awaits, else in the loop thread.
        then: Called with the result, in the cell's own thread.
    """

    run: Callable[[], Coroutine[Any, Any, Any]]
    then: Callable[[Any], Value | Prompted]


Outcome = Value | Prompted | Later


class Display(msgspec.Struct, frozen=True):
    """How `%config` wants replies shown.

    Attributes:
        show_thinking: Whether thinking is shown.
        refresh_hz: How often a growing reply is painted, per second.
    """

    show_thinking: bool = True
    refresh_hz: float = 20.0


class Session:
    """What the magics of one kernel hold together.

    Attributes:
        jobs: The replies in the background.
        inserter: Puts code into cells.
        asked: The last question of each conversation, as it was asked, and its reply.
        compared: The answers that stood side by side, by their ids: the model as the cell named it, and its reply.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        settings: Settings,
        errors: ErrorTracker,
        cells: CellTracker,
        pictures: PictureTracker,
        display: Callable[[], Display] = Display,
    ) -> None:
        self.shell = shell
        self.workspace = Workspace(settings, running_cell=lambda: cells.name)
        self.errors = errors
        self.cells = cells
        self.pictures = pictures
        self.display = display
        self.jobs = Jobs()
        self.inserter = CodeInserter(shell)
        self.asked: dict[str, tuple[Prompted, Reply]] = {}
        self.compared: dict[str, tuple[str, Reply]] = {}
        self._quiet: list[Quiet] = []

    def cell_sources(self) -> list[str]:
        """Return the history's cells as they were typed, by number."""
        history = self.shell.history_manager
        return [] if history is None else list(history.input_hist_raw)

    def last_error(self) -> LastError | None:
        """Return the last error of the user's cells; None where none has failed."""
        return self.errors.find(self.cell_sources())

    @contextmanager
    def recorded(self, value: Reply | Comparison, prompted: Prompted) -> Generator[None]:
        """Keep a reply, or several, however the block ends, where the cell wants it and where commands look for it."""
        arguments = prompted.arguments
        name = arguments.conversation or self.workspace.current
        self._keep(value, prompted, name)
        try:
            yield
        finally:
            if isinstance(value, Comparison):  # which of them goes on is known only now
                self._keep(value, prompted, name)
                self.compared |= {answer: (model, value[model]) for model, answer in value.answers.items()}
            if arguments.out:
                self.shell.user_ns[arguments.out] = value

    def _keep(self, value: Reply | Comparison, prompted: Prompted, name: str) -> None:
        reply = self.workspace.last = value.first if isinstance(value, Comparison) else value
        if prompted.arguments.history:
            self.asked[name] = prompted, reply

    def quiet_once(self, value: _V) -> _V:
        """Keep a value from being shown again by the cell whose output has shown it."""
        value.quiet_once = True
        self._quiet.append(value)
        return value

    def end_cell(self) -> None:
        """Show values again: those that stayed quiet did so in the cell that has ended."""
        for value in self._quiet:
            value.quiet_once = False
        if self._quiet and isinstance(captured := getattr(self.shell.display_pub, "outputs", None), list):
            # A value that stays quiet leaves an empty output where outputs are captured.
            captured[:] = [output for output in captured if output["data"]]
        self._quiet.clear()

    def warn_once(self, text: str) -> None:
        """Write a sentence to the cell's error stream, the first time in this kernel."""
        if self.workspace.say_once(text):
            sys.stderr.write(f"chatglm_magic: {text}\n")
