"""How a reply is shown: the protocol that every renderer keeps to."""

from __future__ import annotations

from typing import Any, Protocol

from .._events import Event
from .._reply import Reply


class Renderer(Protocol):
    """Shows one reply, in the thread of whoever waits for it. No method waits for anything."""

    def open(self, label: str) -> None:
        """Show at once that something is coming; `label` says from which model."""
        ...

    def status(self, text: str) -> None:
        """Say in one sentence why nothing has come yet."""
        ...

    def write(self, event: Event) -> None:
        """Take one event."""
        ...

    def tick(self) -> None:
        """Paint what is due; called about every 50 ms while the reply is open."""
        ...

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Show the end; `error` is shown by whoever raises it, not here."""
        ...


class Publisher(Protocol):
    """What shows outputs: IPython's own `display_pub` is one."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        ...

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        """Remove the cell's outputs, at once or when the next one comes."""
        ...
