"""A conversation as a file: to read, to send to others, to work on, to load again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from .._errors import ConfigError
from .._said import Said
from .._tree import Tree
from .kept import read_json, to_json
from .markdown import to_markdown
from .notebook import to_ipynb
from .page import to_html
from .stamp import is_untouched

__all__ = ["FORMS", "read_json", "to_html", "to_ipynb", "to_json", "to_markdown", "write"]

FORMS: Mapping[str, Callable[[str, Tree | Sequence[Said]], str]] = MappingProxyType(
    {".md": to_markdown, ".html": to_html, ".ipynb": to_ipynb, ".json": to_json}
)
"""What a file's ending makes of a conversation. JSON holds all versions, the others what is shown."""


def write(path: Path, title: str, said: Tree | Sequence[Said]) -> Path:
    """Write a conversation to a file, all of it or nothing, in UTF-8.

    A file that is there is only replaced if it was written here and nobody has changed it since.

    Args:
        path: Where to; its ending says how.
        title: What stands above it: the conversation's name.
        said: The conversation; of a list, the messages that are shown, oldest first.

    Raises:
        ConfigError: The ending is none of `FORMS`, or another file is there.
        OSError: The file cannot be written; one that was there is as it was.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        msg = f"The file's ending says how to write it: {', '.join(FORMS)}, not {path.suffix or 'none'!r}."
        raise ConfigError(msg)
    if path.exists() and not is_untouched(path):
        msg = (
            f"There is a file {path} already that was not written by an export, or was changed since. It is left "
            f"as it is: take another name, or remove it first."
        )
        raise ConfigError(msg)
    text = form(title, said)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return path
