"""Tests in real kernels: what is said outlives the kernel, is found, shown again, and forgotten when asked."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernel_driver import Kernel, prepare
from kernel_page import KernelPage
from soon import until
from store_kit import look
from test_kernel_commands import echo, said

BESIDE = frozenset({"status", "execute_input"})
"""What every cell sends beside its outputs."""
WORDS = " ".join(f"word{number}" for number in range(400)) + " "


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Say where these tests keep what is said."""
    return tmp_path / "store" / "said.db"


@pytest.fixture
def start(tmp_path, place, glm) -> Generator[Callable[..., Kernel]]:
    """Start kernels that keep what is said in one place."""
    with ExitStack() as stack:

        def start(**env: str) -> Kernel:
            folder = tmp_path / "home"
            folder.mkdir(exist_ok=True)
            kernel = stack.enter_context(Kernel(folder, {"CHATGLM_STORE": str(place), **env}))
            prepare(kernel, glm)
            return kernel

        yield start


def quit_(kernel: Kernel) -> None:
    """End a kernel as a front end does, and wait for it."""
    kernel.client.shutdown()
    kernel.manager.finish_shutdown(waittime=10)


def texts(path: Path) -> list[str]:
    """Give the words of the last answer, as far as they are in the file."""
    if not path.exists() or not look(path, "PRAGMA user_version")[0][0]:
        return []
    found = look(
        path,
        "SELECT message.content || coalesce(group_concat(piece.content, ''), '') FROM message LEFT JOIN piece "
        "ON piece.message = message.number WHERE role = 'assistant' GROUP BY message.number ORDER BY message.number",
    )
    return [str(text) for (text,) in found]


def sent(glm) -> list[str]:
    return [message["content"] for message in glm.requests[-1].json["messages"]]


def test_a_killed_kernel_takes_nothing_with_it(start, glm, place):
    """After `kill -9` in the middle of a reply, another kernel shows what had come, and goes on with it."""
    glm.say(WORDS, delay=0.01)
    first = start()
    run = first.submit("%%chatglm -c paper --out a\ntell me a story")
    first.wait(lambda: any("word99 " in m.content["data"].get("text/markdown", "") for m in run.paints))
    first.wait(lambda: any(b"word99 " in path.read_bytes() for path in place.parent.iterdir()))
    os.kill(first.pid, signal.SIGKILL)
    glm.wait_until(lambda: glm.aborted == 1)
    glm.forget()
    glm.say("and so it ended.")

    second = start()
    shown = second.ok("%chatglm -c paper history")
    assert "Conversation paper goes on: 2 messages" in shown.stdout
    assert "continue goes on with it" in shown.stdout
    assert "tell me a story" in shown.markdown[0]
    assert "word99 " in shown.markdown[0]
    assert [text.strip() for text in second.ok("%chatglm -c paper continue").markdown] == ["and so it ended."]
    question, answer = said(second, "paper")
    assert question == ("user", "tell me a story")
    assert answer[1].startswith("word0 word1 ")
    assert answer[1].endswith("and so it ended.")
    assert sent(glm)[0] == "tell me a story"
    assert "word99 " in sent(glm)[1]
    assert look(place, "PRAGMA integrity_check") == [("ok",)]


def test_two_kernels_in_one_conversation_lose_nothing(start, glm):
    """Both go on from what they know; what both said is there for the next one, in versions of one conversation."""
    echo(glm)
    one, two = start(), start()
    one.ok("%%chatglm -c paper\nzero")
    two.ok("%%chatglm -c paper\nfrom two")
    one.ok("%%chatglm -c paper\nfrom one")
    two.ok("%%chatglm -c paper\ntwo again")
    for kernel in (one, two):
        quit_(kernel)

    third = start()
    assert "4 places" in third.ok("%chatglm search re").outputs[0]["data"]["text/plain"]
    texts = {text for _, text in said_ever(third, "paper")}
    assert texts == {f"{head}{tail}" for tail in ("zero", "from two", "from one", "two again") for head in ("", "re: ")}


