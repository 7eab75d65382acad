"""What a training says while it runs: a line for people, facts for screens."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlflowkit.ports import report_progress

if TYPE_CHECKING:
    from mlflowkit.ml.scores import EpochScore

log = logging.getLogger(__name__)


def say(line: str) -> None:
    """Print a line, for people who read the log or the notebook."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Teller:
    """A printed line and a progress report for each epoch. A `training.Listener`."""

    def __init__(
        self, epochs: int, on_progress: Callable[[EpochScore], None] | None
    ) -> None:
        self._epochs, self._on_progress = epochs, on_progress

    def resumed(self, epoch: int) -> None:
        """Say that an earlier attempt is gone on from."""
        log.info("training resumed", extra={"action": "training_resumed", "epoch": epoch})
        say(f"going on from the checkpoint of epoch {epoch}")

    def epoch_ended(self, score: EpochScore) -> None:
        """Say how an epoch went."""
        accuracy = score.accuracy if score.val_accuracy is None else score.val_accuracy
        report_progress(
            epoch=score.epoch,
            epochs=self._epochs,
            loss=round(score.loss, 4),
            accuracy=round(accuracy, 4),
            images_per_s=round(score.images_per_s, 1),
        )
        val = "" if score.val_accuracy is None else f"  val {score.val_accuracy:.1%}"
        say(
            f"epoch {score.epoch}/{self._epochs}  loss {score.loss:.3f}  "
            f"train {score.accuracy:.1%}{val}  {score.images_per_s:,.0f} images/s"
        )
        if self._on_progress is not None:
            self._on_progress(score)
