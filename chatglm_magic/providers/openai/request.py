"""Request → the URL and the JSON body of an OpenAI-compatible chat call; no I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, assert_never
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ..._credentials import origin
from ..._errors import ConfigError
from ..._language import tr
from ..._messages import ImagePart, Message, OptionValue, Request, ResponseFormat, TextPart, ToolSpec
from .think_tags import TURN_TOKENS

_CHAT = "/chat/completions"
_MAX_STOPS = 4
"""How many stop words the platforms' schema and OpenAI's allow."""

_PLATFORM_OPTIONS = ("temperature", "top_p", "max_tokens", "seed", "stop", "do_sample", "reasoning_effort")
_MIN_TOP_P = 0.01
_WEB_SEARCH: Mapping[str, Any] = MappingProxyType(
    {"enable": True, "search_engine": "search_std", "search_result": True}
)
"""The cheapest of the platforms' engines; what it finds is sent with the answer."""
_PENALTY = ("repeat_penalty", "repetition_penalty")
"""One parameter: llama.cpp's name, and vLLM's and SGLang's."""


class Body(msgspec.Struct, frozen=True):
    """The body of a request.

    Attributes:
        data: JSON.
        warnings: Short names of what the dialect could not take as it was asked for.
        optional: The parameters that can be left out or, `max_tokens`, named otherwise where a server refuses them.
    """

    data: bytes
    warnings: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


def normalize(base_url: str, bare_path: str) -> str:
    """Return a base URL in the form that `/chat/completions` can follow.

    A trailing `/chat/completions` and slashes are removed; a query is kept, for gateways that want one.

    Args:
        base_url: The URL as the user wrote it.
        bare_path: The path that a bare host gets.

    Raises:
        ConfigError: This is no http or https URL.
    """
    base_url = base_url.strip()
    origin(base_url)
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix(_CHAT).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or bare_path, parts.query, ""))


