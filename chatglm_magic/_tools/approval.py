"""Who may say yes to a call: a person, the function's author, or a program; and what was said for good.

A yes is for one function with one set of arguments, once. "Always" is for a function as its code is now, and is kept
here until the process ends: it is neither stored nor configured, so that no notebook can bring it along.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal
from unicodedata import category

import msgspec

from .._errors import ConfigError
from .._language import marked, tr
from .call import CheckedCall
from .tool import Tool

ApprovedBy = Literal["person", "always", "author", "all", "program"]

DENIED = marked("not run: the person who was asked said no")
NOBODY_ASKED = marked("not run: nobody can be asked here")
STOPPED = marked("not run: stopped")
"""What the model is told of calls that have no result, in English; people are told it in their language."""


class Decision(msgspec.Struct, frozen=True):
    """What was decided about a call.

    Attributes:
        is_allowed: Whether it may run, once.
        by: Who allowed it.
        reason: Why it may not, for the model to read.
        arguments: What it runs with instead; None for what the model asked for.
    """

    is_allowed: bool
    by: ApprovedBy = "program"
    reason: str = ""
    arguments: Mapping[str, Any] | None = None


Answer = bool | str | Mapping[str, Any] | Decision
Approve = Callable[[CheckedCall], Answer | Awaitable[Answer]]
"""Is asked about a call: returns True, False, the reason why not, or the arguments that are to be changed."""


_UNSEEN = frozenset({"Cf", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of characters that a person does not see; line ends are in none of them."""


class _Always:
    """The functions that run without being asked about, as they were when that was said."""

    allowed: ClassVar[dict[str, object]] = {}
    """By fingerprint; the functions are kept so that no other one gets their identity."""


def allow_always(tool: Tool) -> None:
    """Allow a function to run, as its code is now, with any arguments, until the process ends."""
    if not tool.is_changed:
        _Always.allowed[tool.fingerprint] = tool.function


def forget_always() -> None:
    """Ask about every function again."""
    _Always.allowed.clear()


def standing_approval(tool: Tool) -> ApprovedBy | None:
    """Return who has allowed a function for good; None where somebody has to be asked."""
    if tool.is_changed:
        return None
    if not tool.needs_approval:
        return "author"
    return "always" if tool.fingerprint in _Always.allowed else None


async def decide(call: CheckedCall, approve: Approve | None) -> tuple[CheckedCall, Decision]:
    """Return a call as it may run, and whether it may.

    Args:
        call: The call.
        approve: Is asked where nobody has allowed the function for good.

    Raises:
        ConfigError: `approve` returned what is no answer, or arguments that do not fit.
        Exception: Whatever `approve` raises.
    """
    changed = Decision(is_allowed=False, reason=f"not run: {call.name} was redefined after it was named")
    if call.tool.is_changed:
        return call, changed
    if by := standing_approval(call.tool):
        return call, Decision(is_allowed=True, by=by)
    if approve is None:
        return call, Decision(is_allowed=False, reason=NOBODY_ASKED)
    answer: object = approve(call)
    if inspect.isawaitable(answer):
        answer = await answer
    match answer:
        case Decision():
            decision = answer
        case bool():
            decision = Decision(is_allowed=answer, reason="" if answer else DENIED)
        case str():
            decision = Decision(is_allowed=False, reason=f"not run: {answer}" if answer else DENIED)
        case Mapping():
            decision = Decision(is_allowed=True, arguments={**call.arguments, **answer})
        case _:
            kind = type(answer).__name__
            raise ConfigError(
                tr(
                    "approve returned a {kind} for {name}. Return True, False, the reason why not, or a dictionary "
                    "of changed arguments.",
                    kind=kind,
                    name=call.name,
                )
            )
    if decision.is_allowed and decision.arguments is not None:
        call = call.with_arguments(decision.arguments)
    if decision.is_allowed and call.tool.is_changed:
        decision = changed
    return call, decision


def person_decides(call: CheckedCall, pressed: str, arguments: str = "") -> Decision:
    """Return what a person has decided with a button.

    Args:
        call: The call.
        pressed: `run`, `deny` or `always`, which allows the function for good.
        arguments: As JSON text, where the person has edited them; else empty.

    Raises:
        ConfigError: The edited arguments do not fit.
    """
    if pressed not in {"run", "always"}:
        return Decision(is_allowed=False, by="person", reason=DENIED)
    edited = read_arguments(call, arguments) if arguments else None
    if pressed == "always":
        allow_always(call.tool)
    return Decision(is_allowed=True, by="person", arguments=edited)


def shown_arguments(call: CheckedCall, indent: int | None = 2) -> str:
    """Return a call's arguments as JSON text for a person: what cannot be seen, or turns a text around, is escaped."""
    text = json.dumps(dict(call.arguments), ensure_ascii=False, indent=indent)
    return "".join(json.dumps(one)[1:-1] if category(one) in _UNSEEN else one for one in text)


def read_arguments(call: CheckedCall, text: str) -> Mapping[str, Any]:
    """Return arguments that a person has typed as JSON.

    Raises:
        ConfigError: They do not fit the function.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(tr("That is no JSON: {error}.", error=error)) from None
    if not isinstance(value, dict):
        raise ConfigError(tr("Arguments are a JSON object, as in {example}.", example='{"name": "value"}'))
    call.with_arguments(value)
    return value


def allow_all(_call: CheckedCall) -> Decision:
    """Allow any call: `--approve all`, for one question."""
    return Decision(is_allowed=True, by="all")


def refuse_all(_call: CheckedCall) -> Decision:
    """Refuse any call, where nobody can be asked."""
    return Decision(is_allowed=False, reason=NOBODY_ASKED)
