"""Functions as tools: what a model is told of them, what cannot be one, and how arguments are checked."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from chatglm_magic import ConfigError
from chatglm_magic._tools.docstring import read_docstring
from chatglm_magic._tools.tool import Tool, fingerprint_of, tool, tools_of


def stock(ticker: str, days: int = 5, since: dt.date | None = None) -> float:
    """Return the price of a share.

    It is that of the last close.

    Args:
        ticker: The short name,
            such as AAPL.
        days (int): How many days back.
        since: Not before that day.

    Returns:
        Dollars.
    """
    return len(ticker) + days + (since is None)


def numpy_style(city: str, unit: Literal["c", "f"] = "c") -> str:
    return city + unit


numpy_style.__doc__ = """
    Return the weather.

    Parameters
    ----------
    city : str
        Where,
        in English.
    unit : {"c", "f"}
        Of the temperature.

    Returns
    -------
    str
        city: none of this is a parameter
    """


def rest_style(city: str, unit: str = "c") -> str:
    """Return the weather.

    :param str city: Where,
        in English.
    :param unit: Of the temperature.
    :returns: Text.
    """
    return city + unit


@dataclasses.dataclass
class Order:
    """What is bought."""

    ticker: str
    count: int = 1


@dataclasses.dataclass
class Chain:
    """Refers to itself."""

    following: Chain | None = None


class Color(enum.Enum):
    """A color."""

    RED = "red"


class Shop:
    """Has a method."""

    def buy(self, order: Order) -> str:
        """Buy something."""
        return order.ticker

    def __call__(self, count: int) -> int:
        """Count."""
        return count


def test_a_function_is_described_by_its_signature_types_and_docstring():
    """The model gets the name, the docstring up to its sections, and a schema with each parameter's words."""
    found = Tool.of(stock).spec

    assert found.name == "stock"
    assert found.description == "Return the price of a share.\n\nIt is that of the last close."
    assert found.parameters == {
        "type": "object",
        "properties": {
            "ticker": {"type": "string", "description": "The short name, such as AAPL."},
            "days": {"type": "integer", "description": "How many days back.", "default": 5},
            "since": {
                "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                "description": "Not before that day.",
                "default": None,
            },
        },
        "required": ["ticker"],
        "additionalProperties": False,
    }
    assert Tool.of(stock).first_line == "Return the price of a share."


@pytest.mark.parametrize("function", [numpy_style, rest_style])
def test_docstrings_of_other_styles_say_the_same(function):
    """NumPy's sections and reST's fields describe parameters as Google's do."""
    found = Tool.of(function)

    assert found.description == "Return the weather."
    assert found.parameters["properties"]["city"]["description"] == "Where, in English."
    assert found.parameters["properties"]["unit"]["description"] == "Of the temperature."


@pytest.mark.parametrize(
    "doc", [None, "", "Args:", "Args:\n    x", ":param", "Parameters\n---", "a: b\n  c\n\n\n", "参数：\n  x：甲"]
)
def test_any_docstring_can_be_read(doc):
    """A docstring that keeps to no style is no error, and says no more than it holds."""
    found = read_docstring(doc)

    assert len(found.text) <= len(doc or "")
    assert set(found.parameters) <= {"x"}


def test_a_chinese_docstring_is_read():
    """Sections and colons may be Chinese."""
    found = read_docstring("查询股价。\n\n参数：\n    ticker：代码\n    days：天数")

    assert (found.text, found.parameters) == ("查询股价。", {"ticker": "代码", "days": "天数"})


def test_what_can_be_called_can_be_a_tool():
    """Methods, coroutines, partials and callable objects are tools, without what is bound already."""

    async def later(count: int) -> int:
        """Come later."""
        return count

    fixed = functools.partial(stock, days=3)

    assert Tool.of(Shop().buy).check({"order": {"ticker": "A"}}) == ({"order": Order("A", 1)}, ())
    assert Tool.of(Shop()).spec.description == "Count."
    assert Tool.of(later).name == "later"
    assert set(Tool.of(fixed).types) == {"ticker", "since"}
    assert Tool.of(fixed).call({"ticker": "AAPL"}) == 8


def test_types_are_written_into_the_schema():
    """Dataclasses, enums, literals, paths and notes on a parameter need no words of the user's, and no references."""

    def many(order: Order, all_of: list[Order], color: Color, where: Path, what: Annotated[str, "A note."]) -> None:
        pass

    properties = Tool.of(many).parameters["properties"]

    assert properties["order"] == properties["all_of"]["items"]
    assert properties["order"]["required"] == ["ticker"]
    assert properties["color"]["enum"] == ["red"]
    assert properties["where"] == {"type": "string"}
    assert properties["what"]["description"] == "A note."
    assert "$" not in str(properties)


def unannotated(a):
    return a


def starred(*names: str):
    return names


def keywords(**names: str):
    return names


def framed(frame: Shop):
    return frame


def chained(chain: Chain):
    return chain


def yields(count: int):
    yield count


def unknown(a: Nowhere):  # noqa: F821 - a type that is not there
    return a


