"""Models side by side: each gets the same, fails alone, and its answer is a version of one question."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from soon import until_then

from chatglm_magic import AuthenticationError, Chat, ConfigError, FunctionProvider, ProviderError, ThinkingDelta, Usage
from chatglm_magic._comparison import Comparison
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._store import open_store
from chatglm_magic._store.recorder import keep, leave

calls: list[tuple[str, list[dict], dict]] = []


async def speak(model, messages, **options):
    """Answer as the model's name says: `slow` in half a second, `half` half of it, `broken` and `silent` not at all."""
    calls.append((model, messages, options))
    if model.startswith("silent"):
        raise ValueError("not a word")
    yield ThinkingDelta("hm")
    if model.startswith("broken"):
        raise ValueError("no such thing")
    for word in ("I ", "am ", model):
        await asyncio.sleep(0.15 if model.startswith("slow") else 0.01)
        yield word
        if model == "half":
            raise ValueError("out of words")
    yield Usage(3, len(model), 3 + len(model))


@pytest.fixture
def chat() -> Chat:
    calls.clear()
    return Chat(FunctionProvider(speak), temperature=0.5, system="Be kind.")


def test_each_model_gets_the_same(chat):
    """Messages, system prompt and parameters are equal, and what was said before is sent to all."""
    asyncio.run(chat.send("Hello", model="first"))
    calls.clear()

    found = asyncio.run(chat.compare("Who are you?", models=["a", "b", "c"], seed=7))

    assert list(found) == ["a", "b", "c"]
    assert {name: reply.text for name, reply in found.items()} == {"a": "I am a", "b": "I am b", "c": "I am c"}
    assert {model for model, _, _ in calls} == {"a", "b", "c"}
    assert all((messages, options) == calls[0][1:] for _, messages, options in calls)
    assert [message["content"] for message in calls[0][1]] == ["Be kind.", "Hello", "I am first", "Who are you?"]
    assert calls[0][2] == {"proxy": None, "temperature": 0.5, "seed": 7}


def test_they_are_asked_at_once(chat):
    """The quick one speaks before the slow one has ended, and their events come interleaved."""

    async def heard() -> list[str]:
        comparison = Comparison(["slow", "a"])
        async with aclosing(chat.stream_columns("?", comparison)) as events:
            return [event.column async for event in events]

    order = asyncio.run(heard())

    assert order.index("a") < len(order) - 1 - order[::-1].index("slow")
    assert [len(order) - order[::-1].index(name) for name in ("a", "slow")] == sorted(
        len(order) - order[::-1].index(name) for name in ("a", "slow")
    )


def test_one_that_fails_fails_alone(chat):
    """Its error is kept beside what had arrived; the others are whole, and the conversation goes on with the first."""
    found = asyncio.run(chat.compare("?", models=["broken", "half", "a"]))

    assert list(found.errors) == ["broken", "half"]
    assert all(isinstance(error, ProviderError) for error in found.errors.values())
    assert [(reply.text, reply.finish_reason) for reply in found.values()] == [
        ("", "error"),
        ("I ", "error"),
        ("I am a", "stop"),
    ]
    assert chat.messages[-1].text == "I "
    versions = chat.tree.versions(chat.tree.path()[-1])
    assert [(node.text, node.thinking) for node in versions] == [("", "hm"), ("I ", "hm"), ("I am a", "hm")]
    assert chat.tree.get(found.answers["a"]).text == "I am a"


def test_all_that_fail_raise_the_first_error(chat):
    """Nothing is in the conversation then, and the question can be asked again."""
    with pytest.raises(ProviderError, match="no such thing"):
        asyncio.run(chat.compare("Why?", models=["broken", "broken-too"]))

    assert chat.unanswered is not None


@pytest.mark.parametrize(
    "models", [["a"], ["a", "a"], [str(number) for number in range(7)], "ab", [], ["a", ""], ["a", 3]]
)
def test_two_to_six_models_are_compared(chat, models):
    """Fewer, more, one model twice, or what is no name is refused before anything is asked."""
    with pytest.raises(ConfigError):
        asyncio.run(chat.compare("?", models=models))
    assert calls == []


