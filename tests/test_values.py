"""Our dataclasses beside those of the standard library: the same to everybody who uses them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field

import pytest

from chatglm_magic import _values


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """Many kinds of fields."""

    a: int
    b: tuple[int, ...] = ()
    hidden: str = field(default="", repr=False)
    note: str = field(default="", compare=False)
    late: list[str] = field(default_factory=list, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError(self.a)


@_values.dataclass(frozen=True, slots=True)
class Ours:
    """Many kinds of fields."""

    a: int
    b: tuple[int, ...] = ()
    hidden: str = field(default="", repr=False)
    note: str = field(default="", compare=False)
    late: list[str] = field(default_factory=list, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError(self.a)


@_values.dataclass(frozen=True, slots=True)
class Single:
    """One field and a representation of its own."""

    x: float

    def __repr__(self) -> str:
        return "own"


@dataclasses.dataclass(slots=True)
class TheirRecord:
    """Fields that change."""

    a: int
    b: list[int] = field(default_factory=list)


@_values.dataclass(slots=True)
class OurRecord:
    """Fields that change."""

    a: int
    b: list[int] = field(default_factory=list)


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class TheirThing:
    """Itself alone."""

    a: int = 0


@_values.dataclass(slots=True, eq=False, kw_only=True)
class OurThing:
    """Itself alone."""

    a: int = 0


BOTH = pytest.mark.parametrize("kind", [Theirs, Ours])


@BOTH
def test_a_value_is_made_compared_and_shown(kind):
    """Positions, names, defaults and factories; equal by what is compared, and only to its own kind."""
    value = kind(1, (2,), hidden="s", late=["x"])

    assert repr(value) == f"{kind.__name__}(a=1, b=(2,), note='', late=['x'])"
    assert value == kind(a=1, b=(2,), hidden="s", note="other")
    assert value != kind(1, (3,), hidden="s")
    assert value != (1, (2,))
    assert hash(value) == hash(kind(1, (2,), "s"))
    assert kind(1).late is not kind(1).late
    assert inspect.signature(kind).parameters.keys() == inspect.signature(Theirs).parameters.keys()
    for wrong in ((), (1, 2, 3, 4, 5)):
        with pytest.raises(TypeError):
            kind(*wrong)
    with pytest.raises(ValueError, match="-1"):
        kind(-1)


@BOTH
def test_a_value_is_frozen_and_slotted(kind):
    """Nothing of it can be set, removed or added."""
    value = kind(1)
    for change in (
        lambda: setattr(value, "a", 2),
        lambda: setattr(value, "new", 2),
        lambda: delattr(value, "a"),
    ):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # TypeError: CPython 3.11, for a new name
            change()

    assert not hasattr(value, "__dict__")
    assert value.a == 1


@BOTH
def test_a_value_can_be_copied_replaced_taken_apart_and_matched(kind):
    """What the standard library and `match` do with dataclasses works."""
    value = kind(1, (2,), "s", "n", late=["x"])

    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
    assert copy.deepcopy(value).late == ["x"]
    assert copy.copy(value) == value
    assert dataclasses.replace(value, a=5) == kind(5, (2,), "s")
    assert dataclasses.asdict(value) == {"a": 1, "b": (2,), "hidden": "s", "note": "n", "late": ["x"]}
    assert dataclasses.is_dataclass(kind)
    assert kind.__match_args__ == ("a", "b", "hidden", "note")
    assert kind.__dataclass_params__.frozen
    match value:
        case kind(first, (second,)):
            assert (first, second) == (1, 2)
        case _:
            pytest.fail("no match")


def test_methods_of_its_own_stay():
    """What a class writes itself is not written over; one field is compared as well as many."""
    assert repr(Single(1.0)) == "own"
    assert Single(1.0) == Single(1.0)
    assert Single(1.0) != Single(2.0)
    assert len({Single(1.0), Single(1.0)}) == 1


@pytest.mark.parametrize("kind", [TheirRecord, OurRecord])
def test_what_is_not_frozen_changes_and_has_no_hash(kind):
    """Its fields can be set; it is equal by them, so it cannot be a key; it can be copied and replaced."""
    record = kind(1)
    record.a = 2
    record.b.append(3)

    assert repr(record) == f"{kind.__name__}(a=2, b=[3])"
    assert record == kind(2, [3])
    assert record != kind(2)
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own
    assert copy.deepcopy(record) == record
    assert dataclasses.replace(record, a=5) == kind(5, [3])
    assert not kind.__dataclass_params__.frozen
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)
    with pytest.raises(AttributeError):
        record.new = 1
    del record.a
    assert not hasattr(record, "a")


@pytest.mark.parametrize("kind", [TheirThing, OurThing])
def test_what_is_not_compared_is_itself_alone(kind):
    """Two that say the same are two; fields are given by name."""
    thing = kind(a=1)

    assert thing != kind(a=1)
    assert len({thing, kind(a=1), thing}) == 2
    assert not kind.__dataclass_params__.eq
    with pytest.raises(TypeError):
        kind(1)


def test_what_is_no_plain_value_is_refused():
    """A class without slots, without fields or with fields that are not given is the standard library's."""
    with pytest.raises(TypeError):
        _values.dataclass(frozen=True, slots=False)
    with pytest.raises(TypeError, match="no plain value"):

        @_values.dataclass(frozen=True, slots=True)
        class Nothing:
            """Nothing."""
