"""Opening a failure: JupyterLab on a copy of the executed notebook, in the kernel that failed.

The record of the run is never what a person edits. `opened_lab` has the server.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.errors import NoHeldKernel
from mlflowkit.nbrun import held
from mlflowkit.nbrun.held import HeldKernel
from mlflowkit.nbrun.opened_lab import HomesLab

KERNEL: Final = "mlflowkit-held"


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
    """Open a held kernel. The kernels of one home are opened in one JupyterLab.

    Args:
        lab: Show it in JupyterLab, which is started where none runs.
        browser: Show it in the browser.

    Raises:
        NoHeldKernel: JupyterLab is not there, or does not start.
    """
    folder = held.copies_of(kernel)
    notebook = _copy(kernel, folder)
    file = kernel.connection_file()
    if not lab:
        return Opened(kernel, notebook, file)
    place = HomesLab.of(kernel)
    page = place.link_to(folder) / notebook.name
    place.write_spec(spec_of(kernel), kernel)
    running = place.running_or_started()
    url = f"{running.url}lab/tree/{quote(str(page))}?token={running.token}"
    if browser:
        import webbrowser

        webbrowser.open(url)
    return Opened(kernel, notebook, file, url, running.pid)


def spec_of(kernel: HeldKernel) -> str:
    """The name of the kernel spec that leads to it."""
    return f"{KERNEL}-{hashlib.sha256(kernel.id.encode()).hexdigest()[:12]}"


def _copy(kernel: HeldKernel, folder: Path) -> Path:
    """The executed notebook, to work in; what a person has changed there before stays."""
    source = Path(kernel.notebook)
    path = folder / source.name
    if path.exists():
        return path
    found: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    found["metadata"]["kernelspec"] = {
        "name": spec_of(kernel),
        "display_name": f"failed: {kernel.task}",
        "language": "python",
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    return path
