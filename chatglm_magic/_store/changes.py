"""How the store is written: each function does one thing, inside a transaction of its caller, and may be repeated."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from .._masks import Mask
from . import owner
from .schema import has_words
from .values import Row, Thread

_COLUMNS = (
    "parent",
    "role",
    "text",
    "thought",
    "created",
    "cell",
    "finish_reason",
    "model",
    "provider",
    "key",
    "rest",
)
_INSERT = f"""
    INSERT INTO said (id, thread, place, owner, beat, {", ".join(_COLUMNS)})
    VALUES (:id, :thread, :place, :owner, :beat, {", ".join(f":{name}" for name in _COLUMNS)})
"""  # noqa: S608 - the names are those above
_UPDATE = f"""
    UPDATE said SET thread = :thread, place = :place, owner = :owner, beat = :beat, indexed = 0,
    {", ".join(f"{name} = :{name}" for name in _COLUMNS)} WHERE number = :number
"""  # noqa: S608 - as above
BATCH = 200
"""How many messages are indexed in one transaction, where many wait."""


class Changes:
    """The ways to change a store.

    Args:
        database: Where; in a transaction whenever a method is called, but for `vacuum`.

    Attributes:
        mask: Takes keys out of all that is written.
        is_behind: Whether messages wait to be put into the index of words.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._words = has_words(database)
        self.mask = Mask(())
        self.is_behind = self._words

    def name_file(self) -> str:
        """Give the name that a file has from its beginning, and no other one that takes its place."""
        self._db.execute("INSERT OR IGNORE INTO fact VALUES ('name', ?)", (uuid.uuid4().hex,))
        return str(self._db.execute("SELECT value FROM fact WHERE name = 'name'").fetchone()["value"])

    def put_thread(self, thread: Thread) -> None:
        """Keep a thread, or what has changed of it."""
        settings = self.mask(json.dumps(dict(thread.settings), default=str))
        values = (self._text(thread.name), thread.updated, settings, thread.id)
        changed = self._db.execute("UPDATE thread SET name = ?, updated = ?, settings = ? WHERE id = ?", values)
        if not changed.rowcount:  # "on conflict" would use up a number each time, which people are to type
            self._db.execute(
                "INSERT INTO thread (name, updated, settings, id, created) VALUES (?, ?, ?, ?, ?)",
                (*values, thread.created),
            )

    def change_thread(self, thread: Thread) -> None:
        """Keep what has changed of a thread, if it is kept at all."""
        if self._thread(thread.id) is not None:
            self.put_thread(thread)

    def rename(self, thread_id: str, name: str) -> None:
        """Give a thread another name."""
        self._db.execute("UPDATE thread SET name = ? WHERE id = ?", (self._text(name), thread_id))

    def put(self, thread_id: str, row: Row, place: int, *, streams: bool) -> None:
        """Keep a message, in place of what was kept of it.

        Args:
            thread_id: Its thread; empty for one that was asked aside.
            row: The message.
            place: Which of its parent's children it is.
            streams: Whether more of it is coming, piece by piece, from this process.
        """
        thread = self._thread(thread_id) if thread_id else None
        if thread_id and thread is None:
            return  # forgotten in the meantime
        told = {name: self._text(value) if isinstance(value, str) else value for name, value in row.items()}
        told |= {"thread": thread, "place": place}
        told |= {"owner": owner.me(), "beat": time.time()} if streams else {"owner": "", "beat": 0}
        kept = self._kept(row["id"])
        if kept is None:
            self._db.execute(_INSERT, told)
        else:
            self._unindex(kept)
            self._db.execute(_UPDATE, {**told, "number": kept["number"]})
            self._db.execute("DELETE FROM piece WHERE said = ?", (kept["number"],))
        self.is_behind |= self._words and not streams

    def grow(self, said_id: str, text: str, thought: str, *, anew: bool) -> None:
        """Keep more words of an answer that streams, or say that it lives where there are none.

        Args:
            said_id: The answer.
            text: More of its words.
            thought: More of its thoughts.
            anew: Whether these take the place of all pieces before.
        """
        number = self._number(said_id)
        if number is None:
            return
        if anew:
            self._db.execute("DELETE FROM piece WHERE said = ?", (number,))
        if text or thought:
            values = (number, encoded(text), encoded(thought))
            self._db.execute("INSERT INTO piece (said, text, thought) VALUES (?, ?, ?)", values)
        self._db.execute("UPDATE said SET beat = ? WHERE number = ?", (time.time(), number))

    def move(self, said_id: str, parent: str, place: int, cell: str) -> None:
        """Keep a message's new place, and which cell asks it now."""
        self._db.execute(
            "UPDATE said SET parent = ?, place = ?, cell = ? WHERE id = ?", (parent, place, self._text(cell), said_id)
        )

    def choose(self, thread_id: str, chosen: Mapping[str, str]) -> None:
        """Keep which child of a message the path takes; an empty one is none in particular."""
        thread = self._thread(thread_id)
        if thread is None:
            return
        for parent, child in chosen.items():
            if child:
                self._db.execute("INSERT OR REPLACE INTO chosen VALUES (?, ?, ?)", (thread, parent, child))
            else:
                self._db.execute("DELETE FROM chosen WHERE thread = ? AND parent = ?", (thread, parent))

    def remove(self, said_ids: Iterable[str]) -> None:
        """Remove messages, and the threads that hold nothing more."""
        for said_id in said_ids:
            kept = self._kept(said_id)
            if kept is None:
                continue
            self._unindex(kept)
            self._db.execute("DELETE FROM said WHERE number = ?", (kept["number"],))
            self._db.execute(
                "DELETE FROM thread WHERE number = ? AND NOT EXISTS (SELECT 1 FROM said WHERE thread = thread.number)",
                (kept["thread"],),
            )

    def forget(self, thread_ids: Iterable[str]) -> None:
        """Remove threads with all that was said in them."""
        for thread_id in thread_ids:
            thread = self._thread(thread_id)
            rows = self._db.execute("SELECT id FROM said WHERE thread = ?", (thread,)).fetchall()
            self.remove(row["id"] for row in rows)
            self._db.execute("DELETE FROM thread WHERE number = ?", (thread,))

    def forget_before(self, moment: float | None) -> None:
        """Remove what was last changed before a moment, also what was asked aside; everything where it is None."""
        until = float("inf") if moment is None else moment
        threads = self._db.execute("SELECT id FROM thread WHERE updated < ?", (until,)).fetchall()
        self.forget(row["id"] for row in threads)
        aside = self._db.execute("SELECT id FROM said WHERE thread IS NULL AND created < ?", (until,)).fetchall()
        self.remove(row["id"] for row in aside)

    def mend(self) -> None:
        """End the answers whose processes died: what had come of them is all there will be."""
        rows = self._db.execute("SELECT number, owner, beat FROM said WHERE owner != ''").fetchall()
        for row in rows:
            if owner.lives(row["owner"], row["beat"]):
                continue
            text, thought = pieces(self._db, row["number"])
            self._db.execute(
                "UPDATE said SET text = text || ?, thought = thought || ?, finish_reason = 'interrupted', owner = '' "
                "WHERE number = ?",
                (encoded(text), encoded(thought), row["number"]),
            )
            self._db.execute("DELETE FROM piece WHERE said = ?", (row["number"],))

    def index_some(self) -> None:
        """Put messages into the index that are not in it yet, a handful."""
        if not self._words:
            return
        from .search import FOLD, fold  # its patterns take longer to make than a first answer should wait

        self._db.execute("INSERT OR IGNORE INTO fact VALUES ('fold', ?)", (FOLD,))
        rows = self._db.execute(
            "SELECT number, thread, text FROM said WHERE indexed = 0 AND owner = '' LIMIT ?", (BATCH,)
        ).fetchall()
        for row in rows:
            if row["thread"] is not None:
                words = fold(decoded(row["text"]))
                self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row["number"], words))
            self._db.execute("UPDATE said SET indexed = 1 WHERE number = ?", (row["number"],))
        self.is_behind = len(rows) == BATCH

    def renew_index(self) -> None:
        """Begin the index anew if other rules made it: only those could take out of it what they have put in."""
        if not self._words:
            return
        from .search import FOLD

        row = self._db.execute("SELECT value FROM fact WHERE name = 'fold'").fetchone()
        if row is None or row["value"] != FOLD:
            self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            self._db.execute("UPDATE said SET indexed = 0")
            self._db.execute("INSERT OR REPLACE INTO fact VALUES ('fold', ?)", (FOLD,))
            self.is_behind = True

    def vacuum(self) -> bool:
        """Write the file anew without what is gone, the log too; outside a transaction. Tell whether it is done."""
        if self._words:
            self._db.execute("INSERT INTO words (words) VALUES ('optimize')")
        self._db.execute("VACUUM")
        busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def _text(self, value: str) -> str | bytes:
        return encoded(self.mask(value))

    def _thread(self, thread_id: str) -> int | None:
        row = self._db.execute("SELECT number FROM thread WHERE id = ?", (thread_id,)).fetchone()
        return None if row is None else int(row["number"])

    def _number(self, said_id: str) -> int | None:
        row = self._db.execute("SELECT number FROM said WHERE id = ?", (said_id,)).fetchone()
        return None if row is None else int(row["number"])

    def _kept(self, said_id: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(
            "SELECT number, thread, text, indexed FROM said WHERE id = ?", (said_id,)
        ).fetchone()
        return row

    def _unindex(self, kept: sqlite3.Row) -> None:
        """Take a message out of the index, which must be told the same words that it was given."""
        if self._words and kept["indexed"] and kept["thread"] is not None:
            from .search import fold

            words = fold(decoded(kept["text"]))
            self._db.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (kept["number"], words))


def pieces(database: sqlite3.Connection, number: int) -> tuple[str, str]:
    """Give the words and the thoughts that came of an answer since it was put."""
    rows = database.execute("SELECT text, thought FROM piece WHERE said = ? ORDER BY number", (number,)).fetchall()
    return "".join(decoded(row["text"]) for row in rows), "".join(decoded(row["thought"]) for row in rows)


def encoded(text: str) -> str | bytes:
    """Give a text as SQLite takes it: halves of characters, which UTF-8 does not have, make bytes of it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def decoded(value: Any) -> str:  # noqa: ANN401 - as SQLite gives it
    """Give a text back as it was before `encoded`."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else str(value)
