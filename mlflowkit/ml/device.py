"""Where and how a training computes: device, number type, threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlflowkit.errors import MissingExtra, OutOfDeviceMemory, WrongType

if TYPE_CHECKING:
    import torch


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or the best one there is.

    Raises:
        WrongType: This machine has no such device.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "vision", "training") from exc
    there = ["cpu"]
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name is None:
        return torch.device(there[1] if len(there) > 1 else "cpu")
    if name not in {*there, *(each.partition(":")[0] for each in there)}:
        raise WrongType("fine_tune", "device", f"one of {', '.join(there)}", name)
    return torch.device(name)


def choose_precision(asked: bool | None, device: torch.device) -> str:
    """The type to compute in: a small one if `asked`; unless told, on CUDA only."""
    import torch

    on_cuda = device.type == "cuda"
    if asked is False or (asked is None and not on_cuda):
        return "float32"
    return "float16" if on_cuda and not torch.cuda.is_bf16_supported() else "bfloat16"


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Inside, torch uses `count` threads on the CPU; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory_errors(place: torch.device, batch_size: int) -> Iterator[None]:
    """Translates the device's out-of-memory error."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as exc:
        raise OutOfDeviceMemory(str(place), batch_size) from exc
