"""The last error, and the commands about it; replies as text, code and JSON; code put into cells; dry runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from shells import fail, make_shell

import chatglm_magic
from chatglm_magic import ConfigError, ImagePart, Message, ReplyFormatError, TextPart, ToolCall
from chatglm_magic._magics.commands.debugging import corrected_cell, diff, language_of
from chatglm_magic._magics.prompt import describe_request
from chatglm_magic._markdown.fences import CellContent, CodeBlock, cell_content, code_blocks, code_for_cell
from chatglm_magic._messages import Request

FIXED = "It divided by zero.\n\n```python\nx = 2\n1 / x\n```\nDone."
STEPS = "First:\n```python\na = 1\n```\nIt prints\n```\n1\n```\nthen\n```py\nb = a\n```"


@pytest.fixture
def shell(glm) -> Generator[InteractiveShell]:
    """Give a shell whose questions go to the loopback server, and which remembers what is put into its next cell."""
    sys.last_value = None
    shell = make_shell(provider="openai", base_url=glm.url, model="glm-4.7")
    chatglm_magic.load_ipython_extension(shell)
    shell.put = []
    shell.set_next_input = lambda code, replace=False: shell.put.append((code, replace))
    yield shell
    chatglm_magic.unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> str:
    """Run a cell that must not fail, and give what it showed."""
    with capture_output(display=False) as shown:
        result = shell.run_cell(cell, store_history=True)
    result.raise_error()
    return shown.stdout


def sent(glm) -> dict[str, str]:
    """Give what the last request said, by role."""
    return {message["role"]: message["content"] for message in glm.requests[-1].json["messages"]}


def test_fix_sends_the_cell_and_brings_a_corrected_one(shell, glm):
    """The source and the traceback go out; the corrected cell comes below, with what changes, and is not run."""
    glm.say(FIXED)
    fail(shell, "x = 0\n1 / x")

    shown = run(shell, "%chatglm fix")

    assert "The cell that failed, In[1]:\n```python\nx = 0\n1 / x\n```" in sent(glm)["user"]
    assert 'File "In[1]", line 2' in sent(glm)["user"]
    assert "ZeroDivisionError" in sent(glm)["user"]
    assert "interactiveshell" not in sent(glm)["user"]
    assert "Answer in" in sent(glm)["system"]
    assert shell.put == [("x = 2\n1 / x", False)]
    assert "-x = 0\n+x = 2\n 1 / x" in shown
    assert shell.user_ns["x"] == 0
    assert shell.user_ns["_"].text == FIXED


def test_fix_may_take_the_place_of_its_own_cell(shell, glm):
    """`fix replace` writes into the cell that says it."""
    glm.say(FIXED)
    fail(shell, "x = 0\n1 / x")

    run(shell, "%chatglm fix replace")

    assert shell.put == [("x = 2\n1 / x", True)]


def test_retry_after_fix_offers_the_cell_again(shell, glm):
    """Asked again, the corrected cell comes as it did the first time; a question in between is no fix."""
    glm.say(FIXED)
    fail(shell, "x = 0\n1 / x")
    run(shell, "%chatglm fix replace")
    glm.say("```python\nx = 3\n1 / x\n```")

    shown = run(shell, "%chatglm retry")

    assert shell.put == [("x = 2\n1 / x", True), ("x = 3\n1 / x", True)]
    assert "-x = 0\n+x = 3\n 1 / x" in shown

    run(shell, "%chatglm hello")
    run(shell, "%chatglm retry")

    assert len(shell.put) == 2


def test_fix_works_on_what_could_not_even_be_compiled(shell, glm):
    """A SyntaxError has no frames, but a cell and a place."""
    glm.say("```python\ndef f():\n    pass\n```")
    fail(shell, "def f(:\n    pass")

    run(shell, "%chatglm fix")

    assert "def f(:\n" in sent(glm)["user"]
    assert re.search(r'File "In\[1\]", line 1\n +def f\(:', sent(glm)["user"])
    assert "compilerop" not in sent(glm)["user"]
    assert shell.put == [("def f():\n    pass", False)]


@pytest.mark.parametrize(
    ("said", "words"),
    [("I do not know.", "holds no corrected cell"), ("```python\n1 / 0\n```", "leaves the cell as it was")],
)
def test_fix_says_when_there_is_nothing_to_put_anywhere(shell, glm, said, words):
    """No code, or the same code: nothing is put into a cell."""
    glm.say(said)
    fail(shell, "1 / 0")

    assert words in run(shell, "%chatglm fix")
    assert shell.put == []


def test_explain_changes_nothing(shell, glm):
    """The explanation is the cell's value; no cell is written."""
    glm.say(FIXED)
    fail(shell, "1 / 0")

    run(shell, "why = %chatglm explain")

    assert shell.user_ns["why"].text == FIXED
    assert shell.put == []


