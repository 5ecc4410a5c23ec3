"""A card that asks a person about a call of a function: its name, its arguments, and four buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from .._event_loops import call_soon
from .._language import marked, tr
from .widgets import PinnedPublisher, WidgetModels

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_BUTTONS: dict[str, tuple[str, str]] = {
    "run": (marked("Run"), marked("Run the function once, with these arguments")),
    "deny": (marked("Deny"), marked("Do not run it; the model is told")),
    "edit": (marked("Edit"), marked("Change the arguments before it runs")),
    "always": (
        marked("Always"),
        marked("Run this function without asking, as it is now, until the kernel ends"),
    ),
}
"""By what they mean: what is written on them, and what is said about them. An icon would be read aloud as a sign."""
_SYNC = 0.2
"""Seconds in which what was written last arrives: it and a button may come by different ways."""


_BOX = "margin: 4px 0; max-height: 20em; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere"


class CallAnswer(msgspec.Struct, frozen=True):
    """What a person said about a call.

    Attributes:
        pressed: The button: `run`, `deny` or `always`.
        arguments: The arguments as JSON text, where the person has edited them; else empty.
    """

    pressed: str
    arguments: str = ""


class CallCard(WidgetModels):
    """The card, in the output of a cell.

    Args:
        shell: As in `WidgetModels`.
        publisher: As in `WidgetModels`.
    """

    def __init__(self, shell: InteractiveShell, publisher: PinnedPublisher | None = None) -> None:
        super().__init__(shell, publisher)
        self._card: Any = None
        self._words: Any = None
        self._field: Any = None
        self._room: Any = None
        self._is_editing = False

    async def ask(self, name: str, doc: str, arguments: str, check: Callable[[str], str]) -> CallAnswer:
        """Show the card, and wait for a button; the card is gone afterwards, however this ends.

        Args:
            name: The function's name.
            doc: What it does, in a line; empty for nothing.
            arguments: Its arguments, as JSON text.
            check: Returns what is wrong with edited arguments, as a sentence; empty for nothing.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[CallAnswer] = loop.create_future()

        def settle(answer: CallAnswer) -> None:
            if not answered.done():
                answered.set_result(answer)

        def decide(pressed: str) -> None:
            edited = self.state_of(self._field)["value"] if self._is_editing and pressed != "deny" else ""
            if edited and (fault := check(edited)):
                self.change(self._words, value=_html(name, doc, "", fault))
            else:
                settle(CallAnswer(pressed, edited))

        def press(kind: str) -> None:  # in any thread
            if kind != "edit":
                wait = _SYNC if self._is_editing else 0.0
                call_soon(loop, lambda: loop.call_later(wait, decide, kind))
            elif not self._is_editing:
                self._is_editing = True
                self.change(self._words, value=_html(name, doc, ""))
                self.change(self._room, display=None)

        self._open(_html(name, doc, arguments), arguments, press)
        try:
            self.show(self._card, update=False, plain=f"{name} {arguments}")
            return await answered
        finally:
            self.withdraw()
            self.empty()

    def _open(self, html: str, arguments: str, press: Callable[[str], None]) -> None:
        """Open the models of the card."""
        layout = _reference(self.open("base", "Layout"))
        wide = _reference(self.open("base", "Layout", width="auto"))
        buttons = []
        for kind, (label, help_text) in _BUTTONS.items():
            button = self.open(
                "controls",
                "Button",
                partial(press, kind),
                description=tr(label),
                tooltip=tr(help_text),
                button_style="primary" if kind == "run" else "",
                layout=wide,  # as wide as its word: four of the usual width are cut on a narrow page
                style=_reference(self.open("controls", "ButtonStyle")),
            )
            buttons.append(_reference(button))
        self._words = self.open(
            "controls", "HTML", value=html, layout=layout, style=_reference(self.open("controls", "HTMLStyle"))
        )
        # There from the beginning, and not seen: a box that gets another child makes all of them anew, and the focus
        # is lost.
        self._room = self.open("base", "Layout", width="auto", display="none")
        self._field = self.open(
            "controls",
            "Textarea",
            value=arguments,
            description=tr("Arguments"),
            rows=min(12, arguments.count("\n") + 2),
            continuous_update=False,
            layout=_reference(self._room),
            style=_reference(self.open("controls", "TextStyle")),
        )
        row = self.open("controls", "HBox", children=buttons, layout=layout)
        rows = [_reference(model) for model in (self._words, self._field, row)]
        self._card = self.open("controls", "VBox", children=rows, layout=wide)


def _reference(model: Any) -> str:  # noqa: ANN401 - the kernel's
    return f"IPY_MODEL_{model.comm_id}"


def _html(name: str, doc: str, arguments: str, fault: str = "") -> str:
    """Return what the card says. A model wrote the arguments: nothing of them is markup."""
    asked = tr("The model asks to run {name}:", name=f"<code><b>{escape(name)}</b></code>")
    about = f"<div>{escape(doc)}</div>" if doc else ""
    shown = f'<pre style="{_BOX}">{escape(arguments)}</pre>' if arguments else ""
    alert = f'<div role="alert"><b>{escape(fault)}</b></div>' if fault else ""
    return (
        f'<div role="group" style="line-height: 1.5; white-space: normal"><div>{asked}</div>{about}{shown}{alert}</div>'
    )
