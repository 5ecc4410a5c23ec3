"""What a person gives to attach becomes parts of the message: a path, an address, bytes, a value, a text file."""

from __future__ import annotations

import base64
import binascii
import json
import re
import stat
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._credentials import is_loopback
from .._errors import ConfigError, shorten
from .._language import join_sentences, tr
from .._messages import MOST_PICTURES, ImagePart
from .._prompting.describe import cap
from .._prompting.prompt import MAX_DATA_BYTES, Budget, block, size_in_words
from . import Attachments
from .drawn import draw
from .pictures import PICTURE, prepare

MOST = 50
"""Pictures and files of one question; the platforms take 50 pictures."""
_MAX_FILE = 100_000_000
"""Bytes of a file that is read at all."""
_MAX_URL = 8_000
_SNIFF = 8_192
"""Bytes at the beginning of a file by which text is told from anything else."""
_OUTPUT = 1_000
"""UTF-8 bytes of one output of a notebook's cell."""
_LANGUAGES: Mapping[str, str] = {
    ".py": "python",
    ".ipynb": "python",
    ".md": "markdown",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".r": "r",
    ".sql": "sql",
    ".sh": "bash",
    ".html": "html",
    ".tex": "latex",
}
_VIDEO = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".wmv", ".mp3", ".wav", ".m4a", ".ogg", ".flac")
_SVG = re.compile(
    r"\s*(?:<\?xml[^>]{0,500}>\s*)?(?:<!--.{0,2000}?-->\s*|<!DOCTYPE[^>]{0,500}>\s*){0,3}<svg\b", re.DOTALL
)


def attach(given: object, names: Iterable[str] = ()) -> Attachments:
    """Return what a person attaches as it is sent. Nothing is fetched.

    Args:
        given: One thing or a list of things: a path, an https address, a `data:` address, bytes, a figure or what
            belongs to one, a picture of Pillow's, an array of pixels, anything that a notebook shows as PNG or JPEG,
            or an `ImagePart`. What this function has returned before is returned as it is.
        names: Names for people, one for each thing, in the same order; without one, a thing is named by what it is.

    Raises:
        ConfigError: Something of it cannot be sent.
    """
    if isinstance(given, Attachments):
        return given
    things = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(things) > MOST:
        raise ConfigError(
            tr("A question takes at most {most} pictures and files, not {count}.", most=MOST, count=len(things))
        )
    named = [*names, *[""] * len(things)]
    pictures: dict[str, ImagePart] = {}
    blocks: list[str] = []
    budget = Budget()
    notes: dict[str, None] = {}
    for thing, name in zip(things, named, strict=False):
        part, note = _read(thing, name, budget)
        if isinstance(part, ImagePart):
            pictures.setdefault(part.sha256 or part.url, part)  # artists of one figure are one picture
        else:
            blocks.append(part)
        if note:
            notes[note] = None
    if len(pictures) > MOST_PICTURES:
        sentence = tr(
            "Of the {count} pictures the last {most} are sent: a request holds no more.",
            count=len(pictures),
            most=MOST_PICTURES,
        )
        notes[sentence] = None
    return Attachments(tuple(pictures.values()), tuple(blocks), (*notes, *budget.notes))


def attach_file(data: bytes, name: str) -> Attachments:
    """Return the content of a file of some name as it is sent, as `attach` does.

    Raises:
        ConfigError: It cannot be sent.
    """
    budget = Budget()
    part, note = _from_bytes(data, name, Path(name).suffix.lower(), budget)
    notes = tuple(filter(None, (note, *budget.notes)))
    return Attachments((part,), (), notes) if isinstance(part, ImagePart) else Attachments((), (part,), notes)


