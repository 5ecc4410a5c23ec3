"""Tests of what a page may send: everything else is refused, and breaks nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_kit import Page, chat_with, is_as_new

from chatglm_magic import ChatPanel, TextDelta
from chatglm_magic.panel.requests import _FIELDS, MAX_BYTES, Refused, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(sorted(_FIELDS)) | st.text(max_size=8) | JSON
NAMES = sorted({name for fields in _FIELDS.values() for name in fields})
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
        {"k": "source", "view": "v", "id": "i", "code": "all"},
        {"k": "source", "view": "v", "id": "i", "code": -1},
        {"k": "export", "view": "v", "form": "exe"},
        {"k": "find", "view": "v", "what": "file", "text": ""},
        {"k": "model", "view": "v", "name": "m" * 201},
        {"k": "draft", "view": "v", "text": "", "at": 0.5},
        {"k": "settings", "view": "v", "open": "yes"},
    ],
)
def test_what_no_page_of_ours_sends_is_refused(content):
    """Unknown kinds, missing or wrong values and what is too long are refused, with a reason in words."""
    with pytest.raises(Refused, match="page"):
        read(content)


def test_a_message_is_read_with_its_values():
    """What is sent arrives; half characters, which nothing could send on, do not."""
    asked = read({"k": "edit", "view": "v", "req": 3, "id": "i", "text": "a\ud800b 😀", "more": 1})

    assert (asked.kind, asked.view, asked.number) == ("edit", "v", 3)
    assert asked.values == {"id": "i", "text": "a\N{REPLACEMENT CHARACTER}b 😀"}


@given(JSON | NEAR)
def test_reading_gives_a_message_or_refuses(content):
    """Whatever JSON comes, it is read or refused; nothing else happens."""
    try:
        asked = read(content)
    except Refused as refused:
        told = str(refused)
    else:
        told = asked.kind
        assert set(asked.values) == set(_FIELDS[asked.kind])
    assert 0 < len(told) < 200


@settings(max_examples=25, deadline=None)
@given(st.lists(JSON | NEAR, max_size=8))
def test_no_message_breaks_a_panel(contents):
    """After any messages the panel answers, and its page shows what was said."""
    with Page(ChatPanel(chat_with([TextDelta("Hello")]))) as page:
        page.panel._session.wire._clock = iter(range(10**9)).__next__  # the pace is another test's
        for content in contents:
            page.say(content)
        page.wait(lambda: page.answer("ping")["k"] == "pong")
        page.ask("chat", name="chat")
        page.settled()

        assert "Traceback" not in str(page.got)
        assert "The panel failed" not in str(page.notes())
        assert is_as_new(page)


def test_an_oversized_message_is_refused_with_a_note():
    """A page that sends too much is told, and the panel goes on."""
    with Page(ChatPanel(chat_with([TextDelta("Hello")]))) as page:
        answer = page.answer("send", text="x" * (MAX_BYTES + 1))
        assert (answer["k"], answer["bad"]) == ("note", True)
        assert "256 kB" in answer["text"]

        assert page.exchange("send", text="hi")["blocks"] == ["<p>Hello</p>"]
