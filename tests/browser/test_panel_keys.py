"""What a person does in the panel by keys and buttons, and what the kernel is told of it."""

from __future__ import annotations

import pytest
from panel_page import HEAD, answer, question

pytestmark = pytest.mark.browser

TALK = [question("q1", "first"), answer("a1", "one"), question("q2", "second"), answer("a2", "two")]


def compose(panel, kind: str, **fields) -> None:
    """Press Enter as a browser tells it while a word is composed."""
    panel.message.evaluate(
        """(area, [kind, fields]) => area.dispatchEvent(new KeyboardEvent(kind,
        {key: 'Enter', bubbles: true, cancelable: true, ...fields}))""",
        [kind, fields],
    )


def test_enter_sends_and_shift_enter_breaks_the_line(panels):
    """Enter sends the words as they stand and empties the box; Shift+Enter begins a new line."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.click()
        panel.page.keyboard.type("one")
        panel.page.keyboard.press("Shift+Enter")
        panel.page.keyboard.type("two")
        assert panel.sent("send") == []
        panel.page.keyboard.press("Enter")

        assert [one["text"] for one in panel.sent("send")] == ["one\ntwo"]
        assert panel.message.input_value() == ""
        assert panel.page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Message"


def test_nothing_is_sent_of_an_empty_box(panels):
    """Enter and Send do nothing where there are no words."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.fill(" \n ")
        panel.message.press("Enter")
        assert panel.button("Send").get_attribute("aria-disabled") == "true"
        panel.button("Send").click(force=True)

        assert panel.sent("send") == []


def test_enter_that_ends_a_composed_word_never_sends(panels):
    """While a word is composed (Chinese, Japanese, Korean), Enter is the input method's own."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.fill("你好")
        compose(panel, "keydown", isComposing=True)
        compose(panel, "keydown", keyCode=229)
        assert panel.sent("send") == []
        panel.message.press("Enter")

        assert [one["text"] for one in panel.sent("send")] == ["你好"]


def test_the_question_shows_at_once_and_send_becomes_stop(panels):
    """Before the kernel has said a word, the question is to be read and can be stopped."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.fill("hello")
        panel.button("Send").click()
        assert panel.log.get_by_text("hello").is_visible()
        assert panel.button("Send").count() == 0
        panel.button("Stop").click()
        assert len(panel.sent("stop")) == 1
        panel.tell("add", after="", m=question("q", "hello"))
        panel.tell("add", after="q", m=answer("a", "hi", state="stopped", note="[stopped]"))
        panel.tell("foot", foot={"state": "ready"})

        assert panel.log.get_by_text("hello").count() == 1
        assert panel.button("Send").is_visible()


def test_a_refused_question_goes_back_into_the_box(panels):
    """Words that the kernel did not take are not lost."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.fill("my {secret}")
        panel.message.press("Enter")
        sent = panel.wait_sent("send")
        panel.tell(
            "note",
            text="There is no such name. " + "Say why. " * 30,
            bad=True,
            **{"for": sent["req"]},
            view=sent["view"],
        )
        panel.tell("foot", foot={"state": "ready"})

        shown = panel.page.locator(".cg-state").evaluate("node => [node.scrollWidth, node.clientWidth]")
        assert shown[0] <= shown[1]
        assert panel.message.input_value() == "my {secret}"
        assert panel.page.get_by_text("There is no such name.").first.is_visible()
        assert panel.log.get_by_text("secret").count() == 0


def test_escape_stops_and_enter_waits_for_the_end(panels):
    """Esc stops from anywhere in the panel; a draft typed meanwhile stays and is not sent."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "hi", state="streaming"), state="answering")
        panel.message.fill("next")
        panel.message.press("Enter")
        assert panel.sent("send") == []
        assert panel.message.input_value() == "next"
        panel.message.press("Escape")

        assert len(panel.sent("stop")) == 1


def test_arrow_up_in_an_empty_box_edits_the_last_question(panels):
    """The last question is changed in its place; Enter sends it under its id, Esc leaves it as it was."""
    with panels.opens() as panel:
        panel.snap(*TALK)
        panel.message.fill("x")
        panel.message.press("ArrowUp")
        assert panel.page.get_by_role("textbox", name="Question").count() == 0
        panel.message.fill("")
        panel.message.press("ArrowUp")
        editor = panel.page.get_by_role("textbox", name="Question")
        assert editor.input_value() == "second"
        editor.press("Escape")
        assert editor.count() == 0
        panel.message.press("ArrowUp")
        editor.fill("third")
        editor.press("Enter")

        edit = panel.wait_sent("edit")
        assert (edit["id"], edit["text"]) == ("q2", "third")
        assert panel.button("Stop").is_visible()


