"""Tests of jobs by themselves; how they look in a cell is tested in real kernels."""

from __future__ import annotations

import asyncio
import threading

import pytest
from soon import until

from chatglm_magic import Interrupted, Reply, ServerError
from chatglm_magic._event_loops import io_thread
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._magics.jobs import BackgroundJob, Jobs
from chatglm_magic._waiting import await_reply
from chatglm_magic.renderers import Renderer


@pytest.fixture(autouse=True)
def _no_thread_left():
    """End the loop thread after each test."""
    yield
    io_thread.close()


@pytest.fixture
def jobs():
    """Give jobs that are stopped at the end."""
    jobs = Jobs()
    yield jobs
    jobs.close()


def begin(jobs: Jobs, provider, *, ended=lambda: None) -> BackgroundJob:
    """Begin a job whose events an async generator function gives."""
    reply = Reply("glm")

    async def events(notify):
        async for event in provider():
            reply.add(event)
            yield event

    async def wait() -> None:
        try:
            await await_reply(events, Renderer(), reply)
        finally:
            ended()

    job = jobs.add("glm", "hi", reply)
    job.begin(wait)
    return job


async def short():
    yield TextDelta("ok")
    yield Finished("stop")


async def silent():
    yield TextDelta("so far")
    await asyncio.sleep(60)


async def failing():
    yield TextDelta("so far")
    raise ServerError("the server failed")


def test_a_job_gives_its_reply_to_who_awaits_it(jobs):
    """Any loop may await it, before and after its end, as often as it likes."""
    job = begin(jobs, short)

    async def twice():
        return await job, await job

    first, second = asyncio.run(twice())
    assert first is second is job.reply
    assert (asyncio.run(twice())[0].text, job.text, job.done, job.state) == ("ok", "ok", True, "done")


def test_a_stopped_job_keeps_what_had_arrived(jobs):
    """`stop` returns when the reply has ended; awaiting it is no error; stopping again does nothing."""
    closed = threading.Event()
    job = begin(jobs, silent, ended=closed.set)
    until(lambda: job.text)
    assert (job.done, job.state) == (False, "running")

    job.stop()
    job.stop()

    assert closed.is_set()
    assert (job.state, job.reply.finish_reason) == ("stopped", "interrupted")

    async def wait():
        return await job

    assert asyncio.run(wait()).text == "so far"


def test_a_job_may_be_stopped_before_it_has_begun(jobs):
    """Whatever was prepared for it is cleaned up all the same."""
    closed = threading.Event()
    blocked = threading.Event()
    io_thread.loop().call_soon_threadsafe(blocked.wait, 10)
    job = begin(jobs, silent, ended=closed.set)
    threading.Timer(0.05, blocked.set).start()

    job.stop()

    assert closed.is_set()
    assert job.state == "stopped"


def test_what_a_job_raised_is_raised_where_it_is_awaited(jobs):
    """A failure waits for whoever asks."""
    job = begin(jobs, failing)
    until(lambda: job.done)

    async def wait():
        await job

    assert job.state == "failed"
    for _ in range(2):
        with pytest.raises(ServerError, match="the server failed"):
            asyncio.run(wait())
    assert job.text == "so far"


def test_giving_up_waiting_does_not_stop_a_job(jobs):
    """An interrupt of the cell that awaits is for that cell alone."""
    job = begin(jobs, silent)

    async def wait():
        await asyncio.wait_for(job._wait(), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert not job.done


def test_a_job_tells_its_state_and_not_its_whole_text(jobs):
    """Its repr is one short line; a model that is told of it reads the answer."""
    job = jobs.add("glm-4.7", "hi", Reply())
    job.reply.add(TextDelta("word " * 1000))

    assert repr(job).startswith("<Job 1 running 'glm-4.7' 'word word")
    assert len(repr(job)) < 120
    assert job._repr_llm_() == job.text
    with pytest.raises(NotImplementedError):
        job._ipython_display_()
    job.quiet_once = True
    job._ipython_display_()
    assert not job.quiet_once


def test_jobs_are_numbered_and_the_oldest_ended_ones_forgotten(jobs):
    """Numbers are never used twice; what runs is never forgotten."""
    running = begin(jobs, silent)
    for _ in range(40):
        jobs.add("glm", "hi", Reply()).end()

    assert jobs.running == [running]
    assert [job.number for job in jobs] == [1, *range(22, 42)]
    assert jobs.get(1) is running
    assert jobs.get(2) is None


def test_closing_stops_all_that_run(jobs):
    """Nothing goes on where nobody can reach it."""
    several = [begin(jobs, silent) for _ in range(3)]

    jobs.close()

    assert {job.state for job in several} == {"stopped"}


def test_a_reply_that_was_interrupted_is_no_error():
    """However it is told, the job ends with the reply."""
    job = Jobs().add("glm", "hi", Reply())
    job.reply.end("interrupted")

    job.end(Interrupted(job.reply))

    assert job.state == "stopped"
