"""How a reply is shown: the base of all renderers."""

from __future__ import annotations

from .._events import Event
from .._reply import Reply


class Renderer:
    """Shows one reply, in the thread that waits for it. No method waits for anything; here none shows anything."""

    def open(self, label: str) -> None:
        """Show at once that something is coming; `label` says from which model."""

    def status(self, text: str) -> None:
        """Show in one sentence why nothing has come yet."""

    def write(self, event: Event) -> None:
        """Take one event."""

    def tick(self) -> None:
        """Paint what is due; called about every 50 ms while the reply is open."""

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Show the end. The error is shown by the caller that raises it."""
