"""Enum members, named tuples and dataclasses: their class by name, their parts as trees.

A class that another process can import travels as "module:Name"; one of `__main__`, of a
notebook or of a function travels by value, once. A class with its own idea of pickling or
with state beside its fields is left to cloudpickle (`pack` returns None).
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlflowkit.artifacts.serializers.leaves import Leaf
from mlflowkit.artifacts.serializers.plain import TAG
from mlflowkit.artifacts.serializers.tree import Attribute
from mlflowkit.errors import CannotRead

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

_MISSING = object()


def pack(value: Any, writer: Writer) -> Node | None:
    """A node for an enum member, named tuple or dataclass instance; else None."""
    kind = type(value)
    if isinstance(value, Enum):
        return _pack_enum(value, writer)
    if isinstance(value, tuple) and _is_named_tuple(value):
        parts = [writer.child(item, Attribute(name)) for name, item in _named(value)]
        return {TAG: "named", "c": class_node(kind, writer), "v": parts}
    if is_dataclass(kind) and _is_just_fields(value):
        parts_by_name = {
            f.name: writer.child(getattr(value, f.name), Attribute(f.name))
            for f in fields(kind)
        }
        return {TAG: "object", "c": class_node(kind, writer), "v": parts_by_name}
    return None


def _pack_enum(value: Enum, writer: Writer) -> Node | None:
    kind = type(value)
    if kind.__reduce_ex__ not in (Enum.__reduce_ex__, Flag.__reduce_ex__):
        return None
    by_name = kind.__members__.get(value.name or "") is value
    part = {"n": value.name} if by_name else {"v": writer.child(value.value, "value")}
    return {TAG: "enum", "c": class_node(kind, writer), **part}


def _named(value: Any) -> list[tuple[str, Any]]:
    return list(zip(value._fields, value, strict=True))


def _is_named_tuple(value: Any) -> bool:
    kind = type(value)
    names = getattr(kind, "_fields", None)
    return (
        isinstance(names, tuple)
        and kind.__base__ is tuple
        and len(names) == len(value)
        and not getattr(value, "__dict__", None)
        and not _reduces_its_own_way(kind)
    )


def _is_just_fields(value: Any) -> bool:
    """Whether a dataclass instance is its fields and nothing else."""
    kind = type(value)
    names = {f.name for f in fields(kind)}
    builtin = [base for base in kind.__mro__[1:] if base.__module__ == "builtins"]
    return (
        builtin == [object]
        and not isinstance(value, type)
        and all(getattr(value, name, _MISSING) is not _MISSING for name in names)
        and set(getattr(value, "__dict__", ())) <= names
        and all(slot in names for slot in _slots(kind))
        and not _pickles_its_own_way(kind)
    )


def _slots(kind: type) -> list[str]:
    found: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return [slot for slot in found if slot not in ("__dict__", "__weakref__")]


def _reduces_its_own_way(kind: Any) -> bool:
    standard: Any = object
    return (
        kind.__reduce_ex__ is not standard.__reduce_ex__
        or kind.__reduce__ is not standard.__reduce__
    )


def _pickles_its_own_way(kind: type) -> bool:
    if _reduces_its_own_way(kind):
        return True
    for name in ("__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__"):
        method = getattr(kind, name, None)
        standard = getattr(object, name, None)
        # dataclass(frozen=True, slots=True) brings its own pair, of fields only
        if method not in (None, standard) and method.__module__ != "dataclasses":
            return True
    return False


# ── classes ──


def class_node(kind: type, writer: Writer) -> Node:
    """A node that names a class, or holds it when no name leads to it elsewhere."""
    node = writer.classes.get(kind)
    if node is None:
        node = _name(kind) if is_importable(kind) else _by_value(kind, writer)
        writer.classes[kind] = node
    return node


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def is_importable(kind: type) -> bool:
    """Whether another process finds this very class by its module and name."""
    module = sys.modules.get(kind.__module__)
    if (
        module is None
        or kind.__module__ == "__main__"
        or _travels_by_value(kind.__module__)
    ):
        return False
    return find(module, kind.__qualname__) is kind


def find(module: object, qualname: str) -> object:
    """What `qualname` leads to in `module`, or None."""
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _travels_by_value(module: str) -> bool:
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    parts = module.split(".")
    return any(".".join(parts[: n + 1]) in registered for n in range(len(parts)))


def _by_value(kind: type, writer: Writer) -> Node:
    from mlflowkit.artifacts.serializers import pickled

    data = pickled.dumps(kind, writer)

    def put(artifacts: Artifacts) -> tuple[str, int]:
        return artifacts.put_bytes(data), len(data)

    return writer.leaf(Leaf("pickle", put=put))  # an artifact, so that many values share it


def read_class(node: Node, reader: Reader) -> type:
    """The class that a class node names or holds."""
    key = node if isinstance(node, str) else node["a"]
    found = reader.classes.get(key)
    if found is None:
        found = _import(node) if isinstance(node, str) else reader.value(node)
        reader.classes[key] = found
    return found


def _import(name: str) -> type:
    module, _, qualname = name.partition(":")
    try:
        found = find(import_module(module), qualname)
    except ImportError as exc:
        raise CannotRead(f"a {name.replace(':', '.')}", f"{exc}") from exc
    if not isinstance(found, type):
        raise CannotRead(
            f"a {name.replace(':', '.')}", f"{module} has no class {qualname!r}"
        )
    return found


def read(node: dict[str, Node], reader: Reader) -> object:
    """The enum member, named tuple or dataclass instance of a node."""
    kind = read_class(node["c"], reader)
    if node[TAG] == "enum":
        return _read_enum(kind, node, reader)
    if node[TAG] == "named":
        return tuple.__new__(kind, reader.value(node["v"]))
    value: object = object.__new__(kind)
    for name, part in node["v"].items():
        object.__setattr__(value, name, reader.value(part))
    return value


def _read_enum(kind: Any, node: dict[str, Node], reader: Reader) -> object:
    try:
        return kind[node["n"]] if "n" in node else kind(reader.value(node["v"]))
    except (KeyError, ValueError) as exc:
        raise CannotRead(
            f"a {kind.__qualname__}", f"it has no member {exc} any more"
        ) from exc