def _read(thing: object, name: str, budget: Budget) -> tuple[ImagePart | str, str]:
    """Return one thing as a picture or a block of text, and what was changed."""
    match thing:
        case ImagePart():
            return thing, ""
        case str() if re.match(r"(?i)https?://", thing):
            return ImagePart(url=_checked_url(thing), name=name), ""
        case str() if re.match(r"(?i)[a-z][a-z\d+.-]+://", thing):
            raise ConfigError(
                tr("{url} is no https address. Save the picture, and attach the file.", url=shorten(thing, 100))
            )
        case str() if thing[:5].lower() == "data:":
            return _from_bytes(_data_url(thing), name or tr("picture"), "", budget)
        case str() if not thing:
            raise ConfigError(tr("What is attached has no name: it is empty."))
        case str() | Path():
            path = Path(thing).expanduser()
            return _from_bytes(_content(path), name or path.name, path.suffix.lower(), budget)
        case bytes() | bytearray() | memoryview():
            return _from_bytes(bytes(thing), name or tr("data"), "", budget)
    try:
        found = draw(thing, name)
    except (ConfigError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}")
        raise ConfigError(
            tr("The picture of {name} could not be made: {reason}", name=name or type(thing).__name__, reason=reason)
        ) from error
    if found is None:
        raise no_picture(thing, name)
    return found


def no_picture(value: object, name: str) -> ConfigError:
    """Return the error for a value that has no picture, with the way to what was meant."""
    kind, shown = type(value).__name__, name or type(value).__name__
    if callable(getattr(value, "write_image", None)):
        hint = tr("Write it to a file first: {code}", code='fig.write_image("plot.png")')
    elif callable(getattr(value, "gcf", None)):  # pyplot itself
        hint = tr("Name the figure where it is drawn, as in fig = plt.gcf(), and attach {fig}.")
    elif callable(getattr(value, "read", None)):
        code = "getvalue()" if hasattr(value, "getvalue") else "read()"
        hint = tr("Attach the path, or the bytes that it holds: {code}", code=f"{name.strip('{}') or 'file'}.{code}")
    elif callable(getattr(value, "_repr_svg_", None)):
        hint = tr("It is shown as SVG, which models do not read: save it as PNG, and attach that file.")
    elif name in {"_", "__", "___"} or value is None:
        hint = tr("Name the figure where it is drawn, as in fig = plt.gcf(), and attach {fig}.")
    else:
        hint = tr("To send it described, write {name} in the question.", name="{" + (name.strip("{}") or "name") + "}")
    return ConfigError(join_sentences(tr("{name} ({kind}) has no picture.", name=shown, kind=kind), hint))


