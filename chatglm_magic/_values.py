"""Slotted dataclasses, made in a quarter of the time that the standard library needs; no I/O.

The first question of a session needs some fifty of them, which took an eighth of the time it takes. Nearly all
of that is the compiling of methods one by one; here only `__init__` is compiled, the others are shared.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - what type checkers are to take it for

_T = TypeVar("_T")
_FACTORY = object()
"""Stands for a default that is made anew each time."""


def _make(cls: type[_T], *, frozen: bool, eq: bool, kw_only: bool) -> type[_T]:
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    fields = dataclasses.fields(made)  # type: ignore[arg-type]  # it is one now
    names = tuple(field.name for field in fields if field.compare)
    if not names or not all(field.init for field in fields):
        raise TypeError(f"{cls.__name__} is no plain value: take the standard library's dataclass.")
    parameters = made.__dataclass_params__  # type: ignore[attr-defined]  # every dataclass has them
    parameters.init = parameters.repr = True
    parameters.eq, parameters.frozen = eq, frozen
    methods: dict[str, Callable[..., Any] | None] = {"__init__": _init(made, fields), "__repr__": _repr}
    if eq:
        methods |= _comparison(names, frozen=frozen)
    if frozen:
        methods |= {
            "__setattr__": _frozen,
            "__delattr__": _frozen,
            "__getstate__": _state,
            "__setstate__": _restore,
        }
    for name, method in methods.items():
        if name not in cls.__dict__:
            setattr(made, name, method)
    return made


def _comparison(names: tuple[str, ...], *, frozen: bool) -> dict[str, Callable[..., Any] | None]:
    get = attrgetter(*names) if len(names) > 1 else _only(names[0])

    def equal(self: object, other: object) -> bool:
        return get(self) == get(other) if other.__class__ is self.__class__ else NotImplemented

    # What can change its value has no hash.
    return {"__eq__": equal, "__hash__": (lambda self: hash(get(self))) if frozen else None}


def _only(name: str) -> Callable[[object], tuple[Any]]:
    get = attrgetter(name)
    return lambda self: (get(self),)


def _init(made: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    """Compile the one method that must be fast: each token of a reply is a value."""
    scope: dict[str, Any] = {"_FACTORY": _FACTORY}
    parameters, body = [], []
    for field in sorted(fields, key=lambda field: bool(field.kw_only)):
        name = field.name
        if field.kw_only and "*" not in parameters:
            parameters.append("*")
        scope[f"_set_{name}"] = made.__dict__[name].__set__
        given = name
        if field.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_FACTORY")
            given = f"_make_{name}() if {name} is _FACTORY else {name}"
        else:
            parameters.append(name)
        body.append(f" _set_{name}(self, {given})")
    if hasattr(made, "__post_init__"):
        body.append(" self.__post_init__()")
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(body), scope)  # noqa: S102 - names of our own fields
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _repr(self: Any) -> str:  # noqa: ANN401 - any of our values
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"


def _frozen(self: object, name: str, value: object = None) -> None:  # noqa: ARG001 - the protocol's
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")


def _state(self: Any) -> list[Any]:  # noqa: ANN401 - as above
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:  # noqa: ANN401 - as above
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


if not TYPE_CHECKING:

    def dataclass(*, slots, frozen=False, eq=True, kw_only=False):  # noqa: ANN001, ANN202 - types are the standard library's
        """Do what the standard library's decorator of that name does with the same arguments."""
        if not slots:
            msg = "Only slotted dataclasses are made here."
            raise TypeError(msg)
        return partial(_make, frozen=frozen, eq=eq, kw_only=kw_only)
