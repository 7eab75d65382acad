"""Small models made for tests."""

from __future__ import annotations

import torch

from mlflowkit.ml.model import ModelCard

CARD = ModelCard(
    arch="resnet18",
    classes=("cat", "dog"),
    image_size=32,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    metrics={"test_accuracy": 0.875},
    manifest_hash="ab" * 32,
    versions={"torch": "2.14.1"},
)


def weights(seed: int, *, numbers: int = 1_000) -> dict[str, torch.Tensor]:
    """Weights that differ with the seed; 4 bytes a number."""
    generator = torch.Generator().manual_seed(seed)
    return {"fc.weight": torch.randn(numbers, generator=generator)}
