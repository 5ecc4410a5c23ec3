"""Chat: history in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from ._choice import Choice, choose, choose_or_recall
from ._config import Defaults
from ._conversation import Conversation
from ._errors import ChatGLMError, ConfigError
from ._events import Event
from ._history import Place, last_exchanges
from ._keeper import Absent, bring_back, find, keep, settings_of, stored_answer
from ._loops import ticking
from ._messages import Message, Request, check_options
from ._replay import Recall, replay, request_key
from ._reply import Reply
from ._said import Said
from ._secrets import refuse_keys, reply_mask, without_keys
from ._turns import Turns
from .providers import Provider

_WHO = frozenset({"provider", "model", "base_url", "api_key", "proxy"})


class Chat(Conversation):
    """A conversation with a model.

    Args:
        provider: A provider's name (see `choose`) or a `Provider` object.
        model: The model, perhaps with its provider; empty for the provider's default.
        base_url: An OpenAI-compatible server.
        api_key: The key; None to look for it in the environment.
        system: The system prompt.
        think: Thinking on or off; None as the service does by default.
        timeout: Seconds without an event after which a reply is given up.
        proxy: An http or https proxy.
        history_tokens: How much of the conversation is sent at most; None for the provider's wish.
        name: The conversation's name. One that has a name is kept in the store; see `open`.
        cache: `replay` to give the stored answer to the same question, at once and without a key, where there
            is one (`Reply.replayed`); others are asked, and stored.
        configured: Defaults in place of the environment's.
        options: Parameters of the model: temperature, top_p, max_tokens, seed, stop …

    Attributes:
        messages: What has been said, oldest first, without the system prompt; well-formed at any
            moment: every question in it has its answer, a stopped one as far as it came. A list of
            one's own; to change the conversation, assign one.
        unanswered: The last question, and its place, if it failed before a word of its answer was in.

    Raises:
        ConfigError: Something is unknown or missing; see `choose`.

    A `Chat` may be used from several event loops. Asked twice at once, the second question waits.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each thing a conversation may fix
        self,
        provider: str | Provider = "auto",
        *,
        model: str = "",
        base_url: str = "",
        api_key: str | None = None,
        system: str = "",
        think: bool | None = None,
        timeout: float | None = None,
        proxy: str = "",
        history_tokens: int | None = None,
        name: str = "",
        cache: str = "",
        configured: Defaults | None = None,
        **options: object,
    ) -> None:
        self.options = dict(check_options(options))
        if cache not in {"", "off", "replay"}:
            msg = f"cache takes 'replay' or 'off', not {cache!r}."
            raise ConfigError(msg)
        self.cache = cache == "replay"
        if isinstance(provider, str):
            find_out = choose_or_recall if self.cache else choose
            choice = find_out(provider, model, base_url=base_url, api_key=api_key, proxy=proxy, configured=configured)
        else:
            choice = Choice(provider, model)
        self.provider = choice.provider
        self.model = choice.model
        self.why = choice.why
        self._rather = choice.rather
        self.system = system
        self.think = think
        self.timeout = timeout
        self.history_tokens = history_tokens
        super().__init__(name)
        self._turns = Turns()
        if name or self.cache:
            keep(self)

    @classmethod
    def open(cls, name: str, *, store: str = "", **how: Any) -> Self:  # noqa: ANN401 - passed on
        """Bring a stored conversation back; it goes on where it stopped, and is kept there.

        Who answered before answers again, by the same settings. Where that is not possible, for want of a key
        perhaps, the conversation can be read all the same; the next question says what is missing.

        Args:
            name: Its name, that of the one changed last where several have it; or its number, `#12`.
            store: The store's file; empty for the usual one.
            how: As in `Chat`, over what the conversation had.

        Raises:
            ConfigError: There is no such conversation, or nobody can be asked as `how` says.
            StoreError: The store cannot be read.
        """
        kept, thread = find(name, store)
        settings = settings_of(thread, how)
        try:
            chat = cls(**settings)
        except ConfigError as error:
            if how.keys() & _WHO:
                raise
            rest = {given: value for given, value in settings.items() if given not in _WHO}
            chat = cls(Absent(thread.settings.get("provider", "nobody"), error), **rest)
            chat.model = thread.settings.get("model", "")
        bring_back(chat, kept, thread.id)
        return chat

    async def stream(  # noqa: PLR0913 - one keyword for each thing that a question may change
        self,
        prompt: str,
        *,
        reply: Reply | None = None,
        choice: Choice | None = None,
        remember: bool = True,
        place: Place | None = None,
        system: str | None = None,
        think: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - seconds between events, not of the whole
        notify: Callable[[str], None] | None = None,
        recall: Recall | None = None,
        **options: object,
    ) -> AsyncGenerator[Event]:
        """Ask, and yield the reply's events as they come.

        Close it with `contextlib.aclosing`: hanging up closes the connection at once. What had
        arrived by then is kept in `messages`.

        Args:
            prompt: The question.
            reply: Where the events are added up; what the caller keeps of a reply that fails.
            choice: Another provider and model for this question only.
            remember: False for a question that neither sees nor enters the conversation.
            place: Where the exchange goes, if not to the conversation's end. It is asked with what was
                said before that place, and replaces what stands there once a word of the reply is in.
            system: Another system prompt for this question only.
            think: As in `Chat`, for this question only.
            timeout: As in `Chat`, for this question only.
            notify: Told in one sentence why nothing has come yet.
            recall: Where a stored answer to the same request is looked for. One that is found is given at
                once, and nobody is asked.
            options: Parameters of the model, over those of the conversation.

        Raises:
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        if not prompt.strip():
            msg = "There is nothing to ask: the prompt is empty."
            raise ConfigError(msg)
        asked = choice or Choice(self.provider, self.model, rather=self._rather)
        if recall is None and self.cache:
            recall = stored_answer
        parameters = check_options(options)
        reply = reply if reply is not None else Reply()
        reply.model = reply.model or asked.model or getattr(asked.provider, "model", "")
        reply.provider = asked.provider.name

        async with self._turn(reply, notify, remember=remember):
            how: dict[str, Any] = {"system": system, "think": think, "timeout": timeout, "notify": notify, **parameters}
            request_to = partial(self.request, prompt, remember=remember, place=place, **how)
            request = request_to(choice=asked, warnings=reply.warnings)
            key = request_key(asked.provider, request)
            stored = _stored_answer(recall, asked, key, request_to)
            if stored is not None:
                _recall_to(reply, stored)
                key = ""  # of an answer that is given again only the first one has one: its day is what counts
            exchange = self.begin(prompt, reply, place, remember=remember, key=key)
            error: BaseException | None = None
            grew, mask = self.grew, reply_mask()
            if mask is not None:
                mask.follow(exchange.answer.text)  # of one that is gone on with
            try:
                answer = asked.provider.stream(request) if stored is None else replay(stored)
                async with aclosing(answer) as events:
                    async for one in events:
                        for event in (one,) if mask is None else mask.take(one):
                            reply.add(event)
                            grew(exchange, event)
                            yield event
            except ChatGLMError as failure:
                reply.end("error")
                failure.reply = reply
                error = failure
                raise
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
                reply.end("interrupted")
                raise
            except BaseException as failure:
                error = failure
                raise
            finally:
                for event in mask.rest() if mask is not None else ():
                    reply.add(event)
                reply.end("error")
                self.end(exchange, error)

    @asynccontextmanager
    async def _turn(
        self, reply: Reply, notify: Callable[[str], None] | None, *, remember: bool
    ) -> AsyncGenerator[None]:
        """Have the conversation to oneself for the length of a block, in which an interrupt bites at any time."""

        def waiting() -> None:
            reply.warnings.append("waited-its-turn")
            if notify is not None:
                notify("waiting for the conversation's other reply")

        with ticking():
            async with self._turns.turn(waiting) if remember else nullcontext():
                yield

    def request(  # noqa: PLR0913 - as `stream`
        self,
        prompt: str,
        *,
        choice: Choice | None = None,
        remember: bool = True,
        place: Place | None = None,
        system: str | None = None,
        think: bool | None = None,
        timeout: float | None = None,
        notify: Callable[[str], None] | None = None,
        warnings: list[str] | None = None,
        **options: object,
    ) -> Request:
        """Give what `stream` would send now, and send nothing.

        Args:
            prompt: As in `stream`, like all that is not told here.
            choice: As there.
            remember: As there.
            place: As there.
            system: As there.
            think: As there.
            timeout: As there.
            notify: As there.
            warnings: Where it is noted that the conversation no longer fits.
            options: As there.

        Raises:
            ConfigError: An option is unknown, or the prompt holds one of the user's keys.
        """
        asked = choice or Choice(self.provider, self.model)
        before = without_keys(self.before(place)) if remember else []
        text = self.system if system is None else system
        refuse_keys(prompt, text)
        first = (Message("system", text),) if text else ()
        history = self._trimmed(before, asked.provider, warnings if warnings is not None else [])
        return Request(
            messages=(*first, *history, Message("user", prompt)),
            model=asked.model,
            options={**self.options, **check_options(options)},
            think=self.think if think is None else think,
            timeout=self.timeout if timeout is None else timeout,
            notify=notify,
        )

    async def send(self, prompt: str, *, reply: Reply | None = None, **how: Any) -> Reply:  # noqa: ANN401 - passed on
        """Ask, wait for the end, and give the reply.

        Args:
            prompt: The question.
            reply: As in `stream`.
            how: As in `stream`.

        Raises:
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        reply = reply if reply is not None else Reply()
        async with aclosing(self.stream(prompt, reply=reply, **how)) as events:
            async for _ in events:
                pass
        return reply

    def _trimmed(self, history: list[Message], provider: Provider, warnings: list[str]) -> list[Message]:
        """Give as much of a history as fits, whole exchanges, the newest."""
        limit = self.history_tokens or getattr(provider, "history_tokens", None)
        if limit is None:
            return history
        kept = last_exchanges(history, limit)
        if len(kept) < len(history):
            warnings.append("history-trimmed")
        return kept


def _stored_answer(recall: Recall | None, asked: Choice, key: str, request_to: Callable[..., Request]) -> Said | None:
    """Look for an answer to the same request, by whoever may have been meant when it was given.

    Args:
        recall: Where to look.
        asked: Who is asked.
        key: The request's key, as it is made to them.
        request_to: Makes the request as it would be made to others.
    """
    if recall is None:
        return None
    for choice in asked.rather:
        found = recall(request_key(choice.provider, request_to(choice=choice)))
        if found is not None:
            return found
    return recall(key)


def _recall_to(reply: Reply, stored: Said) -> None:
    """Let a reply be a stored answer."""
    reply.model, reply.provider = stored.model, stored.provider
    given = datetime.fromtimestamp(stored.created, UTC)
    reply.recall(given, stored.elapsed, stored.first_event, stored.thinking_seconds)
