"""A Python value → the text a model reads."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure

from chatglm_magic._context import MAX_BYTES, cap, describe


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


class Speaks:
    """Says itself what a model should read."""

    def _repr_llm_(self) -> str:
        return "I am spoken for"


def test_a_pandas_frame_tells_its_size_its_types_and_its_head():
    """Schema and first rows, never the whole."""
    frame = pd.DataFrame({"price": np.arange(1000) / 2, "城市": ["北京"] * 1000})

    text = describe(frame)

    assert "1000 rows and 2 columns: price (float64), 城市" in text
    assert "4,2.0,北京" in text
    assert "5,2.5" not in text


def test_a_polars_frame_tells_the_same():
    """Frames are told by what they have, whoever made them."""
    text = describe(pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}))

    assert "polars DataFrame with 2 rows and 2 columns: a (Int64), b (String)" in text
    assert "2,y" in text


@pytest.mark.parametrize("make", [pd.Series, pl.Series])
def test_a_series_tells_its_type_and_its_head(make):
    """The first values of a column."""
    text = describe(make(range(100)))

    assert "100 values" in text
    assert "First 5: 0, 1, 2, 3, 4" in text


def test_an_array_tells_shape_type_and_range():
    """An array of a million numbers is three lines."""
    text = describe(np.linspace(0, 1, 1_000_000).reshape(1000, 1000))

    assert "numpy ndarray of shape (1000, 1000), float64" in text
    assert "min 0, max 1, mean 0.5" in text
    assert len(text) < 2000


def test_an_array_without_a_range_is_told_all_the_same():
    """Text and emptiness have neither minimum nor mean."""
    assert "shape (2,)" in describe(np.array(["a", "b"]))
    assert "shape (0,)" in describe(np.array([]))


class Whole:
    """Behaves as torch does with whole numbers."""

    shape = (3,)
    dtype = "int64"

    def __getitem__(self, _: int) -> int:
        return 1

    def __repr__(self) -> str:
        return "tensor([1, 2, 3])"

    def min(self) -> int:
        return 1

    def max(self) -> int:
        return 3

    def mean(self) -> int:
        raise RuntimeError


def test_what_has_no_mean_tells_the_rest():
    """One number that cannot be had does not take the others with it."""
    assert describe(Whole()).endswith("of shape (3,), int64\nmin 1, max 3\ntensor([1, 2, 3])")


class Zero(Whole):
    """Behaves as a tensor of one number does."""

    shape = ()

    def item(self) -> float:
        return 1.5


class Meta(Zero):
    """Behaves as a tensor without data does."""

    def item(self) -> float:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(1.5), "1.5"),
        (np.float32(0.1), "0.1"),
        (np.array([1, 2], "int32")[1], "2"),
        (np.array(7), "7"),
        (np.bool_(True), "True"),
        (np.datetime64("2026-11-22T14:00", "ns"), "2026-11-22T14:00:00.000000000"),
        (np.timedelta64(3, "D"), "3 days"),
        (pd.Series([1.0, 2.0]).mean(), "1.5"),
        (Zero(), "1.5"),
        (Decimal("1.50"), "1.50"),
        (Fraction(1, 3), "1/3"),
        (dt.date(2026, 11, 22), "2026-11-22"),
        (dt.datetime(2026, 11, 22, 14, tzinfo=dt.UTC), "2026-11-22 14:00:00+00:00"),
        (dt.time(14, 5), "14:05:00"),
        (dt.timedelta(days=1), "1 day, 0:00:00"),
        (pd.Timestamp("2026-11-22"), "2026-11-22 00:00:00"),
        (pd.Timedelta(days=1), "1 days 00:00:00"),
        (pd.Period("2026-11", "M"), "2026-11"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("data/rows.csv"), str(Path("data/rows.csv"))),
    ],
)
def test_one_value_is_told_as_people_write_it(value, text):
    """What is a number, a moment or a path stays in its sentence: neither an array's report nor a repr."""
    assert describe(value) == text


def test_a_tensor_without_data_is_told_as_an_array():
    """Where there is no value to give, its shape and type are."""
    assert "of shape (), int64" in describe(Meta())


def test_a_lazy_frame_is_not_computed():
    """Nothing is collected, and nothing warns, for a description."""
    assert "a" in describe(pl.DataFrame({"a": [1]}).lazy())


def test_a_function_is_its_source_and_a_builtin_its_signature():
    """What a model can read best."""
    assert describe(add).startswith("def add(a: int, b: int = 2) -> int:")
    assert "class Speaks" in describe(Speaks)
    assert describe(json.dumps).startswith("def dumps(")
    assert describe(len).startswith("len(obj")


def test_a_module_is_its_names():
    """The module's own list of names."""
    assert "Names: dump, dumps, load, loads" in describe(json)


def test_an_exception_is_its_traceback():
    """With the lines that led to it."""
    try:
        add(1, "2")
    except TypeError as error:
        text = describe(error)

    assert "return a + b" in text
    assert text.splitlines()[-1].startswith("TypeError: unsupported operand")


def test_a_figure_is_told_in_words():
    """Titles, labels and ranges of its axes."""
    figure = Figure()
    axes = figure.add_subplot(title="Sales", xlabel="month")
    axes.plot([0, 10], [1, 5])

    assert "title 'Sales', x 'month' from -0.5 to 10.5" in describe(figure)


def test_an_object_may_speak_for_itself():
    """`_repr_llm_` goes before everything; the class itself is not asked."""
    assert describe(Speaks()) == "I am spoken for"
    assert "def _repr_llm_" in describe(Speaks)


def test_long_text_is_capped_and_says_so():
    """Beginning and end stay; no character is cut in half."""
    text = cap("汉" * 10_000)

    assert len(text.encode()) < MAX_BYTES + 100
    assert "of 30000 bytes left out" in text
    assert text.startswith("汉")
    assert text.endswith("汉")
    assert "�" not in text


def test_long_lists_say_how_long():
    """A capped list tells its length."""
    assert describe(list(range(100_000))).startswith("list of 100000 items: [0, 1, 2")
    assert describe({"a": 1}) == "{'a': 1}"
    assert describe("plain") == "plain"
