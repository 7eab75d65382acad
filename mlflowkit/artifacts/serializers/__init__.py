"""Values to stored bytes and back, with the type that went in.

    stored = dump(value, artifacts, where="task 'load'")
    value = load(stored, artifacts)

JSON first, then a typed codec per library (Arrow, npy, PNG, safetensors, files), and
cloudpickle last. Nothing is stored of a value that cannot be serialized. The engine handles
`StoredValue`s and `item_slice`; it never calls `load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.serializers import items, plain, registry, together
from mlflowkit.artifacts.serializers.blame import name_of
from mlflowkit.artifacts.serializers.opening import data_of, open_items
from mlflowkit.artifacts.serializers.plain import TAG, parse
from mlflowkit.artifacts.serializers.preview import preview, shorten
from mlflowkit.artifacts.serializers.references import references
from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer
from mlflowkit.core.values import INLINE_LIMIT, StoredValue
from mlflowkit.errors import NotExpandable

__all__ = ["dump", "item_slice", "load", "load_item", "preview", "references"]


def dump(
    value: object,
    artifacts: Artifacts,
    *,
    expandable: bool = False,
    where: str = "a task",
) -> StoredValue:
    """Serialize a value; its large parts go to `artifacts`.

    Args:
        value: Anything. A `Path` takes its file or folder along.
        artifacts: Where bytes go that are too many for the store.
        expandable: Mapped tasks expand over the value: item i must be readable alone.
        where: Who gave the value, for messages: "task 'load'".

    Raises:
        CannotSerialize: part of it cannot travel; the message names the part.
        PathNotFound: a Path in it names no file or folder.
        NotExpandable: `expandable`, and it is no list, tuple or other sequence, dict or range.
        ArtifactNotStored: the disk is full, or may not be written.
    """
    if expandable:
        return _dump_items(value, artifacts, where)
    data = plain.as_json(value)
    if data is not None:
        shown = shorten(repr(value)) if len(data) <= 1000 else preview(value)
        return _stored("json", data, artifacts, shown)
    writer = Writer(where)
    if isinstance(value, together.Beside):
        node, value = value.node(writer), value.value
        writer.finish(artifacts)
        return _stored("tree", plain.encode(node), artifacts, preview(value))
    try:
        node = writer.node(value)
    except RecursionError:  # circular, or nested too deeply for a tree
        writer = Writer(where)
        node = registry.reader("pickle").pack(value, writer)
    if (leaf := _lone_leaf(node, writer, artifacts)) is not None:
        codec, inline, digest, size = leaf
        return StoredValue(
            codec=codec,
            inline=inline,
            artifact=digest,
            size=size,
            preview=preview(value),
        )
    together.join(writer)
    writer.finish(artifacts)
    return _stored("tree", plain.encode(node), artifacts, preview(value))


def _stored(
    codec: str,
    data: bytes,
    artifacts: Artifacts,
    shown: str,
    length: int | None = None,
    keys: tuple[str, ...] | None = None,
) -> StoredValue:
    small = len(data) <= INLINE_LIMIT
    return StoredValue(
        codec=codec,
        inline=data if small else None,
        artifact=None if small else artifacts.put_bytes(data),
        size=len(data),
        length=length,
        keys=keys,
        preview=shown,
    )


#: codec, inline bytes, hash, size
_Lone = tuple[str, bytes | None, str | None, int]


def _lone_leaf(node: Node, writer: Writer, artifacts: Artifacts) -> _Lone | None:
    """A value that is one leaf without facts is its bytes, with no tree around them."""
    if (
        len(writer.pending) != 1
        or writer.pending[0][0] is not node
        or node.keys() - {TAG, "b"}
    ):
        return None
    leaf = writer.pending[0][1]
    if leaf.data is not None and len(leaf.data) <= INLINE_LIMIT:
        return leaf.codec, leaf.data, None, len(leaf.data)
    writer.finish(artifacts)
    return leaf.codec, None, node["a"], node["n"]


def _dump_items(value: Any, artifacts: Artifacts, where: str) -> StoredValue:
    plain_value = items.plain_of(value)
    if plain_value is None:
        raise NotExpandable(where, name_of(value))
    value, kind = plain_value, items.KINDS[type(plain_value)]
    packed = items.pack_plain(kind, value)
    if packed is None:
        writer = Writer(where)
        packed = _pack_trees(kind, value, writer, artifacts)
    keys = (
        tuple(k if type(k) is str else preview(k) for k in value)
        if kind == "dict"
        else None
    )
    shown, length = preview(value), len(packed.items)
    if packed.size + length <= INLINE_LIMIT - 64:
        return _stored("items", packed.as_json(), artifacts, shown, length, keys)
    digest = artifacts.put_stream(packed.write)
    size = artifacts.path(digest).stat().st_size
    return StoredValue(
        codec="items",
        artifact=digest,
        size=size,
        length=length,
        keys=keys,
        preview=shown,
    )


def _pack_trees(
    kind: items.Kind, value: Any, writer: Writer, artifacts: Artifacts
) -> items.Packed:
    steps = value.items() if kind == "dict" else enumerate(value)
    nodes = [
        [writer.node(step), _item_node(writer, item, step)]
        if kind == "dict"
        else _item_node(writer, item, step)
        for step, item in steps
    ]
    writer.finish(artifacts)
    return items.pack_nodes(kind, nodes)


def _item_node(writer: Writer, item: object, step: object) -> Node:
    waiting = len(writer.pending)
    try:
        return writer.child(item, step)
    except RecursionError:  # circular, or nested too deeply for a tree
        writer.trail[:] = [step]
        del writer.pending[waiting:]
        return registry.reader("pickle").pack(item, writer)


def load(
    stored: StoredValue,
    artifacts: Artifacts,
    *,
    allow_pickle: bool = True,
    restore_to: Path | None = None,
    opened: dict[str, Any] | None = None,
) -> Any:
    """The value again, of the type that went in.

    Args:
        stored: What `dump` returned.
        artifacts: A store that has what `dump` put.
        allow_pickle: False refuses values that need one (a pickle can run code).
        restore_to: Where private copies of files and folders are made; by default in a
            temporary folder that is removed when the process ends.
        opened: One dict for several values: those that were pickled together share what they
            shared.

    Raises:
        CannotRead: it needs a class, module or codec that is not here.
        PickleRefused: it is a pickle and `allow_pickle` is False.
        MissingExtra: it needs a library that is not installed.
        ArtifactMissing, ArtifactCorrupt: its bytes are gone or damaged.
    """
    if stored.codec == "json":
        return parse(data_of(stored, artifacts), "a value")
    reader = Reader(
        artifacts, allow_pickle=allow_pickle, restore_to=restore_to, opened=opened
    )
    if stored.codec == "tree":
        return reader.value(parse(data_of(stored, artifacts), "a value"))
    if stored.codec == "items":
        return _load_items(stored, artifacts, reader)
    node: dict[str, Node] = {TAG: stored.codec}
    if stored.inline is not None:
        node["raw"] = stored.inline
    else:
        node["a"], node["n"] = stored.artifact, stored.size
    return reader.value(node)


def load_item(
    stored: StoredValue,
    artifacts: Artifacts,
    index: int,
    *,
    allow_pickle: bool = True,
    restore_to: Path | None = None,
) -> Any:
    """Item `index` of an expandable value, without reading the others.

    An item of a dict is the pair `(key, value)`. Raises as `load`, and IndexError.
    """
    opened = open_items(stored, artifacts)
    node = parse(opened.raw(index), "an item")
    if opened.tagged:
        node = Reader(artifacts, allow_pickle=allow_pickle, restore_to=restore_to).value(
            node
        )
    return tuple(node) if opened.kind == "dict" else node


def item_slice(stored: StoredValue, index: int) -> StoredValue:
    """Item `index` of an inline expandable value as a value of its own; nothing is opened.

    For the engine, which hands mapped tasks their item and never loads a value.

    Raises:
        ValueError: the value is an artifact; its worker calls `load_item`.
        IndexError: there is no such item.
    """
    if stored.codec != "items" or stored.inline is None:
        raise ValueError("only an expandable value that is kept inline can be sliced")
    opened = items.open_small(stored.inline)
    data = opened.raw(index)
    if opened.kind == "dict":
        data, codec = b'{"$":"tuple","v":' + data + b"}", "tree"
    else:
        codec = "tree" if opened.tagged else "json"
    shown = data[:800].decode(errors="replace")
    return StoredValue(codec=codec, inline=data, size=len(data), preview=shorten(shown))


def _load_items(stored: StoredValue, artifacts: Artifacts, reader: Reader) -> Any:
    opened = open_items(stored, artifacts)
    found = parse(opened.all(), "a mapped value")
    if opened.tagged:
        found = reader.value(found)
    match opened.kind:
        case "tuple":
            return tuple(found)
        case "dict":
            return {key: value for key, value in found}
        case "range":
            return _range(found)
        case _:
            return found


def _range(found: list[int]) -> range:
    if not found:
        return range(0)
    step = found[1] - found[0] if len(found) > 1 else 1
    return range(found[0], found[-1] + (1 if step > 0 else -1), step)
