"""Widgets while a cell runs: how their messages get through in each line of ipykernel, and the Stop button."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._event_loops import main_loop
from .._language import tr
from .shell import can_show_button, can_show_widget

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from IPython.core.interactiveshell import InteractiveShell

    from .shell import Publisher

_ANSWER_LOOKS = 20
"""How often a page's answer is looked for, once in `_PERIOD`."""
_PERIOD = 0.05
"""Seconds between two looks at what ipykernel 6 keeps waiting."""

_COMM_TYPES = frozenset({"comm_open", "comm_msg", "comm_close"})
_pumping = asyncio.Lock()
"""Held by the one pump that handles messages: two would mix up whose parent is whose."""


def hear_while_busy(comm: Any) -> None:  # noqa: ANN401 - ipykernel's, or another's
    """Take a page's messages in the subshell that it sends them to.

    ipykernel 7.4 hands them to the shell that wrote last; a front end that uses a subshell for widgets does so
    because the main one may be busy.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _, default: default  # noqa: SLF001 - there is no public way


def pump_comms(kernel: Any) -> Future[None] | None:  # noqa: ANN401 - ipykernel's
    """Handle widgets' messages while a cell awaits, which ipykernel 6 does not do by itself.

    Returns:
        Cancel it to end that; None where it is not needed.
    """
    if not hasattr(kernel, "msg_queue") or (loop := main_loop()) is None:
        return None
    return asyncio.run_coroutine_threadsafe(_pump(kernel), loop)


async def _pump(kernel: Any) -> None:  # noqa: ANN401 - ipykernel's
    """Handle widgets' messages until this is cancelled.

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


_VIEW = "application/vnd.jupyter.widget-view+json"
_ROOM = {"text/html": '<div style="height: 25px"></div>'}
"""As high as ipywidgets' buttons are with their margins (32 pixels), less what JupyterLab puts around HTML. Consoles,
which show plain text alone, show nothing."""


