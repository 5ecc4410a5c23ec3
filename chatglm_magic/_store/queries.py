"""All that is read from the store and written to it, as SQL on a connection of the caller."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from .._conversation.message_node import MessageNode
from .._credentials import Mask
from .._messages import ImagePart
from . import search
from .errors import code_of
from .location import is_alive, this_process
from .records import COLUMNS, AnswerRow, Batch, Hit, Row, Thread, from_sql, node_of, to_sql

_log = logging.getLogger(__name__)

_THREADS = """
    SELECT thread.*,
        (SELECT count(*) FROM message WHERE message.thread = thread.number) AS count,
        (SELECT substr(content, 1, 400) FROM message WHERE message.thread = thread.number AND role = 'user'
         ORDER BY message.number LIMIT 1) AS title
    FROM thread
"""
_NEWEST = "ORDER BY updated DESC, number DESC"
_NOT_EMPTY = "EXISTS (SELECT 1 FROM message WHERE message.thread = thread.number)"
_DROP_BLOBS = "DELETE FROM blob WHERE sha256 NOT IN (SELECT sha256 FROM message_blob)"
_TITLE = 80
_KEYS = 500
"""Keys in one question; older versions of SQLite take 999."""
_ROWS = 140
"""Rows in one statement, of seven values each."""
_VALUES = (*COLUMNS, "details", "folded", "thread", "position", "process", "heartbeat")
_PUT = f"""
    INSERT INTO message ({", ".join(_VALUES)}) VALUES ({", ".join(f":{name}" for name in _VALUES)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _VALUES)}
