"""What showing a reply costs: messages, bytes, outputs, and how long a word waits."""

from __future__ import annotations

import re

import pytest
from front_end import chinese, play, stream

from chatglm_magic._events import (
    Finished,
    Replace,
    TextDelta,
    ThinkingDelta,
)


@pytest.mark.parametrize("exclusive", [True, False])
def test_bytes_grow_with_the_reply(exclusive):
    """A reply four times as long costs about four times the bytes, and never more than a fixed rate."""
    costs = []
    for tokens in (2500, 10_000):
        played = stream(chinese(2 * tokens), exclusive=exclusive)
        played.end()
        costs.append(played.front.bytes)
        text = len(played.reply.text.encode())

        assert played.front.bytes < 28_000 * played.front.now + 3 * text + 5000

    assert costs[1] < 7 * costs[0]


def test_a_reply_of_usual_length_is_cheap_and_prompt():
    """5,000 tokens in 25 s take half a megabyte; a token is to be seen within 50 ms as a rule, 110 ms at most."""
    played = stream(chinese(10_000))
    played.end()
    lags = sorted(played.lags)

    assert played.front.bytes < 500_000
    assert lags[len(lags) // 2] <= 0.05
    assert lags[len(lags) * 99 // 100] <= 0.11


@pytest.mark.parametrize(
    "text",
    [
        chinese(60_000),
        "```python\n" + "    x = compute(a, b)  # a comment\n" * 1500,
        "".join(f"{n}. **Point**: words\n   - more\n   - of it\n\n" for n in range(1500)),
        "| a | b |\n|---|---|\n" + "| some cell | other cell |\n" * 1500,
        "word " * 10_000,
        "one\n\n" * 10_000,
    ],
    ids=["mixed", "code", "list", "table", "paragraph", "lines"],
)
@pytest.mark.parametrize("exclusive", [True, False])
def test_no_reply_has_too_many_outputs_or_messages(text, exclusive):
    """However a reply looks, it stays below JupyterLab's 50 outputs and below 20 messages in any second."""
    played = play(exclusive=exclusive)
    for at in range(0, len(text), 40):
        played.wait(0.02)
        played.say(TextDelta(text[at : at + 40]))
    played.end()

    assert played.front.peak <= 49
    assert played.front.busiest(1.0) <= 20
    assert played.front.bytes < 28_000 * played.front.now + 3 * len(text.encode()) + 5000


@pytest.mark.parametrize(("exclusive", "most"), [(True, 12), (False, 5)])
def test_the_longest_replies_stay_below_fifty_outputs(exclusive, most, monkeypatch):
    """When the blocks are used up the tail grows instead, and is painted more rarely."""
    monkeypatch.setattr("chatglm_magic.renderers.cell._BLOCKS", 12)
    text = chinese(100_000)
    played = play(exclusive=exclusive)
    for at in range(0, len(text), 400):
        played.wait(0.1)
        played.say(TextDelta(text[at : at + 400]))

    assert played.front.peak == most
    assert played.front.bytes < 28_000 * played.front.now + 2 * len(text.encode())


def test_a_burst_costs_what_it_weighs():
    """Four times as many tokens, all at once, cost four times the bytes: what nobody can read is not painted."""
    costs = []
    for tokens in (5000, 20_000):
        played = stream(chinese(2 * tokens), seconds=0.00005)
        played.end()
        costs.append(played.front.bytes)

    assert costs[1] < 4.2 * costs[0]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("```python\n" + "".join(f"line_{n} = {n}  # a comment\n" for n in range(300)) + "```\n", "```"),
        ("".join(f"{n}. **Point {n}**: words\n\n   - more of it\n\n" for n in range(200)), "1."),
    ],
    ids=["code", "list"],
)
def test_long_blocks_are_settled_in_parts(text, kept):
    """A page of code or a long list is not repainted whole: it stands in several outputs until the end."""
    played = play()
    for at in range(0, len(text), 20):
        played.wait(0.1)
        played.say(TextDelta(text[at : at + 20]))
    played.wait(0.5)
    shown = [output["data"]["text/markdown"] for output in played.front.outputs]

    assert len(shown) > 8
    assert max(map(len, shown)) < 1500
    together = "\n".join(shown) if kept == "1." else re.sub(r"\n```\n```python\n", "\n", "\n".join(shown))
    assert re.sub(r"\s+", "", together) == re.sub(r"\s+", "", text)


def test_a_reply_that_comes_at_once_takes_few_messages():
    """A cached reply, a thousand events in no time, is shown in a handful of messages."""
    text = chinese(20_000)
    played = play()
    played.say(*(TextDelta(text[at : at + 20]) for at in range(0, len(text), 20)), Finished("stop"))
    played.end()

    assert len(played.front.log) <= 5
    assert played.front.bytes < 3 * len(text.encode()) + 5000


def test_thinking_is_calm():
    """While a model thinks, a glance four times a second is enough."""
    played = play()
    for _ in range(400):
        played.wait(0.005)
        played.say(ThinkingDelta("word "))

    assert 7 <= len(played.front.log) <= 11


def test_a_correction_of_a_long_reply_takes_few_messages():
    """Many blocks are cleared at once, not emptied one by one."""
    played = stream(chinese(10_000))
    sent = len(played.front.log)
    played.say(Replace("Something else."))
    played.wait(1)

    assert len(played.front.log) - sent <= 3
    assert len(played.front.outputs) == 1
