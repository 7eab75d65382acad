"""Plain JSON: values that msgspec writes and reads back exactly, without any tag.

The fast path: most values between tasks are small and plain. Types are compared exactly,
so a subclass, a nan or a huge int is not plain and takes the tree.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

import msgspec

from mlflowkit.errors import CannotRead

#: The key that marks a tagged object in a tree. A dict that has it is not plain.
TAG: Final = "$"

INT_LOW: Final = -(2**63)
INT_HIGH: Final = 2**63 - 1

_SURE: Final = frozenset({str, bool, type(None)})
_INT: Final = frozenset({int})
_FLOAT: Final = frozenset({float})
_STR: Final = frozenset({str})

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode


def is_plain(value: Any) -> bool:
    """Whether JSON keeps `value` as it is. Strings are not looked into (see `as_json`)."""
    kind = type(value)
    if kind in _SURE:
        return True
    if kind is int:
        return bool(INT_LOW <= value <= INT_HIGH)
    if kind is float:
        return isfinite(value)
    if kind is list:
        return are_plain(value)
    if kind is dict:
        keys = set(map(type, value))
        return keys <= _STR and TAG not in value and are_plain(value.values())
    return False


def are_plain(values: Any) -> bool:
    """Whether all of a list or dict view are plain; long uniform ones at C speed."""
    kinds = set(map(type, values))
    if kinds <= _SURE:
        return True
    if kinds == _INT:
        return bool(min(values) >= INT_LOW and max(values) <= INT_HIGH)
    if kinds == _FLOAT:
        return all(map(isfinite, values))
    return all(map(is_plain, values))


def as_json(value: object) -> bytes | None:
    """`value` as JSON, or None when it is not plain."""
    try:
        return encode(value) if is_plain(value) else None
    except (
        RecursionError,
        UnicodeEncodeError,
    ):  # circular or very deep; lone surrogates
        return None


def parse(data: bytes, what: str) -> Any:
    """Read JSON. Raises CannotRead when it is none."""
    try:
        return decode(data)
    except ValueError as exc:
        raise CannotRead(what, "its bytes are not what mlflowkit writes") from exc
