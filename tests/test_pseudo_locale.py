"""No sentence goes past the catalog: sessions in a locale of strange vowels, in which plain English is a mistake."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from faults import CASES, hurry, play
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from panel_kit import Page, chat_with
from pseudo_language import plain_english, speak_strangely
from shells import make_shell

import chatglm_magic
from chatglm_magic import ChatPanel, Finished, Part, TextDelta, ThinkingDelta, Usage
from chatglm_magic._errors import _CLASSES, ChatGLMError, status_error
from chatglm_magic._magics.options import COMMANDS, FORMATS, TABLE, TOPICS
from chatglm_magic._markdown.reply_markdown import CUTS
from chatglm_magic._messages import OPTIONS
from chatglm_magic._store import close_stores

SPOKEN = re.findall(
    r"\w+",
    """local zai bigmodel openai chatglm nobody scripted auto glm replay below replace timeout ConfigError true false
    stream stream_options include_usage True False None Expecting value line column Choices any of Current Magics
    option""",
)
"""Names of providers and settings, and the words of Python, traitlets and the wire."""
NAMES = frozenset(
    {
        word
        for one in (*TABLE, *COMMANDS)
        for word in re.findall(r"[\w-]+", str((getattr(one, "names", ""), one.values)))
    }
    | {command.name for command in COMMANDS}
    | set(TOPICS)
    | set(OPTIONS)
    | {*FORMATS, *SPOKEN}
)
"""What is the same in every language: names of options, commands, parameters, formats and providers."""


@pytest.fixture(autouse=True)
def _strange(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_strangely(monkeypatch)


@pytest.fixture
def shell(glm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[InteractiveShell]:
    """Yield a shell with a store of its own, whose questions go to the loopback server."""
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "store.db"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    glm.say("回答", thinking="嗯", model="m")
    shell = make_shell(provider="openai", base_url=glm.url, model="m")
    chatglm_magic.load_ipython_extension(shell)
    yield shell
    chatglm_magic.unload_ipython_extension(shell)
    close_stores()
    InteractiveShell.clear_instance()


def shown(shell: InteractiveShell, cell: str) -> str:
    """Run a cell, and return all that a person sees of it, its error included."""
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    outputs = [str(text) for output in captured.outputs for text in output.data.values()]
    value = [repr(result.result)] if isinstance(result.result, str) else []
    return "\n".join([captured.stdout, captured.stderr, *outputs, *value, str(error or "")])


def untranslated(text: str) -> list[str]:
    return plain_english(text, NAMES)


LINES = re.split(
    r"\s*[|\n]\s*",
    """help | -- | models | models zai | models nobody | use | use m2 | use zai:glm-4.7 | status | set
    set temperature 0.5 | set temperature 9 | set nonsense 1 | set think perhaps | set system 简短
    set timeout -1 | new | new 课 | chats | chats 3 | search 回答 | search 没有 | history | history 1 | undo
    undo | retry | continue | reset | last | fix | explain | code | code 9 | rename 新 | rename # | delete
    delete 没有 | forget | forget 没有 | forget all | save talk.json | save talk.json | load talk.json
    load nowhere.json | load 没有 | export talk.md | export talk.md | export talk.html | export talk.ipynb
    export talk.txt | stop | stop 7 | jobs | version | login zai | login http://h.example | logout zai | logout
    panel | helpp | hlep | statsu | new my long name | 你好 --new | -m | --nonsense 问 | -o temperature x 问
    -o nonsense 1 问 | --timeout 0 问 | -f xml 问 | --out 1x 问 | -c #x 问 | --cells a 问 | --insert --bg 问
    -m zai:glm-4.7 问 | -m nobody:x 问 | --base-url nowhere 问 | --vars 没有 问 | --err 问 | --cells 99 问
    --dry-run 问 | --dry-run -s 简短 问 {n} {没有} {len(n)} | -u 问 | -q 问 | -R 问 | -f json 问 | -f code 问
    -f text 问 | --insert 问 | --cache 问 | --cache 问 | --no-history 问 | --new 问 | --bg 问
    问 {n} {没有} {long} | -m local:nowhere.gguf 问 | sk-0123456789abcdef0123456789abcdef 问""",
)
"""What is typed behind `%chatglm`, right and wrong."""


def test_a_session_of_all_commands_and_options(shell: InteractiveShell) -> None:
    """Whatever is typed, right or wrong, its answer comes from the catalog."""
    shell.user_ns.update(n=7, long="数" * 9000)
    shown(shell, "%chatglm 问")

    found = {
        line: phrases
        for line in (*LINES, "", *(f"help {topic}" for topic in TOPICS))
        if (phrases := untranslated(shown(shell, f"%chatglm {line}")))
    }

    assert found == {}


@pytest.mark.parametrize("kind", sorted(_CLASSES))
def test_every_refusal(kind: str) -> None:
    """An error of each kind is told from the catalog, whatever is known of it."""
    full = status_error(kind, host="h", model="m", status=500, code="7", detail="不", retry_after=3, reset_at="12:00")

    assert untranslated(f"{full}\n{status_error(kind)}") == []


def test_every_fault_of_a_server(shell: InteractiveShell, glm, monkeypatch: pytest.MonkeyPatch) -> None:
    """What servers do wrong is told from the catalog; their own words stay."""
    hurry(monkeypatch)
    found = {}
    for case in CASES:
        if "options" not in case and "error" in case["expected"]:
            glm.forget()
            play(glm, case)
            error = shell.run_cell("%chatglm 问", store_history=True).error_in_exec
            if isinstance(error, ChatGLMError):
                text = str(error).replace(getattr(error, "detail", "") or "\0", "")
                for line in "\n".join(frame for frame in case.get("frames", ()) if isinstance(frame, str)).split("\n"):
                    text = text.replace(line.strip() or "\0", "")
                if phrases := untranslated(text):
                    found[case["id"]] = phrases
    assert found == {}


def test_every_notice_below_an_answer(shell: InteractiveShell) -> None:
    """What stands under an answer that is cut, odd or not stored is told from the catalog."""
    from chatglm_magic._markdown import reply_markdown
    from chatglm_magic._reply import Reply

    names = [*CUTS, *reply_markdown._SENTENCES, "unknown-field:x", "unknown-part:x"]
    for reason in ("stop", "length", "content_filter", "error", "interrupted"):
        reply = Reply("m", "p")
        for event in (
            ThinkingDelta("嗯"),
            Part("search"),
            Part("tool_call", name="f"),
            TextDelta("回答"),
            Usage(1, 2, 3),
        ):
            reply.add(event)
        reply.add(Finished(reason, warnings=tuple(names)))
        assert untranslated(reply._repr_markdown_()) == []
    assert untranslated(Reply("m", "p")._repr_markdown_()) == []


def test_what_tab_offers(shell: InteractiveShell) -> None:
    """The notes beside completions are from the catalog."""
    completer = shell.magics_manager.registry["ChatGLMMagics"]._offers
    for before in ("%chatglm ", "%chatglm -", "%chatglm set ", "%chatglm help ", "%chatglm -m ", "%chatglm -o "):
        assert untranslated(str(completer(before, ""))) == []


def test_the_settings(shell: InteractiveShell) -> None:
    """`%config ChatGLMMagics` explains its settings from the catalog."""
    text = shown(shell, "%config ChatGLMMagics")

    assert untranslated(text.partition("\n")[2]) == []


ASKED = """
send text=|send text=长|edit id=none text=五|delete id=FIRST|undo|undo|version id=SECOND step=1
continue id=FIRST|regenerate id=none|source id=none|model name=nobody:x|model name=zai:glm-4.7
chat name=没有|new name=#|rename name=-x|drop name=没有|set chat=default name=temperature text=9
nonsense|find what=chat text=x|export form=md|draft text={n}|stop
"""
"""What is asked of a panel, right and wrong: kinds with their values."""


def test_a_panel() -> None:
    """All that a panel writes to its page is from the catalog: notes, states, refusals, files."""
    replies = ([TextDelta("回答"), Usage(1, 2, 3)], [TextDelta("半"), Finished("length")], [status_error("server")])
    with Page(ChatPanel(chat_with(*replies))) as page:
        for text in ("一", "二", "三", "四"):
            page.answer("send", text=text)
            page.settled()
        ids = {"FIRST": page.shown[0]["id"], "SECOND": page.shown[1]["id"], "长": "长" * 100_000}
        for kind, *values in map(str.split, re.split(r"[|\n]", ASKED.strip())):
            given = {name: ids.get(value, value) for name, _, value in (one.partition("=") for one in values)}
            page.ask(kind, **given | ({"step": 1} if "step" in given else {}))
            page.settled()
        said = [str(message) for _, message in page.got]

    states = {"user", "assistant", "streaming", "done", "failed", "cut", "edit", "regenerate", "delete", "retry"}
    texts = [re.sub(r"'\w+': |<[^>]*>", " ", text) for text in said]
    assert [phrase for text in texts for phrase in plain_english(text, NAMES | states)] == []
