"""Our engine and papermill's own give the same notebooks: all that cells can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nbrun.parity import alike, engines


@pytest.mark.parametrize("name", alike.OUTPUTS)
def test_the_two_engines_give_the_same_notebook(name: str, tmp_path: Path) -> None:
    alike.assert_alike(name, tmp_path / "in")


def test_lines_that_are_redrawn_are_kept_as_they_are_seen(tmp_path: Path) -> None:
    """The one difference that the comparison above smooths over: papermill keeps each frame."""
    both = engines.execute("redrawn", tmp_path / "in")
    kept = [executed.notebook.cells[0].outputs for executed in (both.papermills, both.ours)]
    assert ["".join(out.text for out in outputs) for outputs in kept] == [
        "\r  0 %\r 25 %\r 50 %\r 75 %\r100 %\n",
        "100 %\n",
    ]
