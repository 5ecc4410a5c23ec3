"""What a person attaches becomes a picture or fenced data, or is refused with the way out; nothing is fetched."""

from __future__ import annotations

import base64
import builtins
import io
import json
import os
import time
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from chatglm_magic import ConfigError, ImagePart
from chatglm_magic._attachments import Attachments
from chatglm_magic._attachments.pictures import LONG_SIDE, MAX_BYTES, pixels_of, read_header
from chatglm_magic._attachments.sources import attach

mpl.use("agg")

import matplotlib.pyplot as plt


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """Return rows of RGB pixels in which no two neighbours are equal."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 5 % 256, columns * 4 % 256, (rows + columns) * 2 % 256], axis=2).astype(np.uint8)


def as_file(pixels: np.ndarray, form: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **how)
    return file.getvalue()


def pixels(part: ImagePart) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(part.data)).convert("RGB")).astype(int)


def only(found: Attachments) -> ImagePart:
    (part,) = found.pictures
    return part


@pytest.fixture
def figure():
    made, axes = plt.subplots(figsize=(5, 3))
    axes.plot([1, 3, 2], label="line")
    yield made
    plt.close(made)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_and_jpeg_go_as_they_are(tmp_path):
    """Within the limits a file's bytes are not touched, and nothing is said of them."""
    for form in ("PNG", "JPEG"):
        data = as_file(gradient(), form)
        path = tmp_path / f"picture.{form.lower()}"
        path.write_bytes(data)

        for given in (path, str(path), data, bytearray(data), f"data:image/x;base64,{base64.b64encode(data).decode()}"):
            found = attach(given)
            assert only(found).data == data
            assert only(found).media_type == f"image/{form.lower()}"
            assert found.notes == ()
        assert only(attach(path)).name == path.name


def test_where_a_photo_was_taken_is_not_sent():
    """Place, camera and owner are taken out of a JPEG that otherwise goes as it is; its pixels stay."""
    camera = Image.Exif()
    camera[0x010F], camera[0x013B] = "Canary camera", "Canary owner"
    camera.get_ifd(0x8825)[1], camera.get_ifd(0x8825)[29] = "N", "2026:11:27"
    data = as_file(gradient(), "JPEG", exif=camera)
    assert b"Canary" in data
    assert b"Canary" not in only(attach(data.replace(b"\xff\xe1", b"\xff\xff\xff\xe1", 1))).data  # filled up

    part = only(attach(data))

    assert b"Canary" not in part.data
    assert b"2026:11:27" not in part.data
    assert not Image.open(io.BytesIO(part.data)).getexif()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(Image.open(io.BytesIO(part.data))))


def test_files_within_limits_need_no_pillow(tmp_path, monkeypatch):
    """Only what has to be converted needs Pillow; without it a sentence says what to install or save."""
    real = builtins.__import__

    def without_pillow(name, *rest):
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    png, gif = as_file(gradient()), as_file(gradient(), "GIF")
    monkeypatch.setattr(builtins, "__import__", without_pillow)

    assert only(attach(png)).data == png
    assert pixels_of(only(attach(png))).startswith("60 × 40 pixels, ")
    with pytest.raises(ConfigError, match=r"Pillow is missing.*pip install"):
        attach(gif)