@pytest.mark.parametrize("verb", ["fix", "explain"])
def test_without_an_error_there_is_nothing_to_ask(shell, glm, verb):
    """A clear sentence, and nothing is sent."""
    error = fail(shell, f"%chatglm {verb}")

    assert isinstance(error, ConfigError)
    assert f"No error to {verb}" in str(error)
    assert glm.requests == []


def test_errors_of_ours_and_interrupts_are_no_errors_to_fix(shell, glm):
    """The last error is the last one of the user's own code."""
    fail(shell, "int('five')")
    for cell in ("%chatglm --modle x", "%chatglm --vars nmae hi", "raise KeyboardInterrupt"):
        fail(shell, cell)
    glm.say(FIXED)

    run(shell, "%chatglm --err What is this?")

    assert "int('five')" in sent(glm)["user"]
    assert "nmae" not in sent(glm)["user"]


def test_an_error_from_before_loading_is_found(shell, glm):
    """Whoever loads the extension because a cell has failed can ask about that cell."""
    chatglm_magic.unload_ipython_extension(shell)
    run(shell, "def f(x):\n    return 1 / x")
    fail(shell, "f(0)  # 除以零")
    chatglm_magic.load_ipython_extension(shell)
    glm.say(FIXED)

    run(shell, "%chatglm explain")

    assert "In[2]:\n```python\nf(0)  # 除以零\n```" in sent(glm)["user"]
    assert 'File "In[1]", line 2, in f' in sent(glm)["user"]
    assert sent(glm)["system"].endswith("Answer in Chinese.")


def test_a_chain_of_errors_is_told_whole(shell, glm):
    """What led to an error is part of it."""
    fail(shell, "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('no k') from e")
    glm.say("ok")

    run(shell, "%chatglm --err hi")

    assert sent(glm)["user"].index("KeyError: 'k'") < sent(glm)["user"].index("ValueError: no k")


def test_libraries_are_named_without_the_users_folders(shell, glm):
    """Where Python is installed is nobody's business."""
    fail(shell, "import json\njson.loads('{')")
    glm.say("ok")

    run(shell, "%chatglm --err hi")

    assert 'File "json/decoder.py", line' in sent(glm)["user"]
    assert 'File "/' not in sent(glm)["user"]


@pytest.mark.parametrize(
    ("source", "lang", "language"),
    [
        ("1 / 0", "de_DE.UTF-8", "German"),
        ("1 / 0", "zh_CN.UTF-8", "Chinese"),
        ("1 / 0", "C", "English"),
        ("1 / 0  # 除", "de_DE.UTF-8", "Chinese"),
        ("'''делим'''\n1 / 0", "C", "Russian"),
        ("x = '除'  # half", "de", "the language of the code's comments, or in German where it has none"),
    ],
)
def test_the_answer_speaks_the_authors_language(monkeypatch, source, lang, language):
    """The comments' language goes before the locale's."""
    for name in ("LC_ALL", "LC_MESSAGES", "CHATGLM_LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", lang)

    assert language_of(source) == language


