"""All messages of a conversation, in every version.

A question asked again and an answer given again stand beside the old one, under the same parent. The path is the branch
that is shown and sent: at each parent it takes the version chosen there. Old versions stay until they are removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from .message_node import MessageNode


class TreeSnapshot(msgspec.Struct, frozen=True):
    """The state of a tree at one time, for `MessageTree.restore`.

    Attributes:
        nodes: The messages, by id.
        parents: The parent's id of each.
        children: The ids of the children of each, in order.
        chosen: As in `MessageTree`.
    """

    nodes: Mapping[str, MessageNode]
    parents: Mapping[str, str]
    children: Mapping[str, tuple[str, ...]]
    chosen: Mapping[str, str]


class MessageTree:
    """The messages of a conversation; iterating yields all of them.

    Only one thread at a time may change it; others may read meanwhile, and see whole messages.

    Args:
        nodes: Messages, each after its parent.
        chosen: Which child the path takes, by the parent's id; the newest where a parent is missing.

    Attributes:
        chosen: As given; the empty id is the parent of the conversation's first message.
    """

    def __init__(self, nodes: Iterable[MessageNode] = (), chosen: Mapping[str, str] | None = None) -> None:
        self.chosen: dict[str, str] = {}
        self._nodes: dict[str, MessageNode] = {}
        self._children: dict[str, list[str]] = {}
        for node in nodes:
            self.add(node)
        self.chosen.update(chosen or {})

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[MessageNode]:
        return iter(list(self._nodes.values()))

    def get(self, node_id: str) -> MessageNode | None:
        """Return the message with this id, or None."""
        return self._nodes.get(node_id)

    def path(self) -> list[MessageNode]:
        """Return the messages of the chosen branch, oldest first."""
        found: list[MessageNode] = []
        node_id = self._chosen_child("")
        while node_id:
            found.append(self._nodes[node_id])
            node_id = self._chosen_child(node_id)
        return found

    def versions(self, node: MessageNode) -> list[MessageNode]:
        """Return a message and those beside it under the same parent, oldest first."""
        return [self._nodes[child] for child in self._children.get(node.parent, ())]

    def children(self, node: MessageNode) -> list[MessageNode]:
        """Return the answers to a question, or the questions after an answer, oldest first."""
        return [self._nodes[child] for child in self._children.get(node.id, ())]

    def add(self, node: MessageNode) -> None:
        """Add a message as the newest child of its parent, and choose it.

        If its parent is not in the tree, it becomes a first message.
        """
        if node.parent and node.parent not in self._nodes:
            node.parent = ""
        self._nodes[node.id] = node
        self._children.setdefault(node.parent, []).append(node.id)
        self.chosen[node.parent] = node.id

    def choose(self, node: MessageNode) -> None:
        """Lead the path through a message: choose it and everything above it."""
        one: MessageNode | None = node
        while one is not None:
            self.chosen[one.parent] = one.id
            one = self._nodes.get(one.parent)

    def move(self, children: Iterable[MessageNode], parent: MessageNode) -> None:
        """Move messages, with all that follows them, under another parent, in the same order."""
        for child in children:
            was_chosen = self.chosen.get(child.parent) == child.id
            self._unlink(child)
            child.parent = parent.id
            self._children.setdefault(parent.id, []).append(child.id)
            if was_chosen or parent.id not in self.chosen:
                self.chosen[parent.id] = child.id

    def remove(self, node: MessageNode) -> list[MessageNode]:
        """Remove a message, and with it its whole turn if it is the only version of a question or answer.

        Messages that followed an only version stay and follow what came before it. Those that followed one of several
        versions belong to that version and are removed with it.

        Returns:
            The removed messages.
        """
        question = self._nodes.get(node.parent) if node.role == "assistant" else node
        if question is None or len(self.versions(node)) > 1:
            return self.cut(node)
        if len(self.versions(question)) > 1:
            return self.cut(question)
        answers = self.children(question)
        followers = [child for answer in answers for child in self.children(answer)]
        answer_id = self._chosen_child(question.id)
        shown = self._chosen_child(answer_id) if answer_id else ""
        index = self._unlink(question)
        for child in followers:
            child.parent = question.parent
        if followers:
            self._children.setdefault(question.parent, [])[index:index] = [child.id for child in followers]
            self.chosen[question.parent] = shown or followers[-1].id
        return self._forget([question, *answers])

    def cut(self, node: MessageNode) -> list[MessageNode]:
        """Remove a message and all that follows it.

        Returns:
            The removed messages.
        """
        removed = [node]
        for one in removed:
            removed += self.children(one)
        self._unlink(node)
        return self._forget(removed)

    def snapshot(self) -> TreeSnapshot:
        """Return the present state."""
        return TreeSnapshot(
            dict(self._nodes),
            {node.id: node.parent for node in self._nodes.values()},
            {parent: tuple(children) for parent, children in self._children.items()},
            dict(self.chosen),
        )

    def restore(self, snapshot: TreeSnapshot) -> list[MessageNode]:
        """Return to an earlier state; messages added since are dropped.

        Returns:
            The messages that are back.
        """
        back = [node for node in snapshot.nodes.values() if node.id not in self._nodes]
        # Each step replaces a whole dictionary: a reader in another thread never meets an id without its message.
        self._nodes = {**self._nodes, **snapshot.nodes}
        for node in snapshot.nodes.values():
            node.parent = snapshot.parents[node.id]
        self._children = {parent: list(children) for parent, children in snapshot.children.items()}
        self.chosen = dict(snapshot.chosen)
        self._nodes = dict(snapshot.nodes)
        return back

    def _chosen_child(self, parent: str) -> str:
        """Return the id of the child that the path takes; empty if there are no children."""
        children = self._children.get(parent)
        if not children:
            return ""
        chosen = self.chosen.get(parent, "")
        return chosen if chosen in children else children[-1]

    def _unlink(self, node: MessageNode) -> int:
        """Take a message out of its parent's children, choosing a neighbour; return its former index."""
        siblings = self._children.get(node.parent, [])
        index = siblings.index(node.id)
        siblings.remove(node.id)
        if not siblings:
            del self._children[node.parent]
        if self.chosen.get(node.parent) == node.id:
            if siblings:
                self.chosen[node.parent] = siblings[min(index, len(siblings) - 1)]
            else:
                del self.chosen[node.parent]
        return index

    def _forget(self, removed: list[MessageNode]) -> list[MessageNode]:
        for node in removed:
            self._nodes.pop(node.id, None)
            self._children.pop(node.id, None)
            self.chosen.pop(node.id, None)
        return removed
