"""Models side by side: one question, several answers that grow together and are versions of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext, suppress
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any

import msgspec

from ._attachments import Attachments
from ._conversation.conversation import Conversation, InsertPoint, Turn
from ._errors import ConfigError
from ._events import ColumnEvent, Event
from ._language import tr
from ._messages import ChatOptions, Message, check_prompt
from ._reply import Reply, frame_library
from ._resolve import Target, resolve_or_say

MOST_MODELS = 6
_LEAST_MODELS = 2


class Comparison(Mapping[str, Reply]):
    """What several models have answered to one question: a mapping of model to `Reply`, in the order of the models.

    Args:
        models: The models, as `-m` takes them.

    Attributes:
        errors: Why models failed, by model; their replies hold what had arrived.
        answers: The ids of the answers in the conversation, by model; those that hold nothing are not in it.
        quiet_once: Whether IPython shows nothing the next time that this is a cell's value.

    Raises:
        ConfigError: There are fewer than two models, too many, one is named twice, or one has no name.
    """

    def __init__(self, models: Iterable[str]) -> None:
        names: list[Any] = [] if isinstance(models, str) else list(models)
        is_named = all(isinstance(name, str) and name.strip() for name in names)
        if not is_named or not _LEAST_MODELS <= len(names) <= MOST_MODELS:
            raise ConfigError(tr("Side by side stand 2 to {most} models: name each of them.", most=MOST_MODELS))
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ConfigError(tr("The model {name} is named twice; name each model once.", name=twice))
        self._replies: dict[str, Reply] = {name: Reply() for name in names}
        self.errors: dict[str, Exception] = {}
        self.answers: dict[str, str] = {}
        self.quiet_once = False

    def __getitem__(self, model: str) -> Reply:
        return self._replies[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self._replies)

    def __len__(self) -> int:
        return len(self._replies)

    @property
    def first(self) -> Reply:
        """The reply that goes on until another one is picked: the first one that has text, else the first."""
        return next((reply for reply in self.values() if reply.text), next(iter(self.values())))

    @property
    def frame(self) -> Any:  # noqa: ANN401 - of pandas, or of polars where only that is installed
        """A DataFrame with a row for each model: text, seconds, first_event, tokens, error.

        `seconds` and `first_event` are counted from the moment at which the model was asked; `tokens` are those of the
        answer, missing where the service did not say.

        Raises:
            ConfigError: Neither pandas nor polars is installed.
        """
        replies = list(self.values())
        columns: dict[str, Any] = {
            "text": [reply.text for reply in replies],
            "seconds": [reply.elapsed for reply in replies],
            "first_event": [reply.first_event for reply in replies],
            "tokens": [reply.usage.completion_tokens if reply.usage else None for reply in replies],
            "error": [str(self.errors[name]) if name in self.errors else None for name in self],
        }
        if frame_library() == "pandas":
            pandas = import_module("pandas")
            index = pandas.Index(list(self), name="model")
            columns["error"] = pandas.Series(columns["error"], index, dtype=object)  # None stays None beside texts
            made = pandas.DataFrame(columns, index)
            return made.astype({"first_event": "float64", "tokens": "Int64"})
        return import_module("polars").DataFrame({"model": list(self), **columns}, strict=False)

    def check(self) -> None:
        """Raise the first error if all models failed.

        Raises:
            Exception: They did.
        """
        if len(self.errors) == len(self):
            raise next(self.errors[name] for name in self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from .renderers.columns import in_all_forms, sections_of  # imports the sanitiser

        return in_all_forms(sections_of(self, self.errors))

    def _ipython_display_(self) -> None:
        """IPython's hook: shows nothing once, for answers that have just been shown as they streamed."""
        if not self.quiet_once:
            raise NotImplementedError  # IPython then takes the representation above
        self.quiet_once = False

    def __repr__(self) -> str:
        said = ", ".join(f"{name!r}: {reply.finish_reason or 'streaming'}" for name, reply in self.items())
        return f"<Comparison {said}>"


