"""A checkpoint an epoch, from which the next attempt goes on.

    last.pt         model, optimizer, scaler, history, and what they belong to
    best-0003.pt    the weights of the best epoch; `last.pt` names it

Rule 1: a file appears whole or not at all; `last.pt` comes after what it names.
Rule 2: what belongs to another configuration, dataset or start is not gone on from, and
        that is logged. So is a damaged file. Neither is an error.
Rule 3: files are opened with `weights_only=True`: a checkpoint runs no code.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.ml.scores import EpochScore
from mlflowkit.ml.weights import DAMAGE

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is: all that the next epoch needs.

    Order of the data, augmentation and schedule are functions of seed, epoch and step, so
    the number of epochs done (`len(history)`) is the state of every random generator.
    """

    model: State
    optimizer: State
    scaler: State
    history: tuple[EpochScore, ...]
    best: Mapping[str, Tensor]
    best_epoch: int


class Checkpoints:
    """The checkpoints of one training, in one folder.

    Args:
        folder: Made if need be. It is for this alone.
        identity: Plain facts that a checkpoint must share with this training.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, str | int | float | bool]
    ) -> None:
        self._folder, self._identity = folder, dict(identity)
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, progress: Progress) -> None:
        """Put a checkpoint in the place of the last one."""
        best = self._folder / f"best-{progress.best_epoch:04d}.pt"
        if progress.best_epoch == len(progress.history) or not best.exists():
            _write(best, {"identity": self._identity, "best": dict(progress.best)})
        _write(
            self._folder / "last.pt",
            {
                "identity": self._identity,
                "model": progress.model,
                "optimizer": progress.optimizer,
                "scaler": progress.scaler,
                "history": [asdict(score) for score in progress.history],
                "best_epoch": progress.best_epoch,
            },
        )
        for stale in {*self._folder.glob("best-*.pt"), *self._folder.glob("*.part")} - {
            best
        }:
            stale.unlink(missing_ok=True)

    def load(self) -> Progress | None:
        """The last checkpoint, or None if there is none that belongs to this training."""
        last = self._read("last.pt")
        if last is None:
            return None
        best_epoch = int(last["best_epoch"])
        best = self._read(f"best-{best_epoch:04d}.pt")
        if best is None:
            return None
        return Progress(
            model=last["model"],
            optimizer=last["optimizer"],
            scaler=last["scaler"],
            history=tuple(EpochScore(**score) for score in last["history"]),
            best=best["best"],
            best_epoch=best_epoch,
        )

    def _read(self, name: str) -> State | None:
        import torch

        path = self._folder / name
        if not path.exists():
            return None
        try:
            found: State = torch.load(path, map_location="cpu", weights_only=True)
            differing = _differences(found["identity"], self._identity)
        except (pickle.UnpicklingError, *DAMAGE) as exc:
            _ignore(path, f"it is damaged ({type(exc).__name__}: {str(exc)[:100]})")
            return None
        if differing:
            _ignore(path, f"it is of another training ({differing})")
            return None
        return found


def _differences(theirs: Mapping[str, object], ours: Mapping[str, object]) -> str:
    names = sorted(n for n in {*theirs, *ours} if theirs.get(n) != ours.get(n))
    return ", ".join(f"{n}: {theirs.get(n)!r}, now {ours.get(n)!r}" for n in names)


def _ignore(path: Path, reason: str) -> None:
    log.warning(
        "checkpoint %s is not used, training starts anew: %s", path, reason,
        extra={"action": "checkpoint_ignored", "path": str(path), "reason": reason},
    )  # fmt: skip


def _write(path: Path, content: State) -> None:
    """Write beside, then rename. Survives the death of the process; after a power cut the
    file may be damaged, and is then not used."""
    import torch

    part = path.with_suffix(".part")
    torch.save(content, part)
    os.replace(part, path)
