"""The page's part of a panel: one anywidget, whose files come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget

from .._comms import hear_while_busy

_STATIC = Path(__file__).parent / "static"


class Transcript(anywidget.AnyWidget):
    """Header, log, composer and footer. What it shows and hears goes by custom messages, not by traits.

    Args:
        height: A CSS length.
    """

    # As texts: what anywidget reads from a path itself holds on to every widget ever made.
    _esm = (_STATIC / "transcript.js").read_text(encoding="utf-8")
    _css = (_STATIC / "transcript.css").read_text(encoding="utf-8")

    def __init__(self, height: str) -> None:
        super().__init__(layout={"height": height, "width": "100%"})
        hear_while_busy(self.comm)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the page; nothing once this is closed."""
        if self.comm is not None:
            self.send(message)