def said_ever(kernel: Kernel, name: str) -> list[tuple[str, str]]:
    """Give what a conversation holds, in all versions."""
    kernel.ok(f"%chatglm -c {name} status")
    chats = "get_ipython().magics_manager.registry['ChatGLMMagics'].workspace.chats"
    return eval(kernel.value(f"[(m.role, m.text) for m in {chats}[{name!r}].tree]"))  # noqa: S307 - our own repr


def test_a_cell_replaces_what_it_said_before_the_restart(start, glm):
    """The front end's cell id brings the usual conversation back: the exchange keeps its place, what followed stays."""
    echo(glm)
    first = start()
    for cell, prompt in (("a", "one"), ("b", "two"), ("c", "three")):
        first.ok(f"%%chatglm\n{prompt}", cellId=cell)
    quit_(first)

    second = start()
    run = second.ok("%%chatglm\nTWO", cellId="b")
    assert sent(glm) == ["one", "re: one", "TWO"]
    assert "Conversation default goes on" in run.markdown[0]
    assert [text for _, text in said(second)] == ["one", "re: one", "TWO", "re: TWO", "three", "re: three"]
    second.ok("%%chatglm\nfour", cellId="d")
    assert sent(glm)[-3:] == ["three", "re: three", "four"]


def test_a_panel_shows_after_a_restart_what_it_showed_before(start, glm):
    """The cell that is run again brings it back, the usual conversation or a named one; another cell's is empty."""
    echo(glm)
    for name in ("default", "paper"):
        first = start()
        page = KernelPage(first, first.ok("%chatglm panel", cellId=f"panel-of-{name}"))
        assert (page.head["title"], page.head["cell"], page.head["kept"]) == ("default", "%%chatglm", True)
        if name == "paper":
            page.answer("new", name=name)
            page.wait(lambda page=page: page.head["title"] == "paper")
            assert page.head["cell"] == "%%chatglm -c paper"
        page.exchange("send", text=f"in {name}")
        quit_(first)

    for name in ("paper", "default"):
        second = start()
        assert KernelPage(second, second.ok("%chatglm panel", cellId="panel-of-nobody")).shown == []
        page = KernelPage(second, second.ok("%chatglm panel", cellId=f"panel-of-{name}"))
        assert (page.head["title"], page.shown[0]["source"], len(page.shown)) == (name, f"in {name}", 2)
        page.exchange("send", text="more")
        assert sent(glm)[0] == f"in {name}"
        assert len(said(second, name)) == 4
        quit_(second)


@pytest.mark.parametrize(
    ("cell", "notebook", "comes_back"),
    [("0", "/b.ipynb", False), ("0", "/a.ipynb", True), ("0f1e2d3c", "/moved.ipynb", True)],
)
def test_cells_of_two_notebooks_are_not_mistaken_for_each_other(start, glm, cell, notebook, comes_back):
    """Short ids stand in many notebooks and count with the notebook's path; random ones count alone."""
    echo(glm)
    first = start(JPY_SESSION_NAME="/a.ipynb")
    first.ok("%%chatglm\none", cellId="x")
    first.ok("%%chatglm\ntwo", cellId=cell)
    quit_(first)

    start(JPY_SESSION_NAME=notebook).ok("%%chatglm\nthree", cellId=cell)
    assert sent(glm) == (["one", "re: one", "three"] if comes_back else ["three"])


def test_other_cells_begin_anew_after_a_restart(start, glm):
    """A cell that has not asked before, or that no front end names, begins a new conversation; so does `--new`."""
    echo(glm)
    first = start()
    first.ok("%%chatglm\none", cellId="a")
    first.ok("%%chatglm\ntwo")
    quit_(first)

    for cell, metadata in (("%%chatglm\nthree", {"cellId": "new"}), ("%%chatglm\ntwo", {})):
        kernel = start()
        kernel.ok(cell, **metadata)
        assert len(sent(glm)) == 1
        kernel.ok("%%chatglm\none", cellId="a")  # the conversation of this kernel has begun
        assert len(sent(glm)) == 3
        quit_(kernel)


