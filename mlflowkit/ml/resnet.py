"""Fine-tune a ResNet on packed images: the one call that joins weights, lessons and loop.

Here the choices are made (device, precision, learning rate) and said; the loop itself is
in training.py. The result is a folder in the format of model.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflowkit.errors import TooFewImages, WrongType
from mlflowkit.ml.checkpoints import Checkpoints
from mlflowkit.ml.dataset import PackedDataset
from mlflowkit.ml.device import choose_device, choose_precision, cpu_threads, memory_errors
from mlflowkit.ml.scores import EpochScore, Score, evaluate
from mlflowkit.ml.telling import Teller, say
from mlflowkit.ml.training import Recipe, Trained, train
from mlflowkit.ml.weights import WeightsReport, build_resnet, load_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mlflowkit.ml.training import Lesson

__all__ = ["EpochScore", "FineTuned", "Score", "build_resnet", "fine_tune", "load_weights"]

log = logging.getLogger(__name__)

#: Learning rates at a batch of 64, found on small images.
_LR_SCRATCH: Final = 0.05
_LR_WEIGHTS: Final = 0.02
_LR_HEAD: Final = 0.1
_BATCH: Final = 64
#: Few images make small batches, down to this, so that an epoch has so many steps.
_SMALLEST_BATCH: Final = 8
_STEPS: Final = 16


@dataclass(frozen=True, slots=True)
class FineTuned:
    """What fine-tuning leaves.

    Attributes:
        model_dir: The saved model, of the best epoch.
        history: Of all epochs, also those of earlier attempts.
        test: The best epoch on the test split; None if that is empty.
        best_epoch: From 1.
        resumed_from: The epoch after which an earlier attempt was gone on from, or None.
        classes: What it tells apart, in the order of logits and confusion matrix.
        weights: Where the first weights came from, and what was left out of them.
        device: Where it was trained.
    """

    model_dir: Path
    history: tuple[EpochScore, ...]
    test: Score | None
    best_epoch: int
    resumed_from: int | None
    classes: tuple[str, ...]
    weights: WeightsReport
    device: str

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that go into the model's card."""
        return _metrics(self.history, self.best_epoch, self.test)


def fine_tune(
    dataset: PackedDataset | Path | str,
    *,
    out: Path | str,
    arch: str = "resnet18",
    weights: Path | str | None = None,
    epochs: int = 8,
    batch_size: int | None = None,
    lr: float | None = None,
    freeze_backbone: bool = False,
    augment: bool = True,
    hflip: bool = False,
    label_smoothing: float = 0.1,
    patience: int | None = 5,
    seed: int = 0,
    device: str | None = None,
    mixed_precision: bool | None = None,
    channels_last: bool = True,
    checkpoint_dir: Path | str | None = None,
    on_progress: Callable[[EpochScore], None] | None = None,
    num_threads: int | None = None,
) -> FineTuned:
    """Train a ResNet to tell the classes of a dataset apart, and save the best epoch.

    SGD with Nesterov momentum under a one-cycle schedule. With the same arguments on the
    same CPU and number of threads the result is the same to the bit, also if it was
    interrupted and went on from `checkpoint_dir`; on a GPU nearly so.

    Args:
        dataset: What `preprocess` made, or its folder.
        out: The folder of the model; see `save_model`.
        arch: resnet18, resnet34, resnet50 or resnet101.
        weights: What to start from, see `load_weights`; None is from scratch.
        epochs: At most. The schedule is stretched over them.
        batch_size: Images in a step. By default 64, and less if that would make fewer than
            16 steps in an epoch: batch norm needs some.
        lr: The schedule's peak. By default 0.05 from scratch, 0.02 from weights and 0.1 for
            a head alone, for 64 images in a batch; half of that for 16, as by the root.
        freeze_backbone: Train the head alone. The backbone (batch norm in eval mode) then
            sees each image once, and nothing is augmented: what is cached stays. Epochs
            after the first take next to no time. Features of train and val stay in memory
            (2 to 8 KB an image).
        augment: Shift images by up to an eighth of their size.
        hflip: Mirror them too. Right for photographs; wrong for digits and letters, so it
            is off unless asked for.
        label_smoothing: In [0, 1).
        patience: Stop after so many epochs without a better one on val; None never does.
        seed: Of first weights, order, augmentation. The global generators are left alone.
        device: "cuda", "cuda:1", "mps", "cpu"; by default the best there is.
        mixed_precision: Compute in bfloat16 (float16 on old GPUs); by default on CUDA.
        channels_last: Lay images out as (H, W, C) in memory, which is mostly faster.
        checkpoint_dir: A folder for this training alone, kept between attempts. A
            checkpoint of another configuration or dataset in it is not used, and replaced.
        on_progress: Called after each epoch.
        num_threads: Of torch on the CPU while this runs; by default as many as torch takes.

    Raises:
        NotADataset, TooFewImages: `dataset` cannot be trained on.
        UnknownArch, and the errors of `load_weights`.
        TrainingDiverged: The loss is not finite any more: `lr` is too high.
        OutOfDeviceMemory: `batch_size` is too large for the device.
        WrongType: An argument is out of its range.
    """
    data = dataset if isinstance(dataset, PackedDataset) else PackedDataset.open(dataset)
    _check_data(data)
    threads = None if num_threads is None else _at_least(1, "num_threads", num_threads)
    place = choose_device(device)
    batch = _batch_size(batch_size, data.size("train"))
    recipe = Recipe(
        arch=arch,
        epochs=_at_least(1, "epochs", epochs),
        batch_size=batch,
        lr=_learning_rate(lr, batch, freeze_backbone, weights is not None),
        freeze_backbone=freeze_backbone,
        augment=augment and not freeze_backbone,
        hflip=hflip,
        label_smoothing=label_smoothing,
        patience=patience,
        seed=seed,
        channels_last=channels_last,
        precision=choose_precision(mixed_precision, place),
    )
    with cpu_threads(threads), memory_errors(place, batch):
        network, report = _first_network(recipe, data, weights)
        say(f"{arch} on {place}, {recipe.precision}, {report}, peak lr {recipe.lr:.3g}")
        checkpoints = _checkpoints(checkpoint_dir, recipe, data, network)
        lesson = _lesson(network, data, recipe, place, augment_asked=augment)
        _warn_about(report, recipe)
        told = Teller(recipe.epochs, on_progress)
        trained = train(lesson, recipe, checkpoints, told)
        lesson.finish(trained.best)
        test = evaluate(lesson.network, lesson.test_batches())
        say(_closing_line(trained, test))
        folder = _save(network, recipe, data, trained, test, Path(out))
    return FineTuned(
        model_dir=folder,
        history=trained.history,
        test=test,
        best_epoch=trained.best_epoch,
        resumed_from=trained.resumed_from,
        classes=data.classes,
        weights=report,
        device=str(place),
    )


