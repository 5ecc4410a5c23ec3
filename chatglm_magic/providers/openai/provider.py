"""Z.ai, BigModel, vLLM, SGLang, Ollama, llama.cpp, Xinference: one dialect with small differences."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from difflib import get_close_matches
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from ..._credentials import NeverPickled
from ..._errors import AuthenticationError, ConfigError, ProtocolError, ProviderError, TransportError, shorten
from ..._events import Event, Finished
from ..._language import Language, join_sentences, language, tr
from ..._messages import FormatMode, Request, limit_pictures
from ..._transport import Call, get_json
from .. import Settings, refuse_pictures, refuse_search
from ..stream import run
from .decoder import OpenAIDecoder
from .errors import RequestInfo, explain, names_refused
from .request import Body, endpoint, normalize, platform_body, server_body
from .wire import whole_answer

_MODELS_TIMEOUT = 15.0
_SEES = re.compile(r"glm-[\d.]+v", re.IGNORECASE)
"""Models that see pictures; they write their thinking into the text on the platforms, too."""
_SEES_TOO = frozenset({"glm-5.3-flash"})
"""Models that see pictures, though their names do not say so."""
_SEES_NOTHING = re.compile(r"glm-(?:3|4|4\.[567]|z1)(?:-|$)")
"""Families of models that read text only, beside what is known of single ones; nothing is said of newer families."""
_BY_ADDRESS = "glm-4v-flash"
"""The model that takes one picture of a request, by its address only (docs.bigmodel.cn, 2026-07)."""
_ERRORS_IN: Mapping[Language, str] = MappingProxyType({"en": "en-US,en", "zh": "zh-CN,zh"})
"""How the platforms are asked for errors in a language, by `Accept-Language`."""
_NOT_THE_MODEL = frozenset({"auth", "billing", "quota", "rate_limit", "content_filter", "context_length"})
"""Kinds of refusal that another model of the same server would not change."""
_KINDS = ("type", "sub_type", "model_type", "task", "pipeline_tag", "kind", "mode", "capabilities", "architecture")
_CHAT_KIND = re.compile(r"^(?:llm|vlm|text-generation|(?:text-)?completion|language)|image-text-to-text|chat")
_NO_CHAT_KIND = re.compile(
    r"embed|rank|image|audio|speech|video|voice|transcri|moderat|classif|feature-extract|similarity|fill-mask"
)
_NO_CHAT_NAME = re.compile(
    r"embed|rerank|transcribe|(?:^|[/_-])(?:bge|gte|e5|m3e|bce|minilm|mpnet|paraphrase|text2vec|sentence-transformers|clip"
    r"|siglip|mmproj|whisper|\w*tts|asr|ocr|kokoro|bark|musicgen|sdxl?|flux|dall-e|image|imagen|cogview|cogvideox?|sora|veo"
    r"|kolors|moderation|\w*guard|shieldgemma|stable-diffusion|wan|colbert|sensevoice\w*|cosyvoice|parakeet|speech|realtime"
    r"|voyage|similarity|ada|babbage|davinci|turbo-instruct)(?:$|[\d./:_-])|[_-]video(?:$|:)",
    re.IGNORECASE,
)


class OpenAICompatibleProvider(NeverPickled):
    """Any server with `POST …/chat/completions` that streams server-sent events. Subclasses set the class attributes.

    Args:
        settings: The server, its key, a proxy, and the model that is asked when a request names none.

    Attributes:
        name: The provider's name.
        model: The model that is asked when a request names none; empty until the server's first model is known.
        host: Host and port that is asked.
        base_url: As given.
        history_tokens: None: the server's models take long conversations.
        think_tags: Whether `<think>` tags in the answer are taken apart and leaked control tokens trimmed.
        known_models: The models that are known without asking.
        default_base_url: The URL that is asked without a `base_url` in the settings.
        bare_path: The path that a base URL without one gets.
        headers: Headers of every request beside the usual ones.
        one_at_a_time: Whether the service takes only one request per key at a time.
        shares_connections: Whether a connection may serve several requests, inside `shared_connections`.
        schema_modes: How it can be held to a JSON Schema, the best way first.

    Raises:
        ConfigError: The base URL is no http or https URL.
    """

    name: str = "openai"
    history_tokens: int | None = None
    think_tags: bool = True
    known_models: ClassVar[tuple[str, ...]] = ()
    default_base_url: ClassVar[str] = ""
    bare_path: ClassVar[str] = "/v1"
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    one_at_a_time: ClassVar[bool] = False
    shares_connections: ClassVar[bool] = True
    schema_modes: ClassVar[tuple[FormatMode, ...]] = ("json_schema", "json_object", "prompt")
    _refused: ClassVar[dict[tuple[str, str], frozenset[str]]] = {}
    """The parameters that a server refused of those that nobody asked for, by base URL and model."""

    @property
    def unnamed(self) -> str:
        """A description of the model while `model` is empty."""
        return tr("the first that the server lists")

    def __init__(self, settings: Settings) -> None:
        self._base = normalize(settings.base_url or self.default_base_url, self.bare_path)
        self._endpoint = endpoint(self._base)
        self.base_url = settings.base_url
        self._key = settings.api_key
        self._proxy = settings.proxy
        self._default = settings.model
        self.model = self._default
        self._chatting: list[str] = []
        self.host = urlsplit(self._base).netloc.rpartition("@")[2]

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield the reply: deltas, usage, and one `Finished`, last.

        Raises:
            ConfigError: The service has no such parameter, or no model is named and none can be found.
            ProviderError: The request or the reply failed.
        """
        model = request.model or self.model or await self._first_model(request)
        asks_again = True
        while asks_again:
            body = self._body(request, model)
            optional, ending, failure = body.optional, None, None
            try:
                async with aclosing(self._ask(request, model, body)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            ending = event  # held back: the question may be asked once more
                            continue
                        optional = frozenset()  # words have come: this answer stands
                        yield event
            except ProviderError as error:
                failure = error
            if asks_again := bool(refused := names_refused(failure, optional)):
                self._refused[self._base, model] = self._refused.get((self._base, model), frozenset()) | refused
        if failure is not None and failure.kind not in _NOT_THE_MODEL and not request.model:
            self.model = self._default  # the server may have another one by now: look again next time
        if ending is not None:
            yield ending
        if failure is not None:
            near = get_close_matches(model, self.known_models, n=1) if failure.kind == "model_not_found" else []
            if near and near[0] != model:
                meant = tr("Did you mean -m {name}:{model}?", name=self.name, model=near[0])
                failure.args = (join_sentences(str(failure), meant),)
            raise failure

    def _ask(self, request: Request, model: str, body: Body) -> AsyncGenerator[Event]:
        info = self._info(model)
        call = self._call(self._endpoint, info, request, body.data)
        think_tags = self.think_tags or bool(_SEES.search(model))
        return run(call, partial(OpenAIDecoder, info, think_tags=think_tags, warnings=body.warnings))

    def _info(self, model: str = "") -> RequestInfo:
        keyless = "" if self._key else f"{urlsplit(self._base).scheme}://{self.host}"
        return RequestInfo(self.name, model, self.host, keyless=keyless)

    def parameters(self, request: Request) -> dict[str, Any]:
        """Return what a request's body holds beside model and messages.

        Raises:
            ConfigError: The service has no such parameter.
        """
        body = self._body(replace(request, messages=()), request.model or self.model)
        sent: dict[str, Any] = json.loads(body.data)
        return {name: value for name, value in sent.items() if name not in {"model", "messages"}}

    async def models(self) -> list[str]:
        """Return the names of the server's models, in its order.

        Raises:
            ProviderError: The server gave no list.
        """
        info = self._info()
        answer = await get_json(self._call(endpoint(self._base, "/models"), info))
        if (found := _models(answer)) is None:
            msg = tr(
                "{origin} gave no list of models: {answer}. Check the base URL.",
                origin=info,
                answer=shorten(str(answer), 160),
            )
            raise ProtocolError(msg, **info.facts())
        self._chatting = [name for name, chats in found.items() if chats]
        return list(found)

    def _body(self, request: Request, model: str) -> Body:
        refuse_search(request, self.host)
        # Behind https there may be a service with models of other families, some of which refuse every stop word.
        turn_tokens = self._base.startswith("http:") or "glm" in model.lower()
        without = self._refused.get((self._base, model), ())
        return server_body(request, model, turn_tokens=turn_tokens, without=without)

    def _call(self, url: str, info: RequestInfo, request: Request | None = None, body: bytes = b"") -> Call:
        timeout = request.timeout if request is not None else _MODELS_TIMEOUT
        return Call(
            url=url,
            body=body,
            provider=info.provider,
            model=info.model,
            explain=partial(explain, info=info),
            whole=whole_answer,
            headers=self.headers,
            key=self._key,
            proxy=self._proxy,
            one_at_a_time=self.one_at_a_time,
            notify=request.notify if request is not None else None,
            shared=self.shares_connections,
            **({} if timeout is None else {"timeout": timeout}),
        )

    async def _first_model(self, request: Request) -> str:
        """Return the first model that the server lists and that can chat, and remember it."""
        try:
            names = await self.models()
        except ProviderError as error:
            if isinstance(error, (TransportError, AuthenticationError)) or error.kind in _NOT_THE_MODEL:
                raise  # naming a model would not help
            if getattr(error, "status", 0) == HTTPStatus.SERVICE_UNAVAILABLE:
                raise  # nor while it loads one
            msg = tr(
                "{host} does not say which models it has; name one with -m MODEL. It said: {error}",
                host=self.host,
                error=error,
            )
            raise ConfigError(msg) from error
        if not names:
            raise ConfigError(
                tr("{host} has no model loaded. Load one there, or name one with -m MODEL.", host=self.host)
            )
        if not self._chatting:
            raise ConfigError(
                tr(
                    "{host} lists no model that chats: {names}. Load one there, or name one with -m MODEL.",
                    host=self.host,
                    names=shorten(tr(", ").join(names), 120),
                )
            )
        self.model = self._chatting[0]
        if request.notify is not None:
            request.notify(tr("using {model}, the first model at {host}", model=self.model, host=self.host))
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
    """As of 2026-11; what the platform itself lists is added, and any other name may be asked."""
    bare_path = "/api/paas/v4"
    one_at_a_time = True
    schema_modes = ("json_object",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.model = self._default = settings.model or "glm-4.7-flash"

    async def models(self) -> list[str]:
        """Return the models that the platform lists, and the known ones that it leaves out.

        Raises:
            TransportError: The platform cannot be reached.
            AuthenticationError: It did not accept the key.
        """
        try:
            listed = await super().models()
        except (TransportError, AuthenticationError):
            raise
        except ProviderError:  # the list is not part of the platforms' documented API
            listed = []
        return list(dict.fromkeys((*listed, *self.known_models)))

    def check(self, request: Request) -> Request:
        """Return a request without the pictures of earlier questions that the model does not take.

        Raises:
            ConfigError: The model takes no pictures, or not those of the question itself.
        """
        return _check_pictures(request, request.model or self.model)

    def _body(self, request: Request, model: str) -> Body:
        return platform_body(_check_pictures(request, model), model)

    def _call(self, url: str, info: RequestInfo, request: Request | None = None, body: bytes = b"") -> Call:
        headers = {"Accept-Language": _ERRORS_IN[language()], **self.headers}
        return replace(super()._call(url, info, request, body), headers=headers)


class ZaiProvider(_PlatformProvider):
    """Z.ai, the international platform; pay as you go and free models, never the coding plan's quota."""

    name = "zai"
    default_base_url = "https://api.z.ai/api/paas/v4"


class BigModelProvider(_PlatformProvider):
    """BigModel, the platform for mainland China; pay as you go and free models, never the coding plan's quota."""

    name = "bigmodel"
    default_base_url = "https://open.bigmodel.cn/api/paas/v4"


def _check_pictures(request: Request, model: str) -> Request:
    """Return a request to a model of the platforms with the pictures that it takes; unknown models take all."""
    name = model.lower()
    if name == _BY_ADDRESS:
        return _with_one_address(request, model)
    is_known = name in _PlatformProvider.known_models or _SEES_NOTHING.match(name)
    sees = not is_known or name in _SEES_TOO or _SEES.match(name)
    return request if sees else refuse_pictures(request, model)


def _with_one_address(request: Request, model: str) -> Request:
    """Return the request to a model that takes one picture by its address; the others become the word `[picture]`.

    Raises:
        ConfigError: The question itself has others.
    """
    pictures = next((message.pictures for message in reversed(request.messages) if message.role == "user"), ())
    if len(pictures) > 1 or any(picture.data for picture in pictures):
        raise ConfigError(
            tr(
                "{model} takes one picture, by its https address, so nothing was sent. Ask -m zai:glm-4.6v-flash, "
                "which is free and takes files too.",
                model=model,
            )
        )
    return replace(request, messages=tuple(limit_pictures(request.messages, 1, by_address=True)))


def _models(answer: object) -> dict[str, bool] | None:
    """Return the names in OpenAI's `data`, or Ollama's and llama.cpp's `models`, and whether each can chat.

    None if there is neither list. Servers tell the kind of a model in a field of their own, or only by its name.
    """
    if isinstance(answer, dict):
        answer = next((answer[key] for key in ("data", "models") if isinstance(answer.get(key), list)), None)
    if not isinstance(answer, list):
        return None
    items = [item if isinstance(item, dict) else {"id": item} for item in answer]
    named = ((item.get("id") or item.get("name"), item) for item in items)
    return {name: _chats(name, item) for name, item in named if isinstance(name, str) and name}


def _chats(name: str, item: Mapping[str, Any]) -> bool:
    """Return whether a model can chat: false only where its kind or its name says otherwise."""
    kinds: list[object] = []
    for field in _KINDS:
        value = item.get(field)
        if isinstance(value, dict):  # Mistral's capabilities by name, OpenRouter's architecture
            chat = value.get("completion_chat")
            value = value.get("output_modalities") if chat is None else ["chat" if chat else "embedding"]
            if isinstance(value, list) and "text" in value:
                value = ["chat"]
        kinds += value if isinstance(value, list) else [value]
    words = [kind.lower() for kind in kinds if isinstance(kind, str)]
    if any(_CHAT_KIND.search(kind) for kind in words):
        return True
    return not any(_NO_CHAT_KIND.search(kind) for kind in words) and not _NO_CHAT_NAME.search(name)
