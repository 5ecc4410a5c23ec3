"""Answers as values: each kind of host, what is sent, told and kept, and how it fails; over HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import pytest
from glm_server import FakeGLM
from schema_hosts import HOSTS, PEOPLE, ROWS, SHAPES, WRONG, Person, Shape, modes_of
from store_kit import Scripted

from chatglm_magic import (
    BadRequestError,
    Chat,
    ChatGLMError,
    ConfigError,
    Finished,
    PartialValue,
    Replace,
    Reply,
    ReplyFormatError,
    SchemaError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from chatglm_magic._credentials import Key
from chatglm_magic._events import Event
from chatglm_magic._messages import ChatOptions, Message, Request
from chatglm_magic._schema.schema import Schema
from chatglm_magic._structured import Structured, held_by


def chat_with(glm: FakeGLM, **options: Any) -> Chat:
    return Chat("openai", base_url=glm.url, model="m", configured=ChatOptions(), **options)


def ask(chat: Chat, schema: Any = list[Person], **how: Any) -> tuple[Reply, ChatGLMError | None, list[Event]]:
    """Ask for a value; return the reply, the error and the events."""
    reply, events = Reply(), []

    async def listen() -> None:
        async with aclosing(chat.stream("Who?", schema=schema, reply=reply, **how)) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error is kept

    try:
        asyncio.run(listen())
    except ChatGLMError as error:
        return reply, error, events
    return reply, None, events


@pytest.mark.parametrize("kind", HOSTS)
def test_each_kind_of_host_ends_in_a_value_or_in_what_is_wrong(glm, kind):
    """Whatever a host does with a schema: the value is validated, or the error names where it does not fit."""
    host = HOSTS[kind]
    host.script(glm)
    chat = chat_with(glm)

    reply, error, events = ask(chat)

    assert modes_of(glm) == host.modes
    assert (reply.repairs, reply.schema_mode, reply.warnings) == (host.repairs, host.modes[-1], list(host.warnings))
    assert [type(event) for event in events].count(Finished) == 1
    assert isinstance(events[-1], Finished)
    if host.rows is not None:
        assert error is None
        assert reply.value == [Person(**row) for row in host.rows]
        assert reply.records == host.rows
        assert [one for one in events if isinstance(one, PartialValue)][-1].value == host.rows
    else:
        assert error is not None
        assert error.kind == host.kind
        assert host.says in str(error)
        assert (error.reply, reply.value) == (reply, None)
        if isinstance(error, ReplyFormatError):
            assert error.errors[0][0] == host.path
    assert [message.role for message in chat.messages] == ["user", "assistant"]
    assert chat.messages[-1].content == reply.text


@pytest.mark.parametrize("name", sorted(path.stem for path in SHAPES.glob("*.txt")))
def test_what_real_servers_sent_ends_in_a_value_or_in_an_error_of_ours(glm, name):
    """Recorded answers to one question for a person: those that hold one are read, whatever stands around it."""
    Shape.of(name).play(glm)

    reply, error, _ = ask(chat_with(glm), Person)

    if name.startswith(("aimock", "litellm", "fastchat")) or name == "xllamacpp-tinyglm47-json-object":
        assert isinstance(error, ReplyFormatError)
        assert error.errors
    elif name.endswith("-bad") or name == "llama-cpp-python-json-schema":
        assert isinstance(error, BadRequestError)
        assert modes_of(glm) == ("json_schema", "json_object", "prompt")
    else:
        assert error is None
        assert isinstance(reply.value, Person)


def test_a_way_that_a_server_refuses_is_not_tried_again(glm):
    """What was learned holds for that server and model, in every conversation; other models are asked anew."""
    HOSTS["refuses a schema"].script(glm)
    ask(chat_with(glm))
    glm.requests.clear()

    reply, _, _ = ask(chat_with(glm))
    ask(Chat("openai", base_url=glm.url, model="other", configured=ChatOptions()))

    assert modes_of(glm) == ("json_object", "json_schema")
    assert reply.schema_mode == "json_object"


def test_a_refusal_that_no_other_form_changes_teaches_nothing(glm):
    """Where the plainest question is refused as well, it was not the form: the next one asks in the best way again."""
    glm.status_with_body(400, {"error": {"message": "this json is too long"}})
    ask(chat_with(glm))
    glm.requests.clear()
    glm.forget()
    glm.say(PEOPLE)

    reply, error, _ = ask(chat_with(glm))

    assert (error, modes_of(glm), reply.value is not None) == (None, ("json_schema",), True)


def test_other_refusals_change_no_form(glm):
    """A key that is refused, or a model that is none, is told at once."""
    glm.refuse(401, "1000", "no key, no json_schema")

    _, error, _ = ask(chat_with(glm))

    assert error is not None
    assert error.kind == "auth"
    assert modes_of(glm) == ("json_schema",)


@pytest.mark.parametrize(("think", "sent"), [(None, False), (True, True), (False, False)])
def test_a_server_of_ones_own_is_asked_not_to_think(glm, think, sent):
    """Thinking takes the place of the JSON there; who wants it says so."""
    glm.say(PEOPLE)

    ask(chat_with(glm, think=think))

    assert glm.requests[0].json["chat_template_kwargs"] == {"enable_thinking": sent}


class Platform(Scripted):
    """A provider like the platforms."""

    schema_modes = ("json_object",)


def test_a_schema_stands_in_the_system_prompt_where_the_server_does_not_get_it():
    """In `json_object` and `prompt` modes, below one's own system prompt; thinking stays the service's own matter."""
    for provider in (Platform(TextDelta(PEOPLE), Finished("stop")), Scripted(TextDelta(PEOPLE), Finished("stop"))):
        reply, _, _ = ask(Chat(provider, system="Be kind.", configured=ChatOptions()))

        (request,) = provider.requests
        assert [message.role for message in request.messages] == ["system", "user"]
        assert request.messages[0].text.startswith("Be kind.\n\n")
        assert Schema.of(list[Person]).key in request.messages[0].text
        assert (request.format.mode, request.think) == (reply.schema_mode, None)


def test_descriptions_reach_the_model_in_any_mode(glm):
    """A server that keeps to a schema does not show it to its model: what is described there is written out."""
    glm.say('{"name": "Ada", "bio": "She wrote programs."}')

    ask(chat_with(glm), "name, bio: one sentence")
    ask(chat_with(glm), "name, bio")

    assert "one sentence" in glm.requests[0].json["messages"][0]["content"]
    assert [message["role"] for message in glm.requests[1].json["messages"]] == ["user"]


def test_an_answer_goes_back_with_what_is_wrong_outside_of_the_conversation(glm):
    """The model sees its answer and each error; the conversation holds the last answer alone."""
    HOSTS["is wrong twice"].script(glm)
    chat = chat_with(glm)

    _, _, events = ask(chat)

    sent = glm.requests[1].json["messages"]
    assert [message["role"] for message in sent[-3:]] == ["user", "assistant", "user"]
    assert sent[-2]["content"] == WRONG
    assert '[0].age: should be a whole number, not text "old"' in sent[-1]["content"]
    assert [message.content for message in chat.messages] == ["Who?", PEOPLE]
    assert [event for event in events if isinstance(event, Replace)] == [Replace(""), Replace("")]


def test_the_tokens_of_repairs_are_counted(glm):
    """`usage` is that of all the requests that the answer took."""
    HOSTS["is wrong twice"].script(glm)

    reply, _, _ = ask(chat_with(glm))

    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 3 * 9


def test_no_repairs_are_made_where_none_are_wanted(glm):
    """`repairs=0` asks once."""
    glm.say(WRONG)

    reply, error, _ = ask(chat_with(glm), repairs=0)

    assert isinstance(error, ReplyFormatError)
    assert (len(glm.requests), reply.repairs) == (1, 0)


@pytest.mark.parametrize("given", [-1, "2", 1.5, None])
def test_a_number_of_repairs_that_is_none_is_refused(glm, given):
    """Before anything is sent."""
    _, error, _ = ask(chat_with(glm), repairs=given)

    assert isinstance(error, ConfigError)
    assert glm.requests == []


def test_a_repair_that_fails_keeps_the_answer_before_it(glm):
    """What was shown stays until a word of the next answer is there; the failure is what is raised."""
    glm.say(WRONG)
    glm.refuse(401, "1000", "expired")

    reply, error, events = ask(chat_with(glm))

    assert error is not None
    assert (error.kind, reply.text, reply.value) == ("auth", WRONG, None)
    assert [type(event) for event in events].count(Finished) == 1


def test_a_repair_that_no_longer_fits_into_the_context_tells_what_did_not_fit_before(glm):
    """The person asked for a value, and is told why it is none."""
    glm.say(WRONG)
    glm.status_with_body(
        400, {"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}
    )

    _, error, _ = ask(chat_with(glm))

    assert isinstance(error, ReplyFormatError)
    assert error.errors[0][0] == "[0].age"


def test_a_schema_that_is_none_is_refused_before_anything_is_sent(glm):
    """A SchemaError, and no request."""
    _, error, _ = ask(chat_with(glm), "name flout")

    assert isinstance(error, SchemaError)
    assert glm.requests == []


@dataclass
class Clock:
    """Seconds that a test decides on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