def test_each_model_answers_for_itself(chat, glm):
    """A model among the options replaces none of them; a server among the options is that of all."""
    texts = asyncio.run(chat.compare("?", models=(name for name in "ab"), model="x"))
    assert [reply.text for reply in texts.values()] == ["I am a", "I am b"]

    glm.say(lambda request: f"by {request.json['model']}")
    asyncio.run(chat.compare("?", models=["openai:a", "openai:b"], base_url=glm.url))
    assert {request.json["model"] for request in glm.requests} == {"a", "b"}


def test_a_model_that_cannot_be_asked_is_one_column(chat):
    """A platform without a key fails in its column, and says what is missing."""
    found = asyncio.run(chat.compare("?", models=["a", "zai:glm-4.7"]))

    assert found["a"].text == "I am a"
    assert "ZAI_API_KEY" in str(found.errors["zai:glm-4.7"])


def test_versions_of_one_question(chat):
    """The answers stand beside each other; what follows goes on with the chosen one."""
    found = asyncio.run(chat.compare("?", models=["a", "b"]))
    assert [message.text for message in chat.messages] == ["?", "I am a"]

    chat.choose(chat.tree.get(found.answers["b"]))
    asyncio.run(chat.send("And?", model="c"))

    assert [message.text for message in chat.messages] == ["?", "I am b", "And?", "I am c"]
    assert chat.undo() == "And?"
    assert chat.undo() == "?"
    assert chat.messages == []


def test_asked_again_in_its_place(chat):
    """A cell that compares again puts the new answers in the place of the old ones; what followed stays."""
    at = InsertPoint(cell="id x 1")
    asyncio.run(chat.compare("?", models=["a", "b"], at=at))
    asyncio.run(chat.send("And?", model="c"))
    asyncio.run(chat.compare("?", models=["d", "e"], at=at))

    assert [message.text for message in chat.messages] == ["?", "I am d", "And?", "I am c"]
    assert [node.text for node in chat.tree.versions(chat.tree.path()[1])] == ["I am a", "I am b", "I am d", "I am e"]


def test_asked_again_where_the_first_fails(chat):
    """What followed goes on with the first that has text; where none has any, with the old answer."""
    at = InsertPoint(cell="id x 1")
    asyncio.run(chat.send("?", model="old", at=at))
    asyncio.run(chat.send("And?", model="c"))

    asyncio.run(chat.compare("?", models=["silent", "a"], at=at))

    assert [message.text for message in chat.messages] == ["?", "I am a", "And?", "I am c"]
    assert [node.text for node in chat.tree.versions(chat.tree.path()[1])] == ["I am old", "I am a"]

    with pytest.raises(ProviderError):
        asyncio.run(chat.compare("?", models=["silent", "silent 2"], at=at))

    assert [message.text for message in chat.messages] == ["?", "I am a", "And?", "I am c"]
    assert [node.text for node in chat.tree.versions(chat.tree.path()[1])] == ["I am old", "I am a"]


def test_all_answers_are_kept_while_they_come(tmp_path):
    """A process that dies in the middle loses no column: each is in the store as far as it has come."""
    store = open_store(str(tmp_path / "conversations.db"))
    chat = Chat(FunctionProvider(speak), name="x")
    keep(chat, store.where)

    def texts() -> set[tuple[str, str | None]]:
        found = store.threads()
        return {(one.text, one.finish_reason) for one in store.load(found[0].id)[1][1:]} if found else set()

    async def stop_half_way() -> None:
        comparison = Comparison(["slow", "slower"])
        async with aclosing(chat.stream_columns("?", comparison)) as events:
            async for _ in events:
                if all(reply.text == "I am " for reply in comparison.values()):
                    await until_then(lambda: texts() == {("I am ", None)})
                    break

    asyncio.run(stop_half_way())
    store.flush()

    assert texts() == {("I am ", "interrupted")}
    leave(chat)
    store.close()


def test_a_question_aside_changes_nothing(chat):
    """With `remember=False` nothing is seen and nothing is kept."""
    asyncio.run(chat.send("Hello", model="first"))
    before = chat.messages
    calls.clear()

    asyncio.run(chat.compare("?", models=["a", "b"], remember=False))

    assert chat.messages == before
    assert [message["content"] for message in calls[0][1]] == ["Be kind.", "?"]


