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
"""Characters of a key after which its rest is waited for: fewer begin many a word."""


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

    def beginning(self, text: str, least: int = 1) -> int:
        """Tell how many characters at a text's end begin a key; 0 where they are fewer than `least`."""
        most = least - 1
        for key in self._keys:
            for length in range(min(len(key) - 1, len(text)), most, -1):
                if text.endswith(key[:length]):
                    most = length
                    break
        return most if most >= least else 0

    def take(self, text: str) -> tuple[str, str]:
        """Give what of a growing text is sure, without keys, and its end, where a key may be beginning."""
        masked = self(text)
        sure = len(masked) - self.beginning(masked)
        return masked[:sure], masked[sure:]


class ReplyMask:
    """Takes keys out of a reply's events as they come: a server may repeat what it was sent.

    A key that comes in pieces is masked too, but for its first three characters where they come alone, for what of
    it was shown before another thing came between, and for one in pieces of a tool call's arguments.

    Args:
        mask: Takes whole keys out.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._heads = mask.heads
        self._kind: type[TextDelta | ThinkingDelta] = TextDelta
        self._held = ""
        self._before = {TextDelta: "", ThinkingDelta: ""}

    def take(self, event: Event) -> list[Event]:
        """Give what is to be shown now of one event, and of those before it."""
        match event:
            case TextDelta(text) | ThinkingDelta(text):
                kind = type(event)
                other = [] if kind is self._kind else self.rest()
                self._kind = kind
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
        """Give as much of what was shown as a key may have begun in."""
        return text[-self._mask.reach :]

    def _text(self, text: str) -> str:
        """Give what of more text is to be shown now; it is nearly always all of it."""
        text = self._held + text
        before = self._before[self._kind]
        window = before + text
        for head in self._heads:
            if head in window:
                break
        else:
            self._held = ""
            self._before[self._kind] = self._end(window)
            return text
        shown: list[str] = []
        at, last = len(before), 0
        for found in self._mask.find(window):
            last = found.end()
            if last > len(before):
                shown += [window[at : max(at, found.start())], MASK]
                at = last
        sure = max(at, len(window) - self._mask.beginning(window[last:], _HEAD))
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
