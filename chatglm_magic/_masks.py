"""Keys taken out of texts: whole ones, and those that come in pieces; no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import assert_never

from ._events import Event, Finished, Part, Replace, TextDelta, ThinkingDelta, ToolCallDelta, Usage

MASK = "[key]"
"""What stands in a key's place."""
_SHORTEST = 8
_SURE = 16
"""Characters from which a key is taken for one without a digit in it; a shorter one may be any word."""
_HEAD = 4
"""Characters by which it is told quickly that a text holds no key."""


class Mask:
    """Takes keys out of texts.

    Args:
        keys: The keys; those too short to be told from words are left alone.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        telling = {key for key in keys if _tells(key)}
        telling |= {json.dumps(key)[1:-1] for key in telling}  # as they stand inside JSON
        self._keys = sorted(telling, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._keys))) if self._keys else None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __call__(self, text: str) -> str:
        """Give a text without keys."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    @property
    def letters(self) -> frozenset[str]:
        """What a key's beginning may end in."""
        return frozenset("".join(key[:-1] for key in self._keys))

    @property
    def reach(self) -> int:
        """How many characters of a key may stand before the one that tells it."""
        return max(map(len, self._keys), default=1) - 1

    @property
    def heads(self) -> tuple[str, ...]:
        """How the keys begin."""
        return tuple({key[:_HEAD] for key in self._keys})

    def find(self, text: str) -> Iterator[re.Match[str]]:
        """Find the keys in a text."""
        return iter(()) if self._pattern is None else self._pattern.finditer(text)

    def beginning(self, text: str) -> int:
        """Tell how many characters at a text's end begin a key."""
        most = 0
        for key in self._keys:
            at = text.find(key[0], max(0, len(text) - len(key) + 1))
            while 0 <= at < len(text) - most:
                if key.startswith(text[at:]):
                    most = len(text) - at
                at = text.find(key[0], at + 1)
        return most

    def take(self, text: str) -> tuple[str, str]:
        """Give what of a growing text is sure, without keys, and its end, where a key may be beginning."""
        masked = self(text)
        sure = len(masked) - self.beginning(masked)
        return masked[:sure], masked[sure:]


class ReplyMask:
    """Takes keys out of a reply's events as they come: a server may repeat what it was sent.

    A key that comes in pieces is masked too, but for what of it was shown before another thing came between, and for
    one in pieces of a tool call's arguments.

    Args:
        mask: Takes whole keys out.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._heads = mask.heads
        self._letters = mask.letters
        self._kind: type[TextDelta | ThinkingDelta] = TextDelta
        self._held = ""
        self._before = {TextDelta: "", ThinkingDelta: ""}

    def take(self, event: Event) -> list[Event]:
        """Give what is to be shown now of one event, and of those before it."""
        kind = self._kind
        if event.__class__ is kind and not (self._held or self._before[kind]) and self._is_plain(event.text):
            return [event]  # nearly all
        return self._masked(event)

    def _is_plain(self, text: str) -> bool:
        """Tell whether a text neither holds a key nor ends in the beginning of one."""
        if text[-1:] in self._letters and self._mask.beginning(text):
            return False
        return not any(head in text for head in self._heads)

    def _masked(self, event: Event) -> list[Event]:
        match event:
            case TextDelta(text) | ThinkingDelta(text):
                other = [] if type(event) is self._kind else self.rest()
                self._kind = kind = type(event)
                shown = self._text(text)
                return [*other, event if shown == text else kind(shown)] if shown else other
            case Replace(text, thinking):
                self._held = ""
                self.follow("")
                return [Replace(self._mask(text), self._mask(thinking))]
            case ToolCallDelta(arguments=arguments):
                return [*self.rest(), replace(event, arguments=self._mask(arguments))]
            case Part():
                return [*self.rest(), self._part(event)]
            case Finished(parts=parts):
                return [*self.rest(), replace(event, parts=tuple(map(self._part, parts)))]
            case Usage():
                return [event]
            case _:
                assert_never(event)

    def rest(self) -> list[Event]:
        """Give what is held back: no key has come of it."""
        held, self._held = self._held, ""
        self._before[self._kind] = self._end(self._before[self._kind] + held)
        return [self._kind(held)] if held else []

    def follow(self, text: str) -> None:
        """Go on from a text that was shown before, with no thought since."""
        self._before = {TextDelta: self._end(text), ThinkingDelta: ""}

    def _end(self, text: str) -> str:
        """Give the key's beginning that was shown at the end of a text."""
        return text[len(text) - self._mask.beginning(text[-self._mask.reach :]) :]

    def _text(self, text: str) -> str:
        """Give what of more text is to be shown now; it is nearly always all of it."""
        text = self._held + text
        before = self._before[self._kind]
        window = before + text
        shown: list[str] = []
        at, last = len(before), 0
        if any(head in window for head in self._heads):
            for found in self._mask.find(window):
                last = found.end()
                if last > len(before):
                    shown += [window[at : max(at, found.start())], MASK]
                    at = last
        sure = max(at, len(window) - self._mask.beginning(window[last:]))
        shown.append(window[at:sure])
        said, self._held = "".join(shown), window[sure:]
        self._before[self._kind] = self._end(before + said)
        return said

    def _part(self, part: Part) -> Part:
        return replace(part, content=self._mask(part.content), arguments=self._mask(part.arguments))


@cache
def mask_of(keys: frozenset[str]) -> Mask:
    """Give the mask of these keys; the same one again."""
    return Mask(keys)


def _tells(key: str) -> bool:
    return len(key) >= _SURE or (len(key) >= _SHORTEST and any(letter.isdigit() for letter in key))
