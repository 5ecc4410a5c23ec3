"""The one loop that reads a reply: chunks of bytes to a decoder, its events to the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from .._errors import ProviderError, StatusError
from .._events import Event, Finished
from .._sse import EventTooLongError
from .._transport.call import Call
from .._transport.failures import Failures

_CUT_OFF = frozenset({"truncated", "empty"})
"""Kinds that a decoder deduces from a stream that just ended; the transport knows better why it did."""


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


async def run(
    call: Call, make_decoder: Callable[[], Decoder], notify: Callable[[str], None] | None = None
) -> AsyncGenerator[Event]:
    """Send a call and yield its reply's events: deltas, then exactly one `Finished`.

    A reply that ended badly ends with its `Finished` too, and then raises. Failures of the connection
    after the wire has said the reply's end are ignored: nothing is missing.

    Args:
        call: What to send.
        make_decoder: Makes the decoder of one attempt.
        notify: Told in one sentence why nothing has come yet, in place of the call's own.

    Raises:
        ProviderError: What the wire or the transport said; before the first event also what
            `call.explain` made of a refusal, then without any `Finished`.
        ConfigError: URL, key or proxy cannot be used.
    """
    from .._transport import with_retries

    if notify is not None:
        call = replace(call, notify=notify)
    async with aclosing(with_retries(lambda: _attempt(call, make_decoder()), notify=call.notify)) as events:
        async for event in events:
            yield event


async def _attempt(call: Call, decoder: Decoder) -> AsyncGenerator[Event]:
    from .._transport import open_stream

    failure: ProviderError | None = None
    last: list[Event] = []
    async with open_stream(call) as stream:
        feed = decoder.feed
        try:
            async for chunk in stream:
                events = feed(chunk)
                if decoder.done:
                    last = events
                    break
                if events:
                    stream.alive()
                    for event in events:
                        yield event
                if decoder.grace is not None:
                    stream.end_within(decoder.grace)
        except ProviderError as error:
            failure = error
        except EventTooLongError as error:
            failure = Failures(call).no_events(str(error), error.head)
    # Hung up by now: neither the server nor the key's next request waits for the reader.
    reason = None
    for event in (*last, *decoder.close()):
        reason = event.reason if isinstance(event, Finished) else None
        yield event
    said = decoder.error
    if failure is not None and reason == "error" and (said is None or said.kind in _CUT_OFF):
        raise failure
    if said is not None:
        raise _without(call.key, said)


def _without(key: str, error: ProviderError) -> ProviderError:
    """Take a key out of an error: some services repeat the one that they refuse."""
    if key:
        error.args = tuple(word.replace(key, "[key]") if isinstance(word, str) else word for word in error.args)
        if isinstance(error, StatusError):
            error.detail = error.detail.replace(key, "[key]")
    return error
