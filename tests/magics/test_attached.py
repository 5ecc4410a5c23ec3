"""`-a` in a cell: what it names, what is sent of it, and what is said where it cannot be."""

from __future__ import annotations

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from shells import fail, offered, run

from chatglm_magic import ConfigError
from chatglm_magic._magics.attached import attach_named
from chatglm_magic._magics.parser import parse
from chatglm_magic._magics.prompt import Notebook

mpl.use("agg")


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def sent(glm) -> list[tuple[int, int, int]]:
    """Return the colour of each picture that arrived with the last question."""
    parts = [part for part in glm.requests[-1].json["messages"][-1]["content"] if part["type"] == "image_url"]
    data = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts]
    return [Image.open(io.BytesIO(one)).convert("RGB").getpixel((0, 0)) for one in data]


@pytest.fixture
def chat(shell, glm, tmp_path, monkeypatch):
    """Return a shell whose answers are "seen", in a folder of its own with two pictures in it."""
    glm.say("seen")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red.png").write_bytes(png((255, 0, 0)))
    (tmp_path / "two words.png").write_bytes(png((0, 255, 0)))
    shell.user_ns.update(
        green=Image.new("RGB", (4, 4), (0, 255, 0)), box={"blue": Image.new("RGB", (4, 4), (0, 0, 255))}, n=3
    )
    return shell


def test_options_repeat_and_keep_their_order():
    """Each `-a` is one thing; quotes hold blanks."""
    line = "-a x.png --attach={fig} -a 'two words.png' Look"

    assert (parse(line).attached, parse(line).prompt) == (("x.png", "{fig}", "two words.png"), "Look")


def test_what_has_a_picture_is_a_question(chat, glm):
    """No command takes a picture, so `explain` with one is a prompt."""
    run(chat, "%chatglm -a green explain")

    assert glm.requests[-1].json["messages"][-1]["content"][0]["text"] == "explain"


def test_files_names_and_outputs_are_sent(chat, glm):
    """A path, a name in braces or alone, a path in a value, `_` and `Out[n]` each send their picture."""
    run(chat, "%chatglm -a red.png -a 'two words.png' -a {green} -a green -a {box['blue']} Look")
    assert sent(glm) == [(255, 0, 0), (0, 255, 0), (0, 255, 0), (0, 0, 255)]  # the same picture once

    chat.execution_count = 5
    run(chat, "box['blue']")
    run(chat, "%chatglm -a _ Look")
    assert sent(glm) == [(0, 0, 255)]
    run(chat, "%chatglm -a Out[5] Look")
    assert sent(glm) == [(0, 0, 255)]
    run(chat, "%chatglm -a _5 Look")
    assert sent(glm) == [(0, 0, 255)]


def test_the_newest_output_is_no_reply_of_ours(chat, glm):
    """After a question `_` is its reply; `-a _` still means the picture before it."""
    chat.execution_count = 2
    run(chat, "green")
    run(chat, "%chatglm -a _ Look")
    run(chat, "%chatglm -a _ And now?")

    assert sent(glm) == [(0, 255, 0)]


def test_what_a_cell_has_shown_counts_where_its_value_has_no_picture():
    """A cell that ends in `plt.show()` has no value: what it has shown is its picture, if nothing newer is there."""
    shown = {3: base64.b64encode(png((1, 2, 3))).decode()}
    green = Image.new("RGB", (4, 4), (0, 255, 0))

    def colour(text: str, outputs: dict[int, object]) -> tuple[int, int, int]:
        (part,) = attach_named([text], Notebook(outputs=outputs, shown=shown)).pictures
        return Image.open(io.BytesIO(part.data)).getpixel((0, 0))

    assert colour("_", {}) == (1, 2, 3)
    assert colour("_", {2: green}) == (1, 2, 3)
    assert colour("_", {3: [1.0, 2.0]}) == (1, 2, 3)
    assert colour("_", {3: green}) == (0, 255, 0)
    assert colour("_", {4: green}) == (0, 255, 0)
    assert colour("Out[3]", {4: green}) == (1, 2, 3)


def test_answers_of_all_kinds_are_no_newer_output(chat, glm):
    """Several models, rows and jobs leave values as a question does; `-a _` still means the picture before them."""
    run(chat, "green")
    run(chat, "%chatglm -m a -m b Who?")
    run(chat, "words = ['x']")
    run(chat, "%chatglm --over words What?")
    run(chat, "%chatglm --bg -q Why?")
    run(chat, "%chatglm -a _ Look")

    assert sent(glm) == [(0, 255, 0)]


def test_a_newer_picture_that_models_do_not_read_is_not_passed_over():
    """What was shown as SVG is refused by name; the older picture is not what was meant."""
    shown = {3: base64.b64encode(png((1, 2, 3))).decode(), 4: ""}

    with pytest.raises(ConfigError, match=r"Out\[4\] was shown as SVG"):
        attach_named(["_"], Notebook(shown=shown))
    assert attach_named(["Out[3]"], Notebook(shown=shown)).pictures


def test_what_is_not_there_is_said_and_nothing_is_sent(chat, glm, tmp_path):
    """Each mistake is one line that names what was meant, and nothing leaves the kernel."""
    (tmp_path / "green").touch()
    for line, said in (
        ("-a blue.png Look", r"There is no file blue\.png"),
        ("-a {nothing} Look", r"--attach names nothing, which has no value here \(KeyError\)"),
        ("-a {box['red']} Look", r"--attach names box\['red'\], which has no value here \(KeyError\)"),
        ("-a {plt.gcf()} Look", r"nothing is computed there: assign it first, as in fig = plt\.gcf\(\)"),
        ("-a n Look", r"\{n\} \(int\) has no picture\. To send it described, write \{n\} in the question"),
        ("-a green Look", r"green is a variable and a file\. Write \{green\} for the variable, or \./green"),
        ("-a Out[99] Look", r"There is no Out\[99\]: .*fig = plt\.gcf\(\), and attach \{fig\}"),
        ("-a '' Look", r"--attach takes a file"),
    ):
        error = fail(chat, f"%chatglm {line}")
        assert re.search(said, str(error)), str(error)
    assert glm.requests == []