Timed = list[tuple[float, Event]]


def staged(steps: Timed, schema: Any = list[Person]) -> tuple[Structured, Timed]:
    """Run the stage over events that come at given seconds; return it and its events with theirs."""
    clock = Clock()

    async def stage(_: Request):
        for at, event in steps:
            clock.now = at
            yield event

    provider = Scripted()
    structured = Structured(stage, Schema.of(schema), held_by(provider, ""), clock=clock)

    async def listen() -> Timed:
        return [(clock.now, event) async for event in structured.stream(Request((Message("user", "Who?"),)))]

    return structured, asyncio.run(listen())


def test_what_is_complete_is_told_as_it_closes_but_not_too_often():
    """The first item at once with its brace; then at most one event in 50 ms; at the end all of it."""
    item = '{"name": "a", "age": 1}'
    steps = [(0.0, TextDelta('{"items": ['))]
    steps += [(1 + number / 100, TextDelta(f"{item}, ")) for number in range(100)]
    steps += [(2.5, TextDelta(f"{item}]}}")), (2.6, Finished("stop"))]

    structured, events = staged(steps)

    told = [(at, len(event.value)) for at, event in events if isinstance(event, PartialValue)]
    assert told[0] == (1.0, 1)
    assert told[-1][1] == 101
    assert len(told) <= 22
    assert all(later[0] - earlier[0] >= 0.05 for earlier, later in pairwise(told))
    assert len(structured.value) == 101


