"""Tests in a real kernel: cells that are run again, commands that wait, keys that are typed, completion."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_driver import Kernel

KEY = "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP"


def said(kernel, name: str = "default") -> list[tuple[str, str]]:
    """Give what a conversation holds."""
    chats = "get_ipython().magics_manager.registry['ChatGLMMagics'].workspace.chats"
    return eval(kernel.value(f"[(m.role, m.content) for m in {chats}[{name!r}].messages]"))  # noqa: S307 - our own repr


def echo(glm) -> None:
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content']}")


def test_a_cell_that_is_run_again_replaces_what_it_said(kernel, glm):
    """The exchange keeps its place, sees only what was said before it, and what followed stays."""
    echo(glm)
    for cell, prompt in (("a", "one"), ("b", "two"), ("c", "three")):
        kernel.ok(f"%%chatglm\n{prompt}", cellId=cell)

    kernel.ok("%%chatglm\nTWO", cellId="b")

    assert [text for _, text in said(kernel)] == ["one", "re: one", "TWO", "re: TWO", "three", "re: three"]
    assert [message["content"] for message in glm.requests[-1].json["messages"]] == ["one", "re: one", "TWO"]


def test_a_cell_without_a_name_is_known_by_its_source(kernel, glm):
    """Where the front end sends no cell id, the same source is the same cell."""
    echo(glm)
    for cell in ("%chatglm one", "%chatglm two", "%chatglm one"):
        kernel.ok(cell)

    assert [text for _, text in said(kernel)] == ["one", "re: one", "two", "re: two"]


def test_lines_of_one_cell_keep_apart(kernel, glm):
    """Two questions of a cell do not replace each other; run again, each replaces its own."""
    echo(glm)
    kernel.ok("%chatglm one\n%chatglm two", cellId="a")
    kernel.ok("%chatglm ONE\n%chatglm TWO", cellId="a")

    assert [text for role, text in said(kernel) if role == "user"] == ["ONE", "TWO"]


@pytest.mark.parametrize(
    "cell",
    ["for i in range(3):\n    %chatglm more", "def more():\n    %chatglm more\nmore(); more(); more()"],
)
def test_questions_of_loops_and_functions_keep_their_places(kernel, glm, cell):
    """They follow each other, and each takes the place of its former one when the cell is run again."""
    echo(glm)
    kernel.ok(cell, cellId="a")
    assert [text for role, text in said(kernel) if role == "user"] == ["more"] * 3
    kernel.ok(cell, cellId="a")

    assert [text for role, text in said(kernel) if role == "user"] == ["more"] * 3


@pytest.mark.parametrize(("line", "request_count"), [("retry", 2), ("continue", 2)])
def test_commands_that_ask_stream_like_a_question(kernel, glm, line, request_count):
    """They show one Markdown output and are worth a Reply."""
    glm.say("one two three ", delay=0.02)
    kernel.ok("%chatglm hi")

    run = kernel.ok(f"%chatglm {line}")

    assert [text.strip() for text in run.markdown] == ["one two three"]
    assert kernel.value("type(_).__name__") == "'Reply'"
    assert len(glm.requests) == request_count


@pytest.mark.parametrize("cell", ["%chatglm models", "for _ in [1]:\n    %chatglm models"])
def test_commands_that_wait_work_awaited_and_in_plain_code(kernel, glm, cell):
    """Where the cell awaits and where it cannot, they print into their cell."""
    assert kernel.ok(cell).stdout == "openai:glm-4.7\nopenai:glm-4.7-flash\n"


def test_a_command_that_waits_can_be_interrupted(kernel, glm):
    """An interrupt ends the waiting, and the next cell runs."""
    glm.on_get.never_answers()
    run = kernel.submit("%chatglm models")
    kernel.wait(lambda: glm.lookups)
    kernel.interrupt()

    assert kernel.finish(run).ename == "KeyboardInterrupt"
    assert kernel.value("1 + 1") == "2"


def test_a_long_conversation_is_cut_and_says_so(kernel, glm):
    """What no longer fits is left out of the request, and the reply shows a sentence about it."""
    echo(glm)
    kernel.ok("%config ChatGLMMagics.history_tokens = 60")
    kernel.ok("%chatglm " + "很长的问题" * 20)
    run = kernel.ok("%chatglm and?")

    assert [message["content"] for message in glm.requests[-1].json["messages"]] == ["and?"]
    assert "Earlier parts of the conversation were left out" in run.markdown[0]


def test_tab_completes_in_a_kernel(kernel):
    """What a front end gets: our options alone, models, conversations and names."""
    kernel.ok("prices = 1")
    for text, wanted in (
        ("%chatglm --sys", ["--system"]),
        ("%%chatglm -m zai:glm-4.7-flashx", ["zai:glm-4.7-flashx"]),
        ("%chatglm -c def", ["default"]),
        ("%%chatglm\n说说 {pric", ["prices}"]),
        ("%chatglm sta", ["status"]),
    ):
        found = kernel.complete(text)
        assert found["matches"] == wanted
        assert text[found["cursor_start"] : found["cursor_end"]] == wanted[0][: len(text) - found["cursor_start"]]


class _Overheard(Kernel):
    """A kernel of which everything is kept: all messages, and what its process writes."""

    def __enter__(self):
        self.log = (self._folder / "log").open("w+b")
        start = self.manager.start_kernel
        self.manager.start_kernel = lambda **how: start(**how, stdout=self.log, stderr=self.log)
        super().__enter__()
        self.messages: list[str] = []
        read = self.client.session.deserialize

        def keep(*args, **how):
            message = read(*args, **how)
            self.messages.append(repr(message))
            return message

        self.client.session.deserialize = keep
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.log.close()

    def everything(self) -> str:
        return "\n".join([*self.messages, (self._folder / "log").read_text(errors="replace")])


SCENES = (
    "%chatglm status",
    "%chatglm models",
    "%chatglm hi",
    "%chatglm --dry-run hi",
    "%chatglm help keys",
    "%chatglm --base-url {refused} hi",
    "%config ChatGLMMagics",
    "c = get_ipython().magics_manager.registry['ChatGLMMagics'].workspace.chats['default']",
    "print(vars(c), [c.provider])",
    "%chatglm history",
    "%chatglm logout {url}",
    "%chatglm status",
)


def test_no_key_ever_leaves_a_kernel_but_to_its_host(glm, tmp_path: Path):
    """Nothing that a kernel emits holds the key: replies, errors of all kinds, tracebacks, commands, logs."""
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    with _Overheard(tmp_path, env) as kernel:
        kernel.ok("%load_ext chatglm_magic")
        for name, value in (("provider", "openai"), ("base_url", glm.url), ("model", "glm-4.7")):
            kernel.ok(f"%config ChatGLMMagics.{name} = {value!r}")
        kernel.ok("import logging; logging.basicConfig(level=logging.DEBUG, force=True)")
        kernel.typed = KEY
        login = kernel.ok(f"%chatglm login {glm.url}")
        assert kernel.asked[0]["password"]
        glm.say("ok")
        for scene in SCENES[:4]:
            kernel.run(scene.format(url=glm.url, refused=glm.refused_url))
        assert glm.requests[-1].headers["authorization"] == f"Bearer {KEY}"
        for mode in ("%xmode Context", "%config ChatGLMMagics.short_errors = False", "%xmode Verbose"):
            kernel.ok(mode)
            for misbehave in (
                lambda: glm.status_with_body(401, f'{{"error": {{"message": "Incorrect API key: {KEY}"}}}}'),
                lambda: glm.redirect("http://127.0.0.1:1/elsewhere"),
                lambda: glm.replay(f'data: {{"error": {{"code": "1002", "message": "bad key {KEY}"}}}}\n\n'.encode()),
                glm.cut_mid_event,
                glm.html_error_page,
            ):
                glm.forget()
                misbehave()
                for cell in ("%chatglm hi", "for _ in [1]:\n    %chatglm hi"):
                    assert kernel.run(cell).status == "error", cell
        glm.forget()
        glm.say("ok")
        for scene in SCENES:
            kernel.run(scene.format(url=glm.url, refused=glm.refused_url))
        glm.forget()
        glm.say(f"Your key is {KEY}, and once more: `{KEY}`.")  # as a server may that shows what it was sent
        kernel.ok(f"%chatglm login {glm.url}")
        for cell in ("%%chatglm\nSay my key", "%chatglm -f text Say it", "a = %chatglm Say it\nprint(a, [a], vars(a))"):
            said = kernel.ok(cell)
        assert said.stdout.startswith("Your key is [key], and once more: `[key]`.")
        kernel.settle(0.2)
        told = kernel.everything()

    assert "is kept in" in login.stdout
    assert "kept by %chatglm login" in told
    secret = KEY.partition(".")[2]
    assert KEY not in told
    assert secret not in told
    assert KEY[:12] not in told


def test_login_is_refused_where_nobody_types(kernel, glm):
    """A run without input (nbclient, papermill) names the variable to set."""
    run = kernel.run("%chatglm login zai", allow_stdin=False)

    assert run.status == "error"
    assert "ZAI_API_KEY" in run.evalue
    assert kernel.asked == []
