"""A store in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit.artifacts.files import FileArtifacts


@pytest.fixture
def store(tmp_path: Path) -> FileArtifacts:
    return FileArtifacts(tmp_path / "artifacts")