def test_a_named_conversation_knows_its_cells_by_their_source(start, glm):
    """Question again from top to bottom, a notebook without ids says each thing once."""
    echo(glm)
    for _ in range(2):
        kernel = start()
        for prompt in ("one", "two"):
            kernel.ok(f"%%chatglm -c paper\n{prompt}")
        assert sent(glm) == ["one", "re: one", "two"]
        assert [text for _, text in said(kernel, "paper")] == ["one", "re: one", "two", "re: two"]
        quit_(kernel)


def test_what_followed_may_be_cut_off(start, glm):
    """`rerun = "cut"`: what followed stays with the old version, in this kernel and the next."""
    echo(glm)
    first = start()
    first.ok("%config ChatGLMMagics.rerun = 'cut'")
    for cell, prompt in (("a", "one"), ("b", "two"), ("c", "three"), ("b", "TWO")):
        first.ok(f"%%chatglm -c paper\n{prompt}", cellId=cell)
    assert [text for _, text in said(first, "paper")] == ["one", "re: one", "TWO", "re: TWO"]
    quit_(first)

    second = start()
    assert ("user", "three") in said_ever(second, "paper")
    assert [text for _, text in said(second, "paper")] == ["one", "re: one", "TWO", "re: TWO"]
    second.ok("%config ChatGLMMagics.rerun = 'cut'")
    second.ok("%%chatglm -c paper\nONE", cellId="a")
    assert [text for _, text in said(second, "paper")] == ["ONE", "re: ONE"]
    assert {("user", "three"), ("user", "TWO")} <= set(said_ever(second, "paper"))


def test_a_question_that_failed_is_asked_again_after_a_restart(start, glm):
    """`retry` in a fresh kernel asks what found no answer in the old one."""
    glm.refuse(401, "1000", "no")
    first = start()
    assert first.run("%%chatglm -c paper\nare you there?").status == "error"
    quit_(first)
    glm.say("yes")

    second = start()
    assert [text.strip() for text in second.ok("%chatglm -c paper retry").markdown] == ["yes"]
    assert said(second, "paper") == [("user", "are you there?"), ("assistant", "yes")]


def test_off_writes_nothing(start, glm, place, tmp_path):
    """With the store off a kernel answers, and leaves neither a file nor a folder where its things would be."""
    home = tmp_path / "users-home"
    home.mkdir()
    echo(glm)
    kernel = start(CHATGLM_STORE="off", HOME=str(home), XDG_DATA_HOME=str(home / "share"))

    assert kernel.ok("%%chatglm -c paper\nhi").markdown == ["re: hi"]
    for line in ("chats", "reset"):
        kernel.ok(f"%chatglm {line}")
    quit_(kernel)
    assert not place.parent.exists()
    assert not [found for found in home.rglob("*") if "chatglm" in found.name]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_the_usual_place_is_the_users_alone(start, glm, tmp_path):
    """On by default, in the user's data folder, and nobody else may read it."""
    echo(glm)
    start(CHATGLM_STORE="", XDG_DATA_HOME=str(tmp_path / "data")).ok("%%chatglm\nhi")
    folder = tmp_path / "data" / "chatglm_magic"
    until(lambda: texts(folder / "conversations.db") == ["re: hi"])

    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_two_kernels_keep_what_they_say_in_one_file(start, glm, place):
    """Two kernels that answer at the same time keep all of it, the conversations of one name apart from each other."""
    glm.say("Hello there, both of you.", delay=0.01)
    kernels = start(), start()
    for _ in range(10):
        runs = [kernel.submit("%%chatglm\nHi") for kernel in kernels]
        for kernel, run in zip(kernels, runs, strict=True):
            assert kernel.finish(run).status == "ok"
    until(lambda: texts(place) == ["Hello there, both of you."] * 20)

    assert look(place, "SELECT name, count(*) FROM thread GROUP BY name") == [("default", 2)]
    assert look(place, "PRAGMA integrity_check") == [("ok",)]


def test_a_kernel_that_is_shut_down_has_kept_its_last_words(start, glm, place):
    """Shutting a kernel down right after an answer loses nothing of it, and is not held up."""
    glm.say("Last words.")
    kernel = start()
    kernel.ok("%%chatglm\nHi")
    kernel.client.shutdown()
    kernel.wait(lambda: not kernel.manager.is_alive())

    assert texts(place) == ["Last words."]
    assert not Path(f"{place}-wal").exists()