def test_the_fields_of_an_object_are_told_as_they_close():
    """Half a text is none."""
    pieces = ['{"na', 'me": "Ad', 'a", "ag', 'e": 3', "6}"]

    _, events = staged(
        [*((number, TextDelta(one)) for number, one in enumerate(pieces)), (9, Finished("stop"))], Person
    )

    told = [event.value for _, event in events if isinstance(event, PartialValue)]
    assert told == [{"name": "Ada"}, {"name": "Ada", "age": 36}]


def test_a_correction_of_the_service_is_read_anew():
    """What a `Replace` takes back is no part of the value."""
    steps = [
        TextDelta('[{"name": "x", "age": 1}, '),
        Replace('[{"name": "y", "age": 2}'),
        TextDelta("]"),
        Finished("stop"),
    ]

    structured, events = staged([(float(number), step) for number, step in enumerate(steps)])

    assert structured.value == [Person("y", 2)]
    assert [event.value[0]["name"] for _, event in events if isinstance(event, PartialValue)] == ["x", "y"]


def test_thinking_beside_an_answer_is_no_answer():
    """JSON in the thinking counts only where there is no text at all."""
    thought = '[{"name": "x", "age": 1}]'
    steps = [ThinkingDelta(thought), TextDelta("[]"), Usage(1, 2, 3), Finished("stop")]

    structured, _ = staged([(0.0, step) for step in steps])

    assert structured.value == []


