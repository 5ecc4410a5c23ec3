"""A conversation's settings as widgets below the transcript: what `%chatglm set` sets, to be seen and moved."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

import ipywidgets as widgets

from .._chat import Chat
from .._comms import hear_while_busy

_THINKING: dict[str, bool | None] = {"auto": None, "on": True, "off": False}
_THINKING_WORDS = (("as the model does by itself", "auto"), ("on", "on"), ("off", "off"))
"""Words and values; none of these is None, which a list takes for nothing being selected."""
_MOST_TOKENS = 1_000_000
_USUAL_TEMPERATURE = 0.7


class Settings:
    """The settings of the conversation that a panel shows.

    Args:
        chat: The conversation.
        later: Does something in the loop thread, where conversations are changed.

    Attributes:
        box: What is shown.
    """

    def __init__(self, chat: Chat, later: Callable[[Callable[[], object]], None]) -> None:
        self._chat = chat
        self._later = later
        self._filler = 0  # the thread that fills the widgets
        wide = widgets.Layout(width="auto")
        style = {"description_width": "9.5em"}
        self._system = widgets.Textarea(
            description="System prompt", placeholder="none of its own", rows=3, layout=wide, style=style
        )
        # A field, not a slider: ipywidgets gives a slider's handle no name that a screen reader could tell.
        self._temperature = widgets.BoundedFloatText(
            description="Temperature",
            value=_USUAL_TEMPERATURE,
            min=0.0,
            max=2.0,
            step=0.05,
            layout={"width": "18em"},
            style=style,
        )
        self._own = widgets.Checkbox(description="instead of the model's own", indent=False, layout={"width": "16em"})
        self._most = widgets.BoundedIntText(
            description="Max tokens", min=0, max=_MOST_TOKENS, layout={"width": "18em"}, style=style
        )
        self._most_hint = widgets.Label("0: the model's own limit")
        self._think = widgets.Dropdown(
            description="Thinking", options=_THINKING_WORDS, layout={"width": "26em"}, style=style
        )
        self.box = widgets.VBox(
            [
                self._system,
                widgets.HBox([self._temperature, self._own]),
                widgets.HBox([self._most, self._most_hint]),
                self._think,
            ]
        )
        self.box.add_class("chatglm-settings")
        self.box.layout.display = "none"
        self.show(chat)
        for widget in (self._system, self._own, self._temperature, self._most, self._think):
            widget.observe(self._changed, names="value")
            hear_while_busy(widget.comm)

    def show(self, chat: Chat) -> None:
        """Show what a conversation has set, and set nothing."""
        self._filler = get_ident()
        try:
            self._chat = chat
            temperature, most = chat.options.get("temperature"), chat.options.get("max_tokens")
            self._system.value = chat.system
            self._own.value = temperature is not None
            if isinstance(temperature, (int, float)):
                self._temperature.value = temperature
            self._temperature.disabled = temperature is None
            self._most.value = most if isinstance(most, int) else 0
            self._think.value = next(word for word, think in _THINKING.items() if think is chat.think)
        finally:
            self._filler = 0

    def fold(self, away: bool) -> None:  # noqa: FBT001 - the one thing that it says
        """Hide the settings, or show them."""
        self.box.layout.display = "none" if away else ""

    def close(self) -> None:
        """Close the widgets."""
        for widget in _all(self.box):
            widget.close()

    def _changed(self, change: Any) -> None:  # noqa: ANN401 - traitlets'
        if get_ident() != self._filler:  # else it is `show` that fills the widgets, not a person
            chat, owner, value = self._chat, change["owner"], change["new"]
            self._later(lambda: self._apply(chat, owner, value))

    def _apply(self, chat: Chat, owner: Any, value: Any) -> None:  # noqa: ANN401 - one of the widgets, and its value
        """Set what a widget says, and nothing else: others may show less than is set."""
        if owner is self._system:
            chat.system = value
        elif owner is self._think:
            chat.think = _THINKING[value]
        elif owner is self._most:
            _set(chat, "max_tokens", value or None)
        elif owner is self._own:
            self._temperature.disabled = not value
            _set(chat, "temperature", round(self._temperature.value, 2) if value else None)
        elif "temperature" in chat.options:
            _set(chat, "temperature", round(value, 2))


def _set(chat: Chat, name: str, value: float | None) -> None:
    if value is None:
        chat.options.pop(name, None)
    else:
        chat.options[name] = value


def _all(box: Any) -> list[Any]:  # noqa: ANN401 - ipywidgets has no types
    """Give a box and all in it, with their layouts and styles."""
    inner = [one for child in getattr(box, "children", ()) for one in _all(child)]
    return [*inner, *(part for name in ("layout", "style") if (part := getattr(box, name, None)) is not None), box]
