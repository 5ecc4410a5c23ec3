"""A map on a Dask cluster: workers that are processes of their own, and `distributed` itself."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import dask
import dask_tap
import pandas as pd
import psutil
import pytest
from dask import bag, dataframe
from distributed import Client, LocalCluster
from glm_server import FakeGLM
from IPython.core.interactiveshell import InteractiveShell
from map_kit import RowServer, answers
from shells import make_shell, run

from chatglm_magic import (
    AuthenticationError,
    Chat,
    ConfigError,
    FunctionProvider,
    MissingKeyError,
    load_ipython_extension,
    unload_ipython_extension,
)
from chatglm_magic._errors import ConnectError, QuotaError
from chatglm_magic._language import set_language
from chatglm_magic._map import chunk

PROMPT = "What of row {it}?"
CHUNKS_AT_A_WORKER = 2
CHUNK = 64
WORKERS_KEY = "sk-canary-of-the-worker-5d1f0a7c93"
OWN_KEY = "sk-canary-of-the-client-8b2e64f10d"


@contextmanager
def cluster_of(workers: int, folder: Path, environment: dict[str, str], **how: Any) -> Iterator[LocalCluster]:
    """Start workers with an environment of their own: without keys but those that are given."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"temporary-directory": str(folder)}):
        for name in list(os.environ):
            if name.upper().endswith("_API_KEY") or name.startswith("CHATGLM_"):
                patch.delenv(name)
        for name, value in {"CHATGLM_STORE": "off", "CHATGLM_LANG": "en", **environment}.items():
            patch.setenv(name, value)
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=2, processes=True, dashboard_address=":0", memory_limit="2GiB", **how
        )
    with cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[LocalCluster]:
    with cluster_of(3, tmp_path_factory.mktemp("dask"), {}) as made:
        yield made


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as made:
        made.wait_for_workers(3, timeout=30)
        yield made


@pytest.fixture
def server(glm: FakeGLM) -> RowServer:
    return RowServer(glm)


@pytest.fixture
def chat(server: RowServer) -> Chat:
    return Chat("openai", base_url=server.url, model="glm-4.7")


@pytest.mark.usefixtures("store")
def test_rows_are_asked_by_the_workers_and_kept_here(chat, server, client):
    """All values are right, equal rows are asked once, never more at once than said, and none a second time."""
    server.delay = 0.01
    over = [*range(300), *range(100), None]
    rows = chat.map(PROMPT, over, client=client, concurrency=10).result(60)

    assert rows.values == [*answers(range(300)), *answers(range(100)), None]
    assert server.requests == 300
    assert 5 < server.most <= 10
    assert rows[0].tokens == 7
    assert rows[0].attempts == 1

    again = chat.map(PROMPT, over, client=client).result(60)
    assert again.values == rows.values
    assert server.requests == 300
    here = chat.map(PROMPT, over).result(60)
    assert here.values == rows.values
    assert server.requests == 300


@pytest.mark.usefixtures("store")
def test_a_killed_worker_costs_its_chunks_in_flight(chat, server, client):
    """One of three workers is killed in the middle: every row is right, and few are asked twice."""
    server.delay = 0.02
    job = chat.map(PROMPT, range(600), client=client, concurrency=24)
    while job.progress.done < 100:
        time.sleep(0.01)
    pids = client.run(os.getpid)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    rows = job.result(90)

    assert rows.values == answers(range(600))
    assert job.progress.failed == 0
    assert server.requests <= 600 + CHUNKS_AT_A_WORKER * CHUNK


