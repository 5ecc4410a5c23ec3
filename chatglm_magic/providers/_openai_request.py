"""Request → the URL and the JSON body of an OpenAI-compatible chat call; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .._errors import ConfigError
from .._messages import OptionValue, Request
from .._urls import origin
from .._values import dataclass
from ._think_tags import TURN_TOKENS

_CHAT = "/chat/completions"
_MAX_STOPS = 4
"""How many stop words the platforms' schema and OpenAI's allow."""

_PLATFORM_OPTIONS = ("temperature", "top_p", "max_tokens", "seed", "stop", "do_sample")
_MIN_TOP_P = 0.01


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent.

    Attributes:
        data: JSON.
        warnings: Short names of what the dialect could not take as it was asked for.
    """

    data: bytes
    warnings: tuple[str, ...] = ()


def normalize(base_url: str, bare_path: str) -> str:
    """Bring a base URL into the form that `/chat/completions` can follow.

    A `/chat/completions` and slashes at its end are forgiven; a query is kept, for gateways that want one.

    Args:
        base_url: What the user wrote.
        bare_path: The path that a bare host gets.

    Raises:
        ConfigError: This is no http or https URL.
    """
    base_url = base_url.strip()
    origin(base_url)
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix(_CHAT).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or bare_path, parts.query, ""))


def endpoint(base_url: str, path: str) -> str:
    """Give the URL of an endpoint under a normalized base URL."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=parts.path + path))


def chat_url(base_url: str) -> str:
    """Give the URL that chats are posted to."""
    return endpoint(base_url, _CHAT)


def platform_body(request: Request, model: str) -> Body:
    """Write a request as the official platforms take it (wire.md B.2).

    Raises:
        ConfigError: A parameter that they do not have.
    """
    body = _body(request, model)
    parameters, warnings = _platform_options(request.options)
    if request.think is not None:
        body["thinking"] = {"type": "enabled" if request.think else "disabled"}
    return Body(_encode(body | parameters), warnings)


def server_body(request: Request, model: str, *, turn_tokens: bool) -> Body:
    """Write a request as users' own servers take it (wire.md C).

    Args:
        request: What is asked.
        model: The model that is asked.
        turn_tokens: Whether GLM's turn tokens are added to the stop words: a server that does not know
            them as the end of a turn would let the model go on with the user's part.
    """
    body = _body(request, model) | {"stream_options": {"include_usage": True}}
    if request.think is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.think}
    parameters: dict[str, Any] = dict(request.options)
    if parameters.pop("do_sample", True) is False:
        parameters["temperature"] = 0.0  # the same, in words that every server knows
    if "repeat_penalty" in parameters:
        parameters["repetition_penalty"] = parameters["repeat_penalty"]  # llama.cpp's name, and vLLM's and SGLang's
    words = _words(parameters.pop("stop", ()))
    if turn_tokens:
        added = [token for token in TURN_TOKENS if token not in words]
        words += added[: max(0, _MAX_STOPS - len(words))]
    if words:
        parameters["stop"] = words
    return Body(_encode(body | parameters))


def _body(request: Request, model: str) -> dict[str, Any]:
    """Give what both dialects share. Earlier thinking is not sent back: no server needs it."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {"model": model, "messages": messages, "stream": True}


def _platform_options(options: Mapping[str, OptionValue]) -> tuple[dict[str, Any], tuple[str, ...]]:
    if unknown := sorted(options.keys() - set(_PLATFORM_OPTIONS)):
        msg = (
            f"The platforms have no parameter {', '.join(unknown)}. Valid ones: {', '.join(_PLATFORM_OPTIONS)}. "
            "Others are for your own servers (--base-url)."
        )
        raise ConfigError(msg)
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
        parameters["stop"] = _words(parameters["stop"])
        if len(parameters["stop"]) > _MAX_STOPS:
            msg = f"The platforms take at most {_MAX_STOPS} stop words, not {len(parameters['stop'])}."
            raise ConfigError(msg)
        if len(parameters["stop"]) > 1:
            warnings.append("one-stop-word-honoured")
    return parameters, tuple(warnings)


def _words(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(word) for word in value] if isinstance(value, tuple) else []


def _encode(body: dict[str, Any]) -> bytes:
    # Not msgspec: text that was pasted may hold lone surrogates, and they must not fail the cell.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
