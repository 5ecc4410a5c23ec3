"""Values in a panel: what a cell or a program asks for grows there as a table, and is one after a restart too."""

from __future__ import annotations

import asyncio
import json
import threading
from enum import Enum
from typing import Any

import pytest
from hostile import TEXTS
from html_judge import Page as Judge
from markdown_judge import dangers
from panel_kit import Page, chat_with, is_as_new

from chatglm_magic import ChatPanel, Finished, TextDelta
from chatglm_magic._errors import ChatGLMError
from chatglm_magic._export.html import to_html
from chatglm_magic._export.markdown import to_markdown
from chatglm_magic.panel.view import static_view, value_markdown
from chatglm_magic.renderers.html import render

ITEMS = ['{"items": [', '{"name": "Ada", "age": 36}', ', {"name": "林", "age": 7}', "]}"]
STEPS = [one for text in ITEMS for one in (TextDelta(text), 0.15)]


def test_a_value_grows_as_a_table_in_a_panel():
    """Rows appear as they are complete, JSON never; a view that comes in the middle sees the same."""
    chat = chat_with(STEPS)
    with Page(ChatPanel(chat)) as page:
        asked = threading.Thread(target=lambda: asyncio.run(chat.send("who?", schema=list[dict[str, Any]])))
        asked.start()
        page.wait(lambda: len(page.shown) == 2 and "Ada" in "".join(page.last["blocks"]) + page.last["tail"])
        first = "".join(page.last["blocks"]) + page.last["tail"]
        assert is_as_new(page)
        asked.join()
        page.settled()
        whole = "".join(page.last["blocks"]) + page.last["tail"]

    assert "<table>" in first
    assert "items" not in first
    assert whole.count("<tr>") == 3
    assert ">林</td>" in whole


def test_what_does_not_fit_is_shown_as_it_came():
    """As code, with the error below it."""
    chat = chat_with([TextDelta("no *JSON*"), Finished("stop")])
    with Page(ChatPanel(chat)) as page:
        with pytest.raises(ChatGLMError):
            asyncio.run(chat.send("who?", schema="name, age int", repairs=0))
        page.settled()
        shown = "".join(page.last["blocks"])

    assert "no *JSON*" in shown
    assert "<code" in shown


def test_a_value_that_was_stored_is_a_table_again():
    """From its text alone, in what is saved with the notebook too; exports hold the text itself."""
    chat = chat_with(STEPS)
    asyncio.run(chat.send("who?", schema={"type": "array"}))
    path = chat.tree.path()

    shown = static_view("x", path)
    assert "| Ada | 36 |" in shown["text/markdown"]
    assert '"Ada"' in shown["text/plain"]
    assert '```json\n{"items": [' in to_markdown("x", path)
    assert "<code" in to_html("x", path)


ODD = ["", "{", "[1, 2]", '"x"', '{"value": "y"}', '{"a": {"b": [1]}}', "[]", "```json\n[]\n```", "7", "null"]


@pytest.mark.parametrize("text", [*TEXTS, *ODD])
def test_nothing_in_a_stored_value_acts(text):
    """Whatever an answer holds that should have been JSON."""
    for said in (text, json.dumps([{"a": text, text: 1}, text]), json.dumps({"value": text})):
        written = value_markdown(said)
        assert dangers(written) == {}
        assert Judge(render(written)).dangers == []


class Loudness(Enum):
    LOW = "low"


@pytest.mark.parametrize("pressed", ["regenerate", "retry", "edit"])
def test_what_was_asked_for_as_a_value_is_asked_for_as_one_again(pressed):
    """In a panel, whichever way it is asked again: after an answer that did not fit, and after one that did."""
    chat = chat_with([TextDelta("no JSON"), Finished("stop")], [TextDelta("low"), Finished("stop")])
    with pytest.raises(ChatGLMError):
        asyncio.run(chat.send("how loud?", schema=Loudness, repairs=0))
    with Page(ChatPanel(chat)) as page:
        for _ in range(2):
            question, answer = chat.tree.path()
            page.exchange(pressed, id=question.id if pressed == "edit" else answer.id, text="how loud is it?")
            assert page.panel._state.workspace.last.value is Loudness.LOW

    assert len(chat.provider.requests) == 3


def test_an_edit_of_a_question_for_text_asks_for_text():
    """What was asked for before or after it does not matter."""
    chat = chat_with([TextDelta("low"), Finished("stop")])
    asyncio.run(chat.send("how loud?", schema=Loudness))
    asyncio.run(chat.send("why?"))
    with Page(ChatPanel(chat)) as page:
        page.exchange("edit", id=chat.tree.path()[2].id, text="why so?")

    assert chat.provider.requests[-1].format is None
