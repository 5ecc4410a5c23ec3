"""Tests in a real kernel: cells that are run again, commands that wait, keys that are typed, completion."""

from __future__ import annotations

import pytest


def said(kernel, name: str = "default") -> list[tuple[str, str]]:
    """Give what a conversation holds."""
    chats = "get_ipython().magics_manager.registry['ChatGLMMagics'].chats"
    return eval(kernel.value(f"[(m.role, m.content) for m in {chats}[{name!r}].messages]"))  # noqa: S307 - our own repr


def echo(glm) -> None:
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content']}")


def test_a_cell_that_is_run_again_replaces_what_it_said(kernel, glm):
    """The exchange keeps its place, sees only what was said before it, and what followed stays."""
    echo(glm)
    for cell, prompt in (("a", "one"), ("b", "two"), ("c", "three")):
        kernel.ok(f"%%chatglm\n{prompt}", cellId=cell)

    kernel.ok("%%chatglm\nTWO", cellId="b")

    assert [text for _, text in said(kernel)] == ["one", "re: one", "TWO", "re: TWO", "three", "re: three"]
    assert [message["content"] for message in glm.requests[-1].json["messages"]] == ["one", "re: one", "TWO"]


def test_a_cell_without_a_name_is_known_by_its_source(kernel, glm):
    """Where the front end sends no cell id, the same source is the same cell."""
    echo(glm)
    for cell in ("%chatglm one", "%chatglm two", "%chatglm one"):
        kernel.ok(cell)

    assert [text for _, text in said(kernel)] == ["one", "re: one", "two", "re: two"]


def test_lines_of_one_cell_keep_apart(kernel, glm):
    """Two questions of a cell do not replace each other; run again, each replaces its own."""
    echo(glm)
    kernel.ok("%chatglm one\n%chatglm two", cellId="a")
    kernel.ok("%chatglm ONE\n%chatglm TWO", cellId="a")

    assert [text for role, text in said(kernel) if role == "user"] == ["ONE", "TWO"]


@pytest.mark.parametrize(
    "cell",
    ["for i in range(3):\n    %chatglm more", "def more():\n    %chatglm more\nmore(); more(); more()"],
)
def test_questions_of_loops_and_functions_follow_each_other(kernel, glm, cell):
    """They are not the cell's own: each is said anew, also when the cell is run again."""
    echo(glm)
    kernel.ok(cell, cellId="a")

    assert [text for role, text in said(kernel) if role == "user"] == ["more"] * 3