@pytest.mark.parametrize("after", range(1, 7))
def test_stopping_at_any_time_leaves_things_whole(after):
    """The conversation is well-formed, the value is none, and what was complete is there as records."""
    steps = ['[{"name": "Ada", "age": "x"}]', '[{"name": "Ada", "age": 36}, {"na']
    texts = iter(steps)

    class Wrong(Scripted):
        async def stream(self, request):
            self.requests.append(request)
            text = next(texts)
            for piece in (text[:20], text[20:]):
                yield TextDelta(piece)
            if len(self.requests) > 1:
                await asyncio.sleep(60)
            yield Finished("stop")

    chat, reply = Chat(Wrong(), configured=ChatOptions()), Reply()

    async def stop() -> None:
        async with asyncio.timeout(5), aclosing(chat.stream("Who?", schema=list[Person], reply=reply)) as events:
            seen = 0
            async for _ in events:
                seen += 1
                if seen == after:
                    break

    try:
        asyncio.run(stop())
    except TimeoutError:
        pytest.skip("fewer events come")

    assert (reply.finish_reason, reply.value) == ("interrupted", None)
    assert [message.role for message in chat.messages] in ([], ["user", "assistant"])
    assert reply.records in ([], [{"name": "Ada", "age": 36}])


def test_an_answer_in_the_cache_is_a_value_again(glm, tmp_path, monkeypatch):
    """It is read from the stored text; another schema is another request, and nobody is asked for the first one."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    glm.say(PEOPLE)
    chat = chat_with(glm, cache="replay")
    ask(chat, remember=False)

    reply, error, events = ask(chat, remember=False)
    assert error is None
    assert (reply.value, reply.replayed is not None, len(glm.requests)) == ([Person(**row) for row in ROWS], True, 1)
    assert (reply.schema_mode, [one.value for one in events if isinstance(one, PartialValue)]) == ("", [ROWS])

    ask(chat, list[dict[str, Any]], remember=False)
    assert len(glm.requests) == 2


def test_a_stored_answer_that_does_not_fit_is_asked_for_again(glm, tmp_path, monkeypatch):
    """One that never fitted is no answer to give again."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    glm.say(WRONG)
    chat = chat_with(glm, cache="replay")
    ask(chat, remember=False, repairs=0)
    glm.forget()
    glm.say(PEOPLE)

    reply, error, _ = ask(chat, remember=False)

    assert (error, len(reply.records)) == (None, 2)


def test_a_request_shows_how_the_answer_is_asked_for(glm):
    """`Chat.request` is what is sent, form and all; nothing is sent for it."""
    chat = chat_with(glm)

    request = chat.request("Who?", schema=list[Person])

    assert glm.requests == []
    assert (request.format.mode, request.format.name, request.think) == ("json_schema", "Person_items", False)
    sent = chat.provider.parameters(request)
    assert (
        json.dumps(sent["response_format"]["json_schema"]["schema"], separators=(",", ":"))
        == Schema.of(list[Person]).key
    )


def test_keys_do_not_reach_a_value(glm):
    """A server may repeat the key that it was sent: neither text nor value shows it."""
    key = "sk-" + "a1" * 16
    Key(key)
    glm.say(lambda request: json.dumps({"value": request.headers["authorization"]}))

    chat = Chat("openai", base_url=glm.url, model="m", api_key=key, configured=ChatOptions())
    reply, _, events = ask(chat, str)

    assert key not in reply.value + reply.text + repr(events)


def test_a_choice_is_a_value(glm):
    """A word that is one of the choices, bare or wrapped."""
    for said in ('{"value": "good"}', '"good"', "good"):
        glm.forget()
        glm.say(said)

        reply, error, _ = ask(chat_with(glm), Literal["good", "bad"])

        assert (error, reply.value, reply.records) == (None, "good", [{"value": "good"}])


