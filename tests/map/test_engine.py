"""Rows in, answers out, against servers that refuse, fail, reset and hang: the values are right, all is counted."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import pytest
from map_kit import RowServer, answers, engine, quick_gate, run, values

from chatglm_magic import ConfigError
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._map import engine as module
from chatglm_magic._map.gate import Gate
from chatglm_magic._map.question import Question
from chatglm_magic._schema.schema import Schema
from chatglm_magic._store import AnswerRow


def in_part(share: float, seed: int = 1):
    """Return a function that says yes for a share of what it is asked, first attempts only."""
    chosen = random.Random(seed)
    known: dict[object, bool] = {}
    return lambda row: known.setdefault(row, chosen.random() < share)


class Memory:
    """Keeps answers in a dictionary, after a moment, and notes when."""

    def __init__(self) -> None:
        self.answers: dict[bytes, AnswerRow] = {}
        self.batches: list[int] = []

    def find(self, keys):
        return {key: self.answers[key] for key in keys if key in self.answers}

    def keep(self, found, done):
        self.batches.append(len(found))
        self.answers.update(found)
        asyncio.get_running_loop().call_later(0.002, done)


def test_equal_rows_are_asked_once(glm):
    """Of 200 rows with 50 distinct values 50 are asked, and all have their answer, in their order."""
    server = RowServer(glm)
    rows = [f"r{number % 50}" for number in range(200)]
    made = run(engine(server.url, rows))

    assert values(made) == answers(rows)
    assert server.requests == 50
    assert set(server.asked.values()) == {1}
    assert sum(row.attempts for row in made.rows.values()) == 50
    assert sum(row.tokens for row in made.rows.values()) == made.progress.tokens == 350
    assert (made.finish_reason, made.progress.done, made.progress.total) == ("stop", 200, 200)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0.01"}, {"Retry-After": "0"}], ids=["none", "some", "zero"])
def test_rows_that_are_refused_are_asked_again(glm, headers):
    """A fifth is refused with 429: every row is answered, none fails, and each refusal costs one request."""
    is_refused = in_part(0.2)

    async def behave(asked):
        if asked.time == 1 and is_refused(asked.row):
            return await asked.refuse(429, "1302", **headers)
        return None

    server = RowServer(glm, behave)
    made = run(engine(server.url, range(300)))
    refused = sum(is_refused(str(row)) for row in range(300))

    assert values(made) == answers(range(300))
    assert refused > 30
    assert server.requests == 300 + refused == made.progress.requests
    assert made.progress.failed == 0


def test_all_wait_for_the_time_that_a_refusal_names(glm):
    """After a refusal with Retry-After nobody asks before that time is over."""
    times = []

    async def behave(asked):
        times.append(time.monotonic())
        if asked.number == 5:
            return await asked.refuse(429, "1302", **{"Retry-After": "0.5"})
        return None

    server = RowServer(glm, behave)
    run(engine(server.url, range(12), gate=quick_gate(fixed=1)))

    assert max(after - before for before, after in itertools.pairwise(times)) >= 0.45
    assert len(times) == 13


def test_resets_and_failures_that_pass_cost_nothing_but_time(glm, monkeypatch):
    """A tenth meets a reset or HTTP 500 at first; all are answered."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)
    fails = in_part(0.1)

    async def behave(asked):
        if asked.time == 1 and fails(asked.row):
            if int(asked.row) % 2:
                return await asked.reset()
            return await asked.refuse(500, "500")
        return None

    server = RowServer(glm, behave)
    made = run(engine(server.url, range(200)))
    failed = sum(fails(str(row)) for row in range(200))

    assert values(made) == answers(range(200))
    assert server.requests == 200 + failed
    assert failed > 8


