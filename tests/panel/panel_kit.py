"""A page for panels without a browser: it holds what it is told, as transcript.js does, and asks."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Self

from chatglm_magic import Chat, ChatPanel
from chatglm_magic._events import Event, Finished

TIMEOUT = 15.0


class Page:
    """One view of a panel; a context manager that takes the panel off the page at its end.

    Attributes:
        got: All messages, as they came, each with the time.
        messages: The messages that are shown, in order, by id.
    """

    def __init__(self, panel: ChatPanel, view: str = "view", *, opens: bool = True, beside: Page | None = None) -> None:
        self._beside = beside
        self.seen_beside: list[tuple[object, ...]] = []
        self.first_seen: list[tuple[object, ...]] = []
        self.panel = panel
        self.view = view
        self.got: list[tuple[float, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.head: dict[str, Any] = {}
        self.foot: dict[str, Any] = {}
        self.earlier = 0
        self.number = 0
        self._request = 0
        wire = panel._session.wire
        before = wire._send

        def send(message: dict[str, Any]) -> None:
            before(message)
            self.hear(message)

        wire._send = send
        if opens:
            self.ask("ready")
            self.wait(lambda: self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.panel.close()

    def ask(self, k: str, **values: Any) -> int:
        """Send a message, as a front end's comm brings it."""
        self._request += 1
        self.say({"k": k, "view": self.view, "req": self._request, **values})
        return self._request

    def say(self, content: object) -> None:
        self.panel._transcript._handle_custom_msg(content, [])

    def answer(self, k: str, **values: Any) -> dict[str, Any]:
        """Ask, and give the message that answers."""
        request = self.ask(k, **values)

        def found() -> dict[str, Any] | None:
            mine = (m for _, m in list(self.got) if m.get("for") == request and m["view"] == self.view)
            return next(mine, None)

        self.wait(found)
        return found()

    def exchange(self, k: str, **values: Any) -> dict[str, Any]:
        """Ask something that is answered in the conversation; give the answer as it is shown in the end."""
        assert self.answer(k, **values)["k"] == "ok"
        self.settled()
        return self.last

    def wait(self, ready: Callable[[], object], timeout: float = TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            assert time.monotonic() < deadline, (f"not within {timeout} s", [m for _, m in self.got[-5:]])
            time.sleep(0.002)

    def settled(self) -> None:
        """Wait until nothing is on its way any more."""
        self.wait(lambda: self.foot.get("state") == "ready" and not any(m["state"] == "streaming" for m in self.shown))
        self.answer("ping")

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

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message in, as the page does."""
        self.got.append((time.monotonic(), message))
        if self.number or message["k"] == "snap":
            assert not self.number or message["n"] == self.number + 1, "a gap"
            self.number = message["n"]
            getattr(self, f"_on_{message['k']}", lambda _: None)(message)

    def _on_snap(self, message: dict[str, Any]) -> None:
        if message["to"] in {None, self.view}:
            self.messages = {m["id"]: dict(m) for m in message["messages"]}
            self.earlier = message["earlier"]
            self.head, self.foot = message["head"], message["foot"]
            if self._beside is not None:
                self.seen_beside = [words(shown) for shown in self._beside.shown]
                self.first_seen = [words(shown) for shown in self.shown]

    def _on_older(self, message: dict[str, Any]) -> None:
        if message["to"] == self.view:
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


class Scripted:
    """A provider that says what it is told, event by event; a number waits so many seconds."""

    name = "scripted"

    def __init__(self, *replies: Iterable[Event | float | Exception]) -> None:
        self.replies = [list(reply) for reply in replies]
        self.requests: list[Any] = []

    async def stream(self, request: Any) -> AsyncGenerator[Event]:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        for one in reply:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, (int, float)):
                await asyncio.sleep(one)
            else:
                yield one
        yield Finished("stop")


def words(shown: dict[str, Any]) -> tuple[object, ...]:
    """Give what of a message a person sees, thinking's seconds aside."""
    thinking = shown["thinking"] and (tuple(shown["thinking"]["blocks"]), shown["thinking"]["tail"])
    names = ("id", "role", "version", "versions", "state", "note", "meta", "can", "tail")
    return (*(str(shown[name]) for name in names), tuple(shown["blocks"]), thinking)


def is_as_new(page: Page) -> bool:
    """Tell whether a view that comes now, in mid-stream or not, is given what this one has been told by then."""
    new = Page(page.panel, f"new {time.monotonic()}", beside=page)
    new.ask("bye")
    return new.first_seen == new.seen_beside


def chat_with(*replies: Iterable[Event | float | Exception]) -> Chat:
    """Give a conversation whose replies are scripted."""
    return Chat(Scripted(*replies), model="glm-4.7")
