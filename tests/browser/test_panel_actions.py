"""Copying, putting code into cells, pickers and exports, in front ends that can and in those that cannot."""

from __future__ import annotations

import pytest
from panel_page import HEAD, RICH, answer, question
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CODE = "Two ways:\n\n```python\nx = 1 < 2\n\n\ny = '<b>'\n```\n\n```bash\nls\n```\n\n```py\nz = 3\n```"
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
READ = "() => navigator.clipboard.readText()"
FORBIDDEN = """() => {
  Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error('no'))}});
  window.__copied = []; document.execCommand = what => {
    if (window.__never) return false; window.__copied.push([what, String(document.activeElement.value)]); return true };
}"""


def test_a_message_is_copied_as_it_was_written(panels):
    """Copy gives an answer's Markdown, which the kernel is asked for, and a question's own words."""
    with panels.opens(**CLIPBOARD) as panel:
        panel.snap(question("q", "a **bold** {question}"), answer("a", RICH))
        panel.button("Copy", panel.group("You, question 1")).click()
        panel.page.get_by_text("Copied.").first.wait_for()
        assert panel.page.evaluate(READ) == "a **bold** {question}"
        panel.button("Copy", panel.group("Answer 1")).click()
        asked = panel.wait_sent("source")
        assert asked["id"] == "a"
        panel.tell("text", text=RICH, **{"for": asked["req"]})
        panel.page.wait_for_function(f"async text => (await ({READ})()) === text", arg=RICH)


def test_code_is_copied_as_it_was_written(panels):
    """The button of a block gives the code of that block, with its empty lines and without its colours."""
    with panels.opens(**CLIPBOARD) as panel:
        panel.snap(question("q", "hello"), answer("a", CODE))
        panel.button("Code to clipboard").first.click()
        panel.page.get_by_text("Copied.").first.wait_for()

        assert panel.page.evaluate(READ) == "x = 1 < 2\n\n\ny = '<b>'"


def test_copying_has_a_second_way_and_a_word_where_there_is_none(panels):
    """Where the clipboard is forbidden the old way is tried; where that fails too, the panel says what to do."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", CODE))
        panel.page.evaluate(FORBIDDEN)
        panel.button("Code to clipboard").first.click()
        panel.page.get_by_text("Copied.").first.wait_for()
        assert panel.page.evaluate("() => window.__copied") == [["copy", "x = 1 < 2\n\n\ny = '<b>'"]]
        panel.page.evaluate("() => { window.__never = true }")
        panel.button("Code to clipboard").first.click()

        assert panel.page.get_by_text("select the text and press Ctrl+C").first.is_visible()


def test_code_is_put_into_new_cells_in_order(panels):
    """Code goes into a new cell, each below the one before; a whole answer's cell is its Python."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", CODE))
        code = panel.page.get_by_role("figure", name="Code, bash")
        panel.button("Code to new cell", code).click()
        panel.tell_cell()
        panel.button("Insert into cell", panel.group("Answer 1").locator("> .cg-bar")).click()
        panel.tell_cell(2)

        cells = panel.page.evaluate("() => window.__cells")
        assert [cell.get("source") for cell in cells] == [None, None, "%%bash\nls", "x = 1 < 2\n\n\ny = '<b>'\n\nz = 3"]
        assert panel.page.get_by_text("Put into a new cell below.").first.is_visible()


def test_the_groups_of_the_log_are_messages_with_five_buttons_each(panels):
    """Nothing else in the log is a group, and no other button in one shares a word with the five."""
    five = ["Copy", "Edit", "Regenerate", "Insert into cell", "Delete"]
    with panels.opens() as panel:
        thought = {"blocks": ["<p>Let me see.</p>"], "tail": "", "seconds": 1}
        panel.snap(question("q", "hello"), answer("a", CODE, thinking=thought))
        groups = panel.page.get_by_role("log").get_by_role("group")

        assert groups.count() == 2
        for group in groups.all():
            assert [group.get_by_role("button", name=name).count() for name in five] == [1] * 5
        panel.button("Regenerate", groups.first).click()
        assert panel.wait_sent("regenerate")["id"] == "a"


