"""What a person sees of memory in JupyterLab: after a restart, in a search, and of answers that are shown again."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

RESTART = "() => window.__panel().sessionContext.session.kernel.restart().then(() => true)"


def cells(glm, store: str) -> list[str]:
    settings = {"store": store, "provider": "openai", "base_url": glm.url, "model": "glm-4.7"}
    return [
        "\n".join(("%load_ext chatglm_magic", *(f"%config ChatGLMMagics.{k} = {v!r}" for k, v in settings.items()))),
        "%%chatglm\n什么是注意力?",
        "%%chatglm\nand <b>why</b>?",
        "%chatglm search 注意",
        "%%chatglm --cache --no-history\n什么是注意力?",
    ]


def test_a_restart_forgets_nothing(lab, glm, tmp_path):
    """A cell that is run again after a restart replaces its exchange; the search marks its hits; answers come again."""
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content'].strip()} 注意力很重要。")
    with lab.opens(cells(glm, str(tmp_path / "said.db"))) as notebook:
        for cell in range(3):
            notebook.run(cell)
        notebook.js(RESTART)
        glm.forget()
        glm.say("because of <script>window.pwned = 1</script> **weights**")
        notebook.run(0)
        notebook.run(2)

        sent = [message["content"].strip() for message in glm.requests[-1].json["messages"]]
        assert sent == ["什么是注意力?", "re: 什么是注意力? 注意力很重要。", "and <b>why</b>?"]
        assert "Conversation default goes on" in notebook.text(2)
        notebook.run(3)
        marks = notebook.output(3).locator("mark")
        assert {marks.nth(place).inner_text() for place in range(marks.count())} == {"注意"}
        assert "load #1" in notebook.text(3)
        assert "and <b>why</b>?" in notebook.text(3)  # of the former version, as text
        asked = len(glm.requests)
        notebook.run(4)
        assert len(glm.requests) == asked
        assert "re: 什么是注意力? 注意力很重要。" in notebook.text(4)
        assert "Stored answer of" in notebook.text(4)
        saved = notebook.save()
        (output,) = saved.cells[4].outputs
        assert output["metadata"]["chatglm_magic"]["replayed"] is True
        assert notebook.js("() => window.pwned === undefined")
