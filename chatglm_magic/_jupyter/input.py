"""Our cells and lines on their way from the editor to Python: kept as typed, and awaited where that can be.

IPython turns magics into calls of plain functions, and knows nothing of asynchronous ones (its issues
#11314 and #14157). Three hooks make up for that:

- `keep_cell` (cleanup) takes a `%%chatglm` cell out before IPython's own cleanups, which strip `>>> `
  prompts and blanks on empty lines, can touch the prompt.
- `OurLine` (token transformer) keeps a question mark at the end of our line from being read as a
  request for help. `%chatglm?` stays one.
- `AwaitOurs` (post) turns our calls into awaited ones where they are statements of the cell itself. Before, it
  mends or refuses lines that IPython did not take for ours: a blank of another script after the name, no blank at
  all, capital letters.
"""

from __future__ import annotations

import ast
import asyncio
import re
import sys
import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from IPython.core import interactiveshell
from IPython.core.async_helpers import _asyncio_runner
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign, TokenTransformBase

from .._errors import shorten
from .._language import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Self

    from IPython.core.interactiveshell import InteractiveShell

NAME = "chatglm"
ASYNC_NAME = "chatglm_async"
"""The magic that awaited calls name; it returns a coroutine."""

_CELL = re.compile(rf"%%{NAME}(?:(?:[ \t]+|[^\S\r\n])(?P<line>[^\r\n]*?))?[ \t]*(?:\r\n|\r|\n|\Z)")
_LINE = re.compile(rf"(?i:%{NAME})(?![A-Za-z0-9_.?])")
_ALMOST = re.compile(rf"(?is)({NAME})(?![a-z0-9_.])(.*)")
_ALMOST_CALLED = re.compile(rf"_magic\('(?!{NAME}')(?i:{NAME})")
_CALLS = {"run_line_magic": "%", "run_cell_magic": "%%"}
_SOURCE_LINES = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
"""Where Python's own tokenizer begins a new line; `str.splitlines` knows more ends of lines."""

_alone: ContextVar[bool] = ContextVar("alone", default=False)
_is_value: ContextVar[bool] = ContextVar("is_value", default=True)
_awaits_ours_only: ContextVar[bool] = ContextVar("awaits_ours_only", default=False)


def is_alone() -> bool:
    """Return whether the running cell holds nothing but one call of ours."""
    return _alone.get()


def is_value() -> bool:
    """Return whether the running cell ends with a call of ours, whose value is then the cell's."""
    return _is_value.get()


def awaits_ours_only() -> bool:
    """Return whether the running cell is an asynchronous one through our doing alone."""
    return _awaits_ours_only.get()


def keep_cell(lines: list[str]) -> list[str]:
    """Exchange a `%%chatglm` cell into its call, its text untouched."""
    source = "".join(lines)
    head = source.lstrip(" \t\r\n\f\v")
    # An indented cell is left to IPython, which takes the indentation off all its lines.
    indented = (source[: len(source) - len(head)].replace("\r", "\n").rpartition("\n"))[2]
    found = None if indented else _CELL.match(head)
    if found is None:
        return lines
    call = f"get_ipython().run_cell_magic({NAME!r}, {found['line'] or ''!r}, {head[found.end() :]!r})\n"
    return [call]


# `check_complete` asks the cleanups whether a terminal's cell is finished: to it, ours must look like a magic.
keep_cell.has_side_effects = True  # type: ignore[attr-defined]  # IPython's own mark for transformers


class OurLine(TokenTransformBase):
    """Finds `%chatglm …` and `a = %chatglm …` before IPython's search for a question mark does."""

    priority = 1

    def __init__(self, start: tuple[int, int], found: TokenTransformBase) -> None:
        super().__init__(start)  # type: ignore[no-untyped-call]  # IPython's transformers have no types
        self._found = found

    @classmethod
    def find(cls, tokens_by_line: list[list[Any]]) -> Self | None:
        """Find the first line that is ours."""
        for tokens in tokens_by_line:
            for kind in (EscapedCommand, MagicAssign):
                found = kind.find([tokens])  # type: ignore[no-untyped-call]  # as above
                if found is not None and _is_ours(found, tokens):
                    return cls(tokens[0].start, found)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """Do with the line what IPython does with a magic."""
        transformed: list[str] = self._found.transform(lines)
        return transformed