def test_an_answer_that_streams_can_be_copied_and_keeps_its_buttons_in_place(panels):
    """While an answer grows Copy gives what there is; the others are there, and wait, and nothing moves at its end."""
    others = ["Edit", "Regenerate", "Insert into cell", "Delete"]
    with panels.opens(**CLIPBOARD) as panel:
        panel.snap(question("q", "hello"), answer("a", "So far.", state="streaming", meta=""), state="answering")
        group = panel.group("Answer 1")
        for name in others:
            assert panel.button(name, group).get_attribute("aria-disabled") == "true"
            panel.button(name, group).click(force=True)
        copy = panel.button("Copy", group)
        places = [panel.button(name, group).bounding_box() for name in ("Copy", *others)]
        height = group.bounding_box()["height"]
        copy.click()
        asked = panel.wait_sent("source")
        panel.tell("text", text="So *far*.", **{"for": asked["req"]})
        panel.page.wait_for_function(f"async () => (await ({READ})()) === 'So *far*.'")
        assert [one["k"] for one in panel.sent() if one["k"] in {"edit", "regenerate", "delete"}] == []
        assert len(panel.page.evaluate("() => window.__cells")) == 2
        panel.page.wait_for_timeout(1700)
        panel.tell("set", m=answer("a", "So far."))
        panel.tell("foot", foot={"state": "ready"})

        assert [panel.button(name, group).bounding_box() for name in ("Copy", *others)] == places
        assert group.bounding_box()["height"] == height
        assert panel.button("Delete", group).get_attribute("aria-disabled") is None
        assert copy.evaluate("node => node === document.activeElement")


def test_a_question_becomes_a_cell_that_asks_it_and_words_a_cell_of_words(panels):
    """What has no code is put into a Markdown cell, as it was written; `Edit` of an answer edits its question."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "Plain words."))
        panel.button("Insert into cell", panel.group("You, question 1")).click()
        panel.button("Insert into cell", panel.group("Answer 1")).click()
        panel.tell("text", text="Plain *words*.", **{"for": panel.wait_sent("source")["req"]})
        panel.page.wait_for_function("() => window.__cells.length === 4")
        cells = panel.page.evaluate("() => window.__cells")
        panel.button("Edit", panel.group("Answer 1")).click()

        assert [(cell["cell_type"], cell["source"]) for cell in cells[2:]] == [
            ("code", "%%chatglm\nhello"),
            ("markdown", "Plain *words*."),
        ]
        assert panel.page.get_by_role("textbox", name="Question").input_value() == "hello"


def test_a_question_asks_in_its_conversation_and_is_words_where_no_cell_can_ask(panels):
    """The magic of a question's cell is the kernel's to say; where it says that there is none, the words are kept."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"))
        for cell in ("%%chatglm -c attention", ""):
            panel.tell("head", head={**HEAD, "cell": cell})
            panel.button("Insert into cell", panel.group("You, question 1")).click()
        panel.page.wait_for_function("() => window.__cells.length === 4")
        cells = panel.page.evaluate("() => window.__cells")

        assert [(cell["cell_type"], cell["source"]) for cell in cells[2:]] == [
            ("code", "%%chatglm -c attention\nhello"),
            ("markdown", "hello"),
        ]


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        ("```sh\nls\n```", "code", "%%sh\nls"),
        ("```bash\nls\n```\n\nprints\n\n```text\na\n```\n\n```shell\npwd\n```", "code", "%%bash\nls\n\npwd"),
        ("```html\n<b>x</b>\n```", "code", "%%html\n<b>x</b>"),
        ("```javascript\nlet x\n```", "code", "%%js\nlet x"),
        ("```latex\n$x$\n```", "code", "%%latex\n$x$"),
        ("```\nx = 1\n```\n\n```bash\nls\n```", "code", "x = 1"),
        ("```bash\nls\n```\n\n```html\n<b>\n```", "markdown", "```bash\nls\n```\n\n```html\n<b>\n```"),
        ("````rust\n// ```\nlet x = 1;\n````", "markdown", "````rust\n// ```\nlet x = 1;\n````"),
    ],
)
def test_code_that_is_not_python_becomes_a_cell_that_can_run_or_words(panels, text, kind, source):
    """A cell magic runs it where there is one; other code is kept in its fence."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", text))
        panel.button("Insert into cell", panel.group("Answer 1")).click()
        panel.tell_cell()
        panel.page.wait_for_function("() => window.__cells.length === 3")
        cell = panel.page.evaluate("() => window.__cells[2]")

        assert (cell["cell_type"], cell["source"]) == (kind, source)


def test_without_a_kernel_code_goes_into_a_cell_as_it_reads(panels):
    """Where the kernel refuses, is silent or has gone, a cell holds all the code that is on the page."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", CODE))
        insert = panel.button("Insert into cell", panel.group("Answer 1").locator("> .cg-bar"))
        insert.click()
        panel.tell("note", text="No.", bad=True, **{"for": panel.wait_sent("cell")["req"]})
        panel.page.wait_for_function("() => window.__cells.length === 3")
        insert.click()
        panel.page.wait_for_function("() => window.__cells.length === 4")
        panel.page.evaluate("() => window.__session.statusChanged.emit('dead')")
        insert.click()
        panel.page.wait_for_function("() => window.__cells.length === 5")

        cells = [(cell["cell_type"], cell["source"]) for cell in panel.page.evaluate("() => window.__cells.slice(2)")]
        assert cells == [("code", "x = 1 < 2\n\n\ny = '<b>'\n\nls\n\nz = 3")] * 3


