"""A conversation: where a turn goes, what is sent along, how it grows and who watches it; no I/O."""

from __future__ import annotations

import logging
import re
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from .._errors import ConfigError
from .._events import Event
from .._language import join_sentences, tr
from .._messages import ImagePart, Message, content_of
from .._reply import Reply
from .message_node import MessageNode
from .tree import MessageTree, TreeSnapshot

if TYPE_CHECKING:
    from .._schema.schema import Schema

GO_ON = "Go on exactly where your last answer stops. Repeat nothing of it, and say nothing about going on."
"""The prompt that asks the model to continue its last answer."""

NOT_RUN = "not run: stopped"
"""The result of a call, as the model reads it, where no other is known."""

DEFAULT = "default"
"""The conversation that every kernel begins with; it is a new one in each."""

_MOST_NAME = 60
"""Characters of a conversation's name."""
_UNNAMEABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that no name holds: controls, halves of pairs, and what ends a line."""
_BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token, a low estimate for English (about 4) and Chinese (3 a character, 1–2 characters a token)."""

_TOKENS_PER_PICTURE = 1300
"""About what 1000 × 1000 pixels are where a token is 28 × 28 of them."""


class InsertPoint(msgspec.Struct, frozen=True):
    """Where a turn goes in a conversation, if not to its end.

    Attributes:
        cell: The cell that asks. A question that it asks again replaces its former one on the path.
        instead_of: The id of the question that this one replaces on the path. The same text gives that question
            another answer; a different text stands beside it. What was there stays as an older version.
        keep_followers: Whether what followed the former answer follows the new one; else it stays with the old one.
        continues: Whether the answer continues the conversation's last one: it is appended to that, and the prompt
            does not enter the conversation.
    """

    cell: str = ""
    instead_of: str = ""
    keep_followers: bool = True
    continues: bool = False


def check_name(name: str) -> str:
    """Return a conversation's name without the blanks around it: the one rule for cells, panels and Python.

    Raises:
        ConfigError: No conversation may be called so.
    """
    found = name.strip()
    if found == clean_name(found):
        return found
    message = join_sentences(
        tr("A conversation cannot be called {name!r}.", name=name),
        tr(
            "A name has 1 to {most} characters, no line breaks or other control characters, and begins with "
            "neither '#' nor '-'.",
            most=_MOST_NAME,
        ),
    )
    raise ConfigError(message)


def clean_name(text: str, otherwise: str = "chat") -> str:
    """Return the name most like a text that a conversation may have; another where nothing is left of it."""
    shown = "".join(" " if unicodedata.category(one) in _UNNAMEABLE else one for one in text)
    return re.sub(r"^[#\s-]+", "", shown)[:_MOST_NAME].strip() or otherwise


def quote_name(name: str) -> str:
    """Return a conversation's name as a line of `%chatglm` takes it: quoted where it holds blanks."""
    return name if not re.search(r"[\s'\"?!？！]", name) else '"' + name.replace('"', r"\"") + '"'


def turns_on(path: list[MessageNode]) -> list[tuple[MessageNode, MessageNode | None]]:
    """Return each question on a path with its answer there, or with None."""
    answers = {node.parent: node for node in path if node.role == "assistant"}
    return [(node, answers.get(node.id)) for node in path if node.role == "user"]


def messages_on(path: list[MessageNode]) -> list[Message]:
    """Return the answered turns of a path as messages; those whose answer has no content, or none yet, are left out."""
    found: list[Message] = []
    for question, answer in turns_on(path):
        if answer is None or not answer.has_content:
            continue
        found.append(Message("user", content_of(question.text, question.attachments)))
        found += _with_results(answer.exchange)
        if answer.text:
            found.append(Message("assistant", answer.text, thinking=answer.thinking))
    return found


