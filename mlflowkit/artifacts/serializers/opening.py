"""The bytes and the items of a stored value, from the row or from its artifact."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.serializers import items
from mlflowkit.core.values import StoredValue


def data_of(stored: StoredValue, artifacts: Artifacts) -> bytes:
    """The bytes of a value, checked against their hash."""
    if stored.inline is not None:
        return stored.inline
    assert stored.artifact is not None
    return artifacts.read(stored.artifact)


def open_items(
    stored: StoredValue, artifacts: Artifacts
) -> items.Opened | items.OpenedSmall:
    """The items of an expandable value, to be read one at a time."""
    if stored.codec != "items":
        raise ValueError(f"a value of codec {stored.codec!r} has no items of its own")
    if stored.inline is not None:
        return items.open_small(stored.inline)
    assert stored.artifact is not None
    return _open_artifact(cast(Any, artifacts), stored.artifact, stored.size)


@lru_cache(maxsize=32)
def _open_artifact(artifacts: Any, digest: str, size: int) -> items.Opened:
    """Checked and mapped once while it is in use: what has a hash never changes."""
    return items.open_file(artifacts.path(digest, size=size))
