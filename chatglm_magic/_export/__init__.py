"""A conversation as a file: to read, to send to others, to work on, to load again."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import msgspec

from .._conversation.tree import MessageTree
from .._errors import ConfigError
from .._language import join_sentences, marked, tr
from .html import to_html
from .json import read_json, to_json
from .markdown import STAMP, to_markdown
from .notebook import to_ipynb

__all__ = ["FORMATS", "read_json", "render", "write"]

_DIGEST = re.compile(r"chatglm_magic:([0-9a-f]{16})")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TOP = 400


class Format(msgspec.Struct, frozen=True):
    """A file format.

    Attributes:
        render: Returns a conversation of a title in it, with `STAMP` among its first 400 characters.
        media_type: Its MIME type.
    """

    render: Callable[[str, MessageTree], str]
    media_type: str


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".md": Format(lambda title, tree: to_markdown(title, tree.path()), "text/markdown"),
        ".html": Format(lambda title, tree: to_html(title, tree.path()), "text/html"),
        ".ipynb": Format(lambda title, tree: to_ipynb(title, tree.path()), "application/x-ipynb+json"),
        ".json": Format(to_json, "application/json"),
    }
)
"""The formats by a file's ending. JSON holds all versions of a conversation, the others the chosen ones."""


def render(suffix: str, title: str, tree: MessageTree) -> str:
    """Return a conversation of a title as the text of a file, whose ending is one of `FORMATS`."""
    text = FORMATS[suffix].render(title, tree)
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)  # no file can hold halves of surrogate pairs
    return text.replace(STAMP, f"chatglm_magic:{_digest(text)}", 1)


def write(path: Path, title: str, tree: MessageTree) -> Path:
    """Write a conversation to a file, whole or not at all, in UTF-8.

    The file's ending selects the format. An existing file is replaced only if an export wrote it and nobody has changed
    it since.

    Raises:
        ConfigError: The ending is none of `FORMATS`, or another file is there.
        OSError: The file cannot be written; one that was there is unchanged.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        endings = tr(", ").join(FORMATS)
        if path.suffix:
            sentence = marked("The file's ending says how to export: {endings}, not {given!r}.")
        else:
            sentence = marked("The file's ending says how to export: {endings}, not 'none'.")
        raise ConfigError(tr(sentence, endings=endings, given=path.suffix))
    if path.exists() and not _is_untouched(path):
        message = join_sentences(
            tr("There is a file {path} already that was not written by an export, or was changed since.", path=path),
            tr("It is left as it is: take another name, or remove it first."),
        )
        raise ConfigError(message)
    text = render(suffix, title, tree)
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


def _is_untouched(path: Path) -> bool:
    """Return whether a file holds its own digest."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return False
    found = _DIGEST.search(text, 0, _TOP)
    return found is not None and found[1] == _digest(f"{text[: found.start()]}{STAMP}{text[found.end() :]}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
