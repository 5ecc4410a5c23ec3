"""Tests of what a page may ask for beside questions: drafts, models, conversations, settings, sources."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from panel_kit import Page, Scripted, chat_with

from chatglm_magic import Chat, ChatPanel, Message, TextDelta
from chatglm_magic._store import close_stores, open_store
from chatglm_magic.panel import names as panel_names
from chatglm_magic.panel.state import tokens_of

HELLO = [TextDelta("Hello")]
CODE = "Look:\n\n```python\na = 1\n```\n\nand\n\n```sh\nls\n```\n\n```python\nb = 2\n```"


class _Frame:
    """A value that speaks for itself and counts how often it did."""

    told = 0

    def _repr_llm_(self) -> str:
        type(self).told += 1
        return "a frame of {secret}"

    @property
    def shape(self) -> object:
        type(self).told += 1
        return (1, 2)


@pytest.fixture
def variables(monkeypatch):
    """Give the panel these variables of the user."""
    _Frame.told = 0
    names = {"df": _Frame(), "n": 7, "secret": "hush", "_hidden": 1, "delta": 2}
    monkeypatch.setattr(panel_names, "variables", lambda: dict(names))
    return names


def test_a_draft_is_told_what_it_names(variables):
    """Names in braces are shown with their kind."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        chips = page.answer("draft", text="Explain {df} and {n} and {df.shape[0]}, \\frac{n}, {{n}}, {other}", at=3)

        assert chips["names"] == [{"name": "df", "kind": "_Frame"}, {"name": "n", "kind": "int"}]
        assert chips["offer"] == []


def test_a_drafts_estimate_holds_its_data(variables):
    """The tokens that are shown are those of what is sent, values included."""
    variables["log"] = "line\n" * 1000
    provider = Scripted(HELLO)
    with Page(ChatPanel(Chat(provider))) as page:
        draft = "Sum up {log}, {n} and {gone}"
        tokens = page.answer("draft", text=draft, at=None)["tokens"]
        page.exchange("send", text=draft)

    assert tokens == tokens_of(provider.requests[0].messages[-1].content) > 1000


def test_chinese_asked_of_a_model_without_it_has_a_note_below_the_answer():
    """As in cells: in Chinese, with the way to a key."""
    provider = Scripted(HELLO)
    provider.english_only = True
    with Page(ChatPanel(Chat(provider))) as page:
        page.exchange("send", text="你好")
        assert "knows English only" in str(page.shown[1]["blocks"])


def test_notes_on_data_stay_with_the_answer(variables):
    """What had no value, was not computed or was shortened stands below the answer, also in a later view."""
    variables["log"] = "line\n" * 10_000
    with Page(ChatPanel(chat_with(HELLO))) as page:
        page.exchange("send", text="Sum up {log}, {gone} and {len(log)}")
        later = Page(page.panel, "later", beside=page)
        for view in (page, later):
            later.wait(lambda view=view: len(view.shown) > 1)
            below = str(view.shown[1]["blocks"])
            assert "No value for {gone}; sent as written." in below
            assert "{log} was shortened: 50 kB" in below
            assert "{len(log)} was sent as written." in below


def test_a_draft_outlives_a_reload_until_it_is_sent():
    """A page that comes later is given it; what was sent or taken back is none any more."""

    def draft(page: Page, name: str) -> str:
        Page(page.panel, name).ask("bye")
        return next(m["draft"] for _, m in reversed(page.got) if m["k"] == "snap" and m["to"] == name)

    with Page(ChatPanel(chat_with(HELLO))) as page:
        assert draft(page, "first") == ""
        page.answer("draft", text="Half a thou", at=None)
        assert draft(page, "second") == "Half a thou"
        page.exchange("send", text="Half a thought")
        assert draft(page, "third") == ""
        page.answer("draft", text="x", at=None)
        page.answer("draft", text="", at=None)
        assert draft(page, "fourth") == ""


