"""Tests of what a page may ask for beside questions: drafts, models, conversations, settings, sources."""

from __future__ import annotations

import json

import pytest
from panel_kit import Page, Scripted, chat_with

from chatglm_magic import Chat, ChatPanel, Message, TextDelta
from chatglm_magic.panel import desk as desk_module
from chatglm_magic.panel.settings import Settings

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
    """Give the panel's desk these variables of the user."""
    _Frame.told = 0
    names = {"df": _Frame(), "n": 7, "secret": "hush", "_hidden": 1, "delta": 2}
    monkeypatch.setattr(desk_module.Desk, "names", lambda _: dict(names))
    return names


def test_a_draft_is_told_what_it_names(variables):
    """Names in braces are shown with their kind, tokens are estimated, and nothing of a value is looked at."""
    with Page(ChatPanel(chat_with(HELLO))) as page:
        chips = page.answer("draft", text="Explain {df} and {n} and {df.shape[0]}, \\frac{n}, {{n}}, {other}", at=3)

        assert chips["names"] == [{"name": "df", "kind": "_Frame"}, {"name": "n", "kind": "int"}]
        assert 10 < chips["tokens"] < 60
        assert chips["offer"] == []
        assert _Frame.told == 0


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
    """Its Markdown, one of its code blocks, or what a cell would hold of it."""
    with Page(ChatPanel(chat_with([TextDelta(CODE)]))) as page:
        name = page.exchange("send", text="code")["id"]

        assert page.answer("source", id=name, code=None)["text"] == CODE
        block = page.answer("source", id=name, code=1)
        assert (block["text"].strip(), block["language"]) == ("ls", "sh")
        assert page.answer("source", id=name, code="cell")["text"] == "a = 1\n\nb = 2"
        assert page.answer("source", id=name, code=3)["bad"]
        assert page.answer("source", id="nobody", code=None)["bad"]
        assert page.answer("source", id=page.shown[0]["id"], code=None)["text"] == "code"


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
        page.answer("rename", name="paper")
        page.wait(lambda: page.head["title"] == "paper")
        for wrong in ("two words", "chat", "x" * 61, ""):
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
        assert list(page.panel._session.desk.opened()) == ["chat", "chat-2"]
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
    """Widgets show what is set and set what they show; another conversation brings its own."""
    chat = chat_with(HELLO)
    chat.system, chat.think = "Be terse.", True
    with Page(ChatPanel(chat)) as page:
        settings = page.panel._settings
        assert settings.box.layout.display == "none"
        page.answer("settings", open=True)
        page.wait(lambda: page.head["settings"])
        assert settings.box.layout.display != "none"
        assert (settings._system.value, settings._think.value) == ("Be terse.", "on")

        settings._system.value = "Be kind."
        settings._own.value = True
        settings._temperature.value = 0.2
        settings._most.value = 100
        settings._think.value = "off"
        page.wait(lambda: chat.options.get("max_tokens") == 100)
        page.exchange("send", text="hi")
        request = chat.provider.requests[0]
        assert (request.messages[0].content, request.think) == ("Be kind.", False)
        assert dict(request.options) == {"temperature": 0.2, "max_tokens": 100}

        settings._think.value = "auto"
        page.wait(lambda: chat.think is None)
        page.answer("new", name="other")
        settings._own.value = False
        page.wait(lambda: "temperature" not in page.panel.chat.options)
        assert chat.options["temperature"] == 0.2
        page.answer("settings", open=None)
        assert settings.box.layout.display == "none"


def test_showing_settings_sets_nothing():
    """What a widget cannot show exactly stays as it was set, until somebody moves it."""
    chat = chat_with(HELLO)
    chat.options.update(temperature=0.3333, max_tokens=2_000_000)
    with Page(ChatPanel(chat)) as page:
        page.answer("settings", open=True)
        settings = page.panel._settings
        settings._system.value = "Be kind."
        page.wait(lambda: chat.system == "Be kind.")
        assert chat.options == {"temperature": 0.3333, "max_tokens": 2_000_000}

        settings._temperature.value = 1.5
        page.wait(lambda: chat.options["temperature"] == 1.5)
        assert chat.options["max_tokens"] == 2_000_000


def test_a_setting_is_set_for_the_conversation_it_was_made_for():
    """What was moved just before another conversation is shown is not that one's."""
    one, other = chat_with(HELLO), chat_with(HELLO)
    waiting = []
    settings = Settings(one, waiting.append)
    settings._system.value = "for the first"
    settings.show(other)
    for work in waiting:
        work()
    settings.close()

    assert len(waiting) == 1
    assert (one.system, other.system) == ("for the first", "")


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
        assert shown["text/plain"] == "You: hi <b>\n\nGLM: <img src=x onerror=alert(1)> **bold**"


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
        page.answer("source", id=name, code=None)

        assert any("one \N{REPLACEMENT CHARACTER} two" in one.decode() and b'"text"' in one for one in sent)


def test_a_panel_alone_is_answered_as_chat_is(monkeypatch):
    """Without a conversation it has one of its own, as `Chat()` would be."""
    with Page(ChatPanel(height="20em")) as page:
        assert page.panel.chat.provider.name == "local"
        assert page.panel._transcript.layout.height == "20em"
