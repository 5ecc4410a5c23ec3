"""JSON while it is being written: what is complete of it so far; no I/O.

Complete are the items of the outermost list and the fields of the outermost object; of a field that is a list, its
items. What is still open is not shown: half a title is no title, and half an item fits no schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .text import DECODER, START, STRING

Take = Callable[[tuple[str | int, ...], Any], Any]

REJECTED: Any = object()
"""Returned by `take` for what does not fit."""
SKIPPED: Any = object()
"""Returned by `take` for what is not shown."""
_MARK = re.compile(STRING + r'|["\[\]{},]', re.DOTALL)
_INNER_MARK = re.compile(STRING + r'|["\[\]{}]', re.DOTALL)
"""What means something outside of strings, at the level of elements and inside of one; a string counts as one mark."""
_STRING_MARK = re.compile(r'["\\]')


def _as_it_is(_path: tuple[str | int, ...], value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    return value


class PartialJson:
    """Reads JSON in pieces, of any size. All pieces together cost the time of reading the text once.

    Feeding only keeps a piece; the text is read when the value is, so that an answer that comes in pieces of two
    characters costs no more than one in large ones. Only the element that is open is kept as text.

    What stands before the JSON is skipped. A list or object none of whose elements is taken is skipped as well, and
    the next one is waited for. Once one element has been taken, the first that is not, or that is no JSON, ends the
    value as it is.

    Args:
        take: Called for each element that is complete, with its path and its value, and with `()` and the whole where
            none has been taken before its end. Returns what is shown for it, `SKIPPED` or `REJECTED`.
    """

    def __init__(self, take: Take = _as_it_is) -> None:
        self._take = take
        self._pieces: list[str] = []
        self._ended = False
        self._seek()

    def _seek(self) -> None:
        """Wait for a new beginning."""
        self._fields: dict[str, Any] | None = None  # of the outermost object
        self._names: set[str] = set()  # of all its fields, shown or not
        self._items: list[Any] | None = None  # of the outermost list, or of the one that is open in the object
        self._key = ""  # the field that this list is
        self._place = 0  # how many items of it have come
        self._taken = False
        self._skipping = False
        self._start_element()

    def _start_element(self) -> None:
        self._element: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._looked_at = False
        self._behind_list = self._behind_item = False

    def feed(self, text: str) -> None:
        """Add what has come."""
        if not self._ended:
            self._pieces.append(text)

    @property
    def value(self) -> Any:  # noqa: ANN401 - JSON is any value
        """The list or object as far as it is complete; None before it has begun. Its elements are not to be changed."""
        self._read()
        if self._fields is None:
            return None if self._items is None else list(self._items)
        return {**self._fields, self._key: list(self._items)} if self._items is not None else dict(self._fields)

    def _read(self) -> None:
        text, self._pieces = "".join(self._pieces), []
        at = 0
        while at < len(text) and not self._ended:
            if self._fields is None and self._items is None:
                at = self._begin(text, at)
            elif self._in_string:
                at = self._string(text, at)
            else:
                at = self._mark(text, at)

    def _begin(self, text: str, at: int) -> int:
        """Look for the bracket that begins the JSON; one that needs more text to be told is kept for the next time."""
        found = START.search(text, at)
        if found is None:
            last = text.rfind("[", at)
            behind = text[last + 1 :].strip()
            if last >= 0 and any(word.startswith(behind) for word in ("true", "false", "null")):
                self._pieces.append(f"[{behind}")
            return len(text)
        if not text[found.end() :].strip():
            self._pieces.append(found[0])  # blanks behind it say nothing
            return len(text)
        if found[0] == "[":
            self._items = []
        else:
            self._fields = {}
        return found.end()

    def _string(self, text: str, at: int) -> int:
        """Read on inside a string."""
        if self._escaped:
            self._escaped = False
            return self._keep(text, at, at + 1)
        found = _STRING_MARK.search(text, at)
        if found is None:
            return self._keep(text, at, len(text))
        if found[0] == '"':
            self._in_string = False
        else:
            self._escaped = True
        return self._keep(text, at, found.end())

    def _keep(self, text: str, at: int, end: int) -> int:
        if not self._skipping:
            self._element.append(text[at:end])
        return end

    def _mark(self, text: str, at: int) -> int:
        """Read on outside of strings, to the next mark that means something."""
        found = (_INNER_MARK if self._depth else _MARK).search(text, at)
        if found is None:
            return self._keep(text, at, len(text))
        mark, end = found[0], found.end()
        if mark == '"':
            self._in_string = True
        elif mark[0] == '"':
            pass  # a whole string
        elif mark in "[{":
            if self._depth == 0 and not self._looked_at:
                self._looked_at = True
                if mark == "[" and self._opens_list(text[at : end - 1]):
                    return end
            self._depth += 1
        elif self._depth == 0:
            self._keep(text, at, end - 1)
            self._close(mark)
            return end
        elif mark in "]}":
            self._depth -= 1
            self._keep(text, at, end)
            if self._depth == 0 and self._items is not None and not self._skipping:
                self._close_item()
            return end
        return self._keep(text, at, end)

    def _opens_list(self, before: str) -> bool:
        """Return whether a bracket begins a list that is a field of the root; its items are then read one by one."""
        if self._skipping or self._items is not None:
            return False
        head = "".join(self._element) + before
        field = self._decode("{" + head + "0}")
        if field is None or len(field) != 1:
            return False
        key = next(iter(field))
        if key in self._names:
            return False  # a second field of that name: it is refused at its end
        self._names.add(key)
        self._key, self._items, self._place = key, [], 0
        self._start_element()
        return True

    def _close_item(self) -> None:
        """Add an object or a list to the list at its own bracket: the comma behind it may be long in coming."""
        element, is_second = "".join(self._element), self._behind_item
        self._start_element()
        self._behind_item = True
        if is_second or not self._add_item(element, ","):
            self._refuse(",")

    def _close(self, mark: str) -> None:
        """End the element before a comma or a closing bracket of its container, and with that the container."""
        element = "".join(self._element)
        behind_list, behind_item, in_list = self._behind_list, self._behind_item, self._items is not None
        self._start_element()
        if self._skipping:
            if mark != ",":
                self._close_skipped()
            return
        if behind_list:
            good = mark != "]" and not element.strip()
        elif behind_item:
            good = mark != "}" and not element.strip()
        elif in_list:
            good = self._add_item(element, mark)
        else:
            good = self._add_field(element, mark)
        if not good:
            self._refuse(mark)
        elif mark == ",":
            return
        elif in_list and self._fields is not None:
            self._close_list(self._fields)
        else:
            self._finish()

    def _close_skipped(self) -> None:
        if self._items is not None and self._fields is not None:
            self._items = None  # the rest of the object is still to come
        else:
            self._seek()

    def _add_item(self, element: str, mark: str) -> bool:
        """Add an item to the list; return False where it is none, or is not taken."""
        if mark == "}" or self._items is None:
            return False
        if not element.strip():
            return mark == "]" and self._place == 0
        found = self._decode(f"[{element}]")
        if found is None or len(found) != 1:
            return False
        path = (self._place,) if self._fields is None else (self._key, self._place)
        self._place += 1
        shown = self._take(path, found[0])
        if shown is not REJECTED and shown is not SKIPPED:
            self._items.append(shown)
            self._taken = True
        return shown is not REJECTED

    def _add_field(self, element: str, mark: str) -> bool:
        """Add a field to the object; return False where it is none, is there already, or is not taken."""
        if mark == "]" or self._fields is None:
            return False
        if not element.strip():
            return mark == "}" and not self._names
        field = self._decode("{" + element + "}")
        if field is None or len(field) != 1:
            return False
        ((key, value),) = field.items()
        if key in self._names:
            return False
        self._names.add(key)
        shown = self._take((key,), value)
        if shown is not REJECTED and shown is not SKIPPED:
            self._fields[key] = shown
            self._taken = True
        return shown is not REJECTED

    def _close_list(self, fields: dict[str, Any]) -> None:
        """Make the list that was open in the object a field of it."""
        items, self._items = self._items, None
        self._behind_list = True
        if items or self._take((self._key,), []) is not SKIPPED:
            fields[self._key] = items

    def _refuse(self, mark: str) -> None:
        """End here, or, where nothing has been taken, skip what is left of this list or object."""
        if self._taken:
            self._ended = True
            return
        self._skipping = True
        if mark != ",":
            self._close_skipped()

    def _finish(self) -> None:
        """End where the outermost bracket closes, unless nothing in it was taken and the whole is not either."""
        whole = self._items if self._fields is None else self._fields
        if self._taken or self._take((), whole) is not REJECTED:
            self._ended = True
        else:
            self._seek()

    @staticmethod
    def _decode(text: str) -> Any:  # noqa: ANN401 - JSON is any value
        """Return the value of a JSON text; None where it is none."""
        try:
            value, end = DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            return None
        return value if end == len(text) else None
