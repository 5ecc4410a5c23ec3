"""A function as a tool: the name, description and schema by which a model knows it, and the check of its arguments."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from types import CodeType, MappingProxyType, SimpleNamespace
from typing import Any, TypeVar, overload

import msgspec

from .._errors import ConfigError, shorten
from .._language import tr
from .._messages import ToolSpec
from .docstring import read_docstring

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What services take as a name."""
_MARK = "_chatglm_tool"
TIMEOUT = 60.0
"""Seconds that a function may take."""
_LAMBDA = "<lambda>"

Problem = tuple[str, str]
"""Where something is wrong, and what, in plain words."""


class _Mark(msgspec.Struct, frozen=True):
    """What `tool` said about a function. It holds for that function, not for one that copied its attributes."""

    function: Any
    needs_approval: bool = True
    name: str = ""
    timeout: float = TIMEOUT


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, needs_approval: bool = True, name: str = "", timeout: float = TIMEOUT) -> Callable[[F], F]: ...
def tool(
    function: F | None = None, /, *, needs_approval: bool = True, name: str = "", timeout: float = TIMEOUT
) -> F | Callable[[F], F]:
    """Say how a function is offered to models; it stays the function that it is.

    Args:
        function: The function, where this is used as `@tool`.
        needs_approval: False where each call may run without anybody being asked: the author's yes.
        name: The name by which models know it; empty for the function's own. Services take letters, digits, `_`
            and `-` only.
        timeout: Seconds that a call may take; then it is stopped.

    Raises:
        ConfigError: It is no function, or the timeout is no positive number.
    """
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise ConfigError(tr("timeout takes a number of seconds above 0, not {given!r}.", given=timeout))

    def mark(marked: F) -> F:
        try:
            setattr(marked, _MARK, _Mark(marked, needs_approval, name, timeout))
        except AttributeError:
            what = _shown(marked)
            raise ConfigError(
                tr("{what} cannot be marked as a tool: mark a function that was made with def.", what=what)
            ) from None
        return marked

    return mark if function is None else mark(function)