def test_an_address_is_passed_on():
    """An https address goes as it stands; http goes to this machine only, and no password goes at all."""
    assert only(attach("https://example.org/a.png?x=1")) == ImagePart(url="https://example.org/a.png?x=1")
    assert only(attach("http://127.0.0.1:8000/a.png")).url == "http://127.0.0.1:8000/a.png"
    with pytest.raises(ConfigError, match="Write https"):
        attach("http://example.org/a.png")
    with pytest.raises(ConfigError, match="password"):
        attach("https://me:secret@example.org/a.png")
    with pytest.raises(ConfigError, match="no address"):
        attach("https:///a.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "CMYK", "RGBA", "LA", "I;16", "I", "F", "HSV", "YCbCr"])
def test_a_picture_of_pillow_keeps_its_colours(mode):
    """Whatever mode a picture has, what arrives looks like it; what is transparent is white."""
    base = Image.fromarray(gradient())
    if mode in {"I;16", "I", "F"}:
        ramp = np.linspace(0, 65535, 60 * 40).reshape(40, 60)
        image = Image.fromarray(ramp.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
        assert image.mode == mode
        expected = np.repeat((ramp // 257)[:, :, None], 3, axis=2)
    elif mode in {"RGBA", "LA"}:
        image = base.convert(mode)
        image.putalpha(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (40, 30))))
        expected = np.asarray(base.convert("L" if mode == "LA" else "RGB").convert("RGB")).copy()
        expected[:, ::2] = 255
    else:
        image = base.convert(mode)
        expected = np.asarray(image.convert("RGB"))
    before = image.tobytes()

    found = attach(image)

    assert np.abs(pixels(only(found)) - expected).max() <= 2
    assert (found.notes, image.tobytes()) == ((), before)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (gradient(), gradient()),
        (gradient() / 255.0, gradient()),
        (gradient().astype(np.float32), gradient()),
        (gradient().astype(np.int64), gradient()),
        (gradient().astype(np.uint16) * 257, gradient()),
        (gradient()[:, :, 0], gradient()[:, :, [0, 0, 0]]),
        (gradient()[:, :, :1], gradient()[:, :, [0, 0, 0]]),
        (gradient()[:, :, 0] > 100, (gradient()[:, :, [0, 0, 0]] > 100) * 255),
        (np.dstack([gradient(), np.full((40, 60), 255, np.uint8)]), gradient()),
        (np.where(gradient() > 9, gradient() / 255.0, np.nan), np.where(gradient() > 9, gradient(), 0)),
    ],
    ids=["uint8", "float", "float levels", "int", "uint16", "grey", "one channel", "bool", "rgba", "nan"],
)
def test_an_array_of_pixels_is_a_picture(array, expected):
    """Numbers from 0 to 1, from 0 to 255 and booleans are what they look like, in grey and in colours."""
    found = attach([array])

    assert np.abs(pixels(only(found)) - expected).max() <= 1
    assert found.notes == ()


def test_other_numbers_are_stretched_and_said():
    """An array of other numbers goes as shades of grey, and the note says from where to where."""
    found = attach([np.linspace(-3, 5, 2400).reshape(40, 60)], names=["{z}"])

    assert (pixels(only(found)).min(), pixels(only(found)).max()) == (0, 255)
    assert found.notes == ("{z} was taken as grey from -3 (black) to 5 (white).",)


def test_a_figure_and_all_that_belongs_to_it_are_its_picture(figure):
    """Axes, lines, lists and containers of them are the picture of their figure, once."""
    (axes,) = figure.axes
    bars = axes.bar([0, 1], [2, 3])
    counts = axes.hist([1, 2, 2])
    box = axes.boxplot([1, 2, 3])
    subplots = np.array([axes, axes])

    whole = only(attach(figure))
    for given in (axes, axes.lines[0], bars, counts, box, subplots, list(axes.lines)):
        assert only(attach([given])) == whole
    assert (whole.media_type, pixels(whole).shape) == ("image/png", (300, 500, 3))
    assert only(attach([figure, axes])) == whole


def test_a_subfigure_is_the_picture_of_the_whole():
    """A part of a figure cannot be saved alone, so all of the figure goes."""
    made = plt.figure(figsize=(4, 2))
    left, _ = made.subfigures(1, 2)
    axes = left.subplots()

    assert only(attach(axes)) == only(attach(made))
    plt.close(made)


def test_labels_that_stand_out_are_in_the_picture():
    """What a notebook shows beside a figure is sent too: the picture is as large as what is drawn."""
    made, axes = plt.subplots(figsize=(4, 2))
    axes.text(1.3, 0.5, "outside of the axes, and of the figure", transform=axes.transAxes)

    assert pixels(only(attach(made))).shape[1] > 450
    plt.close(made)