def test_nothing_shown_yet_is_said(chat, glm):
    """`-a _` in a notebook that has shown nothing says so."""
    chat.user_ns["_oh"].clear()

    assert "No cell has shown anything yet" in str(fail(chat, "%chatglm -a _ Look"))


def test_a_dry_run_shows_what_would_be_sent(chat, glm, capsys, tmp_path):
    """Name, kind, pixels and size of each picture, the text of files, and what would be changed."""
    (tmp_path / "notes.txt").write_text("one\ntwo")
    chat.user_ns["large"] = np.zeros((3000, 100))

    run(chat, "%chatglm --dry-run -a red.png -a large -a notes.txt Look")

    shown = capsys.readouterr().out
    assert "user:\nLook\n\nnotes.txt:\n```text\none\ntwo\n```\n[picture red.png, PNG, 8 × 6 pixels, " in shown
    assert "[picture {large}, PNG, 68 × 2048 pixels, " in shown
    assert "{large} was shrunk: 100 × 3000 → 68 × 2048 pixels, " in shown
    assert glm.requests == []


def test_more_pictures_than_a_request_holds_are_told_once(chat, glm, capsys):
    """The last four are sent, and one line says so."""
    chat.user_ns["shades"] = [Image.new("RGB", (4, 4), (number, 0, 0)) for number in range(6)]

    run(chat, f"%chatglm {' '.join(f'-a {{shades[{number}]}}' for number in range(6))} Look")

    assert sent(glm) == [(2, 0, 0), (3, 0, 0), (4, 0, 0), (5, 0, 0)]
    assert capsys.readouterr().out.count("Of the 6 pictures the last 4 are sent") == 1


def test_what_was_changed_stays_with_the_reply(chat, capsys):
    """A picture that was shrunk is said below the answer."""
    chat.user_ns["large"] = np.zeros((3000, 100))

    reply = run(chat, "%chatglm -a large Look")

    (notice,) = [part.content for part in reply.parts if part.kind == "notice"]
    assert "{large} was shrunk: 100 × 3000 → 68 × 2048 pixels" in notice


def test_retry_sends_the_same_pictures(chat, glm):
    """The question is asked again with what it had then, whatever the name says now; `continue` adds nothing."""
    run(chat, "%chatglm -a green -a red.png Look")
    chat.user_ns["green"] = Image.new("RGB", (4, 4), (9, 9, 9))

    run(chat, "%chatglm retry")
    assert sent(glm) == [(0, 255, 0), (255, 0, 0)]
    run(chat, "%chatglm continue")
    assert isinstance(glm.requests[-1].json["messages"][-1]["content"], str)


def test_retry_of_a_file_of_text_sends_it_once(chat, glm, tmp_path):
    """The text of a file is a part of the question, and is not added to it again."""
    (tmp_path / "notes.txt").write_text("one\ntwo")
    run(chat, "%chatglm -a notes.txt Look")
    first = glm.requests[-1].json["messages"]

    run(chat, "%chatglm retry")

    assert glm.requests[-1].json["messages"] == first


def test_a_cell_that_is_run_again_takes_its_new_picture(chat, glm):
    """The same cell asks with the picture of the moment, in the place of its former question."""
    cell = "%%chatglm -a green\nLook"
    run(chat, cell)
    chat.user_ns["green"] = Image.new("RGB", (4, 4), (9, 9, 9))
    run(chat, cell)

    assert sent(glm) == [(9, 9, 9)]
    assert len(glm.requests[-1].json["messages"]) == 1


def test_history_names_the_pictures(chat, capsys):
    """What was sent along is listed with the question."""
    run(chat, "%chatglm -a red.png Look")
    capsys.readouterr()
    run(chat, "%chatglm history")

    assert "Look\n[picture red.png, PNG, 8 × 6 pixels, " in capsys.readouterr().out


def test_tab_offers_files_names_and_outputs(chat, tmp_path):
    """After `-a` stand files of kinds that can be sent, `_` and outputs; within braces variables."""
    (tmp_path / "movie.mp4").touch()
    chat.execution_count = 7
    run(chat, "green")

    found = offered(chat, "%chatglm -a ")
    assert {"%chatglm -a red.png", "%chatglm -a _", "%chatglm -a Out[7]"} <= set(found)
    assert not any("movie" in one for one in found)
    assert "%chatglm -a {green}" in offered(chat, "%chatglm -a {gr")


def test_a_dry_run_refuses_what_would_not_be_sent(chat):
    """A model that is known to see nothing is named at once, as it would be when it is asked."""
    assert "-m zai:glm-4.6v-flash is free" in str(fail(chat, "%chatglm --dry-run -m local -a {green} Look"))


def test_a_saved_conversation_keeps_its_pictures(chat, glm, tmp_path):
    """What was sent along is in the file, and goes along again where the conversation goes on."""
    run(chat, "%chatglm -a red.png Look")
    run(chat, f"%chatglm save {tmp_path / 'talk.json'}")
    run(chat, f"%chatglm load {tmp_path / 'talk.json'}")
    run(chat, "%chatglm And now?")

    first = glm.requests[-1].json["messages"][0]["content"]
    assert [part["type"] for part in first] == ["text", "image_url"]
    data = base64.b64decode(first[1]["image_url"]["url"].partition(",")[2])
    assert data == (tmp_path / "red.png").read_bytes()
