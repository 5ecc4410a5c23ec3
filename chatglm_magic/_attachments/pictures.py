"""The bytes of pictures: what they are, and what is made of those that services do not take as they are.

PNG and JPEG within the limits go as they are, but for what a camera wrote into them, and their size is read without
a decoder. All others need Pillow, which is imported only then: it comes with matplotlib, or with the extra `pictures`.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec

from .._errors import ConfigError, shorten
from .._language import tr
from .._messages import ImagePart
from .._prompting.prompt import size_in_words

MAX_BYTES = 5_000_000
MAX_SIDE = 6_000
"""What the platforms take of one picture, in bytes and pixels (docs.bigmodel.cn, OpenAPI of 2026-07-11)."""

PICTURE = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0\0|II\*\0|MM\0\*", re.DOTALL)
"""How the files of pictures begin."""

LONG_SIDE = 2_048
"""Pixels of the longer side of what is made anew; models see no more than that."""

_MOST_PIXELS = 250_000_000
"""Pixels up to which a picture is decoded: 750 MB of colours."""

_JPEG_QUALITY = 88
_SMALL = 256 * 256
"""Pixels up to which a picture is always kept without loss."""
_FEW_COLOURS = 4_096
"""Colours in a sample of `_SMALL` pixels up to which a picture is a drawing: a plot has hundreds of them."""
_MOST_LOSSLESS = 2_000_000
"""Bytes of a PNG above which it is a JPEG after all: one with noise in a few colours."""

_EXTRA = 'pip install "chatglm-magic[pictures]"'


class Header(msgspec.Struct, frozen=True):
    """What the first bytes of a PNG or JPEG say.

    Attributes:
        media_type: `image/png` or `image/jpeg`.
        width: In pixels.
        height: In pixels.
        plain: Whether it is shown as its pixels stand, in grey or RGB: a JPEG may lie on its side, or hold inks.
    """

    media_type: str
    width: int
    height: int
    plain: bool = True


def read_header(data: bytes) -> Header | None:
    """Return what a PNG or JPEG says of itself; None for anything else, and for one that says nothing."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:  # noqa: PLR2004 - two sizes
        width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
        return Header("image/png", width, height) if width and height else None
    return _read_jpeg(data) if data.startswith(b"\xff\xd8\xff") else None


def pixels_of(picture: ImagePart) -> str:
    """Return the size of a picture's bytes in words: `1000 × 600 pixels, 148 kB`; empty where there are none."""
    if not picture.data:
        return ""
    header = read_header(picture.data)
    size = size_in_words(len(picture.data))
    if header is None:
        return size
    return tr("{width} × {height} pixels, {size}", width=header.width, height=header.height, size=size)


def prepare(data: bytes, name: str) -> tuple[ImagePart, str]:
    """Return a picture's bytes as a part of a message, made anew where a service would not take them.

    Args:
        data: PNG, JPEG, or anything else that Pillow reads.
        name: The picture's name, for people.

    Returns:
        The part, and what was changed in one sentence; empty where it goes as it is.

    Raises:
        ConfigError: It cannot be read, or Pillow is needed and missing.
    """
    header = read_header(data)
    if header is not None and header.plain and len(data) <= MAX_BYTES and max(header.width, header.height) <= MAX_SIDE:
        return ImagePart(data=without_camera_notes(data), media_type=header.media_type, name=name), ""
    image = _opened(data, name)
    before = tr(
        "{form}, {width} × {height} pixels, {size}",
        form=image.format,
        width=image.width,
        height=image.height,
        size=size_in_words(len(data)),
    )
    part = encode(image, name)
    form = part.media_type.removeprefix("image/").upper()
    note = tr(
        "{name} was sent as {form}, {after}; it is {before}.",
        name=name,
        form=form,
        after=pixels_of(part),
        before=before,
    )
    return part, note