def 股价(ticker: str):  # noqa: N802, PLC2401 - as users write it
    return ticker


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda x: x, "A lambda cannot be a tool"),
        (unannotated, "unannotated cannot be a tool: its parameter a has no type"),
        (starred, r"\*names takes anything"),
        (keywords, r"\*\*names takes anything"),
        (framed, r"a model cannot write its parameter frame \(Shop\)"),
        (chained, r"a model cannot write its parameter chain \(Chain\)"),
        (yields, "yields its results one by one"),
        (unknown, "the type of a parameter is not there"),
        (股价, "a name that services do not take"),
        (Shop.buy, "is a method of a class"),
        (Shop, "is a class"),
        (len, "len cannot be a tool: it is built in"),
        (print, "print cannot be a tool: it is built in"),
        (math.sin, "sin cannot be a tool: it is built in"),
        (5, "5 cannot be a tool: it is no function"),
        (math, "^math cannot be a tool: it is no function"),
        ("stock", "'stock' cannot be a tool: it is no function"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_by_name(given, words):
    """Each refusal is a sentence that names the function and what is wrong with it."""
    with pytest.raises(ConfigError, match=words):
        Tool.of(given)


def test_names_that_clash_are_refused():
    """Two functions of one name would answer for each other; the same one twice is one tool."""

    def other(ticker: str) -> str:
        return ticker

    other.__name__ = "stock"

    with pytest.raises(ConfigError, match="Two tools are called stock"):
        tools_of([stock, other])
    assert [one.name for one in tools_of([stock, stock])] == ["stock"]
    with pytest.raises(ConfigError, match=r"tools=\[stock\]"):
        tools_of(stock)


def test_the_authors_mark_holds_for_the_marked_function_alone():
    """What wraps, binds or copies a marked function was not marked by anybody."""

    @tool(needs_approval=False, name="gu_jia")
    def 股价(ticker: str) -> str:  # noqa: N802, PLC2401
        return ticker

    @functools.wraps(股价)
    def wrapper(ticker: str) -> str:
        return 股价(ticker)

    wrapper.__name__ = "wrapper"

    assert not Tool.of(股价).needs_approval
    assert Tool.of(股价).name == "gu_jia"
    assert Tool.of(wrapper).needs_approval
    assert Tool.of(tool(stock)).needs_approval
    with pytest.raises(ConfigError, match="cannot be marked"):
        tool(len)


def test_arguments_are_converted_where_their_meaning_is_certain():
    """A number in a text, JSON in a text and a date are understood; the values have the parameters' types."""

    def buy(orders: list[Order], at: dt.date, much: float, sure: bool) -> None:  # noqa: FBT001
        pass

    found, problems = Tool.of(buy).check(
        {"orders": '[{"ticker": "A"}]', "at": "2026-11-27", "much": "1.5", "sure": "true"}
    )

    assert problems == ()
    assert found == {"orders": [Order("A")], "at": dt.date(2026, 11, 27), "much": 1.5, "sure": True}


def test_what_does_not_fit_is_said_of_each_argument():
    """Missing, unknown and wrong arguments are all named at once."""
    _, problems = Tool.of(stock).check({"days": "many", "when": 1})

    assert {path for path, _ in problems} == {"ticker", "days", "when"}
    assert dict(problems)["days"] == "Expected `int`, got `str`"


def test_text_stays_text():
    """What looks like a number or like JSON is left alone where the parameter takes text."""
    found, _ = Tool.of(stock).check({"ticker": "[1]"})

    assert found == {"ticker": "[1]"}


def test_parameters_without_names_are_passed_in_order():
    """A positional-only parameter gets its argument all the same."""

    def power(base: int, /, exponent: int = 2) -> int:
        return base**exponent

    assert Tool.of(power).call({"exponent": 3, "base": 2}) == 8


def define(body: str, **names: Any) -> Any:
    """Define `f` as a cell would: in `__main__`."""
    space = vars(sys.modules["__main__"])
    exec(f"def f(x: int = 1) -> int:\n    {body}", space | names, made := {})  # noqa: S102
    made["f"].__module__ = "__main__"
    made["f"].__qualname__ = "f"
    space["f"] = made["f"]
    return made["f"]


def test_a_function_is_changed_when_its_name_means_another_one():
    """The same text run again is the same function; another text, a deleted name or new code is not."""
    asked = Tool.of(define("return x"))
    assert not asked.is_changed
    define("return x")
    assert not asked.is_changed
    again = define("return x + 1")
    assert asked.is_changed
    asked = Tool.of(again)
    again.__code__ = define("return x + 2").__code__
    assert asked.is_changed
    del sys.modules["__main__"].f
    assert asked.is_changed


def test_functions_that_carry_values_are_equal_only_to_themselves():
    """A closure with other values, or a method of another object, is another function."""

    def make(count: int) -> Any:
        def counted(x: int) -> int:
            return x + count

        return counted

    first, second, shop = make(1), make(2), Shop()

    assert fingerprint_of(first) == fingerprint_of(first) != fingerprint_of(second)
    assert fingerprint_of(shop.buy) == fingerprint_of(shop.buy) != fingerprint_of(Shop().buy)


def test_a_function_may_have_a_time_limit_of_its_own():
    """`@tool(timeout=…)` says how many seconds a call may take; 60 where nothing is said."""

    def timed(ticker: str) -> int:
        return len(ticker)

    assert Tool.of(stock).timeout == 60
    assert Tool.of(tool(timeout=0.5)(timed)).timeout == 0.5


@pytest.mark.parametrize("given", [0, -1, "5", True, None, float("nan")])
def test_a_time_limit_is_a_positive_number(given):
    """Anything else is refused where the function is defined."""
    with pytest.raises(ConfigError, match="timeout takes a number of seconds above 0"):
        tool(timeout=given)
