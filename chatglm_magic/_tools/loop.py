"""The stage that answers a model's calls: it asks, checks, has somebody decide, runs, and asks again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from .._errors import ChatGLMError, ConfigError, ToolCallError
from .._events import (
    Event,
    Finished,
    Reason,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolStarted,
    Usage,
)
from .._language import tr, trn
from .._messages import Message, Request, Stage, ToolSpec
from .._reply import RUNNING
from .approval import STOPPED, Approve, allow_all, decide, standing_approval
from .call import CheckedCall, Fault, calls_in_text, is_only_calls, read_call, unique_ids
from .run import run_call, tool_message
from .tool import Tool, tools_of

CHAIN_LIMIT = 8
"""How often in a row a model may ask for functions before it has to answer."""

_MOST_FAULTS = 2
"""How often in a row a model is told that its call is none."""
_WHOLE = frozenset({"stop", "tool_calls"})
"""Why a reply ends whose calls are whole."""
_GAP = "\n\n"
"""Between the texts of two rounds."""
_SEND_AGAIN = "not run: another call of the same reply was wrong; send all of them again"


class ToolUse(msgspec.Struct, frozen=True, eq=False):
    """The functions that a question brings along, and who is asked about their calls.

    Attributes:
        tools: The functions.
        approve: Is asked about each call that nobody has allowed for good; None for nobody.
        runs: Whether anything is run; where not, all calls are handed back.
        chain_limit: How often the model may ask.
    """

    tools: tuple[Tool, ...]
    approve: Approve | None = None
    chain_limit: int = CHAIN_LIMIT
    runs: bool = True

    @classmethod
    def of(
        cls,
        tools: Sequence[Callable[..., Any] | Tool],
        approve: Approve | Literal["all", "none"] | None = None,
        chain_limit: Any = None,  # noqa: ANN401 - what a program gives may be anything
    ) -> ToolUse:
        """Return the use of functions as it is asked for.

        Args:
            tools: The functions.
            approve: As in `ToolUse`; `all` to allow every call of this question, `none` to run none.
            chain_limit: How often the model may ask; None for the usual number.

        Raises:
            ConfigError: A function cannot be a tool, `approve` cannot be called, or the limit is below 1.
        """
        limit = CHAIN_LIMIT if chain_limit is None else chain_limit
        if not isinstance(limit, int) or limit < 1:
            raise ConfigError(tr("chain_limit takes a whole number of at least 1, not {given!r}.", given=limit))
        runs = approve != "none"
        if isinstance(approve, str):
            approve = {"all": allow_all, "none": None}.get(approve, approve)
        if approve is not None and not callable(approve):
            raise ConfigError(tr("approve takes a function that is asked about a call, not {given!r}.", given=approve))
        return cls(tools_of(tools), approve, limit, runs)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The functions as a request names them."""
        return tuple(tool.spec for tool in self.tools)

    def around(self, stage: Stage, on_exchange: Callable[[tuple[Message, ...]], None]) -> Stage:
        """Return a stage over another one that answers the model's calls.

        It may be asked more than once in a turn, as for the repair of an answer that is to be a value: the exchange
        grows then.
        """
        exchange: tuple[Message, ...] = ()

        def keep(messages: tuple[Message, ...]) -> None:
            nonlocal exchange
            exchange = messages
            on_exchange(messages)

        return lambda request: ToolLoop(stage, self, on_exchange=keep, before=exchange).stream(request)