@pytest.mark.usefixtures("store")
def test_no_key_travels(glm, tmp_path, monkeypatch, capfd):
    """Each worker uses the key of its environment; no message, state, log or spilled file holds that or our own."""
    server = RowServer(glm, behave=_refuse_one)
    tapped = tmp_path / "tapped"
    tapped.mkdir()
    environment = {"CHATGLM_API_KEY": WORKERS_KEY, "CHATGLM_BASE_URL": server.url, "DASK_TAP": str(tapped)}
    plain = {
        "distributed.comm.compression": None,
        "distributed.worker.memory.spill-compression": None,
        "distributed.worker.memory.target": 1e-9,  # all that a worker holds is spilled at once
        "distributed.worker.memory.spill": False,
    }
    monkeypatch.setenv("DASK_TAP", str(tapped))
    monkeypatch.setenv("CHATGLM_API_KEY", OWN_KEY)
    before = dask_tap.tap_messages()
    try:
        with (
            dask.config.set(plain),
            cluster_of(3, tmp_path, environment, preload=dask_tap.__file__) as cluster,
            Client(cluster) as client,
        ):
            chat = Chat("openai", base_url=server.url, model="glm-4.7", api_key=OWN_KEY)
            server.delay = 0.02
            job = chat.map(PROMPT, range(200), client=client, concurrency=6)
            while job.progress.done < 20:
                time.sleep(0.01)
            client.dump_cluster_state(str(tapped / "state"))
            rows = job.result(60)
            logs = repr(client.get_worker_logs()) + repr(client.get_scheduler_logs())
    finally:
        dask_tap.tap_messages(undo=before)

    assert rows.values == [*answers(range(7)), None, *answers(range(8, 200))]
    assert {request.headers["authorization"] for request in glm.requests} == {f"Bearer {WORKERS_KEY}"}
    found = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    found["state.msgpack.gz"] = gzip.decompress(found["state.msgpack.gz"])
    found["logs"] = "".join((logs, *capfd.readouterr())).encode()
    everything = b"".join(found.values())
    assert b"chatglm_map" in found["state.msgpack.gz"]
    messages = b"".join(data for name, data in found.items() if name.startswith("message"))
    spilled = b"".join(data for name, data in found.items() if name.startswith("spilled"))
    assert b"What of row" in messages
    assert b"answer to 42" in messages
    assert b"answer to 42" in spilled
    assert WORKERS_KEY.encode() not in everything
    assert OWN_KEY.encode() not in everything
    assert WORKERS_KEY not in repr(rows[7])


async def _refuse_one(asked):
    """Refuse a row, and repeat the key in the reason."""
    if asked.row == "7":
        return await asked.refuse(400, asked.recorded.headers["authorization"])
    return None


def test_a_worker_without_a_key_is_named(client):
    """Our own key is not sent along: the error names the worker, the variable, and nobody was asked."""
    chat = Chat("zai", api_key=OWN_KEY)
    with pytest.raises(MissingKeyError, match=r"The Dask worker tcp://\S+ has no key for zai.*ZAI_API_KEY") as caught:
        chat.map(PROMPT, range(10), client=client, concurrency=3).result(30)

    assert OWN_KEY not in str(caught.value)
    assert caught.value.rows.values == [None] * 10


def test_a_worker_whose_key_is_refused_says_where_it_takes_one_from(client, server):
    """A key that is given here stays here, so the advice is about the worker's own."""

    async def behave(asked):
        return None if "authorization" in asked.recorded.headers else await asked.refuse(401, "1000")

    server._behave = behave
    chat = Chat("openai", base_url=server.url, model="glm-4.7", api_key=OWN_KEY)
    said = r"On the Dask worker tcp://.*Keys are sent to no worker: set CHATGLM_API_KEY, CHATGLM_BASE_URL in its"
    with pytest.raises(AuthenticationError, match=said) as caught:
        chat.map(PROMPT, range(3), client=client, concurrency=1).result(30)
    told = str(caught.value)
    assert "No key was sent" in told
    assert "api_key=" not in told
    assert [row.error for row in caught.value.rows.failed] == [told]  # the same advice, and the same worker


def test_a_service_for_one_at_a_time_has_one_worker(client):
    """A platform takes one request of a key at a time: one worker asks, and that is said."""
    with pytest.warns(UserWarning, match="zai takes one request at a time, so only one Dask worker asks") as said:
        job = Chat("zai", api_key=OWN_KEY).map(PROMPT, [1], client=client)
    shown = warnings.formatwarning(str(said[0].message), UserWarning, said[0].filename, said[0].lineno)
    assert shown.count("\n") == 1, shown
    with pytest.raises(MissingKeyError):
        job.result(30)


