"""numpy: arrays as .npy (mapped into memory when read), scalars with their dtype.

A mapped array is copy-on-write: a task may change it in place, the stored file never does.
Arrays of Python objects, structured arrays and subclasses are left to cloudpickle.
"""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mlflowkit.artifacts.serializers.leaves import Leaf, Source, streamed
from mlflowkit.artifacts.serializers.plain import TAG
from mlflowkit.core.values import INLINE_LIMIT
from mlflowkit.errors import CannotRead, MissingExtra

if TYPE_CHECKING:
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

#: Kinds of dtype whose bytes say everything: bool, int, float, complex, str, bytes, times.
_KINDS: Final = frozenset("biufcSUmM")


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as exc:
        raise MissingExtra("numpy", "data", "reading a numpy value") from exc
    return np


def pack(value: Any, writer: Writer) -> Node | None:
    np = _numpy()
    if isinstance(value, np.generic):
        return _pack_scalar(value, np)
    if (
        type(value) is not np.ndarray
        or value.dtype.kind not in _KINDS
        or value.dtype.metadata
    ):
        return None

    def write(file: BinaryIO) -> None:
        np.lib.format.write_array(file, value, allow_pickle=False)

    if value.nbytes > INLINE_LIMIT:
        return writer.leaf(Leaf("npy", put=streamed(write)))
    file = io.BytesIO()
    write(file)
    return writer.leaf(Leaf("npy", file.getvalue()))


def _pack_scalar(value: Any, np: Any) -> Node | None:
    kind = type(value)
    if value.dtype.kind not in _KINDS or getattr(np, kind.__name__, None) is not kind:
        return None
    data = b64encode(value.tobytes()).decode()
    return {TAG: "numpy", "t": value.dtype.str, "c": kind.__name__, "v": data}


def read(node: dict[str, Node], reader: Reader) -> object:
    np = _numpy()
    if node[TAG] == "numpy":
        return _read_scalar(np, node)
    source = Source.of_node(node, reader.artifacts)
    try:
        return _read_array(np, source)
    except ValueError as exc:
        raise CannotRead("a numpy array", str(exc)) from exc


def _read_scalar(np: Any, node: dict[str, Node]) -> object:
    kind = getattr(np, node["c"])
    if node["t"][1:] in ("U0", "S0"):  # numpy makes no array of empty text
        return kind()
    found = np.frombuffer(b64decode(node["v"]), dtype=node["t"])[0]
    return found if type(found) is kind else kind(found)  # longlong and int64 share a dtype


def _read_array(np: Any, source: Source) -> object:
    path = source.path()
    if path is None:
        return np.lib.format.read_array(io.BytesIO(source.bytes()), allow_pickle=False)
    mapped = np.load(path, mmap_mode="c", allow_pickle=False)
    return mapped.view(np.ndarray)
