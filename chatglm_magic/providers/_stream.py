"""The one loop that reads a reply: chunks of bytes to a decoder, its events to the caller."""

from __future__ import annotations

from typing import Protocol

from .._errors import ProviderError
from .._events import Event


class Decoder(Protocol):
    """Turns the bytes of one reply into events; no I/O.

    Attributes:
        error: What to raise after `Finished`, as the wire said it; None if the reply ended well.
        done: Whether nothing more is worth reading (`[DONE]`).
        grace: Seconds of silence after which the reply counts as ended, once the wire has said its end
            but may still say more (usage, a repeated last frame); None before that.
    """

    error: ProviderError | None
    done: bool
    grace: float | None

    def feed(self, chunk: bytes) -> list[Event]:
        """Take one network read and give its deltas.

        Consecutive text deltas are merged into one, and none is empty: an empty list means that
        nothing happened that a reader would notice, and does not keep a stalled stream alive.
        """
        ...

    def close(self) -> list[Event]:
        """End the reply, wherever it stands: give the remaining deltas, and `Finished` last.

        Called once: at `done`, at the end of the stream, or when the connection failed.
        """
        ...
