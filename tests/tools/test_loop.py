"""The loop of calls, over scripted streams of a real server: every one ends in an answer or in a named error.

A counter inside each function proves that nothing ran that nobody had allowed, and `well_formed` that no history holds
a call without its result.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from glm_server import FakeGLM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai_frames import call, chunk, sse, text
from tool_plays import asks, calling

from chatglm_magic import ChatGLMError, ConfigError, Finished, Message, Reply, Request, ToolCallError, tool
from chatglm_magic._events import Event, TextDelta, ThinkingDelta, ToolCallDelta, ToolResult, ToolStarted, Usage
from chatglm_magic._tools.approval import Decision, allow_always, forget_always, refuse_all
from chatglm_magic._tools.loop import ToolLoop, ToolUse
from chatglm_magic._tools.tool import Tool
from chatglm_magic.providers import Settings
from chatglm_magic.providers.openai.provider import OpenAICompatibleProvider

RAN: Counter[str] = Counter()
"""How often each function ran with which argument."""
ALLOWED: Counter[str] = Counter()
"""How often each was allowed to."""


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()
    ALLOWED.clear()
    forget_always()
    yield
    forget_always()


def stock(ticker: str) -> dict[str, object]:
    """Return the price of a share."""
    RAN[f"stock {ticker}"] += 1
    return {"ticker": ticker, "price": 3}


def now() -> str:
    """Return the time."""
    RAN["now"] += 1
    return "12:00"


def huge() -> str:
    """Return a megabyte."""
    RAN["huge"] += 1
    return "x" * 1_000_000


def fails() -> None:
    """Raise."""
    RAN["fails"] += 1
    raise ValueError("no such share")


async def hangs() -> None:
    """Take for ever."""
    RAN["hangs"] += 1
    await asyncio.sleep(60)


TOOLS = [stock, now, huge, fails, hangs]


def yes(asked: Any) -> bool:
    ALLOWED[" ".join([asked.name, *map(str, asked.arguments.values())])] += 1
    return True


def well_formed(messages: Sequence[Message]) -> bool:
    """Whether each call has exactly one result, right behind it, under an id of its own, and all is JSON."""
    open_ids: list[str] = []
    seen: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if not open_ids or message.call_id != open_ids.pop(0):
                return False
            continue
        if open_ids:
            return False
        for one in message.calls:
            if one.id in seen or not one.id or not isinstance(json.loads(one.arguments), dict):
                return False
            seen.add(one.id)
            open_ids.append(one.id)
    return not open_ids


class Asked:
    """One turn through the loop, with what the server was sent."""

    def __init__(self, glm: FakeGLM, **how: Any) -> None:
        self.glm = glm
        self.reply = Reply()
        self.exchange: tuple[Message, ...] = ()
        self.events: list[Event] = []
        provider = OpenAICompatibleProvider(Settings(base_url=glm.url, model="glm-demo"))
        how.setdefault("approve", yes)
        timeout = how.pop("timeout", 10.0)
        use = ToolUse.of(how.pop("tools", TOOLS), **how)
        tools = tuple(msgspec.structs.replace(one, timeout=timeout) for one in use.tools)
        use = msgspec.structs.replace(use, tools=tools)
        self.loop = ToolLoop(provider.stream, use, on_exchange=self.keep)

    def keep(self, messages: tuple[Message, ...]) -> None:
        assert well_formed(messages)
        self.exchange = messages

    async def read(self) -> None:
        async with aclosing(self.loop.stream(Request((Message("user", "How much?"),)))) as events:
            async for event in events:
                self.events.append(event)
                self.reply.add(event)

    def run(self) -> Asked:
        asyncio.run(self.read())
        assert [event for event in self.events if isinstance(event, Finished)] == self.events[-1:]
        return self

    @property
    def sent(self) -> list[list[dict[str, Any]]]:
        return [one.json["messages"] for one in self.glm.requests]


STOCK = asks("stock", '{"ticker": "A"}')


def play(glm: FakeGLM, *streams: bytes, answer: str = "It is 3.") -> None:
    for stream in streams:
        glm.replay(stream)
    glm.replay(sse(text(answer), chunk(finish="stop")))


def test_one_call_is_asked_about_run_and_answered(glm):
    """The function runs once, its result goes back behind the call, and the answer follows."""
    play(glm, calling(STOCK))

    asked = Asked(glm).run()

    assert RAN == {"stock A": 1} == ALLOWED
    assert asked.reply.text == "It is 3."
    assert asked.reply.finish_reason == "stop"
    (run,) = asked.reply.tool_runs
    assert (run.name, run.arguments, run.error, run.approved_by) == ("stock", {"ticker": "A"}, "", "program")
    assert run.result == "{'ticker': 'A', 'price': 3}"
    assert [one["role"] for one in asked.sent[1]] == ["user", "assistant", "tool"]
    assert asked.sent[1][1]["tool_calls"][0]["function"] == {"name": "stock", "arguments": '{"ticker": "A"}'}
    assert "'price': 3" in asked.sent[1][2]["content"]
    assert [one["function"]["name"] for one in glm.requests[0].json["tools"]] == [one.__name__ for one in TOOLS]
    assert [type(event) for event in asked.events][:2] == [ToolStarted, ToolResult]


def test_two_parallel_calls_are_each_asked_about(glm):
    """One round may hold several calls; their results go back in one step, in order."""
    play(glm, calling(STOCK, asks("stock", '{"ticker": "B"}', 1, "b")))

    asked = Asked(glm).run()

    assert RAN == {"stock A": 1, "stock B": 1} == ALLOWED
    assert [one["tool_call_id"] for one in asked.sent[1][2:]] == ["a", "b"]
    assert len(glm.requests) == 2


def test_text_before_a_call_is_a_paragraph_of_the_answer(glm):
    """What the model says with its call stays, and is in the history once."""
    play(glm, calling(STOCK, said="Let me look."))

    asked = Asked(glm).run()

    assert asked.reply.text == "Let me look.\n\nIt is 3."
    assert asked.sent[1][1]["content"] == "Let me look."
    assert [message.text for message in asked.exchange if message.role == "assistant"] == [""]


def test_arguments_in_forty_pieces_are_one_call(glm):
    """Pieces are put together before anything is read, whatever their number."""
    ticker = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    arguments = json.dumps({"ticker": ticker})
    pieces = [call(0, "a", "stock"), *(call(0, arguments=one) for one in arguments)]
    assert len(pieces) >= 40
    play(glm, calling(*pieces))

    Asked(glm).run()

    assert RAN == {f"stock {ticker}": 1} == ALLOWED


def test_an_id_that_repeats_is_replaced(glm):
    """Two rounds with the same id are two calls in the history."""
    play(glm, calling(STOCK), calling(asks("now")))

    asked = Asked(glm).run()

    assert [one.id for message in asked.exchange for one in message.calls] == ["a", "a-2"]
    assert [one["tool_call_id"] for one in asked.sent[2] if one["role"] == "tool"] == ["a", "a-2"]
    assert RAN == {"stock A": 1, "now": 1} == ALLOWED


def test_malformed_arguments_are_told_twice_then_named(glm):
    """The third time in a row is an error; what was wrong never enters the history as it was written."""
    play(glm, *[calling(asks("stock", '{"ticker": "A'))] * 3)
    asked = Asked(glm)

    with pytest.raises(ToolCallError, match="three times in a row"):
        asked.run()

    assert RAN == ALLOWED == {}
    assert asked.exchange == ()
    assert len(glm.requests) == 3
    assert "no JSON object" in asked.sent[2][-1]["content"]
    assert not any('"A' in json.dumps(one) for one in asked.sent[2] if one["role"] == "assistant")
    assert asked.reply.finish_reason == "error"
    assert asked.events[-1] == Finished("error", raw="tool_calls", model="glm-demo", message_id="chat-1")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("stock", '{"ticker": "A', "no JSON object"),
        ("stock", '{"ticker": 5}', "Expected `str`"),
        ("stock", "{}", "it is missing"),
        ("format_disk", "{}", "There is no function 'format_disk'"),
    ],
)
def test_a_fault_that_is_mended_costs_nothing(glm, name, arguments, told):
    """The model is told what was wrong, and its next call runs."""
    play(glm, calling(asks(name, arguments)), calling(STOCK))

    asked = Asked(glm).run()

    assert told in asked.sent[1][-1]["content"]
    assert RAN == {"stock A": 1} == ALLOWED
    assert asked.reply.text == "It is 3."
    assert [one.name for message in asked.exchange for one in message.calls] == ["stock"]


def test_tags_in_the_name_are_read(glm):
    """GLM's own form of arguments, which some servers leave in the name, is a call like any other."""
    tagged = "stock<arg_key>ticker</arg_key><arg_value>A</arg_value>"
    play(glm, calling(asks(tagged, "")))

    asked = Asked(glm).run()

    assert RAN == {"stock A": 1} == ALLOWED
    assert asked.exchange[0].calls[0].name == "stock"