def test_what_the_kernel_refuses_to_give_is_copied_as_it_reads(panels):
    """The words of a refusal are shown, and never copied in the message's place."""
    with panels.opens(**CLIPBOARD) as panel:
        panel.snap(question("q", "hello"), answer("a", "Some *words*."))
        panel.button("Copy", panel.group("Answer 1")).click()
        asked = panel.wait_sent("source")
        panel.tell("note", text="This message is no longer there.", bad=True, **{"for": asked["req"]})

        panel.page.wait_for_function(f"async () => (await ({READ})()) !== ''")
        assert panel.page.evaluate(READ) == "Some words."


def test_a_front_end_without_cells_gets_the_code_copied(panels):
    """Where a widget cannot add a cell, the code is copied, and the panel says so."""
    with panels.opens(lab=False, **CLIPBOARD) as panel:
        panel.snap(question("q", "hello"), answer("a", CODE))
        panel.button("Insert into cell", panel.group("Answer 1")).click()
        panel.tell_cell()
        panel.page.get_by_text("it is copied, paste it into a new cell").first.wait_for()

        assert panel.page.evaluate(READ) == "x = 1 < 2\n\n\ny = '<b>'\n\nz = 3"


def test_a_model_is_found_and_chosen_by_keys(panels):
    """The picker narrows as one types; arrows and Enter choose; the focus goes back to its button."""
    with panels.opens() as panel:
        panel.snap()
        panel.button("Model: glm-4.7").click()
        assert panel.wait_sent("find")["what"] == "model"
        assert panel.page.get_by_role("option").count() == 4
        panel.page.keyboard.type("4.7 fl")
        assert panel.page.get_by_role("option").first.inner_text().strip() == "glm-4.7-flash"
        panel.page.keyboard.press("Enter")

        assert panel.wait_sent("model")["name"] == "glm-4.7-flash"
        assert panel.page.get_by_role("dialog").count() == 0
        panel.tell("head", head={**HEAD, "model": "glm-4.7-flash"})
        assert panel.button("Model: glm-4.7-flash").evaluate("node => node === document.activeElement")


def test_a_model_that_is_not_listed_can_be_named(panels):
    """Any model can be used by its name; those that the kernel finds are offered too."""
    with panels.opens() as panel:
        panel.snap()
        panel.button("Model: glm-4.7").click()
        panel.page.keyboard.type("glm-6")
        asked = panel.wait_sent("find", 2)
        panel.tell("found", what="model", items=[{"name": "glm-6-max", "title": ""}], **{"for": asked["req"]})
        assert panel.page.get_by_role("option").first.inner_text().strip() == "glm-6-max"
        panel.page.get_by_role("option", name="Use “glm-6”").click()

        assert panel.wait_sent("model")["name"] == "glm-6"


def test_conversations_are_switched_and_begun(panels):
    """The conversation's button lists the others, finds by words and begins one by name."""
    with panels.opens() as panel:
        panel.snap()
        chats = panel.button("Conversations: Attention")
        chats.click()
        panel.page.keyboard.type("pandas")
        panel.page.get_by_role("option", name="Pandas joins").click()
        assert panel.wait_sent("chat")["name"] == "pandas"
        chats.click()
        panel.page.keyboard.type("fresh")
        panel.page.get_by_role("option", name="New conversation “fresh”").click()
        assert panel.wait_sent("new")["name"] == "fresh"
        panel.button("New conversation").click()

        assert panel.wait_sent("new", 2)["name"] == ""


