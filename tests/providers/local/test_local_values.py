"""Values from the demo model: llama.cpp's grammar keeps it in shape, and what it says is validated all the same."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

import pytest
from local_kit import MARKS
from schema_hosts import Person

from chatglm_magic import Chat
from chatglm_magic._messages import ChatOptions

pytestmark = MARKS

COUNT = int(os.environ.get("TEST_VALUES", "4"))
"""How many answers are asked for; 50 by hand."""


@pytest.mark.parametrize(
    ("schema", "prompt"),
    [
        (list[Person], "List {number} people with a name and an age."),
        (Literal["good", "bad"], "Is the mood of this sentence good or bad? I lost {number} keys and found one."),
        ("title, pages int, tags [], kind novel|essay", "Invent book number {number}."),
    ],
)
def test_each_answer_fits(schema: Any, prompt: str) -> None:
    """Without a repair, whatever the model would like to say."""
    chat = Chat("local", configured=ChatOptions())

    async def ask() -> list[tuple[str, int, bool]]:
        found = []
        for number in range(COUNT):
            asked = prompt.format(number=number % 4 + 1)
            reply = await chat.send(asked, schema=schema, remember=False, seed=number, max_tokens=800)
            found.append((reply.schema_mode, reply.repairs, bool(reply.records)))
        return found

    assert asyncio.run(ask()) == [("grammar", 0, True)] * COUNT
