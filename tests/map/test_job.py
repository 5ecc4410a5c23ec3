"""`Chat.map`: a job that has begun, rows that are kept, and errors that say what to do."""

from __future__ import annotations

import asyncio
import copy
import csv
import gc
import html
import json
import pickle
import queue
import re
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from aiohttp import web
from glm_server import FakeGLM
from map_kit import RowServer, answers
from tqdm.auto import tqdm

from chatglm_magic import Chat, ChatGLMError, ConfigError, FunctionProvider, _redaction
from chatglm_magic._event_loops import IteratorThread, call_soon, io_thread
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._language import set_language
from chatglm_magic._map import engine
from chatglm_magic._map.job import progress_line, running_jobs
from chatglm_magic._map.rows import Row, Rows
from chatglm_magic._map.source import Source
from chatglm_magic._messages import REPAIRS
from chatglm_magic._store import close_stores
from chatglm_magic._store.queries import Writes

PROMPT = "What of row {it}?"


@dataclass
class Point:
    x: int
    y: int | None


class Colour(Enum):
    RED = "red"


@pytest.fixture
def server(glm: FakeGLM) -> RowServer:
    return RowServer(glm)


@pytest.fixture
def chat(server: RowServer) -> Chat:
    return Chat("openai", base_url=server.url, model="glm-4.7")


def test_a_job_is_awaited(chat, server):
    """It has begun when it is made, and gives the rows in the input's order and form."""

    async def main():
        job = chat.map(PROMPT, {"a": 1, "b": 2})
        return await job, job

    rows, job = asyncio.run(main())

    assert rows.values == {"a": "answer to 1", "b": "answer to 2"}
    assert rows.finish_reason == "stop"
    assert job.is_done
    assert [row.index for row in rows] == ["a", "b"]


def test_a_script_waits_for_the_result(chat, server):
    """`job.result()` works without a loop, and in a thread beside one that runs."""
    assert chat.map(PROMPT, range(20)).result().values == answers(range(20))

    async def main():
        return await asyncio.to_thread(lambda: chat.map(PROMPT, [1]).result().values)

    assert asyncio.run(main()) == answers([1])


def test_a_wait_that_is_too_short_says_so(chat, server):
    """The map runs on."""
    server.delay = 0.2
    job = chat.map(PROMPT, ["a"])
    with pytest.raises(TimeoutError, match=r"not ended within 0\.01 s"):
        job.result(0.01)
    assert job.result().values == answers("a")


def test_rows_come_as_they_are_done(chat, server):
    """`async for` yields each row once, the quick ones first."""

    async def behave(asked):
        if asked.row == "0":
            await asyncio.sleep(0.3)

    server._behave = behave

    async def main():
        return [row.position async for row in chat.map(PROMPT, range(4), concurrency=4)]

    order = asyncio.run(main())
    assert sorted(order) == [0, 1, 2, 3]
    assert order[-1] == 0


def test_a_map_is_no_part_of_the_conversation(chat, server):
    """Rows see the system prompt and the settings, not what was said, and nothing of them is said afterwards."""
    server.glm.forget()
    server.glm.say("Hello.")
    chat.options = chat.options.of(system="Be terse.", temperature=0.5)
    asyncio.run(chat.send("Hi?"))
    before = list(chat.messages)
    chat.map(PROMPT, ["x"], temperature=0.25).result()
    sent = server.glm.requests[-1].json

    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"] == "What of row x?"
    assert sent["temperature"] == 0.25
    assert chat.messages == before


def test_an_answered_row_is_not_asked_again(chat, server, store):
    """By another map, another kernel, after the file was closed: only what is new is asked; `fresh` asks all."""
    chat.map(PROMPT, range(30)).result()
    close_stores(10)
    rows = chat.map(PROMPT, range(40)).result()

    assert server.requests == 40
    assert rows.values == answers(range(40))
    assert [row.cached for row in rows] == [True] * 30 + [False] * 10
    assert rows.tokens == 70
    chat.map(PROMPT, range(5), fresh=True).result()
    assert server.requests == 45
    chat.map(PROMPT, range(5), temperature=0.1).result()  # another question
    chat.map("Once more, row {it}?", range(5)).result()
    assert server.requests == 55


def test_rows_do_not_drown_what_was_said(chat, server, store):
    """They are in no search and no list of conversations; forgetting all removes them, and says how many."""
    chat.map(PROMPT, range(12)).result()

    assert store.threads() == []
    assert store.search("answer") == []
    assert store.count_answer_rows() == 12
    store.forget(["no such conversation"])
    assert store.count_answer_rows() == 12
    store.forget()
    assert store.count_answer_rows() == 0
    chat.map(PROMPT, range(12)).result()
    assert server.requests == 24


