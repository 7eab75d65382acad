"""Stand-ins for values that exist only when a DAG runs, and finding them in arguments.

A stand-in travels by what it names (task id and key, or parameter), never with the
task or the DAG that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

from mlflowkit.authoring.arrows import Arrows
from mlflowkit.core.spec import RETURN_VALUE, TaskId, XComRef
from mlflowkit.errors import NotYetKnown

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator


class XComArg(Arrows):
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


Ref = XComArg | ParamRef
_HOLD_NOTHING = {type(None), bool, int, float, str, bytes}


def refs_in(value: object) -> Iterator[Ref]:
    """Every stand-in inside `value`: in lists, tuples, sets and dicts, at any depth."""
    if isinstance(value, (XComArg, ParamRef)):
        yield value
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
    if isinstance(value, (XComArg, ParamRef)):
        return give(value)
    if not has_refs(value):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {replaced(key, give): replaced(item, give) for key, item in pairs}
    items = [replaced(item, give) for item in cast("list[object]", value)]
    maker = cast("Callable[..., object]", type(value))
    return maker(*items) if hasattr(value, "_fields") else maker(items)
