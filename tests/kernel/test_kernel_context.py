"""Tests in a real kernel: what a prompt may bring along, what comes back into cells, and what never leaves."""

from __future__ import annotations

import pytest

FIXED = "It divided by zero.\n\n```python\nx = 2\n1 / x\n```"


@pytest.fixture(autouse=True)
def _no_errors_yet(kernel):
    """The kernel is shared: errors of earlier tests are none of ours."""
    kernel.ok("%reload_ext chatglm_magic\nimport sys\nsys.last_value = None")


def said(glm) -> str:
    """Give the last question."""
    return glm.requests[-1].json["messages"][-1]["content"]


def payloads(run) -> list[dict[str, object]]:
    """Give what a front end is told to do with the next cell."""
    return [{**payload} for payload in run.reply["payload"] if payload["source"] == "set_next_input"]


@pytest.mark.parametrize(
    "cell", ["%%chatglm --new\nExplain {df} briefly.", "%%time\n%chatglm --new Explain {df} briefly."]
)
def test_a_frame_is_sent_as_its_schema_and_its_head(kernel, glm, cell):
    """Awaited or not, a named frame goes out described and fenced; the reply comes in as ever."""
    glm.say("ok")
    kernel.ok("import pandas as pd\ndf = pd.DataFrame({'price': range(1000), '城市': ['北京'] * 1000})")

    run = kernel.ok(cell)

    before, _, data = said(glm).partition("`df`, as data:\n```text\n")
    assert before == "Explain \n"
    assert "1000 rows and 2 columns: price (int64), 城市" in data
    assert "4,4,北京\n```\n briefly." in data
    assert "5,5,北京" not in data
    assert run.markdown[0] == "ok"


def test_a_miss_is_one_line_below_the_reply(kernel, glm):
    """Names without a value stay as they were written, and one line says so, once."""
    glm.say("ok")

    run = kernel.ok("%%chatglm --new\n{nmae} and {nmae} and {{nmae}} and \\frac{a}{b}")

    assert said(glm) == "{nmae} and {nmae} and {nmae} and \\frac{a}{b}"
    assert len(run.outputs) == 1
    assert run.markdown[0].count("sent as written") == 1
    assert run.outputs[0]["data"]["text/plain"] == "ok"


def test_what_a_cell_defines_is_sent_as_its_source(kernel, glm):
    """Functions and classes of the notebook have a source, though no file."""
    glm.say("ok")
    kernel.ok(
        "import dataclasses\ndef f(x):\n    return x  # f's\n\n@dataclasses.dataclass\nclass T:\n    a: int  # T's"
    )
    kernel.ok("class U(T):\n    def go(self):\n        return self.a  # U's")

    kernel.ok("%chatglm --new {f} {T} {U}")

    assert "```python\ndef f(x):\n    return x  # f's\n```" in said(glm)
    assert "```python\nclass U(T):\n    def go(self):\n        return self.a  # U's\n```" in said(glm)
    assert "T(a: int)" in said(glm)


def test_cells_and_variables_are_sent_on_request(kernel, glm):
    """`--cells` and `--vars` put sources and values below the prompt."""
    glm.say("ok")
    number = kernel.ok("rows = [1, 2]\nlen(rows)").reply["execution_count"]

    kernel.ok(f"%chatglm --new --cells {number} --vars rows What is this?")

    assert said(glm).startswith("What is this?\n\n")
    assert f"In[{number}]:\n```python\nrows = [1, 2]\nlen(rows)\n```" in said(glm)
    assert f"Out[{number}]:\n```text\n2\n```" in said(glm)
    assert "Variable `rows`:\n```text\n[1, 2]\n```" in said(glm)


def test_the_last_error_is_sent_on_request_only(kernel, glm):
    """`--err` sends the failed cell and its traceback; without it nothing of them leaves."""
    glm.say("ok")
    assert kernel.run("price = {}\nprice['two']").ename == "KeyError"

    kernel.ok("%chatglm --new hi")
    assert said(glm) == "hi"
    kernel.ok("%chatglm --new --err Why?")

    assert "```python\nprice = {}\nprice['two']\n```" in said(glm)
    assert "KeyError: 'two'" in said(glm)
    assert "/ipykernel_" not in said(glm)


