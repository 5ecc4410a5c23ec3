"""The calls that a model asks for, made whole where their meaning is certain, and checked; no I/O.

What models and servers send instead of a name and a JSON object, and what is made of it:

- Arguments as JSON text in a JSON text, once or twice (vLLM's named calls); a bare value where there is one parameter.
- No arguments at all, or `null`, for a function that needs none.
- `{}` in front of the arguments, or the arguments twice (gateways that put pieces together), or in a code fence, or
  as a Python dictionary.
- GLM's own form `name<arg_key>…</arg_key><arg_value>…</arg_value>` in the name, and whole calls in `<tool_call>` tags
  where the thinking ends without an answer, or as the whole answer (servers without a parser for them).
- Ids that repeat, or none.

Whatever else does not fit is a `Fault`, which the model is told about.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .._errors import ConfigError
from .._events import ToolCall
from .._language import tr
from .tool import Problem, Tool

_MOST_ARGUMENTS = 200_000
"""Characters of arguments that are read; more is a model that does not end."""
_LEVELS = 3
"""How often JSON is looked for in a JSON text."""
_MOST_SIGNS = 100
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]+")
_KEY_VALUE = re.compile(
    r"<arg_key>\s*(.*?)\s*</arg_key>\s*(?:<arg_value>)?\s*(.*?)\s*(?:</arg_value>|(?=<arg_key>)|$)", re.DOTALL
)
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_PREFIX = re.compile(r".*[.:/]")


class CheckedCall(msgspec.Struct, frozen=True, eq=False):
    """A call whose arguments fit its function; what a person or a program is asked about.

    Attributes:
        id: The call's id.
        name: The function's name.
        arguments: What the function would get, as plain JSON values.
        doc: The first line of the function's docstring.
        tool: The function.
        values: The arguments in the types of the function's parameters.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    doc: str
    tool: Tool
    values: Mapping[str, Any]

    @property
    def call(self) -> ToolCall:
        """The call as it is sent and kept."""
        return ToolCall(self.id, self.name, _json(self.arguments))

    def with_arguments(self, arguments: Mapping[str, Any]) -> CheckedCall:
        """Return the call with other arguments.

        Raises:
            ConfigError: They do not fit the function.
        """
        found = _checked(self.tool, self.id, arguments)
        if isinstance(found, CheckedCall):
            return found
        raise ConfigError(
            tr("{name} cannot be called so: {problem}. Change the arguments.", name=self.name, problem=found.problem)
        )


class Fault(msgspec.Struct, frozen=True):
    """A call that cannot be made, in a form that may be sent back.

    Attributes:
        call: The call without what was wrong with it.
        problem: What the model is told, in English.
    """

    call: ToolCall
    problem: str


def read_call(asked: ToolCall, tools: Mapping[str, Tool], call_id: str) -> CheckedCall | Fault:
    """Return a call of a model, checked.

    Args:
        asked: The call as it came.
        tools: The functions by their names.
        call_id: The id that the call gets.
    """
    text = asked.name + asked.arguments if "<arg_key>" in asked.name else asked.arguments
    name = _name(asked.name, tools)
    blank = ToolCall(call_id, _UNNAMEABLE.sub("_", name)[:64] or "unknown", "{}")
    if name not in tools:
        return Fault(blank, f"There is no function {blank.name!r}. There are: {', '.join(tools)}.")
    try:
        arguments = _arguments(text, tools[name])
    except _UnreadableError as error:
        return Fault(blank, f"The arguments of {name} are no JSON object ({error}). Nothing was run. Send it again.")
    found = _checked(tools[name], call_id, arguments)
    return found if isinstance(found, CheckedCall) else Fault(blank, f"{found.problem}. Nothing was run.")


def calls_in_text(text: str, tools: Mapping[str, Tool]) -> list[ToolCall]:
    """Return the calls that a text ends with in tags of the model's own, if it asks for functions that there are."""
    found = []
    for match in _TAGGED.finditer(text):
        inner = match[1].strip()
        if inner.startswith("{"):  # Hermes' and Qwen's form
            try:
                value = _load(inner)
            except ValueError:
                return []
            name, arguments = value.get("name"), value.get("arguments", value.get("parameters", {}))
            found.append(ToolCall("", str(name), arguments if isinstance(arguments, str) else _json(arguments)))
        else:  # GLM's
            name, mark, rest = inner.partition("<arg_key>")
            found.append(ToolCall("", name.strip(), mark + rest))
    ends_so = not _TAGGED.split(text)[-1].strip()
    return found if ends_so and all(_name(call.name, tools) in tools for call in found) else []