def test_a_clear_figure_is_white(figure):
    """A transparent background would be black where a service drops it."""
    figure.patch.set_alpha(0.0)

    assert pixels(only(attach(figure)))[0, 0].tolist() == [255, 255, 255]


def test_a_large_figure_is_no_larger_than_models_see():
    """The resolution of a poster gives way; its picture stays within the longer side."""
    made = plt.figure(figsize=(40, 20))

    assert max(pixels(only(attach(made))).shape) == LONG_SIDE
    plt.close(made)


def test_what_a_notebook_shows_as_picture_is_one():
    """Objects with `_repr_png_`, `_repr_jpeg_` or a bundle that has a picture are sent as they show themselves."""
    png, jpeg = as_file(gradient()), as_file(gradient(), "JPEG")

    class Png:
        def _repr_png_(self):
            return png, {"width": 3}

    class Jpeg:
        def _repr_png_(self):
            return None

        def _repr_jpeg_(self):
            return jpeg

    class Bundle:
        def _repr_mimebundle_(self, include=None, exclude=None):
            return {"text/plain": "x", "image/png": base64.b64encode(png).decode()}, {}

    class Plain:
        def _repr_mimebundle_(self):
            return {"image/jpeg": jpeg}

    assert [only(attach(kind())).data for kind in (Png, Jpeg, Bundle, Plain)] == [png, jpeg, png, jpeg]
    with pytest.raises(ConfigError, match=r"Png \(type\) has no picture"):
        attach(Png, names=["Png"])


def test_a_value_without_a_picture_says_what_to_do():
    """The refusal names the value and the way to what was meant."""

    class Svg:
        def _repr_svg_(self):
            return "<svg/>"

    class Plotly:
        def write_image(self):
            """Write it."""

    class Pyplot:
        def gcf(self):
            """Return the figure."""

    class Broken:
        def _repr_png_(self):
            raise ZeroDivisionError("no")

    for given, name, said in (
        (3, "_", r"_ \(int\) has no picture\. Name the figure .* attach \{fig\}"),
        ({"a": 1}, "{d}", r"\{d\} \(dict\) has no picture.* write \{d\} in the question"),
        (Svg(), "{s}", "save it as PNG"),
        (Pyplot(), "{plt}", r"fig = plt\.gcf\(\), and attach \{fig\}"),
        (io.BytesIO(), "{buffer}", r"the bytes that it holds: buffer\.getvalue\(\)"),
        (io.BufferedReader(io.BytesIO()), "", r"the path, or the bytes that it holds: file\.read\(\)"),
        (Image.Image, "{Image}", r"\{Image\} \(type\) has no picture"),
        (Plotly(), "{p}", r"write_image\("),
        (Broken(), "{b}", r"The picture of \{b\} could not be made: ZeroDivisionError: no"),
    ):
        with pytest.raises(ConfigError, match=said):
            attach([given], names=[name])


def test_other_pictures_are_converted_and_said(tmp_path):
    """GIF, WebP, BMP, TIFF, inks and a JPEG that lies on its side arrive as PNG or JPEG that looks the same."""
    for form in ("GIF", "WEBP", "BMP", "TIFF"):
        data = as_file(gradient(), form, **({"lossless": True} if form == "WEBP" else {}))
        path = tmp_path / f"picture.{form.lower()}"
        path.write_bytes(data)

        found = attach(path)

        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.abs(pixels(only(found)) - expected).max() == 0
        (note,) = found.notes
        assert note.startswith(f"{path.name} was sent as PNG, 60 × 40 pixels, ")
        assert f"; it is {form}, 60 × 40 pixels, " in note

    file = io.BytesIO()
    Image.fromarray(gradient()).convert("CMYK").save(file, "JPEG", quality=95)
    assert Image.open(io.BytesIO(only(attach(file.getvalue())).data)).mode == "RGB"

    camera = Image.Exif()
    camera[0x0112] = 6
    data = as_file(gradient(), "JPEG", exif=camera)
    assert pixels(only(attach(data))).shape == (60, 40, 3)