@pytest.mark.parametrize("is_lost", [1, 3])
def test_a_lost_call_is_asked_for_again(glm, is_lost):
    """Some servers drop calls without arguments: the question is asked again, three times at most."""
    play(glm, *[sse(chunk(finish="tool_calls"))] * is_lost, calling(asks("now")))
    asked = Asked(glm)

    if is_lost == 1:
        assert asked.run().reply.text == "It is 3."
        assert RAN == {"now": 1} == ALLOWED
    else:
        with pytest.raises(ToolCallError, match="none came"):
            asked.run()
        assert RAN == {}


def test_a_call_without_arguments_is_whole(glm):
    """An empty text is no argument."""
    play(glm, calling(asks("now", "")))

    assert Asked(glm).run().reply.text == "It is 3."
    assert RAN == {"now": 1} == ALLOWED


def test_an_endless_loop_ends(glm):
    """After as many rounds as are allowed there is an error that names the way to allow more."""
    glm.replay(calling(STOCK))
    asked = Asked(glm, chain_limit=4)

    with pytest.raises(ToolCallError, match=r"after 4 times.*--chain-limit"):
        asked.run()

    assert RAN == {"stock A": 4} == ALLOWED
    assert len(glm.requests) == 5
    assert len(asked.exchange) == 8


