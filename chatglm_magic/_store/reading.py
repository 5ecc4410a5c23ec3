"""How the store is read: each function answers one question, by a connection of its caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from .._said import Said
from . import owner
from .changes import decoded, encoded, pieces
from .schema import has_words
from .search import Wanted, is_sign, plain, snippet, wanted
from .values import Hit, Thread, said_of

_THREADS = """
    SELECT thread.*,
        (SELECT count(*) FROM said WHERE said.thread = thread.number) AS count,
        (SELECT substr(text, 1, 400) FROM said WHERE said.thread = thread.number AND role = 'user'
         ORDER BY said.number LIMIT 1) AS title
    FROM thread
"""
_TITLE = 80
_UNINDEXED = 1000
"""How many messages are read through at most that are not in the index."""
_SAID = (
    "id",
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


def threads(database: sqlite3.Connection, limit: int, text: str) -> list[Thread]:
    """Give the threads in which something was said, the one changed last first.

    Args:
        database: Where.
        limit: How many at most.
        text: What their name or first question must hold, in letters of any size; empty for all.
    """
    rows = _threads(
        database,
        "WHERE EXISTS (SELECT 1 FROM said WHERE said.thread = thread.number) ORDER BY updated DESC, number DESC",
    )
    found: list[Thread] = []
    asked = plain(text).strip()
    for row in rows:
        if len(found) >= limit:
            break
        thread = _thread(row)
        if not asked or asked in plain(f"{thread.name}\n{thread.title}"):
            found.append(thread)
    rows.close()
    return found


def thread(database: sqlite3.Connection, thread_id: str) -> Thread | None:
    """Give a thread by its id."""
    row = _threads(database, "WHERE id = ?", (thread_id,)).fetchone()
    return None if row is None else _thread(row)


def find(database: sqlite3.Connection, name: str) -> Thread | None:
    """Give the thread of that name that was changed last, or the one with that number where it is written `#12`."""
    if name.startswith("#") and name[1:].isdecimal() and len(name) < 19:  # noqa: PLR2004 - more fit in no integer
        row = _threads(database, "WHERE number = ?", (int(name[1:]),)).fetchone()
        if row is not None:
            return _thread(row)
    row = _threads(database, "WHERE name = ? ORDER BY updated DESC, number DESC LIMIT 1", (encoded(name),)).fetchone()
    return None if row is None else _thread(row)


def of_cell(database: sqlite3.Connection, cell: str, name: str) -> Thread | None:
    """Give the thread, of that name if one is told, in which a cell has asked last."""
    row = _threads(
        database,
        "WHERE number = (SELECT said.thread FROM said JOIN thread ON thread.number = said.thread "
        "WHERE cell = ? AND cell != '' AND (? = '' OR name = ?) ORDER BY said.number DESC LIMIT 1)",
        (encoded(cell), encoded(name), encoded(name)),
    ).fetchone()
    return None if row is None else _thread(row)


def of_panel(database: sqlite3.Connection, cell: str) -> Thread | None:
    """Give the thread that was changed last of those that a cell's panel has shown."""
    rows = _threads(
        database,
        "WHERE instr(settings, ?) AND EXISTS (SELECT 1 FROM said WHERE said.thread = thread.number) "
        "ORDER BY updated DESC, number DESC",
        (json.dumps(cell),),
    )
    found = next((one for one in map(_thread, rows) if cell in one.settings.get("panels", ())), None)
    rows.close()
    return found


def load(database: sqlite3.Connection, thread_id: str) -> tuple[Thread, list[Said], dict[str, str]] | None:
    """Give a thread, its messages, each after its parent, and which child of each the path takes.

    An answer whose process died while it streamed is interrupted; one that streams now, in whichever
    process, has no `finish_reason` and the words that are written so far.
    """
    found = thread(database, thread_id)
    if found is None:
        return None
    rows = database.execute("SELECT * FROM said WHERE thread = ? ORDER BY place, number", (found.number,)).fetchall()
    chosen = database.execute("SELECT parent, child FROM chosen WHERE thread = ?", (found.number,)).fetchall()
    said = _in_order([_said(database, row) for row in rows])
    return found, said, {row["parent"]: row["child"] for row in chosen}


