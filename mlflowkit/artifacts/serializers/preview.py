"""One short line about a value, for a screen. Never heavy, never runs the value's own code
beyond reading a shape: no `repr` of a stranger is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final

LIMIT: Final = 200
_WIDE: Final = 6
_DEEP: Final = 3
_SMALL_INT: Final = 1 << 200

#: Types whose own repr is short and harmless.
_OWN_NAMES: Final = frozenset(
    {
        "bool",
        "NoneType",
        "float",
        "complex",
        "range",
        "slice",
        "ellipsis",
        "date",
        "time",
    }
    | {"datetime", "timedelta", "timezone", "Decimal", "Fraction", "UUID", "ZoneInfo"}
)
_OWN_MODULES: Final = frozenset(
    {"builtins", "datetime", "decimal", "fractions", "uuid", "zoneinfo"}
)
_BRACKETS: Final[dict[Any, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
}


def preview(value: object) -> str:
    """At most 200 characters on one line."""
    return shorten(_show(value, 0))


def shorten(text: str) -> str:
    """`text` on one line, cut to the limit."""
    if len(text) > LIMIT:
        text = text[: LIMIT - 1] + "…"
    return text.replace("\n", " ").replace("\r", " ")


def _show(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is str:
        return repr(value) if len(value) <= LIMIT else repr(value[:LIMIT])[:-1] + "…'"
    if kind is int:
        return (
            repr(value) if abs(value) < _SMALL_INT else f"int of {value.bit_length()} bits"
        )
    if kind in (bytes, bytearray):
        return f"{kind.__name__} of {len(value):,} bytes"
    if kind.__name__ in _OWN_NAMES and kind.__module__ in _OWN_MODULES:
        return repr(value)
    if kind in (list, tuple, set, frozenset):
        return _show_items(value, kind, depth)
    if isinstance(value, dict):
        return _show_dict(value, kind, depth)
    if isinstance(value, Enum):
        return f"{kind.__name__}.{value._name_}"
    if isinstance(value, PurePath):
        return f"{kind.__name__}({str(value)!r})"
    if is_dataclass(kind):
        return _show_fields(value, kind, depth)
    return _show_typed(value, kind)


def _show_items(value: Any, kind: type, depth: int) -> str:
    left, right = _BRACKETS.get(kind, ("frozenset({", "})"))
    if not value:
        return f"{kind.__name__}()" if kind in (set, frozenset) else left + right
    if kind is tuple and len(value) == 1:
        right = ",)"
    return left + _joined((_part(item, depth) for item in value), len(value)) + right


def _show_dict(value: Mapping[Any, Any], kind: type, depth: int) -> str:
    shown = (f"{_part(key, depth)}: {_part(item, depth)}" for key, item in value.items())
    name = "" if kind is dict else kind.__name__
    return name + "{" + _joined(shown, len(value)) + "}"


def _show_fields(value: Any, kind: Any, depth: int) -> str:
    names = [f.name for f in fields(kind)]
    own = getattr(value, "__dict__", {})
    shown = (
        f"{name}={_part(own[name] if name in own else getattr(value, name, None), depth)}"
        for name in names
    )
    return f"{kind.__name__}({_joined(shown, len(names))})"


def _part(value: object, depth: int) -> str:
    return "…" if depth >= _DEEP else _show(value, depth + 1)


def _joined(shown: Iterable[str], total: int) -> str:
    text = ", ".join(islice(shown, _WIDE))
    return f"{text}, … ({total:,} in all)" if total > _WIDE else text


def _show_typed(value: Any, kind: type) -> str:
    library = kind.__module__.partition(".")[0]
    if library in ("numpy", "torch", "pandas", "polars", "PIL") and library in sys.modules:
        return _show_of_library(value, kind)
    return f"<{kind.__name__}>"


def _show_of_library(value: Any, kind: type) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if kind.__name__ == "Image":
        return f"Image {value.mode} {value.width}×{value.height}"
    if (
        isinstance(shape, tuple)
        and not shape
        and hasattr(value, "item")
        and dtype is not None
    ):
        return (
            f"{kind.__name__}({value})"
            if kind.__name__ != "Tensor"
            else f"Tensor() {dtype}"
        )
    if isinstance(shape, tuple) and dtype is not None:
        return f"{kind.__name__}{tuple(shape)} {dtype}"
    if isinstance(shape, tuple) and len(shape) == 2:
        names = [str(name) for name in islice(value.columns, _WIDE)]
        return (
            f"{kind.__name__} {shape[0]:,} rows × {shape[1]:,} columns: {', '.join(names)}"
        )
    return f"<{kind.__name__}>"
