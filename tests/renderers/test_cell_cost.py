"""What showing a reply costs: messages, bytes, outputs, and how long a word waits."""

from __future__ import annotations

import re

import pytest
from front_end import chinese, play, stream

from chatglm_magic._events import Finished, Replace, TextDelta, ThinkingDelta


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
    """When the blocks are used up they become one, a few times; where nothing may be cleared the tail grows instead."""
    monkeypatch.setattr("chatglm_magic.renderers.cell._BLOCKS", 12)
    text = chinese(100_000)
    played = play(exclusive=exclusive)
    longest = 0
    for at in range(0, len(text), 400):
        played.wait(0.1)
        played.say(TextDelta(text[at : at + 400]))
        longest = max(longest, len(played.front.outputs[-1]["data"].get("text/markdown", "")))

    assert played.front.peak == most
    assert played.front.bytes < 28_000 * played.front.now + 5 * len(text.encode())
    assert played.front.cleared < 8
    assert longest < 12_000 or not exclusive


def test_blocks_that_become_one_lose_nothing(monkeypatch):
    """When all blocks have become one, it reads as they did."""
    monkeypatch.setattr("chatglm_magic.renderers.cell._BLOCKS", 6)
    text = "".join(f"Paragraph {n} says its number.\n\n" for n in range(200))
    played = play()
    for at in range(0, len(text), 20):
        played.wait(0.1)
        played.say(TextDelta(text[at : at + 20]))
    played.wait(1)

    assert played.front.cleared > 0
    assert re.sub(r"\s+", "", played.front.markdown) == re.sub(r"\s+", "", text)


def test_what_came_at_once_leaves_the_rest_cheap():
    """Behind a book that came at once, what is repainted is as short as at the beginning of a reply."""
    played = play()
    played.say(TextDelta(chinese(200_000)))
    played.wait(2)
    sent, bytes_before = len(played.front.log), played.front.bytes
    text = chinese(4000)
    for at in range(0, len(text), 4):
        played.wait(0.005)
        played.say(TextDelta(text[at : at + 4]))

    assert played.front.bytes - bytes_before < 180_000
    assert len(played.front.log) - sent < 80


def test_a_block_is_settled_where_nothing_moves(monkeypatch):
    """Where paragraphs are short, words stay in the output in which they were shown first."""
    played = play()
    publish, homes = played.front.publish, {}

    def watched(data, metadata=None, *, transient=None, update=False):
        publish(data, metadata, transient=transient, update=update)
        for word in re.findall(r"word\d+ ", data.get("text/markdown", "")):
            homes.setdefault(word, set()).add(transient["display_id"])

    monkeypatch.setattr(played.front, "publish", watched)
    for number in range(1000):
        played.wait(0.02)
        played.say(TextDelta(f"word{number} " + "end.\n\n" * (number % 10 == 0)))

    assert len(played.front.outputs) > 10
    assert {len(places) for places in homes.values()} == {1}


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
    together = played.front.markdown
    together = together if kept == "1." else re.sub(r"\n```\s+```python\n", "\n", together)
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
