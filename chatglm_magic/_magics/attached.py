"""What `-a` names: files, addresses, values and the pictures that cells have shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from .._attachments import Attachments
from .._attachments.drawn import has_picture
from .._attachments.sources import attach
from .._errors import ConfigError
from .._jupyter.trackers import RUNNING
from .._language import tr
from .._prompting.template import is_path, resolve
from .prompt import Notebook

_OUTPUT = re.compile(r"_(?P<short>\d{1,6})|Out\[(?P<number>\d{1,6})\]")
_LAST = "_"


def attach_named(texts: Sequence[str], notebook: Notebook) -> Attachments:
    """Return what `-a` names as it is sent: files, addresses, values and the pictures of cells.

    Args:
        texts: As they were typed: a path, an address, `{name}`, `_` for the newest output, `Out[5]`; a name alone where
            there is such a variable and no such file.
        notebook: What they may name.

    Raises:
        ConfigError: There is no such thing, or it cannot be sent.
    """
    found = [_attached(text.strip(), notebook) for text in texts]
    return attach([value for value, _ in found], [name for _, name in found])


def _attached(text: str, notebook: Notebook) -> tuple[object, str]:
    """Return what a text names, and its name for people; empty where that is the file's own."""
    if text == _LAST:
        return _newest_output(notebook)
    if found := _OUTPUT.fullmatch(text):
        return _output(int(found["short"] or found["number"]), notebook)
    in_braces = re.fullmatch(r"[{｛](.+)[}｝]", text)
    path = in_braces[1].strip() if in_braces else text
    is_known = is_path(path) and re.match(r"\w+", path)[0] in notebook.names  # type: ignore[index]  # a path begins so
    if not in_braces and (not is_known or Path(path).exists()):
        if is_known:
            raise ConfigError(
                tr(
                    "{name} is a variable and a file. Write {braced} for the variable, or ./{name} for the file.",
                    name=path,
                    braced=f"{{{path}}}",
                )
            )
        return text, ""
    if not is_path(path):
        raise ConfigError(
            tr(
                "--attach names {path}, and nothing is computed there: assign it first, as in fig = plt.gcf(), and "
                "attach {{fig}}.",
                path=path,
            )
        )
    try:
        return resolve(path, notebook.names), f"{{{path}}}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a property may raise anything, even SystemExit
        raise ConfigError(
            tr("--attach names {path}, which has no value here ({error}).", path=path, error=type(error).__name__)
        ) from None


def _newest_output(notebook: Notebook) -> tuple[object, str]:
    """Return the newest output of a cell: its value, or the picture that it has shown. Answers of ours are none."""
    if notebook.figure is not None:
        return notebook.figure, _LAST
    values = [number for number, value in notebook.outputs.items() if not _is_ours(value)]
    newest = max((*values, *notebook.shown), default=0)
    if not newest:
        raise ConfigError(tr("No cell has shown anything yet that -a _ could send."))
    return _output(newest, notebook)


def _is_ours(value: object) -> bool:
    """Return whether a cell's value is what asking has left: a reply, several side by side, rows, a job."""
    return type(value).__module__.partition(".")[0] == __name__.partition(".")[0]


def _output(number: int, notebook: Notebook) -> tuple[object, str]:
    """Return the value of a cell, or the picture that it has shown where the value has none."""
    name, shown = _LAST if number == RUNNING else f"Out[{number}]", notebook.shown.get(number)
    value = notebook.outputs.get(number)
    if shown is not None and (value is None or not has_picture(value)):
        if not shown:
            raise ConfigError(
                tr(
                    "{name} was shown as SVG or by a script of its page, which models do not read. Save it as PNG and "
                    "attach that file; or give a figure a name, as in fig = plt.gcf(), and attach {{fig}}.",
                    name=name,
                )
            )
        return base64.b64decode(shown), name
    if number not in notebook.outputs:
        raise ConfigError(
            tr(
                "There is no {name}: that cell has shown no picture and has no value. Give the figure a name, as in "
                "fig = plt.gcf(), and attach {{fig}}.",
                name=name,
            )
        )
    return value, name