def test_a_yes_is_for_these_arguments_once(glm):
    """The same function with other arguments, or with the same ones again, is asked about again."""
    other = asks("stock", '{"ticker": "B"}')
    play(glm, calling(STOCK), calling(other), calling(STOCK))

    asked = Asked(
        glm, approve=lambda one: yes(one) and one.arguments == {"ticker": "A"} and ALLOWED["stock A"] == 1
    ).run()

    assert RAN == {"stock A": 1}
    assert ALLOWED == {"stock A": 2, "stock B": 1}
    assert [run.error for run in asked.reply.tool_runs][1:] == ["not run: the person who was asked said no"] * 2


def test_always_is_for_one_function_whatever_its_arguments(glm):
    """After an "always" its other calls run unasked; those of other functions do not."""
    allow_always(Tool.of(stock))
    play(glm, calling(STOCK), calling(asks("stock", '{"ticker": "B"}')), calling(asks("now")))

    asked = Asked(glm, approve=refuse_all).run()

    assert RAN == {"stock A": 1, "stock B": 1}
    assert [run.approved_by for run in asked.reply.tool_runs] == ["always", "always", ""]
    assert "nobody can be asked" in asked.reply.tool_runs[2].error


def test_a_huge_result_is_cut_before_it_is_sent(glm):
    """A megabyte does not fill the model's context."""
    play(glm, calling(asks("huge")))

    asked = Asked(glm).run()

    assert len(asked.sent[1][-1]["content"]) < 6_500
    assert RAN == {"huge": 1} == ALLOWED


