"""JupyterLab on a free port of 127.0.0.1, with a token, and its notebooks in a browser."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat

from mlflowkit.demo.ports import free_port
from tests.homes import wait_until

UP_WITHIN_S = 120.0
#: For whatever a story waits for.
DEADLINE_S = 120.0
#: Until a page in which a notebook does not open is given up for a new one.
SOON_S = 30.0
#: The notebook is in front, and its kernel is connected and waits for work.
READY = """path => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  return panel?.context?.path === path && panel.context.isReady
    && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'; }"""
QUIET = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}


class Lab:
    """A server; notebooks lie in its folder."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        self.port, self.token = free_port(), secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = self.folder / "app" / "settings"
        settings.mkdir(parents=True)
        (settings / "overrides.json").write_text(json.dumps(QUIET))
        for name in ("files", "own"):
            (self.folder / name).mkdir()
        environment = {
            **os.environ,
            "MLFLOWKIT_HOME": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.folder / "own" / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "own" / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "own" / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "own" / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "own" / "workspaces"),
        }
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
        command += ["--ip=127.0.0.1", f"--port={self.port}", "--port-retries=0"]
        command += [f"--IdentityProvider.token={self.token}"]
        command += [f"--ServerApp.root_dir={self.folder / 'files'}"]
        command += [f"--LabApp.app_settings_dir={settings}"]
        command += [f"--LabApp.user_settings_dir={self.folder / 'own' / 'settings'}"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        command += ["--LabApp.extension_manager=readonly"]
        command += ["--LabApp.expose_app_in_browser=True"]
        command += ["--JupyterNotebookApp.expose_app_in_browser=True"]
        with (self.folder / "lab.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        wait_until(self._answers, UP_WITHIN_S, 0.2)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "lab.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(self._url("api/status"), timeout=2):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(120)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(120)

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def write(self, name: str, *cells: str) -> Path:
        """A notebook with these cells."""
        made = nbformat.v4.new_notebook()
        made.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
        }
        made.cells = [nbformat.v4.new_code_cell(text) for text in cells]
        path = self.folder / "files" / name
        nbformat.write(made, path)
        return path

    def restart_kernels(self) -> None:
        """Every kernel begins anew, as by "Restart Kernel"."""
        with urllib.request.urlopen(self._url("api/kernels"), timeout=10) as answer:
            found = json.load(answer)
        for kernel in found:
            url = self._url(f"api/kernels/{kernel['id']}/restart")
            asked = urllib.request.Request(url, method="POST", data=b"")
            urllib.request.urlopen(asked, timeout=120).close()

    def choose(self, plugin: str, **values: object) -> None:
        """Settings of a user: `plugin` is `@jupyterlab/apputils-extension:themes`."""
        package, _, name = plugin.partition(":")
        path = self.folder / "own" / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def url(self, name: str) -> str:
        """Where a notebook opens, with no other beside it."""
        space = "lab/workspaces/" + secrets.token_hex(4) + "/tree/"
        return self._url(space + name)

    def notebook_url(self, name: str) -> str:
        """Where Notebook 7 has it."""
        return self._url("notebooks/" + name)


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[Lab]:
    """A JupyterLab that ends with the block."""
    lab = Lab(folder, home)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


#: Closes all that is open, saved or not, with its kernels.
CLEAR = """async () => {
  const app = window.jupyterapp;
  for (const one of [...app.shell.widgets('main')]) {
    if (one.context) one.context.model.dirty = false;
    one.close();
  }
  await app.serviceManager.sessions.shutdownAll();
}"""
OPEN = "path => window.jupyterapp.commands.execute('docmanager:open', { path })"


class Desk:
    """One page of JupyterLab; a notebook after the other is opened in it."""

    def __init__(self, context: Any, lab: Lab) -> None:
        self.context, self.lab = context, lab
        self.page: Any = None

    def open(
        self, name: str, *, anew: bool = False, watch: Callable[[Any], None] | None = None
    ) -> Notebook:
        """A notebook, and nothing beside it.

        Args:
            anew: In a new page: after settings were chosen, or kernels restarted.
            watch: Is given the page before the notebook's kernel is connected.
        """
        from playwright.sync_api import TimeoutError as Late

        watch = watch or (lambda _: None)
        if not anew and self._cleared():
            watch(self.page)
            self.page.evaluate(OPEN, name)
            with suppress(Late):
                return Notebook(self.page, self.lab, name).ready(SOON_S)
        if self.page is not None:
            self.page.close()
        self.page = self.context.new_page()
        watch(self.page)
        self.page.goto(self.lab.url(name))
        return Notebook(self.page, self.lab, name).ready()

    def _cleared(self) -> bool:
        from playwright.sync_api import Error

        if self.page is None:
            return False
        try:
            self.page.evaluate(CLEAR)
            empty = "() => !document.querySelector('.jp-Cell')"
            self.page.wait_for_function(empty, timeout=SOON_S * 1000)
        except Error:
            return False
        return True

    def theme(self, name: str) -> None:
        """Choose a theme, as by the menu."""
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
        self.page.evaluate(change, name)


class Notebook:
    """A notebook that is open in a page of JupyterLab or of Notebook 7."""

    def __init__(self, page: Any, lab: Lab, name: str) -> None:
        self.page, self.lab, self.name = page, lab, name

    @property
    def panel(self) -> Any:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def ready(self, seconds: float = DEADLINE_S) -> Notebook:
        """Wait for its kernel."""
        self.page.wait_for_function(READY, arg=self.name, timeout=seconds * 1000)
        self.panel.locator(".jp-Cell").first.wait_for()
        return self

    def cell(self, index: int) -> Any:
        """A cell, from 0."""
        return self.panel.locator(".jp-Cell").nth(index)

    def number(self, index: int) -> str:
        """What stands beside a cell: "[ ]:", "[*]:", "[3]:"."""
        return str(self.cell(index).locator(".jp-InputPrompt").inner_text()).strip()

    def run(self, index: int) -> Any:
        """Run a cell, and wait until the page says that it was taken."""
        cell, before = self.cell(index), self.number(index)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            with suppress(AssertionError):  # the key was lost: the page was not ready
                wait_until(lambda: self.number(index) != before, 10, 0.05)
                return cell
            assert time.monotonic() < deadline, f"cell {index} does not begin"

    def wait(self, index: int) -> None:
        """Wait until a cell has ended."""
        wait_until(lambda: re.search(r"\d", self.number(index)), DEADLINE_S, 0.05)

    def ran(self, index: int) -> Any:
        """Run a cell, and wait until it has ended."""
        cell = self.run(index)
        self.wait(index)
        return cell

    def save(self) -> None:
        """Save it, and wait until it is."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+s")
        wait_until(lambda: self.path.stat().st_mtime_ns != before, DEADLINE_S, 0.05)

    @property
    def path(self) -> Path:
        return self.lab.folder / "files" / self.name
