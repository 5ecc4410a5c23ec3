"""What a view of a panel holds: it takes messages in as panel.js does."""

from __future__ import annotations

import html
import time
from typing import Any


class View:
    """One view.

    Attributes:
        name: Its name.
        got: All messages, as they came, each with the time.
        messages: The messages that are shown, in order, by id.
        head: The header.
        foot: The footer.
        earlier: How many older messages there are.
        number: Of the last message.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[tuple[float, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.head: dict[str, Any] = {}
        self.foot: dict[str, Any] = {}
        self.earlier = 0
        self.number = 0

    @property
    def shown(self) -> list[dict[str, Any]]:
        return list(self.messages.values())

    @property
    def last(self) -> dict[str, Any]:
        return self.shown[-1]

    def kinds(self) -> list[str]:
        return [message["k"] for _, message in self.got]

    def notes(self) -> list[str]:
        return [message["text"] for _, message in self.got if message["k"] == "note"]

    @property
    def is_still(self) -> bool:
        """Whether nothing is on its way, as far as this view was told."""
        return self.foot.get("state") == "ready" and not any(m["state"] == "streaming" for m in self.shown)

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message in, as the page does."""
        self.got.append((time.monotonic(), message))
        if self.number or message["k"] == "snap":
            assert not self.number or message["n"] == self.number + 1, "a gap"
            self.number = message["n"]
            getattr(self, f"_on_{message['k']}", lambda _: None)(message)

    def _on_snap(self, message: dict[str, Any]) -> None:
        if message["to"] in {None, self.name}:
            self.messages = {m["id"]: dict(m) for m in message["messages"]}
            self.earlier = message["earlier"]
            self.head, self.foot = message["head"], message["foot"]

    def _on_older(self, message: dict[str, Any]) -> None:
        if message["to"] == self.name:
            self.messages = {**{m["id"]: dict(m) for m in message["messages"]}, **self.messages}
            self.earlier = message["earlier"]

    def _on_add(self, message: dict[str, Any]) -> None:
        found = list(self.messages.items())
        names = [name for name, _ in found]
        at = names.index(message["after"]) + 1 if message["after"] in names else 0
        found.insert(at, (message["m"]["id"], dict(message["m"])))
        self.messages = dict(found)

    def _on_set(self, message: dict[str, Any]) -> None:
        name = message["m"]["id"]
        if name in self.messages:
            self.messages[name] = {**self.messages[name], **message["m"]}

    def _on_gone(self, message: dict[str, Any]) -> None:
        for name in message["ids"]:
            self.messages.pop(name, None)

    def _on_grow(self, message: dict[str, Any]) -> None:
        shown = self.messages.get(message["id"])
        if shown is None:
            return
        if message["part"] == "thinking":
            shown["thinking"] = shown["thinking"] or {"blocks": [], "tail": "", "seconds": 0}
            shown = shown["thinking"]
        blocks = [*shown["blocks"][: message["keep"]], *message["blocks"]]
        if message["code"]:
            before, end, after = blocks[-1].rpartition("</code>")
            blocks[-1] = before + html.escape(message["code"], quote=False) + end + after
        shown.update(blocks=blocks, tail=message["tail"])

    def _on_head(self, message: dict[str, Any]) -> None:
        self.head = message["head"]

    def _on_foot(self, message: dict[str, Any]) -> None:
        self.foot = message["foot"]


def words(shown: dict[str, Any]) -> tuple[object, ...]:
    """Give what of a message a person sees, thinking's seconds aside."""
    thinking = shown["thinking"] and (tuple(shown["thinking"]["blocks"]), shown["thinking"]["tail"])
    names = ("id", "role", "version", "versions", "state", "note", "meta", "can", "tail")
    return (*(str(shown[name]) for name in names), tuple(shown["blocks"]), thinking)