def test_a_function_that_raises_is_told_about(glm):
    """The model gets one line, the person the traceback."""
    play(glm, calling(asks("fails")))

    asked = Asked(glm).run()

    assert asked.sent[1][-1]["content"] == "Error: ValueError: no such share"
    assert 'raise ValueError("no such share")' in asked.reply.tool_runs[0].traceback
    assert asked.reply.text == "It is 3."


def test_a_function_that_hangs_is_told_about(glm):
    """Its time ends, and the reply goes on."""
    play(glm, calling(asks("hangs")))

    asked = Asked(glm, timeout=0.1).run()

    assert asked.sent[1][-1]["content"] == "Error: stopped after 0.1 s without a result"


def test_a_no_and_its_reason_reach_the_model(glm):
    """What a person gives as a reason is told; the model answers nevertheless."""
    play(glm, calling(STOCK), answer="Then not.")

    asked = Asked(glm, approve=lambda one: "use B instead").run()

    assert RAN == {}
    assert asked.sent[1][-1]["content"] == "Error: not run: use B instead"
    assert asked.reply.text == "Then not."


def test_changed_arguments_are_in_the_history(glm):
    """The history holds what ran, not what was asked for."""
    play(glm, calling(STOCK))

    asked = Asked(glm, approve=lambda one: {"ticker": "B"}).run()

    assert RAN == {"stock B": 1}
    assert json.loads(asked.exchange[0].calls[0].arguments) == {"ticker": "B"}
    assert json.loads(asked.sent[1][1]["tool_calls"][0]["function"]["arguments"]) == {"ticker": "B"}


def test_calls_are_handed_back_where_there_is_nobody_to_ask(glm):
    """A program without `approve` gets the calls, and nothing ran."""
    play(glm, calling(STOCK, asks("now", "", 1, "b")))

    asked = Asked(glm, approve=None).run()

    assert RAN == {}
    assert asked.reply.finish_reason == "tool_calls"
    assert [(one.name, one.arguments) for one in asked.reply.tool_calls] == [
        ("stock", '{"ticker": "A"}'),
        ("now", "{}"),
    ]
    assert asked.exchange == ()
    assert len(glm.requests) == 1


def test_the_authors_yes_needs_no_approve(glm):
    """A function marked by its author runs in a program that has nobody to ask."""

    @tool(needs_approval=False)
    def harmless() -> int:
        """Return five."""
        RAN["harmless"] += 1
        return 5

    play(glm, calling(asks("harmless")))

    asked = Asked(glm, approve=None, tools=[harmless]).run()

    assert RAN == {"harmless": 1}
    assert asked.reply.tool_runs[0].approved_by == "author"


def test_a_named_choice_that_ends_with_stop_is_a_call(glm):
    """Some servers end a call with `stop`, and write its arguments as JSON in a JSON text."""
    play(glm, calling(asks("stock", json.dumps('{"ticker": "A"}')), finish="stop"))

    assert Asked(glm).run().reply.text == "It is 3."
    assert RAN == {"stock A": 1} == ALLOWED


def test_a_call_that_was_cut_does_not_run(glm):
    """A reply that ended for its length may lack half of an argument, though it can be read."""
    play(glm, calling(STOCK, finish="length"))

    asked = Asked(glm).run()

    assert RAN == {}
    assert asked.reply.finish_reason == "length"
    assert [one.name for one in asked.reply.tool_calls] == ["stock"]


TAGGED = "<tool_call>stock\n<arg_key>ticker</arg_key>\n<arg_value>A</arg_value>\n</tool_call>"


def test_a_call_inside_the_thinking_is_a_call(glm):
    """A thought that ends in a call, with no answer behind it, asks for the function."""
    play(glm, sse(chunk({"reasoning_content": f"I need it. {TAGGED}"}), chunk(finish="stop")))

    asked = Asked(glm).run()

    assert RAN == {"stock A": 1} == ALLOWED
    assert asked.reply.text == "It is 3."


