"""Who may say yes, to what, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from chatglm_magic import ConfigError
from chatglm_magic._events import ToolCall
from chatglm_magic._tools.approval import (
    DENIED,
    NOBODY_ASKED,
    Decision,
    allow_all,
    allow_always,
    decide,
    forget_always,
    read_arguments,
    refuse_all,
    shown_arguments,
    standing_approval,
)
from chatglm_magic._tools.call import CheckedCall, read_call
from chatglm_magic._tools.tool import Tool, tool


@pytest.fixture(autouse=True)
def _nothing_is_allowed():
    forget_always()
    yield
    forget_always()


def stock(ticker: str, days: int = 1) -> int:
    """Return the price."""
    return len(ticker) * days


def asked(function=stock, arguments: str = '{"ticker": "A"}') -> CheckedCall:
    made = Tool.of(function)
    found = read_call(ToolCall("a", made.name, arguments), {made.name: made}, "a")
    assert isinstance(found, CheckedCall)
    return found


def decided(approve, call: CheckedCall | None = None) -> tuple[CheckedCall, Decision]:
    return asyncio.run(decide(call or asked(), approve))


@pytest.mark.parametrize(
    ("answer", "is_allowed", "reason"),
    [
        (True, True, ""),
        (False, False, DENIED),
        ("too expensive", False, "not run: too expensive"),
        ("", False, DENIED),
        ({"days": 2}, True, ""),
        (Decision(is_allowed=False, reason="no"), False, "no"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_an_answer_is_yes_no_a_reason_or_arguments(answer, is_allowed, reason, is_async):
    """Plain functions and coroutines may answer; only True, changed arguments and a decision allow."""

    async def later(call):
        return answer

    call, decision = decided(later if is_async else lambda call: answer)

    assert (decision.is_allowed, decision.reason) == (is_allowed, reason)
    assert call.arguments["ticker"] == "A"


@pytest.mark.parametrize("answer", [None, 1, 0, [], object()])
def test_what_is_no_answer_is_no_yes(answer):
    """A function that returns something else, or forgets to return, has not allowed anything."""
    with pytest.raises(ConfigError, match="approve returned a"):
        decided(lambda call: answer)


def test_changed_arguments_are_what_runs():
    """A dictionary changes the arguments that it names; one that does not fit is refused."""
    call, _ = decided(lambda call: {"days": 3})

    assert call.values == {"ticker": "A", "days": 3}
    with pytest.raises(ConfigError, match="stock cannot be called so"):
        decided(lambda call: {"days": "many"})


def test_nobody_to_ask_is_no():
    """Without anybody to ask, nothing is allowed."""
    assert decided(None)[1] == Decision(is_allowed=False, reason=NOBODY_ASKED)
    assert not refuse_all(asked()).is_allowed


def test_the_authors_yes_needs_nobody():
    """A function that its author marked runs without a question."""

    @tool(needs_approval=False)
    def harmless(ticker: str) -> str:
        return ticker

    assert decided(None, asked(harmless))[1] == Decision(is_allowed=True, by="author")


def test_always_is_for_the_function_as_it_is():
    """It holds for other arguments, and not for another function nor for other code under the same name."""

    def local(ticker: str) -> str:
        return ticker

    def other(ticker: str) -> str:
        return ticker + "!"

    first = Tool.of(local)
    allow_always(first)

    assert standing_approval(first) == "always"
    assert decided(None, asked(local, '{"ticker": "B"}'))[1].by == "always"
    assert standing_approval(Tool.of(stock)) is None
    local.__code__ = other.__code__
    assert standing_approval(Tool.of(local)) is None
    assert standing_approval(first) is None


def test_a_yes_is_void_once_the_function_is_another_one():
    """A function that is redefined while somebody thinks about it is not run."""

    def local(ticker: str) -> str:
        return ticker

    def other(ticker: str) -> str:
        return ticker + "!"

    def approve(call):
        local.__code__ = other.__code__
        return True

    decision = decided(approve, asked(local))[1]

    assert not decision.is_allowed
    assert decision.reason == "not run: local was redefined after it was named"


def test_what_cannot_be_seen_is_shown():
    """Marks that turn a text around, or show nothing, are written out; every language stays as it is."""
    call = asked(arguments='{"ticker": "A\u202eB\u200b 股票 é"}')

    shown = shown_arguments(call, None)

    assert shown == '{"ticker": "A\\u202eB\\u200b 股票 é", "days": 1}'.replace(', "days": 1', "")
    assert read_arguments(call, shown) == call.arguments


def test_all_is_one_decision():
    """`--approve all` allows what it is asked about, and leaves nothing behind."""
    assert decided(allow_all)[1] == Decision(is_allowed=True, by="all")
    assert standing_approval(Tool.of(stock)) is None
