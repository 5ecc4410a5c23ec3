"""The stage that makes an answer a value: it holds a server to a schema, reads the answer, and has it corrected."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from ._errors import BadRequestError, ChatGLMError, ReplyFormatError, StatusError
from ._events import (
    Event,
    Finished,
    PartialValue,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolStarted,
    Usage,
)
from ._language import join_sentences, tr, trn
from ._messages import REPAIRS, FormatMode, Message, Request, ResponseFormat, Stage

if TYPE_CHECKING:
    from ._schema.schema import Misfit, Schema

_PERIOD = 0.05
"""Least seconds between two `PartialValue` events."""
_FROM_THINKING = "value-from-thinking"
_ENFORCED = frozenset({"grammar", "json_schema"})
"""Modes in which the server itself keeps to the schema: those of this computer and of users' own servers."""
_ABOUT_FORMAT = re.compile(r"response.?format|json|grammar|guided|schema|structured", re.IGNORECASE)
"""What a server's refusal of a form speaks of, in the words of llama.cpp, vLLM, SGLang and LiteLLM."""
_ABOUT_THINKING = re.compile(r"chat.template|enable_thinking", re.IGNORECASE)
_PROMPT = (
    "Answer with JSON only: no other words before or after it, and no Markdown. "
    "The answer is an instance of this JSON Schema, not the schema itself:\n{schema}"
)
_REPAIR = (
    "That answer does not fit the JSON Schema:\n{problems}\n"
    "Answer again with the whole JSON, corrected, and with nothing else."
)


class Held:
    """How the models of one server are held to a schema, as far as this process has learned.

    Args:
        modes: The ways there are, the best first; the prompt is always the last.

    Attributes:
        mode: The way that is taken now.
        is_quiet: Whether the server is asked not to think where nobody says otherwise: thinking takes the place of
            the JSON on servers that keep to a schema.
    """

    def __init__(self, modes: Sequence[FormatMode] = ("prompt",)) -> None:
        self._modes: list[FormatMode] = list(dict.fromkeys((*modes, "prompt")))
        self.mode: FormatMode = self._modes[0]
        self.is_quiet = self.mode in _ENFORCED

    def learn(self, error: ChatGLMError, sent: Request, *, was_quiet: bool) -> bool:
        """Return whether to ask once more in another way, after a refusal of this one; it is remembered.

        Args:
            error: The refusal.
            sent: What was refused.
            was_quiet: Whether it asked not to think though nobody had said so.
        """
        if not isinstance(error, StatusError) or error.kind not in {"invalid_request", "server"}:
            return False
        said = f"{error.detail} {error}"
        if was_quiet and _ABOUT_THINKING.search(said):
            self.is_quiet = False
            return True
        mode = sent.format.mode if sent.format is not None else "prompt"
        if mode == "prompt" or not _ABOUT_FORMAT.search(said):
            return False
        if mode == self.mode:  # else another request of the same time has learned it
            self.mode = self._modes[self._modes.index(mode) + 1]
        return True


_held: dict[tuple[str, ...], Held] = {}


def held_by(provider: object, model: str) -> Held:
    """Return how a provider's model is held to a schema: the same object for the same server and model.

    Args:
        provider: Who answers; its `schema_modes` say how it can be held.
        model: The model that is asked; empty for the provider's own.
    """
    name = model or getattr(provider, "model", "")
    server = (getattr(provider, "base_url", ""), getattr(provider, "host", ""))
    key = (getattr(provider, "name", ""), *map(str, server), name)
    modes: tuple[FormatMode, ...] = getattr(provider, "schema_modes", ("prompt",))
    return _held.setdefault((*key, *modes), Held(modes))


def prepared(request: Request, schema: Schema, held: Held) -> Request:
    """Return a request as it is sent to have an answer of a schema.

    The schema stands in the system prompt where the server does not get it otherwise, and where it has descriptions,
    which a server that keeps to a schema does not show to its model.
    """
    mode = held.mode
    messages = request.messages
    if mode not in _ENFORCED or '"description":' in schema.key:
        words = _PROMPT.format(schema=schema.key)
        if messages[:1] and messages[0].role == "system":
            words, messages = f"{messages[0].text}\n\n{words}", messages[1:]
        messages = (Message("system", words), *messages)
    return replace(
        request,
        messages=messages,
        think=False if request.think is None and held.is_quiet else request.think,
        format=ResponseFormat(mode, schema.name, schema.json_schema),
    )


