"""Our place in IPython's completion; what is offered there is imported with the first Tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from .magic import ChatGLMMagics


class _Nothing:
    """No completions, but a length: IPython lets only those who offer something keep the others silent."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def install(shell: InteractiveShell, magics: ChatGLMMagics) -> Callable[[], None]:
    """Take a place in a shell's completion.

    Returns:
        Leaves it again.
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
        from .completion import Completer

        fragment, names, is_all = Completer(magics).offers(before, lines[context.cursor_line][column:])
        offered: Any = [SimpleCompletion(text=name, type="magic") for name in names]
        if is_all and not names:
            offered = _Nothing()
        return {"completions": offered, "matched_fragment": fragment, "suppress": True, "ordered": True}

    matchers.append(match)

    def uninstall() -> None:
        if match in matchers:
            matchers.remove(match)

    return uninstall
