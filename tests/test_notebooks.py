"""Every notebook runs from top to bottom on the local model."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.kernel
@pytest.mark.local
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_its_reader_would_run_it(path, tmp_path):
    """No cell fails but those that show an error, and each cell that asks ends in one Markdown answer."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )

    client.execute()

    asking = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "skip-execution" in tags:
            continue
        failed = any(output.output_type == "error" or "UsageError" in output.get("text", "") for output in cell.outputs)
        assert failed == ("raises-exception" in tags), cell.source
        if cell.source.startswith("%%chatglm") and "--over" not in cell.source and not failed:  # which rows answer
            asking += 1
            answers = [o for o in cell.outputs if "text/markdown" in o.get("data", {})]
            assert len(cell.outputs) == len(answers) == 1, (cell.source, cell.outputs)
            assert answers[0].data["text/markdown"].strip()
            assert answers[0].metadata["chatglm_magic"]["status"] in {"stop", "length"}
    assert asking or not path.stem.startswith(("01", "02"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    """What a reader sees was made on the reader's machine."""
    notebook = nbformat.read(path, as_version=4)

    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert os.linesep == "\n" or b"\r\n" not in path.read_bytes()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS[0].parent.glob("*.zh-CN.ipynb")), ids=lambda path: path.stem)
def test_a_chinese_notebook_says_the_same(path):
    """It runs the same cells behind the one that sets the language, with as much told between them."""
    chinese = nbformat.read(path, as_version=4).cells
    english = nbformat.read(path.with_name(path.name.replace(".zh-CN", "")), as_version=4).cells

    (setting,) = [cell for cell in chinese if cell.source == '%config ChatGLMMagics.language = "zh"']
    rest = [cell for cell in chinese if cell is not setting]
    assert [cell.cell_type for cell in rest] == [cell.cell_type for cell in english]
    assert [cell.source for cell in rest if cell.cell_type == "code"] == [
        cell.source for cell in english if cell.cell_type == "code"
    ]