def test_the_answer_speaks_the_language_that_is_set(monkeypatch):
    """CHATGLM_LANG and `%config` go before the locale, as they do for all that is shown."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("CHATGLM_LANG", "zh")

    assert language_of("1 / 0") == "Chinese"
    assert language_of("1 / 0  # делим") == "Russian"


def test_the_corrected_cell_is_the_last_python_block():
    """Models quote the old lines first; output and shell commands are no cells."""
    said = "```python\nold\n```\n```py\nnew\n\n```\n```text\nout\n```"

    assert corrected_cell(code_blocks(said)) == "new"
    assert corrected_cell(code_blocks("```bash\nls\n```\n```\nplain\n```")) == "plain"
    assert corrected_cell([]) == ""
    assert diff("a\nb", "a\nb") == ""


def test_code_for_a_cell_is_all_of_its_python():
    """Steps are joined; where there is no Python, the last block goes under its language's magic."""
    assert code_for_cell(code_blocks(STEPS)) == "a = 1\n\nb = a"
    assert code_for_cell(code_blocks("```\n1\n```")) == "1"
    assert code_for_cell([CodeBlock("bash", "ls"), CodeBlock("sh", "pwd")]) == "%%sh\npwd"
    assert code_for_cell([CodeBlock("sql", "select 1")]) == "select 1"
    assert code_for_cell([]) == ""


def test_the_content_of_a_cell_is_what_one_cell_can_run_or_text():
    """Python first; else all blocks of one cell magic; what no single cell runs keeps its fences, as text."""
    bash, shell, html = CodeBlock("bash", "ls"), CodeBlock("Shell", "pwd"), CodeBlock("html", "<b>")
    rust = CodeBlock("rust", "// ```")
    assert cell_content([bash, *code_blocks(STEPS)]) == CellContent("a = 1\n\nb = a", "code")
    assert cell_content([bash, CodeBlock("text", "out"), shell]) == CellContent("%%bash\nls\n\npwd", "code")
    assert cell_content([bash, html]) == CellContent("```bash\nls\n```\n\n```html\n<b>\n```", "markdown")
    assert cell_content([rust]) == CellContent("````rust\n// ```\n````", "markdown")


def test_insert_puts_code_into_a_cell_and_runs_none(shell, glm):
    """`--insert` goes below, `--insert replace` into the asking cell."""
    glm.say(STEPS)

    run(shell, "%%chatglm --insert\nWrite code")
    run(shell, "%chatglm --insert replace -- write code")

    assert shell.put == [("a = 1\n\nb = a", False), ("a = 1\n\nb = a", True)]
    assert "a" not in shell.user_ns


def test_insert_without_code_says_so(shell, glm):
    """No code, no cell, one sentence."""
    glm.say("There is none.")

    run(shell, "%chatglm --insert --out r hi")

    assert shell.put == []
    assert [part.content for part in shell.user_ns["r"].parts if part.kind == "notice"] == [
        "There is no code in this reply."
    ]


def test_code_is_shown_alone(shell, glm):
    """With `-f code` prose goes, and every block stays."""
    glm.say(STEPS)

    shown = run(shell, "%chatglm -f code hi")

    assert shown.strip() == "a = 1\n\n1\n\nb = a"


def test_json_is_laid_out_and_its_failure_is_clear(shell, glm):
    """With `-f json` the cell fails where the reply is none, and what arrived stays."""
    glm.say('```json\n{"a": [1, "二"]}\n```')
    assert json.loads(run(shell, "%chatglm -f json --out r hi")) == {"a": [1, "二"]}
    assert shell.user_ns["r"].json == {"a": [1, "二"]}
    glm.say("Sure! {broken")

    error = fail(shell, "%chatglm -f json --out r hi")

    assert isinstance(error, ReplyFormatError)
    assert error.reply is shell.user_ns["r"]
    assert error.reply.text == "Sure! {broken"


