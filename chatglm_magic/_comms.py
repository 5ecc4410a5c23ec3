"""What a page says to its widgets while a cell runs: how it gets through, in each line of ipykernel."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any

from ._loops import main_loop

_PERIOD = 0.05
"""Seconds between two looks at what ipykernel 6 keeps waiting."""

_COMM_TYPES = frozenset({"comm_open", "comm_msg", "comm_close"})
_pumping = asyncio.Lock()
"""Held by the one pump that handles messages: two would mix up whose parent is whose."""


def can_show_button(shell: Any) -> bool:  # noqa: ANN401 - IPython's shell
    """Tell whether somebody may be there to press a button: a kernel that may also ask for input.

    nbclient, nbconvert and papermill say that it may not; terminals have no kernel.
    """
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def hear_while_busy(comm: Any) -> None:  # noqa: ANN401 - ipykernel's, or another's
    """Take a page's messages in the subshell that it sends them to.

    ipykernel 7.4 hands them to the shell that wrote last; a front end that uses a subshell for widgets does so
    because the main one may be busy.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _, default: default  # noqa: SLF001 - there is no public way


def pump_comms(kernel: Any) -> Future[None] | None:  # noqa: ANN401 - ipykernel's
    """Let widgets' messages through while a cell awaits, which ipykernel 6 does not do by itself.

    Returns:
        Cancel it to end that; None where it is not needed.
    """
    if not hasattr(kernel, "msg_queue") or (loop := main_loop()) is None:
        return None
    return asyncio.run_coroutine_threadsafe(_pump(kernel), loop)


async def _pump(kernel: Any) -> None:  # noqa: ANN401 - ipykernel's
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
