"""`--over` in a shell: what is mapped, what is shown, and what the cell's value is."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
import time

import pandas as pd
import pytest
from IPython.core.error import UsageError
from map_kit import RowServer, answers
from shells import fail, run

from chatglm_magic import (
    ChatGLMError,
    ConfigError,
    Interrupted,
    load_ipython_extension,
    unload_ipython_extension,
)
from chatglm_magic._magics.mapping import _LineView


@pytest.fixture
def server(glm) -> RowServer:
    return RowServer(glm)


def test_a_column_is_mapped(shell, server, capsys):
    """The value is the rows, `--out` names them, and the cell shows a table of ten once."""
    shell.user_ns["texts"] = [f"t{number}" for number in range(30)]
    value = run(shell, "%%chatglm --over texts --out moods\nWhat of row {it}?")

    assert value is shell.user_ns["moods"]
    assert value.values == answers(shell.user_ns["texts"])
    told = capsys.readouterr().out
    assert told.count("30 rows, 30 answered") == 1
    assert "answer to t9" in told
    assert "answer to t10" not in told


def test_paths_and_tables_can_be_named(shell, server):
    """A path leads to a column; of a table the prompt names the columns; braces do no harm."""
    shell.user_ns["df"] = frame = pd.DataFrame({"text": ["a", "b"], "stars": [1, 5]}, index=["x", "y"])

    assert run(shell, "%chatglm --over df.text What of row {it}?").values.tolist() == answers("ab")
    assert run(shell, "%chatglm --over {df['text']} What of row {it}?").values.index.tolist() == ["x", "y"]
    run(shell, "%chatglm --over df What of row {text} with {stars}?")
    assert {"What of row a with 1?", "What of row b with 5?"} <= {
        recorded.json["messages"][-1]["content"] for recorded in server.glm.requests
    }
    assert frame.columns.tolist() == ["text", "stars"]


def test_other_names_are_the_notebooks(shell, server):
    """A value of the notebook is put in once, as data: nothing in it is a place for a row."""
    shell.user_ns.update(rows=["a"], kind="{it} of {nobody}", more="one\ntwo {it}")
    run(shell, "%chatglm --over rows What of row {it}? {kind} {{it}} {more}")

    sent = server.glm.requests[-1].json["messages"][-1]["content"]
    assert sent.startswith("What of row a? {it} of {nobody} {it} ")
    assert "one\ntwo {it}" in sent


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--over nothing hi", "--over names nothing, which has no value here"),
        ("--over rows[9] hi", r"--over names rows\[9\]"),
        ("--over len(rows) hi", "nothing is computed"),
        ("--over number hi {it}", "A value of type int has no rows"),
        ("--over rows What of {its}?", r"A row has no \{its\}"),
        ("--over df What of {txet}?", r"Did you mean \{text\}"),
        ("--over rows --insert below hi", "--insert does not go with --over"),
        ("--over rows -m a -m b hi", "-m A -m B does not go with --over"),
        ("--over rows -T len hi", "-T does not go with --over"),
        ("--over rows -f json hi", "-f json does not go with --over"),
        ("--over rows --new hi", "--new does not go with --over"),
        ("--over rows -u hi", "-u does not go with --over"),
        ("--limit 3 hi", "--limit goes with --over"),
        ("--rows-per-request 3 --dry-run hi", "--rows-per-request goes with --over"),
        ("--fresh hi", "--fresh goes with --over"),
    ],
)
def test_what_cannot_be_mapped_is_one_sentence(shell, server, line, message):
    """It is said before anything is sent."""
    shell.user_ns.update(rows=["a"], number=3, df=pd.DataFrame({"text": ["a"]}))
    error = fail(shell, f"%chatglm {line}")

    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise error
    assert server.requests == 0


@pytest.mark.parametrize("option", ["--limit 0", "--limit x", "--concurrency none", "--rows-per-request -1"])
def test_numbers_are_checked(shell, server, option):
    """A number of rows is a whole one above 0."""
    shell.user_ns["rows"] = ["a"]
    assert isinstance(fail(shell, f"%chatglm --over rows {option} hi"), UsageError)


def test_options_of_a_map(shell, server):
    """`--limit`, `--concurrency`, `--fresh` and options of the model mean what they mean in Python."""
    shell.user_ns["rows"] = list(range(10))
    rows = run(
        shell, "%chatglm --over rows --limit 3 --concurrency 1 --fresh -o temperature 0.5 -s Short. What of row {it}?"
    )

    assert rows.values == [*answers(range(3)), *[None] * 7]
    assert server.most == 1
    sent = server.glm.requests[-1].json
    assert sent["temperature"] == 0.5
    assert sent["messages"][0] == {"role": "system", "content": "Short."}


def test_no_cache_asks_what_is_stored(shell, server, monkeypatch, tmp_path):
    """As everywhere; of rows the option is called `--fresh` too."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "conversations.db"))
    shell.user_ns["rows"] = ["a"]
    for option, requests in (("", 1), ("", 1), ("--no-cache", 2), ("--cache", 2), ("--fresh", 3)):
        run(shell, f"%chatglm {option} --over rows What of row {{it}}?")
        assert server.requests == requests


