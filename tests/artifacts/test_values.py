"""A stored value is plain data."""

from __future__ import annotations

import msgspec
import pytest

from mlflowkit.core.values import StoredValue

INLINE = StoredValue(codec="json", inline=b"\x00\xff1", size=3, keys=("a",), length=1)


def test_a_stored_value_travels_as_a_message() -> None:
    for packing in (msgspec.json, msgspec.msgpack):
        assert packing.decode(packing.encode(INLINE), type=StoredValue) == INLINE


@pytest.mark.parametrize("places", [{}, {"inline": b"", "artifact": "0" * 64}])
def test_bytes_are_in_exactly_one_place(places: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either inline bytes or an artifact"):
        StoredValue(codec="json", size=0, **places)  # type: ignore[arg-type]  # on purpose
