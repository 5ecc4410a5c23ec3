"""What has been said, as messages: exchanges found, cut to size and put in their place; no I/O."""

from __future__ import annotations

from ._messages import Message
from ._values import dataclass

GO_ON = "Go on exactly where your last answer stops. Repeat nothing of it, and say nothing about going on."
"""What is asked so that an answer goes on."""

_BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token, on the safe side for English (about 4) and Chinese (3 a character, 1–2 characters a token)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange goes in a conversation, if not to its end.

    Attributes:
        cell: Who asks. A question that the same cell asks again takes the place of its former one.
        instead_of: The id of the question in whose place this one is asked. The same words give the
            question another answer; other words stand beside it. What was there stays as an older version.
        keeps: Whether what followed the former answer follows the new one; it stays with the old one else.
        goes_on: Whether the answer continues the conversation's last one: it is appended to that, and
            the prompt does not enter the conversation.
    """

    cell: str = ""
    instead_of: str = ""
    keeps: bool = True
    goes_on: bool = False


def last_exchanges(messages: list[Message], limit: int) -> list[Message]:
    """Give the newest whole exchanges that fit into about `limit` tokens."""
    tokens = 0
    start = len(messages)
    for place in reversed(range(len(messages))):
        tokens += estimate_tokens(messages[place : place + 1])
        if tokens > limit:
            break
        if messages[place].role == "user":
            start = place
    return messages[start:]


def estimate_tokens(messages: list[Message]) -> int:
    """Estimate how many tokens messages are, on the safe side."""
    return sum(len(message.content.encode(errors="replace")) // _BYTES_PER_TOKEN + 4 for message in messages)
