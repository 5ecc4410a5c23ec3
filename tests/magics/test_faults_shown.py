"""What real servers do that no document says: what a person sees of it in a cell."""

from __future__ import annotations

import pytest
from faults import CASES, hurry, play
from shells import fail, run

from chatglm_magic._errors import ChatGLMError

PLAIN = [case for case in CASES if "options" not in case]
SEEN = [case for case in PLAIN if "shown" in case["expected"]]
WHOLE = ("text", "finish_reason", "warnings")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Shorten what is waited for as the pauses are."""
    hurry(monkeypatch)


def seen(shell, glm, capsys, case) -> str:
    """Run the case as a cell, and return all that was shown."""
    play(glm, case)
    result = shell.run_cell("%chatglm hi", store_history=True)
    error = result.error_in_exec
    assert error is None or isinstance(error, ChatGLMError)
    return f"{capsys.readouterr().out}\n{error or ''}"


@pytest.mark.parametrize("case", SEEN, ids=lambda case: case["id"])
def test_what_is_cut_refused_or_odd_is_said(shell, glm, capsys, case):
    """A sentence under the answer says that it is not whole, or what is not shown, and how to go on."""
    shown = " ".join(seen(shell, glm, capsys, case).split())

    assert case["expected"].get("text", "") in shown
    assert [words for words in case["expected"]["shown"] if words not in shown] == []


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in PLAIN
        if case["expected"].get("warnings") == [] and case["expected"].get("finish_reason") == "stop"
    ],
    ids=lambda case: case["id"],
)
def test_what_is_harmless_is_not_said(shell, glm, capsys, case):
    """A whole answer has no sentence under it."""
    shown = seen(shell, glm, capsys, case)

    assert not {"cut off", "not understood", "could not be read", "several answers"} & {
        words for words in ("cut off", "not understood", "could not be read", "several answers") if words in shown
    }


def test_a_cut_answer_is_gone_on_with(shell, glm, capsys):
    """`%chatglm continue` appends to an answer whose end was not said, and what is whole then has no mark."""
    cut, whole = (next(case for case in CASES if case["id"] == name) for name in ("done-alone", "sse-as-json"))
    seen(shell, glm, capsys, cut)
    play(glm, whole)

    run(shell, "%chatglm continue")

    node = shell.magics_manager.registry["ChatGLMMagics"].workspace.chats["default"].tree.path()[-1]
    assert (node.text, node.finish_reason, node.warnings) == ("halfok", "stop", ())


def test_an_error_keeps_what_had_come(shell, glm, capsys):
    """An answer that broke off fails its cell and stays on the screen."""
    play(glm, next(case for case in CASES if case["id"] == "end-alone"))

    error = fail(shell, "%chatglm hi")

    assert "half" in capsys.readouterr().out
    assert error.reply.text == "half"
