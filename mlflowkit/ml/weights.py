"""Networks and the weights they start from.

Rule 1: no file is opened in a way that could run code (`weights_only=True`, safetensors).
Rule 2: what was not loaded is said: only the head may differ, everything else must fit.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import (
    CorruptWeights,
    MissingExtra,
    UnknownArch,
    UnsafeWeights,
    WeightsDoNotFit,
    WeightsNotFound,
    WeightsUnavailable,
    a,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

ARCHS: Final = ("resnet18", "resnet34", "resnet50", "resnet101")
#: The part of a ResNet that depends on the classes.
HEAD: Final = "fc."
#: Words for torchvision's own weights.
READY_MADE: Final = frozenset({"imagenet", "default"})
_SUFFIXES: Final = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """Where a network's weights come from.

    Attributes:
        source: A path, "imagenet", or "scratch".
        left_out: Keys that were not loaded, since the head is for other classes.
    """

    source: str
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.source == "scratch":
            return "weights: from scratch"
        without = f", without {', '.join(self.left_out)}" if self.left_out else ""
        return f"weights: from {self.source}{without}"


def build_resnet(arch: str, num_classes: int) -> nn.Module:
    """torchvision's network, with random weights drawn from torch's global generator.

    Maps (N, 3, H, W) float32 images to (N, num_classes) logits.

    Raises:
        UnknownArch: It is none of resnet18, resnet34, resnet50, resnet101.
    """
    if arch not in ARCHS:
        raise UnknownArch(arch, ARCHS)
    try:
        from torchvision import models
    except ImportError as exc:
        raise MissingExtra("torchvision", "vision", "building a ResNet") from exc
    network: nn.Module = models.get_model(arch, weights=None, num_classes=num_classes)
    return network


def load_weights(
    network: nn.Module,
    weights: Path | str | None,
    *,
    arch: str,
    classes: tuple[str, ...] | None = None,
) -> WeightsReport:
    """Load weights into a network made by `build_resnet`; keep its head if theirs differs.

    Args:
        network: Changed in place, or left as it is if an error is raised.
        weights: A `.safetensors`, `.pth` or `.pt` file, the folder of a saved model,
            "imagenet" for torchvision's download, or None to change nothing.
        arch: What `network` is.
        classes: What it is to tell apart. A saved model's head is taken only if it is for
            the same classes; a bare file's, if it has the same shape.

    Raises:
        WeightsNotFound: There is no such file, or it is of no known kind.
        CorruptWeights: It is damaged.
        UnsafeWeights: It is a pickle that asks for more than tensors.
        WeightsDoNotFit: They are of another network.
        WeightsUnavailable: The download failed.
    """
    if weights is None:
        return WeightsReport("scratch")
    if str(weights).lower() in READY_MADE:
        return _fit(network, _ready_made(arch), arch=arch, source="imagenet")
    path = Path(weights)
    if path.is_dir():
        return _from_model(network, path, arch=arch, classes=classes)
    if not path.is_file() or path.suffix not in _SUFFIXES:
        raise WeightsNotFound(path)
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    return _fit(network, state, arch=arch, source=str(path))


def _from_model(
    network: nn.Module, folder: Path, *, arch: str, classes: tuple[str, ...] | None
) -> WeightsReport:
    from mlflowkit.ml.model import read_model

    card, state = read_model(folder)
    if card.arch != arch:
        fits = card.arch if card.arch in ARCHS else None
        raise WeightsDoNotFit(folder, arch, f"they are of a {card.arch}", fits)
    other_head = classes is not None and tuple(card.classes) != classes
    left_out = {key for key in state if other_head and key.startswith(HEAD)}
    kept = {key: value for key, value in state.items() if key not in left_out}
    report = _fit(network, kept, arch=arch, source=str(folder))
    return WeightsReport(report.source, tuple(sorted({*left_out, *report.left_out})))


def _ready_made(arch: str) -> Mapping[str, Tensor]:
    from urllib.error import URLError

    from torchvision import models

    best: Any = models.get_model_weights(arch).DEFAULT
    try:
        state: Mapping[str, Tensor] = best.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as exc:
        # RuntimeError: the download's hash is not the one in its name.
        raise WeightsUnavailable(arch, best.url, str(exc)) from exc
    return state


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as exc:
        raise MissingExtra("safetensors", "vision", "reading weights") from exc
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as exc:
        raise CorruptWeights(path, str(exc)) from exc


def _pickled(path: Path) -> Mapping[str, Tensor]:
    """A `.pth`: a state dict, bare or under "state_dict" or "model" as trainers save it."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        reason = _first_reason(exc)
        if "global" in reason.lower() or _is_pickle_with_code(path):
            raise UnsafeWeights(path, reason) from exc
        raise CorruptWeights(path, reason) from exc
    except DAMAGE as exc:
        raise CorruptWeights(path, f"{type(exc).__name__}: {exc}") from exc
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found:
        raise CorruptWeights(path, f"it holds {a(type(found).__name__)}, not a state dict")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise CorruptWeights(
                path, f"{key!r} is {a(type(value).__name__)}, not a tensor"
            )
    return {str(key).removeprefix("module."): value for key, value in found.items()}


