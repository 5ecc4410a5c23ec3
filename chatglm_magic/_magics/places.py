"""Which cell asks: a cell that is run again replaces what it said before."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from .._history import Place

_RANDOM = 8
"""Characters from which a cell's id was drawn at random, as front ends do; what a script wrote is shorter."""


class CellPlaces:
    """Gives each question of a cell its place in the conversation.

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
        """Take note of the cell that begins.

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

    def end(self) -> None:
        """Forget the cell: what runs silently after it is not it."""
        self._cell = self.cell_id = ""

    def next(self, *, keeps: bool = True) -> Place | None:
        """Give the place of the cell's next question.

        Args:
            keeps: Whether what followed the former answer follows the new one.
        """
        if not self._cell:
            return None
        self._asked += 1
        return Place(cell=f"{self._cell} {self._asked}", keeps=keeps)


def _unique(cell_id: str) -> str:
    """Tell cells of different notebooks apart whose ids are the same, such as `0` or `intro`.

    Conversations outlive kernels, and such ids stand in many notebooks. Jupyter's server tells a kernel the
    notebook's path; an id that was drawn at random needs none, and stays the same when the notebook moves.
    """
    notebook = os.environ.get("JPY_SESSION_NAME", "")
    if len(cell_id) >= _RANDOM or not notebook:
        return cell_id
    return f"{cell_id} of {hashlib.sha256(notebook.encode(errors='replace')).hexdigest()[:16]}"
