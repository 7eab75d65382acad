"""How well a classifier does. Plain numbers, and the loop that counts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class EpochScore:
    """One epoch of training.

    Attributes:
        epoch: From 1.
        loss: Mean training loss in nats, with label smoothing and augmentation.
        accuracy: On the training batches as they were learned from, in [0, 1].
        val_loss: Mean cross-entropy in nats on the val split; None if that is empty.
        val_accuracy: In [0, 1]; None if the val split is empty.
        lr: The learning rate of its last step.
        seconds: Wall time with validation, without the checkpoint.
        images_per_s: Of training alone.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float
    images_per_s: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: accuracy on val first, then its loss."""
        if self.val_accuracy is None or self.val_loss is None:
            return (float(self.epoch), 0.0)
        return (self.val_accuracy, -self.val_loss)


@dataclass(frozen=True, slots=True)
class Score:
    """A classifier on labelled images.

    Attributes:
        accuracy: Top-1, in [0, 1].
        loss: Mean cross-entropy in nats.
        images: How many there were.
        confusion: `confusion[truth][answer]` counts images.
    """

    accuracy: float
    loss: float
    images: int
    confusion: tuple[tuple[int, ...], ...]


def evaluate(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Score | None:
    """Score a classifier.

    Args:
        module: Maps a batch's inputs to (B, K) logits. Left in eval mode.
        batches: Inputs as `module` takes them, and (B,) int64 labels in [0, K).
            The device is waited for once, at the end.

    Returns:
        None if there were no batches.
    """
    import torch
    from torch.nn.functional import cross_entropy

    module.eval()
    loss, confusion = None, None
    with torch.inference_mode():
        for inputs, labels in batches:
            logits = module(inputs).float()  # (B, K)
            classes = logits.shape[1]
            cells = labels * classes + logits.argmax(1)
            counts = torch.bincount(cells, minlength=classes * classes)
            summed = cross_entropy(logits, labels, reduction="sum")
            confusion = counts if confusion is None else confusion + counts
            loss = summed if loss is None else loss + summed
    if loss is None or confusion is None:
        return None
    table = confusion.view(classes, classes).cpu()
    images = int(table.sum())
    return Score(
        accuracy=int(table.diagonal().sum()) / images,
        loss=float(loss) / images,
        images=images,
        confusion=tuple(tuple(row) for row in table.tolist()),
    )
