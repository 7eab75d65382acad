from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import fresh_home
from tests.jupyter.shell import Shell, fresh_shell
from tests.real_kernel import Kernel, started


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A session of its own in this process; runs nothing in an engine."""
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    from mlflowkit import preflight

    # What a clean process says is asked in a real kernel: test_kernel.py.
    monkeypatch.setattr(preflight, "in_notebook", lambda: False)
    monkeypatch.setattr(preflight, "make_ready", lambda: None)
    with fresh_shell() as found:
        yield found


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A real kernel, in a project folder and a home of its own."""
    base = tmp_path_factory.mktemp("jupyter")
    folder = base / "project"
    folder.mkdir()
    with fresh_home(base) as home:
        env = {
            "MLFLOWKIT_HOME": str(home),
            "MLFLOWKIT_PARALLELISM": "2",
            "JPY_SESSION_NAME": str(folder / "study.ipynb"),
        }
        with started(folder, **env) as manager:
            found = Kernel(manager, folder)
            try:
                found.cell("%load_ext mlflowkit")
                yield found
            finally:
                found.close()
