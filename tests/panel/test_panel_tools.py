"""Functions as tools in a panel: the card, who may decide, and what it does not allow."""

from __future__ import annotations

import gc
import json
import threading
from typing import Any

import pytest
from panel_kit import Page, Scripted

from chatglm_magic import Chat, ChatPanel, ConfigError, FunctionProvider
from chatglm_magic._events import Finished, TextDelta, ToolCallDelta
from chatglm_magic._tools.approval import forget_always

RAN: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _nothing_is_allowed():
    RAN.clear()
    forget_always()
    yield
    forget_always()


def stock(ticker: str) -> int:
    """Return the price of a share."""
    RAN.append((ticker, threading.current_thread().name))
    return len(ticker)


def plays(*tickers: str) -> Scripted:
    """Return a provider that asks for a price each, then answers."""
    calls = [
        [ToolCallDelta(0, f"id-{one}", "stock", json.dumps({"ticker": one})), Finished("tool_calls")] for one in tickers
    ]
    return Scripted(*calls, [TextDelta("It is known.")])


def opened(*tickers: str, **how: Any) -> Page:
    return Page(ChatPanel(Chat(plays(*tickers)), tools=how.pop("tools", [stock]), **how))


def card_of(page: Page) -> dict[str, Any] | None:
    cards = [m["card"] for _, m in list(page.got) if m["k"] in {"card", "snap"}]
    return cards[-1] if cards else None


def asked(page: Page, text: str = "how much?") -> dict[str, Any]:
    """Ask, and give the card that comes."""
    page.ask("send", text=text)
    page.wait(lambda: card_of(page))
    return card_of(page)


def test_the_card_shows_the_call_and_nothing_runs():
    """Function, doc and arguments are on it; a person has all the time that it takes."""
    with opened("AB") as page:
        card = asked(page)

        assert (card["name"], card["doc"]) == ("stock", "Return the price of a share.")
        assert json.loads(card["arguments"]) == {"ticker": "AB"}
        assert RAN == []
        page.wait(lambda: page.foot["text"] == "waiting for you to decide about stock")
        page.answer("decide", id=card["id"], pressed="deny")


def test_run_runs_once_and_the_card_goes():
    """The answer follows, the card is gone, and a second press is refused."""
    with opened("AB") as page:
        card = asked(page)
        assert page.answer("decide", id=card["id"], pressed="run")["k"] == "ok"
        page.settled()

        assert [ticker for ticker, _ in RAN] == ["AB"]
        assert card_of(page) is None
        assert page.panel.chat.messages[-1].text == "It is known."
        again = page.answer("decide", id=card["id"], pressed="run")
        assert (again["k"], again["bad"], again["text"]) == ("note", True, "This call is decided on already.")
        assert len(RAN) == 1


def test_deny_runs_nothing():
    """The model is told, and answers without the result."""
    with opened("AB") as page:
        page.answer("decide", id=asked(page)["id"], pressed="deny")
        page.settled()

        assert RAN == []
        assert "said no" in page.panel.chat.messages[2].text


def test_always_asks_once():
    """The next call of the same function runs unasked."""
    with opened("AB", "CDE") as page:
        page.answer("decide", id=asked(page)["id"], pressed="always")
        page.settled()

        assert [ticker for ticker, _ in RAN] == ["AB", "CDE"]


def test_a_yes_is_for_the_card_that_was_seen():
    """A press that comes late, for the call before, does not allow the next one."""
    with opened("AB", "CDE") as page:
        first = asked(page)
        page.answer("decide", id=first["id"], pressed="run")
        page.wait(lambda: (card := card_of(page)) and card["id"] != first["id"])
        page.answer("decide", id=first["id"], pressed="run")
        page.answer("decide", id=card_of(page)["id"], pressed="deny")
        page.settled()

        assert [ticker for ticker, _ in RAN] == ["AB"]


def test_edited_arguments_run_once_they_fit():
    """What does not fit is refused with a sentence, and the card stays."""
    with opened("AB") as page:
        card = asked(page)
        for edited in ('{"ticker": 5}', "[1]", "{"):
            refused = page.answer("decide", id=card["id"], pressed="run", arguments=edited)
            assert (refused["k"], refused["bad"]) == ("note", True)
        assert card_of(page) == card
        page.answer("decide", id=card["id"], pressed="run", arguments='{"ticker": "XYZ"}')
        page.settled()

        assert [ticker for ticker, _ in RAN] == ["XYZ"]


def test_stop_takes_the_card_away():
    """A stopped answer runs nothing, and its history is whole."""
    with opened("AB") as page:
        card = asked(page)
        page.answer("stop")
        page.settled()

        assert card_of(page) is None
        assert page.answer("decide", id=card["id"], pressed="run")["k"] == "note"
        assert RAN == []
        assert [message.role for message in page.panel.chat.messages] == ["user", "assistant", "tool"]
        assert page.panel.chat.messages[-1].text == "Error: not run: stopped"


def test_a_page_that_comes_later_sees_the_card():
    """A reload, or another view, shows what is asked; either may decide."""
    with opened("AB") as page:
        card = asked(page)
        other = Page(page.panel, "other")

        assert card_of(other) == card
        other.answer("decide", id=card["id"], pressed="run")
        page.settled()
        assert len(RAN) == 1


def test_what_ran_is_shown_with_the_answer():
    """The call and its result are folded below the answer's words."""
    with opened("AB") as page:
        page.answer("decide", id=asked(page)["id"], pressed="run")
        page.settled()

        assert "<details><summary>Called stock" in "".join(page.last["blocks"])


def test_what_cannot_be_a_tool_is_refused_by_the_panel_itself():
    """The mistake is told where it was made, not with the first question."""
    with pytest.raises(ConfigError, match="A lambda cannot be a tool"):
        ChatPanel(Chat(plays("AB")), tools=[lambda x: x])
    with pytest.raises(ConfigError, match="at least 1"):
        ChatPanel(Chat(plays("AB")), tools=[stock], chain_limit=0)


def test_a_panel_without_functions_asks_as_before():
    """Nothing about functions is sent where none are offered."""
    said = []

    async def parrot(model, messages, tools=None):
        said.append(tools)
        yield "Hello"

    with Page(ChatPanel(Chat(FunctionProvider(parrot)))) as page:
        page.exchange("send", text="hi")

        assert said == [None]


@pytest.mark.parametrize("given", ["lesson", 3])
def test_a_panel_says_what_it_shows(given):
    """What is no `Chat` is refused in one sentence, with what to write."""
    with pytest.raises(ConfigError, match=rf"ChatPanel shows a Chat, not {given!r}: write ChatPanel\(Chat\(name="):
        ChatPanel(given)


def test_a_panel_that_could_not_be_made_goes_silently(monkeypatch):
    """An unknown argument is one error; nothing fails behind it while what was begun is cleared away."""
    unraisable = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)

    with pytest.raises(TypeError, match="colour"):
        ChatPanel(colour="red")
    gc.collect()
    assert unraisable == []
