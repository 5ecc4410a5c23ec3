"""The picture of a Python value: a figure, a picture of Pillow, an array, or what an object shows in a notebook.

Types are recognised by their attributes, as in `_prompting.describe`: no library is imported that the value did not
bring. Only numpy and Pillow are used, and only for arrays and pictures.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterable, Mapping
from typing import Any

from .._language import tr
from .._messages import ImagePart
from .pictures import LONG_SIDE, encode, pillow, pixels_of, prepare

_DEPTH = 3
"""How deep in lists the artists of a plot are looked for: `plt.pie` returns lists in a tuple."""
_ITEMS = 50
_EDGE = 0.02
"""Inches by which something may stand out of a figure before it is saved around what is drawn."""
_DEEP_SIDE = 4 * LONG_SIDE
"""Rows and columns of an array up to which all of them are looked at."""


def draw(value: object, name: str) -> tuple[ImagePart, str] | None:
    """Return the picture of a value and what was changed in one sentence; None where it has no picture.

    Args:
        value: Anything but bytes and texts.
        name: The picture's name, for people; empty for what kind of thing it is.

    Raises:
        ConfigError: Its picture cannot be read, or Pillow is needed and missing.
        Exception: Anything that the value's own methods raise.
    """
    figure = figure_of(value)
    if figure is not None:
        return ImagePart(data=_saved(figure), media_type="image/png", name=name or tr("figure")), ""
    if _is_pillow(value):
        return _shrunk(value, name or tr("picture"))
    if _is_picture_array(value):
        return _from_array(value, name or tr("array"))
    data = _shown(value)
    return None if data is None else prepare(data, name or type(value).__name__)


def has_picture(value: object) -> bool:
    """Return whether a value is likely to have a picture; nothing is drawn."""
    if figure_of(value) is not None or _is_pillow(value) or _is_picture_array(value):
        return True
    return any(callable(getattr(type(value), name, None)) for name in ("_repr_png_", "_repr_jpeg_"))


def figure_of(value: Any, depth: int = _DEPTH) -> Any:  # noqa: ANN401 - any type of any library
    """Return the matplotlib figure that a value is, belongs to or holds: axes, artists, lists of them; else None."""
    if isinstance(value, type):
        return None
    if callable(getattr(value, "savefig", None)) and hasattr(value, "get_axes"):
        return value
    figure = getattr(value, "figure", None)
    if figure is not None and hasattr(figure, "get_axes"):
        while not callable(getattr(figure, "savefig", None)) and getattr(figure, "figure", figure) is not figure:
            figure = figure.figure  # of a part of a figure
        return figure if callable(getattr(figure, "savefig", None)) else None
    if not depth:
        return None
    items: Iterable[object] = ()
    if isinstance(value, Mapping):
        items = value.values()
    elif isinstance(value, (list, tuple)):
        items = value
    elif getattr(getattr(value, "dtype", None), "kind", "") == "O" and hasattr(value, "flat"):
        items = value.flat  # what `plt.subplots` returns
    elif callable(getattr(value, "get_children", None)):
        items = value.get_children()  # a container of artists
    for number, item in enumerate(items):
        if number < _ITEMS and (found := figure_of(item, depth - 1)) is not None:
            return found
    return None


def _saved(figure: Any) -> bytes:  # noqa: ANN401 - as above
    """Return a figure as PNG, in its own size; a large one smaller.

    Labels may stand out of it. A notebook shows them, so they are saved too; but only then, for a figure is drawn
    twice as long with them.
    """
    width, height = figure.get_size_inches()
    how: dict[str, Any] = {"format": "png", "dpi": min(figure.dpi, LONG_SIDE / max(width, height))}
    if figure.get_facecolor()[3] < 1:
        how["facecolor"] = "white"
    file = io.BytesIO()
    figure.savefig(file, **how, pil_kwargs={"compress_level": 2})
    box = figure.get_tightbbox()
    if min(box.x0, box.y0, width - box.x1, height - box.y1) < -_EDGE:
        file = io.BytesIO()
        figure.savefig(file, **how, bbox_inches="tight", pil_kwargs={"compress_level": 2})
    return file.getvalue()


def _is_pillow(value: Any) -> bool:  # noqa: ANN401 - as above
    return not isinstance(value, type) and all(
        hasattr(value, name) for name in ("getbands", "mode", "size", "convert", "tobytes")
    )


def _shrunk(image: Any, name: str) -> tuple[ImagePart, str]:  # noqa: ANN401 - as above
    """Return a picture of Pillow's as a part, and whether it is smaller now; it is not changed itself."""
    width, height = image.size
    part = encode(image.copy(), name)
    return part, _smaller(part, name, width, height)