def test_a_store_that_cannot_be_written_is_told_of_once(start, glm, tmp_path):
    """The reply goes on; one sentence stays with the first one."""
    echo(glm)
    (tmp_path / "file").write_text("no folder")
    kernel = start(CHATGLM_STORE=str(tmp_path / "file" / "said.db"))

    shown: list[str] = []
    deadline = time.monotonic() + 30
    while not any("not stored" in text for text in shown):  # as soon as the store has tried
        shown += kernel.ok("%%chatglm -c paper\none").markdown
        assert time.monotonic() < deadline
    shown += [kernel.ok("%%chatglm -c paper\none").markdown[0] for _ in range(3)]
    assert all(text.startswith("re: one") for text in shown)
    assert sum("not stored" in text for text in shown) == 1
    assert "cannot be written" in kernel.ok("%chatglm status").stdout


def test_stored_answers_are_shown_without_a_server(start, glm):
    """In another kernel, marked, with the tokens and the model of that day; `--no-cache` asks, and fails here."""
    glm.say("one two three", thinking="Let me see.")
    first = start()
    for cell in ("%%chatglm -u\nhi", "%%chatglm\nand?"):
        first.ok(cell)
    tokens = first.value("_.usage.total_tokens")
    quit_(first)
    asked = len(glm.requests)

    second = start()
    second.ok(f"%config ChatGLMMagics.base_url = {glm.refused_url!r}")
    second.ok("%config ChatGLMMagics.cache = 'replay'")
    run = second.ok("%%chatglm --out a\nhi")
    assert len(glm.requests) == asked
    (output,) = run.outputs
    assert output["data"]["text/markdown"].endswith(f"*Stored answer of {time.strftime('%-d %b %Y')}.*")
    assert "Let me see." in output["data"]["text/markdown"]
    assert output["metadata"]["chatglm_magic"]["replayed"] is True
    assert len(run.paints) == 1
    assert second.value("(bool(a.replayed), a.model, a.text)") == "(True, 'glm-4.7', 'one two three')"
    (_,) = second.ok("for _ in [1]:\n    %chatglm --out b and?").markdown
    assert second.value("b.usage.total_tokens") == tokens
    assert second.run("%%chatglm --no-cache\nhi").ename == "ConnectError"
    assert second.run("%%chatglm\nnew question").ename == "ConnectError"


def test_what_is_not_stored_is_asked_and_stored(start, glm):
    """`--cache` costs one question, the same one again nothing, also beside the conversation."""
    echo(glm)
    kernel = start()

    for _ in range(3):
        run = kernel.ok("%%chatglm --cache --no-history\nhi")
    assert len(glm.requests) == 1
    assert "Stored answer" in run.markdown[0]
    assert "Stored" not in kernel.ok("%%chatglm --no-history\nhi").markdown[0]
    assert len(glm.requests) == 2


def test_each_stored_answer_is_one_message(start, glm):
    """Run All shows the stored answer of each cell once, whole: its growth would be a burst that servers drop."""
    glm.say("# Long\n\n" + "A paragraph that is long enough to be settled.\n\n" * 60)
    kernel = start()
    kernel.ok("%config ChatGLMMagics.cache = 'replay'")
    kernel.ok("%%chatglm --no-history\nhi")
    runs = [kernel.submit("%%chatglm --no-history\nhi") for _ in range(30)]
    for run in runs:
        kernel.finish(run)

    shown = [[message.type for message in run.messages if message.type not in BESIDE] for run in runs]
    assert len(glm.requests) == 1
    assert shown == [["display_data"]] * 30


def test_an_answer_that_a_retry_gave_is_the_stored_one(start, glm):
    """`retry` asks although answers are shown again; the newest answer is the one that counts."""
    glm.say("first")
    glm.say("second")
    kernel = start()
    kernel.ok("%config ChatGLMMagics.cache = 'replay'")
    kernel.ok("%chatglm hi")
    kernel.ok("%chatglm retry")

    assert len(glm.requests) == 2
    assert kernel.ok("%chatglm --new hi").markdown[0].startswith("second")
    assert len(glm.requests) == 2