def _with_results(exchange: Sequence[Message]) -> list[Message]:
    """Return an exchange in which each call has its result: one that was stopped, or whose kernel died, may lack some.

    A server refuses a conversation with a call that nothing answers.
    """
    results = {message.call_id: message for message in exchange if message.role == "tool"}
    found: list[Message] = []
    for message in exchange:
        if message.role != "tool":
            found.append(message)
            found += [results.get(call.id) or Message("tool", NOT_RUN, call_id=call.id) for call in message.calls]
    return found


def _nodes_of(messages: Sequence[Message]) -> list[MessageNode]:
    """Return the nodes of messages: what lies between a question and its answer becomes the answer's exchange.

    Raises:
        ConfigError: One is a system prompt.
    """
    nodes: list[MessageNode] = []
    exchange: list[Message] = []

    def add(node: MessageNode) -> None:
        node.parent = nodes[-1].id if nodes else ""
        if node.role == "assistant":
            node.finish_reason, node.exchange = "stop", tuple(exchange)
            exchange.clear()
        nodes.append(node)

    for message in messages:
        match message.role:
            case "user":
                if exchange:
                    add(MessageNode(role="assistant"))
                add(MessageNode(role="user", text=message.text, attachments=message.pictures))
            case "assistant" if not message.calls:
                add(MessageNode(role="assistant", text=message.text, thinking=message.thinking))
            case "assistant" | "tool":
                exchange.append(message)
            case role:
                raise ConfigError(
                    tr("A conversation holds what user and assistant say, not {role!r}; see Chat.system.", role=role)
                )
    if exchange:
        add(MessageNode(role="assistant"))
    return nodes


def last_turns(messages: list[Message], limit: int) -> list[Message]:
    """Return the newest whole turns that fit into about `limit` tokens."""
    tokens = 0
    start = len(messages)
    for index in reversed(range(len(messages))):
        tokens += estimate_tokens(messages[index : index + 1])
        if tokens > limit:
            break
        if messages[index].role == "user":
            start = index
    return messages[start:]


def estimate_tokens(messages: list[Message]) -> int:
    """Estimate the number of tokens in messages, rather too many than too few."""
    return sum(map(_tokens_of, messages))


def _tokens_of(message: Message) -> int:
    text = message.text + "".join(call.name + call.arguments for call in message.calls)
    pictures = _TOKENS_PER_PICTURE * len(message.pictures)
    return len(text.encode(errors="replace")) // _BYTES_PER_TOKEN + pictures + 4


_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is notified of what happens in a conversation, in the thread where it happens.

    Its methods must not wait. What they raise is logged and does not reach the reply. They are also called for a
    one-off question, whose messages are not in the conversation's tree.
    """

    def on_start(self, conversation: Conversation, question: MessageNode, answer: MessageNode) -> None:
        """An answer begins; `answer.reply` holds it until `on_end`."""

    def on_event(self, conversation: Conversation, answer: MessageNode, event: Event) -> None:
        """An event has been added to the answer's reply. Called for every event, so it must be quick."""

    def on_end(self, conversation: Conversation, answer: MessageNode, error: BaseException | None) -> None:
        """An answer has ended, perhaps with an error. One without text may have left the tree already."""

    def on_change(self, conversation: Conversation) -> None:
        """Anything else: messages removed or restored, another version chosen, a new start, a new name."""


class Turn(msgspec.Struct, frozen=True):
    """A question and its streaming answer, from `Conversation.begin` to `Conversation.end`.

    Attributes:
        question: The question; an existing one if it is only answered again.
        answer: The answer.
        replaced: The answer that stood in its place; the answer itself if it is continued; None if there was none.
        followers: The questions that followed the replaced answer, and follow this one now.
        watchers: The watchers that this turn notifies, from its start to its end.
        in_tree: Whether the turn is a part of the conversation.
    """

    question: MessageNode
    answer: MessageNode
    replaced: MessageNode | None
    followers: list[MessageNode]
    watchers: tuple[Watcher, ...]
    in_tree: bool = True