"""  # noqa: S608 - the names are those above


class Reads:
    """Questions to a store, asked as `Store` has them."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def threads(self, limit: int, text: str) -> list[Thread]:
        """See `Store.threads`."""
        found: list[Thread] = []
        wanted = search.fold(text).strip()
        rows = self._threads(f"WHERE {_NOT_EMPTY} {_NEWEST}")
        for row in rows:
            if len(found) >= limit:
                break
            thread = _thread(row)
            if not wanted or wanted in search.fold(f"{thread.name}\n{thread.title}"):
                found.append(thread)
        rows.close()
        return found

    def find(self, name: str) -> Thread | None:
        """See `Store.find`."""
        if name.startswith("#") and name[1:].isdecimal() and len(name) < 19:  # noqa: PLR2004 - more fit in no integer
            found = self._first("WHERE number = ?", int(name[1:]))
            if found is not None:
                return found
        return self._first(f"WHERE name = ? {_NEWEST} LIMIT 1", to_sql(name))

    def of_cell(self, cell: str, name: str) -> Thread | None:
        """See `Store.of_cell`."""
        return self._first(
            "WHERE number = (SELECT message.thread FROM message JOIN thread ON thread.number = message.thread "
            "WHERE cell = ? AND cell != '' AND (? = '' OR name = ?) ORDER BY message.number DESC LIMIT 1)",
            to_sql(cell),
            to_sql(name),
            to_sql(name),
        )

    def of_panel(self, cell: str) -> Thread | None:
        """See `Store.of_panel`."""
        rows = self._threads(f"WHERE instr(settings, ?) AND {_NOT_EMPTY} {_NEWEST}", json.dumps(cell))
        found = next((one for one in map(_thread, rows) if cell in one.settings.get("panels", ())), None)
        rows.close()
        return found

    def load(self, thread_id: str) -> tuple[Thread, list[MessageNode], dict[str, str]] | None:
        """See `Store.load`; return None if there is no such conversation."""
        thread = self._first("WHERE id = ?", thread_id)
        if thread is None:
            return None
        rows = self._db.execute(
            "SELECT * FROM message WHERE thread = ? ORDER BY position, number", (thread.number,)
        ).fetchall()
        chosen = self._db.execute("SELECT parent, child FROM chosen WHERE thread = ?", (thread.number,)).fetchall()
        nodes = _parents_first([self._node(row) for row in rows])
        return thread, nodes, {row["parent"]: row["child"] for row in chosen}

    def answer(self, key: str) -> MessageNode | None:
        """See `Store.answer`."""
        row = self._db.execute(
            "SELECT * FROM message WHERE key = ? AND key != '' AND finish_reason IN ('stop', 'length', 'tool_calls') "
            "ORDER BY created DESC, number DESC",
            (key,),
        ).fetchone()
        return None if row is None else self._node(row)

    def answer_rows(self, keys: Sequence[bytes]) -> dict[bytes, AnswerRow]:
        """See `Store.answer_rows`."""
        found: dict[bytes, AnswerRow] = {}
        for start in range(0, len(keys), _KEYS):
            some = keys[start : start + _KEYS]
            marks = ", ".join("?" * len(some))
            columns = "key, content, finish_reason, tokens, seconds, warnings"
            select = f"SELECT {columns} FROM answer_row WHERE key IN ({marks})"  # noqa: S608 - only names and marks
            for key, content, reason, tokens, seconds, warnings in self._db.execute(select, some):
                odd = tuple(json.loads(warnings)) if warnings else ()
                found[key] = AnswerRow(from_sql(content), reason, tokens, seconds, odd)
        return found

    def count_answer_rows(self) -> int:
        """See `Store.count_answer_rows`."""
        return int(self._db.execute("SELECT count(*) FROM answer_row").fetchone()[0])

    def search(self, text: str, limit: int) -> list[Hit]:
        """See `Store.search`."""
        query = search.parse(text)
        if not query.patterns:
            return []
        found: list[Hit] = []
        threads: dict[int, Thread | None] = {}
        likes = " AND ".join([r"coalesce(folded, content) LIKE ? ESCAPE '\'"] * len(query.likes))
        select = "SELECT thread, id, role, created, content, folded FROM message WHERE thread IS NOT NULL AND"
        rows = self._db.execute(f"{select} {likes} ORDER BY number DESC", query.likes)
        for row in rows:
            content = from_sql(row["content"])
            if not query.matches(row["folded"] or content.lower()):  # what is not folded differs in ASCII alone
                continue
            number = row["thread"]
            if number not in threads:
                threads[number] = self._first("WHERE number = ?", number)
            if (thread := threads[number]) is not None:
                found.append(Hit(thread, row["id"], row["role"], *search.snippet(content, query), row["created"]))
            if len(found) >= limit:
                break
        rows.close()
        return found

    def _threads(self, condition: str, *values: object) -> sqlite3.Cursor:
        return self._db.execute(f"{_THREADS} {condition}", values)

    def _first(self, condition: str, *values: object) -> Thread | None:
        row = self._threads(condition, *values).fetchone()
        return None if row is None else _thread(row)

    def _node(self, row: sqlite3.Row) -> MessageNode:
        values = {name: from_sql(row[name]) for name in (*COLUMNS, "details")}
        if row["process"]:
            values["content"], values["thinking"] = _texts(self._db, row)
            if not is_alive(row["process"], row["heartbeat"]):
                values["finish_reason"] = "interrupted"
        node = node_of(values)
        if node.attachments:
            node.attachments = tuple(map(self._with_bytes, node.attachments))
        return node

    def _with_bytes(self, picture: ImagePart) -> ImagePart:
        row = self._db.execute("SELECT bytes FROM blob WHERE sha256 = ?", (picture.sha256,)).fetchone()
        return picture if row is None else msgspec.structs.replace(picture, data=row["bytes"])