class Comparing(Conversation):
    """A conversation that several models can be asked in; what else it is, `Chat` says."""

    options: ChatOptions
    target: Target

    async def compare(
        self,
        prompt: str,
        options: ChatOptions | None = None,
        *,
        models: Iterable[str],
        **how: Any,  # noqa: ANN401 - passed on
    ) -> Comparison:
        """Ask several models the same side by side, wait for all, and return their answers.

        Each gets the same messages and parameters. The answers are versions of one question; the conversation goes on
        with the first that has text, until another one is chosen.

        Args:
            prompt: The question.
            options: Options of this question.
            models: 2 to 6 models, as `-m` takes them: `["zai:glm-4.7", "zai:glm-4.7-flash"]`.
            how: As in `stream_columns`.

        Raises:
            ChatGLMError: All of them failed; one that fails alone is in `Comparison.errors`.
        """
        check_prompt(prompt)
        comparison = Comparison(models)
        async with aclosing(self.stream_columns(prompt, comparison, options, **how)) as events:
            async for _ in events:
                pass
        comparison.check()
        return comparison

    async def stream_columns(
        self,
        prompt: str,
        comparison: Comparison,
        options: ChatOptions | None = None,
        *,
        targets: Mapping[str, Target] = MappingProxyType({}),
        remember: bool = True,
        at: InsertPoint | None = None,
        notify: Callable[[str], None] | None = None,
        **fields: Any,  # noqa: ANN401 - passed on
    ) -> AsyncGenerator[ColumnEvent]:
        """Ask the models of a comparison, and yield what comes of each as it comes; a failure is an event too.

        Args:
            prompt: The question.
            comparison: The models, and where their answers are added up.
            options: Options of this question; a model in them does not count.
            targets: Who answers, by model; the others are found as in `Chat.target_for`.
            remember: As in `Chat.stream`, like the others.
            at: Where the question goes.
            notify: Called where the conversation is busy.
            fields: What else the question brings with it.
        """
        attached = self._attached(fields, at)
        prompt, fields["attachments"] = attached.added_to(prompt), msgspec.structs.replace(attached, blocks=())
        asked = _taken_target(fields).over((options or ChatOptions()).over(self.options))
        async with self._locked(comparison.first, notify, remember=remember):
            before = self.before(at) if remember else []
            who = [targets.get(name) or resolve_or_say(name, self.target_for, asked) for name in comparison]
            sides = {name: self._side_chat(one, before) for name, one in zip(comparison, who, strict=True)}
            ask = partial(_open, prompt, asked.without_target(), fields)
            columns = [Column(name, comparison[name], partial(ask, side), side.target) for name, side in sides.items()]
            begin = partial(self.begin, prompt, at=at, remember=remember, attachments=attached.pictures)
            with _turns(self, comparison, begin, sides) as turns:
                async with aclosing(side_by_side(columns, comparison.errors)) as events:
                    async for one in events:
                        if one.event is not None:
                            self.notify_event(turns[one.column], one.event)
                        yield one

    # What a `Chat` adds

    def stream(self, prompt: str, options: ChatOptions | None = None, **how: Any) -> AsyncGenerator[Event]:  # noqa: ANN401 - its own
        """Ask, and yield the reply's events."""
        raise NotImplementedError

    def target_for(self, asked: ChatOptions) -> Target:
        """Return who answers where options say so."""
        raise NotImplementedError

    def _side_chat(self, target: Target, messages: Sequence[Message]) -> Comparing:
        raise NotImplementedError

    def _attached(self, fields: dict[str, Any], at: InsertPoint | None) -> Attachments:
        raise NotImplementedError

    def _locked(
        self, reply: Reply, notify: Callable[[str], None] | None, *, remember: bool
    ) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError


def _taken_target(fields: dict[str, Any]) -> ChatOptions:
    """Take who answers out of a question's keywords, and return it: they would go before each column's own model."""
    return ChatOptions.of(**{name: fields.pop(name) for name in ("provider", "model", "base_url") if name in fields})