def _smaller(part: ImagePart, name: str, width: int, height: int) -> str:
    """Return a sentence that says of which size a picture was, if that was too large."""
    if max(width, height) <= LONG_SIDE:
        return ""
    return tr(
        "{name} was shrunk: {width} × {height} → {after}.", name=name, width=width, height=height, after=pixels_of(part)
    )


_GREY, _COLOURS = 2, 3


def _is_picture_array(value: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether a value is rows of pixels: H × W, H × W × 3 or H × W × 4 of numbers."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(value, "__array__") or not hasattr(value, "dtype"):
        return False
    if hasattr(value, "columns") or not all(isinstance(size, int) and size > 0 for size in shape):
        return False
    is_grey = len(shape) == _GREY or (len(shape) == _COLOURS and shape[2] == 1)
    return is_grey or (len(shape) == _COLOURS and shape[2] in {3, 4})


def _from_array(value: Any, name: str) -> tuple[ImagePart, str] | None:  # noqa: ANN401 - as above
    """Return rows of pixels as a part, and how other numbers than 0…255 and 0…1 were taken."""
    import numpy as np  # the value has its `__array__`

    height, width = value.shape[:2]
    step = max(1, max(height, width) // _DEEP_SIDE)
    pixels = np.asarray(value[::step, ::step] if step > 1 else value)
    if pixels.ndim == _COLOURS and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype.kind not in "buif":
        return None
    levels, note = _levels(np, pixels, name)
    part = encode(pillow(name).fromarray(np.ascontiguousarray(levels)), name)
    return part, note or _smaller(part, name, width, height)


def _levels(np: Any, pixels: Any, name: str) -> tuple[Any, str]:  # noqa: ANN401 - as above
    """Return numbers as levels from 0 to 255, and in one sentence where they had to be stretched."""
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if kind == "u" and size == 1:
        return pixels, ""
    if kind == "b":
        return pixels.astype(np.uint8) * 255, ""
    if kind == "u" and size == 2:  # noqa: PLR2004 - 16 bits, as scanners have them
        return (pixels >> 8).astype(np.uint8), ""
    numbers = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if kind == "f" and low >= 0 and high <= 1:
        return (numbers * 255 + 0.5).astype(np.uint8), ""
    if low >= 0 and high <= 255:  # noqa: PLR2004 - levels already
        return (numbers + 0.5).astype(np.uint8), ""
    note = tr("{name} was taken as grey from {low:g} (black) to {high:g} (white).", name=name, low=low, high=high)
    scale = 255 / (high - low)
    return ((numbers - low) * scale + 0.5).astype(np.uint8), note


def _shown(value: Any) -> bytes | None:  # noqa: ANN401 - as above
    """Return the PNG or JPEG that a notebook would show for a value; None where it would show something else."""
    if isinstance(value, type):
        return None
    for method in ("_repr_png_", "_repr_jpeg_"):
        if callable(show := getattr(value, method, None)) and (data := _bytes(show())):
            return data
    if callable(bundle := getattr(value, "_repr_mimebundle_", None)):
        try:
            shown = bundle(include={"image/png", "image/jpeg"})
        except TypeError:  # a method that takes no arguments
            shown = bundle()
        shown = shown[0] if isinstance(shown, tuple) else shown
        for kind in ("image/png", "image/jpeg"):
            if isinstance(shown, Mapping) and (data := _bytes(shown.get(kind))):
                return data
    return None


def _bytes(data: object) -> bytes | None:
    """Return the bytes that a `_repr_…_` gives: as they are or as base64, perhaps with metadata."""
    if isinstance(data, tuple) and data:
        data = data[0]
    if isinstance(data, str):
        try:
            return base64.b64decode(data)
        except (binascii.Error, ValueError):
            return None
    return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else None
