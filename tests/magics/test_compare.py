"""`-m A -m B` in a cell: columns, what fails, what is said and kept, and which answer goes on."""

from __future__ import annotations

import pytest
from shells import asked, fail, offered, run, said

from chatglm_magic import Chat, FunctionProvider, Reply
from chatglm_magic._comparison import Comparison
from chatglm_magic._magics.parser import parse


@pytest.fixture
def chat(shell, glm):
    """Return a shell in which each model says its name, and `broken` refuses."""

    def answer(request) -> str:
        return f"I am {request.json['model']}."

    glm.say(answer)
    return shell


def test_the_first_model_is_the_usual_one():
    """One -m is as ever; those behind it stand beside."""
    line = parse("-m a -m zai:b --model=c Who?")

    assert (line.options.model, line.models, line.prompt) == ("a", ("zai:b", "c"), "Who?")
    assert parse("-m a Who?").models == ()


def test_answers_stand_below_each_other_in_a_terminal(chat, glm, capsys):
    """Each has its head with seconds, and is printed when it is whole; the value is a mapping of model to reply."""
    value = run(chat, "%chatglm -m a -m b --out both Who?")

    shown = capsys.readouterr().out
    assert shown.index("── a · ") != shown.index("── b · ")
    assert "I am a." in shown
    assert "I am b." in shown
    assert isinstance(value, Comparison)
    assert {name: reply.text for name, reply in value.items()} == {"a": "I am a.", "b": "I am b."}
    assert chat.user_ns["both"] is value
    assert {request.json["model"] for request in glm.requests} == {"a", "b"}


def test_the_first_goes_on_until_another_is_picked(chat, glm):
    """The next question is asked with the first answer before it, after `pick b` with that of b."""
    run(chat, "%chatglm -m a -m b Who?")
    run(chat, "%chatglm And?")
    assert [text for _, text in asked(glm)] == ["Who?", "I am a.", "And?"]
    run(chat, "%chatglm undo")

    run(chat, "%chatglm pick b")
    run(chat, "%chatglm And?")
    assert [text for _, text in asked(glm)] == ["Who?", "I am b.", "And?"]


@pytest.mark.parametrize("word", ["openai:zwei", "zwei", "Zwei", "2", "选用"])
def test_pick_takes_names_and_numbers(chat, capsys, word):
    """The model as it was typed, a part of it, or which of them; in Chinese too."""
    run(chat, "%chatglm -m openai:eins -m openai:zwei Who?")
    run(chat, "%chatglm 选用 zwei" if word == "选用" else f"%chatglm pick {word}")

    assert "goes on with the answer of openai:zwei" in capsys.readouterr().out
    assert said(chat) == ["Who?", "I am zwei."]


def test_pick_says_what_there_is(chat):
    """Without several answers, and without that one, the refusal names what to do."""
    assert "-m A -m B" in str(fail(chat, "%chatglm pick a"))
    run(chat, "%chatglm -m a -m b Who?")
    assert "there are those of a, b" in str(fail(chat, "%chatglm pick nobody"))


def test_last_continue_and_retry_follow(chat, glm, capsys):
    """`last` shows the one that goes on; `retry` asks all again, `continue` only the one that goes on."""
    run(chat, "%chatglm -m a -m b Who?")
    assert isinstance(run(chat, "%chatglm last"), Reply)
    assert run(chat, "%chatglm last").text == "I am a."

    run(chat, "%chatglm retry")
    assert [request.json["model"] for request in glm.requests[2:]] in (["a", "b"], ["b", "a"])
    assert said(chat) == ["Who?", "I am a."]
    run(chat, "%chatglm pick b")
    run(chat, "%chatglm continue")
    assert (len(glm.requests), glm.requests[-1].json["model"]) == (5, "b")


