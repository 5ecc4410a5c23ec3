"""What the page asks for, done. All of it runs in the loop thread, and none of it waits there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from .._chat import Chat
from .._code import code_for_cell
from .._errors import ChatGLMError, ConfigError
from .._history import GO_ON, Place
from .._loop import stop_reply
from .._markdown.blocks import code_blocks
from .._said import Said
from . import files
from .asking import Asking, running, typed, waiting_in
from .desk import names_in
from .requests import Asked, Refused, read
from .session import Session, tokens_of
from .settings import Settings
from .shown import in_panel

_log = logging.getLogger(__name__)

_MOST_FOUND = 200
_COMING = "An answer is still coming: stop it, or wait for its end."
_CODES_OWN = "A cell's code waits for this answer: interrupt that cell to stop it."


class Actions:
    """Does what the views of one panel ask for.

    Args:
        session: The panel's state.
        settings: Its settings, as widgets.
    """

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, content: object) -> None:
        """Take a message of the page. From any thread."""
        self._session.later(lambda: self._take(content))

    def ask(self, asking: Asking, request: Asked | None = None) -> None:
        """Ask a question.

        Args:
            asking: The question, not begun.
            request: What the page asked for, if it did.
        """
        session = self._session

        def took() -> None:
            if session.draft == asking.text:
                session.draft = ""
            self._answer("ok", request)
            for note in asking.notes:
                self._note(note)

        def ended(asking: Asking) -> None:
            session.own.remove(asking)
            self._ended(asking, request)
            session.mark(path=False)

        asking.took = lambda: session.later(took)
        session.own.append(asking)
        asking.begin(session.desk, ended)

    def _ended(self, asking: Asking, request: Asked | None) -> None:
        error = asking.error
        shown = asking.entered and any(said.error for said in asking.chat.tree.path()[-1:])
        if error is not None and not shown:
            self._note(str(error) or type(error).__name__, request, bad=True)
        elif not asking.entered:
            self._note("Nothing was asked: it was stopped before its turn had come.", request, bad=True)

    def _take(self, content: object) -> None:
        session = self._session
        try:
            asked = read(content)
        except Refused as refused:
            request = Asked("", refused.view, refused.number)
            self._note(str(refused), request, bad=True)
            return
        if asked.view not in session.wire.views and asked.kind != "bye":
            session.show(asked.view)
        try:
            done = getattr(self, f"_do_{asked.kind}")(asked, **asked.values)
        except ChatGLMError as error:
            self._note(str(error), asked, bad=True)
            return
        if asyncio.iscoroutine(done):
            task = asyncio.get_running_loop().create_task(self._wait(asked, done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif done is not False:
            self._answer("ok", asked)

    async def _wait(self, asked: Asked, done: Coroutine[Any, Any, bool | None]) -> None:
        """Wait for what may take its time, and tell how it went."""
        try:
            if await done is not False:
                self._answer("ok", asked)
        except ChatGLMError as error:
            self._note(str(error), asked, bad=True)
        except Exception:  # noqa: BLE001 - whatever it is, the panel goes on
            _log.exception("the panel failed")
            self._note("The panel failed; see the kernel's log.", asked, bad=True)
        self._session.mark(path=False)

    def _answer(self, kind: str, asked: Asked | None, **fields: Any) -> bool:  # noqa: ANN401 - JSON
        """Answer a request; gives False, so that nothing else does."""
        if asked is not None:
            self._session.wire.put(kind, **{"for": asked.number, "view": asked.view}, **fields)
        return False

    def _note(self, text: str, asked: Asked | None = None, *, bad: bool = False, undo: bool = False) -> None:
        to = {"for": asked.number, "view": asked.view} if asked is not None else {"for": 0, "view": ""}
        self._session.wire.put(
            "note", **to, text=in_panel(text) if bad else text, bad=bad, **({"undo": True} if undo else {})
        )

    # Views

    def _do_ready(self, asked: Asked) -> bool:
        self._session.show(asked.view)
        return False

    _do_resync = _do_ready

    def _do_more(self, asked: Asked) -> bool:
        self._session.more(asked.view)
        return False

    def _do_bye(self, asked: Asked) -> bool:
        self._session.leave(asked.view)
        return False

    def _do_ping(self, asked: Asked) -> bool:
        return self._answer("pong", asked)

    # Questions and answers

    def _do_send(self, asked: Asked, text: str) -> bool:
        session = self._session
        if any(one.chat is session.chat for one in session.own):  # another panel's answer is waited for, like a cell's
            raise ConfigError(_COMING)
        if not text.strip():
            msg = "There is nothing to ask: the message is empty."
            raise ConfigError(msg)
        session.draft = text
        self.ask(Asking(session.chat, text), asked)
        return False

    def _do_stop(self, _: Asked) -> None:
        session = self._session
        waiting = waiting_in(session.chat, session.own)
        asked = [waiting] if waiting is not None else running(session.chat)
        # What other panels ask next has its turn when this one has ended.
        for one in [one for one in asked if one.entered] or asked:
            one.stop()
        if asked:
            return
        # The answer may be a cell's, or a job's.
        stopped = [stop_reply(said.reply) for said in session.chat.tree.path() if said.reply is not None]
        if stopped and not any(stopped):
            raise ConfigError(_CODES_OWN)

    def _do_continue(self, asked: Asked, id: str) -> bool:  # noqa: A002 - the page's own word
        self._refuse_while_busy()
        answer = self._found(id, "assistant")
        if answer is not self._session.chat.tree.path()[-1] or not answer.text.strip():
            msg = "Only the last answer can go on, and only one that has words."
            raise ConfigError(msg)
        self.ask(Asking(self._session.chat, GO_ON, Place(goes_on=True), as_is=True), asked)
        return False

    def _do_regenerate(self, asked: Asked, id: str) -> bool:  # noqa: A002 - as above
        self._refuse_while_busy()
        self._again(self._found(id, "assistant"), asked)
        return False

    def _do_retry(self, asked: Asked) -> bool:
        self._refuse_while_busy()
        chat = self._session.chat
        path = chat.tree.path()
        if path and path[-1].role == "assistant":
            self._again(path[-1], asked)
        elif chat.unanswered is not None:
            text, place = chat.unanswered
            self.ask(Asking(chat, text, place, as_is=True), asked)
        else:
            msg = "Nothing was asked here yet, so there is nothing to ask again."
            raise ConfigError(msg)
        return False

    def _again(self, answer: Said, asked: Asked) -> None:
        """Ask for another answer to the same question; what followed the old one stays with it."""
        question = self._found(answer.parent, "user")
        place = Place(instead_of=question.id, keeps=False)
        self.ask(Asking(self._session.chat, question.text, place, as_is=True), asked)

    def _do_edit(self, asked: Asked, id: str, text: str) -> bool:  # noqa: A002 - as above
        self._refuse_while_busy()
        chat = self._session.chat
        question = self._found(id, "user")
        if not text.strip():
            msg = "There is nothing to ask: the message is empty. To remove it, press Delete."
            raise ConfigError(msg)
        # What stood in braces where values had been put in already is no name of the user's.
        was_typed = typed(chat, question.text)
        known = frozenset() if was_typed else names_in(question.text)
        as_is = not was_typed and names_in(text) <= known
        place = Place(instead_of=question.id, keeps=False)
        self.ask(Asking(chat, text, place, as_is=as_is, known=known), asked)
        return False

    def _do_version(self, _: Asked, id: str, step: int) -> None:  # noqa: A002 - as above
        self._refuse_while_growing()
        chat = self._session.chat
        said = self._found(id)
        versions = chat.tree.versions(said)
        at = versions.index(said) + step
        if not 0 <= at < len(versions):
            msg = "There is no other version on that side."
            raise ConfigError(msg)
        chat.choose(versions[at])

    def _do_delete(self, asked: Asked, id: str) -> None:  # noqa: A002 - as above
        self._refuse_while_growing()
        count = len(self._session.chat.remove(self._found(id)))
        self._note(f"{count} message{'s' * (count != 1)} deleted.", asked, undo=True)

    def _do_undo(self, _: Asked) -> None:
        self._refuse_while_growing()
        if not self._session.chat.restore():
            msg = "There is nothing to bring back here: nothing was deleted since the last question."
            raise ConfigError(msg)

    def _do_source(self, asked: Asked, id: str, code: int | str | None) -> bool:  # noqa: A002 - as above
        said = self._found(id)
        text, language = typed(self._session.chat, said.text) or said.content, "markdown"
        if code is not None:
            blocks = code_blocks(said.content)
            if code == "cell":
                text, language = code_for_cell(blocks), "python"
            elif isinstance(code, int) and code < len(blocks):
                text, language = blocks[code].source, blocks[code].language
            else:
                msg = "There is no such block of code in this message."
                raise ConfigError(msg)
        return self._answer("text", asked, text=text, language=language)

    # Conversations and models

    async def _do_chat(self, _: Asked, name: str) -> None:
        self._switch(await asyncio.to_thread(self._session.desk.open, name))

    async def _do_new(self, asked: Asked, name: str) -> None:
        chat = self._session.chat
        if not name.strip() and not len(chat.tree) and not running(chat):
            self._note(f"Nothing has been said in {chat.name} yet: this conversation is new.", asked)
            return
        self._switch(await asyncio.to_thread(self._session.desk.new, name.strip()))

    async def _do_rename(self, _: Asked, name: str) -> None:
        await asyncio.to_thread(self._session.desk.rename, self._session.chat, name.strip())

    def _switch(self, chat: Chat) -> None:
        self._session.switch(chat)
        self._settings.show(chat)

    def _do_model(self, _: Asked, name: str) -> None:
        session = self._session
        session.desk.use(session.chat, name.strip())
        session.head_due = True
        self._note(f"{session.desk.label(session.chat)} answers from now on.")

    async def _do_find(self, asked: Asked, what: str, text: str) -> bool:
        session = self._session
        words = text.lower().split()
        if what == "model":
            why_not = await session.desk.find_models(session.chat)
            if why_not:
                self._note(why_not)
            now = session.desk.label(session.chat)
            items = [
                {"name": name, "title": "", "count": 0, "current": name == now}
                for name in session.desk.models(session.chat)
            ]
        else:
            items = [
                {"name": one.name, "title": one.title, "count": one.count, "current": one.name == session.chat.name}
                for one in (*session.desk.chats(), *await asyncio.to_thread(session.desk.stored))
            ]
        found = [item for item in items if all(word in f"{item['name']} {item['title']}".lower() for word in words)]
        return self._answer("found", asked, what=what, items=found[:_MOST_FOUND])

    def _do_draft(self, asked: Asked, text: str, at: int | None) -> bool:
        desk = self._session.desk
        self._session.draft = text
        # The page counts in UTF-16, as JavaScript does.
        before = text if at is None else text.encode("utf-16-le")[: 2 * at].decode("utf-16-le", "ignore")
        names = [{"name": name, "kind": kind} for name, kind in desk.named(text)]
        return self._answer("chips", asked, tokens=tokens_of(text), names=names, offer=desk.offers(before))

    def _do_export(self, asked: Asked, form: str) -> bool:
        chat = self._session.chat
        name, kind, text = files.make(chat, form)
        return self._answer("file", asked, name=name, type=kind, text=text)

    def _do_settings(self, _: Asked, open: bool | None) -> None:  # noqa: A002, FBT001 - the page's own word
        session = self._session
        session.settings_open = not session.settings_open if open is None else open
        self._settings.show(session.chat)
        self._settings.fold(not session.settings_open)
        session.head_due = True

    def _found(self, name: str, role: str = "") -> Said:
        said = self._session.find(name)
        if said is None or role not in {"", said.role}:
            msg = "This message is no longer there."
            raise ConfigError(msg)
        return said

    def _refuse_while_busy(self) -> None:
        """Let one thing happen after the other; a cell's answer is waited for by the question itself."""
        if running(self._session.chat):
            raise ConfigError(_COMING)

    def _refuse_while_growing(self) -> None:
        """Let no message go, nor another version come, while an answer grows, whoever asked."""
        if self._session.streams:
            raise ConfigError(_COMING)
