"""Chat: history in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import Any

from ._config import KEY_NAMES, Defaults, find_key
from ._errors import ChatGLMError, ConfigError, MissingKeyError
from ._events import Event
from ._history import Place, exchange, last_exchanges, last_question
from ._messages import Message, Request, check_options
from ._reply import Reply
from ._secrets import refuse_keys
from ._turns import Turns
from ._urls import check_key_travel, is_loopback
from .providers import PROVIDERS, Provider, Settings, make_provider, split_spec

_PLATFORMS = ("zai", "bigmodel")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which provider answers, with which model.

    Attributes:
        provider: The provider.
        model: The model to ask; empty for the provider's default.
        why: What `auto` took and for which reason, in one sentence; empty where the user said it.
    """

    provider: Provider
    model: str
    why: str = ""


def choose(
    provider: str = "auto",
    model: str = "",
    *,
    base_url: str = "",
    api_key: str | None = None,
    proxy: str = "",
    configured: Defaults | None = None,
) -> Choice:
    """Find out who answers.

    Args:
        provider: A provider's name, or `auto`: what is configured, else the platform whose key is
            present, else the local model.
        model: A model, perhaps with its provider (`zai:glm-4.7-flash`).
        base_url: An OpenAI-compatible server (for `chatglm`: the host in place of chatglm.cn).
        api_key: The key; None to look for it.
        proxy: An http or https proxy.
        configured: What the user configured; the environment fills what it leaves open.

    Raises:
        MissingKeyError: A platform's key is needed and there is none.
        ConfigError: An unknown provider, or `openai` without a `base_url`.
    """
    known = (configured or Defaults()).over(Defaults.from_environment())
    named, model = split_spec(model)
    name = named or ("" if provider == "auto" else provider)
    why = ""
    if name in {"", "auto"}:
        name, model, why = _auto(model, base_url, api_key, known)
    elif not model:
        # A default model belongs to the provider it was configured for.
        default_name, default_model = split_spec(known.model)
        if (default_name or known.provider) == name:
            model = default_model
    if name not in PROVIDERS:
        msg = f"There is no provider {name!r}. Valid ones: auto, {', '.join(PROVIDERS)}."
        raise ConfigError(msg)
    if not base_url and name == "openai":
        base_url = known.base_url
        if not base_url:
            msg = "Provider 'openai' needs a server: --base-url URL (base_url=… in Python) or CHATGLM_BASE_URL."
            raise ConfigError(msg)
    key = find_key(name, base_url, known) if api_key is None else api_key
    if base_url:
        check_key_travel(base_url, key)
    if name in _PLATFORMS and not key and not (base_url and is_loopback(base_url)):
        raise missing_key(name)
    settings = Settings(base_url=base_url, api_key=key, proxy=proxy, model=model if name == "local" else "")
    return Choice(make_provider(name, settings), model, why)


def missing_key(name: str) -> MissingKeyError:
    """Build the error for a platform that was asked without a key."""
    return MissingKeyError(
        f"No key for {name}. Set {KEY_NAMES[name]} in the environment before Jupyter starts, "
        f"or type %chatglm login, or use -m local, which needs none."
    )


def _auto(model: str, base_url: str, api_key: str | None, known: Defaults) -> tuple[str, str, str]:
    """Give provider, model and the reason, as the contract for `auto` says."""
    if base_url:
        return "openai", model or split_spec(known.model)[1], ""
    named, default_model = split_spec(known.model)
    name = named or ("" if known.provider == "auto" else known.provider) or ("openai" if known.base_url else "")
    if name:
        return name, model or default_model, f"Using {name}, as configured."
    for platform in _PLATFORMS:
        if find_key(platform, "", known):
            return platform, model or default_model, f"Using {platform}: {KEY_NAMES[platform]} is set."
    if api_key:
        msg = "A key was given but no provider. Say which: provider='zai', 'bigmodel' or 'openai'."
        raise ConfigError(msg)
    if wanted := model or default_model:
        head, colon, _ = wanted.partition(":")
        hint = f" ({head!r} is no provider; those are {', '.join(PROVIDERS)}.)" if colon else ""
        msg = (
            f"No key for model {wanted!r}.{hint} Set ZAI_API_KEY or ZHIPUAI_API_KEY before Jupyter starts, or type "
            f"%chatglm login, or name a server with --base-url, or use -m local, which needs no key."
        )
        raise MissingKeyError(msg)
    return "local", "", "No key is set, so the small local demo model answers."


