"""What the page asks for, read and checked: nothing it sends is taken on trust; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, TypeGuard

from .._values import dataclass

MAX_BYTES = 256 * 1024
"""How long a text from the page may be, in UTF-8 bytes."""

_NAME_LENGTH = 200
_WORD_LENGTH = 80
_LARGEST = 2**53
"""Whole numbers beyond this are not exact in a page."""


class Refused(ValueError):  # noqa: N818 - it is no error of ours
    """A message that is not taken.

    Args:
        why: What is wrong with it, in a sentence.
        view: Which view sent it; empty where it does not say.
        number: Its number there; 0 where it does not say.
    """

    def __init__(self, why: str, view: str = "", number: int = 0) -> None:
        super().__init__(why)
        self.view = view
        self.number = number


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of the page.

    Attributes:
        kind: What is asked for.
        view: The view that asks: a page may show a panel twice.
        number: The message's number there; the answer repeats it.
        values: What comes with it, checked.
    """

    kind: str
    view: str
    number: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)


class _WrongError(ValueError):
    """A value that is not taken; the text says what one must be."""


def read(content: object) -> Asked:
    """Read a message.

    Raises:
        Refused: It is none that a page of ours sends.
    """
    if not isinstance(content, dict):
        msg = "The page sent something that is no message."
        raise Refused(msg)
    view, number = content.get("view"), content.get("req", 0)
    if not isinstance(view, str) or not 0 < len(view) <= _WORD_LENGTH:
        msg = "The page sent a message without the name of its view."
        raise Refused(msg)
    if not _is_whole(number) or not 0 <= number < _LARGEST:
        msg = "The page sent a message with a number that is none."
        raise Refused(msg, view)
    kind = content.get("k")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if not isinstance(kind, str) or fields is None:
        msg = "The page asked for something that this panel does not know. Run the cell again after an update."
        raise Refused(msg, view, number)
    values = {}
    for name, check in fields.items():
        try:
            values[name] = check(content.get(name))
        except _WrongError as error:
            msg = f"The page's {kind!r} was refused: {name} must be {error}."
            raise Refused(msg, view, number) from None
    return Asked(kind, view, number, values)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = "a text"
        raise _WrongError(msg)
    # Half a character of UTF-16 is nothing that could be sent on.
    clean = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if len(clean) > MAX_BYTES or len(clean.encode()) > MAX_BYTES:
        msg = f"at most {MAX_BYTES // 1024} kB long"
        raise _WrongError(msg)
    return clean


def _short(value: object) -> str:
    text = _text(value)
    if len(text) > _NAME_LENGTH:
        msg = f"at most {_NAME_LENGTH} characters long"
        raise _WrongError(msg)
    return text


def _id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _WORD_LENGTH:
        msg = "the id of a message"
        raise _WrongError(msg)
    return value


def _one_of(*valid: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in valid:
            msg = f"one of {', '.join(valid)}"
            raise _WrongError(msg)
        return value

    return check


def _step(value: object) -> int:
    if not _is_whole(value) or value not in {-1, 1}:
        msg = "-1 or 1"
        raise _WrongError(msg)
    return value


def _code(value: object) -> int | str | None:
    if value is None or value == "cell":
        return "cell" if value else None
    if not _is_whole(value) or not 0 <= value < _LARGEST:
        msg = 'a number, "cell" or null'
        raise _WrongError(msg)
    return value


def _place(value: object) -> int | None:
    if value is None:
        return None
    if not _is_whole(value) or not 0 <= value < _LARGEST:
        msg = "a place in the text"
        raise _WrongError(msg)
    return value


def _switch(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        msg = "true, false or nothing"
        raise _WrongError(msg)
    return value


_FIELDS: Mapping[str, Mapping[str, Callable[[object], Any]]] = MappingProxyType(
    {
        "ready": {},
        "resync": {},
        "more": {},
        "bye": {},
        "ping": {},
        "stop": {},
        "undo": {},
        "retry": {},
        "send": {"text": _text},
        "continue": {"id": _id},
        "regenerate": {"id": _id},
        "edit": {"id": _id, "text": _text},
        "version": {"id": _id, "step": _step},
        "delete": {"id": _id},
        "source": {"id": _id, "code": _code},
        "model": {"name": _short},
        "chat": {"name": _short},
        "new": {"name": _short},
        "rename": {"name": _short},
        "find": {"what": _one_of("model", "chat"), "text": _short},
        "draft": {"text": _text, "at": _place},
        "export": {"form": _one_of("md", "html", "ipynb", "json")},
        "settings": {"open": _switch},
    }
)
"""Every message of the page: what it brings, and what that must be."""
