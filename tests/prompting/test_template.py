"""{names} in a prompt become values, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._prompting.template import Interpolated, interpolate


class Trap:
    """A value whose property ends the program."""

    @property
    def exits(self) -> None:
        raise SystemExit(3)

    def __call__(self) -> str:
        raise AssertionError


NAMES = {
    "x": 42,
    "secret": "S3CRET",
    "value": "{secret}",
    "rows": [{"k": "first"}, 2],
    "d": {"a b": {"c": 3}},
    "ns": SimpleNamespace(a=SimpleNamespace(b=[7, 8])),
    "trap": Trap(),
    "变量": "中文",
}


def done(prompt: str) -> Interpolated:
    return interpolate(prompt, NAMES, str)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("{x}", "42"),
        ("a {x} b {x} c", "a 42 b 42 c"),
        ("{ns.a.b[1]} {rows[0]['k']} {rows[-1]}", "8 first 2"),
        ('{d["a b"]["c"]}', "3"),
        ("{变量}", "中文"),
        ("{{x}}", "{x}"),
        ("{value}", "{secret}"),
        ("print({'x': 1})", "print({'x': 1})"),
        ('{"x": {"y": 1}}', '{"x": {"y": 1}}'),
        ("{x:.2f} {x!r} {x()} { x } {x+1} {}", "{x:.2f} {x!r} {x()} { x } {x+1} {}"),
        (r"\frac{x}{x} \sqrt[3]{x} y^{x} z_{x} \text{x}", r"\frac{x}{x} \sqrt[3]{x} y^{x} z_{x} \text{x}"),
        (r"\alpha is {x}", r"\alpha is 42"),
        ("for (;;) {x}", "for (;;) 42"),
    ],
)
def test_only_names_of_the_user_are_replaced(prompt, text):
    """Code, JSON, LaTeX and format specs stay as they were written; values are not looked through again."""
    assert done(prompt).text == text


def test_what_was_used_and_missed_is_listed_once():
    """A name that looks like a miss is told, and stays."""
    result = done("{x} {nmae} {x} {rows[9]} {nmae} {secret}")

    assert result == Interpolated("42 {nmae} 42 {rows[9]} {nmae} S3CRET", ("x", "secret"), ("nmae", "rows[9]"))


def test_a_property_that_raises_is_a_miss():
    """Even one that ends the program; and nothing is called or private."""
    result = done("{trap.exits} {x.__class__} {trap.nothing}")

    assert result.text == "{trap.exits} {x.__class__} {trap.nothing}"
    assert result.missed == ("trap.exits", "x.__class__", "trap.nothing")


@given(st.text(alphabet="{}x[]'\".\\^_ab 中\n"))
def test_a_prompt_without_names_survives_unchanged(prompt):
    """With an empty namespace only `{{name}}` changes, and nothing is raised."""
    result = interpolate(prompt, {}, str)

    assert result.used == ()
    if "{{" not in prompt:
        assert result.text == prompt
