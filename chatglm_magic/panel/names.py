"""The user's variables in a panel: those that a draft names or may name, and their values in a prompt."""

from __future__ import annotations

import re

from msgspec.structs import replace

from .._jupyter.shell import current_shell
from .._language import marked, tr
from .._prompting.prompt import Budget, Prompt, fill_in, names_of, notes_on
from .._prompting.template import interpolate

_OPEN = re.compile(r"(?<!\{)\{([^\W\d]\w*)?\Z")
_MAX_NAMES = 20
_DATA = frozenset({"DataFrame", "Series", "Table", "LazyFrame", "ndarray"})
"""Types of values that a first question may be about, by their names: no library is imported for it."""
_IDEAS = (
    marked("Explain what a decorator does, with an example."),
    marked("Write a function that plots a column of a CSV file."),
)


def variables() -> dict[str, object]:
    """Return the user's variables; may be called from any thread."""
    shell = current_shell()
    return names_of(shell) if shell is not None else {}


def prepare(text: str, known: frozenset[str] = frozenset()) -> Prompt:
    """Return a prompt with the user's values in place of their names.

    Args:
        text: What the user typed.
        known: Names that stay as they are written.
    """
    budget = Budget()
    done = fill_in(text, {name: value for name, value in variables().items() if name not in known}, budget)
    missed = tuple(path for path in done.missed if _root(path) not in known)
    return Prompt(done.text, notes_on(replace(done, missed=missed), budget))


def named(text: str) -> list[dict[str, str]]:
    """Return `name` and `kind`, the name of its type, of each variable that a draft names."""
    names = variables()
    paths = interpolate(text, dict.fromkeys(names, _Anything()), lambda _: "").used
    roots = dict.fromkeys(map(_root, paths))
    return [{"name": name, "kind": type(names[name]).__name__} for name in roots][:_MAX_NAMES]


def offers(before: str) -> list[str]:
    """Return the variables that may follow the open brace at the end of a text; none if none is open."""
    found = _OPEN.search(before)
    if found is None:
        return []
    begun = found[1] or ""
    names = sorted(name for name in variables() if name[:1] != "_" and name.startswith(begun))
    return names[:_MAX_NAMES]


def names_in(text: str) -> frozenset[str]:
    """Return the names in a text's braces, variables or not."""
    return frozenset(map(_root, interpolate(text, {}, lambda _: "").missed))


def ideas() -> list[str]:
    """Return a few first questions, about the user's data where there is some."""
    data = [name for name, value in variables().items() if name[:1] != "_" and type(value).__name__ in _DATA]
    return [*(tr("What stands out in {variable}?", variable=f"{{{name}}}") for name in data[:2]), *map(tr, _IDEAS)]


class _Anything:
    """Stands for a value that must not be looked at: it has every attribute and every item."""

    def __getattr__(self, _: str) -> _Anything:
        return self

    def __getitem__(self, _: object) -> _Anything:
        return self


def _root(path: str) -> str:
    """Return a path's first name."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]
