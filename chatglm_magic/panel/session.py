"""One panel's state: what its views hold, what has changed since, and the one clock that tells them.

All of it lives in the loop thread, so that a reply streams and Stop works while a cell blocks the main one.
Whatever comes from elsewhere, a page's message or an event of a reply, only leaves a mark and wakes the clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from .._chat import Chat
from .._history import estimate_tokens
from .._keeper import is_kept
from .._loop import call_soon
from .._loops import io_thread
from .._messages import Message
from .._said import Said
from .asking import Asking, running, state_of, typed, waiting_in
from .desk import Desk, title_of
from .shown import Entry, Gallery, Words, entries
from .watcher import SessionWatcher
from .wire import Wire

_log = logging.getLogger(__name__)

_PERIOD = 0.06
"""Seconds between two looks at what has changed: rarer than the wire allows, so that a growing answer leaves
room for all else that is told in the same second, and never has to pause."""
PAGE = 100
"""How many messages a view is given at once."""
_MANY = 20
"""Changes from which the whole is sent instead."""
_MOST_FAILURES = 5
"""Failures in a row after which nothing is told any more, until a view asks again."""
_FOOT_PERIOD = 1.0
"""Seconds between two footers that differ in counts alone."""


class Session:
    """What one panel shows, to all its views. Everything but `wake`, `mark` and `later` is for the loop thread.

    Args:
        desk: What it needs of its kernel.
        chat: The conversation it begins with.
        send: Sends one message to the views; from any thread.

    Attributes:
        chat: The conversation it shows.
        wire: The way to the views.
        settings_open: Whether the settings are shown.
        own: The questions on their way that were asked in this panel.
        draft: What was typed and not sent yet, for a page that is loaded anew.
        head_due: Whether the header may have changed.
    """

    def __init__(self, desk: Desk, chat: Chat, send: Callable[[dict[str, Any]], None]) -> None:
        self.desk = desk
        self.chat = chat
        self.wire = Wire(send)
        self.settings_open = False
        self.own: list[Asking] = []
        self.draft = ""
        self.head_due = True
        self._path_due = True
        self._wanting: dict[str, None] = {}
        self._entries: list[Entry] = []
        self._words: dict[str, Words] = {}
        self._grown: set[str] = set()
        self._gallery = Gallery()
        self._head: dict[str, Any] = {}
        self._foot: dict[str, Any] = {}
        self._foot_at = 0.0
        self._clock: asyncio.Task[None] | None = None
        self._watcher = SessionWatcher(self)
        self._closed = False
        self._cell = desk.cell
        self._be_shown(chat)
        chat.watch(self._watcher)
        desk.watchers.add(self)

    def close(self) -> None:
        """Watch no more, and tell the page nothing more. From any thread."""
        self._closed = True
        self.chat.unwatch(self._watcher)
        self.desk.watchers.discard(self)
        # At once, here: this may be the interpreter's end, when no thread begins any more.
        self.wire.views.clear()
        self.wire.forget()

    def later(self, what: Callable[[], object]) -> None:
        """Do something in the loop thread. From any thread."""
        call_soon(io_thread.loop(), lambda: self._do(what))

    def _do(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception:  # noqa: BLE001 - whatever it is, the panel goes on
            _log.exception("the panel failed")
            self.wire.put(
                "note",
                **{"for": 0, "view": ""},
                text="Something went wrong inside the panel; see the kernel's log.",
                bad=True,
            )
        self._tick_on()

    def mark(self, *, path: bool = True) -> None:
        """Take note that something has changed. From any thread."""
        self._path_due = self._path_due or path
        self.head_due = True
        if self.wire.views:
            self.later(lambda: None)

    def grew(self, name: str) -> None:
        """Take note that an answer has grown. From any thread: the clock runs while one does."""
        self._grown.add(name)

    # What views there are

    def show(self, view: str) -> None:
        """Give a view the whole, as soon as may be."""
        self.wire.meet(view)
        self._wanting[view] = None

    def leave(self, view: str) -> None:
        """Forget a view."""
        self.wire.views.pop(view, None)
        self._wanting.pop(view, None)
        if not self.wire.views:
            self.wire.forget()

    def show_all(self) -> None:
        """Give every view the whole."""
        self._wanting.update(dict.fromkeys(self.wire.views))

    def _be_shown(self, chat: Chat) -> None:
        """Let the conversation know in which cell it is shown; kept with what is said next, or was said."""
        if self._cell and self._cell not in chat.panels:
            chat.panels = (*chat.panels, self._cell)
            if len(chat.tree):
                chat.changed()

    def switch(self, chat: Chat) -> None:
        """Show another conversation."""
        if chat is self.chat:
            return
        self.chat.unwatch(self._watcher)
        self.chat = chat
        self._be_shown(chat)
        chat.watch(self._watcher)
        self._path_due = self.head_due = True
        self._words.clear()
        self.show_all()

    def more(self, view: str) -> None:
        """Give a view the messages before those that it holds."""
        names = [entry.said.id for entry in self._entries]
        held = self.wire.views.get(view, "")
        end = names.index(held) if held in names else max(0, len(names) - PAGE)
        begin = max(0, end - PAGE)
        older = self._entries[begin:end]
        self.wire.put("older", to=view, messages=[self._message(entry) for entry in older], earlier=begin)
        if older:
            self.wire.views[view] = older[0].said.id

    def find(self, name: str) -> Said | None:
        """Give a message on the path by its id."""
        return next((said for said in self.chat.tree.path() if said.id == name), None)

    @property
    def streams(self) -> bool:
        """Whether an answer is coming in this conversation, whoever asked."""
        return bool(running(self.chat)) or any(said.streams for said in self.chat.tree.path())

    # The clock

    def _tick_on(self) -> None:
        if (self._clock is None or self._clock.done()) and not self._closed:
            self._clock = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        failed = 0
        while not self._closed:
            try:
                self._tick()
                failed = 0
            except Exception:  # noqa: BLE001 - whatever it is, the next change is shown again
                _log.exception("the panel failed")
                failed += 1
                self.show_all()
                self._path_due = True
                if failed == _MOST_FAILURES:  # the kernel ends, or something is wrong for good
                    self.wire.views.clear()
            if not self.wire.views or not self._is_busy():
                return
            await asyncio.sleep(max(_PERIOD, self.wire.pause))

    def _is_busy(self) -> bool:
        return bool(
            self.wire.waiting
            or self._wanting
            or self._path_due
            or self.head_due
            or self._words
            or self._foot.get("state") != "ready"
        )

    def _tick(self) -> None:
        self.wire.flush()
        if self.wire.waiting or not self.wire.views:
            return
        if self._path_due:
            self._path_due = False
            self._compare()
        self._grow()
        if self.head_due:
            self.head_due = False
            self._tell_head()
        self._tell_foot()
        if self._wanting:
            self._tell_whole()
        self.wire.flush()

    def _compare(self) -> None:
        """Tell the views what has come, gone and changed since the last time."""
        before, now = self._entries, entries(self.chat)
        self._entries = now
        for entry in now:
            if entry.streams and entry.said.id not in self._words:
                self._words[entry.said.id] = Words(entry.said)
        there = {entry.said.id: entry for entry in before}
        here = {entry.said.id for entry in now}
        gone = [name for name in there if name not in here]
        new = [entry for entry in now if entry.said.id not in there]
        if len(gone) + len(new) > _MANY or self._is_another_order(before, now):
            self.show_all()
        tells = self._tells
        if gone and tells:
            self.wire.put("gone", ids=gone)
        after = ""
        for entry in now:
            name = entry.said.id
            if name not in there:
                if tells:
                    self.wire.put("add", after=after, m=self._message(entry))
            elif there[name] != entry:
                self._change(entry, tells=tells)
            after = name
        for name in [name for name in self._words if name not in here]:
            del self._words[name]

    @staticmethod
    def _is_another_order(before: list[Entry], now: list[Entry]) -> bool:
        here = {entry.said.id: place for place, entry in enumerate(now)}
        places = [here[entry.said.id] for entry in before if entry.said.id in here]
        return places != sorted(places)

    def _change(self, entry: Entry, *, tells: bool) -> None:
        """Tell that a message is not as it was."""
        words = self._words.get(entry.said.id)
        if words is None or entry.streams:
            message = self._message(entry)
        else:  # it has ended
            del self._words[entry.said.id]
            for step in words.close():
                if tells:
                    self.wire.put("grow", **step)
            message = self._gallery.settled(entry, words)
        if tells:
            self.wire.put("set", m=message)

    def _message(self, entry: Entry) -> dict[str, Any]:
        said = entry.said
        source = typed(self.chat, said.text) if said.role == "user" else ""
        return self._gallery.message(entry, self._words.get(said.id), source)

    def _grow(self) -> None:
        """Tell what has grown."""
        grown, self._grown = self._grown, set()
        for name, words in self._words.items():
            # Who began to watch in mid-stream is not told of each event.
            if name in grown or not words.is_whole():
                for step in words.steps():
                    self.wire.put("grow", **step)
            self._path_due = self._path_due or not words.said.streams

    def _tell_head(self) -> None:
        head, before = self._make_head(), self._head
        self._head = head
        # Counts alone change with every message, and are looked at in a picker, which asks for them.
        if _uncounted(head) != _uncounted(before) and self._tells:
            self.wire.put("head", head=head)

    def _make_head(self) -> dict[str, Any]:
        chat, desk = self.chat, self.desk
        return {
            "title": chat.name,
            "about": title_of(chat),
            "model": desk.label(chat),
            "models": desk.models(chat),
            "chats": [
                {
                    "name": one.name,
                    "title": one.name,
                    "about": one.title,
                    "count": one.count,
                    "current": one.name == chat.name,
                }
                for one in desk.chats()
            ],
            "settings": self.settings_open,
            "kept": is_kept(chat),
            "cell": desk.line(chat),
            "can": {"insert": True},
        }

    def _tell_foot(self) -> None:
        state, text = state_of(self.chat, self.own, self._coming)
        now = time.monotonic()
        same = (state, text) == (self._foot.get("state"), self._foot.get("text"))
        if same and state != "ready" and now - self._foot_at < _FOOT_PERIOD:
            return
        foot = {"state": state, "text": text, **self._counts(state)}
        if foot != self._foot:
            self._foot, self._foot_at = foot, now
            if self._tells:
                self.wire.put("foot", foot=foot)

    def _counts(self, state: str) -> dict[str, Any]:
        """Give tokens and seconds: of what is coming, else of the last answer."""
        if state != "ready":
            waiting = waiting_in(self.chat, self.own)
            words = self._coming if waiting is None else None
            asked = [waiting] if waiting is not None else running(self.chat)
            reply = words.said.reply if words is not None else None
            seconds = reply.elapsed if reply is not None else time.monotonic() - asked[0].since if asked else 0
            return {"tokens": tokens_of(words.answer) if words is not None else 0, "seconds": round(seconds, 1)}
        last = self._entries[-1].said if self._entries else None
        usage = last.usage if last is not None else None
        return {
            "tokens": usage.total_tokens if usage is not None else 0,
            "seconds": round(last.elapsed, 1) if last is not None else 0,
        }

    @property
    def _coming(self) -> Words | None:
        """The words that grow now; those of the newest answer, should there be two."""
        return next(reversed(self._words.values()), None)

    @property
    def _tells(self) -> bool:
        """Whether there are views that hold what was shown last."""
        return len(self._wanting) < len(self.wire.views)

    def _tell_whole(self) -> None:
        wanting = [view for view in self._wanting if view in self.wire.views]
        self._wanting.clear()
        if not wanting:
            return
        begin = max(0, len(self._entries) - PAGE)
        newest = self._entries[begin:]
        self.wire.put(
            "snap",
            to=wanting[0] if len(wanting) == 1 else None,
            chat={"name": self.chat.name, "title": title_of(self.chat)},
            head=self._head,
            messages=[self._message(entry) for entry in newest],
            earlier=begin,
            foot=self._foot,
            draft=self.draft,
        )
        for view in wanting if len(wanting) == 1 else self.wire.views:
            self.wire.views[view] = newest[0].said.id if newest else ""


def _uncounted(head: dict[str, Any]) -> dict[str, Any]:
    """Give a header without how many messages conversations have."""
    chats = [{name: value for name, value in chat.items() if name != "count"} for chat in head.get("chats", ())]
    return {**head, "chats": chats}


def tokens_of(text: str) -> int:
    """Estimate how many tokens a text is."""
    return estimate_tokens([Message("user", text)]) if text.strip() else 0