class WidgetModels:
    """Models of ipywidgets' widgets, made without ipywidgets; one view of them in a cell's output.

    The models are the messages of ipywidgets' "Jupyter widgets messaging protocol", version 2, and its "model state of
    controls", version 2.0.0: importing ipywidgets itself would hold up the first paints of a reply for 140 ms and take
    a fifth of the kernel's memory.

    Args:
        shell: The shell of the cell; its kernel is one that `can_show_button` approves of.
        publisher: Where they are shown; None for the cell that runs.
    """

    def __init__(self, shell: InteractiveShell, publisher: PinnedPublisher | None = None) -> None:
        self._publisher: Publisher = publisher or shell.display_pub
        self._kernel: Any = getattr(shell, "kernel", None)
        self._transient = {"display_id": uuid.uuid4().hex}
        self._models: list[Any] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._pump: Future[None] | None = None

    def open(
        self,
        module: str,
        name: str,
        click: Callable[[], None] | None = None,
        **state: object,
    ) -> Any:  # noqa: ANN401 - the kernel's
        """Open a model in every page; a page that is loaded anew asks for its state.

        Args:
            module: `base` or `controls`.
            name: The widget's, such as `Button`.
            click: Called, in whatever thread the kernel handles widgets, when it is pressed.
            state: What differs from the usual.
        """
        from comm import create_comm

        known: dict[str, Any] = {**_state(module, name), **state}
        model = create_comm(
            target_name="jupyter.widget", data={"state": known, "buffer_paths": []}, metadata={"version": "2.1.0"}
        )
        self._states[model.comm_id] = known

        def hear(message: dict[str, Any]) -> None:
            data = message["content"]["data"]
            if data.get("method") == "request_state":
                model.send({"method": "update", "state": known, "buffer_paths": []})
            elif data.get("method") == "update":
                known.update(data.get("state", {}))
            elif click is not None and data.get("content") == {"event": "click"}:
                click()

        model.on_msg(hear)
        hear_while_busy(model)
        self._models.append(model)
        return model

    def state_of(self, model: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        """Return a model's state, with what the page has changed of it."""
        return self._states[model.comm_id]

    def change(self, model: Any, **state: object) -> None:  # noqa: ANN401 - as above
        """Change a model in every page."""
        self._states[model.comm_id].update(state)
        model.send({"method": "update", "state": state, "buffer_paths": []})

    def show(self, model: Any, *, update: bool, plain: str = "") -> None:  # noqa: ANN401 - as above
        """Show a model, and hear of it while the cell runs.

        Args:
            model: The model.
            update: Whether it takes the place of what was published here before.
            plain: What a front end without widgets shows.
        """
        data = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": model.comm_id}}
        self.publish({**data, "text/plain": plain} if plain else data, update=update)
        self._pump = pump_comms(self._kernel)

    def withdraw(self) -> None:
        """Remove the widgets from every page, and forget them; their output goes when the cell is cleared."""
        if self._pump is not None:
            self._pump.cancel()
        for model in self._models:
            model.close()

    def publish(self, data: dict[str, Any], *, update: bool) -> None:
        """Show an output, or change the one that was shown."""
        self._publisher.publish(data, transient=self._transient, update=update)

    def empty(self) -> None:
        """Take the view out of the output, where the cell is not cleared: a notebook would be saved with it."""
        self.publish({"text/plain": ""}, update=True)


class StopButton(WidgetModels):
    """A Stop button in the output of a cell that is cleared at the end.

    Room for it is kept above the reply from the beginning, as high as it will be: put in later, it would move down
    what is being read.

    Args:
        shell: As in `WidgetModels`.
        publisher: As in `WidgetModels`.
    """

    def __init__(self, shell: InteractiveShell, publisher: PinnedPublisher | None = None) -> None:
        super().__init__(shell, publisher)
        self.publish(_ROOM, update=False)

    def offer(self, stop: Callable[[], None]) -> None:
        """Show the button, from any thread. `stop` is called in whatever thread the kernel handles widgets."""
        layout, style = self.open("base", "Layout"), self.open("controls", "ButtonStyle")
        button = self.open(
            "controls",
            "Button",
            stop,
            description=tr("Stop"),
            icon="stop",
            tooltip=tr("Stop this reply; what has arrived is kept"),
            layout=f"IPY_MODEL_{layout.comm_id}",
            style=f"IPY_MODEL_{style.comm_id}",
        )
        self.show(button, update=True)


def _state(module: str, name: str) -> dict[str, str]:
    """Return the state that every model of ipywidgets' has, as its page needs it."""
    view = "StyleView" if name.endswith("Style") else f"{name}View"
    modules = {"_model_module": module, "_view_module": "base" if view == "StyleView" else module}
    named = {key: f"@jupyter-widgets/{value}" for key, value in modules.items()}
    versions = {f"{key}_version": "2.0.0" for key in modules}
    return {**named, **versions, "_model_name": f"{name}Model", "_view_name": view}


class CodeInserter:
    """Puts code into a cell below the one that asks, in place of what it has put there before.

    A page that can change its notebook, as JupyterLab's and Notebook 7's can, does so itself: it knows its own cells.
    Elsewhere it is IPython's `set_next_input`, of which each run makes another cell.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._widget: Any = None
        self._page = threading.Event()  # set once a page has answered
        self._put: dict[str, str] = {}  # what was put below which cell last

    def prepare(self) -> None:
        """Look for a page that can change its notebook; it answers while the reply comes."""
        self._close()
        if not can_show_button(self._shell):
            return
        self._widget = _inserter()()
        self._widget.on_msg(self._hear)
        hear_while_busy(self._widget.comm)

    async def wait(self) -> None:
        """Wait until a page has answered, or no longer than a second."""
        if self._widget is None or self._page.is_set():
            return
        pump = pump_comms(getattr(self._shell, "kernel", None))
        for _ in range(_ANSWER_LOOKS):
            if self._page.is_set():
                break
            await asyncio.sleep(_PERIOD)
        if pump is not None:
            pump.cancel()

    def put(self, code: str, cell_id: str, *, replace: bool = False) -> None:
        """Put code below a cell, or, where it is the one that runs, in its place.

        Args:
            code: The code; it is not run.
            cell_id: What the front end calls the cell that runs; empty where it does not say.
            replace: Whether it takes that cell's place.
        """
        if replace or not (cell_id and self._page.is_set()):
            self._shell.set_next_input(code, replace=replace)
        else:
            self._widget.send({"asker": cell_id, "code": code, "before": self._put.get(cell_id, "")})
        self._put[cell_id] = code
        self._close()

    def _hear(self, *_: object) -> None:
        self._page.set()

    def _close(self) -> None:
        """Close the widget: an open one would be saved with the notebook."""
        if self._widget is not None:
            self._widget.close()
        self._widget = None
        self._page.clear()


@cache
def _inserter() -> Any:  # noqa: ANN401 - a class of anywidget's, which has no types
    import anywidget

    class Inserter(anywidget.AnyWidget):
        _esm = (Path(__file__).parent / "insert.js").read_text(encoding="utf-8")

    return Inserter


@contextlib.contextmanager
def unopened(shell: Any) -> Generator[None]:  # noqa: ANN401 - IPython's shell
    """Open the widgets that the block makes in no page where nobody sees one: they would be saved with the notebook."""
    import comm

    create = comm.create_comm
    if getattr(shell, "kernel", None) is not None and not can_show_widget(shell):
        comm.create_comm = comm.DummyComm
    try:
        yield
    finally:
        comm.create_comm = create


def output_widget(display_pub: Any) -> Any:  # noqa: ANN401 - ipykernel's and ipywidgets' have no types
    """Return the `ipywidgets.Output` that takes what is shown now, in its `with` block or under `interact`; or None."""
    message = getattr(display_pub, "parent_header", {}).get("msg_id")
    module = sys.modules.get("ipywidgets.widgets.widget")
    widgets = list(getattr(module, "_instances", {}).values()) if message else []  # the public list is deprecated
    return next((widget for widget in widgets if getattr(widget, "msg_id", "") == message), None)


class WidgetPublisher:
    """A publisher into an `ipywidgets.Output`, which takes outputs but ignores updates: what changes is a widget in it.

    Args:
        output: The `Output`.
        publisher: The publisher of the cell that it takes outputs of.
        render: Returns safe HTML for safe Markdown.
    """

    def __init__(self, output: Any, publisher: Publisher, render: Callable[[str], str]) -> None:  # noqa: ANN401 - as above
        self._output = output
        self._publisher = publisher
        self._render = render
        self._widgets: dict[str, Any] = {}  # by `display_id`

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        name = (transient or {}).get("display_id")
        if name is None:
            self._show(data, metadata or {})
            return
        html = self._render(data.get("text/markdown", ""))
        if update:
            self._widgets[name].value = html
            return
        import ipywidgets

        # It stays open, though empty in the end: a page that is loaded anew would show an error in its place.
        widget = self._widgets[name] = ipywidgets.HTML(html)
        self._show({_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}, metadata or {})

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        """Do nothing: what else is in the `Output` is the user's."""

    def _show(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        if self._output.msg_id:
            self._publisher.publish(data, metadata=metadata)
        else:  # a reply in the background outlives the block
            self._output.outputs += ({"output_type": "display_data", "data": data, "metadata": metadata},)


class PinnedPublisher:
    """A publisher for the cell that runs now, for as long as that is shown; from any thread.

    ipykernel 6 sends what a task or a thread shows to the cell that ran last, ipykernel 7 to the one of
    the context. This one remembers the cell itself.

    Args:
        display_pub: The shell's publisher, one of ipykernel's.
    """

    def __init__(self, display_pub: Any) -> None:  # noqa: ANN401 - ipykernel has no types
        self._display_pub = display_pub
        self._parent = dict(display_pub.parent_header)

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        """Remove the cell's outputs, at once or when the next one comes."""
        self._send("clear_output", {"wait": wait})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        publisher = self._display_pub
        publisher.session.send(publisher.pub_socket, kind, content, parent=self._parent, ident=publisher.topic)