class Writes:
    """Changes to a store. Each may be made again; all but `vacuum` need a transaction of the caller.

    Attributes:
        mask: Takes keys out of all that is written.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self.mask = Mask(())

    def attempt(self, change: Callable[[Writes], None]) -> None:
        """Make a change; raise if it cannot be made now, but only log it if it could never be made."""
        self._db.execute("SAVEPOINT change")
        try:
            change(self)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and code_of(error) not in {
                sqlite3.SQLITE_ERROR,
                sqlite3.SQLITE_CONSTRAINT,
                sqlite3.SQLITE_MISMATCH,
                sqlite3.SQLITE_TOOBIG,
            }:
                raise
            _log.exception("something could not be kept")
            self._db.execute("ROLLBACK TO change")
        self._db.execute("RELEASE change")

    def put_thread(self, thread: Thread, *, new: bool) -> None:
        """Write a conversation's name and settings; add it if it is not there, and `new`."""
        settings = self.mask(json.dumps(dict(thread.settings), default=str))
        values = (self._text(thread.name), thread.updated, settings, thread.id)
        there = self._db.execute("UPDATE thread SET name = ?, updated = ?, settings = ? WHERE id = ?", values).rowcount
        if new and not there:  # an upsert would use up one of the numbers that users type, each time
            self._db.execute(
                "INSERT INTO thread (name, updated, settings, id, created) VALUES (?, ?, ?, ?, ?)",
                (*values, thread.created),
            )

    def rename(self, thread_id: str, name: str) -> None:
        """Rename a conversation."""
        self._db.execute("UPDATE thread SET name = ? WHERE id = ?", (self._text(name), thread_id))

    def put(self, thread_id: str, row: Row, index: int, *, streaming: bool = False) -> None:
        """Write a message, in place of what is there of it, at its index among its parent's children.

        A question without a conversation, and its answer, have an empty `thread_id`. This process will append to an
        answer that is `streaming`.
        """
        thread = self._thread(thread_id) if thread_id else None
        if thread_id and thread is None:
            return  # the conversation was removed in the meantime
        values: Row = {name: self.mask(value) if isinstance(value, str) else value for name, value in row.items()}
        blobs: dict[str, bytes] = values.pop("blobs")
        values["folded"] = search.folded(values["content"])
        values |= {"thread": thread, "position": index, "process": "", "heartbeat": 0.0}
        if streaming:
            values |= {"process": this_process(), "heartbeat": time.time()}
        self._db.execute(
            _PUT, {name: to_sql(value) if isinstance(value, str) else value for name, value in values.items()}
        )
        number = self._db.execute("SELECT number FROM message WHERE id = ?", (row["id"],)).fetchone()["number"]
        self._db.execute("DELETE FROM piece WHERE message = ?", (number,))
        for digest, data in blobs.items():
            if data:
                self._db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?)", (digest, data))
            self._db.execute(
                "INSERT OR IGNORE INTO message_blob SELECT ?, sha256 FROM blob WHERE sha256 = ?", (number, digest)
            )

    def put_details(self, row: Row) -> None:
        """Write again what no query needs of a message: of an answer that streams, its exchange with tools so far."""
        self._db.execute("UPDATE message SET details = ? WHERE id = ?", (self.mask(row["details"]), row["id"]))

    def append(self, message_id: str, content: str, thinking: str, *, anew: bool) -> None:
        """Append to a streaming answer's text and thinking, or only show that this process is alive.

        With `anew`, what was appended before is replaced.
        """
        row = self._db.execute("SELECT number FROM message WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            return
        number = row["number"]
        if anew:
            self._db.execute("DELETE FROM piece WHERE message = ?", (number,))
        if content or thinking:
            values = (number, to_sql(content), to_sql(thinking))
            self._db.execute("INSERT INTO piece (message, content, thinking) VALUES (?, ?, ?)", values)
        self._db.execute("UPDATE message SET heartbeat = ? WHERE number = ?", (time.time(), number))

    def move(self, message_id: str, parent: str, index: int, cell: str) -> None:
        """Write a message's new place in the tree, and the cell that asks it now."""
        self._db.execute(
            "UPDATE message SET parent = ?, position = ?, cell = ? WHERE id = ?",
            (parent, index, self._text(cell), message_id),
        )

    def choose(self, thread_id: str, chosen: Mapping[str, str]) -> None:
        """Write the chosen child of messages, by the parent's id; an empty child for none."""
        if (thread := self._thread(thread_id)) is None:
            return
        for parent, child in chosen.items():
            if child:
                self._db.execute("INSERT OR REPLACE INTO chosen VALUES (?, ?, ?)", (thread, parent, child))
            else:
                self._db.execute("DELETE FROM chosen WHERE thread = ? AND parent = ?", (thread, parent))

    def remove(self, message_ids: Iterable[str]) -> None:
        """Remove messages, the conversations that are empty without them, and pictures that no message names."""
        for message_id in message_ids:
            row = self._db.execute("SELECT thread FROM message WHERE id = ?", (message_id,)).fetchone()
            if row is not None:
                self._db.execute("DELETE FROM message WHERE id = ?", (message_id,))
                self._db.execute(f"DELETE FROM thread WHERE number = ? AND NOT {_NOT_EMPTY}", (row["thread"],))  # noqa: S608 - as above
                self._db.execute(_DROP_BLOBS)

    def forget(self, thread_ids: Iterable[str] | None) -> None:
        """Remove conversations with messages and pictures; None for all, and for the messages in none."""
        if thread_ids is None:
            self._db.execute("DELETE FROM thread")
            self._db.execute("DELETE FROM message")
            self.forget_answer_rows()
        else:
            self._db.executemany("DELETE FROM thread WHERE id = ?", [(thread_id,) for thread_id in thread_ids])
        self._db.execute(_DROP_BLOBS)

    def put_answer_rows(self, batch: Batch, rows: Iterable[tuple[bytes, AnswerRow]]) -> None:
        """Write answers to rows of a map, in place of earlier ones of the same keys."""
        self._db.execute(
            "INSERT OR IGNORE INTO batch (id, created, prompt, model) VALUES (?, ?, ?, ?)",
            (batch.id, batch.created, self._text(batch.prompt), self._text(batch.model)),
        )
        number = self._db.execute("SELECT number FROM batch WHERE id = ?", (batch.id,)).fetchone()["number"]
        values = [
            (
                *(key, number, self._text(row.text), row.finish_reason, row.tokens, round(row.seconds, 3)),
                self._text(json.dumps(row.warnings)) if row.warnings else "",
            )
            for key, row in rows
        ]
        for start in range(0, len(values), _ROWS):  # each statement gives the processor away, and has to get it back
            some = values[start : start + _ROWS]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
            self._db.execute(f"INSERT OR REPLACE INTO answer_row VALUES {marks}", list(chain.from_iterable(some)))  # noqa: S608 - only marks

    def forget_answer_rows(self) -> None:
        """Remove all answers to rows of maps."""
        self._db.execute("DELETE FROM answer_row")
        self._db.execute("DELETE FROM batch")

    def recover(self) -> None:
        """End the answers whose processes died while they streamed; their text is what had been appended."""
        rows = self._db.execute("SELECT * FROM message WHERE process != ''").fetchall()
        for row in rows:
            if is_alive(row["process"], row["heartbeat"]):
                continue
            content, thinking = _texts(self._db, row)
            self._db.execute(
                "UPDATE message SET content = ?, folded = ?, thinking = ?, finish_reason = 'interrupted', process = '' "
                "WHERE number = ?",
                (to_sql(content), search.folded(content), to_sql(thinking), row["number"]),
            )
            self._db.execute("DELETE FROM piece WHERE message = ?", (row["number"],))

    def vacuum(self) -> bool:
        """Rewrite the file without what was removed, and empty its log; return False while readers prevent that."""
        self._db.execute("VACUUM")
        return not self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    def _text(self, value: str) -> str | bytes:
        return to_sql(self.mask(value))

    def _thread(self, thread_id: str) -> int | None:
        row = self._db.execute("SELECT number FROM thread WHERE id = ?", (thread_id,)).fetchone()
        return None if row is None else int(row["number"])


def _texts(database: sqlite3.Connection, answer: sqlite3.Row) -> tuple[str, str]:
    """Return the text and the thinking of an answer that streams, with what was appended to it."""
    select = "SELECT content, thinking FROM piece WHERE message = ? ORDER BY number"
    rows = [answer, *database.execute(select, (answer["number"],))]
    return "".join(from_sql(row["content"]) for row in rows), "".join(from_sql(row["thinking"]) for row in rows)


def _thread(row: sqlite3.Row) -> Thread:
    title = row["title"] or ""
    if isinstance(title, bytes):  # cut anywhere, perhaps within a character
        title = title.decode(errors="replace")
    title = " ".join(title.split())
    return Thread(
        id=row["id"],
        name=from_sql(row["name"]),
        created=row["created"],
        updated=row["updated"],
        settings=json.loads(row["settings"]),
        number=row["number"],
        count=row["count"],
        title=title if len(title) <= _TITLE else title[: _TITLE - 1] + "…",
    )


def _parents_first(nodes: list[MessageNode]) -> list[MessageNode]:
    """Put messages behind their parents, siblings in their order."""
    children: dict[str, list[MessageNode]] = {}
    known = {node.id for node in nodes}
    for node in nodes:
        children.setdefault(node.parent if node.parent in known else "", []).append(node)
    found: list[MessageNode] = []
    waiting = list(reversed(children.get("", [])))
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += reversed(children.get(node.id, []))
    return found
