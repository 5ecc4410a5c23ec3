"""{names} in a prompt are replaced by values.

`{name}`, with attribute and index paths (`{df.shape}`, `{rows[0]}`, `{d['k'].x}`), is replaced where the user has such
a name. Everything else stays as it was written: code, JSON, LaTeX, format specs. `{{name}}` is a literal `{name}`.
Nothing is evaluated or called, and names in an inserted value are not replaced.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from unicodedata import normalize

import msgspec

_STEP = r"""\.[^\W\d]\w*|\[(?:-?\d{1,9}|'[^'\\\n]*'|"[^"\\\n]*")\]"""
_PATH = rf"[^\W\d]\w*(?:{_STEP})*"
_TOKEN = re.compile(rf"\{{\{{(?P<literal>{_PATH})\}}\}}|\{{(?P<path>{_PATH})\}}")
_STEPS = re.compile(_STEP)
_EXPRESSION = re.compile(
    r"(?<!\{)[{｛](?P<value>[^{}｛｝\n]{1,300}?)(?P<form>(?:![rsa])?(?:[:：](?! )[^{}｛｝()\[\]\n'\"]*)?)[}｝](?!\})"
)
"""Braces as in an f-string, full-width ones too: an expression, perhaps with a conversion and a format."""
_LATEX_BEFORE = re.compile(r"(?:\\[A-Za-z]+\*?|[\^_])(?:\[[^\]\n]*\]|\{[^{}\n]*\})*\Z")
_LATEX_REACH = 200
"""How far back, in characters, a LaTeX command is looked for: the arguments that come before a brace are short."""


class Interpolated(msgspec.Struct, frozen=True):
    """A prompt whose names are replaced.

    Attributes:
        text: The prompt with values.
        used: The paths that were replaced, in order, each once.
        missed: The paths without a value, in order, each once; they stay as written.
    """

    text: str
    used: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


def interpolate(
    prompt: str,
    names: Mapping[str, object],
    describe: Callable[[object], str],
    insert: Callable[[re.Match[str], object, str], str] | None = None,
) -> Interpolated:
    """Return a prompt with its `{names}` replaced, in one pass.

    Args:
        prompt: The prompt as the user wrote it.
        names: The user's namespace.
        describe: Returns the text that stands for a value. If it raises, the path counts as missed.
        insert: Returns the text that goes into the prompt, from the match (its group `path` is the path), the value
            and the value's description; None to insert the description as it is.
    """
    used: dict[str, None] = {}
    missed: dict[str, None] = {}

    def replace(match: re.Match[str]) -> str:
        if _follows_latex(prompt, match.start()):
            return match[0]
        if match["literal"] is not None:
            return "{" + match["literal"] + "}"
        path = match["path"]
        try:
            value = resolve(path, names)
            text = describe(value)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a property may raise anything, even SystemExit
            missed[path] = None
            return match[0]
        used[path] = None
        return text if insert is None else insert(match, value, text)

    return Interpolated(_TOKEN.sub(replace, prompt), tuple(used), tuple(missed))


def pieces(prompt: str, columns: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield a prompt cut at its `{names}`: some text, and the path that follows it, empty behind the last text.

    Args:
        prompt: The prompt as the user wrote it.
        columns: Names that may stand in braces too, whatever characters they have: `{review text}`.
    """
    at, text = 0, ""
    for match in _token(columns).finditer(prompt):
        text += prompt[at : match.start()]
        at = match.end()
        if _follows_latex(prompt, match.start()):
            text += match[0]
        elif match["literal"] is not None:
            text += "{" + match["literal"] + "}"
        else:
            yield text, match["path"]
            text = ""
    yield text + prompt[at:], ""


def _token(columns: Collection[str]) -> re.Pattern[str]:
    """Return what matches names in braces: paths, and the names of columns that are no paths."""
    others = "|".join(re.escape(name) for name in columns if name and not is_path(name))
    if not others:
        return _TOKEN
    either = f"{_PATH}|{others}"
    return re.compile(rf"\{{\{{(?P<literal>{either})\}}\}}|\{{(?P<path>{either})\}}")


def escaped(text: str, columns: Collection[str] = ()) -> str:
    """Return a text as a prompt in which none of its braces stands for a value: `pieces` gives it back as it is."""

    def double(match: re.Match[str]) -> str:
        return match[0] if _follows_latex(text, match.start()) else "{" + match[0] + "}"

    return _token(columns).sub(double, text)


def root_of(path: str) -> str:
    """Return the name that a path starts at."""
    return path.partition(".")[0].partition("[")[0]


def resolve(path: str, names: Mapping[str, object]) -> object:
    """Return the value at the end of a path that starts at one of the user's names.

    Raises:
        KeyError: There is no such name, the path is malformed, or a step begins with two underscores.
        Exception: Anything that a property or an index of the user's own types raises.
    """
    root = re.match(r"\w+", path)
    if root is None or not re.fullmatch(_PATH, path):
        raise KeyError(path)
    value = names[root[0]]
    for step in _STEPS.findall(path, root.end()):
        if step.startswith("."):
            if step.startswith(".__"):
                raise KeyError(step)
            value = getattr(value, step[1:])
        else:
            index = step[1:-1]
            value = value[index[1:-1] if index[0] in "'\"" else int(index)]  # type: ignore[index]  # any type of the user's
    return value


def is_path(text: str) -> bool:
    """Return whether a text is a name or a path, as it stands in braces."""
    return re.fullmatch(_PATH, text) is not None


def expressions(prompt: str, names: Mapping[str, object]) -> Iterator[re.Match[str]]:
    """Yield the braces of a prompt that hold more than a path and may be meant as a value: `{len(df)}`, `{x:.2f}`.

    Such is an expression that uses one of the user's names, or calls a method, whatever keyboard typed it.
    """
    for match in _EXPRESSION.finditer(prompt):
        if _TOKEN.match(prompt, match.start()) or _follows_latex(prompt, match.start()):
            continue
        try:
            tree = ast.parse(normalize("NFKC", match["value"]).strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(tree.body, (ast.Tuple, ast.Starred)):
            continue  # a set, as mathematics writes it
        if any(
            (isinstance(node, ast.Name) and node.id in names)
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
            for node in ast.walk(tree.body)
        ):
            yield match


def _follows_latex(prompt: str, position: int) -> bool:
    r"""Return whether a brace is a LaTeX argument: right after `\cmd`, `^`, `_`, or another argument of those."""
    return _LATEX_BEFORE.search(prompt, max(0, position - _LATEX_REACH), position) is not None