@pytest.mark.parametrize(
    ("text", "at", "offer"),
    [
        ("What is {d", None, ["delta", "df"]),
        ("What is {", None, ["delta", "df", "n", "secret"]),
        ("{d} later", 2, ["delta", "df"]),
        ("😀 {d} later", 5, ["delta", "df"]),
        ("{{d", None, []),
        ("{df}", None, []),
        ("plain", None, []),
    ],
)
def test_an_open_brace_is_offered_names(variables, text, at, offer):
    """The names that may stand there, by the cursor as JavaScript counts it."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        assert page.answer("draft", text=text, at=at)["offer"] == offer


def test_values_are_put_in_and_what_was_typed_is_kept(variables):
    """The model reads the value, the page shows what was typed, and editing begins with that."""
    provider = Scripted(HELLO)
    with Page(ChatPanel(Chat(provider))) as page:
        page.exchange("send", text="Explain {df} and {gone}")
        sent = provider.requests[0].messages[-1].content
        assert "a frame of {secret}" in sent
        assert "hush" not in sent
        assert page.shown[0]["source"] == "Explain {df} and {gone}"
        assert "No value for {gone}; sent as written." in page.notes()

        page.exchange("edit", id=page.shown[0]["id"], text="Explain {n}")
        assert provider.requests[1].messages[-1].content == "Explain 7"


def test_values_in_an_older_question_are_never_looked_through_again(variables):
    """A question that came with its values is sent as it stands, but for names that are new in it."""
    provider = Scripted(HELLO)
    chat = Chat(provider)
    chat.messages = [Message("user", "data: {secret}"), Message("assistant", "I see")]
    with Page(ChatPanel(chat)) as page:
        page.exchange("edit", id=page.shown[0]["id"], text="the data: {secret}")
        assert provider.requests[0].messages[-1].content == "the data: {secret}"

        page.exchange("edit", id=page.shown[0]["id"], text="the data: {secret}, {n} times")
        assert provider.requests[1].messages[-1].content == "the data: {secret}, 7 times"
        assert page.notes() == []


def test_the_source_of_a_message_can_be_had():
    """An answer's Markdown, and a question's own words."""
    with Page(ChatPanel(chat_with([TextDelta(CODE)]))) as page:
        name = page.exchange("send", text="code")["id"]

        assert page.answer("source", id=name)["text"] == CODE
        assert page.answer("source", id="nobody")["bad"]
        assert page.answer("source", id=page.shown[0]["id"])["text"] == "code"


def test_the_content_of_a_cell_can_be_had():
    """Python as a code cell; what no cell can run as a Markdown cell."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        python = [{"language": "python", "source": "a = 1"}, {"language": "sh", "source": "ls"}]
        answer = page.answer("cell", blocks=python)
        assert (answer["source"], answer["cell_type"]) == ("a = 1", "code")
        answer = page.answer("cell", blocks=[{"language": "rust", "source": "let x;"}])
        assert (answer["source"], answer["cell_type"]) == ("```rust\nlet x;\n```", "markdown")
        assert page.answer("cell", blocks=[])["bad"]


def test_conversations_are_begun_named_and_switched():
    """A new one is empty and answered alike; each keeps what was said in it; names are checked."""
    chat = chat_with(HELLO)
    with Page(ChatPanel(chat)) as page:
        page.exchange("send", text="here")
        page.answer("new", name="")
        page.wait(lambda: page.head["title"] == "chat-2" and not page.shown)
        page.exchange("send", text="there")
        assert page.panel.chat.name == "chat-2"
        assert chat.watchers == ()
        page.answer("rename", name="Lesson 中文 one")
        page.wait(lambda: page.head["title"] == "Lesson 中文 one")
        page.answer("rename", name="paper")
        page.wait(lambda: page.head["title"] == "paper")
        for wrong in ("two\nlines", "chat", "#1", "-x", "x" * 61, ""):
            assert page.answer("rename", name=wrong)["bad"]
        assert page.answer("chat", name="nowhere")["bad"]

        page.answer("chat", name="chat")
        page.wait(lambda: page.shown and page.shown[0]["source"] == "here")
        known = {one["name"]: (one["count"], one["current"]) for one in page.head["chats"]}
        assert known == {"chat": (2, True), "paper": (2, False)}
        found = page.answer("find", what="chat", text="RE pap")
        assert [item["name"] for item in found["items"]] == ["paper"]


