"""Raw model text: think tags taken apart over any cuts, leaked control tokens trimmed at the very end."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai_frames import chunk, decode, many, sse, text

from chatglm_magic._events import Part, Replace
from chatglm_magic.providers.openai.think_tags import CONTROL_TOKENS, PAIRS

END = chunk(finish="stop")
TOKENS = re.compile("(?:(?:" + "|".join(map(re.escape, CONTROL_TOKENS)) + r")\s*)+\Z")


def said(*pieces: str, think_tags: bool = True) -> tuple[str, str]:
    """Return the thinking and the text of content sent in these pieces."""
    reply = decode(sse(*map(text, pieces), END), think_tags=think_tags).reply
    return reply.thinking, reply.text


@pytest.mark.parametrize(
    ("content", "thinking", "answer"),
    [
        ("<think>hm</think>4", "hm", "4"),
        ("\n <think>hm\n</think>\n\n4", "hm\n", "4"),
        ("<think></think>\n4", "", "4"),
        ("<think>hm</think></think>\n4", "hm", "4"),
        ("<think>never closed", "never closed", ""),
        ("<think>a < b </thin", "a < b </thin", ""),
        ("I think so</think>\n\n4", "I think so", "4"),
        ("</think>\n\n4", "", "4"),
        (" plain", "", " plain"),
        ("\n\n", "", "\n\n"),
        ("<thin air", "", "<thin air"),
        ("say <think>hm</think> twice", "", "say <think>hm</think> twice"),
        ("say <think>hm</think> twice</think>4", "say <think>hm</think> twice", "4"),
        ("the tag `<think>` hm</think>4", "the tag `<think>` hm", "4"),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        ("lone</think>b</think>c", "lone", "b</think>c"),
        ("close with `</think>`.", "", "close with `</think>`."),
        ("```html\n</think>\n```\n", "", "```html\n</think>\n```\n"),
        ("about `</think>`: hm</think>4", "about `</think>`: hm", "4"),
        ("```\n</think>\n```\nhm</think>4", "```\n</think>\n```\nhm", "4"),
        ("x" * 5_000 + "</think>4", "x" * 5_000, "4"),
        (" " * 2_000 + "<think>", "", " " * 2_000 + "<think>"),
    ],
)
def test_think_tags(content: str, thinking: str, answer: str) -> None:
    """Thinking and answer are told apart, whole and character by character."""
    assert (thinking, answer) == said(content)
    assert (thinking, answer) == said(*content)


@pytest.mark.parametrize(("opening", "closing"), PAIRS.items())
def test_other_families_tags(opening: str, closing: str) -> None:
    """Tags of other families are told apart at the beginning, in upper and lower case; elsewhere they are text."""
    for spell in (str.lower, str.upper, str.title):
        content = f"\n{spell(opening)}hm < [ {closing[:-1]}{spell(closing)}\n4"
        assert (f"hm < [ {closing[:-1]}", "4") == said(content) == said(*content)
    text = f"4 {opening}hm"
    assert ("", text) == said(text) == said(*text)


@pytest.mark.parametrize("think_tags", [True, False])
@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("It is <|begin_of_box|>42<|end_of_box|>.", "It is 42."),
        ("<|begin_of_box|>a<|end_of_box|>\n<|begin_of_box|>b<|end_of_box|>", "a\nb"),
        ("a <|begin_of_", "a <|begin_of_"),
        ("a < b", "a < b"),
        ("Write `<|end_of_box|>`: <|end_of_box|>", "Write `<|end_of_box|>`: "),
        ("```\n<|begin_of_box|>\n```\n<|begin_of_box|>4", "```\n<|begin_of_box|>\n```\n4"),
        ("<|begin_of_box|>4" * 100, "4" * 100),
    ],
)
def test_boxes(content: str, answer: str, think_tags: bool) -> None:  # noqa: FBT001 - a table
    """GLM's box marks are no part of the answer, in any cuts, but where it writes about them."""
    assert ("", answer) == said(content, think_tags=think_tags) == said(*content, think_tags=think_tags)


def test_off_for_the_platforms() -> None:
    """Where the option is off, tags and tokens are text."""
    content = "<think>hm</think>4<|user|>"

    assert ("", content) == said(*content, think_tags=False)


def test_late_close_replaces() -> None:
    """A lone `</think>` after text was shown corrects it by one `Replace`; thinking is then the first part."""
    outcome = decode(sse(text("hm"), text("m</th"), text("ink>4"), END), [40])

    assert [Replace("", "hmm")] == [event for event in outcome.events if isinstance(event, Replace)]
    assert [Part("thinking", "hmm"), Part("text", "4")] == outcome.reply.parts


