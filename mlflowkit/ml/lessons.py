"""What is trained, and on what: a whole network on images, or its head on cached features.

Both give batches that depend on seed and epoch alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from mlflowkit.ml.augment import (
    Normalise,
    augment,
    batch_count,
    batches,
    epoch_seed,
    in_order,
    shuffled,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from mlflowkit.ml.augment import Batch
    from mlflowkit.ml.dataset import PackedDataset, SplitName
    from mlflowkit.ml.training import Recipe

#: No gradients are kept, so that more images fit.
_EVAL_BATCH: Final = 256
#: Mean squared length of a feature vector. A learning rate of 0.1 is stable with it.
_FEATURE_NORM: Final = 32.0


class WholeNetwork:
    """All weights learn, from images that are shifted (and mirrored) anew each epoch."""

    def __init__(
        self,
        network: nn.Module,
        dataset: PackedDataset,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        import torch

        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.network = cast("Any", network).to(device=device, memory_format=layout)
        self.module = self.network
        self.device = device
        self._dataset, self._recipe = dataset, recipe
        self._images, self._labels = dataset.split("train")
        self._normalise = Normalise(
            dataset.mean, dataset.std, device, channels_last=recipe.channels_last
        )
        self.train_images = len(self._labels)
        self.steps = batch_count(self.train_images, recipe.batch_size)

    def train_batches(self, epoch: int) -> Iterator[Batch]:
        import torch

        recipe = self._recipe
        self.module.train()
        order = epoch_seed(recipe.seed, epoch, "order")
        rows = shuffled(self.train_images, recipe.batch_size, order)
        generator = torch.Generator().manual_seed(epoch_seed(recipe.seed, epoch, "augment"))
        for raw, labels in batches(self._images, self._labels, rows, self.device):
            pixels = augment(raw, generator, hflip=recipe.hflip) if recipe.augment else raw
            yield self._normalise(pixels), labels

    def held_out(self, split: SplitName) -> Iterator[Batch]:
        """Images and labels of a split in order, not augmented."""
        images, labels = self._dataset.split(split)
        rows = in_order(len(labels), _EVAL_BATCH)
        for pixels, of_them in batches(images, labels, rows, self.device):
            yield self._normalise(pixels), of_them

    def val_batches(self) -> Iterator[Batch]:
        yield from self.held_out("val")

    def test_batches(self) -> Iterator[Batch]:
        yield from self.held_out("test")

    def finish(self, best: Mapping[str, Tensor]) -> None:
        self.network.load_state_dict(best)


class HeadOnly:
    """Only the head learns. The backbone, batch norm in eval mode, sees each image once.

    Its features are kept: 4 bytes × 512 or 2,048 for each image of train and val. Nothing
    is augmented: what is cached is the same in every epoch.

    The head learns from features that are centred and scaled, since a learning rate that
    suits one backbone would not suit the next; at the end this is folded into its weights.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: PackedDataset,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        from torch import nn

        self._whole = WholeNetwork(network, dataset, recipe, device)
        self.network = self._whole.network
        self.network.eval().requires_grad_(False)
        # The children of torchvision's ResNet stand in the order of its forward pass.
        *body, head = self.network.children()
        self._backbone = nn.Sequential(*body, nn.Flatten(1))
        self._head = cast("nn.Linear", head)
        self.module = deepcopy(self._head).requires_grad_(True)
        self.device, self._recipe = device, recipe
        self.train_images, self.steps = self._whole.train_images, self._whole.steps
        self._seen: _Features | None = None

    def train_batches(self, epoch: int) -> Iterator[Batch]:
        """Computes all features at the first call, so that this takes part in its epoch."""
        import torch

        seen = self._features()
        if epoch == 1:
            weight, bias = self._head.weight, self._head.bias
            _set(self.module, weight * seen.scale, bias + weight @ seen.centre)
        self.module.train()
        features, labels = seen.train
        order = epoch_seed(self._recipe.seed, epoch, "order")
        for rows in shuffled(self.train_images, self._recipe.batch_size, order):
            chosen = torch.from_numpy(rows).to(self.device)
            yield features[chosen], labels[chosen]

    def val_batches(self) -> Iterator[Batch]:
        val = self._features().val
        if val is not None:
            yield val

    def test_batches(self) -> Iterator[Batch]:
        yield from self._whole.test_batches()

    def finish(self, best: Mapping[str, Tensor]) -> None:
        self.module.load_state_dict(best)
        seen = self._features()
        weight = self.module.weight / seen.scale
        _set(self._head, weight, self.module.bias - weight @ seen.centre)

    def _features(self) -> _Features:
        if self._seen is None:
            train, val = self._of("train"), self._of("val")
            assert train is not None
            centre = train[0].mean(0)
            spread = (train[0] - centre).square().sum(1).mean()
            scale = (spread / _FEATURE_NORM).clamp_min(1e-12).sqrt()
            for part in (train, val):
                if part is not None:
                    part[0].sub_(centre).div_(scale)
            self._seen = _Features(train, val, centre, scale)
        return self._seen

    def _of(self, split: SplitName) -> Batch | None:
        """Features (N, D) and labels (N,) of a split; None if it is empty."""
        import torch

        with torch.no_grad():
            parts = [(self._backbone(x).float(), y) for x, y in self._whole.held_out(split)]
        if not parts:
            return None
        return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@dataclass(frozen=True, slots=True)
class _Features:
    """What the backbone made of the images: (features - centre) / scale, and labels."""

    train: Batch
    val: Batch | None
    centre: Tensor
    scale: Tensor


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    import torch

    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
