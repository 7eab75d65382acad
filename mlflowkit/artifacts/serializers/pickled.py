"""Everything else: cloudpickle, last. The only file that writes or opens pickles.

A pickle can run code when it is opened: `read` refuses unless the reader allows it.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any, Final

import cloudpickle  # type: ignore[import-untyped,unused-ignore]  # it has no hints

from mlflowkit.artifacts.serializers import blame, live
from mlflowkit.artifacts.serializers.leaves import Leaf, Source
from mlflowkit.errors import CannotRead, CannotSerialize, MissingExtra, PickleRefused

if TYPE_CHECKING:
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

#: What pickling a stranger's object is known to raise.
FOREIGN: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PickleError,
)

#: cloudpickle would send the text of an open file; an open file is not its text.
_FILES: Final = (io.TextIOWrapper, io.BufferedIOBase, io.FileIO)
_HARMLESS: Final = (io.BytesIO,)

_EXTRAS: Final = {"torch": "vision", "PIL": "vision", "pandas": "data", "numpy": "data"}


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc,name-defined,no-any-unimported,unused-ignore]
    def reducer_override(self, obj: Any) -> Any:
        if (
            isinstance(obj, _FILES)
            and not isinstance(obj, _HARMLESS)
            and not _is_standard(obj)
        ):
            raise pickle.PicklingError("it is an open file")
        if isinstance(obj, memoryview):  # cloudpickle would make bytes of it
            raise pickle.PicklingError("it is a view of memory; pass bytes(...)")
        reduced = super().reducer_override(obj)
        return live.reduce(obj, reduced) if isinstance(obj, type) else reduced


def _is_standard(file: object) -> bool:
    return file in (sys.stdout, sys.stderr)


def dumps(value: object, writer: Writer) -> bytes:
    """The pickle of `value`.

    Raises:
        CannotSerialize: it has none; names the smallest part that cannot be pickled.
    """
    try:
        return _dumps(value)
    except FOREIGN as exc:
        steps, part, reason = blame.culprit(value, _in_words(exc), _why_not)
        raise CannotSerialize(
            writer.where, blame.at([*writer.trail, *steps]), blame.name_of(part), reason
        ) from exc


def memo(value: object, file: Any) -> dict[int, tuple[int, object]]:
    """Every object that the pickle of `value` holds, by its identity."""
    pickler: Any = _Pickler(file, protocol=5)
    pickler.dump(value)
    found: dict[int, tuple[int, object]] = pickler.memo.copy()
    return found


def _dumps(value: object) -> bytes:
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(value)
    return file.getvalue()


def _why_not(value: object) -> str | None:
    try:
        _dumps(value)
    except FOREIGN as exc:
        return _in_words(exc)
    return None


def _in_words(exc: BaseException) -> str:
    if isinstance(exc, RecursionError) or "recursion" in str(exc):
        return "it is nested too deeply"
    first = str(exc).strip().split("\n")[0]
    return first[:160] or type(exc).__name__


def pack(value: object, writer: Writer) -> Node:
    node: dict[str, Node] = writer.leaf(Leaf("pickle", dumps(value, writer)))
    writer.pickled.append((node, value))
    return node


def read(node: dict[str, Node], reader: Reader) -> object:
    if not reader.allow_pickle:
        raise PickleRefused
    if "k" not in node:
        return _opened(node, reader)
    key = node.get("b") or node["a"]
    if key not in reader.opened:
        reader.opened[key] = _opened(node, reader)
    return reader.opened[key][node["k"]]


def _opened(node: dict[str, Node], reader: Reader) -> Any:
    data = Source.of_node(node, reader.artifacts).bytes()
    try:
        return pickle.loads(data)
    except ModuleNotFoundError as exc:
        library = (exc.name or "").partition(".")[0]
        if library in _EXTRAS:
            raise MissingExtra(library, _EXTRAS[library], "reading this value") from exc
        raise CannotRead("a pickled value", f"it needs the module {exc.name!r}") from exc
    except FOREIGN as exc:
        raise CannotRead(
            "a pickled value", f"{type(exc).__name__}: {_in_words(exc)}"
        ) from exc
