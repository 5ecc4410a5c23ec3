"""Several rows in one request: matched by number, and whatever is missing, double or invalid is asked alone."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from map_kit import RowServer, answers

from chatglm_magic import Chat
from chatglm_magic._map.packing import packed_answers, packed_request
from chatglm_magic._map.question import Question
from chatglm_magic._map.source import Template

PROMPT = "What of row {it}?"


class Packed:
    """A server that answers packed rows, and notes how many came in each request.

    Attributes:
        sizes: How many rows each request held.
        spoil: Changes the list of answers before it is sent.
    """

    def __init__(self, glm, spoil=lambda rows: rows) -> None:
        self.sizes: list[int] = []
        self.spoil = spoil
        self.server = RowServer(glm, self._behave)

    async def _behave(self, asked):
        data = re.search(r'^\{"rows": .*$', asked.prompt, re.MULTILINE)
        if data is None:
            self.sizes.append(1)
            return None
        rows = json.loads(data[0])["rows"]
        self.sizes.append(len(rows))
        said = [{"i": row["i"], "value": f"answer to {row['it']}"} for row in rows]
        said = self.spoil(said)
        if said is None:
            return await asked.refuse(400, "1301")
        return await asked.say(f"Here you are:\n```json\n{json.dumps({'rows': said})}\n```")


def map_of(server: RowServer) -> Chat:
    return Chat("openai", base_url=server.url, model="glm-4.7")


def test_rows_are_packed(glm):
    """Forty rows in requests of twenty: two requests, all answers where they belong, the tokens shared out."""
    packed = Packed(glm)
    rows = map_of(packed.server).map(PROMPT, range(40), rows_per_request=20, concurrency=1).result()

    assert rows.values == answers(range(40))
    assert packed.sizes == [20, 20]
    assert rows.tokens == 14


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[:-1],
        lambda rows: [*rows[:-1], rows[0]],
        lambda rows: [*rows, {"i": 99, "value": "nobody's"}],
        lambda rows: [{**row, "i": str(row["i"])} if row["i"] == 3 else row for row in rows],
        lambda rows: [row for row in rows if row.pop("value") is None],
        lambda _: [],
        lambda _: None,
        lambda rows: rows[::-1],
    ],
    ids=["missing", "double", "unknown", "text number", "no values", "empty", "refused", "reversed"],
)
def test_what_is_not_sure_is_asked_alone(glm, spoil):
    """No row gets another one's answer, and each has one in the end."""
    packed = Packed(glm, spoil)
    rows = map_of(packed.server).map(PROMPT, range(10), rows_per_request=10, concurrency=1).result()

    assert rows.values == answers(range(10))
    assert packed.sizes[0] == 10
    assert set(packed.sizes[1:]) <= {1}


def test_a_refused_request_stays_packed(glm):
    """A rate limit is no reason to send more requests."""
    packed = Packed(glm)
    behave = packed._behave

    async def refuse_once(asked):
        if asked.number == 1:
            return await asked.refuse(429, "1302", **{"Retry-After": "0.01"})
        return await behave(asked)

    packed.server._behave = refuse_once
    rows = map_of(packed.server).map(PROMPT, range(10), rows_per_request=5, concurrency=1).result()

    assert rows.values == answers(range(10))
    assert packed.sizes == [5, 5]


def test_packed_answers_are_kept_as_any_others(glm, store):
    """A row that was answered in company is not asked again alone."""
    packed = Packed(glm)
    chat = map_of(packed.server)
    chat.map(PROMPT, range(10), rows_per_request=10, concurrency=1).result()
    rows = chat.map(PROMPT, range(10)).result()

    assert rows.values == answers(range(10))
    assert packed.sizes == [10]