def answer(database: sqlite3.Connection, key: str) -> Said | None:
    """Give the newest answer to the request of that key that ended well."""
    row = database.execute(
        "SELECT * FROM said WHERE key = ? AND key != '' AND finish_reason IN ('stop', 'length', 'tool_calls') "
        "ORDER BY created DESC, number DESC",
        (key,),
    ).fetchone()
    return None if row is None else _said(database, row)


def search(database: sqlite3.Connection, text: str, limit: int) -> list[Hit]:
    """Give the messages that hold all that a person looks for, the newest first; see `search.wanted`."""
    things = wanted(text)
    if not things:
        return []
    found: list[Hit] = []
    known: dict[int, Thread] = {}
    for row in _candidates(database, things):
        said = decoded(row["text"])
        compared = plain(said) if any(thing.exact for thing in things) else ""
        if not all(thing.text in compared for thing in things if thing.exact):
            continue
        number = row["thread"]
        if number not in known:
            known[number] = _thread(_threads(database, "WHERE number = ?", (number,)).fetchone())
        found.append(Hit(known[number], row["id"], row["role"], *snippet(said, things), row["created"]))
        if len(found) >= limit:
            break
    return found


def _candidates(database: sqlite3.Connection, things: list[Wanted]) -> Iterator[sqlite3.Row]:
    """Give the messages that may hold what is wanted, the newest first."""
    match = " AND ".join(thing.match for thing in things if thing.match)
    if not match or not has_words(database):
        yield from _read_through(database, things, "1", -1)
        return
    # What could not be put into the index yet, on a disk that is read-only perhaps, is the newest there is.
    yield from _read_through(database, things, "indexed = 0", _UNINDEXED)
    yield from database.execute(
        "SELECT said.* FROM words JOIN said ON said.number = words.rowid "
        "WHERE words MATCH ? AND said.thread IS NOT NULL ORDER BY words.rowid DESC",
        (match,),
    )


def _read_through(database: sqlite3.Connection, things: list[Wanted], which: str, most: int) -> Iterator[sqlite3.Row]:
    """Give the messages that hold what is wanted, without the index; `which` is our own words alone."""
    sign = next((thing.text for thing in things if is_sign(thing.text)), "")
    rows = database.execute(
        f"SELECT * FROM said WHERE {which} AND thread IS NOT NULL AND (? = '' OR instr(text, ?)) "  # noqa: S608 - as said
        "ORDER BY number DESC LIMIT ?",
        (sign, sign, most),
    )
    for row in rows:
        compared = plain(decoded(row["text"]))
        if all(thing.text in compared for thing in things):
            yield row


def _threads(database: sqlite3.Connection, which: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
    """Ask for threads; `which` is the query's end, our own words alone."""
    return database.execute(f"{_THREADS} {which}", values)


def _thread(row: sqlite3.Row) -> Thread:
    title = " ".join(decoded(row["title"] or "").split())
    return Thread(
        id=row["id"],
        name=decoded(row["name"]),
        created=row["created"],
        updated=row["updated"],
        settings=json.loads(row["settings"]),
        number=row["number"],
        count=row["count"],
        title=title if len(title) <= _TITLE else title[: _TITLE - 1] + "…",
    )


def _said(database: sqlite3.Connection, row: sqlite3.Row) -> Said:
    told = {name: decoded(row[name]) if isinstance(row[name], bytes) else row[name] for name in _SAID}
    if row["owner"]:
        text, thought = pieces(database, row["number"])
        told["text"] += text
        told["thought"] += thought
        if not owner.lives(row["owner"], row["beat"]):
            told["finish_reason"] = "interrupted"
    return said_of(told)


def _in_order(said: list[Said]) -> list[Said]:
    """Put messages behind their parents, siblings in the order in which they come."""
    children: dict[str, list[Said]] = {}
    known = {one.id for one in said}
    for one in said:
        children.setdefault(one.parent if one.parent in known else "", []).append(one)
    found: list[Said] = []
    waiting = list(reversed(children.get("", [])))
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += reversed(children.get(one.id, []))
    return found
