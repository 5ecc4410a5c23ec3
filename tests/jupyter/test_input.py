"""Tests of our cells on their way to Python: kept as typed, awaited where that can be, and only ours."""

from __future__ import annotations

import ast
import asyncio
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from chatglm_magic._jupyter import input as cells

AWAITED_LINE = "await get_ipython().run_line_magic('chatglm_async', {!r})\n".format
AWAITED_CELL = "await get_ipython().run_cell_magic('chatglm_async', {!r}, {!r})\n".format
PLAIN_LINE = "get_ipython().run_line_magic('chatglm', {!r})\n".format
PLAIN_CELL = "get_ipython().run_cell_magic('chatglm', {!r}, {!r})\n".format


@pytest.fixture(scope="module")
def shell():
    """Give a shell with our hooks, and take them out again."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    uninstall = cells.install(shell)
    yield shell
    uninstall()


def transformed(shell: InteractiveShell, cell: str) -> str:
    """Transform a cell as a kernel does: in a running loop."""

    async def main() -> str:
        return shell.transform_cell(cell)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%chatglm\nhi", AWAITED_CELL("", "hi\n")),
        ("%%chatglm -m x  \nhi\n", AWAITED_CELL("-m x", "hi\n")),
        ("%%chatglm\t-m x\nhi\n", AWAITED_CELL("-m x", "hi\n")),
        ("\n \n%%chatglm\n\n  hi ", AWAITED_CELL("", "\n  hi \n")),
        ("  %%chatglm\n  hi", AWAITED_CELL("", "hi\n")),
        ("%%chatglm why?\nx", AWAITED_CELL("why?", "x\n")),
        ("%%chatglm", PLAIN_CELL("", "")),
        ("%%chatglm hi", PLAIN_CELL("hi", "")),
        ("%chatglm why?", AWAITED_LINE("why?")),
        ("%chatglm why？", AWAITED_LINE("why？")),
        ("%chatglm ?", AWAITED_LINE("?")),
        ('%chatglm it\'s "so" \\ {x} why??', AWAITED_LINE('it\'s "so" \\ {x} why??')),
        ("%chatglm", AWAITED_LINE("")),
        ("a = %chatglm why?", f"a = {AWAITED_LINE('why?')}"),
        ("中.b: int = %chatglm why?", f"中.b: int = {AWAITED_LINE('why?')}"),
        ("x = 1\n%chatglm a?\nfoo?", f"x = 1\n{AWAITED_LINE('a?')}get_ipython().run_line_magic('pinfo', 'foo')\n"),
        ("for i in x:\n    %chatglm why?", f"for i in x:\n    {PLAIN_LINE('why?')}"),
        ("def f():\n    a = %chatglm why?", f"def f():\n    a = {PLAIN_LINE('why?')}"),
        ("%chatglm?", "get_ipython().run_line_magic('pinfo', '%chatglm')\n"),
        ("%%chatglm?", "get_ipython().run_line_magic('pinfo', '%%chatglm')\n"),
        ("%chatglm??", "get_ipython().run_line_magic('pinfo2', '%chatglm')\n"),
        ("?%chatglm", "get_ipython().run_line_magic('pinfo', '%chatglm')\n"),
        ("%chatglm\u3000你好？", AWAITED_LINE("你好？")),
        ("%chatglm\u00a0-m\u3000x  why?", AWAITED_LINE("-m\u3000x  why?")),
        ("a = %chatglm\u3000why?", f"a = {AWAITED_LINE('why?')}"),
        ("中 = 1\nfor i in x:\n    %chatglm\u3000why", f"中 = 1\nfor i in x:\n    {PLAIN_LINE('why')}"),
        ("%chatglm\twhy?", AWAITED_LINE("why?")),
        ("%%chatglm\u3000-m x\nhi", AWAITED_CELL("-m x", "hi\n")),
        ("  %%chatglm\u3000-m x\n  hi", AWAITED_CELL("-m x", "hi\n")),
        ("%chatglm？", AWAITED_LINE("help")),
        ("%%chatglm？", AWAITED_LINE("help")),
        ("%chatglms hi", "get_ipython().run_line_magic('chatglms', 'hi')\n"),
        ("%%time\n%chatglm why?", "get_ipython().run_cell_magic('time', '', '%chatglm why?\\n')\n"),
        ("s = '''\n%chatglm why?\n'''", "s = '''\n%chatglm why?\n'''\n"),
        (f"s = '''\n{PLAIN_LINE('x')}'''", f"s = '''\n{PLAIN_LINE('x')}'''\n"),
        ("%autoawait off\n%chatglm hi", f"get_ipython().run_line_magic('autoawait', 'off')\n{PLAIN_LINE('hi')}"),
        ("x = (\n%chatglm hi", "x = (\n%chatglm hi\n"),
    ],
)
def test_a_cell_becomes_what_it_should(shell, cell, expected):
    """Ours is awaited where it is a statement of the cell; help, strings and other magics stay IPython's."""
    assert transformed(shell, cell) == expected


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%chatGLM\nhi?", "%%chatGLM is not understood: its name has small letters only. Write %%chatglm"),
        ("%ChatGLM hi?", "%ChatGLM is not understood: its name has small letters only. Write %chatglm hi?"),
        ("if True:\n    a = %CHATGLM hi", "Write %chatglm hi"),
        ("%chatglm你好", "%chatglm你好 is not understood: a blank belongs after its name. Write %chatglm 你好"),
        ("%%chatglm：-m x\nhi", "Write %%chatglm -m x"),
        ("%chatglm-m x hi", "Write %chatglm -m x hi"),
    ],
)
def test_what_is_almost_our_name_is_refused_with_what_is_meant(shell, capsys, cell, words):
    """A wrong letter case or a missing blank is told in one line, and nothing is asked."""
    shell.run_cell(cell)

    (shown,) = capsys.readouterr().err.strip().splitlines()
    assert shown.startswith("UsageError: %")
    assert words in shown