def test_no_key_is_stored_or_sent(chat, server, store, monkeypatch):
    """A row that holds a key of the user's fails alone; a key that an answer repeats is masked."""
    key = "0123456789abcdef0123456789abcdef.EnvironmentKey01"
    monkeypatch.setenv("ZAI_API_KEY", key)
    hidden = "sk-GivenInPythonXYZ-42"
    chat = Chat("openai", base_url=server.url, model="glm-4.7", api_key=hidden)

    async def behave(asked):
        return await asked.say(f"your key is {hidden}") if asked.row == "2" else None

    server._behave = behave
    rows = chat.map(PROMPT, [1, key, 2]).result()
    close_stores(10)
    written = Path(store.where).read_bytes()

    assert [row.kind for row in rows] == ["", "config", ""]
    assert "one of your keys" in rows[1].error
    assert hidden not in rows[2].value
    assert hidden.encode() not in written
    assert key not in str([recorded.body for recorded in server.glm.requests])


def test_where_keys_are_kept_is_read_once(chat, monkeypatch):
    """Not for each row with a long word in it, as it may be a keyring that is asked; a further map looks again."""
    reads = []
    monkeypatch.setattr(_redaction, "kept_keys", lambda _: reads.append(1) or {"0123456789abcdef-kept"})
    rows = [f"row {number} https://example.org/{number:020}" for number in range(300)]
    over = [*rows, "0123456789abcdef-kept"]

    assert chat.plan_map("{it}", over).refused == 1
    assert reads == [1]
    kinds = [row.kind for row in chat.map("{it}", over).result()]
    assert kinds == [""] * 300 + ["config"]
    assert reads == [1, 1]


