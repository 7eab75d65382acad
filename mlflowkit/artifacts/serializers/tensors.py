"""torch: tensors, parameters and state dicts as safetensors.

A tensor comes back on the CPU, with its dtype, shape and values; `requires_grad` is kept
for leaves, a graph cannot travel. In a state dict, entries that are the same tensor (tied
weights) are stored once and are the same tensor again. Sparse, quantized and subclassed
tensors are left to cloudpickle.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.artifacts.serializers.leaves import Leaf, Source
from mlflowkit.artifacts.serializers.plain import TAG
from mlflowkit.core.values import INLINE_LIMIT
from mlflowkit.errors import CannotRead, MissingExtra

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

_ONE: Final = "tensor"
_DTYPES: Final = frozenset(
    {"bool", "float16", "bfloat16", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)


def _libraries() -> tuple[Any, Any]:
    try:
        import safetensors.torch
        import torch
    except ImportError as exc:
        library = (exc.name or "torch").partition(".")[0]
        raise MissingExtra(library, "vision", "a tensor between tasks") from exc
    return torch, safetensors.torch


def pack(value: Any, writer: Writer) -> Node | None:
    torch, safetensors = _libraries()
    if isinstance(value, dict):
        return _pack_state(value, writer, torch, safetensors)
    if not _fits(value, torch):
        return None
    return writer.leaf(_leaf(safetensors, "tensor", {_ONE: value}, _how(value, torch)))


def _fits(value: Any, torch: Any) -> bool:
    """Whether safetensors keeps everything about a tensor."""
    return (
        type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and not value.is_quantized
        and not value.is_nested
        and value.device.type != "meta"
        and str(value.dtype).removeprefix("torch.") in _DTYPES
        and not vars(value)
    )


def _how(value: Any, torch: Any) -> dict[str, Node]:
    if type(value) is torch.nn.Parameter:
        return {"p": 1, "g": int(value.requires_grad)}
    return {"g": 1} if value.requires_grad and value.is_leaf else {}


def _pack_state(value: Any, writer: Writer, torch: Any, safetensors: Any) -> Node | None:
    """A dict of tensors as one file; None when it is not that."""
    names = list(value)
    if not all(type(name) is str for name in names):
        return None
    if not all(_fits(tensor, torch) for tensor in value.values()):
        return None
    extra = dict(vars(value)) if isinstance(value, OrderedDict) else {}
    if extra.keys() - {"_metadata"}:
        return None
    first: dict[object, str] = {}
    same = {
        name: first.setdefault(_identity(tensor), name) for name, tensor in value.items()
    }
    facts: dict[str, Node] = {
        "names": [[name, same[name], _how(value[name], torch)] for name in names],
        "ordered": int(isinstance(value, OrderedDict)),
    }
    if extra:
        facts["metadata"] = writer.child(extra["_metadata"], "_metadata")
    stored = {str(n): value[name] for n, name in enumerate(names) if same[name] == name}
    return writer.leaf(_leaf(safetensors, "tensors", stored, facts))


def _identity(tensor: Any) -> object:
    """Equal for two tensors that are one and the same memory, seen the same way."""
    if not tensor.numel():
        return id(tensor)
    place = (
        tensor.data_ptr(),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.device,
    )
    return (*place, type(tensor), tensor.requires_grad)


def _leaf(
    safetensors: Any, codec: str, stored: dict[str, Any], facts: dict[str, Node]
) -> Leaf:
    if sum(tensor.nbytes for tensor in stored.values()) <= INLINE_LIMIT:
        return Leaf(codec, safetensors.save(_bare(stored)), facts=facts)

    def put(artifacts: Artifacts) -> tuple[str, int]:
        with tempfile.TemporaryDirectory(prefix="mlflowkit-") as folder:
            path = Path(folder) / "tensors"
            safetensors.save_file(_bare(stored), path)
            return artifacts.put_file(path), path.stat().st_size

    return Leaf(codec, put=put, facts=facts)


def _bare(stored: dict[str, Any]) -> dict[str, Any]:
    """Detached, contiguous, on the CPU, and no two views of one memory."""
    bare: dict[str, Any] = {}
    seen: set[int] = set()
    for name, tensor in stored.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        bare[name] = plain.resolve_conj().resolve_neg()
    return bare


def read(node: dict[str, Node], reader: Reader) -> object:
    torch, safetensors = _libraries()
    source = Source.of_node(node, reader.artifacts)
    path = source.path()
    try:
        found = (
            safetensors.load(source.bytes())
            if path is None
            else safetensors.load_file(path)
        )
    except (safetensors.SafetensorError, OSError, ValueError) as exc:
        raise CannotRead("a tensor", str(exc)) from exc
    if node[TAG] == "tensor":
        return _dress(found[_ONE], node, torch)
    return _read_state(node, found, reader, torch)


def _read_state(
    node: dict[str, Node], found: dict[str, Any], reader: Reader, torch: Any
) -> Any:
    state: Any = OrderedDict() if node["ordered"] else {}
    for n, (name, same, how) in enumerate(node["names"]):
        state[name] = _dress(found[str(n)], how, torch) if same == name else state[same]
    if "metadata" in node:
        state._metadata = reader.value(node["metadata"])
    return state


def _dress(tensor: Any, how: dict[str, Node], torch: Any) -> Any:
    if "p" in how:
        return torch.nn.Parameter(tensor, requires_grad=bool(how["g"]))
    return tensor.requires_grad_() if "g" in how else tensor