def test_a_series_gives_a_series(chat, client):
    """The answers to a Dask Series stand in a Series with its order, length and index, duplicates too."""
    given = pd.Series([*map(str, range(50)), None], index=[number // 2 for number in range(51)], name="text")
    rows = chat.map(PROMPT, dataframe.from_pandas(given, npartitions=4, sort=False)).result(60)

    expected = pd.Series([*answers(range(50)), None], index=given.index, dtype=object)
    pd.testing.assert_series_equal(rows.values, expected)
    assert list(rows.frame.index) == list(given.index)


def test_a_frame_fills_columns_and_keeps_its_limit(chat, server, client):
    """`{column}` names a column of a Dask DataFrame; rows beyond the limit are not asked."""
    given = pd.DataFrame({"a": range(10), "b": list("abcdefghij")}, index=list("qrstuvwxyz"))
    over = dataframe.from_pandas(given, npartitions=2)
    rows = chat.map("What of row {a}{b}?", over, limit=7).result(60)

    assert rows.values["r"] == "answer to 1b"
    assert list(rows.values[:7]) == answers(f"{a}{b}" for a, b in zip(range(7), "abcdefg", strict=True))
    assert server.requests == 7
    with pytest.raises(ConfigError, match=r"no column \{c\}"):
        chat.map("What of {c}?", over)
    with pytest.raises(ConfigError, match=r"A Dask Bag has no rows to map over"):
        chat.map(PROMPT, bag.from_sequence([1], npartitions=1))


class Shade(Enum):
    """Another one."""

    DARK = "dark"


@dataclass
class Mood:
    """A class that no worker can import."""

    mood: Literal["good", "bad"]


def test_values_are_made_here(chat, server, client):
    """Workers hold answers to the schema without its class; one that does not fit is sent back, and fails then."""

    async def behave(asked):
        about, is_first = json.dumps(asked.recorded.json), len(asked.recorded.json["messages"]) == 1
        if "row 3" in about:
            return await asked.say("no JSON")
        return await asked.say('{"mood": "so so"}' if "row 4" in about and is_first else '{"mood": "good"}')

    server._behave = behave
    rows = chat.map(PROMPT, range(6), schema=Mood, client=client).result(30)

    assert rows.values == [Mood("good")] * 3 + [None] + [Mood("good")] * 2
    assert "not what the schema asks for" in rows[3].error


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        (Literal["red", "blue"], "red", "red"),
        (Literal["red", "blue"], ' "Blue" ', "blue"),
        (Shade, "dark", Shade.DARK),
        (date, "2026-01-31", date(2026, 1, 31)),
        (Decimal, "12.50", Decimal("12.50")),
        (Decimal, '{"value": 12.5}', Decimal("12.5")),
        (list[Shade], '["Dark"]', [Shade.DARK]),
    ],
    ids=str,
)
def test_workers_take_what_is_taken_here(chat, server, client, schema, said, value):
    """An answer that needs no second request in this process needs none on a worker."""

    async def behave(asked):
        return await asked.say(said)

    server._behave = behave
    assert chat.map(PROMPT, [1], schema=schema, client=client).result(30).values == [value]
    assert server.requests == 1


def test_a_row_fails_alone(chat, server, client):
    """A row that the service refuses has an error and a kind; the others have values, and `retry` asks that one."""

    async def behave(asked):
        return await asked.refuse(400, "1210") if asked.row == "5" and asked.time == 1 else None

    server._behave = behave
    rows = chat.map(PROMPT, range(40), client=client).result(30)
    assert (rows[5].kind, rows[5].value) == ("invalid_request", None)
    assert [row.position for row in rows.failed] == [5]

    retried = rows.retry().result(30)
    assert retried.values == answers(range(40))
    assert server.requests == 41


def test_what_is_odd_about_an_answer_travels(chat, server, client):
    """An answer that no worker saw the end of is told of here."""

    async def behave(asked):
        return await asked.say("half", finish="") if asked.row == "2" else None

    server._behave = behave
    rows = chat.map(PROMPT, range(4), client=client).result(30)

    assert [row.warnings for row in rows] == [(), (), ("no-finish-reason",), ()]
    assert rows.notices()[0].startswith("1 row: cut off")


@pytest.mark.usefixtures("store")
def test_errors_of_workers_are_in_the_language_of_the_client(chat, server, client):
    """Whatever language a worker's environment names."""

    async def behave(asked):
        return await asked.refuse(400, "1301")

    server._behave = behave
    for language, said in (("zh", "被内容审核拦截"), ("en", "Moderation stopped this")):
        set_language(language)
        try:
            assert chat.map(PROMPT, ["bad"], client=client).result(60)[0].error.startswith(said)
        finally:
            set_language("auto")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("concurrency", [6, None])
