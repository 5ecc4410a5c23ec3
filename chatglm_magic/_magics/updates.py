"""Updates of outputs in the cell that runs, without the wait that a new output needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..renderers import Publisher

_IPYKERNEL = "ipykernel.zmqshell"


class QuickUpdates:
    """Shows what it is given as ipykernel's publisher does, and updates without waiting.

    ipykernel waits before each output until its thread has sent what was printed: both are to keep their order.
    An update has its place already, and a reply that streams is nearly all updates: the wait was half of what
    each of them cost.

    Args:
        display_pub: The shell's publisher, one that `quick` approves of.
    """

    def __init__(self, display_pub: Any) -> None:  # noqa: ANN401 - ipykernel has no types
        self._display_pub = display_pub
        self.clear_output = display_pub.clear_output

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        publisher = self._display_pub
        if not update or publisher._hooks or getattr(publisher, "store_display_history", False):  # noqa: SLF001 - no public way
            publisher.publish(data, metadata, transient=transient, update=update)
            return
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        send(publisher, "update_display_data", content, publisher.parent_header)


def send(display_pub: Any, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:  # noqa: ANN401 - as above
    """Send a message in the name of ipykernel's publisher, without the wait, to the cell of a request's header."""
    display_pub.session.send(display_pub.pub_socket, kind, content, parent=parent, ident=display_pub.topic)


def quick(display_pub: Any) -> Publisher:  # noqa: ANN401 - IPython's, or another's
    """Give a publisher that updates without waiting; the same one where it is not ipykernel's own, as it came."""
    known: Publisher = display_pub
    publish = getattr(type(display_pub), "publish", None)
    own = getattr(publish, "__module__", "") == _IPYKERNEL and not hasattr(publish, "__wrapped__")
    if own and "publish" not in vars(display_pub) and hasattr(display_pub, "_hooks"):
        return QuickUpdates(display_pub)
    return known
