"""A question with tools is one turn: in the history, the store, an undo, a replay and an export."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from openai_frames import chunk, sse, text
from tool_plays import A, asks, calling

from chatglm_magic import Chat, ConfigError, FunctionProvider
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._events import Finished, ToolCallDelta
from chatglm_magic._export import render
from chatglm_magic._store import open_store
from chatglm_magic.providers import Settings
from chatglm_magic.providers.openai.provider import BigModelProvider, ZaiProvider

RAN: list[str] = []


def stock(ticker: str) -> int:
    """Return the price of a share."""
    RAN.append(ticker)
    return len(ticker)


async def plays(model: str, messages: list[dict[str, Any]], tools: object = None, **_: object) -> AsyncGenerator[Any]:
    """Play a model: ask for two prices, one after the other, then say what they were."""
    turn = messages[max(at for at, one in enumerate(messages) if one["role"] == "user") :]
    results = [one["content"] for one in turn if one["role"] == "tool"]
    if tools and len(results) < 2:
        ticker = ["AB", "CDE"][len(results)]
        yield ToolCallDelta(0, f"id-{ticker}", "stock", f'{{"ticker": "{ticker}"}}')
        yield Finished("tool_calls")
        return
    yield "Prices: " + " ".join("".join(filter(str.isdigit, one)) or "none" for one in results)


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def talk(chat: Chat, prompt: str = "How much?", **how: Any) -> Any:
    how.setdefault("tools", [stock])
    how.setdefault("approve", lambda call: True)
    return asyncio.run(chat.send(prompt, **how))


def test_a_program_gives_its_functions_with_the_question():
    """`tools=`, `approve=` and `chain_limit=` belong to one question; the reply tells what ran."""
    chat = Chat(FunctionProvider(plays))

    reply = talk(chat)

    assert reply.text == "Prices: 2 3"
    assert [(run.name, run.arguments, run.result) for run in reply.tool_runs] == [
        ("stock", {"ticker": "AB"}, "2"),
        ("stock", {"ticker": "CDE"}, "3"),
    ]
    assert RAN == ["AB", "CDE"]
    assert talk(chat, "And without?", tools=None).text == "Prices: "


def test_calls_and_results_are_sent_along_with_the_next_question():
    """The history holds the calls with their results between the question and its answer."""
    chat = Chat(FunctionProvider(plays))
    talk(chat)

    roles = [message.role for message in chat.request("And then?").messages]

    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant", "user"]
    assert [message.role for message in chat.messages] == roles[:-1]


def test_a_request_shows_the_tools_and_sends_nothing():
    """What would be sent can be seen, with the functions in it."""
    chat = Chat(FunctionProvider(plays))

    (spec,) = chat.request("How much?", tools=[stock]).tools

    assert (spec.name, spec.description) == ("stock", "Return the price of a share.")


def test_an_undo_takes_the_whole_turn_back():
    """Question, calls, results and answer go together."""
    chat = Chat(FunctionProvider(plays))
    talk(chat, "Hello", tools=None)
    talk(chat)

    assert chat.undo() == "How much?"
    assert [message.role for message in chat.messages] == ["user", "assistant"]


def test_a_replayed_answer_runs_nothing(tmp_path, monkeypatch):
    """A stored answer shows its calls as they were, and the functions stay as they are."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    first = talk(Chat(FunctionProvider(plays), name="a", cache=True))
    open_store().flush()
    RAN.clear()

    again = talk(Chat(FunctionProvider(plays), name="b", cache=True), approve=lambda call: False)

    assert again.replayed is not None
    assert RAN == []
    assert [run.result for run in again.tool_runs] == ["2", "3"]
    assert again.exchange == first.exchange
    other = talk(Chat(FunctionProvider(plays), name="c", cache=True), tools=None)
    assert other.replayed is None


def test_an_export_holds_calls_and_results(tmp_path):
    """Whoever reads the conversation later sees what the answer rests on."""
    chat = Chat(FunctionProvider(plays))
    talk(chat)

    for name in ("a.md", "a.html", "a.ipynb", "a.json"):
        path = tmp_path / name
        path.write_text(render(path.suffix, "Prices", chat.tree), encoding="utf-8")
        text = path.read_text("utf-8")
        assert "stock" in text, name
        assert "CDE" in text, name