def is_only_calls(text: str) -> bool:
    """Return whether a text is nothing but calls in tags."""
    return "<tool_call>" in text and not _TAGGED.sub("", text).strip()


def unique_ids(asked: Iterable[ToolCall], used: set[str]) -> list[str]:
    """Return an id for each call that no other has, and add them to those that are used."""
    ids = []
    for call in asked:
        wanted = call.id or "call"
        found, number = wanted if call.id else f"{wanted}-1", 1
        while found in used:
            number += 1
            found = f"{wanted}-{number}"
        used.add(found)
        ids.append(found)
    return ids


class _UnreadableError(ValueError):
    """Arguments that are no JSON object, and none can be made of them."""


def _name(name: str, tools: Mapping[str, Tool]) -> str:
    """Return a name without what stands around it: tags, blanks, a namespace."""
    bare = re.sub(r"^<tool_call>", "", name.strip()).partition("<")[0].strip().strip("\"'`")
    if bare not in tools and _PREFIX.sub("", bare) in tools:
        return _PREFIX.sub("", bare)
    return bare


def _arguments(text: str, tool: Tool) -> dict[str, Any]:
    """Return the arguments that a text means.

    Raises:
        _UnreadableError: It is not certain which.
    """
    if len(text) > _MOST_ARGUMENTS:
        raise _UnreadableError(f"{len(text)} characters are too many")
    if "<arg_key>" in text:
        return {match[1]: match[2] for match in _KEY_VALUE.finditer(text)}
    if not text.strip():
        return {}
    try:
        value = _load(text)
    except ValueError as error:
        raise _UnreadableError(str(error)) from None
    for _ in range(_LEVELS):
        if not isinstance(value, str):
            break
        try:
            value = _load(value)
        except ValueError:
            break
    if value is None or (value == "" and len(tool.types) != 1):
        return {}
    if not isinstance(value, dict):
        if len(tool.types) == 1 and not isinstance(value, list):
            return dict.fromkeys(tool.types, value)
        raise _UnreadableError(f"it is a {type(value).__name__}")
    return value


def _load(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value of a JSON text, of one in a fence, of an object after an empty one, or of a Python literal.

    Raises:
        ValueError: It is none of them.
    """
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        for attempt in (_joined, _literal):
            try:
                value = attempt(text)
                return json.loads(_json(value))
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
        raise ValueError(str(error)) from None


def _joined(text: str) -> dict[str, Any]:
    """Return the one object that several in a row mean: they are equal, or empty before the last.

    Raises:
        ValueError: They are something else.
    """
    decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)
    values: list[Any] = []
    at = 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        if value not in ({}, *values[-1:]):
            values.append(value)
    if len(values) != 1 or not isinstance(values[0], dict):
        raise ValueError("more than one object")
    return values[0]


def _literal(text: str) -> Any:  # noqa: ANN401
    """Return the value of a Python literal that is not deep: Python's own parser is hurt by very deep ones.

    Raises:
        ValueError: It is none.
        SyntaxError: As above.
    """
    if sum(text.count(sign) for sign in "[{(-+~") > _MOST_SIGNS:
        raise ValueError("too deep")
    return ast.literal_eval(text)


def _decode(text: str) -> Any:  # noqa: ANN401
    return json.loads(text, strict=False, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _json(value: object) -> str:
    """Return a value as JSON text that any server reads: no lone surrogates, no NaN.

    Raises:
        ValueError: It holds NaN or an infinity.
        TypeError: It is no JSON value.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode()


class _Misfit(msgspec.Struct, frozen=True):
    """What does not fit a function."""

    problem: str


def _checked(tool: Tool, call_id: str, arguments: Mapping[str, Any]) -> CheckedCall | _Misfit:
    """Return a call with its arguments in the types of the parameters, or what is wrong with them."""
    problems: tuple[Problem, ...]
    try:
        plain = json.loads(_json(msgspec.to_builtins(dict(arguments), enc_hook=str)))
        values, problems = tool.check(plain)
        # Shown and kept is what the function gets, which may say the same in another way: "3" is 3 for an integer.
        plain = json.loads(_json(msgspec.to_builtins(values, enc_hook=_plain)))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        problems = (("arguments", " ".join(str(error).split())[:300]),)
    if problems:
        return _Misfit(f"{tool.name}: " + "; ".join(f"{path}: {problem}" for path, problem in problems))
    return CheckedCall(call_id, tool.name, plain, tool.first_line, tool, values)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value of a type that msgspec does not know as plain values, or as its text."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
