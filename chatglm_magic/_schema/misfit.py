"""What is wrong with an answer, where in it, and the words for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .._errors import shorten
from .._language import join_sentences, marked, tr, trn

ROOT = "$"
"""The path of the whole answer."""
_MOST = 20
"""How many errors are kept: a model needs no more to see what is wrong, and neither does a person."""
_DEEPEST = 20
"""How many steps of a path are written out."""

_WANTED = {
    "string": marked("text"),
    "integer": marked("a whole number"),
    "number": marked("a number"),
    "boolean": marked("true or false"),
    "null": marked("null"),
    "array": marked("a list"),
    "object": marked("an object"),
}
"""The types of JSON in plain words."""

_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


class Misfit(ValueError):  # noqa: N818 - it is the model's, and goes back to it
    """An answer that is not what its schema asks for.

    Attributes:
        errors: What is wrong, each as (path, problem). A path looks like `[2].age` or `authors[0]`; `$` is the whole
            answer. At least one, and at most 20: the last one then says how many there are besides.
    """

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        kept = tuple(errors[:_MOST])
        if len(errors) > _MOST:
            more = trn("{count} more error", "{count} more errors", len(errors) - _MOST)
            kept = (*kept[:-1], (kept[-1][0], tr("{problem} (and {more})", problem=kept[-1][1], more=more)))
        self.errors: tuple[tuple[str, str], ...] = kept
        super().__init__(kept)

    def __str__(self) -> str:
        return join_sentences(*(self._line(path, problem) for path, problem in self.errors))

    @staticmethod
    def _line(path: str, problem: str) -> str:
        if path == ROOT:
            return tr("The answer {problem}.", problem=problem)
        return tr("{path} {problem}.", path=path, problem=problem)


class Problems:
    """Collects what is wrong with one value while it is read.

    Paths are tuples of names and positions from the value's root on; they become text only where something is wrong.
    """

    def __init__(self) -> None:
        self.errors: list[tuple[tuple[str | int, ...], str]] = []

    def add(self, path: tuple[str | int, ...], problem: str) -> None:
        """Add one problem."""
        self.errors.append((path, problem))

    def __bool__(self) -> bool:
        return bool(self.errors)

    def misfit(self) -> Misfit:
        """Return all of them as an error; there must be one."""
        return Misfit([(path_text(path), problem) for path, problem in self.errors])


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as Python would write it: `items[2].age`, `["two words"].x`; `$` for the root."""
    text = ""
    for step in path[:_DEEPEST]:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return (text or ROOT) + ("…" if len(path) > _DEEPEST else "")


def type_words(kinds: Sequence[str]) -> str:
    """Return the names of JSON types in plain words: "text or null"."""
    return either([tr(_WANTED[kind]) for kind in kinds])


def either(words: Sequence[str]) -> str:
    """Return words as one choice: "a, b or c"."""
    if len(words) < 2:  # noqa: PLR2004 - the smallest choice
        return "".join(words)
    return tr("{some} or {last}", some=tr(", ").join(words[:-1]), last=words[-1])


def json_type(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return the name of a value's JSON type; a float is a `number`, whatever it holds."""
    return "null" if value is None else _NAMES.get(type(value), "object")


def found_words(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return what was found in plain words, with the value where it is short: `text "12"`, `a list`."""
    kind = json_type(value)
    if kind in {"array", "object"}:
        return tr(_WANTED[kind])
    text = shorten(json.dumps(value, ensure_ascii=False), 40)
    return tr("text {value}", value=text) if kind == "string" else text


def wrong_type(kinds: Sequence[str], value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return the sentence for a value of another type than it should have."""
    return tr("should be {wanted}, not {found}", wanted=type_words(kinds), found=found_words(value))


def not_one_of(choices: Sequence[Any], value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """Return the sentence for a value that is none of the permitted ones."""
    texts = [json.dumps(choice, ensure_ascii=False) for choice in choices]
    return tr("should be one of {choices}, not {found}", choices=shorten(", ".join(texts)), found=found_words(value))