def test_a_list_that_opens_counts_what_is_there_now(panels):
    """Counts are not sent with each message: the open list takes those that it has asked for."""
    with panels.opens() as panel:
        panel.snap()
        panel.button("Conversations: Attention").click()
        asked, row = panel.wait_sent("find"), panel.page.get_by_role("option", name="Pandas joins")
        items = [{"name": "pandas", "title": "Pandas joins", "count": 38}]
        panel.tell("found", what="chat", items=items, **{"for": asked["req"]})

        expect(row).to_contain_text("38 messages")
        expect(panel.page.get_by_role("option")).to_have_count(len(HEAD["chats"]))


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_row_renames_and_deletes_its_conversation(panels, by):
    """Both ask first, in a form below the list; Esc and Cancel change nothing, and the list stays open."""
    with panels.opens() as panel:
        panel.snap()
        panel.button("Conversations: Attention").click()
        row, search = panel.page.get_by_role("option", name="Pandas joins"), panel.page.get_by_role("combobox")

        def ask(title: str, key: str) -> None:
            if by == "mouse":
                row.hover()
                row.get_by_title(title).click()
            else:
                panel.page.keyboard.press("ArrowDown")
                panel.page.keyboard.press(key)

        ask("Rename", "F2")
        name = panel.page.get_by_label("New name of “Pandas joins”")
        assert name.input_value() == "Pandas joins"
        name.fill("合并 joins")
        panel.page.keyboard.press("Enter")
        sent = panel.wait_sent("rename")
        assert (sent["of"], sent["name"]) == ("pandas", "合并 joins")
        expect(search).to_be_focused()
        ask("Delete", "Shift+Delete")
        expect(panel.page.get_by_text("Delete “Pandas joins” and its 12 messages for good?")).to_be_visible()
        panel.button("Cancel").click()
        expect(search).to_be_focused()
        ask("Delete", "Shift+Delete")
        assert panel.sent("drop") == []
        panel.button("Delete", panel.page.get_by_role("dialog")).click()

        assert panel.wait_sent("drop")["name"] == "pandas"
        assert panel.page.get_by_role("listbox", name="Conversations").is_visible()


def test_first_questions_are_put_into_the_box(panels):
    """One is written into the composer, to be changed or sent; nothing is sent by itself."""
    with panels.opens() as panel:
        panel.snap()
        panel.button("What stands out in {df}?", panel.group("Questions to begin with")).click()

        assert panel.message.input_value() == "What stands out in {df}?"
        expect(panel.message).to_be_focused()
        assert panel.sent("send") == []


def test_a_picker_closes_by_escape_and_by_a_click_elsewhere(panels):
    """Esc closes what is open, and stops no answer by that; so does a click beside it."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "hi", state="streaming"), state="answering")
        for close in (lambda: panel.page.keyboard.press("Escape"), panel.log.click):
            panel.button("Model: glm-4.7").click()
            panel.page.get_by_role("listbox", name="Model").wait_for()
            close()
            assert panel.page.get_by_role("listbox", name="Model").count() == 0
        panel.button("Export").click()
        panel.page.keyboard.press("Escape")

        assert panel.page.get_by_role("menu").count() == 0
        assert panel.sent("stop") == []


def test_an_export_is_saved_as_a_file(panels):
    """The menu's forms are asked for by key, and what the kernel gives is a download with its name."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"))
        panel.button("Export").click()
        panel.page.keyboard.press("ArrowDown")
        panel.page.keyboard.press("Enter")
        asked = panel.wait_sent("export")
        assert asked["form"] == "html"
        with panel.page.expect_download() as waited:
            panel.tell("file", name="talk.html", type="text/html", text="<p>问</p>", **{"for": asked["req"]})

        assert waited.value.suggested_filename == "talk.html"
        assert waited.value.path().read_text(encoding="utf-8") == "<p>问</p>"


def test_settings_show_what_is_set_and_send_what_is_typed(panels):
    """The gear opens a field for each, with its value; a typed one is not overwritten, a refused one goes back."""
    with panels.opens() as panel:
        panel.snap()
        gear = panel.button("Settings")
        gear.click()
        system, temperature = (panel.page.get_by_label(name) for name in ("Instructions", "Temperature"))
        assert (system.input_value(), temperature.input_value()) == ("Be terse.", "0.2")
        expect(system).to_be_focused()
        temperature.fill("9")
        panel.tell("head", head={**HEAD, "settings": {"temperature": "0.5"}})
        assert (system.input_value(), temperature.input_value()) == ("", "9")
        panel.page.keyboard.press("Enter")
        sent = panel.wait_sent("set")
        assert (sent["chat"], sent["name"], sent["text"]) == ("Attention", "temperature", "9")
        panel.page.get_by_label("Think").select_option("No")
        assert panel.wait_sent("set", 2)["text"] == "off"
        panel.tell("note", text="No.", bad=True, view=panel.view, **{"for": sent["req"]})
        assert temperature.input_value() == "0.5"
        panel.page.keyboard.press("Escape")

        assert gear.get_attribute("aria-expanded") == "false"
        expect(gear).to_be_focused()
