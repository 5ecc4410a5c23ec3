"""The functions that a cell offers to the model, and how a person is asked about their calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from .._jupyter.call_card import CallCard
from .._jupyter.shell import can_show_button
from .._language import tr
from .._tools.approval import Decision, person_decides, read_arguments, refuse_all, shown_arguments
from .._tools.call import CheckedCall
from .._tools.run import in_main_thread
from .prompt import functions_named

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from IPython.core.interactiveshell import InteractiveShell

    from .._jupyter.widgets import PinnedPublisher
    from .options import Arguments

_YES = frozenset({"y", "yes", "r", "run", "是", "好", "运行"})
_NO = frozenset({"", "n", "no", "d", "deny", "否", "不"})
_ALWAYS = frozenset({"a", "always", "总是"})
_EDIT = frozenset({"e", "edit", "改", "修改"})
"""What is understood in an input line; anything else is the reason why not."""


def tool_fields(
    shell: InteractiveShell,
    arguments: Arguments,
    *,
    pinned: PinnedPublisher | None = None,
    has_buttons: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return what a cell's options say about functions and the web, as `Chat.stream` takes it.

    Args:
        shell: The shell, where the functions have their names.
        arguments: The options.
        pinned: The publisher of a reply that outlives its cell; None for one that the cell waits for.
        has_buttons: Whether buttons are heard while the cell runs.
        notify: Called with one sentence that says what is waited for.

    Raises:
        ConfigError: A name means nothing here.
    """
    fields: dict[str, Any] = {"search": True} if arguments.search else {}
    if not arguments.tools:
        return fields
    approve: object = arguments.approve
    if approve == "ask":
        approve = _asker(shell, pinned, notify, has_buttons=has_buttons)
    return {
        **fields,
        "tools": functions_named(shell, arguments.tools),
        "approve": approve,
        "chain_limit": arguments.chain_limit,
    }


def _asker(
    shell: InteractiveShell, pinned: PinnedPublisher | None, notify: Callable[[str], None], *, has_buttons: bool
) -> Callable[[CheckedCall], Decision | Awaitable[Decision]]:
    """Return how a person is asked: by buttons where they are heard, else by a line of input; else nobody is."""
    if can_show_button(shell) and (has_buttons or pinned is not None):

        async def by_card(call: CheckedCall) -> Decision:
            notify(tr("waiting for you to decide about {name}", name=call.name))
            answer = await CallCard(shell, pinned).ask(
                call.name, call.doc, shown_arguments(call), lambda text: _fault(call, text)
            )
            return person_decides(call, answer.pressed, answer.arguments)

        return by_card
    if pinned is None and _takes_input(shell):

        async def by_line(call: CheckedCall) -> Decision:
            notify(tr("waiting for you to decide about {name}", name=call.name))
            return await in_main_thread(lambda: _ask_in_line(call))

        return by_line
    return refuse_all


def _takes_input(shell: InteractiveShell) -> bool:
    if getattr(shell, "kernel", None) is None:
        return sys.stdin is not None and sys.stdin.isatty()
    return can_show_button(shell)


def _ask_in_line(call: CheckedCall) -> Decision:
    """Ask in one line of input, and once more where the arguments are to be changed."""
    asked = tr("The model asks to run {name}:", name=f"{call.name} {shown_arguments(call, None)}")
    question = tr("yes, no, always, edit, or why not? ")
    said = _input("\n" + "\n".join(filter(None, (asked, call.doc, question))))
    word = said.lower()
    if word in _EDIT:
        return _ask_for_arguments(call)
    if word in _YES | _ALWAYS | _NO:
        return person_decides(call, "always" if word in _ALWAYS else "run" if word in _YES else "deny")
    return Decision(is_allowed=False, by="person", reason=f"not run: {said}")


def _ask_for_arguments(call: CheckedCall) -> Decision:
    """Ask for other arguments until they fit, or until nothing is typed."""
    fault = ""
    while text := _input("\n".join(filter(None, (fault, tr("Arguments as JSON; nothing for no: "))))):
        if not (fault := _fault(call, text)):
            return person_decides(call, "run", text)
    return person_decides(call, "deny")


def _input(prompt: str) -> str:
    """Return a typed line; none where input ends or is not allowed, which is a no."""
    try:
        return input(prompt).strip()
    except KeyboardInterrupt:
        raise
    except Exception:  # noqa: BLE001 - the end of a file, or the kernel's own error where nobody can type
        return ""


def _fault(call: CheckedCall, text: str) -> str:
    """Return what is wrong with arguments that a person has typed; empty for nothing."""
    try:
        read_arguments(call, text)
    except ConfigError as error:
        return str(error)
    return ""
