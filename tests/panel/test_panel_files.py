"""What a panel's question brings along: files that come in pieces, what they are, and how they are sent and shown."""

from __future__ import annotations

import base64
import io
import re
import time

import numpy as np
import pytest
from panel_kit import Page, chat_with
from PIL import Image

from chatglm_magic import Chat, ChatPanel, TextDelta
from chatglm_magic._attachments.pictures import thumbnail
from chatglm_magic._messages import ImagePart
from chatglm_magic.panel.protocol import MAX_FILE, MAX_FILES


def picture(side: int = 8, form: str = "PNG", *, noise: bool = False) -> bytes:
    pixels = np.full((side, side, 3), (10, 200, 30), np.uint8)
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.fixture
def page():
    """Return a page of a panel whose model says ok."""
    with Page(ChatPanel(chat_with([TextDelta("ok")]))) as page:
        yield page


def attach(page: Page, data: bytes, name: str = "a.png", file: str = "f1", size: int = 5_000) -> dict:
    """Send a file in pieces of a size, as files.js does; return the last answer."""
    for at in range(0, max(1, len(data)), size):
        found = page.answer("attach", id=file, name=name, size=len(data), at=at, buffers=[data[at : at + size]])
    return found


def attached(page: Page) -> list[dict]:
    """Return what the page shows of the files."""
    shown = [message["attached"] for _, message in page.got if message["k"] in {"attached", "snap"}]
    return shown[-1]


def request_of(page: Page):
    return page.panel.chat.provider.requests[-1]


def test_a_picture_comes_in_pieces_and_is_sent_with_the_question(page):
    """The page is told its name, size and a small picture; the question takes it along, and the composer is empty."""
    data = picture(64)
    assert attach(page, data, size=100)["k"] == "ok"
    page.wait(lambda: attached(page))
    (shown,) = attached(page)
    assert (shown["id"], shown["name"]) == ("f1", "a.png")
    assert shown["about"].startswith("64 × 64 pixels, ")
    assert shown["src"] == "data:image/png;base64," + base64.b64encode(data).decode()

    page.exchange("send", text="Look", attached=["f1"])

    assert request_of(page).messages[-1].pictures[0].data == data
    page.wait(lambda: attached(page) == [])
    question = page.shown[0]
    assert question["source"] == "Look"
    assert question["blocks"][-1].startswith('<img class="cg-picture" src="data:image/png;base64,')
    assert 'alt="a.png"' in question["blocks"][-1]


def test_only_what_is_named_goes_along(page):
    """A file that the page has not named stays; one that was taken back is gone."""
    for file in ("f1", "f2", "f3"):
        attach(page, picture(), f"{file}.png", file)
    page.answer("detach", id="f2")
    page.wait(lambda: [one["id"] for one in attached(page)] == ["f1", "f3"])

    page.exchange("send", text="Look", attached=["f3", "f2", "nonsense"])

    assert [one.name for one in request_of(page).messages[-1].pictures] == ["f3.png"]
    page.wait(lambda: [one["id"] for one in attached(page)] == ["f1"])


def test_a_text_file_goes_in_as_data(page):
    """Its text stands below the question, which shows all that was sent."""
    attach(page, b"one\ntwo", "notes.txt")
    page.exchange("send", text="Sum up", attached=["f1"])

    text = "Sum up\n\nnotes.txt:\n```text\none\ntwo\n```"
    assert request_of(page).messages[-1].text == text
    assert page.shown[0]["source"] == text


def test_what_is_converted_is_said_below_the_answer(page):
    """A picture that services do not take is made anew, and the answer says so."""
    attach(page, picture(form="BMP"), "a.bmp")
    answer = page.exchange("send", text="Look", attached=["f1"])

    assert "a.bmp was sent as PNG" in "".join(answer["blocks"])


