"""A module that is edited where it is installed: no kernel begins with the old one."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

import mlflowkit
from mlflowkit.nbrun import kernel_files
from mlflowkit.nbrun.kernel_files import Imported, state

RUNS = """
from pathlib import Path
import sys, nbformat
from mlflowkit.testing import run_notebook
from tests.nbrun.conftest import code, save
path = save(Path("nb.ipynb"), code("import installed"), code("x = installed.part.x"))
module, events = Path(sys.argv[1]), []
for text in ("first", "edited", "edited again"):
    module.write_text(f"x = {text!r}")
    for _ in range(2):
        print(run_notebook(path, returns=["x"])["x"])
"""


def test_an_installed_module_that_is_edited_is_imported_anew(tmp_path: Path) -> None:
    venv.create(tmp_path / "v", symlinks=True)
    python = tmp_path / "v/bin/python"
    site = next((tmp_path / "v/lib").glob("python*/site-packages"))
    root = Path(mlflowkit.__file__).parent.parent
    (site / "here.pth").write_text(f"{root}\n{sysconfig.get_path('purelib')}\n")
    (site / "installed").mkdir()
    (site / "installed/__init__.py").write_text("from installed import part")
    told = subprocess.run(
        [python, "-c", RUNS, str(site / "installed/part.py")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        each for text in ("first", "edited", "edited again") for each in (text, text)
    ]


@pytest.mark.parametrize("noted", [True, False])
def test_a_change_is_seen_and_what_lies_beside_is_none(
    tmp_path: Path, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_files, "_SEEN_SECONDS", 0.0)
    changes: tuple[Callable[[Path], object], ...] = (
        lambda file: file.write_text("longer than it was"),
        lambda file: file.unlink(),
        lambda file: file.with_name("new").replace(file),
    )
    for at, change in enumerate(changes):
        (folder := tmp_path / f"{noted}{at}").mkdir()
        file = folder / "module.py"
        file.write_text("1")
        found = Imported({str(file): state(str(file))}, noted=noted)
        (folder / "new").write_text("beside it")
        (folder / "__pycache__").mkdir()
        file.read_text()
        assert not found.changed()
        change(file)
        assert found.changed()
        found.close()
        found.close()


def test_what_had_changed_before_anybody_looked_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("1")
    was = state(str(file))
    file.write_text("22")
    assert Imported({str(file): was}).changed()
    assert Imported({str(tmp_path / "none/at.all"): was}).changed()
    assert not Imported({}).changed()


def test_the_files_of_python_itself_are_not_looked_at() -> None:
    found = kernel_files.imported()
    assert pytest.__file__ in found
    assert time.__name__ in sys.modules
    assert subprocess.__file__ not in found
