"""The commands about what is kept, in a shell of this process."""

from __future__ import annotations

import json
import sqlite3

import pytest
from shells import fail, offered, run, said

from chatglm_magic import ConfigError, load_ipython_extension, unload_ipython_extension
from chatglm_magic._magics.commands.storage import _found
from chatglm_magic._magics.magic import ChatGLMMagics
from chatglm_magic._store import AnswerRow, Batch, close_stores, open_store


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Keep what these tests say in a file of their own, and work in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = tmp_path / "store" / "said.db"
    monkeypatch.setenv("CHATGLM_STORE", str(path))
    yield path
    close_stores()


@pytest.fixture
def restart(shell):
    """Begin with new magics, as a new kernel does."""

    def restart() -> None:
        settings = {name: getattr(magics_of(shell), name) for name in ("provider", "base_url", "model")}
        unload_ipython_extension(shell)
        close_stores()
        load_ipython_extension(shell)
        for name, value in settings.items():
            setattr(magics_of(shell), name, value)

    return restart


def magics_of(shell) -> ChatGLMMagics:
    return shell.magics_manager.registry["ChatGLMMagics"]


def number(line: str) -> str:
    """Give the #number that a line tells."""
    return next(word for word in line.split() if word.startswith("#"))


def test_a_conversation_goes_on_in_another_kernel(ask, restart, shell):
    """By its name, with what is set for it; the usual one begins anew; both are listed before they are open."""
    ask("new paper")
    ask("set system Be terse.")
    ask("one")
    ask("-c default two")
    restart()

    listed = ask("chats").splitlines()
    assert listed[0].startswith("* default  nothing said")
    assert [line.split()[3] for line in listed[2:]] == ["default", "paper"]
    assert "Conversation paper goes on: 2 messages, the last on" in ask("new paper")
    assert ask("set") == "system = Be terse.\n"
    ask("three")
    assert said(shell, "paper") == ["one", "re: one", "three", "re: three"]
    assert "nothing said" in ask("-c default status")


def test_an_option_brings_a_conversation_back_and_says_so_once(ask, restart, shell, glm):
    """`-c NAME` goes on with the stored one; the sentence stays with the reply."""
    ask("-c paper one")
    restart()

    assert "Conversation paper goes on: 2 messages" in str(run(shell, "r = %chatglm -c paper two\nr.parts"))
    assert "goes on" not in str(run(shell, "r = %chatglm -c paper three\nr.parts"))
    assert [message["content"] for message in glm.requests[-1].json["messages"]] == [
        "one",
        "re: one",
        "two",
        "re: two",
        "three",
    ]


@pytest.mark.parametrize("begin", [100, 4096])
@pytest.mark.parametrize("command", ["chats", "search thorium"])
def test_a_damaged_store_is_told_where_nothing_is_listed(ask, restart, place, command, begin):
    """What a damaged file held is not found; the list says why, in one sentence, once."""
    ask("-c paper thorium")
    assert "was damaged" not in ask(command)
    close_stores()
    data = bytearray(place.read_bytes())
    data[begin:] = bytes(byte ^ 0x5A for byte in data[begin:])
    place.write_bytes(data)
    restart()

    shown = ask(command)

    assert shown.count("was damaged. It was set aside as") == 1
    assert shown.splitlines()[-1].startswith(str(place))


def test_a_dry_run_shows_what_is_stored_too(ask, restart, glm):
    """What would be sent is what the stored conversation holds and the question; nothing is sent."""
    ask("-c paper one")
    restart()
    count = len(glm.requests)

    shown = ask("-c paper --dry-run two")
    assert "re: one" in shown
    assert len(glm.requests) == count


def test_what_is_stored_is_offered(ask, restart, shell, tmp_path):
    """Tab knows stored conversations by name and number, and files by what a command takes."""
    ask("-c paper one")
    ask("-c 物理 two")
    restart()
    for name in ("talk.json", "talk.md", "notes.txt", ".hidden.json", "two words.json"):
        (tmp_path / "work" / name).write_text("")
    (tmp_path / "work" / "folder").mkdir()

    assert offered(shell, "%chatglm -c pa") == ["%chatglm -c paper"]
    assert offered(shell, "%chatglm new 物") == ["%chatglm new 物理"]
    assert offered(shell, "%chatglm load #") == ["%chatglm load #2", "%chatglm load #1"]
    assert {"%chatglm forget all", "%chatglm forget paper"} <= set(offered(shell, "%chatglm forget "))
    assert offered(shell, "%chatglm load ta") == ["%chatglm load talk.json"]
    assert offered(shell, "%chatglm export ta") == ["%chatglm export talk.json", "%chatglm export talk.md"]
    assert offered(shell, "%chatglm save f") == ["%chatglm save folder/"]
    assert offered(shell, "%chatglm load .h") == ["%chatglm load .hidden.json"]
    assert "%chatglm help memory" in offered(shell, "%chatglm help ")
    assert "%chatglm --cache" in offered(shell, "%chatglm --ca")