def test_more_pictures_than_a_request_holds_are_told(page):
    """They come one by one, and the answer says how many of them were sent."""
    for number in range(5):
        attach(page, picture(8 + number), file=f"f{number}")

    answer = page.exchange("send", text="Look", attached=[f"f{number}" for number in range(5)])

    assert "Of the 5 pictures the last 4 are sent" in "".join(answer["blocks"])


def test_another_view_and_a_reload_show_what_is_attached(page):
    """It belongs to the panel, as the draft does."""
    attach(page, picture())
    page.wait(lambda: attached(page))

    other = Page(page.panel, "other")

    assert [one["name"] for one in attached(other)] == ["a.png"]


def test_edit_and_regenerate_keep_the_pictures(page):
    """A question that is asked again in its place brings along what it had."""
    attach(page, picture())
    page.exchange("send", text="Look", attached=["f1"])
    page.exchange("regenerate", id=page.last["id"])
    assert len(request_of(page).messages[-1].pictures) == 1
    page.exchange("edit", id=page.shown[0]["id"], text="Look closer")
    assert len(request_of(page).messages[-1].pictures) == 1
    assert request_of(page).messages[-1].text == "Look closer"


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"\x00\x01\x02", "a.bin", "neither text nor a picture"),
        (b"", "a.txt", "is empty"),
        (b"%PDF-1.4", "a.pdf", "is a PDF"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(page, data, name, said):
    """The note names the file and the way out, and nothing is attached."""
    found = attach(page, data, name)

    assert (found["k"], found["bad"]) == ("note", True)
    assert re.search(said, found["text"])
    assert attached(page) == []


def test_pieces_that_do_not_fit_are_refused(page):
    """A gap, too much, or a size beyond the limit: the file is dropped, and the panel goes on."""
    first = {"id": "f1", "name": "a.png", "size": 10}
    assert page.answer("attach", at=0, buffers=[b"12345"], **first)["k"] == "ok"
    assert page.answer("attach", at=7, buffers=[b"890"], **first)["bad"]
    assert page.answer("attach", at=5, buffers=[b"67890"], **first)["k"] == "ok"  # of a file that is refused already
    assert page.answer("attach", at=0, buffers=[b"1" * 11], **first)["bad"]
    assert page.answer("attach", at=0, buffers=[b""], **{**first, "size": MAX_FILE + 1})["bad"]
    assert attached(page) == []
    attach(page, picture())
    page.wait(lambda: attached(page))


def test_so_many_files_at_once(page):
    """One message brings along a handful; more are refused."""
    for number in range(MAX_FILES):
        attach(page, picture(), file=f"f{number}")

    assert attach(page, picture(), file="one more")["bad"]
    page.wait(lambda: len(attached(page)) == MAX_FILES)


def test_a_question_that_is_refused_keeps_its_files(page):
    """An empty message is not asked, and what is attached stays."""
    attach(page, picture())

    assert page.answer("send", text=" ", attached=["f1"])["bad"]
    page.wait(lambda: len(attached(page)) == 1)


def test_small_pictures_are_small():
    """A page that shows a hundred messages is sent no megabytes; what is no picture of ours is no address at all."""
    large = ImagePart(data=picture(1500, "JPEG", noise=True), media_type="image/jpeg")
    assert len(large.data) > 1_000_000

    started = time.perf_counter()
    src = thumbnail(large)

    assert len(src) < 120_000
    assert Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).size == (320, 320)
    thumbnail(large)
    assert time.perf_counter() - started < 2
    assert thumbnail(ImagePart(data=b"<svg/>", media_type="image/svg+xml")) == ""
    assert thumbnail(ImagePart(url="https://h/a.png")) == ""


def test_a_model_that_sees_nothing_says_so_in_the_panels_words():
    """The refusal names a model that sees, and where to choose it; the question stays to be asked again."""
    with Page(ChatPanel(Chat("local"))) as page:
        attach(page, picture())
        page.answer("send", text="Look", attached=["f1"])
        page.settled()

        assert page.last["state"] == "failed"
        assert "Choose one that does under Model: zai:glm-4.6v-flash is free." in page.last["note"]