def test_a_refusal_makes_all_workers_wait(chat, server, client, concurrency):
    """One worker is refused: the others send nothing of what they have either, until the named time."""
    times: list[float] = []
    refused_at: list[float] = []

    async def behave(asked):
        times.append(time.monotonic())
        if asked.number < 30 or refused_at:
            return None
        refused_at.append(times[-1])
        return await asked.refuse(429, "1302", **{"Retry-After": "2"})

    server._behave, server.delay = behave, 0.2
    job = chat.map(PROMPT, range(90), client=client, concurrency=concurrency)
    pauses = []
    while job.progress.done < 90:
        pauses.append(job.progress.pause)
        time.sleep(0.02)

    assert job.result(30).values == answers(range(90))
    assert server.requests == 91
    late = [at - refused_at[0] for at in times if at > refused_at[0] + 0.5]
    assert min(late) > 1.9
    assert 1.0 < max(pauses) <= 2.0


@pytest.mark.usefixtures("store")
def test_an_empty_account_stops_all(chat, server, client):
    """Nothing more is asked on any worker, the error has the rows, and the map goes on from them later."""
    is_empty = threading.Event()

    async def behave(asked):
        if asked.number > 100:
            is_empty.set()
        return await asked.refuse(429, "1113") if is_empty.is_set() else None

    server._behave, server.delay = behave, 0.01
    with pytest.raises(QuotaError, match=r"On the Dask worker tcp://.*balance") as caught:
        chat.map(PROMPT, range(1000), client=client, concurrency=12).result(30)
    kept = sum(row.is_answered for row in caught.value.rows)
    assert kept == 100
    assert server.requests <= 100 + 12
    assert caught.value.kind == "billing"

    server._behave, before = None, server.requests
    rows = chat.map(PROMPT, range(300), client=client).result(30)
    assert rows.values == answers(range(300))
    assert server.requests == before + 200


@pytest.mark.usefixtures("store")
def test_stop_hangs_up_on_all_workers(chat, server, client):
    """Within 0.3 s the map has ended with its rows, and soon no request is open."""
    server.delay = 0.1
    job = chat.map(PROMPT, range(1000), client=client, concurrency=12)
    while job.progress.done < 20:
        time.sleep(0.01)
    began = time.monotonic()
    job.stop()
    rows = job.result(5)
    assert time.monotonic() - began < 0.5  # 0.3 s on a machine that does nothing else
    assert rows.finish_reason == "interrupted"
    answered = sum(row.is_answered for row in rows)
    assert answered >= 20
    server.glm.wait_until(lambda: server.open == 0)
    before = server.requests
    time.sleep(0.3)
    assert server.requests == before

    server.delay = 0.0
    rows = chat.map(PROMPT, range(100), client=client).result(30)
    assert rows.values == answers(range(100))


def test_a_cluster_without_workers_says_so(chat, server, tmp_path):
    """Nothing is in flight then; the rows go on with the next worker."""
    with cluster_of(0, tmp_path, {}) as empty, Client(empty) as client:
        job = chat.map(PROMPT, range(10), client=client)
        while not job.status:
            time.sleep(0.05)
        assert job.status == "the Dask cluster has no workers now"
        assert job.progress.in_flight == 0
        assert "no workers" in repr(job)

        empty.scale(1)
        assert job.result(60).values == answers(range(10))
        assert job.status == ""


@pytest.mark.usefixtures("store")
def test_a_client_that_is_closed(chat, server, cluster):
    """Before the map nothing is sent; in its middle one sentence says so, and what was answered is kept."""
    server.delay = 0.02
    with Client(cluster) as client:
        job = chat.map(PROMPT, range(2000), client=client, concurrency=12)
        while job.progress.done < 100:
            time.sleep(0.01)
    with pytest.raises(ConnectError, match=r"The Dask cluster is gone \(cl\w+\); what was answered is kept") as caught:
        job.result(30)
    kept = sum(row.is_answered for row in caught.value.rows)
    assert kept >= 100

    before = server.requests
    with pytest.raises(ConfigError, match="client is not connected"):
        chat.map(PROMPT, [1], client=client)
    with pytest.raises(ConfigError, match=r"client takes a dask.distributed.Client, not a str"):
        chat.map(PROMPT, [1], client="tcp://127.0.0.1:8786")
    plan = chat.plan_map(PROMPT, range(2000))
    assert plan.there == kept
    server.glm.wait_until(lambda: server.open == 0)
    assert server.requests - before <= 4 * CHUNK * CHUNKS_AT_A_WORKER


