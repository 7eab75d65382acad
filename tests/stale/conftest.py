"""One real Jupyter kernel for the whole folder, in a project folder of its own."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from jupyter_client.manager import KernelManager

from tests.homes import fresh_home

SECONDS = 60


class CellError(Exception):
    """A cell raised: `name: value`, then the traceback."""


class Notebook:
    """Cells go in, what they print comes out."""

    def __init__(self, manager: KernelManager, folder: Path) -> None:
        self.folder = folder
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)

    def close(self) -> None:
        self._client.stop_channels()

    def cell(self, code: str) -> str:
        """Run a cell.

        Raises:
            CellError: it raised.
        """
        sent = self._client.execute(dedent(code))
        printed, error = "", ""
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=SECONDS)
            except queue.Empty:
                raise TimeoutError(code) from None
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                break
        if error:
            raise CellError(error)
        return printed.strip()

    def result(self, run: str = "d.run()", task: str = "look") -> str:
        """The value of a task of a new run, as text."""
        return self.cell(f"_r = {run}.wait(60)\nprint(_r[{task!r}].result())").splitlines()[
            -1
        ]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    base = tmp_path_factory.mktemp("stale")
    folder, site = base / "project", base / "site"
    folder.mkdir()
    site.mkdir()
    with fresh_home(base) as home:
        manager = KernelManager(kernel_name="python3")
        env = {
            **os.environ,
            "MLFLOWKIT_HOME": str(home),
            "MLFLOWKIT_PARALLELISM": "2",
            "PYTHONPATH": str(site),
            "SITE": str(site),
        }
        manager.start_kernel(cwd=str(folder), env=env)
        notebook = Notebook(manager, folder)
        try:
            notebook.cell("import os, sys\nfrom mlflowkit import dag, task, DAG")
            yield notebook
        finally:
            notebook.close()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
