"""Tests of notebooks that run without a person, and of IPython in a terminal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pexpect
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tool_plays import asks, calling

MANY = "one two three four five six seven eight nine ten "
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


def notebook(glm, *cells: str):
    """Make a notebook that asks the loopback server."""
    first = (
        f"%load_ext chatglm_magic\n%config ChatGLMMagics.provider = 'openai'\n"
        f"%config ChatGLMMagics.base_url = '{glm.url}'\n%config ChatGLMMagics.model = 'glm-4.7'"
    )
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (first, *cells)], metadata={"kernelspec": spec}
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Keep IPython's settings of this machine out."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return tmp_path


def test_nbclient_keeps_one_output_and_fails_where_a_reply_does(home, glm):
    """A saved notebook holds the finished reply, no widget; an error stops the run."""
    glm.say(MANY, delay=0.15)
    book = notebook(glm, "%%chatglm\nhi", "a = %chatglm hi?")

    NotebookClient(book, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(home)}}).execute()

    assert book.cells[0].outputs == []
    for cell in book.cells[1:]:
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert output.data["text/markdown"].strip() == MANY.strip()
    assert "widgets" not in book.metadata
    nbformat.validate(book)
    glm.forget()
    glm.refuse(401, "1000", "bad key")
    book = notebook(glm, "%%chatglm\nhi", "print('ran')")
    with pytest.raises(CellExecutionError, match="AuthenticationError"):
        NotebookClient(book, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(home)}}).execute()
    assert book.cells[2].outputs == []


def test_nbconvert_executes_and_tells_failure_by_its_code(home, glm):
    """`nbconvert --execute` ends with 0 and the answer, or with 1."""
    glm.say("the answer")
    path = home / "book.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "markdown", "--stdout", str(path)]

    nbformat.write(notebook(glm, "%%chatglm\nhi"), path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "the answer" in done.stdout) == (0, True)
    nbformat.write(notebook(glm, "%%chatglm --nope\nhi"), path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "There is no option --nope" in done.stderr) == (1, True)


def test_text_streams_in_a_console(home, glm):
    """`jupyter run`, as other consoles, shows words as they come, once, in the company of other code too."""
    glm.stall_after(2)
    path = home / "asks.py"
    path.write_text(
        f"%load_ext chatglm_magic\nprint('mine')\n%chatglm --base-url {glm.url} -m glm-4.7 --timeout 2 hi\n"
    )
    command = [sys.executable, shutil.which("jupyter-run", path=str(Path(sys.executable).parent)), str(path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout.readline() == "mine\n"
        early = running.stdout.read(len("one two"))
        is_open = glm.open
        rest = running.stdout.read()

    assert (early, is_open) == ("one two", 1)
    assert "one" not in rest
    assert "[broken off]" in rest


class Terminal:
    """IPython in a pseudo-terminal."""

    def __init__(self, glm, home, *, simple: bool) -> None:
        arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=nocolor"]
        arguments += ["--HistoryManager.enabled=False", *(["--simple-prompt"] if simple else [])]
        env = {**os.environ, "TERM": "xterm", "CHATGLM_PROVIDER": "openai", "CHATGLM_BASE_URL": glm.url}
        self.child = pexpect.spawn(
            sys.executable, arguments, env=env, encoding="utf-8", timeout=20, dimensions=(40, 160), cwd=str(home)
        )
        self.count = 0

    def type(self, *lines: str) -> None:
        for line in lines:
            self.child.sendline(line)

    def sync(self) -> str:
        """Wait until all that was typed has run, and give what was shown."""
        self.count += 1
        self.child.sendline(f"print('EN' + 'D{self.count}.')")
        self.child.expect_exact(f"END{self.count}.")
        return ANSI.sub("", self.child.before)

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture(params=["simple", "full"])
def terminal(request, glm, home):
    """Give IPython in a terminal, with and without prompt_toolkit."""
    terminal = Terminal(glm, home, simple=request.param == "simple")
    terminal.type("%load_ext chatglm_magic")
    terminal.sync()
    yield terminal
    terminal.close()


def test_a_terminal_shows_the_reply_as_plain_text(terminal, glm):
    """Words come as they are said; the value is there; no prompt stands for a value that was shown."""
    glm.say("Hello from afar")

    terminal.type("a = %chatglm -m glm-4.7 what's up?")
    assert "Hello from afar" in terminal.sync()
    terminal.type("%%chatglm -m glm-4.7", "two", "lines?", "", "")  # IPython wants two empty lines after any cell magic
    shown = terminal.sync()
    assert "Hello from afar" in shown
    terminal.type("print(a.text == _.text, type(_).__name__)")
    assert "True Reply" in terminal.sync()
    said = [request.json["messages"][-1]["content"].rstrip("\n") for request in glm.requests]
    assert said == ["what's up?", "two\nlines?"]


def test_a_terminal_shows_the_reply_rendered(terminal, glm):
    """While it comes each block is shown without its marks already; one that has ended is not written again."""
    glm.say("# Big news\n\nIt is **bold**.", delay=0.05)

    terminal.type("%chatglm -m glm-4.7 hi")
    terminal.child.expect_exact("\x1b[J\x1b[1;4mBig news\x1b[0m\r\n")
    terminal.child.expect_exact("\x1b[JIt is \x1b[1mbold\x1b[0m.\r\n")
    shown = terminal.sync()
    assert "**" not in shown
    assert "Big news" not in shown


def test_ctrl_c_stops_a_reply_in_a_terminal(terminal, glm):
    """The reply ends, the terminal lives, the server sees us hang up."""
    glm.stall_after(2)

    terminal.type("%chatglm -m glm-4.7 --out r hi")
    terminal.child.expect_exact("one two")
    terminal.child.sendintr()
    terminal.child.expect_exact("Interrupted: The reply was interrupted; what had arrived is kept.")
    glm.wait_until(lambda: glm.aborted == 1)
    terminal.type("print(r.finish_reason, repr(r.text))")
    assert "interrupted 'one two '" in terminal.sync()


def test_a_terminal_asks_about_a_call_in_a_line(terminal, glm):
    """The function, its arguments and the answers stand there; what is typed decides, and anything else is a reason."""
    terminal.type("def stock(ticker: str) -> int: return len(ticker)")
    terminal.sync()
    for typed, told in (("y", "Result, as data"), ("n", "said no"), ("too late", "not run: too late")):
        glm.forget()
        glm.replay(calling(asks("stock", {"ticker": "AB"})))
        glm.say("It is known.")
        terminal.type("a = %chatglm -m glm-4.7 -T stock how much")
        terminal.child.expect_exact('The model asks to run stock {"ticker": "AB"}:')
        terminal.child.expect_exact("why not?")
        terminal.type(typed)

        assert "It is known." in terminal.sync()
        assert told in glm.requests[-1].json["messages"][-1]["content"]
