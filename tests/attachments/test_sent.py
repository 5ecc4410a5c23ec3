"""What arrives at a server of what was attached: it is decoded there, and its pixels are compared."""

from __future__ import annotations

import asyncio
import base64
import io
from unittest.mock import patch

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from chatglm_magic import Chat, ConfigError, FunctionProvider, Message
from chatglm_magic._attachments.pictures import read_header

mpl.use("agg")

import matplotlib.pyplot as plt

ROWS, COLUMNS = np.mgrid[0:30, 0:50]
PIXELS = np.stack([ROWS * 8, COLUMNS * 5, (ROWS + COLUMNS) * 3], axis=2).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)


def as_file(image: Image.Image, form: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def drawn_figure():
    """Return a figure that is one colour."""
    figure = plt.figure(figsize=(1, 1), facecolor=(0.2, 0.4, 0.6))
    plt.close(figure)
    return figure


SOURCES = {
    "png file": (as_file(PICTURE, "PNG"), PIXELS),
    "jpeg file": (as_file(PICTURE, "JPEG", quality=95), PIXELS),
    "gif file": (as_file(PICTURE.quantize(256), "GIF"), PIXELS),
    "inks": (as_file(PICTURE.convert("CMYK"), "JPEG", quality=95), PIXELS),
    "figure": (drawn_figure(), np.full((100, 100, 3), (51, 102, 153))),
    "picture L": (PICTURE.convert("L"), np.asarray(PICTURE.convert("L").convert("RGB"))),
    "picture RGBA": (PICTURE.convert("RGBA"), PIXELS),
    "picture P": (PICTURE.quantize(256), PIXELS),
    "float array": (PIXELS / 255.0, PIXELS),
    "uint8 array": (PIXELS, PIXELS),
    "bool array": (PIXELS[:, :, 1] > 100, (PIXELS[:, :, [1, 1, 1]] > 100) * 255),
    "large array": (np.full((3000, 4000), 7, np.uint8), np.full((1536, 2048, 3), 7)),
}


def parts_of(glm) -> list[dict]:
    return glm.requests[-1].json["messages"][-1]["content"]


def decoded(part: dict) -> np.ndarray:
    """Return the pixels of what arrived, as a server would see them."""
    head, _, body = part["image_url"]["url"].partition(",")
    assert head in {"data:image/png;base64", "data:image/jpeg;base64"}
    image = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert f"data:image/{image.format.lower()};base64" == head
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("source", SOURCES)
def test_a_server_sees_the_pixels(glm, source):
    """Each kind of source arrives as PNG or JPEG that shows what was attached."""
    given, expected = SOURCES[source]
    glm.say("seen")

    asyncio.run(Chat("openai", base_url=glm.url, model="m").send("Look", attachments=[given]))

    text, part = parts_of(glm)
    assert text == {"type": "text", "text": "Look"}
    assert decoded(part).shape == expected.shape
    assert np.abs(decoded(part) - expected).mean() < 6


def test_the_platforms_get_bare_base64(glm):
    """Z.ai and BigModel take base64 without the head of a `data:` address; an address goes as it stands."""
    glm.say("seen")
    data = as_file(PICTURE, "PNG")
    chat = Chat("zai", base_url=glm.url, model="glm-4.6v-flash", api_key="k")

    asyncio.run(chat.send("Look", attachments=[data, "https://example.org/a.png"]))

    _, first, second = parts_of(glm)
    assert base64.b64decode(first["image_url"]["url"], validate=True) == data
    assert second["image_url"]["url"] == "https://example.org/a.png"
    assert glm.lookups == []


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("zai", "glm-4.7-flash"),
        ("bigmodel", "glm-4-flash-250414"),
        ("zai", "GLM-4.7"),
        ("bigmodel", "glm-4-plus"),
        ("local", ""),
    ],
)
def test_a_model_that_sees_nothing_is_not_asked(glm, provider, model):
    """A model known to see nothing is refused before anything is sent; the way to one that sees is named."""
    how = {} if provider == "local" else {"base_url": glm.url, "api_key": "k"}

    with pytest.raises(ConfigError, match=r"-m zai:glm-4\.6v-flash"):
        asyncio.run(Chat(provider, model=model, **how).send("Look", attachments=PICTURE))
    assert glm.requests == []