def _checked_url(url: str) -> str:
    """Return an address that a service may be asked to fetch."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or len(url) > _MAX_URL or re.search(r"\s", url):
        raise ConfigError(tr("{url} is no address of a picture.", url=shorten(url, 100)))
    if parts.username or parts.password:
        raise ConfigError(tr("The address of a picture holds a password, so nothing was sent. Take it out."))
    if parts.scheme.lower() == "http" and not is_loopback(url):
        raise ConfigError(
            tr(
                "{url} is not encrypted, and services fetch pictures by https only. Write https, or save the picture "
                "and attach the file.",
                url=shorten(url, 100),
            )
        )
    return url


def _data_url(url: str) -> bytes:
    """Return the bytes that stand in a `data:` address."""
    head, _, body = url.partition(",")
    try:
        return base64.b64decode(body if head.lower().endswith(";base64") else "=", validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(
            tr("{url} holds no base64 that can be read. Attach the file or the bytes themselves.", url=shorten(url, 60))
        ) from None


def _content(path: Path) -> bytes:
    """Return what is in a file."""
    shown = shorten(str(path), 200)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ConfigError(tr("{path} is a folder. Attach the files themselves.", path=shown))
        if not stat.S_ISREG(found.st_mode):  # reading a device or a pipe may never end
            raise ConfigError(tr("{path} is no file with an end. Save what it holds, and attach that.", path=shown))
        if found.st_size > _MAX_FILE:
            size, most = size_in_words(found.st_size), size_in_words(_MAX_FILE)
            raise ConfigError(
                tr("{path} is too large: {size}, and {most} is the most.", path=shown, size=size, most=most)
            )
        return path.read_bytes()
    except FileNotFoundError:
        near = _near(path) or ("" if path.is_absolute() else tr("Paths begin in {folder}.", folder=Path.cwd()))
        raise ConfigError(join_sentences(tr("There is no file {path}.", path=shown), near)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(tr("{path} cannot be read: {reason}.", path=shown, reason=reason)) from None


def _near(path: Path) -> str:
    """Return a question after the file that was meant, if there is one of nearly that name."""
    try:
        names = [one.name for _, one in zip(range(2_000), path.parent.iterdir(), strict=False)]
    except (OSError, ValueError):
        return ""
    near = [name for name in names if name.startswith(f"{path.name} ")]  # typed in a cell without its quotes
    near = near or get_close_matches(path.name, names, n=1, cutoff=0.7)
    if not near:
        return ""
    meant = str(path.with_name(near[0]))
    return tr("Did you mean {name}?", name=f'"{meant}"' if " " in meant else meant)


def _from_bytes(data: bytes, name: str, suffix: str, budget: Budget) -> tuple[ImagePart | str, str]:
    """Return what a file holds: a picture, or a block of text."""
    if not data:
        raise ConfigError(tr("{name} is empty.", name=name))
    head = data[:_SNIFF]
    if suffix in _VIDEO or (head[4:8] == b"ftyp" and head[8:11] not in {b"hei", b"avi", b"mif"}):
        raise ConfigError(
            tr(
                "{name} is video or sound, which is not sent. Save single frames as PNG or JPEG, and attach those.",
                name=name,
            )
        )
    if head.startswith(b"%PDF"):
        raise ConfigError(
            tr(
                "{name} is a PDF, which is not sent. Save its pages as pictures ({command}), or attach its text.",
                name=name,
                command="pdftoppm -png -r 100",
            )
        )
    text = None if PICTURE.match(head) else _text(data)
    if text is None:
        return prepare(data, name)
    if suffix == ".svg" or _SVG.match(text):
        raise ConfigError(
            tr(
                "{name} is SVG, which models do not read. Save it as PNG, and attach that; or put its source into "
                "the question.",
                name=name,
            )
        )
    language = _LANGUAGES.get(suffix, "text")
    if suffix == ".ipynb":
        text = _notebook(text)
    return block(name, budget.take(name, text, most=MAX_DATA_BYTES), language), ""


def _text(data: bytes) -> str | None:
    """Return bytes as text, if they are: UTF-8, UTF-16 with its mark, or GB 18030 as Chinese Windows writes it."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encodings = ["utf-16"]
    elif b"\0" in data[:_SNIFF]:
        return None
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except ValueError:
            continue
        controls = len(re.findall(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ue000-\uf8ff]", text[:_SNIFF]))
        if controls <= len(text[:_SNIFF]) // 100:
            return text.replace("\r\n", "\n").strip("\n")
    return None


def _notebook(text: str) -> str:
    """Return a notebook's cells as text: sources, and what of their outputs is text; the file's text if it is none."""
    try:
        cells: Any = json.loads(text)["cells"]
        return "\n\n".join(_cell(cell) for cell in cells)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return text


def _cell(cell: Mapping[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return f"# %% [{cell['cell_type']}]\n{source}"
    lines = [f"# %% In [{cell.get('execution_count') or ' '}]", source]
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        shown = output.get("text") or data.get("text/plain") or ""
        if output.get("output_type") == "error":
            shown = f"{output.get('ename')}: {output.get('evalue')}"
        if any(kind.startswith("image/") for kind in data):
            lines.append("# Out: [picture]")
        elif shown := cap("".join(shown).strip("\n"), _OUTPUT):
            lines.append("# Out: " + shown.replace("\n", "\n# "))
    return "\n".join(lines)
