"""Talk to GLM, a local model or any OpenAI-compatible server inside a notebook."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ._chat import Chat
    from ._comparison import Comparison
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
        SchemaError,
        ServerError,
        StalledError,
        StatusError,
        StoreError,
        ToolCallError,
        TransportError,
    )
    from ._events import (
        Event,
        Finished,
        FinishReason,
        Part,
        PartialValue,
        Replace,
        Source,
        TextDelta,
        ThinkingDelta,
        ToolCall,
        ToolCallDelta,
        ToolResult,
        ToolStarted,
        Usage,
    )
    from ._messages import ImagePart, Message, Request, TextPart
    from ._reply import Reply
    from ._tools.tool import tool
    from .panel import ChatPanel
    from .providers import Provider
    from .providers.chatglm.provider import ChatGLM
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
    "Comparison",
    "ConfigError",
    "ConnectError",
    "ContentFilterError",
    "Event",
    "FinishReason",
    "Finished",
    "FunctionProvider",
    "ImagePart",
    "Interrupted",
    "Message",
    "MissingKeyError",
    "Part",
    "PartialValue",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "Replace",
    "Reply",
    "ReplyFormatError",
    "Request",
    "SchemaError",
    "ServerError",
    "Source",
    "StalledError",
    "StatusError",
    "StoreError",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallError",
    "ToolResult",
    "ToolStarted",
    "TransportError",
    "Usage",
    "__version__",
    "load_ipython_extension",
    "tool",
    "unload_ipython_extension",
]

_HOMES = {
    "Chat": "_chat",
    "ChatGLM": "providers.chatglm.provider",
    "ChatPanel": "panel",
    "Comparison": "_comparison",
    "FunctionProvider": "providers.function",
    "ImagePart": "_messages",
    "Message": "_messages",
    "Provider": "providers",
    "Reply": "_reply",
    "Request": "_messages",
    "tool": "_tools.tool",
    "TextPart": "_messages",
    **dict.fromkeys(
        (
            "Event",
            "FinishReason",
            "Finished",
            "Part",
            "PartialValue",
            "Replace",
            "Source",
            "TextDelta",
            "ThinkingDelta",
            "ToolCall",
            "ToolCallDelta",
            "ToolResult",
            "ToolStarted",
            "Usage",
        ),
        "_events",
    ),
}
"""Where names live that are no errors; modules are imported when a name is first used."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import(_HOMES.get(name, "_errors")), name)
    globals()[name] = value
    return value


def _import(module: str) -> Any:  # noqa: ANN401 - a module, whose names are its own
    """Import one of our modules: by name, so that the lower floors, which import this one, import none above."""
    return import_module(f".{module}", __name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Load the magics into a shell; do nothing where they are loaded."""
    _import("_magics.magic").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove from a shell all that loading put there."""
    _import("_magics.magic").unload(shell)
