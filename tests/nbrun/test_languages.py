# mypy: allow-untyped-calls
"""Notebooks whose language is not Python: parameters go in, values come out, failures are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflowkit.errors import CellFailed, KernelWithoutMlflowkit
from tests.nbrun import counting_kernel
from tests.nbrun.conftest import code, execute, save


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Installs a kernel; gives what a notebook says of it."""

    def install_kernel(name: str, *argv: str) -> dict[str, str]:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"display_name": name.title(), "language": "bash"}
        told = {**spec, "argv": [sys.executable, *argv, "-f", "{connection_file}"]}
        (folder / "kernel.json").write_text(json.dumps(told))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        return {"name": name, **spec}

    return install_kernel


def test_bash_gets_its_parameters_and_its_failure_is_told(
    install: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    pytest.importorskip("bash_kernel")
    path = save(
        tmp_path / "n.ipynb",
        code("rows=1\nwho=nobody", "parameters"),
        code("echo $rows rows for $who"),
        code("raise SystemError", "skip-run"),
        code("ls /nowhere"),
        code("echo never"),
        kernelspec=install("bash", "-m", "bash_kernel"),
    )
    ran = execute(path, parameters={"rows": 3, "who": "me & you"})
    assert isinstance(ran.error, CellFailed)
    assert (ran.error.cell, ran.error.status) == (4, "error")
    assert "cannot access '/nowhere'" in ran.error.stream
    assert ran.printed(2) == "3 rows for me & you\n"
    done = ["completed"] * 3
    assert ran.statuses() == [*done, "skipped", "failed", "not run"]
    assert ran.papermill_statuses() == [*done, "pending", "failed", "pending"]


def test_a_kernel_of_any_language_hands_values_on_by_a_message(
    install: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    kernelspec = install("counting", str(Path(counting_kernel.__file__)))
    path = save(
        tmp_path / "n.ipynb",
        code("rows=1", "parameters"),
        code("out rows\nmore=5\nout more"),
        kernelspec=kernelspec,
    )
    ran = execute(path, parameters={"rows": 3})
    assert ran.error is None
    assert ran.values == {"rows": 3, "more": 5}
    assert [cell.get("outputs") for cell in ran.notebook.cells] == [[], [], []]
    again = execute(path, returns=("rows",))
    assert isinstance(again.error, KernelWithoutMlflowkit)
    assert again.statuses() == ["not run", "not run"]