def test_stopping_keeps_what_had_arrived(chat):
    """Closing the events stops all models; each answer is kept as far as it came."""

    async def stop() -> Comparison:
        comparison = Comparison(["a", "slow"])
        async with aclosing(chat.stream_columns("?", comparison)) as events:
            async for _ in events:
                if comparison["a"].finish_reason and comparison["slow"].text:
                    break
        return comparison

    found = asyncio.run(stop())

    assert [reply.finish_reason for reply in found.values()] == ["stop", "interrupted"]
    assert found["slow"].text
    assert [node.finish_reason for node in chat.tree.versions(chat.tree.path()[-1])] == ["stop", "interrupted"]


def test_a_frame_has_a_row_for_each_model(chat):
    """Text, seconds, first event, tokens and error, with the models as the index."""
    frame = asyncio.run(chat.compare("?", models=["a", "slow", "broken"])).frame

    assert list(frame.index) == ["a", "slow", "broken"]
    assert list(frame.columns) == ["text", "seconds", "first_event", "tokens", "error"]
    assert list(frame.text) == ["I am a", "I am slow", ""]
    assert frame.tokens.isna().tolist() == [False, False, True]
    assert frame.seconds["slow"] > frame.seconds["a"] > frame.first_event["a"]
    assert "no such thing" in frame.error["broken"]
    assert frame.error["a"] is None


def test_a_platform_is_asked_one_after_the_other(glm):
    """One key takes one request at a time: the second column waits, says so, and its seconds are its own."""
    glm.say(lambda request: f"by {request.json['model']}", first_delay=0.3)
    chat = Chat("zai", base_url=glm.url, api_key="k")
    said: list[tuple[str, str]] = []

    async def ask() -> Comparison:
        comparison = Comparison(["glm-4.7", "glm-4.6"])
        async with aclosing(chat.stream_columns("?", comparison)) as events:
            said.extend([(event.column, event.status) async for event in events if event.status])
        return comparison

    found = asyncio.run(ask())

    assert [reply.text for reply in found.values()] == ["by glm-4.7", "by glm-4.6"]
    assert said[0] == ("glm-4.6", "waiting for its turn: this service takes one request at a time")
    assert found["glm-4.6"].elapsed < 0.55


def test_pictures_and_files_go_to_all(glm, tmp_path):
    """What is attached is read once, and is a part of the question."""
    glm.say("ok")
    (tmp_path / "notes.txt").write_text("one")
    chat = Chat("openai", base_url=glm.url, model="m")

    asyncio.run(chat.compare("Look", models=["a", "b"], attachments=[tmp_path / "notes.txt", "https://h/a.png"]))

    first, second = (request.json["messages"] for request in glm.requests)
    assert first == second
    assert first[0]["content"][0]["text"] == "Look\n\nnotes.txt:\n```text\none\n```"
    assert chat.messages[0].text == "Look\n\nnotes.txt:\n```text\none\n```"
    assert [picture.url for picture in chat.messages[0].pictures] == ["https://h/a.png"]


def test_the_errors_of_services_are_told_apart(glm):
    """A refusal is the same error as when the model is asked alone."""
    glm.refuse(401, "1000", "bad key")
    chat = Chat("openai", base_url=glm.url, model="m")

    with pytest.raises(AuthenticationError):
        asyncio.run(chat.compare("?", models=["a", "b"]))


def test_html_and_markdown_of_hostile_answers_run_nothing():
    """Names, texts and errors are a model's or a person's; none of them becomes markup."""

    async def hostile(model, messages, **_):
        yield "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1))"
        if model == "b<b>":
            raise ValueError("<script>alert(2)</script>")

    found = asyncio.run(Chat(FunctionProvider(hostile)).compare("?", models=["a<script>", "b<b>"]))
    forms = found._repr_mimebundle_()

    assert set(forms) == {"text/html", "text/markdown", "text/plain"}
    for form in ("text/html", "text/markdown"):
        for mark in ("<script", "<img", 'href="javascript', "<b>"):
            assert mark not in forms[form], (form, mark)
