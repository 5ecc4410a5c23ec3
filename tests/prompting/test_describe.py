"""A Python value → the text a model reads."""

from __future__ import annotations

import ast
import csv
import datetime as dt
import json
import re
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure

from chatglm_magic._prompting.describe import MAX_BYTES, cap, describe


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


CITIES = pd.DataFrame(
    {"city": ["北京", "上海", "北京"], "year": [2024, 2025, 2026], "price": [1 / 3, 1234567.891, None]}
)
DAYS = pd.date_range("2026-01-01", periods=3)
WIDE = pd.DataFrame(np.random.default_rng(1).normal(size=(100, 300)), columns=[f"feature_{n}" for n in range(300)])


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (CITIES.city.value_counts(), ["pandas Series 'count' of 2 values (int64)", "All 2:", "北京: 2", "上海: 1"]),
        (CITIES.dtypes, ["year: int64", "price: float64"]),
        (CITIES[["year"]].mean(), ["All 1:", "year: 2025.0"]),
        (CITIES.iloc[0], ["city: 北京", "price: 0.333333"]),
        (CITIES.groupby(["city", "year"]).price.sum(), ["Index: city (str), year (int64)", "北京, 2024: 0.333333"]),
        (pd.Series([True, False], index=DAYS[:2]), ["2026-01-01: True", "2026-01-02: False"]),
        (pd.Series([pd.NaT, pd.Timestamp("2026-01-01 10:00")]), ["0: NaT", "1: 2026-01-01 10:00:00"]),
        (CITIES.price, ["All 3: 0.333333, 1234567.89, NaN"]),
        (CITIES.city.astype("category"), ["pandas Series 'city' of 3 values (category: 上海, 北京)", "2: 北京"]),
        (pd.Series(["one, two\nthree"]), ["0: one, two\\nthree"]),
        (pd.Series(range(100), name="n"), ["min 0, max 99, mean 49.5", "First 5: 0, 1, 2, 3, 4"]),
        (pd.Series({f"k{n}": n for n in range(61)}), ["First 20:", "k19: 19"]),
        (pd.DataFrame({"n": range(60)}, index=[f"k{n}" for n in range(60)]), ["All 60 rows:", "k59,59"]),
        (pd.DataFrame({"n": range(21)}), ["First 5 rows:", "4,4"]),
        (pd.Series(dtype=float), ["All 0: "]),
        (pl.Series("q", ["x"]), ["polars Series 'q' of 1 values (String)", "0: x"]),
        (CITIES.groupby("city"), ["pandas DataFrameGroupBy with 2 groups. Rows of each:", "北京: 2"]),
        (CITIES.columns, ["Index(['city', 'year', 'price'], dtype='str')"]),
        (pd.RangeIndex(9), ["RangeIndex(start=0, stop=9, step=1)"]),
        (pd.Index([f"c{n}" for n in range(200)]), ["pandas Index of 200 values (str), from c0 to c199"]),
        (CITIES.describe(), ["All 8 rows:", ",year,price", "max,2026.0,1234567.89"]),
        (CITIES.groupby("city").agg({"price": ["max"]}), ["city,\"('price', 'max')\"", "北京,0.333333"]),
        (CITIES.set_index(DAYS), ["Index: unnamed (datetime64[us])", "2026-01-03,北京,2026,NaN"]),
        (CITIES.head(0), ["All 0 rows:", ",city,year,price"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["0,1,2"]),
        (pd.DataFrame({"dtype": [1], "name": ["x"], "shape": [2]}), ["0,1,x,2"]),
        (pd.DataFrame({"text": ["w" * 1000]}), [f"0,{'w' * 200}… [800 more characters]"]),
        (pl.DataFrame({"a": [1 / 3], "b": [None]}), ["a,b", "0.333333,None"]),
        (np.array([1.0, np.nan]), ["min 1, max 1, mean 1, 1 NaN"]),
        ({"rmse": np.float64(0.25), "n": [np.int64(3)]}, ["{'rmse': 0.25, 'n': [3]}"]),
        ({"train": CITIES, "n": 3}, ["dict of 2 items", "['train']", "2,北京,2026,NaN", "['n']", "3"]),
        ([{"a": np.eye(2)}], ["[{'a': <numpy ndarray of shape (2, 2), float64>}]"]),
    ],
)
def test_small_data_is_described_whole_with_its_labels(value, lines):
    """Each value stands beside its label, on one line, rounded; what is not whole says so."""
    text = describe(value).split("\n")

    assert [line for line in lines if line not in text] == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "second"),
    [
        (np.array([1 + 2j, 3]), "array([1.+2.j, 3.+0.j])"),
        (np.array([]), "array([], dtype=float64)"),
        (np.array([np.nan, np.nan]), "2 NaN"),
        (np.array([np.inf, -np.inf]), "min -inf, max inf"),
        (np.ma.array([1, 2], mask=[True, True]), "masked_array(data=[--, --],"),
    ],
)
def test_what_has_no_range_is_given_none(value, second):
    """Where numpy would warn, its number is no fact; nothing is warned of in the cell."""
    assert describe(value).split("\n")[1] == second


