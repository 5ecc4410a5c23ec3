"""What real servers do that no document says: from the bytes to the reply."""

from __future__ import annotations

import asyncio

import pytest
from faults import CASES, body_of, hurry, play, wrongs
from openai_frames import decode

from chatglm_magic._chat import Chat
from chatglm_magic._errors import ChatGLMError
from chatglm_magic._resolve import Target
from chatglm_magic.providers import Settings, make_provider

STREAMS = [
    case
    for case in CASES
    if case["http"] == {"status": 200, "content_type": "text/event-stream"} and not {"refuse", "pack"} & case.keys()
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Shorten what is waited for as the pauses are."""
    hurry(monkeypatch)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_fault_is_read_as_what_it_is(glm, case):
    """Whatever a server does, text, end and error are those that were meant, and nothing is asked in vain."""
    play(glm, case)
    options = {"model": "m", **case.get("options", {})}
    provider = make_provider("openai", Settings(base_url=glm.url, api_key=options.get("api_key", "")))
    error = None
    try:
        reply = asyncio.run(Chat(provider, timeout=20).send("hi", target=Target(provider, options["model"])))
    except ChatGLMError as failure:
        error, reply = failure, failure.reply

    assert list(wrongs(case, reply, error, glm.requests)) == []


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case["id"])
@pytest.mark.parametrize("sizes", [(1,), (7, 1, 64)], ids=["bytes", "mixed"])
def test_a_fault_is_the_same_however_it_is_cut(case, sizes):
    """How the network cuts a stream changes nothing of what it is read as."""
    body = body_of(case)

    assert decode(body, sizes).facts == decode(body).facts