def test_no_key_reaches_the_notebook(panels):
    """Keys typed in the panel, in a box or on a button, are not heard around it, and start no shortcut."""
    with panels.opens() as panel:
        panel.snap(*TALK)
        panel.message.focus()
        for key in ("a", "b", "d", "d", "Enter", "Escape", "ArrowUp", "Shift+Enter", "Control+Enter", "0", "0"):
            panel.page.keyboard.press(key)
        panel.button("New conversation").focus()
        panel.page.keyboard.press("d")
        panel.log.focus()
        panel.page.keyboard.press("x")

        assert panel.page.evaluate("() => window.__keys") == []
        assert panel.page.locator("[data-lm-suppress-shortcuts] textarea").count() >= 1


def test_saving_still_saves_the_notebook(panels):
    """Ctrl+S in the panel saves the notebook, as everywhere else in it."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.press("Control+s")

        assert panel.page.evaluate("() => window.__saved") is True


def test_messages_are_walked_by_keys(panels):
    """Alt+Up and Alt+Down go from message to message, and from the last one to the box."""
    focused = "() => document.activeElement.getAttribute('aria-label')"
    with panels.opens() as panel:
        panel.snap(*TALK)
        panel.message.focus()
        seen = []
        for key in ("Alt+ArrowUp", "Alt+ArrowUp", "Alt+ArrowDown", "Alt+ArrowDown"):
            panel.page.keyboard.press(key)
            seen.append(panel.page.evaluate(focused))

        assert seen == ["Answer 2", "You, question 2", "Answer 2", "Message"]


def test_each_message_has_its_buttons(panels):
    """Each button of a message tells the kernel its own request, with the message's id."""
    with panels.opens() as panel:
        panel.snap(
            question("q1", "first"),
            answer("a1", "one", version=2, versions=3),
            question("q2", "second"),
            answer("a2", "two", state="stopped", note="[stopped]", can=["continue", "regenerate", "delete"]),
            question("q3", "third"),
            answer("a3", "", state="failed", note="No answer came. Try again.", can=["retry", "delete"]),
        )
        done = {"foot": {"state": "ready"}}
        first, second = panel.group("Answer 1"), panel.group("Answer 2")
        assert "2/3" in first.inner_text()
        for button, kind in (
            (panel.button("Previous version", first), {"k": "version", "id": "a1", "step": -1}),
            (panel.button("Next version", first), {"k": "version", "id": "a1", "step": 1}),
            (panel.button("Regenerate", first), {"k": "regenerate", "id": "a1"}),
            (panel.button("Continue", second), {"k": "continue", "id": "a2"}),
            (panel.button("Try again", panel.group("Answer 3")), {"k": "retry", "id": "a3"}),
            (panel.button("Delete", panel.group("You, question 1")), {"k": "delete", "id": "q1"}),
        ):
            button.click()
            sent = panel.sent()[-1]
            assert {name: sent[name] for name in kind} == kind
            panel.tell("foot", **done)


def test_buttons_are_to_be_reached_by_keyboard(panels):
    """Buttons that show when the mouse is over a message show for the keyboard too, and can be pressed."""
    with panels.opens() as panel:
        panel.snap(*TALK)
        copy = panel.button("Copy", panel.group("Answer 1"))
        bar = copy.locator("..")
        panel.page.mouse.move(5, 5)
        panel.page.wait_for_timeout(200)
        assert bar.evaluate("node => getComputedStyle(node).opacity") == "0"
        panel.group("Answer 1").focus()
        panel.page.keyboard.press("Tab")
        panel.page.wait_for_timeout(200)

        assert copy.evaluate("node => node === document.activeElement")
        assert bar.evaluate("node => getComputedStyle(node).opacity") == "1"