def _check_data(data: PackedDataset) -> None:
    needed = max(2, len(data.classes))
    if data.size("train") < needed:
        raise TooFewImages("train", data.size("train"), needed)


def _at_least(least: int, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise WrongType("fine_tune", name, f"a whole number of at least {least}", value)
    return value


def _batch_size(asked: int | None, images: int) -> int:
    if asked is not None:
        return _at_least(2, "batch_size", asked)
    return min(_BATCH, max(_SMALLEST_BATCH, images // _STEPS))


def _learning_rate(
    lr: float | None, batch_size: int, frozen: bool, from_weights: bool
) -> float:
    if lr is None:
        base = _LR_HEAD if frozen else _LR_WEIGHTS if from_weights else _LR_SCRATCH
        return base * math.sqrt(batch_size / _BATCH)
    if not (isinstance(lr, int | float) and math.isfinite(lr) and lr > 0):
        raise WrongType("fine_tune", "lr", "a number above 0", lr)
    return float(lr)


def _first_network(
    recipe: Recipe, data: PackedDataset, weights: Path | str | None
) -> tuple[nn.Module, WeightsReport]:
    """The network before training; the caller's random numbers are not touched."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_resnet(recipe.arch, len(data.classes))
    report = load_weights(network, weights, arch=recipe.arch, classes=data.classes)
    return network, report


def _lesson(
    network: nn.Module,
    data: PackedDataset,
    recipe: Recipe,
    place: torch.device,
    *,
    augment_asked: bool,
) -> Lesson:
    from mlflowkit.ml.lessons import HeadOnly, WholeNetwork

    if not recipe.freeze_backbone:
        return WholeNetwork(network, data, recipe, place)
    if augment_asked:
        log.info("augmentation is off", extra={"action": "augmentation_off"})
        say("no augmentation: the features of a frozen backbone are computed once")
    return HeadOnly(network, data, recipe, place)


def _warn_about(report: WeightsReport, recipe: Recipe) -> None:
    if recipe.freeze_backbone and report.source == "scratch":
        log.warning(
            "the frozen backbone has random weights: give weights=, or do not freeze it",
            extra={"action": "random_backbone_frozen"},
        )


def _checkpoints(
    folder: Path | str | None, recipe: Recipe, data: PackedDataset, network: nn.Module
) -> Checkpoints | None:
    if folder is None:
        return None
    facts = asdict(recipe) | {"patience": recipe.patience or 0}
    start = _hash_of(network)
    return Checkpoints(
        Path(folder), {**facts, "dataset": data.content_hash, "start": start}
    )


def _hash_of(network: nn.Module) -> str:
    digest = sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _closing_line(trained: Trained, test: Score | None) -> str:
    found = (
        "no test images" if test is None else f"test {test.accuracy:.1%} of {test.images}"
    )
    return f"best epoch {trained.best_epoch} of {len(trained.history)}, {found}"


def _metrics(
    history: tuple[EpochScore, ...], best_epoch: int, test: Score | None
) -> dict[str, float]:
    best = history[best_epoch - 1]
    found: dict[str, float | None] = {
        "test_accuracy": test.accuracy if test else None,
        "test_loss": test.loss if test else None,
        "val_accuracy": best.val_accuracy,
        "val_loss": best.val_loss,
        "train_accuracy": best.accuracy,
        "train_loss": best.loss,
        "best_epoch": best.epoch,
        "epochs": len(history),
    }
    return {name: value for name, value in found.items() if value is not None}


def _save(
    network: nn.Module,
    recipe: Recipe,
    data: PackedDataset,
    trained: Trained,
    test: Score | None,
    out: Path,
) -> Path:
    from mlflowkit.ml.model import ModelCard, save_model

    card = ModelCard(
        arch=recipe.arch,
        classes=data.classes,
        image_size=data.image_size,
        mean=data.mean,
        std=data.std,
        metrics=_metrics(trained.history, trained.best_epoch, test),
        manifest_hash=data.manifest_hash,
    )
    state = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    folder: Path = save_model(state, card, out)
    return folder
