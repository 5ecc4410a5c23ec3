"""{names} in a prompt become values, once; no I/O.

`{name}`, with attribute and index paths (`{df.shape}`, `{rows[0]}`, `{d['k'].x}`), is replaced where the
name is the user's; everything else stays as it was written: code, JSON, LaTeX, format specs. `{{name}}` is a
literal `{name}`. Nothing is evaluated or called, and values are never looked through again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ._values import dataclass

_STEP = r"""\.[^\W\d]\w*|\[(?:-?\d{1,9}|'[^'\\\n]*'|"[^"\\\n]*")\]"""
_PATH = rf"[^\W\d]\w*(?:{_STEP})*"
_TOKEN = re.compile(rf"\{{\{{(?P<literal>{_PATH})\}}\}}|\{{(?P<path>{_PATH})\}}")
_STEPS = re.compile(_STEP)
_LATEX_BEFORE = re.compile(r"(?:\\[A-Za-z]+\*?|[\^_])(?:\[[^\]\n]*\]|\{[^{}\n]*\})*\Z")
_LATEX_REACH = 200
"""How far back, in characters, a LaTeX command is looked for; its arguments before ours are short."""


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A prompt with its values in place.

    Attributes:
        text: What is sent.
        used: The paths that were replaced, in order, each once.
        missed: Paths that look like names but have no value, in order, each once; they stay as written.
    """

    text: str
    used: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


def interpolate(
    prompt: str,
    names: Mapping[str, object],
    describe: Callable[[object], str],
    place: Callable[[str, str, re.Match[str]], str] | None = None,
) -> Interpolated:
    """Put values in place of `{names}`, in one pass.

    Args:
        prompt: As the user wrote it.
        names: The user's namespace.
        describe: Turns a value into the text a model reads.
        place: Fits that text into the prompt; takes the path, the text, and where in the prompt it goes.
            None to put it there as it is.
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
            text = describe(resolve(path, names))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a property may raise anything, even SystemExit
            missed[path] = None
            return match[0]
        used[path] = None
        return text if place is None else place(path, text, match)

    return Interpolated(_TOKEN.sub(replace, prompt), tuple(used), tuple(missed))


def resolve(path: str, names: Mapping[str, object]) -> object:
    """Follow a path from the user's namespace.

    Raises:
        KeyError: There is no such name, it is no path at all, or a step leads into private parts.
        Exception: Whatever a property or an index of the user's own raises.
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
            value = value[index[1:-1] if index[0] in "'\"" else int(index)]  # type: ignore[index]  # the user's own type
    return value


def _follows_latex(prompt: str, position: int) -> bool:
    r"""Tell whether a brace is an argument of LaTeX: right after `\cmd`, `^`, `_`, or another argument of those."""
    return _LATEX_BEFORE.search(prompt, max(0, position - _LATEX_REACH), position) is not None
