"""Which part of a value cannot travel, and how to say where it is: `value['a'][3].lock`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import FunctionType
from typing import Final

from mlflowkit.artifacts.serializers.preview import preview
from mlflowkit.artifacts.serializers.tree import Attribute

_DEEPEST: Final = 12
_WIDEST: Final = 10_000


def at(trail: Iterable[object]) -> str:
    """The trail as Python: `value['a'][3].lock`."""
    steps = [
        f".{step}" if isinstance(step, Attribute) else f"[{preview(step)}]"
        for step in trail
    ]
    return "value" + "".join(steps)


def name_of(value: object) -> str:
    """A type as people write it: `generator`, `_thread.lock`."""
    kind = type(value)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def culprit(value: object, reason: str, why_not: Callable[[object], str | None]) -> Culprit:
    """Go down to the smallest part of `value` that cannot be pickled by itself.

    Args:
        value: Something that cannot be pickled.
        reason: Why not.
        why_not: Tries one part; None when it can be pickled.
    """
    steps: list[object] = []
    while len(steps) < _DEEPEST:
        for step, part in islice(_parts(value), _WIDEST):
            found = None if part is value else why_not(part)
            if found is not None:
                steps.append(step)
                value, reason = part, found
                break
        else:
            break
    return steps, value, reason


#: steps to the part, the part, and why it cannot be pickled
Culprit = tuple[list[object], object, str]


def _parts(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif isinstance(value, set | frozenset):
        yield from ((item, item) for item in value)
    elif isinstance(value, FunctionType):
        cells = value.__closure__ or ()
        for name, cell in zip(value.__code__.co_freevars, cells, strict=True):
            yield Attribute(name), cell.cell_contents
    elif not isinstance(value, type):
        for name, part in getattr(value, "__dict__", {}).items():
            yield Attribute(name), part