def test_a_store_that_cannot_be_written_holds_nothing_up(chat, server, store, monkeypatch):
    """The answers come all the same, and are counted."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writes, "put_answer_rows", fail)
    monkeypatch.setattr(Writes, "attempt", lambda self, change: change(self))
    began = time.monotonic()
    rows = chat.map(PROMPT, range(40)).result(20)

    assert rows.values == answers(range(40))
    assert time.monotonic() - began < 10


def test_what_fails_all_is_raised_with_the_rows(chat, server):
    """The error says what to do, and has what was answered; the failed rows can be tried again."""
    refuses = True

    async def behave(asked):
        return await asked.refuse(429, "1113") if refuses and asked.number > 10 else None

    server._behave = behave
    job = chat.map(PROMPT, range(100), concurrency=2)
    with pytest.raises(ChatGLMError, match="balance is empty") as raised:
        job.result()
    rows = raised.value.rows

    assert (raised.value.kind, rows.finish_reason) == ("billing", "error")
    assert rows.values[:10] == answers(range(10))
    assert rows.values[-1] is None
    refuses = False
    again = rows.retry().result()
    assert again.values == answers(range(100))
    assert server.asked["0"] == 1


def test_failed_rows_are_tried_again(chat, server):
    """`rows.retry()` asks the failed ones only, and gives all rows."""
    poisoned = {"3", "7"}

    async def behave(asked):
        return await asked.refuse(400, "1301") if asked.row in poisoned else None

    server._behave = behave
    rows = chat.map(PROMPT, range(10)).result()
    assert [row.position for row in rows.failed] == [3, 7]
    poisoned.clear()
    again = rows.retry().result()

    assert again.values == answers(range(10))
    assert server.requests == 12
    assert rows.values[3] is None  # those are as they were


def test_rows_of_a_generator_are_tried_again(chat, server):
    """What can be read only once is not lost: failed rows and those in flight are asked, and then the rest."""

    async def behave(asked):
        if asked.time == 1 and asked.row in {"2", "3"}:
            if asked.row == "2":
                return await asked.refuse(400, "1301")
            await asyncio.sleep(60)
        return None

    server._behave = behave
    job = chat.map(PROMPT, (number for number in range(8)), concurrency=1)
    while job.progress.done < 3:
        time.sleep(0.01)
    job.stop()
    rows = job.result()
    assert rows.finish_reason == "interrupted"
    again = rows.retry().result()

    assert again.values == answers(range(8))


@pytest.mark.parametrize("ends", ["refused", "stopped"])
def test_rows_of_a_generator_outlive_a_retry_that_ends_early(chat, server, ends):
    """A retry that was stopped, or that nobody answers, loses none of the rows that it had not come to."""
    is_over = False

    async def behave(asked):
        if asked.time == 1:
            return await asked.refuse(400, "1301")
        if is_over:
            return None
        return await (asked.refuse(401, "1000") if ends == "refused" else asyncio.sleep(60))

    server._behave = behave
    rows = chat.map(PROMPT, iter(range(100))).result()
    assert len(rows.failed) == 100
    retried = rows.retry()
    while server.requests < 101:
        time.sleep(0.01)
    if ends == "refused":
        with pytest.raises(ChatGLMError) as caught:
            retried.result()
        rows = caught.value.rows
    else:
        retried.stop()
        rows = retried.result()
    assert len(rows) == len(rows.left) == 100
    is_over = True

    assert rows.retry().result().values == answers(range(100))


def test_a_retry_of_a_fresh_map_is_fresh_too(chat, server, store):
    """Rows that failed, or were not asked, get no older answer than the others."""
    chat.map(PROMPT, range(6)).result()
    is_over = False

    async def behave(asked):
        if is_over:
            return None
        return await (asked.refuse(400, "1301") if asked.row == "2" else asked.refuse(401, "1000"))

    server._behave = behave
    with pytest.raises(ChatGLMError) as caught:
        chat.map(PROMPT, range(2, 6), fresh=True, concurrency=1).result()
    is_over = True
    rows = caught.value.rows.retry().result()

    assert rows.values == answers(range(2, 6))
    assert not any(row.cached for row in rows)
    rows.retry().result()
    assert server.requests == 6 + 2 + 4


def test_a_row_that_cannot_be_filled_in_keeps_its_error(chat, server):
    """Also where the rows can be read only once: it is tried again with its value, and fails alone again."""
    rows = chat.map("What of row {it.x}?", iter([Point(1, 0), object(), Point(2, 0)])).result()
    assert "This row has no {it.x}" in rows[1].error
    again = rows.retry().result()

    assert (again.values, again[1].error) == (["answer to 1", None, "answer to 2"], rows[1].error)


def test_a_job_that_is_stopped_keeps_its_rows(chat, server):
    """It ends within 0.3 s; what was answered is there, and the map goes on when it is made again."""

    async def behave(asked):
        if int(asked.row) >= 5:
            await asyncio.sleep(60)

    server._behave = behave
    job = chat.map(PROMPT, range(50), concurrency=3)
    while job.progress.done < 5:
        time.sleep(0.01)
    assert job in running_jobs()
    began = time.monotonic()
    job.stop()
    rows = job.result()

    assert time.monotonic() - began < 0.3
    assert (rows.finish_reason, rows.values[:6]) == ("interrupted", [*answers(range(5)), None])
    assert job not in running_jobs()
    assert "5 answered" in rows.summary()


def test_a_job_may_be_stopped_before_it_runs(chat, server):
    """It ends at once, with its rows, and sends nothing."""

    async def begin_and_stop():
        held = threading.Event()
        call_soon(io_thread.loop(), held.wait)  # so that it cannot begin to run before it is stopped
        job = chat.map("{it}", [1, 2, 3])
        job.stop()
        held.set()
        return await asyncio.wait_for(job, 5)

    rows = asyncio.run(begin_and_stop())

    assert (len(rows), rows.finish_reason, server.requests) == (3, "interrupted", 0)


@pytest.mark.parametrize("waits", ["awaits", "iterates"])
def test_a_cell_that_is_interrupted_stops_its_map(chat, server, waits):
    """Cancelling what awaits the job hangs up on the server; the job has the rows."""

    async def behave(asked):
        if int(asked.row) >= 5:
            await asyncio.sleep(60)

    server._behave = behave

    async def main():
        job = chat.map(PROMPT, range(50), concurrency=3)
        task = asyncio.ensure_future(_result(job) if waits == "awaits" else _all_of(job))
        while job.progress.done < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return job, time.monotonic() - began

    job, seconds = asyncio.run(main())
    assert seconds < 0.3
    assert job.rows.values[:5] == answers(range(5))
    server.glm.wait_until(lambda: server.open == 0)


async def _result(job):
    return await job


async def _all_of(job):
    return [row async for row in job]


def test_a_limit_asks_the_first_rows(chat, server):
    """The others have no answer and no error; a generator is read no further."""
    rows = chat.map(PROMPT, range(10), limit=3).result()
    assert rows.values == [*answers(range(3)), *[None] * 7]
    assert "7 not asked" in rows.summary()

    numbers = iter(range(10))
    assert chat.map(PROMPT, numbers, limit=3).result().values == answers(range(3))
    assert next(numbers) == 3


def test_a_series_keeps_its_index(chat, server):
    """A duplicate index, a missing value and a failed row leave the column as long as the input."""

    async def behave(asked):
        return await asked.refuse(400, "1301") if asked.row == "bad" else None

    server._behave = behave
    series = pd.Series(["a", None, "bad", "b"], index=["k", "k", "m", "n"])
    rows = chat.map(PROMPT, series).result()

    assert rows.values.index.tolist() == series.index.tolist()
    assert rows.values.tolist() == ["answer to a", None, None, "answer to b"]
    frame = rows.frame
    assert list(frame.columns) == ["value", "error", "kind", "cached", "attempts", "tokens", "seconds", "finish_reason"]
    assert frame["kind"].tolist() == ["", "", "content_filter", ""]
    assert frame.index.tolist() == series.index.tolist()


def test_answers_may_be_values(store):
    """With a schema each row's answer is checked and becomes a value, also when it comes from the store."""
    said = {"fine": '{"value": "good"}', "awful": '{"value": "bad"}', "odd": '{"value": "so so"}'}
    asked = []

    async def answer(_model, messages, **_):
        asked.append(messages)
        yield next(text for word, text in said.items() if f"Mood of {word}?" in str(messages))

    chat = Chat(FunctionProvider(answer, name="said"))
    for _ in range(2):
        rows = chat.map("Mood of {it}?", list(said), schema=Literal["good", "bad"]).result()
        assert rows.values == ["good", "bad", None]
        assert "not what the schema asks for" in rows[2].error
    assert len(asked) == 2 + 2 * (1 + REPAIRS)  # what does not fit goes back, each time
    assert "JSON Schema" in asked[0][0]["content"]


