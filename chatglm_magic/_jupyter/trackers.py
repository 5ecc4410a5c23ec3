"""The cell that runs and the error that came last, as IPython reports them; no I/O.

Nothing is formatted before it is asked for: a failing cell costs one assignment.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from traceback import TracebackException, extract_tb
from typing import Any

from .._errors import ChatGLMError

_RANDOM = 8
"""Characters from which a cell's id was drawn at random, as front ends do; what a script wrote is shorter."""


class CellTracker:
    """Names the questions of cells, so that a cell that is run again replaces what it said.

    A front end names its cells (JupyterLab and VS Code `cellId`, Colab `colab.cell_id`); where one does
    not, the cell's source stands for it. Several questions in one cell, those of its loops and of functions
    that it calls too, are told apart by their order.

    Attributes:
        cell_id: What the front end calls the cell that runs; empty where it does not say, or none runs.
    """

    def __init__(self) -> None:
        self.cell_id = ""
        self._cell = ""
        self._asked = 0

    def begin(self, info: Any, header: Any) -> None:  # noqa: ANN401 - IPython's and Jupyter's own
        """Record the cell that begins.

        Args:
            info: IPython's `ExecutionInfo`.
            header: The message that asked for the execution; None where there is none.
        """
        self._asked = 0
        metadata = header.get("metadata") if isinstance(header, dict) else None
        colab = metadata.get("colab") if isinstance(metadata, dict) else None
        named = getattr(info, "cell_id", None) or (colab.get("cell_id") if isinstance(colab, dict) else None)
        source = hashlib.sha256(str(getattr(info, "raw_cell", "")).encode(errors="replace")).hexdigest()
        self.cell_id = str(named or "")
        self._cell = f"id {_unique(str(named))}" if named else f"source {source}"

    @property
    def name(self) -> str:
        """The cell that runs, as `InsertPoint.cell` begins; empty where the front end does not name it."""
        return self._cell if self.cell_id else ""

    def end(self) -> None:
        """Forget the cell: what runs silently after it is not it."""
        self._cell = self.cell_id = ""

    def next(self) -> str:
        """Return the name of the cell's next question, as `InsertPoint.cell`; empty where no cell runs."""
        if not self._cell:
            return ""
        self._asked += 1
        return f"{self._cell} {self._asked}"


def _unique(cell_id: str) -> str:
    """Return a cell's id, made unique where cells of other notebooks may have the same, such as `0` or `intro`.

    Conversations outlive kernels, and such ids stand in many notebooks. Jupyter's server tells a kernel the
    notebook's path; an id that was drawn at random needs none, and stays the same when the notebook moves.
    """
    notebook = os.environ.get("JPY_SESSION_NAME", "")
    if len(cell_id) >= _RANDOM or not notebook:
        return cell_id
    return f"{cell_id} of {hashlib.sha256(notebook.encode(errors='replace')).hexdigest()[:16]}"


class PictureTracker:
    """Remembers the pictures that a shell's cells have shown, those of the newest cells.

    Attributes:
        shown: The last picture of each cell, by its number, the newest last: PNG or JPEG in base64, empty for one of
            another kind. `RUNNING` stands for the cell that runs: IPython's count of cells is that of the next one in
            some versions.
    """

    def __init__(self) -> None:
        self.shown: dict[int, str] = {}

    def see(self, message: Any) -> Any:  # noqa: ANN401 - Jupyter's
        """Look at a message on its way to the front end, and return it: a hook of ipykernel's publisher."""
        data = message["content"].get("data") or {}
        picture = data.get("image/png") or data.get("image/jpeg")
        if isinstance(picture, str):
            self.shown[RUNNING] = picture
        elif any(map(_OTHER_PICTURE.match, data)):
            self.shown[RUNNING] = ""
        return message

    def after_cell(self, result: Any) -> None:  # noqa: ANN401 - IPython's ExecutionResult
        """Put what the cell has shown under its number."""
        picture = self.shown.pop(RUNNING, None)
        if picture is not None and result.execution_count is not None:
            self.shown.pop(result.execution_count, None)
            self.shown[result.execution_count] = picture
        while len(self.shown) > _MOST_SHOWN:
            del self.shown[next(iter(self.shown))]


def open_figure() -> object | None:
    """Return the newest figure that the running cell has drawn and not shown yet; None where there is none.

    The inline backend of notebooks shows what is open at the end of each cell, and closes it: what is open belongs to
    this cell. Where it is set up to leave figures open nobody knows whose they are.
    """
    pyplot, inline = sys.modules.get("matplotlib.pyplot"), sys.modules.get("matplotlib_inline.config")
    if pyplot is None or inline is None or not pyplot.get_fignums() or "inline" not in pyplot.get_backend():
        return None
    return pyplot.gcf() if inline.InlineBackend.instance().close_figures else None


_OTHER_PICTURE = re.compile(r"image/svg\+xml|application/vnd\.(?:plotly|vega|bokehjs|holoviews)")
"""Kinds of outputs that are pictures for people, and not for models."""
RUNNING = sys.maxsize
"""In place of a number, the cell that runs."""
_MOST_SHOWN = 20
"""Cells whose pictures are remembered."""

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

    def traceback(self) -> str:
        """Return the traceback as Python writes it, with cells by their names."""
        told = TracebackException.from_exception(self.error)
        self._rename(told)
        return "".join(told.format()).rstrip()

    def _rename(self, told: TracebackException | None) -> None:
        """Drop IPython's own frames; name cells `In[3]`, and libraries without the path to them."""
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


class ErrorTracker:
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
        """Return the last error, be it from before we were loaded.

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
    """Return `In[3]` for the file that a cell was compiled as; empty for any other."""
    name = getattr(compiler, "format_code_name", lambda _: None)(file)
    return str(name[1]) if name and name[0] == "Cell" else ""


def _is_the_users(error: BaseException, source: str) -> bool:
    """Return whether an error is about the user's code: no interrupt, and none of ours."""
    if isinstance(error, (ChatGLMError, KeyboardInterrupt, SystemExit, asyncio.CancelledError)):
        return False
    return not (type(error).__name__ == "UsageError" and "chatglm" in source)
