"""Another try, where the failure came before the first event and waiting may help."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import aclosing

import pytest
from asking import run

from chatglm_magic._errors import ConfigError, ConnectError, ProviderError, RateLimitError, ServerError, StatusError
from chatglm_magic._events import Finished, TextDelta, Usage
from chatglm_magic._transport import retries
from chatglm_magic._transport.retries import with_retries

HELLO = [TextDelta("Hello"), TextDelta(" world"), Finished("stop")]


class Attempts:
    """Attempts by script: each a list of events and, at last, perhaps an error."""

    def __init__(self, *scripts) -> None:
        self.scripts = scripts
        self.made = self.closed = 0

    async def __call__(self):
        script = self.scripts[min(self.made, len(self.scripts) - 1)]
        self.made += 1
        try:
            for item in script:
                await asyncio.sleep(0)
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed += 1


def busy(retry_after=None) -> RateLimitError:
    return RateLimitError("busy", retryable=True, retry_after=retry_after)


def collect(attempts: Attempts, told: list[str] | None = None):
    """Return the events and the error of a run."""

    async def main():
        events = []
        notify = None if told is None else told.append
        try:
            async with aclosing(with_retries(attempts, notify=notify)) as stream:
                async for event in stream:
                    events.append(event)  # noqa: PERF401 - what came before an error counts
        except (ProviderError, ConfigError) as error:
            return events, error
        return events, None

    return run(main())


@pytest.fixture
def no_waiting(monkeypatch):
    """Skip the waits, not the attempts."""
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0)


def test_what_succeeds_is_passed_on():
    """One attempt that works is made once, its events unchanged, and it is closed."""
    attempts = Attempts(HELLO)

    assert collect(attempts) == (HELLO, None)
    assert (attempts.made, attempts.closed) == (1, 1)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("failures", [1, 2])
def test_what_may_help_is_tried_again(failures):
    """A retryable error before the first event costs a notice and a wait, then the reply comes."""
    attempts = Attempts(*[[busy()]] * failures, HELLO)
    told: list[str] = []

    assert collect(attempts, told) == (HELLO, None)
    assert attempts.made == attempts.closed == failures + 1
    assert len(told) == failures
    assert all(re.fullmatch(r"rate limited; trying again in \d\.\d s", text) for text in told)


@pytest.mark.usefixtures("no_waiting")
def test_three_attempts_are_enough():
    """After three attempts the last error is raised."""
    errors = [busy(), ServerError("down", retryable=True), ConnectError("nobody", retryable=True), busy()]
    attempts = Attempts(*([error] for error in errors))
    told: list[str] = []

    assert collect(attempts, told) == ([], errors[2])
    assert attempts.made == attempts.closed == 3
    assert [text.partition(";")[0] for text in told] == ["rate limited", "the service failed"]


@pytest.mark.parametrize(
    "error", [StatusError("no", kind="quota"), ServerError("down"), ConfigError("url"), ConnectError("refused")]
)
def test_what_does_not_help_is_raised_at_once(error):
    """An error that is not retryable is raised after one attempt, without a notice."""
    attempts = Attempts([error], HELLO)
    told: list[str] = []

    assert collect(attempts, told) == ([], error)
    assert attempts.made == attempts.closed == 1
    assert told == []


def test_nothing_is_tried_again_after_an_event():
    """After the first event a failure is raised: the reader would see the words twice."""
    error = busy()
    attempts = Attempts([TextDelta("Hello"), error], HELLO)

    assert collect(attempts) == ([TextDelta("Hello")], error)
    assert attempts.made == attempts.closed == 1


@pytest.mark.parametrize("first", [Usage(), Finished("length"), Finished("stop")])
def test_any_event_but_a_failed_end_is_one(first):
    """Only `Finished("error")` is held back."""
    error = busy()

    assert collect(Attempts([first, error], HELLO)) == ([first], error)


@pytest.mark.usefixtures("no_waiting")
def test_a_failed_end_as_first_event_is_held_back():
    """A reply whose only event is its failure is tried again, and that event never seen."""
    attempts = Attempts([Finished("error", raw="1305"), busy()], HELLO)

    assert collect(attempts) == (HELLO, None)
    assert attempts.closed == 2


@pytest.mark.usefixtures("no_waiting")
def test_a_final_failed_end_is_shown():
    """Where no attempt helps, the last one's `Finished` comes, then its error."""
    error = busy()
    attempts = Attempts([busy()], [Finished("error", raw="first"), busy()], [Finished("error", raw="last"), error])

    events, raised = collect(attempts)

    assert [event.raw for event in events] == ["last"]
    assert raised is error


@pytest.mark.usefixtures("no_waiting")
def test_a_refusal_after_a_failed_end_has_none():
    """A `Finished` that was held back belongs to its own attempt only."""
    error = ServerError("down")

    assert collect(Attempts([Finished("error"), busy()], [error])) == ([], error)


def test_a_failed_end_without_an_error_is_passed_on():
    """A generator that ends with `Finished("error")` and raises nothing is passed on as it is."""
    attempts = Attempts([Finished("error")])

    assert collect(attempts) == ([Finished("error")], None)
    assert attempts.made == 1


def test_no_event_at_all_is_passed_on():
    """A generator that yields nothing yields nothing."""
    assert collect(Attempts([])) == ([], None)


def test_retry_after_is_honoured():
    """The wait that a service names is the wait that is told and taken."""
    attempts = Attempts([busy(retry_after=0.2)], HELLO)
    told: list[str] = []
    started = time.monotonic()

    assert collect(attempts, told) == (HELLO, None)
    assert told == ["rate limited; trying again in 0.2 s"]
    assert time.monotonic() - started >= 0.2


def test_a_longer_wait_than_the_budget_is_the_users():
    """A service that wants more patience than the budget gets none: its error is raised at once."""
    error = busy(retry_after=11.0)
    attempts = Attempts([error], HELLO)

    assert collect(attempts) == ([], error)
    assert attempts.made == 1


def test_waits_grow_and_differ():
    """Waits double from half a second on, with jitter of as much again, and never exceed the budget."""
    first = [retries._wait_after(busy(), 1) for _ in range(200)]
    second = [retries._wait_after(busy(), 2) for _ in range(200)]

    assert all(0.5 <= wait <= 1 for wait in first)
    assert all(1 <= wait <= 2 for wait in second)
    assert len(set(first)) > 100
    assert max(map(sum, zip(first, second, strict=True))) < retries.BUDGET


@pytest.mark.parametrize("when", ["attempt", "wait"])
def test_cancelling_is_no_failure(when):
    """A cancellation during an attempt or a wait is never swallowed, and closes the attempt."""
    attempts = Attempts([busy(retry_after=5)] if when == "wait" else [asyncio.CancelledError()])

    async def main():
        task = asyncio.ensure_future(anext(with_retries(attempts, notify=None)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())

    assert attempts.made == attempts.closed == 1


@pytest.mark.parametrize("read", [0, 1, 2])
def test_closing_closes_the_attempt(read):
    """Closing the generator closes the attempt it reads, wherever it is."""
    attempts = Attempts(HELLO)

    async def main():
        events = with_retries(attempts, notify=None)
        for _ in range(read):
            await anext(events)
        await events.aclose()

    run(main())

    assert attempts.made == attempts.closed == min(read, 1)


def test_waits_print_nothing(capfd, caplog):
    """Nothing but the notice tells of another attempt: no warning appears in the user's cell."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        collect(Attempts([busy(retry_after=0)], HELLO))
    finally:
        root.handlers = handlers

    assert capfd.readouterr() == ("", "")
