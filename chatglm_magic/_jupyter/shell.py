"""The shell and kernel that this runs in, whether a person is there, and our completer in it.

IPython is looked up, not imported: a program that has no shell never needs it.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

Offers = tuple[str, list[tuple[str, str]], bool]
"""The part of the line that is completed, the names offered for it, and whether nobody else may offer any.

Each name has a note for the reader: what it is.
"""


class Publisher(Protocol):
    """What shows outputs: IPython's own `display_pub` is one."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show an output, or change the one whose `display_id` is in `transient`."""
        ...

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        """Remove the cell's outputs, at once or when the next one comes."""
        ...


def current_shell() -> Any:  # noqa: ANN401 - IPython's shell
    """Return the shell that this runs in; None where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def current_kernel() -> Any:  # noqa: ANN401 - ipykernel's
    """Return the kernel that this runs in; None where there is none."""
    return getattr(current_shell(), "kernel", None)


def loaded_magics() -> Any:  # noqa: ANN401 - ours, which are above this floor
    """Return the `ChatGLMMagics` of the shell that this runs in; None where they are not loaded."""
    shell = current_shell()
    return None if shell is None else shell.magics_manager.registry.get("ChatGLMMagics")


def can_show_button(shell: Any) -> bool:  # noqa: ANN401 - IPython's shell
    """Return whether somebody may be there to press a button: a kernel that may also ask for input.

    nbclient, nbconvert and papermill say that it may not; terminals have no kernel.
    """
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def can_show_widget(shell: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether somebody may see a widget: where a button can be pressed, and in Voilà, where none can ask."""
    is_voila = os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")
    return can_show_button(shell) or (is_voila and getattr(shell, "kernel", None) is not None)


_CONSOLES = frozenset({"jupyter-console", "jupyter_console", "jupyter-qtconsole", "qtconsole", "jupyter-run"})


@lru_cache
def is_of_console(kernel: Any) -> bool:  # noqa: ANN401 - ipykernel's
    """Return whether a console has started a kernel: Jupyter's, Qt's, Spyder's or `jupyter run`.

    They show plain text as it comes, and ignore updates of outputs. No message says which front end sends it.
    """
    if type(kernel).__module__.startswith("spyder_kernels"):
        return True
    try:
        import psutil  # ipykernel has it

        command = psutil.Process(os.getppid()).cmdline()
    except (ImportError, psutil.Error):
        return False
    return not _CONSOLES.isdisjoint(re.split(r"[/\\]", word)[-1].removesuffix(".exe") for word in command[:3])


class _Nothing:
    """No completions, but a length: IPython lets only those who offer something keep the others silent."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def install_completer(shell: InteractiveShell, offers: Callable[[str, str], Offers]) -> Callable[[], None]:
    """Register a completer of our lines and cells in a shell.

    Args:
        shell: The shell.
        offers: Called with the text before the cursor and the rest of its line.

    Returns:
        A function that unregisters it.
    """
    matchers = getattr(shell.Completer, "custom_matchers", None)
    if matchers is None:  # a shell with a completer of its own
        return lambda: None
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier="chatglm_magic", priority=100)  # type: ignore[untyped-decorator]  # IPython has no types
    def match(context: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        if "%chatglm" not in context.full_text:
            return {"completions": []}
        lines = context.full_text.split("\n")
        column = context.cursor_position
        before = "\n".join([*lines[: context.cursor_line], lines[context.cursor_line][:column]])
        fragment, names, is_all = offers(before, lines[context.cursor_line][column:])
        offered: Any = [SimpleCompletion(text=name, type=note) for name, note in names]
        if is_all and not names:
            offered = _Nothing()
        return {"completions": offered, "matched_fragment": fragment, "suppress": True, "ordered": True}

    matchers.append(match)

    def uninstall() -> None:
        if match in matchers:
            matchers.remove(match)

    return uninstall
