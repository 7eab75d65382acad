"""Fine-tuning: it learns what is there to learn, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from mlflowkit.errors import NotADataset, TooFewImages, TrainingDiverged, WrongType
from mlflowkit.ml.dataset import PackedDataset
from mlflowkit.ml.model import read_model
from mlflowkit.ml.preprocess import preprocess
from mlflowkit.ml.resnet import EpochScore, build_resnet, fine_tune
from mlflowkit.ml.scores import evaluate
from mlflowkit.ports import RunningTask, as_running

from .digits import coloured, digits, packed_digits, with_shuffled_labels

#: One, and few pixels: other tests run beside these, and the digits have 8 by 8.
THREADS = 1
PIXELS = 16


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Ten digits, 42 training images each."""
    return packed_digits(tmp_path_factory.mktemp("ten"), per_class=60, image_size=PIXELS)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Noughts and ones, 14 training images each."""
    return packed_digits(
        tmp_path_factory.mktemp("two"), only=(0, 1), per_class=20, image_size=PIXELS
    )


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells 0 to 4 apart."""
    folder = tmp_path_factory.mktemp("low")
    low = packed_digits(folder, only=range(5), per_class=60, image_size=PIXELS)
    tuned = fine_tune(
        low,
        out=folder / "model",
        epochs=4,
        batch_size=16,
        lr=0.0133,
        num_threads=THREADS,
    )
    return tuned.model_dir


def test_it_learns_digits_and_saves_what_it_learned(
    ten: PackedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[EpochScore] = []
    tuned = fine_tune(
        ten, out=tmp_path / "model", epochs=6, on_progress=told.append, num_threads=THREADS
    )
    assert tuned.test is not None
    assert tuned.test.accuracy >= 0.85  # chance is 0.1
    assert tuned.history == tuple(told)
    assert (tuned.resumed_from, tuned.weights.source) == (None, "scratch")

    card, state = read_model(tuned.model_dir)
    assert (card.arch, tuple(card.classes), card.image_size) == (
        "resnet18",
        ten.classes,
        PIXELS,
    )
    assert (tuple(card.mean), tuple(card.std)) == (ten.mean, ten.std)
    assert card.metrics == tuned.metrics
    assert card.manifest_hash == ten.manifest_hash

    network = build_resnet(card.arch, len(card.classes)).eval()
    network.load_state_dict(state)
    images, labels = ten.split("test")
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (card.mean, card.std))
    inputs = (torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2) / 255 - mean) / std
    again = evaluate(network, [(inputs, torch.from_numpy(labels))])
    assert again is not None
    assert again.confusion == tuned.test.confusion

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet18 on cpu, float32, weights: from scratch, peak lr 0.0319"
    assert [line.split()[:2] for line in lines[1:7]] == [
        ["epoch", f"{epoch}/6"] for epoch in range(1, 7)
    ]
    assert lines[7].startswith(f"best epoch {tuned.best_epoch} of 6, test ")


def test_from_labels_that_mean_nothing_it_learns_nothing(tmp_path: Path) -> None:
    shuffled = with_shuffled_labels(digits(tmp_path / "images", per_class=60))
    packed = preprocess(shuffled, out=tmp_path / "packed", image_size=PIXELS)
    tuned = fine_tune(packed, out=tmp_path / "model", epochs=3, num_threads=THREADS)
    assert tuned.test is not None
    deviation = math.sqrt(0.1 * 0.9 / tuned.test.images)
    assert tuned.test.accuracy <= 0.1 + 4 * deviation


def test_weights_from_other_digits_beat_no_weights_at_the_same_number_of_steps(
    pretrained: Path, tmp_path: Path
) -> None:
    high = packed_digits(tmp_path, only=range(5, 10), per_class=60, image_size=PIXELS)
    steps = {"epochs": 1, "batch_size": 16, "lr": 0.02, "num_threads": THREADS}
    warm = fine_tune(high, out=tmp_path / "warm", weights=pretrained, **steps)
    cold = fine_tune(high, out=tmp_path / "cold", **steps)
    assert warm.weights.left_out == ("fc.bias", "fc.weight")
    assert warm.test is not None
    assert cold.test is not None
    assert warm.test.accuracy >= cold.test.accuracy + 0.2


def test_a_frozen_backbone_is_not_changed_and_is_used_once(
    pretrained: Path, tmp_path: Path
) -> None:
    high = packed_digits(tmp_path, only=range(5, 10), per_class=60, image_size=PIXELS)
    convolutions, after_epoch = [0], list[int]()

    def count(module: torch.nn.Module, *_: object) -> None:
        convolutions[0] += isinstance(module, torch.nn.Conv2d)

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    tuned = fine_tune(
        high,
        out=tmp_path / "model",
        weights=pretrained,
        freeze_backbone=True,
        epochs=10,
        on_progress=lambda _: after_epoch.append(convolutions[0]),
        num_threads=THREADS,
    )
    hook.remove()
    before, after = read_model(pretrained)[1], read_model(tuned.model_dir)[1]
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"fc.weight", "fc.bias"}
    assert tuned.test is not None
    assert tuned.test.accuracy >= 0.7
    assert after_epoch[0] > 0
    assert after_epoch == [after_epoch[0]] * 10


