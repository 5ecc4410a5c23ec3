"""What reaches front ends that are no notebook: `ipywidgets.Output`, consoles, runs that nobody watches."""

from __future__ import annotations

import pytest
from kernel_driver import VIEW, Kernel, Run

MANY = "one two three four five six seven eight nine ten "
OUTPUT = "from ipywidgets import Output\nfrom IPython.display import display\nout = Output()\nprint('mine')\n"


def shown(run: Run) -> list[dict]:
    """Give what a client shows that ignores updates."""
    return [m.content["data"] for m in run.messages if m.type in {"display_data", "execute_result"}]


def growing(kernel: Kernel) -> list[str]:
    """Give what the widgets that were told of showed, one after the other."""
    told = (m.content["data"] for m in kernel.told if m.type in {"comm_open", "comm_msg"})
    return [one["state"]["value"] for one in told if "value" in one.get("state", {})]


@pytest.mark.parametrize(
    "cell",
    [
        "with out:\n    print('yours')\n    r = %chatglm hi",
        "def ask():\n    r = %chatglm hi\n    return r\n\nwith out:\n    r = ask()",
        "@out.capture()\ndef ask():\n    r = %chatglm hi\n\nask()",
        "with out:\n    job = %chatglm --bg hi\nreply = await job",
    ],
)
def test_a_reply_grows_in_an_output_widget(kernel, glm, cell):
    """`Output` ignores updates: a widget grows in it, empty in the end, and the whole is an output of its own."""
    glm.say(f"## Ten\n\n{MANY}", delay=0.05)
    kernel.told.clear()

    run = kernel.ok(OUTPUT + cell)
    kernel.settle(0.1)
    grew = growing(kernel)

    assert not [m for m in run.messages if m.type in {"update_display_data", "clear_output"}]
    assert "waiting" in grew[0]
    assert any("<h4>Ten</h4>\n<p>one" in html and "nine" not in html for html in grew)
    assert grew[-1] == ""
    final = shown(run)[1:] or [one["data"] for one in eval(kernel.value("out.outputs"))]  # noqa: S307 - our own repr
    assert VIEW in shown(run)[0]
    assert [data["text/plain"].strip() for data in final] == [f"## Ten\n\n{MANY}".strip()]
    kernel.ok("import ipywidgets; ipywidgets.Widget.close_all()")


def test_an_error_in_an_output_widget_leaves_no_waiting(kernel, glm):
    """Where no word came, the line that said so is emptied, and the error stands there."""
    glm.refuse(401, "1000", "bad key")
    kernel.told.clear()

    run = kernel.run(f"{OUTPUT}with out:\n    %chatglm hi")

    assert growing(kernel)[-1] == ""
    assert "AuthenticationError" in "".join(run.traceback)
    kernel.ok("import ipywidgets; ipywidgets.Widget.close_all()")


@pytest.mark.parametrize("cell", ["%%chatglm\nhi", "print(1)\n%chatglm hi\nprint(2)", "def f():\n    %chatglm hi\nf()"])
def test_a_client_without_updates_gets_the_whole_reply_once(kernel, glm, cell):
    """A console shows plain text and knows no updates: it is told at once who is asked, and gets the whole once."""
    glm.say(MANY, delay=0.05)

    run = kernel.ok(cell)

    assert [data["text/plain"] for data in shown(run) if "text/plain" in data] == ["glm-4.7 · waiting\n", MANY]


@pytest.mark.parametrize("cell", ["%%chatglm\nhi", "r = %chatglm hi\nprint(1)", "%chatglm --bg hi"])
def test_where_nobody_watches_only_the_end_is_shown(kernel, glm, cell):
    """A client without input (nbclient, nbval, papermill, an engine of ipyparallel) gets one output and no update."""
    glm.say(MANY, delay=0.05)

    run = kernel.run(cell, allow_stdin=False)

    assert run.status == "ok"
    told = [m for m in run.messages if m.type in {"display_data", "update_display_data", "clear_output", "comm_open"}]
    assert [m.content["data"]["text/plain"] for m in told] == [MANY]


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("%chatglm -q hi", 0),
        ("%%chatglm -q\nhi", 0),
        ("%%time\n%chatglm -q hi", 0),
        ("r = %chatglm -q hi\ndisplay(r)", 1),
        ("r = %chatglm -q hi\nr", 1),
        ("def f():\n    r = %chatglm -q hi\n    return r\n\nf()", 1),
        ("r = %chatglm hi\nr", 1),
        ("r = %chatglm hi\ndisplay(r)", 1),
    ],
)
def test_only_what_was_shown_is_quiet(kernel, glm, cell, count):
    """`-q` shows nothing by itself; what a cell then does with the reply is shown, unless it was shown already."""
    glm.say("**words**")

    run = kernel.ok(cell)

    assert len([text for text in run.markdown if "words" in text]) == count


def test_no_widget_is_opened_where_nobody_watches(kernel):
    """A headless run would save a panel's state with the notebook."""
    kernel.told.clear()

    run = kernel.run("%chatglm panel", allow_stdin=False)
    kernel.run("from chatglm_magic import ChatPanel\nChatPanel().close()", allow_stdin=False)

    (output,) = run.outputs
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    assert kernel.told == []
