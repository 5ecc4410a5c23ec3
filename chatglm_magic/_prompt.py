"""A prompt with the notebook's values in it: fenced, within limits, as data; sends nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

from ._context import MAX_BYTES, cap, describe
from ._interpolate import Interpolated, interpolate
from ._markdown.blocks import fences
from ._markdown.safe import fenced
from ._values import dataclass

MAX_DATA_BYTES = 36_000
"""How much all that is put into one prompt may be, in UTF-8 bytes: about 12,000 tokens."""

_LEAST_BYTES = 300
"""What each value may say even where the others have used all up: what it is."""
_INLINE = 200
"""Characters up to which a value of one line stays in its sentence."""
_SHELLS_OWN = ("exit", "quit", "open", "get_ipython")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it is sent.

    Attributes:
        text: The whole.
        notes: What the user should know about it: names without a value, values that were shortened.
    """

    text: str
    notes: tuple[str, ...] = ()


def names_of(shell: Any) -> dict[str, object]:  # noqa: ANN401 - IPython's shell
    """Give the user's names of a shell, without those that IPython itself put there; from any thread."""
    hidden = shell.user_ns_hidden
    # A copy first: a cell that runs in another thread may make names meanwhile.
    return {
        name: value
        for name, value in dict(shell.user_ns).items()
        if name not in _SHELLS_OWN or hidden.get(name) is not value
    }


def fill_in(prompt: str, names: Mapping[str, object], budget: Budget) -> Interpolated:
    """Put values in place of the names in a prompt.

    Each value is put in once and never looked through again. What has several lines, or a long one, is
    fenced, so that it can be told from the prompt.

    Args:
        prompt: As the user wrote it.
        names: What it may name.
        budget: How much may be put in.
    """
    lines = prompt.split("\n")
    fenced_lines = [range(fence.first, fence.after) for fence in fences(lines)]
    kinds: list[str] = []

    def tell(value: object) -> str:
        kinds[:] = [language_of(value)]
        return describe(value, limit=sys.maxsize)

    def place(path: str, text: str, match: re.Match[str]) -> str:
        text = budget.take(f"{{{path}}}", text)
        if "\n" not in text and len(text) <= _INLINE:
            return text
        line = prompt.count("\n", 0, match.start())
        if "```" not in text and "~~~" not in text and any(line in fence for fence in fenced_lines):
            return text
        before = "" if match.start() == 0 or match.string[match.start() - 1] == "\n" else "\n"
        after = "" if match.string[match.end() : match.end() + 1] in {"", "\n"} else "\n"
        return f"{before}{block(f'`{path}`, as data', text, kinds[0])}{after}"

    return interpolate(prompt, names, tell, place)


def notes_on(done: Interpolated, budget: Budget) -> tuple[str, ...]:
    """Tell what the user should know about a prompt that is filled in."""
    missed = ", ".join(f"{{{path}}}" for path in done.missed)
    return (*((f"No value for {missed}; sent as written.",) if missed else ()), *budget.notes)


class Budget:
    """How much may still be put in; remembers what was shortened.

    Attributes:
        notes: One sentence for each thing that was.
    """

    def __init__(self, limit: int = MAX_DATA_BYTES) -> None:
        self.notes: list[str] = []
        self._left = limit

    def take(self, name: str, text: str) -> str:
        """Give as much of a text as may be put in."""
        cut = cap(text, max(_LEAST_BYTES, min(MAX_BYTES, self._left)))
        self._left -= _bytes(cut)
        if cut is not text:
            note = f"{name} was shortened: {_size(_bytes(text))} → {_size(_bytes(cut))}."
            if note not in self.notes:
                self.notes.append(note)
        return cut


def block(title: str, text: str, language: str) -> str:
    """Put a text into a fence that nothing in it can close, below a line that says what it is."""
    return f"{title}:\n{fenced(language, text)}"


def language_of(value: object) -> str:
    """Give the language that a value is described in."""
    return "python" if isinstance(value, (FunctionType, MethodType, type)) else "text"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _size(count: int) -> str:
    """Write a number of bytes for a reader: 812 B, 6 kB, 1.2 MB."""
    for unit, scale in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= scale:
            return f"{count / scale:.2g} {unit}" if count < 10 * scale else f"{count // scale} {unit}"
    return f"{count} B"