def test_a_photo_of_20_megabytes_costs_no_minute(tmp_path):
    """What exceeds the limits is shrunk to the longer side that models see, as JPEG, within seconds."""
    data = as_file(noise(4500, 6200), "JPEG", quality=85)
    assert len(data) > 20_000_000
    (tmp_path / "photo.jpg").write_bytes(data)

    started = time.perf_counter()
    found = attach(tmp_path / "photo.jpg")

    assert time.perf_counter() - started < 10
    header = read_header(only(found).data)
    assert (header.media_type, header.width) == ("image/jpeg", LONG_SIDE)
    assert len(only(found).data) < MAX_BYTES
    assert found.notes[0].startswith(f"photo.jpg was sent as JPEG, {LONG_SIDE} × ")


def test_a_photo_goes_as_jpeg_and_a_drawing_as_png():
    """A plot stays sharp; noise of all colours is not kept to the bit."""
    flat = np.full((600, 800, 3), 255, np.uint8)
    flat[100:200, 100:700] = (200, 30, 30)

    assert only(attach([flat])).media_type == "image/png"
    assert only(attach([noise(600, 800)])).media_type == "image/jpeg"


def test_large_values_are_shrunk_and_said():
    """A large array or picture says how large it was; an enormous one is thinned first."""
    found = attach([np.zeros((3000, 5000), bool), Image.new("1", (4096, 100))], names=["{a}", "{b}"])
    assert [read_header(part.data).width for part in found.pictures] == [2048, 2048]
    assert found.notes[0].startswith("{a} was shrunk: 5000 × 3000 → 2048 × 1229 pixels, ")
    huge = np.broadcast_to(np.zeros(1, np.uint8), (60_000, 60_000))

    started = time.perf_counter()
    attach([huge])
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.svg", b"<svg xmlns='x'/>", "is SVG"),
        ("a.txt", b"<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE svg>\n<svg>", "is SVG"),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0", "is video or sound"),
        ("a.bin", b"\0\0\0\x20ftypmp42\0\0", "is video or sound"),
        ("a.pdf", b"%PDF-1.7\n", "pdftoppm"),
        ("a.bin", bytes(range(256)), "neither text nor a picture"),
        ("a.zip", b"PK\x03\x04\0\0", "neither text nor a picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "neither text nor a picture|cannot be read"),
        ("a.gif", b"GIF89a\xff\xff\xff\xff\0\0\0", "cannot be read"),
        ("a.txt", b"", "is empty"),
    ],
)
def test_what_is_not_sent_names_the_way_out(tmp_path, name, data, said):
    """SVG, video, PDF, damaged pictures and unknown data are refused, each with a sentence."""
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ConfigError, match=said) as caught:
        attach(tmp_path / name)
    assert name in str(caught.value)


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path):
    """A small file may claim to hold any number of pixels; it is refused before they are decoded."""
    header = b"IHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    data = b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + zlib.crc32(header).to_bytes(4) + b"\0\0\0\4IDATabcd"
    started = time.perf_counter()

    with pytest.raises(ConfigError, match="cannot be read"):
        attach(data + b"\0" * 100)
    assert time.perf_counter() - started < 2


def test_bytes_that_only_begin_like_a_jpeg_cost_no_time():
    """A segment of a JPEG may begin with any number of 0xFF; megabytes of them are passed over at once."""
    started = time.perf_counter()

    assert read_header(b"\xff\xd8" + b"\xff" * 4_000_000) is None
    assert time.perf_counter() - started < 1


def test_more_pictures_than_a_request_holds_are_told():
    """The last four go; the note says how many there were."""
    few = [as_file(gradient(8 + number, 8)) for number in range(4)]

    assert attach(few).notes == ()
    assert attach([*few, as_file(gradient(30, 8))]).notes == (
        "Of the 5 pictures the last 4 are sent: a request holds no more.",
    )