def test_a_text_of_nothing_but_a_call_is_a_call(glm):
    """Servers without a parser for them leave calls in the text; they are taken out of the answer."""
    play(glm, sse(text(TAGGED), chunk(finish="stop")))

    asked = Asked(glm).run()

    assert RAN == {"stock A": 1} == ALLOWED
    assert asked.reply.text == "It is 3."


def test_an_answer_that_speaks_of_calls_runs_nothing(glm):
    """Tags among other words are words."""
    play(glm, sse(text(f"Write {TAGGED} for it."), chunk(finish="stop")))

    asked = Asked(glm).run()

    assert RAN == {}
    assert asked.reply.text == f"Write {TAGGED} for it."


def test_tokens_add_up_over_the_rounds(glm):
    """A turn costs what all of its requests cost."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    glm.replay(sse(chunk({"tool_calls": [STOCK]}), chunk(finish="tool_calls", usage=usage)))
    glm.replay(sse(text("3"), chunk(finish="stop", usage=usage)))

    reply = Asked(glm).run().reply

    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (10, 14)


def test_a_failure_in_a_later_round_keeps_what_ran(glm):
    """The error is the server's, the reply ends once, and the results stay."""
    glm.replay(calling(STOCK))
    glm.status_with_body(400, {"error": {"code": "1261", "message": "prompt too long"}})
    asked = Asked(glm)

    with pytest.raises(ChatGLMError) as caught:
        asked.run()

    assert caught.value.kind == "context_length"
    assert isinstance(asked.events[-1], Finished)
    assert RAN == {"stock A": 1} == ALLOWED
    assert "'price': 3" in asked.exchange[-1].text


def test_a_limit_below_one_is_refused(glm):
    """A chain of no calls at all is a question without tools."""
    with pytest.raises(ConfigError, match="at least 1"):
        Asked(glm, chain_limit=0)


# Stopped at each await


async def stopped_while_asked(_: Any) -> bool:
    await asyncio.sleep(60)
    return True


@pytest.mark.parametrize(
    ("moment", "result", "ran"),
    [
        ("stream", None, {}),
        ("card", "Error: not run: stopped", {}),
        ("run", "Error: stopped while it ran", {"hangs": 1}),
        ("answer", "Result, as data", {"now": 1}),
    ],
)
def test_a_stop_at_any_await_leaves_a_well_formed_history(glm, moment, result, ran):
    """While the call streams, while somebody is asked, while the function runs, while the answer comes."""
    name = "hangs" if moment == "run" else "now"
    stream = calling(asks(name))
    glm.replay(stream, chunk_sizes=[len(stream) - 20], delay=60 if moment == "stream" else 0)
    glm.say("It is late", delay=60)
    asked = Asked(glm, approve=stopped_while_asked if moment == "card" else yes)

    async def main() -> None:
        task = asyncio.create_task(asked.read())
        await glm.until(lambda: glm.started == (2 if moment == "answer" else 1))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(main())
    assert ran == RAN
    assert well_formed(asked.exchange)
    assert (asked.exchange[-1].text.startswith(result)) if result else asked.exchange == ()


def test_hanging_up_on_a_started_function_runs_nothing(glm):
    """A reader that leaves at `ToolStarted` has stopped the call before it began."""
    glm.replay(calling(STOCK))
    asked = Asked(glm)

    async def main() -> None:
        async with aclosing(asked.loop.stream(Request((Message("user", "q"),)))) as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    return

    asyncio.run(main())
    assert RAN == {}
    assert well_formed(asked.exchange)


