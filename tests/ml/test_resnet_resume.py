"""A training that was cut off goes on, and ends as if nothing had happened."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mlflowkit.ml.dataset import PackedDataset
from mlflowkit.ml.model import read_model
from mlflowkit.ml.resnet import EpochScore, FineTuned, fine_tune

from .digits import packed_digits

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 32, "num_threads": 1}


class PowerCut(Exception):
    pass


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return packed_digits(
        tmp_path_factory.mktemp("digits"), only=range(4), per_class=40, image_size=16
    )


@pytest.fixture(scope="module")
def uninterrupted(
    packed: PackedDataset, tmp_path_factory: pytest.TempPathFactory
) -> FineTuned:
    return fine_tune(packed, out=tmp_path_factory.mktemp("whole") / "model", **OPTIONS)


def cut_after(epoch: int) -> Any:
    def cut(score: EpochScore) -> None:
        if score.epoch == epoch:
            raise PowerCut

    return cut


def assert_same(one: FineTuned, other: FineTuned) -> None:
    def timeless(tuned: FineTuned) -> list[EpochScore]:
        return [replace(score, seconds=0, images_per_s=0) for score in tuned.history]

    assert timeless(one) == timeless(other)
    assert (one.test, one.best_epoch, one.metrics) == (
        other.test,
        other.best_epoch,
        other.metrics,
    )
    states = [read_model(tuned.model_dir)[1] for tuned in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_going_on_gives_the_same_to_the_bit(
    epoch: int, packed: PackedDataset, uninterrupted: FineTuned, tmp_path: Path
) -> None:
    place: dict[str, Any] = {
        "out": tmp_path / "model",
        "checkpoint_dir": tmp_path / "state",
    }
    with pytest.raises(PowerCut):
        fine_tune(packed, **place, **OPTIONS, on_progress=cut_after(epoch))
    tuned = fine_tune(packed, **place, **OPTIONS)
    assert tuned.resumed_from == epoch
    assert_same(tuned, uninterrupted)
    assert sorted(file.name for file in (tmp_path / "state").iterdir()) == [
        f"best-{tuned.best_epoch:04d}.pt", "last.pt",
    ]  # fmt: skip


def test_a_head_alone_goes_on_too(packed: PackedDataset, tmp_path: Path) -> None:
    options = {**OPTIONS, "freeze_backbone": True}
    whole = fine_tune(packed, out=tmp_path / "whole", **options)
    place: dict[str, Any] = {
        "out": tmp_path / "model",
        "checkpoint_dir": tmp_path / "state",
    }
    with pytest.raises(PowerCut):
        fine_tune(packed, **place, **options, on_progress=cut_after(2))
    tuned = fine_tune(packed, **place, **options)
    assert tuned.resumed_from == 2
    assert_same(tuned, whole)
    # The backbone is not in the checkpoint: it can be had again.
    assert (tmp_path / "state/last.pt").stat().st_size < 200_000


PROGRAM = """
import sys
from mlflowkit.ml.resnet import fine_tune
dataset, out, state = sys.argv[1:]
fine_tune(dataset, out=out, checkpoint_dir=state, epochs=3, batch_size=32, num_threads=1)
"""


def test_a_killed_process_is_gone_on_from(
    packed: PackedDataset, uninterrupted: FineTuned, tmp_path: Path
) -> None:
    out, state = tmp_path / "model", tmp_path / "state"
    argv = [sys.executable, "-c", PROGRAM, str(packed.folder), str(out), str(state)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 1/3"):
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    tuned = fine_tune(packed, out=out, checkpoint_dir=state, **OPTIONS)
    assert tuned.resumed_from in (1, 2)
    assert_same(tuned, uninterrupted)


def test_a_checkpoint_of_another_training_is_not_used_and_the_log_says_why(
    packed: PackedDataset,
    uninterrupted: FineTuned,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place: dict[str, Any] = {
        "out": tmp_path / "model",
        "checkpoint_dir": tmp_path / "state",
    }
    with pytest.raises(PowerCut):
        fine_tune(packed, **place, **{**OPTIONS, "seed": 7}, on_progress=cut_after(1))
    with caplog.at_level(logging.WARNING, logger="mlflowkit"):
        tuned = fine_tune(packed, **place, **OPTIONS)
    assert tuned.resumed_from is None
    assert_same(tuned, uninterrupted)
    (record,) = caplog.records
    assert record.action == "checkpoint_ignored"  # type: ignore[attr-defined] # ours
    assert "it is of another training (seed: 7, now 0, start: " in record.getMessage()


def test_a_checkpoint_of_other_images_is_not_used(
    packed: PackedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {**OPTIONS, "freeze_backbone": True, "checkpoint_dir": tmp_path / "state"}
    other = packed_digits(tmp_path, only=range(4), per_class=20)
    fine_tune(other, out=tmp_path / "one", **options)
    with caplog.at_level(logging.WARNING, logger="mlflowkit.ml.checkpoints"):
        tuned = fine_tune(packed, out=tmp_path / "two", **options)
    assert tuned.resumed_from is None
    assert "another training (dataset: " in caplog.text


@pytest.mark.parametrize("name", ["last.pt", "best-*.pt"])
def test_a_damaged_checkpoint_is_not_used(
    name: str, packed: PackedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {**OPTIONS, "freeze_backbone": True, "checkpoint_dir": tmp_path / "state"}
    whole = fine_tune(packed, out=tmp_path / "one", **options)
    (damaged,) = (tmp_path / "state").glob(name)
    damaged.write_bytes(damaged.read_bytes()[:-500])
    with caplog.at_level(logging.WARNING, logger="mlflowkit.ml.checkpoints"):
        tuned = fine_tune(packed, out=tmp_path / "two", **options)
    assert tuned.resumed_from is None
    assert "training starts anew: it is damaged" in caplog.text
    assert_same(tuned, whole)