def without_camera_notes(data: bytes) -> bytes:
    """Return a picture without what a camera wrote into a JPEG: where and when it was taken, by whom, a thumbnail.

    The person has named the picture, not the place. The pixels stay as they are; anything but a JPEG is returned whole.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return data
    kept, rest = [data[:2]], 2
    for marker, start, end in _segments(data):
        if marker not in _CAMERA_NOTES:
            kept.append(data[start:end])
        rest = end
    return b"".join((*kept, data[rest:]))


def encode(image: Any, name: str) -> ImagePart:  # noqa: ANN401 - Pillow's, which may be missing
    """Return a picture of Pillow as a part of a message: upright, in grey or RGB on white, PNG or JPEG.

    Raises:
        ConfigError: Its pixels cannot be read.
    """
    from PIL import ImageOps

    try:
        image.draft("RGB" if image.mode != "L" else "L", (LONG_SIDE, LONG_SIDE))  # a JPEG is read smaller at once
        is_large = max(image.size) > LONG_SIDE
        if is_large and image.mode in {"P", "1", "PA"}:
            image = _plain(image)  # before it is shrunk: numbers of colours have no mean
        if is_large:
            image.thumbnail((LONG_SIDE, LONG_SIDE), reducing_gap=2.0)
        image = _plain(ImageOps.exif_transpose(image))
        file = io.BytesIO()
        if _is_drawing(image):
            image.save(file, "PNG", compress_level=4)
            if file.tell() <= _MOST_LOSSLESS:
                return ImagePart(data=file.getvalue(), media_type="image/png", name=name)
            file = io.BytesIO()
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:  # what Pillow's readers raise
        raise _unreadable(name, error) from None
    return ImagePart(data=file.getvalue(), media_type="image/jpeg", name=name)


_thumbnails: dict[str, str] = {}
"""Small pictures by the digest of the large ones, the newest last."""
_MOST_THUMBNAILS = 200
_THUMBNAIL_SIDE = 320
_SMALL_BYTES, _MOST_BYTES = 40_000, 400_000
"""Bytes up to which a picture needs no smaller one, and up to which it is shown itself where none can be made."""


def thumbnail(picture: ImagePart) -> str:
    """Return a small picture of a picture as a `data:` address; empty where its bytes are not here, or too many."""
    if picture.media_type not in {"image/png", "image/jpeg"} or not picture.data:
        return ""
    if (known := _thumbnails.get(picture.sha256)) is not None:
        return known
    small: ImagePart | None = picture
    if len(picture.data) > _SMALL_BYTES:
        try:
            image = _opened(picture.data, picture.name)
            image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), reducing_gap=2.0)
            small = encode(image, picture.name)
        except (ConfigError, OSError, ValueError, SyntaxError):  # no Pillow, or a file that is damaged
            small = picture if len(picture.data) <= _MOST_BYTES else None
    src = f"data:{small.media_type};base64,{base64.b64encode(small.data).decode('ascii')}" if small else ""
    _thumbnails[picture.sha256] = src
    while len(_thumbnails) > _MOST_THUMBNAILS:
        del _thumbnails[next(iter(_thumbnails))]
    return src


def pillow(name: str) -> Any:  # noqa: ANN401 - a module that may be missing
    """Return Pillow's module `Image`, for a picture that needs it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError(
            tr(
                "{name} must be converted before it can be sent, and Pillow is missing. Install it ({command}), "
                "or save the picture as PNG or JPEG of at most {size} and {side} pixels.",
                name=name,
                command=_EXTRA,
                size=size_in_words(MAX_BYTES),
                side=MAX_SIDE,
            )
        ) from None
    return Image


def _opened(data: bytes, name: str) -> Any:  # noqa: ANN401 - as above
    image_module = pillow(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", image_module.DecompressionBombWarning)  # the limit below is ours
            image = image_module.open(io.BytesIO(data))
    except image_module.UnidentifiedImageError as error:
        if PICTURE.match(data):
            raise _unreadable(name, error) from None
        raise ConfigError(
            tr(
                "{name} is neither text nor a picture that can be read. Pictures are PNG, JPEG, GIF, WebP, BMP or "
                "TIFF; save it as one of those, or put what matters of it into the question.",
                name=name,
            )
        ) from None
    except image_module.DecompressionBombError as error:
        raise _unreadable(name, error) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise _unreadable(name, error) from None
    if image.width * image.height > _MOST_PIXELS:
        raise _unreadable(name, ValueError(f"{image.width} × {image.height}"))
    return image


def _unreadable(name: str, error: Exception) -> ConfigError:
    reason = shorten(re.sub(r"<.*?>", "…", str(error)))  # Pillow names the object in memory
    return ConfigError(
        tr("The picture {name} cannot be read ({reason}). Save it anew, or smaller.", name=name, reason=reason)
    )


def _plain(image: Any) -> Any:  # noqa: ANN401 - as above
    """Return a picture in grey or RGB; what is transparent becomes white, as on a page."""
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda level: level * (1 / 256)).convert("L")  # not clipped at 255
    elif image.mode in {"I", "F"}:
        low, high = image.getextrema()
        scale = 255 / (high - low) if high > low else 0.0
        image = image.convert("F").point(lambda level: level * scale - low * scale).convert("L")
    if image.mode in {"L", "RGB"}:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        page = clear.copy()
        page.paste("white", (0, 0, *clear.size))
        page.alpha_composite(clear)
        image = page
    return image.convert("RGB")


def _is_drawing(image: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether a picture is better kept without loss: a small one, or one of few colours."""
    if image.width * image.height <= _SMALL:
        return True
    sample = image.resize((min(image.width, 256), min(image.height, 256)), resample=0)  # single pixels, no means
    return sample.getcolors(_FEW_COLOURS) is not None


_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""The markers of a JPEG behind which its size stands."""
_MARKER = re.compile(rb"\xff++[^\xff]", re.DOTALL)
_SCAN = 0xDA
"""What begins each segment of a JPEG, any number of times, and the one behind which its pixels stand."""
_CAMERA_NOTES = frozenset({0xE1, 0xED})
"""The segments of Exif and XMP, and of IPTC."""
_UPRIGHT = 1
_INKS = 4


def _read_jpeg(data: bytes) -> Header | None:
    """Return what the segments before a JPEG's pixels say."""
    plain = True
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES:
            height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            plain = plain and body[5:6] < bytes([_INKS])
            return Header("image/jpeg", width, height, plain) if width and height else None
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):  # noqa: PLR2004 - where cameras write
            plain = plain and _orientation(body[6:]) <= _UPRIGHT
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments before a JPEG's pixels: the marker of each, where it begins and where it ends."""
    place = 2
    while (found := _MARKER.match(data, place)) and data[found.end() - 1] != _SCAN and found.end() + 2 <= len(data):
        start = found.end() - 2  # what fills the space before a marker is dropped
        place = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        yield data[start + 1], start, place


def _orientation(tiff: bytes) -> int:
    """Return how a camera says it was held: 1 for upright, 0 where it says nothing."""
    order: Any = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 0
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for entry in range(start + 2, start + 2 + 12 * min(count, 200), 12):
        if int.from_bytes(tiff[entry : entry + 2], order) == 0x0112:  # noqa: PLR2004 - the tag
            return int.from_bytes(tiff[entry + 8 : entry + 10], order)
    return 0