@pytest.mark.parametrize(
    ("cell", "replaces"),
    [
        ("%chatglm --new fix", False),
        ("%chatglm --new fix replace", True),
        ("%%capture\n%chatglm --new fix", False),
    ],
)
def test_fix_puts_a_corrected_cell_into_the_notebook(kernel, glm, cell, replaces):
    """The corrected cell comes with the cell's end, with a diff; it is not run, and the user's hook stays."""
    glm.say(FIXED)
    kernel.ok("seen = []\nget_ipython().set_custom_exc((ZeroDivisionError,), lambda *_, **__: seen.append(1))")
    number = kernel.run("x = 0\n1 / x").reply["execution_count"]

    run = kernel.ok(cell)

    assert f"The cell that failed, In[{number}]:" in said(glm)
    assert f'File "In[{number}]", line 2' in said(glm)
    assert payloads(run) == [{"source": "set_next_input", "text": "x = 2\n1 / x", "replace": replaces}]
    assert kernel.value("(x, seen)") == "(0, [1])"
    if "capture" not in cell:
        assert "divided by zero" in run.markdown[0]
        assert run.markdown[1].startswith("```diff\n--- before\n+++ after\n")
        assert "-x = 0\n+x = 2\n" in run.markdown[1]
    kernel.ok("get_ipython().set_custom_exc((), None)")


def test_insert_works_from_a_cell_that_awaits(kernel, glm):
    """`--insert` reaches the front end from both ways of waiting; a failed cell puts nothing anywhere."""
    glm.say(FIXED)

    for cell in ("%%chatglm --insert\nhi", "if True:\n    %chatglm --insert hi"):
        assert [payload["text"] for payload in payloads(kernel.ok(cell))] == ["x = 2\n1 / x"]
    assert [p["replace"] for p in payloads(kernel.ok("%%chatglm --insert replace\nhi"))] == [True]
    glm.forget()
    glm.reset_after(2)
    failed = kernel.run("%%chatglm --insert\nhi")
    assert (failed.status, payloads(failed)) == ("error", [])


def test_a_dry_run_sends_nothing(kernel, glm):
    """What would be sent is one output; no request leaves, and the cell is worth nothing."""
    kernel.ok("data = 'a\\nb'")

    run = kernel.ok("%%chatglm --dry-run -s Terse.\nRead {data} please")

    assert glm.requests == []
    (output,) = run.outputs
    assert output["type"] == "display_data"
    for words in ("nothing was sent", "Terse.", "glm-4.7", "127.0.0.1", "`data`, as data:"):
        assert words in output["data"]["text/markdown"]


def test_json_that_is_none_fails_the_cell_and_stays(kernel, glm):
    """The error is a line; what arrived is still to be seen, and in the variable."""
    glm.say('{"a": 1}')
    (shown,) = kernel.ok("%%chatglm -f json --out r\nhi").outputs
    assert shown["data"]["text/markdown"] == '```json\n{\n  "a": 1\n}\n```'
    glm.forget()
    glm.say("Sorry, no JSON today.")

    run = kernel.run("%%chatglm -f json --out r\nhi")

    assert (run.status, run.ename) == ("error", "ReplyFormatError")
    assert run.markdown == ["Sorry, no JSON today."]
    assert "is not JSON" in run.traceback[0]
    assert kernel.value("r.text") == "'Sorry, no JSON today.'"


def test_other_formats_stream_and_end_as_what_they_are(kernel, glm):
    """Text grows verbatim and ends plain; code ends as its fences alone."""
    glm.say("# 1 *of* 2\n\n```python\nx = 1\n```\n ", delay=0.05)

    run = kernel.ok("%%chatglm -f text\nhi")

    (shown,) = run.outputs
    assert shown["data"] == {"text/plain": "# 1 *of* 2\n\n```python\nx = 1\n```\n "}
    grown = [paint.content["data"].get("text/markdown", "") for paint in run.paints]
    assert any("# 1 *of*" in text and "`" * 3 in text for text in grown)
    (shown,) = kernel.ok("%%chatglm -f code\nhi").outputs
    assert shown["data"]["text/markdown"] == "```python\nx = 1\n```"
    assert shown["data"]["text/plain"] == "x = 1"
