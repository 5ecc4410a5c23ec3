"""Questions asked in panels. They run in the loop thread, so that no running cell delays a reply or a Stop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .._attachments import Attachments
from .._chat import Chat
from .._conversation.conversation import Conversation, InsertPoint
from .._conversation.message_node import MessageNode
from .._errors import ChatGLMError, Interrupted
from .._event_loops import call_soon, io_thread
from .._events import Event, Part
from .._jupyter.shell import current_kernel
from .._jupyter.widgets import pump_comms
from .._prompting.prompt import Prompt
from .._redaction import refuse_keys
from .._reply import Reply
from .._resolve import Target
from .._tools.approval import Decision, person_decides, shown_arguments
from .._tools.call import CheckedCall
from .._tools.tool import latest
from .._waiting import await_reply
from .._workspace import Workspace
from ..providers import UnavailableProvider
from .names import prepare
from .protocol import Card

if TYPE_CHECKING:
    from .._schema.schema import Schema

_log = logging.getLogger(__name__)

_PATIENCE = 1.5
"""Seconds that stopped replies may take to end when the process ends."""

_running: list[PanelRun] = []
"""The questions of all panels that are on their way."""
_typed: WeakKeyDictionary[Chat, dict[str, str]] = WeakKeyDictionary()
"""What users typed, by what was sent in its place."""


class PanelRun:
    """One question on its way. It watches its conversation to see when it enters there.

    Args:
        chat: The conversation.
        text: The question, as the user typed it.
        place: Where it goes; None for the end.
        as_is: Whether it is complete: no name in it is replaced.
        known: Names in it that are words of an older question, not the user's variables.

    Attributes:
        reply: Where the answer is added up.
        reason: Why nothing has come yet, in a sentence.
        stopping: Whether it is being stopped.
        entered: Whether it has entered the conversation.
        notes: What the user should know about what was sent.
        offer: What the question brings along, as `Chat.stream` takes it: `tools` and `chain_limit`.
        attached: What the question brings along beside its text; None for what an older question had.
        schema: What the answer has to be; None for text.
        card: The call of a function that a person is asked about now; None for none.
        since: When it was asked, by the monotonic clock.
        done: Whether it has ended.
        error: What it ended with; None if it ended well or was stopped.
    """

    def __init__(
        self,
        chat: Chat,
        text: str,
        place: InsertPoint | None = None,
        *,
        as_is: bool = False,
        known: frozenset[str] = frozenset(),
    ) -> None:
        self.chat = chat
        self.text = text
        self.place = place
        self.as_is = as_is
        self.known = known
        self.reply = Reply()
        self.reason = ""
        self.stopping = False
        self.entered = False
        self.notes: tuple[str, ...] = ()
        self.offer: Mapping[str, Any] = {}
        self.attached: Attachments | None = None
        self.schema: Schema | None = None
        self.card: Card | None = None
        self._call: CheckedCall | None = None
        self._decided: asyncio.Future[Decision] | None = None
        self._prompt_notes: tuple[str, ...] = ()
        self.since = time.monotonic()
        self.done = False
        self.error: Exception | None = None
        self._entered_or_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def enter(self, workspace: Workspace) -> None:
        """Begin, and return when the question has entered the conversation, or has ended before.

        Args:
            workspace: Says who answers, and how.
        """
        atexit.unregister(_hang_up)
        atexit.register(_hang_up)  # so that servers see us hang up, and what has arrived is stored
        _running.append(self)
        self.chat.watch(self)
        self._task = asyncio.get_running_loop().create_task(self._ask(workspace))
        self._task.add_done_callback(self._end)
        if (pump := pump_comms(current_kernel())) is not None:
            self._task.add_done_callback(lambda _: pump.cancel())
        await self._entered_or_ended.wait()

    async def wait(self) -> None:
        """Wait for the end."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def stop(self) -> None:
        """Hang up; what has arrived is kept."""
        self.stopping = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        _running.remove(self)
        self.chat.unwatch(self)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception):
            self.error = failure
            if not isinstance(failure, ChatGLMError):
                _log.error("a question of the panel failed", exc_info=failure)
        self.reply.end("interrupted" if failure is None else "error")
        self.done = True
        self._entered_or_ended.set()

    async def _ask(self, workspace: Workspace) -> None:
        chat, prompt = self.chat, Prompt(self.text)
        # Values are described, and keys looked for, in a thread: both may take their time.
        if not self.as_is:
            prompt = await asyncio.to_thread(prepare, self.text, self.known)
        self.notes = self._prompt_notes = prompt.notes
        await asyncio.to_thread(refuse_keys, prompt.text)
        options = workspace.options_for(chat)
        try:
            target = await asyncio.to_thread(workspace.target, chat, cached=bool(options.cache))
        except ChatGLMError as error:
            target = Target(UnavailableProvider("", error))
        else:
            workspace.give_target(chat, target)
            self._prompt_notes += tuple(filter(None, [target.language_note(self.text)]))
            told = (text for text in (target.reason, target.note) if workspace.say_once(text))
            self.notes = (*told, *self.notes)

        def open_events(notify: Callable[[str], None]) -> AsyncGenerator[Event]:
            return chat.stream(
                prompt.text,
                options,
                reply=self.reply,
                target=target,
                at=self.place,
                notify=notify,
                attachments=self.attached,
                schema=self.schema,
                **self._fields(),
            )

        workspace.last = self.reply
        if prompt.text != self.text and not (self.attached and self.attached.blocks):
            _typed.setdefault(chat, {})[prompt.text] = self.text
        with contextlib.suppress(Interrupted):
            await await_reply(open_events, self, self.reply)

    def _fields(self) -> dict[str, Any]:
        """Return what the question brings along, with its functions as they are defined now."""
        if not self.offer.get("tools"):
            return {}
        return {**self.offer, "tools": [latest(one) for one in self.offer["tools"]], "approve": self._approve}

    async def _approve(self, call: CheckedCall) -> Decision:
        """Show the card, and wait for a person to decide."""
        self._call, self._decided = call, asyncio.get_running_loop().create_future()
        self.card = Card(uuid.uuid4().hex, call.name, call.doc, shown_arguments(call))
        try:
            return await self._decided
        finally:
            self.card = self._call = self._decided = None

    def decide(self, pressed: str, arguments: str = "") -> None:
        """Decide about the call that the card shows.

        Args:
            pressed: `run`, `deny` or `always`.
            arguments: As JSON, where a person has edited them.

        Raises:
            ConfigError: The edited arguments do not fit.
        """
        if self._call is None or self._decided is None or self._decided.done():
            return
        self._decided.set_result(person_decides(self._call, pressed, arguments))

    def status(self, text: str) -> None:
        """Take the reason why nothing has come yet, as a sink does."""
        self.reason = text

    def on_start(self, conversation: Conversation, question: MessageNode, answer: MessageNode) -> None:
        """See whether this question has entered, as a watcher does; notes on its data stay below the answer."""
        del conversation, question
        if answer.reply is self.reply:
            answer.parts += tuple(Part("notice", note) for note in self._prompt_notes)
            self.entered = True
            self._entered_or_ended.set()

    def _ignore(self, *_: object, **__: object) -> None:
        """Do nothing: panels watch the conversation themselves, and look at it from time to time."""

    write = tick = on_event = on_end = on_change = _ignore


def running(chat: Chat) -> list[PanelRun]:
    """Return the questions of panels that are on their way in a conversation."""
    return [run for run in _running if run.chat is chat]


def typed_text(chat: Chat, sent: str) -> str:
    """Return what the user typed in a panel; empty if that is what was sent, or unknown."""
    return _typed.get(chat, {}).get(sent, "")


def _hang_up() -> None:
    """Stop all questions that are on their way, and wait a little until they have ended."""
    runs = list(_running)
    for run in runs:
        call_soon(io_thread.loop(), run.stop)
    give_up_at = time.monotonic() + _PATIENCE
    while not all(run.done for run in runs) and time.monotonic() < give_up_at:
        time.sleep(0.01)
