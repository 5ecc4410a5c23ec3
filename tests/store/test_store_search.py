"""Words found in what was said, whatever is looked for."""

from __future__ import annotations

import re
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import Scripted, ask, tell

from chatglm_magic._chat import Chat
from chatglm_magic._store import reading, search

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


@pytest.mark.parametrize(
    ("asked", "hits"),
    [
        ("attention", ["Attention weighs", "Explain attention."]),
        ("ATTENTION", ["Attention weighs", "Explain attention."]),
        ("atten", ["Attention weighs", "Explain attention."]),
        ("attention sentence", ["Attention weighs"]),
        ('"every token"', ["Attention weighs"]),
        ('"every tok"', []),
        ("every tok", ["Attention weighs"]),
        ("机器", ["机器学习让", "用一句话"]),
        ("学习", ["机器学习让", "用一句话"]),
        ("学", ["机器学习让", "用一句话"]),
        ("习", ["机器学习让", "用一句话"]),
        ("律", ["机器学习让"]),
        ("机器学习", ["机器学习让", "用一句话"]),
        ("器学习让", ["机器学习让"]),
        ("机学", []),
        ("Python很", ["机器学习让"]),
        ("很常用", ["机器学习让"]),
        ("一句 机器", ["用一句话"]),
        ("cafe", ["Überraschung"]),
        ("UBER", ["Ja:", "Überraschung"]),
        ("c++", ["Ja:"]),
        ("c--", []),
        ("df.groupby('x')", ["Ja:"]),
        ("東京タワー", ["はい"]),
        ("京タ", ["はい"]),
        ("서울", ["안녕"]),
        ("abc123", ["Full width"]),
        ("🎉", ["Emoji"]),
        ("🎉 and", ["Emoji"]),
        ("🎈", []),
        ("!", []),
        ("?", ["Überraschung"]),
        ("", []),
        ("   ", []),
        ('"', []),
        ('""', []),
        ("AND", ["Emoji"]),
        ("NOT attention OR (", []),
        ("text:attention", []),
        ("^attention*", []),
        ("'; DROP TABLE said", []),
        ("\x00\ud800", []),
    ],
)
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

    assert (hit.thread.name, hit.role, hit.said_id) == ("long", "assistant", chat.tree.path()[1].id)
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["needle"]
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert "the needle here" in hit.snippet
    assert len(hit.snippet) < 200


def test_no_more_is_given_than_was_asked_for(filled):
    """A limit holds, for the index and for what it knows nothing of."""
    assert len(filled.search("a", 2)) == 2
    assert len(filled.search(".", 2)) == 2


def test_the_index_goes_with_what_it_is_about(filled, path):
    """What is removed is found no more, and the index is whole after every change."""
    thread = filled.find("x")
    _, said, _ = filled.load(thread.id)
    filled.remove([said[0].id])

    assert found(filled, "explain") == []
    assert len(found(filled, "attention")) == 1
    filled.forget([thread.id])
    assert found(filled, "attention") == []
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert database.execute("SELECT count(*) FROM words WHERE words MATCH 'attention'").fetchone() == (0,)
    database.close()


def test_without_an_index_all_is_read_through(filled, monkeypatch):
    """Where SQLite was built without FTS5 the same words are found, more slowly."""
    monkeypatch.setattr(reading, "has_words", lambda database: False)

    assert [text[:6] for text in found(filled, "attention")] == ["Attent", "Explai"]
    assert len(found(filled, "学习")) == 2


def test_what_is_not_in_the_index_yet_is_found(filled, path):
    """A message that waits for its place in the index is found like the others, once."""
    filled.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE said SET indexed = 0 WHERE text LIKE 'Attention%'")
        database.execute("INSERT INTO words (words) VALUES ('delete-all')")
        database.row_factory = sqlite3.Row
        hits = reading.search(database, "attention", 9)
    database.close()

    assert [hit.snippet[:9] for hit in hits] == ["Attention"]
    assert len(found(filled, "attention token")) == 1


def test_an_older_index_is_begun_anew_before_something_is_forgotten(filled, path):
    """Rules that have changed leave no word of what is forgotten behind in the index."""
    filled.close()
    with sqlite3.connect(path) as database:
        database.execute("INSERT OR REPLACE INTO fact VALUES ('fold', 'of long ago')")
        database.execute("INSERT INTO words (rowid, text) VALUES (999, 'attentionlike')")  # what we would not take out
    database.close()

    filled.forget([])

    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM words WHERE words MATCH 'attentionlike'").fetchone() == (0,)
    database.close()
    filled.close()
    assert len(found(filled, "attention")) == 2


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("机器学习大 abé,。") | st.characters(), max_size=60), data=st.data())
def test_any_part_of_a_word_run_is_found(text, data):
    """Any beginning at a word and any stretch of a run of Chinese in a text matches that text, and nothing breaks."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='unicode61 remove_diacritics 2')"
    )
    database.execute("INSERT INTO words (rowid, text) VALUES (1, ?)", (search.fold(text),))
    runs = re.findall("[机器学习大]+", text)
    asked = data.draw(st.text(max_size=20))
    if runs:
        run = data.draw(st.sampled_from(runs))
        start = data.draw(st.integers(0, len(run) - 1))
        asked = run[start : data.draw(st.integers(start + 1, len(run)))]
    matches = [thing.match for thing in search.wanted(asked) if thing.match]
    hits = [
        database.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match,)).fetchone()[0] for match in matches
    ]
    database.close()

    assert hits == [1] if runs else all(count in {0, 1} for count in hits)


@given(st.text(), st.text())
def test_a_snippet_is_a_part_of_the_line(text, asked):
    """Whatever is looked for, the snippet is cut out of the text, and its marks lie in it."""
    cut, marks = search.snippet(text, search.wanted(asked))

    assert cut.strip("…") in " ".join(text.split()) or "…" in text
    assert all(0 <= start < end <= len(cut) for start, end in marks)