def test_null_is_a_value_too(glm):
    """`None` that was asked for is told from no value."""
    glm.say('{"value": null}')

    reply, error, _ = ask(chat_with(glm), int | None)

    assert (error, reply.value, reply.records) == (None, None, [{"value": None}])


def test_records_are_a_frame(glm):
    """Columns are the declared fields in their order, also of an empty list."""
    glm.say(PEOPLE)
    glm.say('{"items": []}')

    frame, empty = (ask(chat_with(glm))[0].frame for _ in range(2))

    assert list(frame.columns) == list(empty.columns) == ["name", "age"]
    assert frame.to_dict("records") == ROWS
    assert len(empty) == 0


def test_a_frame_is_of_polars_where_only_that_is_installed(glm, monkeypatch):
    """And a clear error where neither is."""
    import chatglm_magic._reply as module

    glm.say(PEOPLE)
    reply = ask(chat_with(glm))[0]
    installed = {"polars"}
    monkeypatch.setattr(module, "find_spec", lambda name: True if name in installed else None)

    frame = reply.frame
    assert (type(frame).__module__.split(".")[0], frame.rows()) == ("polars", [("Ada", 36), ("林", 7)])

    installed.clear()
    with pytest.raises(ConfigError, match="pip install pandas"):
        _ = reply.frame


def test_a_reply_without_a_schema_has_no_records():
    """And no value."""
    reply = asyncio.run(Chat(Scripted(), configured=ChatOptions()).send("Hi"))

    assert (reply.value, reply.records, reply.schema_mode, reply.repairs) == (None, [], "", 0)
    assert reply.frame.empty


def test_a_plain_question_imports_no_schemas():
    """They are imported with the first question that has one."""
    import subprocess

    code = (
        "import asyncio, sys; from chatglm_magic import Chat, TextDelta, Finished\n"
        "class P:\n  name = 'p'\n  async def stream(self, r):\n    yield TextDelta('x'); yield Finished('stop')\n"
        "asyncio.run(Chat(P()).send('hi'))\n"
        "print(sorted(m for m in sys.modules if m.startswith('chatglm_magic._schema')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_repair_sees_what_functions_returned():
    """Calls and results stand before the answer that goes back; they are made once, and are a part of the turn."""
    calls: list[str] = []

    def age(name: str) -> int:
        """Return somebody's age.

        Args:
            name: Whose.
        """
        calls.append(name)
        return 36

    answers = [
        [ToolCallDelta(0, "c1", "age", '{"name": "Ada"}'), Finished("tool_calls")],
        [TextDelta(WRONG), Finished("stop")],
        [TextDelta('[{"name": "Ada", "age": 36}]'), Finished("stop")],
    ]

    class Calling(Scripted):
        async def stream(self, request):
            self.requests.append(request)
            for event in answers[len(self.requests) - 1]:
                yield event

    provider = Calling()
    chat = Chat(provider, configured=ChatOptions())
    reply, error, _ = ask(chat, tools=[age], approve=lambda _: True)

    assert (error, calls, reply.value, reply.repairs) == (None, ["Ada"], [Person("Ada", 36)], 1)
    assert [message.role for message in provider.requests[2].messages] == [
        *("system", "user", "assistant", "tool", "assistant", "user")
    ]
    assert [message.role for message in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[-1].text == '[{"name": "Ada", "age": 36}]'
    assert [run.result for run in reply.tool_runs] == ["36"]


def test_calls_that_are_handed_back_are_no_value():
    """Without `approve` the caller sees to the calls: nothing is validated, and nothing goes back."""

    def age(name: str) -> int:
        """Return somebody's age."""
        return len(name)

    provider = Scripted(ToolCallDelta(0, "c1", "age", '{"name": "Ada"}'), Finished("tool_calls"))
    reply, error, _ = ask(Chat(provider, configured=ChatOptions()), tools=[age])

    assert (error, reply.value, reply.finish_reason, len(provider.requests)) == (None, None, "tool_calls", 1)
