"""JSON in what a model wrote: found between fences and prose, decoded, or what is wrong with it; no I/O.

Every JSON text that stands in the answer is found, in order; the schema decides which is meant. What models do wrong
without harm is forgiven: fences and prose around it, a byte order mark, and line ends inside strings, which GLM writes
in its JSON mode where a string holds code. What would have to be guessed is not: an object that has a field twice,
NaN and Infinity, a number too large for a float, a text that ends too early.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from .._errors import shorten
from .._language import tr
from .misfit import Misfit, Problems

STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""A whole string of JSON, to be compiled with DOTALL: line ends are forgiven in it."""
_BRACKETS = re.compile(STRING + r'|["\[\]{}]', re.DOTALL)
_MARKS = re.compile(STRING + r'|["\[\]{},:]', re.DOTALL)
START = re.compile(r'\{(?=\s*+(?:["}]|\Z))|\[(?=\s*+(?:["\[\]{\-0-9]|(?:true|false|null)\b|\Z))')
"""An opening bracket behind which JSON may stand: no footnote, no link, no set of Python."""
_HALF_NUMBER = re.compile(r"-|\.|[eE][+-]?")
"""Where a parser stops in a number that is cut off."""
_MOST_STARTS = 50
"""How many false starts are looked at: prose full of brackets holds no answer."""


class _UnfitError(ValueError):
    """JSON that a parser could read, and that is not taken all the same."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _UnfitError(tr("has the field {name} twice in one object", name=json.dumps(twice, ensure_ascii=False)))
    return found


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _UnfitError(tr("holds {number}, which is too large for a number with a point", number=shorten(text, 40)))
    return number


def _constant(name: str) -> float:
    raise _UnfitError(tr("holds {name}, which is no value of JSON", name=name))


DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
"""Reads JSON as this package takes it; raises ValueError or RecursionError."""


class Candidate(msgspec.Struct, frozen=True):
    """One JSON text of an answer.

    Attributes:
        start: Where it begins.
        size: How many characters it has, as far as it can be told.
        value: What it says; not there where it cannot be read.
        problems: What is wrong with the JSON itself; empty where it can be read.
    """

    start: int
    size: int
    value: Any = None
    problems: Problems | None = None


def candidates(text: str) -> Iterator[Candidate]:
    """Yield every JSON text of an answer, in order, readable or not.

    An answer that is JSON as a whole, but for a fence, is the only one, whatever its strings hold. Otherwise those
    count that begin with a bracket; what stands inside of one is never looked at by itself, for a part of a broken
    answer is no answer.
    """
    text = text.removeprefix("\ufeff")
    for whole in dict.fromkeys((text.strip(), unfenced(text))):
        try:
            value, end = DECODER.raw_decode(whole)
        except (ValueError, RecursionError):
            continue
        if end == len(whole):
            yield Candidate(0, len(whole), value)
            return
    at = 0
    for _ in range(_MOST_STARTS):
        start = START.search(text, at)
        if start is None:
            return
        found, at = _at(text, start.start())
        yield found


def unfenced(text: str) -> str:
    """Return a text without the fence around all of it, if there is one, and without blanks at its ends."""
    lines = text.removeprefix("\ufeff").strip().split("\n")
    if lines[0].startswith(("```", "~~~")):
        end = -1 if len(lines) > 1 and lines[-1].strip() == lines[0][:3] else None
        lines = lines[1:end]
    return "\n".join(lines).strip()


def _at(text: str, start: int) -> tuple[Candidate, int]:
    """Return the JSON that begins at a bracket, and where it ends."""
    problems = Problems()
    try:
        value, end = DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        path = path_at(text, start, error.pos)
        if _is_cut_off(text, error):
            problems.add(path, tr("is cut off: the answer ends before its JSON is complete"))
        else:
            near = shorten(text[max(start, error.pos - 20) : error.pos + 20], 60)
            problems.add(path, tr("is not JSON: {reason} near {text}", reason=error.msg, text=repr(near)))
    except _UnfitError as error:
        problems.add((), str(error))
    except RecursionError:
        problems.add((), tr("is nested too deeply"))
    except ValueError:  # Python's own limit of 4300 digits
        problems.add((), tr("holds a number with too many digits"))
    else:
        return Candidate(start, end - start, value), end
    end = _end(text, start)
    return Candidate(start, end - start, None, problems), end


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether JSON is right as far as it goes, and goes to the end of the text."""
    rest = text[error.pos :].strip()
    if error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Invalid \\"):
        return '"' not in rest[1:]
    return any(word.startswith(rest) for word in ("true", "false", "null")) or bool(_HALF_NUMBER.fullmatch(rest))


def _end(text: str, start: int) -> int:
    """Return the index behind the bracket that closes the one at `start`; the end of the text where none does."""
    depth = 0
    for found in _BRACKETS.finditer(text, start):
        match found[0]:
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
                if depth == 0:
                    return found.end()
            case '"':
                break  # a string without an end
    return len(text)


def path_at(text: str, start: int, end: int) -> tuple[str | int, ...]:
    """Return the path of what is open at `end` in the JSON that begins at `start`."""
    path: list[str | int | None] = []
    name = ""
    for found in _MARKS.finditer(text, start, end):
        match found[0]:
            case "{":
                path.append(None)
            case "[":
                path.append(0)
            case "}" | "]":
                del path[-1:]
            case ",":
                top = path.pop() if path else None
                path.append(top + 1 if isinstance(top, int) else None)
            case ":":
                path[-1:] = [name]
            case '"':
                break
            case string:
                name = string[1:-1]
    return tuple(step for step in path if step is not None)


def misfit_without_json(wanted: str) -> Misfit:
    """Return the error for an answer in which there is no JSON.

    Args:
        wanted: What should stand there, in plain words; empty where there are none for it.
    """
    problems = Problems()
    problems.add((), tr("holds no JSON; it should be {wanted}", wanted=wanted) if wanted else tr("holds no JSON"))
    return problems.misfit()
