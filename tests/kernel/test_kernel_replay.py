"""Notebooks that run again without a key and without a server: nbclient, nbconvert and papermill."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELLS = (
    "%load_ext chatglm_magic\n%config ChatGLMMagics.cache = 'replay'",
    "%%chatglm -m zai:glm-4.7 --out a\nhi",
    "b = %chatglm -m glm-4.7 and 为什么?",
    "for word in ('x', 'y'):\n    %chatglm -m glm-4.7 -o temperature 0.5 --no-history say {word}",
    "%%chatglm -m glm-4.7 -c other\nhello\n",
    "print(a.text, b.usage.total_tokens, bool(a.replayed))",
)


def notebook() -> nbformat.NotebookNode:
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source, id=f"cell{number}") for number, source in enumerate(CELLS)]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})


@pytest.fixture
def with_key(tmp_path, monkeypatch, glm):
    """Begin where a key and a server are configured; `with_key(False)` takes both away."""
    home = tmp_path / "ipython"
    settings = home / "profile_default" / "ipython_kernel_config.py"
    settings.parent.mkdir(parents=True)
    monkeypatch.setenv("IPYTHONDIR", str(home))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "said.db"))
    monkeypatch.chdir(tmp_path)

    def with_key(there: bool) -> None:  # noqa: FBT001 - a switch
        if there:
            monkeypatch.setenv("ZAI_API_KEY", "id.secret")
            settings.write_text(
                f"c.ChatGLMMagics.provider = 'zai'\nc.ChatGLMMagics.base_url = {glm.url!r}\n", encoding="utf-8"
            )
        else:
            monkeypatch.delenv("ZAI_API_KEY")
            settings.unlink()

    with_key(True)
    return with_key


def run_with_nbclient(book):
    return NotebookClient(book, kernel_name="python3", timeout=60).execute()


def run_with_nbconvert(book):
    nbformat.write(book, "book.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--stdout", "book.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return nbformat.reads(done.stdout, as_version=4)


def run_with_papermill(book):
    nbformat.write(book, "book.ipynb")
    return papermill.execute_notebook("book.ipynb", None, progress_bar=False, kernel_name="python3")


def messages_in(path: str) -> int:
    """Count what is stored."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT count(*) FROM message").fetchone()[0]


def shown(book) -> str:
    """Give a notebook's outputs, byte for byte, but for what differs from run to run."""
    outputs = [[dict(output) for output in cell.get("outputs", [])] for cell in book.cells]
    for cell in outputs:
        for output in cell:
            assert not set(output) - {"output_type", "data", "metadata", "name", "text", "execution_count"}
    return json.dumps(outputs, ensure_ascii=False, sort_keys=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # papermill's own
@pytest.mark.parametrize("run", [run_with_nbclient, run_with_nbconvert, run_with_papermill])
def test_a_notebook_runs_again_without_key_and_server(with_key, glm, run):
    """Asked once, it is free from then on: every run shows the same bytes, marked, and no request leaves."""
    glm.say(lambda request: f"re: **{request.json['messages'][-1]['content'].strip()}**", thinking="hm")
    first = run_with_nbclient(notebook())
    assert len(glm.requests) == 5
    with_key(False)
    glm.forget()
    kept = messages_in("said.db")

    second, third = run(notebook()), run(notebook())

    assert len(glm.requests) == 5
    assert shown(second) == shown(third)
    assert messages_in("said.db") == kept
    assert '"status": "stop"' in shown(second)
    assert shown(second).count("Stored answer of") == 5
    assert "Stored" not in shown(first)
    for cell, again in zip(first.cells, second.cells, strict=False):
        for output, later in zip(cell.outputs, again.outputs, strict=False):
            if "data" in output:
                markdown = later.data["text/markdown"].rpartition("\n\n*Stored")[0]
                assert markdown == output.data["text/markdown"]
                assert later.data["text/plain"] == output.data["text/plain"]
    assert "re: **hi** " in shown(second)


def test_a_question_that_is_not_stored_fails_without_a_key(with_key, glm):
    """The error is the usual one, with its ways out, and says that nothing is stored."""
    with_key(False)
    book = notebook()

    with pytest.raises(CellExecutionError, match=r"No key for zai.*no stored answer to this question"):
        run_with_nbclient(book)
    assert glm.requests == []