@pytest.mark.parametrize("make", [pa.array, pl.Series, pd.Series, list])
@pytest.mark.parametrize(
    ("schema", "said", "values"),
    [
        (Point, '{"x": 1, "y": null}', (Point(1, None), {"x": 1, "y": None})),
        (Colour, '{"value": "red"}', (Colour.RED, "red")),
        (Literal[1, "one"], '{"value": 1}', (1, "1")),
    ],
)
def test_values_of_every_kind_have_a_column(make, schema, said, values):
    """Of whatever library: a record is one of its own, or stays what it is."""

    async def answer(_model, messages, **_):
        yield '{"value": "one"}' if schema is Literal[1, "one"] and "row b" in str(messages) else said

    chat = Chat(FunctionProvider(answer))
    column = chat.map(PROMPT, make(["a", "b", None]), schema=schema).result().values
    first, _, last = column.to_pylist() if make is pa.array else list(column)

    assert first in values
    assert last is None


def test_records_become_columns():
    """A record's fields are the frame's columns."""

    async def answer(_model, _messages, **_):
        yield '{"name": "Ada", "age": 36}'

    chat = Chat(FunctionProvider(answer, name="said"))
    frame = chat.map("Who? {it}", ["x", "y"], schema="name, age int").result().frame

    assert list(frame.columns)[:2] == ["name", "age"]
    assert frame["age"].tolist() == [36, 36]


def test_a_plan_sends_nothing(chat, server, store):
    """It counts rows, distinct ones, those that are there, requests and tokens, and shows the first request."""
    chat.map(PROMPT, ["a", "b"]).result()
    plan = chat.plan_map(PROMPT, ["a", "b", "c", "c", None, "d"])

    assert (plan.rows, plan.missing, plan.distinct, plan.there, plan.requests) == (6, 1, 4, 2, 2)
    assert plan.request.messages[-1].text == "What of row c?"
    assert server.requests == 2
    assert plan.tokens[0] <= 2 * len(PROMPT) / 3 <= plan.tokens[1]
    assert "What of row c?" in str(plan)