def test_the_question_is_asked_at_once(glm):
    """Whoever is asked is asked within a tenth of a second after the call's last byte."""
    moments = []
    glm.replay(calling(STOCK))
    glm.say("3")

    def approve(_: Any) -> bool:
        moments.append(time.monotonic())
        return True

    asked = Asked(glm, approve=approve)

    async def main() -> None:
        task = asyncio.create_task(asked.read())
        await glm.until(lambda: glm.finished >= 1)
        moments.append(time.monotonic())
        await task

    asyncio.run(main())
    assert abs(moments[1] - moments[0]) < 0.1


# Any stream at all

PIECES = st.one_of(
    st.builds(TextDelta, st.sampled_from(["It is ", TAGGED, "<tool_call>", "3."])),
    st.builds(ThinkingDelta, st.sampled_from(["Hm. ", TAGGED])),
    st.builds(
        ToolCallDelta,
        st.integers(0, 2),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "stock", "now", "fails", "nothing", "stock<arg_key>ticker</arg_key><arg_value>A"]),
        st.one_of(
            st.sampled_from(
                ["", "{}", '{"ticker": "A"}', '{"ticker": ', '"A"}', "null", '"{}"', "[1]", "{'ticker': 'B'}"]
            ),
            st.text(max_size=8),
        ),
    ),
    st.builds(Usage, st.integers(0, 9)),
)
ROUNDS = st.lists(
    st.tuples(
        st.lists(PIECES, max_size=6),
        st.sampled_from(["stop", "tool_calls", "tool_calls", "length", "error", "content_filter"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)
ANSWERS = st.lists(
    st.sampled_from([True, False, "no", {"ticker": "C"}, {"nothing": 1}, None, Decision(is_allowed=False)]), min_size=1
)


def check_any_stream(rounds: list[tuple[list[Event], Any, bool]], answers: list[Any], leaves_after: int) -> None:
    """Nothing runs without a yes, no history is malformed, and the end is an answer or a named error."""
    RAN.clear()
    allowed = Counter[str]()
    exchange: tuple[Message, ...] = ()
    asked_with: list[tuple[Message, ...]] = []
    answer = iter(answers * 20)

    async def stage(request: Request) -> Any:
        asked_with.append(request.messages)
        pieces, reason, fails_then = rounds[(len(asked_with) - 1) % len(rounds)]
        for piece in pieces:
            yield piece
        yield Finished("error" if fails_then and reason == "error" else reason)
        if fails_then and reason == "error":
            raise ChatGLMError("the stage failed")

    def approve(one: Any) -> Any:
        given = next(answer)
        arguments = {**one.arguments, **given} if isinstance(given, dict) else one.arguments
        if given is True or isinstance(given, dict):
            allowed[" ".join([one.name, *map(str, arguments.values())])] += 1
        return given

    def keep(messages: tuple[Message, ...]) -> None:
        nonlocal exchange
        exchange = messages
        assert well_formed(messages)

    async def main() -> list[Event]:
        events = []
        loop = ToolLoop(stage, ToolUse.of(TOOLS[:4], approve, 3), on_exchange=keep)
        async with aclosing(loop.stream(Request((Message("user", "q"),)))) as stream:
            async for event in stream:
                events.append(event)
                if len(events) > leaves_after:
                    return []
        return events

    try:
        events = asyncio.run(main())
    except ChatGLMError:
        events = []
    assert not RAN - allowed, "something ran that nobody allowed"
    assert all(well_formed(messages) for messages in asked_with)
    assert well_formed(exchange)
    if events:
        assert [one for one in events if isinstance(one, Finished)] == events[-1:]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROUNDS, ANSWERS, st.integers(0, 30))
def test_any_stream_of_calls_ends_well(rounds, answers, leaves_after):
    """Nothing runs without a yes, and no history is malformed, whatever a model and a server send."""
    check_any_stream(rounds, answers, leaves_after)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROUNDS, ANSWERS, st.integers(0, 30))
def test_ten_thousand_streams_end_well(rounds, answers, leaves_after):
    """The same law, for as many streams as it takes to be believed."""
    check_any_stream(rounds, answers, leaves_after)
