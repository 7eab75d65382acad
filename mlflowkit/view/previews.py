"""An XCom as a screen shows it: table, array, picture, JSON, text. No pickle is ever opened.

Only values whose kind is known and that are small enough are read; all others show the
line that was kept beside them when they were stored.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any, Final

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import MlflowkitError

#: Bytes of a value that is read for a screen.
LARGEST: Final = 32 * 1024 * 1024
ROWS: Final = 50
COLUMNS: Final = 40
TEXT: Final = 20_000
PICTURE_PIXELS: Final = 640
NODES: Final = 2000
#: Codecs whose bytes say nothing but data. A "tree" may hold any of them, and pickles:
#: those are refused by the reader.
_READABLE: Final = frozenset(
    {"json", "tree", "items", "npy", "numpy", "pandas", "series", "polars"}
    | {"polars_series", "arrow", "png", "tensor", "tensors"}
)


def shown(value: StoredValue, artifacts: Path) -> dict[str, Any]:
    """What is shown of a stored value: `{"kind": "table" | "array" | "image" | "json" |
    "text" | "line", …}`, with its size and the line that was kept."""
    facts = {"codec": value.codec, "size": value.size, "line": value.preview}
    if value.codec not in _READABLE or value.size > LARGEST:
        return {"kind": "line", **facts}
    try:
        opened = serializers.load(value, FileArtifacts(artifacts), allow_pickle=False)
        return {**_shown(opened), **facts}
    except (MlflowkitError, OSError, ValueError, TypeError, ImportError) as exc:
        return {"kind": "line", "why": str(exc)[:300], **facts}


def _shown(value: Any) -> dict[str, Any]:
    library = type(value).__module__.partition(".")[0]
    if library in ("pandas", "polars", "pyarrow"):
        return _table(value)
    if library in ("numpy", "torch") and hasattr(value, "shape"):
        return _array(value)
    if library == "PIL":
        return _image(value)
    if isinstance(value, str):
        return {"kind": "text", "text": value[:TEXT], "cut": len(value) > TEXT}
    return {"kind": "json", "value": _plain(value, [NODES], 0)}


def _table(value: Any) -> dict[str, Any]:
    """The first rows of a frame or a series."""
    library = type(value).__module__.partition(".")[0]
    if library == "pyarrow":
        total, frame = value.num_rows, value.slice(0, ROWS).to_pandas()
    else:
        total, frame = len(value), value.head(ROWS)
    if not hasattr(frame, "columns"):
        frame = frame.to_frame()
    names = list(frame.columns)[:COLUMNS]
    columns = [str(name)[:80] for name in names]
    width = len(frame.columns)
    pandas_like = hasattr(frame, "iloc")
    index = [_cell(i) for i in frame.index] if pandas_like else None
    series = [
        frame.iloc[:, at] if pandas_like else frame.get_column(name)
        for at, name in enumerate(names)
    ]
    kinds = [str(getattr(one, "dtype", ""))[:40] for one in series]
    cells = [
        [_cell(v) for v in one.tolist()]
        if pandas_like
        else [_cell(v) for v in one.to_list()]
        for one in series
    ]
    return {
        "kind": "table",
        "columns": columns,
        "types": kinds,
        "index": index,
        "rows": [list(row) for row in zip(*cells, strict=True)] if cells else [],
        "shape": [int(total), int(width)],
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value[:200]
    plain = (int, bool, bytes, type(None))
    return str(value)[:200] if isinstance(value, plain) or _is_data(value) else _name(value)


def _is_data(value: Any) -> bool:
    known = ("numpy", "pandas", "datetime", "decimal", "uuid", "polars", "builtins")
    return type(value).__module__.partition(".")[0] in known


def _name(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _array(value: Any) -> dict[str, Any]:
    shape = [int(n) for n in value.shape]
    flat = value.reshape(-1)[:200]
    values = flat.tolist()
    found: dict[str, Any] = {
        "kind": "array",
        "shape": shape,
        "dtype": str(value.dtype),
        "type": type(value).__name__,
        "values": [_cell(v) for v in values],
    }
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if len(shape) == 1 and len(numbers) == len(values) > 1 and shape[0] <= 200:
        found["line_of"] = [float(v) for v in numbers]
    return found


def _image(value: Any) -> dict[str, Any]:
    """A small PNG. The picture itself stays where it is."""
    width, height = value.size
    small = value.copy()
    small.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    if small.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        small = small.convert("RGB")
    data = io.BytesIO()
    small.save(data, format="PNG")
    return {
        "kind": "image",
        "mime": "image/png",
        "data": base64.b64encode(data.getvalue()).decode(),
        "width": int(width),
        "height": int(height),
    }


def _plain(value: Any, room: list[int], depth: int) -> Any:
    """A value as JSON that is small: texts are cut, long lists end with how many there are."""
    room[0] -= 1
    if value is None or isinstance(value, bool | int):
        return value if not isinstance(value, int) or abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return (
            value if len(value) <= 2000 else f"{value[:2000]}… ({len(value):,} characters)"
        )
    if depth > 8 or room[0] <= 0:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())
        found = {str(k)[:200]: _plain(v, room, depth + 1) for k, v in items[:200]}
        if len(items) > 200:
            found["…"] = f"{len(items):,} in all"
        return found
    if isinstance(value, list | tuple | set | frozenset | range):
        elements: list[Any] = list(value)
        shown_items = [_plain(v, room, depth + 1) for v in elements[:200]]
        return (
            [*shown_items, f"… {len(elements):,} in all"]
            if len(elements) > 200
            else shown_items
        )
    return serializers.preview(value)
