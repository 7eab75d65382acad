"""Handwritten digits as PNG files in a folder per class: what the tests train on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from mlflowkit.ml.dataset import PackedDataset
from mlflowkit.ml.local_images import LocalManifest, local_images
from mlflowkit.ml.preprocess import preprocess


def digits(
    folder: Path, *, only: Iterable[int] = range(10), per_class: int = 40
) -> LocalManifest:
    """The first so many images of some digits."""
    found = load_digits()
    for digit in only:
        (folder / str(digit)).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(found.target == digit)[:per_class]):
            grey = (found.images[row] * 255 / 16).astype(np.uint8)
            Image.fromarray(grey).save(folder / str(digit) / f"{number:03d}.png")
    return local_images(folder)


def packed_digits(
    folder: Path,
    *,
    only: Sequence[int] = range(10),
    per_class: int = 40,
    image_size: int = 32,
) -> PackedDataset:
    """The same, packed; they were drawn with 8 pixels, so 16 lose nothing."""
    manifest = digits(folder / "images", only=only, per_class=per_class)
    return preprocess(manifest, out=folder / "packed", image_size=image_size)


def with_shuffled_labels(manifest: LocalManifest, seed: int = 0) -> LocalManifest:
    """The same images and the same labels, but not together."""
    order = np.random.default_rng(seed).permutation(len(manifest.images))
    labels = [manifest.images[place].label for place in order]
    images = (replace(i, label=new) for i, new in zip(manifest.images, labels, strict=True))
    return replace(manifest, images=tuple(images))


def coloured(folder: Path, counts: dict[str, int], side: int = 8) -> LocalManifest:
    """Images of noise, no two alike, so many for each class."""
    noise = np.random.default_rng(1)
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:03d}.png")
    return local_images(folder)
