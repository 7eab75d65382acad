# mypy: allow-untyped-calls
"""Notebook files as they come: old, odd, elsewhere, changing while they run."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit.errors import ArtifactNotStored, MlflowkitError, NotebookInvalid
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import CellEvent, NotebookOrder
from tests.nbrun.conftest import PYTHON, code, execute, save

PLAIN: dict[str, Any] = {
    "cell_type": "code",
    "metadata": {},
    "outputs": [],
    "execution_count": None,
}


def notebook(*sources: str, minor: int = 4, **more: Any) -> dict[str, Any]:
    cells = [{**PLAIN, "source": source, **more} for source in sources]
    metadata = {"kernelspec": PYTHON}
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": metadata, "cells": cells}


def version_3() -> dict[str, Any]:
    code_cell = {"cell_type": "code", "language": "python", "metadata": {}, "outputs": []}
    cells = [
        {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Old"]},
        {**code_cell, "input": ["x = 20\n", "x + 1"], "collapsed": False},
        {**code_cell, "input": ["print(x)"], "prompt_number": 4},
    ]
    sheet = {"cells": cells, "metadata": {}}
    metadata = {"name": "old", "kernelspec": PYTHON}
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": metadata, "worksheets": [sheet]}


def test_old_and_odd_files_run_and_are_never_written_to(tmp_path: Path) -> None:
    twice = notebook("x = 20\nx + 1", "print(x)", minor=5, id="same")
    plain = notebook("x = 20\nx + 1", "print(x)")
    lists = notebook(minor=2)
    lists["cells"] = [
        {**PLAIN, "source": ["x = 20\n", "x + 1"]},
        {**PLAIN, "source": ["print(x)"]},
    ]
    files = {
        "version 3": json.dumps(version_3()).encode(),
        "no ids": json.dumps(plain).encode(),
        "the same id twice": json.dumps(twice).encode(),
        "lines as lists, with a BOM": b"\xef\xbb\xbf" + json.dumps(lists).encode(),
        "line ends of Windows": json.dumps(plain, indent=1).replace("\n", "\r\n").encode(),
    }
    ran = {}
    for name, data in files.items():
        path = tmp_path / f"{name}.ipynb"
        path.write_bytes(data)
        done = execute(path)
        cells = [cell for cell in done.notebook.cells if cell.cell_type == "code"]
        ids = [cell.id for cell in done.notebook.cells]
        assert path.read_bytes() == data
        ran[name] = (
            done.error,
            done.statuses(),
            cells[0].outputs[0].data["text/plain"],
            cells[1].outputs[0].text,
            len(set(ids)) == len(ids),
        )
        if name == "the same id twice":
            assert ids == ["same", "cell-1"]
    assert ran == dict.fromkeys(files, (None, ["completed"] * 2, "21", "20\n", True))


def test_a_notebook_may_lie_anywhere(tmp_path: Path) -> None:
    strange = tmp_path / "mit Leer zeichen" / "λ🎉"
    path = save(strange / "mein Buch (1) #2 %20 'x'.ipynb", code("import os\nos.getcwd()"))
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    roundabout = strange / ".." / "λ🎉" / path.name
    folders = {}
    for name, given in {"plain": path, "dots": roundabout, "link": link}.items():
        ran = execute(given, output=tmp_path / "out put" / f"{name} ü.ipynb")
        assert ran.error is None
        shown = ran.notebook.cells[0].outputs[0].data["text/plain"]
        folders[name] = Path(str(shown).strip("'\""))
    assert folders == {"plain": strange, "dots": strange, "link": tmp_path}


@pytest.mark.parametrize("where", ["/proc/nowhere/out.ipynb", "a_file/out.ipynb"])
def test_an_output_that_cannot_be_written_is_said_and_no_cell_runs(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "a_file").write_text("not a folder")
    path = save(tmp_path / "nb.ipynb", code("open('ran', 'w')"))
    events: list[CellEvent] = []
    order = NotebookOrder(path=path, parameters={}, output=tmp_path / where)
    with pytest.raises(ArtifactNotStored, match="out.ipynb"):
        NotebookEngine().run(order, events.append)
    assert not (tmp_path / "ran").exists()
    assert [event.kind for event in events if event.kind.startswith("cell")] == []


def test_a_notebook_that_changes_while_it_runs_is_executed_as_it_was(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "nb.ipynb", code("print('first')"), code("print('second')"))
    changed = json.dumps(notebook("print('edited')")).encode()

    def see(event: CellEvent) -> None:
        if event.kind == "cell_started" and event.cell == 0:
            path.write_bytes(changed)

    output = tmp_path / "out.ipynb"
    NotebookEngine().run(NotebookOrder(path=path, parameters={}, output=output), see)
    written = nbformat.read(output, as_version=4)
    assert [cell.outputs[0].text for cell in written.cells] == ["first\n", "second\n"]
    assert path.read_bytes() == changed


SEEDS = """
import os, random, uuid
import numpy as np
(random.random(), float(np.random.rand()), uuid.uuid4().hex, os.getpid(), os.getcwd())
"""


def test_notebooks_of_one_name_at_the_same_time_share_nothing(tmp_path: Path) -> None:
    """Neither kernels, folders nor random numbers."""
    paths = [
        save(
            tmp_path / str(n) / "same.ipynb",
            code(f"mine = {n}"),
            code(SEEDS),
            code("mine", "outputs"),
            code("mine += 0", "outputs"),
        )
        for n in range(6)
    ]
    gate = threading.Barrier(3)

    def one(path: Path) -> tuple[Any, Any]:
        gate.wait(120)
        ran = execute(path, output=path.with_name("executed.ipynb"))
        assert ran.error is None
        seen = eval(ran.notebook.cells[1].outputs[0].data["text/plain"], {})
        return dict(ran.values), seen

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one, paths))
    assert [values for values, _ in found] == [{"mine": n} for n in range(6)]
    assert [Path(seen[-1]) for _, seen in found] == [path.parent for path in paths]
    for facts in zip(*(seen for _, seen in found), strict=True):
        assert len(set(facts)) == len(paths)


def test_files_that_are_no_notebooks_are_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    bad = {
        "cells is a text": {**notebook(), "cells": "no"},
        "a cell is a number": {**notebook(), "cells": [3]},
        "a source is a number": notebook(3),  # type: ignore[arg-type]
        "outputs are missing": {
            **notebook(),
            "cells": [{"cell_type": "code", "metadata": {}, "source": "1"}],
        },
        "from the future": {**notebook("1"), "nbformat": 99},
        "metadata is a list": {**notebook("1"), "metadata": []},
    }
    output = tmp_path / "out.ipynb"
    said = {}
    for name, data in bad.items():
        path = tmp_path / "bad.ipynb"
        path.write_text(json.dumps(data))
        try:
            NotebookEngine().run(
                NotebookOrder(path=path, parameters={}, output=output), lambda _: None
            )
        except MlflowkitError as exc:
            said[name] = type(exc)
    assert said == dict.fromkeys(bad, NotebookInvalid)
    assert not output.exists()
