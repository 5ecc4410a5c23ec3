"""Who answers: the protocol, the providers there are, and how a spec names one."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from .._errors import ConfigError
from .._imports import in_peace
from .._urls import Key
from .._values import dataclass

if TYPE_CHECKING:
    from .._events import Event
    from .._messages import Request


@runtime_checkable
class Provider(Protocol):
    """Anything that can answer: a name, and one async generator of events.

    `stream` yields any number of deltas and exactly one `Finished`, last; a failure is raised as a
    `ChatGLMError`. It is closed by its caller (`contextlib.aclosing`), and closing it hangs up.

    Further attributes are optional and read where they exist:
        model (str): What is asked when no model is named.
        unnamed (str): Which model that is, in words, where `model` is empty.
        host (str): Where requests go, for people to read.
        base_url (str): The server it was made for, if not its own.
        caption (str): What a user should know about the model beside its name.
        history_tokens (int): How much of a conversation it takes well.
        models (async () -> list[str]): The models it offers.
        parameters ((Request) -> dict): What is sent beside model and messages, if not the request's options.
    """

    name: str

    def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer a request."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider is made from.

    Attributes:
        base_url: Where it answers; empty for the provider's own host.
        api_key: The key for that host; empty for none.
        proxy: An http or https proxy; empty for what the environment says.
        model: The model asked for when a request names none (for `local`: a path to a GGUF file).
    """

    base_url: str = ""
    api_key: str = ""
    proxy: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", Key(self.api_key))  # frozen: set once, here

    def __repr__(self) -> str:
        """Show everything but the key."""
        return f"Settings(base_url={self.base_url!r}, proxy={self.proxy!r}, model={self.model!r})"


class _Factory(Protocol):
    def __call__(self, settings: Settings) -> Provider: ...


PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "local": "chatglm_magic.providers.local:LocalProvider",
        "zai": "chatglm_magic.providers.openai_compatible:ZaiProvider",
        "bigmodel": "chatglm_magic.providers.openai_compatible:BigModelProvider",
        "openai": "chatglm_magic.providers.openai_compatible:OpenAICompatibleProvider",
        "chatglm": "chatglm_magic.providers.chatglm:ChatGLMProvider",
    }
)
"""Every provider by name: the class that makes it from `Settings`, imported at first use."""


def make_provider(name: str, settings: Settings) -> Provider:
    """Make the provider of that name.

    Raises:
        ConfigError: There is none of that name, or the settings lack something it needs.
    """
    if name not in PROVIDERS:
        msg = f"There is no provider {name!r}. Valid ones: auto, {', '.join(PROVIDERS)}."
        raise ConfigError(msg)
    return cast("_Factory", _class(name))(settings)


def known_models(name: str) -> tuple[str, ...]:
    """Give the models of a provider that are known without asking it; none for a name that is no provider."""
    return tuple(getattr(_class(name), "known_models", ())) if name in PROVIDERS else ()


def _class(name: str) -> object:
    module, _, attribute = PROVIDERS[name].partition(":")
    with in_peace():
        return getattr(importlib.import_module(module), attribute)


def split_spec(spec: str) -> tuple[str, str]:
    """Split `provider:model` at the first colon, but only after a known provider.

    Returns:
        The provider's name, or an empty string, and the model's, or an empty string.

    >>> split_spec("zai:glm-4.7-flash"), split_spec("openai:qwen3:8b"), split_spec("qwen3:8b"), split_spec("local")
    (('zai', 'glm-4.7-flash'), ('openai', 'qwen3:8b'), ('', 'qwen3:8b'), ('local', ''))
    """
    head, colon, tail = spec.partition(":")
    if head in PROVIDERS or head == "auto":
        return head, tail
    return "", spec if colon or head else ""
