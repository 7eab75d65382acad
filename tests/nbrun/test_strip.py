# mypy: allow-untyped-calls
"""A stripped notebook holds what its author wrote, in bytes that stay the same."""

from __future__ import annotations

import json
import resource
import shutil
import stat
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit.errors import NotebookInvalid, NotebookMissing
from mlflowkit.nbrun.strip import strip_file, stripped
from tests.nbrun.conftest import code, execute, save, text

CELLS = (
    text("# ünï"),
    code("n: int = 1", "parameters"),
    code("import ipywidgets\nprint(n)\nipywidgets.IntSlider()"),
    code("n"),
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A notebook, and how a run with another parameter left it."""
    folder = tmp_path_factory.mktemp("strip")
    path = save(folder / "nb.ipynb", *CELLS)
    ran = execute(path, output=folder / "done.ipynb", parameters={"n": 7})
    assert ran.error is None and ran.printed(3) == "7\n"
    return path, folder / "done.ipynb"


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_stripped_executed_notebook_is_its_source_again_and_stays_so(
    executed: tuple[Path, Path], tmp_path: Path
) -> None:
    source, done = executed
    copy, original = tmp_path / "done.ipynb", tmp_path / "nb.ipynb"
    shutil.copy(done, copy)
    copy.chmod(0o640)
    shutil.copy(source, original)
    assert strip_file(copy, check=True) and copy.read_bytes() == done.read_bytes()
    assert strip_file(copy)
    strip_file(original)
    after, before = loaded(copy), loaded(original)
    assert [c["source"] for c in after["cells"]] == [c["source"] for c in before["cells"]]
    assert [c["id"] for c in after["cells"]] == [c["id"] for c in before["cells"]]
    assert [c.get("outputs", []) for c in after["cells"]] == [[], [], [], []]
    assert [c["metadata"] for c in after["cells"]] == [
        c["metadata"] for c in before["cells"]
    ]
    assert after["metadata"].keys() == {"kernelspec", "language_info"}
    assert "version" not in after["metadata"]["language_info"]
    assert after["cells"][1]["metadata"] == {"tags": ["parameters"]}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    first = copy.read_bytes()
    assert not strip_file(copy) and copy.read_bytes() == first
    nbformat.write(nbformat.read(copy, as_version=4), copy)  # as Jupyter saves it
    strip_file(copy)
    assert copy.read_bytes() == first
    assert {p.name for p in tmp_path.iterdir()} == {"done.ipynb", "nb.ipynb"}


def test_two_runs_differ_and_their_stripped_copies_with_outputs_do_not(
    executed: tuple[Path, Path], tmp_path: Path
) -> None:
    source, done = executed
    again = execute(source, output=tmp_path / "again.ipynb", parameters={"n": 7})
    assert again.error is None
    plain = save(tmp_path / "p.ipynb", code("print(1)\n2"))
    runs = [execute(plain, output=tmp_path / f"{n}.ipynb") for n in range(2)]
    assert [one.error for one in runs] == [None, None]
    texts = [(tmp_path / f"{n}.ipynb").read_text() for n in range(2)]
    assert texts[0] != texts[1]
    kept = [stripped(one, "x", keep_outputs=True) for one in texts]
    assert kept[0] == kept[1]
    (cell,) = json.loads(kept[0])["cells"]
    assert [out["output_type"] for out in cell["outputs"]] == ["stream", "execute_result"]
    assert (cell["execution_count"], cell["outputs"][1]["execution_count"]) == (None, None)
    with_injected = json.loads(stripped(done.read_text(), "x", keep_outputs=True))
    assert len(with_injected["cells"]) == len(CELLS) + 1
    assert "widgets" in with_injected["metadata"]


def test_every_format_and_odd_content_is_stripped_and_stays_valid() -> None:
    v3 = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "x"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {
                        "cell_type": "code",
                        "input": ["x = 1"],
                        "language": "python",
                        "metadata": {},
                        "prompt_number": 4,
                        "collapsed": False,
                        "outputs": [{"output_type": "stream", "text": ["1"]}],
                    }
                ],
            }
        ],
    }
    old = stripped(json.dumps(v3), "old")
    nbformat.validate(nbformat.reads(old, as_version=nbformat.NO_CONVERT))
    assert json.loads(old)["worksheets"][0]["cells"][0]["outputs"] == []
    odd = {
        "nbformat": 4,
        "nbformat_minor": 4,
        "metadata": {"papermill": {}, "mine": 1.0},
        "cells": [
            {"cell_type": "raw", "metadata": {}, "source": "\ud800 half"},
            {
                "cell_type": "code",
                "metadata": {"scrolled": True, "tags": ["a", 3], "mine": {"b": 1}},
                "execution_count": 3,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}],
                "source": "a\nb",
            },
        ],
    }
    once = stripped(json.dumps(odd), "odd")
    assert stripped(once, "odd") == once
    found = json.loads(once)
    assert found["metadata"] == {"mine": 1.0}
    assert found["cells"][0]["source"] == ["\ud800 half"]
    assert found["cells"][1] == {
        "cell_type": "code",
        "metadata": {"tags": ["a", 3], "mine": {"b": 1}},
        "execution_count": None,
        "outputs": [],
        "source": ["a\n", "b"],
    }


def test_a_file_that_cannot_be_written_is_left_as_it_is_and_a_link_stays_a_link(
    tmp_path: Path,
) -> None:
    real, link = tmp_path / "ünï sub" / "real.ipynb", tmp_path / "link.ipynb"
    real.parent.mkdir()
    cell = {"cell_type": "code", "metadata": {}, "execution_count": 3, "source": "n"}
    real.write_text(json.dumps({"cells": [{**cell, "outputs": []}], "metadata": {}}))
    before = real.read_bytes()
    link.symlink_to(Path("ünï sub") / ".." / "ünï sub" / "real.ipynb")
    real.chmod(0o444)
    with pytest.raises(NotebookInvalid, match=r"it is read-only.*Nothing was changed"):
        strip_file(link)
    assert real.read_bytes() == before
    real.chmod(0o600)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as a disk that is full
    try:
        with pytest.raises(NotebookInvalid, match="Nothing was changed"):
            strip_file(link)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert real.read_bytes() == before
    assert strip_file(link) and link.is_symlink() and real.read_bytes() != before
    assert [p.name for p in real.parent.iterdir()] == ["real.ipynb"]


def test_what_is_no_notebook_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    for content in (b"{\n,", b"[]", b'{"cells": [3]}', b'{"worksheets": 1}', b'"caf\xe9"'):
        path.write_bytes(content)
        with pytest.raises(NotebookInvalid, match="x.ipynb"):
            strip_file(path)
        assert path.read_bytes() == content
    with pytest.raises(NotebookMissing):
        strip_file(tmp_path / "none.ipynb")
