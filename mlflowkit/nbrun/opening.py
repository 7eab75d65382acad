"""Opening a failure: JupyterLab on a copy of the executed notebook, in the kernel that failed.

The record of the run is never what a person edits. The server listens on the loopback
alone, with a token that stands in no command line.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.errors import NoHeldKernel
from mlflowkit.nbrun import held
from mlflowkit.nbrun.held import HeldKernel

KERNEL: Final = "mlflowkit-held"
#: JupyterLab listens after this long, or it is said that it does not.
_START_SECONDS: Final = 60.0
#: A server whose pages are closed ends by itself.
_IDLE_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Opened:
    """A failed kernel that is open."""

    kernel: HeldKernel
    #: The copy of the executed notebook.
    notebook: Path
    #: For `jupyter console --existing FILE`.
    connection_file: Path
    #: JupyterLab on it, with its token; empty where none was started.
    url: str = ""
    #: The server's process; 0: none was started.
    pid: int = 0

    @property
    def command(self) -> str:
        """For a terminal, or VS Code's."""
        return f"jupyter console --existing {self.connection_file}"

    def __repr__(self) -> str:
        until = self.kernel.until.astimezone().strftime("%H:%M:%S")
        lines = [
            f"{self.kernel.task} of {self.kernel.run_id}, held until {until}: "
            f"cell {self.kernel.cell + 1} failed with {self.kernel.error}",
            *([f"JupyterLab: {self.url}"] if self.url else []),
            f"terminal: {self.command}",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        link = f'<a href="{escape(self.url)}" target="_blank">JupyterLab</a><br>'
        told = escape(f"terminal: {self.command}")
        return f"{link if self.url else ''}<code>{told}</code>"


def find(home: Path, run_id: str, task_id: str, map_index: int | None) -> HeldKernel:
    """The kernel of the latest attempt of a task instance that is held.

    Raises:
        NoHeldKernel: none is.
    """
    index = None if map_index == UNMAPPED else map_index
    found = held.of_instance(home, run_id, task_id, index)
    if not found:
        raise NoHeldKernel(run_id, task_id)
    return found[-1]


def open_kernel(kernel: HeldKernel, *, lab: bool = True, browser: bool = True) -> Opened:
    """Open a held kernel.

    Args:
        lab: Start JupyterLab on it.
        browser: Show it in the browser.

    Raises:
        NoHeldKernel: JupyterLab is not there, or does not start.
    """
    folder = held.copies_of(kernel)
    notebook = _copy(kernel, folder)
    file = kernel.connection_file()
    if not lab:
        return Opened(kernel, notebook, file)
    url, pid = _start_lab(kernel, folder, notebook)
    if browser:
        import webbrowser

        webbrowser.open(url)
    return Opened(kernel, notebook, file, url, pid)


def _copy(kernel: HeldKernel, folder: Path) -> Path:
    """The executed notebook, to work in; what a person has changed there before stays."""
    source = Path(kernel.notebook)
    path = folder / source.name
    if path.exists():
        return path
    found: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    found["metadata"]["kernelspec"] = {
        "name": KERNEL,
        "display_name": f"failed: {kernel.task}",
        "language": "python",
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def _write_spec(kernel: HeldKernel, folder: Path) -> None:
    from mlflowkit.nbrun.provisioner import ENV_ATTACH, spec_of_this

    place = folder / "kernels" / KERNEL
    place.mkdir(parents=True, exist_ok=True)
    spec = spec_of_this(f"failed: {kernel.task}") | {"env": {ENV_ATTACH: kernel.id}}
    (place / "kernel.json").write_text(json.dumps(spec))


def _start_lab(kernel: HeldKernel, folder: Path, notebook: Path) -> tuple[str, int]:
    jupyter = folder / ".jupyter"
    shutil.rmtree(jupyter, ignore_errors=True)
    jupyter.mkdir(mode=0o700)
    _write_spec(kernel, jupyter)
    token = secrets.token_urlsafe(24)
    before = os.environ.get("JUPYTER_PATH", "")
    env = {
        **{name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"},
        "JUPYTER_PATH": os.pathsep.join([str(jupyter), *([before] if before else [])]),
        "JUPYTER_RUNTIME_DIR": str(jupyter / "runtime"),
        "JUPYTER_TOKEN": token,
    }
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.root_dir": str(folder),
        "ServerApp.open_browser": "False",
        "ServerApp.shutdown_no_activity_timeout": str(_IDLE_SECONDS),
        "MappingKernelManager.cull_idle_timeout": str(_IDLE_SECONDS),
        "KernelManager.autorestart": "False",
        "AsyncKernelManager.autorestart": "False",
    }
    argv = [sys.executable, "-m", "jupyterlab"]
    argv += [f"--{name}={value}" for name, value in options.items()]
    argv += ["--allow-root"] if os.geteuid() == 0 else []
    log = jupyter / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    told = _listening(process, jupyter / "runtime", log)
    return f"{told['url']}lab/tree/{quote(notebook.name)}?token={token}", process.pid


def _listening(
    process: subprocess.Popen[bytes], runtime: Path, log: Path
) -> Mapping[str, Any]:
    until = monotonic() + _START_SECONDS
    path = runtime / f"jpserver-{process.pid}.json"
    while process.poll() is None and monotonic() < until:
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            sleep(0.05)
            continue
        return found
    process.kill()
    process.wait()
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise NoHeldKernel("", "", f"JupyterLab did not start: {' '.join(last)}")
