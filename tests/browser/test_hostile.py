"""What a hostile model writes runs, loads and covers nothing and links nowhere bad in a real, trusted cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import MEANT, MEANT_MATH, TEXTS, pieces

pytestmark = pytest.mark.browser

FOLDER = str(Path(__file__).parents[1] / "helpers")
AT_ONCE = 45
"""Outputs of one cell: JupyterLab folds those beyond 50."""

SHOW = f"""
import sys; sys.path.insert(0, {FOLDER!r})
from hostile import MEANT, MEANT_MATH, TEXTS, cuts
from chatglm_magic import Finished, Reply, TextDelta, ThinkingDelta
from chatglm_magic._markdown.sanitize import safe
from chatglm_magic._markdown.stable import close_open

def raw(markdown):
    display({{"text/markdown": markdown}}, raw=True)

def show(*events):
    reply = Reply()
    for event in (*events, Finished("stop")): reply.add(event)
    raw(reply._repr_markdown_())
"""

# Looks at an element (not at our Stop button) and gives what is wrong with it; watches all that is put into outputs,
# if only for a moment.
WATCH = r"""() => {
  const bad = 'script,iframe,frame,form,object,embed,style,link,base,meta,video,audio,source,track,textarea,select,'
    + 'button,marquee,template,noscript,foreignObject,animate,use,[srcdoc],[srcset],[poster],[background],[formaction],'
    + '[autofocus],[id*=canary],[name*=canary],[class*=canary],[data-canary]';
  const wrong = n => {
    if (n.nodeType !== 1 || n.closest('.jupyter-widgets')) return '';
    const found = [];
    if (n.matches(bad)) found.push('element');
    const drawn = n.closest('.jp-RenderedMermaid');
    if (n.tagName === 'IMG' && !drawn) found.push('image');
    if (n.tagName.toLowerCase() === 'svg' && !drawn) found.push('svg');
    if (n.tagName === 'INPUT' && n.type !== 'checkbox') found.push('input');
    for (const a of n.attributes) {
      if (a.name.startsWith('on')) found.push(a.name);
      if (/href|src|action|^data$/i.test(a.name) && !drawn) {
        let u; try { u = new URL(a.value, location.href) } catch { u = {protocol: '?'} }
        if (!['http:', 'https:', 'mailto:'].includes(u.protocol)) found.push(a.name + '=' + a.value);
      }
      if (a.name === 'style' && /url\(|fixed|sticky|expression|@import/i.test(a.value)) found.push(a.value);
    }
    if (getComputedStyle(n).position === 'fixed') found.push('fixed');
    return found.length ? found.join(' ') + ' in ' + n.outerHTML.slice(0, 300) : '';
  };
  window.__wrong = [];
  const look = root => {
    if (root.nodeType !== 1) return;
    for (const n of [root, ...root.querySelectorAll('*')]) {
      if (!n.closest('.jp-OutputArea-output')) continue;
      const w = wrong(n);
      if (w && window.__wrong.length < 20) window.__wrong.push(w);
    }
  };
  window.__look = () => look(document.body);
  new MutationObserver(records => { for (const r of records) {
    if (r.type === 'attributes') { if (r.target.closest?.('.jp-OutputArea-output')) {
      const w = wrong(r.target); if (w && window.__wrong.length < 20) window.__wrong.push(w); } }
    else for (const n of r.addedNodes) look(n);
  } }).observe(document.body, {childList: true, subtree: true, attributes: true});
}"""


class Guard:
    """Sees what a page runs, loads and shows."""

    def __init__(self, notebook, server: str) -> None:
        self.notebook = notebook
        self.server = server
        self.dialogs: list[str] = []
        notebook.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        notebook.js(WATCH)
        notebook.requests.clear()

    def findings(self) -> list[str]:
        """Give all that happened and must not."""
        self.notebook.page.wait_for_timeout(500)  # what loads or runs late
        self.notebook.js("() => window.__look()")
        ours = (self.server, "data:", "blob:")
        loads = [url for url in self.notebook.requests if not url.startswith(ours) or "canary" in url]
        ran = ["canary"] if self.notebook.js("() => window.__canary !== undefined") else []
        return [*ran, *self.dialogs, *loads, *self.notebook.js("() => window.__wrong")]


def run_all(notebook, cells: list[str]) -> None:
    """Run all cells; none may fail."""
    for cell in range(len(cells)):
        notebook.run(cell)
        errors = [output for output in notebook.outputs(cell) if output["output_type"] == "error"]
        assert not errors, errors


def show_all(texts: int, each: str) -> list[str]:
    """Write cells that show texts of the corpus, as many as a cell shows."""
    return [f"for text in TEXTS[{at}:{at + AT_ONCE}]: {each}" for at in range(0, texts, AT_ONCE)]


def test_the_guard_sees_what_runs_loads_and_covers(lab):
    """A test that finds nothing must have been able to: unguarded, a trusted cell does all of it."""
    texts = [
        "<script>window.__canary=1</script>",
        "![x](http://evil.test/canary.png)",
        "<iframe src='http://evil.test/canary'></iframe>",
        "<div style='position:fixed'>x</div>",
        "<a href='javascript:canary'>x</a>",
    ]
    source = f"for text in {texts!r}: display({{'text/markdown': text}}, raw=True)"
    with lab.opens([source], fresh=True) as notebook:
        guard = Guard(notebook, lab.jupyter.url)
        notebook.run(0)
        found = "\n".join(guard.findings())

    for sign in ("canary\n", "http://evil.test/canary.png", "image in", "position:fixed", "href=javascript:canary"):
        assert sign in found, (sign, found)


@pytest.mark.parametrize("ui", ["lab", "notebook"])
def test_each_hostile_text_shows_as_text(lab, ui):
    """Alone, as an answer and as a thought, no text of the corpus runs, loads, links or covers anything."""
    count = len(TEXTS) if ui == "lab" else 2 * AT_ONCE
    cells = [
        SHOW,
        *show_all(count, "show(TextDelta(text))"),
        *(show_all(count, "show(ThinkingDelta(text), TextDelta('x'))") if ui == "lab" else []),
    ]
    with lab.opens(cells, ui=ui, fresh=True) as notebook:
        guard = Guard(notebook, lab.jupyter.url)
        run_all(notebook, cells)
        assert notebook.output(1).locator(".jp-OutputArea-output").count() == AT_ONCE
        assert guard.findings() == []


def test_no_text_becomes_dangerous_by_being_cut(lab):
    """A reply that has come in part, its blocks put below each other, is as safe as a whole one."""
    each = "raw('\\n\\n'.join(safe(close_open(part, growing=True)) for part in cuts(text)))"
    cells = [SHOW, *show_all(len(TEXTS), each)]
    with lab.opens(cells, fresh=True) as notebook:
        guard = Guard(notebook, lab.jupyter.url)
        run_all(notebook, cells)
        assert guard.findings() == []


def test_no_text_becomes_dangerous_while_it_streams(lab, glm):
    """Whatever stands before and behind a text, and wherever the stream is cut, each picture on the way is safe."""
    parts = [TEXTS[number::3] for number in range(3)]
    cells = ["%load_ext chatglm_magic"]
    for part in parts:
        text = "\n\n".join(part)
        glm.say(text, pieces=list(pieces(text)), delay=0.001)
        cells.append(f"%%chatglm --base-url {glm.url} -m glm-4.7\ngo on")

    with lab.opens(cells, fresh=True) as notebook:
        guard = Guard(notebook, lab.jupyter.url)
        run_all(notebook, cells)
        assert notebook.outputs(3)[0]["data"]["text/plain"].endswith(parts[2][-1])
        assert guard.findings() == []


def test_what_the_model_meant_is_still_read(lab):
    """Code with angle brackets, HTML examples, comparison signs in text and in math read as they were written."""
    cells = [SHOW, "for text, _ in MEANT: show(TextDelta(text))", "for text in MEANT_MATH: show(TextDelta(text))"]
    with lab.opens(cells, fresh=True) as notebook:
        run_all(notebook, cells)
        notebook.page.wait_for_timeout(500)
        outputs = notebook.output(1).locator(".jp-OutputArea-output")
        assert outputs.count() == len(MEANT)
        for number, (text, read) in enumerate(MEANT):
            seen = outputs.nth(number).text_content()
            for words in read:
                assert words in seen, (text, seen)
        assert notebook.output(2).locator("mjx-container").count() == len(MEANT_MATH)
        assert notebook.output(2).locator("mjx-merror").count() == 0
