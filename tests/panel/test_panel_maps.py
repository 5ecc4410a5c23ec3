"""The maps of a kernel in its panels: shown while they run, for every view, and stopped there."""

from __future__ import annotations

import itertools
import time

import pytest
from glm_server import FakeGLM
from map_kit import RowServer
from panel_kit import Page, chat_with

from chatglm_magic import Chat, ChatPanel, TextDelta
from chatglm_magic._map.job import progress_line, running_jobs
from chatglm_magic.panel.state import MAP_PERIOD as PERIOD

PROMPT = "What of row {it}?"


@pytest.fixture
def server(glm: FakeGLM) -> RowServer:
    """Give a server whose every answer takes a while."""
    return RowServer(glm, delay=0.1)


@pytest.fixture
def chat(server: RowServer) -> Chat:
    return Chat("openai", base_url=server.url, model="glm-4.7")


@pytest.fixture
def page():
    """Give a page of a panel, in which no map is asked; no map outlives the test."""
    with Page(ChatPanel(chat_with([TextDelta("ok")]))) as page:
        page.settled()
        yield page
    for job in running_jobs():
        job.stop()
        job.wait(5)


def told(page: Page) -> list[tuple[float, list[dict]]]:
    """Return what the page was told of maps, each with the time."""
    return [(at, one["maps"]) for at, one in page.got if one["k"] == "maps" or one.get("to") == page.name]


def shown(page: Page) -> list[dict]:
    return told(page)[-1][1]


def test_a_map_is_shown_while_it_runs(page, chat):
    """Its prompt and the line that a cell shows, about once a second; nothing is left at its end."""
    began = time.monotonic()
    job = chat.map(PROMPT, range(25), concurrency=1)
    page.wait(lambda: shown(page))
    (line,) = shown(page)

    assert line["name"] == PROMPT
    count, of = line["text"].split(" · ")[0].split(" / ")
    assert 0 < int(count) < 25
    assert of == "25"
    assert "1 in flight" in line["text"]
    job.result(20)
    page.wait(lambda: not shown(page))
    times = [at for at, maps in told(page) if maps]
    assert times[0] - began > 0.9 * PERIOD
    assert len(times) >= 2
    assert all(after - before > 0.9 * PERIOD for before, after in itertools.pairwise(times))


def test_a_short_map_is_no_news(page, chat):
    """One that ends within a second says nothing, and nothing goes on in the panel after it."""
    chat.map(PROMPT, range(3)).result(20)
    page.settled()
    before = len(page.got)
    time.sleep(1.5 * PERIOD)

    assert [maps for _, maps in told(page)] == [[]]
    assert len(page.got) == before
    assert page.panel._state._updates.done()


def test_nothing_is_looked_at_while_nothing_runs(page, chat, monkeypatch):
    """The panel waits for a map to begin; it does not ask whether any has."""
    looks = []
    monkeypatch.setattr(page.panel._state, "_update", lambda: looks.append(1))
    time.sleep(1.5 * PERIOD)
    assert looks == []
    job = chat.map(PROMPT, range(10), concurrency=1)
    page.wait(lambda: looks)
    job.stop()


def test_stop_keeps_the_rows(page, chat, server):
    """It ends that map and no other, at once; what was answered is there."""
    other = chat.map("And what of row {it}?", range(100), concurrency=1)
    job = chat.map(PROMPT, range(100), concurrency=1)
    page.wait(lambda: len(shown(page)) == 2)
    page.wait(lambda: len(job.rows.values) and job.progress.done)
    asked = time.monotonic()
    answer = page.answer("stop_map", id=shown(page)[1]["id"])

    assert (answer["k"], answer["bad"]) == ("note", False)
    assert "are kept" in answer["text"]
    assert time.monotonic() - asked < 1
    assert job.wait(1)
    assert not other.is_done
    rows = job.result(1)
    assert rows.finish_reason == "interrupted"
    assert rows.values[0] == "answer to 0"
    page.wait(lambda: [one["name"] for one in shown(page)] == ["And what of row {it}?"])


def test_a_map_that_has_ended_is_not_stopped(page):
    """The page may be late: it is told so."""
    answer = page.answer("stop_map", id="1")

    assert (answer["k"], answer["bad"]) == ("note", True)
    assert "ended" in answer["text"]


def test_a_view_that_comes_late_is_shown_what_runs(page, chat):
    """With all else, at once: a page that is loaded anew, a panel that is made after the map has begun."""
    job = chat.map(PROMPT, range(50), concurrency=1)
    other = Page(page.panel, "other")
    with Page(ChatPanel(chat_with([TextDelta("ok")]))) as later:
        for one in (other, later):
            assert [line["name"] for line in shown(one)] == [PROMPT]
        page.ask("bye")
        other.ask("bye")
        job.result(20)
        later.wait(lambda: not shown(later))


def test_a_closed_panel_hears_of_no_map(page, chat):
    """Neither does it keep one from beginning."""
    page.panel.close()
    before = len(page.got)
    assert chat.map(PROMPT, range(15), concurrency=1).result(20).finish_reason == "stop"
    assert len(page.got) == before


def test_the_line_is_that_of_a_cell(page, chat, server):
    """Word by word, also where nothing has been answered yet."""
    server.delay = 30
    job = chat.map(PROMPT, range(5), concurrency=2)
    page.wait(lambda: shown(page))
    assert shown(page)[0]["text"] == progress_line(job)
