"""A prompt with values of the notebook in it, marked as data and cut to a budget; sends nothing."""

from __future__ import annotations

import re
import sys
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from operator import itemgetter
from types import FunctionType, MethodType
from typing import Any
from unicodedata import normalize

import msgspec

from .._language import join_sentences, tr
from .._markdown.fences import fenced, fences
from .describe import MAX_BYTES, cap, describe
from .template import Interpolated, expressions, interpolate, is_path

MAX_DATA_BYTES = 36_000
"""UTF-8 bytes of data in one prompt, all values together: about 12,000 tokens."""

_LEAST_BYTES = 300
"""UTF-8 bytes for each value even after the budget is used up: enough to say what it is."""
_INLINE = 200
"""Characters up to which a value of one line stays in its sentence, without a fence."""
_SHELLS_OWN = ("exit", "quit", "open", "get_ipython")


class Prompt(msgspec.Struct, frozen=True):
    """A prompt as it is sent.

    Attributes:
        text: The text.
        notes: Sentences for the user: names without a value, values that were shortened.
    """

    text: str
    notes: tuple[str, ...] = ()


def names_of(shell: Any) -> dict[str, object]:  # noqa: ANN401 - IPython's shell
    """Return the user's variables in a shell, without those that IPython itself defines. May run in any thread."""
    hidden = shell.user_ns_hidden
    # Copied first: a cell that runs in another thread may define names meanwhile.
    return {
        name: value
        for name, value in dict(shell.user_ns).items()
        if name not in _SHELLS_OWN or hidden.get(name) is not value
    }


def fill_in(prompt: str, names: Mapping[str, object], budget: Budget) -> Interpolated:
    """Return a prompt with its `{names}` replaced by descriptions of their values.

    A description of several lines, or of one long line, is put into a fence that marks it as data, unless it stands
    in a fence of the prompt already.

    Args:
        prompt: The prompt as the user wrote it.
        names: The user's variables.
        budget: What may be inserted; it is charged.
    """
    is_fenced = _fence_finder(prompt)

    def insert(match: re.Match[str], value: object, text: str) -> str:
        path = match["path"]
        text = budget.take(f"{{{path}}}", text)
        if "\n" not in text and len(text) <= _INLINE:
            return text
        if "```" not in text and "~~~" not in text and is_fenced(match.start()):
            return text
        before = "" if match.start() == 0 or match.string[match.start() - 1] == "\n" else "\n"
        after = "" if match.string[match.end() : match.end() + 1] in {"", "\n"} else "\n"
        return f"{before}{block(f'`{path}`, as data', text, language_of(value))}{after}"

    in_text = (match for match in expressions(prompt, names) if not is_fenced(match.start()))
    budget.notes += dict.fromkeys(_uncomputed(in_text))
    return interpolate(prompt, names, partial(describe, limit=sys.maxsize, prompt=prompt), insert)


def _fence_finder(prompt: str) -> Callable[[int], bool]:
    """Return what tells whether a position of a prompt stands in a fence."""
    lines = prompt.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    spans = [(starts[fence.first], starts[fence.after]) for fence in fences(lines)]

    def is_fenced(at: int) -> bool:
        before = bisect(spans, at, key=itemgetter(0))
        return before > 0 and at < spans[before - 1][1]

    return is_fenced


def _uncomputed(found: Iterable[re.Match[str]]) -> Iterator[str]:
    """Yield notes about expressions in braces, with the way to what was meant."""
    computed: dict[str, str] = {}
    for match in found:
        value, text = (normalize("NFKC", part).strip() for part in (match["value"], match[0]))
        if not match["form"] and is_path(value):
            yield tr("{text} was sent as written; a value's name is written {{{name}}}.", text=match[0], name=value)
        else:
            computed[match[0]] = f'f"{text}"' if match["form"] else value
    for first in list(computed.values())[:1]:
        texts = tr(", ").join(computed)
        yield join_sentences(
            tr("Nothing is called, computed or formatted in braces: {texts} was sent as written.", texts=texts),
            tr("Assign it first, as in value = {value}, and write {{value}}.", value=first),
        )


def notes_on(done: Interpolated, budget: Budget) -> tuple[str, ...]:
    """Return the notes for the user about a prompt after `fill_in`."""
    missed = tr(", ").join(f"{{{path}}}" for path in done.missed)
    return (*((tr("No value for {names}; sent as written.", names=missed),) if missed else ()), *budget.notes)


class Budget:
    """The bytes that may still be inserted into a prompt.

    Args:
        limit: UTF-8 bytes in all.

    Attributes:
        notes: Sentences for the user: what was shortened, and what was not computed.
    """

    def __init__(self, limit: int = MAX_DATA_BYTES) -> None:
        self.notes: list[str] = []
        self._left = limit

    def take(self, name: str, text: str, most: int = MAX_BYTES) -> str:
        """Return a text, cut to what may still be inserted, and charge its bytes.

        Args:
            name: What stands for it in the notes.
            text: The text.
            most: UTF-8 bytes of this text.
        """
        cut = cap(text, max(_LEAST_BYTES, min(most, self._left)))
        self._left -= _bytes(cut)
        if cut is not text:
            before, after = size_in_words(_bytes(text)), size_in_words(_bytes(cut))
            note = tr("{name} was shortened: {before} → {after}.", name=name, before=before, after=after)
            if note not in self.notes:
                self.notes.append(note)
        return cut


def block(title: str, text: str, language: str) -> str:
    """Return a title line and the text below it, in a fence that nothing in the text can close."""
    return f"{title}:\n{fenced(language, text)}"


def language_of(value: object) -> str:
    """Return the language of the fence for a value's description."""
    return "python" if isinstance(value, (FunctionType, MethodType, type)) else "text"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def size_in_words(count: int) -> str:
    """Return a number of bytes in words: 812 B, 6 kB, 1.2 MB."""
    for unit, scale in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= scale:
            return f"{count / scale:.2g} {unit}" if count < 10 * scale else f"{count // scale} {unit}"
    return f"{count} B"
