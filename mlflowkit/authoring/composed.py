"""Items made of items: `.map()`, `.zip()`, `.concat()` of outputs and of lists.

While the DAG is written they only say what they are made of; workers put them together,
an item at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast, overload

from mlflowkit.authoring.refs import Composed, ParamRef, XComArg
from mlflowkit.core.spec import Axis
from mlflowkit.errors import CannotExpand, NotExpandable

#: Values written in the DAG that have items.
WRITTEN = (list, tuple, dict, range)


class Items(Sequence[Any]):
    """Items that are made when they are asked for."""

    def __init__(self, length: int, make: Callable[[int], object]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._length))]
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(f"index {index} of {self._length} items")
        return self._make(at)

    def __iter__(self) -> Iterator[Any]:
        return (self._make(i) for i in range(self._length))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes)):
            return list(self) == list(cast("Sequence[object]", other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._length} items>"

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)


class Source:
    """Where a worker gets the items of other tasks from."""

    def __init__(
        self,
        item: Callable[[str, str, int], object],
        count: Callable[[str, str], int],
    ) -> None:
        #: (task id, key, index) gives one item; (task id, key) how many there are.
        self.item, self.count = item, count


class MapArg(Composed):
    """Each item as a function makes it."""

    def __init__(self, part: object, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise CannotExpand(".map()", f"{function!r} is not a function")
        self.parts = (_checked(".map()", part),)
        self.function = cast(
            "Callable[[Any], Any]", getattr(function, "function", function)
        )

    def put_together(self, values: list[object]) -> object:
        items = items_of(values[0])
        return Items(len(items), lambda i: self.function(items[i]))


class ZipArg(Composed):
    """Tuples of items, side by side."""

    def __init__(self, parts: Sequence[object], **fill: object) -> None:
        if set(fill) - {"fillvalue"}:
            raise CannotExpand(".zip()", f"it takes fillvalue=, not {min(fill)}=")
        self.parts = tuple(_checked(".zip()", part) for part in parts)
        #: Empty, or what stands for the items that a shorter one does not have.
        self.fill: tuple[object, ...] = tuple(fill.values())

    @property
    def how(self) -> str:
        return "longest" if self.fill else "zip"

    def put_together(self, values: list[object]) -> object:
        columns = [items_of(value) for value in values]
        lengths = [len(column) for column in columns]
        return Items(
            (max if self.fill else min)(lengths),
            lambda i: tuple(
                column[i] if i < length else self.fill[0]
                for column, length in zip(columns, lengths, strict=True)
            ),
        )


class ConcatArg(Composed):
    """Items, one after another."""

    how = "concat"

    def __init__(self, parts: Sequence[object]) -> None:
        self.parts = tuple(_checked(".concat()", part) for part in parts)

    def put_together(self, values: list[object]) -> object:
        columns = [items_of(value) for value in values]

        def item(index: int) -> object:
            for column in columns:
                if index < len(column):
                    return column[index]
                index -= len(column)
            raise IndexError(index)

        return Items(sum(map(len, columns)), item)


def _checked(where: str, part: object) -> object:
    if isinstance(part, ParamRef):
        raise CannotExpand(where, f"{part!r} has no items; return it from a task")
    if not any(isinstance(part, kind) for kind in (XComArg, Composed, *WRITTEN)):
        raise NotExpandable(where, type(part).__name__)
    return part


def items_of(value: object) -> Sequence[Any]:
    """The items of a value: of a dict, its pairs.

    Raises:
        NotExpandable: it has none.
    """
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).items())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return cast("Sequence[object]", value)
    raise NotExpandable("a value that is put together with others", type(value).__name__)


# ── as axes ──


def axis_of(value: object, name: str = "") -> Axis:
    """An axis as plain data."""
    if isinstance(value, XComArg):
        return Axis(name=name, source=value.ref)
    if isinstance(value, MapArg):
        return axis_of(value.parts[0], name)
    if isinstance(value, (ZipArg, ConcatArg)):
        parts = tuple(axis_of(part) for part in value.parts)
        return Axis(name=name, how=value.how, parts=parts)
    return Axis(name=name, length=len(cast("Sequence[object]", value)))


def item_at(value: object, index: int, source: Source) -> object:
    """Item `index` of an axis, without the rest of it where that can be."""
    if isinstance(value, XComArg):
        return source.item(value.task_id, value.key, index)
    if isinstance(value, MapArg):
        return value.function(item_at(value.parts[0], index, source))
    if isinstance(value, ZipArg):
        return tuple(_or_fill(value, part, index, source) for part in value.parts)
    if isinstance(value, ConcatArg):
        return _concatenated(value, index, source)
    return items_of(value)[index]


def _or_fill(value: ZipArg, part: object, index: int, source: Source) -> object:
    if value.fill and index >= length_of(part, source):
        return value.fill[0]
    return item_at(part, index, source)


def _concatenated(value: ConcatArg, index: int, source: Source) -> object:
    for part in value.parts[:-1]:
        length = length_of(part, source)
        if index < length:
            return item_at(part, index, source)
        index -= length
    return item_at(value.parts[-1], index, source)


def length_of(value: object, source: Source) -> int:
    """How many items an axis, or a part of one, has."""
    if isinstance(value, XComArg):
        return source.count(value.task_id, value.key)
    if isinstance(value, MapArg):
        return length_of(value.parts[0], source)
    if isinstance(value, Composed):
        lengths = [length_of(part, source) for part in value.parts]
        if isinstance(value, ConcatArg):
            return sum(lengths)
        return (max if cast("ZipArg", value).fill else min)(lengths)
    return len(cast("Sequence[object]", value))
