"""A provider made of a function: what it is told, what may come of it, and how it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from providers.contract import added, read

from chatglm_magic._chat import Chat
from chatglm_magic._errors import ChatGLMError, ConfigError, ProviderError, RateLimitError, StalledError, status_error
from chatglm_magic._events import Event, Finished, FinishReason, Part, TextDelta, ThinkingDelta, ToolCall, Usage
from chatglm_magic._messages import ImagePart, Message, Request, TextPart, ToolSpec
from chatglm_magic.providers import Provider
from chatglm_magic.providers.function import FunctionProvider

HI = Request((Message("system", "Be terse."), Message("user", "Hi")))


def ask(gen: Any, request: Request = HI, **how: Any) -> tuple[list[Event], ChatGLMError | None]:
    return asyncio.run(asyncio.wait_for(read(FunctionProvider(gen, **how), request), 20))


def saying(*items: Any) -> Any:
    async def gen(
        model: str, messages: list[dict[str, str]], proxy: str | None = None, **_: Any
    ) -> AsyncGenerator[Any]:
        for item in items:
            await asyncio.sleep(0)
            if isinstance(item, BaseException):
                raise item
            yield item

    return gen


def test_pieces_of_text() -> None:
    """Strings are deltas, empty ones are not, and the end is ours where the function says none."""
    assert ask(saying("Hel", "", "lo")) == ([TextDelta("Hel"), TextDelta("lo"), Finished("stop")], None)


def test_it_is_a_provider() -> None:
    """It stands where any provider stands, named after its function."""

    async def parrot(model: str, messages: list[dict[str, str]], proxy: str | None = None) -> AsyncGenerator[str]:
        yield messages[-1]["content"]

    made = FunctionProvider(parrot)

    assert isinstance(made, Provider)
    assert made.name == "parrot"
    assert asyncio.run(Chat(made).send("Polly?")).text == "Polly?"


def test_what_the_function_is_told() -> None:
    """Model, messages as dicts, proxy, and the options as keywords; nothing that was not said."""
    told: list[Any] = []

    async def gen(model: str, messages: Any, proxy: str | None = None, **kwargs: Any) -> AsyncGenerator[str]:
        told.append((model, messages, proxy, kwargs))
        yield "ok"

    ask(gen, HI, model="mine", proxy="http://127.0.0.1:1")
    ask(gen, Request(HI.messages, model="other", options={"temperature": 0.5}, think=False, timeout=9))

    messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]
    assert told[0] == ("mine", messages, "http://127.0.0.1:1", {})
    assert told[1] == ("other", messages, None, {"temperature": 0.5, "think": False, "timeout": 9})


def test_it_is_told_of_pictures_calls_and_tools() -> None:
    """A function that plays a model gets what a server would: parts, calls, results, and the tools as an option."""
    told: list[Any] = []

    async def gen(model: str, messages: Any, tools: Any = None) -> AsyncGenerator[str]:
        told.append((messages, tools))
        yield "ok"

    picture = ImagePart(data=b"\x89PNG", media_type="image/png")
    messages = (
        Message("user", (TextPart("Look"), picture)),
        Message("assistant", calls=(ToolCall("c", "f", "{}"),)),
        Message("tool", "42", call_id="c"),
    )
    function = {"name": "f", "description": "d", "parameters": {}}
    ask(gen, Request(messages, tools=(ToolSpec(**function),)))

    assert told == [
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "content": "42", "tool_call_id": "c"},
            ],
            [{"type": "function", "function": function}],
        )
    ]


def test_tools_that_it_does_not_take() -> None:
    """A function without a parameter for tools is not asked as if it had heard of them."""

    async def deaf(model: str, messages: Any) -> AsyncGenerator[str]:
        yield "ok"

    events, failure = ask(deaf, Request(HI.messages, tools=(ToolSpec("f", "", {}),)))

    assert events == []
    assert isinstance(failure, ConfigError)
    assert "deaf() calls no tools, so nothing was sent" in str(failure)


def test_options_that_it_does_not_take(caplog: pytest.LogCaptureFixture) -> None:
    """A function without `**kwargs` gets what it names; what it misses is logged."""
    told: list[Any] = []

    async def gen(model: str, messages: Any, temperature: float = 1.0) -> AsyncGenerator[str]:
        told.append(temperature)
        yield "ok"

    with caplog.at_level(logging.WARNING, "chatglm_magic"):
        _, error = ask(gen, Request(HI.messages, options={"temperature": 0.5, "seed": 1}))

    assert (told, error) == ([0.5], None)
    assert "takes no seed" in caplog.text


def test_our_events_are_passed_on() -> None:
    """Thoughts, parts and usage go through; the end comes last, whenever it was said."""
    events = [ThinkingDelta("hm"), Finished("length", model="m"), TextDelta(""), Part("code", "1"), Usage(1, 2, 3)]

    assert ask(saying(*events))[0] == [events[0], events[3], events[4], events[1]]


@dataclass
class ForeignReason:
    reason: str


@pytest.mark.parametrize(
    ("item", "reason"),
    [(FinishReason("length"), "length"), (ForeignReason("tool_calls"), "tool_calls"), (ForeignReason("eos"), "stop")],
)
def test_reasons(item: object, reason: str) -> None:
    """Any object with a reason says why the answer ended; a word we do not know is a stop."""
    events, _ = ask(saying("a", item))

    assert events == [TextDelta("a"), Finished(reason, raw=item.reason)]


def test_other_things_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """What is neither text nor an event is left out, with a warning that names its type."""
    with caplog.at_level(logging.WARNING, "chatglm_magic"):
        events, error = ask(saying("a", {"x": 1}, None, 3, "b"))

    assert (added(events).text, error) == ("ab", None)
    assert "dict" in caplog.text


def test_its_failure_is_ours() -> None:
    """An exception of the function is a ProviderError that names it, with the exception as its cause."""
    failure = KeyError("nope")

    events, error = ask(saying(failure), model="mine")

    assert events == []
    assert isinstance(error, ProviderError)
    assert (error.kind, error.model, error.__cause__) == ("server", "mine", failure)
    assert "gen()" in str(error)
    assert "KeyError: 'nope'" in str(error)


def test_what_came_before_a_failure_is_kept() -> None:
    """A reply that fails in the middle ends with its one `Finished`, then raises."""
    events, error = ask(saying("a", RuntimeError("no")))

    assert events == [TextDelta("a"), Finished("error")]
    assert isinstance(error.__cause__, RuntimeError)


def test_errors_of_ours_go_through() -> None:
    """A function that asks a provider of ours passes its errors on, with the end that it told."""
    busy = status_error("rate_limit", provider="x", retryable=True)

    assert ask(saying(busy)) == ([], busy)
    assert ask(saying("a", Finished("content_filter"), busy)) == ([TextDelta("a"), Finished("content_filter")], busy)
    assert isinstance(busy, RateLimitError)


@pytest.mark.parametrize("gen", [lambda: None, lambda model, messages: "text", lambda model, messages: 3])
def test_what_is_no_generator_function(gen: Any) -> None:
    """A function that cannot be asked so fails as one."""
    events, error = ask(gen)

    assert events == []
    assert isinstance(error, ProviderError)
    assert isinstance(error.__cause__, TypeError)


def test_silence_is_given_up() -> None:
    """A function that yields nothing for as long as was allowed is closed, what came is kept."""
    closed = []

    async def gen(model: str, messages: Any) -> AsyncGenerator[str]:
        try:
            yield "a"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    events, error = ask(gen, Request(HI.messages, timeout=0.05))

    assert (events, closed) == ([TextDelta("a"), Finished("error")], [True])
    assert isinstance(error, StalledError)


def test_a_timeout_of_its_own_is_a_failure() -> None:
    """A TimeoutError that the function raises is its failure, not our patience."""
    _, error = ask(saying(TimeoutError("theirs")), Request(HI.messages, timeout=9))

    assert isinstance(error.__cause__, TimeoutError)
    assert not isinstance(error, StalledError)


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_hanging_up_closes_it(how: str) -> None:
    """When the reader leaves, the function's own clean-up runs, at once."""
    closed = []

    async def gen(model: str, messages: Any) -> AsyncGenerator[str]:
        try:
            yield "a"
            await asyncio.sleep(60)
            yield "b"
        finally:
            closed.append(asyncio.current_task())

    async def main() -> None:
        came = asyncio.Event()

        async def reader() -> None:
            async with aclosing(FunctionProvider(gen).stream(HI)) as stream:
                async for _ in stream:
                    came.set()
                    if how == "close":
                        return

        task = asyncio.create_task(reader())
        await came.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert closed == [task]

    asyncio.run(main())


def test_cancellation_is_not_its_failure() -> None:
    """A cancelled reader is cancelled, whatever the function does."""

    async def main() -> None:
        async with aclosing(FunctionProvider(saying("a", asyncio.CancelledError())).stream(HI)) as stream:
            async for _ in stream:
                pass

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
