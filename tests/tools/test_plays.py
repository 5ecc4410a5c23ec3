"""Every play of calls, in Python and in a panel: an answer or a named error, and nothing that nobody allowed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from glm_server import FakeGLM
from panel_kit import Page
from tool_plays import ANSWER, FUNCTIONS, PLAYS, Play

from chatglm_magic import Chat, ChatGLMError, ChatPanel, Reply
from chatglm_magic._tools.approval import forget_always


@pytest.fixture
def functions() -> dict[str, Any]:
    """Give the functions anew, as a module that nobody else uses."""
    forget_always()
    space: dict[str, Any] = {"__name__": "played"}
    exec(FUNCTIONS, space)  # noqa: S102 - our own text
    return space


def chat_of(glm: FakeGLM) -> Chat:
    return Chat("openai", base_url=glm.url, model="glm-demo")


def ask(glm: FakeGLM, functions: dict[str, Any], **how: Any) -> tuple[Chat, Reply, str]:
    """Ask, and give the conversation, the reply and the name of the error."""
    chat, reply, error = chat_of(glm), Reply(), ""
    how.setdefault("approve", functions["yes"])
    try:
        asyncio.run(chat.send("how much?", tools=functions["TOOLS"], reply=reply, **how))
    except ChatGLMError as failure:
        error = type(failure).__name__
    return chat, reply, error


def check_history(chat: Chat) -> None:
    """Hold that each call of a conversation is followed by its results, and that all is JSON."""
    waiting: list[str] = []
    for message in chat.messages:
        if message.role == "tool":
            assert waiting.pop(0) == message.call_id
        else:
            assert waiting == []
            waiting = [call.id for call in message.calls]
            assert all(isinstance(json.loads(call.arguments), dict) for call in message.calls)
    assert waiting == []


@pytest.mark.parametrize("play", PLAYS, ids=[one.name for one in PLAYS])
def test_each_play_ends_well_in_python(glm, functions, play: Play):
    """What ran is what was allowed, in order; the model was told what it had to know."""
    play.script(glm)

    chat, reply, error = ask(glm, functions)

    assert error == play.error
    assert tuple(functions["RAN"]) == tuple(functions["ALLOWED"]) == play.ran
    assert play.told in json.dumps(glm.requests[-1].json["messages"], ensure_ascii=False)
    assert error or reply.text.endswith(ANSWER)
    check_history(chat)


@pytest.mark.parametrize("play", PLAYS, ids=[one.name for one in PLAYS])
def test_nothing_runs_without_a_yes(glm, functions, play: Play):
    """The same plays with a no, and with nobody to ask, run nothing at all."""
    play.script(glm)
    ask(glm, functions, approve=lambda call: False)
    glm.forget()
    play.script(glm)
    chat, _, _ = ask(glm, functions, approve=None)

    assert functions["RAN"] == []
    check_history(chat)


@pytest.mark.parametrize("play", PLAYS, ids=[one.name for one in PLAYS])
def test_each_play_ends_well_in_a_panel(glm, functions, play: Play):
    """A person presses Run on each card, as it comes; nothing runs before."""
    play.script(glm)
    pressed: list[str] = []
    with Page(ChatPanel(chat_of(glm), tools=functions["TOOLS"])) as page:
        page.ask("send", text="how much?")

        def card() -> dict[str, Any] | None:
            cards = [m["card"] for _, m in list(page.got) if m["k"] == "card"]
            return cards[-1] if cards and cards[-1] and cards[-1]["id"] not in pressed else None

        while True:
            page.wait(lambda: card() or (page.is_still and page.shown and page.shown[-1]["role"] == "assistant"))
            if (asked := card()) is None:
                break
            assert len(functions["RAN"]) == len(pressed)
            pressed.append(asked["id"])
            page.answer("decide", id=asked["id"], pressed="run")
        page.settled()
        check_history(page.panel.chat)

    assert Counter(functions["RAN"]) == Counter(play.ran)
    assert len(pressed) == len(play.ran)
    assert (page.last["state"] == "failed") == bool(play.error)