def test_a_magic_of_the_users_keeps_its_name(shell):
    """A magic that somebody has registered is theirs, however near its name is."""
    shell.register_magic_function(lambda line: line * 2, "line", "ChatGLM")

    assert shell.run_cell("a = %ChatGLM hi").success
    assert shell.user_ns["a"] == "hihi"


def said(code: str) -> tuple[str, ...]:
    """Give the arguments of the one call that a cell became."""
    (statement,) = compile(code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).body
    return tuple(argument.value for argument in statement.value.value.args)


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip))
@example(">>> 1\n... 2")
@example("\r\n\x0b\x0c\x1c\x85\u2028\t \n   \n")
@example("In [1]: x\n...: y\n    z")
def test_no_prompt_is_changed_on_its_way(shell, body):
    """Every character below the first line arrives in the call, whatever it looks like."""
    assert said(transformed(shell, f"%%chatglm -q\n{body}")) == (
        "chatglm_async",
        "-q",
        body if body.endswith("\n") else f"{body}\n",
    )


def test_nothing_is_awaited_where_nothing_could_wait(shell, monkeypatch):
    """Without a running loop, with autoawait off or with another runner the plain call stays."""
    assert shell.transform_cell("%chatglm hi") == PLAIN_LINE("hi")
    with monkeypatch.context() as patch:
        patch.setattr(shell, "autoawait", False)
        assert transformed(shell, "%chatglm hi") == PLAIN_LINE("hi")
    with monkeypatch.context() as patch:
        patch.setattr(shell, "trio_runner", object())
        assert transformed(shell, "%chatglm hi") == PLAIN_LINE("hi")
    assert transformed(shell, "%chatglm hi") == AWAITED_LINE("hi")


def test_what_a_running_cell_starts_is_not_awaited(shell):
    """Code that runs inside a cell's code (`%%time`, `ip.run_cell`) has nobody to await it."""
    shell.user_ns["transform"] = shell.transform_cell

    async def main() -> None:
        shell.run_cell("inner = transform('%chatglm hi')").raise_error()

    asyncio.run(main())
    assert shell.user_ns["inner"] == PLAIN_LINE("hi")
    assert not cells.is_nested(sys._getframe())


@pytest.mark.parametrize(
    ("cell", "alone", "ours_only"),
    [
        ("%%chatglm\nhi", True, True),
        ("a = %chatglm hi", True, True),
        ("x = 1\n%chatglm hi", False, True),
        ("await x\n%chatglm hi", False, False),
        ("%chatglm hi\n[y async for y in z]", False, False),
        ("%chatglm hi\nasync def f():\n    await g()", False, True),
        ("%chatglm hi\nfor x in y:\n    async with z: pass", False, False),
        ("x = 1", False, False),
    ],
)
def test_a_cell_is_known_by_what_else_it_holds(shell, cell, alone, ours_only):
    """Whether our call is alone, and whether the cell awaits through us only, is known while it runs."""

    async def main() -> tuple[bool, bool]:
        shell.transform_cell(cell)
        return cells.is_alone(), cells.awaits_ours_only()

    assert asyncio.run(main()) == (alone, ours_only)


def test_a_terminal_still_knows_when_a_cell_is_complete(shell):
    """Our hooks do not make a cell magic look finished after its first line."""
    for cell, expected in (("%%chatglm", "incomplete"), ("%%chatglm\nhi", "incomplete"), ("%chatglm hi?", "complete")):
        assert shell.check_complete(cell)[0] == expected
    assert shell.check_complete("%%chatglm\nhi\n\n")[0] == "complete"
