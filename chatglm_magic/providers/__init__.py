"""The protocol of providers, the table of those there are, and how a spec names one.

A new provider is one file, `providers/<name>.py`, and its line in `PROVIDERS`:

    class EchoProvider:
        name = "echo"

        def __init__(self, settings: Settings) -> None:
            self.model = settings.model or "echo-1"

        async def stream(self, request: Request) -> AsyncGenerator[Event]:
            yield TextDelta(request.messages[-1].text)
            yield Finished("stop")

A server of the OpenAI-compatible dialect needs a subclass of `OpenAICompatibleProvider` with a `name` and a
`default_base_url` (see `ZaiProvider`); one of another dialect over HTTP needs a `Decoder` for `stream.run`. A case in
`tests/providers/contract.py` tries the new provider with every law that providers keep. A key is found for it in the
environment or after `%chatglm login` once `_credentials` has its lines in `KEY_NAMES` and `HOSTS`.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import msgspec

from .._credentials import Key
from .._errors import ChatGLMError, ConfigError
from .._language import tr
from .._messages import limit_pictures

if TYPE_CHECKING:
    from .._events import Event
    from .._messages import Request


@runtime_checkable
class Provider(Protocol):
    """Anything that can answer: a name, and one async generator of events.

    Further attributes are optional and read where they exist:
        model (str): The model that is asked when a request names none.
        unnamed (str): A description of that model, where `model` is empty.
        host (str): Where requests go, for people to read.
        base_url (str): The server it was made for; empty for its own.
        caption (str): What a user should know about the model, shown beside its name.
        known_models (tuple[str, ...]): On the class: models that are known without asking.
        history_tokens (int): How much of a conversation it takes well.
        models (async () -> list[str]): Returns the models it offers.
        schema_modes (tuple[FormatMode, ...]): How it can be held to a JSON Schema, the best way first; where it is
            missing, only by the prompt.
        check ((Request) -> Request): Returns a request as it is asked; raises ConfigError where it cannot be asked so.
        parameters ((Request) -> dict): Returns what is sent beside model and messages, if not `request.options`.
    """

    name: str

    def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield the reply to a request: any number of deltas, none empty, and exactly one `Finished`, last.

        The caller closes the generator (`contextlib.aclosing`), and closing it closes the connection. One provider
        may be asked from several event loops, and several times at once.

        Raises:
            ChatGLMError: The reply failed. If anything was yielded, `Finished` is yielded before it is raised.
        """
        ...


class Settings(msgspec.Struct, frozen=True):
    """What a provider is made from. Its repr hides the key.

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
        msgspec.structs.force_setattr(self, "api_key", Key(self.api_key))


class UnavailableProvider:
    """A provider that cannot be asked; answers that it gave before may still be stored under its name.

    Args:
        name: The provider's name.
        error: Why it cannot be asked; each question raises a copy of it.
        model: The model that answers would come from.

    Attributes:
        name: As given.
        model: As given.
    """

    def __init__(self, name: str, error: ChatGLMError, *, model: str = "") -> None:
        self.name = name
        self.model = model
        self._error = error

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Raise the error.

        Raises:
            ChatGLMError: Always.
        """
        raise copy.copy(self._error)  # a reply and a traceback are attached to an error that was raised
        yield  # type: ignore[unreachable]  # makes it a generator


PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "local": "local.provider:LocalProvider",
        "zai": "openai.provider:ZaiProvider",
        "bigmodel": "openai.provider:BigModelProvider",
        "openai": "openai.provider:OpenAICompatibleProvider",
        "chatglm": "chatglm.provider:ChatGLMProvider",
    }
)
"""The module in this folder and the class of each provider by name; imported at first use, made from `Settings`."""


def make_provider(name: str, settings: Settings) -> Provider:
    """Return a new provider of that name.

    Raises:
        ConfigError: There is no such provider, or the settings lack something it needs.
    """
    if name not in PROVIDERS:
        raise unknown_provider(name)
    return cast("_Factory", _class(name))(settings)


def unknown_provider(name: str) -> ConfigError:
    """Return the error for a name that is no provider's."""
    names = tr(", ").join(("auto", *PROVIDERS))
    return ConfigError(tr("There is no provider {name!r}. Valid ones: {names}.", name=name, names=names))


def known_models(name: str) -> tuple[str, ...]:
    """Return the models of a provider that are known without asking it; none for an unknown name."""
    return tuple(getattr(_class(name), "known_models", ())) if name in PROVIDERS else ()


def refuse_pictures(request: Request, who: str) -> Request:
    """Return the request to a model that sees nothing: pictures of earlier questions become the word `[picture]`.

    Raises:
        ConfigError: The question itself has pictures.
    """
    question = next((message for message in reversed(request.messages) if message.role == "user"), None)
    if question is not None and question.pictures:
        raise ConfigError(
            tr(
                "{who} sees no pictures, so nothing was sent. Ask a model that does: -m zai:glm-4.6v-flash is free.",
                who=who,
            )
        )
    return msgspec.structs.replace(request, messages=tuple(limit_pictures(request.messages, 0)))


def refuse_tools(request: Request, who: str) -> None:
    """Check that a request asks for no tools; calls in the conversation so far are none.

    Raises:
        ConfigError: It does.
    """
    if request.tools:
        raise ConfigError(
            tr("{who} calls no tools, so nothing was sent. Ask without them, or ask another provider.", who=who)
        )


def refuse_search(request: Request, who: str) -> None:
    """Check that a request asks for no search of the web.

    Raises:
        ConfigError: It does.
    """
    if request.search:
        raise ConfigError(
            tr("{who} cannot search the web. Ask without it, or ask Z.ai or BigModel: -m zai:glm-4.7-flash.", who=who)
        )


class _Factory(Protocol):
    def __call__(self, settings: Settings) -> Provider: ...


def _class(name: str) -> object:
    module, _, attribute = PROVIDERS[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


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