def endpoint(base_url: str, path: str = _CHAT) -> str:
    """Return the URL of an endpoint under a normalized base URL; without a path, the one that chats are posted to."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=parts.path + path))


def platform_body(request: Request, model: str) -> Body:
    """Return a request in the dialect of the official platforms (docs.z.ai, docs.bigmodel.cn).

    Their temperature lies in 0…1 with two decimals, where 0 is `do_sample: false`; `top_p` in 0.01…1; of the stop
    words only one is honoured, though the schema allows four. Thinking is `thinking.type`, on by default. Pictures are
    base64 without the prefix of a `data:` URL, and a search of the web is one of the tools.

    Raises:
        ConfigError: A parameter that the platforms do not have.
    """
    body = _body(request, model, prefix=False)
    if request.search:
        body["tools"] = [*body.get("tools", ()), {"type": "web_search", "web_search": dict(_WEB_SEARCH)}]
    parameters, warnings = _platform_options(request.options)
    if request.think is not None:
        body["thinking"] = {"type": "enabled" if request.think else "disabled"}
    return Body(_encode(body | parameters), warnings)


def server_body(request: Request, model: str, *, turn_tokens: bool, without: Collection[str] = ()) -> Body:
    """Return a request in the dialect of users' own servers: vLLM, SGLang, Ollama, llama.cpp, Xinference.

    They send usage only with `stream_options.include_usage`, and switch thinking in `chat_template_kwargs`.

    Args:
        request: The request.
        model: The model that is asked.
        turn_tokens: Whether GLM's turn tokens are added to the stop words: a server that does not know
            them as the end of a turn would let the model go on with the user's part.
        without: The `optional` parameters that this server refuses.
    """
    body = _body(request, model)
    optional = {"stream_options", *({"max_tokens"} & request.options.keys())}
    if request.think is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.think}
    parameters: dict[str, Any] = dict(request.options)
    if parameters.pop("do_sample", True) is False:
        parameters["temperature"] = 0.0  # the same, in words that every server knows
    if "repeat_penalty" in parameters:
        penalty = parameters.pop("repeat_penalty")
        names = [name for name in _PENALTY if name not in without] or _PENALTY[:1]
        parameters |= dict.fromkeys(names, penalty)
        optional |= {*names} if len(names) > 1 else set()
    most = parameters.pop("max_tokens", None)
    if most is not None and "max_completion_tokens" not in parameters:  # the latter is the new name of the same
        parameters["max_completion_tokens" if "max_tokens" in without else "max_tokens"] = most
    stops = _stop_words(parameters.pop("stop", ()))
    if turn_tokens and "stop" not in without:
        added = [token for token in TURN_TOKENS if token not in stops][: max(0, _MAX_STOPS - len(stops))]
        stops += added
        optional |= {"stop"} if added else set()
    if stops:
        parameters["stop"] = stops
    if "stream_options" not in without:
        body["stream_options"] = {"include_usage": True}
    return Body(_encode(body | parameters), optional=frozenset(optional).difference(without))


def message_body(message: Message, *, prefix: bool = True) -> dict[str, Any]:
    """Return a message as JSON. Earlier thinking is not sent back: no server needs it.

    Only a user's content has parts, and only where it has pictures: everybody takes a plain string.

    Args:
        message: The message.
        prefix: Whether the bytes of pictures are `data:` URLs, not bare base64.
    """
    content: object = message.text
    if message.role == "user" and message.pictures and not isinstance(message.content, str):
        content = [_part_body(part, prefix=prefix) for part in message.content]
    body: dict[str, Any] = {"role": message.role, "content": content}
    if message.calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in message.calls
        ]
    if message.role == "tool":
        body["tool_call_id"] = message.call_id
    return body


def tool_bodies(tools: Iterable[ToolSpec]) -> list[dict[str, Any]]:
    """Return tools as JSON."""
    return [{"type": "function", "function": msgspec.structs.asdict(tool)} for tool in tools]


def _part_body(part: TextPart | ImagePart, *, prefix: bool) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = part.url
    if not url:
        start = f"data:{part.media_type};base64," if prefix else ""
        url = start + base64.b64encode(part.data).decode("ascii")
    return {"type": "image_url", "image_url": {"url": url}}


def _body(request: Request, model: str, *, prefix: bool = True) -> dict[str, Any]:
    """Return what both dialects share."""
    messages = [message_body(message, prefix=prefix) for message in request.messages]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    if request.tools:
        body |= {"tools": tool_bodies(request.tools), "tool_choice": "auto"}  # a forced call makes GLM hang
    if request.format is not None:
        body |= _format(request.format)
    return body


def _format(asked: ResponseFormat) -> dict[str, Any]:
    """Return how a server is held to a form; llama.cpp makes a grammar of a schema by itself."""
    match asked.mode:
        case "prompt":
            return {}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema" | "grammar":
            schema = {"name": asked.name, "schema": asked.schema, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            assert_never(asked.mode)


def _platform_options(options: Mapping[str, OptionValue]) -> tuple[dict[str, Any], tuple[str, ...]]:
    options = dict(options)
    if "max_completion_tokens" in options:  # the new name of the same
        options["max_tokens"] = options.pop("max_completion_tokens")
    if unknown := sorted(options.keys() - set(_PLATFORM_OPTIONS)):
        raise ConfigError(
            tr(
                "The platforms have no parameter {names}. Valid ones: {valid}. "
                "Others are for your own servers (--base-url).",
                names=tr(", ").join(unknown),
                valid=tr(", ").join(_PLATFORM_OPTIONS),
            )
        )
    parameters: dict[str, Any] = dict(options)
    warnings = []
    temperature = parameters.get("temperature")
    if temperature is not None and temperature <= 0:
        del parameters["temperature"]
        parameters["do_sample"] = False
    elif temperature is not None:
        parameters["temperature"] = min(round(temperature, 2), 1.0) or 0.01
        if temperature > 1:
            warnings.append("temperature-above-1")
    if "top_p" in parameters:
        parameters["top_p"] = max(parameters["top_p"], _MIN_TOP_P)
    if "stop" in parameters:
        stops = parameters["stop"] = _stop_words(parameters["stop"])
        if len(stops) > _MAX_STOPS:
            raise ConfigError(
                tr("The platforms take at most {limit} stop words, not {count}.", limit=_MAX_STOPS, count=len(stops))
            )
        if len(stops) > 1:
            warnings.append("one-stop-word-honoured")
    return parameters, tuple(warnings)


def _stop_words(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(word) for word in value] if isinstance(value, tuple) else []


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # pasted text may hold lone surrogates, and they must not fail the cell
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
