"""Pictures and files in the panel: pasted, dropped and chosen in a real browser, shown, and taken back."""

from __future__ import annotations

import base64

import pytest
from panel_page import question

pytestmark = pytest.mark.browser

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SHOWN = {"id": "f1", "name": "dot.png", "about": "1 × 1 pixels, 70 B", "src": "data:image/png;base64,"}

BRING = """(target, [kind, files, text]) => {
  const data = new DataTransfer();
  for (const [name, type, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name, {type}));
  if (text) data.setData('text/plain', text);
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
  return !target.dispatchEvent(event);
}"""


def bring(panel, kind: str, *files: tuple[str, str, bytes], text: str = "") -> bool:
    """Paste or drop files on the message box; return whether the panel has taken them."""
    return panel.message.evaluate(BRING, [kind, [[name, mime, list(data)] for name, mime, data in files], text])


def pieces(panel) -> list[dict]:
    panel.page.wait_for_function("() => window.__sent.some(one => one.k === 'attach')")
    return panel.sent("attach")


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_picture_is_pasted_and_dropped(panels, kind):
    """Its bytes go to Python at once, under its name."""
    with panels.opens() as panel:
        panel.snap()
        assert bring(panel, kind, ("dot.png", "image/png", PIXEL))

        (piece,) = pieces(panel)
        assert (piece["name"], piece["size"], piece["at"], bytes(piece["bytes"])) == ("dot.png", len(PIXEL), 0, PIXEL)
        assert panel.message.input_value() == ""


def test_files_are_chosen_by_a_button(panels, tmp_path):
    """The button opens the browser's chooser; a large file goes in pieces, in order."""
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 5000)
    with panels.opens() as panel:
        panel.snap()
        with panel.page.expect_file_chooser() as chooser:
            panel.button("Attach a picture or file").click()
        chooser.value.set_files(tmp_path / "large.bin")

        panel.page.wait_for_function("() => window.__sent.filter(one => one.k === 'attach').length === 3")
        sent = panel.sent("attach")
        assert [piece["at"] for piece in sent] == [0, 512 * 1024, 1024 * 1024]
        assert b"".join(bytes(piece["bytes"]) for piece in sent) == bytes(range(256)) * 5000
        assert len({piece["id"] for piece in sent}) == 1


def test_text_that_is_pasted_stays_text(panels):
    """A copied table brings a picture of itself; its text is what is meant."""
    with panels.opens() as panel:
        panel.snap()
        assert not bring(panel, "paste", ("table.png", "image/png", PIXEL), text="a\tb")
        assert not bring(panel, "paste", text="words")

        assert panel.sent("attach") == []


def test_what_is_attached_is_shown_sent_and_taken_back(panels):
    """A chip with a small picture, its name and a button; the question names it, until Python says it is gone."""
    with panels.opens() as panel:
        panel.snap()
        panel.tell("attached", attached=[{**SHOWN, "src": SHOWN["src"] + base64.b64encode(PIXEL).decode()}])
        chip = panel.page.locator(".cg-file")
        assert chip.inner_text().startswith("dot.png")
        assert chip.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 1

        panel.message.fill("Look")
        panel.message.press("Enter")
        assert [(one["text"], one["attached"]) for one in panel.sent("send")] == [("Look", ["f1"])]
        panel.button("Remove dot.png").click()
        assert [one["id"] for one in panel.sent("detach")] == ["f1"]
        panel.tell("attached", attached=[])
        assert panel.page.locator(".cg-files").is_hidden()


def test_a_question_with_a_file_of_text_takes_the_place_of_the_pending_one(panels):
    """What was sent is longer than what was typed; the words are not shown twice."""
    with panels.opens() as panel:
        panel.snap()
        panel.tell("attached", attached=[{**SHOWN, "src": ""}])
        panel.message.fill("Sum up")
        panel.message.press("Enter")
        panel.tell("add", after="", m=question("q", "Sum up\n\nnotes.txt:\n```text\none\n```"))

        assert panel.page.locator(".cg-pending").count() == 0


def test_a_file_over_the_page_shows_where_it_goes(panels):
    """While a file is held over the panel the box says so, and not any more afterwards."""
    with panels.opens() as panel:
        panel.snap()
        bring(panel, "dragover", ("dot.png", "image/png", PIXEL))
        assert panel.page.locator(".cg-drop").count() == 1
        bring(panel, "dragleave", ("dot.png", "image/png", PIXEL))
        assert panel.page.locator(".cg-drop").count() == 0