class Structured:
    """A stage over another one, whose answer is a value in the end.

    The text that it yields is the answer as the model wrote it. Where that does not fit, its errors go back to the
    model, outside of the conversation; the first word of the next answer replaces the one before. `PartialValue`
    events tell, at most 20 times a second, what of the answer is complete.

    Args:
        stage: What is asked, once and once more for each repair.
        schema: What the answer has to be.
        held: How the server is held to it.
        repairs: How often an answer that does not fit goes back.
        exchange: Returns the messages between question and answer so far: calls of tools and their results.
        on_change: Called when one of the attributes has changed.
        clock: Seconds from any fixed point.

    Attributes:
        value: The validated value.
        has_value: Whether there is one: the answer is complete and fits.
        mode: How the server is held: that of the last request.
        repaired: How often an answer went back.
    """

    def __init__(
        self,
        stage: Stage,
        schema: Schema,
        held: Held,
        *,
        repairs: int = REPAIRS,
        exchange: Callable[[], Sequence[Message]] = lambda: (),
        on_change: Callable[[Structured], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.value: Any = None
        self.has_value = False
        self.mode: FormatMode = held.mode
        self.repaired = 0
        self._stage = stage
        self._schema = schema
        self._held = held
        self._repairs = repairs
        self._exchange = exchange
        self._on_change = on_change
        self._clock = clock
        self._first_mode = self.mode

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield the events of all answers as those of one reply; its text is the last answer.

        Raises:
            ReplyFormatError: The last answer does not fit either, or was cut off.
            ChatGLMError: The reply failed.
        """
        question, answer, misfit = request, _Answer(self._schema, self._clock), None
        self._first_mode = self._held.mode
        while True:
            async with aclosing(self._ask(request, answer)) as events:
                async for event in events:
                    yield event
            if answer.asks_again:
                continue
            if answer.failure is None:
                misfit = self._read(answer)
                if misfit is not None and self._goes_back(answer):
                    self._notify(request)
                    request = self._repair(question, answer, misfit)
                    answer = answer.next()
                    continue
            break
        for event in answer.ending():
            yield event
        failure = answer.failure
        if misfit is not None and (failure is None or failure.kind == "context_length"):
            raise self._error(misfit, answer) from failure
        if failure is not None:
            raise failure

    async def _ask(self, request: Request, answer: _Answer) -> AsyncGenerator[Event]:
        """Yield what comes for one request, and settle in the answer how it failed and whether to ask it again."""
        self.mode = self._held.mode
        self._on_change(self)
        sent = prepared(request, self._schema, self._held)
        answer.failure, answer.asks_again = None, False
        try:
            async with aclosing(self._stage(sent)) as events:
                async for event in events:
                    for shown in answer.take(event):
                        yield shown
        except ChatGLMError as error:
            answer.failure = error
        if answer.failure is None or not answer.is_silent:
            return
        was_quiet = request.think is None and sent.think is False
        answer.asks_again = self._held.learn(answer.failure, sent, was_quiet=was_quiet)
        if not answer.asks_again and self.mode != self._first_mode and isinstance(answer.failure, BadRequestError):
            self._held.mode = self._first_mode  # it was not the form that was refused

    def _read(self, answer: _Answer) -> Misfit | None:
        """Read the value of an answer; return what is wrong with it, if it does not fit."""
        if answer.hands_calls_back:
            return None
        try:
            self.value = answer.read()
        except ValueError as misfit:  # a Misfit, which only a question with a schema imports
            return cast("Misfit", misfit)
        self.has_value = True
        self._on_change(self)
        return None

    def _goes_back(self, answer: _Answer) -> bool:
        """Return whether the model is asked to correct an answer: one that was cut or moderated would be so again."""
        if answer.reason not in {"stop", "tool_calls"} or self.repaired >= self._repairs:
            return False
        self.repaired += 1
        self._on_change(self)
        return True

    def _notify(self, request: Request) -> None:
        if request.notify is not None:
            request.notify(
                tr(
                    "the answer does not fit its schema; asking again ({count} of {most})",
                    count=self.repaired,
                    most=self._repairs,
                )
            )

    def _repair(self, question: Request, answer: _Answer, misfit: Misfit) -> Request:
        """Return the request that sends an answer back."""
        problems = "\n".join(f"- {path}: {problem}" for path, problem in misfit.errors)
        asked = Message("user", _REPAIR.format(problems=problems))
        said = (Message("assistant", answer.text),) if answer.text.strip() else ()
        return replace(question, messages=(*question.messages, *self._exchange(), *said, asked))

    def _error(self, misfit: Misfit, answer: _Answer) -> ReplyFormatError:
        match answer.reason:
            case "length":
                said = tr("The answer was cut off at its greatest length, before its JSON was complete.")
                remedy = tr("Allow more with -o max_tokens N (in Python: max_tokens=N), or ask for less at once.")
                if answer.is_context_full:
                    said = tr("The answer was cut off, since the model's context is full.")
                    remedy = tr("Start over with --new, or ask for less at once.")
            case "content_filter":
                said = tr("Moderation cut the answer off, so it is not what the schema asks for.")
                remedy = tr("Put the question differently.")
            case _:
                tried = trn("after {count} repair", "after {count} repairs", self.repaired) if self.repaired else ""
                said = (
                    tr("The answer is not what the schema asks for, also {tried}.", tried=tried)
                    if tried
                    else tr("The answer is not what the schema asks for.")
                )
                remedy = tr("Ask again, ask another model, or ask for something simpler; what it said is kept.")
        return ReplyFormatError(join_sentences(said, str(misfit), remedy), misfit.errors)


class _Answer:
    """One answer while it comes.

    Args:
        schema: What it has to be.
        clock: Seconds from any fixed point.
        before: The tokens of the answers before it; None where there were none.
        clears: Whether its first word replaces an answer that was shown.
    """

    def __init__(
        self, schema: Schema, clock: Callable[[], float], before: Usage | None = None, *, clears: bool = False
    ) -> None:
        self.failure: ChatGLMError | None = None
        self.asks_again = False  # in another way, after a refusal of this one
        self.is_silent = True  # whether nothing has come
        self._schema = schema
        self._clock = clock
        self._before = before
        self._usage = before
        self._clears = clears
        self._finished: Finished | None = None
        self._calls = False
        self._from_thinking = False
        self._last: list[Event] = []  # what is yielded before the end
        self._shown_at = self._looked_at = -1.0
        self._begin("", "")

    def next(self) -> _Answer:
        """Return the answer that takes this one's place."""
        return _Answer(self._schema, self._clock, self._usage, clears=True)

    @property
    def reason(self) -> str:
        """Why it ended; empty before that."""
        return self._finished.reason if self._finished is not None else ""

    @property
    def text(self) -> str:
        """Its text."""
        return "".join(self._text)

    @property
    def is_context_full(self) -> bool:
        """Whether it ended for want of room in the model's context."""
        return self._finished is not None and self._finished.raw == "model_context_window_exceeded"

    @property
    def hands_calls_back(self) -> bool:
        """Whether it ends in calls that the caller has to see to."""
        return self._calls and self.reason == "tool_calls"

    def take(self, event: Event) -> Iterator[Event]:
        """Take an event, and yield what is shown for it at once."""
        match event:
            case Finished():
                self._finished = event
                return
            case Usage():
                self._usage = event if self._before is None else self._before + event
                yield self._usage
                return
            case Replace(text, thinking):
                self._begin(text, thinking)
                self._clears = False
            case ToolCallDelta():
                self._calls = True
            case ToolStarted():
                self._calls = False
        self.is_silent = False
        if self._clears and isinstance(event, (TextDelta, ThinkingDelta)):
            self._clears = False
            yield Replace("")
        yield event
        if isinstance(event, ThinkingDelta):
            self._thinking.append(event.text)
        elif isinstance(event, TextDelta):
            self._text.append(event.text)
            self._partial.feed(event.text)
            if self._is_due(event.text):
                yield from self._news()

    def read(self) -> Any:  # noqa: ANN401 - the type that was asked for
        """Return its value, taken from the thinking where there is no text.

        Raises:
            Misfit: It does not fit.
        """
        text = self.text
        thinking = "".join(self._thinking).strip()
        if text.strip() or not thinking:
            value = self._schema.read(text)
        else:
            value = self._schema.read(thinking)
            self._from_thinking = True
            self._begin(thinking, "")
            self._last.append(Replace(thinking))
        self._last += self._news()
        return value

    def ending(self) -> Iterator[Event]:
        """Yield its last events, with the one `Finished`; nothing of an answer that failed before it began."""
        yield from self._last
        if self._finished is not None:
            warnings, parts = self._finished.warnings, self._finished.parts
            if self._from_thinking:
                parts = ()
                warnings = (*(name for name in warnings if name != "reasoning-only"), _FROM_THINKING)
            yield replace(self._finished, warnings=warnings, parts=parts)
        elif self._clears:  # the answer before it stays
            yield Finished("error")

    def _begin(self, text: str, thinking: str) -> None:
        """Begin with a text."""
        self._text = [text] if text else []
        self._thinking = [thinking] if thinking else []
        self._partial = self._schema.partial()
        self._partial.feed(text)
        self._shown: Any = None

    def _is_due(self, text: str) -> bool:
        """Return whether to look for what is complete by now: soon after a bracket has closed, else now and then."""
        now = self._clock()
        since = self._shown_at if "}" in text or "]" in text else max(self._shown_at, self._looked_at)
        if now - since < _PERIOD:
            return False
        self._looked_at = now
        return True

    def _news(self) -> Iterator[Event]:
        """Yield what is complete, if that has changed."""
        value = self._partial.value
        if value != self._shown and (self._shown is not None or value not in (None, [], {})):
            self._shown, self._shown_at = value, self._clock()
            yield PartialValue(value)
