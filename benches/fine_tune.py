"""`fine_tune` against a plain loop of the same work, and what a frozen backbone saves.

Both train resnet18 at 32 pixels on digits with the same batches, augmentation, schedule,
validation and checkpoint. They take turns, epoch by epoch, in one process, so that both
meet the same noise; all that is printed, reported and saved counts.
"""

from __future__ import annotations

import contextlib
import io
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Semaphore

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import resnet18

from mlflowkit.demo.digits import write_digits
from mlflowkit.ml.dataset import PackedDataset
from mlflowkit.ml.local_images import local_images
from mlflowkit.ml.preprocess import preprocess
from mlflowkit.ml.resnet import fine_tune

RUNS = 5
EPOCHS = 13
THREADS = 2
BATCH = 64
LR = 0.05


def run() -> dict[str, object]:
    """Ratio of epoch times (target: at most 1.05); first to later epochs (at least 10)."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        images = local_images(write_digits(at / "digits"))
        whole = preprocess(images, out=at / "whole")
        part = preprocess(replace(images, images=images.images[::2]), out=at / "part")
        return _epochs(part, at) | _frozen(whole, at)


def _epochs(dataset: PackedDataset, at: Path) -> dict[str, object]:
    turns = _Turns()
    ways = (
        lambda tick: _fine_tune(dataset, at / "state", at / "model", tick),
        lambda tick: _reference(dataset, at / "reference.pt", tick),
    )
    with contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(turns.take, me, way) for me, way in enumerate(ways)]:
            done.result()
    ours, theirs = (spans[1:] for spans in turns.spans)  # the first epoch sets things up
    ratios = [mine / plain for mine, plain in zip(ours, theirs, strict=True)]
    return {
        "fine_tune_epoch_s": round(statistics.median(ours), 3),
        "reference_epoch_s": round(statistics.median(theirs), 3),
        "ratios": [round(each, 3) for each in ratios],
        "ratio": round(statistics.median(ratios), 3),
        "target": 1.05,
    }


class _Turns:
    """Two loops that take turns: an epoch of one, an epoch of the other, never both."""

    def __init__(self) -> None:
        self.spans: tuple[list[float], list[float]] = ([], [])
        self._gates = (Semaphore(1), Semaphore(0))
        self._started = 0.0

    def take(self, me: int, way: Callable[[Callable[[], None]], None]) -> None:
        def tick() -> None:
            self.spans[me].append(time.perf_counter() - self._started)
            self._gates[1 - me].release()
            self._wait(me)

        torch.set_num_threads(THREADS)
        self._wait(me)
        try:
            way(tick)
        finally:
            self._gates[1 - me].release()

    def _wait(self, me: int) -> None:
        self._gates[me].acquire()
        self._started = time.perf_counter()


def _frozen(dataset: PackedDataset, at: Path) -> dict[str, object]:
    factors, first, later = [], 0.0, 0.0
    for number in range(RUNS):
        clock = _EpochClock()
        with contextlib.redirect_stdout(io.StringIO()):
            tuned = fine_tune(
                dataset,
                out=at / "head",
                freeze_backbone=True,
                epochs=20,
                patience=None,
                checkpoint_dir=at / f"head-{number}",
                on_progress=lambda _, clock=clock: clock.tick(),
                num_threads=THREADS,
            )
        first, later = tuned.history[0].seconds, clock.median()
        factors.append(first / later)
    return {
        "frozen_first_epoch_s": round(first, 3),
        "frozen_later_epoch_s": round(later, 4),
        "frozen_factor": round(statistics.median(factors), 1),
        "frozen_target": 10.0,
    }


class _EpochClock:
    """Wall time from the end of one epoch to the end of the next."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def tick(self) -> None:
        self._ends.append(time.perf_counter())

    def median(self) -> float:
        return statistics.median(np.diff(self._ends).tolist())


def _fine_tune(
    dataset: PackedDataset, state: Path, out: Path, tick: Callable[[], None]
) -> None:
    fine_tune(
        dataset,
        out=out,
        epochs=EPOCHS,
        patience=None,
        batch_size=BATCH,
        lr=LR,
        checkpoint_dir=state,
        on_progress=lambda _: tick(),
        num_threads=THREADS,
    )


def _reference(dataset: PackedDataset, checkpoint: Path, tick: Callable[[], None]) -> None:
    """The same work, written down the short way: everything in memory, nothing checked."""
    torch.manual_seed(0)
    x, y = _tensors(dataset, "train")
    val_x, val_y = _tensors(dataset, "val")
    mean, std = (
        torch.tensor(each).view(1, 3, 1, 1) * 255 for each in (dataset.mean, dataset.std)
    )
    net = resnet18(num_classes=10).to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(
        net.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = math.ceil(len(x) / BATCH)

    def normalise(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.permute(0, 3, 1, 2).float() - mean) / std

    best = -1.0
    for epoch in range(EPOCHS):
        net.train()
        total = 0.0
        for number, rows in enumerate(torch.randperm(len(x)).tensor_split(steps)):
            for group in sgd.param_groups:
                group["lr"] = LR * _one_cycle(epoch * steps + number, EPOCHS * steps)
            logits = net(normalise(_shifted(x[rows])))
            loss = F.cross_entropy(logits, y[rows], label_smoothing=0.1)
            sgd.zero_grad(set_to_none=True)
            loss.backward()
            sgd.step()
            total += loss.item()
        net.eval()
        with torch.inference_mode():
            hits = (net(normalise(val_x)).argmax(1) == val_y).float().mean().item()
        torch.save({"model": net.state_dict(), "optimizer": sgd.state_dict()}, checkpoint)
        if hits >= best:
            best = hits
            torch.save(net.state_dict(), checkpoint.with_suffix(".best"))
        tick()


def _tensors(dataset: PackedDataset, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = dataset.split(split)
    return torch.from_numpy(np.asarray(images)), torch.from_numpy(labels)


def _one_cycle(step: int, steps: int) -> float:
    warm = 0.25 * steps
    if step < warm:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * step / warm)) / 2
    return (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2 + 1e-4


def _shifted(pixels: torch.Tensor) -> torch.Tensor:
    count, side = pixels.shape[:2]
    down, right = torch.randint(-4, 5, (2, count, 1))
    rows = (torch.arange(side) + down).clamp(0, side - 1)
    columns = (torch.arange(side) + right).clamp(0, side - 1)
    return pixels[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]


if __name__ == "__main__":
    print(run())
