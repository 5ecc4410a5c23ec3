"""The commands of a line, in a shell of this process: conversations, who answers, keys."""

from __future__ import annotations

import getpass
import re
import stat
import sys

import pytest
from shells import asked, fail, run, said

from chatglm_magic import ConfigError, MissingKeyError, Reply
from chatglm_magic._magics.commands import FUNCTIONS, near_miss
from chatglm_magic._magics.commands.conversations import _transcript
from chatglm_magic._magics.options import COMMANDS, TOPICS
from chatglm_magic._magics.parser import find_command, parse

KEY = "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP"


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    """Keep the key file of these tests apart."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("chatglm_magic._credentials._keyring", lambda: None)


FITTING = """
help, help keys, models, models flash, models zai 4.7, use zai:glm-4.7, login, login https://x.y/v1, status, set,
set temperature, set temperature 0.2, set system Be terse; please., new, new 物理, chats, history, history 3, undo,
retry, continue, reset, last, code, code 2, rename a, rename a b, rename #12 b, delete, delete a, delete #12, version,
chats 50, search, search attention, search for a good name for my cat, search 注意力, forget, forget all, forget #12,
forget a, save, save talk.json, save ~/talk.json, save "my talk.json", load #12, load a, load ../a.json,
load 'a b.json', export, export talk.html, export "两 个.md"
"""
PROMPTS = """
help me with this; help closures; models of the atom in physics; use the force; login to my server please;
status of it; set up a server; set temperature in my room to 20; new ideas for a talk; chats with cats;
history of China; undo it; retry that; continue the story; reset my phone; last words; code review;
rename this variable for me; delete all rows; version 2 of it; chats about cats; forget all about it;
forget about it; save the whales; load the dishwasher; export all of it; save "this" and that; delete #x; forget #x
"""


@pytest.mark.parametrize("line", re.split(r",\s+", FITTING.strip()))
def test_a_command_is_one_where_the_line_fits(line):
    """The reserved word and what may follow it; after `--` everything is a prompt."""
    found = find_command(parse(line))

    assert found is not None
    assert found[0].name == line.split()[0]
    assert find_command(parse(f"-- {line}")) is None


@pytest.mark.parametrize("line", re.split(r";\s+", PROMPTS.strip()))
def test_a_sentence_is_a_prompt(line):
    """A line that begins with a reserved word and does not fit it is asked."""
    assert find_command(parse(line)) is None
    assert not near_miss(line)[1]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("histroy", "history"),
        ("statu", "status"),
        ("STATUS。", "status"),
        ("help？", "help"),
        ("？", "help"),
        ("/help", "help"),
        ("\u200bhelp", "help"),
        ("modelz zai", "models zai"),
        ("histroy 5", "history 5"),
        ("exporrt a.md", "export a.md"),
        ("help optionz", "help options"),
        ("login bigmodle", "login bigmodel"),
        ("fix replacee", "fix replace"),
        ("set temperature=0.5", "set temperature 0.5"),
        ("set temperature：0.5", "set temperature 0.5"),
        ("set temprature 0.5", "set temperature 0.5"),
        ("use", "use MODEL"),
    ],
)
def test_what_is_nearly_a_command_is_refused_with_what_is_meant(shell, glm, line, meant):
    """Nothing is asked, the command is named, and after `--` the line is a question all the same."""
    glm.say("ok")

    assert str(fail(shell, f"%chatglm {line}")) == (
        f"Nothing was sent. Did you mean %chatglm {meant}? A question may stand after --: %chatglm -- {line}"
    )
    assert glm.requests == []
    assert run(shell, f"%chatglm -- {line}").text == "ok"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("hi --model local", "--model local hi (options stand before the prompt)"),
        ("hi there ——model=local", "--model=local hi there (options stand before the prompt)"),
        ("hi -m zai:glm-5", "-m zai:glm-5 hi (options stand before the prompt)"),
        ("sum up --vars df,x please", "--vars df,x sum up please (options stand before the prompt)"),
        ("Search for attention", "search for attention"),
        ("news today", "new today"),
        ("new long lesson", 'new "long lesson"'),
        ("new Lesson 中文 one", 'new "Lesson 中文 one"'),
        ("set temperature to 0.5", "set temperature VALUE"),
        ("set colour red", "set [K [V]]"),
        ("login nowhere", "login [provider or URL]"),
    ],
)
def test_what_may_be_meant_otherwise_is_asked_with_a_note(ask, glm, line, meant):
    """The question goes out as it stands, and one line below the reply says what it may have meant."""
    shown = ask(line)

    assert asked(glm) == [("user", line)]
    assert f"Sent as a question; did you mean %chatglm {meant}?" in " ".join(shown.split())


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "%chatglm what does python -m venv do",
            "%chatglm hello",
            "%chatglm story",
            "%chatglm new ideas for a talk",
            "%chatglm entry",
            "%chatglm us",
            "%chatglm -- hi --model local",
        ),
        *("%%chatglm\nhistroy", "%%chatglm\nhi --model local"),
    ],
)
def test_a_plain_question_has_no_note(shell, glm, capsys, cell):
    """Words that are no command's, other programs' options, and a cell's body are left alone."""
    glm.say("ok")

    run(shell, cell)
    assert "did you mean" not in capsys.readouterr().out


