"""A real JupyterLab or Notebook 7 in headless Chromium, driven as a person would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
]
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# The notebook panel, wherever it is; counts of layout shifts and long tasks from the beginning.
SCRIPT = """
window.__panel = () => {
  const app = window.jupyterapp || window.jupyterlab;
  const isNotebook = w => w && w.content && w.content.widgets;
  if (isNotebook(app.shell.currentWidget)) return app.shell.currentWidget;
  for (const w of app.shell.widgets('main')) if (isNotebook(w)) return w;
};
window.__long = []; window.__shift = 0;
new PerformanceObserver(l => { for (const e of l.getEntries()) window.__long.push(e.duration) })
  .observe({entryTypes: ['longtask']});
new PerformanceObserver(l => { for (const e of l.getEntries()) window.__shift += e.value })
  .observe({entryTypes: ['layout-shift']});
"""

# Opens a notebook in the place of all that is open; their kernels end.
ANOTHER = """async path => {
  const app = window.jupyterapp || window.jupyterlab;
  const open = [...app.shell.widgets('main')];
  await app.commands.execute('docmanager:open', {path});
  for (const widget of open) { widget.sessionContext?.shutdown().catch(() => {}); widget.dispose(); }
  app.shell.collapseRight(); app.shell.expandLeft();
  window.__long = []; window.__shift = 0;
}"""
WINDOW: Any = {"width": 1100, "height": 800}


class Jupyter:
    """A Jupyter server of its own, in a folder of its own, with this Python as its kernel."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jupyter-"))
        self.root = self.folder / "work"
        self.root.mkdir()
        settings = self.folder / "settings"
        for name, value in SETTINGS.items():
            path = settings / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        self._environment = {
            **os.environ,
            **{name: str(self.folder / place) for name, place in places.items()},
            **(environment or {}),
        }

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._log = (self.folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--ip=127.0.0.1",
                "--port=0",
                "--allow-root",
                "--IdentityProvider.token=",
                "--ServerApp.disable_check_xsrf=True",
                f"--ServerApp.root_dir={self.root}",
                "--LabApp.expose_app_in_browser=True",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--LabApp.news_url=",
            ],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            for found in (self.folder / "runtime").glob("jpserver-*.json"):
                with suppress(ValueError, OSError):
                    self.url = json.loads(found.read_text())["url"].rstrip("/")
                    urllib.request.urlopen(f"{self.url}/api/status", timeout=5).close()  # noqa: S310 - loopback
                    return
            time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text()[-2000:])

    def stop(self) -> None:
        """End the server, its kernels and its folder."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, cells: list[str]) -> Path:
        """Write a notebook of code cells."""
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells], metadata={"kernelspec": kernel}
        )
        path = self.root / name
        nbformat.write(notebook, str(path))
        return path


class OpenNotebook:
    """One notebook on a page."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path
        self.console: list[str] = []
        self.requests: list[str] = []
        self.loads = 0
        page.on("console", self._hear)
        page.on("request", self._note)
        page.on("load", self._count)

    def _hear(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)

    def _count(self, _: Page) -> None:
        self.loads += 1

    def forget(self) -> None:
        """Follow the page no more."""
        self.page.remove_listener("load", self._count)
        self.page.remove_listener("console", self._hear)
        self.page.remove_listener("request", self._note)

    def js(self, function: str, argument: Any = None) -> Any:
        """Evaluate a JavaScript function in the page."""
        return self.page.evaluate(function, argument)

    def start(self, cell: int) -> None:
        """Run a cell and do not wait for it."""
        self.js(
            """i => { const p = window.__panel(); p.content.activeCellIndex = i; p.content.deselectAll();
            (window.jupyterapp || window.jupyterlab).commands.execute('notebook:run-cell'); }""",
            cell,
        )

    def run(self, cell: int, seconds: float = 60) -> None:
        """Run a cell and wait until it has ended."""
        self.start(cell)
        self.ended(cell, seconds)

    def ended(self, cell: int, seconds: float = 60) -> None:
        """Wait until a cell has ended."""
        self.page.wait_for_function(
            """i => { const c = window.__panel().content.widgets[i];
            return c.model.executionCount !== null && !c.promptNode.textContent.includes('*')
              && window.__panel().sessionContext.session.kernel.status === 'idle'; }""",
            arg=cell,
            timeout=seconds * 1000,
        )

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """Give a cell's outputs as the notebook will save them."""
        return self.js("i => window.__panel().content.widgets[i].model.outputs.toJSON()", cell)

    def output(self, cell: int) -> Any:
        """Give the place where a cell's output is shown."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")

    def text(self, cell: int) -> str:
        """Give what a person reads below a cell."""
        return self.js(
            """i => { const n = window.__panel().content.widgets[i].node.querySelector('.jp-Cell-outputArea');
            return n ? n.innerText : ''; }""",
            cell,
        )

    def interrupt(self) -> None:
        """Do what the ■ button does."""
        self.js("() => window.__panel().sessionContext.session.kernel.interrupt()")

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook and read it back from disk."""
        self.js("() => window.__panel().context.save()")
        return nbformat.read(str(self.path), as_version=4)


