"""Batches, shifts and the schedule: small functions with laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.ml.augment import Normalise, augment, batch_count, in_order, shuffled
from mlflowkit.ml.training import one_cycle


@given(st.integers(2, 500), st.integers(2, 64), st.integers(0, 2**62))
def test_an_epoch_has_each_row_once_and_no_row_alone(
    count: int, size: int, seed: int
) -> None:
    rows = shuffled(count, size, seed)
    assert sorted(np.concatenate(rows).tolist()) == list(range(count))
    assert len(rows) == batch_count(count, size)
    lengths = [len(batch) for batch in rows]
    assert min(lengths) >= 2
    assert max(lengths) <= max(size, 3)
    assert max(lengths) - min(lengths) <= 1
    again = shuffled(count, size, seed)
    assert all(np.array_equal(one, two) for one, two in zip(rows, again, strict=True))


@given(st.integers(0, 300), st.integers(1, 64))
def test_held_out_rows_keep_their_order(count: int, size: int) -> None:
    assert [row for batch in in_order(count, size) for row in batch] == list(range(count))


@given(st.integers(1, 2000))
def test_the_learning_rate_rises_then_falls_to_nearly_nothing(steps: int) -> None:
    rates = [one_cycle(step, steps, 0.5) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    top = int(np.argmax(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps >= 40:
        assert rates[0] < 0.05 * 0.5
        assert rates[top] > 0.99 * 0.5
        assert abs(top - 0.25 * steps) <= 1
        assert rates[-1] == pytest.approx(0.5e-4)


def marked(count: int) -> torch.Tensor:
    """Black images, (count, 16, 16, 3), with a white point right of the middle."""
    pixels = torch.zeros(count, 16, 16, 3, dtype=torch.uint8)
    pixels[:, 8, 10] = 255
    return pixels


def points(pixels: torch.Tensor) -> list[tuple[int, int]]:
    found = pixels[..., 0].nonzero()[:, 1:].tolist()
    return [(row, column) for row, column in found]


def test_images_are_shifted_by_up_to_an_eighth_and_not_mirrored() -> None:
    shifted = augment(marked(500), torch.Generator().manual_seed(0), hflip=False)
    assert shifted.shape == (500, 16, 16, 3)
    assert shifted.dtype == torch.uint8
    assert set(points(shifted)) == {(r, c) for r in range(6, 11) for c in range(8, 13)}


def test_half_of_the_images_are_mirrored_if_asked_for() -> None:
    pixels = marked(1000)
    pixels[:, :, 8:] = 255  # the right half is white
    mirrored = augment(pixels, torch.Generator().manual_seed(0), hflip=True)
    share = (mirrored[:, 0, 0, 0] == 255).float().mean().item()
    assert 0.45 < share < 0.55


def test_the_same_seed_shifts_the_same_way() -> None:
    one, two, three = (
        augment(marked(50), torch.Generator().manual_seed(seed), hflip=True)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize("channels_last", [True, False])
def test_pixels_are_normalised_channel_by_channel(channels_last: bool) -> None:
    pixels = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    normalise = Normalise(mean, std, torch.device("cpu"), channels_last=channels_last)
    found = normalise(pixels)
    wanted = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / (
        torch.tensor(std).view(3, 1, 1)
    )
    assert torch.allclose(found, wanted, atol=1e-5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)