def test_columns_may_have_any_name(shell, server):
    """The prompt names them as the table does."""
    shell.user_ns.update(df=pd.DataFrame({"review text": ["row a"], "text.clean": ["b"]}), text="mine")
    run(shell, "%chatglm --over df {review text} {text.clean} {{review text}}")

    assert server.glm.requests[-1].json["messages"][-1]["content"] == "row a b {review text}"


def test_a_map_neither_sees_nor_enters_the_conversation(shell, server):
    """What was said before is not sent, and the next question does not see the rows."""
    run(shell, "%chatglm row zero")
    shell.user_ns["rows"] = ["a"]
    run(shell, "%chatglm --over rows What of row {it}?")
    assert len(server.glm.requests[-1].json["messages"]) == 1
    run(shell, "%chatglm row one")
    assert [message["content"] for message in server.glm.requests[-1].json["messages"]] == [
        "row zero",
        "answer to zero",
        "row one",
    ]


def test_a_plan_is_shown(shell, server, capsys):
    """`--dry-run` counts rows and requests, shows the first request, and sends nothing."""
    shell.user_ns["rows"] = ["a", "a", "b", None]
    run(shell, "%chatglm --over rows --dry-run What of row {it}?")
    told = capsys.readouterr().out

    assert "nothing was sent" in told
    assert "4 rows" in told
    assert "2 distinct" in told
    assert "2 requests" in told
    assert "What of row a?" in told
    assert f"host: {server.url.split('/')[2]}" in told
    assert server.requests == 0


def test_what_fails_all_fails_the_cell_and_keeps_the_rows(shell, server, capsys):
    """The error is raised, the table is shown, and `--out` has what was answered."""

    async def behave(asked):
        return await asked.refuse(429, "1113") if asked.number > 3 else None

    server._behave = behave
    shell.user_ns["rows"] = list(range(50))
    error = fail(shell, "%chatglm --over rows --concurrency 1 --out got What of row {it}?")

    assert isinstance(error, ChatGLMError)
    assert error.kind == "billing"
    assert shell.user_ns["got"].values[:4] == [*answers(range(3)), None]
    assert error.rows.values == shell.user_ns["got"].values
    assert "3 answered" in capsys.readouterr().out


def test_quiet_shows_nothing(shell, server, capsys):
    """With -q the value is all there is."""
    shell.user_ns["rows"] = ["a"]
    shell.run_cell("moods = %chatglm -q --over rows What of row {it}?").raise_error()

    assert shell.user_ns["moods"].values == answers("a")
    assert capsys.readouterr().out == ""


def test_where_nothing_outlives_its_cell_a_job_is_waited_for(shell, server):
    """In a terminal `--bg` gives the job, which has ended."""
    shell.user_ns["rows"] = ["a"]
    shell.run_cell("job = %chatglm --bg --over rows What of row {it}?").raise_error()

    assert shell.user_ns["job"].is_done
    assert shell.user_ns["job"].result().values == answers("a")


def test_ctrl_c_bites_and_keeps_the_rows(shell, server, capsys):
    """In a terminal too the cell ends within 0.3 s; the rows are shown, in the variable and on the error."""
    pressed = []

    async def behave(asked):
        if int(asked.row) >= 5:
            await asyncio.sleep(60)

    def press():
        server.glm.wait_until(lambda: server.open == 2 and server.requests >= 7)
        time.sleep(0.1)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    server._behave = behave
    shell.user_ns["rows"] = list(range(50))
    thread = threading.Thread(target=press)
    thread.start()
    error = fail(shell, "%chatglm --over rows --concurrency 2 --out got What of row {it}?")
    seconds = time.monotonic() - pressed[0]
    thread.join()

    assert isinstance(error, Interrupted)
    assert seconds < 0.3
    assert shell.user_ns["got"].finish_reason == error.rows.finish_reason == "interrupted"
    assert shell.user_ns["got"].values[:6] == [*answers(range(5)), None]
    assert "5 answered" in capsys.readouterr().out
    server.glm.wait_until(lambda: server.open == 0)


def test_a_terminal_shows_one_line_that_is_written_over(shell, server):
    """The line stays on its row, as wide as the terminal, and the table follows below it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    server.delay = 0.05
    stream = Terminal()
    view = _LineView(stream)
    chat = shell.magics_manager.registry["ChatGLMMagics"].workspace.chat()
    view.job = chat.map("What of row {it}?", range(20), concurrency=2, target=chat.target_for(chat.options))
    while not view.job.is_done:
        view.tick()
        time.sleep(0.02)
    view.close(view.job.result())
    painted, _, table = stream.getvalue().partition("\n")

    assert painted.count("\r") >= 2
    assert "\n" not in painted
    assert "/ 20" in painted
    assert table.startswith("20 rows, 20 answered")


def test_unloading_ends_a_map_and_keeps_its_rows(shell, server):
    """What ran in the loop thread ends with it; nobody waits for ever."""

    async def behave(asked):
        if int(asked.row) >= 5:
            await asyncio.sleep(60)

    server._behave = behave
    chat = shell.magics_manager.registry["ChatGLMMagics"].workspace.chat()
    job = chat.map("What of row {it}?", range(20), concurrency=2, target=chat.target_for(chat.options))
    while job.progress.done < 5:
        time.sleep(0.01)
    unload_ipython_extension(shell)
    rows = job.result(5)
    load_ipython_extension(shell)

    assert (rows.finish_reason, rows.values[:6]) == ("interrupted", [*answers(range(5)), None])