def test_retry_says_that_it_asks_one_where_it_cannot_know_all(shell, capsys):
    """What a new kernel finds are answers of several models, not how they were asked for; `-m A -m B` says it anew."""
    called = []

    async def voices(model, messages, proxy=None, **options):
        called.append(model)
        yield f"I am {model}."

    pair = Chat(FunctionProvider(voices), name="voices", model="c")
    run(shell, "%chatglm -c voices -m a -m b Who?")
    shell.magics_manager.registry["ChatGLMMagics"].session.asked.clear()
    capsys.readouterr()

    run(shell, "%chatglm -c voices retry")
    words = "Several models have answered this question, and one is asked again"
    assert words in " ".join(capsys.readouterr().out.split())
    assert called[2:] == ["c"]
    run(shell, "%chatglm -c voices -m a -m b retry")
    assert "Several models" not in capsys.readouterr().out
    assert sorted(called[3:]) == ["a", "b"]
    assert len(pair.messages) == 2


def test_a_model_that_fails_says_so_in_its_place(chat, capsys):
    """The cell ends well, for the others have answered; where all fail it fails with the first error."""
    value = run(chat, "%chatglm -m a -m zai:glm-4.7 Who?")

    assert "ZAI_API_KEY" in capsys.readouterr().out
    assert list(value.errors) == ["zai:glm-4.7"]
    assert "No key for zai" in str(fail(chat, "%chatglm -m zai:glm-4.7 -m bigmodel:glm-4.7 Who?"))


@pytest.mark.parametrize("options", ["-f json", "--insert", "--bg"])
def test_what_one_answer_alone_can_have_is_refused(chat, glm, options):
    """Nothing is asked then, and the line names the option."""
    assert "goes with one model" in str(fail(chat, f"%chatglm -m a -m b {options} Who?"))
    assert glm.requests == []


def test_two_to_six(chat, glm):
    """Seven models, or one twice, are refused before anything is sent."""
    seven = " ".join(f"-m m{number}" for number in range(7))

    assert "2 to 6 models" in str(fail(chat, f"%chatglm {seven} Who?"))
    assert "named twice" in str(fail(chat, "%chatglm -m a -m a Who?"))
    assert glm.requests == []


def test_a_dry_run_names_all(chat, glm, capsys):
    """The request is shown once, with the others that it would go to."""
    run(chat, "%chatglm --dry-run -m a -m b -m c Who?")

    shown = capsys.readouterr().out
    assert "model: a" in shown
    assert "The same goes to b, c." in shown
    assert glm.requests == []


def test_pictures_go_to_all(chat, glm, tmp_path, capsys):
    """`-a` is read once; each model gets it, and what was changed is said once."""
    np = pytest.importorskip("numpy")
    chat.user_ns["large"] = np.zeros((3000, 100))

    run(chat, "%chatglm -m a -m b -a {large} Look")

    assert all(len(request.json["messages"][-1]["content"]) == 2 for request in glm.requests)
    assert capsys.readouterr().out.count("{large} was shrunk") == 1


def test_tab_offers_models_for_each(chat):
    """After each -m stand models; `pick` is a command."""
    assert "%chatglm -m a -m zai" in offered(chat, "%chatglm -m a -m za")
    assert "%chatglm pick" in offered(chat, "%chatglm pi")
    run(chat, "%chatglm -m eins -m zwei Who?")
    assert {"%chatglm pick eins", "%chatglm pick zwei"} <= set(offered(chat, "%chatglm pick "))


def test_pick_works_on_what_was_stored(chat, capsys, tmp_path):
    """A file, or a later kernel, knows the answers by who gave them."""
    run(chat, "%chatglm -m eins -m zwei Who?")
    run(chat, f"%chatglm save {tmp_path / 'talk.json'}")
    chat.magics_manager.registry["ChatGLMMagics"].session.compared.clear()
    run(chat, f"%chatglm load {tmp_path / 'talk.json'}")
    capsys.readouterr()

    run(chat, "%chatglm pick 2")

    assert "goes on with the answer of openai:" in capsys.readouterr().out
    name = chat.magics_manager.registry["ChatGLMMagics"].workspace.current
    assert said(chat, name) == ["Who?", "I am zwei."]