def test_conversations_of_one_name_are_told_by_number(ask, restart, shell):
    """A name is the newest one's; `#12` is exact, and is opened beside it under another name."""
    ask("-c paper one")
    restart()
    ask("-c paper --new two")
    restart()
    listed = [line for line in ask("chats").splitlines() if "paper" in line]
    assert [line.rpartition("  ")[2] for line in listed] == ["two", "one"]

    assert "Conversation paper goes on: 2 messages" in ask("load paper")
    assert said(shell, "paper") == ["two", "re: two"]
    assert "Conversation paper-2 goes on: 2 messages" in ask(f"load {number(listed[1])}")
    assert said(shell, "paper-2") == ["one", "re: one"]
    assert "Conversation paper-2 goes on" in ask(f"load {number(listed[1])}")
    ask(f"-c {number(listed[1])} three")
    assert said(shell, "paper-2") == ["one", "re: one", "three", "re: three"]
    assert "* paper-2" in ask("chats")


def test_a_new_conversation_is_new(ask, restart, shell):
    """One without a name, and one out of a file, take a name that nothing stored has."""
    ask("new")
    ask("one")
    ask("save talk")
    restart()
    assert "begins" in ask("new")
    assert magics_of(shell).workspace.current == "chat-2"
    ask("two")
    assert "Conversation chat-3 goes on: 2 messages" in ask("load talk")
    assert said(shell, "chat-3") == ["one", "re: one"]


def test_what_was_reset_stays_stored(ask, restart):
    """A new beginning leaves the old one where it is found."""
    ask("-c paper zebra")
    ask("-c paper reset")
    ask("-c paper --new two")

    assert "2 places with 'zebra'" in ask("search zebra")


def test_search_shows_where_and_marks_it(ask, restart):
    """Who said it, when and in which conversation; Chinese too; how to open it; nothing is no error."""
    ask("-c 物理 用一句话解释注意力机制")
    ask("other words")
    restart()

    shown = ask("search 注意")
    assert "2 places with '注意'" in shown
    assert "»注意«力机制" in shown
    assert "#1 物理 · 20" in shown
    assert "%chatglm load #1 opens" in shown
    assert "you: " in shown
    assert "answer: " in shown
    assert "Nothing was found for zebra" in ask("search zebra")
    assert "-- search zebra" in ask("search zebra")


def test_search_shows_model_text_as_text(ask, shell, glm, capsys):
    """What a model wrote is inert in the Markdown, and drives no terminal."""
    glm.forget()
    glm.say("zebra <img src=x onerror=alert(1)> [a](javascript:alert(1)) `x` \x1b[31m **b**")
    ask("hi")

    found = _found("zebra", magics_of(shell).workspace.store.search("zebra", 5))
    assert "<mark>zebra</mark>" in found.markdown
    for live in ("<img", "](", "`", "\x1b", "**b"):
        assert live not in found.markdown.replace("<mark>", "")
    assert "\x1b" not in ask("search zebra")


def test_forgetting_is_told_before_it_is_done(ask, shell, place, restart):
    """Alone it removes nothing; a name removes all of that name, also what is open; no byte of it stays."""
    ask("-c paper zebra one")
    ask("-c other giraffe")
    restart()
    ask("-c paper zebra two")
    told = ask("forget")
    assert "2 conversations, 6 messages" in told
    assert "Nothing is removed yet" in told
    assert "#2" in told
    assert "giraffe" in told

    assert "1 conversation, 4 messages" in ask("forget paper")
    assert said(shell, "paper") == []
    assert b"zebra" not in b"".join(path.read_bytes() for path in place.parent.iterdir())
    assert b"giraffe" in place.read_bytes()
    assert "-- forget" in str(fail(shell, "%chatglm forget paper"))
    assert "1 conversation, 2 messages" in ask("forget #2")
    ask("-c paper zebra three")
    ask("--no-history zebra four")
    ask("forget all")
    assert b"zebra" not in b"".join(path.read_bytes() for path in place.parent.iterdir())
    assert "0 conversations" in ask("forget")


def test_forget_knows_the_rows_of_maps(ask, shell, place):
    """It says how many there are, removes them alone or with all else, and leaves no byte of them."""
    ask("-c paper hello")
    store = open_store()
    for word in ("zebra", "giraffe"):
        batch = Batch(word, 1.0, f"What of {word}?", "glm-4.7")
        rows = [(f"{word} {number}".encode(), AnswerRow(f"{word} answer")) for number in range(3)]
        store.write(lambda writes, batch=batch, rows=rows: writes.put_answer_rows(batch, rows))
        assert "Beside them 3 answers to rows of maps" in ask("forget")
        told = ask("forget rows" if word == "zebra" else "forget all")
        assert "3 answers to rows of maps" in told
        assert word.encode() not in b"".join(path.read_bytes() for path in place.parent.iterdir())
        assert "rows of maps" not in ask("forget")