class Tool(msgspec.Struct, frozen=True, eq=False):
    """A function that a model may ask for; made by `of`.

    Attributes:
        name: The name by which the model knows it.
        description: What it does: the docstring up to its first section.
        first_line: The first line of that.
        parameters: The JSON Schema of its arguments, an object.
        needs_approval: Whether each call is asked about; False is the author's yes.
        function: The function, or another callable.
        types: The type of each parameter by name.
        required: The parameters that have no default.
        positional: The parameters that cannot be passed by name.
        timeout: Seconds that a call may take.
        fingerprint: A hash of the function as it was when this was made, see `fingerprint_of`.
    """

    name: str
    description: str
    first_line: str
    parameters: Mapping[str, Any]
    needs_approval: bool
    function: Callable[..., Any]
    types: Mapping[str, Any]
    required: frozenset[str]
    positional: tuple[str, ...]
    timeout: float
    fingerprint: str

    @classmethod
    def of(cls, function: Callable[..., Any] | Tool) -> Tool:
        """Return a function, method, `functools.partial` or callable object as a tool.

        Raises:
            ConfigError: It cannot be one; the message says why.
        """
        if isinstance(function, Tool):
            return function
        own = _own(function)
        mark = getattr(own, _MARK, None)
        mark = mark if isinstance(mark, _Mark) and mark.function is own else _Mark(own)
        name = mark.name or _name_of(function)
        _refuse(function, name)
        parameters = _parameters(function, name)
        types = _types(function, name, parameters)
        said = read_docstring(inspect.getdoc(own))
        properties = {
            one.name: _property(name, one, types[one.name], said.parameters.get(one.name, "")) for one in parameters
        }
        required = [one.name for one in parameters if one.default is one.empty]
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return cls(
            name=name,
            description=said.text,
            first_line=said.first_line,
            parameters=MappingProxyType(schema),
            needs_approval=mark.needs_approval,
            function=function,
            types=MappingProxyType(types),
            required=frozenset(required),
            positional=tuple(one.name for one in parameters if one.kind is one.POSITIONAL_ONLY),
            timeout=mark.timeout,
            fingerprint=fingerprint_of(function),
        )

    @property
    def spec(self) -> ToolSpec:
        """The tool as a request names it."""
        return ToolSpec(self.name, self.description, dict(self.parameters))

    @property
    def is_changed(self) -> bool:
        """Whether the function has other code by now, or its name in its module stands for another one."""
        if fingerprint_of(self.function) != self.fingerprint:
            return True
        module = sys.modules.get(getattr(self.function, "__module__", None) or "")
        name = getattr(self.function, "__qualname__", "")
        if module is None or not name.isidentifier():  # a method, or made inside another function
            return False
        now = vars(module).get(name)
        return now is not self.function and (not callable(now) or fingerprint_of(now) != self.fingerprint)

    def check(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
        """Return the values for arguments that are JSON, of the parameters' types, and what does not fit.

        A text for a number, or JSON in a text for a list, is understood where the parameter takes no text.
        """
        problems = [(name, "it is missing") for name in sorted(self.required - arguments.keys())]
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            if name not in self.types:
                known = ", ".join(self.types) or "none"
                problems.append((name, f"there is no such argument; valid ones: {known}"))
                continue
            try:
                values[name] = _convert(value, self.types[name])
            except Exception as error:  # noqa: BLE001 - a type of the user's may check in its own way
                problems.append(_problem(name, error))
        return values, tuple(problems)

    def call(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        """Call the function with values that `check` returned."""
        named = {name: value for name, value in values.items() if name not in self.positional}
        in_order = [values[name] for name in self.positional if name in values]
        return self.function(*in_order, **named)


def latest(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that has a function's name in its module by now; any other callable as it is."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    name = getattr(function, "__qualname__", "")
    found = vars(module).get(name, function) if module is not None and name.isidentifier() else function
    return found if inspect.isfunction(found) and inspect.isfunction(function) else function


def tools_of(functions: Sequence[Callable[..., Any] | Tool]) -> tuple[Tool, ...]:
    """Return functions as tools.

    Raises:
        ConfigError: One cannot be a tool, or two have the same name.
    """
    if not isinstance(functions, (list, tuple)):
        msg = tr("Tools are given as a list of functions: tools=[stock].")
        raise ConfigError(msg)
    made: dict[str, Tool] = {}
    for function in functions:
        one = Tool.of(function)
        if one.name in made and made[one.name].function is not one.function:
            raise ConfigError(
                tr(
                    "Two tools are called {name}. Rename one of them, or write @tool(name=…) above it.",
                    name=one.name,
                )
            )
        made[one.name] = one
    return tuple(made.values())


def fingerprint_of(function: Callable[..., Any]) -> str:
    """Return a hash of what a function does as far as that can be seen: its name, code, types and defaults.

    The code counts and not its text: a file may change after it was imported, and then does something else than what
    would run. A function that carries values of its own (a closure, a bound object, arguments of a partial) is equal
    only to itself. What it calls is not looked into.
    """
    own = _own(function)
    code = getattr(own, "__code__", None)
    carries = function is not own or code is None or bool(getattr(own, "__closure__", None))
    facts = (
        getattr(own, "__module__", ""),
        getattr(own, "__qualname__", ""),
        _code_facts(code) if code is not None else "",
        [(name, str(kind)) for name, kind in getattr(own, "__annotations__", {}).items()],
        [_constant(one) for one in getattr(own, "__defaults__", None) or ()],
        [(name, _constant(one)) for name, one in (getattr(own, "__kwdefaults__", None) or {}).items()],
        _identity(function) if carries else "",
    )
    return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()


def _identity(function: Callable[..., Any]) -> object:
    """Return what tells one object that carries values from another: a method is made anew at each look."""
    bound = getattr(function, "__self__", None)
    return id(function) if bound is None else (id(bound), id(_own(function)))


def _code_facts(code: CodeType) -> str:
    """Return what a code object does, wherever in a file it stands."""
    constants = [_code_facts(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_flags, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars))


def _constant(value: object) -> str:
    """Return what tells a default from another one: any object's repr may fail, or say too little."""
    return repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"object {id(value)}"


def _own(function: Any) -> Any:  # noqa: ANN401 - any callable
    """Return the function behind a method, a partial or a callable object; any other callable as it is."""
    if isinstance(function, partial):
        return _own(function.func)
    found = getattr(function, "__func__", function)
    if inspect.isroutine(found) or isinstance(found, type) or not callable(found):
        return found
    return vars(type(found)).get("__call__", found)


def _name_of(function: Any) -> str:  # noqa: ANN401
    if isinstance(function, partial):
        return _name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))


def _shown(function: object) -> str:
    return str(getattr(function, "__qualname__", "") or getattr(function, "__name__", "")) or shorten(
        repr(function), 80
    )


def _refuse(function: Any, name: str) -> None:  # noqa: ANN401
    """Raise for what cannot be a tool, whatever its parameters."""
    what, own = _shown(function), _own(function)
    if not callable(function):
        raise ConfigError(tr("{what} cannot be a tool: it is no function.", what=what))
    if isinstance(function, type):
        msg = tr("{what} is a class and cannot be a tool. Write a function that makes one.", what=what)
        raise ConfigError(msg)
    if name == _LAMBDA:
        msg = tr("A lambda cannot be a tool: it has no name and no types. Write it with def, and its types.")
        raise ConfigError(msg)
    if inspect.isgeneratorfunction(own) or inspect.isasyncgenfunction(own):
        msg = tr("{what} yields its results one by one and cannot be a tool. Return them in a list.", what=what)
        raise ConfigError(msg)
    if not _NAME.fullmatch(name):
        msg = tr(
            "{what} has a name that services do not take: letters, digits, _ and - only, at most 64. "
            'Write @tool(name="…") above it.',
            what=what,
        )
        raise ConfigError(msg)


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """Return the parameters that a model may set.

    Raises:
        ConfigError: There is no signature, or one parameter takes any number of arguments.
    """
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        found = []
    own = inspect.unwrap(_own(function))
    if not hasattr(own, "__code__"):
        msg = tr(
            "{name} cannot be a tool: it is built in, and has no types. Write a function with types around it.",
            name=name,
        )
        raise ConfigError(msg)
    bound = function.keywords if isinstance(function, partial) else {}
    for one in found:
        if one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD}:
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise ConfigError(
                tr(
                    "{name} cannot be a tool: {parameter} takes anything, and a model has to know what. "
                    "Name each parameter, with its type.",
                    name=name,
                    parameter=f"{stars}{one.name}",
                )
            )
    return [one for one in found if one.name not in bound]