def test_a_new_conversation_is_begun_only_where_something_was_said():
    """Asked for more often, it is the same empty one, and a note says so; one that is named is made all the same."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        assert "this conversation is new" in page.answer("new", name="")["text"]
        page.exchange("send", text="hi")
        for _ in range(3):
            page.answer("new", name=" ")
        page.wait(lambda: page.head["title"] == "chat-2")
        assert list(page.panel._state.workspace.chats) == ["chat", "chat-2"]
        page.answer("new", name="paper")
        page.wait(lambda: page.head["title"] == "paper")


def test_the_header_says_whether_a_conversation_is_kept_and_which_cells_ask_in_it(monkeypatch, tmp_path):
    """A file keeps it, this process's memory does not; where no magics are, no cell does."""
    for where, kept in ((str(tmp_path / "said.db"), True), (":memory:", False), ("off", False)):
        monkeypatch.setenv("CHATGLM_STORE", where)
        with Page(ChatPanel(Chat(Scripted(HELLO), name="paper"))) as page:
            assert (page.head["kept"], page.head["cell"]) == (kept, "")


def test_a_reply_goes_on_in_the_conversation_that_was_left():
    """Who looks at another conversation meanwhile misses nothing."""
    chat = chat_with([TextDelta("One "), 0.2, TextDelta("two "), 0.2, TextDelta("three")])
    with Page(ChatPanel(chat)) as page:
        page.ask("send", text="count")
        page.wait(lambda: page.shown and "One" in page.last["tail"])
        page.answer("new", name="other")
        page.wait(lambda: not page.shown and page.foot["state"] == "ready")
        page.answer("chat", name="chat")
        page.settled()

        assert page.last["blocks"] == ["<p>One two three</p>"]


def test_a_model_is_chosen_among_those_that_are_known():
    """The picker lists them; what cannot be asked is refused and changes nothing."""
    with Page(ChatPanel(Chat("local"))) as page:
        assert page.head["model"] == "local"
        found = page.answer("find", what="model", text="zai 4.7-flash")
        assert "zai:glm-4.7-flash" in [item["name"] for item in found["items"]]
        assert "ZAI_API_KEY" in page.answer("model", name="zai:glm-4.7")["text"]
        assert page.panel.chat.provider.name == "local"
        page.answer("model", name="chatglm:glm-4")
        page.wait(lambda: page.head["model"] == "chatglm:glm-4")

        assert page.panel.chat.provider.name == "chatglm"


def test_a_server_that_lists_its_models_is_asked_by_the_picker(glm):
    """Only a picker that is opened asks; a server that does not answer is told of."""
    with Page(ChatPanel(Chat("openai", base_url=glm.url, model="glm-4.7"))) as page:
        assert glm.lookups == []
        names = [item["name"] for item in page.answer("find", what="model", text="openai")["items"]]
        assert names == ["openai:glm-4.7", "openai:glm-4.7-flash"]
        page.answer("model", name="openai:glm-4.7-flash")
        assert page.panel.chat.model == "glm-4.7-flash"
    with Page(ChatPanel(Chat("openai", base_url=glm.refused_url, model="m"))) as page:
        page.answer("find", what="model", text="")
        page.wait(lambda: any("did not say which models" in note for note in page.notes()))