class Conversation:
    """Messages that follow each other, and watchers of what happens to them; no I/O.

    Args:
        name: The conversation's name.

    Attributes:
        id: The conversation's id, unique across processes; a new one when it starts over.
        name: The name that the user gave it.
        tree: All messages, in every version.
        unanswered: The last question and its insert point, if it failed before any text of the answer had arrived.
        panels: The cells whose panels have shown it, as prefixes of `InsertPoint.cell`.
        schemas: What answers of this process were asked to be, by their ids; those without a schema are not in it.
    """

    def __init__(self, name: str = "") -> None:
        self.id = uuid.uuid4().hex
        self.name = name
        self.tree = MessageTree()
        self.unanswered: tuple[str, InsertPoint | None] | None = None
        self.panels: tuple[str, ...] = ()
        self.schemas: dict[str, Schema] = {}
        self._watchers: tuple[Watcher, ...] = ()
        self._before_removal: tuple[MessageTree, TreeSnapshot] | None = None

    @property
    def messages(self) -> list[Message]:
        """The messages of the answered turns, oldest first; assigning a list starts over with it.

        They are as they are sent again: a question with its pictures, calls of tools and their results, the answer.
        """
        return messages_on(self.tree.path())

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self.start_over(MessageTree(_nodes_of(messages)))

    @property
    def message_count(self) -> int:
        """How many messages people see: two for each answered turn, whatever was called in between."""
        return 2 * sum(answer is not None and answer.has_content for _, answer in turns_on(self.tree.path()))

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """The watchers, in the order in which they were added."""
        return self._watchers

    def watch(self, watcher: Watcher) -> None:
        """Notify a watcher from now on; turns that have begun already are not reported to it."""
        if watcher not in self._watchers:
            self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Stop notifying a watcher, except of turns that have begun already."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)

    def notify_change(self) -> None:
        """Notify the watchers of a change."""
        _notify(self._watchers, lambda watcher: watcher.on_change(self))

    def start_over(self, tree: MessageTree | None = None) -> None:
        """Begin a new conversation of the same name, empty or with the messages of another."""
        self.id = uuid.uuid4().hex
        self.tree = tree or MessageTree()
        self.unanswered = None
        self.notify_change()

    def reset(self) -> None:
        """Forget all messages: start over with none."""
        self.start_over()

    def undo(self) -> str | None:
        """Take back the last answered turn, with all its versions and what failed after it.

        Returns:
            Its question; None if no turn was answered.
        """
        self.unanswered = None
        last = self.last_turn()
        if last is None:
            return None
        self._before_removal = None
        for version in self.tree.versions(last[0]):
            self.tree.cut(version)
        self.notify_change()
        return last[0].text

    def last_turn(self) -> tuple[MessageNode, MessageNode] | None:
        """Return the last question whose answer has content, and that answer; None if there is none."""
        for question, answer in reversed(turns_on(self.tree.path())):
            if answer is not None and answer.has_content:
                return question, answer
        return None

    def remove(self, node: MessageNode) -> list[MessageNode]:
        """Remove a message as `MessageTree.remove` does; `restore` can undo it until the next question.

        Returns:
            The removed messages.
        """
        self._before_removal = self.tree, self.tree.snapshot()
        removed = self.tree.remove(node)
        self.notify_change()
        return removed

    def restore(self) -> list[MessageNode]:
        """Undo the last `remove`: messages, their order and the chosen versions are as they were before it.

        Returns:
            The messages that are back; empty if nothing was removed since the last question.
        """
        before, self._before_removal = self._before_removal, None
        if before is None or before[0] is not self.tree:
            return []
        back = self.tree.restore(before[1])
        self.notify_change()
        return back

    def choose(self, node: MessageNode) -> None:
        """Lead the conversation's path through a version of a message."""
        self.tree.choose(node)
        self.notify_change()

    def before(self, at: InsertPoint | None) -> list[Message]:
        """Return the messages before an insert point; all of them if it is None or names no question here."""
        path = self.tree.path()
        question = self._question_at(at)
        return messages_on(path if question is None else path[: path.index(question)])

    def begin(
        self,
        prompt: str,
        reply: Reply,
        at: InsertPoint | None,
        *,
        remember: bool,
        key: str = "",
        attachments: tuple[ImagePart, ...] = (),
    ) -> Turn:
        """Begin a turn, and notify the watchers of it.

        Args:
            prompt: The question.
            reply: The reply that will stream; the answer holds it until `end`.
            at: Where the turn goes; None for the end of the conversation.
            remember: Whether the turn becomes a part of the conversation.
            key: The `request_key` of the request; empty where a cache must not find the answer.
            attachments: The question's pictures.

        Returns:
            The turn, to be passed to `notify_event` for each event and to `end`.
        """
        at = at or InsertPoint()
        asked = MessageNode(role="user", text=prompt, attachments=attachments, cell=at.cell)
        turn = self._insert(asked, reply, at) if remember else self._aside(asked, reply)
        if turn.replaced is not turn.answer:
            turn.answer.key = key
        if remember:
            # Asked again it finds its pictures here: they are no part of the prompt.
            self.unanswered = prompt, msgspec.structs.replace(at, instead_of=turn.question.id) if attachments else at
            self._before_removal = None
        _notify(turn.watchers, lambda watcher: watcher.on_start(self, turn.question, turn.answer))
        return turn

    def begin_beside(self, turn: Turn, reply: Reply) -> Turn:
        """Begin one more answer to a turn's question; the path leads through the turn's own. See `end_side_by_side`."""
        answer = _answer(turn.question, reply)
        if turn.in_tree:
            self.tree.add(answer)
            self.tree.choose(turn.answer)
        _notify(turn.watchers, lambda watcher: watcher.on_start(self, turn.question, answer))
        return msgspec.structs.replace(turn, answer=answer, replaced=None, followers=[])

    def notify_event(self, turn: Turn, event: Event) -> None:
        """Notify the turn's watchers of an event that its reply holds already."""
        if turn.watchers:  # for every token: no closure is made for nobody
            _notify(turn.watchers, lambda watcher: watcher.on_event(self, turn.answer, event))

    def end(self, turn: Turn, error: BaseException | None) -> None:
        """End a turn: settle its answer, and notify the watchers.

        An answer without content never displaces one that has some: the path leads through the old one again.
        """
        answer, reply = turn.answer, turn.answer.reply
        has_content = reply is not None and bool(reply.text or reply.exchange)
        if reply is not None and reply.schema is not None:
            self.schemas[answer.id] = reply.schema
        if turn.replaced is answer:
            if has_content:
                answer.key = ""  # it is longer now than any answer to its request
            else:
                answer.reply = None  # nothing to append: its values stay those of the first reply
        answer.settle()
        answer.error = str(error) if error is not None else ""
        if turn.in_tree:
            self._before_removal = None
            if not has_content:
                self._step_back(turn)
            else:
                self.unanswered = None
                if reply is not None and reply.replayed is not None:
                    self._drop_twin(turn)
        _notify(turn.watchers, lambda watcher: watcher.on_end(self, answer, error))

    def end_side_by_side(self, turns: Sequence[Turn], errors: Sequence[BaseException | None]) -> None:
        """End the turns of answers to one question; the conversation goes on with the first of them that has text.

        Answers beside it that hold nothing are dropped.

        Args:
            turns: That of `begin`, and behind it those of `begin_beside`.
            errors: Why each failed; None for those that did not.
        """
        first = turns[0]
        goes_on = next((turn for turn in turns if turn.answer.text_so_far), first)
        swapped: dict[str, Turn] = {}
        if goes_on is not first and self.tree.get(goes_on.answer.id) is not None:
            self.tree.move(first.followers, goes_on.answer)
            swapped[first.answer.id] = msgspec.structs.replace(first, replaced=None, followers=[])
            swapped[goes_on.answer.id] = msgspec.structs.replace(
                goes_on, replaced=first.replaced, followers=first.followers
            )
        for turn, error in zip(turns, errors, strict=True):
            self.end(swapped.get(turn.answer.id, turn), error)
        if self.tree.get(goes_on.answer.id) is not None:
            self.tree.choose(goes_on.answer)

    def _insert(self, asked: MessageNode, reply: Reply, at: InsertPoint) -> Turn:
        """Add a question and its answer to the tree, on the path."""
        tree, path = self.tree, self.tree.path()
        if at.continues and path and path[-1].role == "assistant" and path[-1].has_content:
            path[-1].reply = reply
            return Turn(path[-2], path[-1], path[-1], [], self._watchers)
        old = self._question_at(at)
        cell = at.cell or (old.cell if old is not None else "")
        if old is not None and (old.text, old.attachments) == (asked.text, asked.attachments):
            question = old
        else:
            question = asked
            question.parent = old.parent if old is not None else (path[-1].id if path else "")
            tree.add(question)
        question.cell = cell
        answer = _answer(question, reply)
        tree.add(answer)
        replaced = next((node for node in path if old is not None and node.parent == old.id), None)
        if replaced is None:
            return Turn(question, answer, None, [], self._watchers)
        followers = tree.children(replaced) if at.keep_followers or not replaced.has_content else []
        tree.move(followers, answer)
        if not replaced.has_content:  # it failed, and is no version worth keeping
            tree.cut(replaced if question is old or old is None else old)
            replaced = None
        return Turn(question, answer, replaced, followers, self._watchers)

    def _aside(self, question: MessageNode, reply: Reply) -> Turn:
        return Turn(question, _answer(question, reply), None, [], self._watchers, in_tree=False)

    def _question_at(self, at: InsertPoint | None) -> MessageNode | None:
        """Return the question on the path that a question at this point replaces."""
        if at is None or not (at.instead_of or at.cell):
            return None
        questions = [node for node in reversed(self.tree.path()) if node.role == "user"]
        if at.instead_of:
            return next((node for node in questions if node.id == at.instead_of), None)
        return next((node for node in questions if node.cell == at.cell), None)

    def _step_back(self, turn: Turn) -> None:
        """Choose the replaced answer again, and drop the new one if it holds nothing."""
        answer, replaced = turn.answer, turn.replaced
        if replaced is answer or self.tree.get(answer.id) is None:
            return
        is_empty = not answer.thinking and not answer.parts
        if replaced is None:
            if is_empty and len(self.tree.versions(answer)) > 1:
                self.tree.cut(answer)
            return
        self.tree.move(turn.followers, replaced)
        if is_empty:
            is_new_question = turn.question.id != replaced.parent
            self.tree.cut(turn.question if is_new_question else answer)
        self.tree.choose(replaced)

    def _drop_twin(self, turn: Turn) -> None:
        """Drop the replaced answer if the replayed one says the same, and let that take its key and time."""
        answer, twin = turn.answer, turn.replaced
        if twin is None or twin is answer or twin.parent != answer.parent or self.tree.children(twin):
            return
        if (twin.text, twin.thinking, twin.finish_reason) == (answer.text, answer.thinking, answer.finish_reason):
            answer.key, answer.created = twin.key, twin.created
            self.tree.cut(twin)


def _answer(question: MessageNode, reply: Reply) -> MessageNode:
    return MessageNode(role="assistant", parent=question.id, reply=reply, model=reply.model, provider=reply.provider)


def _notify(watchers: tuple[Watcher, ...], call: Callable[[Watcher], None]) -> None:
    """Call each watcher; one that fails must not end the reply."""
    for watcher in watchers:
        try:
            call(watcher)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("%s failed to take note", type(watcher).__name__)