def test_options_behind_the_text_of_a_cells_first_line_have_a_note(shell, glm, capsys):
    """The first line is read as a line is."""
    glm.say("ok")

    run(shell, "%%chatglm hi --new\nbody")
    assert "did you mean %chatglm --new hi" in capsys.readouterr().out


def test_every_command_is_done_by_a_method_that_says_what_it_does():
    """The table and the methods are one list."""
    methods = set(FUNCTIONS)

    assert methods == {command.name for command in COMMANDS}
    assert all(function.__doc__ for function in FUNCTIONS.values())


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_has_a_page(ask, topic):
    """`help TOPIC` is a page of its own, shorter than a screen or two."""
    page = ask(f"help {topic}")

    assert page != ask("help")
    assert max(map(len, page.splitlines())) < 220


def test_conversations_are_named_and_switched(ask, shell):
    """`new` switches for good, `-c` for one line; `rename` and `delete` say what they did."""
    ask("one")
    assert "physics begins" in ask("new physics")
    ask("two")
    ask("-c default three")
    assert "default goes on: 4 messages" in ask("new default")
    assert said(shell) == ["one", "re: one", "three", "re: three"]
    assert said(shell, "physics") == ["two", "re: two"]
    assert ask("chats").splitlines()[0].startswith("* default")
    ask("rename physics 物理")
    assert "2 messages" in ask("delete 物理")
    assert "begins" in ask("new")
    assert "default is asked in now" in ask("delete")


def test_unknown_and_taken_names_are_refused(ask, shell):
    """The sentence tells how to ask a question that begins with the command's word."""
    ask("one")

    assert "-- delete" in str(fail(shell, "%chatglm delete duplicates"))
    assert "already" in str(fail(shell, "%chatglm rename default"))


def test_undo_retry_and_reset_keep_the_history_well_formed(ask, shell, glm):
    """Questions and answers take turns whatever is taken back, asked again or forgotten."""
    ask("one")
    ask("two")
    glm.say("second try")
    assert "second try" in ask("retry")
    assert asked(glm) == [("user", "one"), ("assistant", "re: one"), ("user", "two")]
    assert said(shell) == ["one", "re: one", "two", "second try"]
    assert "'two'" in ask("undo")
    assert said(shell) == ["one", "re: one"]
    ask("reset")
    assert said(shell) == []
    for line in ("undo", "retry", "continue"):
        assert isinstance(fail(shell, f"%chatglm {line}"), ConfigError)


def test_retry_asks_a_question_that_failed(ask, shell, glm):
    """Also one that is not in the history, for not a word of its answer came; with the options it had."""
    ask("one")
    glm.status_with_body(400, '{"error": {"message": "no"}}')
    fail(shell, "%chatglm -o temperature 0.3 two {x}")
    glm.say("now it works")

    assert "now it works" in ask("retry")
    assert said(shell) == ["one", "re: one", "two {x}", "now it works"]
    assert glm.requests[-1].json["temperature"] == 0.3


