"""Tests in a real kernel: what each option and each setting promises."""

from __future__ import annotations

from typing import Any

import pytest

SETTINGS = {
    "system": ("Be kind.", lambda sent: sent["messages"][0], {"role": "system", "content": "Be kind."}),
    "temperature": (0.25, lambda sent: sent["temperature"], 0.25),
    "max_tokens": (77, lambda sent: sent["max_tokens"], 77),
    "model": ("glm-4.5-air", lambda sent: sent["model"], "glm-4.5-air"),
}
"""What `%config` sets, and where it is found in what is sent."""


@pytest.fixture(autouse=True)
def _as_it_was(kernel):
    """Leave no setting behind: `%config` outlives the extension."""
    yield
    kernel.ok("del get_ipython().config['ChatGLMMagics']")


def sent(glm) -> dict[str, Any]:
    """Give the last request."""
    return glm.requests[-1].json


def asked(glm) -> list[str]:
    """Give the contents of the last request's messages."""
    return [message["content"] for message in sent(glm)["messages"]]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("-m glm-4.5", {"model": "glm-4.5"}),
        ("--model openai:qwen3:8b", {"model": "qwen3:8b"}),
        ("-m vendor/odd:name", {"model": "vendor/odd:name"}),
        (
            '-s "Be terse; cost $5 {x}"',
            {"messages": [{"role": "system", "content": "Be terse; cost $5 {x}"}, {"role": "user", "content": "hi"}]},
        ),
        (
            "-o temperature 0.2 -o top_p 0.9 -o seed 7 -o max-tokens 50",
            {"temperature": 0.2, "top_p": 0.9, "seed": 7, "max_tokens": 50},
        ),
        ('-o stop "one two" -o stop END', {"stop": ["one two", "END", "<|user|>", "<|assistant|>"]}),
    ],
)
def test_an_option_is_in_what_is_sent(kernel, glm, options, found):
    """Awaited or not: model, system prompt and parameters, with their types."""
    glm.say("ok")
    for cell in (f"%%chatglm {options}\nhi", f"if True:\n    %chatglm {options} hi"):
        kernel.ok("%chatglm reset")
        kernel.ok(cell)

        assert {name: sent(glm)[name] for name in found} == found


def test_a_servers_address_may_be_pasted_with_its_path(kernel, glm):
    """`/chat/completions` at its end is forgiven."""
    glm.say("ok")

    run = kernel.ok(f"%%chatglm --base-url {glm.url}/chat/completions -m x\nhi")

    assert run.markdown == ["ok"]
    assert glm.requests[-1].path.endswith("/v1/chat/completions")
    assert sent(glm)["model"] == "x"


def test_thinking_is_folded_away_and_may_be_left_out(kernel, glm):
    """With its seconds; `-R` hides it, and the Reply has it all the same."""
    glm.say("Four.", thinking="Two and two.")

    (shown,) = kernel.ok("%%chatglm --out a\n2 + 2?").markdown
    assert "<details><summary>Thought for " in shown
    assert "Two and two." in shown
    for options in ("-R", "--hide-thinking"):
        assert kernel.ok(f"%%chatglm {options} --out a\n2 + 2?").markdown == ["Four."]
    assert kernel.value("(a.thinking, a.text)") == "('Two and two.', 'Four.')"
    kernel.ok("%config ChatGLMMagics.show_thinking = False")
    assert kernel.ok("%%chatglm\n2 + 2?").markdown == ["Four."]


def test_thinking_is_switched_on_and_off(kernel, glm):
    """A switch of its own, for the services that know it; nothing is said of it without one."""
    kernel.ok("import os; os.environ['ZAI_API_KEY'] = 'id.secret'")
    try:
        told = [
            kernel.ok(f"%%chatglm --dry-run -m zai:glm-4.7 {option}\nhi").outputs[0]["data"]["text/plain"]
            for option in ("--think", "--no-think", "")
        ]
    finally:
        kernel.ok("del os.environ['ZAI_API_KEY']")

    for text, word in zip(told, ("on", "off", "as the service does"), strict=True):
        assert f"thinking: {word}\n" in text
    assert glm.requests == []


def test_quiet_and_usage(kernel, glm):
    """`-q` shows nothing and is worth a Reply; `-u` tells model, tokens and seconds in a last line."""
    glm.say("ok")

    assert kernel.ok("%%chatglm -q --out a\nhi").outputs == []
    assert kernel.value("a.text") == "'ok'"
    (shown,) = kernel.ok("%%chatglm -u\nhi").markdown
    assert "tokens" in shown.splitlines()[-1]
    assert "glm-4.7" in shown.splitlines()[-1]


def test_a_silent_server_is_given_up(kernel, glm):
    """After `--timeout` seconds without an event; what had arrived is kept, the setting holds without the option."""
    glm.stall_after(2)

    run = kernel.run("%%chatglm --timeout 0.3 --out a\nhi")
    assert (run.status, run.ename) == ("error", "StalledError")
    assert kernel.value("a.text.startswith('one')") == "True"
    kernel.ok("%config ChatGLMMagics.timeout = 0.3")
    assert kernel.run("%%chatglm\nhi").ename == "StalledError"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_in_what_is_sent(kernel, glm, name):
    """`%config` holds where neither option nor conversation says otherwise."""
    value, find, found = SETTINGS[name]
    glm.say("ok")
    kernel.ok(f"%config ChatGLMMagics.{name} = {value!r}")

    kernel.ok("%%chatglm\nhi")

    assert find(sent(glm)) == found


def test_painting_is_as_rare_as_is_set(kernel, glm):
    """`refresh_hz` counts paints a second."""
    paints = []
    for hertz in (20, 1):
        glm.forget()
        glm.say("word " * 40, delay=0.02)
        kernel.ok(f"%config ChatGLMMagics.refresh_hz = {hertz}")
        paints.append(len(kernel.ok("%%chatglm\nhi").paints))

    assert paints[1] < paints[0] / 2


def test_tracebacks_come_back_when_they_are_wanted(kernel, glm):
    """`short_errors = False` shows where it came from; a line else."""
    glm.refuse(400, "1210", "no such parameter")

    assert len(kernel.run("%%chatglm\nhi").traceback) <= 2
    kernel.ok("%config ChatGLMMagics.short_errors = False")
    assert any("Traceback" in line for line in kernel.run("%%chatglm\nhi").traceback)
