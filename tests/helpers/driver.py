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
from playwright.sync_api import Browser, Page, sync_playwright

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
        page.on("console", lambda message: self.console.append(message.text))
        page.on("request", lambda request: self.requests.append(request.url))

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
    """A person with a browser at a Jupyter server."""

    def __init__(self, jupyter: Jupyter, browser: Browser) -> None:
        self.jupyter = jupyter
        self.browser = browser
        self._count = 0

    @contextmanager
    def opens(
        self, cells: list[str], *, ui: str = "lab", dark: bool = False, locale: str = "en-US"
    ) -> Iterator[OpenNotebook]:
        """Open a new notebook and wait until its kernel is ready."""
        self._count += 1
        path = self.jupyter.write(f"visit{self._count}.ipynb", cells)
        context = self.browser.new_context(
            viewport={"width": 1100, "height": 800}, color_scheme="dark" if dark else "light", locale=locale
        )
        try:
            page = context.new_page()
            page.add_init_script(SCRIPT)
            notebook = OpenNotebook(page, path)
            place = f"lab/tree/{path.name}?reset" if ui == "lab" else f"notebooks/{path.name}"
            page.goto(f"{self.jupyter.url}/{place}")
            page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
            page.wait_for_function(
                """() => { const k = window.__panel()?.sessionContext?.session?.kernel;
                return k && k.status === 'idle'; }""",
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
            yield notebook
        finally:
            context.close()


@contextmanager
def visitor(environment: dict[str, str] | None = None) -> Iterator[Visitor]:
    """Start a server and a browser for the length of a block."""
    jupyter = Jupyter(environment)
    jupyter.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try:
                yield Visitor(jupyter, browser)
            finally:
                browser.close()
    finally:
        jupyter.stop()
