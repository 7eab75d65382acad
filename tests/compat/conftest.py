from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit.compat.airflow import finder


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The path is put back, the hook is out, and each test has a home of its own."""
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    before = list(sys.path)
    yield
    sys.path[:] = before
    assert finder.answering_now() is None
    assert "airflow" not in sys.modules