def test_settings_are_the_conversations_own():
    """The header says what is set, and a field sets what it says; another conversation brings its own."""
    chat = chat_with(HELLO)
    chat.options = replace(chat.options, system="Be terse.", think=True)
    with Page(ChatPanel(chat)) as page:
        assert page.head["settings"] == {"system": "Be terse.", "think": "on"}
        for name, text in (("system", "Be kind."), ("temperature", "0.2"), ("max_tokens", "100"), ("think", "off")):
            assert page.answer("set", chat="chat", name=name, text=text)["k"] == "ok"
        page.wait(lambda: page.head["settings"]["max_tokens"] == "100")
        page.exchange("send", text="hi")
        request = chat.provider.requests[0]
        assert (request.messages[0].content, request.think) == ("Be kind.", False)
        assert dict(request.options) == {"temperature": 0.2, "max_tokens": 100}

        page.answer("set", chat="chat", name="think", text="")
        assert chat.options.think is None
        page.answer("new", name="other")
        page.wait(lambda: page.head["title"] == "other" and page.head["settings"]["temperature"] == "0.2")
        page.answer("set", chat="chat", name="temperature", text="")  # typed before the other one was shown
        assert "temperature" not in chat.options.parameters
        assert page.panel.chat.options.parameters["temperature"] == 0.2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("temperature", "9", "a number from 0 to 2"),
        ("temperature", "warm", "a number from 0 to 2"),
        ("max_tokens", "0", "a whole number of at least 1"),
        ("think", "maybe", "on, off or none"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(name, text, words):
    """A sentence says what fits, and what was set stays."""
    chat = chat_with(HELLO)
    chat.options = replace(chat.options, parameters={"temperature": 0.3333})
    with Page(ChatPanel(chat)) as page:
        answer = page.answer("set", chat="chat", name=name, text=text)

        assert answer["bad"]
        assert words in answer["text"]
        assert chat.options.parameters == {"temperature": 0.3333}


def test_any_conversation_is_renamed_and_deleted_in_its_row(monkeypatch, tmp_path):
    """Shown, open or stored: what is renamed is found by its new name, and what is deleted is stored no more."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "said.db"))
    chat = Chat(Scripted(HELLO), name="one")
    with Page(ChatPanel(chat)) as page:
        page.exchange("send", text="first question")
        page.answer("new", name="two")
        page.exchange("send", text="second question")
        assert page.answer("rename", of="one", name="一 one")["k"] == "ok"
        page.wait(lambda: [item["name"] for item in page.head["chats"]] == ["一 one", "two"])
        assert "two is deleted" in page.answer("drop", name="two")["text"]
        page.wait(lambda: page.head["title"] == "一 one" and page.shown)
        assert page.shown[0]["source"] == "first question"
        for nobody in ("two", "#99"):
            assert "no conversation" in page.answer("drop", name=nobody)["text"]
            assert page.answer("rename", of=nobody, name="x")["bad"]

        names = [thread.name for thread in open_store().threads()]
        assert names == ["一 one"]
    close_stores()


def test_a_conversation_is_not_deleted_while_it_is_answered():
    """Its row says so; stopped, it can be deleted, and an empty one is shown."""
    with Page(ChatPanel(chat_with([TextDelta("One "), 5, TextDelta("two")]))) as page:
        page.ask("send", text="count")
        page.wait(lambda: page.shown and "One" in page.last["tail"])
        assert "still coming" in page.answer("drop", name="chat")["text"]
        page.answer("stop")
        page.settled()
        assert not page.answer("drop", name="chat").get("bad")
        page.wait(lambda: not page.shown and page.head["title"] == "default")


def test_first_questions_are_offered_until_something_was_said(variables):
    """They are about the user's data, where there is some, and gone with the first question."""
    frame = type("DataFrame", (), {})()
    panel_names.variables = lambda: {"sales": frame, "n": 7}
    with Page(ChatPanel(chat_with(HELLO))) as page:
        assert page.head["ideas"][0] == "What stands out in {sales}?"
        assert len(page.head["ideas"]) == 3
        page.exchange("send", text="hi")
        page.wait(lambda: page.head["ideas"] == [])


def test_models_without_a_key_are_marked(monkeypatch):
    """The picker says which models need a key that is not there, also once one is set."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        marks = {item["name"]: item["about"] for item in page.head["models"]}
        assert marks["zai:glm-4.7"] == marks["bigmodel:glm-4.7"] == "needs a key"
        assert marks["scripted:glm-4.7"] == marks["local"] == ""
        monkeypatch.setenv("ZAI_API_KEY", "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP")
        page.panel._state.workspace.changed()
        page.wait(lambda: {item["name"]: item["about"] for item in page.head["models"]}["zai:glm-4.7"] == "")


@pytest.mark.parametrize("form", ["md", "html", "ipynb", "json"])
def test_a_conversation_can_be_saved(form):
    """Each form comes as a file with the conversation's name and all that was said; an empty one does not."""
    with Page(ChatPanel(chat_with([TextDelta("Hello **world**")]))) as page:
        assert page.answer("export", form=form)["bad"]
        page.exchange("send", text="greet me")
        file = page.answer("export", form=form)

        assert (file["k"], file["name"]) == ("file", f"chat.{form}")
        assert "greet me" in file["text"]
        assert "world" in file["text"]


def test_what_is_shown_in_mid_answer_does_not_read_as_whole():
    """The text that is saved with the notebook says that more was coming."""
    with Page(ChatPanel(chat_with([TextDelta("One "), 5, TextDelta("two")]))) as page:
        page.ask("send", text="count")
        page.wait(lambda: page.shown and "One" in page.last["tail"])
        static = page.panel._repr_mimebundle_()
        page.answer("stop")
        page.settled()

        assert static["text/markdown"].endswith("One \n\n*&#91;still being written&#93;*")


def test_what_is_shown_without_widgets_is_what_was_said():
    """A terminal or a headless run shows Markdown and plain text, in which a reply's HTML is text."""
    chat = chat_with([TextDelta("<img src=x onerror=alert(1)> **bold**")])
    with Page(ChatPanel(chat)) as page:
        empty = page.panel._repr_mimebundle_()
        assert set(empty) == {"text/markdown", "text/plain"}
        assert "Nothing has been said" in empty["text/plain"]
        page.exchange("send", text="hi <b>")

        shown = page.panel._repr_mimebundle_()
        assert "<img" not in shown["text/markdown"]
        assert "**bold**" in shown["text/markdown"]
        assert shown["text/plain"] == "You: hi <b>\n\nglm-4.7: <img src=x onerror=alert(1)> **bold**"


def test_colab_is_told_what_it_needs_for_widgets_of_other_makers(monkeypatch):
    """The panel's output carries anywidget's own metadata, without which Colab shows an empty place."""
    colab = SimpleNamespace(
        enable_custom_widget_manager=lambda: None,
        _widgets=SimpleNamespace(_installed_url="https://colab.test/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    monkeypatch.setattr("chatglm_magic.panel.can_show_widget", lambda _: True)
    with Page(ChatPanel(chat_with([]))) as page:
        data, metadata = page.panel._repr_mimebundle_()
        name = page.panel.model_id

    view = "application/vnd.jupyter.widget-view+json"
    assert data[view]["model_id"] == name
    assert metadata == {view: {"colab": {"custom_widget_manager": {"url": "https://colab.test/manager.js"}}}}


def test_a_long_conversation_is_shown_in_part_without_widgets():
    """What is saved with a notebook holds the newest messages, and says how many there were before."""
    chat = chat_with(HELLO)
    chat.messages = [Message("user" if n % 2 == 0 else "assistant", f"said {n}") for n in range(150)]
    with Page(ChatPanel(chat)) as page:
        shown = page.panel._repr_mimebundle_()

        assert shown["text/plain"].startswith("[50 earlier messages]\n\nYou: said 50\n\n")
        assert "said 49" not in shown["text/markdown"]
        assert "said 149" in shown["text/markdown"]


def test_half_a_character_reaches_the_page_as_a_mark():
    """What no wire carries is replaced, in what is copied and saved too, and opens no gap."""
    with Page(ChatPanel(chat_with([TextDelta("one \ud800 two")]))) as page:
        sent = []
        page.panel._transcript.send = lambda message: sent.append(json.dumps(message, ensure_ascii=False).encode())
        name = page.exchange("send", text="hi")["id"]
        page.answer("source", id=name)

        assert any("one \N{REPLACEMENT CHARACTER} two" in one.decode() and b'"text"' in one for one in sent)


def test_a_panel_alone_is_answered_as_chat_is(monkeypatch):
    """Without a conversation it has one of its own, as `Chat()` would be."""
    with Page(ChatPanel(height="20em")) as page:
        assert page.panel.chat.provider.name == "local"
        assert page.panel._transcript.layout.height == "20em"