def test_continue_appends_to_the_answer(ask, shell, glm):
    """What comes is shown alone and remembered as one answer; the request to go on is not remembered."""
    ask("-c other hm")
    glm.say("Once upon")
    ask("story")
    glm.say(" a time.")

    assert "a time." in ask("continue")
    assert said(shell) == ["story", "Once upon a time."]
    assert [role for role, _ in asked(glm)] == ["user", "assistant", "user"]


def test_last_and_code_give_the_last_reply(ask, shell, glm, capsys):
    """The reply as a value, its code blocks as strings counted from 1; a wrong number says how many there are."""
    assert "no reply" in str(fail(shell, "%chatglm last"))
    ask("hm")
    glm.say("Look:\n```python\nx = 1\n```\nand\n```sql\nSELECT 1\n```\n")
    reply = run(shell, "%chatglm -q show code")

    assert isinstance(reply, Reply)
    assert run(shell, "r = %chatglm last\nr") is reply
    assert run(shell, "s = %chatglm code 2\ns") == "SELECT 1"
    assert run(shell, "%chatglm code")._repr_markdown_() == "```python\nx = 1\n```"
    assert "2 code blocks" in str(fail(shell, "%chatglm code 3"))
    shell.magics_manager.registry["ChatGLMMagics"].workspace.last = Reply()
    assert "[still being written]\n" in ask("last")


def test_history_is_shown_harmlessly(ask, shell, glm, capsys):
    """All of it or the last exchanges; model text drives neither the page nor the terminal."""
    ask("one")
    glm.say("<b onclick=x>hi</b> \x1b[31m")
    ask("two")

    for line, has_one in (("history", True), ("history 1", False)):
        shown = ask(line)
        assert "two" in shown
        assert ("one" in shown) == has_one
        assert "\x1b" not in shown
    assert (
        "<b"
        not in _transcript(shell.magics_manager.registry["ChatGLMMagics"].workspace.chats["default"].messages).markdown
    )


def test_settings_of_a_conversation(ask, shell, glm):
    """`set` is a getter without a value, refuses what does not fit, and goes before %config."""
    assert "Nothing is set" in ask("set")
    assert ask("set system 'Be terse.'") == "system = Be terse.\n"
    assert ask("set top-p 0.5") == "top_p = 0.5\n"
    ask("set think off")
    ask("set timeout 30")
    ask("hi")
    assert asked(glm)[0] == ("system", "Be terse.")
    assert glm.requests[-1].json["top_p"] == 0.5
    assert set(ask("set").split("\n")) == {"top_p = 0.5", "system = Be terse.", "think = off", "timeout = 30", ""}
    for name in ("system", "top_p", "think", "timeout"):
        assert ask(f"set {name} none") == f"{name} = none\n"
    for line in ("set temperature 9", "set think maybe", "set timeout -1"):
        assert isinstance(fail(shell, f"%chatglm {line}"), ConfigError)


def test_use_says_who_answers_and_changes_nothing_if_nobody_can(ask, shell, glm):
    """It is `%config` in one word: model, and provider where it is named."""
    assert ask("use glm-9") == f"glm-9 at 127.0.0.1:{glm.port} answers from now on.\n"
    ask("hi")
    assert glm.requests[-1].json["model"] == "glm-9"
    assert isinstance(fail(shell, "%chatglm use zai:glm-4.7"), MissingKeyError)
    assert "glm-9" in ask("status")
    assert "answers from now on" in ask("use local")
    assert "provider      local" in ask("status")


def test_models_are_asked_for_and_filtered(ask, glm):
    """The configured server's, or those known of a platform without a key."""
    assert ask("models").split() == ["openai:glm-4.7", "openai:glm-4.7-flash"]
    assert ask("models flash") == "openai:glm-4.7-flash\n"
    assert "zai:glm-4.7-flash\n" in ask("models zai flash")
    assert "no model with 'llama'" in ask("models llama")


def test_models_that_cannot_be_asked_for_are_those_known(ask, shell, glm, monkeypatch):
    """A platform that cannot be reached has those that are built in, and says so; of a server nothing is known."""
    monkeypatch.setattr("chatglm_magic.providers.openai.provider.ZaiProvider.default_base_url", glm.refused_url)
    monkeypatch.setenv("ZAI_API_KEY", KEY)

    shown = ask("models zai")
    assert "zai:glm-4.7-flash\n" in shown
    assert "did not say" in shown
    assert KEY not in shown
    run(shell, f"%config ChatGLMMagics.base_url = {glm.refused_url!r}")
    assert fail(shell, "%chatglm models").kind == "connect"


