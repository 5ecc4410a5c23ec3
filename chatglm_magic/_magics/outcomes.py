"""What comes of a line: a value, a question to ask, or something to wait for first."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .._values import dataclass

if TYPE_CHECKING:
    from .._history import Place
    from .._reply import Reply
    from .arguments import Arguments


@dataclass(frozen=True, slots=True)
class Value:
    """A command that is done.

    Attributes:
        value: What the cell is worth.
    """

    value: object = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, to be asked like any other: it streams, can be stopped, and is the cell's value.

    Attributes:
        arguments: The prompt and its options.
        place: Where the exchange goes in the conversation; None for its end.
        as_is: Whether the prompt is complete: nothing in it is a name to be replaced.
        then: Told the reply once it has ended well, after it was shown.
    """

    arguments: Arguments
    place: Place | None = None
    as_is: bool = False
    then: Callable[[Reply], object] | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """A command that waits for something, such as a server.

    Attributes:
        run: Waits: in the notebook's loop where the cell awaits, else in the loop thread.
        then: Takes what came of it, in the cell's own thread.
    """

    run: Callable[[], Coroutine[Any, Any, Any]]
    then: Callable[[Any], Value | Ask]


Outcome = Value | Ask | Later
