"""What the page asks for, done in the loop thread. Nothing waits there: what may take its time runs in a thread."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Sequence
from typing import Any, assert_never

from msgspec.structs import replace

from .._chat import Chat
from .._conversation.conversation import GO_ON, InsertPoint
from .._conversation.message_node import MessageNode
from .._conversation.tree import MessageTree
from .._errors import ChatGLMError, ConfigError, shorten
from .._export import FORMATS, render
from .._language import marked, tr, trn
from .._markdown.fences import cell_content
from .._store import Thread
from .._waiting import stop_reply
from . import protocol
from .names import named, names_in, offers, prepare
from .protocol import Answer, Item, Note, Request
from .run import PanelRun, running, typed_text
from .state import FAILED, TITLE, PanelState, tokens_of
from .view import in_panel

_log = logging.getLogger(__name__)

EMPTY = marked("There is nothing to ask: the message is empty.")

_MAX_FOUND = 200
"""Items in an answer to `Find`."""
_MAX_STORED = 100
"""Stored conversations that are looked through."""
_BUSY = marked("An answer is still coming: stop it, or wait for its end.")


class Actions:
    """Does what the views of one panel ask for.

    Args:
        state: The panel's state.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, content: object, buffers: Sequence[bytes | memoryview] = ()) -> None:
        """Take a message of the page, and the bytes that came with it; may be called from any thread."""
        self._state.later(lambda: self._take(content, buffers))

    def begin(self, run: PanelRun) -> None:
        """Ask a question that no view has sent; may be called from any thread."""
        self._state.later(lambda: self._begin(self._ask(run)))

    def _take(self, content: object, buffers: Sequence[bytes | memoryview]) -> None:
        request = protocol.read(content)
        if isinstance(request, Note):
            self._state.channel.put(request)
            return
        if request.view not in self._state.channel.views and not isinstance(request, protocol.Bye):
            self._state.show(request.view)
        if isinstance(request, protocol.Attach | protocol.Detach):
            self._begin(self._change_files(request, b"".join(map(bytes, buffers))), request)
        else:
            self._begin(self._handle(request), request)

    def _begin(self, work: Coroutine[Any, Any, Answer | None], request: Request | None = None) -> None:
        task = asyncio.get_running_loop().create_task(self._perform(work, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, work: Coroutine[Any, Any, Answer | None], request: Request | None) -> None:
        """Await some work, and send its answer, or what went wrong, to the view that asked; to all if none did."""
        try:
            answer = await work
        except ChatGLMError as error:
            answer = Note(text=in_panel(str(error)), bad=True)
        except Exception:  # noqa: BLE001 - whatever it is, the panel goes on
            _log.exception("the panel failed")
            answer = Note(text=tr(FAILED), bad=True)
        if answer is not None:
            self._answer(request, answer)
        self._state.wake()

    def _answer(self, request: Request | None, answer: Answer) -> None:
        if request is not None:
            answer = replace(answer, number=request.req, view=request.view)
        self._state.channel.put(answer)

    async def _handle(self, request: protocol.Words) -> Answer | None:
        """Do what is asked, and return the answer; None if there is none, or if it was sent already."""
        state = self._state
        answer: Answer | None = None
        match request:
            case protocol.Ready():
                state.page = request.language
                state.show(request.view)
            case protocol.Resync():
                state.show(request.view)
            case protocol.More():
                state.show_more(request.view)
            case protocol.Bye():
                state.leave(request.view)
            case protocol.Ping():
                answer = protocol.Pong()
            case protocol.Send():
                await self._send(request)
            case protocol.Continue() | protocol.Regenerate() | protocol.Retry() | protocol.Edit():
                await self._ask(self._another_run(request), request)
            case protocol.Stop() | protocol.StopMap():
                answer = await self._stop(request)
            case protocol.Decide():
                answer = self._decide(request)
            case protocol.Version() | protocol.Delete() | protocol.Undo():
                answer = self._change_messages(request)
            case protocol.GetSource() | protocol.GetCell() | protocol.SaveDraft() | protocol.Export():
                answer = await self._look_up(request)
            case protocol.Find():
                answer = await self._find(request)
            case protocol.OpenChat() | protocol.NewChat() | protocol.RenameChat() | protocol.DropChat():
                answer = await self._change_chat(request)
            case protocol.UseModel() | protocol.SetOption():
                answer = self._change_options(request)
            case _:
                assert_never(request)
        return answer

    # Questions

    async def _ask(self, run: PanelRun, request: Request | None = None) -> None:
        """Ask a question, and wait for the end of its answer; the request is answered as soon as it has entered.

        Raises:
            ChatGLMError: It was not asked, or failed in a way that no message shows.
        """
        state = self._state
        run.offer = state.offer
        state.own.append(run)
        state.wake()
        try:
            await run.enter(state.workspace)
            if run.entered:
                if state.draft == run.text:
                    state.draft = ""
                if isinstance(request, protocol.Send):
                    state.files.remove(request.attached)
                self._answer(request, protocol.Ok())
                self._tell(*run.notes)
                state.wake()
            await run.wait()
        finally:
            state.own.remove(run)
        is_shown = run.entered and any(node.error for node in run.chat.tree.path()[-1:])
        if run.error is not None and not is_shown:
            raise run.error
        if not run.entered:
            raise ConfigError(tr("Nothing was asked: it was stopped before its turn had come."))

    async def _send(self, request: protocol.Send) -> None:
        state = self._state
        if any(run.chat is state.chat for run in state.own):  # another panel's answer is waited for, like a cell's
            raise ConfigError(tr(_BUSY))
        if not request.text.strip():
            raise ConfigError(tr(EMPTY))
        state.draft = request.text
        run = PanelRun(state.chat, request.text)
        run.attached = state.files.of(request.attached)
        await self._ask(run, request)

    async def _change_files(self, request: protocol.FileChange, piece: bytes) -> Answer:
        """Take a piece of a file, or a file back. Nothing waits before a piece is taken: they come in their order."""
        if isinstance(request, protocol.Detach):
            self._state.files.remove([request.id])
        else:
            await self._state.files.take(request, piece)
        return protocol.Ok()

    def _another_run(self, request: protocol.Question) -> PanelRun:
        """Return the question that goes on with an answer, or replaces a question or its answer."""
        chat = self._state.chat
        if running(chat):  # a cell's answer is waited for by the question itself
            raise ConfigError(tr(_BUSY))
        match request:
            case protocol.Continue():
                answer = self._found(request.id, "assistant")
                if answer is not chat.tree.path()[-1] or not answer.text.strip():
                    raise ConfigError(tr("Only the last answer can go on, and only one that has words."))
                return PanelRun(chat, GO_ON, InsertPoint(continues=True), as_is=True)
            case protocol.Regenerate():
                return self._regenerated(self._found(request.id, "assistant"))
            case protocol.Retry():
                path = chat.tree.path()
                if path and path[-1].role == "assistant":
                    return self._regenerated(path[-1])
                if chat.unanswered is not None:
                    return PanelRun(chat, *chat.unanswered, as_is=True)
                raise ConfigError(tr("Nothing was asked here yet, so there is nothing to ask again."))
            case protocol.Edit():
                return self._edited(self._found(request.id, "user"), request.text)

    def _regenerated(self, answer: MessageNode) -> PanelRun:
        """Return a question for another answer; what followed the old one stays with it."""
        question = self._found(answer.parent, "user")
        return self._in_place_of(question, answer, question.text, as_is=True)

    def _edited(self, question: MessageNode, text: str) -> PanelRun:
        if not text.strip():
            raise ConfigError(tr("There is nothing to ask: the message is empty. To remove it, press Delete."))
        # In a question that came with its values, what stood in braces is not a name of the user's.
        was_typed = typed_text(self._state.chat, question.text)
        known = frozenset() if was_typed else names_in(question.text)
        as_is = not was_typed and names_in(text) <= known
        answer = next((node for node in self._state.chat.tree.path() if node.parent == question.id), None)
        return self._in_place_of(question, answer, text, as_is=as_is, known=known)

    def _in_place_of(self, question: MessageNode, answer: MessageNode | None, text: str, **how: Any) -> PanelRun:  # noqa: ANN401 - passed on
        """Return a question that replaces one: its answer has to be what the old one had to be."""
        chat = self._state.chat
        run = PanelRun(chat, text, InsertPoint(instead_of=question.id, keep_followers=False), **how)
        run.schema = chat.schemas.get(answer.id) if answer is not None else None
        return run

    async def _stop(self, request: protocol.Ending) -> Answer:
        if isinstance(request, protocol.StopMap):
            return await self._stop_map(request.id)
        runs = self._state.active_runs()
        # Questions of other panels that wait have their turn when this one has ended.
        for run in [run for run in runs if run.entered] or runs:
            run.stop()
        if not runs:  # the answer may be a cell's, or a job's
            path = self._state.chat.tree.path()
            stopped = [stop_reply(node.reply) for node in path if node.reply is not None]
            if stopped and not any(stopped):
                raise ConfigError(tr("A cell's code waits for this answer: interrupt that cell to stop it."))
        return protocol.Ok()

    async def _stop_map(self, name: str) -> Answer:
        job = self._state.maps.job(name)
        if job is None:
            raise ConfigError(tr("This map has ended already."))
        await job.halt()
        return Note(text=tr("The map was told to stop. The rows that are done are kept."))

    def _decide(self, request: protocol.Decide) -> Answer:
        """Decide about the call that the card of this conversation asks about.

        Raises:
            ConfigError: It is decided on already, or the edited arguments do not fit.
        """
        for run in running(self._state.chat):
            if run.card is not None and run.card.id == request.id:
                run.decide(request.pressed, request.arguments)
                return protocol.Ok()
        raise ConfigError(tr("This call is decided on already."))

    # Messages

    def _change_messages(self, request: protocol.TreeChange) -> Answer:
        chat = self._state.chat
        if running(chat) or any(node.streaming for node in chat.tree.path()):
            raise ConfigError(tr(_BUSY))
        match request:
            case protocol.Version():
                node = self._found(request.id)
                versions = chat.tree.versions(node)
                at = versions.index(node) + request.step
                if not 0 <= at < len(versions):
                    raise ConfigError(tr("There is no other version on that side."))
                chat.choose(versions[at])
            case protocol.Delete():
                count = len(chat.remove(self._found(request.id)))
                return Note(text=trn("{count} message deleted.", "{count} messages deleted.", count), undo=True)
            case protocol.Undo():
                if not chat.restore():
                    raise ConfigError(
                        tr("There is nothing to bring back here: nothing was deleted since the last question.")
                    )
        return protocol.Ok()

    async def _look_up(self, request: protocol.Lookup) -> Answer | None:
        match request:
            case protocol.GetSource():
                node = self._found(request.id)
                return protocol.Text(text=typed_text(self._state.chat, node.text) or node.text_so_far)
            case protocol.GetCell():
                content = cell_content(request.blocks)
                return protocol.Cell(source=content.source, cell_type=content.cell_type)
            case protocol.SaveDraft():
                return await self._draft(request.text, request.at)
            case protocol.Export():
                return self._file(request.form)

    async def _draft(self, text: str, at: int | None) -> Answer | None:
        """Keep a draft, and return what it holds; None where it has changed meanwhile."""
        self._state.draft = text
        tokens = tokens_of((await asyncio.to_thread(prepare, text)).text if "{" in text else text)
        if self._state.draft != text:
            return None
        before = text if at is None else text.encode("utf-16-le")[: 2 * at].decode("utf-16-le", "ignore")
        return protocol.Chips(tokens=tokens, names=named(text), offer=offers(before))

    def _file(self, form: str) -> Answer:
        chat = self._state.chat
        path = chat.tree.path()
        if not path:
            raise ConfigError(tr("Nothing has been said here yet, so there is nothing to export."))
        name, suffix = re.sub(r"[^\w.-]+", "-", chat.name).strip("-.") or "chat", f".{form}"
        text = render(suffix, chat.name, MessageTree(path))
        return protocol.File(name=name + suffix, type=FORMATS[suffix].media_type, text=text)

    def _found(self, name: str, role: str = "") -> MessageNode:
        """Return the message of an id, and of a role if one is given."""
        for node in self._state.chat.tree.path():
            if node.id == name and role in {"", node.role}:
                return node
        raise ConfigError(tr("This message is no longer there."))

    # Conversations and models

    async def _change_chat(self, request: protocol.ChatChange) -> Answer:
        state, name = self._state, request.name.strip()
        chat, workspace = state.chat, state.workspace
        match request:
            case protocol.OpenChat():
                chat = await asyncio.to_thread(workspace.open, request.name)
            case protocol.NewChat():
                if not name and not len(chat.tree) and not running(chat):
                    words = tr("Nothing has been said in {name} yet: this conversation is new.", name=chat.name)
                    return Note(text=words)
                chat = await asyncio.to_thread(workspace.new, name)
            case protocol.RenameChat():
                found = await asyncio.to_thread(self._named, request.of or chat.name)
                await asyncio.to_thread(workspace.rename, found, name)
                return protocol.Ok()
            case protocol.DropChat():
                return await self._drop(name)
        state.switch(chat)
        return protocol.Ok()

    async def _drop(self, name: str) -> Answer:
        """Delete a conversation; panels that show it show the current one then."""
        workspace = self._state.workspace
        found = await asyncio.to_thread(self._named, name)
        if isinstance(found, Chat) and (running(found) or any(node.streaming for node in found.tree)):
            raise ConfigError(tr(_BUSY))
        await asyncio.to_thread(workspace.delete, found)
        return Note(text=tr("Conversation {name} is deleted.", name=found.name))

    def _named(self, name: str) -> Chat | Thread:
        found = self._state.workspace.find(name)
        if found is None:
            raise ConfigError(tr("There is no conversation {name}.", name=name))
        return found

    def _change_options(self, request: protocol.OptionChange) -> Answer:
        state = self._state
        match request:
            case protocol.UseModel():
                state.workspace.use(state.chat, request.name.strip())
                self._tell(tr("{model} answers from now on.", model=state.workspace.label(state.chat)))
            case protocol.SetOption():
                chat = state.workspace.chats.get(request.chat, state.chat)
                chat.options = chat.options.with_text(request.name, request.text.strip())
        state.mark()
        return protocol.Ok()

    async def _find(self, request: protocol.Find) -> Answer:
        """Return the models or conversations that were asked for; a service may be asked for its models."""
        state, words = self._state, request.text.lower().split()
        if request.what == "model":
            self._tell(*filter(None, [await state.workspace.find_models(state.chat)]))
            state.mark()
            items = state.model_items()
        else:
            stored = await asyncio.to_thread(state.workspace.stored, _MAX_STORED)
            items = state.chat_items()
            items += [
                Item(name=f"#{one.number}", title=one.name, about=shorten(one.title, TITLE), count=one.count)
                for one in stored
            ]
        texts = [f"{item.name} {item.title} {item.about}".lower() for item in items]
        found = [item for item, text in zip(items, texts, strict=True) if all(word in text for word in words)]
        return protocol.Found(what=request.what, items=found[:_MAX_FOUND])

    def _tell(self, *texts: str) -> None:
        """Send sentences to all views."""
        for text in texts:
            self._state.channel.put(Note(text=text))
