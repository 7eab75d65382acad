"""Charts show themselves, for any number of classes and any names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlflowkit.ml.plots import (
    Chart,
    class_balance,
    confusion_matrix,
    sample_grid,
    training_curves,
)
from mlflowkit.ml.preprocess import preprocess
from mlflowkit.ml.scores import EpochScore, Score

from .digits import coloured


def assert_drawn(chart: Chart, folder: Path) -> None:
    assert chart._repr_png_().startswith(b"\x89PNG")
    chart.save(folder / "chart.png")
    with Image.open(folder / "chart.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 1


@pytest.mark.parametrize(
    "names", [["cats", "a $ and _ and ${x}"], [f"n{i}" for i in range(35)]]
)
def test_a_dataset_is_drawn(names: list[str], tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", dict.fromkeys(names, 4))
    packed = preprocess(manifest, out=tmp_path / "packed", image_size=8)
    assert_drawn(sample_grid(packed), tmp_path)
    balance = class_balance(packed)
    assert_drawn(balance, tmp_path)
    assert repr(balance) == (
        f"<Chart: {4 * len(names)} images of {len(names)} classes, by split>"
    )


@pytest.mark.parametrize("val", [0.5, None])
def test_a_training_is_drawn(val: float | None, tmp_path: Path) -> None:
    history = [EpochScore(n, 1 / n, 0.5, val, val, 0.1, 1.0, 10.0) for n in (1, 2, 3)]
    assert_drawn(training_curves(history), tmp_path)


@pytest.mark.parametrize("classes", [2, 40])
def test_a_confusion_matrix_is_drawn(classes: int, tmp_path: Path) -> None:
    table = tuple(map(tuple, np.eye(classes, dtype=int).tolist()))
    score = Score(1.0, 0.1, classes, table)
    chart = confusion_matrix(score, [str(n) for n in range(classes)])
    assert_drawn(chart, tmp_path)
    assert repr(chart) == "<Chart: confusion matrix, accuracy 100.0%>"