def test_delete_and_rename_act_on_what_is_stored(ask, restart, shell):
    """Open or not, by name or number; a taken name is refused."""
    for name in ("a", "b", "c"):
        ask(f"-c {name} {name}-question")
    restart()
    ask("rename a A")
    assert "already" in str(fail(shell, "%chatglm rename b c"))
    first, second = (number(line) for line in ask("chats").splitlines() if line.endswith(("c-question", "b-question")))
    assert "Conversation c is deleted: 2 messages" in ask(f"delete {first}")
    assert "Conversation b is now B" in ask(f"rename {second} B")
    restart()
    names = [line.split()[3] for line in ask("chats").splitlines() if line.startswith("  #")]
    assert sorted(names) == ["A", "B"]


def test_a_file_brings_a_conversation_back(ask, restart, shell, tmp_path):
    """With all its versions, under its name or a free one, and what is stored of the first stays as it is."""
    ask("new talk")
    ask("one")
    ask("retry")
    assert "2 messages" in ask("save my-talk")
    ask("two")
    assert len(json.loads((tmp_path / "work" / "my-talk.json").read_text("utf-8"))["messages"]) == 3
    assert "Conversation talk-2 goes on: 2 messages" in ask("load my-talk")
    assert said(shell, "talk-2") == ["one", "re: one"]
    ask("three")
    assert said(shell, "talk") == ["one", "re: one", "two", "re: two"]
    restart()
    ask("new talk")
    assert said(shell, "talk") == ["one", "re: one", "two", "re: two"]


@pytest.mark.parametrize("ending", ["md", "html", "ipynb", "json"])
def test_a_conversation_is_exported_by_the_files_ending(ask, ending, tmp_path):
    """Relative to the notebook, `~` as everywhere, blanks in quotes."""
    ask("一 zebra")

    assert "is written to" in ask(f'export "my talk.{ending}"')
    assert "zebra" in (tmp_path / "work" / f"my talk.{ending}").read_text("utf-8")


def test_files_that_cannot_be_are_refused(ask, shell, tmp_path):
    """Nothing to write, no such ending, somebody's own file, no such folder, no conversation in it."""
    assert "Nothing has been said" in str(fail(shell, "%chatglm save a.json"))
    ask("one")
    (tmp_path / "work" / "mine.json").write_text('{"mine": 1}')
    for line, why in (
        ("save mine.json", "take another name"),
        ("save a.md", "export a.md"),
        ("export a.pdf", ".pdf"),
        ("export a", "none"),
        ("export nowhere/a.md", "cannot be written"),
        ("save", "Say which file"),
        ("search", "Say what to look for"),
        ("load mine.json", "mine.json is not a conversation"),
        ("load ~nobody-here/a.json", "no such user"),
        ("-c #99 hi", "No conversation #99"),
        ("load none.json", "no conversation none.json"),
    ):
        error = fail(shell, f"%chatglm {line}")
        assert isinstance(error, ConfigError), line
        assert why in str(error), str(error)
    assert (tmp_path / "work" / "mine.json").read_text() == '{"mine": 1}'


def test_a_relative_store_stays_where_it_was_named(ask, shell, tmp_path, monkeypatch):
    """Also when the notebook goes to another folder; without a name it is the usual one again."""
    run(shell, "%config ChatGLMMagics.store = 'mine.db'")
    monkeypatch.chdir(tmp_path)
    ask("-c paper one")
    assert "1 conversation" in ask("forget")
    assert (tmp_path / "work" / "mine.db").exists()
    assert not (tmp_path / "mine.db").exists()
    run(shell, "%config ChatGLMMagics.store = ''")
    assert str(tmp_path / "store" / "said.db") in ask("status")


def test_off_keeps_nothing_and_says_so(ask, shell, place, monkeypatch):
    """No file, no folder; commands that need a store tell how it is switched on, or how to ask them."""
    run(shell, "%config ChatGLMMagics.store = 'off'")
    ask("-c paper one")
    ask("chats")

    assert not place.parent.exists()
    for command in ("search x", "forget"):
        assert "the store is off" in str(fail(shell, f"%chatglm {command}"))
    assert "no conversation #1" in str(fail(shell, "%chatglm load #1"))
    assert "The store is off" in ask("--cache one")


def test_the_store_moves_with_what_is_open(ask, shell, tmp_path, place):
    """`%config` names another file: open conversations go on there, whole."""
    ask("-c paper one")
    other = tmp_path / "other.db"
    run(shell, f"%config ChatGLMMagics.store = {str(other)!r}")
    ask("-c paper two")
    close_stores()

    for path, count in ((place, 2), (other, 4)):
        assert sqlite3.connect(path).execute("SELECT count(*) FROM message").fetchone() == (count,)