def test_workers_that_join_share_what_there_is(chat, server, tmp_path):
    """The rows that are asked at once are the whole map's: new workers take a part of them, and none is added."""
    server.delay = 0.02
    with cluster_of(1, tmp_path, {}) as cluster, Client(cluster) as client:
        job = chat.map(PROMPT, range(700), client=client, concurrency=6)
        while job.progress.done < 50:
            time.sleep(0.01)
        cluster.scale(2)
        client.wait_for_workers(2, timeout=30)
        while not all(client.run(_has_a_map).values()):
            assert not job.is_done
            time.sleep(0.01)
        rows = job.result(60)

    assert rows.values == answers(range(700))
    assert server.most <= 6


def _has_a_map() -> bool:
    """Return whether this worker has asked a row."""
    return bool(chunk._maps)


def test_a_cluster_that_adapts(chat, server, tmp_path):
    """Where there is no worker yet, the map waits, and the cluster starts one for it."""
    with cluster_of(0, tmp_path, {}) as cluster, Client(cluster) as client:
        cluster.adapt(minimum=0, maximum=1, interval="100ms")
        rows = chat.map(PROMPT, range(10), client=client).result(60)
        assert rows.values == answers(range(10))


def kill_client_of(request) -> None:
    """Kill the process that has sent a request."""
    port = request.transport.get_extra_info("peername")[1]
    for child in psutil.Process().children(recursive=True):
        if any(one.laddr.port == port for one in child.net_connections("tcp")):
            child.kill()


@pytest.mark.long
def test_a_row_that_kills_workers(chat, server, client):
    """It fails after five attempts, which cost it alone; the others are answered."""

    async def behave(asked):
        if asked.row == "2":
            kill_client_of(asked.request)

    server._behave = behave
    rows = chat.map(PROMPT, range(60), client=client).result(120)

    assert rows.values == [*answers([0, 1]), None, *answers(range(3, 60))]
    assert "died each of the 5 times" in rows[2].error
    assert rows[2].kind == "connect"


def test_workers_without_the_package(chat, server, tmp_path):
    """It is said what to install; no worker dies of what it cannot import."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['chatglm_magic'] = None")
    with cluster_of(1, tmp_path, {"PYTHONPATH": str(tmp_path)}) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        before = client.nthreads()
        with pytest.raises(ConfigError, match=r"A Dask worker lacks the package chatglm_magic: pip install"):
            chat.map(PROMPT, range(10), client=client).result(30)
        assert client.nthreads() == before
    assert server.requests == 0


def test_workers_that_are_threads(chat, server):
    """A cluster inside this process works as well: its workers have one loop with the map."""
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
        rows = chat.map(PROMPT, range(100), client=client, concurrency=8).result(30)

    assert rows.values == answers(range(100))
    assert server.most <= 8


@pytest.mark.parametrize("concurrency", [8, None])
def test_several_workers_that_are_threads(chat, server, concurrency):
    """Each has its own share of what is asked at once, and each is steered, paused and stopped for itself."""
    server.delay = 0.05
    with (
        LocalCluster(n_workers=4, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        rows = chat.map(PROMPT, range(160), client=client, concurrency=concurrency).result(30)
        assert rows.values == answers(range(160))
        assert 6 <= server.most <= (concurrency or 160)

        job = chat.map(PROMPT, range(200, 1000), client=client, concurrency=concurrency)
        while job.progress.done < 20:
            time.sleep(0.01)
        job.stop()
        job.result(5)
        server.glm.wait_until(lambda: server.open == 0)
        before = server.requests
        time.sleep(0.3)
        assert server.requests == before


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of Dask's command line, and kill it at the end."""
    with subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.long
