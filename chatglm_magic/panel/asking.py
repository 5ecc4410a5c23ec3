"""Questions asked from panels: in the loop thread, so that no cell that runs holds a reply up, nor a Stop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from weakref import WeakKeyDictionary

from .._chat import Chat
from .._choice import Choice
from .._comms import pump_comms
from .._conversation import Conversation
from .._errors import ChatGLMError, Interrupted
from .._events import Event
from .._history import Place
from .._loop import call_soon, in_this_loop
from .._loops import io_thread
from .._messages import Request
from .._prompt import Prompt
from .._reply import Reply
from .._said import Said
from .._secrets import refuse_keys
from .desk import Desk, kernel
from .shown import Words

_log = logging.getLogger(__name__)

_PATIENCE = 1.5
"""Seconds that stopped replies may take to end when the process does."""


class Asking:
    """One question on its way, from the moment it was sent; watches its conversation to see it enter there.

    Args:
        chat: The conversation.
        text: The question, as the user typed it.
        place: Where it goes; None for the end.
        as_is: Whether it is complete: nothing in it is a name to be replaced.
        known: Names in it that are the words of an older question, not the user's variables.

    Attributes:
        reply: Where the answer is added up.
        status: Why nothing has come yet, in a sentence.
        stopping: Whether it is being stopped.
        entered: Whether it has entered the conversation.
        notes: What the user should know about what was sent.
        since: When it was asked, by the monotonic clock.
        done: Whether it has ended.
        error: What it ended with; None where it ended well, or was stopped.
        took: Called once when it enters the conversation.
    """

    def __init__(
        self,
        chat: Chat,
        text: str,
        place: Place | None = None,
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
        self.status = ""
        self.stopping = False
        self.entered = False
        self.notes: tuple[str, ...] = ()
        self.since = time.monotonic()
        self.done = False
        self.error: Exception | None = None
        self.took: Callable[[], object] = _nothing
        self._task: asyncio.Task[None] | None = None

    def begin(self, desk: Desk, ended: Callable[[Asking], object]) -> None:
        """Ask, in the running loop.

        Args:
            desk: Who answers, and what the question may name.
            ended: Told the end, in the same loop. A reply that was stopped is no error.
        """
        atexit.unregister(_hang_up)
        atexit.register(_hang_up)  # so that servers see us hang up, and what has arrived is kept
        register = _register(self.chat)
        register.running.append(self)
        self.chat.watch(self)
        self._task = asyncio.get_running_loop().create_task(self._run(desk))
        self._task.add_done_callback(lambda task: self._end(task, register, ended))

    def stop(self) -> None:
        """Hang up; what has arrived is kept."""
        self.stopping = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[None], register: _Register, ended: Callable[[Asking], object]) -> None:
        register.running.remove(self)
        self.chat.unwatch(self)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception):
            self.error = failure
            if not isinstance(failure, ChatGLMError):
                _log.error("a question of the panel failed", exc_info=failure)
        self.reply.end("interrupted" if failure is None else "error")
        ended(self)
        self.took = _nothing  # whoever keeps the request must not keep the panel
        self.done = True

    async def _run(self, desk: Desk) -> None:
        pump = pump_comms(kernel())
        try:
            await self._ask(desk)
        finally:
            if pump is not None:
                pump.cancel()

    async def _ask(self, desk: Desk) -> None:
        chat, prompt = self.chat, Prompt(self.text)
        # The user's own values are described, and keys looked for, where nothing waits for it.
        if not self.as_is:
            prompt = await asyncio.to_thread(desk.prepare, self.text, self.known)
        self.notes = prompt.notes
        await asyncio.to_thread(refuse_keys, prompt.text)
        try:
            how = await asyncio.to_thread(desk.how, chat)
        except ChatGLMError as error:
            how = {"choice": Choice(_Nobody(error), "")}
        else:
            self.notes = (*(why for why in [desk.why(chat, how["choice"])] if why), *self.notes)

        def open_events(notify: Callable[[str], None]) -> AsyncGenerator[Event]:
            return chat.stream(prompt.text, reply=self.reply, notify=notify, place=self.place, **how)

        desk.asked(chat, self.reply)
        if prompt.text != self.text:
            self.remember_typed(prompt.text)
        with contextlib.suppress(Interrupted):
            await in_this_loop(open_events, _Sink(self), self.reply)

    def began(self, conversation: Conversation, question: Said, answer: Said) -> None:
        """See whether it is this question that has entered."""
        del conversation, question
        if answer.reply is self.reply:
            self.entered = True
            self.took()

    def grew(self, conversation: Conversation, answer: Said, event: Event) -> None:
        """Do nothing: panels show it."""

    def ended(self, conversation: Conversation, answer: Said, error: BaseException | None) -> None:
        """Do nothing: the task ends too."""

    def changed(self, conversation: Conversation) -> None:
        """Do nothing."""

    def remember_typed(self, sent: str) -> None:
        """Remember what was typed, for whoever edits the question."""
        _register(self.chat).typed[sent] = self.text


def _nothing() -> None:
    """Do nothing."""


class _Sink:
    """What stands between the wait for a reply and the panels, which watch the conversation itself."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def write(self, event: Event) -> None:
        """Do nothing: the conversation has it."""

    def status(self, text: str) -> None:
        """Take the reason why nothing has come yet."""
        self._asking.status = text

    def tick(self) -> None:
        """Do nothing: panels have their own clock."""


