"""The training loop: epochs of steps, a schedule, early stopping, checkpoints, progress.

It knows batches and logits. Where they come from (images through the whole network, or
cached features through its head) is a `Lesson`, see lessons.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from mlflowkit.errors import TrainingDiverged
from mlflowkit.ml.checkpoints import Checkpoints, Progress
from mlflowkit.ml.scores import EpochScore, evaluate
from mlflowkit.ports import report_progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from mlflowkit.ml.augment import Batch

_WARM_UP: Final = 0.25  # share of the steps
_FIRST_LR: Final = 0.04  # of the peak
_LAST_LR: Final = 1e-4  # of the peak
_MOMENTUM: Final = 0.9
_WEIGHT_DECAY: Final = 5e-4
_TELL_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that a training's result follows from, beside images and first weights."""

    arch: str
    epochs: int
    batch_size: int
    lr: float
    freeze_backbone: bool
    augment: bool
    hflip: bool
    label_smoothing: float
    patience: int | None
    seed: int
    channels_last: bool
    #: "float32", or the smaller type that forward passes compute in.
    precision: str


class Listener(Protocol):
    """Who is told how a training goes."""

    def resumed(self, epoch: int) -> None:
        """An earlier attempt is gone on from; it had finished `epoch` epochs."""
        ...

    def epoch_ended(self, score: EpochScore) -> None:
        """An epoch is over, and its checkpoint written."""
        ...


class Lesson(Protocol):
    """What is trained, and on what."""

    #: All of it: maps images to logits.
    network: nn.Module
    device: torch.device
    train_images: int
    steps: int

    @property
    def module(self) -> nn.Module:
        """The part that learns: maps a batch's inputs to logits."""
        ...

    def train_batches(self, epoch: int) -> Iterator[Batch]:
        """Inputs and labels; the same ones for the same epoch. Sets train mode."""
        ...

    def val_batches(self) -> Iterator[Batch]:
        """Inputs for `module` and labels of val, as they are."""
        ...

    def test_batches(self) -> Iterator[Batch]:
        """Images for `network` and labels of test, as they are."""
        ...

    def finish(self, best: Mapping[str, Tensor]) -> None:
        """Give `network` what `module` learned; `best` is a state of it."""
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """What `train` leaves: the module's weights in its best epoch, and the story."""

    best: dict[str, Tensor]
    best_epoch: int
    history: tuple[EpochScore, ...]
    resumed_from: int | None


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The rate of a step: up by a cosine in the first quarter, then down by one."""
    warm = max(1.0, _WARM_UP * steps)
    if step < warm:
        low, share = _FIRST_LR, step / warm
        return peak * (low + (1 - low) * (1 - math.cos(math.pi * share)) / 2)
    share = min(1.0, (step - warm) / max(1.0, steps - 1 - warm))
    return peak * (_LAST_LR + (1 - _LAST_LR) * (1 + math.cos(math.pi * share)) / 2)


def train(
    lesson: Lesson, recipe: Recipe, checkpoints: Checkpoints | None, listener: Listener
) -> Trained:
    """Train until the epochs are over or val no longer gets better.

    Raises:
        TrainingDiverged: The loss is not finite.
    """
    loop = _Loop(lesson, recipe)
    resumed_from = loop.resume(checkpoints) if checkpoints else None
    if resumed_from is not None:
        listener.resumed(resumed_from)
    while not loop.over:
        score = loop.epoch()
        if checkpoints:
            checkpoints.save(loop.progress())
        listener.epoch_ended(score)
    return Trained(loop.best, loop.best_epoch, tuple(loop.history), resumed_from)


class _Loop:
    def __init__(self, lesson: Lesson, recipe: Recipe) -> None:
        from torch.optim import SGD

        self._lesson, self._recipe = lesson, recipe
        self._optimizer: Optimizer = SGD(
            lesson.module.parameters(),
            lr=recipe.lr,
            momentum=_MOMENTUM,
            nesterov=True,
            weight_decay=_WEIGHT_DECAY,
        )
        self._precision = _Precision(recipe.precision, lesson.device)
        self.history: list[EpochScore] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or the last `patience` of them were no better."""
        done, patience = len(self.history), self._recipe.patience
        if done >= self._recipe.epochs:
            return True
        return patience is not None and done > 0 and done - self.best_epoch >= patience

    def resume(self, checkpoints: Checkpoints) -> int | None:
        """Go on from the last checkpoint; the number of epochs it has, or None."""
        found = checkpoints.load()
        if found is None:
            return None
        self._lesson.module.load_state_dict(found.model)
        self._optimizer.load_state_dict(found.optimizer)
        self._precision.load_state(found.scaler)
        self.history, self.best_epoch = list(found.history), found.best_epoch
        self.best = dict(found.best)
        return len(self.history)

    def progress(self) -> Progress:
        return Progress(
            model=self._lesson.module.state_dict(),
            optimizer=self._optimizer.state_dict(),
            scaler=self._precision.state(),
            history=tuple(self.history),
            best=self.best,
            best_epoch=self.best_epoch,
        )

    def epoch(self) -> EpochScore:
        """One epoch and its validation."""
        started = time.perf_counter()
        epoch = len(self.history) + 1
        loss, accuracy, lr = self._steps(epoch)
        trained = time.perf_counter()
        with self._precision.autocast():
            val = evaluate(self._lesson.module, self._lesson.val_batches())
        if not (math.isfinite(val.loss) if val else _all_finite(self._lesson.module)):
            raise TrainingDiverged(epoch, self._recipe.lr)
        score = EpochScore(
            epoch=epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=val.loss if val else None,
            val_accuracy=val.accuracy if val else None,
            lr=lr,
            seconds=time.perf_counter() - started,
            images_per_s=self._lesson.train_images / (trained - started),
        )
        if not self.best or score.rank > self.history[self.best_epoch - 1].rank:
            state = self._lesson.module.state_dict()
            self.best = {key: value.detach().cpu().clone() for key, value in state.items()}
            self.best_epoch = epoch
        self.history.append(score)
        return score

    def _steps(self, epoch: int) -> tuple[float, float, float]:
        """The steps of an epoch; mean loss, accuracy, and the last learning rate."""
        import torch
        from torch.nn.functional import cross_entropy

        lesson, recipe = self._lesson, self._recipe
        loss_sum = torch.zeros((), device=lesson.device)
        hits = torch.zeros((), dtype=torch.int64, device=lesson.device)
        ticker = _Ticker(epoch, recipe.epochs, lesson.train_images)
        seen, lr = 0, 0.0
        for number, (inputs, labels) in enumerate(lesson.train_batches(epoch)):
            step = (epoch - 1) * lesson.steps + number
            lr = one_cycle(step, recipe.epochs * lesson.steps, recipe.lr)
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            with self._precision.autocast():
                logits = lesson.module(inputs)  # (B, K)
            loss = cross_entropy(
                logits.float(), labels, label_smoothing=recipe.label_smoothing
            )
            self._precision.step(loss, self._optimizer)
            loss_sum += loss.detach() * len(labels)
            hits += (logits.detach().argmax(1) == labels).sum()
            seen += len(labels)
            ticker.tick(seen, loss_sum, hits)
        mean = float(loss_sum) / seen  # waits for the device, once an epoch
        if not math.isfinite(mean):
            raise TrainingDiverged(epoch, recipe.lr)
        return mean, int(hits) / seen, lr


