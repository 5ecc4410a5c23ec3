"""Talk to GLM, a local model or any OpenAI-compatible server inside a notebook."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ._chat import Chat
    from ._errors import (
        AuthenticationError,
        BadRequestError,
        BlockedError,
        BrokenStreamError,
        ChatGLMError,
        ConfigError,
        ConnectError,
        ContentFilterError,
        Interrupted,
        MissingKeyError,
        ProtocolError,
        ProviderError,
        QuotaError,
        RateLimitError,
        ReplyFormatError,
        ServerError,
        StalledError,
        StatusError,
        StoreError,
        TransportError,
    )
    from ._events import (
        Event,
        Finished,
        FinishReason,
        Part,
        Replace,
        Source,
        TextDelta,
        ThinkingDelta,
        ToolCall,
        ToolCallDelta,
        Usage,
    )
    from ._messages import Message, Request
    from ._reply import Reply
    from .panel import ChatPanel
    from .providers import Provider
    from .providers.chatglm import ChatGLM
    from .providers.function import FunctionProvider


__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "BlockedError",
    "BrokenStreamError",
    "Chat",
    "ChatGLM",
    "ChatGLMError",
    "ChatPanel",
    "ConfigError",
    "ConnectError",
    "ContentFilterError",
    "Event",
    "FinishReason",
    "Finished",
    "FunctionProvider",
    "Interrupted",
    "Message",
    "MissingKeyError",
    "Part",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "Replace",
    "Reply",
    "ReplyFormatError",
    "Request",
    "ServerError",
    "Source",
    "StalledError",
    "StatusError",
    "StoreError",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "TransportError",
    "Usage",
    "__version__",
    "load_ipython_extension",
    "unload_ipython_extension",
]

_HOMES = {
    "Chat": "_chat",
    "ChatGLM": "providers.chatglm",
    "ChatPanel": "panel",
    "FunctionProvider": "providers.function",
    "Message": "_messages",
    "Provider": "providers",
    "Reply": "_reply",
    "Request": "_messages",
    **dict.fromkeys(
        (
            "Event",
            "FinishReason",
            "Finished",
            "Part",
            "Replace",
            "Source",
            "TextDelta",
            "ThinkingDelta",
            "ToolCall",
            "ToolCallDelta",
            "Usage",
        ),
        "_events",
    ),
}
"""Where names live that are no errors; modules are imported when a name is first used."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(_import(_HOMES.get(name, "_errors")), name)
    globals()[name] = value
    return value


def _import(module: str) -> Any:  # noqa: ANN401 - a module, whose names are its own
    """Import one of our modules: by name, so that the lower floors, which import this one, import none above."""
    return import_module(f".{module}", __name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give a shell its magics; does nothing where it has them."""
    _import("_magics.magic").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take all that loading brought out of the shell again."""
    _import("_magics.magic").unload(shell)
