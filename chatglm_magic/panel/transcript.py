"""The page's part of a panel: one anywidget, whose files come with the package."""

from __future__ import annotations

import json
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
        if self.comm is None:
            return
        try:
            self.send(message)
        except UnicodeEncodeError:  # half a character of UTF-16, which a model may write and no wire carries
            told = json.dumps(message, ensure_ascii=False)
            self.send(json.loads(told.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")))
