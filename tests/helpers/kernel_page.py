"""A page for a panel in a real kernel: it hears the comm over ZMQ, and asks as a front end does."""

from __future__ import annotations

from copy import copy
from typing import Any

from kernel_driver import VIEW, Kernel
from panel_view import View


class KernelPage(View):
    """One view of a panel.

    Args:
        kernel: The kernel.
        run: The cell that showed the panel.
        name: The view's name.
        subshell: Where its messages go; None for the main shell.
    """

    def __init__(self, kernel: Kernel, run: Any, name: str = "view", *, subshell: str | None = None) -> None:
        super().__init__(name)
        self._kernel = kernel
        self._subshell = subshell
        self._request = 0
        opened = [m.content for m in kernel.told if m.type == "comm_open"]
        states = {one["comm_id"]: one["data"].get("state", {}) for one in opened}
        box = next(o["data"][VIEW]["model_id"] for o in run.outputs if VIEW in o.get("data", {}))
        inside = [child.removeprefix("IPY_MODEL_") for child in states[box]["children"]]
        self.comm = next(name for name in inside if states[name]["_model_module"] == "anywidget")
        self.models = states
        self._taken = 0
        self.open()

    def open(self) -> None:
        """Ask for the whole."""
        self.ask("ready")
        self.wait(lambda: self.number)

    def beside(self, name: str) -> KernelPage:
        """Give another view of the same panel, which comes now."""
        other = copy(self)
        View.__init__(other, name)
        other._taken = len(self._kernel.told)
        other.open()
        return other

    def ask(self, k: str, **values: Any) -> int:
        """Send a message to the panel."""
        self._request += 1
        self.say({"k": k, "view": self.name, "req": self._request, **values})
        return self._request

    def say(self, content: object) -> None:
        data = {"method": "custom", "content": content}
        self._kernel._send("shell", "comm_msg", {"comm_id": self.comm, "data": data}, self._subshell)

    def answer(self, k: str, **values: Any) -> dict[str, Any]:
        """Ask, and give the message that answers."""
        request = self.ask(k, **values)
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [m for _, m in self.got if m.get("for") == request and m["view"] == self.name]
            return bool(found)

        self.wait(is_there)
        return found[0]

    def exchange(self, k: str, **values: Any) -> dict[str, Any]:
        """Ask something that is answered in the conversation; give the answer as it is shown in the end."""
        assert self.answer(k, **values)["k"] == "ok"
        self.wait(lambda: self.is_still)
        self.answer("ping")
        return self.last

    def wait(self, ready: Any, timeout: float = 30.0) -> None:
        """Take what comes until something is so."""

        def look() -> object:
            self.take()
            return ready()

        self._kernel.wait(look, timeout)

    def take(self) -> None:
        """Take in what has come to the comm."""
        told = self._kernel.told
        for message in told[self._taken :]:
            content = message.content
            if message.type == "comm_msg" and content["comm_id"] == self.comm and content["data"]["method"] == "custom":
                self.hear(content["data"]["content"])
        self._taken = len(told)
