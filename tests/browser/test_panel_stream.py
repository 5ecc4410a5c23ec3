"""What the panel's page makes of what the kernel tells it: nothing lost, nothing twice, nothing late."""

from __future__ import annotations

import pytest
from panel_page import HEAD, answer, question

pytestmark = pytest.mark.browser

STREAMING = {"state": "streaming", "meta": ""}


def texts(panel) -> list[str]:
    """Give the words of each message, as they are read."""
    # A browser's own `innerText` leaves out what is not on the screen.
    return panel.page.evaluate(
        """() => [...document.querySelectorAll('.cg-message > .cg-text')].map(one =>
        [...one.querySelectorAll('.cg-block')].map(block => block.textContent).filter(Boolean).join('\\n'))"""
    )


def test_a_view_asks_for_the_whole_and_shows_it(panels):
    """A view tells that it is ready, and shows all that the kernel answers; another view's answer is not for it."""
    with panels.opens() as panel:
        ready = panel.wait_sent("ready")
        assert len(ready["view"]) >= 8
        panel.tell("snap", to="another", chat={}, head={}, messages=[question("x", "not mine")], earlier=0, foot={})
        assert texts(panel) == []
        panel.snap(question("q", "What is **attention**?"), answer("a", "A way to *look*."))

        assert texts(panel) == ["What is attention?", "A way to look."]
        assert panel.page.get_by_role("log").get_by_role("group", name="Answer 1").locator("em").inner_text() == "look"


def test_nothing_is_lost_before_the_whole_has_come(panels):
    """What is told before the first whole is in that whole: alone it is not shown, and no gap is seen behind it."""
    with panels.opens() as panel:
        panel.tell("grow", id="a", keep=0, blocks=["<p>early</p>"], tail="", code="", part="answer")
        panel.snap(question("q", "hello"), answer("a", "early", **STREAMING), state="answering")
        panel.grow("a", "<p>late</p>", keep=1)

        assert texts(panel) == ["hello", "early\nlate"]
        assert panel.sent("resync") == []


def test_steps_keep_add_and_replace(panels):
    """Kept blocks stay the same elements, others go, new ones and the tail come, code is appended as text."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), state="waiting")
        panel.tell("add", after="q", m=answer("a", **STREAMING))
        panel.grow("a", "<p>one</p>", "<p>two</p>", keep=0, tail="<p>tail</p>")
        panel.page.evaluate("() => { document.querySelector('.cg-assistant .cg-block').__same = true }")
        panel.grow("a", "<p>three</p>", keep=1, tail="")
        assert texts(panel)[-1] == "one\nthree"
        panel.grow("a", '<div class="cg-code" data-language="python"><pre><code>x = 1</code></pre></div>', keep=2)
        panel.grow("a", keep=3, code="\ny = '<img src=x>'")
        panel.grow("a", keep=3, code=" & z")

        assert panel.page.locator(".cg-assistant pre").inner_text() == "x = 1\ny = '<img src=x>' & z"
        assert panel.page.evaluate("() => document.querySelector('.cg-assistant .cg-block').__same") is True
        assert panel.page.locator(".cg-assistant img").count() == 0


def test_a_gap_is_asked_for_again(panels):
    """When a packet is missing, the page shows nothing wrong: it asks for the whole, and goes on from there."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "one", **STREAMING), state="answering")
        told = panel.page.evaluate("() => window.__told")
        panel.tell("grow", n=told + 2, id="a", keep=1, blocks=["<p>three</p>"], tail="", code="", part="answer")
        panel.wait_sent("resync")
        assert texts(panel)[-1] == "one"
        panel.snap(question("q", "hello"), answer("a", "one", "two", "three", **STREAMING), state="answering")
        panel.grow("a", "<p>four</p>", keep=3)

        assert texts(panel)[-1] == "one\ntwo\nthree\nfour"
        assert len(panel.sent("resync")) == 1