class Visitor:
    """A person with a browser at a Jupyter server, who stays on the page where one notebook after the other is opened.

    Loading JupyterLab takes longer than most tests: a page that a test has left in order serves the next one too.
    """

    def __init__(self, jupyter: Jupyter, browser: Browser) -> None:
        self.jupyter = jupyter
        self.browser = browser
        self._count = 0
        self._page: Page | None = None
        self._locale = ""

    @contextmanager
    def opens(
        self, cells: list[str], *, ui: str = "lab", dark: bool = False, locale: str = "en-US", fresh: bool = False
    ) -> Iterator[OpenNotebook]:
        """Open a new notebook and wait until its kernel is ready; `fresh`: on a page of its own."""
        self._count += 1
        path = self.jupyter.write(f"visit{self._count}.ipynb", cells)
        if fresh or ui != "lab" or locale != self._locale:
            self.leave()
        if self._page is None:
            self._locale = locale
            self._page = self.browser.new_context(viewport=WINDOW, locale=locale).new_page()
            self._page.add_init_script(SCRIPT)
            place = f"lab/tree/{path.name}?reset" if ui == "lab" else f"notebooks/{path.name}"
            self._page.goto(f"{self.jupyter.url}/{place}")
        else:
            self._page.set_viewport_size(WINDOW)
            self._page.evaluate(ANOTHER, path.name)
        page = self._page
        notebook = OpenNotebook(page, path)
        try:
            page.emulate_media(color_scheme="dark" if dark else "light")
            page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
            page.wait_for_function(
                """name => { const k = window.__panel()?.sessionContext?.session?.kernel;
                return k && k.status === 'idle' && window.__panel().context.path === name; }""",
                arg=path.name,
                timeout=60_000,
            )
            # The server keeps the theme for the next visit, so each one sets its own.
            page.evaluate(
                """dark => document.body.dataset.jpThemeLight !== String(!dark)
                  && (window.jupyterapp || window.jupyterlab).commands
                  .execute('apputils:change-theme', {theme: dark ? 'JupyterLab Dark' : 'JupyterLab Light'})""",
                dark,
            )
            page.wait_for_selector(f"body[data-jp-theme-light='{str(not dark).lower()}']", state="attached")
            notebook.loads = 0
            yield notebook
        except BaseException:
            self.leave()
            raise
        notebook.forget()
        if fresh or ui != "lab" or notebook.loads or page.is_closed() or page.locator(".jp-Dialog").count():
            self.leave()

    def leave(self) -> None:
        """Close the page."""
        if self._page is not None:
            self._page.context.close()
            self._page = None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser for the length of a block, in which this thread must not run an event loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visitor(browser: Browser, environment: dict[str, str] | None = None) -> Iterator[Visitor]:
    """Start a server for a browser for the length of a block."""
    jupyter = Jupyter(environment)
    jupyter.start()
    try:
        person = Visitor(jupyter, browser)
        yield person
        person.leave()
    finally:
        jupyter.stop()