class _Nobody:
    """Who answers where nobody can be asked: the question shows why."""

    name = ""

    def __init__(self, error: ChatGLMError) -> None:
        self._error = error

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Refuse."""
        raise self._error
        yield  # type: ignore[unreachable]  # makes it a generator


class _Register:
    """What panels know of one conversation together.

    Attributes:
        running: The questions on their way.
        typed: What the user typed, by what was sent in its place.
    """

    def __init__(self) -> None:
        self.running: list[Asking] = []
        self.typed: dict[str, str] = {}


_REGISTERS: WeakKeyDictionary[Chat, _Register] = WeakKeyDictionary()


def _register(chat: Chat) -> _Register:
    return _REGISTERS.setdefault(chat, _Register())


def running(chat: Chat) -> list[Asking]:
    """Give the questions of panels that are on their way in a conversation."""
    return list(_register(chat).running)


def waiting_in(chat: Chat, own: list[Asking]) -> Asking | None:
    """Give the question of a panel's own whose turn in a conversation has not come."""
    return next((asking for asking in own if asking.chat is chat and not asking.entered), None)


def state_of(chat: Chat, own: list[Asking], words: Words | None) -> tuple[str, str]:
    """Give what happens in a conversation, as a panel's footer says it, and why nothing has come yet.

    Args:
        chat: The conversation.
        own: The panel's own questions on their way.
        words: What grows there now.
    """
    waiting = waiting_in(chat, own)
    asked = [waiting] if waiting is not None else running(chat)
    status = asked[0].status if asked else ""
    if any(one.stopping for one in asked):
        return "stopping", ""
    if asked and not asked[0].entered:
        return "waiting", status
    if words is None:
        return ("waiting", status) if asked else ("ready", "")
    if words.answer:
        return "answering", ""
    return ("thinking", "") if words.thinking else ("waiting", status)


def typed(chat: Chat, sent: str) -> str:
    """Give what the user typed in a panel; empty where that is what was sent, or unknown."""
    return _register(chat).typed.get(sent, "")


def _hang_up() -> None:
    """Stop all that are on their way, and wait a little until they have ended."""
    left = [asking for register in list(_REGISTERS.values()) for asking in register.running]
    if not left:
        return
    loop = io_thread.loop()
    for asking in left:
        call_soon(loop, asking.stop)
    give_up_at = time.monotonic() + _PATIENCE
    while any(not asking.done for asking in left) and time.monotonic() < give_up_at:
        time.sleep(0.01)
