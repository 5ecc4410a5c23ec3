"""What has been said in a conversation, with every version of it; no I/O.

A question asked anew and an answer given anew stand beside the old one, under the same parent. One way leads
through the tree, the path: at each parent it takes the version chosen there. Old versions stay until they are
removed, so that nothing said is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ._said import Said
from ._values import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """How a tree stood: to be given back to it.

    Attributes:
        said: The messages, by their ids.
        parents: What each followed.
        children: What followed each, in order.
        chosen: As in `Tree`.
    """

    said: Mapping[str, Said]
    parents: Mapping[str, str]
    children: Mapping[str, tuple[str, ...]]
    chosen: Mapping[str, str]


class Tree:
    """The messages of a conversation. Changed in one thread at a time; whoever reads in another sees whole messages.

    Args:
        said: Messages, each after its parent.
        chosen: Which child the path takes, by the parent's id; the newest where it is not told.

    Attributes:
        chosen: As given; the empty id is the parent of the conversation's first message.
    """

    def __init__(self, said: Iterable[Said] = (), chosen: Mapping[str, str] | None = None) -> None:
        self.chosen: dict[str, str] = {}
        self._said: dict[str, Said] = {}
        self._children: dict[str, list[str]] = {}
        for one in said:
            self.add(one)
        self.chosen.update(chosen or {})

    def __len__(self) -> int:
        return len(self._said)

    def __iter__(self) -> Iterator[Said]:
        return iter(list(self._said.values()))

    def get(self, name: str) -> Said | None:
        """Give a message by its id."""
        return self._said.get(name)

    def path(self) -> list[Said]:
        """Give the messages on the chosen way, oldest first."""
        found: list[Said] = []
        name = self._taken("")
        while name:
            found.append(self._said[name])
            name = self._taken(name)
        return found

    def versions(self, said: Said) -> list[Said]:
        """Give a message and those that stand beside it, oldest first."""
        return [self._said[name] for name in self._children.get(said.parent, ())]

    def answers(self, said: Said) -> list[Said]:
        """Give what follows a message at once: the answers to a question, the questions after an answer."""
        return [self._said[name] for name in self._children.get(said.id, ())]

    def add(self, said: Said) -> None:
        """Put a message behind its parent; the path takes it.

        One whose parent is not there stands at the beginning.
        """
        if said.parent and said.parent not in self._said:
            said.parent = ""
        self._said[said.id] = said
        self._children.setdefault(said.parent, []).append(said.id)
        self.chosen[said.parent] = said.id

    def choose(self, said: Said) -> None:
        """Lead the path through a message."""
        one: Said | None = said
        while one is not None:
            self.chosen[one.parent] = one.id
            one = self._said.get(one.parent)

    def move(self, children: Iterable[Said], parent: Said) -> None:
        """Put messages, with all that follows them, behind another parent, in the same order."""
        for child in children:
            was = self.chosen.get(child.parent)
            self._unlink(child)
            child.parent = parent.id
            self._children.setdefault(parent.id, []).append(child.id)
            if was == child.id or parent.id not in self.chosen:
                self.chosen[parent.id] = child.id

    def remove(self, said: Said) -> list[Said]:
        """Remove a message; an answer that has no other version goes with its question, and the other way round.

        What followed the only version stays, behind what came before. What followed one of several
        versions belongs to that version and goes with it.

        Returns:
            What is gone.
        """
        question = self._said.get(said.parent) if said.role == "assistant" else said
        if question is None or len(self.versions(said)) > 1:
            return self.cut(said)
        if len(self.versions(question)) > 1:
            return self.cut(question)
        answers = self.answers(question)
        followers = [child for answer in answers for child in self.answers(answer)]
        taken = self._taken(question.id)
        following = self._taken(taken) if taken else ""
        place = self._unlink(question)
        for child in followers:
            child.parent = question.parent
        if followers:
            self._children.setdefault(question.parent, [])[place:place] = [child.id for child in followers]
            self.chosen[question.parent] = following or followers[-1].id
        return self._drop([question, *answers])

    def cut(self, said: Said) -> list[Said]:
        """Remove a message and all that follows it.

        Returns:
            What is gone.
        """
        gone = [said]
        for one in gone:
            gone += self.answers(one)
        self._unlink(said)
        return self._drop(gone)

    def shape(self) -> Shape:
        """Give how the tree stands now."""
        return Shape(
            dict(self._said),
            {one.id: one.parent for one in self._said.values()},
            {parent: tuple(children) for parent, children in self._children.items()},
            dict(self.chosen),
        )

    def reshape(self, shape: Shape) -> list[Said]:
        """Let the tree stand as it did, and nothing that came since be in it.

        Returns:
            What is back.
        """
        back = [one for one in shape.said.values() if one.id not in self._said]
        # At once, each: who reads in another thread meets no message that is not there.
        self._said = {**self._said, **shape.said}
        for one in shape.said.values():
            one.parent = shape.parents[one.id]
        self._children = {parent: list(children) for parent, children in shape.children.items()}
        self.chosen = dict(shape.chosen)
        self._said = dict(shape.said)
        return back

    def _taken(self, parent: str) -> str:
        """Give the id of the child that the path takes; empty where there is none."""
        children = self._children.get(parent)
        if not children:
            return ""
        wanted = self.chosen.get(parent, "")
        return wanted if wanted in children else children[-1]

    def _unlink(self, said: Said) -> int:
        siblings = self._children.get(said.parent, [])
        place = siblings.index(said.id)
        siblings.remove(said.id)
        if not siblings:
            del self._children[said.parent]
        if self.chosen.get(said.parent) == said.id:
            if siblings:
                self.chosen[said.parent] = siblings[min(place, len(siblings) - 1)]
            else:
                del self.chosen[said.parent]
        return place

    def _drop(self, gone: list[Said]) -> list[Said]:
        for one in gone:
            self._said.pop(one.id, None)
            self._children.pop(one.id, None)
            self.chosen.pop(one.id, None)
        return gone
