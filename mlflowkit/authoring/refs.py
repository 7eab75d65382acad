"""Stand-ins for values that exist only when a DAG runs, and finding them in arguments.

A stand-in travels by what it names (task id and key, or parameter), never with the
task or the DAG that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from mlflowkit.authoring.arrows import Arrows
from mlflowkit.authoring.scopes import Markable
from mlflowkit.core.spec import RETURN_VALUE, TaskId, XComRef
from mlflowkit.errors import MissingParameter, NotYetKnown

if TYPE_CHECKING:
    from mlflowkit.authoring.composed import ConcatArg, MapArg, ZipArg
    from mlflowkit.authoring.operator import BaseOperator


class Composable:
    """What items can be taken from: changed, put side by side, or one after another."""

    def map(self, function: Callable[[Any], Any]) -> MapArg:
        """Each item as `function` makes it, in the worker that takes it.

        Where it raises TaskSkipped, the task instance of that item is skipped.
        """
        from mlflowkit.authoring.composed import MapArg

        return MapArg(self, function)

    def zip(self, *others: object, **fill: object) -> ZipArg:
        """Tuples of items: as many as the shortest has, or with `fillvalue=` the longest."""
        from mlflowkit.authoring.composed import ZipArg

        return ZipArg((self, *others), **fill)

    def concat(self, *others: object) -> ConcatArg:
        """Its items, then those of the others."""
        from mlflowkit.authoring.composed import ConcatArg

        return ConcatArg((self, *others))


class XComArg(Arrows, Markable, Composable):
    """The value that a task will give: pass it to another task.

    `output["model"]` is one of several values. It can also be joined with `>>`.
    """

    def __init__(self, operator: BaseOperator, key: str = RETURN_VALUE) -> None:
        self._operator: BaseOperator | None = operator
        self._task_id = operator.task_id
        self.key = key

    @property
    def task_id(self) -> str:
        return self._task_id if self._operator is None else self._operator.task_id

    @property
    def operator(self) -> BaseOperator:
        """The task itself. Only while the DAG is written, not in a worker."""
        if self._operator is None:
            raise NotYetKnown(repr(self), "joined to other tasks")
        return self._operator

    @property
    def ref(self) -> XComRef:
        return XComRef(TaskId(self.task_id), self.key)

    def joined(self) -> list[BaseOperator]:
        return [self.operator]

    def __getitem__(self, key: str) -> XComArg:
        if not isinstance(key, str) or self.key != RETURN_VALUE:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise NotYetKnown(repr(self), f"indexed with {key!r}")
        self.operator.check_output(key)
        return XComArg(self.operator, key)

    def __iter__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "looped over (map a task over it with .expand())")

    def __len__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "measured with len()")

    def __bool__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "tested with `if`, `and`, `or` or `not`")

    def __format__(self, spec: str) -> NoReturn:
        raise NotYetKnown(repr(self), "put into a text")

    def __str__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "made into a text")

    def __repr__(self) -> str:
        key = "" if self.key == RETURN_VALUE else f"[{self.key!r}]"
        return f"the output of task {self.task_id!r}{key}"

    def __getstate__(self) -> dict[str, Any]:
        return {"_operator": None, "_task_id": self.task_id, "key": self.key}


class ParamRef:
    """A parameter of the DAG: pass it to a task, which gets the run's value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"the parameter {self.name!r}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ParamRef):
            return self.name == other.name
        raise NotYetKnown(repr(self), "compared")

    def __hash__(self) -> int:
        return hash((ParamRef, self.name))

    def __iter__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "looped over")

    def __len__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "measured with len()")

    def __index__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "used as a number")

    def __bool__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "tested with `if`, `and`, `or` or `not`")

    def __format__(self, spec: str) -> NoReturn:
        raise NotYetKnown(repr(self), "put into a text")

    def __str__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "made into a text")

    def _arithmetic(self, other: object) -> NoReturn:
        raise NotYetKnown(repr(self), "calculated with")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _arithmetic
    __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __pow__ = _arithmetic
    __lt__ = __le__ = __gt__ = __ge__ = _arithmetic


class MappedArg:
    """An argument of a mapped task group: each of its instances gets an item."""

    def __init__(self, group_id: str, name: str, default: tuple[object, ...] = ()) -> None:
        self.group_id, self.name = group_id, name
        #: Empty, or its value where an item says nothing of it.
        self.default = default

    def item_of(self, mapped: Mapping[str, object], where: str) -> object:
        """Its value for one instance of the group."""
        if self.name in mapped:
            return mapped[self.name]
        if not self.default:
            raise MissingParameter(where, self.name)
        return self.default[0]

    def __repr__(self) -> str:
        return f"the argument {self.name!r} of the mapped task group {self.group_id!r}"

    def __iter__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "looped over")

    def __len__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "measured with len()")

    def __bool__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "tested with `if`, `and`, `or` or `not`")

    def __getitem__(self, key: object) -> NoReturn:
        raise NotYetKnown(repr(self), f"indexed with {key!r}")

    def __format__(self, spec: str) -> NoReturn:
        raise NotYetKnown(repr(self), "put into a text")

    def __str__(self) -> NoReturn:
        raise NotYetKnown(repr(self), "made into a text")


class Composed(Arrows, Composable):
    """Items made of other items: `.map()`, `.zip()`, `.concat()`."""

    #: Outputs of tasks, other composed items, or values written in the DAG.
    parts: tuple[object, ...]

    def joined(self) -> list[BaseOperator]:
        return [ref.operator for ref in refs_in(self) if isinstance(ref, XComArg)]

    def put_together(self, values: list[object]) -> object:
        """Its items, from the values of its parts."""
        raise NotImplementedError

    def __iter__(self) -> NoReturn:
        raise NotYetKnown("what is made of outputs", "looped over")

    def __len__(self) -> NoReturn:
        raise NotYetKnown("what is made of outputs", "measured with len()")

    def __bool__(self) -> NoReturn:
        how = "tested with `if`, `and`, `or` or `not`"
        raise NotYetKnown("what is made of outputs", how)


Ref = XComArg | ParamRef | MappedArg
_HOLD_NOTHING = {type(None), bool, int, float, str, bytes}


def refs_in(value: object) -> Iterator[Ref]:
    """Every stand-in inside `value`: in lists, tuples, sets and dicts, at any depth."""
    if isinstance(value, (XComArg, ParamRef, MappedArg)):
        yield value
    elif isinstance(value, Composed):
        yield from refs_in(value.parts)
    elif isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            yield from refs_in(key)
            yield from refs_in(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = cast("list[object]", value)
        if not set(map(type, items)) <= _HOLD_NOTHING:
            for item in items:
                yield from refs_in(item)


def has_refs(value: object) -> bool:
    """Is there any stand-in inside `value`?"""
    return any(True for _ in refs_in(value))


def replaced(value: object, give: Callable[[Ref], object]) -> object:
    """`value` with every stand-in replaced. What holds none is returned as it is."""
    if isinstance(value, (XComArg, ParamRef, MappedArg)):
        return give(value)
    if isinstance(value, Composed):
        return value.put_together([replaced(part, give) for part in value.parts])
    if not has_refs(value):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {replaced(key, give): replaced(item, give) for key, item in pairs}
    items = [replaced(item, give) for item in cast("list[object]", value)]
    maker = cast("Callable[..., object]", type(value))
    return maker(*items) if hasattr(value, "_fields") else maker(items)