def test_a_model_that_takes_only_addresses_is_not_sent_bytes(glm):
    """glm-4v-flash takes one picture, by its address."""
    glm.say("seen")
    chat = Chat("zai", base_url=glm.url, model="glm-4v-flash", api_key="k")

    with pytest.raises(ConfigError, match=r"glm-4v-flash .*address.*glm-4\.6v-flash"):
        asyncio.run(chat.send("Look", attachments=PICTURE))
    assert glm.requests == []
    asyncio.run(chat.send("Look", attachments="https://example.org/a.png"))
    assert len(parts_of(glm)) == 2


def test_what_was_changed_is_said_by_the_reply():
    """A notice says so in the reply, after the service's own events, and `Finished` stays last."""

    async def echo(model, messages, **_):
        yield "seen"

    chat = Chat(FunctionProvider(echo))

    async def events() -> list[object]:
        return [event async for event in chat.stream("Look", attachments=np.zeros((3000, 3000)))]

    kinds = [type(event).__name__ for event in asyncio.run(events())]
    reply = asyncio.run(chat.send("Look", attachments=np.zeros((3000, 3000))))

    assert kinds == ["TextDelta", "Part", "Finished"]
    (notice,) = [part.content for part in reply.parts if part.kind == "notice"]
    assert notice.startswith("array was shrunk: 3000 × 3000 → 2048 × 2048 pixels, ")


def test_files_of_text_are_a_part_of_the_question(glm, tmp_path):
    """They stand below the prompt, in the conversation too; a key in them is refused like one in the prompt."""
    glm.say("seen")
    (tmp_path / "notes.txt").write_text("one\ntwo")
    chat = Chat("openai", base_url=glm.url, model="m")

    asyncio.run(chat.send("Sum up", attachments=tmp_path / "notes.txt"))

    expected = "Sum up\n\nnotes.txt:\n```text\none\ntwo\n```"
    assert parts_of(glm) == expected
    assert chat.messages[0] == Message("user", expected)


def test_a_key_in_a_file_is_not_sent(glm, tmp_path, monkeypatch):
    """What is attached is looked through for the user's keys, like the prompt."""
    monkeypatch.setenv("ZAI_API_KEY", "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP")
    (tmp_path / "env.txt").write_text("ZAI_API_KEY=0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP")

    with pytest.raises(ConfigError, match="holds one of your keys"):
        asyncio.run(Chat("openai", base_url=glm.url, model="m").send("?", attachments=tmp_path / "env.txt"))
    assert glm.requests == []


def test_a_request_holds_the_newest_four_pictures(glm):
    """Older pictures of the conversation are named only."""
    glm.say("seen")
    chat = Chat("openai", base_url=glm.url, model="m")
    for number in range(3):
        pictures = [Image.new("RGB", (4, 4), (number, part, 0)) for part in range(2)]
        asyncio.run(chat.send(f"Look {number}", attachments=pictures))

    said = [message["content"] for message in glm.requests[-1].json["messages"] if message["role"] == "user"]
    assert said[0] == "Look 0\n\n[picture]\n\n[picture]"
    for number in (1, 2):
        assert [part["type"] for part in said[number]] == ["text", "image_url", "image_url"]


def test_a_plot_is_drawn_once_and_small():
    """A plot of 10 × 6 inches is a picture of 1,000 × 600 pixels within 300 kB; `tests.bench.attached` measures it."""
    figure, axes = plt.subplots(figsize=(10, 6))
    for shift in range(4):
        axes.plot(np.sin(np.linspace(shift, 10, 500)), label=f"line {shift}")
    axes.set(title="Waves", xlabel="time", ylabel="height")
    axes.legend()

    async def echo(model, messages, **_):
        yield "seen"

    with patch.object(figure, "savefig", wraps=figure.savefig) as savefig:
        request = Chat(FunctionProvider(echo)).request("Explain", attachments=figure)
    plt.close(figure)

    (picture,) = request.messages[-1].pictures
    assert savefig.call_count == 1
    assert len(picture.data) <= 300_000
    assert (read_header(picture.data).width, read_header(picture.data).height) == (1000, 600)


def test_the_same_picture_is_the_same_question(glm):
    """A cache knows a picture again, and tells another one from it."""
    chat = Chat("openai", base_url=glm.url, model="m")
    found: list[str] = []
    chat.find_stored = found.append

    for picture in (PICTURE, PICTURE.copy(), PICTURE.convert("L")):
        chat.cached("Look", attachments=picture)

    assert found[0] == found[1]
    assert found[1] != found[2]
