"""Equality that looks at types and at the bits of floats."""

from __future__ import annotations

import struct
from dataclasses import is_dataclass
from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two values are of equal types all the way down, and equal to the bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        return (
            same(vars(one), vars(other)) if hasattr(one, "__dict__") else bool(one == other)
        )
    if isinstance(one, set | frozenset):
        return one == other and sorted(map(_kind, one)) == sorted(map(_kind, other))
    return bool(one == other)


def _kind(value: object) -> str:
    return f"{type(value)} {value!r}"
