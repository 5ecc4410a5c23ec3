"""A button in a cell's output, by the messages that widgets are made of.

To import ipywidgets takes as long as many a reply, and all that while nothing of the reply is painted. The three
models of a button are three messages: ipywidgets' "Jupyter widgets messaging protocol", version 2, and its "model
state of controls", version 2.0.0, which is that of ipywidgets 8.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

_log = logging.getLogger(__name__)

_PROTOCOL = "2.1.0"
_MODELS = "2.0.0"
_BASE, _CONTROLS = "@jupyter-widgets/base", "@jupyter-widgets/controls"


class Button:
    """A button, there for whoever shows its id, until it is closed.

    Args:
        words: What stands on it.
        icon: The picture beside them, by its name in Font Awesome.
        hint: What a mouse that rests on it is told.
        clicked: Called for each click, in whatever thread the kernel handles widgets.

    Attributes:
        comm: What its page talks to.
        id: The name under which it is shown.
    """

    def __init__(self, words: str, icon: str, hint: str, clicked: Callable[[], None]) -> None:
        self._clicked = clicked
        layout = self._open(_BASE, "LayoutModel", _BASE, "LayoutView")
        style = self._open(_CONTROLS, "ButtonStyleModel", _BASE, "StyleView")
        self.comm = self._open(
            _CONTROLS,
            "ButtonModel",
            _CONTROLS,
            "ButtonView",
            _dom_classes=[],
            button_style="",
            description=words,
            disabled=False,
            icon=icon,
            layout=f"IPY_MODEL_{layout.comm_id}",
            style=f"IPY_MODEL_{style.comm_id}",
            tabbable=None,
            tooltip=hint,
        )
        self.id: str = self.comm.comm_id
        self._models = (self.comm, layout, style)

    def close(self) -> None:
        """Take it away from every page."""
        for model in self._models:
            model.close()

    def _open(self, module: str, name: str, view_module: str, view: str, **state: object) -> Any:  # noqa: ANN401 - the kernel's own
        from comm import create_comm

        state |= {
            "_model_module": module,
            "_model_module_version": _MODELS,
            "_model_name": name,
            "_view_count": None,
            "_view_module": view_module,
            "_view_module_version": _MODELS,
            "_view_name": view,
        }
        model = create_comm(
            target_name="jupyter.widget", data={"state": state, "buffer_paths": []}, metadata={"version": _PROTOCOL}
        )
        model.on_msg(partial(self._hear, model, state))
        return model

    def _hear(self, model: Any, state: dict[str, object], message: dict[str, Any]) -> None:  # noqa: ANN401 - as above
        data = message["content"]["data"]
        if data.get("method") == "request_state":  # a page that was loaded anew
            model.send({"method": "update", "state": state, "buffer_paths": []})
        elif data.get("method") == "custom" and data.get("content", {}).get("event") == "click":
            try:
                self._clicked()
            except Exception:  # noqa: BLE001 - there is no cell that could fail
                _log.exception("a click did nothing")
