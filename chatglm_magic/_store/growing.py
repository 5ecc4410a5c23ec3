"""An answer that streams, as far as it is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._values import dataclass
from .owner import BEAT

if TYPE_CHECKING:
    from .._reply import Reply
    from .changes import Changes


class Growing:
    """Writes what has come of a reply since the last time. Used in the writer's thread alone.

    Args:
        said_id: The answer's id.
        reply: The reply that grows, in another thread.
    """

    def __init__(self, said_id: str, reply: Reply) -> None:
        self._id = said_id
        self._reply = reply
        self._written = _Written(*reply.pieces())
        self._next = self._written
        self._beat = time.monotonic()

    def write(self, changes: Changes) -> None:
        """Write what is new; it counts as written once `written` is called."""
        before, (text, thinking) = self._written, self._reply.pieces()
        anew = text is not before.text or thinking is not before.thinking
        if anew:  # the wire corrected itself
            before = _Written(text, thinking)
        now = _Written(text, thinking, len(text), len(thinking))
        ready, now.held = changes.mask.take(before.held + "".join(text[before.texts : now.texts]))
        thoughts = "".join(thinking[before.thoughts : now.thoughts])
        thought, now.held_thought = changes.mask.take(before.held_thought + thoughts)
        self._next = now
        if ready or thought or anew or time.monotonic() - self._beat >= BEAT:
            changes.grow(self._id, ready, thought, anew=anew)
            self._beat = time.monotonic()

    def written(self) -> None:
        """Take note that what was written last is on the disk."""
        self._written = self._next


@dataclass(slots=True)
class _Written:
    """How much of a reply's pieces is written.

    Attributes:
        text: The list that they are in.
        thinking: The same for thoughts.
        texts: How many of its pieces are written, or held.
        thoughts: The same for thoughts.
        held: What of them is held back: a key may be beginning there.
        held_thought: The same for thoughts.
    """

    text: list[str]
    thinking: list[str]
    texts: int = 0
    thoughts: int = 0
    held: str = ""
    held_thought: str = ""