_CALLS: Final = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "OBJ", "NEWOBJ"})

#: What torch.load raises on cut off or scrambled files, by kind of damage.
DAMAGE = (
    RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError, AttributeError,
    TypeError, AssertionError, zipfile.BadZipFile, struct.error, OverflowError,
)  # fmt: skip


def _is_pickle_with_code(path: Path) -> bool:
    """Whether the file is a whole pickle that names code. Runs none of it."""
    try:
        with path.open("rb") as body:
            return not _CALLS.isdisjoint({op.name for op, _, _ in pickletools.genops(body)})
    except (ValueError, OSError, EOFError, IndexError):
        return False


def _first_reason(exc: Exception) -> str:
    """torch's own words, without its advice to load the file unsafely."""
    text = str(exc)
    found = (
        text.rpartition("WeightsUnpickler error:")[2]
        if "WeightsUnpickler" in text
        else text
    )
    return found.strip().splitlines()[0][:200] if found.strip() else type(exc).__name__


def _fit(
    network: nn.Module, state: Mapping[str, Tensor], *, arch: str, source: str
) -> WeightsReport:
    """Load what fits; complain about anything but the head that does not."""
    own = network.state_dict()
    problem = _problem(own, state)
    if problem:
        raise WeightsDoNotFit(source, arch, problem, _arch_of(state))
    for key, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CorruptWeights(source, f"{key!r} has values that are not finite numbers")
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    if not all(f"{HEAD}{part}" in fitting for part in ("weight", "bias")):
        fitting = {key: value for key, value in fitting.items() if not key.startswith(HEAD)}
    network.load_state_dict(fitting, strict=False)
    return WeightsReport(source, tuple(sorted(set(state) - set(fitting))))


def _problem(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """Why `state` is not that of the network's backbone, or None."""
    body = {key for key in own if not _may_differ(key)}
    missing = sorted(body - set(state))
    if missing:
        return f"{len(missing)} of its tensors are missing, such as {missing[0]!r}"
    unknown = sorted(key for key in set(state) - set(own) if not key.startswith(HEAD))
    if unknown:
        return f"{len(unknown)} tensors are unknown to it, such as {unknown[0]!r}"
    for key in sorted(body):
        if own[key].shape != state[key].shape:
            return f"{key!r} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
    return None


def _may_differ(key: str) -> bool:
    # Old files lack the counters of batch norm.
    return key.startswith(HEAD) or key.endswith("num_batches_tracked")


def _arch_of(state: Mapping[str, Tensor]) -> str | None:
    """The architecture whose backbone `state` is, if it is one of ours."""
    import torch

    with torch.device("meta"):
        for arch in ARCHS:
            if _problem(build_resnet(arch, 2).state_dict(), state) is None:
                return arch
    return None