def test_thinking_field_settles_it() -> None:
    """Where thinking has a field of its own, a `</think>` in the answer is text, but for one before its first word."""
    outcome = decode(sse(chunk({"reasoning_content": "hm"}), text("\n</thi"), text("nk>\nuse </think> here"), END))
    late = decode(sse(text("a"), chunk({"reasoning_content": "hm"}), text("b</think>c"), END))

    assert (outcome.reply.thinking, outcome.reply.text) == ("hm", "use </think> here")
    assert (late.reply.thinking, late.reply.text) == ("hm", "ab</think>c")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("4<|user|>", "4"),
        ("4\n<|user|>\n", "4\n"),
        ("4<|endoftext|><|user|> <eop>\n", "4"),
        ("4<|us", "4<|us"),
        ("4<|user|><|us", "4<|user|><|us"),
        ("the <|user|> token", "the <|user|> token"),
        ("a <|user|> <|user|> b<eop>", "a <|user|> <|user|> b"),
        ("a <|user|> <|unknown|>", "a <|user|> <|unknown|>"),
        ("if a < b and c <", "if a < b and c <"),
        ("<|user|>", ""),
        ("<think>hm</think>4<|observation|>", "4"),
        ("hm<|user|></think>4<|user|>", "4"),
    ],
)
def test_leaked_tokens(content: str, answer: str) -> None:
    """Control tokens at the very end go; anywhere else they are text."""
    assert answer == said(content)[1]
    assert answer == said(*content)[1]


def test_held_back_text_is_not_late() -> None:
    """Only what may yet be a tag or a token is held back."""
    assert decode(sse(text("a < b"), done=False)).events[0].text == "a < b"
    assert decode(sse(text("a <"), text("b"), done=False), [10_000]).reply.text == "a <b"


# A whole text taken apart in one look: what the decoder must come to in many.


def quoted(before: str) -> bool:
    lines = before.split("\n")
    fences = sum(bool(re.match(r" {0,3}(```|~~~)", line)) for line in lines)
    return fences % 2 == 1 or lines[-1].count("`") % 2 == 1


def pairs(before: str) -> bool:
    found = list(re.finditer("</?think>", before))
    return bool(found) and found[-1][0] == "<think>" and not quoted(before[: found[-1].start()])


def answer_of(rest: str) -> str:
    while (body := rest.lstrip()).startswith("</think>"):
        rest = body.removeprefix("</think>")
    return TOKENS.sub("", body)


def expected(content: str) -> tuple[str, str]:
    body = content.lstrip()
    if body.startswith("<think>"):
        thinking, _, rest = body.removeprefix("<think>").partition("</think>")
        return thinking, answer_of(rest)
    if body.startswith("</think>"):
        return "", answer_of(body)
    for found in list(re.finditer("</think>", content))[:8]:
        if not quoted(content[: found.start()]) and not pairs(content[: found.start()]):
            return content[: found.start()], answer_of(content[found.end() :])
    return "", TOKENS.sub("", content)


SCRAPS = [
    "<think>",
    "</think>",
    "<",
    "</",
    "think>",
    "`",
    "```\n",
    "\n",
    " ",
    "a",
    "长",
    "<|user|>",
    "<eop>",
    "<|",
    "|>",
]


@many
@given(st.lists(st.sampled_from(SCRAPS), max_size=24), st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
@example(["`</think>`"] * 9 + ["</think>a"], [1], None)
def test_any_content(scraps: list[str], cuts: list[int], data: st.DataObject | None) -> None:
    """Any content cut into any deltas, and their bytes into any reads, comes to what one look at the whole gives."""
    content = "".join(scraps)
    deltas, start, turn = [], 0, 0
    while start < len(content):
        deltas.append(content[start : start + cuts[turn % len(cuts)]])
        start, turn = start + cuts[turn % len(cuts)], turn + 1
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=5)) if data else [1]

    reply = decode(sse(*map(text, deltas), END), sizes).reply

    assert expected(content) == (reply.thinking, reply.text)


def test_a_loop_of_tokens_is_linear() -> None:
    """A model that emits nothing but turn tokens is held back in linear time and trimmed."""
    frames = [text("<|user|>")] * 20_000

    assert decode(sse(text("4"), *frames, END), [500]).reply.text == "4"
