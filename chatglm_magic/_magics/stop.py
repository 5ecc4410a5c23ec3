"""The Stop button of a cell that awaits a reply: there while it may be of use, and gone without a trace.

It costs an import of ipywidgets and a few messages, so it appears only when a reply has run for a second.
A place for it is kept above the reply from the beginning: put in later, it would stand in the reply's middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from .._loops import main_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from IPython.core.interactiveshell import InteractiveShell

    from ..renderers import Publisher
    from .own_cell import OwnCell

_PERIOD = 0.05
"""Seconds between two looks at what ipykernel 6 keeps waiting."""

_COMM_TYPES = frozenset({"comm_open", "comm_msg", "comm_close"})
_pumping = asyncio.Lock()
"""Held by the one pump that handles messages: two would mix up whose parent is whose."""

_VIEW = "application/vnd.jupyter.widget-view+json"


def can_show_button(shell: InteractiveShell) -> bool:
    """Tell whether somebody may be there to press a button: a kernel that may also ask for input.

    nbclient, nbconvert and papermill say that it may not; terminals have no kernel.
    """
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


class StopButton:
    """A Stop button in the output of a cell that is cleared at the end.

    Args:
        shell: The shell of the cell; its kernel is one that `can_show_button` approves of.
        own_cell: Where it is shown; None for the cell that runs.
    """

    def __init__(self, shell: InteractiveShell, own_cell: OwnCell | None = None) -> None:
        self._publisher: Publisher = own_cell or shell.display_pub
        self._kernel: Any = getattr(shell, "kernel", None)
        self._place = {"display_id": uuid.uuid4().hex}
        self._button: Any = None
        self._pump: Future[None] | None = None
        self._publish({}, update=False)

    def offer(self, stop: Callable[[], None]) -> None:
        """Show the button, from any thread. `stop` is called in whatever thread the kernel handles widgets."""
        try:
            import ipywidgets
        except ImportError:
            return  # the kernel's own interrupt remains
        self._button = button = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Stop this reply; what has arrived is kept"
        )
        button.on_click(lambda _: stop())
        if hasattr(button.comm, "_reply_subshell_for"):
            # ipykernel 7.4 sends a click to the shell that showed the button; a front end that uses a
            # subshell for clicks does so because the main one may be busy.
            button.comm._reply_subshell_for = lambda _, default: default  # noqa: SLF001 - there is no public way
        self._publish({_VIEW: {"version_major": 2, "version_minor": 0, "model_id": button.model_id}}, update=True)
        if hasattr(self._kernel, "msg_queue") and (loop := main_loop()) is not None:
            self._pump = asyncio.run_coroutine_threadsafe(_pump_comms(self._kernel), loop)

    def withdraw(self) -> None:
        """Take the button away and forget the widget."""
        if self._pump is not None:
            self._pump.cancel()
        if self._button is not None:
            self._publish({}, update=True)
            for widget in (self._button, self._button.layout, self._button.style):
                widget.close()

    def _publish(self, data: dict[str, Any], *, update: bool) -> None:
        self._publisher.publish(data, transient=self._place, update=update)


async def _pump_comms(kernel: Any) -> None:  # noqa: ANN401 - ipykernel's
    """Let widgets' messages through while a cell awaits, which ipykernel 6 does not.

    All messages of its shell wait in one queue until the cell ends. Those of widgets are handled now; the
    others are put back in their order before anything else may happen.
    """
    while True:
        async with _pumping:
            await _pump_once(kernel)
        await asyncio.sleep(_PERIOD)


async def _pump_once(kernel: Any) -> None:  # noqa: ANN401 - as above
    waiting = []
    with contextlib.suppress(Exception):  # empty: the queue is tornado's or asyncio's, each with its own error
        while True:
            waiting.append(kernel.msg_queue.get_nowait())
    comms = [item for item in waiting if _is_comm(kernel, item)]
    for item in waiting:
        if item not in comms:
            kernel.msg_queue.put_nowait(item)
    for _, dispatch, args in comms:
        # Handling a message makes it the parent of what is shown; that must stay the cell.
        parent, ident = kernel.get_parent("shell"), kernel._parent_ident["shell"]  # noqa: SLF001 - no public way
        try:
            await dispatch(*args)
        finally:
            kernel.set_parent(ident, parent, channel="shell")


def _is_comm(kernel: Any, item: tuple[int, Any, tuple[Any, ...]]) -> bool:  # noqa: ANN401 - as above
    """Look at a waiting message without deserializing it, which may be done only once."""
    _, dispatch, args = item
    if dispatch != kernel.dispatch_shell:
        return False
    try:
        _, parts = kernel.session.feed_identities(*args, copy=False)
        return kernel.session.unpack(parts[1].bytes)["msg_type"] in _COMM_TYPES
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the kernel shall find out in its turn
        return False