class ArrowTable:
    """Has what a table of pyarrow has."""

    def __init__(self, columns: dict[str, list[object]]) -> None:
        self.column_names = list(columns)
        self.columns = [SimpleNamespace(to_pylist=lambda items=items: items) for items in columns.values()]
        self.shape = (len(next(iter(columns.values()))), len(columns))
        self.schema = SimpleNamespace(types=["double"] * len(columns))
        self._items = columns

    def slice(self, first: int, count: int) -> ArrowTable:
        return ArrowTable({name: items[first : first + count] for name, items in self._items.items()})

    def select(self, places: list[int]) -> ArrowTable:
        return ArrowTable({self.column_names[place]: self._items[self.column_names[place]] for place in places})


@pytest.mark.parametrize(
    "frame",
    [
        WIDE,
        pl.DataFrame(WIDE),
        WIDE.describe(),
        WIDE.set_index(WIDE.columns[:2].tolist()),
        ArrowTable(WIDE.to_dict("list")),
    ],
)
def test_of_a_wide_table_the_columns_that_the_prompt_names_come_first(frame):
    """Rows stay whole and short, the other columns are listed by their types, and nothing is cut afterwards."""
    text = describe(frame, prompt="请解释feature_250列, not feature_25x")
    head, rest = text.split("\n")[:2]
    header, *rows = csv.reader(text.partition(" columns:\n")[2].splitlines())

    assert re.search(r"\d+ columns: feature_250 \((float64|Float64|double)\), feature_\d+ ", head)
    assert re.match(r"Not shown below: feature_\d+, .+ \((float64|Float64|double)\)", rest)
    assert len(rows) == (8 if frame.shape[0] == 8 else 5)
    assert {len(row) for row in rows} == {len(header)}
    assert len(header) >= 30
    assert max(len(item) for row in rows for item in row) <= 12
    assert len(text.encode()) <= MAX_BYTES
    assert "bytes left out" not in text


class OnDemand:
    """Has what a Series or a frame of Dask has: its size is unknown, and each `head` is work."""

    def __init__(self, data: pd.Series | pd.DataFrame) -> None:
        self.shape = (object(), *data.shape[1:])
        self.heads = 0
        self._data = data
        self.index = SimpleNamespace()

    def __getattr__(self, name: str) -> object:
        return getattr(self._data, name)

    def head(self, count: int) -> object:
        self.heads += 1
        return self._data.head(count)

    def min(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("data", [pd.Series(range(90), name="n"), pd.DataFrame({"n": range(90)})])
def test_what_is_computed_on_demand_is_computed_once(data):
    """Of data whose size is not known yet, the first rows are asked for, and nothing else."""
    lazy = OnDemand(data)
    text = describe(lazy)

    assert "an unknown number of" in text
    assert "First 5" in text
    assert lazy.heads == 1


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
    lines = cap("one line\n" * 1000).split("\n")
    assert {line for line in lines if "left out" not in line} == {"one line", ""}
    assert text.startswith("汉")
    assert text.endswith("汉")
    assert "�" not in text


def test_long_lists_say_how_long():
    """A capped list tells its length; a nested one has lines, in which no text is split."""
    nested = describe({"model": {f"layer {n}": {"units": n, "active": True} for n in range(9)}, "note": "two words"})
    assert "\n" in nested
    assert ast.literal_eval(nested)["model"]["layer 8"] == {"units": 8, "active": True}
    assert "word " * 40 in describe({"long": "word " * 40, "more": list(range(40))})
    assert describe(list(range(100_000))).startswith("list of 100000 items: [0, 1, 2")
    assert describe({"a": 1}) == "{'a': 1}"
    assert describe("plain") == "plain"
