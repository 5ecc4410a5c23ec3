"""Tab: what is offered in our lines and cells, through IPython's own completer."""

from __future__ import annotations

import pytest
from shells import offered

import chatglm_magic
from chatglm_magic._magics.options import COMMANDS, TABLE, TOPICS
from chatglm_magic._messages import OPTIONS


def test_options_are_offered_before_the_prompt(shell):
    """All of them, in lines and on a cell's first line, and nothing else."""
    names = {name for option in TABLE for name in option.names}

    assert set(offered(shell, "%chatglm -")) == {f"%chatglm {name}" for name in names}
    assert set(offered(shell, "x = %chatglm -q --no")) == {
        f"x = %chatglm -q {name}" for name in names if name.startswith("--no")
    }
    assert offered(shell, "%%chatglm --sys|\nhi") == ["%%chatglm --system\nhi"]


def test_commands_are_offered_where_a_line_may_begin_with_one(shell):
    """In lines; in a cell every word is a prompt's."""
    assert {f"%chatglm {command.name}" for command in COMMANDS} <= set(offered(shell, "%chatglm "))
    assert offered(shell, "%chatglm contin") == ["%chatglm continue"]
    assert "%%chatglm continue" not in offered(shell, "%%chatglm contin")
    assert set(offered(shell, "%chatglm help ")) == {f"%chatglm help {topic}" for topic in TOPICS}


def test_values_are_offered_after_their_options(shell):
    """Parameters, models of known providers, conversations, words that an option knows."""
    shell.run_line_magic("chatglm", "new 物理")

    assert set(offered(shell, "%chatglm -o ")) == {f"%chatglm -o {name}" for name in OPTIONS}
    assert offered(shell, "%chatglm -o temp") == ["%chatglm -o temperature"]
    assert offered(shell, "%chatglm -o do_sample t") == ["%chatglm -o do_sample true"]
    assert "%chatglm -m zai" in offered(shell, "%chatglm -m z")
    assert "%chatglm -m zai:glm-4.7-flash" in offered(shell, "%chatglm -m zai:glm-4.7")
    assert "%chatglm -mzai:glm-4.7-flash" in offered(shell, "%chatglm -mzai:glm-4.7")
    assert "%chatglm -mx -q --think" in offered(shell, "%chatglm -mx -q --th")
    assert "%chatglm --model=zai:glm-4.7-flash" in offered(shell, "%chatglm --model=zai:glm-4.7")
    assert offered(shell, "%chatglm -s 'be terse' -c 物") == ["%chatglm -s 'be terse' -c 物理"]
    assert "%chatglm use zai:glm-4.7-flash" in offered(shell, "%chatglm use zai:")


def test_models_that_a_server_listed_are_offered(shell, glm, capsys):
    """Tab asks nobody; what %chatglm models has shown is known."""
    glm.models = ["qwen3:8b"]
    shell.run_cell("%chatglm models")

    assert offered(shell, "%chatglm -m openai:q") == ["%chatglm -m openai:qwen3:8b"]
    assert len(glm.lookups) == 1


@pytest.mark.parametrize(
    "text",
    [
        "%chatglm -m openai:",
        "%chatglm -mopenai:",
        "%chatglm --model=openai:",
        "%chatglm use openai:",
        "%%chatglm -m pri",
    ],
)
def test_where_no_model_is_known_nothing_is_offered(shell, text):
    """Names of Python's are no models; nor are they a value of any other option."""
    assert offered(shell, text) == []
    assert offered(shell, "%chatglm --timeout ") == []


def test_names_are_offered_in_prompts(shell):
    """After an open brace: the user's variables, and what their types have; a closing brace is not doubled."""
    shell.run_cell("prices = [1]\nprice = 2")

    for head in ("%chatglm explain ", "%%chatglm\nexplain ", "%%chatglm -q\nline\nexplain "):
        assert offered(shell, f"{head}{{pri") == [f"{head}{{price}}", f"{head}{{prices}}"]
    assert offered(shell, "%chatglm {prices|}") == ["%chatglm {prices}"]
    assert offered(shell, "%chatglm {prices.so") == ["%chatglm {prices.sort}"]
    assert "%chatglm {{price}" not in offered(shell, "%chatglm {{pri")


@pytest.mark.parametrize("text", ["pri", "x = '%chatglm -'\npri", "%%chatglm\n%chatglm -", "%chatglmx -", "!chatglm -"])
def test_elsewhere_nothing_of_ours_is_offered(shell, text):
    """Other lines and cells, and prompts, keep their own completion."""
    assert not any("--system" in found or "continue-" in found for found in offered(shell, text))


def test_what_an_option_or_a_command_takes_is_offered(shell):
    """The forms of a reply, the places of its code, the word after fix."""
    assert [text.split()[-1] for text in offered(shell, "%chatglm -f ")] == ["md", "text", "code", "json", "df"]
    assert [text.split()[-1] for text in offered(shell, "%chatglm --insert r")] == ["replace"]
    assert [text.split()[-1] for text in offered(shell, "%chatglm fix r")] == ["replace"]


def test_no_code_runs_while_completing(shell):
    """A property is not read, and a strange object offers what its type has."""
    shell.run_cell(
        "class Odd:\n    @property\n    def alarm(self):\n        rang.append(1)\n"
        "    def __dir__(self):\n        rang.append(2)\n        return []\n"
        "    def __getattribute__(self, name):\n        rang.append(3)\n        raise SystemExit\n"
        "rang = []\nodd = Odd()"
    )

    assert offered(shell, "%chatglm {odd.al") == ["%chatglm {odd.alarm}"]
    assert shell.user_ns["rang"] == []


def test_unloading_leaves_the_completion(shell):
    """Nothing of ours stays in the shell's completer."""
    before = len(shell.Completer.custom_matchers)
    chatglm_magic.unload_ipython_extension(shell)
    assert len(shell.Completer.custom_matchers) == before - 1
    chatglm_magic.load_ipython_extension(shell)