def positions(text: str, *words: str) -> list[int]:
    found = [text.find(word) for word in words]
    assert -1 not in found, text
    return found


def test_calls_stand_where_they_came(glm, tmp_path, monkeypatch):
    """What was said before a call stands above it: as it is shown, in each export, and of a stored answer replayed."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    for stream in (calling(A, said="Let me look.\n```python\nopen"), calling(asks("stock", {"ticker": "BCD"}))):
        glm.replay(stream)
    glm.replay(sse(text("It is known."), chunk(finish="stop")))
    order = "Let me look", '"A"', '"BCD"', "It is known"

    chat = Chat("openai", base_url=glm.url, model="glm-demo", cache=True)
    reply = talk(chat)
    open_store().flush()
    again = talk(Chat("openai", base_url=glm.url, model="glm-demo", cache=True))

    assert again.replayed is not None
    assert again.tool_runs == reply.tool_runs
    shown = [reply._repr_markdown_(), again._repr_markdown_()]
    shown += [render(suffix, "Prices", chat.tree) for suffix in (".md", ".html", ".ipynb")]
    for written in shown:
        plain = written.replace("&quot;", '"').replace("&#34;", '"').replace('\\"', '"')
        found = positions(re.sub("<(?!details)[^>]*>", "", plain), *order)
        assert found == sorted(found), written
    assert reply._repr_markdown_().startswith("Let me look.\n\n```python\nopen\n```\n\n<details>")


def odd() -> str:
    """Return what a file may be called that was named in another encoding, and what drives a terminal."""
    return "na\udcefve \x1b[31m <img src=x>"


def odd_error() -> str:
    """Raise the same."""
    raise ValueError("na\udcefve \x1b[31m")


@pytest.mark.parametrize("function", [odd, odd_error])
def test_a_result_that_no_page_can_hold_is_shown_and_kept(glm, tmp_path, monkeypatch, function):
    """Lone surrogates and control characters in a result are marks where it is shown, and it is sent and stored."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    glm.replay(calling(asks(function.__name__)))
    glm.replay(sse(text("It is known."), chunk(finish="stop")))
    chat = Chat("openai", base_url=glm.url, model="glm-demo", name="odd")

    reply = talk(chat, tools=[function])
    open_store().flush()
    found = Chat.open("odd", provider=FunctionProvider(plays))

    assert reply.text == "It is known."
    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    pages = [render(suffix, "Odd", chat.tree) for suffix in (".md", ".html", ".ipynb", ".json")]
    for shown in (reply._repr_markdown_(), *pages):
        assert "\x1b" not in shown.encode().decode()


def test_calls_of_an_answer_that_is_gone_on_with_stand_below_its_first_half(glm):
    """The rest of an answer keeps its calls where they came, behind the text that was there before."""
    glm.replay(sse(text("The first half."), chunk(finish="length")))
    glm.replay(calling(A, said="And"))
    glm.replay(sse(text("the rest."), chunk(finish="stop")))
    chat = Chat("openai", base_url=glm.url, model="glm-demo")
    talk(chat, tools=None)

    talk(chat, "Go on.", at=InsertPoint(continues=True))

    found = positions(render(".md", "Prices", chat.tree), "The first half.", "And", '"A"', "the rest.")
    assert found == sorted(found)
    assert chat.messages[-1].text == "The first half.And\n\nthe rest."


