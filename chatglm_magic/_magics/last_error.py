"""The notebook's last error: kept until it is asked about, told as its cell and its traceback; no I/O.

IPython tells how each cell ended; its exception hook stays the user's. Nothing is written down before
somebody asks: a failing cell costs one assignment.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from traceback import TracebackException, extract_tb
from typing import Any

from .._errors import ChatGLMError
from .._values import dataclass

_MACHINERY = r"[/\\]IPython[/\\]core[/\\]"
"""Where IPython's own frames are, above those of the user's cell."""
_LIBRARY = r".*[/\\](?:site|dist)-packages[/\\]|.*[/\\]lib[/\\]python3\.\d+[/\\]"
"""What of a library's path says where it is installed, not what it is."""


@dataclass(frozen=True, slots=True)
class LastError:
    """A cell that failed.

    Attributes:
        source: The cell as it was typed; empty if that is not known.
        error: What it raised.
        number: The cell's number, as in `In[3]`; None for one outside the history.
        compiler: IPython's, which knows the cells' names.
    """

    source: str
    error: BaseException
    number: int | None = None
    compiler: Any = None

    @property
    def place(self) -> str:
        """The cell's name for a reader."""
        return "a cell" if self.number is None else f"In[{self.number}]"

    def traceback(self, limit: int) -> str:
        """Write the traceback as Python does, with cells by their names, in at most about `limit` bytes."""
        from .._context import cap

        told = TracebackException.from_exception(self.error)
        self._rename(told)
        return cap("".join(told.format()).rstrip(), limit)

    def _rename(self, told: TracebackException | None) -> None:
        """Leave IPython's own frames out; call cells `In[3]` and libraries by their names, not by whole paths."""
        while told is not None:
            frames = [frame for frame in told.stack if not re.search(_MACHINERY, frame.filename)]
            for frame in frames:
                _ = frame.line  # read while the file's name still leads to it
                frame.filename = cell_name(self.compiler, frame.filename) or re.sub(_LIBRARY, "", frame.filename)
            told.stack[:] = frames
            if getattr(told, "filename", None):  # where a SyntaxError is
                told.filename = cell_name(self.compiler, told.filename or "") or told.filename
            self._rename(told.__context__)
            told = told.__cause__


class ErrorWatch:
    """Remembers the last error of a shell's cells.

    Args:
        compiler: The shell's `compile`.

    Attributes:
        last: The last error; None before the first.
    """

    def __init__(self, compiler: Any = None) -> None:  # noqa: ANN401 - IPython's
        self.last: LastError | None = None
        self._compiler = compiler

    def after_cell(self, result: Any) -> None:  # noqa: ANN401 - IPython's ExecutionResult
        """Look at how a cell ended."""
        error = result.error_before_exec or result.error_in_exec
        source = getattr(result.info, "raw_cell", "") or ""
        if error is not None and _is_the_users(error, source):
            self.last = LastError(source, error, result.execution_count, self._compiler)

    def find(self, sources: Sequence[str]) -> LastError | None:
        """Give the last error, be it from before we were loaded.

        Args:
            sources: The history's cells, by number.
        """
        error = getattr(sys, "last_value", None)
        if self.last is not None or error is None or not _is_the_users(error, ""):
            return self.last
        number = self._number_of(error)
        if number is None or not 0 < number < len(sources):
            return None
        return LastError(sources[number], error, number, self._compiler)

    def _number_of(self, error: BaseException) -> int | None:
        """Find the cell that an error came out of."""
        files = [frame.filename for frame in extract_tb(error.__traceback__)]
        for file in (*files, getattr(error, "filename", None) or ""):
            name = cell_name(self._compiler, file)
            if name.startswith("In[") and name[3:-1].isdecimal():
                return int(name[3:-1])
        return None


def cell_name(compiler: Any, file: str) -> str:  # noqa: ANN401 - IPython's
    """Give `In[3]` for the file that a cell was compiled as; empty for any other."""
    name = getattr(compiler, "format_code_name", lambda _: None)(file)
    return str(name[1]) if name and name[0] == "Cell" else ""


def _is_the_users(error: BaseException, source: str) -> bool:
    """Tell whether an error is about the user's code: no interrupt, and none of ours."""
    if isinstance(error, (ChatGLMError, KeyboardInterrupt, SystemExit, asyncio.CancelledError)):
        return False
    return not (type(error).__name__ == "UsageError" and "chatglm" in source)