def test_what_comes_twice_is_taken_once(panels):
    """A packet with an old number is not taken again."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", **STREAMING), state="answering")
        panel.grow("a", "<p>one</p>", keep=0)
        told = panel.page.evaluate("() => window.__told")
        panel.tell("grow", n=told, id="a", keep=1, blocks=["<p>one</p>"], tail="", code="", part="answer")

        assert texts(panel)[-1] == "one"


def test_a_step_that_does_not_fit_is_asked_for_again(panels):
    """A step that keeps more than there is leads to the whole, not to a wrong text."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", **STREAMING), state="answering")
        panel.grow("a", "<p>five</p>", keep=4)

        panel.wait_sent("resync")
        assert texts(panel)[-1] == ""


def test_a_late_step_of_a_stopped_reply_is_dropped(panels):
    """Once an answer has ended, what still comes of its stream changes nothing."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "one", **STREAMING), state="answering")
        panel.tell("set", m=answer("a", "one", state="stopped", note="[stopped]", can=["continue"]))
        panel.grow("a", "<p>two</p>", keep=1)
        panel.grow("nobody", "<p>three</p>", keep=1)

        assert texts(panel)[-1] == "one"
        assert panel.group("Answer 1").get_by_text("[stopped]").is_visible()
        assert panel.sent("resync") == []


def test_the_end_leaves_alone_what_is_drawn(panels):
    """When an answer ends, its settled blocks stay the same elements, so that nothing flickers and selections live."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "one", **STREAMING), state="answering")
        panel.page.evaluate("() => { document.querySelector('.cg-assistant .cg-block').__same = true }")
        panel.tell("set", m=answer("a", "one", "two"))

        assert texts(panel)[-1] == "one\ntwo"
        assert panel.page.evaluate("() => document.querySelector('.cg-assistant .cg-block').__same") is True


def test_messages_come_between_go_and_are_counted(panels):
    """A message may come anywhere and go from anywhere; each is called by its number."""
    with panels.opens() as panel:
        panel.snap(question("q1", "one"), answer("a1", "1"), question("q2", "two"), answer("a2", "2"))
        panel.tell("add", after="a1", m=question("q3", "between"))
        panel.tell("add", after="q3", m=answer("a3", "3"))
        assert texts(panel) == ["one", "1", "between", "3", "two", "2"]
        assert panel.group("Answer 3").inner_text().startswith("2")
        panel.tell("gone", ids=["q1", "a1"])

        assert texts(panel) == ["between", "3", "two", "2"]
        assert panel.group("Answer 2").inner_text().startswith("2")
        panel.tell("gone", ids=["q3", "a3", "q2", "a2"])
        assert panel.page.get_by_text("What would you like to know?").is_visible()


def test_older_messages_come_in_front_without_moving_what_is_read(panels):
    """Older messages are asked for when they are wanted, and come in front; what is on the screen stays there."""
    long = "\n\n".join(["a line of text"] * 30)
    with panels.opens() as panel:
        panel.snap(question("q9", "nine"), answer("a9", long), earlier=4)
        panel.page.evaluate("() => { document.querySelector('.cg-log').scrollTop = 0 }")
        panel.wait_sent("more")
        before = panel.page.locator("[data-id=q9]").bounding_box()["y"]
        panel.tell("older", messages=[question("q7", "seven"), answer("a7", long)], earlier=2)
        panel.page.wait_for_timeout(300)
        after = panel.page.locator("[data-id=q9]").bounding_box()["y"]

        assert texts(panel)[0] == "seven"
        assert abs(after - before) < 40
        assert panel.group("You, question 3").inner_text() == "nine"
        assert panel.page.get_by_role("button", name="Show 2 earlier messages").count() == 1


def test_the_end_is_followed_until_somebody_scrolls_away(panels):
    """Near its end the log follows; scrolled away it stays, offers the latest, and goes there when asked to."""

    def at_end() -> float:
        return panel.page.evaluate(
            "() => (l => l.scrollHeight - l.scrollTop - l.clientHeight)(document.querySelector('.cg-log'))"
        )

    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", *["text"] * 60, **STREAMING), state="answering")
        panel.grow("a", *["<p>more</p>"] * 20, keep=60)
        assert at_end() < 2
        assert panel.button("Latest").count() == 0
        panel.page.locator(".cg-log").hover()
        panel.page.mouse.wheel(0, -600)
        panel.button("Latest").wait_for()
        top = panel.page.evaluate("() => document.querySelector('.cg-log').scrollTop")
        panel.grow("a", *["<p>still more</p>"] * 20, keep=80)
        assert abs(panel.page.evaluate("() => document.querySelector('.cg-log').scrollTop") - top) < 2
        panel.button("Latest").click()
        assert at_end() < 2
        panel.grow("a", *["<p>and more</p>"] * 20, keep=100)

        assert at_end() < 2