class Chat:
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
        name: The conversation's name.
        configured: Defaults in place of the environment's.
        options: Parameters of the model: temperature, top_p, max_tokens, seed, stop …

    Attributes:
        messages: What has been said, oldest first, without the system prompt; well-formed at any
            moment: every question in it has its answer, a stopped one as far as it came.
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
        configured: Defaults | None = None,
        **options: object,
    ) -> None:
        self.options = dict(check_options(options))
        if isinstance(provider, str):
            choice = choose(provider, model, base_url=base_url, api_key=api_key, proxy=proxy, configured=configured)
        else:
            choice = Choice(provider, model)
        self.provider = choice.provider
        self.model = choice.model
        self.why = choice.why
        self.system = system
        self.think = think
        self.timeout = timeout
        self.history_tokens = history_tokens
        self.name = name
        self.messages: list[Message] = []
        self.unanswered: tuple[str, Place | None] | None = None
        self._asked_by: dict[str, Message] = {}
        self._turns = Turns()

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
            options: Parameters of the model, over those of the conversation.

        Raises:
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        if not prompt.strip():
            msg = "There is nothing to ask: the prompt is empty."
            raise ConfigError(msg)
        asked = choice or Choice(self.provider, self.model)
        parameters = check_options(options)
        reply = reply if reply is not None else Reply()
        reply.model = reply.model or asked.model or getattr(asked.provider, "model", "")
        reply.provider = asked.provider.name

        def waiting() -> None:
            if notify is not None:
                notify("waiting for the conversation's other reply")

        async with self._turns.turn(waiting) if remember else nullcontext():
            request = self.request(
                prompt,
                choice=asked,
                remember=remember,
                place=place,
                system=system,
                think=think,
                timeout=timeout,
                notify=notify,
                warnings=reply.warnings,
                **parameters,
            )
            if remember:
                self.unanswered = prompt, place
            try:
                async with aclosing(asked.provider.stream(request)) as events:
                    async for event in events:
                        reply.add(event)
                        yield event
            except ChatGLMError as error:
                reply.end("error")
                error.reply = reply
                raise
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
                reply.end("interrupted")
                raise
            finally:
                reply.end("error")
                if remember and reply.text:  # an empty answer would leave the history malformed
                    self._enter(request.messages[-1], reply.message(), place)

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
        before = self._before(place) if remember else []
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

    def reset(self) -> None:
        """Forget what has been said."""
        self.messages = []
        self.unanswered = None
        self._asked_by.clear()

    def undo(self) -> str | None:
        """Take the last exchange back; give its question, or None where nothing was asked."""
        self.unanswered = None
        question = last_question(self.messages)
        found = exchange(self.messages, question)
        if question is None or found is None:
            return None
        del self.messages[found]
        return question.content

    def _before(self, place: Place | None) -> list[Message]:
        """Give what was said before a place."""
        found = exchange(self.messages, self._replaced(place))
        return self.messages if found is None else self.messages[: found.start]

    def _replaced(self, place: Place | None) -> Message | None:
        """Give the question that makes way for the one at a place."""
        if place is None:
            return None
        return place.instead_of or self._asked_by.get(place.cell)

    def _enter(self, question: Message, answer: Message, place: Place | None) -> None:
        """Put an exchange in its place, so that the history stays well-formed: questions and answers take turns."""
        self.unanswered = None
        if place is not None and place.goes_on and self.messages and self.messages[-1].role == "assistant":
            first = self.messages[-1]
            self.messages[-1] = Message("assistant", first.content + answer.content, first.thinking + answer.thinking)
            return
        replaced = self._replaced(place)
        found = exchange(self.messages, replaced)
        if found is None:
            self.messages += [question, answer]
        else:
            self.messages[found] = [question, answer]
            for cell, asked in self._asked_by.items():
                if asked is replaced:
                    self._asked_by[cell] = question
        if place is not None and place.cell:
            self._asked_by[place.cell] = question

    def _trimmed(self, history: list[Message], provider: Provider, warnings: list[str]) -> list[Message]:
        """Give as much of a history as fits, whole exchanges, the newest."""
        limit = self.history_tokens or getattr(provider, "history_tokens", None)
        if limit is None:
            return history
        kept = last_exchanges(history, limit)
        if len(kept) < len(history):
            warnings.append("history-trimmed")
        return kept