def test_a_poison_row_fails_alone(glm, monkeypatch):
    """Rows that moderation refuses, that are too long, or that always fail have an error of their own."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)

    async def behave(asked):
        match asked.row:
            case "7":
                return await asked.refuse(400, "1301")
            case "8":
                return await asked.refuse(400, "1261")
            case "9":
                return await asked.refuse(500, "500")
        return None

    server = RowServer(glm, behave)
    made = run(engine(server.url, range(40)))
    failed = {position: row for position, row in made.rows.items() if row.error}

    assert {position: row.kind for position, row in failed.items()} == {
        7: "content_filter",
        8: "context_length",
        9: "server",
    }
    assert [row.value for row in failed.values()] == [None] * 3
    assert [server.asked[row] for row in "789"] == [1, 1, module.ATTEMPTS]
    assert [made.rows[position].value for position in range(7)] == answers(range(7))
    assert (made.finish_reason, made.error, made.progress.failed) == ("stop", None, 3)


def test_an_empty_balance_ends_the_map_and_keeps_what_was_answered(glm):
    """1113 from the 50th request on: nothing more is sent, the answers stay, and the error says billing."""

    async def behave(asked):
        return await asked.refuse(429, "1113") if asked.number >= 50 else None

    server = RowServer(glm, behave, delay=0.002)
    made = run(engine(server.url, range(500)))
    answered = [row for row in made.rows.values() if row.value is not None]

    assert made.error.kind == "billing"
    assert made.finish_reason == "error"
    assert len(answered) == 49
    assert server.requests <= 49 + module.Gate().limit * 16
    time.sleep(0.1)
    assert server.requests == made.progress.requests


def test_a_server_that_allows_one_at_a_time_is_asked_so(glm):
    """What is more than one at once is refused: all rows are answered, and hardly anything is refused."""
    refused = []

    async def behave(asked):
        if asked.together > 1:
            refused.append(asked.row)
            return await asked.refuse(429, "1302")
        await asyncio.sleep(0.002)
        return None

    server = RowServer(glm, behave)
    made = run(engine(server.url, range(100), gate=quick_gate(start=1)))

    assert values(made) == answers(range(100))
    assert len(refused) <= 2


def test_a_server_with_a_queue_is_not_drowned(glm):
    """Where requests wait for each other, more of them at once are soon no longer tried."""
    slot = asyncio.Semaphore(1)

    async def behave(asked):
        async with slot:
            await asyncio.sleep(0.01)

    server = RowServer(glm, behave)
    made = run(engine(server.url, range(120)))

    assert values(made) == answers(range(120))
    assert server.most <= 16


def test_a_server_that_hangs_fails_its_rows(glm, monkeypatch):
    """Rows that nothing comes for are given up after the timeout, asked again, and fail alone."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)

    async def behave(asked):
        if asked.row == "3" or (asked.row == "5" and asked.time == 1):
            await asyncio.sleep(60)

    server = RowServer(glm, behave)
    question = Question("What of row {it}?", model="glm-4.7", timeout=0.3)
    made = run(engine(server.url, range(20), question=question))

    assert {position: row.kind for position, row in made.rows.items() if row.error} == {3: "stalled"}
    assert made.rows[5].value == "answer to 5"
    assert (server.asked["3"], server.asked["5"], server.requests) == (module.ATTEMPTS, 2, 18 + 2 + module.ATTEMPTS)


def test_a_service_that_is_gone_ends_the_map(glm, monkeypatch):
    """Twenty rows in a row without a connection: nothing more is asked."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.001)
    made = run(engine(glm.refused_url, range(500)))

    assert made.error.kind == "connect"
    assert module.IN_A_ROW <= made.progress.failed <= module.IN_A_ROW + 64
    assert len(made.rows) == made.progress.failed


@pytest.mark.parametrize("together", [1, 4, 64])
def test_a_service_that_fails_is_not_asked_row_after_row(glm, monkeypatch, together):
    """Rows that wait for another try count: no new ones are begun beside as many as may be asked at once."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)
    begun = []

    async def behave(asked):
        begun.append(asked.row)
        return await asked.refuse(500, "500")

    made = run(engine(RowServer(glm, behave).url, (str(number) for number in range(2000)), gate=Gate(fixed=together)))

    assert made.error.kind == "server"
    assert module.IN_A_ROW <= made.progress.failed <= module.IN_A_ROW + together
    assert len(set(begun)) <= module.IN_A_ROW + 2 * max(together, 4)
    assert made.length <= module.IN_A_ROW + 4 * max(together, 4)


def test_a_row_that_fails_holds_up_no_others(glm, monkeypatch):
    """While one row waits for another try, the others are asked, also one at a time."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.2)

    async def behave(asked):
        return await asked.refuse(500, "500") if asked.row == "0" and asked.time < 3 else None

    made = run(engine(RowServer(glm, behave).url, range(20), gate=Gate(fixed=1)))

    assert values(made) == answers(range(20))
    assert made.order[-1] == 0


def test_what_failed_rows_took_and_said_is_told(glm):
    """Tokens of answers that do not fit count, and the last of them is the row's text."""
    question = Question("What of row {it}?", model="glm-4.7", schema=Schema.of(int))
    made = run(engine(RowServer(glm).url, ["a"], question=question))

    row = made.rows[0]
    assert (row.kind, row.value, row.text) == ("protocol", None, "answer to a")
    assert row.tokens == made.progress.tokens == 7 * row.attempts > 0