def test_thoughts_show_while_they_come_and_fold_when_the_answer_begins(panels):
    """Thoughts are open while the model thinks, fold when it answers, and tell how long it took."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", thinking={"blocks": [], "tail": "", "seconds": 0}, **STREAMING))
        panel.grow("a", "<p>Let me see.</p>", keep=0, part="thinking")
        fold = panel.page.locator(".cg-fold")
        assert fold.get_attribute("aria-expanded") == "true"
        assert "Thinking" in fold.inner_text()
        panel.grow("a", keep=0, tail="<p>Yes</p>")
        assert fold.get_attribute("aria-expanded") == "false"
        assert not panel.page.get_by_text("Let me see.").is_visible()
        thought = {"blocks": ["<p>Let me see.</p>"], "tail": "", "seconds": 12.4}
        panel.tell("set", m=answer("a", "Yes.", thinking=thought))

        assert fold.inner_text() == "Thought for 12 s"
        fold.click()
        assert panel.page.get_by_text("Let me see.").is_visible()


def test_thoughts_that_somebody_opened_stay_open(panels):
    """What a person has opened or closed is not folded or opened behind their back."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", thinking={"blocks": [], "tail": "", "seconds": 0}, **STREAMING))
        panel.grow("a", "<p>Let me see.</p>", keep=0, part="thinking")
        fold = panel.page.locator(".cg-fold")
        fold.click()
        fold.click()
        panel.grow("a", keep=0, tail="<p>Yes</p>")

        assert panel.page.get_by_text("Let me see.").is_visible()


def test_sentences_are_announced_once_and_not_in_pieces(panels):
    """Who listens hears whole sentences, each once, and code as what it is; the log itself is silent."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", **STREAMING), state="answering")
        panel.page.evaluate(
            """() => { window.__said = [];
            new MutationObserver(all => all.forEach(one => one.addedNodes.forEach(n => __said.push(n.textContent))))
              .observe(document.querySelector('[role=status]'), {childList: true}) }"""
        )
        panel.grow("a", keep=0, tail="<p>The first sentence. And a sec</p>")
        panel.page.wait_for_timeout(1100)
        panel.grow("a", keep=0, tail="<p>The first sentence. And a second one. Th</p>")
        panel.page.wait_for_timeout(1100)
        code = '<div class="cg-code" data-language=""><pre><code>a\nb</code></pre></div>'
        panel.grow("a", "<p>The first sentence. And a second one. The third</p>", code, keep=0)
        panel.tell("set", m=answer("a", "The first sentence. And a second one. The third", "```\na\nb\n```"))

        said = panel.page.evaluate("() => window.__said")
        assert said[:2] == ["The first sentence.", "And a second one."]
        assert "".join(said).count("The third") == 1
        assert "Code, 2 lines." in " ".join(said)
        assert said[-1] == "The answer is complete."
        assert panel.log.get_attribute("aria-live") == "off"


def test_two_views_of_one_panel_show_the_same(panels):
    """A second view shows all, and both take what comes; its request for the whole disturbs the first one not."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"), answer("a", "one", **STREAMING), state="answering")
        panel.page.evaluate("() => window.__open()")
        views = [one["view"] for one in panel.sent("ready")]
        assert len(set(views)) == 2
        panel.tell(
            "snap",
            to=views[1],
            chat={},
            head=HEAD,
            earlier=0,
            foot={"state": "answering"},
            messages=[question("q", "hello"), answer("a", "one", **STREAMING)],
        )
        panel.grow("a", "<p>two</p>", keep=1)

        assert texts(panel) == ["hello", "one\ntwo"] * 2
        assert panel.sent("resync") == []


def test_a_closed_view_is_gone(panels):
    """A view that is removed hears nothing more and leaves nothing behind."""
    with panels.opens() as panel:
        panel.snap(question("q", "hello"))
        panel.page.evaluate("() => window.__close()")
        panel.tell("add", after="q", m=answer("a", "one"))

        assert panel.page.locator(".cg-panel").count() == 0
