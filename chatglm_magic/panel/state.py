"""One panel's state: what its views hold, what has changed since, and the loop that sends the changes.

All of it lives in the loop thread, so that a reply streams and Stop works while a cell blocks the main one.
Whatever comes from elsewhere, a page's request or an event of a reply, only sets a flag and wakes the loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from .._chat import Chat
from .._conversation.conversation import estimate_tokens
from .._errors import shorten
from .._event_loops import call_soon, io_thread
from .._language import language, marked, page_language, tr
from .._map.job import MapJob, progress_line, running_jobs, unwatch_maps, watch_maps
from .._messages import Message
from .._store.recorder import is_kept
from .._workspace import Workspace
from . import protocol
from .files import Files
from .names import ideas
from .protocol import Attached, Card, Footer, Header, Item, RunningMap, Shown
from .run import PanelRun, running, typed_text
from .transcript import Channel
from .view import Entry, StreamingText, after_streaming, entries, with_text

_log = logging.getLogger(__name__)

FAILED = marked("The panel failed; see the kernel's log.")
"""What views are told when a bug of ours was caught."""

_PERIODS = ((200, 0.14), (12, 0.08), (0, 0.06))
"""Seconds between two looks at what has changed, from so many blocks of a streaming answer on.

All are longer than the channel demands, so that an answer leaves room for other messages in the same second and never
has to pause. A long text is sent less often because the page takes longer to draw it.
"""
_PAGE = 100
"""Messages that a view is sent at once."""
_MANY = 20
"""Changes from which everything is sent instead."""
_MAX_FAILURES = 5
"""Failures in a row after which nothing is sent until a view asks again."""
TITLE = 40
"""Characters of the first question or prompt that stand for a conversation or a map."""
MAP_PERIOD = 1.0
"""Seconds between two looks at the maps that run; one that ends within them is not shown at all."""
_FOOT_PERIOD = 1.0
"""Seconds between two footers that differ only in their counts."""


class PanelState:
    """What one panel shows, to all its views. It watches its conversation.

    Only `close`, `later`, `wake`, `mark` and the watcher's methods may be called from any thread.

    Args:
        workspace: The conversations.
        chat: The conversation that is shown first.
        send: Sends JSON data to all views.
        offer: What each question of the panel brings along, as `Chat.stream` takes it: `tools` and `chain_limit`.

    Attributes:
        chat: The conversation that is shown.
        channel: The way to the views.
        own: The questions on their way that were asked in this panel.
        draft: What was typed and not sent yet, for a page that is loaded anew.
        files: What was attached and not sent yet.
        maps: The maps that run in this kernel.
        page: The tag of the language of the page that was opened last; it is spoken in all of the panel, where
            neither `%config` nor the environment names another.
    """

    def __init__(
        self,
        workspace: Workspace,
        chat: Chat,
        send: Callable[[dict[str, Any]], None],
        offer: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.workspace = workspace
        self.offer = offer
        self.chat = chat
        self.channel = Channel(send)
        self.own: list[PanelRun] = []
        self.draft = ""
        self.files = Files()
        self.page = ""
        self._language = language()
        self._is_due = True
        self._new_views: dict[str, None] = {}  # in the order in which they asked for everything
        self._entries: list[Entry] = []
        self._streaming: dict[str, StreamingText] = {}
        self._header: Header | None = None
        self._footer = Footer()
        self._footer_at = 0.0
        self._card: Card | None = None
        self._attached: list[Attached] = []
        self._maps: list[RunningMap] = []
        self._updates: asyncio.Task[None] | None = None
        self._closed = False
        self._cell = workspace.running_cell()
        self._watch(chat)
        workspace.listeners.append(self.mark)
        self.maps = Maps(self.wake)

    def close(self) -> None:
        """Stop watching, and send nothing more."""
        self._closed = True
        self.maps.close()
        self.chat.unwatch(self)
        if self.mark in self.workspace.listeners:
            self.workspace.listeners.remove(self.mark)
        # Here and not in the loop thread: at the interpreter's end no thread begins any more.
        self.channel.views.clear()
        self.channel.clear()

    def later(self, work: Callable[[], object]) -> None:
        """Call a function in the loop thread, and send what has changed then."""
        call_soon(io_thread.loop(), lambda: self._call(work))

    def _call(self, work: Callable[[], object]) -> None:
        with page_language(self.page):  # for the tasks that are begun here, too
            try:
                work()
            except Exception:  # noqa: BLE001 - whatever it is, the panel goes on
                _log.exception("the panel failed")
                self.channel.put(protocol.Note(text=tr(FAILED), bad=True))
        if (self._updates is None or self._updates.done()) and not self._closed:
            self._updates = asyncio.get_running_loop().create_task(self._send_updates())

    def wake(self) -> None:
        """Have what waits sent soon."""
        self.later(lambda: None)

    def mark(self) -> None:
        """Have messages and header compared with what was sent."""
        self._is_due = True
        if self.channel.views:
            self.wake()

    def on_change(self, *_: object, **__: object) -> None:
        """Mark any change of the conversation, as a watcher: also when an answer begins or ends."""
        self.mark()

    on_start = on_end = on_change

    def on_event(self, *_: object, **__: object) -> None:
        """Do nothing: while an answer streams, the loop looks at it from time to time."""

    # Views and conversations

    def show(self, view: str) -> None:
        """Send everything to a view."""
        self.channel.add_view(view)
        self._new_views[view] = None

    def leave(self, view: str) -> None:
        """Forget a view."""
        self.channel.views.pop(view, None)
        self._new_views.pop(view, None)
        if not self.channel.views:
            self.channel.clear()

    def show_more(self, view: str) -> None:
        """Send to a view the messages before those that it holds."""
        names = [entry.node.id for entry in self._entries]
        oldest = self.channel.views.get(view, "")
        end = names.index(oldest) if oldest in names else max(0, len(names) - _PAGE)
        begin = max(0, end - _PAGE)
        older = [self._shown(entry) for entry in self._entries[begin:end]]
        self.channel.put(protocol.Older(view, older, begin))
        if older:
            self.channel.views[view] = older[0].id

    def switch(self, chat: Chat) -> None:
        """Show another conversation."""
        if chat is self.chat:
            return
        self.chat.unwatch(self)
        self.chat = chat
        self._watch(chat)
        self._entries = []
        self._streaming.clear()
        self._show_all()
        self.mark()

    def _watch(self, chat: Chat) -> None:
        """Watch a conversation, and record in it, as it is stored, the cell that shows it."""
        if self._cell and self._cell not in chat.panels:
            chat.panels = (*chat.panels, self._cell)
            if len(chat.tree):
                chat.notify_change()
        chat.watch(self)

    def _show_all(self) -> None:
        self._new_views.update(dict.fromkeys(self.channel.views))

    def chat_items(self) -> list[Item]:
        """Return the open conversations as items of a picker."""
        return [
            Item(name=name, title=name, about=_title(chat), count=len(chat.tree.path()), current=chat is self.chat)
            for name, chat in list(self.workspace.chats.items())
        ]

    def model_items(self) -> list[Item]:
        """Return the models that are known as items of a picker, the one that answers first."""
        workspace, now = self.workspace, self.workspace.label(self.chat)
        return [
            Item(name=name, about=tr("needs a key") if workspace.lacks_key(name) else "", current=name == now)
            for name in workspace.known_models(self.chat)
        ]

    def active_runs(self) -> list[PanelRun]:
        """Return the panel's own question if its turn has not come yet, else those of all panels on their way."""
        waiting = [run for run in self.own if run.chat is self.chat and not run.entered]
        return waiting[:1] or running(self.chat)

    # The loop

    async def _send_updates(self) -> None:
        """Send what changes, until nothing does."""
        failures = 0
        while not self._closed:
            try:
                with page_language(self.page):
                    self._update()
                failures = 0
            except Exception:  # noqa: BLE001 - whatever it is, the next change is shown again
                _log.exception("the panel failed")
                failures += 1
                self._show_all()
                self._is_due = True
                if failures == _MAX_FAILURES:  # the kernel ends, or something is wrong for good
                    self.channel.views.clear()
            if not self.channel.views or not self._is_busy():
                return
            await asyncio.sleep(max(self._period, self.channel.pause))

    @property
    def _period(self) -> float:
        blocks = self._coming.block_count if self._coming is not None else 0
        return next(period for minimum, period in _PERIODS if blocks >= minimum)

    def _is_busy(self) -> bool:
        due = self.channel.waiting or self._new_views or self._is_due
        return bool(due or self._streaming or self._footer.state != "ready")

    def _update(self) -> None:
        self.channel.flush()
        if self.channel.waiting or not self.channel.views:
            return
        if language() != self._language:
            self._language = language()
            self._show_all()
            self._is_due = True
        if self._is_due:
            self._is_due = False
            if not any(self.chat is one for one in self.workspace.chats.values()):  # it was deleted, perhaps by a cell
                self.switch(self.workspace.chat())
            self._update_messages()
            self._update_header()
        self._update_streaming()
        self._update_card()
        self._update_attached()
        self._update_maps()
        self._update_footer()
        self._send_snapshot()
        self.channel.flush()

    @property
    def _has_readers(self) -> bool:
        """Whether any view holds what was sent last; the others will be sent everything."""
        return len(self._new_views) < len(self.channel.views)

    def _update_messages(self) -> None:
        """Send which messages have come, gone and changed."""
        before = {entry.node.id: entry for entry in self._entries}
        self._entries = entries(self.chat)
        now = {entry.node.id: entry for entry in self._entries}
        for name, entry in now.items():
            if entry.streams and (name not in self._streaming or before.get(name) != entry):
                self._streaming[name] = StreamingText(entry.node)
        gone = [name for name in before if name not in now]
        new = [name for name in now if name not in before]
        is_reordered = [name for name in before if name in now] != [name for name in now if name in before]
        if len(gone) + len(new) > _MANY or is_reordered:
            self._show_all()
        if gone and self._has_readers:
            self.channel.put(protocol.Remove(gone))
        after = ""
        for name, entry in now.items():
            if name in before and before[name] != entry:
                self._update_message(entry)
            elif name not in before and self._has_readers:
                self.channel.put(protocol.Add(after, self._shown(entry)))
            after = name
        self._streaming = {name: text for name, text in self._streaming.items() if name in now}

    def _update_message(self, entry: Entry) -> None:
        ended = None if entry.streams else self._streaming.pop(entry.node.id, None)
        last_steps = ended.close() if ended is not None else []
        if self._has_readers:
            for step in last_steps:
                self.channel.put(step)
            shown = self._shown(entry) if ended is None else after_streaming(entry, ended)
            self.channel.put(protocol.Change(shown))

    def _shown(self, entry: Entry) -> Shown:
        node = entry.node
        if (text := self._streaming.get(node.id)) is not None:
            return text.put_into(entry.facts)
        return with_text(entry, typed_text(self.chat, node.text) if node.role == "user" else "")

    def _update_streaming(self) -> None:
        for text in self._streaming.values():
            for step in text.steps():
                self.channel.put(step)
            self._is_due = self._is_due or not text.node.streaming

    def _update_header(self) -> None:
        header, before = self._make_header(), self._header
        self._header = header
        # Counts change with every message, and are looked at only in a picker, which asks for them.
        if self._has_readers and (before is None or _without_counts(header) != _without_counts(before)):
            self.channel.put(protocol.HeaderChange(header))

    def _make_header(self) -> Header:
        chat, workspace = self.chat, self.workspace
        return Header(
            language=self._language,
            title=chat.name,
            about=_title(chat),
            model=workspace.label(chat),
            models=self.model_items(),
            chats=self.chat_items(),
            settings=chat.options.as_texts(),
            kept=is_kept(chat),
            ideas=[] if len(chat.tree) else ideas(),
            cell=workspace.first_line(chat),
        )

    def _update_footer(self) -> None:
        footer, before, now = self._make_footer(), self._footer, time.monotonic()
        same = (footer.state, footer.text) == (before.state, before.text)
        if footer == before or (same and footer.state != "ready" and now - self._footer_at < _FOOT_PERIOD):
            return
        self._footer, self._footer_at = footer, now
        if self._has_readers:
            self.channel.put(protocol.FooterChange(footer))

    def _make_footer(self) -> Footer:
        """Return the state, with tokens and seconds of the answer that is coming, else of the last one."""
        runs, text = self.active_runs(), self._coming
        run = runs[0] if runs else None
        if run is not None and not run.entered:
            text = None  # what streams is not the answer to it
        if run is None and text is None:
            last = self._entries[-1].node if self._entries else None
            tokens = last.usage.total_tokens if last is not None and last.usage is not None else 0
            return Footer("ready", "", tokens, round(last.elapsed, 1) if last is not None else 0)
        reply = text.node.reply if text is not None else None
        seconds = reply.elapsed if reply is not None else time.monotonic() - run.since if run is not None else 0
        counts = tokens_of(text.answer) if text is not None else 0, round(seconds, 1)
        if any(one.stopping for one in runs):
            return Footer("stopping", "", *counts)
        if self._card is not None:
            return Footer("waiting", tr("waiting for you to decide about {name}", name=self._card.name), *counts)
        if text is not None and (text.answer or text.thinking):
            return Footer("answering" if text.answer else "thinking", "", *counts)
        return Footer("waiting", run.reason if run is not None else "", *counts)

    def _update_card(self) -> None:
        """Send the call that a person is asked about in this conversation, by whichever panel's question."""
        card = next((run.card for run in running(self.chat) if run.card is not None), None)
        if card != self._card:
            self._card = card
            if self._has_readers:
                self.channel.put(protocol.CardChange(card))

    def _update_attached(self) -> None:
        """Send what the next question brings along."""
        if (attached := self.files.shown()) != self._attached:
            self._attached = attached
            if self._has_readers:
                self.channel.put(protocol.AttachedChange(attached))

    def _update_maps(self) -> None:
        """Send which maps run, and how far they are."""
        if (maps := self.maps.shown(anew=bool(self._new_views))) != self._maps:
            self._maps = maps
            if self._has_readers:
                self.channel.put(protocol.MapsChange(maps))

    @property
    def _coming(self) -> StreamingText | None:
        """The answer that streams now; the newest one, should there be two."""
        return next(reversed(self._streaming.values()), None)

    def _send_snapshot(self) -> None:
        """Send everything to the views that want it."""
        views = [view for view in self._new_views if view in self.channel.views]
        self._new_views.clear()
        if not views:
            return
        begin = max(0, len(self._entries) - _PAGE)
        newest = [self._shown(entry) for entry in self._entries[begin:]]
        self.channel.put(
            protocol.Snapshot(
                to=views[0] if len(views) == 1 else None,
                chat=Item(name=self.chat.name, title=_title(self.chat)),
                head=self._header,
                messages=newest,
                earlier=begin,
                foot=self._footer,
                draft=self.draft,
                card=self._card,
                attached=self._attached,
                maps=self._maps,
            )
        )
        for view in views if len(views) == 1 else self.channel.views:
            self.channel.views[view] = newest[0].id if newest else ""