@pytest.mark.usefixtures("store")
def test_a_scheduler_that_is_killed(chat, server, tmp_path):
    """`dask scheduler` and `dask worker` as on several machines; without the scheduler the map ends with its rows."""
    server.delay = 0.05
    found = tmp_path / "scheduler.json"
    how = ("--no-dashboard", "--scheduler-file", str(found))
    with (
        started("scheduler", "--port", "0", *how) as scheduler,
        started("worker", *how),
        started("worker", *how),
        Client(scheduler_file=str(found), timeout=30) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        job = chat.map(PROMPT, range(2000), client=client, concurrency=8)
        while job.progress.done < 100:
            time.sleep(0.05)
        scheduler.kill()
        with pytest.raises(ConnectError, match="The Dask cluster is gone") as caught:
            job.result(60)
    kept = sum(row.is_answered for row in caught.value.rows)

    assert kept >= 100
    assert chat.plan_map(PROMPT, range(2000)).there == kept


def test_a_cell_over_a_collection(server, client):
    """`--over` takes a Dask Series; the cell's value has its index, and says how far it was."""
    shell = make_shell(provider="openai", base_url=server.url, model="glm-4.7")
    load_ipython_extension(shell)
    try:
        shell.user_ns["texts"] = dataframe.from_pandas(pd.Series([1, 2], index=["a", "b"]), npartitions=1)
        value = run(shell, "%%chatglm --over texts\nWhat of row {it}?")
    finally:
        unload_ipython_extension(shell)
        InteractiveShell.clear_instance()

    assert dict(value.values) == {"a": "answer to 1", "b": "answer to 2"}


def test_a_client_of_the_notebooks_loop(chat, server, cluster):
    """An asynchronous client maps over what is here; a collection it cannot read, and that is said."""

    async def main():
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            job = chat.map(PROMPT, range(30), client=client)
            with pytest.raises(ConfigError, match="rows = await job"):
                job.result()  # which would wait for ever in the client's own loop
            rows = await job
            with pytest.raises(ConfigError, match="This Dask client is asynchronous"):
                chat.map(PROMPT, dataframe.from_pandas(pd.Series([1]), npartitions=1), client=client)
        return rows

    assert asyncio.run(main()).values == answers(range(30))


def test_packed_rows(chat, server, client):
    """`rows_per_request` holds on the workers too."""

    async def behave(asked):
        lines = [line for line in asked.prompt.splitlines() if line.startswith('{"rows"')]
        data = json.loads(lines[0])
        said = [{"i": row["i"], "value": f"answer to {row['it']}"} for row in data["rows"]]
        return await asked.say(json.dumps({"rows": said}))

    server._behave = behave
    rows = chat.map(PROMPT, range(40), client=client, concurrency=2, rows_per_request=5).result(30)
    assert rows.values == answers(range(40))
    assert server.requests == 8


def test_a_provider_of_ones_own_stays_here(client):
    """What a person's own provider holds is not sent to anybody."""

    async def answer(prompt):
        yield prompt

    with pytest.raises(ConfigError, match=r"The provider 'mine' stays here"):
        Chat(FunctionProvider(answer, name="mine")).map(PROMPT, [1], client=client)


def test_a_generator_that_waits(chat, server, client):
    """Its rows are asked as they come, on workers too; a stop bites, and another try goes on."""
    rows = queue.SimpleQueue()
    rows.put("a")
    job = chat.map(PROMPT, iter(rows.get, None), client=client)
    while job.progress.done < 1:
        time.sleep(0.01)
    began = time.monotonic()
    job.stop()
    stopped = job.result(5)
    assert time.monotonic() - began < 0.5
    for row in ("b", "c", None):
        rows.put(row)
    assert stopped.retry().result(30).values == answers("abc")


def test_values_that_cannot_travel(chat, server, client):
    """A row that cannot be pickled fails alone, with a sentence; the others of its chunk are asked."""
    rows = chat.map(PROMPT, ["ok1", threading.Lock(), "ok2"], client=client).result(30)

    assert rows.values == ["answer to ok1", None, "answer to ok2"]
    assert "This row cannot be sent to a Dask worker: TypeError: cannot pickle" in rows[1].error
    assert server.requests == 2


def test_a_collection_without_a_client(chat):
    """It is said how to make one."""
    with pytest.raises(ConfigError, match=r"there is no client: make one with dask.distributed.Client\(\)"):
        chat.map(PROMPT, dataframe.from_pandas(pd.Series([1]), npartitions=1))


def test_dask_is_imported_only_where_it_is_used(glm):
    """A map on one machine runs without it."""
    glm.say("yes")
    code = (
        "import sys; from chatglm_magic import Chat\n"
        f"chat = Chat('openai', base_url={glm.url!r}, model='glm-4.7')\n"
        "assert chat.map('What of {it}?', [1, 2]).result().values == ['yes', 'yes']\n"
        "print(sorted({'dask', 'distributed', 'pandas', 'tornado'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
