"""Z.ai, BigModel, vLLM, SGLang, Ollama, llama.cpp, Xinference: one dialect, small dialect options."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from .._errors import AuthenticationError, ConfigError, ProtocolError, ProviderError, TransportError, shorten
from .._events import Event
from .._messages import Request
from .._transport.call import Call
from . import Settings
from ._openai_decoder import OpenAIDecoder
from ._openai_request import Body, chat_url, endpoint, normalize, platform_body, server_body
from ._platform_errors import Asked, explain
from ._stream import run

_MODELS_TIMEOUT = 15.0


class OpenAICompatibleProvider:
    """Any server with `POST …/chat/completions` that streams server-sent events.

    Args:
        settings: Where it answers; a bare host without a path gets `/v1`.

    Attributes:
        name: The provider's name.
        model: What is asked when no model is named; empty until the server's first model is known.
        host: Host and port that is asked.
        base_url: As it was given; empty for the provider's own.
        unnamed: Which model that is, in words, while `model` is empty.
        history_tokens: None: the server's models take long conversations.
        think_tags: Whether `<think>` tags in the answer are taken apart and leaked control tokens trimmed.

    Raises:
        ConfigError: The base URL is none.
    """

    name: str = "openai"
    unnamed: str = "the first that the server lists"
    history_tokens: int | None = None
    think_tags: bool = True
    known_models: ClassVar[tuple[str, ...]] = ()
    _own_base: ClassVar[str] = ""
    _bare_path: ClassVar[str] = "/v1"
    _headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _one_at_a_time: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self._base = normalize(settings.base_url or self._own_base, self._bare_path)
        self.base_url = settings.base_url
        self._key = settings.api_key
        self._proxy = settings.proxy
        self._default = settings.model
        self.model = self._default
        self.host = urlsplit(self._base).netloc.rpartition("@")[2]

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer a request: deltas, usage, and one `Finished`, last.

        Raises:
            ConfigError: A parameter the service does not have, or no model is named and none can be found.
            ProviderError: The request or the reply failed.
        """
        model = request.model or self.model or await self._first_model(request)
        body = self._body(request, model)
        asked = Asked(self.name, model, self.host)
        call = self._call(chat_url(self._base), asked, request, body.data)
        decoder = partial(OpenAIDecoder, asked, think_tags=self.think_tags, warnings=body.warnings)
        try:
            async with aclosing(run(call, decoder)) as events:
                async for event in events:
                    yield event
        except ProviderError as error:
            if error.kind == "model_not_found" and not request.model:
                self.model = self._default  # the server has another one by now: look again next time
            raise

    def parameters(self, request: Request) -> dict[str, Any]:
        """Give what a request's body says beside its model and its messages, as it is sent.

        Raises:
            ConfigError: A parameter the service does not have.
        """
        body = self._body(replace(request, messages=()), request.model or self.model)
        sent: dict[str, Any] = json.loads(body.data)
        return {name: value for name, value in sent.items() if name not in {"model", "messages"}}

    async def models(self) -> list[str]:
        """Ask which models there are.

        Raises:
            ProviderError: The server did not say.
        """
        from .._transport import get_json

        call = self._call(endpoint(self._base, "/models"), Asked(self.name, host=self.host))
        answer = await get_json(call)
        if (names := _names(answer)) is None:
            msg = f"{self.name} at {self.host} gave no list of models: {shorten(str(answer), 160)}. Check the base URL."
            raise ProtocolError(msg, provider=self.name, host=self.host)
        return list(dict.fromkeys(names))

    def _body(self, request: Request, model: str) -> Body:
        # Behind https there may be a service of another kind, with models that refuse every stop word.
        turn_tokens = self._base.startswith("http:") or "glm" in model.lower()
        return server_body(request, model, turn_tokens=turn_tokens)

    def _call(self, url: str, asked: Asked, request: Request | None = None, body: bytes = b"") -> Call:
        timeout = request.timeout if request is not None else _MODELS_TIMEOUT
        return Call(
            url=url,
            body=body,
            provider=asked.provider,
            model=asked.model,
            explain=partial(explain, asked=asked),
            headers=self._headers,
            key=self._key,
            proxy=self._proxy,
            one_at_a_time=self._one_at_a_time,
            notify=request.notify if request is not None else None,
            **({} if timeout is None else {"timeout": timeout}),
        )

    async def _first_model(self, request: Request) -> str:
        """Take the first model that the server lists, and remember it."""
        try:
            names = await self.models()
        except (TransportError, AuthenticationError):
            raise  # naming a model would not help
        except ProviderError as error:
            msg = f"{self.host} does not say which models it has; name one with -m MODEL. It said: {error}"
            raise ConfigError(msg) from error
        if not names:
            msg = f"{self.host} has no model loaded. Load one there, or name one with -m MODEL."
            raise ConfigError(msg)
        if request.notify is not None:
            request.notify(f"using {names[0]}, the first model at {self.host}")
        self.model = names[0]
        return self.model


class _PlatformProvider(OpenAICompatibleProvider):
    """One of the two official platforms: a free default model, strict parameters, one request at a time."""

    think_tags = False
    known_models = (
        "glm-5.3",
        "glm-5.3-flash",
        "glm-5.2",
        "glm-5.1",
        "glm-5",
        "glm-5-turbo",
        "glm-5v-turbo",
        "glm-4.7",
        "glm-4.7-flashx",
        "glm-4.7-flash",
        "glm-4.6",
        "glm-4.6v",
        "glm-4.6v-flashx",
        "glm-4.6v-flash",
        "glm-4.5-air",
        "glm-4.5-airx",
        "glm-4.5-flash",
        "glm-4.1v-thinking-flash",
        "glm-4-flash-250414",
        "glm-4v-flash",
    )
    """As of 2026-11; what the platform itself lists is added, and any other name may be asked for."""
    _bare_path = "/api/paas/v4"
    _headers = MappingProxyType({"Accept-Language": "en-US,en"})  # for errors in English
    _one_at_a_time = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.model = self._default = settings.model or "glm-4.7-flash"

    async def models(self) -> list[str]:
        """Give the models that are known, and those the platform lists (it is known to leave some out).

        Raises:
            TransportError: The platform cannot be reached.
            AuthenticationError: It did not accept the key.
        """
        try:
            listed = await super().models()
        except (TransportError, AuthenticationError):
            raise
        except ProviderError:  # the list is no part of the platforms' documented API
            listed = []
        return list(dict.fromkeys((*listed, *self.known_models)))

    def _body(self, request: Request, model: str) -> Body:
        return platform_body(request, model)


class ZaiProvider(_PlatformProvider):
    """Z.ai, the international platform; pay as you go and free models, never the coding plan's quota."""

    name = "zai"
    _own_base = "https://api.z.ai/api/paas/v4"


class BigModelProvider(_PlatformProvider):
    """BigModel, the platform for mainland China; pay as you go and free models, never the coding plan's quota."""

    name = "bigmodel"
    _own_base = "https://open.bigmodel.cn/api/paas/v4"


def _names(answer: object) -> list[str] | None:
    """Read a list of models: OpenAI's `data`, or Ollama's and llama.cpp's `models`; None if it is neither."""
    if isinstance(answer, dict):
        answer = next((answer[key] for key in ("data", "models") if isinstance(answer.get(key), list)), None)
    if not isinstance(answer, list):
        return None
    found = (item.get("id") or item.get("name") if isinstance(item, dict) else item for item in answer)
    return [name for name in found if isinstance(name, str) and name]
