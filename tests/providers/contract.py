"""The laws that every provider keeps, as functions of a case and the fake server.

`test_contract.py` tries each law on each case. A new provider gets a case in `CASES`, which for one of the OpenAI-
compatible dialect is `Case("name", named("name", "/v1"))`. `FakeGLM` speaks that dialect and chatglm.cn's; a provider
of another wire, or of none, is entered in `TESTED_APART`, and its own tests call `read` and `check_order`.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, get_args

from glm_server import FakeGLM

from chatglm_magic._errors import ChatGLMError, ConnectError, ErrorKind, ProviderError, StalledError
from chatglm_magic._events import Event, Finished, TextDelta, ThinkingDelta
from chatglm_magic._messages import Message, Request
from chatglm_magic._reply import Reply
from chatglm_magic.providers import Provider, Settings, make_provider
from chatglm_magic.providers.chatglm.provider import ChatGLM
from chatglm_magic.providers.function import FunctionProvider

KEY = "sk-0123456789abcdef.secret"
GUEST = "/chatglm/mainchat-api/guest/stream"


@dataclass(frozen=True)
class Case:
    """One provider, and its peculiarities.

    Attributes:
        name: As in `PROVIDERS`.
        make: Makes it, to ask the server at this origin, with this key.
        wire: The JSON fields that carry the model and the options of the request; None where the wire has none.
        keyed: Whether it takes a key.
    """

    name: str
    make: Callable[[str, str], Provider]
    wire: Mapping[str, object] | None = field(
        default_factory=lambda: {"model": "glm-4.7", "temperature": 0.25, "max_tokens": 99}
    )
    keyed: bool = True


def named(name: str, path: str) -> Callable[[str, str], Provider]:
    """Return what makes a provider of that name, whose base URL has this path."""
    return lambda origin, key: make_provider(name, Settings(base_url=origin + path, api_key=key))


def function(origin: str, _: str = "") -> FunctionProvider:
    """Return a provider made of a function of the g4f kind: ours."""

    class Elsewhere(ChatGLM):
        api_endpoint = origin + GUEST

    return FunctionProvider(Elsewhere.create_async_generator, name="function")


CASES = (
    Case("openai", named("openai", "/v1")),
    Case("zai", named("zai", "/api/paas/v4")),
    Case("bigmodel", named("bigmodel", "/api/paas/v4")),
    Case("chatglm", named("chatglm", ""), wire=None),
    Case("function", function, wire=None, keyed=False),
)
TESTED_APART = frozenset({"local"})
"""Providers that cannot ask the fake server."""
QUESTION = Request((Message("user", "Hi"),), model="glm-4.7", timeout=20)


async def read(provider: Provider, request: Request = QUESTION) -> tuple[list[Event], ChatGLMError | None]:
    """Return all events of a reply and the error after them; the connection is closed in any case."""
    events: list[Event] = []
    try:
        async with aclosing(provider.stream(request)) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
    except ChatGLMError as error:
        return events, error
    return events, None


def added(events: list[Event]) -> Reply:
    reply = Reply()
    for event in events:
        reply.add(event)
    return reply


def check_order(events: list[Event]) -> None:
    """Check for deltas, none of them empty, and then one `Finished`."""
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    assert all(event.text for event in events if isinstance(event, (TextDelta, ThinkingDelta)))


# The laws


async def tells_all_and_ends_once(case: Case, glm: FakeGLM) -> None:
    """Deltas add up to the text, none is empty, and exactly one `Finished` is last."""
    glm.say("Hello big world", pieces=["Hello", " big", " world"], delay=0.005)

    events, error = await read(case.make(glm.origin, ""))

    check_order(events)
    assert (added(events).text, added(events).finish_reason, error) == ("Hello big world", "stop", None)
    await glm.until(lambda: glm.open == 0)


async def streams(case: Case, glm: FakeGLM) -> None:
    """The first words are there while the others are not yet written."""
    glm.stall_after(3)

    async with aclosing(case.make(glm.origin, "").stream(QUESTION)) as stream:
        first = await asyncio.wait_for(anext(stream), 10)

    assert isinstance(first, TextDelta)


async def hangs_up_when_closed(case: Case, glm: FakeGLM) -> None:
    """Closing the stream closes the connection: the server sees it at once."""
    glm.stall_after(3)

    async with aclosing(case.make(glm.origin, "").stream(QUESTION)) as stream:
        await anext(stream)
        assert glm.open == 1

    await glm.until(lambda: glm.aborted == 1 and glm.open == 0)


async def hangs_up_when_cancelled(case: Case, glm: FakeGLM) -> None:
    """Cancelling the reader closes the connection, and the cancellation is not swallowed."""
    glm.stall_after(3)
    came = asyncio.Event()

    async def reader() -> None:
        async with aclosing(case.make(glm.origin, "").stream(QUESTION)) as stream:
            async for _ in stream:
                came.set()

    task = asyncio.create_task(reader())
    await asyncio.wait_for(came.wait(), 10)
    task.cancel()
    [outcome] = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(outcome, asyncio.CancelledError)
    await glm.until(lambda: glm.aborted == 1 and glm.open == 0)


async def tries_again_before_the_first_event(case: Case, glm: FakeGLM) -> None:
    """A failure that may pass is tried again, as long as nothing was said."""
    glm.status_with_body(503, {"error": {"message": "overloaded"}})
    glm.say("Hello")

    events, error = await read(case.make(glm.origin, ""))

    assert error is None
    assert (added(events).text, len(glm.requests)) == ("Hello", 2)
    check_order(events)


async def never_says_words_twice(case: Case, glm: FakeGLM) -> None:
    """After the first event nothing is tried again: what came is kept, ended, and the error raised."""
    glm.hang_up_after(4)

    events, error = await read(case.make(glm.origin, ""))

    check_order(events)
    assert isinstance(error, ProviderError)
    assert added(events).text.startswith("one two")
    assert (added(events).finish_reason, len(glm.requests)) == ("error", 1)


async def says_what_went_wrong(case: Case, glm: FakeGLM) -> None:
    """An error has a kind, names provider and host, and says what to do; nothing is yielded before it."""
    glm.html_error_page()

    events, error = await read(case.make(glm.origin, ""))

    assert events == []
    assert isinstance(error, ProviderError)
    assert error.kind in get_args(ErrorKind)
    assert error.provider
    assert str(glm.port) in str(error)
    assert "-m local" in str(error) or "URL" in str(error)


async def shows_no_key(case: Case, glm: FakeGLM) -> None:
    """The key travels in one header, and is in no repr, no error and no traceback."""
    if not case.keyed:
        return
    glm.status_with_body(401, {"error": {"code": "1001", "message": "no"}})
    provider = case.make(glm.origin, KEY)

    _, error = await read(provider)

    assert glm.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY.encode() not in glm.requests[0].body
    shown = [repr(provider), str(provider), repr(error), str(error), str(vars(error))]
    shown += traceback.TracebackException.from_exception(error, capture_locals=True).format() if error else []
    assert error is not None
    assert not [line for line in shown if KEY in line]


async def asks_what_was_asked(case: Case, glm: FakeGLM) -> None:
    """Model and options reach the wire; where it has no place for them, the reply says so or the log does."""
    glm.say("ok")
    request = Request(QUESTION.messages, model="glm-4.7", options={"temperature": 0.25, "max_tokens": 99}, timeout=20)

    events, error = await read(case.make(glm.origin, ""), request)

    assert error is None
    sent = glm.requests[0].json
    if case.wire is not None:
        assert {name: sent[name] for name in case.wire} == dict(case.wire)
    else:
        assert "temperature" not in sent
    if case.name == "chatglm":
        assert added(events).warnings == ["ignored:temperature", "ignored:max_tokens"]
    assert "Hi" in glm.requests[0].body.decode()


async def nobody_there(case: Case, glm: FakeGLM) -> None:
    """An address where nobody listens is a `ConnectError` that names it."""
    events, error = await read(case.make(glm.refused_url.removesuffix("/v1"), ""))

    assert events == []
    assert isinstance(error, ConnectError)
    assert "127.0.0.1" in str(error)


async def gives_up_on_silence(case: Case, glm: FakeGLM) -> None:
    """No event for as long as was allowed: what came is kept, and `StalledError` raised."""
    glm.stall_after(3)
    request = Request(QUESTION.messages, model="glm-4.7", timeout=0.2)

    events, error = await read(case.make(glm.origin, ""), request)

    check_order(events)
    assert isinstance(error, StalledError)
    assert added(events).finish_reason == "error"
    await glm.until(lambda: glm.open == 0)


async def belongs_to_no_loop(case: Case, glm: FakeGLM) -> None:
    """One provider object may be asked from several event loops, one after the other and at once."""
    glm.say("Hello world", delay=0.01)
    provider = case.make(glm.origin, "")
    texts: list[str] = []

    def ask() -> None:
        texts.append(added(asyncio.run(read(provider))[0]).text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    texts.append(added((await read(provider))[0]).text)
    await asyncio.to_thread(lambda: [thread.join(20) for thread in threads])

    assert texts == ["Hello world"] * 4


Law = Callable[[Case, FakeGLM], Awaitable[Any]]
LAWS: tuple[Law, ...] = (
    tells_all_and_ends_once,
    streams,
    hangs_up_when_closed,
    hangs_up_when_cancelled,
    tries_again_before_the_first_event,
    never_says_words_twice,
    says_what_went_wrong,
    shows_no_key,
    asks_what_was_asked,
    nobody_there,
    gives_up_on_silence,
    belongs_to_no_loop,
)
