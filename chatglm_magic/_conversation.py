"""A conversation as it grows and is changed, and whoever watches it; no I/O."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Protocol

from ._errors import ConfigError
from ._events import Event
from ._history import Place
from ._messages import Message
from ._reply import Reply
from ._said import Said
from ._tree import Shape, Tree
from ._values import dataclass

_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told what happens in a conversation, in whichever thread it happens; must not wait.

    An answer to a one-off question is told too; it is not in the conversation's tree.
    """

    def began(self, conversation: Conversation, question: Said, answer: Said) -> None:
        """Take note of an answer that begins; `answer.reply` grows from here on."""

    def grew(self, conversation: Conversation, answer: Said, event: Event) -> None:
        """Take note of an event; it is in the answer already. Called for every one, so it must be quick."""

    def ended(self, conversation: Conversation, answer: Said, error: BaseException | None) -> None:
        """Take note of an end, with what went wrong. An answer that brought nothing may have left the tree."""

    def changed(self, conversation: Conversation) -> None:
        """Take note of anything else: messages removed, another version chosen, a new beginning, a new name."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer on their way into a conversation.

    Attributes:
        question: The question; one that stood there before where it is only answered anew.
        answer: Its answer.
        instead: The answer that stood in its place; None where there was none.
        moved: What followed that, and follows this one now.
        place: As asked for.
        watchers: Who is told.
        in_tree: Whether it is a part of the conversation.
    """

    question: Said
    answer: Said
    instead: Said | None
    moved: list[Said]
    place: Place
    watchers: tuple[Watcher, ...]
    in_tree: bool = True


