"""Tests of what a page may send: everything else is refused, and breaks nothing."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_kit import Page, chat_with, is_as_new

from chatglm_magic import ChatPanel, TextDelta
from chatglm_magic.panel.protocol import MAX_BYTES, Edit, Note, Request, read
from chatglm_magic.panel.state import FAILED

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = get_args(Request)
KINDS = st.sampled_from([kind.__struct_config__.tag for kind in REQUESTS]) | st.text(max_size=8) | JSON
NAMES = sorted({name for kind in REQUESTS for name in kind.__struct_fields__} - {"view", "req"})
NEAR = st.fixed_dictionaries(
    {"k": KINDS},
    optional={
        "view": st.just("view") | JSON,
        "req": st.integers(0, 99) | JSON,
        **dict.fromkeys(NAMES, JSON | st.sampled_from(["md", "model", "chat", "hi", 1, -1])),
    },
)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "ready",
        {},
        {"k": "ready"},
        {"k": "ready", "view": ""},
        {"k": "ready", "view": "v" * 81},
        {"k": "ready", "view": 1},
        {"k": "ready", "view": "v", "req": True},
        {"k": "ready", "view": "v", "req": -1},
        {"k": "ready", "view": "v", "req": 2**53},
        {"k": "nonsense", "view": "v"},
        {"k": ["ready"], "view": "v"},
        {"k": "send", "view": "v"},
        {"k": "send", "view": "v", "text": 1},
        {"k": "send", "view": "v", "text": "x" * (MAX_BYTES + 1)},
        {"k": "send", "view": "v", "text": "好" * (MAX_BYTES // 3 + 1)},
        {"k": "version", "view": "v", "id": "i", "step": 2},
        {"k": "version", "view": "v", "id": "i", "step": True},
        {"k": "version", "view": "v", "id": "", "step": 1},
        {"k": "cell", "view": "v", "blocks": "x = 1"},
        {"k": "cell", "view": "v", "blocks": []},
        {"k": "cell", "view": "v", "blocks": [{"language": "python"}]},
        {"k": "cell", "view": "v", "blocks": [{"language": "", "source": "x" * (MAX_BYTES // 2 + 1)}] * 2},
        {"k": "export", "view": "v", "form": "exe"},
        {"k": "find", "view": "v", "what": "file", "text": ""},
        {"k": "model", "view": "v", "name": "m" * 201},
        {"k": "draft", "view": "v", "text": "", "at": 0.5},
        {"k": "set", "view": "v", "chat": "x", "name": "mood", "text": "good"},
    ],
)
def test_what_no_page_of_ours_sends_is_refused(content):
    """Unknown kinds, missing or wrong values and what is too long are refused, with a reason in words."""
    answer = read(content)

    assert isinstance(answer, Note)
    assert answer.bad
    assert "page" in answer.text


def test_a_message_is_read_with_its_values():
    """What is sent arrives; half characters, which nothing could send on, do not."""
    request = read({"k": "edit", "view": "v", "req": 3, "id": "i", "text": "a\ud800b 😀", "more": 1})

    assert request == Edit(view="v", req=3, id="i", text="a\N{REPLACEMENT CHARACTER}b 😀")


def test_a_refusal_goes_to_the_request_that_caused_it():
    """The view that asked is answered, by the request's number, so that the words go back to their box."""
    answer = read({"k": "send", "view": "v", "req": 3, "text": None})
    assert (answer.view, answer.number) == ("v", 3)
    assert answer.text.startswith("The page's 'send' was refused: ")

    answer = read({"k": "fly", "view": "v", "req": 4})
    assert (answer.view, answer.number) == ("v", 4)
    assert "does not know" in answer.text

    answer = read({"k": "send", "req": 5, "text": "hi"})
    assert (answer.view, answer.number) == ("", 0)


def test_a_text_of_the_largest_size_is_taken():
    """The limit counts the UTF-8 bytes of what was typed, not those of its JSON."""
    for text in ("\n" * MAX_BYTES, "好" * (MAX_BYTES // 3)):
        assert read({"k": "send", "view": "v", "text": text}).text == text


@given(JSON | NEAR)
def test_reading_gives_a_message_or_refuses(content):
    """Whatever JSON comes, it is read or refused; nothing else happens."""
    request = read(content)

    assert isinstance(request, REQUESTS) or (isinstance(request, Note) and request.bad and len(request.text) < 200)


@settings(max_examples=25, deadline=None)
@given(st.lists(JSON | NEAR, max_size=8))
def test_no_message_breaks_a_panel(contents):
    """After any messages the panel answers, and its page shows what was said."""
    with Page(ChatPanel(chat_with([TextDelta("Hello")]))) as page:
        page.panel._state.channel._clock = iter(range(10**9)).__next__  # the pace is another test's
        for content in contents:
            page.say(content)
        page.wait(lambda: page.answer("ping")["k"] == "pong")
        page.ask("chat", name="chat")
        page.settled()

        assert "Traceback" not in str(page.got)
        assert FAILED not in str(page.notes())
        assert is_as_new(page)


def test_an_oversized_message_is_refused_with_a_note():
    """A page that sends too much is told, and the panel goes on."""
    with Page(ChatPanel(chat_with([TextDelta("Hello")]))) as page:
        answer = page.answer("send", text="x" * (MAX_BYTES + 1))
        assert (answer["k"], answer["bad"]) == ("note", True)
        assert "256 kB" in answer["text"]

        assert page.exchange("send", text="hi")["blocks"] == ["<p>Hello</p>"]
