"""pandas, polars and pyarrow tables as Arrow IPC files.

A pandas frame goes this way only if it comes back the same: its column types are looked at,
and its first rows are sent there and back and compared (index, labels, categories, zones).
Whatever fails that, mixed object columns above all, is left to cloudpickle.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mlflowkit.artifacts.serializers.leaves import Leaf, Source, streamed
from mlflowkit.artifacts.serializers.plain import TAG
from mlflowkit.core.values import INLINE_LIMIT
from mlflowkit.errors import CannotRead, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

_SAMPLE: Final = 50


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingExtra(name.partition(".")[0], "data", "a table between tasks") from exc


def pack(value: Any, writer: Writer) -> Node | None:
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if library == "polars":
        return _pack_polars(value, writer)
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]  # no hints
    except ImportError:
        return None  # a pickle does without it
    if library == "pyarrow":
        return writer.leaf(_arrow(pa, "arrow", value)) if kind is pa.Table else None
    pd = _library("pandas")
    if kind is pd.DataFrame:
        return _pack_pandas(pa, pd, value, "pandas", writer)
    if kind is pd.Series and not value.attrs:
        return _pack_pandas(pa, pd, value.to_frame("values"), "series", writer, value.name)
    return None


# ── pandas ──


def _pack_pandas(
    pa: Any, pd: Any, frame: Any, codec: str, writer: Writer, name: object = None
) -> Node | None:
    if type(frame.index) not in (
        pd.Index,
        pd.RangeIndex,
        pd.DatetimeIndex,
        pd.CategoricalIndex,
    ):
        return None
    columns = [frame.iloc[:, n] for n in range(frame.shape[1])]
    if not all(_keeps(pd, column) for column in (*columns, frame.index.to_series())):
        return None
    if not _comes_back(pa, pd, frame):
        return None
    facts: dict[str, Node] = {}
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.freq is not None:
        facts["freq"] = frame.index.freqstr
    if name is not None:
        label = writer.attempt(name, "name")
        if label is None:
            return None
        facts["name"] = label
    return writer.leaf(_arrow(pa, codec, pa.Table.from_pandas(frame), facts))


def _keeps(pd: Any, column: Any) -> bool:
    """Whether Arrow keeps every value of a column, whatever they are."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _keeps(pd, dtype.categories.to_series())
    if isinstance(dtype, pd.DatetimeTZDtype | pd.StringDtype | pd.BooleanDtype):
        return True
    if pd.api.types.is_extension_array_dtype(dtype):
        return bool(pd.api.types.is_integer_dtype(dtype)) and hasattr(dtype, "numpy_dtype")
    if dtype.kind == "O":
        return _is_text(pd, column)
    return dtype.kind in "biufMm" and dtype.itemsize <= 8 and dtype.isnative


def _is_text(pd: Any, column: Any) -> bool:
    """Whether an object column holds str, and None where something is missing."""
    if pd.api.types.infer_dtype(column, skipna=True) != "string":
        return False
    missing = column[column.isna()]
    return all(value is None for value in missing) and {
        type(v) for v in column.dropna()
    } == {str}


def _comes_back(pa: Any, pd: Any, frame: Any) -> bool:
    """Whether the first rows survive; labels and types are the same in all rows."""
    head = frame.iloc[:_SAMPLE]
    try:
        back = _to_pandas(pa.Table.from_pandas(head))
        if isinstance(head.index, pd.DatetimeIndex):
            back.index.freq = head.index.freq
        pd.testing.assert_frame_equal(
            head,
            back,
            check_exact=True,
            check_index_type="exact",
            check_column_type="exact",
            check_categorical=True,
            check_flags=True,
        )
    except (
        AssertionError,
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        pa.ArrowException,
    ):
        return False
    return _labels(head) == _labels(back) and head.attrs == back.attrs


def _labels(frame: Any) -> object:
    names = [frame.columns, frame.columns.names, frame.index.names]
    return [[(type(label), label) for label in labels] for labels in names]


def _to_pandas(table: Any) -> Any:
    return table.to_pandas(date_as_object=True)


def _read_pandas(table: Any, node: dict[str, Node], reader: Reader) -> Any:
    _library("pandas")
    frame = _to_pandas(table)
    if "freq" in node:
        frame.index.freq = node["freq"]
    if node[TAG] == "pandas":
        return frame
    return frame["values"].rename(reader.value(node["name"]) if "name" in node else None)


# ── polars ──


def _pack_polars(value: Any, writer: Writer) -> Node | None:
    pl = _library("polars")
    kind = type(value)
    if kind not in (pl.DataFrame, pl.Series):
        return None
    frame = value.to_frame() if kind is pl.Series else value
    if any(_has_object(pl, dtype) for dtype in frame.dtypes):
        return None
    codec = "polars_series" if kind is pl.Series else "polars"

    def write(file: BinaryIO) -> None:
        frame.write_ipc(file, compression="uncompressed")

    return writer.leaf(_written(codec, write, frame.estimated_size(), {}))


def _has_object(pl: Any, dtype: Any) -> bool:
    inner = [
        getattr(dtype, "inner", None),
        *(f.dtype for f in getattr(dtype, "fields", ())),
    ]
    return dtype == pl.Object or any(
        _has_object(pl, part) for part in inner if part is not None
    )


def _read_polars(source: Source, codec: str) -> Any:
    pl = _library("polars")
    try:
        frame = pl.read_ipc(source.path() or source.bytes())
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise CannotRead("a polars table", str(exc)) from exc
    return frame.to_series(0) if codec == "polars_series" else frame


# ── Arrow ──


def _arrow(pa: Any, codec: str, table: Any, facts: dict[str, Node] | None = None) -> Leaf:
    def write(file: BinaryIO) -> None:
        with pa.ipc.new_file(pa.PythonFile(file, mode="w"), table.schema) as sink:
            sink.write_table(table)

    return _written(codec, write, table.nbytes, facts or {})


def _written(
    codec: str, write: Callable[[BinaryIO], None], size: int, facts: dict[str, Node]
) -> Leaf:
    if size > INLINE_LIMIT:
        return Leaf(codec, put=streamed(write), facts=facts)
    file = io.BytesIO()
    write(file)
    return Leaf(codec, file.getvalue(), facts=facts)


def read(node: dict[str, Node], reader: Reader) -> object:
    codec, source = node[TAG], Source.of_node(node, reader.artifacts)
    if codec in ("polars", "polars_series"):
        return _read_polars(source, codec)
    pa = _library("pyarrow")
    path = source.path()
    try:
        opened = (
            pa.BufferReader(source.bytes()) if path is None else pa.memory_map(str(path))
        )
        table = pa.ipc.open_file(opened).read_all()
    except (pa.ArrowException, OSError) as exc:
        raise CannotRead("a table", str(exc)) from exc
    return table if codec == "arrow" else _read_pandas(table, node, reader)
