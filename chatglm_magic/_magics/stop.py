"""The Stop button of a cell that awaits a reply: there while it may be of use, and gone without a trace.

It costs a few messages, so it appears only when a reply has run for a second.
A place for it is kept above the reply from the beginning, as high as it will be: put in later, it would stand in
the reply's middle, and what is being read would move down when it comes.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from .._comms import can_show_button, hear_while_busy, pump_comms

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from IPython.core.interactiveshell import InteractiveShell

    from ..renderers import Publisher
    from .button import Button
    from .own_cell import OwnCell

__all__ = ["StopButton", "can_show_button"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_ROOM = {"text/html": '<div style="height: 25px"></div>', "text/plain": ""}
"""As high as ipywidgets' buttons are with their margins (32 pixels), less what JupyterLab puts around HTML."""


class StopButton:
    """A Stop button in the output of a cell that is cleared at the end.

    Args:
        shell: The shell of the cell; its kernel is one that `can_show_button` approves of.
        own_cell: Where it is shown; None for the cell that runs.
        later: Whether its place is kept only when `keep_place` is called, before anything is shown.
    """

    def __init__(self, shell: InteractiveShell, own_cell: OwnCell | None = None, *, later: bool = False) -> None:
        self._publisher: Publisher = own_cell or shell.display_pub
        self._kernel: Any = getattr(shell, "kernel", None)
        self._place = {"display_id": uuid.uuid4().hex}
        self._button: Button | None = None
        self._pump: Future[None] | None = None
        if not later:
            self.keep_place()

    def keep_place(self) -> None:
        """Keep a place for the button where the cell's next output would stand."""
        self._publish(_ROOM, update=False)

    def offer(self, stop: Callable[[], None]) -> None:
        """Show the button, from any thread. `stop` is called in whatever thread the kernel handles widgets."""
        from .button import Button

        self._button = button = Button("Stop", "stop", "Stop this reply; what has arrived is kept", stop)
        hear_while_busy(button.comm)
        self._publish({_VIEW: {"version_major": 2, "version_minor": 0, "model_id": button.id}}, update=True)
        self._pump = pump_comms(self._kernel)

    def withdraw(self) -> None:
        """Take the button away and forget the widget."""
        if self._pump is not None:
            self._pump.cancel()
        if self._button is not None:
            self._publish({}, update=True)
            self._button.close()

    def _publish(self, data: dict[str, Any], *, update: bool) -> None:
        self._publisher.publish(data, transient=self._place, update=update)
