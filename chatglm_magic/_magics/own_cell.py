"""Outputs of a cell that has ended: they go to the cell they belong to, whichever runs by then."""

from __future__ import annotations

from typing import Any

from .._errors import ChatGLMError, shorten
from .._markdown.links import literal
from .updates import send


class OwnCell:
    """Publishes in the cell that runs now, for as long as that is shown; from any thread.

    ipykernel 6 sends what a task or a thread shows to the cell that ran last, ipykernel 7 to the one of
    the context. This remembers the cell itself.

    Args:
        display_pub: The shell's publisher, one of ipykernel's.
    """

    def __init__(self, display_pub: Any) -> None:  # noqa: ANN401 - ipykernel has no types
        self._display_pub = display_pub
        self._parent = dict(display_pub.parent_header)

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        """Remove the cell's outputs, at once or when the next one comes."""
        self._send("clear_output", {"wait": wait})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        send(self._display_pub, kind, content, self._parent)


def failure(error: Exception) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell in one line what went wrong, where it cannot be raised.

    Returns:
        An output's data and metadata.
    """
    name, message = type(error).__name__, shorten(str(error), 600)
    kind = error.kind if isinstance(error, ChatGLMError) else "error"
    data = {"text/markdown": f"**{name}**: {literal(message)}", "text/plain": f"{name}: {message}"}
    return data, {"chatglm_magic": {"status": "error", "kind": kind}}
