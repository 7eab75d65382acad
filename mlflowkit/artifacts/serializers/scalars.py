"""Tags for Python's own small types: what goes in comes out, to the bit.

Each type has a function to its payload and one back; both know only JSON. Types made of
other values (lists, tuples, dicts, times with a zone) are in `tree`.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlflowkit.errors import CannotRead


def _float_out(value: float) -> str:
    return struct.pack("<d", value).hex()


def _float_in(text: str) -> float:
    return float(struct.unpack("<d", bytes.fromhex(text))[0])


def _complex_out(value: complex) -> str:
    return _float_out(value.real) + _float_out(value.imag)


def _complex_in(text: str) -> complex:
    return complex(_float_in(text[:16]), _float_in(text[16:]))


def _str_out(value: str) -> str:
    return b64encode(value.encode("utf-8", "surrogatepass")).decode()


def _str_in(text: str) -> str:
    return b64decode(text).decode("utf-8", "surrogatepass")


def _zone_in(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError as exc:
        raise CannotRead(f"time zone {key!r}", "this machine does not know it") from exc


def _offset_out(value: timezone) -> list[Any]:
    offset: timedelta = value.__getinitargs__()[0]  # type: ignore[attr-defined]  # not in typeshed
    return [_delta_out(offset), *value.__getinitargs__()[1:]]  # type: ignore[attr-defined]  # same


def _offset_in(found: list[Any]) -> timezone:
    offset = _delta_in(found[0])
    return timezone(offset, *found[1:]) if offset or found[1:] else UTC


def _delta_out(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _delta_in(found: list[int]) -> timedelta:
    return timedelta(*found)


def _fraction_out(value: Fraction) -> list[str]:
    return [hex(value.numerator), hex(value.denominator)]


def _fraction_in(found: list[str]) -> Fraction:
    return Fraction(int(found[0], 16), int(found[1], 16))


def _range_out(value: range) -> list[str]:
    return [hex(value.start), hex(value.stop), hex(value.step)]


def _range_in(found: list[str]) -> range:
    return range(*(int(number, 16) for number in found))


def _int_in(text: str) -> int:
    return int(text, 16)


Out = Callable[[Any], Any]

#: type → (tag, to payload, from payload)
SCALARS: Final[dict[type, tuple[str, Out, Out]]] = {
    int: ("int", hex, _int_in),
    float: ("float", _float_out, _float_in),
    str: ("str", _str_out, _str_in),
    complex: ("complex", _complex_out, _complex_in),
    date: ("date", date.isoformat, date.fromisoformat),
    timedelta: ("timedelta", _delta_out, _delta_in),
    timezone: ("offset", _offset_out, _offset_in),
    Decimal: ("decimal", str, Decimal),
    Fraction: ("fraction", _fraction_out, _fraction_in),
    UUID: ("uuid", str, UUID),
    range: ("range", _range_out, _range_in),
    PurePosixPath: ("posixpath", str, PurePosixPath),
    PureWindowsPath: ("windowspath", str, PureWindowsPath),
    type(...): ("ellipsis", lambda _: 0, lambda _: ...),
    ZoneInfo: ("zone", lambda zone: zone.key, _zone_in),
}

SCALARS_BY_TAG: Final[dict[str, Out]] = {tag: back for tag, _, back in SCALARS.values()}