class Maps:
    """The maps that one panel shows. For the loop thread, but for `on_maps` and `close`.

    Args:
        wake: Has `shown` called soon in the loop thread; may be called from any thread.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._names: WeakKeyDictionary[MapJob, str] = WeakKeyDictionary()
        self._numbers = itertools.count(1)
        self._shown: list[RunningMap] = []
        self._next = 0.0  # when the next look is, in the loop's time
        self._is_due = False
        watch_maps(self)

    def close(self) -> None:
        """Watch no more."""
        unwatch_maps(self)

    def on_maps(self) -> None:
        """Hear that a map has begun or ended."""
        self._wake()

    def shown(self, *, anew: bool) -> list[RunningMap]:
        """Return what the page shows now: those that have ended go at once, all else changes once a second.

        Args:
            anew: Whether all is said anew: somebody has come who knows nothing yet.
        """
        running = {self._name(job): job for job in running_jobs()}
        if anew or self._is_due:
            self._is_due = False
            self._shown = [
                RunningMap(name, shorten(job.prompt, TITLE), progress_line(job)) for name, job in running.items()
            ]
        loop = asyncio.get_running_loop()
        if running and self._next <= loop.time():
            self._next = loop.time() + MAP_PERIOD
            loop.call_later(MAP_PERIOD, self._look)
        self._shown = [one for one in self._shown if one.id in running]
        return self._shown

    def _look(self) -> None:
        self._next, self._is_due = 0.0, True
        self._wake()

    def _name(self, job: MapJob) -> str:
        if job not in self._names:
            self._names[job] = str(next(self._numbers))
        return self._names[job]

    def job(self, name: str) -> MapJob | None:
        """Return the running map of an id; None where it has ended."""
        return next((job for job in running_jobs() if self._name(job) == name), None)


def _title(chat: Chat) -> str:
    """Return a conversation's first words; empty where nothing was said."""
    path = chat.tree.path()
    return shorten(path[0].text, TITLE) if path else ""


def _without_counts(header: Header) -> Header:
    return replace(header, chats=[replace(item, count=0) for item in header.chats])


def tokens_of(text: str) -> int:
    """Return about how many tokens a text is."""
    return estimate_tokens([Message("user", text)]) if text.strip() else 0