def test_it_stops_when_val_gets_no_better_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    shuffled = with_shuffled_labels(digits(tmp_path / "images", only=(0, 1), per_class=40))
    packed = preprocess(shuffled, out=tmp_path / "packed", image_size=PIXELS)
    tuned = fine_tune(
        packed,
        out=tmp_path / "model",
        freeze_backbone=True,
        epochs=500,
        patience=3,
        num_threads=THREADS,
    )
    assert len(tuned.history) == tuned.best_epoch + 3 < 500
    best = max(tuned.history, key=lambda score: score.rank)
    assert (best.epoch, best.val_accuracy) == (
        tuned.best_epoch,
        tuned.metrics["val_accuracy"],
    )


def test_without_val_images_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    manifest = digits(tmp_path / "images", only=(0, 1), per_class=10)
    packed = preprocess(manifest, out=tmp_path / "packed", val_fraction=0, test_fraction=0)
    tuned = fine_tune(
        packed,
        out=tmp_path / "model",
        freeze_backbone=True,
        epochs=3,
        patience=1,
        num_threads=THREADS,
    )
    assert (tuned.best_epoch, tuned.test) == (3, None)
    assert [score.val_accuracy for score in tuned.history] == [None, None, None]
    assert "test_accuracy" not in tuned.metrics


def test_the_same_seed_gives_the_same_model_and_spares_the_global_generators(
    two: PackedDataset, tmp_path: Path
) -> None:
    def weights(name: str, seed: int) -> bytes:
        tuned = fine_tune(
            two, out=tmp_path / name, epochs=2, seed=seed, num_threads=THREADS
        )
        return b"".join(
            value.numpy().tobytes()
            for _, value in sorted(read_model(tuned.model_dir)[1].items())
        )

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two_, three = weights("one", 1), weights("two", 1), weights("three", 2)
    assert torch.equal(torch.rand(1), expected)
    assert one == two_
    assert one != three


class Screen:
    """A running task that keeps what it is told of progress."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []

    def progress(self, facts: Mapping[str, object]) -> None:
        self.told.append(dict(facts))


def test_whoever_watches_the_task_is_told_of_each_epoch(
    two: PackedDataset, tmp_path: Path
) -> None:
    screen = Screen()
    with as_running(cast("RunningTask", screen)):
        tuned = fine_tune(two, out=tmp_path / "model", epochs=2, num_threads=THREADS)
    ends = [facts for facts in screen.told if "done" not in facts]
    assert ends == [
        {
            "epoch": score.epoch,
            "epochs": 2,
            "loss": round(score.loss, 4),
            "accuracy": round(score.val_accuracy or 0.0, 4),
            "images_per_s": round(score.images_per_s, 1),
        }
        for score in tuned.history
    ]
    within = [facts for facts in screen.told if "done" in facts]
    assert len(within) <= 1 + sum(score.seconds for score in tuned.history) / 0.5


def test_it_computes_in_a_smaller_type_if_asked(two: PackedDataset, tmp_path: Path) -> None:
    tuned = fine_tune(
        two, out=tmp_path / "model", epochs=1, mixed_precision=True, num_threads=THREADS
    )
    state = read_model(tuned.model_dir)[1]
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}


def test_a_loss_that_is_no_number_is_a_clear_error(
    two: PackedDataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainingDiverged, match=r"in epoch 1, .*1e.30.*Use a smaller lr"):
        fine_tune(two, out=tmp_path / "model", epochs=1, lr=1e30, num_threads=THREADS)
    assert not (tmp_path / "model").exists()


def test_too_few_images_are_a_clear_error(tmp_path: Path) -> None:
    manifest = coloured(tmp_path / "images", {"a": 2, "b": 2, "c": 2})
    packed = preprocess(
        manifest, out=tmp_path / "packed", image_size=8, val_fraction=0, test_fraction=0.5
    )
    fine_tune(packed, out=tmp_path / "model", epochs=1, num_threads=THREADS)
    (packed.folder / "dataset.json").write_text(
        (packed.folder / "dataset.json").read_text().replace('"a": 1', '"a": 0')
    )
    with pytest.raises(TooFewImages, match="the train split has 2 images, but at least 3"):
        fine_tune(packed.folder, out=tmp_path / "model", epochs=1)
    with pytest.raises(NotADataset, match=r"it has no dataset\.json"):
        fine_tune(tmp_path / "images", out=tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "a whole number of at least 1"),
        ("batch_size", 1, "a whole number of at least 2"),
        ("lr", -0.1, "a number above 0"),
        ("device", "cuda:99", "one of cpu"),
        ("num_threads", 0, "a whole number of at least 1"),
    ],
)
def test_an_argument_out_of_range_is_named(
    name: str, value: object, expected: str, two: PackedDataset, tmp_path: Path
) -> None:
    with pytest.raises(WrongType, match=f"{name!r} of fine_tune should be {expected}"):
        fine_tune(two, out=tmp_path / "model", **{name: value})
