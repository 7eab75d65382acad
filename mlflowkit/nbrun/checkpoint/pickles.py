"""Variables to bytes and back, in a kernel: one pickle for those that share objects.

Functions and classes of cells find the live namespace again; large memory goes out of
band, to be stored by its content. What no process but the one that made it can hold is
refused (`DoesNotTravel`), and so is what a pickle would make into something else.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import cloudpickle
from cloudpickle import cloudpickle as _cloud

from mlflowkit.nbrun.checkpoint import memory, shared, views
from mlflowkit.nbrun.checkpoint.code_objects import (
    class_as_made,
    reduce_cell,
    reduce_code,
    set_function,
)
from mlflowkit.nbrun.checkpoint.memory import Blocks, DoesNotTravel, Storage
from mlflowkit.nbrun.checkpoint.travels import (
    ATOMS,
    is_shared_by_all,
    refusal,
    root_of_other,
)

_LOOK_EVERY: Final = 4096
#: Of classes that a `class` statement makes; others are compiled.
_MADE_BY_PYTHON: Final = 1 << 9


class TooCostly(Exception):
    """It takes longer than it may."""


@dataclass(slots=True)
class Pickled:
    """One group of variables, as bytes."""

    names: tuple[str, ...]
    body: bytes
    buffers: list[memoryview]
    #: Everything that it reaches, by id; held, so that no id is used twice.
    seen: dict[int, object]
    #: Names of the namespace that functions in it may use.
    uses: set[str]
    #: The same content gives the same bytes in another process, too.
    exact: bool
    modules: set[str] = field(default_factory=set[str])
    names_of_buffers: list[str] = field(default_factory=list[str])


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
    """For one group."""

    def __init__(
        self, names: Sequence[str], namespace: dict[str, Any], blocks: Blocks, until: float
    ) -> None:
        self._file = io.BytesIO()
        self._buffers: list[memoryview] = []
        super().__init__(self._file, protocol=5, buffer_callback=self._out_of_band)
        self._namespace, self._blocks, self._until = namespace, blocks, until
        self._name = names[0]
        self._countdown = _LOOK_EVERY
        self._sets: dict[int, int] = {}
        self._set_content: list[tuple[bool, list[Any]]] = []
        self._copied: set[int] = set()
        self._storages: dict[int, Storage] = {}
        self.result = Pickled(tuple(names), b"", self._buffers, {}, set(), exact=True)

    def run(self, values: Mapping[str, Any]) -> Pickled:
        self.dump({name: values[name] for name in self.result.names})
        body = self._file.getvalue()
        self.result.body = pickle.dumps((self._set_content, body), protocol=5)
        return self.result

    def _out_of_band(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < 1024:
            return True  # in the pickle itself
        self._buffers.append(raw)
        return False

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is slice:  # pandas gives one to several blocks, and to each its own again
            return ("slice", obj.start, obj.stop, obj.step)
        if kind in ATOMS:
            return None
        if obj is self._namespace:
            return ("namespace",)
        if kind is types.ModuleType or isinstance(obj, types.ModuleType):
            return ("module", self._module(obj))
        place = shared.place_of(obj)
        if place is not None:
            return ("shared", *place)
        if not is_shared_by_all(obj, kind):
            self.result.seen[id(obj)] = obj
        if kind is set or kind is frozenset:
            return self._set(obj)
        self._countdown -= 1
        if not self._countdown:
            self._countdown = _LOOK_EVERY
            if monotonic() > self._until:
                raise TooCostly
        return None

    def _module(self, module: types.ModuleType) -> str:
        name = module.__name__
        if sys.modules.get(name) is not module or name == "__main__":
            raise DoesNotTravel("is a module that a cell made")
        self.result.modules.add(name)
        return name

    def _set(self, obj: Any) -> Any:
        """A set of plain values by its content: its order differs between processes."""
        if not all(type(item) in ATOMS for item in obj):
            self.result.exact = False
            return None
        at = self._sets.get(id(obj))
        if at is None:
            at = self._sets[id(obj)] = len(self._set_content)
            items = sorted(obj, key=lambda item: (type(item).__name__, repr(item)))
            self._set_content.append((type(obj) is frozenset, items))
        return ("set", at)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.CodeType:
            return reduce_code(obj, self.result.uses)
        if kind is types.CellType:
            return reduce_cell(obj)
        if kind is types.FunctionType:
            return self._function(obj)
        if isinstance(obj, type):
            if not _cloud._should_pickle_by_reference(obj):
                self.result.exact = False  # cloudpickle numbers the classes it meets
            return class_as_made(super().reducer_override(obj))
        why = refusal(obj, kind)
        if why:
            raise DoesNotTravel(why)
        if kind in views.KINDS:
            return views.reduce_view(obj)
        special = self._memory(obj, kind)
        if special is not NotImplemented:
            return special
        if kind.__module__.startswith("sklearn.") and not kind.__flags__ & _MADE_BY_PYTHON:
            return memory.reduce_compiled(obj)
        return super().reducer_override(obj)

    def _function(self, function: types.FunctionType) -> Any:
        if _cloud._should_pickle_by_reference(function):
            return NotImplemented
        if function.__globals__ is not self._namespace:
            raise DoesNotTravel("holds a function that no cell defines")
        newargs = list(self._function_getnewargs(function))
        newargs[1], newargs[4] = self._namespace, function.__closure__
        state, slots = _cloud._function_getstate(function)
        slots["__globals__"], slots["_cloudpickle_submodules"] = {}, []
        slots["__closure__"] = None
        return (
            _cloud._make_function,
            tuple(newargs),
            (state, slots),
            None,
            None,
            set_function,
        )

    def _memory(self, obj: Any, kind: type) -> Any:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        top = kind.__module__.partition(".")[0]
        if top == "pandas" and (hasattr(obj, "blocks") or hasattr(obj, "_engine")):
            self._copied.update(map(id, memory.arrays_of_pandas(obj)))
        elif numpy is not None and isinstance(obj, numpy.ndarray):
            pandas = id(obj) in self._copied
            if kind is numpy.ndarray:
                return memory.reduce_array(obj, self._blocks, self._name, pandas)
            if root_of_other(obj) is not obj:
                raise DoesNotTravel(f"is a {kind.__name__} over another array's memory")
        elif torch is not None and isinstance(obj, torch.Tensor):
            if kind not in (torch.Tensor, torch.nn.Parameter):
                raise DoesNotTravel(f"is a tensor of the kind {kind.__name__}")
            return memory.reduce_tensor(obj, self._blocks, self._name, self._storages)
        return NotImplemented


def to_bytes(
    names: Sequence[str],
    namespace: dict[str, Any],
    blocks: Blocks,
    until: float,
    values: Mapping[str, Any] | None = None,
) -> Pickled:
    """Pickle variables together.

    Args:
        until: By `monotonic`; after that it gives up.
        values: Of these names, if they are not those of the namespace.

    Raises:
        DoesNotTravel: one of them holds what no other process can have.
        TooCostly: it takes too long.
    """
    try:
        pickler = _Pickler(names, namespace, blocks, until)
        return pickler.run(namespace if values is None else values)
    except (DoesNotTravel, TooCostly):
        raise
    except MemoryError as exc:
        raise TooCostly from exc
    except Exception as exc:  # the code of any class may be called here
        raise DoesNotTravel(f"cannot be pickled ({type(exc).__name__}: {exc})") from exc


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, body: bytes, buffers: Sequence[Any], namespace: dict[str, Any]
    ) -> None:
        sets, inner = pickle.loads(body)
        super().__init__(io.BytesIO(inner), buffers=buffers)
        self._namespace = namespace
        self._sets = [frozenset(c) if frozen else set(c) for frozen, c in sets]

    def persistent_load(self, pid: Any) -> Any:
        import importlib

        match pid:
            case ("namespace",):
                return self._namespace
            case ("module", name):
                return importlib.import_module(name)
            case ("shared", module, name):
                return getattr(importlib.import_module(module), name)
            case ("set", at):
                return self._sets[at]
            case ("slice", start, stop, step):
                return slice(start, stop, step)
            case _:
                raise pickle.UnpicklingError(f"unknown reference {pid!r}")

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__":
            raise pickle.UnpicklingError(f"{name} was kept by its name alone")
        return super().find_class(module, name)


def from_bytes(
    body: bytes, buffers: Sequence[Any], namespace: dict[str, Any]
) -> Mapping[str, Any]:
    """The variables of a group again.

    Raises:
        DoesNotTravel: what was kept cannot be made here.
    """
    try:
        found: Mapping[str, Any] = _Unpickler(body, buffers, namespace).load()
    except Exception as exc:  # the code of any class may be called here
        raise DoesNotTravel(f"cannot be had again ({type(exc).__name__}: {exc})") from exc
    return found


def canonical(body: bytes) -> list[object]:
    """What a pickle says, without which of its equal texts are one object.

    Two processes that made the same values differ in that alone.
    """
    import pickletools

    sets, inner = pickle.loads(body)
    said: list[object] = [sets]
    memo: list[object] = []
    numbers = 0
    for opcode, argument, _ in pickletools.genops(inner):
        name = opcode.name
        if name in ("BINGET", "LONG_BINGET", "GET"):
            said.append(memo[int(argument or 0)])
        elif name == "MEMOIZE":
            last = said[-1]
            is_text = isinstance(last, tuple) and last[0] == "text"
            memo.append(last if is_text else ("memo", numbers))
            numbers += not is_text
        elif "UNICODE" in name:
            said.append(("text", argument))
        elif name == "BINFLOAT":
            said.append((name, repr(argument)))  # NaN does not equal itself
        elif name != "FRAME":
            said.append((name, argument))
    return said