def _is_ours(found: TokenTransformBase, tokens: list[Any]) -> bool:
    for token in tokens:
        if token.start == (found.start_line + 1, found.start_col):
            return _LINE.match(token.line, found.start_col) is not None
    return False


class AwaitOurs:
    """Rewrites our calls at the level of the cell into awaited ones, where the cell can await.

    Args:
        shell: The shell whose cells these are.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Rewrite a cell; return it unchanged where nothing is ours or nothing can be awaited."""
        _alone.set(False)
        _is_value.set(False)
        _awaits_ours_only.set(False)
        source = "".join(lines)
        if (mended := self._mend(source)) != source:
            source, lines = mended, mended.splitlines(keepends=True)
        # A cell that switches autoawait itself has its first lines run before its last ones are compiled.
        if f"_magic('{NAME}'" not in source or "'autoawait'" in source:
            return lines
        tree = _parse(source)
        ours = [] if tree is None else [call for statement in tree.body if (call := _our_call(statement)) is not None]
        if tree is None or not ours:
            return lines
        _is_value.set(isinstance(tree.body[-1], ast.Expr) and _our_call(tree.body[-1]) is not None)
        if is_nested(sys._getframe()):  # noqa: SLF001 - the only way to look at the stack
            return lines
        _alone.set(len(tree.body) == 1)
        if not self._can_await():
            return lines
        _awaits_ours_only.set(not _has_await(tree.body))
        return _rewrite(source, ours).splitlines(keepends=True)

    def _mend(self, source: str) -> str:
        """Exchange calls of magics that nobody has, and whose names begin as ours does, for what is meant."""
        if _ALMOST_CALLED.search(source) is None or (tree := _parse(source)) is None:
            return source
        changes: list[tuple[ast.expr, int, str]] = []
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=attribute), args=[ast.Constant(value=str(name)), *rest]):
                    found = _ALMOST.match(name) if attribute in _CALLS and name != NAME else None
                    kind = attribute.removeprefix("run_").removesuffix("_magic")
                    texts = [text.value for text in rest if isinstance(text, ast.Constant)]
                    if found and texts and not self._has(name, kind):
                        changes.append((node, node.end_col_offset or 0, _meant(attribute, found, *map(str, texts))))
        return _exchange(source, changes)

    def _has(self, name: str, kind: str) -> bool:
        return self._shell.find_magic(name, kind) is not None  # type: ignore[no-untyped-call]  # IPython's

    def _can_await(self) -> bool:
        shell = self._shell
        if not shell.autoawait or shell.loop_runner is not _asyncio_runner or shell.trio_runner:
            return False
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True


def is_nested(frame: FrameType | None) -> bool:
    """Return whether a frame runs inside a cell's code, or in a call that cannot await (`run_cell`).

    Both are functions of IPython's shell: code that a running cell started (`%%time`, `%%capture`,
    `ip.run_cell`) is run with nothing to await it, and so is a cell that a task or a callback starts.
    """
    return _is_below(frame, {"run_code", "_run_cell"})


def is_in_code(frame: FrameType | None) -> bool:
    """Return whether a frame runs inside a cell's code: a cell that begins there is a part of that one."""
    return _is_below(frame, {"run_code"})


def _is_below(frame: FrameType | None, names: set[str]) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_name in names and code.co_filename == interactiveshell.__file__:
            return True
        frame = frame.f_back
    return False


