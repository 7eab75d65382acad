"""Our engine and papermill's own give the same notebooks: errors, ends, surroundings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nbrun.parity import alike


@pytest.mark.parametrize("name", alike.ENDINGS)
def test_the_two_engines_give_the_same_notebook(name: str, tmp_path: Path) -> None:
    alike.assert_alike(name, tmp_path / "in")
