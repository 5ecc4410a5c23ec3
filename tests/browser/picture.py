"""Take the README's picture: `PYTHONPATH=tests:tests/browser python -m picture`. A real cell, in mid-stream."""

from __future__ import annotations

from pathlib import Path

from driver import visitor
from glm_server import FakeGLM
from test_browser_cell import ANSWER, LOAD

PLACE = Path(__file__).parents[2] / "notebooks" / "images" / "streaming_cell.png"


def main() -> None:
    """Open JupyterLab, ask, and take the picture when the formula and the table are there."""
    with FakeGLM() as glm, visitor({"CHATGLM_BASE_URL": glm.url}) as person:
        glm.say(ANSWER, delay=0.12, first_delay=0.5, thinking="A formula, a table and some code will do.")
        with person.opens([LOAD, "%%chatglm -m glm-4.7\n用公式、表格和代码解释 attention。"]) as notebook:
            page = notebook.page
            page.set_viewport_size({"width": 900, "height": 640})
            notebook.js(
                "() => (window.jupyterapp || window.jupyterlab).commands.execute('application:toggle-left-area')"
            )
            notebook.run(0)
            notebook.start(1)
            page.locator(".jp-Cell-outputArea pre").first.wait_for(timeout=30_000)
            page.wait_for_timeout(700)
            PLACE.parent.mkdir(exist_ok=True)
            page.screenshot(path=PLACE)
            notebook.ended(1)


if __name__ == "__main__":
    main()