def test_a_bad_data_address_is_refused_at_once():
    """Whatever stands in a `data:` address, it costs no time."""
    started = time.perf_counter()
    for given in ("data:", "data:image/png,abc", "data:image/png;base64,****", "data:;base64," + "A" * 10_000_001):
        with pytest.raises(ConfigError, match=r"base64|neither|is empty"):
            attach(given)
    assert time.perf_counter() - started < 5


def test_a_path_that_leads_nowhere_says_so(tmp_path, monkeypatch):
    """A missing file, a folder, a pipe and a file that is too large are refused without being read."""
    for name in ("plot.png", "图片 一.png"):
        (tmp_path / name).write_bytes(as_file(gradient()))
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(200_000_000)
    monkeypatch.chdir(tmp_path)

    for given, said in (
        ("plo.png", r"There is no file plo\.png\. Did you mean plot\.png\?"),
        ("图片", r'There is no file 图片\. Did you mean "图片 一\.png"\?'),
        ("ftp://example.org/a.png", r"ftp://example\.org/a\.png is no https address"),
        ("file:///a.png", "Save the picture, and attach the file"),
        ("", "is empty"),
        ("nothing/at/all", rf"There is no file nothing/at/all\. Paths begin in {tmp_path}\."),
        (tmp_path, "is a folder"),
        ("pipe", "no file with an end"),
        ("large.txt", r"too large: 200 MB, and 100 MB"),
        ("nul\0", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            attach(given)
    assert only(attach("plot.png")).name == "plot.png"


def test_text_goes_in_as_fenced_data(tmp_path):
    """A text file, whatever its encoding, is a block with its name that nothing in it can close."""
    text = "naïve 数据\n```\nquit\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gb18030"):
        path = tmp_path / "notes.txt"
        path.write_bytes(text.replace("ï", "i").encode(encoding))
        found = attach(path)
        assert found.blocks == ("notes.txt:\n````text\nnaive 数据\n```\nquit\n````",)
        assert (found.pictures, found.notes) == ((), ())
    assert attach(b"a,b\n1,2\n", names=["table.csv"]).added_to("Sum?") == "Sum?\n\ntable.csv:\n```text\na,b\n1,2\n```"
    (tmp_path / "t.csv").write_text("a,b\r\n1,2\r\n")
    assert attach(tmp_path / "t.csv").blocks == ("t.csv:\n```csv\na,b\n1,2\n```",)


def test_long_files_are_cut_and_said(tmp_path):
    """Files together stay within the budget of a prompt, and the note names what was cut."""
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("line of text\n" * 20_000)

    found = attach([tmp_path / "one.txt", tmp_path / "two.txt"])

    assert sum(map(len, found.blocks)) < 40_000
    assert [note.partition(" was")[0] for note in found.notes] == ["one.txt", "two.txt"]


def test_a_notebook_goes_in_as_its_cells(tmp_path):
    """Sources, text outputs and errors stand in order; pictures are named; a file that is none goes as text."""
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "execution_count": 3,
            "source": "plot()",
            "outputs": [
                {"output_type": "stream", "text": ["a\n", "b\n"]},
                {"output_type": "display_data", "data": {"image/png": "xx", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": []},
            ],
        },
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells}))

    (block,) = attach(path).blocks
    assert block == (
        "n.ipynb:\n```python\n# %% [markdown]\n# Title\ntext\n\n# %% In [3]\nplot()\n"
        "# Out: a\n# b\n# Out: [picture]\n# Out: KeyError: 'x'\n```"
    )
    path.write_text('{"cells": 3}')
    assert attach(path).blocks == ('n.ipynb:\n```python\n{"cells": 3}\n```',)


def test_one_question_takes_so_many():
    """More pictures than services take are refused before any is read."""
    with pytest.raises(ConfigError, match="at most 50"):
        attach([Path("nowhere")] * 51)
