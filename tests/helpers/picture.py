"""Take the READMEs' pictures: `PYTHONPATH=tests/helpers:tests/browser python -m picture`.

Real pages in both languages: a cell in mid-stream, and the panel, light and dark.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from driver import Visitor, chromium, visitor
from glm_server import FakeGLM
from panel_lab import SECONDS, RealPanel
from test_browser_cell import ANSWER, LOAD

PLACE = Path(__file__).parents[2] / "notebooks" / "images"
HIDE = "() => (window.jupyterapp || window.jupyterlab).commands.execute('application:toggle-left-area')"


class Words(NamedTuple):
    """What is said in the pictures of one language."""

    language: str
    ending: str
    question: str
    thinking: str
    answer: str
    first: str
    short: str
    second: str


ENGLISH = Words(
    language="en",
    ending="",
    question="用公式、表格和代码解释 attention。",
    thinking="A formula, a table and some code will do.",
    answer=ANSWER,
    first="用一句话解释 attention。 In one sentence, please.",
    short="It is a weighted look-up: each word asks all the others what they know.",
    second="Now with a formula, a table and code.",
)
CHINESE = Words(
    language="zh",
    ending=".zh-CN",
    question="用公式、表格和代码解释 attention。",
    thinking="一个公式， 一张表， 几行代码， 就够了。",
    answer=r"""## 注意力

每个**查询**都会看一遍所有的**键**，再按相似程度取回对应的值：

$$\mathrm{softmax}\left(\frac{QK^T}{\sqrt{d}}\right)V$$

| 名称 | 形状 |
| --- | --- |
| 查询 Q | n × d |
| 键 K | m × d |

```python
def attention(q, k, v):
    return softmax(q @ k.T / d ** 0.5) @ v
```

除以 \(\sqrt{d}\) 是为了让 softmax 不至于太尖锐。
""",
    first="用一句话解释 attention。",
    short="它是一种加权查找：每个词都去问其他词知道什么。",
    second="再用公式、表格和代码说明。",
)


def take_cell(person: Visitor, glm: FakeGLM, words: Words) -> None:
    """Ask in a cell, and take the picture when formula and table are there."""
    glm.say(words.answer, delay=0.12, first_delay=0.5, thinking=words.thinking)
    with person.opens([LOAD, f"%%chatglm -m glm-4.7\n{words.question}"], fresh=True) as notebook:
        page = notebook.page
        page.set_viewport_size({"width": 900, "height": 640})
        notebook.js(HIDE)
        notebook.run(0)
        notebook.start(1)
        page.locator(".jp-Cell-outputArea pre").first.wait_for(timeout=30_000)
        page.wait_for_timeout(700)
        page.screenshot(path=PLACE / f"streaming_cell{words.ending}.png")
        notebook.ended(1)


def take_panel(person: Visitor, glm: FakeGLM, words: Words, *, dark: bool) -> None:
    """Talk a little in a panel, and take the picture when the second answer is there."""
    with person.opens([LOAD, "%chatglm panel"], dark=dark, fresh=True) as notebook:
        page = notebook.page
        page.set_viewport_size({"width": 960, "height": 800})
        notebook.js(HIDE)
        notebook.run(0)
        notebook.run(1)
        panel = RealPanel(notebook, language=words.language)
        glm.say(words.short, thinking=words.thinking)
        panel.ask(words.first)
        panel.reads(words.short[-8:])
        panel.rests()
        glm.say(words.answer, delay=0.05, thinking=words.thinking)
        panel.ask(words.second)
        panel.log.locator("pre").wait_for(timeout=SECONDS)
        panel.rests()
        # Drawn anew: without a graphics card, Chromium leaves specks where a formula has been.
        for how in ("none", ""):
            page.evaluate("how => { document.querySelector('.cg-panel').style.display = how }", how)
            page.wait_for_timeout(200)
        page.screenshot(path=PLACE / f"panel_{'dark' if dark else 'light'}{words.ending}.png")


def main() -> None:
    """Take all pictures."""
    for words in (ENGLISH, CHINESE):
        with FakeGLM() as glm:
            settings = {
                "CHATGLM_BASE_URL": glm.url,
                "CHATGLM_MODEL": "glm-4.7",
                "CHATGLM_LANG": words.language,
                "CHATGLM_STORE": ":memory:",
            }
            with chromium() as browser, visitor(browser, settings) as person:
                take_cell(person, glm, words)
                for dark in (False, True):
                    take_panel(person, glm, words, dark=dark)


if __name__ == "__main__":
    main()