def _all_finite(module: nn.Module) -> bool:
    return all(bool(weights.isfinite().all()) for weights in module.parameters())


class _Ticker:
    """Reports progress within an epoch, at most twice a second: each report waits for the
    device, so it must be rare."""

    def __init__(self, epoch: int, epochs: int, images: int) -> None:
        self._epoch, self._epochs, self._images = epoch, epochs, images
        self._started = self._told = time.perf_counter()

    def tick(self, seen: int, loss_sum: Tensor, hits: Tensor) -> None:
        now = time.perf_counter()
        if now - self._told < _TELL_EVERY_S or seen == self._images:
            return
        self._told = now
        report_progress(
            epoch=self._epoch,
            epochs=self._epochs,
            done=seen,
            total=self._images,
            loss=round(float(loss_sum) / seen, 4),
            accuracy=round(int(hits) / seen, 4),
            images_per_s=round(seen / (now - self._started), 1),
        )


class _Precision:
    """float32, or autocast to a smaller type, with loss scaling where float16 needs it."""

    def __init__(self, name: str, device: torch.device) -> None:
        import torch

        self._device = device.type
        self._dtype: torch.dtype | None = (
            None if name == "float32" else getattr(torch, name)
        )
        scaled = self._dtype is torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=scaled) if scaled else None

    def autocast(self) -> AbstractContextManager[Any]:
        """For forward passes."""
        import torch

        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, dtype=self._dtype)

    def step(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Backward, and one step of the optimizer."""
        optimizer.zero_grad(set_to_none=True)
        if self._scaler is None:
            loss.backward()  # type: ignore[no-untyped-call] # torch has no types here
            optimizer.step()
            return
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        return self._scaler.state_dict() if self._scaler else {}

    def load_state(self, state: dict[str, Any]) -> None:
        if self._scaler and state:
            self._scaler.load_state_dict(state)
