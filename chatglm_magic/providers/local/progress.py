"""Tell a person how far an errand is: by `notify`, and by one tqdm bar while something is downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .errand import Progress

_LOG_STEP = 10


class Announcer:
    """Tells each step once.

    The bar is shown in a notebook and in a terminal, and taken away by `close`; where the output is a
    file or a pipe there is none.

    Args:
        notify: Told each step in one short sentence; None for nobody.
    """

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._said = ""
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        """Take a step; to be called in one thread only."""
        if not progress.total_bytes:
            self.close()
            self._say(progress.text)
            return
        in_notebook = _bars_are_widgets()
        # A notebook's status line is written over; a terminal's lines stay, and a log's are read by nobody.
        in_terminal = not in_notebook and sys.stderr.isatty()
        self._say(progress.text if in_terminal else progress.words(1 if in_notebook else _LOG_STEP))
        if self._bar is None:
            self._bar = _new_bar(progress, shown=in_notebook or in_terminal)
        self._bar.update(min(progress.done_bytes, progress.total_bytes) - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str) -> None:
        if self._notify is not None and text != self._said:
            self._said = text
            self._notify(text)


def _bars_are_widgets() -> bool:
    from tqdm import auto

    return any(parent.__module__ == "tqdm.notebook" for parent in auto.tqdm.__mro__)


def _new_bar(progress: Progress, *, shown: bool) -> Any:  # noqa: ANN401 - tqdm is untyped
    from tqdm import auto

    return auto.tqdm(
        total=progress.total_bytes,
        desc=progress.text,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not shown,
    )