@pytest.mark.parametrize(
    ("prompt", "over", "how", "message"),
    [
        ("Mood of {text}?", ["a"], {}, r"A row has no \{text\}"),
        ("Mood of {txt}?", pd.DataFrame({"text": ["a"]}), {}, r"no column \{txt\}"),
        (PROMPT, "a text", {}, "has no rows"),
        (PROMPT, ["a"], {"concurrency": 0}, "concurrency takes 'auto'"),
        (PROMPT, ["a"], {"limit": 0}, "limit takes a whole number"),
        (PROMPT, ["a"], {"rows_per_request": -1}, "rows_per_request takes"),
        (PROMPT, ["a"], {"temprature": 1}, r"no parameter 'temprature'\. Did you mean temperature\?"),
        (
            PROMPT,
            ["a"],
            {"concurrenc": 4},
            r"Did you mean concurrency\? Valid ones: .*limit.*client.*temperature.*system",
        ),
        (PROMPT, ["a"], {"row_per_request": 4}, r"Did you mean rows_per_request\?"),
        (PROMPT, ["a"], {"timeout": -1}, "timeout takes seconds, a number above 0, not -1"),
        (PROMPT, ["a"], {"system": 5}, "system takes text, not 5"),
        (PROMPT, np.array(5), {}, "A value of type ndarray has no rows"),
        (" ", ["a"], {}, "prompt is empty"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(chat, server, prompt, over, how, message):
    """One sentence, and no request."""
    with pytest.raises(ConfigError, match=message):
        chat.map(prompt, over, **how)
    assert server.requests == 0


def test_an_empty_column_is_no_error(chat, server):
    """There is nothing to ask, and the result is empty."""
    assert chat.map(PROMPT, []).result().values == []
    assert chat.map(PROMPT, pd.Series([], dtype=str)).result().values.empty


def test_an_answer_that_was_cut_off_does_not_look_whole(chat, server, store):
    """It is counted as such wherever the rows are shown, also when it comes from the store."""

    async def behave(asked):
        return await asked.say("cut", finish="length") if asked.row == "long" else None

    server._behave = behave
    for _ in range(2):
        rows = chat.map(PROMPT, ["long", "short"]).result()
        assert [row.finish_reason for row in rows] == ["length", "stop"]
        assert rows.frame["finish_reason"].tolist() == ["length", "stop"]
        assert "1 cut off" in rows.summary()
    assert server.requests == 2


async def _odd(asked):
    """Answer some rows in a way that leaves a warning."""
    if asked.row in {"open", "again"}:
        return await asked.say("half", finish="")
    message = {"no": {"refusal": "I cannot."}, "moody": {"content": "yes", "mood": "<i>odd</i>"}}.get(asked.row)
    return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]}) if message else None


def test_what_is_odd_about_an_answer_is_said_of_its_row(chat, server, store):
    """An end that nobody named, a refusal, a field that is not understood: told with the rows, also of stored ones."""
    server._behave = _odd
    over = ["open", "again", "no", "moody", "plain", "plain"]
    for _ in range(2):
        rows = chat.map(PROMPT, over).result()
        assert [row.warnings for row in rows[:2]] == [("no-finish-reason",)] * 2
        assert "refusal" in rows[2].warnings
        assert "unknown-field:mood" in rows[3].warnings
        assert [row.warnings for row in rows[4:]] == [(), ()]
        cut, refused, unknown = rows.notices()
        assert cut.startswith("2 rows: cut off: the service did not say")
        assert refused == "1 row: refused by the model"
        assert unknown.startswith("1 row: ")
        assert "mood" in unknown
        for shown in (rows.as_text(), rows._repr_html_(), rows._repr_markdown_()):
            assert cut in html.unescape(shown)
        close_stores(10)
    assert server.requests == 5


def test_rows_that_are_as_they_should_be_have_no_notices(chat, server):
    """Nothing is said where there is nothing to say."""
    rows = chat.map(PROMPT, [*range(3)]).result()
    assert rows.notices() == []
    assert rows.as_text().startswith("3 rows, 3 answered\n\n")


def test_a_frame_loses_no_field_and_no_index(chat, server):
    """Fields of an answer keep their names beside those of the row, and labels their index."""

    async def behave(asked):
        return await asked.say('{"error": "E42", "seconds": 12}')

    server._behave = behave
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "j"])
    frame = chat.map(PROMPT, pd.Series(["x", "y"], index), schema="error, seconds int").result().frame

    assert frame["error"].tolist() == ["E42", "E42"]
    assert frame["seconds"].tolist() == [12, 12]
    assert frame["row_error"].tolist() == ["", ""]
    assert frame["kind"].tolist() == ["", ""]
    assert frame.index.equals(index)
    assert list(frame.index.names) == ["k", "j"]


def test_an_interrupt_has_the_rows(chat, server):
    """Whoever waited and was interrupted finds in the error what was answered, and what to do."""

    async def main():
        job = chat.map(PROMPT, range(50), concurrency=2)
        waiting = asyncio.ensure_future(job._wait())
        while job.progress.done < 6:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError, match="what was answered is kept") as caught:
            await waiting
        return caught.value.rows

    server.delay = 0.02
    rows = asyncio.run(main())
    assert rows.finish_reason == "interrupted"
    assert rows.values[:4] == answers(range(4))
    assert None in rows.values


