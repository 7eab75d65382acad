"""The pictures in the notebooks: samples, class balance, curves, confusion matrix.

Drawn without pyplot: no window, no backend, no global state. A `Chart` shows itself as the
last line of a cell, and `chart.save(path)` writes it to a file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import MissingExtra
from mlflowkit.ml.dataset import SPLITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlflowkit.ml.dataset import PackedDataset, SplitName
    from mlflowkit.ml.scores import EpochScore, Score

_DPI: Final = 100
#: Above this many classes, cells and bars are drawn without numbers and names.
_READABLE: Final = 30


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure. `alt` says in a sentence what it shows."""

    figure: Figure
    alt: str

    def __repr__(self) -> str:
        return f"<Chart: {self.alt}>"

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.save(out)
        return out.getvalue()

    def save(self, file: Path | str | io.BytesIO) -> None:
        """Write it as PNG."""
        self.figure.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")


def sample_grid(
    dataset: PackedDataset, *, split: SplitName = "train", columns: int = 10
) -> Chart:
    """A row of images for each class (the first twelve classes), as they were packed."""
    import numpy as np

    images, labels = dataset.split(split)
    classes = dataset.classes[:12]
    figure = _figure(columns * 0.8, len(classes) * 0.85)
    axes = figure.subplots(len(classes), columns, squeeze=False)
    for row, name in enumerate(classes):
        chosen = np.flatnonzero(labels == row)[:columns]
        for column, ax in enumerate(axes[row]):
            _bare(ax)
            if column < len(chosen):
                ax.imshow(images[int(chosen[column])], interpolation="nearest")
        axes[row][0].set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
    size = dataset.image_size
    return Chart(
        figure, f"samples of {len(classes)} classes from {split}, {size}x{size} pixels"
    )


def class_balance(dataset: PackedDataset) -> Chart:
    """How many images each class has in each split, as stacked bars."""
    import numpy as np

    names = dataset.classes
    figure = _figure(max(5.0, min(14.0, 0.5 * len(names))), 3)
    ax = figure.subplots()
    below = np.zeros(len(names))
    for split in SPLITS:
        counts = np.array([dataset.counts[split][name] for name in names])
        ax.bar(range(len(names)), counts, bottom=below, label=f"{split} ({counts.sum():,})")
        below += counts
    _name_ticks(ax, names, "x")
    ax.set_ylabel("images")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return Chart(figure, f"{int(below.sum()):,} images of {len(names)} classes, by split")


def training_curves(history: Sequence[EpochScore]) -> Chart:
    """Loss and accuracy by epoch, for train and val."""
    epochs = [score.epoch for score in history]
    figure = _figure(9, 3)
    left, right = figure.subplots(1, 2)
    left.plot(
        epochs, [score.loss for score in history], "o-", label="train (smoothed labels)"
    )
    right.plot(epochs, [score.accuracy for score in history], "o-", label="train")
    val = [score for score in history if score.val_loss is not None]
    if val:
        at = [score.epoch for score in val]
        left.plot(at, [score.val_loss or 0.0 for score in val], "o-", label="val")
        right.plot(at, [score.val_accuracy or 0.0 for score in val], "o-", label="val")
    for ax, title in ((left, "loss"), (right, "accuracy")):
        ax.set_title(title)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend()
    right.set_ylim(0, 1.02)
    return Chart(figure, f"loss and accuracy of {len(history)} epochs")


def confusion_matrix(score: Score, classes: Sequence[str]) -> Chart:
    """What the model answered for each true class; numbers are images."""
    import numpy as np

    table = np.array(score.confusion)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = max(3.0, min(10.0, 0.5 * len(classes)))
    figure = _figure(side, side)
    ax = figure.subplots()
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= _READABLE:
        for (row, column), count in np.ndenumerate(table):
            shade = "white" if shares[row, column] > 0.5 else "black"
            if count:
                ax.text(column, row, str(count), ha="center", va="center", color=shade)
    _name_ticks(ax, classes, "x")
    _name_ticks(ax, classes, "y")
    ax.set_xlabel("answer")
    ax.set_ylabel("truth")
    ax.set_title(f"{score.accuracy:.1%} of {score.images:,} test images")
    return Chart(figure, f"confusion matrix, accuracy {score.accuracy:.1%}")


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingExtra("matplotlib", "vision", "drawing charts") from exc
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _name_ticks(ax: Axes, names: Sequence[str], which: str) -> None:
    """Names on an axis, if there is room. They are text, not TeX: `$` is a dollar."""
    axis: Any = ax.xaxis if which == "x" else ax.yaxis
    if len(names) > _READABLE:
        return
    long = max(map(len, names)) > 3
    axis.set_ticks(range(len(names)), names)
    for label in axis.get_ticklabels():
        label.set_parse_math(False)
        if long and which == "x":
            label.set(rotation=45, ha="right", rotation_mode="anchor")
