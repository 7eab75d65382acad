"""JupyterLab on a free port of 127.0.0.1, with a token, and its notebooks in a browser."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from mlflowkit.demo.ports import free_port
from tests.homes import wait_until

UP_WITHIN_S = 60.0
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
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

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
            urllib.request.urlopen(asked, timeout=30).close()

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


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[Lab]:
    """A JupyterLab that ends with the block."""
    lab = Lab(folder, home)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Any, lab: Lab, name: str) -> None:
        self.page, self.name = page, name
        page.goto(lab.url(name))
        self.ready()

    def ready(self) -> None:
        """Wait for its kernel."""
        self.page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden)")
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)

    def cell(self, index: int) -> Any:
        """A cell, from 0."""
        return self.page.locator(".jp-NotebookPanel .jp-Cell").nth(index)

    def run(self, index: int) -> Any:
        """Run a cell, and wait until its number has changed to a star or a number."""
        cell = self.cell(index)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        return cell

    def ran(self, index: int) -> Any:
        """Run a cell, and wait until it has ended."""
        prompt = self.cell(index).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        cell = self.run(index)
        self.page.wait_for_function(
            """([at, before]) => {
              const all = document.querySelectorAll('.jp-NotebookPanel .jp-Cell');
              const text = all[at].querySelector('.jp-InputPrompt').innerText;
              return /\\d/.test(text) && text !== before; }""",
            arg=[index, before],
        )
        return cell

    def save(self) -> None:
        """Save it, and wait until it is."""
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+s")
        self.page.wait_for_function(
            "() => !document.querySelector('.lm-TabBar-tab.jp-mod-dirty')"
        )
