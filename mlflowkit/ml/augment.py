"""Pixels on their way into the network: batches in an order, shifted, mirrored, normalised.

Everything random is a function of the seed and the epoch, so that an epoch that runs again
after a crash sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from mlflowkit.ml.dataset import ShardedImages

Batch = tuple["Tensor", "Tensor"]


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A 63-bit seed that differs by epoch and purpose."""
    digest = sha256(f"{seed}:{epoch}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batch_count(count: int, batch_size: int) -> int:
    """How many batches `shuffled` makes."""
    return max(1, min(-(-count // batch_size), count // 2))


def shuffled(count: int, batch_size: int, seed: int) -> list[NDArray[np.int64]]:
    """Row numbers 0…count-1 in random order, in batches that differ by at most one row.

    They have at most `batch_size` rows, and never one row alone, which batch norm cannot
    take (three rows in batches of two are one batch of three).
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    return np.array_split(order, batch_count(count, batch_size))


def in_order(count: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Row numbers 0…count-1 in batches of `batch_size`; none if there are no rows."""
    import numpy as np

    starts = range(0, count, batch_size)
    return [np.arange(i, min(i + batch_size, count), dtype=np.int64) for i in starts]


def batches(
    images: ShardedImages,
    labels: NDArray[np.int64],
    rows: list[NDArray[np.int64]],
    device: torch.device,
) -> Iterator[Batch]:
    """Batches on the device: (B, H, W, 3) uint8 images and (B,) int64 labels.

    The next batch is read from disk while this one is worked on.
    """
    import torch

    pin = device.type == "cuda"

    def read(wanted: NDArray[np.int64]) -> Batch:
        pair = torch.from_numpy(images.take(wanted)), torch.from_numpy(labels[wanted])
        return (pair[0].pin_memory(), pair[1].pin_memory()) if pin else pair

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, rows[0]) if rows else None
        for number in range(len(rows)):
            assert waiting is not None
            pixels, of_them = waiting.result()
            if number + 1 < len(rows):
                waiting = pool.submit(read, rows[number + 1])
            yield (
                pixels.to(device, non_blocking=True),
                of_them.to(device, non_blocking=True),
            )


def augment(pixels: Tensor, generator: torch.Generator, *, hflip: bool) -> Tensor:
    """Shift images by up to an eighth of their size, borders repeated; mirror half of them.

    Args:
        pixels: (B, H, W, 3) uint8, on any device.
        generator: On the CPU.
        hflip: Mirror at random. Wrong for digits and letters.

    Returns:
        The same shape and type.
    """
    import torch

    count, height, width, _ = pixels.shape
    reach = max(1, height // 8)
    draws = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    down, right = draws.to(pixels.device)
    rows = (torch.arange(height, device=pixels.device) + down).clamp_(0, height - 1)
    columns = (torch.arange(width, device=pixels.device) + right).clamp_(0, width - 1)
    if hflip:
        mirror = torch.rand(count, 1, generator=generator).to(pixels.device) < 0.5
        columns = torch.where(mirror, columns.flip(1), columns)
    each = torch.arange(count, device=pixels.device)[:, None, None]
    return pixels[each, rows[:, :, None], columns[:, None, :]]


class Normalise:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 of mean 0 and deviation 1, on the device.

    The result lies in memory as channels last, since the pixels do.
    """

    def __init__(
        self,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: torch.device,
        *,
        channels_last: bool,
    ) -> None:
        import torch

        self._scale = 1 / (255 * torch.tensor(std, device=device)).view(1, 3, 1, 1)
        self._shift = -(torch.tensor(mean) / torch.tensor(std)).to(device).view(1, 3, 1, 1)
        self._channels_last = channels_last

    def __call__(self, pixels: Tensor) -> Tensor:
        values = pixels.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)
        return values if self._channels_last else values.contiguous()