def test_a_row_may_be_refused_for_ten_minutes(glm, monkeypatch):
    """Only after that time it fails; and if nobody was answered meanwhile, the map ends."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)

    async def behave(asked):
        return await asked.refuse(429, "1302") if asked.number > 10 else None

    server = RowServer(glm, behave)
    began = time.monotonic()
    made = run(engine(server.url, range(30), gate=quick_gate(fixed=2)))

    assert time.monotonic() - began >= 0.2
    assert made.error.kind == "rate_limit"
    assert sum(row.value is not None for row in made.rows.values()) == 10


def test_stopping_hangs_up_at_once_and_keeps_the_rows(glm):
    """A stopped map ends within 0.3 s, with the answers so far; the requests in flight are cut."""

    async def behave(asked):
        if int(asked.row) >= 10:
            await asyncio.sleep(60)

    server = RowServer(glm, behave)
    made = engine(server.url, range(100), gate=quick_gate(fixed=4))

    async def main() -> float:
        from chatglm_magic._transport import shared_connections, single_attempts

        async with shared_connections(8):
            with single_attempts():
                task = asyncio.create_task(made.run())
                while len(made.rows) < 10 or made.gate.in_flight < 4:
                    await asyncio.sleep(0.01)
                began = time.monotonic()
                made.stop()
                await task
                return time.monotonic() - began

    assert asyncio.run(main()) < 0.3
    assert (made.finish_reason, made.error) == ("interrupted", None)
    assert values(made) == answers(range(10))
    glm.wait_until(lambda: glm.aborted == 4)


def test_nothing_counts_before_it_is_kept(glm):
    """A row is done when its answer is kept; kept answers are not asked for again, and batches gather several."""
    server = RowServer(glm)
    memory = Memory()
    counted = []

    def on_row(row):
        counted.append(len(memory.answers) >= len(counted) + 1)

    made = run(engine(server.url, range(100), kept=memory, on_row=on_row, gate=quick_gate(fixed=8)))

    assert values(made) == answers(range(100))
    assert all(counted)
    assert len(memory.batches) < 90

    again = run(engine(server.url, range(120), kept=memory))
    assert server.requests == 120
    assert values(again) == answers(range(120))
    assert [again.rows[position].cached for position in (0, 99, 100)] == [True, True, False]
    assert again.progress.there == 100

    anew = run(engine(server.url, range(10), kept=memory, fresh=True))
    assert server.requests == 130
    assert not any(row.cached for row in anew.rows.values())


def test_what_is_asked_and_not_kept_is_never_more_than_the_limit(glm):
    """A process that is killed has asked at most its rows in flight in vain: slow keeping makes the asking wait."""
    server = RowServer(glm)
    gaps = []

    class Slow(Memory):
        def keep(self, found, done):
            gaps.append(server.requests - len(self.answers))
            asyncio.get_running_loop().call_later(0.03, lambda: (self.answers.update(found), done()))

    run(engine(server.url, range(60), kept=Slow(), gate=quick_gate(fixed=4)))

    assert max(gaps) <= 4


def test_missing_values_are_not_asked(glm):
    """None and NaN have no answer and no error."""
    server = RowServer(glm)
    made = run(engine(server.url, ["a", None, float("nan"), "b"]))

    assert values(made) == ["answer to a", None, None, "answer to b"]
    assert server.requests == 2
    assert (made.progress.done, made.progress.failed) == (4, 0)


def test_what_has_no_length_is_read_just_ahead(glm):
    """Of an endless generator no more is taken than twice what is asked at once."""
    server = RowServer(glm, delay=0.005)
    taken = 0
    ahead = []

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    made = engine(server.url, endless(), gate=quick_gate(fixed=4), on_row=lambda _: None)

    def watch(_row):
        ahead.append(taken - len(made.rows))
        if len(made.rows) >= 60:
            made.stop()

    made._on_row = watch
    run(made)

    assert made.finish_reason == "interrupted"
    assert max(ahead) <= 2 * 4 + 1


def test_an_error_of_the_users_own_rows_ends_the_map(glm):
    """What a generator raises is raised, and the answers so far are kept."""
    server = RowServer(glm)

    def broken():
        yield from range(5)
        raise OSError("the file is gone")

    made = run(engine(server.url, broken(), gate=quick_gate(fixed=1)))

    assert isinstance(made.error, OSError)
    assert values(made)[:3] == answers(range(3))


def test_a_row_that_must_not_be_sent_fails_alone(glm):
    """A row with one of the user's keys in it is not sent; the others are."""
    server = RowServer(glm)

    def check(text):
        if "secret" in text:
            raise ConfigError("It holds a key.")

    made = run(engine(server.url, ["a", "secret", "b"], check=check))

    assert [row.error for _, row in sorted(made.rows.items())] == ["", "It holds a key.", ""]
    assert (made.finish_reason, server.requests) == ("stop", 2)


def test_an_answer_that_does_not_fit_is_asked_for_once_more():
    """A value that the schema refuses is asked for twice, and then fails alone."""

    class Number:
        key = "number"

        def read(self, text):
            return int(text)

    said = {"1": ["x", "11"], "2": ["x", "y", "z"], "3": ["33"]}

    async def stage(request):
        yield TextDelta(said[request.messages[-1].content].pop(0))
        yield Finished("stop")

    made = run(engine("", ["1", "2", "3"], stage=stage, question=Question("{it}", schema=Number())))

    assert values(made) == [11, None, 33]
    assert said == {"1": [], "2": ["z"], "3": []}
    assert "not what the schema asks for" in made.rows[1].error


def test_a_provider_of_ones_own_may_raise_anything():
    """An exception that is none of ours fails its row, and no other."""

    async def stage(request):
        text = request.messages[-1].content
        if text == "2":
            raise ZeroDivisionError("by two")
        yield TextDelta(f"answer to {text}")
        yield Finished("stop")

    made = run(engine("", range(4), stage=stage, question=Question("{it}")))

    assert values(made) == ["answer to 0", "answer to 1", None, "answer to 3"]
    assert made.rows[2].error == "ZeroDivisionError: by two"
