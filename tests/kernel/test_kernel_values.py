"""Values in a real kernel: the table grows in the cell's output, and one output stays."""

from __future__ import annotations

import json
import re

from kernel_driver import Kernel


def rows(count: int) -> list[dict[str, object]]:
    return [{"name": f"n{number}", "age": number} for number in range(count)]


def tables(run) -> list[str]:
    """Return each table that was shown, in order."""
    shown = [one.content["data"].get("text/markdown", "") for one in run.messages if "data" in one.content]
    return [text for text in shown if "| name | age |" in text]


def test_a_table_grows_with_each_item(kernel: Kernel, glm) -> None:
    """Each row is there soon after its brace; at the end one output holds all, as HTML, Markdown and text."""
    pieces = ['{"items": [', *(json.dumps(row) + "," for row in rows(8)), json.dumps({"name": "end", "age": 1}) + "]}"]
    glm.say("".join(pieces), pieces=pieces, delay=0.15)

    run = kernel.run("%%chatglm --out r --schema-multi 'name, age int'\nwho?")

    grown = tables(run)
    assert len(grown) >= 6
    lengths = [len(re.findall(r"\| (?:n\d|end) \|", text)) for text in grown]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (1, 9)
    (output,) = run.outputs
    assert {"text/html", "text/markdown", "text/plain"} <= set(output["data"])
    assert output["data"]["text/html"].count("<tr>") == 10
    assert kernel.ok("print(len(r.value), r.schema_mode)").stdout == "9 json_schema\n"


def test_a_class_of_the_notebook_is_a_schema_and_its_values(kernel: Kernel, glm) -> None:
    """Classes of `__main__` too, whose annotations are text."""
    kernel.ok(
        "from __future__ import annotations\nimport dataclasses, typing\n"
        "class Kind(typing.TypedDict):\n    name: str\n"
        "@dataclasses.dataclass\nclass Paper:\n    title: str\n    kind: Kind"
    )
    glm.say('{"title": "x", "kind": {"name": "y"}}')

    kernel.ok("r = %chatglm --schema Paper what?")

    assert kernel.ok("print(r.value)").stdout == "Paper(title='x', kind={'name': 'y'})\n"


def test_a_value_that_never_fits_fails_the_cell_once(kernel: Kernel, glm) -> None:
    """The error is one line that names the place; the answer stays, and the variable is set."""
    glm.say('[{"name": "x", "age": "old"}]')

    run = kernel.run("%%chatglm --out r --schema-multi 'name, age int'\nwho?")

    assert run.ename == "ReplyFormatError"
    assert "[0].age should be a whole number" in run.evalue
    assert kernel.ok("print(r.repairs, r.value)").stdout == "2 None\n"
