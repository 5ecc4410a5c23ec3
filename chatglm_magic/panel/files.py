"""A conversation as a file that the page offers to save."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from .._chat import Chat
from .._errors import ConfigError

_FORMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "md": ("to_markdown", "text/markdown"),
        "html": ("to_html", "text/html"),
        "ipynb": ("to_ipynb", "application/x-ipynb+json"),
        "json": ("to_json", "application/json"),
    }
)
"""What writes each form, and its media type."""


def make(chat: Chat, form: str) -> tuple[str, str, str]:
    """Write what has been said in a conversation.

    Returns:
        The file's name, its media type and its text.

    Raises:
        ConfigError: Nothing has been said.
    """
    path = chat.tree.path()
    if not path:
        msg = "Nothing has been said here yet, so there is nothing to export."
        raise ConfigError(msg)
    writer, kind = _FORMS[form]
    try:
        export = import_module(".._export", __package__)
    except ImportError:
        msg = "This version cannot export yet."
        raise ConfigError(msg) from None
    name = re.sub(r"[^\w.-]+", "-", chat.name).strip("-.") or "chat"
    return f"{name}.{form}", kind, getattr(export, writer)(chat.name, path)
