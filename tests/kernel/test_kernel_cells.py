"""Tests in a real kernel: what a cell shows, what it is worth, in which order, and in which company."""

from __future__ import annotations

import pytest

MANY = "one two three four five six seven eight nine ten "


def test_loading_is_silent_and_light(kernel):
    """`%load_ext` shows nothing and imports neither aiohttp nor ipywidgets nor what belongs to a reply."""
    code = """
        import subprocess, sys
        code = '''if True:
            import sys, time
            from IPython.core.interactiveshell import InteractiveShell
            shell = InteractiveShell()
            import traitlets, asyncio
            before = set(sys.modules)
            shell.run_line_magic("load_ext", "chatglm_magic")
            new = set(sys.modules) - before
            heavy = {"aiohttp", "ipywidgets", "tqdm", "msgspec", "nest_asyncio2", "anywidget", "sqlite3"}
            print(sorted(name for name in new if name.partition(".")[0] in heavy))
        '''
        print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    """
    run = kernel.ok("if True:" + code)

    assert run.stdout.strip() == "[]"
    again = kernel.ok("%reload_ext chatglm_magic")
    assert [message.type for message in again.messages] == ["execute_input"]


def test_a_reply_grows_and_ends_as_one_markdown_output(kernel, glm):
    """The cell is painted while the reply comes, and ends with one output that survives saving."""
    glm.say(MANY, delay=0.05)

    run = kernel.ok("%%chatglm\nCount to ten")

    assert len(run.paints) >= 4
    assert len(run.outputs) == 1
    (output,) = run.outputs
    assert output["type"] == "display_data"
    assert output["data"]["text/markdown"].strip() == MANY.strip()
    assert output["data"]["text/plain"].strip() == MANY.strip()
    facts = output["metadata"]["chatglm_magic"]
    assert (facts["status"], facts["model"], facts["provider"]) == ("stop", "glm-4.7", "openai")


def test_the_reply_is_the_cells_value(kernel, glm):
    """`_`, `Out[n]`, `--out` and an assignment hold the same Reply; evaluated later it shows as Markdown."""
    glm.say("**bold** words")

    kernel.ok("%%chatglm --out out\nhi")
    assert kernel.ok("print(_ is out, Out[max(Out)] is out, type(out).__name__, out.text)").stdout == (
        "True True Reply **bold** words\n"
    )
    run = kernel.ok("a = %chatglm hi")
    assert len(run.outputs) == 1
    (shown,) = kernel.ok("a").outputs
    assert shown["type"] == "execute_result"
    assert "**bold** words" in shown["data"]["text/markdown"]
    (shown,) = kernel.ok("a").outputs
    assert shown["type"] == "execute_result"


def test_other_tasks_live_on_while_a_cell_awaits(kernel, glm):
    """The notebook's loop is not held up: what the user started in it goes on."""
    glm.say(MANY, delay=0.03)
    kernel.ok(
        "import asyncio\nbeats = 0\nasync def beat():\n    global beats\n    while True:\n        beats += 1\n"
        "        await asyncio.sleep(0.01)\nheart = asyncio.create_task(beat())"
    )

    kernel.ok("before = beats\n%chatglm hi\nduring = beats - before")

    assert int(kernel.value("during")) >= 5
    kernel.ok("heart.cancel()")


def test_what_else_a_cell_shows_stays(kernel, glm):
    """Where a cell holds more than our magic, nothing of the user's output is cleared."""
    glm.say("words")

    run = kernel.ok("print('before')\n%chatglm hi\nprint('after')")

    assert run.stdout == "before\nafter\n"
    assert [text.strip() for text in run.markdown] == ["words"]


def test_queued_cells_run_in_order(kernel, glm):
    """A cell that was sent while a reply streams runs after it, once."""
    glm.say(MANY, delay=0.03)

    first = kernel.submit("%%chatglm --out r\nhi")
    second = kernel.submit("len(r.text.split())")
    third = kernel.submit("%%chatglm\nand?")
    for run in (first, second, third):
        kernel.finish(run)

    assert first.ended_at < second.ended_at < third.ended_at
    assert second.outputs[0]["data"]["text/plain"] == "10"
    assert len(glm.requests) == 2


@pytest.mark.parametrize("setting", ["%autoawait False", "%config ChatGLMMagics.nested = 'nest'"])
def test_cells_that_cannot_await_get_their_reply_too(kernel, glm, setting):
    """With autoawait off, or in a function in the nested way, everything works as it does elsewhere."""
    glm.say(MANY, delay=0.02)
    kernel.ok(setting)
    kernel.ok("def ask():\n    r = %chatglm hi?\n    return r")

    assert [text.strip() for text in kernel.ok("r = ask()").markdown] == [MANY.strip()]
    assert [text.strip() for text in kernel.ok("%%chatglm\nhi").markdown] == [MANY.strip()]
    assert [text.strip() for text in kernel.ok("a = %chatglm hi?").markdown] == [MANY.strip()]
    assert kernel.value("a.text == r.text") == "True"


def test_a_thread_may_ask(kernel, glm):
    """A thread of the user's asks and gets its reply."""
    glm.say("ok")

    run = kernel.ok(
        "import threading\ngot = []\n"
        "def ask():\n    got.append(get_ipython().run_line_magic('chatglm', 'hi'))\n"
        "thread = threading.Thread(target=ask); thread.start(); thread.join(10)\nprint(got[0].text)"
    )

    assert "ok" in run.stdout


def test_an_error_is_one_line_and_fails_the_cell(kernel, glm):
    """The cell fails so that headless runs stop; a person reads a line; what had arrived stays on the screen."""
    glm.refuse(401, "1000", "身份验证失败")

    run = kernel.run("%%chatglm --out got\nhi")

    assert (run.status, run.ename) == ("error", "AuthenticationError")
    assert len(run.traceback) == 1
    assert "身份验证失败" in run.traceback[0]
    assert kernel.value("got.finish_reason") == "'error'"
    glm.forget()
    glm.reset_after(3)
    run = kernel.run("%%chatglm --out got\nhi")
    assert (run.status, kernel.value("got.text")) == ("error", "'one two three '")
    assert "one two three" in run.markdown[0]


def test_the_manual_is_a_pager_away(kernel):
    """`%chatglm?` is still IPython's help."""
    for cell in ("%chatglm?", "%%chatglm?"):
        run = kernel.ok(cell)
        (payload,) = run.reply["payload"]
        assert "--no-history" in payload["data"]["text/plain"]


def test_unloading_takes_the_magic_away(kernel, glm):
    """After `%unload_ext` our cells are no cells of ours; after `%load_ext` they are, once."""
    glm.say("ok")

    kernel.ok("%unload_ext chatglm_magic")
    run = kernel.run("%%chatglm\nhi")
    assert (run.ename, "Cell magic `%%chatglm` not found" in run.stderr) == ("UsageError", True)
    kernel.ok("%load_ext chatglm_magic")
    kernel.ok("%load_ext chatglm_magic")
    kernel.ok(f"%chatglm --base-url {glm.url} -m glm-4.7 hi")
    assert len(glm.requests) == 1
