"""Keys out of all that is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable

from .._keys import kept_keys
from .._urls import seen_keys

MASK = "[key]"
_SHORTEST = 8
_SURE = 16
"""Characters from which a key is taken for one without a digit in it; a shorter one may be any word."""


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

    def __call__(self, text: str) -> str:
        """Give a text without keys."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def take(self, text: str) -> tuple[str, str]:
        """Give what of a growing text is sure, without keys, and its end, where a key may be beginning."""
        masked = self(text)
        most = 0
        for key in self._keys:
            for length in range(min(len(key) - 1, len(masked)), most, -1):
                if masked.endswith(key[:length]):
                    most = length
                    break
        return masked[: len(masked) - most], masked[len(masked) - most :]


def known_mask() -> Mask:
    """Make a mask of every key there is: of the environment, kept by `login`, used in this process."""
    environment = {value.strip() for name, value in os.environ.items() if name.upper().endswith("_API_KEY")}
    return Mask({*environment, *kept_keys(()), *seen_keys()})


def _tells(key: str) -> bool:
    return len(key) >= _SURE or (len(key) >= _SHORTEST and any(letter.isdigit() for letter in key))
