"""Where the store is."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

OFF = "off"
MEMORY = ":memory:"
_OFF_WORDS = frozenset({"off", "none", "false", "no", "0"})
_FILE = "conversations.db"

_configured = ""


def configure(where: str) -> None:
    """Take note of where the user wants the store from now on, before what the environment says; empty for there."""
    global _configured  # noqa: PLW0603 - one for the process, as the environment is
    _configured = where


def place(where: str = "") -> str:
    """Give where the store is: the path of its file, `:memory:` or `off`.

    Args:
        where: What the caller says; else what is configured, else `CHATGLM_STORE`, else the user's data folder.
    """
    said = where.strip() or _configured.strip() or os.environ.get("CHATGLM_STORE", "").strip()
    if said.lower() in _OFF_WORDS:
        return OFF
    if said == MEMORY:
        return MEMORY
    if said:
        return _path(said)
    from platformdirs import user_data_path

    return str(user_data_path("chatglm_magic", appauthor=False) / _FILE)


@cache
def _path(said: str) -> str:
    """Give the file that is meant; a relative path means for ever what it means at first. In a folder it is ours."""
    path = Path(said).expanduser().absolute()
    return str(path / _FILE if path.is_dir() else path)
