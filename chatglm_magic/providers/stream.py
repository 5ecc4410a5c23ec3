"""The one loop that reads a reply over HTTP: chunks of bytes to a decoder, its events to the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from msgspec.structs import replace

from .._errors import ProviderError
from .._events import Event, Finished
from .._transport import Call, is_single_attempt, open_stream, with_retries
from .._transport.failures import Failures, hide_key
from .._transport.sse import EventTooLongError

SURE = 5.0
"""Seconds: a decoder that grants a longer grace doubts the end; silence, or a failure, then leaves a warning."""
_CUT_OFF = frozenset({"truncated", "empty"})
"""Error kinds that a decoder deduces from a stream that just ended; the transport knows better why it did."""


class Decoder(Protocol):
    """Turns the bytes of one reply into events; no I/O.

    Attributes:
        error: The error to raise after `Finished`, as the wire reported it; None if the reply ended well.
        done: Whether nothing more is worth reading (`[DONE]`).
        grace: Seconds of silence after which the reply counts as ended, once the wire has marked its end but may
            still send more (usage, a repeated last frame); None before that, and once more words have come.
    """

    @property
    def error(self) -> ProviderError | None: ...  # noqa: D102 - see above
    @property
    def done(self) -> bool: ...  # noqa: D102 - see above
    @property
    def grace(self) -> float | None: ...  # noqa: D102 - see above

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the deltas of one network read.

        Consecutive text deltas are merged into one, and none is empty: an empty list means that nothing happened
        that a reader would notice, and does not keep a stalled stream alive.
        """
        ...

    def close(self) -> list[Event]:
        """End the reply, wherever it stands, and return the remaining deltas, with `Finished` last.

        Called once: at `done`, at the end of the stream, or when the connection failed.
        """
        ...


def run(call: Call, make_decoder: Callable[[], Decoder]) -> AsyncGenerator[Event]:
    """Send a call and yield its reply's events: deltas, then exactly one `Finished`.

    A reply that ended badly ends with its `Finished` too, and then raises. Failures of the connection
    after the wire has marked the reply's end are ignored: nothing is missing.

    Args:
        call: What to send.
        make_decoder: Makes the decoder of one attempt.

    Raises:
        ProviderError: What the wire or the transport reported; before the first event also what
            `call.explain` made of a refusal, then without any `Finished`.
        ConfigError: URL, key or proxy cannot be used.
    """
    if is_single_attempt():
        return _attempt(call, make_decoder())
    return with_retries(lambda: _attempt(call, make_decoder()), notify=call.notify)


async def _attempt(call: Call, decoder: Decoder) -> AsyncGenerator[Event]:
    failure: ProviderError | None = None
    last: list[Event] = []
    async with open_stream(call) as stream:
        feed = decoder.feed
        try:
            async for chunk in stream:
                events = feed(chunk)
                if decoder.done:
                    stream.whole()
                    last = events
                    break
                if events:
                    stream.alive()
                    for event in events:
                        yield event
                stream.end_within(decoder.grace)
        except ProviderError as error:
            failure = error
        except EventTooLongError as error:
            failure = Failures(call).no_events(str(error), error.head)
    # The connection is closed by now: neither the server nor the key's next request waits for the reader.
    reason = None
    doubtful = (stream.silent or failure is not None) and (decoder.grace or 0) > SURE
    for event in (*last, *decoder.close()):
        if doubtful and isinstance(event, Finished):
            event = replace(event, warnings=(*event.warnings, "silent-end"))  # noqa: PLW2901 - the same, marked
        reason = event.reason if isinstance(event, Finished) else None
        yield event
    reported = decoder.error
    if failure is not None and reason == "error" and (reported is None or reported.kind in _CUT_OFF):
        reported = failure
    if reported is not None:
        raise hide_key(reported, call.key)