class Conversation:
    """What has been said, and who watches.

    Args:
        name: Its name.

    Attributes:
        id: Its name for ever; a new one when it starts over.
        name: What the user calls it.
        tree: All that has been said, in every version.
        unanswered: The last question, and its place, if it failed before a word of its answer was in.
        panels: The cells whose panels have shown it, as `Place.cell` begins.
    """

    def __init__(self, name: str = "") -> None:
        self.id = uuid.uuid4().hex
        self.name = name
        self.tree = Tree()
        self.unanswered: tuple[str, Place | None] | None = None
        self.panels: tuple[str, ...] = ()
        self._watchers: tuple[Watcher, ...] = ()
        self._removed: tuple[Tree, Shape] | None = None

    @property
    def messages(self) -> list[Message]:
        """What has been said, oldest first; every question has its answer, as far as it came."""
        return _messages(self.tree.path())

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        """Begin anew with these."""
        said: list[Said] = []
        for message in messages:
            if message.role not in {"user", "assistant"}:
                msg = f"A conversation holds what user and assistant say, not {message.role!r}; see Chat.system."
                raise ConfigError(msg)
            role, parent = message.role, said[-1].id if said else ""
            said.append(
                Said(
                    role=role,
                    text=message.content,
                    thought=message.thinking,
                    parent=parent,
                    finish_reason="stop" if role == "assistant" else None,
                )
            )
        self.start_over(Tree(said))

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """Who is told what happens."""
        return self._watchers

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody from now on what happens."""
        if watcher not in self._watchers:
            self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell somebody no more."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)

    def changed(self) -> None:
        """Tell all who watch that something has changed."""
        _tell(self._watchers, "changed", self)

    def start_over(self, tree: Tree | None = None) -> None:
        """Begin a new conversation of the same name, perhaps with what was said in another."""
        self.id = uuid.uuid4().hex
        self.tree = tree or Tree()
        self.unanswered = None
        self.changed()

    def reset(self) -> None:
        """Forget what has been said."""
        self.start_over()

    def undo(self) -> str | None:
        """Take the last answered exchange back, with what failed after it and all versions of it.

        Returns:
            Its question; None where nothing was answered.
        """
        self.unanswered = None
        last = self.last_exchange()
        if last is None:
            return None
        self._removed = None
        for version in self.tree.versions(last[0]):
            self.tree.cut(version)
        self.changed()
        return last[0].text

    def last_exchange(self) -> tuple[Said, Said] | None:
        """Give the last question that was answered in words, and its answer; None where there is none."""
        for question, answer in reversed(_exchanges(self.tree.path())):
            if answer is not None and answer.text:
                return question, answer
        return None

    def remove(self, said: Said) -> list[Said]:
        """Remove a message; see `Tree.remove`. `restore` brings it back, until something else is asked.

        Returns:
            What is gone.
        """
        before = self.tree.shape()
        gone = self.tree.remove(said)
        self._removed = self.tree, before
        self.changed()
        return gone

    def restore(self) -> list[Said]:
        """Bring back what the last `remove` took, all in its place, and show what was shown then.

        Returns:
            What is back; empty where nothing was removed, or something was asked since.
        """
        removed, self._removed = self._removed, None
        if removed is None or removed[0] is not self.tree:
            return []
        back = self.tree.reshape(removed[1])
        self.changed()
        return back

    def choose(self, said: Said) -> None:
        """Lead the conversation through a version of a message."""
        self.tree.choose(said)
        self.changed()

    def before(self, place: Place | None) -> list[Message]:
        """Give what was said before a place."""
        path = self.tree.path()
        replaced = self._replaced(place)
        return _messages(path if replaced is None else path[: path.index(replaced)])

    def begin(self, prompt: str, reply: Reply, place: Place | None, *, remember: bool, key: str = "") -> Exchange:
        """Let an exchange into the conversation, where its answer grows from now on.

        Args:
            prompt: The question.
            reply: What will be its answer.
            place: Where it goes, if not to the end.
            remember: Whether it is a part of the conversation.
            key: The name of the request that is answered.
        """
        place = place or Place()
        exchange = self._enter(prompt, reply, place) if remember else self._aside(prompt, reply, place)
        if exchange.instead is not exchange.answer:
            exchange.answer.key = key
        if remember:
            self.unanswered = prompt, place
            self._removed = None
        _tell(exchange.watchers, "began", self, exchange.question, exchange.answer)
        return exchange

    def grew(self, exchange: Exchange, event: Event) -> None:
        """Tell all who watch of an event."""
        for watcher in exchange.watchers:
            try:
                watcher.grew(self, exchange.answer, event)
            except Exception:  # noqa: BLE001 - whoever watches must not take the reply with it
                _log.exception("%s failed to take note", type(watcher).__name__)

    def end(self, exchange: Exchange, error: BaseException | None) -> None:
        """Take note of an answer's end. One without a word never displaces one that has some."""
        answer = exchange.answer
        words = bool(answer.reply and answer.reply.text)
        replayed = answer.reply is not None and answer.reply.replayed is not None
        if not words and exchange.instead is answer:  # nothing came to go on with it
            answer.reply = None
        answer.settle()
        answer.error = str(error) if error is not None else ""
        if words and exchange.instead is answer:
            answer.key = ""  # it says more now than the request that it answered would bring
        if exchange.in_tree:
            self._removed = None
            if words:
                self.unanswered = None
                if replayed:
                    self._let_go_of_twin(exchange)
            else:
                self._step_back(exchange)
        _tell(exchange.watchers, "ended", self, answer, error)

    def _let_go_of_twin(self, exchange: Exchange) -> None:
        """Let an answer that was given again be the one that stood there, if that said the same."""
        answer, twin = exchange.answer, exchange.instead
        if twin is None or twin is answer or twin.parent != answer.parent or self.tree.answers(twin):
            return
        if (twin.text, twin.thought, twin.finish_reason) == (answer.text, answer.thought, answer.finish_reason):
            answer.key, answer.created = twin.key, twin.created
            self.tree.cut(twin)

    def _step_back(self, exchange: Exchange) -> None:
        answer, instead = exchange.answer, exchange.instead
        if instead is None or self.tree.get(answer.id) is None:
            return
        if instead is not answer:
            self.tree.move(exchange.moved, instead)
            if not answer.thought and not answer.parts:
                alone = exchange.question.id != instead.parent
                self.tree.cut(exchange.question if alone else answer)
            self.tree.choose(instead)

    def _aside(self, prompt: str, reply: Reply, place: Place) -> Exchange:
        question = Said(role="user", text=prompt, cell=place.cell)
        answer = _answer(question, reply)
        return Exchange(question, answer, None, [], place, self._watchers, in_tree=False)

    def _enter(self, prompt: str, reply: Reply, place: Place) -> Exchange:
        tree = self.tree
        path = tree.path()
        if place.goes_on and path and path[-1].role == "assistant" and path[-1].text:
            answer = path[-1]
            answer.reply = reply
            return Exchange(path[-2], answer, answer, [], place, self._watchers)
        old = self._replaced(place)
        if old is not None and old.text == prompt:
            question = old
        else:
            parent = old.parent if old is not None else (path[-1].id if path else "")
            question = Said(role="user", text=prompt, parent=parent)
        question.cell = place.cell or (old.cell if old is not None else "")
        instead = next((said for said in path if old is not None and said.parent == old.id), None)
        if question is not old:
            tree.add(question)
        answer = _answer(question, reply)
        tree.add(answer)
        moved: list[Said] = []
        failed = instead is not None and not instead.text
        if instead is not None and (place.keeps or failed):
            moved = tree.answers(instead)
            tree.move(moved, answer)
        if instead is not None and failed:
            tree.cut(instead if question is old else (old or instead))
            instead = None
        return Exchange(question, answer, instead, moved, place, self._watchers)

    def _replaced(self, place: Place | None) -> Said | None:
        """Give the question on the path that makes way for the one at a place."""
        if place is None or not (place.instead_of or place.cell):
            return None
        questions = [said for said in reversed(self.tree.path()) if said.role == "user"]
        if place.instead_of:
            return next((said for said in questions if said.id == place.instead_of), None)
        return next((said for said in questions if said.cell == place.cell), None)


def _answer(question: Said, reply: Reply) -> Said:
    return Said(role="assistant", parent=question.id, reply=reply, model=reply.model, provider=reply.provider)


def _exchanges(path: list[Said]) -> list[tuple[Said, Said | None]]:
    """Pair each question on a path with its answer."""
    following = {said.parent: said for said in path if said.role == "assistant"}
    return [(said, following.get(said.id)) for said in path if said.role == "user"]


def _messages(path: list[Said]) -> list[Message]:
    """Give what was asked and answered as messages; what failed without a word, or has not ended, stays out."""
    found: list[Message] = []
    for question, answer in _exchanges(path):
        if answer is not None and answer.text:
            found += [Message("user", question.text), Message("assistant", answer.text, thinking=answer.thought)]
    return found


def _tell(watchers: tuple[Watcher, ...], what: str, *about: object) -> None:
    """Tell all who watch; one that fails must not take the reply with it."""
    for watcher in watchers:
        try:
            getattr(watcher, what)(*about)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("%s failed to take note", type(watcher).__name__)