def test_an_answer_that_goes_on_with_a_call_goes_on_in_a_new_paragraph(glm):
    """Two texts with a call between them are not run together, whether the call was made before or after the stop."""
    glm.replay(sse(text("Let me look."), chunk(finish="length")))
    glm.replay(calling(A))
    glm.replay(sse(chunk(finish="length")))
    glm.replay(sse(text("It is known."), chunk(finish="stop")))
    chat = Chat("openai", base_url=glm.url, model="glm-demo")
    talk(chat, tools=None)

    talk(chat, "Go on.", at=InsertPoint(continues=True))
    talk(chat, "Go on.", at=InsertPoint(continues=True))

    assert chat.messages[-1].text == "Let me look.\n\nIt is known."
    found = positions(render(".md", "Prices", chat.tree), "Let me look.", '"A"', "It is known.")
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"chain_limit": 0}, "chain_limit takes a whole number of at least 1, not 0"),
        ({"chain_limit": "many"}, "chain_limit takes a whole number"),
        ({"approve": True}, "approve takes a function"),
        ({"tools": stock}, r"tools=\[stock\]"),
        ({"tools": [lambda x: x]}, "A lambda cannot be a tool"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(how, words):
    """A wrong argument is an error of its own, and no question."""
    chat = Chat(FunctionProvider(plays))

    with pytest.raises(ConfigError, match=words):
        talk(chat, **how)
    assert chat.messages == []


def test_a_provider_without_tools_refuses_them():
    """A model that cannot call functions is not asked as if it could."""

    async def parrot(model: str, messages: object) -> AsyncGenerator[str]:
        yield "Hello"

    with pytest.raises(ConfigError, match="calls no tools"):
        talk(Chat(FunctionProvider(parrot)))


@pytest.mark.parametrize("provider", [ZaiProvider, BigModelProvider])
def test_a_search_runs_at_the_service_and_its_sources_are_shown(glm, provider):
    """The request names the service's own tool, beside the functions; what was found stands below the answer."""
    found = [{"refer": "1", "title": "A page", "link": "https://example.test/a", "content": "It said so."}]
    glm.replay(sse(text("So it is."), chunk(finish="stop", web_search=found)))
    chat = Chat(provider(Settings(base_url=glm.url, api_key="k" * 40)))

    reply = talk(chat, "News?", search=True)

    assert [one["type"] for one in glm.requests[0].json["tools"]] == ["function", "web_search"]
    assert reply.text == "So it is."
    assert "[A page](https://example.test/a)" in reply._repr_markdown_()


def test_a_value_may_rest_on_a_function(glm):
    """An answer that is held to a schema may call functions first, also when it goes back to be mended."""
    for stream in (calling(A), sse(text("not JSON"), chunk(finish="stop")), calling(asks("stock", {"ticker": "BCD"}))):
        glm.replay(stream)
    glm.replay(sse(text('{"price": 3}'), chunk(finish="stop")))

    reply = talk(Chat("openai", base_url=glm.url, model="glm-demo"), schema="price int")

    assert RAN == ["A", "BCD"]
    assert [one["role"] for one in glm.requests[-1].json["messages"]].count("tool") == 2
    assert [message.role for message in reply.exchange] == ["assistant", "tool", "assistant", "tool"]
    assert reply.value == {"price": 3}


DYING = """
import asyncio, sys, time
sys.path[:0] = {path!r}
from test_turns import plays
from chatglm_magic import Chat, FunctionProvider

def stock(ticker: str) -> int:
    with open({ran!r}, "a") as file:
        file.write(ticker + "\\n")
    return len(ticker)

async def approve(call):
    if call.arguments["ticker"] == "CDE":
        await asyncio.sleep(0.5)
        print("card", flush=True)
        await asyncio.sleep(60)
    return True

asyncio.run(Chat(FunctionProvider(plays), name="dies").send("How much?", tools=[stock], approve=approve))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes die otherwise here")
def test_a_process_that_dies_with_an_open_card_runs_nothing_later(tmp_path, monkeypatch):
    """What ran is kept with its result; what was not decided on is "not run", and a continuation asks anew."""
    ran = tmp_path / "ran"
    environment = {**os.environ, "CHATGLM_STORE": str(tmp_path / "chats.db"), "PYTHONPATH": os.pathsep.join(sys.path)}
    code = DYING.format(path=[str(Path(__file__).parent)], ran=str(ran))
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "card\n"
        time.sleep(0.3)  # the store's own thread writes
        process.kill()
    assert ran.read_text().split() == ["AB"]

    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "chats.db"))
    chat = Chat.open("dies", provider=FunctionProvider(plays))

    assert [message.role for message in chat.messages] == ["user", "assistant", "tool"]
    assert [message.text for message in chat.messages if message.role == "tool"] == [
        "Result, as data:\n```text\n2\n```"
    ]
    assert talk(chat, "Go on", tools=None).text == "Prices: "
    assert RAN == []
    assert ran.read_text().split() == ["AB"]
