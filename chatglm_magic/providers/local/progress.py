"""Tell a person how far an errand is: by `notify`, and by one tqdm bar while something is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errand import Progress


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
        if self._notify is not None and str(progress) != self._said:
            self._said = str(progress)
            self._notify(self._said)
        if not progress.total_bytes:
            self.close()
        elif self._bar is None:
            self._bar = _new_bar(progress)
        else:
            self._bar.update(min(progress.done_bytes, progress.total_bytes) - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _new_bar(progress: Progress) -> Any:  # noqa: ANN401 - tqdm is untyped
    from tqdm import auto

    in_notebook = any(parent.__module__ == "tqdm.notebook" for parent in auto.tqdm.__mro__)
    return auto.tqdm(
        total=progress.total_bytes,
        initial=progress.done_bytes,
        desc=progress.text,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=False if in_notebook else None,  # None: only where stderr is a terminal
    )