def test_only_what_the_prompt_names_is_sent(glm):
    """Of a table's rows the named columns are packed, and values are checked by the schema each by itself."""
    glm.forget()
    server = RowServer(glm)
    seen = []

    async def behave(asked):
        seen.append(asked.recorded.json)
        moods = ["good", "so so", "bad"]
        if "rows" in asked.prompt:
            said = [{"i": number, "value": {"value": mood}} for number, mood in enumerate(moods)]
            return await asked.say(json.dumps({"rows": said}))
        return await asked.say('{"value": "good"}')

    server._behave = behave
    frame = pd.DataFrame({"text": ["a", "b", "c"], "secret": ["x", "y", "z"]})
    rows = (
        map_of(server)
        .map("Mood of {text}?", frame, schema=Literal["good", "bad"], rows_per_request=3, concurrency=1)
        .result()
    )

    assert rows.values.tolist() == ["good", "good", "bad"]
    assert len(seen) == 2
    assert '{"i": 0, "text": "a"}' in seen[0]["messages"][-1]["content"]
    assert "secret" not in seen[0]["messages"][-1]["content"]
    assert seen[0]["response_format"]["json_schema"]["name"] == "rows"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"rows": [{"i": 0, "value": "a"}, {"i": 1, "value": {"b": 1}}]}', {0: "a", 1: '{"b": 1}'}),
        ('[{"i": 1, "value": "a"}]', {1: "a"}),
        ('I think {this}: {"rows": [{"i": 0, "value": "a"}]} done', {0: "a"}),
        ('{"rows": [{"i": true, "value": "a"}, 5, {"i": 0}]}', {}),
        ("nothing", {}),
        ('{"rows": [', {}),
        ('{"rows": [{"i": 0, "value": "a"}, {"i": 1, "value": "b', {0: "a"}),
        ('Here:\n```json\n[ {"i": 1, "value": {"b": [1]}} , {"i"', {1: '{"b": [1]}'}),
        ('{"rows": [{"i": 0, "value": "a"}, {"i": 1, "value": b}]}', {0: "a"}),
        ('{"rows": [{"i": 0, "value": [{"i": 1, "value": "a"}, ', {}),
        ('As [1] says: {"rows": [{"i": 0, "value": "a"}]}', {0: "a"}),
        ("[" * 100_000, {}),
    ],
)
def test_a_packed_reply_is_read_whatever_surrounds_it(text, expected):
    """Prose, fences and bare lists are forgiven; what has no number is nobody's, and what is cut off is nothing."""
    assert packed_answers(text, 2) == expected


def test_of_a_packed_answer_that_is_cut_only_the_rest_is_asked_alone(glm):
    """The rows that it holds whole are as good as any others."""
    packed = Packed(glm)
    behave = packed._behave

    async def cut(asked):
        if "rows" not in asked.prompt:
            return await behave(asked)
        packed.sizes.append(4)
        said = [{"i": number, "value": f"answer to {number}"} for number in range(4)]
        return await asked.say(json.dumps({"rows": said})[:-8], "length")

    packed.server._behave = cut
    rows = map_of(packed.server).map(PROMPT, range(4), rows_per_request=4, concurrency=1).result()

    assert rows.values == answers(range(4))
    assert packed.sizes == [4, 1]
    assert {row.finish_reason for row in rows} == {"stop"}


@pytest.mark.parametrize(
    ("prompt", "values", "question", "data"),
    [
        ("Of {it.x}?", [SimpleNamespace(x=1, secret=2)], "Of {it.x}?", [{"i": 0, "it.x": 1}]),
        ("Of {it['a'][0]}?", [{"a": [5], "b": 6}], "Of {it['a'][0]}?", [{"i": 0, "it['a'][0]": 5}]),
        ("Of {it}, not {{a}}?", ["x"], "Of {it}, not {a}?", [{"i": 0, "it": "x"}]),
        ("Of {it}?", [[1.0, math.nan], (np.int64(5), np.True_)], "Of {it}?", [[1.0, None], [5, True]]),
    ],
    ids=["attribute", "item", "literal", "missing"],
)
def test_a_packed_row_has_what_the_prompt_names(prompt, values, question, data):
    """The value of each path under its name, as JSON; doubled braces are single ones, as in a row that is alone."""
    text = packed_request(Question(prompt), Template(prompt), values).messages[-1].text
    sent = json.loads(text.split("\n\n")[3], parse_constant=lambda name: pytest.fail(f"sent {name}"))["rows"]

    assert f"Question: {question}" in text
    assert sent == data or [row["it"] for row in sent] == data


def test_a_column_may_be_called_as_a_rows_number_is():
    """Its value and the number are both there."""
    template = Template("Of {i}?", ("i",))
    text = packed_request(Question("Of {i}?"), template, [{"i": 7}]).messages[-1].text

    assert '{"i": 0, "fields": {"i": 7}}' in text
