"""A page for panels without a browser: it holds what it is told, as panel.js does, and asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Self

from panel_view import View, words

from chatglm_magic import Chat, ChatPanel
from chatglm_magic._events import Event, Finished

TIMEOUT = 15.0


class Page(View):
    """One view of a panel, and the panel; a context manager that takes it off the page at its end."""

    def __init__(self, panel: ChatPanel, view: str = "view", *, opens: bool = True, beside: Page | None = None) -> None:
        super().__init__(view)
        self.panel = panel
        self._beside = beside
        self.seen_beside: list[tuple[object, ...]] = []
        self.first_seen: list[tuple[object, ...]] = []
        self._request = 0
        channel = panel._state.channel
        before = channel._send

        def send(message: dict[str, Any]) -> None:
            before(message)
            self.hear(message)

        channel._send = send
        if opens:
            self.ask("ready")
            self.wait(lambda: self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.panel.close()

    def ask(self, k: str, buffers: Iterable[bytes] = (), **values: Any) -> int:
        """Send a message, as a front end's comm brings it."""
        self._request += 1
        self.say({"k": k, "view": self.name, "req": self._request, **values}, buffers)
        return self._request

    def say(self, content: object, buffers: Iterable[bytes] = ()) -> None:
        self.panel._transcript._handle_custom_msg(content, list(map(memoryview, buffers)))

    def answer(self, k: str, **values: Any) -> dict[str, Any]:
        """Ask, and give the message that answers."""
        request = self.ask(k, **values)

        def found() -> dict[str, Any] | None:
            mine = (m for _, m in list(self.got) if m.get("for") == request and m["view"] == self.name)
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
        self.wait(lambda: self.is_still)
        self.answer("ping")

    def _on_snap(self, message: dict[str, Any]) -> None:
        super()._on_snap(message)
        if self._beside is not None:
            self.seen_beside = [words(shown) for shown in self._beside.shown]
            self.first_seen = [words(shown) for shown in self.shown]


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
        if not isinstance(reply[-1], Finished):
            yield Finished("stop")


def is_as_new(page: Page) -> bool:
    """Tell whether a view that comes now, in mid-stream or not, is given what this one has been told by then."""
    new = Page(page.panel, f"new {time.monotonic()}", beside=page)
    new.ask("bye")
    return new.first_seen == new.seen_beside


def chat_with(*replies: Iterable[Event | float | Exception]) -> Chat:
    """Give a conversation whose replies are scripted."""
    return Chat(Scripted(*replies), model="glm-4.7")