def _parse(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of the user's code once more when the cell is compiled
        try:
            tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return tree if isinstance(tree, ast.Module) else None


def _our_call(statement: ast.stmt) -> ast.Call | None:
    """Return the call of our magic that a statement is, or assigns."""
    if not isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign)):
        return None
    match statement.value:
        case (
            ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"), args=[]), attr=attribute),
                args=[ast.Constant(value=name), *rest],
                keywords=[],
            ) as call
        ) if name == NAME:
            if attribute == "run_line_magic" and len(rest) == 1:
                return call
            # IPython refuses an empty body by the magic's name: that must be the one the user typed.
            if attribute == "run_cell_magic" and len(rest) == 2 and not _is_empty(rest[1]):  # noqa: PLR2004 - line and body
                return call
    return None


def _is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def _has_await(body: Sequence[ast.AST]) -> bool:
    """Return whether statements await something themselves; what functions await does not count."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if isinstance(node, ast.comprehension) and node.is_async:
            return True
        if _has_await(list(ast.iter_child_nodes(node))):
            return True
    return False


def _rewrite(source: str, calls: list[ast.Call]) -> str:
    """Put `await` before calls and our asynchronous magic's name into them."""
    changes: list[tuple[ast.expr, int, str]] = []
    for call in calls:
        changes += (call, call.col_offset, "await "), (call.args[0], call.args[0].end_col_offset or 0, repr(ASYNC_NAME))
    return _exchange(source, changes)


def _exchange(source: str, changes: list[tuple[ast.expr, int, str]]) -> str:
    """Return a source with texts in the place of nodes, up to a column each; nodes and texts have one line."""
    # Offsets in the tree count bytes of UTF-8.
    lines = [line.encode() for line in _SOURCE_LINES.split(source)]
    for node, end, text in sorted(changes, key=lambda change: (change[0].lineno, change[0].col_offset), reverse=True):
        row = node.lineno - 1
        lines[row] = lines[row][: node.col_offset] + text.encode() + lines[row][end:]
    return b"".join(lines).decode()


def _meant(attribute: str, found: re.Match[str], line: str, body: str | None = None) -> str:
    """Return the call that is meant by one of a magic whose name is ours with something behind it, or refuse it.

    Args:
        attribute: The shell's method that is called.
        found: Our name as it was typed, and what follows it up to a blank.
        line: What follows the blank.
        body: The lines below, of a cell.
    """
    typed, after = found.groups()
    if after in {"?", "？", "??", "？？"} and not line:
        return f"get_ipython().run_line_magic({NAME!r}, 'help')"
    if typed == NAME and after[:1].isspace():
        line = f"{after[1:]} {line}".rstrip(" ") if line else after[1:]
        texts = (NAME, line) if body is None else (NAME, line, body)
        return f"get_ipython().{attribute}({', '.join(map(repr, texts))})"
    mark = _CALLS[attribute]
    written = shorten(" ".join((f"{mark}{NAME}", *after.strip(" ：:，,、").split(), *line.split())))
    asked = f"{mark}{typed}{after}"
    if typed != NAME:
        said = tr(
            "{asked} is not understood: its name has small letters only. Write {written}", asked=asked, written=written
        )
    else:
        said = tr(
            "{asked} is not understood: a blank belongs after its name. Write {written}", asked=asked, written=written
        )
    return f"__import__({__name__!r}, fromlist=['refuse']).refuse({said!r})"


def refuse(message: str) -> None:
    """Raise UsageError, which IPython shows in one line."""
    raise UsageError(message)


def install(shell: InteractiveShell) -> Callable[[], None]:
    """Hook into a shell's input.

    Returns:
        Takes the hooks out again.
    """
    manager = shell.input_transformer_manager
    post = AwaitOurs(shell)
    hooks: tuple[tuple[list[Any], Any], ...] = (
        (manager.cleanup_transforms, keep_cell),
        (manager.token_transformers, OurLine),
        (shell.input_transformers_post, post),
    )
    manager.cleanup_transforms.insert(0, keep_cell)  # before those that it keeps the cell from
    manager.token_transformers.append(OurLine)
    shell.input_transformers_post.append(post)  # after the user's own: it must see what will be run

    def uninstall() -> None:
        for place, hook in hooks:
            if hook in place:
                place.remove(hook)

    return uninstall
