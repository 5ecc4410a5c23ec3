"""The command that opens a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conversations import conversation_of_panel
from .outcomes import Value

if TYPE_CHECKING:
    from .arguments import Arguments
    from .magic import ChatGLMMagics


class PanelCommands:
    """The command about panels.

    Attributes:
        magics: The settings and the conversations.
    """

    magics: ChatGLMMagics

    def do_panel(self, arguments: Arguments) -> Value:
        """Open a chat below the cell, in the conversation that cells ask in, or the one that is named."""
        from ..panel import ChatPanel

        return Value(ChatPanel(conversation_of_panel(self.magics, arguments.conversation)))