class ToolLoop:
    """A stage over another one: the questions of one turn until the model answers without asking for a function.

    Nothing runs unless it is allowed: by `approve`, by the function's author, or by an "always" of this process. What
    has happened is told in `on_exchange` at each step, well-formed at any moment: each call in it has a result, if only
    that it was not run.

    Args:
        stage: What is asked, once for each round of calls and once more.
        use: The functions. Where nobody is named to be asked about a call, those that nobody has allowed for good are
            handed back to the caller: the reply ends with them, for the reason `tool_calls`.
        on_exchange: Gets the messages between the question and the answer, all of them each time.
        before: Those that are there already.
    """

    def __init__(
        self,
        stage: Stage,
        use: ToolUse,
        *,
        on_exchange: Callable[[tuple[Message, ...]], None],
        before: tuple[Message, ...] = (),
    ) -> None:
        self._stage = stage
        self._tools = {one.name: one for one in use.tools}
        self._specs = use.specs
        self._approve = use.approve
        self._runs = use.runs
        self._limit = use.chain_limit
        self._on_exchange = on_exchange
        self._exchange = before
        self._text = self._thinking = ""  # of the rounds before, as the tokens are
        self._usage: Usage | None = None
        self._warnings: dict[str, None] = {}
        self._faults = self._rounds = 0
        self._used_ids: set[str] = set()

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield the events of all rounds as those of one reply.

        Raises:
            ToolCallError: The model asked in a way that cannot be answered, or without an end.
            ChatGLMError: The reply failed.
        """
        request = replace(request, tools=self._specs)
        messages = (*request.messages, *self._exchange)
        self._used_ids = {call.id for message in messages for call in message.calls}
        while True:
            heard = _Round(self._text, self._thinking)
            failure: ChatGLMError | None = None
            try:
                async with aclosing(self._stage(request)) as events:
                    async for event in events:
                        if (shown := self._shown(heard, event)) is not None:
                            yield shown
            except ChatGLMError as error:
                failure = error
            step = _Step(heard.text, [] if failure is not None else self._read(heard))
            failure = failure or self._problem(heard, step)
            if failure is not None or not self._goes_on(heard, step):
                for event in self._ending(heard, step, failure):
                    yield event
                if failure is not None:
                    raise failure
                return
            if heard.is_text_of_calls:
                yield heard.without_text()
            async with aclosing(self._decided(step)) as events:
                async for event in events:
                    yield event
            self._text, self._thinking = heard.all_text, heard.all_thinking
            self._usage = heard.usage or self._usage
            self._exchange += step.kept()
            self._rounds += bool(step.calls)
            request = replace(request, messages=(*request.messages, *step.sent()))

    def _shown(self, heard: _Round, event: Event) -> Event | None:
        """Take an event of a round, and return what is shown of it at once; None for what waits for its end."""
        match event:
            case ToolCallDelta():
                heard.add_call(event)
                return None
            case Finished():
                heard.finished = event
                return None
            case Usage():
                heard.usage = event if self._usage is None else self._usage + event
                return heard.usage
            case _:
                return heard.shown(event)

    def _read(self, heard: _Round) -> list[CheckedCall | Fault]:
        """Return the calls of a round, checked; none of one that was cut."""
        if heard.reason not in _WHOLE:
            return []
        asked = heard.asked(self._tools)
        ids = unique_ids(asked, self._used_ids)
        return [read_call(call, self._tools, one) for call, one in zip(asked, ids, strict=True)]

    def _problem(self, heard: _Round, step: _Step) -> ToolCallError | None:
        """Count what is wrong with a round, and return why the reply cannot go on."""
        fault = next((one.problem for one in step.calls if isinstance(one, Fault)), "")
        if heard.has_lost_its_call(step):
            fault = tr("The end of the reply said that a call follows, and none came.")
        self._faults = self._faults + 1 if fault else 0
        if self._faults > _MOST_FAULTS:
            msg = tr(
                "The model's calls cannot be read, three times in a row. The last one: {problem} Ask again, ask "
                "another model, or give the function simpler parameters.",
                problem=fault,
            )
            return ToolCallError(msg)
        if step.calls and self._rounds >= self._limit:
            msg = trn(
                "The model asked for functions once more, after {count} time, and gave no answer. Allow more with "
                "chain_limit (--chain-limit), or ask for less at once.",
                "The model asked for functions once more, after {count} times, and gave no answer. Allow more with "
                "chain_limit (--chain-limit), or ask for less at once.",
                self._rounds,
            )
            return ToolCallError(msg)
        return None

    def _goes_on(self, heard: _Round, step: _Step) -> bool:
        """Return whether the stage is asked again after this round."""
        return heard.has_lost_its_call(step) or (bool(step.calls) and not self._is_handed_back(step))

    def _is_handed_back(self, step: _Step) -> bool:
        """Return whether the caller has to see to these calls, since nobody here can be asked about them."""
        if not self._runs:
            return True
        if self._approve is not None or step.has_faults:
            return False
        return any(standing_approval(one.tool) is None for one in step.calls if isinstance(one, CheckedCall))

    def _ending(self, heard: _Round, step: _Step, failure: ChatGLMError | None) -> list[Event]:
        """Return the last events: calls that are handed back or were cut, which nobody runs, and the one `Finished`."""
        if failure is not None and heard.finished is None and not self._rounds:
            return []  # nothing was yielded
        calls = [one.call for one in step.calls] if failure is None else []
        calls = calls or (heard.asked(self._tools) if heard.reason not in _WHOLE else [])
        deltas = (ToolCallDelta(number, one.id, one.name, one.arguments) for number, one in enumerate(calls))
        finished = heard.finished or Finished("error")
        self._warnings |= dict.fromkeys(finished.warnings)
        reason: Reason = "tool_calls" if step.calls else finished.reason
        if isinstance(failure, ToolCallError):
            reason = "error"
        parts = () if self._rounds else finished.parts
        return [*deltas, replace(finished, reason=reason, warnings=tuple(self._warnings), parts=parts)]

    async def _decided(self, step: _Step) -> AsyncGenerator[Event]:
        """Have each call of a round decided on, run those that are allowed, and keep what comes of them."""
        self._keep(step)
        for number, call in enumerate(step.calls):
            if isinstance(call, Fault):
                step.results[number] = Message("tool", f"Error: {call.problem}", call_id=call.call.id)
                continue
            if self._approve is None and step.has_faults and standing_approval(call.tool) is None:
                outcome = ToolResult(call.call, error=_SEND_AGAIN)
            else:
                decided, decision = await decide(call, self._approve)
                step.calls[number] = decided
                outcome = ToolResult(decided.call, error=decision.reason)
                if decision.is_allowed:
                    self._keep(step, number, replace(outcome, error=RUNNING))
                    yield ToolStarted(decided.call)
                    outcome = await run_call(decided, decision.by)
            self._keep(step, number, outcome)
            yield outcome

    def _keep(self, step: _Step, number: int = 0, outcome: ToolResult | None = None) -> None:
        """Keep what came of a call, and tell what has happened so far."""
        if outcome is not None:
            step.results[number] = tool_message(outcome)
        self._on_exchange((*self._exchange, *step.kept()))


class _Round:
    """What one answer of the stage has brought.

    Args:
        text: The text of the rounds before.
        thinking: Their thinking.
    """

    def __init__(self, text: str, thinking: str) -> None:
        self._before = {TextDelta: text, ThinkingDelta: thinking}
        self._pieces: dict[type[TextDelta | ThinkingDelta], list[str]] = {TextDelta: [], ThinkingDelta: []}
        self.finished: Finished | None = None
        self.usage: Usage | None = None
        self._calls: dict[int, list[ToolCallDelta]] = {}

    @property
    def reason(self) -> str:
        """Why it ended; empty before that."""
        return self.finished.reason if self.finished is not None else ""

    @property
    def text(self) -> str:
        """Its text."""
        return "".join(self._pieces[TextDelta])

    @property
    def all_text(self) -> str:
        """The text up to here."""
        return _joined(self._before[TextDelta], self.text)

    @property
    def all_thinking(self) -> str:
        """The thinking up to here."""
        return _joined(self._before[ThinkingDelta], "".join(self._pieces[ThinkingDelta]))

    @property
    def is_text_of_calls(self) -> bool:
        """Whether the text is nothing but calls, which the server did not take out of it."""
        return not self._calls and is_only_calls(self.text)

    def has_lost_its_call(self, step: _Step) -> bool:
        """Return whether it ended for a call that did not come: some servers lose those without arguments."""
        return self.reason == "tool_calls" and not step.calls

    def without_text(self) -> Replace:
        """Return the correction that takes back a text of calls."""
        self._pieces[TextDelta] = []
        return Replace(self.all_text, self.all_thinking)

    def shown(self, event: Event) -> Event:
        """Return an event as one of the whole reply: the texts of two rounds are paragraphs."""
        match event:
            case TextDelta(text) | ThinkingDelta(text):
                kind = type(event)
                is_paragraph = bool(self._before[kind] and text and not self._pieces[kind])
                self._pieces[kind].append(text)
                return kind(f"{_GAP}{text}") if is_paragraph else event
            case Replace(text, thinking):
                self._pieces = {TextDelta: [text] if text else [], ThinkingDelta: [thinking] if thinking else []}
                return Replace(self.all_text, self.all_thinking)
            case _:
                return event

    def add_call(self, delta: ToolCallDelta) -> None:
        """Take a piece of a call."""
        self._calls.setdefault(delta.index, []).append(delta)

    def asked(self, tools: dict[str, Tool]) -> list[ToolCall]:
        """Return the calls that it asks for: those that came as calls, else those that its text ends with."""
        found = []
        for _, deltas in sorted(self._calls.items()):
            call_id = next((one.id for one in deltas if one.id), "")
            name = next((one.name for one in deltas if one.name), "")
            found.append(ToolCall(call_id, name, "".join(one.arguments for one in deltas)))
        if found or self.reason not in _WHOLE:
            return found
        if self.is_text_of_calls:
            return calls_in_text(self.text, tools)
        return [] if self.text.strip() else calls_in_text("".join(self._pieces[ThinkingDelta]), tools)


class _Step(msgspec.Struct):
    """The calls of one round, and what came of each.

    Attributes:
        text: What the model said with them.
        calls: The calls, in order.
        results: A message for each.
    """

    text: str
    calls: list[CheckedCall | Fault]
    results: list[Message] = []

    def __post_init__(self) -> None:
        self.results = [tool_message(ToolResult(one.call, error=STOPPED)) for one in self.calls]

    @property
    def has_faults(self) -> bool:
        """Whether a call cannot be made."""
        return any(isinstance(one, Fault) for one in self.calls)

    def sent(self) -> tuple[Message, ...]:
        """Return the messages that tell the model of this round; none of one without calls."""
        if not self.calls:
            return ()
        return Message("assistant", self.text, calls=tuple(one.call for one in self.calls)), *self.results

    def kept(self) -> tuple[Message, ...]:
        """Return the messages that stay in the conversation: without calls that are none, and without the text.

        The text is a part of the turn's answer.
        """
        pairs = [pair for pair in zip(self.calls, self.results, strict=True) if isinstance(pair[0], CheckedCall)]
        if not pairs:
            return ()
        return Message("assistant", calls=tuple(one.call for one, _ in pairs)), *(result for _, result in pairs)


def _joined(before: str, text: str) -> str:
    return f"{before}{_GAP}{text}" if before and text else before or text