@pytest.fixture
def typed(monkeypatch):
    """Sit at a terminal and type."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return lambda text: monkeypatch.setattr(getpass, "getpass", lambda prompt: prompt and text)


def test_login_keeps_a_key_for_its_host_and_logout_forgets_it(ask, shell, glm, typed, tmp_path):
    """The key goes to that host alone, its file is the user's alone, and no command ever says it."""
    typed(KEY)
    shown = ask(f"login {glm.url}")
    assert "It goes to that host only" in shown
    (file,) = tmp_path.rglob("keys.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown += ask("status") + ask("hi")
    assert "kept by %chatglm login" in shown
    assert glm.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    shown += ask("login zai") + ask("logout zai") + ask(f"logout {glm.url}") + ask(f"logout {glm.url}")
    assert "No key was kept" in shown
    assert "authorization" not in (ask("hi") and glm.requests[-1].headers)
    assert not file.exists()
    assert not any(part in shown for part in (KEY, KEY[:6], KEY[-6:]))


def test_login_changes_nothing_without_a_key(ask, shell, typed, tmp_path):
    """An empty line, and what can be no key, are not kept; nor a key that would travel in the clear."""
    typed("")
    assert "nothing has changed" in ask("login zai")
    for text, line in (("two words", "login zai"), ("schlüssel", "login zai"), (KEY, "login http://10.1.2.3/v1")):
        typed(text)
        assert text not in str(fail(shell, f"%chatglm {line}"))
    assert list(tmp_path.rglob("keys.json")) == []


def test_login_needs_somebody_who_types_and_a_host(shell):
    """Without input it names the variable; without a host it asks whose key it is."""
    assert "ZHIPUAI_API_KEY" in str(fail(shell, "%chatglm login bigmodel"))
    run(shell, "%config ChatGLMMagics.base_url = ''\n%config ChatGLMMagics.provider = 'auto'")
    assert "Say whose key" in str(fail(shell, "%chatglm login"))


def test_status_says_where_the_key_comes_from(ask, monkeypatch):
    """The variable's name, never its value."""
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    shown = ask("-m zai status")

    assert "ZAI_API_KEY in the environment" in shown
    assert "api.z.ai" in shown
    assert KEY not in shown
    assert KEY[:6] not in shown


@pytest.mark.parametrize("cell", [f"%chatglm what is {KEY}?", f"%%chatglm -s 'my key is {KEY}'\nhi"])
def test_the_users_own_key_is_not_sent(shell, glm, monkeypatch, cell):
    """A prompt that holds a key of the environment stays here, and so does the key."""
    monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)

    error = fail(shell, cell)
    assert "nothing was sent" in str(error)
    assert KEY not in str(error)
    assert glm.requests == []


def test_the_users_own_key_is_not_sent_out_of_a_value(shell, glm, typed):
    """Nor one that a variable holds, here one that login has kept."""
    typed(KEY)
    run(shell, f"%chatglm login {glm.url}")
    shell.user_ns["config"] = {"key": KEY}

    assert "nothing was sent" in str(fail(shell, "%chatglm explain {config}"))
    assert glm.requests == []


@pytest.mark.parametrize(
    ("cell", "warned"),
    [
        (f"%chatglm -q is {KEY} valid?", True),
        (f"key = '{KEY}'", True),
        ("import os; os.environ['ZAI_API_KEY'] = 'sk-abcdefghijklmnopqrstuv'", True),
        ("x = 'sk-abcdefghijklmnopqrstuv'", False),
        ("%chatglm -q what is 0123456789abcdef0123456789abcdef?", False),
        ("%chatglm -q what is a sk-learn estimator?", False),
    ],
)
def test_a_key_in_a_cell_is_warned_of(shell, glm, capsys, cell, warned):
    """What looks like a key in a cell's source is noticed, once the cell has run; the key is not repeated."""
    glm.say("ok")
    run(shell, cell)

    told = capsys.readouterr().err
    assert ("looks like a key" in told) == warned
    assert KEY not in told
