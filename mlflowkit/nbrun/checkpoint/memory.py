"""Blocks of memory in a pickle: arrays and tensors, and who shares a block with whom.

An array that looks into another one's memory still does after loading. Where two holders
share memory in a way that would not come back (an array of numpy and a tensor, say),
`Blocks.shared` names them, and neither travels. Runs in a kernel only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pickle import PickleBuffer
from typing import Any

#: A range of memory, and who brings it back.
Keeper = tuple[str, int]


class DoesNotTravel(Exception):
    """An object that no checkpoint can hold. Its message ends the sentence "x …"."""


@dataclass(slots=True)
class Blocks:
    """The memory that the variables of one survey hold."""

    #: (first byte, behind the last, keeper, variable).
    ranges: list[tuple[int, int, Keeper, str]] = field(
        default_factory=list[tuple[int, int, Keeper, str]]
    )

    def note(self, low: int, high: int, keeper: Keeper, name: str) -> None:
        if high > low:
            self.ranges.append((low, high, keeper, name))

    def shared(self) -> set[tuple[str, str, bool]]:
        """Pairs of variables that share memory, and whether it would be two blocks after
        loading."""
        found: set[tuple[str, str, bool]] = set()
        open_: list[tuple[int, int, Keeper, str]] = []
        for each in sorted(set(self.ranges)):
            open_ = [other for other in open_ if other[1] > each[0]]
            for other in open_:
                if not _both_copy_on_write(other[2], each[2]):
                    found.add((other[3], each[3], other[2] != each[2]))
            open_.append(each)
        return found


def _both_copy_on_write(one: Keeper, other: Keeper) -> bool:
    return one[0] == other[0] == "pandas" and _pandas_copies()


def _pandas_copies() -> bool:
    pandas = sys.modules["pandas"]
    if int(pandas.__version__.split(".")[0]) >= 3:
        return True
    return bool(pandas.options.mode.copy_on_write)


# ── numpy ──


def root_of(array: Any) -> Any:
    """The array that an array looks into; itself, if none."""
    numpy = sys.modules["numpy"]
    while type(array.base) is numpy.ndarray:
        array = array.base
    return array


def bounds(array: Any) -> tuple[int, int]:
    """First byte and behind the last."""
    low = high = array.__array_interface__["data"][0]
    if not array.size:
        return low, low
    for length, step in zip(array.shape, array.strides, strict=True):
        low, high = (
            low + min(0, (length - 1) * step),
            high + max(0, (length - 1) * step),
        )
    return low, high + array.itemsize


def reduce_array(array: Any, blocks: Blocks, name: str, pandas: bool) -> Any:
    """How an exact numpy array goes into a pickle.

    Args:
        pandas: A frame or an index holds it, which copies before it changes.

    Raises:
        DoesNotTravel: it looks into memory that something else holds.
    """
    root = root_of(array)
    low, high = bounds(array)
    if array.dtype.hasobject:
        keeper = ("pandas" if pandas else "objects", id(root))
        blocks.note(low, high, keeper, name)
        if array is not root and not pandas:
            raise DoesNotTravel("looks into another array of Python objects")
        return NotImplemented
    if pandas:
        blocks.note(low, high, ("pandas", id(array)), name)
        return _alone(array)
    if not _is_frozen(root):
        raise DoesNotTravel(f"looks into the memory of a {type(root.base).__name__}")
    blocks.note(*bounds(root), ("array", id(root)), name)
    if array is root or not (root.flags.c_contiguous or root.flags.f_contiguous):
        return _alone(array)
    offset = array.__array_interface__["data"][0] - bounds(root)[0]
    facts = (_dtype(array), array.shape, offset, array.strides, array.flags.writeable)
    return make_view, (root, *facts)


def reduce_compiled(obj: Any) -> Any:
    """How a compiled object pickles itself, with copies of the arrays that look into it.

    It copies them when it is made again; who else looks into it does not travel.
    """
    numpy = sys.modules["numpy"]
    found = obj.__reduce_ex__(5)
    if not isinstance(found, tuple) or len(found) < 3 or not isinstance(found[2], dict):
        return NotImplemented
    state = dict(found[2])
    for name, value in state.items():
        if type(value) is numpy.ndarray and root_of(value).base is obj:
            state[name] = value.copy()
    return (*found[:2], state, *found[3:])


def _dtype(array: Any) -> Any:
    """Of the usual kinds there is one object each; a pickle would make another."""
    usual = array.dtype.isbuiltin == 1 and array.dtype.metadata is None
    return array.dtype.str if usual else array.dtype


def _is_frozen(root: Any) -> bool:
    """Whether nobody else can change its memory."""
    if root.base is None or isinstance(root.base, bytes):
        return True
    arrow = type(root.base).__module__.startswith("pyarrow")
    return arrow and not root.flags.writeable


def _alone(array: Any) -> Any:
    numpy = sys.modules["numpy"]
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = numpy.asarray(array, order=order)
    if not (flat.flags.c_contiguous or flat.flags.f_contiguous):
        flat = numpy.ascontiguousarray(array)
    data = flat.ravel(order="K").view(numpy.uint8) if flat.size else numpy.empty(0, "u1")
    facts = (_dtype(array), array.shape, order, array.flags.writeable)
    return make_array, (PickleBuffer(data), *facts)


def make_array(
    data: Any, dtype: Any, shape: tuple[int, ...], order: str, writeable: bool
) -> Any:
    """An array of its own, with this content."""
    import numpy

    array: Any = numpy.empty(shape, dtype, order=order)  # type: ignore[call-overload]  # "C" or "F"
    if array.size:
        array.ravel(order="K").view(numpy.uint8)[:] = numpy.frombuffer(data, "u1")
    array.flags.writeable = writeable
    return array


def make_view(
    root: Any,
    dtype: Any,
    shape: tuple[int, ...],
    offset: int,
    strides: tuple[int, ...],
    writeable: bool,
) -> Any:
    """An array that looks into `root`."""
    import numpy

    flat = root.ravel(order="K").view(numpy.uint8)
    view: Any = numpy.ndarray(shape, dtype, buffer=flat, offset=offset, strides=strides)
    if not writeable:
        view.flags.writeable = False
    return view


# ── pandas ──


def arrays_of_pandas(held: Any) -> Iterable[Any]:
    """The arrays that a manager of blocks, or an index, holds itself."""
    values = [block.values for block in getattr(held, "blocks", ())]
    data = getattr(held, "_data", None)
    for each in [*values, *([] if data is None else [data])]:
        parts = (each, *(getattr(each, a, None) for a in ("_ndarray", "_data", "_mask")))
        yield from (part for part in parts if part is not None)


# ── torch ──


def reduce_tensor(tensor: Any, blocks: Blocks, name: str, keep: dict[int, Storage]) -> Any:
    """How a plain tensor or a parameter goes into a pickle.

    Raises:
        DoesNotTravel: it is not a dense one in this process's memory, or has a history.
    """
    torch = sys.modules["torch"]
    if tensor.device.type != "cpu":
        raise DoesNotTravel(f"is on the device {tensor.device}")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise DoesNotTravel("is a tensor of a special layout")
    if tensor.grad_fn is not None:
        raise DoesNotTravel("holds the graph of its gradients")
    if tensor._backward_hooks or tensor.is_conj() or tensor.is_neg():
        raise DoesNotTravel("is a tensor with hooks")
    storage = tensor.untyped_storage()
    at = storage.data_ptr()
    blocks.note(at, at + storage.nbytes(), ("tensor", at), name)
    held = keep.setdefault(at or id(storage), Storage(storage))
    where = (tensor.storage_offset(), tuple(tensor.size()), tensor.stride())
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return (
        make_tensor,
        (held, tensor.dtype, *where, tensor.requires_grad, is_parameter),
        {"grad": tensor.grad, "more": vars(tensor)},
        None,
        None,
        set_tensor,
    )


def leaves_of(tensor: Any) -> list[object]:
    """The tensors that the graph behind a tensor gives gradients to."""
    found: list[object] = []
    seen, todo = set[int](), [tensor.grad_fn]
    held: list[object] = []
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        held.append(node)  # its id is not used again
        found += [node.variable] if hasattr(node, "variable") else []
        todo += [following for following, _ in node.next_functions]
    return found


class Storage:
    """The memory of tensors; those that share it get the same one back."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage

    def __reduce_ex__(self, protocol: Any) -> Any:
        torch = sys.modules["torch"]
        size = self.storage.nbytes()
        if not size:
            return make_storage, (b"",)
        flat = torch.empty(0, dtype=torch.uint8)
        flat.set_(self.storage, 0, (size,), (1,))
        return make_storage, (PickleBuffer(flat.numpy()),)


def make_storage(data: Any) -> Storage:
    """Memory with this content."""
    import torch

    size = memoryview(data).nbytes
    flat = torch.empty(size, dtype=torch.uint8)
    if size:
        flat.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return Storage(flat.untyped_storage())


def make_tensor(
    held: Storage,
    dtype: Any,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    is_parameter: bool,
) -> Any:
    """A tensor over memory that others may look into, too."""
    import torch

    tensor = torch.empty(0, dtype=dtype)
    tensor.set_(held.storage, offset, size, stride)
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor


def set_tensor(tensor: Any, state: dict[str, Any]) -> None:
    """What a tensor carries beside its numbers."""
    tensor.grad = state["grad"]
    vars(tensor).update(state["more"])