def test_a_rows_error_gives_advice_for_rows(chat, server, monkeypatch):
    """What helps a conversation does not help a row."""
    monkeypatch.setattr(engine, "_FIRST_WAIT", 0.001)

    async def behave(asked):
        return await asked.refuse(400, "1261") if asked.row == "long" else await asked.reset_within()

    server._behave = behave
    long, broken = chat.map(PROMPT, ["long", "broken"]).result()

    assert (long.kind, broken.kind) == ("context_length", "truncated")
    assert "Shorten its value" in long.error
    assert "1261" in long.error
    assert "rows.retry()" in broken.error
    assert not any(word in long.error + broken.error for word in ("--new", "--no-history", "%chatglm"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("status", [204, 408, 413, 429, 500, 502, 503])
def test_no_rows_error_speaks_of_cells(chat, server, monkeypatch, status, language):
    """Whatever failed: a row has neither a cell nor a conversation; what happened is said as ever."""
    monkeypatch.setattr(engine, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(engine, "PATIENCE", 0.0)

    async def behave(asked):
        return web.Response(status=status)

    server._behave = behave
    set_language(language)
    try:
        (row,) = _rows_of(chat.map(PROMPT, ["a"]))
    finally:
        set_language("auto")

    assert row.error
    assert f"HTTP {status}" in row.error
    assert not re.search(r"cell|单元格|--new|--no-history|%chatglm|--timeout", row.error)


def _rows_of(job):
    """Return the rows of a map that may have ended with an error."""
    job.wait()
    return job.rows


def test_rows_read_before_an_error_of_the_users_own_are_asked(chat, server):
    """A generator that fails later does not take along what it has given."""

    def broken():
        yield from ("a", "b")
        raise OSError

    with pytest.raises(OSError) as caught:
        chat.map(PROMPT, broken()).result()
    assert caught.value.rows.values == answers("ab")


def test_rows_may_be_awaited_as_their_job_was(chat, server):
    """A variable that held the job may hold its rows by now."""

    async def main():
        rows = await chat.map(PROMPT, ["a"])
        return rows, await rows

    rows, again = asyncio.run(main())
    assert again is rows


def test_numbers_may_be_numpys(chat, server):
    """As they are where they come from a column."""
    rows = chat.map(PROMPT, range(9), limit=np.int64(2), concurrency=np.int32(1)).result()

    assert rows.values[:3] == [*answers(range(2)), None]


def test_a_plan_of_packed_rows_shows_what_is_sent(chat, server):
    """The first request with its schema, and the tokens that all requests have together."""
    over = [f"w{number}" for number in range(10)]
    plan = chat.plan_map(PROMPT, over, rows_per_request=5, schema=Literal["good", "bad"])
    chat.map(PROMPT, over, rows_per_request=5, schema=Literal["good", "bad"], concurrency=1).result()
    sent = server.glm.requests[0].json

    assert [message.text for message in plan.request.messages] == [message["content"] for message in sent["messages"]]
    assert plan.request.format.schema == sent["response_format"]["json_schema"]["schema"]
    assert plan.tokens[0] >= plan.requests * len(sent["messages"][-1]["content"]) // 5


def test_a_plan_of_what_is_read_once_is_refused(chat):
    """It would use the rows up."""
    with pytest.raises(ConfigError, match="only once"):
        chat.plan_map(PROMPT, iter([1, 2]))


@pytest.mark.parametrize(
    "over",
    [
        ["a", "bad", "b"],
        {"x": "a", "y": "bad", "z": "b"},
        pd.Series(["a", "bad", "b"], index=["k", "k", "m"]),
        pd.DataFrame({"it": ["a", "bad", "b"]}, index=["k", "k", "m"]),
        pl.Series(["a", "bad", "b"]),
        pa.array(["a", "bad", "b"]),
        iter(["a", "bad", "b"]),
    ],
    ids=lambda over: f"{type(over).__module__}.{type(over).__name__}",
)
@pytest.mark.parametrize("copied", [lambda rows: pickle.loads(pickle.dumps(rows)), copy.deepcopy])  # noqa: S301 - our own
def test_rows_are_pickled_without_their_map(chat, server, over, copied):
    """With their answers, errors, labels and the input's form; a key would be in the map."""

    async def behave(asked):
        return await asked.refuse(400, "1301") if asked.row == "bad" else None

    server._behave = behave
    rows = chat.map(PROMPT, over).result()
    there = copied(rows)

    assert list(there) == list(rows)
    assert type(there.values) is type(rows.values)
    assert there.frame.equals(rows.frame)
    assert (there.summary(), there.finish_reason) == (rows.summary(), "stop")
    with pytest.raises(ConfigError, match="run the map again"):
        there.retry()


@pytest.mark.parametrize(
    "over",
    [{2: "x", 1: "y", 0: "z"}, pl.Series(["x", "y", "z"]), pa.array(["x", "y", "z"]), pd.Series(["x", "y", "z"])],
    ids=["dict", "polars", "pyarrow", "pandas"],
)
def test_no_answer_is_lost_on_the_way(chat, server, over):
    """Not to a row that was not asked, nor to a pickle of a column that holds values of several kinds."""
    said = {"x": 2**70, "y": {"a": [1]}}

    async def behave(asked):
        return await asked.say(json.dumps({"value": said[asked.row]}))

    server._behave = behave
    rows = chat.map(PROMPT, over, schema=int | dict[str, list[int]], limit=2).result()
    there = pickle.loads(pickle.dumps(rows))  # noqa: S301 - our own

    assert [row.index for row in rows] == (list(over) if isinstance(over, dict) else [0, 1, 2])
    for one in (rows, there):
        assert [row.value for row in one] == [*said.values(), None]
        if isinstance(over, pa.Array):  # has no objects
            assert one.values.to_pylist() == [str(2**70), '{"a": [1]}', None]
        else:
            assert list(dict(one.values).values() if isinstance(over, dict) else one.values) == [*said.values(), None]
    assert type(there.values) is type(rows.values)


def test_a_bar_around_a_generator_has_its_rows_asked(chat):
    """Its length says nothing of how often it can be read."""
    bar = tqdm((word for word in "abc"), total=4, disable=True)
    rows = chat.map(PROMPT, bar).result()

    assert rows.values == answers("abc")


def test_a_job_is_never_pickled(chat):
    """It leads to keys."""
    with pytest.raises(TypeError):
        pickle.dumps(chat.map(PROMPT, []))


def test_maps_may_run_side_by_side(chat, server):
    """Jobs of several threads share the loop thread and are all answered."""
    results = {}

    def ask(name: str) -> None:
        results[name] = chat.map(PROMPT, [f"{name}{number}" for number in range(20)]).result().values

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(results[name] == answers(f"{name}{number}" for number in range(20)) for name in "abcd")


def test_a_line_says_how_far_it_is(chat, server):
    """Done, failed, there already, rate and tokens; in flight and the time left while it runs."""
    server.delay = 0.05
    job = chat.map(PROMPT, range(40), concurrency=2)
    while job.progress.done < 4:
        time.sleep(0.01)
    line = progress_line(job)
    assert " / 40 · " in line
    assert "2 in flight" in line
    assert "left" in line
    assert 1 <= len(job.newest) <= 5
    job.stop()
    job.wait(1)
    assert "in flight" not in progress_line(job)


def test_rows_show_a_table_of_ten(chat, server):
    """As text and as HTML, with what a model wrote as inert text."""

    async def behave(asked):
        return await asked.say("<b>bold</b>") if asked.row == "0" else None

    server._behave = behave
    rows = chat.map(PROMPT, range(100)).result()

    assert len(rows.table().rows) == 10
    assert "90 more rows" in rows.as_text()
    assert "100 answered" in rows.as_text()
    assert "&lt;b&gt;bold" in rows._repr_html_()
    assert "<b>" not in rows._repr_html_()
    assert "<b>" not in rows._repr_markdown_()
    assert repr(rows) == "<Rows 100 rows, 100 answered>"


def test_all_numbers_of_a_summary_are_written_alike():
    """Thousands are set off in each of them."""
    source = Source.of(range(3000))
    rows = Rows(source, {at: Row(at, at, "a", cached=True) for at in range(1500)}, 3000)

    assert rows.summary() == "3,000 rows, 1,500 answered, 1,500 of them there already, 1,500 not asked"


def test_the_table_shows_fields_and_errors_only_where_there_are_any():
    """Answers that are records have a column for each field, numbers at the right; errors stand behind the failed."""
    answered = {at: Row(at, at, {"mood": "good", "age": at}, "…", attempts=1) for at in range(2)}
    failed = {2: Row(2, 2, error="It broke.", kind="server", attempts=4)}

    whole = Rows(Source.of(["a", "b"], 0), answered, 2).table()
    mixed = Rows(Source.of(["a", "b", "c"], 0), answered | failed, 3).table()

    assert (whole.head, whole.rows) == (("", "mood", "age"), (("0", "good", "0"), ("1", "good", "1")))
    assert whole.numbers == {0, 2}
    assert mixed.head == ("", "mood", "age", "error")
    assert mixed.rows[2] == ("2", "", "", "It broke.")


def test_the_line_says_why_nothing_has_come_yet():
    """What a provider tells meanwhile, such as how much of its weights is there, is shown until a row is answered."""

    class Slow:
        name = "slow"
        may_answer = threading.Event()

        async def stream(self, request):
            request.notify("fetching the model: 40 %")
            await asyncio.to_thread(self.may_answer.wait)
            yield TextDelta("hi")
            yield Finished("stop")

    job = Chat(Slow()).map("{it}", ["a"])
    while not job.status:
        time.sleep(0.01)
    assert "fetching the model: 40 %" in progress_line(job)
    Slow.may_answer.set()
    job.result()
    assert "fetching" not in progress_line(job)


def test_a_generator_may_wait(chat, server):
    """A row is asked as soon as it is there; meanwhile other maps run, and a stop bites within 0.3 s."""
    rows = queue.SimpleQueue()
    rows.put("a")
    job = chat.map(PROMPT, iter(rows.get, None))
    server.glm.wait_until(lambda: server.requests == 1)
    assert chat.map(PROMPT, range(5)).result(10).values == answers(range(5))
    while job.progress.done < 1:
        time.sleep(0.01)
    began = time.monotonic()
    job.stop()
    stopped = job.result()
    assert time.monotonic() - began < 0.3
    assert (stopped.finish_reason, stopped.values) == ("interrupted", answers("a"))

    for row in ("b", "c", None):  # of which the thread takes the first one though nobody waits for it
        rows.put(row)
    assert stopped.retry().result(10).values == answers("abc")


def test_a_generator_is_read_by_one_thread_alone(chat, server):
    """Through stops and further tries, and also if two maps share it: it may hold what belongs to its thread."""
    threads, inside = set(), []

    def made():
        with sqlite3.connect(":memory:") as database:
            for number in range(60):
                assert not inside
                inside.append(number)
                time.sleep(0.002)
                threads.add(threading.current_thread())
                (found,) = database.execute("select ?", (number,)).fetchone()
                inside.clear()
                yield found

    job = chat.map(PROMPT, made())
    while job.progress.done < 10:
        time.sleep(0.005)
    job.stop()
    assert job.result().retry().result(20).values == answers(range(60))
    assert len(threads) == 1

    shared = (number for number in range(40) if time.sleep(0.001) is None)
    both = [chat.map("Once more, row {it}?", shared) for _ in range(2)]
    found = [value for job in both for value in job.result(20).values]
    assert sorted(found) == sorted(answers(range(40)))


def test_rows_of_another_thread_are_refused_in_a_sentence(chat, server):
    """A cursor of SQLite cannot be read elsewhere; it is said what to do."""
    with sqlite3.connect(":memory:") as database:
        cursor = database.execute("select 1 union select 2")
        with pytest.raises(ConfigError, match="only in the thread that made them: read them into a list first"):
            chat.map(PROMPT, cursor).result(10)
    assert server.requests == 0


def test_records_that_are_read_once_have_columns(chat, server):
    """The first of them tells which, where the prompt names one; what none has is said before anything is sent."""
    rows = csv.DictReader(["a,b", "1,x", "2,y"])
    assert chat.map("What of row {b}?", rows).result(10).values == answers("xy")
    for over, message in (
        (csv.DictReader(["a,b", "1,v", "2,w"]), r"no column \{c\}.*Columns: a, b.*make the generator anew"),
        (({"a": 1, "b": row} for row in "vw"), r"no column \{c\}.*make the generator anew"),
        (iter("vw"), r"A row has no \{c\}.*make the generator anew"),
    ):
        with pytest.raises(ConfigError, match=message):
            chat.map("What of {c}?", over)
        assert server.requests == 2


def test_the_thread_of_a_generator_ends_with_it():
    """At its last item, and where nobody wants any more of them."""
    before = set(threading.enumerate())
    reader = IteratorThread(iter("ab"))
    assert reader.peek(5) == "a"
    assert asyncio.run(reader.take(1)) == (["a"], None)
    assert asyncio.run(reader.take(5))[0] == ["b"]
    assert asyncio.run(reader.take(5)) == asyncio.run(reader.take(1)) == ([], None)
    other = IteratorThread(iter("ab"))
    assert other.peek(5) == "a"
    del other
    gc.collect()
    until = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "chatglm-rows"]


def test_a_generator_that_waits_holds_no_interpreter_up(server):
    """It ends with its script, though the thread waits for the next row."""
    code = (
        "import queue; from chatglm_magic import Chat\n"
        f"job = Chat('openai', base_url={server.url!r}, model='glm-4.7').map('{{it}}', iter(queue.Queue().get, None))\n"
        "assert not job.wait(0.3)\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    assert time.monotonic() - began < 15
