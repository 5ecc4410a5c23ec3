"""Words found in what was said, whatever is looked for."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import Scripted, ask, look, tell

from chatglm_magic._chat import Chat
from chatglm_magic._store import search

SAID = (
    ("Explain attention.", "Attention weighs every token; self-attention compares a sentence with itself."),
    ("用一句话解释机器学习", "机器学习让计算机从数据中学习规律。Python很常用。"),
    ("Überraschung im Café?", "Ja: ein Gespräch über C++ und df.groupby('x')."),
    ("日本語で話して", "はい、東京タワーは高いです。"),
    ("한국어로 말해", "안녕하세요, 서울입니다."),
    ("Full width ＡＢＣ１２３", "Emoji 🎉 and ümläüts."),
)


@pytest.fixture
def filled(store):
    chat = Chat(Scripted(), name="x")
    for question, answer in SAID:
        ask(chat, question, *tell(answer))
    store.flush()
    return store


def found(store, text: str) -> list[str]:
    return [hit.snippet for hit in store.search(text)]


FOUND = {
    ("Attention weighs", "Explain attention."): ["attention", "ATTENTION", "atten"],
    ("Attention weighs",): ["attention sentence", '"every token"', "every tok", '"self attention compares"'],
    ("机器学习让", "用一句话"): ["机器", "学习", "学", "习", "机器学习"],
    ("机器学习让",): ["律", "器学习让", "Python很", "很常用"],
    ("用一句话",): ["一句 机器"],
    ("Überraschung",): ["cafe", "?"],
    ("Ja:", "Überraschung"): ["UBER"],
    ("Ja:",): ["c++", "df.groupby('x')"],
    ("はい",): ["東京タワー", "京タ"],
    ("안녕",): ["서울"],
    ("Full width",): ["abc123"],
    ("Emoji",): ["🎉", "🎉 and", "AND"],
    (): [
        *('"every tok"', "very", '"itself self-attention"', "机学", "c--", "🎈", "!", "", "   ", '"', '""'),
        *("NOT attention OR (", "text:attention", "^attention*", "'; DROP TABLE message", "\x00\ud800"),
    ],
}
"""What is found, the newest first, by what is asked."""


@pytest.mark.parametrize(("asked", "hits"), [(asked, hits) for hits, queries in FOUND.items() for asked in queries])
def test_what_is_asked_is_found(filled, asked, hits):
    """Words, beginnings of words, phrases and signs find what holds them all, the newest first."""
    snippets = found(filled, asked)

    assert len(snippets) == len(hits)
    for snippet, beginning in zip(snippets, hits, strict=True):
        assert snippet.startswith(beginning)


def test_a_hit_tells_where_it_is(filled):
    """A hit names its thread and message, and marks the words in a line cut around the first of them."""
    chat = Chat(Scripted(), name="long")
    ask(chat, "Long?", *tell("before " * 40 + "the\nneedle  here " + "after " * 40))

    (hit,) = filled.search("needle")

    assert (hit.thread.name, hit.role, hit.message_id) == ("long", "assistant", chat.tree.path()[1].id)
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["needle"]
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert "the needle here" in hit.snippet
    assert len(hit.snippet) < 200


def test_marks_are_where_the_words_are(store):
    """Each match is marked in the text as it was written, also where a comparison needs other or more letters."""
    text = "Straße, CAFÉ und Ｃａｆｅ: ﬁne café"
    ask(Chat(Scripted(), name="x"), "?", *tell(text))

    (hit,) = store.search("cafe strasse")

    assert [hit.snippet[start:end] for start, end in hit.marks] == ["Straße", "CAFÉ", "Ｃａｆｅ", "café"]


def test_no_more_is_given_than_was_asked_for(filled):
    """A limit holds, and the newest are given."""
    assert len(filled.search("a", 2)) == 2
    assert len(filled.search(".", 2)) == 2


def test_what_is_removed_is_found_no_more(filled):
    """Neither by words of the text nor by its folded copy."""
    thread = filled.find("x")
    _, said, _ = filled.load(thread.id)
    filled.write(lambda writes: writes.remove([said[0].id]))

    assert found(filled, "explain") == []
    assert len(found(filled, "attention")) == 1
    filled.forget([thread.id])
    assert found(filled, "attention") == found(filled, "uber") == []


def test_only_what_like_cannot_compare_is_stored_twice(filled, path):
    """English and Chinese are compared as they are; capital letters, accents and wide letters of others are not."""
    assert {text[:6] for (text,) in look(path, "SELECT content FROM message WHERE folded IS NOT NULL")} == {
        "Überra",
        "Ja: ei",
        "Full w",
        "Emoji ",
    }


@pytest.mark.parametrize("asked", ["word " * 2000, "w" * 100_000, '"' + "word " * 5000, "%_\\" * 500])
def test_a_long_query_is_no_error(filled, asked):
    """Whatever SQLite thinks of its length, nothing is found and nothing breaks."""
    assert found(filled, asked) == []


@pytest.mark.parametrize(("asked", "count"), [("100%", 1), ("1%0", 0), ("a_b", 1), ("a__", 0), ("\\n", 1), ("%", 1)])
def test_signs_of_the_database_are_letters(store, asked, count):
    """What has a meaning in a pattern of SQLite's is looked for as it is written."""
    ask(Chat(Scripted(), name="x"), "?", *tell("100% of a_b\\n"))

    assert len(found(store, asked)) == count


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("机器学习大 abé,。") | st.characters(), max_size=60), data=st.data())
def test_any_part_of_a_word_run_is_found(text, data):
    """Any stretch of a run of Chinese in a text matches that text, and nothing breaks."""
    runs = re.findall("[机器学习大]+", text)
    asked = data.draw(st.text(max_size=20))
    if runs:
        run = data.draw(st.sampled_from(runs))
        start = data.draw(st.integers(0, len(run) - 1))
        asked = run[start : data.draw(st.integers(start + 1, len(run)))]

    assert search.parse(asked).matches(search.fold(text)) or not runs


@settings(deadline=None)
@given(
    text=st.text(st.sampled_from("aAéÉ好，ＡßИи \x00\ud800") | st.characters(), max_size=30), asked=st.text(max_size=4)
)
def test_like_passes_all_that_matches(text, asked):
    """What SQLite compares is never stricter than what decides."""
    query = search.parse(asked)
    with closing(sqlite3.connect(":memory:")) as database:
        stored = search.folded(text) or text
        passed = [database.execute(r"SELECT ? LIKE ? ESCAPE '\'", (stored, like)).fetchone()[0] for like in query.likes]

    assert all(passed) or not query.matches(search.fold(text))


@given(st.text(), st.text())
def test_a_snippet_is_a_part_of_the_line(text, asked):
    """Whatever is looked for, the snippet is cut out of the text, and its marks lie in it."""
    cut, marks = search.snippet(text, search.parse(asked))

    assert cut.strip("…") in unicodedata.normalize("NFC", " ".join(text.split())) or "…" in text
    assert all(0 <= start < end <= len(cut) for start, end in marks)
    assert all(end <= start for (_, end), (start, _) in pairwise(marks))