def _types(function: Callable[..., Any], name: str, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Return the type of each parameter.

    Raises:
        ConfigError: One has none, or one that cannot be found.
    """
    own = inspect.unwrap(_own(function))
    hints = {one: kind for one, kind in getattr(own, "__annotations__", {}).items() if one != "return"}
    holder = SimpleNamespace(__annotations__=hints)
    try:
        types = typing.get_type_hints(holder, globalns=getattr(own, "__globals__", {}), include_extras=True)
    except Exception as error:
        raise ConfigError(
            tr("{name} cannot be a tool: the type of a parameter is not there ({error}).", name=name, error=error)
        ) from error
    for one in parameters:
        if one.name not in types and one.name == "self":
            raise ConfigError(
                tr("{name} is a method of a class. Name that of an object: tools=[thing.{name}].", name=name)
            )
        if one.name not in types:
            raise ConfigError(
                tr(
                    "{name} cannot be a tool: its parameter {parameter} has no type. Write {parameter}: str, or "
                    "whatever it takes.",
                    name=name,
                    parameter=one.name,
                )
            )
        if one.default is None:
            types[one.name] = typing.Optional[types[one.name]]  # noqa: UP045 - a text may stand for a type
    return {one.name: types[one.name] for one in parameters}


def _property(name: str, parameter: inspect.Parameter, kind: Any, said: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the JSON Schema of one parameter.

    Raises:
        ConfigError: Its type cannot be written as JSON.
    """
    try:
        (found,), components = msgspec.json.schema_components(
            [kind], schema_hook=_schema_hook, ref_template="#/$defs/{name}"
        )
        schema: dict[str, Any] = _inline(found, components, ())
    except (TypeError, NotImplementedError, RecursionError) as error:
        raise ConfigError(
            tr(
                "{name} cannot be a tool: a model cannot write its parameter {parameter} ({type}). Types that it can: "
                "str, int, float, bool, date, Literal, list, dict, dataclasses.",
                name=name,
                parameter=parameter.name,
                type=_type_name(kind),
            )
        ) from error
    if said:
        schema["description"] = said
    elif note := next((one for one in getattr(kind, "__metadata__", ()) if isinstance(one, str)), ""):
        schema["description"] = note
    default = parameter.default
    if default is None or (isinstance(default, (str, int, float, bool)) and default == default):  # noqa: PLR0124 - no NaN
        schema["default"] = default
    return schema


def _inline(schema: Any, components: Mapping[str, Any], seen: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    """Return a schema with what it refers to in place: not every server follows references.

    Raises:
        RecursionError: It refers to itself.
    """
    if isinstance(schema, list | tuple):
        return [_inline(one, components, seen) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name in seen or name not in components:
            raise RecursionError(name)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_inline(components[name], components, (*seen, name)), **rest}
    inner = {**components, **schema.get("$defs", {})}
    return {key: _inline(value, inner, seen) for key, value in schema.items() if key != "$defs"}


def _type_name(kind: Any) -> str:  # noqa: ANN401
    return str(getattr(kind, "__name__", kind)) if not typing.get_args(kind) else str(kind)


def _schema_hook(kind: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the schema of a type that msgspec does not know: paths, and pydantic's models."""
    if issubclass(kind, PurePath):
        return {"type": "string"}
    if hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema()
        return schema
    raise NotImplementedError


def _decode_hook(kind: type, value: Any) -> Any:  # noqa: ANN401
    """Return a value of a type that msgspec does not know."""
    if issubclass(kind, PurePath):
        if not isinstance(value, str):
            raise ValueError("Expected `str`")  # noqa: TRY004 - msgspec turns a ValueError into its own
        return kind(value)
    if callable(validate := getattr(kind, "model_validate", None)):
        return validate(value)
    raise NotImplementedError


def _convert(value: Any, kind: Any) -> Any:  # noqa: ANN401
    """Return a value of a type: as it is; else with texts read as numbers; else with JSON in a text read.

    Raises:
        Exception: It does not fit; msgspec's error about the value as it is.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_decode_hook)
    except Exception as error:
        attempts = [value]
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                attempts.append(json.loads(value))
            except (ValueError, RecursionError):
                attempts = [value]
        for attempt in attempts:
            try:
                return msgspec.convert(attempt, kind, strict=False, dec_hook=_decode_hook)
            except Exception:  # noqa: BLE001, S112 - the first error is the one to tell
                continue
        raise error from None


def _problem(name: str, error: Exception) -> Problem:
    """Return what msgspec's error, or a type's own, says about an argument."""
    text, _, place = " ".join(str(error).split()).partition(" - at `$")
    return f"{name}{place.rstrip('`')}", text[:300]
