"""One real Jupyter kernel for the whole folder, in a project folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.homes import fresh_home
from tests.real_kernel import Kernel, started


class Notebook(Kernel):
    """Cells go in, what they print comes out."""

    def result(self, run: str = "d.run()", task: str = "look") -> str:
        """The value of a task of a new run, as text."""
        return self.cell(
            f"_r = {run}.wait(120)\nprint(_r[{task!r}].result())"
        ).splitlines()[-1]

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
        env = {
            "MLFLOWKIT_HOME": str(home),
            "MLFLOWKIT_PARALLELISM": "2",
            "PYTHONPATH": str(site),
            "SITE": str(site),
        }
        with started(folder, **env) as manager:
            notebook = Notebook(manager, folder)
            try:
                notebook.cell("import os, sys\nfrom mlflowkit import dag, task, DAG")
                yield notebook
            finally:
                notebook.close()
