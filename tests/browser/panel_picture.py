"""Take the README's pictures of the panel: `PYTHONPATH=tests:tests/browser python -m panel_picture`. Light and dark."""

from __future__ import annotations

from pathlib import Path

from driver import visitor
from glm_server import FakeGLM
from panel_lab import SECONDS, RealPanel
from test_browser_cell import ANSWER, LOAD

PLACE = Path(__file__).parents[2] / "notebooks" / "images"
HIDE = "() => (window.jupyterapp || window.jupyterlab).commands.execute('application:toggle-left-area')"


def main() -> None:
    """Open JupyterLab, talk a little, and take the picture when the second answer is there."""
    with FakeGLM() as glm, visitor({"CHATGLM_BASE_URL": glm.url, "CHATGLM_MODEL": "glm-4.7"}) as person:
        for dark in (False, True):
            with person.opens([LOAD, "%chatglm panel"], dark=dark) as notebook:
                page = notebook.page
                page.set_viewport_size({"width": 960, "height": 800})
                notebook.js(HIDE)
                notebook.run(0)
                notebook.run(1)
                panel = RealPanel(notebook)
                glm.say("It is a weighted look-up: each word asks all the others what they know.", thinking="Be short.")
                panel.ask("用一句话解释 attention。 In one sentence, please.")
                panel.reads("what they know.")
                panel.rests()
                glm.say(ANSWER, delay=0.05, thinking="A formula, a table and some code will do.")
                panel.ask("Now with a formula, a table and code.")
                panel.log.locator("pre").wait_for(timeout=SECONDS)
                panel.rests()
                # Drawn anew: without a graphics card, Chromium leaves specks where a formula has been.
                for how in ("none", ""):
                    page.evaluate("how => { document.querySelector('.cg-panel').style.display = how }", how)
                    page.wait_for_timeout(200)
                page.screenshot(path=PLACE / f"panel_{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    main()