class Column(msgspec.Struct, frozen=True):
    """One model of a comparison, ready to be asked.

    Attributes:
        name: The model, as the comparison names it.
        reply: Where its events are added up.
        open: Opens the reply; takes it, and `notify`, which is called with the reason why nothing has come yet.
        target: Who answers.
    """

    name: str
    reply: Reply
    open: Callable[[Reply, Callable[[str], None]], AsyncGenerator[Event]]
    target: Target

    @property
    def queue(self) -> tuple[str, str] | None:
        """What takes one request at a time: columns of one queue are asked one after the other; None for no queue."""
        provider = self.target.provider
        return (provider.name, getattr(provider, "host", "")) if getattr(provider, "one_at_a_time", False) else None


async def side_by_side(columns: Sequence[Column], errors: dict[str, Exception]) -> AsyncGenerator[ColumnEvent]:
    """Ask all columns at once, and yield their events as they come; close it to stop them all.

    Args:
        columns: The columns.
        errors: Where the error of each column that fails is put.
    """
    events: asyncio.Queue[ColumnEvent | None] = asyncio.Queue(_BACKLOG)
    locks = {column.queue: asyncio.Lock() for column in columns}
    tasks = [asyncio.create_task(_read(column, locks[column.queue], events, errors)) for column in columns]
    left = len(tasks)
    try:
        while left:
            event = await events.get()
            if event is None:
                left -= 1
            else:
                yield event
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for column in columns:
            column.reply.end("interrupted")


async def _read(
    column: Column, lock: asyncio.Lock, events: asyncio.Queue[ColumnEvent | None], errors: dict[str, Exception]
) -> None:
    """Put a column's events into the queue, and None behind the last one."""

    def notify(text: str) -> None:
        with suppress(asyncio.QueueFull):  # words have come: nobody asks why nothing has
            events.put_nowait(ColumnEvent(column.name, status=text))

    try:
        if column.queue is not None and lock.locked():
            notify(tr("waiting for its turn: this service takes one request at a time"))
        async with lock if column.queue is not None else nullcontext():
            column.reply.start()
            async with aclosing(column.open(column.reply, notify)) as replies:
                async for event in replies:
                    await events.put(ColumnEvent(column.name, event))
    except Exception as error:  # noqa: BLE001 - a column fails alone, whatever its provider raises
        column.reply.end("error")
        errors[column.name] = error
        await events.put(ColumnEvent(column.name, failure=str(error)))
    await events.put(None)


def _open(
    prompt: str,
    options: ChatOptions,
    fields: Mapping[str, Any],
    side: Comparing,
    reply: Reply,
    notify: Callable[[str], None],
) -> AsyncGenerator[Event]:
    return side.stream(prompt, options, reply=reply, notify=notify, **fields)


@contextmanager
def _turns(
    conversation: Conversation,
    comparison: Comparison,
    begin: Callable[[Reply], Turn],
    sides: Mapping[str, Conversation],
) -> Generator[dict[str, Turn]]:
    """Begin a turn for each model of a comparison, and end them at the end of the block.

    Args:
        conversation: Where the answers become versions of one question.
        comparison: The answers, which grow in the block; it learns which of them the conversation holds.
        begin: Begins the turn of the first.
        sides: The conversations in which they are given, by model.
    """
    first, *others = comparison
    turn = begin(comparison[first])
    turns = {first: turn, **{name: conversation.begin_beside(turn, comparison[name]) for name in others}}
    try:
        yield turns
    finally:
        for name, side in sides.items():
            if (aside := side.last_turn()) is not None:
                turns[name].answer.key = aside[1].key
        conversation.end_side_by_side(list(turns.values()), [comparison.errors.get(name) for name in turns])
        comparison.answers.update(
            {name: one.answer.id for name, one in turns.items() if one.in_tree and one.answer.text}
        )


_BACKLOG = 1000
"""Events that wait to be shown; a column that is faster than the page waits for it."""
