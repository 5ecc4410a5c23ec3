"""A reply's code into a cell, where a person may run it; nothing here runs it."""

from __future__ import annotations

from typing import Any

from .._code import PYTHON, code_for_cell

__all__ = ["PYTHON", "code_for_cell", "put_into_cell"]


def put_into_cell(shell: Any, code: str, *, replace: bool = False) -> None:  # noqa: ANN401 - IPython's shell
    """Put code into a new cell below the running one, or in its place.

    It arrives with the end of the running cell, and only if that does not fail; of several, the last one
    does. Outside a running cell front ends show it too late and in the wrong place.
    """
    shell.set_next_input(code, replace=replace)
