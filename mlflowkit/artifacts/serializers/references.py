"""Which artifacts a stored value needs. Opens no pickle and imports no library."""

from __future__ import annotations

from collections.abc import Iterator

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.folders import read_index
from mlflowkit.artifacts.serializers.leaves import Node
from mlflowkit.artifacts.serializers.opening import data_of, open_items
from mlflowkit.artifacts.serializers.plain import TAG, parse
from mlflowkit.core.values import StoredValue


def references(stored: StoredValue, artifacts: Artifacts) -> Iterator[str]:
    """Every artifact that a value needs, its own and its leaves'; for cleaning and moving.

    Opens no pickle and imports no library. The files of a stored folder are named in the
    folder's index (`folders.read_index`), and are given here too.
    """
    if stored.artifact is not None:
        yield stored.artifact
    if stored.codec == "tree":
        yield from _named_in(parse(data_of(stored, artifacts), "a value"), artifacts)
    elif stored.codec == "items":
        yield from _named_in(
            parse(open_items(stored, artifacts).all(), "a value"), artifacts
        )


def _named_in(node: Node, artifacts: Artifacts) -> Iterator[str]:
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, dict):
            waiting.extend(found.values())
            if TAG in found and "a" in found:
                yield found["a"]
            if found.get(TAG) == "folder":
                index = read_index(artifacts.read(found["a"]), found["a"][:12])
                yield from (entry.target for entry in index if entry.kind == "file")