def test_a_dry_run_shows_everything_but_the_key_and_sends_nothing(shell, glm, monkeypatch):
    """Messages, options, provider, model, host and size are shown; no conversation changes."""
    monkeypatch.setenv("CHATGLM_API_KEY", "sk-very-secret")
    glm.say("ok")
    run(shell, "%chatglm -s Terse. first")
    asked = len(glm.requests)
    shell.user_ns["rows"] = [1, 2]

    shown = run(shell, "r = %chatglm --dry-run -o temperature 0.5 --no-think Sum {rows} {nmae}")

    for words in ("nothing was sent", "openai", "glm-4.7", "127.0.0.1", "temperature 0.5", "thinking: off", "tokens"):
        assert words in shown
    assert "user:\nfirst\n\nassistant:\nok\n\nuser:\nSum [1, 2] {nmae}" in shown
    assert "No value for {nmae}" in shown
    assert "very-secret" not in shown
    assert shell.user_ns["r"] is None
    assert "first" not in run(shell, "%chatglm --dry-run --new second")
    assert len(glm.requests) == asked
    run(shell, "%chatglm third")
    assert [message["content"] for message in glm.requests[-1].json["messages"]] == ["first", "ok", "third"]


def test_a_dry_run_shows_the_parameters_as_they_are_sent(shell, glm):
    """What the provider adds or rewrites is shown: the stop words of GLM's turns, sampling in the server's words."""
    line = "-o stop END -o do_sample false -o repeat_penalty 1.1 --think hi"
    shown = run(shell, f"%chatglm --dry-run {line}")
    glm.say("ok")
    run(shell, f"%chatglm {line}")

    body = glm.requests[-1].json
    sent = ", ".join(f"{name} {json.dumps(value)}" for name, value in body.items() if name not in {"model", "messages"})
    assert f"options: {sent}\n" in shown
    assert 'stop ["END", "<|user|>"' in shown


def test_a_dry_run_shows_parameters_of_whoever_has_no_words_for_them(shell):
    """Without a body of the provider's own, what was asked for is shown."""

    class Quiet:
        name = "quiet"

    said = describe_request(Request((Message("user", "hi"),), options={"stop": ("a", "b")}), Quiet())["text/plain"]

    assert 'options: stop ["a", "b"]\n' in said
    assert "model: quiet\n" in said


def test_a_dry_run_names_pictures_and_calls():
    """Whoever looks before sending sees that a picture goes along, how large it is, and what tools were called."""

    class Quiet:
        name = "quiet"

    picture = ImagePart(data=b"x" * 12_345, media_type="image/png", name="plot.png")
    messages = (
        Message("user", (TextPart("Look"), picture, ImagePart(url="https://h/a.png"))),
        Message("assistant", calls=(ToolCall("c", "stock", '{"of": "tea"}'),)),
        Message("tool", "3 left", call_id="c"),
    )
    said = describe_request(Request(messages), Quiet())["text/plain"]

    assert "user:\nLook\n[picture plot.png, PNG, 12 kB]\n[picture https://h/a.png]\n" in said
    assert 'assistant:\n[calls stock with {"of": "tea"}]\n\ntool:\n3 left' in said


def test_a_dry_run_names_the_model_that_nobody_named(shell):
    """The web dialect lists no models: its site chooses; a server's first one is asked."""
    assert "model: the site's own choice\n" in run(shell, "%chatglm -m chatglm --dry-run hi")

    shell.run_line_magic("config", "ChatGLMMagics.model = ''")

    assert "model: the first that the server lists\n" in run(shell, "%chatglm --dry-run hi")


def test_a_dry_run_of_fix_shows_what_fix_would_send(shell, glm):
    """Also a command's question can be looked at first."""
    fail(shell, "1 / 0")

    assert "ZeroDivisionError" in run(shell, "%chatglm --dry-run fix")
    assert glm.requests == []
    assert shell.put == []