def test_focus_is_not_lost_with_what_had_it(panels):
    """When a message goes that had the focus, the log has it; when a message is drawn anew, its button keeps it."""
    focused = "() => document.activeElement.getAttribute('aria-label')"
    with panels.opens() as panel:
        panel.snap(*TALK)
        panel.button("Regenerate", panel.group("Answer 2")).focus()
        panel.tell("set", m=answer("a2", "two", version=2, versions=2))
        assert panel.page.evaluate(focused) == "Regenerate"
        panel.tell("gone", ids=["q2", "a2"])

        assert panel.page.evaluate(focused) == "Conversation"


def test_the_box_grows_with_its_words(panels):
    """The box is as high as what stands in it, up to a point."""
    with panels.opens() as panel:
        panel.snap()
        height = "node => node.getBoundingClientRect().height"
        one = panel.message.evaluate(height)
        panel.message.fill("a\nb\nc")
        three = panel.message.evaluate(height)
        panel.message.fill("a\n" * 100)
        many = panel.message.evaluate(height)

        assert one < three < many < 250


def test_names_are_offered_and_completed(panels):
    """A name is offered behind a brace, chosen by keys, and shown as what the message brings along."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.click()
        panel.page.keyboard.type("What is in {d")
        draft = panel.wait_sent("draft")
        assert (draft["text"], draft["at"]) == ("What is in {d", 13)
        panel.tell("chips", tokens=5, names=[], offer=["data", "df"])
        assert panel.page.get_by_role("option").count() == 2
        panel.page.keyboard.press("ArrowDown")
        panel.page.keyboard.press("Enter")
        assert panel.message.input_value() == "What is in {df}"
        assert panel.sent("send") == []
        panel.tell("chips", tokens=120, names=[{"name": "df", "kind": "DataFrame 3×4"}], offer=[])

        chip = panel.page.get_by_role("listitem").filter(has_text="df")
        assert "DataFrame 3×4" in chip.inner_text()
        assert panel.page.get_by_text("≈ 120 tokens").is_visible()


def test_a_busy_kernel_is_said(panels):
    """A question that the kernel does not answer at once is not left without a word; its answer ends that."""
    with panels.opens() as panel:
        panel.snap()
        panel.message.fill("hello")
        panel.message.press("Enter")
        panel.page.get_by_text("The kernel is busy; it answers as soon as it can.").wait_for()
        panel.tell("add", after="", m=question("q", "hello"))

        assert panel.page.get_by_text("The kernel is busy; it").count() == 0


@pytest.mark.parametrize("status", ["restarting", "autorestarting", "dead"])
def test_a_kernel_that_is_gone_is_said_and_nothing_is_lost(panels, status):
    """When the kernel goes, the panel says so, takes no more words, and what was said can be read and copied."""
    with panels.opens(permissions=["clipboard-read", "clipboard-write"]) as panel:
        panel.snap(question("q", "hello"), answer("a", "all that *was* said", state="streaming"), state="answering")
        panel.grow("a", keep=1, tail="<p>and the tail</p>")
        panel.page.evaluate("status => window.__session.statusChanged.emit(status)", status)
        panel.page.get_by_text("The kernel was restarted. Run this cell again.", exact=True).first.wait_for()

        assert panel.message.is_disabled()
        assert panel.page.get_by_text("and the tail").is_visible()
        panel.button("Copy", panel.group("Answer 1")).click()
        panel.page.get_by_text("Copied.").first.wait_for()
        copied = panel.page.evaluate("() => navigator.clipboard.readText()")
        assert copied == "all that was said\n\nand the tail"
        assert panel.button("Stop").count() == 0


def test_where_what_was_said_is_kept_a_kernel_that_is_gone_says_where(panels):
    """Of a conversation that is stored, the panel tells where it will be found."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"))
        panel.tell("head", head={**HEAD, "kept": True})
        panel.page.evaluate("() => window.__session.statusChanged.emit('restarting')")
        words = "The kernel was restarted. Run this cell again; what was said is kept under Conversations."

        assert panel.page.locator(".cg-state").inner_text() == words


def test_a_broken_connection_mends(panels):
    """While there is no connection the panel says so; when it is back, it asks for what it missed."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"))
        panel.page.evaluate("() => window.__session.connectionStatusChanged.emit('connecting')")
        assert panel.page.get_by_text("The connection to the kernel is broken").is_visible()
        panel.page.evaluate("() => window.__session.connectionStatusChanged.emit('connected')")
        panel.wait_sent("resync")
        panel.snap(question("q", "hello"), answer("a", "hi"))

        assert panel.log.get_by_text("hi", exact=True).is_visible()
